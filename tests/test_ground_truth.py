"""
The value of every voxel says where it is: a linear function of its position in the patient.

After each xarray operation, every voxel of the result must have the value that belongs to the
position that the coordinates of the result claim, or the operation must raise. The exceptions are
listed in one table, `KNOWN`, with what happens.
"""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from imagedata_xr.errors import GeometryError, GridMismatchError
from imagedata_xr.geometry import stack_grid
from imagedata_xr.index import (
    AxisIndex,
    PositionIndex,
    grid_of,
    position_coords,
    restore_indexes,
)

SPATIAL = ("slice", "row", "column")
WEIGHTS = np.array([1.0, -2.0, 0.5])
OFFSET = 17.0
SHAPE = (3, 4, 5, 6)  # time, slice, row, column


def rotation(seed):
    """A random orthogonal matrix; its first two rows serve as row and column cosines."""
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]


def stack(kind):
    """Positions, orientation and spacing of a stack of 4 slices."""
    q = rotation({"oblique": 3, "tilted": 4, "uneven": 5, "flipped": 6}.get(kind, 0))
    if kind == "axial":
        q = np.eye(3)
    if kind == "flipped":
        q = -q
    normal = np.cross(q[0], q[1])
    depth = np.array([0.0, 2.5, 5.0, 10.0]) if kind == "uneven" else 2.5 * np.arange(4)
    step = normal + (0.25 * q[1] if kind == "tilted" else 0)
    corner = np.array([-81.25, 40.5, 123.0])
    return corner + depth[:, None] * step, np.r_[q[0], q[1]], (1.25, 0.75)


def dressed(values, dims, coords, *, seed=None, noise=0.0):
    """A DataArray with tolerant indexes; noise (mm, s) on every coordinate if asked for."""
    rng = np.random.default_rng(seed)
    image = xr.DataArray(values, dims=dims, coords=coords, name="image")
    for dim in dims:
        old = image[dim].variable
        new = xr.Variable(old.dims, old.values + noise * rng.normal(size=old.size), old.attrs)
        image = image.assign_coords({dim: new})
    return restore_indexes(image)


def linear_image(kind, *, noise=0.0, seed=1):
    """An image of the kind, float64 (time, slice, row, column), equal at all times."""
    grid, _ = stack_grid(*stack(kind), SHAPE[2:])
    values = np.broadcast_to(grid.points() @ WEIGHTS + OFFSET, SHAPE).copy()
    time = xr.Variable("time", 2.0 * np.arange(SHAPE[0]), {"units": "s"})
    coords = {**position_coords(grid), "time": time}
    return dressed(values, ("time", *SPATIAL), coords, seed=seed, noise=noise)


def claimed(result):
    """The value that belongs to the position that the coordinates claim, by plain sums."""
    total = xr.Variable((), OFFSET)
    for name in SPATIAL:
        weight = float(np.dot(WEIGHTS, result.coords[name].attrs["direction"]))
        total = total + weight * result.coords[name].variable
    return total


def misfit(result, *, gaps=False):
    """The largest difference between the image and what its coordinates claim."""
    assert result.size, "an empty result"
    off = abs(result.variable - claimed(result)).to_numpy()
    assert np.isfinite(off).any(), "a result of NaN"
    assert gaps or np.isfinite(off).all(), "voxels lost"
    return float(np.nanmax(off))


KINDS = ["axial", "oblique", "tilted", "uneven", "flipped"]


def points_of(a, n=3):
    return {d: xr.DataArray(np.arange(n) % a.sizes[d], dims="p") for d in SPATIAL}


def add_in_place(a, b):
    total = a.copy(deep=True)
    total += b
    return total / 2


def through_dataframe(a, b):
    back = a.to_dataframe().to_xarray()["image"]
    return back.assign_coords({d: b[d] for d in SPATIAL})


def write_region(a):
    target = xr.zeros_like(a)
    target.loc[{"slice": a.slice[1]}] = a.isel(slice=1)
    target[:, [0, 2, 3]] = a[:, [0, 2, 3]]
    return target


