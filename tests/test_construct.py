"""Arrays with a matrix become labelled images, and nothing about their place is made up."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from nifti_images import FLIPS, PLANES, rotation

from imagedata_xr import from_array
from imagedata_xr.errors import GeometryError, OptionError
from imagedata_xr.index import AxisIndex, PositionIndex

VALUES = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
DIMS = ("time", "slice", "row", "column")


def matrix(directions, steps=(3.5, 2.0, 1.25), corner=(-41.5, 17.25, 96.0)):
    found = np.eye(4)
    found[:3, :3] = directions * steps
    found[:3, 3] = corner
    return found


@pytest.mark.parametrize("flip", FLIPS)
@pytest.mark.parametrize("plane", PLANES)
def test_matrix_there_and_back(plane, flip):
    """The matrix of the made image is the matrix that was given, and so are the values."""
    affine = matrix(PLANES[plane] * flip)
    da = from_array(VALUES, dims=DIMS, affine=affine, coords={"time": [0, 2.5]})
    values, found = da.med.to_numpy_affine()
    np.testing.assert_array_equal(values, VALUES)
    np.testing.assert_allclose(found, affine, rtol=0, atol=1e-12)
    np.testing.assert_allclose(da.med.to_numpy_affine(space="RAS")[1][:2], -affine[:2], atol=1e-12)
    assert type(da.xindexes["row"]) is PositionIndex
    assert type(da.xindexes["time"]) is AxisIndex
    assert da.time.attrs["units"] == "s"


@given(order=st.permutations(DIMS), seed=st.integers(0, 50))
def test_any_order_of_axes(order, seed):
    """Whatever the order of axes, each voxel gets its place; dimensions stand in one order."""
    affine = matrix(rotation(seed))
    spatial = [n for n in order if n != "time"]
    turned = VALUES.transpose([DIMS.index(n) for n in order])
    columns = [("slice", "row", "column").index(n) for n in spatial]
    da = from_array(turned, dims=order, affine=affine[:, [*columns, 3]])
    assert da.dims == DIMS
    np.testing.assert_array_equal(da.values, VALUES)
    np.testing.assert_allclose(da.med.affine, affine, rtol=0, atol=1e-9)


def test_parts_of_a_matrix():
    """Spacing, origin and orientation say what a matrix says."""
    turn = rotation(3)
    parts = {"spacing": (3.5, 2, 1.25), "orientation": turn, "origin": (-41.5, 17.25, 96)}
    one = from_array(VALUES[0], affine=matrix(turn))
    np.testing.assert_allclose(from_array(VALUES[0], **parts).med.affine, one.med.affine)
    ras = from_array(VALUES[0], affine=np.diag([-1, -1, 1, 1]) @ matrix(turn), space="RAS")
    np.testing.assert_allclose(ras.med.affine, one.med.affine)


def test_nothing_is_made_up():
    """Without a place there is none: sizes in mm alone, or no coordinates at all."""
    plain = from_array(VALUES[0])
    assert plain.dims == ("slice", "row", "column")
    assert not plain.coords
    sized = from_array(VALUES[0], spacing=(3.5, 2, 1.25))
    assert sized.slice.values.tolist() == [0, 3.5, 7]
    with pytest.raises(GeometryError, match="direction"):
        _ = sized.med.affine
    for some in ({"origin": (0, 0, 0)}, {"spacing": (1, 1, 1), "origin": (0, 0, 0)}):
        with pytest.raises(GeometryError, match="without"):
            from_array(VALUES[0], **some)


def test_coordinates():
    """Labels may repeat only along ``volume``; values of frames may have any dimensions."""
    b = [0, 1000]
    da = from_array(
        VALUES,
        dims=("volume", "slice", "row", "column"),
        coords={
            "b": ("volume", b),
            "te": 30.0,
            "slice_time": (("volume", "slice"), np.ones((2, 3))),
        },
    )
    assert da.b.attrs["units"] == "s/mm2"
    assert da.te == 30
    source = xr.DataArray([0.0, 1.0], dims="time", attrs={"note": "kept"})
    made = from_array(VALUES, dims=DIMS, coords={"time": source})
    assert made.time.attrs == {"note": "kept", "units": "s"}
    assert source.attrs == {"note": "kept"}
    colours = from_array(np.zeros((3, 4, 4), "u1"), dims=("row", "column", "rgb"))
    assert colours.rgb.values.tolist() == ["R", "G", "B", "A"]


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({}, "name them"),
        ({"dims": ("a", "b")}, "one name for each"),
        ({"dims": ("time", "time", "row", "column")}, "one name for each"),
        ({"dims": ("a", "b", "c", "d")}, "row"),
        ({"dims": ("rgb", "slice", "row", "column")}, "3 or 4"),
        ({"dims": DIMS, "space": "MNI"}, "space"),
        ({"dims": DIMS, "coords": {"time": [1, 1]}}, "repeat"),
        ({"dims": DIMS, "coords": {"time": [1, 2, 3]}}, "sizes"),
        ({"dims": DIMS, "coords": {"time": [0, np.nan]}}, "not finite"),
        ({"dims": DIMS, "coords": {"slice": [1, 2, 3]}}, "follows"),
        ({"dims": DIMS, "coords": {"te": [1, 2]}}, "te"),
        ({"dims": DIMS, "affine": np.eye(4), "spacing": (1, 1, 1)}, "leave out"),
        ({"dims": DIMS, "affine": np.eye(3)}, "shape"),
        ({"dims": DIMS, "affine": np.full((4, 4), np.nan)}, "finite"),
        ({"dims": DIMS, "affine": np.diag([1, 0, 1, 1])}, "inverted"),
        ({"dims": DIMS, "affine": "no"}, "numbers"),
        ({"dims": DIMS, "spacing": (1, 0, 1)}, "positive"),
        ({"dims": ("a", "b", "row", "column"), "affine": np.eye(4)}, "slice"),
    ],
)
def test_what_does_not_fit(options, word):
    """Each contradiction is an error that names it."""
    with pytest.raises((OptionError, GeometryError), match=word):
        from_array(VALUES, **options)


def test_dask_stays_lazy():
    """A Dask array is neither computed nor copied."""
    dask = pytest.importorskip("dask.array")
    da = from_array(dask.from_array(VALUES, chunks=(1, 3, 4, 5)), dims=DIMS, affine=np.eye(4))
    assert da.chunks is not None
    np.testing.assert_array_equal(da.values, VALUES)
