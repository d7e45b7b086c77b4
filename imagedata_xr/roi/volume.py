"""Which voxels of a grid lie inside planar outlines, whatever the two have to do with each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

from imagedata_xr.errors import GeometryError
from imagedata_xr.roi.place import cell_sizes
from imagedata_xr.roi.raster import inside, on_lattice

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from imagedata_xr.geometry import Axis, Grid
    from imagedata_xr.roi.model import Contour

    Floats: TypeAlias = NDArray[np.floating]
    Bools: TypeAlias = NDArray[np.bool_]
    Plane: TypeAlias = tuple[float, list[Floats]]

__all__ = ["fill", "plane_axis", "planes", "within_planes"]

# Of the voxel across a plane: outlines are written with few decimals.
FLAT_TOLERANCE: Final = 0.05
# Of a slab: which of two voxels has the border must not hang on the last decimal of a position.
BORDER_SHIFT: Final = 0.01
# Of a pixel: an outline drawn on pixel centres stays there through the arithmetic of positions.
SNAP: Final = 1e-6
NORMAL_TOLERANCE: Final = 1e-3  # sine of the angle


def fill(contours: Sequence[Contour], grid: Grid, thickness: float | None) -> Bools:
    """
    Return the voxels whose centres lie inside.

    Outlines that run in a plane of the grid (along two of its axes) belong to its voxels in that
    plane. Others cut through the grid: a voxel belongs to the nearest outlined plane, where that
    is within half the thickness.

    Parameters
    ----------
    contours : sequence of Contour
    grid : Grid
    thickness : float or None
        Of the slab that each plane stands for, mm across it; None: each plane stands for the
        nearest one of the grid, or for a slab of its voxel size where it cuts through.

    Returns
    -------
    ndarray of bool, shape (slices, rows, columns)
    """
    found = np.zeros(grid.shape, dtype=bool)
    by_axis: dict[int, list[Floats]] = {}
    oblique: list[Contour] = []
    for contour in contours:
        axis, along = plane_axis(contour, grid)
        if axis is None:
            oblique.append(contour)
        else:
            by_axis.setdefault(axis, []).append(along)
    for axis, loops in by_axis.items():
        _fill_planes(found, loops, grid, (axis, thickness))
    if oblique:
        _fill_oblique(found, oblique, grid, thickness)
    return found


def plane_axis(contour: Contour, grid: Grid) -> tuple[int | None, Floats]:
    """
    Return the axis of the grid across which an outline is flat, and its points along the axes.

    Returns
    -------
    axis : int or None
        0, 1, 2 for slice, row, column; None where the outline is in no plane of the grid.
    along : ndarray, shape (n, 3)
        Positions along slice, row and column, mm.
    """
    along = np.linalg.solve(grid.directions, contour.points.T).T
    heights = np.ptp(along, axis=0)
    axis = int(np.argmin(heights))
    if heights[axis] > FLAT_TOLERANCE * _voxel(grid.axes[axis]):
        return None, along
    return axis, along


def planes(loops: Iterable[Floats], axis: int, tolerance: float) -> list[Plane]:
    """
    Group outlines by their position across the plane.

    Parameters
    ----------
    loops : iterable of ndarray, shape (n, 3)
        Points, with the position across the plane in column `axis`.
    axis : int
    tolerance : float
        Outlines nearer than this to the one before are in the same plane.

    Returns
    -------
    list of (position, list of ndarray of shape (n, 2))
        Ascending.
    """
    others = [k for k in range(3) if k != axis]
    ordered = sorted(loops, key=lambda loop: float(loop[:, axis].mean()))
    found: list[Plane] = []
    before = -np.inf
    for loop in ordered:
        position = float(loop[:, axis].mean())
        if position - before > tolerance:
            found.append((position, []))
        found[-1][1].append(loop[:, others])
        before = position
    return found


def within_planes(positions: Floats, depths: Floats, half: float) -> NDArray[np.intp]:
    """
    Return for each depth the nearest position if it is at most `half` away, else -1.

    The lower border belongs to the slab, the upper one does not.
    """
    shifted = depths + 2 * half * BORDER_SHIFT
    right = np.searchsorted(positions, shifted, side="right").clip(0, positions.size - 1)
    left = (right - 1).clip(0)
    nearest = np.where(positions[right] - shifted <= shifted - positions[left], right, left)
    beyond = shifted - positions[nearest]
    return np.where((beyond >= -half) & (beyond < half), nearest, -1)


def _voxel(axis: Axis) -> float:
    """Return the usual voxel size along an axis, 1 mm where nothing is known."""
    return float(np.nan_to_num(np.median(cell_sizes(axis)), nan=1.0))


def _fill_planes(
    found: Bools, loops: list[Floats], grid: Grid, slab: tuple[int, float | None]
) -> None:
    """Fill outlines that are flat across one axis of the grid."""
    axis, thickness = slab
    across, (down, side) = grid.axes[axis], [a for k, a in enumerate(grid.axes) if k != axis]
    size = _voxel(across)
    stacked = planes(loops, axis, FLAT_TOLERANCE * size)
    if thickness is None:
        chosen = _nearest_positions(across, np.array([position for position, _ in stacked]))
    else:
        two = [direction for k, direction in enumerate(grid.directions.T) if k != axis]
        normal = np.cross(*two) / np.linalg.norm(np.cross(*two))
        half = 0.5 * thickness / abs(float(normal @ across.direction))
        chosen = within_planes(np.array([p for p, _ in stacked]), across.values, half)
    view = np.moveaxis(found, axis, 0)
    for k, (_, plane) in enumerate(stacked):
        places = np.flatnonzero(chosen == k)
        if places.size:
            _rasterise(view, places, plane, (down.values, side.values))


def _rasterise(
    view: Bools, places: NDArray[np.intp], loops: list[Floats], lattice: tuple[Floats, Floats]
) -> None:
    """Fill the outlines of one plane, in the part of the image around them."""
    snapped = [np.column_stack([_snap(loop[:, j], lattice[j]) for j in range(2)]) for loop in loops]
    corners = np.concatenate(snapped)
    boxes = [
        np.flatnonzero((v >= corners[:, j].min()) & (v <= corners[:, j].max()))
        for j, v in enumerate(lattice)
    ]
    if not all(box.size for box in boxes):
        return
    window = tuple(slice(int(box.min()), int(box.max()) + 1) for box in boxes)
    filled = on_lattice(snapped, lattice[0][window[0]], lattice[1][window[1]])
    for place in places:
        view[(place, *window)] |= filled


def _snap(values: Floats, lattice: Floats) -> Floats:
    """Put coordinates on those of the lattice that they only miss by rounding."""
    ordered = np.sort(lattice)
    right = np.searchsorted(ordered, values).clip(0, ordered.size - 1)
    left = (right - 1).clip(0)
    near = np.where(values - ordered[left] <= ordered[right] - values, left, right)
    gaps = np.diff(ordered)
    margin = SNAP * (float(gaps[gaps > 0].min()) if (gaps > 0).any() else 1.0)
    return np.where(np.abs(ordered[near] - values) <= margin, ordered[near], values)


def _nearest_positions(axis: Axis, positions: Floats) -> NDArray[np.intp]:
    """Return for each position of the axis the plane that is nearest to it, and it to the plane."""
    order = np.argsort(axis.values, kind="stable")
    ordered = axis.values[order]
    half = 0.5 * np.nan_to_num(cell_sizes(axis)[order], nan=1.0)
    right = np.searchsorted(ordered, positions).clip(0, ordered.size - 1)
    left = (right - 1).clip(0)
    near = np.where(positions - ordered[left] < ordered[right] - positions, left, right)
    distance = np.abs(ordered[near] - positions)
    chosen = np.full(axis.size, -1, dtype=np.intp)
    best = np.full(axis.size, np.inf)
    for plane, (place, far) in enumerate(zip(near, distance, strict=True)):
        if far <= half[place] * (1 + BORDER_SHIFT) and far < best[place]:
            chosen[order[place]], best[place] = plane, far
    return chosen


def _fill_oblique(
    found: Bools, contours: list[Contour], grid: Grid, thickness: float | None
) -> None:
    """Fill outlines whose planes cut through the grid, by the distance of each voxel."""
    left = list(contours)
    while left:
        areas = [float(np.linalg.norm(contour.vector_area)) for contour in left]
        largest = left[int(np.argmax(areas))]
        if not max(areas):
            return
        normal = largest.vector_area / max(areas)
        tilts = [_sine(contour, normal) for contour in left]
        same = [c for c, sine in zip(left, tilts, strict=True) if sine <= NORMAL_TOLERANCE]
        left = [c for c, sine in zip(left, tilts, strict=True) if sine > NORMAL_TOLERANCE]
        _fill_slabs(found, same, grid, (normal, thickness))


def _sine(contour: Contour, normal: Floats) -> float:
    """Return the sine of the angle between the plane of an outline and a normal's."""
    area = contour.vector_area
    size = float(np.linalg.norm(area))
    return float(np.linalg.norm(np.cross(area, normal)) / size) if size else 0.0


