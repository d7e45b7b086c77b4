"""
Where the voxels lie: positions in mm along three axes, each with its direction in the patient.

Everything is in patient LPS coordinates (DICOM PS3.3 C.7.6.2.1.1: x to the left, y to the back,
z to the head); index triples, shapes and matrix columns are in the order slice, row, column. A
voxel lies at the sum over the axes of position times direction. Directions have length 1 and a
sign that does not depend on storage, so that copies of one image in several formats have equal
coordinates; a flip is a descending axis. Vectors in files have length 1 only to the digits
written: the rest goes into the step, which keeps each pixel where equation C.7.6.2.1-1 puts it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from imagedata_xr.errors import GeometryError
from imagedata_xr.schema import COLUMN, ROW, SLICE, SPATIAL

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeAlias

    from numpy.typing import ArrayLike, NDArray

    Floats: TypeAlias = NDArray[np.floating]
    Vector: TypeAlias = tuple[float, float, float]

__all__ = ["Axis", "Grid", "canonical", "grid_from_affine", "lps_ras", "lps_ras_affine", "stack_grid"]  # fmt: skip

POSITION_TOLERANCE: Final = 0.01  # mm, see stack_grid
EVEN_TOLERANCE: Final = 0.01  # of a step, see Axis.step
EVEN_FLOOR: Final = 1e-3  # mm: positions are written with three decimals
UNIT_TOLERANCE: Final = 1e-3  # length of a direction written with three decimals
# Cosines are rounded to a few decimals; more than this is no orientation.
NOT_UNIT: Final = 0.01
PARALLEL: Final = 1e-3  # sine of the smallest angle between axes
STEEPEST_TILT: Final = 0.5  # cosine; gantries tilt by 30 degrees, not by 60
# Makes axes point left, back and to the head; no multiple of 45 degrees lies on its border.
CANONICAL_SIDE: Final = np.array([0.90, 1.00, 1.13])


@dataclass(frozen=True, slots=True, eq=False)
class Axis:
    """
    Positions of the voxel centres along one axis.

    Parameters
    ----------
    values : ndarray of float64, shape (n,)
        Positions in mm along `direction`, in storage order; kept as a read-only copy.
    direction : tuple of float
        Unit vector in patient LPS; its sign is that of `canonical`.
    spacing : float, optional
        Nominal voxel size in mm, positive. Only an axis of length 1 depends on it.

    GeometryError where a position is missing or not finite, or the direction is no unit vector.
    """

    values: Floats
    direction: Vector
    spacing: float | None = None

    def __post_init__(self) -> None:
        values = _finite(self.values, (-1,), "positions").copy()
        direction = _finite(self.direction, (3,), "direction")
        if abs(np.linalg.norm(direction) - 1) > UNIT_TOLERANCE:
            raise GeometryError(f"direction {direction.tolist()} is not a unit vector")
        if self.spacing is not None and not (np.isfinite(self.spacing) and self.spacing > 0):
            raise GeometryError(f"spacing {self.spacing} is not a positive number of mm")
        values.flags.writeable = False
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "direction", _vector(direction))

    @property
    def size(self) -> int:
        """Number of positions."""
        return int(self.values.size)

    @property
    def step(self) -> float:
        """
        Signed distance in mm from one position to the next; `spacing` where there is one.

        An axis is even where each position lies within 1 % of a step (or 1e-3 mm, if that is
        more) of the straight line from the first position to the last. GeometryError where it is
        uneven, or has one position and no spacing.
        """
        if self.size == 1:
            if self.spacing is None:
                raise GeometryError("one position, and no attrs['spacing'] (mm) that says its size")
            return float(self.spacing)
        step = float(self.values[-1] - self.values[0]) / (self.size - 1)
        line = self.values[0] + step * np.arange(self.size)
        off = float(np.abs(self.values - line).max())
        if step == 0 or off > max(EVEN_TOLERANCE * abs(step), EVEN_FLOOR):
            gaps = np.diff(self.values)
            usual = float(np.median(gaps))
            k = int(np.abs(gaps - usual).argmax())
            raise GeometryError(
                f"uneven: positions {k} and {k + 1} ({self.values[k]:.4f}, {self.values[k + 1]:.4f} "
                f"mm) are {gaps[k]:.4f} mm apart, others {usual:.4f}; {off:.4f} mm off the line"
            )
        return step


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """The voxel grid of an image in the patient: `row` has the position of each row, and so on."""

    slice: Axis
    row: Axis
    column: Axis

    @property
    def axes(self) -> tuple[Axis, Axis, Axis]:
        """The three axes: slice, row, column."""
        return self.slice, self.row, self.column

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of slices, rows and columns."""
        return self.slice.size, self.row.size, self.column.size

    @property
    def directions(self) -> Floats:
        """Columns are the directions of the axes, as in the coordinates, shape (3, 3)."""
        return np.array([axis.direction for axis in self.axes]).T

    @property
    def orientation(self) -> Floats:
        """
        Columns are LPS unit vectors of increasing slice, row and column index, shape (3, 3).

        One slice has no order: its vector makes column, row and slice a right-handed set.
        """
        scale = self._signs() / np.linalg.norm(self.directions, axis=0)
        return np.asarray(self.directions * scale + 0.0)

    @property
    def image_orientation(self) -> tuple[float, ...]:
        """Image Orientation (Patient): unit vectors of increasing column, then row index."""
        return _vector(self.orientation[:, 2]) + _vector(self.orientation[:, 1])

    @property
    def spacing(self) -> Vector:
        """Distance between slices, rows and columns in mm; GeometryError where uneven."""
        return _vector(np.linalg.norm(self.affine[:3, :3], axis=0))

    @property
    def origin(self) -> Floats:
        """Position of the centre of voxel (0, 0, 0) in LPS mm, shape (3,)."""
        return np.asarray(self.directions @ [axis.values[0] for axis in self.axes])

    @property
    def affine(self) -> Floats:
        """
        Matrix that takes (slice, row, column, 1) indices to LPS mm, shape (4, 4).

        GeometryError where an axis is uneven, so that no matrix can describe it, or has no step.
        """
        matrix = np.eye(4)
        for j, (name, axis) in enumerate(zip(SPATIAL, self.axes, strict=True)):
            try:
                step = abs(axis.step) * self._signs()[j]
            except GeometryError as error:
                raise GeometryError(f"no affine along {name!r}: {error}") from error
            matrix[:3, j] = np.multiply(axis.direction, step) + 0.0
        matrix[:3, 3] = self.origin
        return matrix

    @property
    def affine_ras(self) -> Floats:
        """As `affine`, in the RAS coordinates of NIfTI."""
        return lps_ras_affine(self.affine)

    def slice_origins(self) -> Floats:
        """Return the LPS mm of the first pixel of every slice, shape (slices, 3)."""
        beyond = self.slice.values - self.slice.values[0]
        return np.asarray(self.origin + np.outer(beyond, self.slice.direction))

    def points(self) -> Floats:
        """Return the position of every voxel, LPS mm, shape (slices, rows, columns, 3)."""
        s, r, c = (np.outer(axis.values, axis.direction) for axis in self.axes)
        return np.asarray(s[:, None, None] + r[:, None] + c)

    def index_to_world(self, indices: ArrayLike) -> Floats:
        """
        Return the LPS mm of fractional (slice, row, column) indices; both of shape (n, 3).

        Between uneven slices, positions are interpolated between the measured ones; beyond the
        ends the last step continues. GeometryError where one position has no spacing.
        """
        index = _finite(indices, (-1, 3), "indices")
        along = np.empty_like(index)
        for j, (axis, sign) in enumerate(zip(self.axes, self._signs(), strict=True)):
            if axis.size == 1:
                step = sign * axis.step if index[:, j].any() else 0.0
                along[:, j] = axis.values[0] + step * index[:, j]
            else:
                along[:, j] = _piecewise(index[:, j], np.arange(axis.size), axis.values)
        return np.asarray(along @ self.directions.T)

    def world_to_index(self, points: ArrayLike) -> Floats:
        """
        Return fractional (slice, row, column) indices of LPS mm; inverse of `index_to_world`.

        GeometryError where positions neither ascend nor descend, or one has no spacing.
        """
        index = np.linalg.solve(self.directions, _finite(points, (-1, 3), "points").T).T
        for j, (axis, sign) in enumerate(zip(self.axes, self._signs(), strict=True)):
            if axis.size == 1:
                index[:, j] = (index[:, j] - axis.values[0]) / (sign * axis.step)
                continue
            if (np.diff(sign * axis.values) <= 0).any():
                raise GeometryError(f"{SPATIAL[j]!r} neither ascends nor descends: use sortby")
            index[:, j] = _piecewise(sign * index[:, j], sign * axis.values, np.arange(axis.size))
        return np.asarray(index)

    def _signs(self) -> Floats:
        """Return per axis +1 or -1: whether its positions ascend with the index."""
        signs = np.array([np.sign(a.values[-1] - a.values[0]) or 1.0 for a in self.axes])
        if self.slice.size == 1 and np.linalg.det(self.directions * signs) > 0:
            signs[0] = -1.0  # (slice, row, column) is left-handed where (column, row, slice) is not
        return signs


