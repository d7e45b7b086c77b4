"""
The quick way through files of one layout: stretches of fixed bytes, and the values between them.

Where the bytes before, between and behind the values that vary are those of the model, a walk would
meet the same elements. To compare a few stretches costs less than to compare every byte by itself
(`layout`), which says what varies, and so where the stretches are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["META", "META_LENGTH", "PREFIX", "Gap", "Trail"]

# After the preamble: DICM, and the element that tells the length of the file meta information.
PREFIX, META_LENGTH, META = 128, 140, 144


class Gap(NamedTuple):
    """
    Bytes of a model that other files may have otherwise.

    Attributes
    ----------
    begin, end : int
        Where they are in the model.
    tag : int or None
        The element whose value they are; None where nobody keeps it.
    sized : bool
        Whether the two bytes before them are their length.
    """

    begin: int
    end: int
    tag: int | None
    sized: bool


@dataclass(frozen=True, slots=True, eq=False)
class _Step:
    """Fixed bytes, and the gap behind them."""

    fixed: bytes
    gap: Gap
    value: bytes | None

    def lean(self) -> tuple[bytes, int, int, int | None, bytes | None]:
        """Return the fixed bytes, their number, that of the gap's (-1 if sized), tag and value."""
        gap = self.gap
        size = -1 if gap.sized else gap.end - gap.begin
        return self.fixed, len(self.fixed), size, gap.tag, self.value


class Trail:
    """
    Fixed bytes of a layout and the gaps between them.

    Parameters
    ----------
    data : bytes
        The model, up to its pixels.
    start : int
        Where its data set begins, after file meta information.
    gaps : iterable of Gap
        Not overlapping. No byte in them decides on how a file is walked over, but by the length.
    elements : mapping of int to bytes
        What a file has where it has nothing of its own.
    own : mapping of int to bytes
        What the model has otherwise.
    """

    __slots__ = ("_base", "_parts", "_steps")

    def __init__(
        self,
        data: bytes,
        start: int,
        gaps: Iterable[Gap],
        elements: Mapping[int, bytes],
        own: Mapping[int, bytes],
    ) -> None:
        kept = [*sorted(gaps), Gap(META_LENGTH, META, None, sized=False)]
        tags = {gap.tag for gap in kept}
        self._base = {tag: raw for tag, raw in own.items() if tag not in tags}
        self._steps: list[_Step] = []
        parts = []
        for first, end in ((PREFIX, start), (start, len(data))):
            inside = sorted(gap for gap in kept if first <= gap.begin < end)
            place, steps = first, []
            for gap in inside:
                head = gap.begin - 2 if gap.sized else gap.begin
                value = None if gap.tag is None else elements[gap.tag]
                steps.append(_Step(data[place:head], gap, value))
                place = gap.end
            self._steps += steps
            last = data[place:end]
            parts.append((tuple(step.lean() for step in steps), last, len(last)))
        self._parts = tuple(parts)

    def read(self, data: bytes, intern: Any) -> tuple[dict[int, bytes], int] | None:
        """
        Return a file's own values, and where its pixels begin; None where it has other fixed bytes.

        Parameters
        ----------
        data : bytes
            The first bytes of the file.
        intern : callable
            ``setdefault`` of a dict of equal values.
        """
        own = self._base.copy()
        begins = data.startswith
        place = PREFIX
        ends = []
        try:
            for steps, last, length in self._parts:
                for fixed, count, width, tag, value in steps:
                    if not begins(fixed, place):
                        return None
                    place += count
                    if width < 0:
                        begin = place + 2
                        place = begin + (data[place] | data[place + 1] << 8)
                    else:
                        begin = place
                        place += width
                    if tag is not None:
                        found = data[begin:place]
                        if found != value:
                            own[tag] = intern(found, found)
                if not begins(last, place):
                    return None
                place += length
                ends.append(place)
        except IndexError:
            # The bytes end within the length of a value.
            return None
        if int.from_bytes(data[META_LENGTH:META], "little") + META != ends[0]:
            return None
        return own, place

    def moves(self, data: bytes) -> list[tuple[int, int]]:
        """Return ends of gaps in the model, and how much further on a file that fits is there."""
        found, shift = [], 0
        for step in self._steps:
            gap = step.gap
            if gap.sized:
                at = gap.begin + shift
                shift += int.from_bytes(data[at - 2 : at], "little") - (gap.end - gap.begin)
                found.append((gap.end, shift))
        return found
