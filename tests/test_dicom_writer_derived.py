"""Computed images as DICOM: marked as such, with the patient, and with values as exact as can be."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
import xarray as xr

from imagedata_xr.errors import DataWarning, HeaderError, OptionError, WriteError
from imagedata_xr.formats.dicom.write import to_dicom
from imagedata_xr.testing import Phantom, write_series
from imagedata_xr.testing.conformance.writer import image_of

MR, CT, SC = (f"1.2.840.10008.5.1.4.1.1.{n}" for n in (4, 2, 7))
PIXEL_FACTS = ("WindowCenter", "WindowWidth", "SmallestImagePixelValue", "LargestImagePixelValue")


def opened(path):
    """Open a series."""
    return xr.open_dataarray(path, engine="dicom")


def written(phantom, folder):
    """Write a phantom, and open it."""
    write_series(phantom, folder)
    return opened(folder)


def files(folder):
    """Read all files of a written folder, in the order of their names."""
    return [pydicom.dcmread(path) for path in sorted(folder.iterdir())]


@pytest.fixture
def dynamic(tmp_path):
    """Return three volumes of a dynamic series."""
    return written(
        Phantom(axes={"time": [0, 2.5, 5]}, slice_delay=0.1, vendor="siemens"), tmp_path / "in"
    )


def check_derived(found, da):
    """Check what every derived image says of itself, and whose it is."""
    for ds in found:
        assert ds.ImageType[:2] == ["DERIVED", "SECONDARY"]
        assert ds.DerivationDescription
        assert not any(keyword in ds for keyword in PIXEL_FACTS)
        assert ds.PatientID == da.attrs["PatientID"]
        assert ds.StudyInstanceUID == da.attrs["StudyInstanceUID"]
        assert ds.FrameOfReferenceUID == da.attrs["FrameOfReferenceUID"]
        assert ds.SOPClassUID == da.attrs["SOPClassUID"]
        assert ds.SeriesInstanceUID != str(da.SeriesInstanceUID.values)


def test_changed_values_keep_their_own_header(tmp_path, dynamic):
    """A frame-wise result has the header of its frame, and names it as its source."""
    found = files(to_dicom(dynamic + 7, tmp_path / "out"))
    check_derived(found, dynamic)
    store = dynamic.SeriesInstanceUID.encoding["dicom_headers"]
    for key, ds in zip(dynamic.frame.values.flat, found, strict=True):
        source = store.dataset(int(key))
        (reference,) = ds.SourceImageSequence
        assert reference.ReferencedSOPInstanceUID == source.SOPInstanceUID
        assert ds.AcquisitionTime == source.AcquisitionTime
        assert ds[0x0051100E] == source[0x0051100E]
    np.testing.assert_array_equal(opened(tmp_path / "out").values, dynamic.values + 7)


def test_means_have_what_their_sources_share(tmp_path, dynamic):
    """A mean names all its sources, at its slice; what differs between them is left out."""
    mean = dynamic.mean("time")
    found = files(to_dicom(mean, tmp_path / "out", SeriesDescription="mean", SeriesNumber=1004))
    check_derived(found, dynamic)
    for ds in found:
        assert len(ds.SourceImageSequence) == 3
        assert "AcquisitionTime" not in ds
        assert (ds.SeriesDescription, ds.SeriesNumber) == ("mean", 1004)
        assert not any(element.tag.is_private for element in ds)
    again = opened(tmp_path / "out")
    np.testing.assert_allclose(again.values, mean.values, rtol=0, atol=0.01)
    np.testing.assert_allclose(again.slice, dynamic.slice)


def test_two_series(tmp_path, dynamic):
    """A result of two series knows patient and study from its attributes."""
    other = written(
        Phantom(axes={"time": [0, 2.5, 5]}, slice_delay=0.1, vendor="siemens", series=2),
        tmp_path / "other",
    )
    mean = (dynamic + other) / 2
    found = files(to_dicom(mean, tmp_path / "out"))
    check_derived(found, dynamic)
    again = opened(tmp_path / "out")
    np.testing.assert_array_equal(again.values, mean.values)
    np.testing.assert_allclose(again.time, mean.time)


def test_other_patients_are_never_mixed(tmp_path, dynamic):
    """Frames of a second series do not become the first one's patient."""
    other = written(
        Phantom(axes={"time": [0, 2.5, 5]}, slice_delay=0.1, patient=2), tmp_path / "other"
    )
    later = other.assign_coords(time=other.time + 10)
    with pytest.warns(DataWarning, match="two patients"):
        joined = xr.concat(
            [dynamic, later], "time", combine_attrs="override", coords="different", compat="equals"
        )
    with pytest.raises(HeaderError, match=r"another one|another series"):
        to_dicom(joined, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_new_grids(tmp_path, dynamic):
    """Interpolated and averaged grids get their positions, and keep the frame of reference."""
    images = {
        "interp": dynamic.astype(float).interp(slice=[-1.0, 0.0, 1.0]).med.restore(),
        "coarsen": dynamic.astype(float).coarsen(row=2).mean().med.restore(),
    }
    for name, image in images.items():
        found = files(to_dicom(image, tmp_path / name))
        check_derived(found, dynamic)
        again = opened(tmp_path / name)
        np.testing.assert_allclose(again.med.points(), image.med.points(), atol=1e-6)
        np.testing.assert_allclose(again.values, image.values, rtol=0, atol=0.01)
        np.testing.assert_allclose(again.time, image.time)


@pytest.mark.parametrize("modality", ["MR", "CT", "PT"])
@pytest.mark.parametrize("low", [-3.7, 0.0, 1e-9])
def test_floats(tmp_path, modality, low):
    """The largest error is half a slope, which is stated, and no slope could be smaller."""
    da = written(Phantom(modality=modality, shape=(2, 16, 16)), tmp_path / "in").astype(float)
    values = np.random.default_rng(1).uniform(low, low + 11.3, da.shape)
    values.flat[:2] = low, low + 11.3
    found = files(to_dicom(da.copy(data=values), tmp_path / "out"))
    worst, slope = 0.0, float(found[0].RescaleSlope)
    for ds, plane in zip(found, values, strict=True):
        real = ds.pixel_array * float(ds.RescaleSlope) + float(ds.RescaleIntercept)
        worst = max(worst, np.abs(real - plane).max())
        stated = float(ds.DerivationDescription.split("at most ")[1])
        assert worst <= stated <= slope / 2 * 1.01
        assert len(ds["RescaleSlope"].value.original_string) <= 16
    assert worst <= slope / 2 * (1 + 1e-9)
    if modality != "PT":
        assert slope <= 11.3 / 65535 * (1 + 1e-6)
    else:
        assert found[0].RescaleIntercept == 0


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "int64"])
def test_integers_are_exact(tmp_path, dtype):
    """The ends of every type are stored exactly, as far as 32 bits go; wider ones are refused."""
    image = image_of(Phantom(shape=(2, 4, 4)))
    info = np.iinfo(dtype)
    values = np.resize(np.array([info.min, 0, 1, info.max], dtype), image.shape)
    data = image.copy(data=values)
    if dtype == "int64":
        with pytest.raises(WriteError, match="do not fit into 32 bits"):
            to_dicom(data, tmp_path / "out", Modality="OT")
        values = np.resize(np.array([0, 70000], dtype), image.shape)
        data = image.copy(data=values)
    again = opened(to_dicom(data, tmp_path / "out", Modality="OT"))
    np.testing.assert_array_equal(again.values, values)


