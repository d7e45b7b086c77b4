"""Tolerant alignment and selection, and the grid of an array read back from its coordinates."""

from __future__ import annotations

import copy
import operator
import pickle

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from xarray.indexes import PandasIndex

from imagedata_xr.errors import GeometryError, GridMismatchError, OptionError
from imagedata_xr.geometry import Axis, Grid, grid_from_affine, stack_grid
from imagedata_xr.index import (
    AxisIndex,
    PositionIndex,
    grid_of,
    position_coords,
    restore_indexes,
)

EXAMPLES = settings(deadline=None, max_examples=100, derandomize=True)


def axis(values, name="time", **attrs):
    """A 1-D array over one tolerant axis, with its own coordinate as values."""
    values = np.asarray(values)
    coord = xr.Variable(name, values, attrs)
    return restore_indexes(xr.DataArray(values * 1.0, dims=name, coords={name: coord}))


def along(values, direction=(0.0, 0.0, 1.0), **attrs):
    """A 1-D array over slice positions."""
    return axis(values, "slice", units="mm", direction=list(direction), **attrs)


def image(shape=(4, 5, 6)):
    """A random oblique image, float64 (slice, row, column)."""
    q = np.linalg.qr(np.random.default_rng(7).normal(size=(3, 3)))[0]
    positions = np.array([-20, 30.0, 40]) + 2.5 * np.arange(shape[0])[:, None] * q[2]
    grid, _ = stack_grid(positions, np.r_[q[0], q[1]], (1.2, 0.9), shape[1:], thickness=2.0)
    values = np.random.default_rng(8).normal(size=shape)
    dims = ("slice", "row", "column")
    return xr.DataArray(values, dims=dims, coords=position_coords(grid), name="image")


# alignment -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "step", "same", "other"),
    [
        ("time", 2.0, 0.19, 0.21),
        ("te", 10.0, 0.09, 0.11),
        ("b", 100.0, 0.9, 1.1),
        ("slice", 2.5, 0.024, 0.026),
        ("volume", 1.0, 0.009, 0.011),
    ],
)
def test_tolerance_is_as_stated(name, step, same, other):
    """Values align within 10 % of a step in time and 1 % on other axes, and not beyond."""
    values = step * np.arange(5)
    a = axis(values, name)
    assert (a + axis(values + same, name)).size == 5
    for far in (other, 0.5 * step, 100 * step):
        with pytest.raises(GridMismatchError, match="assign_coords"):
            a + axis(values + far, name)


def test_tolerance_can_be_chosen():
    """The tolerance is an option of set_xindex and stays through slicing, renaming and joins."""
    a, b = axis([0.0, 1, 2], "te"), axis([0.2, 1.2, 2.2], "te")
    a = a.drop_indexes("te").set_xindex("te", AxisIndex, rtol=0.3)
    assert (a + b).size == 3
    kept = a.isel(te=[0, 1]).rename(te="echo").rename(echo="te") + b
    assert kept.xindexes["te"].rtol == 0.3
    assert (b + a).size == 3
    assert xr.concat([a[:1], a[1:]], "te").xindexes["te"].rtol == 0.3


