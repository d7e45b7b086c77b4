"""NIfTI files: read back by nibabel and SimpleITK, and compared with dcm2niix."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from imagedata_xr.errors import (
    DataWarning,
    GeometryError,
    MissingDependencyError,
    OptionError,
    WriteError,
)
from imagedata_xr.formats.nifti import to_nifti

nib = pytest.importorskip("nibabel")

STEPS = (3.5, 2.0, 1.25)
CORNER = np.array([-41.5, 17.25, 96.0])
FLIPS = list(product((1, -1), repeat=3))
# Columns: LPS directions of increasing slice, row and column index.
PLANES = {
    "axial": np.column_stack([(0, 0, 1), (0, 1, 0), (1, 0, 0)]).astype(float),
    "sagittal": np.column_stack([(-1, 0, 0), (0, 0, -1), (0, 1, 0)]).astype(float),
    "coronal": np.column_stack([(0, 1, 0), (0, 0, -1), (1, 0, 0)]).astype(float),
}


def rotation(seed):
    """Return a random proper rotation."""
    q, r = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q if np.linalg.det(q) > 0 else -q


PLANES["oblique"] = rotation(5)[:, ::-1]
DWI_VECTORS = np.array([[0, 0, 0], [1, 0, 0], [0.6, -0.8, 0], [-0.48, 0.6, 0.64], [0, 0, 1]])


def image(directions=PLANES["axial"], lead=None, shape=(4, 5, 6), dtype="int16", steps=STEPS):
    """Return an image with distinct values, made from the definition of the coordinates."""
    lead = lead or {}
    sign = np.where(np.array([0.90, 1.00, 1.13]) @ directions > 0, 1.0, -1.0)
    canonical = directions * sign
    start = np.linalg.solve(canonical, CORNER)
    coords = {
        name: (
            name,
            start[k] + sign[k] * steps[k] * np.arange(shape[k]),
            {"units": "mm", "direction": canonical[:, k].tolist(), "spacing": steps[k]},
        )
        for k, name in enumerate(("slice", "row", "column"))
    }
    sizes = (*(len(v) for v in lead.values()), *shape)
    values = np.arange(np.prod(sizes)).reshape(sizes)
    units = {"time": "s", "te": "ms", "ti": "ms", "b": "s/mm2"}
    for name, axis in lead.items():
        coords[name] = (name, list(axis), {"units": units[name]} if name in units else {})
    return xr.DataArray(
        values.astype(dtype), dims=(*lead, "slice", "row", "column"), coords=coords, name="image"
    )


def world(da):
    """Return LPS positions of all voxels, shape (slice, row, column, 3)."""
    parts = [
        np.multiply.outer(np.atleast_1d(da[n].values), da[n].attrs["direction"])
        for n in ("slice", "row", "column")
    ]
    return parts[0][:, None, None] + parts[1][None, :, None] + parts[2][None, None]


def voxel_indices(affine_ras, points_lps):
    """Return the file's voxel indices of LPS points, after checking that they are whole."""
    ras = points_lps.reshape(-1, 3) * [-1, -1, 1]
    ijk = (ras - affine_ras[:3, 3]) @ np.linalg.inv(affine_ras[:3, :3]).T
    assert np.abs(ijk - np.rint(ijk)).max() < 1e-4
    return tuple(np.rint(ijk).astype(int).T)


def check_by_world(path, da):
    """Assert that nibabel finds each value of a 3-D image at its place in the patient."""
    img = nib.load(path)
    found = np.asarray(img.dataobj)[voxel_indices(img.affine, world(da))]
    np.testing.assert_array_equal(found, da.values.ravel())
    return img


def dwi(directions=PLANES["oblique"]):
    """Return an image with a volume axis, b-values and directions in the patient."""
    da = image(directions, {"volume": range(5)})
    b = np.array([0.0, 1000, 1000, 2000, 2000])
    vectors = {f"bvec_{x}": ("volume", DWI_VECTORS[:, k]) for k, x in enumerate("xyz")}
    return da.assign_coords(b=("volume", b, {"units": "s/mm2"}), **vectors)


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


# --- Voxel types


