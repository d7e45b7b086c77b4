"""Standardised uptake values: against numbers computed by hand, and real PET headers."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pydicom
import pytest
import xarray as xr

from imagedata_xr.errors import FormatError, HeaderError, OptionError
from imagedata_xr.suv import suv
from imagedata_xr.testing import Phantom, change_header, write_series

ROOT = Path(__file__).resolve().parent.parent
CORPUS = Path(os.environ.get("IMAGEDATA_XR_CORPUS", ROOT.parent / "shared" / "corpus"))
REAL = CORPUS / "pet_single_slices" / "dicom"

# 70 kg, 370 MBq of F-18 (half-life 6586.2 s) an hour before the scan at 10:15:30.25:
# 370e6 / 2 ** (3600 / 6586.2) = 253.31418 MBq are left, and 70000 g / 253.31421e6 Bq is this.
AN_HOUR = 2.7633668e-4
# The same without decay: 70000 / 370e6.
NO_DECAY = 1.8918919e-4


def isotope(**changes):
    """Return a Radiopharmaceutical Information Sequence; None removes an attribute."""
    item = pydicom.Dataset()
    values = {
        "RadiopharmaceuticalStartDateTime": "20240229091530.25",
        "RadiopharmaceuticalStartTime": "091530.25",
        "RadionuclideTotalDose": "370000000",
        "RadionuclideHalfLife": "6586.2",
    }
    for keyword, value in (values | changes).items():
        if value is not None:
            setattr(item, keyword, value)
    return [item]


def phantom(item=None, *, start="20240229101530.25", slopes=((0.5, 0), (2, 0)), **attributes):
    """Return a PET series with a slope of its own for every slice."""
    return Phantom(
        modality="PT",
        dtype="int16",
        start=start,
        rescale=slopes,
        attributes={"RadiopharmaceuticalInformationSequence": item or isotope(), **attributes},
    )


def opened(made, folder, **options):
    """Write a phantom and open it."""
    write_series(made, folder)
    return xr.open_dataarray(folder, engine="dicom", **options)


def private(folder, group, creator, **elements):
    """Add private elements to all files: x and low byte to VR and value."""
    for path in Path(folder).iterdir():
        dataset = pydicom.dcmread(path)
        block = dataset.private_block(group, creator, create=True)
        for low, (vr, value) in elements.items():
            block.add_new(int(low[1:], 16), vr, value)
        dataset.save_as(path)


def factor_of(da):
    """Return by what the values were multiplied."""
    return float((suv(da).sum() / da.sum()).values)


@pytest.mark.parametrize("chunks", [None, {}])
def test_analytic(tmp_path, chunks):
    """Every voxel is the true activity times 2.7633668e-4, a slope a slice, lazily with Dask."""
    made = phantom()
    da = opened(made, tmp_path, chunks=chunks)
    result = da.med.suv()
    assert result.attrs["units"] == "g/ml"
    assert result.dtype == np.float32
    assert (result.chunks is None) == (chunks is None)
    np.testing.assert_allclose(result, made.truth().values * AN_HOUR, rtol=1e-6)
    assert result.attrs["PatientWeight"] == 70
    for name in (*da.dims, "frame"):
        assert result[name].identical(da[name])
    assert result.med.header(0).PatientName == da.med.header(0).PatientName


@pytest.mark.parametrize(
    ("item", "attributes", "factor"),
    [
        (isotope(), {"DecayCorrection": "ADMIN"}, NO_DECAY),
        (isotope(RadionuclideHalfLife=None), {"DecayCorrection": "ADMIN"}, NO_DECAY),
        (isotope(RadiopharmaceuticalStartDateTime=None), {}, AN_HOUR),
        (isotope(RadiopharmaceuticalStartTime=None), {}, AN_HOUR),
        (isotope(), {"PatientWeight": "35"}, AN_HOUR / 2),
        (isotope(RadionuclideTotalDose="740000000"), {}, AN_HOUR / 2),
        # Two half-lives.
        (isotope(RadionuclideHalfLife="1800"), {}, 4 * NO_DECAY),
        # The injection, in the zone of the scanner, an hour after the clock of UTC says.
        (
            isotope(RadiopharmaceuticalStartDateTime="20240229081530.25+0000"),
            {"TimezoneOffsetFromUTC": "+0100"},
            AN_HOUR,
        ),
        (isotope(), {"Units": "GML", "DecayCorrection": "NONE"}, 1),
        (isotope(), {"Units": "GML", "SUVType": "BW"}, 1),
    ],
)
def test_headers(tmp_path, item, attributes, factor):
    """What the header says of dose, weight, time and units is in the factor."""
    da = opened(phantom(item, **attributes), tmp_path)
    assert factor_of(da) == pytest.approx(factor, rel=1e-6)
    assert suv(da).attrs["units"] == "g/ml"


@pytest.mark.parametrize("stamp", ["20240229233000", None])
def test_midnight(tmp_path, stamp):
    """An injection half an hour before midnight and a scan after it are an hour apart."""
    item = isotope(RadiopharmaceuticalStartDateTime=stamp, RadiopharmaceuticalStartTime="233000")
    da = opened(phantom(item, start="20240301003000"), tmp_path)
    assert factor_of(da) == pytest.approx(AN_HOUR, rel=1e-6)


def test_dynamic_scan_before_the_injection(tmp_path):
    """A scan that starts a minute before the injection has the dose of its start."""
    item = isotope(
        RadiopharmaceuticalStartDateTime="20240229101630.25",
        RadiopharmaceuticalStartTime="101630.25",
    )
    made = phantom(item).replace(axes={"time": [0, 120]})
    factor = NO_DECAY * 2 ** (-60 / 6586.2)
    assert factor_of(opened(made, tmp_path)) == pytest.approx(factor, rel=1e-6)


def test_earliest_acquisition_of_the_whole_series(tmp_path):
    """A crop has the values of the whole, whose first frame shows that the series time is late."""
    made = phantom().replace(axes={"time": [0, 120]})
    da = opened(made, tmp_path)
    xr.testing.assert_identical(suv(da.isel(time=1)), suv(da).isel(time=1))
    for path in tmp_path.iterdir():
        change_header(path, SeriesTime="101600")
    late = xr.open_dataarray(tmp_path, engine="dicom").isel(time=1)
    with pytest.raises(FormatError, match=r"SeriesTime.*AcquisitionTime"):
        suv(late)


def test_scan_time_of_ge(tmp_path):
    """Where the series was made later, the scan time of GE counts; it must not be late too."""
    write_series(phantom(SeriesTime="150000"), tmp_path)
    private(tmp_path, 0x0009, "GEMS_PETD_01", x0D=("DT", "20240229101530.25"))
    da = xr.open_dataarray(tmp_path, engine="dicom")
    assert factor_of(da) == pytest.approx(AN_HOUR, rel=1e-6)
    private(tmp_path, 0x0009, "GEMS_PETD_01", x0D=("DT", "20240229111530"))
    with pytest.raises(FormatError, match="0009,xx0D"):
        suv(xr.open_dataarray(tmp_path, engine="dicom"))


@pytest.mark.parametrize(
    ("elements", "factor"),
    [
        ({"x00": ("DS", "0.00125")}, 0.00125),
        ({"x00": ("DS", "0.00125"), "x09": ("DS", "4.5")}, 0.00125),
        ({"x09": ("DS", "4.5")}, 4.5 * AN_HOUR),
        ({"x00": ("DS", "0"), "x09": ("DS", "4.5")}, 4.5 * AN_HOUR),
    ],
)
def test_counts_of_philips(tmp_path, elements, factor):
    """Counts become SUV by the factor of Philips, or activity by the other one."""
    write_series(phantom(Units="CNTS"), tmp_path)
    private(tmp_path, 0x7053, "Philips PET Private Group", **elements)
    da = xr.open_dataarray(tmp_path, engine="dicom")
    assert factor_of(da) == pytest.approx(factor, rel=1e-6)


@pytest.mark.parametrize(
    ("item", "attributes", "error", "words"),
    [
        (None, {"Units": None}, HeaderError, "Units"),
        (None, {"Units": "CNTS"}, HeaderError, "7053"),
        (None, {"Units": "PROPCNTS"}, OptionError, "PROPCNTS"),
        (None, {"Units": "GML", "SUVType": "LBM"}, OptionError, "SUVType is 'LBM'"),
        (None, {"CorrectedImage": None}, HeaderError, "CorrectedImage"),
        (None, {"CorrectedImage": ["DECY", "SCAT"]}, OptionError, "CorrectedImage.*ATTN"),
        (None, {"CorrectedImage": "ATTN"}, OptionError, "CorrectedImage.*DECY"),
        (None, {"DecayCorrection": "NONE"}, OptionError, "DecayCorrection is 'NONE'"),
        (None, {"DecayCorrection": None}, HeaderError, "DecayCorrection"),
        (None, {"PatientWeight": None}, HeaderError, "PatientWeight"),
        (None, {"PatientWeight": ""}, HeaderError, "PatientWeight"),
        (None, {"PatientWeight": "0"}, FormatError, "PatientWeight is 0"),
        (None, {"SeriesDate": None}, HeaderError, "SeriesDate"),
        (None, {"SeriesTime": ""}, HeaderError, "SeriesTime"),
        (None, {"AcquisitionDate": ""}, HeaderError, "AcquisitionDate"),
        (None, {"AcquisitionTime": None}, HeaderError, "AcquisitionTime"),
        (None, {"SeriesTime": "101531"}, FormatError, "SeriesTime.*0009,xx0D"),
        (
            None,
            {"RadiopharmaceuticalInformationSequence": None},
            HeaderError,
            "RadiopharmaceuticalInformationSequence has 0 items",
        ),
        (isotope() + isotope(), {}, FormatError, "Sequence has 2 items"),
        (isotope(RadionuclideTotalDose=None), {}, HeaderError, "RadionuclideTotalDose"),
        (isotope(RadionuclideTotalDose="0"), {}, FormatError, "RadionuclideTotalDose is 0"),
        (isotope(RadionuclideTotalDose="370"), {}, FormatError, "not in Bq"),
        (isotope(RadionuclideHalfLife=None), {}, HeaderError, "RadionuclideHalfLife"),
        (isotope(RadionuclideHalfLife="-1"), {}, FormatError, "RadionuclideHalfLife is -1"),
        (
            isotope(RadiopharmaceuticalStartDateTime=None, RadiopharmaceuticalStartTime=None),
            {},
            HeaderError,
            "StartDateTime and RadiopharmaceuticalStartTime are missing",
        ),
        (
            isotope(RadiopharmaceuticalStartTime="081530.25"),
            {},
            FormatError,
            "contradict each other",
        ),
        (
            isotope(RadiopharmaceuticalStartDateTime="20240229091530.25+0000"),
            {},
            HeaderError,
            "TimezoneOffsetFromUTC",
        ),
        (
            isotope(
                RadiopharmaceuticalStartDateTime="20240229111530",
                RadiopharmaceuticalStartTime="111530",
            ),
            {},
            FormatError,
            "0:59:59.* after the start",
        ),
        (
            isotope(RadiopharmaceuticalStartDateTime="20240228091530.25"),
            {},
            FormatError,
            "1 day, 1:00:00 before the start",
        ),
        # Cu-64: an image on the next day is usual.
        (
            isotope(RadiopharmaceuticalStartDateTime=None, RadionuclideHalfLife="45723.6"),
            {},
            HeaderError,
            "RadiopharmaceuticalStartDateTime",
        ),
    ],
)
def test_missing_and_contradictory(tmp_path, item, attributes, error, words):
    """What is missing, or contradicts itself, is an error that names the attribute."""
    da = opened(phantom(item, **attributes), tmp_path)
    with pytest.raises(error, match=words):
        suv(da)


def test_weight_that_differs_within_the_series(tmp_path):
    """Two weights in one series: an error that names both files' values."""
    paths = write_series(phantom(), tmp_path)
    change_header(paths[1], PatientWeight="71")
    with pytest.raises(FormatError, match="PatientWeight is"):
        suv(xr.open_dataarray(tmp_path, engine="dicom"))