@pytest.mark.parametrize(
    ("mine", "theirs", "common"),
    [
        ([0, 1, 2, 3], [1, 2], [1, 2]),
        ([0, 1, 2, 3], [3, 2, 1, 0], [0, 1, 2, 3]),
        ([3, 2, 1, 0], [0, 1, 2, 3], [3, 2, 1, 0]),
        ([0, 1, 2, 3], [2, 3, 4, 5], [2, 3]),
        ([0, 1, 2, 3, 4], [0, 2, 4], [0, 2, 4]),
        ([0, 2, 4], [0, 1, 2, 3, 4], [0, 2, 4]),
        ([0, 1, 2, 3], [3], [3]),
        ([2, 0, 3], [3, 0], [0, 3]),
        ([0, 1, 2], [2, 3, 4], [2]),
    ],
)
@pytest.mark.parametrize("name", ["time", "slice"])
def test_parts_of_one_grid_intersect(mine, theirs, common, name):
    """Crops, strides, reversed and overlapping axes give their common values, in a's order."""
    noise = 1e-3 * np.random.default_rng(0).normal(size=len(theirs))
    a, b = axis(np.array(mine, float), name), axis(theirs + noise, name)
    total = a + b
    assert total[name].values.tolist() == common
    assert np.allclose(total, 2 * np.array(common), atol=0.01)
    assert type(total.xindexes[name]) is type(a.xindexes[name])


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        ([0, 1, 2], [3, 4, 5]),
        ([0, 1, 2], [0.5, 1.5]),
        ([0, 1, 2, 3], [0, 1.5, 3]),
        ([0, 100, 800], [0, 500, 800]),
        ([5], [6]),
        ([0, 1, 1, 2], [0, 1]),
    ],
)
@pytest.mark.parametrize("name", ["b", "row"])
@pytest.mark.parametrize("combine", [operator.add, lambda a, b: a.where(b > 0)])
def test_different_grids_raise(mine, theirs, name, combine):
    """What shares nothing, or shares its range only in part, never becomes small or empty."""
    a, b = axis(np.array(mine, float), name), axis(np.array(theirs, float), name)
    for one, two in ((a, b), (b, a)):
        with pytest.raises(GridMismatchError):
            combine(one, two)


def test_outer_join_allows_disjoint_parts():
    """Parts of one grid make the whole, in the direction of the first; two grids do not."""
    a, b = along([6.0, 4.0]), along([0.0, 2.0])
    whole = a.combine_first(b)
    assert whole.slice.values.tolist() == [6, 4, 2, 0]
    assert whole.values.tolist() == [6, 4, 2, 0]
    assert whole.slice.attrs == a.slice.attrs
    with pytest.raises(GridMismatchError, match="do not coincide"):
        xr.align(along([0.0, 1, 2, 3]), along([0.0, 1.5, 3]), join="outer")


def test_outer_join_of_acquisitions():
    """b values of two series join into one axis; jitter beyond the tolerance raises."""
    a, b = xr.align(axis([0, 1000], "b"), axis([500, 2000], "b"), join="outer")
    assert a.b.values.tolist() == [0, 500, 1000, 2000]
    assert np.isnan(a.values).tolist() == [False, True, False, True]
    assert b.sel(b=500) == 500
    with pytest.raises(GridMismatchError):
        xr.align(axis([0.0, 1, 2]), axis([0.3, 1.3, 2.3]), join="outer")


@pytest.mark.parametrize("join", ["left", "right", "inner", "outer"])
def test_directions_must_agree(join):
    """Axes that point elsewhere never align, whatever the join; 5e-4 is rounding."""
    a, near = along([0.0, 1, 2]), along([0.0, 1, 2], (4e-4, 0, 1.0))
    assert xr.align(a, near, join=join)[0].size == 3
    with pytest.raises(GridMismatchError, match="different directions"):
        xr.align(a, along([0.0, 1, 2], (0.01, 0, 1.0)), join=join)


def test_axis_without_direction_fits_any():
    """Positions whose direction is not known align by their values."""
    assert (along([0.0, 1]) + axis([0.0, 1], "slice")).size == 2


@pytest.mark.parametrize("join", ["left", "right"])
def test_left_and_right_joins_are_never_all_missing(join):
    """A left or right join of arrays that share nothing raises instead of giving only NaN."""
    with pytest.raises(GridMismatchError):
        xr.align(axis([0.0, 1]), axis([5.0, 6]), join=join)
    with pytest.raises(GridMismatchError):
        axis([0.0, 1]).reindex_like(axis([5.0, 6]))


def test_reindex_like_with_a_method():
    """An explicit method is that of xarray, after the check of directions."""
    a, b = along([0.0, 1, 2]), along([0.4, 1.4])
    assert a.reindex_like(b, method="nearest").values.tolist() == [0, 1]
    with pytest.raises(GridMismatchError):
        a.reindex_like(along([0.4, 1.4], (1.0, 0, 0)), method="nearest")


