"""What a region of interest is: planar outlines in patient coordinates, with a name."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from imagedata_xr.errors import GeometryError, OptionError

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from numpy.typing import NDArray

__all__ = ["Code", "Contour", "Roi"]

FEWEST_POINTS = 3
_COLOR = re.compile(r"#[0-9a-f]{6}")


class Code(NamedTuple):
    """
    A coded meaning (PS3.3 8.8), e.g. ``Code("10200004", "SCT", "Liver")``.

    Examples
    --------
    >>> roi.Code("10200004", "SCT", "Liver").meaning
    'Liver'
    """

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True, slots=True, eq=False)
class Contour:
    """
    A closed, planar outline in the patient.

    Parameters
    ----------
    points : array_like of float, shape (n, 3)
        Corners in order, patient LPS, mm, at least three; kept as a read-only copy. The last is
        joined to the first; where they are equal, the last is dropped.

    Raises
    ------
    GeometryError
        Where there are too few points, or one is not finite.

    Examples
    --------
    >>> roi.contour(series, slice=1.5, row=[-3, 3, 3], column=[-2, -2, 2])
    Contour(3 points, 12 mm2)
    """

    points: NDArray[np.float64]

    def __post_init__(self) -> None:
        try:
            points = np.array(self.points, dtype=np.float64)
        except (TypeError, ValueError):
            points = np.empty((0, 0))
        if points.ndim == 2 and len(points) > 1 and np.array_equal(points[0], points[-1]):
            points = points[:-1].copy()
        if points.ndim != 2 or points.shape[1] != 3 or len(points) < FEWEST_POINTS:
            raise GeometryError(
                f"an outline needs at least {FEWEST_POINTS} points of x, y, z, not an array of "
                f"shape {np.shape(self.points)}"
            )
        if not np.isfinite(points).all():
            raise GeometryError("an outline has points that are no finite numbers")
        points.flags.writeable = False
        object.__setattr__(self, "points", points)

    @property
    def vector_area(self) -> NDArray[np.float64]:
        """Normal of the plane times the enclosed area, mm2, shape (3,); zero where degenerate."""
        beyond = self.points - self.points[0]
        crossed = np.cross(beyond, np.roll(beyond, -1, axis=0))
        return np.asarray(0.5 * crossed.sum(axis=0))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Contour):
            return NotImplemented
        return np.array_equal(self.points, other.points)

    def __hash__(self) -> int:
        return hash(self.points.tobytes())

    def __repr__(self) -> str:
        return f"Contour({len(self.points)} points, {np.linalg.norm(self.vector_area):.4g} mm2)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Roi:
    """
    A region of interest.

    Parameters
    ----------
    name : str
        What it is called; two with one name are parts of one structure.
    color : str
        ``#rrggbb``.
    kind : str
        With which tool it was drawn: ``polygon``, ``freehand``, ``rectangle``, ``ellipse``,
        ``brush``, ``mask``... Says how to edit it; the contours alone say where it is.
    contours : tuple of Contour
        Those in one plane combine by the even-odd rule, so that one inside another is a hole.
    select : mapping of label to value
        Where along the acquisition dimensions it holds, e.g. ``{"time": 12.5}``; empty is
        everywhere.
    number : int
        Value in a label map; 0 leaves the choice to the map.
    code : Code, optional
        What it is, in a coding scheme.
    thickness : float, optional
        How far each contour reaches across its plane, mm, half of it to each side: the distance
        of the slices on which it was drawn. Without it, a contour stands for the one slice of an
        image that is nearest.

    Raises
    ------
    OptionError
        Where a value means nothing.

    Examples
    --------
    >>> outline = roi.rectangle(series, slice=1.5, row=(-3, 3), column=(-2, 2))
    >>> liver = roi.Roi(name="liver", contours=(outline,), color="#00ff00")
    >>> int(roi.mask(liver, series).sum())
    9
    """

    name: str
    color: str = "#ff0000"
    kind: str = "polygon"
    contours: tuple[Contour, ...] = ()
    select: Mapping[Hashable, float | int | str] = field(default_factory=dict, hash=False)
    number: int = 0
    code: Code | None = None
    thickness: float | None = None

    def __post_init__(self) -> None:
        if not str(self.name).strip():
            raise OptionError(f"a region needs a name, not {self.name!r}")
        color = str(self.color).lower()
        if not _COLOR.fullmatch(color):
            raise OptionError(f"{self.name}: color {self.color!r} is not of the form '#rrggbb'")
        contours = tuple(self.contours)
        if not all(isinstance(one, Contour) for one in contours):
            raise OptionError(f"{self.name}: contours are `Contour` objects")
        if isinstance(self.number, bool) or int(self.number) != self.number or self.number < 0:
            raise OptionError(f"{self.name}: number {self.number!r} is not 0, 1, 2...")
        thick = self.thickness
        if thick is not None and not (np.isfinite(thick) and thick > 0):
            raise OptionError(f"{self.name}: thickness {thick!r} is not a positive number of mm")
        kept = {
            "name": str(self.name),
            "color": color,
            "contours": contours,
            "select": dict(self.select),
            "number": int(self.number),
            "code": None if self.code is None else Code(*map(str, self.code)),
            "thickness": None if thick is None else float(thick),
        }
        for name, value in kept.items():
            object.__setattr__(self, name, value)
