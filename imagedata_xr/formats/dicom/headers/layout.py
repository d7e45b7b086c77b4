"""
The layout of a file tried on the next ones: within a series it is mostly the same.

A walk depends on nothing but the element headers it meets (tag, VR, length) and the names of
private creators. Where all of these bytes stand in another file at the same places, the walk there
would meet the same elements, one after the other; then the values can be taken at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from imagedata_xr.formats.dicom.headers.dictionary import LONG_CODES, key_of
from imagedata_xr.formats.dicom.headers.header import Header
from imagedata_xr.formats.dicom.headers.walk import (
    DELIMITERS,
    ITEM,
    SEQUENCE_END,
    UNDEFINED,
    CutError,
    explicit,
)

if TYPE_CHECKING:
    import numpy.typing as npt

    from imagedata_xr.frames import Source

__all__ = ["Layouts", "retrace"]

# A series of several echoes or of slices with and without some element has a few layouts.
_KEPT = 6
# Learning costs as much as walking: too many layouts are none.
_PATIENCE = 8
_FIRST_DATA = 0x0100_0000


@dataclass(frozen=True, slots=True, eq=False)
class _Layout:
    """Where the bytes are that decide on a walk, what they are, and where the values are."""

    start: int
    places: npt.NDArray[np.intp]
    decisive: bytes
    values: tuple[tuple[int, int, int], ...]
    model: Header

    def fits(self, data: bytes, start: int, syntax: str) -> bool:
        return (
            start == self.start
            and syntax == self.model.transfer_syntax
            and len(data) > self.places[-1]
            and np.frombuffer(data, np.uint8).take(self.places).tobytes() == self.decisive
        )


class Layouts:
    """
    The layouts that a scan has met last.

    Parameters
    ----------
    pool : dict
        Of equal values.
    """

    __slots__ = ("_known", "_learnt", "_pool", "hits")

    def __init__(self, pool: dict[Any, Any]) -> None:
        self._pool = pool
        self._known: list[_Layout] = []
        self._learnt = 0
        self.hits = 0

    def read(self, source: Source, data: bytes, start: int, syntax: str) -> Header | None:
        """
        Return the header of a file whose layout is known, else None.

        Parameters
        ----------
        source : Source
        data : bytes
            The first bytes of the file.
        start : int
            Where its data set begins.
        syntax : str
            Transfer Syntax UID.
        """
        fitting = (layout for layout in self._known if layout.fits(data, start, syntax))
        layout = next(fitting, None)
        if layout is None:
            return None
        self.hits += 1
        if layout is not self._known[0]:
            self._known.remove(layout)
            self._known.insert(0, layout)
        intern, model = self._pool.setdefault, layout.model
        return Header(
            source=source,
            elements={
                tag: intern(value := data[begin:end], value) for tag, begin, end in layout.values
            },
            transfer_syntax=model.transfer_syntax,
            vrs=model.vrs,
            pixel_tag=model.pixel_tag,
            pixel_offset=model.pixel_offset,
            pixel_length=model.pixel_length,
            others=model.others,
            creators=model.creators,
            located=model.located,
        )

    def learn(self, header: Header, data: bytes, start: int) -> None:
        """
        Remember the layout of a file in explicit VR that was walked over within its first bytes.

        Parameters
        ----------
        header : Header
            What the walk has found.
        data : bytes
        start : int
            Where the data set begins.
        """
        if header.pixel_offset is None or self._learnt > _PATIENCE + self.hits // 4:
            return
        self._learnt += 1
        ranges, places = retrace(data, start, header.pixel_offset)
        if {tag: data[a:b] for tag, (a, b) in places.items() if tag in header.elements} != (
            header.elements
        ):
            return
        indices = np.concatenate([np.arange(a, b) for a, b in ranges])
        values = tuple((tag, *places[tag]) for tag in header.elements)
        decisive = np.frombuffer(data, np.uint8).take(indices).tobytes()
        self._known.insert(0, _Layout(start, indices, decisive, values, header))
        del self._known[_KEPT:]


def retrace(
    data: bytes, i: int, pixels: int
) -> tuple[list[tuple[int, int]], dict[int, tuple[int, int]]]:
    """
    Return the ranges of bytes that decided on a walk, and where the top-level values are.

    Parameters
    ----------
    data : bytes
    i : int
        Where a data set in explicit VR begins.
    pixels : int
        Where the walk ends.
    """
    ranges, places = [(i, i)], {}
    depth = 0
    try:
        while i < pixels:
            key, code, length, length4 = explicit(data, i)
            if depth and key in DELIMITERS:
                ranges.append((i, i + 8))
                length = code | length << 16
                i += 8 + (length if key == ITEM and length != UNDEFINED else 0)
                depth -= key == SEQUENCE_END
                continue
            begin = i + 8
            if code in LONG_CODES:
                begin, length = i + 12, length4
            ranges.append((i, begin))
            undefined = length == UNDEFINED and code in LONG_CODES
            i = begin if undefined or begin == pixels else begin + length
            if not depth:
                places[key_of(key)] = (begin, i)
                if key & 1 and key < _FIRST_DATA:
                    ranges.append((begin, i))
            depth += undefined and begin != pixels
    except CutError:
        places.clear()
    return ranges, places
