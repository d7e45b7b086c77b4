"""Compressed output: the transfer syntax that was asked for, and every value as it was."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
import xarray as xr
from nifti_images import PLANES
from nifti_images import image as labelled

import imagedata_xr
from imagedata_xr.errors import OptionError, WriteError
from imagedata_xr.testing import Phantom, write_series

DCIODVFY = Path(sys.executable).with_name("dciodvfy")
SYNTAXES = {
    "implicit": "1.2.840.10008.1.2",
    "explicit": "1.2.840.10008.1.2.1",
    "rle": "1.2.840.10008.1.2.5",
    "JPEG-LS": "1.2.840.10008.1.2.4.80",
    "j2k": "1.2.840.10008.1.2.4.90",
    "htj2k": "1.2.840.10008.1.2.4.201",
}
COMPRESSED = [name for name in SYNTAXES if name not in ("implicit", "explicit")]


@pytest.fixture(autouse=True)
def _encoders():
    for package in ("pylibjpeg", "jpeg_ls", "imagecodecs"):
        pytest.importorskip(package)


def contents(header):
    """Return all elements but the pixels; implicit files do not say that private values are text."""
    return {
        e.tag: e.value.decode().strip() if isinstance(e.value, bytes) else e.value
        for e in header
        if e.keyword != "PixelData"
    }


@pytest.mark.parametrize("name", SYNTAXES)
def test_a_copy_in_another_syntax(tmp_path, name):
    """Values, places and headers of the copy are those of the source, and its syntax is the one."""
    write_series(Phantom(axes={"te": [10, 20]}, vendor="siemens"), tmp_path / "in")
    source = xr.open_dataarray(tmp_path / "in", engine="dicom")
    source.med.to_dicom(tmp_path / "out", syntax=name, keep_uid=True)
    again = xr.open_dataarray(tmp_path / "out", engine="dicom")
    xr.testing.assert_identical(again.load(), source.load())
    before = {h.SOPInstanceUID: h for h in map(pydicom.dcmread, (tmp_path / "in").iterdir())}
    for path in (tmp_path / "out").iterdir():
        header = pydicom.dcmread(path)
        assert header.file_meta.TransferSyntaxUID == SYNTAXES[name]
        own = before[header.SOPInstanceUID]
        np.testing.assert_array_equal(header.pixel_array, own.pixel_array)
        assert contents(header) == contents(own)


@pytest.mark.parametrize("name", COMPRESSED)
@pytest.mark.parametrize("dtype", ["u1", "u2", "i2"])
def test_every_value_of_the_type(tmp_path, name, dtype):
    """The ends of the range come back, signed and unsigned; SimpleITK agrees where it can read."""
    info = np.iinfo(dtype)
    values = np.random.default_rng(1).integers(info.min, info.max, (2, 33, 47), endpoint=True)
    values[0, 0, :2] = info.min, info.max
    image = imagedata_xr.from_array(
        values.astype(dtype), spacing=(3, 1, 2), origin=(1, 2, 3), orientation=np.eye(3)
    )
    image.med.to_dicom(tmp_path / "out", syntax=name, PatientID="1", SOPClassUID="SC")
    again = xr.open_dataarray(tmp_path / "out", engine="dicom")
    assert again.dtype == dtype
    np.testing.assert_array_equal(
        again.transpose(*image.dims).sortby("slice"), image.sortby("slice")
    )
    sitk = pytest.importorskip("SimpleITK")
    if name == "htj2k":
        return
    for path in (tmp_path / "out").iterdir():
        there = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))[0]
        np.testing.assert_array_equal(there, pydicom.dcmread(path).pixel_array)


@pytest.mark.parametrize("name", COMPRESSED)
def test_colours(tmp_path, name):
    """Colour images keep every value."""
    write_series(
        Phantom(modality="SC", photometric="RGB", dtype="uint8", shape=(1, 20, 30)), tmp_path / "in"
    )
    source = xr.open_dataarray(tmp_path / "in", engine="dicom")
    source.med.to_dicom(tmp_path / "out", syntax=name)
    again = xr.open_dataarray(tmp_path / "out", engine="dicom")
    np.testing.assert_array_equal(again.values, source.values)


@pytest.mark.parametrize("name", COMPRESSED)
def test_derived_images(tmp_path, name):
    """A computed image is stored by slope and intercept, compressed, and reads back the same."""
    write_series(Phantom(), tmp_path / "in")
    source = xr.open_dataarray(tmp_path / "in", engine="dicom")
    result = source / 7
    result.med.to_dicom(tmp_path / "plain")
    result.med.to_dicom(tmp_path / "out", syntax=name)
    plain = xr.open_dataarray(tmp_path / "plain", engine="dicom")
    again = xr.open_dataarray(tmp_path / "out", engine="dicom")
    np.testing.assert_array_equal(again.values, plain.values)
    if DCIODVFY.exists():
        for folder in ("plain", "out"):
            path = next((tmp_path / folder).iterdir())
            done = subprocess.run([DCIODVFY, path], capture_output=True, text=True, check=False)
            errors = [line for line in done.stderr.splitlines() if line.startswith("Error")]
            # It knows the syntaxes of its year only.
            assert not [one for one in errors if "ransfer" not in one], folder


@pytest.mark.parametrize("name", ["jpegls-near", "1.2.840.10008.1.2.4.50", "JPEG", "zip", ""])
def test_nothing_is_written_with_loss(tmp_path, name):
    """A syntax that changes values, or is none, is an error that lists the others."""
    write_series(Phantom(), tmp_path / "in")
    source = xr.open_dataarray(tmp_path / "in", engine="dicom")
    with pytest.raises(OptionError, match="without loss"):
        source.med.to_dicom(tmp_path / "out", syntax=name)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", COMPRESSED)
def test_pixels_without_room(tmp_path, name):
    """32 bits, and overlays in unused bits, are refused where they would be lost."""
    image = imagedata_xr.Med(labelled(PLANES["axial"])).restore()
    wide = image.astype("int32") + 100_000
    with pytest.raises(WriteError, match="explicit"):
        wide.med.to_dicom(tmp_path / "out", syntax=name, PatientID="1")
    wide.med.to_dicom(tmp_path / "native", syntax="explicit", PatientID="1")
    again = xr.open_dataarray(tmp_path / "native", engine="dicom")
    np.testing.assert_array_equal(again.sortby("slice").values, wide.sortby("slice").values)
    for path in write_series(Phantom(), tmp_path / "in"):
        header = pydicom.dcmread(path)
        header.BitsStored, header.HighBit = 12, 11
        overlaid = header.pixel_array.astype("<u2") & 0xFFF
        overlaid[0, 0] |= 0x8000
        header.PixelData = overlaid.tobytes()
        header.save_as(path)
    source = xr.open_dataarray(tmp_path / "in", engine="dicom")
    with pytest.raises(WriteError, match="unused bits"):
        source.med.to_dicom(tmp_path / "out", syntax=name)
    assert not (tmp_path / "out").exists()
    source.med.to_dicom(tmp_path / "kept", syntax="explicit", keep_uid=True)
    for path in (tmp_path / "kept").iterdir():
        assert np.frombuffer(pydicom.dcmread(path).PixelData, "<u2")[0] & 0x8000