def test_one_value_remembers_the_step():
    """A single frame or slice cut from a series still aligns within the tolerance of the series."""
    a, b = axis([0.0, 2, 4, 6]), axis([0.05, 2.1, 4.1, 6.05])
    assert (a.isel(time=[2]) - b.isel(time=[2])).item() == pytest.approx(-0.1)
    one, two = along([5.0], spacing=2.0), along([5.015], spacing=2.0)
    assert (one + two).size == 1
    with pytest.raises(GridMismatchError):
        one + along([5.03], spacing=2.0)
    with pytest.raises(GridMismatchError):
        axis([4.6], "te") + axis([4.7], "te")


def test_empty_operands_stay_empty():
    """An axis of length 0 that the caller made is no error."""
    a = along([0.0, 1, 2])
    assert (a + a.isel(slice=slice(0, 0))).size == 0
    assert a.isel(slice=[]).equals(a.isel(slice=slice(0, 0)))


def test_dicom_against_noisy_flipped_mask():
    """A mask as NIfTI stores it (float32 matrix, flipped) selects the same voxels: none is lost."""
    a = image((8, 10, 12))
    matrix = grid_of(a).affine
    flipped = matrix.copy()
    for j, n in enumerate(a.shape):
        flipped[:3, 3] += matrix[:3, j] * (n - 1)
        flipped[:3, j] *= -1
    noisy = flipped.astype(np.float32).astype(np.float64)
    coords = position_coords(grid_from_affine(noisy, a.shape))
    mask = xr.DataArray(a.values[::-1, ::-1, ::-1] > 0, dims=a.dims, coords=coords)
    assert not np.array_equal(mask.row.values[::-1], a.row.values)
    chosen = a.where(mask)
    assert chosen.shape == a.shape
    assert np.array_equal(chosen.notnull(), a.values > 0)
    xr.testing.assert_identical(chosen.row, a.row)
    plain = [x.copy().assign_coords({d: x[d] for d in x.dims}) for x in (a, mask)]
    assert plain[0].where(plain[1]).size == 0  # what the stock index makes of it


# selection -------------------------------------------------------------------------------------


def test_positions_are_nearest_within_half_a_voxel():
    """A number selects the voxel in which it lies; outside, the error says the range in mm."""
    for a in (along([10.0, 12.5, 15.0]), along([15.0, 12.5, 10.0])):
        assert a.sel(slice=13.7) == 12.5
        assert a.sel(slice=11.2500001) == 12.5
        assert a.sel(slice=[9.0, 16.0]).values.tolist() == [10, 15]
        assert a.sel(slice=12) == 12.5
        for outside in (8.7, 16.3, np.nan):
            with pytest.raises(KeyError, match=r"10, 12.5, 15|15, 12.5, 10"):
                a.sel(slice=outside)
        assert a.sel(slice=99, method="nearest") == 15
        assert a.sel(slice=12.51, tolerance=0.1) == 12.5
        with pytest.raises(KeyError):
            a.sel(slice=13, tolerance=0.1)


def test_no_slice_in_the_gap():
    """A number in the gap of a missing slice selects nothing: half a voxel is not half a gap."""
    a = along([0.0, 2.5, 5.0, 10.0, 12.5])
    with pytest.raises(KeyError, match="mm"):
        a.sel(slice=7.5)
    assert a.sel(slice=6.2) == 5


def test_acquisition_values_match_within_tolerance():
    """A number selects its value only; the error lists the values and names method='nearest'."""
    a = axis([0, 50, 800], "b", units="s/mm2")
    assert a.sel(b=50) == a.sel(b=50.4) == a.sel(b=np.int16(50)) == 50
    with pytest.raises(KeyError, match=r"0, 50, 800 s/mm2 \(n=3\); method='nearest'"):
        a.sel(b=60)
    assert a.sel(b=60, method="nearest") == 50
    assert axis([0.0, 2.03, 4.1]).sel(time=[4, 2]).values.tolist() == [4.1, 2.03]