# a: the image, b: the same with 1e-12 mm (and s) of noise on all coordinates.
OPERATIONS = {
    # choosing voxels
    "isel": lambda a, _: a.isel(slice=slice(1, 3), row=slice(2, None)),
    "isel scalar": lambda a, _: a.isel(slice=3),
    "isel scalars": lambda a, _: a.isel(slice=3, row=1, column=-1),
    "isel fancy": lambda a, _: a.isel(slice=[3, 0, 2], column=[-1, 0]),
    "isel boolean": lambda a, _: a.isel(row=np.array([True, False, True, True, False])),
    "isel points": lambda a, _: a.isel(points_of(a)),
    "stride": lambda a, _: a[:, ::2, ::3, ::2],
    "reverse": lambda a, _: a[:, ::-1, ::-1, ::-1],
    "sel number": lambda a, _: a.sel(slice=float(a.slice[1]) + 1.0),
    "sel list": lambda a, _: a.sel(row=a.row.values[[3, 1]] + 0.4),
    "sel slice": lambda a, _: a.sel(row=slice(float(a.row[3]), float(a.row[1]))),
    "sel slice turned": lambda a, _: a.sel(row=slice(float(a.row[1]), float(a.row[3]))),
    "sel nearest": lambda a, _: a.sel(slice=1e4, method="nearest"),
    "sel points": lambda a, b: a.sel(
        slice=b.slice[[0, 1]].drop_vars("slice").rename(slice="p"),
        row=b.row[[2, 1]].drop_vars("row").rename(row="p"),
    ),
    "loc": lambda a, _: a.loc[{"slice": a.slice.values[[1, 2]]}],
    "drop_isel": lambda a, _: a.drop_isel(row=[1, 2]),
    "drop_sel": lambda a, _: a.drop_sel(row=a.row.values[[1, 2]]),
    "head tail thin": lambda a, _: a.thin(row=2).head(slice=2).tail(column=3),
    "where drop": lambda a, _: a.where(a.row > a.row[2], drop=True),
    "drop_duplicates": lambda a, _: a.drop_duplicates("slice"),
    # changing the form
    "transpose": lambda a, _: a.transpose("column", "time", "slice", "row"),
    "squeeze": lambda a, _: a.isel(slice=[1]).squeeze(),
    "expand_dims": lambda a, _: a.isel(slice=1).expand_dims("slice"),
    "rename and back": lambda a, _: a.rename(slice="z").isel(z=[2, 1]).rename(z="slice"),
    "swap_dims": lambda a, _: (
        a.assign_coords(i=("slice", np.arange(4))).swap_dims(slice="i").swap_dims(i="slice")
    ),
    "stack": lambda a, _: a.stack(voxel=("time", "slice")).unstack("voxel"),
    "sortby": lambda a, _: a.sortby("row", ascending=False).sortby("slice").sortby("column"),
    "roll with coordinates": lambda a, _: a.roll(slice=1, row=2, roll_coords=True),
    "chunk": lambda a, b: (a.chunk(slice=1) + b.chunk(row=2)) / 2,
    "unify_chunks": lambda a, b: xr.unify_chunks(a.chunk(slice=2), b.chunk(slice=3))[1],
    "copy": lambda a, _: a.copy(deep=True),
    "deepcopy": lambda a, b: (copy.deepcopy(a) + b) / 2,
    "pickle": lambda a, b: (pickle.loads(pickle.dumps(a)) + b) / 2,
    "to_dict": lambda a, _: xr.DataArray.from_dict(a.to_dict()),
    "to_dataframe": through_dataframe,
    "reset_index": lambda a, _: a.reset_index("row").set_xindex("row", PositionIndex),
    "assign_coords": lambda a, b: a.assign_coords(slice=b.slice),
    "write into": lambda a, _: write_region(a),
    # combining
    "add": lambda a, b: (a + b) / 2,
    "add in place": add_in_place,
    "add crop": lambda a, b: (a + b[:, 1:3, 2:]) / 2,
    "add stride": lambda a, b: (a + b[:, ::2, ::3]) / 2,
    "add reversed": lambda a, b: (a + b[:, ::-1, :, ::-1]) / 2,
    "add overlap": lambda a, b: (a[:, :3, :, 2:] + b[:, 1:, :, :5]) / 2,
    "add one time": lambda a, b: (a + b.isel(time=0, drop=True)) / 2,
    "add mixed indexes": lambda a, _: (a + a.drop_indexes("slice").set_xindex("slice")) / 2,
    "where": lambda a, b: a.where(b[:, ::-1] > -1e9),
    "where other": lambda a, b: a.where(a > OFFSET, b),
    "xr.where": lambda a, b: xr.where(a > OFFSET, a, b),
    "fillna": lambda a, b: a.where(a > OFFSET).fillna(b),
    "combine_first": lambda a, b: a[:, :2].combine_first(b[:, 2:]),
    "clip": lambda a, b: a.clip(min=b - 1),
    "apply_ufunc": lambda a, b: xr.apply_ufunc(np.maximum, a, b),
    "dot": lambda a, _: xr.dot(a, xr.DataArray([1.0, 0, 0], dims="time"), dim="time"),
    "align outer": lambda a, b: xr.align(a, b, join="outer")[1],
    "align left": lambda a, b: xr.align(a[:, 1:3], b, join="left")[1],
    "align exact": lambda a, b: xr.align(a, b, join="exact")[1],
    "reindex_like": lambda a, b: a.reindex_like(b[:, [1, 2]]),
    "Dataset": lambda a, b: xr.Dataset({"a": a, "b": b})["b"],
    "merge": lambda a, b: xr.merge([a.rename("x"), b.rename("y")])["y"],
    "concat slices": lambda a, _: xr.concat([a[:, :2], a[:, 2:]], "slice"),
    "concat one by one": lambda a, _: xr.concat([a.isel(slice=k) for k in range(4)], "slice"),
    "concat times": lambda a, b: xr.concat([a, b], "time", coords="minimal", compat="override"),
    "concat new": lambda a, b: xr.concat([a, b], "rep", coords="minimal", compat="override"),
    "combine_by_coords": lambda a, _: xr.combine_by_coords([a[:, :2], a[:, 2:]])["image"],
    # computing
    "mean time": lambda a, _: a.mean("time"),
    "quantile": lambda a, _: a.quantile(0.5, "time"),
    "weighted": lambda a, _: a.weighted(xr.DataArray([1.0, 2, 3], dims="time")).mean("time"),
    "cumulative": lambda a, _: a.cumsum("time") / xr.DataArray([1.0, 2, 3], dims="time"),
    "coarsen": lambda a, _: a.coarsen(slice=2, row=2, column=3, boundary="trim").mean(),
    "rolling construct": lambda a, _: a.rolling(slice=3, center=True).construct("w").isel(w=1),
    "groupby": lambda a, _: a.groupby("time").map(lambda x: 1.0 * x),
    "groupby slice": lambda a, _: a.groupby("slice").mean("time"),
    "groupby_bins": lambda a, _: a.groupby_bins("time", [-1, 1, 5]).mean(),
    "groupby minus": lambda a, _: a.groupby("time") - 0 * a.groupby("time").mean(list(SPATIAL)),
    "interp": lambda a, _: a.interp(slice=a.slice.values[:-1] * 0.7 + a.slice.values[1:] * 0.3),
    "interp scalar": lambda a, _: a.interp(row=float(a.row.mean())),
    "interp_like": lambda a, b: a.interp_like(b[1:2, 1:3, 1:4:2, 2:4]),
    "polyfit": lambda a, _: a.polyfit("time", 0).polyfit_coefficients.isel(degree=0),
    "polyval": lambda a, _: xr.polyval(a.time, a.polyfit("time", 1).polyfit_coefficients),
    "differentiate": lambda a, _: a - a.differentiate("time"),
    "integrate": lambda a, _: a.integrate("time") / 4,
    "map_blocks": lambda a, _: a.chunk(slice=2).map_blocks(lambda x: 1.0 * x).compute(),
    "Dataset.map": lambda a, _: a.to_dataset(name="x").map(lambda x: 1.0 * x)["x"],
    "astype": lambda a, _: a.astype(np.float64) + 0.0,
    "pad edge": lambda a, _: a.pad(slice=1, mode="edge"),
    "broadcast": lambda a, b: xr.broadcast(a.isel(time=0, drop=True), b)[0],
    "broadcast_like": lambda a, b: a.isel(time=0, drop=True).broadcast_like(b),
}

