"""Real numbers in stored integers: by frame or by series, with a place for what is no number."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import imagedata_xr  # noqa: F401 - registers the accessor
from imagedata_xr.errors import DataWarning, OptionError, WriteError
from imagedata_xr.formats.dicom.write.values import choose_encoding, extent_of
from imagedata_xr.testing import Phantom, write_series

SHAPE = (4, 5, 7)


def opened(source):
    return xr.open_dataarray(source, engine="dicom")


def made(folder, modality="MR"):
    """Return real numbers, a thousand times larger in each slice, over a phantom's headers."""
    write_series(Phantom(shape=SHAPE, modality=modality), folder)
    image = opened(folder)
    values = np.random.default_rng(0).normal(size=image.shape)
    return image.copy(data=values * 1000.0 ** np.arange(4)[:, None, None])


def headers_of(folder):
    return [pydicom.dcmread(path) for path in sorted(folder.iterdir())]


def stated(header):
    """Return the largest error that a header states."""
    return float(header.DerivationDescription.split("at most ")[1].split(";")[0])


@pytest.mark.parametrize("dtype", [">i2", ">u2", "<i2", ">f4"])
def test_byte_order_of_the_array(tmp_path, dtype):
    """Files have the low byte first, whatever the array has: pydicom reads the same numbers."""
    write_series(Phantom(shape=(12, 5, 7)), tmp_path / "in")
    image = opened(tmp_path / "in")
    image = image.copy(data=(np.arange(image.size) * 7).reshape(image.shape).astype(dtype))
    image.med.to_dicom(tmp_path / "out")
    for place, path in enumerate(sorted((tmp_path / "out").iterdir())):
        np.testing.assert_array_equal(pydicom.dcmread(path).pixel_array, image[place])


@pytest.mark.parametrize("modality", ["MR", "CT", "PT"])
def test_each_frame_by_itself(tmp_path, modality):
    """With a slope for each frame the errors are those that each frame states, and much smaller."""
    image = made(tmp_path / "in", modality)
    image.med.to_dicom(tmp_path / "series")
    image.med.to_dicom(tmp_path / "frame", scale="frame")
    coarse, fine = opened(tmp_path / "series"), opened(tmp_path / "frame")
    for place, header in enumerate(headers_of(tmp_path / "frame")):
        off = np.abs(fine[place].astype(np.float64) - image[place]).max().item()
        # Values are read as float32.
        assert off <= stated(header) * 1.01 + np.abs(image[place]).max() * 2e-7
    assert np.abs(coarse[0] - image[0]).max() > 1000 * np.abs(fine[0] - image[0]).max()
    assert len({header.RescaleSlope for header in headers_of(tmp_path / "frame")}) == 4


def test_cells_are_of_one_kind(tmp_path):
    """Frames with and without negative values or padding can be read, and joined, as one series."""
    image = made(tmp_path / "in", "PT")
    image.values[0] = np.abs(image.values[0])
    image.values[2, 0, 0] = np.nan
    for multiframe in (False, True):
        target = tmp_path / f"out{multiframe}"
        with pytest.warns(DataWarning, match="1 values"):
            image.med.to_dicom(target, padding=True, scale="frame", multiframe=multiframe)
        found = headers_of(target)
        assert len({(h.PixelRepresentation, h.PixelPaddingValue) for h in found}) == 1
        back = opened(target)
        for place in range(4):
            off = np.abs(back[place] - image[place]).max()
            assert off <= np.abs(image[place]).max() / 32766


def test_frames_of_one_value(tmp_path):
    """Frames of zeros, and of whole numbers, are read beside the others."""
    image = made(tmp_path / "in")
    image.values[0], image.values[1] = 0, np.arange(35).reshape(5, 7)
    image.med.to_dicom(tmp_path / "out", scale="frame")
    back = opened(tmp_path / "out")
    np.testing.assert_array_equal(back[0], 0)
    np.testing.assert_allclose(back[1], image[1], atol=1e-3)