@pytest.mark.parametrize(
    "dtype",
    "int8 uint8 int16 uint16 int32 uint32 float32 float64 complex64 complex128".split(),  # noqa: SIM905
)
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_types_are_kept_bit_for_bit(tmp_path, dtype, suffix):
    """Every type of NIfTI comes back as itself, unscaled, with its extreme values."""
    da = image(dtype=dtype)
    kind = np.dtype(dtype).kind
    info = np.iinfo(dtype) if kind in "iu" else np.finfo(dtype)
    da.values[0, 0, :2] = info.min, info.max
    if kind in "fc":
        da.values[0, 0, 2:4] = np.nan, np.inf
    img = nib.load(to_nifti(da, tmp_path / f"a{suffix}"))
    assert img.get_data_dtype() == np.dtype(dtype)
    assert (img.dataobj.slope, img.dataobj.inter) == (1.0, 0.0)
    np.testing.assert_array_equal(img.dataobj.get_unscaled(), da.values[:, ::-1].T)


@pytest.mark.parametrize(
    ("dtype", "values", "expected"),
    [
        ("bool", [0, 1], "uint8"),
        ("float16", [0.5, -2], "float32"),
        ("int64", [0, 255], "uint8"),
        ("int64", [-1, 300], "int16"),
        ("uint64", [0, 65535], "uint16"),
        ("int64", [-1, 65535], "int32"),
        ("int64", [0, 2**32 - 1], "uint32"),
    ],
)
@pytest.mark.parametrize("chunks", [None, {"slice": 2}])
def test_other_types_become_the_smallest_exact_one(tmp_path, dtype, values, expected, chunks):
    """Types without a place in common programs are widened or narrowed, never changed."""
    da = image(dtype=dtype)
    da.values[...] = values[0]
    da.values[1, 2, 3] = values[1]
    da = da if chunks is None else da.chunk(chunks)
    img = nib.load(to_nifti(da, tmp_path / "a.nii"))
    assert img.get_data_dtype() == np.dtype(expected)
    np.testing.assert_array_equal(np.asarray(img.dataobj), da.values[:, ::-1].T)


def test_big_endian_arrays_are_written_right(tmp_path):
    """The byte order of the array does not reach the file."""
    da = image(dtype=">i4")
    check_by_world(to_nifti(da, tmp_path / "a.nii"), da)


@pytest.mark.parametrize(
    ("source", "value", "dtype"),
    [
        ("float32", 1.5, "int16"),
        ("float32", np.nan, "int16"),
        ("float64", 1e6, "int16"),
        ("int32", -1, "uint16"),
        ("int64", 2**53 + 1, "float64"),
        ("int32", 2**24 + 1, "float32"),
        ("float64", 1e300, "float32"),
        ("int64", 2**40, None),
        ("uint64", 2**64 - 1, "int64"),
        ("float64", 2.0**63, "int64"),
    ],
)
@pytest.mark.parametrize("chunks", [None, {"slice": 1}])
def test_a_value_that_does_not_fit_is_an_error(tmp_path, source, value, dtype, chunks):
    """Rounding, wrapping and clipping are refused, and leave no file."""
    da = image(dtype=source)
    da.values[2, 3, 4] = value
    da = da if chunks is None else da.chunk(chunks)
    with pytest.raises(WriteError, match="without loss|64 bits"):
        to_nifti(da, tmp_path / "a.nii.gz", dtype=dtype)
    assert not list(tmp_path.iterdir())


def test_a_wish_that_fits_is_granted(tmp_path):
    """dtype= converts whole floats to integers, and rounds only to shorter floats."""
    da = image(dtype="float64")
    for dtype in ("int16", "uint8", "int64", "uint64", "float32", "complex64"):
        img = nib.load(to_nifti(da, tmp_path / f"{dtype}.nii", dtype=dtype))
        assert img.get_data_dtype() == np.dtype(dtype)
        np.testing.assert_array_equal(np.asarray(img.dataobj), da.values[:, ::-1].T)
    to_nifti(da + 0.1, tmp_path / "rounded.nii", dtype="float32")


