"""NIfTI files: the gradients and the sidecar beside them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from nifti_images import (
    DWI_VECTORS,
    FLIPS,
    PLANES,
    STEPS,
    dwi,
    image,
    read_gradients,
)

from imagedata_xr.errors import (
    DataWarning,
)
from imagedata_xr.formats.nifti import to_nifti

nib = pytest.importorskip("nibabel")

# --- Diffusion


@pytest.mark.parametrize("flip", FLIPS, ids=lambda f: "".join("+-"[s < 0] for s in f))
@pytest.mark.parametrize("plane", PLANES)
def test_gradients_turn_back_into_the_patient(tmp_path, plane, flip):
    """FSL's rule, applied backwards, gives the LPS directions that went in."""
    path = to_nifti(dwi(PLANES[plane] * np.array(flip)), tmp_path / "a.nii")
    b, vectors = read_gradients(path)
    affine = nib.load(path).affine[:3, :3]
    axes = affine / np.linalg.norm(affine, axis=0)
    radiological = vectors * [-1 if np.linalg.det(affine) > 0 else 1, 1, 1]
    np.testing.assert_allclose(radiological @ axes.T * [-1, -1, 1], DWI_VECTORS, atol=1e-6)
    np.testing.assert_array_equal(b, [0, 1000, 1000, 2000, 2000])


def test_gradients_of_a_b_axis(tmp_path):
    """A trace series has b-values and no directions; b = 0 never has one."""
    da = image(lead={"b": [0, 50, 800]})
    path = to_nifti(da, tmp_path / "a.nii.gz")
    assert (tmp_path / "a.bval").read_text() == "0 50 800\n"
    assert (tmp_path / "a.bvec").read_text() == "0 0 0\n0 0 0\n0 0 0\n"
    assert path.exists()
    with_directions = dwi().assign_coords(b=("volume", np.array([0.0, 0, 0, 10, 10])))
    _, vectors = read_gradients(to_nifti(with_directions, tmp_path / "b.nii"))
    assert not vectors[:3].any()
    np.testing.assert_allclose(np.linalg.norm(vectors[3:], axis=1), 1, atol=1e-6)


def test_gradients_have_one_column_a_volume(tmp_path):
    """Behind a fourth axis of time, b-values follow the order of the file."""
    da = image(lead={"time": [0, 1, 2], "b": [0, 500]})
    to_nifti(da, tmp_path / "a.nii")
    assert (tmp_path / "a.bval").read_text() == "0 0 0 500 500 500\n"


def test_unknown_gradients(tmp_path):
    """No direction is 0 0 0; no b-value is a warning and no files."""
    da = dwi()
    for name in "xyz":
        da[f"bvec_{name}"] = ("volume", np.where(np.arange(5) == 2, np.nan, da[f"bvec_{name}"]))
    _, vectors = read_gradients(to_nifti(da, tmp_path / "a.nii"))
    assert not vectors[2].any()
    unknown = da.assign_coords(b=("volume", [0, np.nan, 1, 1, 1]))
    with pytest.warns(DataWarning, match="1 of 5 volumes"):
        to_nifti(unknown, tmp_path / "b.nii")
    assert not (tmp_path / "b.bval").exists()


# --- Sidecar


def test_the_sidecar_has_bids_names_and_units(tmp_path):
    """Milliseconds become seconds, lists stay lists, times get colons."""
    da = image(lead={"te": [2.05, 9.8]})
    da.attrs = {
        "Modality": "MR",
        "ManufacturerModelName": "Prisma",
        "MagneticFieldStrength": 3.0,
        "RepetitionTime": 2880.0,
        "InversionTime": 900,
        "FlipAngle": 20.0,
        "ImageType": ["ORIGINAL", "PRIMARY", "M"],
        "SeriesNumber": np.int64(15),
        "AcquisitionTime": "084217.7975",
        "InPlanePhaseEncodingDirection": "COL",
        "SpacingBetweenSlices": 99.0,
        "units": "HU",
    }
    path = to_nifti(da, tmp_path / "a.nii.gz")
    sidecar = json.loads((tmp_path / "a.json").read_text())
    assert path.exists()
    expected = {
        "Modality": "MR",
        "ManufacturersModelName": "Prisma",
        "MagneticFieldStrength": 3,
        "RepetitionTime": 2.88,
        "InversionTime": 0.9,
        "EchoTime": [0.00205, 0.0098],
        "FlipAngle": 20,
        "ImageType": ["ORIGINAL", "PRIMARY", "M"],
        "SeriesNumber": 15,
        "AcquisitionTime": "08:42:17.797500",
        "PhaseEncodingAxis": "j",
        "SpacingBetweenSlices": STEPS[0],
        "Units": "HU",
    }
    assert {key: sidecar.get(key) for key in expected} == expected


def test_the_sidecar_names_nobody(tmp_path):
    """Neither attributes nor coordinates that tell who, where or when get into the file."""
    da = image(lead={"time": [0, 1]})
    da.attrs = {
        "PatientName": "SECRET^A",
        "PatientID": "SECRET",
        "PatientBirthDate": "SECRET",
        "InstitutionName": "SECRET",
        "DeviceSerialNumber": "SECRET",
        "StudyInstanceUID": "SECRET",
        "StudyDate": "SECRET",
        "OperatorsName": "SECRET",
        "AccessionNumber": "SECRET",
    }
    da = da.assign_coords(
        SeriesInstanceUID="SECRET",
        PatientID=("time", ["SECRET", "SECRET"]),
        PatientAge=("time", [12345, 12345]),
        frame=("time", np.array([12345, 12345])),
        when=("time", np.array(["2012-05-06", "2012-05-07"], "M8[s]")),
    )
    to_nifti(da, tmp_path / "a.nii")
    text = (tmp_path / "a.json").read_text()
    assert "SECRET" not in text
    assert "12345" not in text
    assert "2012" not in text


def test_the_sidecar_restores_the_coordinates(tmp_path):
    """dims and coords name the file's axes and hold values in the file's order."""
    da = image(PLANES["axial"] * [-1, 1, 1], lead={"time": [0, 2], "ti": [100, 200, 300]})
    timing = np.arange(8.0).reshape(2, 4)
    timing[0, 0] = np.nan
    da = da.assign_coords(acquisition_time=(("time", "slice"), timing, {"units": "s"}), te=30.0)
    path = to_nifti(da, tmp_path / "a.nii")
    own = json.loads(path.with_suffix(".json").read_text())["imagedata_xr"]
    assert own["dims"] == ["column", "row", "slice", "time", "ti"]
    ti = {"dims": ["ti"], "units": "ms", "dtype": "int64", "values": [100, 200, 300]}
    assert own["coords"]["ti"] == ti
    assert own["coords"]["te"] == {"dims": [], "dtype": "float64", "values": 30}
    # Slices are stored backwards here, so that the matrix has a negative determinant.
    assert own["coords"]["acquisition_time"] == {
        "dims": ["time", "slice"],
        "units": "s",
        "dtype": "float64",
        "values": [[3, 2, 1, None], [7, 6, 5, 4]],
    }
    assert set(own["coords"]) == {"time", "ti", "te", "acquisition_time"}


def test_no_sidecar(tmp_path):
    """sidecar=False writes the image alone."""
    to_nifti(image(), tmp_path / "a.nii", sidecar=False)
    assert [p.name for p in tmp_path.iterdir()] == ["a.nii"]
