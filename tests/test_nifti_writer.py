"""NIfTI files: nibabel and SimpleITK find every voxel at its place in the patient."""

from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr
from nifti_images import (
    FLIPS,
    PLANES,
    STEPS,
    check_by_world,
    dwi,
    image,
    world,
)

from imagedata_xr.errors import (
    DataWarning,
    GeometryError,
    WriteError,
)
from imagedata_xr.formats.nifti import to_nifti

nib = pytest.importorskip("nibabel")

# --- Where the voxels lie


@pytest.mark.parametrize("flip", FLIPS, ids=lambda f: "".join("+-"[s < 0] for s in f))
@pytest.mark.parametrize("plane", PLANES)
def test_nibabel_finds_every_voxel_at_its_place(tmp_path, plane, flip):
    """Every orientation and handedness: values lie at the RAS mirror of their coordinates."""
    da = image(PLANES[plane] * np.array(flip))
    img = check_by_world(to_nifti(da, tmp_path / "a.nii"), da)
    assert np.linalg.det(img.affine[:3, :3]) < 0
    assert (int(img.header["qform_code"]), int(img.header["sform_code"])) == (1, 1)
    np.testing.assert_allclose(img.header.get_qform(), img.header.get_sform(), atol=2e-4)


@pytest.mark.parametrize("flip", [(1, 1, 1), (-1, 1, -1), (1, -1, 1)])
@pytest.mark.parametrize("plane", PLANES)
def test_simpleitk_finds_every_voxel_at_its_place(tmp_path, plane, flip):
    """A second reader, which speaks LPS, agrees without any conversion of ours."""
    sitk = pytest.importorskip("SimpleITK")
    da = image(PLANES[plane] * np.array(flip))
    img = sitk.ReadImage(str(to_nifti(da, tmp_path / "a.nii.gz")))
    points = world(da)
    for index in np.ndindex(da.shape):
        place = img.TransformPhysicalPointToIndex(points[index].tolist())
        assert img[place] == da.values[index]
        there = img.TransformIndexToPhysicalPoint(place)
        np.testing.assert_allclose(there, points[index], atol=1e-3)


def test_layout_is_column_then_reversed_row_then_slice(tmp_path):
    """A DICOM-like axial image has the columns as i, the rows backwards as j, slices as k."""
    da = image()
    img = nib.load(to_nifti(da, tmp_path / "a.nii"))
    np.testing.assert_array_equal(np.asarray(img.dataobj), da.values[:, ::-1].T)
    last_row = world(da)[0, -1, 0] * [-1, -1, 1]
    np.testing.assert_allclose(img.affine[:3, 3], last_row, atol=1e-5)


def test_views_keep_their_place(tmp_path):
    """Crops, strides, reversed and transposed views are written where they lie."""
    da = image(PLANES["oblique"])
    views = [
        da.isel(slice=slice(None, None, -1), row=slice(1, 4)),
        da.isel(column=slice(None, None, 2), row=slice(None, None, -2)),
        da.transpose("column", "slice", "row"),
    ]
    for n, view in enumerate(views):
        check_by_world(
            to_nifti(view, tmp_path / f"{n}.nii"), view.transpose("slice", "row", "column")
        )


@pytest.mark.parametrize("dim", ["slice", "row", "column"])
def test_a_plane_through_the_image_keeps_its_place(tmp_path, dim):
    """A 2-D array whose third position is a scalar becomes a file with one voxel across."""
    da = image(PLANES["oblique"])
    plane = da.isel({dim: 2})
    path = to_nifti(plane, tmp_path / "a.nii")
    img = check_by_world(path, da.isel({dim: [2]}))
    assert img.ndim == 3
    np.testing.assert_allclose(sorted(img.header.get_zooms()), sorted(STEPS), rtol=1e-6)


def test_a_tilted_stack_has_no_quaternion(tmp_path):
    """Gantry tilt: the sform is exact, and the qform says that it knows nothing."""
    directions = PLANES["axial"].copy()
    directions[:, 0] = (0, np.sin(0.25), np.cos(0.25))
    da = image(directions)
    img = check_by_world(to_nifti(da, tmp_path / "a.nii"), da)
    assert (int(img.header["qform_code"]), int(img.header["sform_code"])) == (0, 1)
    np.testing.assert_allclose(img.header.get_zooms(), STEPS[::-1], rtol=1e-6)