def test_types_that_nifti_has_not(tmp_path):
    """Text, dates, half floats on request and dropped imaginary parts are errors with a remedy."""
    with pytest.raises(WriteError, match="astype"):
        to_nifti(image().astype(str), tmp_path / "a.nii")
    with pytest.raises(OptionError, match="float16"):
        to_nifti(image(), tmp_path / "a.nii", dtype="float16")
    with pytest.raises(OptionError, match="imaginary"):
        to_nifti(image(dtype="complex64"), tmp_path / "a.nii", dtype="float32")


@pytest.mark.parametrize("chunks", [None, {"slice": 1, "row": 2}])
def test_colours_are_rgb24(tmp_path, chunks):
    """uint8 colours become the RGB voxels of NIfTI, at their places."""
    grey = image(PLANES["oblique"])
    da = (grey % 200).astype("uint8").expand_dims(rgb=["R", "G", "B"], axis=-1)
    da = da + xr.DataArray(np.array([0, 20, 40], "uint8"), dims="rgb")
    img = nib.load(to_nifti(da.chunk(chunks) if chunks else da, tmp_path / "a.nii.gz"))
    found = np.asarray(img.dataobj)[voxel_indices(img.affine, world(grey))]
    assert found.dtype.names == ("R", "G", "B")
    np.testing.assert_array_equal(
        np.stack([found[c] for c in "RGB"], axis=-1), da.values.reshape(-1, 3)
    )


def test_deep_colours_are_refused(tmp_path):
    """uint16 colours name the remedy, which works where the values fit."""
    da = image(dtype="uint16").expand_dims(rgb=["R", "G", "B"], axis=-1)
    with pytest.raises(WriteError, match="dtype='uint8'"):
        to_nifti(da, tmp_path / "a.nii")
    to_nifti(da, tmp_path / "a.nii", dtype="uint8")
    with pytest.raises(OptionError, match="RGB24"):
        to_nifti(da, tmp_path / "b.nii", dtype="int16")


def test_components_are_refused(tmp_path):
    """An axis of names (magnitude, phase) has no place; the error names isel."""
    da = image().expand_dims(component=["M", "P"])
    with pytest.raises(WriteError, match=r"isel\(component=0\)"):
        to_nifti(da, tmp_path / "a.nii")
    to_nifti(da.isel(component=0), tmp_path / "a.nii")


def test_long_axes_make_nifti2(tmp_path):
    """NIfTI-1 counts to 32767; longer axes get a NIfTI-2 header."""
    short = nib.load(to_nifti(image(shape=(1, 1, 32767), dtype="int16"), tmp_path / "1.nii"))
    da = image(shape=(1, 2, 32768), dtype="int32")
    long = nib.load(to_nifti(da, tmp_path / "2.nii"))
    assert isinstance(short, nib.Nifti1Image)
    assert isinstance(long, nib.Nifti2Image)
    np.testing.assert_array_equal(np.asarray(long.dataobj), da.values[:, ::-1].T)


# --- Lazy arrays


class Recorder(BackendArray):
    """A lazy array that remembers how much is asked for, and fails where it is told to."""

    def __init__(self, values, fail_after=None):
        self.values, self.shape, self.dtype = values, values.shape, values.dtype
        self.asked = []
        self.fail_after = fail_after

    def __getitem__(self, key):
        """Return values."""
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.BASIC, self.read
        )

    def read(self, key):
        """Refuse negative steps, as a reader of files may."""
        assert all(not isinstance(k, slice) or (k.step or 1) > 0 for k in key)
        if self.fail_after is not None and len(self.asked) >= self.fail_after:
            raise RuntimeError("the disk was unplugged")
        self.asked.append(self.values[key].size)
        return self.values[key]


def lazy(da, fail_after=None):
    """Return the image as a lazy array of xarray, and its recorder."""
    recorder = Recorder(da.values, fail_after)
    variable = xr.Variable(da.dims, indexing.LazilyIndexedArray(recorder))
    return xr.DataArray(variable, coords=da.coords), recorder


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_lazy_arrays_are_read_volume_by_volume(tmp_path, suffix):
    """No more than one volume is asked for at a time, each once, and nothing is kept."""
    da = image(lead={"te": [1, 2, 3], "time": [0, 1]})
    opened, recorder = lazy(da)
    img = nib.load(to_nifti(opened, tmp_path / f"a{suffix}"))
    assert recorder.asked == [da[0, 0].size] * 6
    np.testing.assert_array_equal(
        np.asarray(img.dataobj), da.values[..., ::-1, :].transpose(4, 3, 2, 1, 0)
    )


