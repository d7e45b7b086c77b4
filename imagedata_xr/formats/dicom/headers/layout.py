"""
The layout of a file tried on the next ones: within a series it is mostly the same.

What a file is and how it is walked over depends on nothing but the element headers met (tag, VR,
length), the transfer syntax, and the names of private creators. Where all of these bytes stand in
another file at the same places, the walk there would meet the same elements, one after the other;
then only the values whose bytes differ have to be taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from imagedata_xr.formats.dicom.headers.dictionary import LONG_CODES, key_of
from imagedata_xr.formats.dicom.headers.header import Header
from imagedata_xr.formats.dicom.headers.shared import DECISIVE
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
_SYNTAX = 0x00020010
# After the preamble: DICM, and the element that tells the length of the file meta information.
_PREFIX, _META = 128, 144


@dataclass(frozen=True, slots=True, eq=False)
class _Layout:
    """
    The first bytes of a file, up to its pixels, and what each of them means.

    Attributes
    ----------
    model : Header
    length : int
        Bytes before the pixels.
    first : ndarray of uint8, shape (length,)
    matters : ndarray of bool, shape (length,)
        False for the bytes of values that nobody keeps.
    owner : ndarray of int, shape (length,)
        Index of the value in `values` that a byte belongs to; -1 where it decides on the walk.
    values : tuple of tuple of int
        Tag, begin and end of the values that are kept.
    """

    model: Header
    length: int
    first: npt.NDArray[np.uint8]
    matters: npt.NDArray[np.bool_]
    owner: npt.NDArray[np.int32]
    values: tuple[tuple[int, int, int], ...]

    def differences(self, data: bytes) -> set[int] | None:
        """Return the indices of the values that differ, None where the layout does."""
        if len(data) < self.length:
            return None
        differs = np.frombuffer(data, np.uint8, self.length) != self.first
        differs &= self.matters
        owners = set(self.owner[differs].tolist())
        return None if -1 in owners else owners


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

    def read(self, source: Source, data: bytes, size: int | None) -> Header | None:
        """
        Return the header of a file whose layout is known, else None.

        Parameters
        ----------
        source : Source
        data : bytes
            The first bytes of the file.
        size : int or None
            Length of the file.
        """
        for layout in self._known:
            owners = layout.differences(data)
            if owners is not None:
                return self._header(layout, owners, source, data, size)
        return None

    def _header(
        self, layout: _Layout, owners: set[int], source: Source, data: bytes, size: int | None
    ) -> Header:
        self.hits += 1
        if layout is not self._known[0]:
            self._known.remove(layout)
            self._known.insert(0, layout)
        intern, model, values = self._pool.setdefault, layout.model, layout.values
        own = model.own.copy()
        for number in owners:
            tag, begin, end = values[number]
            value = data[begin:end]
            own[tag] = intern(value, value)
        return Header(
            source,
            model.shared,
            own,
            model.pixel_offset,
            model.pixel_length,
            size=size,
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
            Where the data set begins, after file meta information.
        """
        if header.pixel_offset is None or self._learnt > _PATIENCE + self.hits // 4:
            return
        self._learnt += 1
        meta, places = retrace(data, _META, start)
        body, found = retrace(data, start, header.pixel_offset)
        elements = header.elements
        if _SYNTAX not in places or elements != {
            tag: data[a:b] for tag, (a, b) in found.items() if tag in elements
        }:
            return
        decisive = [(_PREFIX, _META), *meta, *body, places[_SYNTAX]]
        decisive += [found[tag] for tag in DECISIVE if tag in found]
        values = tuple((tag, *found[tag]) for tag in elements)
        length = header.pixel_offset
        owner = np.full(length, -2, dtype=np.int32)
        for number, (_, begin, end) in enumerate(values):
            owner[begin:end] = number
        for begin, end in decisive:
            owner[begin:end] = -1
        first = np.frombuffer(data, np.uint8, length)
        self._known.insert(0, _Layout(header, length, first, owner != -2, owner, values))
        del self._known[_KEPT:]


def retrace(
    data: bytes, i: int, end: int
) -> tuple[list[tuple[int, int]], dict[int, tuple[int, int]]]:
    """
    Return the ranges of bytes that decided on a walk, and where the top-level values are.

    Parameters
    ----------
    data : bytes
    i : int
        Where a data set in explicit VR begins.
    end : int
        Where the walk ends.
    """
    ranges, places = [(i, i)], {}
    depth = 0
    try:
        while i < end:
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
            i = begin if undefined or begin == end else begin + length
            if not depth:
                places[key_of(key)] = (begin, i)
                if key & 1 and key < _FIRST_DATA:
                    ranges.append((begin, i))
            depth += undefined and begin != end
    except CutError:
        places.clear()
    return ranges, places