@pytest.mark.parametrize("values", [[1.0, 2, 3, 4, 5], [5.0, 4, 3, 2, 1], [3.0, 1, 5, 2, 4]])
@pytest.mark.parametrize("name", ["slice", "te"])
def test_slices_take_their_ends_in_any_order(values, name):
    """Slices choose by value, on axes in any order, with either end first, in storage order."""
    a = axis(values, name)
    for ends in (slice(2, 4), slice(4, 2), slice(1.99999, 4.0)):
        assert a.sel({name: ends}).values.tolist() == [v for v in values if 2 <= v <= 4]
    assert a.sel({name: slice(4, None)}).values.tolist() == [v for v in values if v >= 4]
    assert a.sel({name: slice(None, 2)}).values.tolist() == [v for v in values if v <= 2]
    assert a.sel({name: slice(None)}).values.tolist() == values
    assert a.sel({name: slice(1, 5, 2)}).values.tolist() == values[::2]
    with pytest.raises(KeyError, match=r"no value in 6 \.\.\. 9"):
        a.sel({name: slice(6, 9)})


def test_labels_of_every_kind():
    """Arrays, Variables and DataArrays select as they do in xarray, points and boxes."""
    a = image()
    s, r = (xr.DataArray(a[d].values[[2, 0]] + 0.1, dims="p") for d in ("slice", "row"))
    assert np.array_equal(a.sel(slice=s, row=r), a.values[[2, 0], [2, 0]])
    assert np.array_equal(a.sel(row=r.values), a.values[:, [2, 0]])
    assert np.array_equal(a.sel(row=xr.Variable("row", r.values)), a.values[:, [2, 0]])
    assert np.array_equal(a.sel(row=a.row > a.row.mean()), a.values[:, a.row > a.row.mean()])
    assert a.sel(slice=float(s[0]), row=float(r[0]), column=a.column[3]) == a[2, 2, 3]
    assert a.loc[{"slice": s[0]}].equals(a[2])
    with pytest.raises((KeyError, ValueError)):
        a.sel(slice="first")


# the index as an object ------------------------------------------------------------------------


def test_attributes_stay():
    """Every way to a new coordinate keeps units, direction and spacing."""
    a = image()
    attrs = a.slice.attrs
    assert set(attrs) == {"units", "direction", "spacing"}
    for b in (
        a[::2],
        a + a[1:],
        a.combine_first(a[1:]),
        a.rename(slice="z").rename(z="slice"),
        a.roll(slice=1, roll_coords=True),
        a.copy(deep=True),
        copy.deepcopy(a),
        pickle.loads(pickle.dumps(a)),
        xr.concat([a[:2], a[2:]], "slice"),
        xr.concat([a[[0]], a[1]], "slice"),
        a.isel(slice=1),
    ):
        assert b.coords["slice"].attrs == attrs
        if "slice" in b.dims:
            assert type(b.xindexes["slice"]) is PositionIndex
            assert b.xindexes["slice"].direction.tolist() == attrs["direction"]


def test_concat_checks_directions():
    """Slices of two orientations do not become one axis."""
    with pytest.raises(GridMismatchError, match="directions"):
        xr.concat([along([0.0, 1]), along([2.0, 3], (0, 1.0, 0))], "slice")
    assert type(AxisIndex.concat([], "time")) is AxisIndex


def test_numbers_only():
    """Strings and dates keep the stock index: the tolerant one refuses them."""
    for values in (["a", "b"], np.array(["2001-01-01"], "M8[ns]")):
        a = xr.DataArray([0] * len(values), dims="time", coords={"time": values})
        with pytest.raises(OptionError, match="takes numbers"):
            a.drop_indexes("time").set_xindex("time", AxisIndex)
        assert type(restore_indexes(a).xindexes["time"]) is PandasIndex


