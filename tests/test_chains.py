"""Chains of conversions: every voxel stays at its place in the patient, and keeps its value and labels."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from nifti_images import image, rotation, world

from imagedata_xr.testing import Phantom, write_series
from imagedata_xr.testing.strategies import spacings

pytest.importorskip("nibabel")
pytest.importorskip("SimpleITK")

SPATIAL = ("slice", "row", "column")
MOST_APART_MM = 1e-6
ORIENTATIONS = {
    "axial": "axial",
    "sagittal": "sagittal",
    "coronal": "coronal",
    "double oblique": (21.7, -13.1, 8.9),
}
LEADS = {"3-D": {}, "4-D": {"time": [0, 2.5, 5]}, "5-D": {"time": [0, 2.5], "te": [4.92, 9.84]}}
ENGINE = {".nii": "nifti", ".nii.gz": "nifti", ".mha": "itk", ".nrrd": "itk"}
flips = st.tuples(*(st.sampled_from([1, -1]) for _ in SPATIAL))


def through(da, folder, *suffixes):
    """Write and read an image in one format after the other."""
    for number, suffix in enumerate(suffixes):
        path = folder / f"{number}{suffix}"
        write = da.med.to_nifti if ENGINE[suffix] == "nifti" else da.med.to_itk
        da = xr.open_dataarray(write(path), engine=ENGINE[suffix])
    return da


def check(da, values, affine, labels):
    """
    Assert where each voxel lies and what it holds.

    `values` have the axes of `labels`, then slice, row and column; `affine` takes indices of these
    to LPS mm.
    """
    kept = da if "slice" in da.dims else da.expand_dims("slice", axis=-3)
    assert kept.dims == (*labels, *SPATIAL)
    for name, wanted in labels.items():
        np.testing.assert_allclose(kept[name].values, wanted, rtol=0, atol=1e-9)
    points = world(kept).reshape(-1, 3)
    indices = np.linalg.solve(affine[:3, :3], (points - affine[:3, 3]).T).T
    whole = np.rint(indices).astype(int)
    apart = np.abs((indices - whole) @ affine[:3, :3].T).max()
    assert apart < MOST_APART_MM
    found = kept.values.reshape(*kept.shape[: len(labels)], -1)
    np.testing.assert_array_equal(found, values[(..., *whole.T)])


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    """Return a function that writes a phantom once, and returns its folder and truth."""
    made = {}

    def of(orientation, lead):
        if (orientation, lead) not in made:
            phantom = Phantom(
                axes=LEADS[lead],
                orientation=ORIENTATIONS[orientation],
                spacing=(3.3, 1.17, 0.86),
                shape=(3, 4, 5),
            )
            folder = tmp_path_factory.mktemp("series") / "dicom"
            write_series(phantom, folder)
            made[orientation, lead] = folder, phantom.truth()
        return made[orientation, lead]

    return of


# NRRD has one axis of components
WAYS = [
    (m, d)
    for m in (".nii", ".nii.gz", ".mha", ".nrrd")
    for d in LEADS
    if m != ".nrrd" or d != "5-D"
]


@pytest.mark.parametrize(("middle", "lead"), WAYS)
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_dicom_through_another_format_to_dicom(series, orientation, lead, middle):
    """With a template, a series that went through NIfTI or ITK is the series again, flips included."""
    folder, truth = series(orientation, lead)

    @settings(max_examples=2, deadline=None)
    @given(flip=flips, single=st.booleans())
    def holds(flip, single):
        da = xr.open_dataarray(folder, engine="dicom")
        da = da.isel({n: slice(None, None, s) for n, s in zip(SPATIAL, flip, strict=True)})
        if single:
            da = da.isel(slice=1)
        with tempfile.TemporaryDirectory() as place:
            back = through(da, Path(place), middle).med.like(da)
            back.med.to_dicom(Path(place, "out"))
            result = xr.open_dataarray(Path(place, "out"), engine="dicom").load()
        labels = {name: truth.coords[name] for name in LEADS[lead]}
        check(result, truth.values, truth.affine, labels)
        assert result.sizes.get("slice", 1) == (1 if single else 3)

    holds()


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    steps=spacings(),
    flip=flips,
    lead=st.sampled_from(sorted(LEADS)),
    middle=st.sampled_from([".mha", ".nrrd"]),
    ends=st.sampled_from([".nii", ".nii.gz"]),
    single=st.booleans(),
    tilted=st.booleans(),
)
def test_nifti_through_itk_to_nifti(  # noqa: PLR0913 - what an image may be
    *, seed, steps, flip, lead, middle, ends, single, tilted
):
    """Rotated, left-handed and mirrored images of 2-D to 5-D keep places to a millionth of a mm."""
    if lead == "5-D":
        middle = ".mha"
    directions = rotation(seed)
    if tilted:
        directions[:, 0] += 0.2 * directions[:, 1]
        directions[:, 0] /= np.linalg.norm(directions[:, 0])
        # ITK takes orthonormal directions only
        ends, middle = ".nii", ".nii.gz"
    whole = image(directions, LEADS[lead], steps=steps)
    affine = whole.med.affine
    da = whole.isel({n: slice(None, None, s) for n, s in zip(SPATIAL, flip, strict=True)})
    if single:
        da = da.isel(slice=2)
    with tempfile.TemporaryDirectory() as place:
        result = through(da, Path(place), ends, middle, ends).load()
    check(result, whole.values, affine, LEADS[lead])
    assert result.dtype == whole.dtype


def test_the_stored_matrix_counts_only_beside_the_same_header(tmp_path):
    """A file that another program moved afterwards lies where its header says."""
    nib = pytest.importorskip("nibabel")
    path = image(rotation(3)).med.to_nifti(tmp_path / "a.nii")
    moved = nib.load(path)
    affine = moved.affine.copy()
    affine[0, 3] += 0.5
    nib.save(nib.Nifti1Image(np.asarray(moved.dataobj), affine, moved.header), tmp_path / "b.nii")
    (tmp_path / "a.json").rename(tmp_path / "b.json")
    found = xr.open_dataarray(tmp_path / "b.nii", engine="nifti").med.affine_ras[:, [2, 1, 0, 3]]
    np.testing.assert_allclose(found, nib.load(tmp_path / "b.nii").affine, atol=1e-6)
    for stored in ("[[1]]", '"x"', "[[1e999,0,0,0],[0,1,0,0],[0,0,1,0],[0,0,0,1]]"):
        text = '{"imagedata_xr": {"dims": ["column", "row", "slice"], "affine": ' + stored + "}}"
        (tmp_path / "b.json").write_text(text)
        again = xr.open_dataarray(tmp_path / "b.nii", engine="nifti").med.affine_ras
        np.testing.assert_array_equal(again[:, [2, 1, 0, 3]], found)