def canonical(vector: ArrayLike) -> Floats:
    """Return the vector, shape (3,), or its opposite: where v @ (0.90, 1.00, 1.13) is positive."""
    vector = np.asarray(vector, dtype=np.float64)
    side = float(vector @ CANONICAL_SIDE) or float(vector[np.flatnonzero(vector)[0]])
    return (vector if side > 0 else -vector) + 0.0  # + 0.0 turns -0.0 into 0.0


def lps_ras(points: ArrayLike) -> Floats:
    """Turn points or vectors, shape (..., 3), from LPS into RAS or back."""
    return np.asarray(points, dtype=np.float64) * [-1.0, -1.0, 1.0] + 0.0


def lps_ras_affine(affine: ArrayLike) -> Floats:
    """Turn an affine matrix, shape (4, 4), from LPS into RAS or back."""
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ np.asarray(affine, dtype=np.float64) + 0.0


def stack_grid(
    positions: ArrayLike,
    orientation: ArrayLike,
    spacing: ArrayLike,
    shape: tuple[int, int],
    *,
    thickness: float | None = None,
) -> tuple[Grid, NDArray[np.intp]]:
    """
    Return the grid of a stack of parallel frames, and the slice in which each frame lies.

    Slices ascend along the normal (row cosines x column cosines), which is the order of other
    DICOM converters; the coordinate may then descend. Frames whose positions along the normal
    follow each other within 0.01 mm (or a tenth of the pixel size, if that is less) are one
    slice, at the position of its first frame. A drift in the plane by more than that over the
    stack is a gantry tilt: the axis runs from the first slice to the last. Smaller deviations
    in the plane are rounding: the place of the first slice counts.

    Parameters
    ----------
    positions : array_like of float, shape (n, 3)
        Image Position (Patient) of every frame, LPS mm.
    orientation : array_like of float, shape (6,)
        Image Orientation (Patient), as stored.
    spacing : array_like of float, shape (2,)
        Pixel Spacing: between rows, then between columns, mm.
    shape : tuple of int
        Rows and columns.
    thickness : float, optional
        Voxel size across the slice, mm, of a stack of one slice; not positive is not known.

    Returns
    -------
    grid : Grid
    slot : ndarray of int, shape (n,)
        Index of the slice of each frame.

    GeometryError where a value is missing or means nothing (the message names the attribute), or
    the frames do not line up as one stack.
    """
    points = _finite(positions, (-1, 3), "ImagePositionPatient")
    down, across, size = _in_plane(orientation, spacing)
    normal = np.cross(across, down) / np.linalg.norm(np.cross(across, down))
    tolerance = min(POSITION_TOLERANCE, 0.1 * min(size))
    slot, first = _slots(points @ normal, tolerance)
    through = _slice_direction(points[first], np.column_stack([normal, down, across]), tolerance)
    s, r, c = (canonical(v) for v in (through, down, across))
    along = np.linalg.solve(np.column_stack([s, r, c]), points.T).T
    off = float(np.abs(along[:, 1:] - along[first[0], 1:]).max())
    if off > tolerance:
        raise GeometryError(
            f"frames lie up to {off:.3f} mm beside the line from the first slice to the last "
            "(ImagePositionPatient): they are not one stack"
        )
    depths = along[first, 0] + 0.0  # no -0.0
    gap = float(np.median(np.abs(np.diff(depths)))) if depths.size > 1 else thickness or 0.0
    rows, columns = (
        _even(along[first[0], j + 1], d, float(np.sign(d @ v)) * h, n)
        for j, (d, v, h, n) in enumerate(zip((r, c), (down, across), size, shape, strict=True))
    )
    return Grid(Axis(depths, _vector(s), gap if gap > 0 else None), rows, columns), slot


