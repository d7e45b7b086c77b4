"""Compressed frames: the same values as pydicom's, found by their place, decoded side by side."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels.encoders import RLELosslessEncoder

from imagedata_xr.errors import ImagedataError
from imagedata_xr.formats.dicom import decoding, fragments
from imagedata_xr.formats.dicom.fragments import frame_bytes
from imagedata_xr.formats.dicom.headers import read_header
from imagedata_xr.formats.dicom.instance import frames_of
from imagedata_xr.frames import PixelFormat, PixelRef
from imagedata_xr.sources import LocalFile, MemoryBytes
from imagedata_xr.testing import Phantom, write_series

imagecodecs = pytest.importorskip("imagecodecs")

LOSSLESS, LS, J2K = "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90"
HTJ2K, RLE = "1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.5"
SHAPE = (3, 32, 24)
KINDS = (("uint16", 12), ("int16", 12), ("uint16", 16))


def encoded(values, syntax, bits):
    """Return the bytes of an image in a transfer syntax; signed ones as the standard has them."""
    if syntax == J2K:
        options = {"level": 0, "reversible": True, "codecformat": "j2k", "bitspersample": bits}
        return imagecodecs.jpeg2k_encode(values, **options)
    if syntax == HTJ2K:
        return imagecodecs.htj2k_encode(values, reversible=True)
    if syntax == RLE:
        return run_lengths(values, bits)
    plain = values.view(f"u{values.itemsize}") & values.dtype.type((1 << bits) - 1).view("u2")
    if syntax == LS:
        return imagecodecs.jpegls_encode(plain)
    return imagecodecs.jpeg8_encode(plain, lossless=True, bitspersample=bits)


def run_lengths(values, bits):
    """Return the RLE frame that pydicom makes."""
    rows, columns = values.shape
    return RLELosslessEncoder.encode(
        values,
        rows=rows,
        columns=columns,
        samples_per_pixel=1,
        bits_allocated=values.itemsize * 8,
        bits_stored=bits,
        pixel_representation=int(values.dtype.kind == "i"),
        photometric_interpretation="MONOCHROME2",
        number_of_frames=1,
        encoding_plugin="pydicom",
    )


def compressed(folder, syntax, kind=("uint16", 12), *, join=False, table=True):
    """Write a phantom as compressed files, or as one multi-frame file; return its stored values."""
    dtype, bits = kind
    made = Phantom(shape=SHAPE, dtype=dtype, bits_stored=bits, orientation="oblique")
    paths = write_series(made, folder, names="sorted")
    datasets = [dcmread(path) for path in paths]
    values = [dataset.pixel_array for dataset in datasets]
    pieces = [encoded(np.ascontiguousarray(one), syntax, bits) for one in values]
    for dataset, path, piece in zip(datasets, paths, pieces, strict=True):
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.PixelData = encapsulate([piece])
        if join:
            path.unlink()
            dataset.NumberOfFrames = len(pieces)
            dataset.PixelData = encapsulate(pieces, has_bot=table)
        dataset["PixelData"].VR = "OB"
        dataset["PixelData"].is_undefined_length = True
        if not join or path == paths[-1]:
            dataset.save_as(path)
    return np.stack(values)


@pytest.mark.parametrize(
    ("syntax", "dtype", "bits"),
    [
        *((syntax, *kind) for syntax in (LOSSLESS, LS, J2K, RLE) for kind in KINDS),
        (HTJ2K, "uint16", 16),
    ],
)
def test_fast_decoders_give_the_stored_values(tmp_path, syntax, dtype, bits):
    """Signed and unsigned pixels are those that were encoded, and pydicom's, without pydicom."""
    values = compressed(tmp_path, syntax, (dtype, bits))
    image = xr.open_dataarray(tmp_path, engine="dicom").load()
    assert image.dtype == dtype
    for path in tmp_path.iterdir():
        frame = frames_of(read_header(LocalFile(str(path))))[0]
        place = image.coords["frame"].values.tolist().index(frame.hash)
        number = int(dcmread(path).InstanceNumber) - 1
        np.testing.assert_array_equal(image.values[place], values[number])
        data = frame_bytes(frame.ref.source, frame.ref.offset, frame.ref.format, 0)
        fast = decoding._fast(data, frame.ref.format)
        # A JPEG has no sign: pydicom leaves the bits above those stored to `_clean` as well.
        assert fast is not None
        np.testing.assert_array_equal(fast, decoding._from_frame(data, frame.ref))


def test_several_threads_decode(tmp_path, monkeypatch):
    """On several cores, several threads take part, and every frame is in its place."""
    values = compressed(tmp_path, LOSSLESS)
    names = set()
    together = threading.Barrier(2, timeout=60)
    original = decoding._fast

    def watched(data, form):
        names.add(threading.current_thread().name)
        if len(names) < 2 or together.n_waiting:
            together.wait()
        return original(data, form)

    monkeypatch.setattr(decoding, "_fast", watched)
    monkeypatch.setattr("imagedata_xr.loading.cores", lambda: 2)
    image = xr.open_dataarray(tmp_path, engine="dicom").load()
    assert len(names) == 2
    assert sorted(map(np.sum, image.values)) == sorted(map(np.sum, values))