def test_values_that_are_no_activity(tmp_path):
    """Stored values, SUV itself, and arrays without headers are refused."""
    da = opened(phantom(), tmp_path / "pet")
    with pytest.raises(OptionError, match="rescale"):
        suv(xr.open_dataarray(tmp_path / "pet", engine="dicom", rescale=False))
    with pytest.raises(OptionError, match="'g/ml'"):
        suv(suv(da))
    da.to_netcdf(tmp_path / "pet.nc", engine="h5netcdf")
    again = xr.load_dataarray(tmp_path / "pet.nc", engine="h5netcdf")
    with pytest.raises(HeaderError):
        suv(again)


def test_several_series(tmp_path):
    """Two series in one array have no single dose."""
    write_series(phantom(), tmp_path / "a")
    other = phantom(start="20240229111530.25").replace(series=2)
    write_series(other, tmp_path / "b")
    da = xr.open_dataarray(tmp_path, engine="dicom", series="all", sort="time")
    with pytest.raises(OptionError, match="several series"):
        suv(da)
    with pytest.raises((HeaderError, OptionError)):
        suv(da.mean("time"))


@pytest.mark.skipif(not REAL.is_dir(), reason="no corpus: set IMAGEDATA_XR_CORPUS")
@pytest.mark.parametrize("name", ["1.dcm", "2.dcm"])
def test_real_headers(name):
    """
    Real PET: the start of the scan agrees with that computed back from the frame itself.

    Frame Reference Time is when the count rate was the average of the frame, and Decay Factor what
    it was corrected by (PS3.3 C.8.9.4): neither is used by the package.
    """
    dataset = pydicom.dcmread(REAL / name)
    item = dataset.RadiopharmaceuticalInformationSequence[0]
    half_life, duration = float(item.RadionuclideHalfLife), dataset.ActualFrameDuration / 1000
    decay = math.log(2) / half_life
    mean_at = math.log(decay * duration / (1 - math.exp(-decay * duration))) / decay
    since_scan = float(dataset.FrameReferenceTime) / 1000
    assert math.exp(decay * since_scan) == pytest.approx(float(dataset.DecayFactor), rel=2e-4)

    def clock(text):
        return int(text[:2]) * 3600 + int(text[2:4]) * 60 + float(text[4:])

    scan = clock(dataset.AcquisitionTime) - since_scan + mean_at
    passed = scan - clock(item.RadiopharmaceuticalStartTime)
    left = float(item.RadionuclideTotalDose) * math.exp(-decay * passed)
    expected = (
        dataset.pixel_array * float(dataset.RescaleSlope) * float(dataset.PatientWeight) * 1000
    ) / left
    result = suv(xr.open_dataarray(REAL / name, engine="dicom"))
    # The scan starts within two seconds of what is computed back.
    np.testing.assert_allclose(result[0], expected, rtol=2.2e-4)
    assert 0.5 < float(result.max()) < 50
