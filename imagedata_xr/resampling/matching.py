"""The same voxels in another order, or on coordinates that are the same but for rounding."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import permutations
from typing import TYPE_CHECKING, Final

import numpy as np
import xarray as xr

from imagedata_xr import schema
from imagedata_xr.errors import GridMismatchError, OptionError
from imagedata_xr.index import grid_of, position_coords, restore_indexes

if TYPE_CHECKING:
    from collections.abc import Hashable

    from numpy.typing import NDArray

    from imagedata_xr.geometry import Grid

    Floats = NDArray[np.floating]

__all__ = ["align", "reorient"]

# Axis of the patient (x, y, z of LPS) and sense.
TOWARD: Final = {"L": (0, 1), "R": (0, -1), "P": (1, 1), "A": (1, -1), "S": (2, 1), "I": (2, -1)}
OTHER_NAMES: Final = {"H": "S", "F": "I"}
ORDER: Final = (schema.COLUMN, schema.ROW, schema.SLICE)


def reorient(da: xr.DataArray, orientation: str) -> xr.DataArray:
    """
    Return the same voxels with axes turned round and swapped, so that they run as asked.

    Nothing is interpolated: an oblique image stays oblique, each axis as near to the direction as
    it goes. Lazy arrays stay lazy.

    Parameters
    ----------
    da : DataArray
    orientation : str
        Where increasing column, row and slice index lead, the order of ITK and nibabel: one each
        of L/R, P/A, S/I (or H/F). ``"LPS"``: as axial DICOM images from the feet to the head;
        ``"RAS"``: as nibabel's canonical images.

    Returns
    -------
    DataArray
        Where axes are swapped, coordinates of single frames are left out: the new slices are none
        of the source.

    Raises
    ------
    OptionError
        The letters do not name three axes.
    GeometryError
        The image has no place in the patient.

    Examples
    --------
    >>> resampling.reorient(series.isel(time=0), "RAS").med.orientation[2].tolist()
    [1.0, 0.0, 0.0]
    """
    wanted = _senses(orientation)
    vectors = grid_of(da).orientation  # columns: slice, row, column; rows: x, y, z
    axis_of = {name: wanted[k][0] for k, name in enumerate(ORDER)}
    new_of = _assigned(np.abs(vectors), [axis_of[name] for name in schema.SPATIAL])
    sense = {name: wanted[k][1] for k, name in enumerate(ORDER)}
    flips = {
        old: slice(None, None, -1)
        for j, old in enumerate(schema.SPATIAL)
        if vectors[axis_of[new_of[old]], j] * sense[new_of[old]] < 0 and old in da.dims
    }
    turned = da.isel(flips)
    if all(old == new for old, new in new_of.items()):
        return turned
    stale = [n for n, c in turned.coords.items() if n not in schema.SPATIAL and _is_placed(c)]
    turned = turned.drop_vars([*stale, *_scalars_of_frames(turned)])
    turned = restore_indexes(turned.rename({o: n for o, n in new_of.items() if o in turned.coords}))
    colour = [schema.RGB] if schema.RGB in turned.dims else []
    spatial = [name for name in schema.SPATIAL if name in turned.dims]
    return turned.transpose(..., *spatial, *colour)


def align(
    da: xr.DataArray,
    other: xr.DataArray | xr.Dataset,
    *,
    tolerance: float | Mapping[str, float] = 0.1,
) -> xr.DataArray:
    """
    Return an image with the coordinates of another one, where they are the same within a tolerance.

    Voxels keep their values. Axes that run the other way are turned round. Afterwards the two can
    be combined: headers, converters and scanners round differently, and time stamps jitter.

    Parameters
    ----------
    da : DataArray
    other : DataArray or Dataset
    tolerance : float or mapping
        How far a voxel may be from its counterpart, mm; or by dimension, in its own units, as
        ``{"slice": 0.2, "time": 0.5}``: dimensions that are not named then stay as they are, but
        the place in the patient is compared within 0.1 mm.

    Returns
    -------
    DataArray

    Raises
    ------
    GridMismatchError
        The grids differ by more; the message says by how much.
    GeometryError
        An image has no place in the patient.
    OptionError
        The tolerance is not positive, or names an unknown dimension.

    Examples
    --------
    >>> other = series.assign_coords(row=series.row + 0.05)
    >>> bool((resampling.align(other, series).row == series.row).all())
    True
    """
    named = dict(tolerance) if isinstance(tolerance, Mapping) else {}
    space = 0.1 if isinstance(tolerance, Mapping) else tolerance
    margins = {name: float(named.pop(name, space)) for name in schema.SPATIAL}
    if not all(np.isfinite(one) and one > 0 for one in [*margins.values(), *named.values()]):
        raise OptionError(f"tolerance={tolerance!r}: give positive numbers")
    mine, theirs = grid_of(da), grid_of(other)
    da = da.isel(_flips(da, mine, theirs))
    mine = grid_of(da)
    if mine.shape != theirs.shape:
        raise GridMismatchError(
            f"the image has {mine.shape} slices, rows and columns, the other {theirs.shape}: "
            "da.med.resample_like(other) takes it there, or select the same part of both"
        )
    _check_places(mine, theirs, margins)
    coords = position_coords(theirs)
    kept = [name for name in schema.SPATIAL if name in da.dims]
    placed = xr.Coordinates(
        {n: coords[n].variable for n in kept}, {n: coords.xindexes[n] for n in kept}
    )
    scalars = {n: coords[n].isel({n: 0}).variable for n in schema.SPATIAL if n not in kept}
    da = da.assign_coords(placed).assign_coords(scalars)
    for name, margin in named.items():
        da = _aligned_along(da, other, name, margin)
    return da


def _senses(orientation: str) -> list[tuple[int, int]]:
    letters = [OTHER_NAMES.get(letter, letter) for letter in str(orientation).upper()]
    if len(letters) != 3 or {TOWARD.get(one, (-1, 0))[0] for one in letters} != {0, 1, 2}:
        raise OptionError(
            f"orientation={orientation!r}: give one each of L/R, P/A and S/I, for where columns, "
            "rows and slices lead, e.g. 'LPS' or 'RAS'"
        )
    return [TOWARD[one] for one in letters]


def _assigned(cosines: Floats, axes: list[int]) -> dict[str, str]:
    """Return for each old axis the new one whose direction it is nearest to, all in all."""
    best = max(permutations(range(3)), key=lambda p: sum(cosines[axes[p[j]], j] for j in range(3)))
    return {old: schema.SPATIAL[best[j]] for j, old in enumerate(schema.SPATIAL)}


def _is_placed(coord: xr.DataArray) -> bool:
    return bool(set(coord.dims) & set(schema.SPATIAL))


def _scalars_of_frames(da: xr.DataArray) -> list[Hashable]:
    return [schema.FRAME] if schema.FRAME in da.coords and not da.coords[schema.FRAME].dims else []


def _flips(da: xr.DataArray, mine: Grid, theirs: Grid) -> dict[str, slice]:
    flips = {}
    for name, a, b in zip(schema.SPATIAL, mine.axes, theirs.axes, strict=True):
        same = float(np.dot(a.direction, b.direction)) > 0
        rises = [axis.values[-1] >= axis.values[0] for axis in (a, b)]
        if name in da.dims and a.size > 1 and (rises[0] == rises[1]) != same:
            flips[name] = slice(None, None, -1)
    return flips


def _check_places(mine: Grid, theirs: Grid, margins: Mapping[str, float]) -> None:
    """Compare where voxels lie, in the basis of the other grid."""
    for j in range(3):
        # Along one axis of voxels at a time; differences are linear along the others.
        a, b = (_corners_along(grid, j) for grid in (mine, theirs))
        off = np.abs(np.linalg.solve(theirs.directions, (a - b).T).T)
        apart = float(np.linalg.norm(a - b, axis=1).max())
        for k, other in enumerate(schema.SPATIAL):
            if off[:, k].max() > margins[other]:
                raise GridMismatchError(
                    f"voxels lie up to {apart:.4g} mm from those of the other image, "
                    f"{off[:, k].max():.4g} mm along {other!r}, more than the tolerance of "
                    f"{margins[other]:g} mm: da.med.resample_like(other) takes the image there"
                )


def _corners_along(grid: Grid, j: int) -> Floats:
    """Return the positions of all voxels on the four edges of the grid along one axis."""
    ends = [axis.values[[0, -1]] if k != j else axis.values for k, axis in enumerate(grid.axes)]
    along = np.stack(np.meshgrid(*ends, indexing="ij"), -1).reshape(-1, 3)
    return np.asarray(along @ grid.directions.T)


def _aligned_along(
    da: xr.DataArray, other: xr.DataArray | xr.Dataset, name: str, margin: float
) -> xr.DataArray:
    if name not in da.coords or name not in other.coords:
        raise OptionError(f"tolerance of {name!r}: not both images have this coordinate")
    a, b = np.atleast_1d(da.coords[name].values), np.atleast_1d(other.coords[name].values)
    if a.shape != b.shape:
        raise GridMismatchError(
            f"{name!r} has {a.size} and {b.size} values: select the same ones first, "
            f"da.sel({name}=other.{name}.values, method='nearest')"
        )
    apart = float(np.abs(a - b).max())
    if not apart <= margin:
        raise GridMismatchError(
            f"{name!r} differs by up to {apart:g}, more than the tolerance of {margin:g}"
        )
    coord = other.coords[name]
    return restore_indexes(
        da.assign_coords({name: (da.coords[name].dims, coord.values, coord.attrs)})
    )