def grid_from_affine(
    affine: ArrayLike, shape: Sequence[int], *, order: Sequence[str] = SPATIAL
) -> Grid:
    """
    Return the grid of an image whose geometry is a matrix (NIfTI, ITK).

    Parameters
    ----------
    affine : array_like of float, shape (4, 4)
        Takes voxel indices to LPS mm; may be left-handed or sheared.
    shape : sequence of int
        Number of voxels along each index.
    order : sequence of str
        Which axis each index is, ``("column", "row", "slice")`` for i, j, k of NIfTI and ITK.

    GeometryError where the matrix cannot be inverted or is no affine.
    """
    matrix = _finite(affine, (4, 4), "affine")
    size = np.linalg.norm(matrix[:3, :3], axis=0)
    if not np.array_equal(matrix[3], [0, 0, 0, 1]):
        raise GeometryError(f"the last row of an affine is 0 0 0 1, not {matrix[3].tolist()}")
    if not size.all() or abs(np.linalg.det(matrix[:3, :3] / size)) < PARALLEL:
        raise GeometryError(f"the affine cannot be inverted: {matrix.tolist()}")
    vectors = [canonical(v) for v in (matrix[:3, :3] / size).T]
    start = np.linalg.solve(np.column_stack(vectors), matrix[:3, 3])
    steps = [float(np.sign(d @ matrix[:3, j]) * size[j]) for j, d in enumerate(vectors)]
    axes = dict(zip(order, map(_even, start, vectors, steps, shape), strict=True))
    return Grid(axes[SLICE], axes[ROW], axes[COLUMN])