# Operations that leave voxels without a value, which is right, and none with a wrong one.
WITH_GAPS = {
    "where mask": lambda a, b: a.where(b > b.mean()),
    "outer of parts": lambda a, b: xr.align(a[:, :2], b[:, 2:], join="outer")[0],
    "rolling mean": lambda a, _: a.rolling(row=3, center=True).mean(),
    "unstack of a part": lambda a, _: (
        a.stack(v=("slice", "row")).isel(v=[0, 6, 13, 19]).unstack("v")
    ),
    "pad": lambda a, _: a.pad(row=(1, 2)),
    "reindex_like larger": lambda a, b: a[:, 1:3].reindex_like(b),
}

RAISES = {
    "disjoint": (lambda a, b: a[:, :2] + b[:, 2:], GridMismatchError),
    "where disjoint": (lambda a, b: a[:, :2].where(b[:, 2:] > 0), GridMismatchError),
    "shifted by half": (lambda a, b: a + moved(b, 0.3), GridMismatchError),
    "shifted in a Dataset": (
        lambda a, b: xr.Dataset({"a": a, "b": moved(b, 0.3)}),
        GridMismatchError,
    ),
    "rotated": (lambda a, b: a + turned(b), GridMismatchError),
    "rotated in concat": (lambda a, b: join_rows(a, turned(b)), GridMismatchError),
    "rotated in align left": (lambda a, b: xr.align(a, turned(b), join="left"), GridMismatchError),
    "exact of a part": (lambda a, b: xr.align(a, b[:, :2], join="exact"), xr.AlignmentError),
    "reindex by value": (lambda a, b: a.reindex(slice=b.slice.values), xr.AlignmentError),
    "sel outside": (lambda a, _: a.sel(slice=1e4), KeyError),
    "sel slice outside": (lambda a, _: a.sel(slice=slice(1e4, 2e4)), KeyError),
    "mixed indexes": (
        lambda a, b: a + b.drop_indexes("slice").set_xindex("slice"),
        xr.AlignmentError,
    ),
    # a limit of xarray, loud: it wants coords="minimal", compat="override" here
    "concat noisy": (lambda a, b: xr.concat([a, b], "time"), ValueError),
}


