"""
Where the elements of a header begin and end, so that some can be exchanged and the rest copied.

Within a series, the elements mostly stand at the same places: an outline that fits another file,
element header by element header, needs no walk there.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from imagedata_xr.errors import FormatError
from imagedata_xr.formats.dicom.headers.layout import retrace
from imagedata_xr.formats.dicom.nested import Nested, Span

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = ["ITEM", "Outline", "Outlines", "walked"]

ITEM: Final = b"\xfe\xff\x00\xe0"
_KEPT: Final = 6
_WITH_ITEMS: Final = (b"SQ", b"UN")


@dataclass(frozen=True, slots=True, eq=False)
class Outline:
    """
    The top level of a data set.

    Attributes
    ----------
    start, end : int
        Its bytes, up to the pixels.
    explicit : bool
        Explicit VR, else implicit.
    places : mapping of int to tuple of int
        First byte of each element and of its value, and the byte after it, by tag in ascending
        order.
    sequences : tuple of int
        Tags of public elements that may have items.
    tags : tuple of int
        All of them.
    lengths, private : tuple of int
        Those of the retired group lengths, and of private elements.
    """

    start: int
    end: int
    explicit: bool
    places: Mapping[int, tuple[int, int, int]]
    sequences: tuple[int, ...]
    tags: tuple[int, ...] = field(init=False)
    lengths: tuple[int, ...] = field(init=False)
    private: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        tags = tuple(self.places)
        for name, found in (
            ("tags", tags),
            ("lengths", [tag for tag in tags if not tag & 0xFFFF]),
            ("private", [tag for tag in tags if tag >> 16 & 1]),
        ):
            object.__setattr__(self, name, tuple(found))

    def place(self, tag: int) -> tuple[int, int]:
        """Return where an element is, or would have to be put in (as an empty range)."""
        found = self.places.get(tag)
        if found is not None:
            return found[0], found[2]
        k = bisect_left(self.tags, tag)
        at = self.places[self.tags[k]][0] if k < len(self.tags) else self.end
        return at, at


def walked(data: bytes, start: int, end: int, *, explicit: bool) -> Outline | None:
    """
    Return the outline of a data set; None where its elements are not in order.

    Raises
    ------
    FormatError
        It is damaged.
    """
    values = Nested(data, "header").elements(Span(start, end, explicit))
    places, at = {}, start
    for tag, span in values.items():
        places[tag] = (at, span.start, span.end)
        at = span.end
    in_order = all(a < b for a, b in zip(places, list(places)[1:], strict=False))
    if not in_order or at != end:
        return None
    sequences = tuple(
        tag
        for tag, (begin, value, _) in places.items()
        if not tag >> 16 & 1
        and (data[begin + 4 : begin + 6] in _WITH_ITEMS if explicit else _is_item(data, value))
    )
    return Outline(start, end, explicit, places, sequences)


def _is_item(data: bytes, at: int) -> bool:
    return data[at : at + 4] == ITEM


class Outlines:
    """The outlines that a series has met last."""

    def __init__(self) -> None:
        self._known: list[tuple[Outline, NDArray[np.intp], bytes]] = []
        self._missed = 0

    def of(self, data: bytes, start: int, end: int, *, explicit: bool) -> Outline | None:
        """
        Return the outline of a data set; None where it is none that can be cut.

        Parameters
        ----------
        data : bytes
        start, end : int
            The data set, up to the pixels.
        explicit : bool
        """
        for outline, places, decisive in self._known:
            if (outline.start, outline.end, outline.explicit) == (
                start,
                end,
                explicit,
            ) and np.frombuffer(data, np.uint8).take(places).tobytes() == decisive:
                return outline
        try:
            found = walked(data, start, end, explicit=explicit)
        except FormatError:
            return None
        # Where each file has another layout, looking for them costs more than it saves.
        if found is not None and explicit and self._missed < 3 * _KEPT:
            self._missed += 1
            self._learn(found, data)
        return found

    def _learn(self, outline: Outline, data: bytes) -> None:
        ranges, places = retrace(data, outline.start, outline.end)
        if {tag: begin for tag, (_, begin, _) in outline.places.items()} != {
            tag: begin for tag, (begin, _) in places.items()
        }:
            return
        indices = np.concatenate([np.arange(a, b) for a, b in ranges])
        decisive = np.frombuffer(data, np.uint8).take(indices).tobytes()
        self._known.insert(0, (outline, indices, decisive))
        del self._known[_KEPT:]