@pytest.mark.parametrize("scale", ["series", "frame"])
@pytest.mark.parametrize("modality", ["MR", "PT"])
def test_what_is_no_number(tmp_path, modality, scale):
    """Padding stands where no number is, and nowhere else; the user hears how often."""
    image = made(tmp_path / "in", modality)
    image.values[1] = np.nan
    image.values[2, 0, :2] = np.inf, -np.inf
    with pytest.warns(DataWarning, match="37 values"):
        image.med.to_dicom(tmp_path / "out", padding=True, scale=scale)
    back = opened(tmp_path / "out")
    for place, header in enumerate(headers_of(tmp_path / "out")):
        missing = ~np.isfinite(image[place].values)
        padded = header.pixel_array == header.get("PixelPaddingValue")
        assert not missing.any() or "padding" in header.DerivationDescription
        np.testing.assert_array_equal(padded, missing)
        np.testing.assert_array_equal(np.isnan(back[place]), missing)
        off = np.abs(back[place] - image[place]).values[~missing]
        assert (
            not off.size
            or off.max()
            <= stated(header) * 1.01 + np.nanmax(np.abs(image[place].values[~missing])) * 2e-7
        )


def test_copies_of_what_is_no_number(tmp_path):
    """What was stored as padding is stored so again, in a copy with the same pixels."""
    image = made(tmp_path / "in").astype("float32") / 7
    image.values[0, 0, 1] = np.nan
    with pytest.warns(DataWarning, match="1 values"):
        image.med.to_dicom(tmp_path / "out", padding=True)
    back = opened(tmp_path / "out")
    assert int(back.isnull().sum()) == 1
    back.med.to_dicom(tmp_path / "copy")
    for one, other in zip(headers_of(tmp_path / "out"), headers_of(tmp_path / "copy"), strict=True):
        assert one.PixelData == other.PixelData
    np.testing.assert_array_equal(opened(tmp_path / "copy"), back)


def test_whole_numbers_beside_padding(tmp_path):
    """Whole numbers stay exact where an integer is left for the padding."""
    image = made(tmp_path / "in")
    image.values[...] = np.arange(140).reshape(SHAPE)
    image.values[0, 0, 1] = np.nan
    with pytest.warns(DataWarning, match="1 values"):
        image.med.to_dicom(tmp_path / "out", padding=True)
    back = opened(tmp_path / "out")
    padding = headers_of(tmp_path / "out")[0].PixelPaddingValue
    assert padding not in image.values
    np.testing.assert_array_equal(back.where(back != padding), image)


@settings(deadline=None)
@given(
    low=st.floats(-1e30, 1e30),
    width=st.floats(0, 1e30),
    pixel=st.sampled_from([None, "uint8", "int8", "uint16", "int16"]),
    zero=st.booleans(),
    missing=st.booleans(),
)
def test_any_range(low, width, pixel, zero, missing):
    """Any values in any cells come back within the stated error, and never as padding."""
    if zero and low < 0 and pixel in ("uint8", "uint16"):
        low = -low
    values = np.array([low, low + width / 3, low + width])
    plane = np.append(values, [np.nan, np.inf] if missing else [])
    found = choose_encoding(
        plane.dtype, extent_of([plane], padding=True), pixel=pixel, through_zero=zero
    )
    stored = found.encode(plane)
    decoded = stored[:3] * float(found.slope) + float(found.intercept)
    assert np.abs(decoded - values).max() <= found.error * (1 + 1e-9) + 1e-300
    if missing:
        assert set(stored[3:].tolist()) == {found.padding}
        assert found.padding not in stored[:3]


def test_what_is_refused(tmp_path):
    """Without padding it is an error that says what can be done; so are options without meaning."""
    image = made(tmp_path / "in")
    image.values[1] = np.nan
    for options in ({}, {"scale": "frame"}):
        with pytest.raises(WriteError, match="padding=True"):
            image.med.to_dicom(tmp_path / "out", **options)
    with pytest.raises(WriteError, match="no value"):
        (image * np.nan).med.to_dicom(tmp_path / "out", padding=True)
    image.values[1] = np.where(image.values[0] > 0, 1.7e308, -1.7e308)
    with pytest.raises(WriteError, match="too far apart"):
        image.med.to_dicom(tmp_path / "out")
    image.values[1] = np.nan
    with pytest.raises(OptionError, match="16 bits"):
        image.med.to_dicom(
            tmp_path / "out", padding=True, pixel="int32", SOPClassUID="SC", Modality="OT"
        )
    with pytest.raises(OptionError, match="scale"):
        image.med.to_dicom(tmp_path / "out", scale="slice")
    assert not (tmp_path / "out").exists()