def test_four_decimals_of_cosines_keep_the_quaternion(tmp_path):
    """Directions that are crooked by rounding only still get a qform."""
    directions = np.round(PLANES["oblique"], 4)
    directions /= np.linalg.norm(directions, axis=0)
    da = image(directions, shape=(20, 64, 64))
    img = check_by_world(to_nifti(da, tmp_path / "a.nii"), da)
    assert int(img.header["qform_code"]) == 1


def test_uneven_slices_are_refused(tmp_path):
    """A missing slice has no matrix; the error names the remedy and nothing is written."""
    da = image(shape=(6, 5, 6)).isel(slice=[0, 1, 3, 4, 5])
    with pytest.raises(GeometryError, match=r"slice.*resample first.*isel"):
        to_nifti(da, tmp_path / "a.nii")
    assert not list(tmp_path.iterdir())


def test_one_slice_without_a_thickness_is_refused(tmp_path):
    """The size of a lone voxel is asked for, not guessed."""
    da = image().isel(slice=1)
    del da["slice"].attrs["spacing"]
    with pytest.raises(GeometryError, match="spacing") as caught:
        to_nifti(da, tmp_path / "a.nii")
    assert "resample" not in str(caught.value)


@pytest.mark.parametrize("chunks", [None, {"time": 1, "slice": 2}])
def test_uneven_slices_on_request_without_a_place(tmp_path, chunks):
    """force=True writes all voxels in their order with the mean step, and nobody finds a place there."""
    da = image(PLANES["oblique"], {"time": [0, 2.5]}, shape=(6, 5, 6)).isel(slice=[0, 1, 3, 4, 5])
    with pytest.warns(DataWarning, match=r"no place.*slice"):
        path = to_nifti(da.chunk(chunks) if chunks else da, tmp_path / "a.nii", force=True)
    img = nib.load(path)
    assert (int(img.header["sform_code"]), int(img.header["qform_code"])) == (0, 0)
    np.testing.assert_array_equal(np.asarray(img.dataobj), da.transpose(*da.dims[::-1]).values)
    np.testing.assert_allclose(img.header.get_zooms()[:3], (1.25, 2.0, 3.5 * 5 / 4), rtol=1e-6)
    back = xr.open_dataarray(path, engine="nifti")
    np.testing.assert_array_equal(back.values, da.values)
    assert back.time.values.tolist() == [0, 2.5]
    assert not any("direction" in back[name].attrs for name in ("slice", "row", "column"))
    read = pytest.importorskip("SimpleITK").ReadImage(str(path))
    assert read.GetSize() == (6, 5, 5, 2)


def test_pictures_on_request(tmp_path):
    """An image with rows and columns only, and one read without a place, come back as they were."""
    rng = np.random.default_rng(0)
    values = rng.integers(0, 99, (2, 5, 6))
    da = xr.DataArray(values, dims=("time", "row", "column"), coords={"time": [0.0, 2.5]})
    with pytest.warns(DataWarning, match="no place"):
        path = to_nifti(da, tmp_path / "a.nii", force=True)
    back = xr.open_dataarray(path, engine="nifti")
    np.testing.assert_array_equal(back.squeeze("slice").values, da.values)
    with pytest.warns(DataWarning, match="no place"):
        again = to_nifti(back, tmp_path / "b.nii", force=True)
    assert again.read_bytes() == path.read_bytes()


def test_directions_without_a_place_are_left_out(tmp_path):
    """Gradients have directions in the patient: a file without a place has none."""
    da = dwi().isel(slice=[0, 1, 3])
    with pytest.warns(DataWarning) as caught:
        to_nifti(da, tmp_path / "a.nii", force=True)
    assert any("no .bvec" in str(one.message) for one in caught)
    assert (tmp_path / "a.bval").exists()
    assert not (tmp_path / "a.bvec").exists()


def test_no_geometry_is_refused(tmp_path):
    """Positions are never invented: not after a projection, not for bare arrays."""
    with pytest.raises(GeometryError, match="no coordinate 'slice'"):
        to_nifti(image().max("slice"), tmp_path / "a.nii")
    with pytest.raises(GeometryError, match="coordinate"):
        to_nifti(xr.DataArray(np.zeros((2, 3, 4)), dims=("slice", "row", "column")), "a.nii")
    bare = image()
    del bare["row"].attrs["direction"]
    with pytest.raises(GeometryError):
        to_nifti(bare, tmp_path / "a.nii")
    assert not list(tmp_path.iterdir())


# --- Axes behind the third


