"""Grids to resample onto: another voxel size, even and rectangular."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from imagedata_xr.errors import GeometryError, OptionError
from imagedata_xr.geometry import Axis, Grid, canonical
from imagedata_xr.schema import SPATIAL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["even_grid"]

# Sine of the angle: cosines in headers are rounded, gantries tilt by degrees.
RECTANGULAR: Final = 1e-3
SAME_STEP: Final = 1e-6


def even_grid(grid: Grid, spacing: float | Sequence[float] | Mapping[str, float] | None) -> Grid:
    """
    Return an even, rectangular grid over the field of view of another.

    An axis that is even and keeps its spacing keeps its positions. Others have their field of
    view, with half a voxel at both ends, filled with the new voxels from its middle. Where the
    slices are tilted against the rows, the new ones are stacked along the normal, and rows and
    columns are as many as the sheared stack needs.

    Parameters
    ----------
    grid : Grid
    spacing : float, sequence or mapping, or None
        New distance in mm: of all axes, of slices, rows and columns, or of those named. None: that
        of the image; of uneven slices, the most usual one.

    Raises
    ------
    OptionError
        The spacing is not positive, or has other axes.
    GeometryError
        An axis has one position, and nothing says how thick it is.
    """
    steps = _steps(grid, spacing)
    directions = grid.directions
    normal = np.cross(directions[:, 1], directions[:, 2])
    normal /= np.linalg.norm(normal)
    tilt = float(np.linalg.norm(np.cross(normal, directions[:, 0])))
    ranges = [_range(axis) for axis in grid.axes]
    if tilt <= RECTANGULAR:
        axes = [
            _filled(axis, step, limits)
            for axis, step, limits in zip(grid.axes, steps, ranges, strict=True)
        ]
        return Grid(*axes)
    upright = np.column_stack([canonical(normal), directions[:, 1:]])
    ends = np.stack(np.meshgrid(*(axis.values[[0, -1]] for axis in grid.axes)), -1).reshape(-1, 3)
    along = np.linalg.solve(upright, directions @ ends.T)
    axes = []
    for j, (axis, step) in enumerate(zip(grid.axes, steps, strict=True)):
        half = 0.5 * _usual(axis) * (abs(float(normal @ directions[:, 0])) if j == 0 else 1.0)
        low, high = float(along[j].min()) - half, float(along[j].max()) + half
        found = _axis(upright[:, j], step, (low, high))
        axes.append(_in_order(found, axis))
    return Grid(*axes)


def _steps(grid: Grid, spacing: Any) -> list[float]:
    usual = [_usual(axis) for axis in grid.axes]
    if spacing is None:
        return usual
    if isinstance(spacing, dict):
        strange = set(spacing) - set(SPATIAL)
        if strange:
            raise OptionError(f"spacing of {sorted(map(str, strange))}: axes are {SPATIAL}")
        wanted: Any = [spacing.get(name, one) for name, one in zip(SPATIAL, usual, strict=True)]
    else:
        wanted = [spacing] * 3 if np.ndim(spacing) == 0 else spacing
    try:
        steps = np.asarray(wanted, dtype=np.float64)
    except (TypeError, ValueError):
        steps = np.empty(0)
    if steps.shape != (3,) or not (np.isfinite(steps).all() and (steps > 0).all()):
        raise OptionError(
            f"spacing={spacing!r}: give a positive number of mm, three of them (slice, row, "
            "column), or e.g. {'slice': 2.0}"
        )
    return [float(one) for one in steps]


def _usual(axis: Axis) -> float:
    """Return the most usual distance of neighbours."""
    try:
        return abs(axis.step)
    except GeometryError:
        if axis.size == 1:
            raise
    return float(np.median(np.abs(np.diff(axis.values))))


def _range(axis: Axis) -> tuple[float, float]:
    half = 0.5 * _usual(axis)
    return float(axis.values.min()) - half, float(axis.values.max()) + half


def _filled(axis: Axis, step: float, limits: tuple[float, float]) -> Axis:
    try:
        same = abs(abs(axis.step) - step) <= SAME_STEP * step
    except GeometryError:
        same = False
    if same:
        return axis
    return _in_order(_axis(np.asarray(axis.direction), step, limits), axis)


def _axis(direction: NDArray[np.floating], step: float, limits: tuple[float, float]) -> Axis:
    low, high = limits
    count = max(1, round((high - low) / step))
    first = 0.5 * (low + high) - 0.5 * (count - 1) * step
    x, y, z = (float(one) for one in direction)
    return Axis(first + step * np.arange(count) + 0.0, (x, y, z), step)


def _in_order(found: Axis, like: Axis) -> Axis:
    """Let the positions descend where those of the other axis do."""
    if like.values[-1] < like.values[0]:
        return Axis(found.values[::-1], found.direction, found.spacing)
    return found
