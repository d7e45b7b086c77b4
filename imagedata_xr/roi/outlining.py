"""Masks and label maps to outlines, such that the outlines give the same mask again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from imagedata_xr.errors import GeometryError, MissingDependencyError, OptionError
from imagedata_xr.roi.masks import COLORS, LABELS, NUMBERS, SEGMENT, SEGMENT_LABEL
from imagedata_xr.roi.model import Contour, Roi
from imagedata_xr.roi.place import cell_sizes, grid_for
from imagedata_xr.schema import SLICE, SPATIAL

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

    import xarray as xr
    from numpy.typing import NDArray

    from imagedata_xr.geometry import Grid

    Floats: TypeAlias = NDArray[np.floating]

__all__ = ["PALETTE", "level_lines", "outlines"]

# Okabe and Ito, Color Universal Design (2008): told apart with every kind of colour vision.
PALETTE: Final = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7")


def outlines(
    found: xr.DataArray,
    *,
    name: str | None = None,
    color: str | None = None,
    plane: str = SLICE,
) -> list[Roi]:
    """
    Return the outlines of a mask, or of each label of a label map.

    Outlines run half-way between the pixels inside and those outside, so that `mask` of them on
    the same grid gives the same voxels. Holes and separate parts are contours of their own.

    Parameters
    ----------
    found : DataArray
        Bool, or integers: 0 is outside. Names and colours of labels come from its attributes
        ``SegmentNumber``, ``SegmentLabel`` and ``SegmentColor``. Along a dimension ``segment``
        there is one mask each; along acquisition dimensions, each place gives regions with that
        `Roi.select`.
    name, color : str, optional
        Of the region; only where there is one label.
    plane : str
        The dimension across which the outlines are flat.

    Returns
    -------
    list of Roi
        Without those that have no voxel.

    Raises
    ------
    OptionError
        Where the values are neither bool nor integers, or there is no such plane.
    MissingDependencyError
        Without contourpy.

    Examples
    --------
    >>> bright = series.isel(time=0) > series.isel(time=0).mean()
    >>> [region.name for region in roi.outlines(bright, name="bright")]
    ['bright']
    """
    if found.dtype.kind not in "biu":
        raise OptionError(
            f"outlines of {found.dtype} mean nothing: compare first, e.g. outlines(map > 0.5)"
        )
    if plane not in SPATIAL:
        raise OptionError(f"plane={plane!r} is none of {SPATIAL}")
    grid = grid_for(found)
    rois = []
    for part, select, segment in _parts(found):
        values = np.asarray(part)
        labels = [n for n in np.unique(values).tolist() if n]
        for label in labels:
            number, named, coloured = _title(found, segment, label)
            contours = _contours(values == label, grid, SPATIAL.index(plane))
            rois.append(
                Roi(
                    name=name or named,
                    color=color or coloured,
                    kind="mask",
                    contours=contours,
                    select=select,
                    number=number,
                    thickness=_thickness(grid, SPATIAL.index(plane)),
                )
            )
    numbers = {roi.number for roi in rois}
    if len(numbers) > 1 and (name or color):
        raise OptionError(f"there are {len(numbers)} labels: name and color are those of one")
    return rois


def level_lines(values: NDArray[Any], ys: Floats, xs: Floats, level: float) -> list[Floats]:
    """
    Return the closed lines around values above a level, points (y, x) in the units of ys and xs.

    Values must be below the level along the border.
    """
    try:
        from contourpy import contour_generator
    except ImportError as error:
        raise MissingDependencyError(
            'outlines of masks need contourpy: pip install "imagedata_xr[roi]"'
        ) from error
    lines: Any = contour_generator(xs, ys, values).lines(level)
    return [_without_middles(np.asarray(line)[:-1, ::-1]) for line in lines]


def _parts(found: xr.DataArray) -> Iterator[tuple[NDArray[Any], dict[Hashable, Any], int | None]]:
    """Yield each volume (slice, row, column), where it is, and its segment."""
    leading = [n for n in found.dims if n not in SPATIAL]
    kept = [n for n in SPATIAL if n in found.dims]
    ordered = found.transpose(*leading, *kept)
    full = tuple(ordered.sizes.get(n, 1) for n in SPATIAL)
    for place in np.ndindex(*(ordered.sizes[n] for n in leading)):
        part = ordered[place]
        select: dict[Hashable, Any] = {
            n: found.coords[n].values[k].item() if n in found.coords else k
            for n, k in zip(leading, place, strict=True)
        }
        segment = select.pop(SEGMENT, None)
        yield np.asarray(part.values).reshape(full), select, segment


def _title(found: xr.DataArray, segment: int | None, label: int) -> tuple[int, str, str]:
    """Return number, name and colour of a label."""
    number = int(label) if segment is None else int(segment)
    numbers, names, colors = (
        np.atleast_1d(found.attrs.get(key, [])).tolist() for key in (NUMBERS, LABELS, COLORS)
    )
    at = numbers.index(number) if number in numbers else None
    fallback = "region" if found.name is None else str(found.name)
    if found.dtype.kind != "b" or segment is not None:
        fallback = f"{fallback} {number}"
    if segment is not None and SEGMENT_LABEL in found.coords:
        every = np.atleast_1d(found.coords[SEGMENT].values).tolist()
        fallback = str(np.atleast_1d(found.coords[SEGMENT_LABEL].values)[every.index(segment)])
    name = names[at] if at is not None and at < len(names) else fallback
    color = colors[at] if at is not None and at < len(colors) else None
    return number, str(name), color or PALETTE[(number - 1) % len(PALETTE)]


def _thickness(grid: Grid, axis: int) -> float | None:
    """Return the usual distance of planes, mm across them."""
    two = [direction for k, direction in enumerate(grid.directions.T) if k != axis]
    normal = np.cross(*two) / np.linalg.norm(np.cross(*two))
    size = float(np.median(cell_sizes(grid.axes[axis])))
    return size * abs(float(normal @ grid.axes[axis].direction)) if size > 0 else None


def _contours(inside: NDArray[np.bool_], grid: Grid, axis: int) -> tuple[Contour, ...]:
    others = [k for k in range(3) if k != axis]
    found = []
    for place in np.flatnonzero(inside.any(axis=tuple(others))):
        flat = np.take(inside, place, axis=axis)
        for line in _pixel_lines(flat, *(grid.axes[k].values for k in others)):
            along = np.full((len(line), 3), grid.axes[axis].values[place])
            along[:, others] = line
            found.append(Contour(along @ grid.directions.T))
    return tuple(found)


def _pixel_lines(flat: NDArray[np.bool_], ys: Floats, xs: Floats) -> list[Floats]:
    """Return the outlines of the pixels of one plane, around a margin of one pixel."""
    windows, positions = [], []
    for k, values in enumerate((ys, xs)):
        used = np.flatnonzero(flat.any(axis=1 - k))
        order = np.argsort(values, kind="stable")
        rank = np.empty_like(order)
        rank[order] = np.arange(order.size)
        low, high = int(rank[used].min()), int(rank[used].max())
        windows.append(order[low : high + 1])
        positions.append(_with_margin(values[order], low, high))
    padded = np.pad(flat[np.ix_(*windows)].astype(np.float64), 1)
    return level_lines(padded, positions[0], positions[1], 0.5)


def _with_margin(values: Floats, low: int, high: int) -> Floats:
    """Return ascending positions low...high with one more at each end, made up beyond the last."""
    gaps = np.diff(values)
    if (gaps <= 0).any():
        raise GeometryError("two rows or columns lie at one position: there is no outline")
    first, last = (float(gaps[0]), float(gaps[-1])) if gaps.size else (1.0, 1.0)
    wide = np.concatenate([[values[0] - first], values, [values[-1] + last]])
    return np.asarray(wide[low : high + 3])


def _without_middles(line: Floats) -> Floats:
    """Leave out the points on the straight line between their neighbours."""
    before, after = line - np.roll(line, 1, axis=0), np.roll(line, -1, axis=0) - line
    cross = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
    scale = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
    return np.asarray(line[np.abs(cross) > 1e-9 * scale])
