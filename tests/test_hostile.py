"""Files that lie about their size, and files that change: refused before memory is taken."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
import zlib

import numpy as np
import pytest
import xarray as xr
from memory_headers import file_bytes, image
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
)

import imagedata_xr
from imagedata_xr.errors import FormatError, NoImagesError, SourceError
from imagedata_xr.options import limits, set_options
from imagedata_xr.testing import Phantom, write_series

MOST = 64 << 20


@pytest.fixture(autouse=True)
def bounded():
    """No test here takes more than 64 MiB beyond what was there."""
    tracemalloc.start()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MOST, f"{peak >> 20} MiB"


def compressed(syntax, frames, **attributes):
    """Return a file of compressed frames, given as bytes."""
    dataset = image(**attributes)
    dataset.PixelData = encapsulate(frames, has_bot=attributes.pop("has_bot", True))
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    return file_bytes(dataset, syntax)


def rle(values):
    """Return bytes of one segment that repeats a byte."""
    header = np.array([1, 64, *[0] * 14], "<u4").tobytes()
    return header + b"\x81\x07" * values


def opened(data, **options):
    return xr.open_dataarray(data, engine="dicom", **options)


def test_huge_frame():
    """65535 x 65535 pixels in a few bytes are no image."""
    size = {"Rows": 65535, "Columns": 65535, "BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
    with pytest.raises(FormatError, match="frame_bytes"):
        opened(compressed(RLELossless, [rle(1000)], **size))
    with pytest.raises(FormatError, match="Pixel Data has 48 bytes"):
        opened(file_bytes(image(**size)))


def test_frames_out_of_few_bytes():
    """Frames of a compressed image are counted, and what they would be is compared with the file."""
    size = {"Rows": 1000, "Columns": 1000, "NumberOfFrames": "100000"}
    with pytest.raises(FormatError, match=r"cannot be in so small a file|image_ratio"):
        opened(compressed(JPEG2000Lossless, [b"\xff\x4f" * 50], **size))
    size["NumberOfFrames"] = "7"
    with pytest.raises(FormatError, match=r"7 frames .* in 2 fragments"):
        opened(compressed(RLELossless, [rle(100), rle(100)], **size))
    for more in ({}, {"PhotometricInterpretation": "YBR_FULL", "SamplesPerPixel": 3}):
        size |= {"PixelData": bytes(6_000_000), "PlanarConfiguration": 0, **more}
        with pytest.raises(FormatError, match=r"7 frames .* need \d+"):
            opened(file_bytes(image(**size)))


def test_offsets_that_point_outside():
    """A Basic Offset Table that leads out of the file is not followed."""
    whole = compressed(RLELossless, [rle(100), rle(100)], Rows=100, Columns=64, NumberOfFrames="2")
    at = whole.rindex(b"\xfe\xff\x00\xe0\x08\0\0\0") + 12
    assert whole[at : at + 4] == (264 + 8).to_bytes(4, "little")
    lying = whole[:at] + b"\xf0\xff\xff\x7f" + whole[at + 4 :]
    try:
        opened(lying).load()
    except FormatError:
        return
    np.testing.assert_array_equal(opened(lying), opened(whole))


def test_rle_bomb():
    """A frame that unpacks to more than its header says is an error, and not unpacked for ever."""
    data = compressed(RLELossless, [rle(200_000)], Rows=8, Columns=8)
    with pytest.raises(FormatError):
        opened(data).load()


def deflated(count):
    """Return a deflated data set with so many MiB of zeros in a private element."""
    dataset = image()
    start = file_bytes(dataset, DeflatedExplicitVRLittleEndian)
    meta_end = 144 + int.from_bytes(start[140:144], "little")
    plain = zlib.decompress(start[meta_end:], -15)
    element = (
        b"\x09\0\x10\0LO\4\0TEST" + b"\x09\0\x01\x10OB\0\0" + (count << 20).to_bytes(4, "little")
    )
    at = plain.index(b"\x18\0\x50\0DS")
    packer = zlib.compressobj(9, wbits=-15)
    packed = packer.compress(plain[:at] + element)
    for _ in range(count):
        packed += packer.compress(bytes(1 << 20))
    return start[:meta_end] + packed + packer.compress(plain[at:]) + packer.flush()


def test_deflated_bomb():
    """Half a megabyte that inflates to 600 MB is refused before it is inflated into memory."""
    bomb = deflated(600)
    assert len(bomb) < 1 << 20
    with pytest.raises(FormatError, match="archive_ratio"):
        opened(bomb)


def test_deflated_within_the_limits():
    """A data set that inflates to little is read, however well it is packed."""
    np.testing.assert_array_equal(opened(deflated(1)), opened(file_bytes(image())))


def test_limits_are_the_users():
    """What is right all the same is allowed by the option that the error names."""
    data = compressed(
        RLELossless, [rle(100)], Rows=100, Columns=64, BitsAllocated=8, BitsStored=8, HighBit=7
    )
    with set_options(frame_bytes=1000), pytest.raises(FormatError, match="frame_bytes=6400"):
        opened(data)
    with set_options(image_ratio_free_bytes=0, image_ratio=1):
        with pytest.raises(FormatError, match=r"image_ratio=\d+"):
            opened(data)
        with set_options(image_ratio=1000):
            assert opened(data).size == 6400
    assert limits().frame_bytes == 2 << 30


@pytest.mark.parametrize("undefined", [True, False])
@pytest.mark.parametrize("depth", [50, 20_000])
def test_nested_sequences(depth, undefined):
    """20,000 sequences within each other are read or refused, without the stack running over."""
    tag, item = b"\x08\0\x40\x11SQ\0\0", b"\xfe\xff\x00\xe0"
    value = b""
    if undefined:
        value = (tag + b"\xff" * 4 + item + b"\xff" * 4) * depth
        value += b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0" * depth
    else:
        parts = []
        for level in range(depth):
            size = level * 20
            parts.append(tag + (size + 8).to_bytes(4, "little") + item + size.to_bytes(4, "little"))
        value = b"".join(reversed(parts))
    plain = file_bytes(image())
    at = plain.index(b"\x18\0\x50\0DS")
    data = plain[:at] + value + plain[at:]
    try:
        da = opened(data)
        np.testing.assert_array_equal(da, opened(plain))
        da.med.header(slice=0)
        repr(da)
    except (FormatError, imagedata_xr.errors.HeaderError):
        assert depth > 1000


def test_file_replaced_after_opening(tmp_path):
    """Pixels are never taken from a file that is no longer the one whose header was read."""
    paths = write_series(Phantom(), tmp_path)
    da = opened(tmp_path)
    before = paths[1].read_bytes()
    paths[1].write_bytes(bytes(reversed(before)))
    os.utime(paths[1], ns=(1, 1))
    with pytest.raises(SourceError, match=f"{paths[1].name}: has changed"):
        da.load()
    da.isel(slice=0).load()


def test_file_gone_after_opening(tmp_path):
    """A file that has vanished is an error that names it."""
    paths = write_series(Phantom(), tmp_path)
    da = opened(tmp_path)
    paths[2].unlink()
    with pytest.raises(SourceError, match=paths[2].name):
        da.load()
    paths[2].mkdir()
    with pytest.raises(SourceError, match=paths[2].name):
        da.load()


def test_no_files_in_a_folder(tmp_path):
    """A pipe in a folder is never waited for; links in a circle end; a device is no source."""
    write_series(Phantom(), tmp_path / "series")
    whole = opened(tmp_path / "series").load()
    os.mkfifo(tmp_path / "series" / "pipe")
    (tmp_path / "series" / "circle").symlink_to(tmp_path / "series")
    (tmp_path / "series" / "again").symlink_to(tmp_path)
    xr.testing.assert_identical(opened(tmp_path / "series").load(), whole)
    for path in ("/dev/zero", tmp_path / "series" / "pipe"):
        with pytest.raises(SourceError, match="neither a file nor a folder"):
            opened(path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(NoImagesError):
        opened(tmp_path / "empty")


def test_link_to_nowhere(tmp_path):
    """A link whose file is gone may have been a slice: it does not go unseen."""
    write_series(Phantom(), tmp_path)
    (tmp_path / "lost.dcm").symlink_to(tmp_path / "nowhere.dcm")
    with pytest.raises(SourceError, match=r"lost\.dcm"):
        opened(tmp_path)


def test_many_files_of_others(tmp_path):
    """Thousands of files that are no images cost time, and nothing else."""
    for number in range(3000):
        (tmp_path / f"{number}.txt").write_bytes(b"note")
    write_series(Phantom(), tmp_path / "series")
    assert opened(tmp_path).sizes["slice"] == 4


def test_memory_of_a_process():
    """A process whose memory is bounded opens lies without reaching the bound."""
    script = (
        "import resource, sys, xarray as xr, imagedata_xr\n"
        "from imagedata_xr.errors import ImagedataError\n"
        "import imagedata_xr.formats.dicom.reader, imagedata_xr.formats.nifti.read, nibabel\n"
        "limit = resource.getpagesize() * int(open('/proc/self/statm').read().split()[0])\n"
        "resource.setrlimit(resource.RLIMIT_AS, (limit + (256 << 20),) * 2)\n"
        "data = bytearray(sys.stdin.buffer.read())\n"
        "try:\n"
        "    xr.open_dataarray(bytes(data), engine='nifti').load()\n"
        "except ImagedataError:\n"
        "    sys.exit(3)\n"
    )
    nib = pytest.importorskip("nibabel")
    made = nib.Nifti2Image(np.zeros((2, 3, 4), "i2"), np.eye(4))
    raw = bytearray(made.to_bytes())
    for sizes in (
        [3, 2**62, 2**62, 2**62],
        [3, 32767, 32767, 32767],
        [7, *[2**33] * 7],
        [3, -1, 3, 4],
    ):
        raw[16 : 16 + 8 * len(sizes)] = np.array(sizes, "<i8").tobytes()
        done = subprocess.run(
            [sys.executable, "-c", script], input=bytes(raw), capture_output=True, check=False
        )
        assert done.returncode == 3, done.stderr.decode()