@pytest.mark.parametrize(
    "chunks",
    [
        {},
        {"time": 1},
        {"te": 1, "slice": 3},
        {"column": 4},
        {"row": 2, "column": 5},
        {"te": 2, "row": 4},
    ],
)
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_dask_arrays_of_any_chunks(tmp_path, chunks, suffix):
    """Chunks across, along and within volumes give the file of the NumPy array."""
    da = image(PLANES["oblique"] * [-1, 1, 1], lead={"time": [0, 1], "te": [1, 2, 3]})
    plain = to_nifti(da, tmp_path / f"plain{suffix}")
    chunked = to_nifti(da.chunk(chunks), tmp_path / f"chunked{suffix}")
    assert chunked.read_bytes() == plain.read_bytes()
    slab = to_nifti(da.chunk(chunks).isel(slice=1), tmp_path / f"slab{suffix}")
    assert np.asarray(nib.load(slab).dataobj).shape == (6, 5, 1, 2, 3)
    np.testing.assert_array_equal(
        np.asarray(nib.load(slab).dataobj)[:, :, 0],
        da.values[:, :, 1, ::-1].transpose(3, 2, 0, 1),
    )


def test_each_dask_chunk_is_computed_once(tmp_path):
    """What the chunks have in common is not computed again for every volume."""
    da = image(lead={"time": range(4)}).chunk(time=-1, slice=2)
    calls = []

    def count(block):
        calls.append(block.shape)
        return block

    counted = da.copy(data=da.data.map_blocks(count, dtype=da.dtype, meta=da.data._meta))
    to_nifti(counted - counted.mean("time"), tmp_path / "a.nii.gz")
    assert len(calls) == 2


def test_processes_can_write(tmp_path):
    """The target of a Dask array works from other processes."""
    dask = pytest.importorskip("dask")
    da = image(lead={"time": range(3)})
    with dask.config.set(scheduler="processes", num_workers=1):
        path = to_nifti(da.chunk(time=1), tmp_path / "a.nii")
    np.testing.assert_array_equal(np.asarray(nib.load(path).dataobj).T, da.values[..., ::-1, :])


def test_gzip_without_isal(tmp_path, monkeypatch):
    """The standard library is enough, and the file holds no name or time."""
    monkeypatch.setitem(sys.modules, "isal.igzip", None)
    da = image()
    path = to_nifti(da, tmp_path / "a.nii.gz")
    check_by_world(path, da)
    assert path.read_bytes()[3:8] == bytes(5)


# --- Complete or absent


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("how", ["lazy", "dask"])
@pytest.mark.parametrize("before", [False, True])
def test_a_failure_in_the_middle_leaves_nothing(tmp_path, suffix, how, before):
    """The folder is as it was: no part, no sidecar, and an older image untouched."""
    da = dwi()
    path = tmp_path / f"a{suffix}"
    if before:
        to_nifti(da, path)
    files = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    if how == "lazy":
        broken, _ = lazy(da + 1, fail_after=3)
    else:

        def fail(block, block_info=None):
            if block_info and block_info[0]["chunk-location"][0] == 3:
                raise RuntimeError("the disk was unplugged")
            return block

        chunked = (da + 1).chunk(volume=1)
        broken = chunked.copy(
            data=chunked.data.map_blocks(fail, dtype=da.dtype, meta=chunked.data._meta)
        )
    with pytest.raises(RuntimeError, match="unplugged"):
        to_nifti(broken, path, overwrite=True)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == files