def test_time_is_axis_four_and_te_axis_five(tmp_path):
    """(time, te) becomes i, j, k, time, te, whatever the order in the array."""
    da = image(lead={"time": [0, 2, 4], "te": [5.0, 10.0]})
    expected = da.values[:, :, :, ::-1].transpose(4, 3, 2, 0, 1)
    for n, view in enumerate((da, da.transpose("te", "row", "time", "column", "slice"))):
        img = nib.load(to_nifti(view, tmp_path / f"{n}.nii"))
        np.testing.assert_array_equal(np.asarray(img.dataobj), expected)
        np.testing.assert_allclose(img.header["pixdim"][4:6], (2, 1))
        assert img.header.get_xyzt_units() == ("mm", "sec")


@pytest.mark.parametrize(
    ("lead", "expected"),
    [
        (("b", "te"), ("b", "te")),
        (("ti", "fa"), ("fa", "ti")),
        (("time", "te", "b"), ("time", "b", "te")),
        (("volume", "te"), ("volume", "te")),
        (("te", "ti", "fa", "b"), ("b", "fa", "ti", "te")),
    ],
)
def test_order_of_the_acquisition_axes(tmp_path, lead, expected):
    """Axis 4 is time, volume or b, else the last; the others follow backwards, up to 7-D."""
    da = image(lead={name: range(k + 2) for k, name in enumerate(lead)}, shape=(2, 3, 4))
    path = to_nifti(da, tmp_path / "a.nii")
    sidecar = json.loads(path.with_suffix(".json").read_text())
    assert sidecar["imagedata_xr"]["dims"] == ["column", "row", "slice", *expected]
    order = ("column", "row", "slice", *expected)
    np.testing.assert_array_equal(
        np.asarray(nib.load(path).dataobj), da.isel(row=slice(None, None, -1)).transpose(*order)
    )


def test_eight_axes_are_refused(tmp_path):
    """NIfTI ends at seven axes."""
    da = image(lead={name: range(1) for name in ("time", "te", "ti", "fa", "b")})
    with pytest.raises(WriteError, match="7 axes"):
        to_nifti(da, tmp_path / "a.nii")


def test_repetition_time_where_the_fourth_axis_is_not_time(tmp_path):
    """pixdim[4] of a diffusion series is TR in s, as dcm2niix writes it."""
    da = dwi()
    da.attrs["RepetitionTime"] = 6300.0
    assert nib.load(to_nifti(da, tmp_path / "a.nii")).header["pixdim"][4] == np.float32(6.3)


@pytest.mark.parametrize(
    ("values", "units"),
    [
        ([0.0, 1500.0, 3000.0], "ms"),
        ([10.0, 11.501, 13.0], "s"),
        ([1.0, 1.025, 1.05], "min"),
        (np.array([0, 1500, 3000], "m8[ms]"), None),
        (
            np.array(
                ["2026-01-01T23:59:59", "2026-01-02T00:00:00.5", "2026-01-02T00:00:02"], "M8[ms]"
            ),
            None,
        ),
    ],
)
def test_the_time_step_is_in_seconds(tmp_path, values, units):
    """Numbers with a unit, durations and dates all give the step in s."""
    da = image(lead={"time": range(3)})
    da = da.assign_coords(time=("time", values, {"units": units} if units else {}))
    path = to_nifti(da, tmp_path / "a.nii")
    assert nib.load(path).header["pixdim"][4] == np.float32(1.5)


@pytest.mark.parametrize("values", [[0, 1, np.nan], [5, 5, 5], [3, 2, 1]])
def test_times_without_a_step(tmp_path, values):
    """Unknown, equal or falling times give no step: the repetition time stands instead."""
    da = image(lead={"time": range(3)}).assign_coords(time=("time", np.array(values, float)))
    da.attrs["RepetitionTime"] = 4000
    assert nib.load(to_nifti(da, tmp_path / "a.nii")).header["pixdim"][4] == 4


def test_uneven_times_are_in_the_sidecar(tmp_path):
    """The header has the median step, the sidecar the times; without it there is a warning."""
    da = image(lead={"time": [3.0, 5.0, 7.0, 12.0]})
    da.attrs["RepetitionTime"] = 5.0
    path = to_nifti(da, tmp_path / "a.nii")
    sidecar = json.loads(path.with_suffix(".json").read_text())
    assert sidecar["VolumeTiming"] == [0, 2, 4, 9]
    assert "RepetitionTime" not in sidecar
    assert sidecar["RepetitionTimeExcitation"] == 0.005
    assert sidecar["imagedata_xr"]["coords"]["time"]["values"] == [3, 5, 7, 12]
    assert nib.load(path).header["pixdim"][4] == 2
    with pytest.warns(DataWarning, match="not evenly spaced in time"):
        to_nifti(da, tmp_path / "b.nii", sidecar=False)
