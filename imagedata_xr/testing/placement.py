"""
Where the voxels of a phantom lie in the patient: plain analytic geometry in LPS, mm.

Written apart from the geometry of the package on purpose, so that each can be held against the
other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from imagedata_xr.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["ORIENTATIONS", "Array", "Placement", "cosines"]

Array: TypeAlias = "NDArray[np.float64]"

ORIENTATIONS = {
    "axial": (1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
    "sagittal": (0.0, 1.0, 0.0, 0.0, 0.0, -1.0),
    "coronal": (1.0, 0.0, 0.0, 0.0, 0.0, -1.0),
}
OBLIQUE = (20.0, -15.0, 10.0)


def _rotation(angles: Sequence[float]) -> Array:
    """Return the rotation by degrees about x, then y, then z."""
    matrix = np.eye(3)
    for axis, angle in enumerate(np.radians(angles)):
        one, two = (axis + 1) % 3, (axis + 2) % 3
        turn = np.eye(3)
        turn[one, one] = turn[two, two] = np.cos(angle)
        turn[one, two], turn[two, one] = -np.sin(angle), np.sin(angle)
        matrix = turn @ matrix
    return matrix


def cosines(orientation: str | Sequence[float]) -> tuple[Array, Array]:
    """
    Return the directions of increasing column index and of increasing row index.

    Parameters
    ----------
    orientation : str or sequence of float
        ``"axial"``, ``"sagittal"``, ``"coronal"``, ``"oblique"`` (double oblique); three angles in
        degrees by which an axial plane is turned about x, then y, then z; or the six cosines of
        Image Orientation (Patient).

    Examples
    --------
    >>> cosines("coronal")[1].tolist()
    [0.0, 0.0, -1.0]
    """
    if orientation == "oblique":
        orientation = OBLIQUE
    if isinstance(orientation, str):
        if orientation not in ORIENTATIONS:
            raise OptionError(
                f"orientation {orientation!r} is none of {[*ORIENTATIONS, 'oblique']}"
            )
        orientation = ORIENTATIONS[orientation]
    numbers = np.asarray(orientation, dtype=np.float64)
    if numbers.shape == (3,):
        matrix = _rotation(numbers.tolist())
        return matrix[:, 0], matrix[:, 1]
    if numbers.shape != (6,):
        raise OptionError(f"orientation needs 3 angles or 6 cosines, not {numbers.size} numbers")
    column, row = numbers[:3], numbers[3:]
    lengths = np.array([np.linalg.norm(column), np.linalg.norm(row)])
    if abs(lengths - 1).max() > 1e-3 or abs(column @ row) > 1e-3:
        raise OptionError(f"orientation {orientation!r}: not two perpendicular unit vectors")
    return column / lengths[0], row / lengths[1]


@dataclass(frozen=True, kw_only=True, eq=False)
class Placement:
    """
    The grid of one volume.

    Attributes
    ----------
    origin : numpy.ndarray
        Centre of voxel (0, 0, 0), LPS mm.
    offsets : numpy.ndarray
        Distance of every slice from the origin, mm along ``stack``.
    stack, row, column : numpy.ndarray
        Unit vectors of increasing slice, row and column index.
    spacing : tuple of float
        Distance between slices (None of uneven ones), rows and columns, mm.
    shape : tuple of int
        Slices, rows, columns.
    """

    origin: Array
    offsets: Array
    stack: Array
    row: Array
    column: Array
    spacing: tuple[float | None, float, float]
    shape: tuple[int, int, int]

    @classmethod
    def build(  # noqa: PLR0913 keyword-only, as in Phantom
        cls,
        *,
        shape: tuple[int, int, int],
        spacing: tuple[float, float, float],
        orientation: str | Sequence[float],
        tilt: float = 0.0,
        slices: Sequence[float] | None = None,
        origin: Sequence[float] | None = None,
    ) -> Placement:
        """
        Return the grid; without an origin its centre lies in the isocentre (0, 0, 0).

        The gantry tilt (degrees) turns the image planes about their row direction, while the
        table keeps moving along the direction across the planes that were not turned.
        """
        column, row = cosines(orientation)
        stack = np.cross(column, row)
        angle = np.radians(tilt)
        row = np.cos(angle) * row + np.sin(angle) * stack
        even = slices is None
        given = np.arange(shape[0]) * spacing[0] if slices is None else slices
        offsets: Array = np.asarray(given, dtype=np.float64)
        if offsets.shape != (shape[0],):
            raise OptionError(f"{offsets.size} slice positions given, but shape has {shape[0]}")
        if origin is None:
            middle = (offsets.min() + offsets.max()) / 2 * stack
            middle = middle + (shape[1] - 1) / 2 * spacing[1] * row
            origin = 0.0 - middle - (shape[2] - 1) / 2 * spacing[2] * column
        return cls(
            origin=np.asarray(origin, dtype=np.float64),
            offsets=offsets,
            stack=stack,
            row=row,
            column=column,
            spacing=(spacing[0] if even else None, spacing[1], spacing[2]),
            shape=shape,
        )

    def position(self, index: int) -> Array:
        """Return the centre of the first voxel of a slice (Image Position (Patient))."""
        return np.asarray(self.origin + self.offsets[index] * self.stack)

    def points(self) -> Array:
        """Return the centre of every voxel: slices x rows x columns x 3."""
        rows = np.arange(self.shape[1])[:, None] * self.spacing[1] * self.row
        columns = np.arange(self.shape[2])[:, None] * self.spacing[2] * self.column
        start = self.origin + self.offsets[:, None] * self.stack
        return start[:, None, None] + rows[None, :, None] + columns[None, None]

    def affine(self) -> Array | None:
        """Return the map of (slice, row, column, 1) to LPS mm; None where slices are uneven."""
        if self.spacing[0] is None:
            return None
        matrix = np.eye(4)
        steps = (self.spacing[0], self.spacing[1], self.spacing[2])
        for axis, (direction, step) in enumerate(zip(self.directions(), steps, strict=True)):
            matrix[:3, axis] = direction * step
        matrix[:3, 3] = self.origin
        return matrix

    def directions(self) -> tuple[Array, Array, Array]:
        """Return the unit vectors of increasing slice, row and column index."""
        return self.stack, self.row, self.column

    def coordinates(self) -> tuple[tuple[Array, Array, Array], tuple[Array, Array, Array]]:
        """
        Return the positions along slice, row and column in mm, and the direction of each.

        A direction points to where its largest component grows, whatever way the slices, rows
        and columns are stored. A voxel lies at the sum of its positions times the directions.
        """
        stored = self.directions()
        signs = [1.0 if vector[np.argmax(np.abs(vector))] > 0 else -1.0 for vector in stored]
        unit = [sign * vector + 0.0 for sign, vector in zip(signs, stored, strict=True)]
        first = np.linalg.solve(np.stack(unit, axis=1), self.origin)
        ranges = (
            self.offsets,
            np.arange(self.shape[1]) * self.spacing[1],
            np.arange(self.shape[2]) * self.spacing[2],
        )
        slices, rows, columns = (
            start + sign * steps for start, sign, steps in zip(first, signs, ranges, strict=True)
        )
        return (slices, rows, columns), (unit[0], unit[1], unit[2])
