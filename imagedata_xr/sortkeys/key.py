"""What a sort key is: a name for a dimension and how to read its value from a frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from imagedata_xr.frames import Value

__all__ = ["SortKey", "number"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SortKey:
    """
    One way to read the value of one dimension from a frame's header.

    Attributes
    ----------
    name : str
        Name of the dimension and of its coordinate.
    source : str
        Where the value comes from, as shown to a person and recorded in ``encoding``
        (DICOM keywords joined by ``+``).
    value : callable
        Takes the frame's header values by DICOM keyword, returns a number or a string, or None
        where the header has no value. For frames read from DICOM, ``values.dataset()`` gives the
        full pydicom Dataset.
    units : str
        Units of the coordinate, empty where it has none.
    tolerance : float
        Values closer than this fraction of their size are the same value: headers round.
    ranked : bool
        True where each slice has its own values (acquisition times): then their order within a
        slice counts, and the slices' values must run in parallel.
    step : callable or None
        For keys that only count (1, 2, 3): the distance of two counts in `units`, or None where
        the header does not know it. Such a key orders frames, but labels them only with a step.
    counts : bool
        True where the value is a count.
    shortest : callable or None
        The shortest step that is physically possible, in `units`, or None where the header does
        not know one: steps below it are not those of the quantity.
    span : float or None
        The largest difference between two frames that can be believed, in `units`: clock times
        without a date cannot tell what comes before midnight.

    Examples
    --------
    >>> key = imagedata_xr.SortKey.from_keyword("AcquisitionNumber", name="run")
    >>> key.name, key.source
    ('run', 'AcquisitionNumber')
    """

    name: str
    source: str
    value: Callable[[Mapping[str, Value]], Value]
    units: str = ""
    tolerance: float = 1e-4
    ranked: bool = False
    counts: bool = False
    step: Callable[[Mapping[str, Value]], float | None] | None = None
    shortest: Callable[[Mapping[str, Value]], float | None] | None = None
    span: float | None = None

    @classmethod
    def from_keyword(cls, keyword: str, *, name: str | None = None, units: str = "") -> SortKey:
        """
        Make a key that reads one DICOM attribute.

        Parameters
        ----------
        keyword : str
            DICOM keyword (PS3.6), e.g. ``"InversionTime"``.
        name : str, optional
            Name of the dimension; the keyword by default.
        units : str, optional
            Units of the coordinate.
        """

        def value(values: Mapping[str, Value]) -> Value:
            return values.get(keyword)

        return cls(name=name or keyword, source=keyword, value=value, units=units)


def number(values: Mapping[str, Value], keyword: str) -> float | None:
    """Return a header value as a float, or None where it is missing or no single number."""
    value = values.get(keyword)
    return float(value) if isinstance(value, int | float) else None