def join_rows(a, b):
    return xr.concat([a, b], "row", coords="minimal", compat="override")


def moved(a, fraction):
    row = a.row + fraction * float(abs(a.row[1] - a.row[0]))
    return restore_indexes(a.assign_coords(row=row))


def turned(a):
    row = a.row.variable.copy()
    row.attrs["direction"] = [float(x) for x in np.roll(row.attrs["direction"], 1)]
    return restore_indexes(a.assign_coords(row=row).drop_indexes("row"))


@pytest.fixture(params=KINDS)
def images(request):
    a = linear_image(request.param)
    return a, linear_image(request.param, noise=1e-12)


def test_the_battery_has_enough_operations():
    """The battery does not shrink unseen."""
    assert len(OPERATIONS) + len(WITH_GAPS) >= 46


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_voxel_is_where_the_result_says(images, name):
    """No operation moves a voxel away from its position or loses one in silence."""
    assert misfit(OPERATIONS[name](*images)) < 1e-9


@pytest.mark.parametrize("name", WITH_GAPS)
def test_voxels_that_are_left_are_where_the_result_says(images, name):
    """Operations that leave gaps put no voxel at a wrong place."""
    assert misfit(WITH_GAPS[name](*images), gaps=True) < 1e-9


# single points are no grid
@pytest.mark.parametrize("name", [n for n in (*OPERATIONS, *WITH_GAPS) if "points" not in n])
def test_grid_of_agrees_with_the_coordinates(images, name):
    """The grid read back gives the same positions as the plain sum of the coordinates."""
    result = restore_indexes({**OPERATIONS, **WITH_GAPS}[name](*images))
    grid = grid_of(result)
    expected = claimed(result).set_dims(dict(zip(SPATIAL, grid.shape, strict=True)))
    expected = expected.transpose(*SPATIAL)
    assert np.abs(grid.points() @ WEIGHTS + OFFSET - expected.to_numpy()).max() < 1e-9
    for dim in set(SPATIAL) & set(result.dims):
        assert type(result.xindexes[dim]) is PositionIndex


@pytest.mark.parametrize("name", RAISES)
def test_what_cannot_be_right_raises(images, name):
    """Grids that do not fit together raise; no result is empty or at a wrong place."""
    operation, error = RAISES[name]
    with pytest.raises(error):
        operation(*images)


def lost(result):
    """The result has no position in the patient, and says so."""
    with pytest.raises(GeometryError, match="assign_coords"):
        grid_of(result)


def wrong(result):
    """The data moved and the coordinates did not, as documented by xarray."""
    assert misfit(result, gaps=True) > 1e-3


def empty(result):
    """The stock index of xarray: a silent nothing."""
    assert result.size == 0