def test_values_that_cannot_be_stored(tmp_path, dynamic):
    """NaN, complex numbers and misfits are errors that name the remedy, and nothing is written."""
    wide = dynamic.astype("int32") * 70000
    for image, error, words, options in (
        (dynamic.where(dynamic > 2000), WriteError, "fillna", {}),
        (dynamic / 0.0, WriteError, "fillna", {}),
        (dynamic * 1j, OptionError, "abs", {}),
        (wide, WriteError, "16 bits", {}),
        (dynamic + 1, WriteError, "do not fit into uint8", {"pixel": "uint8"}),
        (dynamic + 1, OptionError, "uint8, int8", {"pixel": "float16"}),
        (dynamic.isel(time=[]), WriteError, "empty along", {}),
    ):
        with np.errstate(divide="ignore"), pytest.raises(error, match=words):
            to_dicom(image, tmp_path / "out", **options)
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


def test_masks(tmp_path, dynamic):
    """A mask is stored as zeros and ones."""
    mask = dynamic > dynamic.mean()
    again = opened(to_dicom(mask, tmp_path / "out"))
    np.testing.assert_array_equal(again.values, mask.values.astype(int))


def test_dask(tmp_path, dynamic):
    """Chunks of a computed array are written as they come."""
    chunked = dynamic.chunk(time=2, slice=3, row=3) * 2.5
    again = opened(to_dicom(chunked, tmp_path / "out"))
    np.testing.assert_allclose(again.values, dynamic.values * 2.5, rtol=0, atol=0.01)


