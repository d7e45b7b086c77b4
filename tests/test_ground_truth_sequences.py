"""Random sequences of xarray operations on random stacks: every voxel at its place, or an error."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_ground_truth import OFFSET, OPERATIONS, SPATIAL, WEIGHTS, claimed, dressed

from imagedata_xr.errors import ImagedataError
from imagedata_xr.geometry import stack_grid
from imagedata_xr.index import position_coords, restore_indexes

NAMES = [
    *("isel", "isel fancy", "isel boolean", "stride", "reverse", "sel number", "sel slice"),
    *("sel slice turned", "drop_isel", "head tail thin", "where drop", "transpose", "expand_dims"),
    *("rename and back", "swap_dims", "stack", "sortby", "roll with coordinates", "chunk", "copy"),
    *("pickle", "to_dict", "reset_index", "add", "add in place", "add crop", "add stride"),
    *("add reversed", "add overlap", "where", "xr.where", "fillna", "combine_first", "clip"),
    *(
        "apply_ufunc",
        "align outer",
        "align left",
        "align exact",
        "reindex_like",
        "Dataset",
        "merge",
    ),
    *("concat slices", "concat one by one", "combine_by_coords", "quantile", "coarsen", "interp"),
    *("interp scalar", "interp_like", "map_blocks", "broadcast", "astype", "groupby slice"),
]
# What xarray itself raises where an operation does not fit the array: loud, and none of ours.
LOUD = (ImagedataError, xr.AlignmentError, KeyError, ValueError, IndexError, TypeError)


@st.composite
def stacks(draw):
    """Draw an image whose value is a linear function of the position: any plane, tilt and gaps."""
    turn = np.linalg.qr(np.random.default_rng(draw(st.integers(0, 9999))).normal(size=(3, 3)))[0]
    if draw(st.booleans()):
        turn = np.eye(3)[list(draw(st.permutations(range(3))))] * draw(st.sampled_from([1, -1]))
    steps = draw(st.lists(st.integers(50, 900), min_size=4, max_size=8))
    if draw(st.booleans()):
        steps = [steps[0]] * len(steps)
    depth = np.cumsum([0, *steps]) / 100
    tilt = draw(st.sampled_from([0, 0, 0.25]))
    corner = np.array(draw(st.tuples(*[st.integers(-3000, 3000)] * 3))) / 10
    along = np.cross(turn[0], turn[1]) + tilt * turn[1]
    spacing = (draw(st.integers(20, 500)) / 100, draw(st.integers(20, 500)) / 100)
    shape = (draw(st.integers(4, 8)), draw(st.integers(5, 9)))
    grid, _ = stack_grid(corner + depth[:, None] * along, np.r_[turn[0], turn[1]], spacing, shape)
    values = np.broadcast_to(grid.points() @ WEIGHTS + OFFSET, (3, len(depth), *shape)).copy()
    time = xr.Variable("time", 2.0 * np.arange(3), {"units": "s"})
    coords = {**position_coords(grid), "time": time}
    return dressed(values, ("time", *SPATIAL), coords, seed=1)


def off(result):
    """The largest difference between known values and what the coordinates claim; None without any."""
    if any(name not in result.coords or "direction" not in result[name].attrs for name in SPATIAL):
        return None
    assert result.size, "an empty result"
    # Positions that nobody knows, as of a padded voxel, claim nothing.
    known = abs(result.variable - claimed(result)).to_numpy()
    known = known[np.isfinite(known)]
    return float(known.max()) if known.size else None


@pytest.mark.filterwarnings("ignore::FutureWarning")
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(image=stacks(), names=st.lists(st.sampled_from(NAMES), min_size=1, max_size=5))
def test_any_sequence_is_exact_or_loud(image, names):
    """Whatever is done one after the other, no voxel says that it is somewhere else."""
    for name in names:
        if min(image.shape, default=0) < 3:
            # The operations choose parts by number: of fewer, some choose none.
            return
        try:
            image = OPERATIONS[name](image, image.copy(deep=True))
            image = restore_indexes(image)
        except LOUD:
            return
        image = image.compute()
        found = off(image)
        if found is None:
            return
        assert found < 1e-8, f"{name}: {found}"
