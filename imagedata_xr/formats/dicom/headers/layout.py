"""
The layout of a file tried on the next ones: within a series it is mostly the same.

What a file is and how it is walked over depends on nothing but the element headers met (tag, VR,
length), the transfer syntax, and the names of private creators. Where all of these bytes stand in
another file at the same places, the walk there would meet the same elements, one after the other;
then only the values whose bytes differ have to be taken. Numbers written as text are shorter in one
file than in another: where nothing but the length of such a value differs, what follows it is
looked for as many bytes further on.
"""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from imagedata_xr.formats.dicom.headers.dictionary import LONG_CODES, SHORT_CODES, key_of
from imagedata_xr.formats.dicom.headers.header import Header
from imagedata_xr.formats.dicom.headers.shared import DECISIVE
from imagedata_xr.formats.dicom.headers.trail import META, META_LENGTH, PREFIX, Gap, Trail
from imagedata_xr.formats.dicom.headers.walk import (
    DELIMITERS,
    ITEM,
    SEQUENCE_END,
    UNDEFINED,
    CutError,
    explicit,
)

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence

    import numpy.typing as npt

    from imagedata_xr.frames import Source

__all__ = ["Layouts", "retrace"]

# A series of several echoes or of slices with and without some element has a few layouts.
_KEPT = 6
# Values of other lengths that one file may add to those that are known to vary.
_MOST_NEW = 8
# Learning costs as much as walking: too many layouts are none.
_PATIENCE = 8
_FIRST_DATA = 0x0100_0000
_SYNTAX = 0x00020010
# With more gaps, a trail costs as much as to compare each byte.
_MOST_GAPS = 48
# Neither the walk nor pydicom makes a difference between lengths of a value with a short VR.
_Slot = tuple[int, int, int, int | None]


class _Placed:
    """
    The bytes of a file where a layout has them.

    Attributes
    ----------
    data : bytes
        Values of other lengths are those of the layout's model in it.
    whole : bool
        Whether the file had enough bytes.
    shift : int
        How much longer the file is than the model, up to its pixels.
    meta : int
        How much longer its file meta information is.
    moves : list of tuple of int
        Ends of values of other lengths in the model, and how much further on the file is there.
    changed : list of tuple
        Slot of such a value, and the value's begin and end in the file.
    """

    __slots__ = ("changed", "data", "meta", "moves", "shift", "whole")

    def __init__(self) -> None:
        self.data = b""
        self.whole = False
        self.shift = self.meta = 0
        self.moves: list[tuple[int, int]] = []
        self.changed: list[tuple[_Slot, int, int]] = []


def _shifted(
    located: Mapping[int, tuple[int, int]], moves: Sequence[tuple[int, int]]
) -> Mapping[int, tuple[int, int]]:
    """Return offsets and lengths in the model as those in the file."""
    if not located or not moves:
        return located
    return {
        tag: (offset + max((one for one in moves if one[0] <= offset), default=(0, 0))[1], length)
        for tag, (offset, length) in located.items()
    }