def test_templates(tmp_path, dynamic):
    """An image from nowhere becomes one of the template's patient and study."""
    image = image_of(Phantom(axes={"time": [0, 2.5]}))
    with pytest.raises(HeaderError, match="template="):
        to_dicom(image, tmp_path / "out")
    for name, template in {"array": dynamic, "folder": tmp_path / "in"}.items():
        target = to_dicom(image, tmp_path / name, template=template, SeriesDescription="Åse")
        again = opened(target)
        np.testing.assert_array_equal(again.values, image.values)
        np.testing.assert_allclose(again.time, image.time)
        np.testing.assert_allclose(again.med.points(), image.med.points(), atol=1e-6)
        for ds in files(target):
            assert ds.SeriesDescription == "Åse"
            for keyword in ("PatientName", "PatientID", "PatientBirthDate", "StudyInstanceUID"):
                assert ds[keyword].value == dynamic.attrs[keyword]
            assert ds.SOPClassUID == MR
    with pytest.raises(OptionError, match="keep_uid"):
        to_dicom(dynamic, tmp_path / "b", template=dynamic, keep_uid=True)


def test_without_patient(tmp_path):
    """On request an object without a patient is written, of the class of the modality."""
    image = image_of(Phantom())
    for modality, sop_class in {"MR": MR, "CT": CT, "OT": SC, "US": SC}.items():
        ds = files(to_dicom(image, tmp_path / modality, Modality=modality))[0]
        assert (ds.SOPClassUID, ds.Modality, ds.PatientID) == (sop_class, modality, "")
    colours = image.astype("uint8").expand_dims(rgb=["R", "G", "B"], axis=-1)
    found = opened(to_dicom(colours, tmp_path / "rgb", PatientID="1"))
    np.testing.assert_array_equal(found.values, colours.values)


def test_keywords(tmp_path, dynamic):
    """Attributes are checked against the dictionary; None leaves one out."""
    found = files(to_dicom(dynamic, tmp_path / "out", PatientName="Ødegård^Åse", StudyID=None))
    assert found[0].PatientName == "Ødegård^Åse"
    assert "StudyID" not in found[0]
    for options, words in (
        ({"SeriesDescripton": "x"}, "did you mean SeriesDescription"),
        ({"Nothing": 1}, "no DICOM keyword"),
        ({"SeriesNumber": "abc"}, "SeriesNumber='abc'"),
        ({"Rows": 3}, "the array itself"),
        ({"SOPInstanceUID": "1.2"}, "the array itself"),
    ):
        with pytest.raises(OptionError, match=words):
            to_dicom(dynamic, tmp_path / "bad", **options)
    assert not (tmp_path / "bad").exists()