# What no index can change: (operation, what is known to happen, why).
KNOWN = {
    "roll": (lambda a, _: a.roll(slice=1), wrong, "use roll_coords=True"),
    "shift": (lambda a, _: a.shift(slice=1), wrong, "moves the data only, by definition"),
    "broadcast a slice": (
        lambda a, _: xr.broadcast(a.isel(slice=0), a)[0],
        wrong,
        "repeats one slice at all positions",
    ),
    "drop=True": (lambda a, _: a.isel(slice=0, drop=True), lost, "the caller drops the position"),
    "mean over an axis": (lambda a, _: a.mean("slice"), lost, "no single position is left"),
    "max over an axis": (lambda a, _: a.max("slice"), lost, "no single position is left"),
    "idxmax": (lambda a, _: a.idxmax("row"), lost, "no single position is left"),
    "plain dataframe": (
        lambda a, _: a.to_dataframe().to_xarray()["image"],
        lost,
        "a table has no attributes",
    ),
    "assign numpy": (
        lambda a, _: a.assign_coords(row=np.arange(5.0)),
        lost,
        "the numbers have no direction",
    ),
    "noisy scalar": (
        lambda a, b: a.isel(slice=1) + b.isel(slice=1),
        lost,
        "xarray drops scalar coordinates that are not bit-equal",
    ),
    "two without index": (
        lambda a, b: (
            a.coarsen(row=2, boundary="trim").mean() + b.coarsen(row=2, boundary="trim").mean()
        ),
        empty,
        "coarsen gives stock indexes: restore_indexes first",
    ),
}


@pytest.mark.parametrize("name", KNOWN)
def test_known_exceptions(images, name):
    """The exceptions are known: they do what the table says, so that a change is seen."""
    operation, happens, _why = KNOWN[name]
    happens(operation(*images))


def test_restored_indexes_cure_stock_results(images):
    """Two coarsened images add up once their indexes are restored."""
    a, b = (restore_indexes(x.coarsen(row=2, boundary="trim").mean()) for x in images)
    assert misfit((a + b) / 2) < 1e-9
    assert (a + b).sizes == a.sizes


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("engine", ["netcdf4", "h5netcdf", "zarr"])
def test_files_keep_the_geometry(tmp_path, kind, engine):
    """An image through netCDF or Zarr is identical, and restored it aligns within tolerance."""
    if engine == "h5netcdf":
        pytest.importorskip("h5py")
    a = linear_image(kind)
    path = tmp_path / f"image.{engine}"
    if engine == "zarr":
        a.to_dataset().to_zarr(path, zarr_format=2)
    else:
        a.to_netcdf(path, engine=engine)
    with xr.open_dataarray(path, engine=engine) as stored:
        back = restore_indexes(stored.load())
    xr.testing.assert_identical(a, back)
    assert misfit(back) < 1e-10
    total = back + linear_image(kind, noise=1e-12)
    assert total.sizes == a.sizes
    assert type(back.xindexes["time"]) is AxisIndex


# (image, axis, an index on it, an order of all its indices) -> image
STEPS = {
    "crop": lambda a, d, k, _: a.isel({d: slice(k, None)}),
    "stride": lambda a, d, k, _: a.isel({d: slice(min(k, 1), None, 2)}),
    "reverse": lambda a, d, *_: a.isel({d: slice(None, None, -1)}),
    "pick": lambda a, d, k, order: a.isel({d: order[: k + 1]}),
    "transpose": lambda a, d, *_: a.transpose(d, ...),
    "concat": lambda a, d, k, _: xr.concat(
        [a.isel({d: slice(k, None)}), a.isel({d: slice(0, k)})], d
    ),
    "sel": lambda a, d, k, _: a.sel({d: slice(float(a[d][0]), float(a[d][k]))}),
    "scalar": lambda a, d, k, _: a.isel({d: k}),
    "add": lambda a, d, *_: (a + a.isel({d: slice(None, None, -1)})) / 2,
    "restore": lambda a, *_: restore_indexes(xr.DataArray.from_dict(a.to_dict())),
}


@settings(deadline=None, max_examples=60, derandomize=True)
@given(
    kind=st.sampled_from(KINDS),
    noise=st.sampled_from([0.0, 1e-12]),
    steps=st.lists(st.sampled_from(sorted(STEPS)), max_size=6),
    data=st.data(),
)
def test_any_sequence_of_operations(kind, noise, steps, data):
    """Any chain of crops, strides, flips, transposes and joins keeps every voxel at its place."""
    a = linear_image(kind, noise=noise)
    for step in steps:
        axes = [d for d in SPATIAL if d in a.dims]
        if axes:
            axis = data.draw(st.sampled_from(axes))
            order = data.draw(st.permutations(range(a.sizes[axis])))
            a = STEPS[step](a, axis, order[0], order)
    assert misfit(a) < 1e-9
