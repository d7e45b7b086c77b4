"""Where the pixels of an image lie, for outlines: also of images without a place in the patient."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import xarray as xr

from imagedata_xr.errors import GridMismatchError
from imagedata_xr.geometry import Axis, Grid
from imagedata_xr.index import grid_of
from imagedata_xr.schema import COLUMN, DIRECTION, ROW, SLICE, SPACING, SPATIAL

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from numpy.typing import NDArray

__all__ = ["cell_sizes", "grid_for", "has_place", "on_image", "spatial_like"]

REMEDY: Final = "over.med.resample_like(image) takes it there"
# Of the voxel size, as the index has it.
SAME_PLACE: Final = 0.01
_FLAT = {SLICE: (0.0, 0.0, 1.0), ROW: (0.0, 1.0, 0.0), COLUMN: (1.0, 0.0, 0.0)}


def has_place(like: xr.DataArray) -> bool:
    """Tell whether an image has a place in the patient; projections and ultrasound have none."""
    return SLICE in like.coords or any(
        DIRECTION in like.coords[name].attrs for name in (ROW, COLUMN) if name in like.coords
    )


def grid_for(like: xr.DataArray) -> Grid:
    """
    Return the grid of an image.

    Where the image has no place in the patient, x is the position along the columns, y that
    along the rows (mm where they are known, else pixels), and z is 0.
    """
    if has_place(like):
        return grid_of(like)
    axes = []
    for name in SPATIAL:
        size = like.sizes.get(name, 1)
        known = name in like.coords
        values = np.atleast_1d(like.coords[name]) if known else np.arange(size, dtype=np.float64)
        spacing = like.coords[name].attrs.get(SPACING, 1.0) if known else 1.0
        axes.append(Axis(values, _FLAT[name], float(spacing)))
    return Grid(*axes)


def spatial_like(
    like: xr.DataArray, values: NDArray[np.generic], leading: Sequence[Hashable] = ()
) -> xr.DataArray:
    """
    Give values the dimensions, coordinates and indexes of an image.

    Parameters
    ----------
    like : DataArray
    values : ndarray
        Over the dimensions `leading`, then all of slice, row, column (of size 1 where the image
        has them no more).
    leading : sequence of str
        Acquisition dimensions of the image.

    Returns
    -------
    DataArray
        Dimensions in the order of the image; other coordinates are left out.
    """
    kept = [name for name in SPATIAL if name in like.dims]
    gone = tuple(k + len(leading) for k, name in enumerate(SPATIAL) if name not in kept)
    named = xr.DataArray(np.squeeze(values, axis=gone), dims=[*leading, *kept])
    coords = like.coords.to_dataset()
    others = [name for name in coords.variables if name not in {*SPATIAL, *leading}]
    order = [name for name in like.dims if name in named.dims]
    return named.transpose(*order).assign_coords(coords.drop_vars(others).coords)


def cell_sizes(axis: Axis) -> NDArray[np.float64]:
    """
    Return how much of an axis belongs to each position, mm, shape (n,).

    That is half the distance to both neighbours, at an end to its one neighbour; the step where
    positions are even, and the spacing of a single one (NaN where it is not known).
    """
    if axis.size == 1:
        return np.array([np.nan if axis.spacing is None else axis.spacing])
    order = np.argsort(axis.values, kind="stable")
    gaps = np.diff(axis.values[order])
    sizes = np.empty(axis.size)
    sizes[order] = 0.5 * (np.append(gaps[:1], gaps) + np.append(gaps, gaps[-1:]))
    return sizes


def on_image(over: xr.DataArray, da: xr.DataArray) -> xr.DataArray:
    """
    Return an overlay on all voxels of an image: False, 0 or NaN where it has none.

    Parameters
    ----------
    over, da : DataArray

    Raises
    ------
    GridMismatchError
        It has other dimensions, or lies elsewhere.
    """
    strange = [name for name in over.dims if name not in da.dims]
    if strange:
        raise GridMismatchError(
            f"the overlay has the dimensions {list(over.dims)}, the image {list(da.dims)}: take "
            f"one, e.g. isel({strange[0]}=0)"
        )
    for name in SPATIAL:
        if name in da.dims and name not in over.dims and da.sizes[name] > 1:
            raise GridMismatchError(
                f"the overlay has no dimension {name!r}, the image has: {REMEDY}"
            )
        if name in da.dims or not (name in da.coords and name in over.coords):
            continue
        apart = abs(float(da.coords[name]) - float(over.coords[name]))
        size = float(da.coords[name].attrs.get(SPACING, 1.0))
        if apart > SAME_PLACE * size:
            raise GridMismatchError(
                f"the overlay lies {apart:g} mm beside the image along {name!r}: {REMEDY}"
            )
    kept = over.drop_vars([name for name in over.coords if name not in over.dims])
    for dim in over.dims:
        if dim not in over.coords and over.sizes[dim] != da.sizes[dim]:
            raise GridMismatchError(
                f"the overlay has {over.sizes[dim]} positions along {dim!r}, the image "
                f"{da.sizes[dim]}, and none says where they are"
            )
    fill: Any = np.nan if over.dtype.kind == "f" else np.zeros((), over.dtype)[()]
    others = [name for name in da.coords if name not in over.dims]
    target = da.coords.to_dataset().drop_vars(others)
    found: xr.DataArray = kept.reindex_like(target, fill_value=fill)
    return found