def _even(start: float, direction: Floats, step: float, n: int) -> Axis:
    return Axis(start + step * np.arange(n) + 0.0, _vector(direction), abs(step))


def _in_plane(orientation: ArrayLike, spacing: ArrayLike) -> tuple[Floats, Floats, list[float]]:
    """Return unit vectors down the rows and across the columns, and the steps along them."""
    cosines = _finite(orientation, (6,), "ImageOrientationPatient")
    between = _finite(spacing, (2,), "PixelSpacing")
    if (between <= 0).any():
        raise GeometryError(f"PixelSpacing {between.tolist()} is not positive")
    across, down = cosines.reshape(2, 3)
    lengths = np.array([np.linalg.norm(down), np.linalg.norm(across)])
    if np.abs(lengths - 1).max() > NOT_UNIT or abs(across @ down) > NOT_UNIT:
        raise GeometryError(
            f"ImageOrientationPatient {cosines.tolist()} are no two perpendicular unit vectors"
        )
    return down / lengths[0], across / lengths[1], (between * lengths).tolist()


def _slots(depth: Floats, tolerance: float) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the slice of every frame, and the first frame of every slice."""
    order = np.argsort(depth, kind="stable")
    slot = np.empty(depth.size, dtype=np.intp)
    slot[order] = np.cumsum(np.diff(depth[order], prepend=depth[order[0]]) > tolerance)
    return slot, np.unique(slot, return_index=True)[1]


def _slice_direction(corners: Floats, basis: Floats, tolerance: float) -> Floats:
    """Return the normal, or the direction from the first slice to the last if they drift."""
    drift = float(np.ptp(np.linalg.solve(basis, corners.T)[1:], axis=1).max())
    if drift <= tolerance:
        return np.asarray(basis[:, 0])
    through = (corners[-1] - corners[0]) / np.linalg.norm(corners[-1] - corners[0])
    if through @ basis[:, 0] < STEEPEST_TILT:
        raise GeometryError(
            f"ImagePositionPatient moves by {drift:.3f} mm in the plane of the image, more than "
            "across it: the frames are not one stack"
        )
    return np.asarray(through)


def _piecewise(x: Floats, knots: NDArray[np.generic], values: NDArray[np.generic]) -> Floats:
    """Interpolate linearly between ascending knots, and continue the end pieces."""
    at, to = np.asarray(knots, dtype=np.float64), np.asarray(values, dtype=np.float64)
    k = np.clip(np.searchsorted(at, x, side="right") - 1, 0, at.size - 2)
    return np.asarray(to[k] + (x - at[k]) * ((to[k + 1] - to[k]) / (at[k + 1] - at[k])))


def _vector(vector: Floats) -> Vector:
    return float(vector[0]), float(vector[1]), float(vector[2])


def _finite(values: ArrayLike, shape: tuple[int, ...], name: str) -> Floats:
    """Return a float array of the shape (-1: at least one), or raise the error that names it."""
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        array = np.array(np.nan)
    wanted = tuple(n if m < 0 else m for n, m in zip(array.shape, shape, strict=False))
    fits = array.ndim == len(shape) and array.shape == wanted and array.size
    if not (fits and np.isfinite(array).all()):
        raise GeometryError(f"{name} must be finite numbers of shape {shape}, not {values!r}")
    return np.asarray(array)