@pytest.mark.parametrize("syntax", [LOSSLESS, LS, J2K, HTJ2K, RLE])
def test_damage_is_no_image(tmp_path, syntax):
    """A frame cut off within its fragment is an error, or what pydicom makes of it."""
    compressed(tmp_path, syntax, ("uint16", 16 if syntax == HTJ2K else 12))
    for path in tmp_path.iterdir():
        dataset = dcmread(path)
        piece = next(generate_frames(dataset.PixelData, number_of_frames=1))
        dataset.PixelData = encapsulate([piece[: len(piece) // 2]])
        dataset["PixelData"].is_undefined_length = True
        dataset.save_as(path)
        try:
            expected = dcmread(path).pixel_array
        except Exception:  # noqa: BLE001 - plug-ins raise what they like
            expected = None
        try:
            found = xr.open_dataarray(path, engine="dicom").load().values[0]
        except ImagedataError:
            continue
        assert expected is not None
        np.testing.assert_array_equal(found, expected)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damaged_frames_are_what_pydicom_says(data):
    """Whatever is changed in a frame: what is decoded fast, pydicom decodes to the same values."""
    syntax = data.draw(st.sampled_from((RLE, HTJ2K)))
    bits = data.draw(st.sampled_from((8, 16)))
    rows, columns = data.draw(st.sampled_from(((9, 7), (16, 16), (1, 5))))
    numbers = data.draw(st.binary(min_size=rows * columns, max_size=rows * columns))
    values = (np.frombuffer(numbers, np.uint8) // 64).reshape(rows, columns).astype(f"u{bits // 8}")
    piece = bytearray(encoded(values, syntax, bits))
    for _ in range(data.draw(st.integers(0, 3))):
        piece[data.draw(st.integers(0, len(piece) - 1))] = data.draw(st.integers(0, 255))
    del piece[data.draw(st.one_of(st.just(len(piece)), st.integers(0, len(piece)))) :]
    form = PixelFormat(rows, columns, 1, bits, bits, bits - 1, syntax=syntax)
    fast = decoding._fast(bytes(piece), form)
    if fast is not None:
        ref = PixelRef(MemoryBytes("frame", b""), form, 0, 0)
        np.testing.assert_array_equal(fast, decoding._from_frame(bytes(piece), ref))


def test_header_and_codestream_that_disagree_go_to_pydicom(tmp_path):
    """Where JPEG 2000 has another sign or other bits than the header, pydicom decides."""
    compressed(tmp_path, J2K)
    path = next(tmp_path.iterdir())
    dataset = dcmread(path)
    dataset.BitsStored, dataset.HighBit = 14, 13
    dataset.save_as(path)
    frame = frames_of(read_header(LocalFile(str(path))))[0]
    data = frame_bytes(frame.ref.source, frame.ref.offset, frame.ref.format, 0)
    assert decoding._fast(data, frame.ref.format) is None
    expected = dcmread(path).pixel_array
    np.testing.assert_array_equal(decoding.decoded(frame.ref), expected)


@pytest.mark.parametrize("table", [True, False])
def test_one_frame_reads_its_own_bytes(tmp_path, monkeypatch, table):
    """Of a compressed multi-frame object one frame is read by its place, with a table or without."""
    values = compressed(tmp_path, LOSSLESS, join=True, table=table)
    path = next(tmp_path.iterdir())
    source = LocalFile(str(path))
    frames = frames_of(read_header(source))
    fragments._frame_places.cache_clear()
    lengths = []
    original = LocalFile.read

    def read(self, start=0, length=None):
        lengths.append(length)
        return original(self, start, length)

    monkeypatch.setattr(LocalFile, "read", read)
    for number in (2, 0, 1):
        np.testing.assert_array_equal(decoding.decoded(frames[number].ref), values[number])
    assert None not in lengths
    assert sum(lengths) < path.stat().st_size
    assert fragments._frame_places.cache_info().hits == 2


def test_tables_that_lie_are_not_followed(tmp_path):
    """A Basic Offset Table that points into the middle of a fragment is not believed."""
    compressed(tmp_path, LOSSLESS, join=True)
    path = next(tmp_path.iterdir())
    data = bytearray(path.read_bytes())
    frame = frames_of(read_header(LocalFile(str(path))))[0]
    data[frame.ref.offset + 12] += 2
    path.write_bytes(data)
    frames = frames_of(read_header(LocalFile(str(path))))
    for number in (0, 1):
        ref = frames[number].ref
        assert frame_bytes(ref.source, ref.offset, ref.format, number) is None