def _fill_slabs(
    found: Bools, contours: list[Contour], grid: Grid, slab: tuple[Floats, float | None]
) -> None:
    """Fill parallel outlines."""
    normal, thickness = slab
    steps = [_voxel(axis) * abs(float(normal @ axis.direction)) for axis in grid.axes]
    half = 0.5 * (max(steps) if thickness is None else thickness)
    across = np.cross(normal, np.eye(3)[int(np.argmin(np.abs(normal)))])
    across /= np.linalg.norm(across)
    frame = np.column_stack([normal, np.cross(normal, across), across])
    loops = [contour.points @ frame for contour in contours]
    for loop in loops:
        if np.ptp(loop[:, 0]) > half:
            raise GeometryError(
                f"an outline is not planar: its points lie {np.ptp(loop[:, 0]):.3g} mm apart "
                "across its plane"
            )
    window = _window(contours, grid, half)
    if window is None:
        return
    s, r, c = (axis.values[part] for axis, part in zip(grid.axes, window, strict=True))
    places = [np.outer(v, a.direction) for v, a in zip((s, r, c), grid.axes, strict=True)]
    points = (places[0][:, None, None] + places[1][:, None] + places[2]).reshape(-1, 3) @ frame
    stacked = planes(loops, 0, 2 * FLAT_TOLERANCE * half)
    chosen = within_planes(np.array([p for p, _ in stacked]), points[:, 0], half)
    filled = np.zeros(len(points), dtype=bool)
    for k, (_, plane) in enumerate(stacked):
        at = np.flatnonzero(chosen == k)
        filled[at] = inside(plane, points[at, 1:])
    found[window] |= filled.reshape(s.size, r.size, c.size)


def _window(contours: list[Contour], grid: Grid, half: float) -> tuple[slice, slice, slice] | None:
    """Return the part of the grid that outlines can reach."""
    points = np.concatenate([contour.points for contour in contours])
    along = np.linalg.solve(grid.directions, points.T).T
    # A step of one mm along a direction of the patient is at most this far along each axis.
    reach = half * np.linalg.norm(np.linalg.inv(grid.directions), axis=1)
    window = []
    for k, axis in enumerate(grid.axes):
        low, high = along[:, k].min() - reach[k], along[:, k].max() + reach[k]
        places = np.flatnonzero((axis.values >= low) & (axis.values <= high))
        if not places.size:
            return None
        window.append(slice(int(places.min()), int(places.max()) + 1))
    return window[0], window[1], window[2]