def test_existing_files_are_kept(tmp_path):
    """Neither an image nor a file that would then belong to it is replaced unasked."""
    da = image()
    path = to_nifti(da, tmp_path / "a.nii")
    content = path.read_bytes()
    with pytest.raises(WriteError, match=r"a\.nii.*overwrite=True"):
        to_nifti(da + 1, path)
    assert path.read_bytes() == content
    path.unlink()
    with pytest.raises(WriteError, match=r"a\.json already"):
        to_nifti(da, path, sidecar=False)


def test_overwriting_removes_what_belonged_to_the_old_image(tmp_path):
    """Gradient files of an older image do not stay beside a new one."""
    path = to_nifti(dwi(), tmp_path / "a.nii")
    assert {p.suffix for p in tmp_path.iterdir()} == {".nii", ".json", ".bval", ".bvec"}
    da = image()
    to_nifti(da, path, overwrite=True)
    assert {p.suffix for p in tmp_path.iterdir()} == {".nii", ".json"}
    check_by_world(path, da)


def test_targets_that_cannot_be(tmp_path, monkeypatch):
    """Wrong suffixes, absent folders, folders and full disks are errors that name the target."""
    for name in ("a.img", "a", ".nii", "a.nii.bz2"):
        with pytest.raises(OptionError, match=r"\.nii or \.nii\.gz"):
            to_nifti(image(), tmp_path / name)
    with pytest.raises(WriteError, match="no folder"):
        to_nifti(image(), tmp_path / "no" / "a.nii")
    (tmp_path / "b.nii").mkdir()
    with pytest.raises(WriteError, match="is a folder"):
        to_nifti(image(), tmp_path / "b.nii", overwrite=True)

    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(WriteError, match=r"a\.nii could not be written: .*No space"):
        to_nifti(image(), tmp_path / "a.nii")
    assert [p.name for p in tmp_path.iterdir()] == ["b.nii"]


def test_empty_arrays_are_refused(tmp_path):
    """An empty selection is not an image."""
    with pytest.raises(WriteError, match="no voxels.*time"):
        to_nifti(image(lead={"time": range(3)}).isel(time=[]), tmp_path / "a.nii")


