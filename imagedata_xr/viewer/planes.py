"""
How an image lies on the screen: which axis runs across, which down, and where the patient is.

A plane is drawn in the mm of the image's own coordinates, on even lines that ascend, whatever
the storage order; the ranges of the figure turn it the right way round. So the same numbers are
right for the picture, for outlines and for HoloViews elements that users lay over it.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from imagedata_xr import schema
from imagedata_xr.errors import GeometryError, OptionError
from imagedata_xr.geometry import EVEN_FLOOR, EVEN_TOLERANCE
from imagedata_xr.index import grid_of

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.floating]

__all__ = ["Lines", "Orientation", "Plane", "Scene", "letters", "scene"]

Orientation: TypeAlias = Literal["auto", "stored", "radiological"]

COMPASS = ("LR", "PA", "SI")  # letters towards +x, -x of patient LPS, and so on
# Below this cosine (a tilt of less than 20 degrees) a second letter would say more than it helps.
SECOND_LETTER = 0.342
PERPENDICULAR = 0.1  # degrees


@dataclass(frozen=True, slots=True, eq=False)
class Lines:
    """
    The even lines on which one axis is drawn, ascending in mm.

    Attributes
    ----------
    start, step : float
        Centre of the first line and distance of the lines, mm (or pixels without geometry).
    index : ndarray of int, shape (lines,)
        Which row, column or slice each line shows; -1 where one is missing.
    """

    start: float
    step: float
    index: NDArray[np.intp]

    @property
    def size(self) -> int:
        """Number of lines."""
        return int(self.index.size)

    @property
    def centres(self) -> Floats:
        """Position of each line."""
        return np.asarray(self.start + self.step * np.arange(self.size))

    @property
    def bounds(self) -> tuple[float, float]:
        """Outer edges of the first and the last line."""
        return self.start - self.step / 2, self.start + self.step * (self.size - 0.5)


@dataclass(frozen=True, slots=True, eq=False)
class Plane:
    """
    One of the three ways to cut an image along its own axes.

    Attributes
    ----------
    through, across, down : int
        Axis (0 slice, 1 row, 2 column) perpendicular to the picture, horizontal and vertical.
    columns, rows : Lines
        Lines along the horizontal and the vertical axis.
    mirrored, upright : bool
        Whether mm ascend to the left, and whether they ascend upwards.
    letters : tuple of str
        Patient directions at the left, right, upper and lower edge.
    angle : float
        Between the axes, degrees.
    """

    through: int
    across: int
    down: int
    columns: Lines
    rows: Lines
    mirrored: bool
    upright: bool
    letters: tuple[str, str, str, str]
    angle: float

    @property
    def sheared(self) -> bool:
        """Whether the axes are not perpendicular (gantry tilt), so that shapes are not true."""
        return abs(self.angle - 90.0) > PERPENDICULAR

    @property
    def x_range(self) -> tuple[float, float]:
        """Left and right edge."""
        low, high = self.columns.bounds
        return (high, low) if self.mirrored else (low, high)

    @property
    def y_range(self) -> tuple[float, float]:
        """Lower and upper edge."""
        low, high = self.rows.bounds
        return (low, high) if self.upright else (high, low)


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """
    An image with its dimensions in display order, and its three planes.

    Attributes
    ----------
    image : DataArray
        Dimensions: acquisition, then slice, row, column, then rgb if there are colours.
    dims : tuple of str
        The acquisition dimensions.
    positions : tuple of ndarray
        mm of each slice, row and column.
    directions : ndarray, shape (3, 3), or None
        Columns are the LPS directions of slice, row and column; None without geometry.
    planes : tuple of Plane
        Cut along slice, row and column.
    native : int
        The plane to begin with.
    """

    image: xr.DataArray
    dims: tuple[str, ...]
    positions: tuple[Floats, Floats, Floats]
    directions: Floats | None
    planes: tuple[Plane, Plane, Plane]
    native: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of slices, rows and columns."""
        s, r, c = (p.size for p in self.positions)
        return s, r, c

    @property
    def colour(self) -> bool:
        """Whether the values are red, green and blue."""
        return schema.RGB in self.image.dims

    @property
    def unit(self) -> str:
        """Unit of positions."""
        return "px" if self.directions is None else schema.MM


def scene(image: xr.DataArray, *, orientation: Orientation = "auto") -> Scene:
    """
    Return how an image is drawn.

    Parameters
    ----------
    image : DataArray
        At least two of the dimensions slice, row and column.
    orientation : {"auto", "stored", "radiological"}
        ``"stored"``: the first row on top, the first column on the left. ``"radiological"``:
        the patient's right on the left, anterior or head on top. ``"auto"``: slices of a DICOM
        series as stored, all else radiological.

    Returns
    -------
    Scene

    Raises
    ------
    OptionError
        The array has no two of the spatial dimensions, or a size of 0.
    """
    if orientation not in {"auto", "stored", "radiological"}:
        raise OptionError(
            f"orientation={orientation!r}: 'auto', 'stored' or 'radiological' are possible"
        )
    image, missing = _with_axes(image)
    positions, directions = _geometry(image)
    if orientation == "auto":
        orientation = "stored" if schema.FRAME in image.coords else "radiological"
    planes = tuple(_plane(image, k, positions, directions, orientation) for k in range(3))
    native = missing if missing is not None else 0
    dims = tuple(str(d) for d in image.dims if d not in {*schema.SPATIAL, schema.RGB})
    return Scene(image, dims, positions, directions, planes, native)  # type: ignore[arg-type]


