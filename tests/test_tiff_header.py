"""TIFF files: those of other programs open, damaged ones are errors and never end the process."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import imagedata_xr
from imagedata_xr.errors import FormatError
from imagedata_xr.testing import Phantom
from imagedata_xr.testing.conformance.writer import image_of

sitk = pytest.importorskip("SimpleITK")
Image = pytest.importorskip("PIL.Image")

ROOT = Path(__file__).resolve().parents[1]
GREY = (np.arange(40 * 48) % 251).astype("u1").reshape(40, 48)
DEEP = (np.arange(40 * 48) * 31 % 65536).astype("u2").reshape(40, 48)
ENTRY = {1: "B", 3: "H", 4: "I", 16: "Q"}
# Opens each file; says what became of it.
CHILD = """
import os, sys, warnings
warnings.simplefilter("ignore")
import xarray as xr
from imagedata_xr.errors import ImagedataError
for path in sys.argv[1:]:
    try:
        xr.open_dataarray(path, engine="itk").load()
        print("opened")
    except ImagedataError as error:
        print("refused", os.path.basename(path) in str(error))
"""


def opened(path):
    return xr.open_dataarray(path, engine="itk")


def tiff(pages, *, order="<", big=False, cycle=False):
    """Return a TIFF file; a page is a dict of tags, those with bytes being strips or tiles."""
    wide = "Q" if big else "I"
    out = bytearray(struct.pack(order + "2sH", b"II" if order == "<" else b"MM", 43 if big else 42))
    out += struct.pack(order + "HHQ", 8, 0, 0) if big else bytes(4)
    link, first = len(out) - struct.calcsize(wide), 0
    for tags in pages:
        entries = b""
        for tag, values in sorted(tags.items()):
            if isinstance(values[0], bytes):
                starts = []
                for part in values:
                    starts.append(len(out))
                    out += part
                values = starts  # noqa: PLW2901 - where the parts went
            kind = 4 if max(values) > 65535 or tag in (273, 279, 324, 325) else 3
            data = struct.pack(f"{order}{len(values)}{ENTRY[kind]}", *values)
            inline = data.ljust(struct.calcsize(wide), b"\0")
            if len(data) > struct.calcsize(wide):
                inline = struct.pack(order + wide, len(out))
                out += data
            entries += struct.pack(order + "HH" + wide, tag, kind, len(values)) + inline
        here = len(out)
        struct.pack_into(order + wide, out, link, here)
        first = first or here
        out += struct.pack(order + ("Q" if big else "H"), len(tags)) + entries
        link = len(out)
        out += bytes(struct.calcsize(wide))
    if cycle:
        struct.pack_into(order + wide, out, link, first)
    return bytes(out)


def page(array=DEEP, *, order="<", rows=16, **tags):
    """Return the tags of a grey image in strips."""
    raw = array.astype(array.dtype.newbyteorder(order))
    parts = [raw[k : k + rows].tobytes() for k in range(0, len(raw), rows)]
    found = {
        256: [array.shape[1]],
        257: [array.shape[0]],
        258: [8 * array.itemsize],
        259: [1],
        262: [1],
        273: parts,
        277: [1],
        278: [rows],
        279: [len(part) for part in parts],
    }
    found |= {int(tag[1:]): values for tag, values in tags.items()}
    return {tag: values for tag, values in found.items() if values is not None}


def tiled(array=GREY):
    """Return the tags of a grey image in tiles of 16 x 16, the lower ones half empty."""
    full = np.pad(array, ((0, -len(array) % 16), (0, 0)))
    parts = [
        full[r : r + 16, c : c + 16].tobytes()
        for r in range(0, full.shape[0], 16)
        for c in range(0, full.shape[1], 16)
    ]
    tiles = {322: [16], 323: [16], 324: parts, 325: [len(part) for part in parts]}
    strips = page(array, t273=None, t278=None, t279=None)
    return strips | tiles


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_files_of_pillow(tmp_path, compression, big):
    """Grey, deep, coloured and several pages, packed or not, classic or BigTIFF: the same pixels."""
    arrays = [GREY, DEEP, np.stack([GREY, GREY[::-1], GREY.T.reshape(GREY.shape)], -1)]
    for array in arrays:
        path = tmp_path / "a.tif"
        Image.fromarray(array).save(path, compression=compression, big_tiff=big)
        np.testing.assert_array_equal(opened(path).values, array)
    pages = [Image.fromarray(DEEP + k) for k in range(4)]
    pages[0].save(
        path, save_all=True, append_images=pages[1:], compression=compression, big_tiff=big
    )
    np.testing.assert_array_equal(opened(path).values, [DEEP + k for k in range(4)])


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "f4"])
@pytest.mark.parametrize("compressor", ["", "LZW", "Deflate"])
def test_files_of_simpleitk(tmp_path, dtype, compressor):
    """Slices that SimpleITK wrote come back."""
    values = np.stack([DEEP, DEEP + 1, DEEP + 2]).astype(dtype)
    path = tmp_path / "a.tif"
    sitk.WriteImage(
        sitk.GetImageFromArray(values),
        str(path),
        useCompression=bool(compressor),
        compressor=compressor,
    )
    np.testing.assert_array_equal(opened(path).values, values)


def test_files_of_our_own(tmp_path):
    """A volume that the package wrote comes back."""
    source = image_of(Phantom())
    imagedata_xr.to_itk(source, tmp_path / "a.tif", force=True)
    np.testing.assert_array_equal(opened(tmp_path / "a.tif").values, source.values)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_byte_orders(tmp_path, order, big):
    """Both byte orders, both widths of offsets; pages of reduced size at the end are no slices."""
    path = tmp_path / "a.tif"
    pages = [page(DEEP + k, order=order) for k in range(3)]
    small = page(DEEP[:20, :24], order=order, t254=[1])
    path.write_bytes(tiff([*pages, small], order=order, big=big))
    np.testing.assert_array_equal(opened(path).values, [DEEP + k for k in range(3)])


def test_tiles(tmp_path):
    """Tiles of 8 bits open as colours; of more, SimpleITK would keep 8 bits: an error."""
    path = tmp_path / "a.tif"
    path.write_bytes(tiff([tiled()]))
    np.testing.assert_array_equal(opened(path).values[..., :3], np.stack([GREY] * 3, -1))
    path.write_bytes(tiff([tiled(DEEP)]))
    with pytest.raises(FormatError, match=r"BitsPerSample \(258\) is 16 .* TileWidth"):
        opened(path)


def test_alpha(tmp_path):
    """SimpleITK would take alpha for every second grey pixel: an error instead."""
    path = tmp_path / "a.tif"
    Image.fromarray(GREY).convert("LA").save(path)
    with pytest.raises(FormatError, match=r"SamplesPerPixel \(277\) is 2"):
        opened(path)


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize(
    ("tag", "values", "name"),
    [
        (256, [0], "ImageWidth"),
        (256, [96], "StripByteCounts"),
        (257, [0], "ImageLength"),
        (257, [48], "StripByteCounts"),
        (257, [400], "StripOffsets"),
        (258, [12], "BitsPerSample"),
        (258, [32], "StripByteCounts"),
        (258, [16, 8], "BitsPerSample"),
        (259, [7], "Compression"),
        (259, [3], "Compression"),
        (259, [999], "Compression"),
        (262, [2], "SamplesPerPixel"),
        (262, [3], "ColorMap"),
        (262, None, "PhotometricInterpretation"),
        (266, [3], "FillOrder"),
        (273, [10**9] * 3, "StripOffsets"),
        (273, None, "StripOffsets"),
        (274, [9], "Orientation"),
        (277, [0], "SamplesPerPixel"),
        (277, [1, 1], "SamplesPerPixel"),
        (278, [0], "RowsPerStrip"),
        (278, [8], "StripOffsets"),
        (278, [40], "StripOffsets"),
        (279, [1, 1, 1], "StripByteCounts"),
        (279, [2**32 - 1] * 3, "StripOffsets"),
        (284, [3], "PlanarConfiguration"),
        (317, [2], "Predictor"),
        (322, [16], "TileOffsets"),
        (338, [0, 0], "SamplesPerPixel"),
        (339, [3], "SampleFormat"),
        (32997, [5], "ImageDepth"),
    ],
)
def test_contradictions(tmp_path, number, tag, values, name):
    """What is wrong in the first or second page is said with file, page and tag."""
    path = tmp_path / "a.tif"
    pages = [page(), page()]
    pages[number - 1] = page(**{f"t{tag}": values})
    path.write_bytes(tiff(pages))
    with pytest.raises(FormatError, match=rf"a\.tif: page {number}: {name} \("):
        opened(path)


def test_directories(tmp_path):
    """A chain that bites its tail, ends outside the file, or hides slices is an error."""
    path = tmp_path / "a.tif"
    path.write_bytes(tiff([page(), page()], cycle=True))
    with pytest.raises(FormatError, match=r"page 3: .* that of an earlier page"):
        opened(path)
    whole = tiff([page(), page()])
    for end in (0, 4, 7, len(whole) - 1, len(whole) - 60):
        path.write_bytes(whole[:end])
        with pytest.raises(FormatError, match=r"a\.tif"):
            opened(path)
    path.write_bytes(tiff([page()], big=True)[:8] + b"\xff" * 8 + whole)
    with pytest.raises(FormatError, match="not inside the file"):
        opened(path)
    for kinds in ([1, 0], [4, 2], [1, 1], [0, 2]):
        path.write_bytes(tiff([page(t254=[kind]) for kind in kinds]))
        with pytest.raises(FormatError, match="NewSubfileType"):
            opened(path)
    path.write_bytes(tiff([page(), page(DEEP[:, :40])]))
    with pytest.raises(FormatError, match=r"page 2: ImageWidth is 40, and 48 in page 1"):
        opened(path)
    path.write_bytes(tiff([page(), page(GREY)]))
    with pytest.raises(FormatError, match=r"page 2: BitsPerSample is 8, and 16 in page 1"):
        opened(path)


def test_damage_never_ends_the_process(tmp_path):
    """Thousand files with wrong bytes in the directories: each opens or is refused by its name."""
    seeds = [
        tiff([page(DEEP + k) for k in range(3)]),
        tiff([page(DEEP + k, order=">") for k in range(2)], order=">", big=True),
        tiff([tiled()]),
        tiff([page(GREY), page(GREY, t266=[2])]),
    ]
    rng = np.random.default_rng(4)
    paths = []
    for k in range(1000):
        data = bytearray(seeds[k % len(seeds)])
        # Where ImageWidth stands, the first tag of a directory.
        first = struct.pack("<HH" if data[:2] == b"II" else ">HH", 256, 3)
        marks = [at for at in range(len(data)) if data.startswith(first, at)]
        for _ in range(rng.integers(1, 4)):
            at = rng.choice(marks) + rng.integers(0, 120)
            data[min(at, len(data) - 1)] = rng.choice([0, 1, 2, 3, 8, 16, 255, rng.integers(256)])
        paths.append(tmp_path / f"{k}.tif")
        paths[-1].write_bytes(data)
    said = tried(paths)
    assert "refused False" not in said
    assert min(said.count("opened"), said.count("refused True")) > 50


@pytest.mark.parametrize("kinds", [[1, 2, 2], [0] + [None] * 6, [1] * 5 + [2] * 2])
def test_pages_counted_wrongly(tmp_path, kinds):
    """Pages of which SimpleITK counts fewer than it reads, behind its memory, are refused."""
    path = tmp_path / "a.tif"
    large = np.tile(DEEP, (8, 8))
    path.write_bytes(tiff([page(large, t254=kind if kind is None else [kind]) for kind in kinds]))
    assert tried([path]) == ["refused True"]


def tried(paths):
    """Return what opening the files in another process gives; that process must not die."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, *map(str, paths)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout.split("\n")[:-1]
    assert done.returncode == 0, (len(said), done.stderr[-500:])
    assert len(said) == len(paths)
    return said