def test_without_nibabel(tmp_path, monkeypatch):
    """The error holds the line that installs it."""
    monkeypatch.setitem(sys.modules, "nibabel", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "imagedata_xr\[nifti\]"'):
        to_nifti(image(), tmp_path / "a.nii")


def test_the_drawer_is_cheap_to_import():
    """Importing the writer imports neither nibabel nor Dask nor pydicom."""
    code = (
        "import sys, imagedata_xr.formats.nifti; "
        "print([m for m in ('nibabel', 'dask.array', 'pydicom', 'isal') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- Diffusion


def read_gradients(path):
    """Return b-values (n,) and vectors (n, 3) beside an image."""
    return np.loadtxt(path.with_suffix(".bval")), np.loadtxt(path.with_suffix(".bvec")).T


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
    assert own["coords"]["ti"] == {"dims": ["ti"], "units": "ms", "values": [100, 200, 300]}
    assert own["coords"]["te"] == {"dims": [], "values": 30}
    # Slices are stored backwards here, so that the matrix has a negative determinant.
    assert own["coords"]["acquisition_time"] == {
        "dims": ["time", "slice"],
        "units": "s",
        "values": [[3, 2, 1, None], [7, 6, 5, 4]],
    }
    assert set(own["coords"]) == {"time", "ti", "te", "acquisition_time"}


def test_no_sidecar(tmp_path):
    """sidecar=False writes the image alone."""
    to_nifti(image(), tmp_path / "a.nii", sidecar=False)
    assert [p.name for p in tmp_path.iterdir()] == ["a.nii"]


# --- dcm2niix


def dicom_series(folder, da, *, diffusion=False):
    """Write the image as classic MR files, one a slice and volume, straight from the standard."""
    pydicom = pytest.importorskip("pydicom")
    from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

    folder.mkdir()
    study, series, number = generate_uid(), generate_uid(), 0
    volumes = da if "volume" in da.dims else da.expand_dims(volume=[0])
    points, index = world(da), {n: da[n].values for n in ("slice", "row", "column")}
    down, across = (
        np.array(da[n].attrs["direction"]) * np.sign(index[n][1] - index[n][0])
        for n in ("row", "column")
    )
    for v, s in np.ndindex(volumes.shape[:2]):
        number += 1
        ds = pydicom.Dataset()
        ds.file_meta = pydicom.dataset.FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = MRImageStorage
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = generate_uid()
        ds.StudyInstanceUID, ds.SeriesInstanceUID = study, series
        ds.FrameOfReferenceUID = study
        ds.Modality, ds.Manufacturer, ds.PatientName, ds.PatientID = "MR", "Philips", "A", "A"
        ds.SeriesNumber, ds.InstanceNumber, ds.AcquisitionNumber = 1, number, v + 1
        ds.ImageType = ["ORIGINAL", "PRIMARY", "M"]
        ds.MRAcquisitionType, ds.EchoTime, ds.RepetitionTime = "2D", "30", "2000"
        ds.StudyDate, ds.AcquisitionDate, ds.AcquisitionTime = "20260101", "20260101", "120000"
        ds.ImagePositionPatient = [f"{x:.10g}" for x in points[s, 0, 0]]
        ds.ImageOrientationPatient = [f"{x:.10g}" for x in (*across, *down)]
        ds.PixelSpacing = [f"{abs(np.diff(index[n])[0]):.10g}" for n in ("row", "column")]
        ds.SliceThickness = f"{abs(np.diff(index['slice'])[0]):.10g}"
        ds.Rows, ds.Columns = da.sizes["row"], da.sizes["column"]
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
        if diffusion:
            ds.DiffusionBValue = float(da.b[v])
            if DWI_VECTORS[v].any():
                ds.DiffusionGradientOrientation = [float(x) for x in DWI_VECTORS[v]]
        ds.PixelData = volumes[v, s].values.astype("<i2").tobytes()
        ds.save_as(folder / f"{number:03}.dcm", enforce_file_format=True)


def convert(folder, out):
    """Run dcm2niix and return the image it wrote."""
    program = shutil.which("dcm2niix", path=str(Path(sys.executable).parent)) or shutil.which(
        "dcm2niix"
    )
    if program is None:
        pytest.skip("dcm2niix is not installed")
    out.mkdir()
    subprocess.run(
        [program, "-z", "n", "-b", "n", "-f", "theirs", "-o", out, folder],
        check=True,
        capture_output=True,
    )
    (path,) = out.glob("*.nii")
    return path


@pytest.mark.parametrize("flip", [(1, 1, 1), (-1, 1, 1), (1, -1, -1)])
@pytest.mark.parametrize("plane", PLANES)
def test_same_file_as_dcm2niix(tmp_path, plane, flip):
    """Shape, type, voxel bytes, sform and voxel sizes are those of dcm2niix."""
    da = image(PLANES[plane] * np.array(flip), shape=(5, 16, 12))
    dicom_series(tmp_path / "dicom", da)
    theirs = nib.load(convert(tmp_path / "dicom", tmp_path / "out"))
    ours = nib.load(to_nifti(da, tmp_path / "ours.nii"))
    np.testing.assert_array_equal(np.asarray(ours.dataobj), np.asarray(theirs.dataobj))
    assert ours.get_data_dtype() == theirs.get_data_dtype()
    np.testing.assert_allclose(ours.affine, theirs.affine, atol=1e-4)
    np.testing.assert_allclose(ours.header.get_qform(), theirs.header.get_qform(), atol=2e-3)
    np.testing.assert_allclose(ours.header["pixdim"][:4], theirs.header["pixdim"][:4], rtol=1e-5)


@pytest.mark.parametrize("plane", PLANES)
def test_same_gradients_as_dcm2niix(tmp_path, plane):
    """b-values and directions beside the image are those of dcm2niix."""
    da = dwi(PLANES[plane])
    dicom_series(tmp_path / "dicom", da, diffusion=True)
    theirs = convert(tmp_path / "dicom", tmp_path / "out")
    ours = to_nifti(da, tmp_path / "ours.nii")
    np.testing.assert_array_equal(
        np.asarray(nib.load(ours).dataobj), np.asarray(nib.load(theirs).dataobj)
    )
    for mine, other in zip(read_gradients(ours), read_gradients(theirs), strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-5)