def test_repr_is_short_and_says_the_axis():
    """The repr names the extent, the direction and the tolerance, also of long axes."""
    a = along(np.arange(500.0)).xindexes["slice"]
    assert repr(a) == (
        "PositionIndex('slice': 0, 1, 2, ..., 498, 499 mm (n=500) along [0.0, 0.0, 1.0], rtol=0.01)"
    )
    assert a._repr_inline_(30) == "PositionIndex(0, 1, 2, ..., 49"
    assert "AxisIndex" in repr(axis([0.0, 1]).xindexes)


def test_equals_is_strict_about_kind_and_dimension():
    """An index is equal only to one of its kind, dimension, length and direction."""
    a = along([0.0, 1]).xindexes["slice"]
    assert a.equals(along([1e-9, 1]).xindexes["slice"])
    assert not a.equals(PandasIndex([0.0, 1], "slice"))
    assert not a.equals(along([0.0, 1, 2]).xindexes["slice"])
    assert not a.equals(along([0.0, 1], (1.0, 0, 0)).xindexes["slice"])
    assert not a.equals(axis([0.0, 1], "row").xindexes["row"])


@EXAMPLES
@given(
    step=st.floats(0.01, 100),
    start=st.floats(-1e3, 1e3),
    n=st.integers(1, 12),
    noise=st.integers(0, 99),
    cut=st.slices(12),
)
def test_noise_never_changes_an_intersection(step, start, n, noise, cut):
    """With noise well below 1 % of a step, a sum has the values of the intersection by index."""
    values = start + step * np.arange(n)
    jitter = 4e-3 * step * np.random.default_rng(noise).uniform(-1, 1, n)
    a, b = along(values, spacing=step), along(values + jitter, spacing=step)
    part = b.isel(slice=cut)
    if not part.size:
        return
    expected = np.sort(np.arange(n)[cut])
    for total in (a + part, a.where(part.notnull()), a.reindex_like(part).sortby("slice")):
        assert np.allclose(total.slice, values[expected], rtol=0, atol=0.005 * step)
        assert total.notnull().all()


@EXAMPLES
@given(a=st.lists(st.integers(-8, 8), min_size=1, unique=True), shift=st.integers(-9, 9))
def test_a_sum_is_never_silently_empty(a, shift):
    """Whatever the axes, a sum has a voxel for each common value, or raises."""
    one, two = axis(np.array(a, float)), axis(np.array(a, float) + shift)
    common = set(a) & {v + shift for v in a}
    try:
        total = one + two
    except GridMismatchError:
        assert shift
    else:
        assert set(total.time.values) == common
        assert total.size


# the grid from the coordinates -----------------------------------------------------------------


def test_grid_comes_back():
    """position_coords and grid_of are inverse, with spacing, on arrays and datasets."""
    a = image()
    for obj in (a, a.to_dataset(), a.T, a.expand_dims("time")):
        grid = grid_of(obj)
        assert grid.shape == a.shape
        assert np.allclose(grid.spacing, (2.5, 1.2, 0.9))
        for name, one in zip(("slice", "row", "column"), grid.axes, strict=True):
            assert np.array_equal(one.values, a[name].values)
            assert list(one.direction) == a[name].attrs["direction"]
    points = grid_of(a).points()
    assert np.array_equal(grid_of(a.isel(slice=3)).points(), points[3:4])
    assert np.array_equal(grid_of(a[1:, ::-1, ::2]).points(), points[1:, ::-1, ::2])
    assert np.allclose(grid_of(a.isel(slice=3)).spacing, (2.5, 1.2, 0.9))


def test_spacing_of_one_slice():
    """One slice keeps its thickness; without any, the coordinates have no spacing."""
    assert grid_of(image((1, 2, 2))).spacing[0] == 2.0
    one = Axis([0.0, 1.0], (0, 1, 0), 1.0)
    coords = position_coords(Grid(Axis([5.0], (0, 0, 1)), one, Axis([0.0, 1.0], (1, 0, 0), 1.0)))
    assert "spacing" not in coords["slice"].attrs
    with pytest.raises(GeometryError, match=r"'slice'.*spacing"):
        _ = grid_of(xr.Dataset(coords=coords)).spacing