def letters(vector: Floats) -> str:
    """Return where a LPS vector points: ``"L"``, or ``"LA"`` where it is oblique."""
    order = np.argsort(-np.abs(vector), kind="stable")
    found = [
        COMPASS[k][int(vector[k] < 0)]
        for n, k in enumerate(order)
        if n == 0 or abs(vector[k]) > SECOND_LETTER
    ]
    return "".join(found)


def _with_axes(image: xr.DataArray) -> tuple[xr.DataArray, int | None]:
    """Put the dimensions in order, lost ones as axes of one voxel; and say which was lost."""
    lost = [name for name in schema.SPATIAL if name not in image.dims]
    if len(lost) > 1 or not image.size:
        raise OptionError(
            f"dimensions {dict(image.sizes)}: a picture needs two of 'slice', 'row' and 'column' "
            "with at least one voxel each; rename yours, e.g. array.rename(y='row', x='column')"
        )
    for name in lost:
        if name in image.coords and image.coords[name].ndim:
            image = image.drop_vars(name)
        attrs = dict(image.coords[name].attrs) if name in image.coords else {}
        image = image.expand_dims(name)
        if attrs:
            image[name].attrs.update(attrs)
    image = image.transpose(..., *schema.SPATIAL)
    if schema.RGB in image.dims:
        image = image.transpose(..., schema.RGB)
    return image, schema.SPATIAL.index(lost[0]) if lost else None


def _geometry(image: xr.DataArray) -> tuple[tuple[Floats, Floats, Floats], Floats | None]:
    """Return mm along each axis and the directions; indices and None where they are not known."""
    try:
        grid = grid_of(image)
    except GeometryError:
        s, r, c = (np.arange(image.sizes[name], dtype=np.float64) for name in schema.SPATIAL)
        return (s, r, c), None
    s, r, c = (np.asarray(axis.values, dtype=np.float64) for axis in grid.axes)
    return (s, r, c), grid.directions


def _plane(
    image: xr.DataArray,
    through: int,
    positions: tuple[Floats, Floats, Floats],
    directions: Floats | None,
    orientation: str,
) -> Plane:
    down, across = (k for k in range(3) if k != through)
    ascends = [p.size < 2 or bool(p[-1] > p[0]) for p in positions]
    mirrored, upright = not ascends[across], not ascends[down]
    if directions is None:
        names = ("", "", "", "")
        upright = upright if through == 0 else True
        angle = 90.0
    else:
        if orientation == "radiological" or through:
            across, down, mirrored, upright = _radiological(directions, across, down)
        right = directions[:, across] * (-1 if mirrored else 1)
        below = directions[:, down] * (-1 if upright else 1)
        names = (letters(-right), letters(right), letters(-below), letters(below))
        angle = float(np.rad2deg(np.arccos(np.clip(right @ below, -1, 1))))
    lines = [_lines(positions[k], _size(image, k)) for k in range(3)]
    return Plane(through, across, down, lines[across], lines[down], mirrored, upright, names, angle)


def _radiological(directions: Floats, first: int, second: int) -> tuple[int, int, bool, bool]:
    """Lay the axes so that x runs to the right, else y; and y down, z up."""
    pairs = itertools.product(((first, second), (second, first)), ((0, 1), (0, 2), (1, 2)))
    (across, down), (x, y) = max(
        pairs, key=lambda one: sum(abs(directions[one[1][k], one[0][k]]) for k in (0, 1))
    )
    mirrored = bool(directions[x, across] < 0)
    upright = bool(directions[y, down] > 0) == (y == 2)
    return across, down, mirrored, upright


def _size(image: xr.DataArray, axis: int) -> float:
    """Return the voxel size that an axis of one position has in its attributes."""
    name = schema.SPATIAL[axis]
    attrs: dict[Any, Any] = image.coords[name].attrs if name in image.coords else {}
    return float(attrs.get(schema.SPACING, 1.0))


def _lines(values: Floats, size: float) -> Lines:
    """Return even lines through the positions: measured slices may lie unevenly."""
    order = np.argsort(values, kind="stable")
    along = values[order]
    if along.size == 1:
        return Lines(float(along[0]), size, order)
    gaps = np.diff(along)
    even = float(along[-1] - along[0]) / gaps.size
    if np.abs(gaps - even).max() <= max(2 * EVEN_TOLERANCE * even, 2 * EVEN_FLOOR) and even > 0:
        return Lines(float(along[0]), even, order)
    usual = float(np.median(gaps)) or size
    finest = float(gaps[gaps > 0].min(initial=usual))
    step = finest if finest > usual / 8 else usual
    count = max(1, round(float(along[-1] - along[0]) / step)) + 1
    centres = along[0] + step * np.arange(count)
    nearest = np.abs(centres[:, None] - along).argmin(axis=1)
    away = np.abs(centres - along[nearest])
    reach = 0.5 * (1 + EVEN_TOLERANCE) * float(np.median(gaps))
    return Lines(float(along[0]), step, np.where(away <= reach, order[nearest], -1))