@dataclass(slots=True, eq=False)
class _Layout:
    """
    The first bytes of a file, up to its pixels, and what each of them means.

    Attributes
    ----------
    model : Header
    start : int
        Where the data set begins, after file meta information.
    data : bytes
        Up to the pixels.
    first : ndarray of uint8, shape (length,)
        The same.
    matters : ndarray of bool, shape (length,)
        False for the bytes of values that nobody keeps.
    owner : ndarray of int, shape (length,)
        Index of the value in `values` that a byte belongs to; -1 where it decides on the walk.
    values : tuple of tuple of int
        Tag, begin and end of the values that are kept.
    slots : dict of int to tuple
        Where the length of a value stands that may have another one: this place, the value's begin
        and end, and its tag or None.
    loose : list of tuple
        Those of `slots` that have had another length, in their order.
    gaps : set of Gap
        Where files have had other bytes.
    trail : Trail or None
        The way between these; None where they are too many.
    """

    model: Header
    start: int
    data: bytes
    first: npt.NDArray[np.uint8]
    matters: npt.NDArray[np.bool_]
    owner: npt.NDArray[np.int32]
    values: tuple[tuple[int, int, int], ...]
    slots: dict[int, _Slot]
    loose: list[_Slot] = field(default_factory=list)
    gaps: set[Gap] = field(default_factory=set)
    trail: Trail | None = None

    def match(self, data: bytes) -> tuple[_Placed, set[int]] | None:
        """
        Return where a file's bytes are, and which values differ; None where the layout does.

        What differs becomes part of the trail.
        """
        loose = self.loose
        for _ in range(_MOST_NEW):
            placed = self._place(data, loose)
            differs = np.frombuffer(placed.data, np.uint8, len(self.data)) != self.first
            passed = differs & ~self.matters
            differs &= self.matters
            owner = self.owner[differs]
            owners = set(owner.tolist())
            if -1 not in owners:
                promised = int.from_bytes(data[META_LENGTH:META], "little")
                if not placed.whole or promised + META != self.start + placed.meta:
                    return None
                self.loose[:] = loose
                self._extend(placed, owners, passed)
                return placed, owners
            place = int(np.flatnonzero(differs)[(owner == -1).argmax()])
            slot = self.slots.get(place) or self.slots.get(place - 1)
            if slot is None or slot in loose:
                return None
            loose = [*loose]
            insort(loose, slot)
        return None

    def _extend(self, placed: _Placed, owners: set[int], passed: npt.NDArray[np.bool_]) -> None:
        """Let the trail pass over what a file has otherwise."""
        values = [self.values[number] for number in owners]
        found = {self._gap(begin, end, tag) for tag, begin, end in values}
        found |= {self._gap(begin, end, tag) for (_, begin, end, tag), _, _ in placed.changed}
        if passed.any():
            # Values that nobody keeps have the heads of elements before and behind them.
            edges = np.flatnonzero(np.diff(~self.matters, prepend=False))
            held = np.logical_or.reduceat(passed, edges)[::2].tolist()
            stretches = zip(edges[::2].tolist(), edges[1::2].tolist(), held, strict=True)
            found |= {self._gap(begin, end, None) for begin, end, here in stretches if here}
        if found <= self.gaps:
            return
        self.gaps |= found
        self.trail = None
        if len(self.gaps) <= _MOST_GAPS:
            elements, own = self.model.shared.elements, self.model.own
            self.trail = Trail(self.data, self.start, self.gaps, elements, own)

    def _gap(self, begin: int, end: int, tag: int | None) -> Gap:
        return Gap(begin, end, tag, sized=begin - 2 in self.slots)

    def _place(self, data: bytes, loose: list[_Slot]) -> _Placed:
        """Return the bytes of a file moved to where they are in the model."""
        placed, model = _Placed(), self.data
        place = shift = 0
        parts: list[bytes] = []
        if data[META_LENGTH:META] != model[META_LENGTH:META]:
            # It must be what the values of other lengths make it: `match` looks.
            parts, place = [data[:META_LENGTH], model[META_LENGTH:META]], META
        for slot in loose:
            where, begin, end, _ = slot
            at = where + shift
            length = int.from_bytes(data[at : at + 2], "little")
            if length != end - begin:
                parts += (data[place + shift : at], model[where:end])
                placed.changed.append((slot, begin + shift, begin + shift + length))
                shift += length - (end - begin)
                place = end
                placed.moves.append((end, shift))
                if end <= self.start:
                    placed.meta = shift
        moved = b"".join([*parts, data[place + shift :]]) if parts else data
        placed.whole = len(data) - shift >= len(model) <= len(moved)
        # What a shorter file has may still tell which of its values are shorter.
        placed.data = moved if placed.whole else moved.ljust(len(model), b"\0")
        placed.shift = shift
        return placed


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
            trail = layout.trail
            found = None if trail is None else trail.read(data, self._pool.setdefault)
            if trail is not None and found is not None:
                moves = trail.moves(data) if layout.model.located else ()
                return self._header(layout, (source, size), *found, moves)
        for layout in self._known:
            matched = layout.match(data)
            if matched is not None:
                placed, owners = matched
                own = self._own(layout, owners, placed, data)
                layout.model.shared.varying.update(own)
                end = len(layout.data) + placed.shift
                return self._header(layout, (source, size), own, end, placed.moves)
        return None

    def _header(
        self,
        layout: _Layout,
        file: tuple[Source, int | None],
        own: dict[int, bytes],
        end: int,
        moves: Sequence[tuple[int, int]],
    ) -> Header:
        self.hits += 1
        if layout is not self._known[0]:
            self._known.remove(layout)
            self._known.insert(0, layout)
        model = layout.model
        source, size = file
        located = _shifted(model.located, moves) if moves else model.located
        return Header(
            source, model.shared, own, end, model.pixel_length, located=located, size=size
        )

    def _own(
        self, layout: _Layout, owners: set[int], placed: _Placed, data: bytes
    ) -> dict[int, bytes]:
        intern, values, moved = self._pool.setdefault, layout.values, placed.data
        own = layout.model.own.copy()
        for number in owners:
            tag, begin, end = values[number]
            value = moved[begin:end]
            own[tag] = intern(value, value)
        for (_, _, _, changed), begin, end in placed.changed:
            if changed is not None:
                value = data[begin:end]
                own[changed] = intern(value, value)
        return own

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
        meta, places = retrace(data, META, start)
        body, found = retrace(data, start, header.pixel_offset)
        elements = header.elements
        if _SYNTAX not in places or elements != {
            tag: data[a:b] for tag, (a, b) in found.items() if tag in elements
        }:
            return
        decisive = [(PREFIX, META), *meta, *body, places[_SYNTAX]]
        decisive += [found[tag] for tag in DECISIVE if tag in found]
        values = tuple((tag, *found[tag]) for tag in elements)
        length = header.pixel_offset
        owner = np.full(length, -2, dtype=np.int32)
        for number, (_, begin, end) in enumerate(values):
            owner[begin:end] = number
        for begin, end in decisive:
            owner[begin:end] = -1
        first = np.frombuffer(data, np.uint8, length)
        slots = _slots(data, places | found, elements)
        layout = _Layout(header, start, data[:length], first, owner != -2, owner, values, slots)
        self._known.insert(0, layout)
        del self._known[_KEPT:]


def _slots(
    data: bytes, places: dict[int, tuple[int, int]], kept: Container[int]
) -> dict[int, _Slot]:
    """Return the places of lengths that decide on nothing but where the next element is."""
    found: dict[int, _Slot] = {}
    for tag, (begin, end) in places.items():
        creator = tag >> 16 & 1 and not tag & 0xFF00
        code = int.from_bytes(data[begin - 4 : begin - 2], "little")
        head = int.from_bytes(data[begin - 8 : begin - 4], "little")
        short = code in SHORT_CODES and head == key_of(tag)
        if short and not creator and tag != _SYNTAX and tag not in DECISIVE:
            found[begin - 2] = (begin - 2, begin, end, tag if tag in kept else None)
    return found


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