def broken(name):
    a = image()
    plain = a.drop_indexes("row")
    return {
        "reduced": lambda: a.mean("row"),
        "dropped": lambda: a.drop_vars("row"),
        "attributes lost": a.drop_attrs,
        "renumbered": lambda: a.assign_coords(row=np.arange(5)),
        "padded": lambda: a.pad(row=1),
        "stacked": lambda: a.reset_index("row").rename(row="x").assign_coords(row=("x", range(5))),
        "bad direction": lambda: plain.assign_coords(row=plain.row.assign_attrs(direction=[0, 3])),
        "empty": lambda: a.isel(row=[]),
    }[name]()


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("reduced", r"obj.assign_coords\(row=image.row\), or image.row\[0\]"),
        ("dropped", "assign_coords"),
        ("attributes lost", "lost attrs"),
        ("renumbered", "lost attrs"),
        ("padded", "restore_indexes"),
        ("stacked", "unstack"),
        ("bad direction", "coordinate 'row': direction"),
        ("empty", "coordinate 'row': positions"),
    ],
)
def test_missing_geometry_names_the_remedy(name, remedy):
    """Without a place in the patient there is an error that says what to do, never a guess."""
    with pytest.raises(GeometryError, match=remedy):
        grid_of(broken(name))


def test_remedies_work():
    """What the messages advise gives an array that works."""
    a = image()
    b = restore_indexes(a.assign_coords(row=a.row + 0.3))
    with pytest.raises(GridMismatchError):
        a + b
    assert (a + b.assign_coords(row=a.row)).shape == a.shape
    assert (a + restore_indexes(b.interp_like(a[:, 1:]))).shape == (4, 4, 6)
    top = a.max("slice").assign_coords(slice=a.slice[0])
    assert grid_of(top).shape == (1, 5, 6)
    assert grid_of(broken("dropped").assign_coords(row=a.row)).shape == a.shape
    t, u = axis([0.0, 1, 2]), axis([0.3, 1.3, 2.3])
    assert (t + u.assign_coords(time=t.time)).size == 3
    near = u.sel(time=t.time.values, method="nearest").assign_coords(time=t.time)
    assert (t + near).size == 3
    assert (t[1:] + u.interp(time=t.time.values[1:])).size == 2


def test_restore_after_pad_and_coarsen():
    """restore_indexes continues an even axis into the padding, and knows every axis again."""
    a = image().expand_dims(time=[0.0, 1.0]).pad(row=(2, 1), time=(0, 1))
    b = restore_indexes(a)
    step = float(image().row[1] - image().row[0])
    assert np.allclose(b.row.diff("row"), step)
    assert np.allclose(b.time, [0, 1, 2])
    assert type(b.xindexes["row"]) is PositionIndex
    assert type(b.xindexes["time"]) is AxisIndex
    assert restore_indexes(b) is b
    assert grid_of(b).shape == (4, 8, 6)
    uneven = along([0.0, 1, 5]).pad(slice=1)
    assert np.isnan(restore_indexes(uneven).slice).sum() == 2
    echo = xr.DataArray([1.0, 2], dims="echo", coords={"echo": [1, 2]})
    assert type(restore_indexes(echo).xindexes["echo"]) is PandasIndex
    assert type(restore_indexes(echo, axes=["echo"]).xindexes["echo"]) is AxisIndex


def test_restore_accepts_arrays_as_direction():
    """A direction that a file gave back as an array becomes a list of floats again."""
    a = image()
    row = a.row.variable.copy()
    row.attrs["direction"] = np.array(row.attrs["direction"])
    row.attrs["spacing"] = np.float64(row.attrs["spacing"])
    b = restore_indexes(a.drop_indexes("row").assign_coords(row=("row", row.data, row.attrs)))
    assert b.row.attrs["direction"] == a.row.attrs["direction"]
    assert type(b.row.attrs["direction"]) is list
    assert (a + b).shape == a.shape
    assert np.array_equal(grid_of(b).points(), grid_of(a).points())
