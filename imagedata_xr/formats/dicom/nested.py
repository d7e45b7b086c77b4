"""
Sequences inside a data set, as places in its bytes (PS3.5 section 7.5): nothing is decoded.

A multi-frame header holds tens of thousands of items; a walk over their bytes finds what is wanted
in microseconds a frame. Explicit and implicit VR, defined and undefined lengths are walked; deflated
and big-endian data sets are rewritten by pydicom first.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from imagedata_xr.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imagedata_xr.formats.dicom.headers import Header

__all__ = ["LONG_VRS", "Nested", "Span", "sequences_of"]

_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_UNDEFINED = 0xFFFFFFFF
LONG_VRS = frozenset(
    int.from_bytes(vr, "little")
    for vr in (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR")
) | frozenset(int.from_bytes(vr, "little") for vr in (b"UT", b"UV"))
_UNKNOWN = int.from_bytes(b"UN", "little")
_EXPLICIT = struct.Struct("<HHHH")
_IMPLICIT = struct.Struct("<HHI")
_LENGTH = struct.Struct("<I")
_DEEPEST = 32
_IMPLICIT_SYNTAX = "1.2.840.10008.1.2"


class Span(NamedTuple):
    """
    Where a value is.

    Attributes
    ----------
    start, end : int
        Its bytes.
    explicit : bool
        Whether elements inside it say their VR.
    """

    start: int
    end: int
    explicit: bool


@dataclass(frozen=True, slots=True, eq=False)
class Nested:
    """
    Bytes of a data set.

    Attributes
    ----------
    data : bytes
    name : str
        The file, for messages.
    """

    data: bytes
    name: str

    def elements(self, span: Span, depth: int = 0) -> dict[int, Span]:
        """
        Return the values of the elements of a data set or item, by tag.

        Raises
        ------
        FormatError
            A length points beyond the end, or items are nested too deeply.
        """
        return self._elements(span, depth)[0]

    def items(self, span: Span, depth: int = 0) -> list[Span]:
        """
        Return the items of a sequence.

        Raises
        ------
        FormatError
            What is there is no item, or ends too late.
        """
        return self._items(span, depth)[0]

    def first(self, span: Span | None) -> dict[int, Span]:
        """Return the elements of the first item of a sequence, none where there is no item."""
        found = self.items(span) if span is not None else ()
        return self.elements(found[0]) if found else {}

    def _elements(self, span: Span, depth: int) -> tuple[dict[int, Span], int]:
        data, (at, end, explicit) = self.data, span
        found: dict[int, Span] = {}
        while at + 8 <= end:
            if explicit:
                group, element, code, length = _EXPLICIT.unpack_from(data, at)
                tag = group << 16 | element
                if tag == _ITEM_END:
                    return found, at + 8
                at += 8
                if code in LONG_VRS:
                    if at + 4 > end:
                        raise self._damaged(tag, at)
                    length = _LENGTH.unpack_from(data, at)[0]
                    at += 4
            else:
                group, element, length = _IMPLICIT.unpack_from(data, at)
                tag, code = group << 16 | element, 0
                if tag == _ITEM_END:
                    return found, at + 8
                at += 8
            if length == _UNDEFINED:
                # PS3.5 6.2.2 note 2: what is inside UN of undefined length has implicit VR.
                inner = Span(at, end, explicit and code != _UNKNOWN)
                stop = self._items(inner, depth + 1)[1]
                found[tag] = Span(at, stop, inner.explicit)
                at = stop
            else:
                if at + length > end:
                    raise self._damaged(tag, at)
                found[tag] = Span(at, at + length, explicit and code != _UNKNOWN)
                at += length
        return found, at

    def _items(self, span: Span, depth: int) -> tuple[list[Span], int]:
        if depth > _DEEPEST:
            raise FormatError(f"{self.name}: sequences are nested more than {_DEEPEST} deep")
        data, (at, end, explicit) = self.data, span
        found: list[Span] = []
        while at + 8 <= end:
            group, element, length = _IMPLICIT.unpack_from(data, at)
            tag = group << 16 | element
            at += 8
            if tag == _SEQUENCE_END:
                break
            if tag != _ITEM or (length != _UNDEFINED and at + length > end):
                raise self._damaged(tag, at)
            if length == _UNDEFINED:
                stop = self._elements(Span(at, end, explicit), depth + 1)[1]
            else:
                stop = at + length
            found.append(Span(at, stop, explicit))
            at = stop
        return found, at

    def _damaged(self, tag: int, at: int) -> FormatError:
        return FormatError(
            f"{self.name}: damaged: element ({tag >> 16:04X},{tag & 0xFFFF:04X}) at byte {at} of "
            "a sequence does not end where it should"
        )


def sequences_of(header: Header, tags: Sequence[int]) -> tuple[Nested, dict[int, Span]]:
    """
    Return the bytes of a header, and where the values of some sequences are in them.

    Parameters
    ----------
    header : Header
    tags : sequence of int
        Tags of sequences at the top level.

    Raises
    ------
    FormatError
        The header is damaged.
    """
    start, offset = None, header.pixel_offset
    if offset is not None and header.is_little_endian and not header.from_pydicom:
        data = header.source.read(0, offset)
        start = _data_set_start(data)
    if start is None:
        data, start, end, explicit = _rewritten(header, tags), 0, 0, True
    else:
        explicit = header.transfer_syntax != _IMPLICIT_SYNTAX
        # The pixel element's own tag, VR and length stand before its value.
        end = 12 if explicit else 8
    nested = Nested(data, header.source.name)
    found = nested.elements(Span(start, len(data) - end, explicit))
    return nested, {tag: found[tag] for tag in tags if tag in found}


def _data_set_start(data: bytes) -> int | None:
    """Return where the data set starts after the file meta information (PS3.10 section 7.1)."""
    if data[128:132] != b"DICM":
        return None
    at = 132
    while at + 8 <= len(data):
        group, _, code, length = _EXPLICIT.unpack_from(data, at)
        if group != 2:
            return at
        at += 8
        if code in LONG_VRS:
            if at + 4 > len(data):
                return None
            length = _LENGTH.unpack_from(data, at)[0]
            at += 4
        at += length
    return None


def _rewritten(header: Header, tags: Sequence[int]) -> bytes:
    """Return the sequences alone in explicit VR little endian, written by pydicom."""
    from pydicom import Dataset
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import write_dataset

    source, part = header.dataset(), Dataset()
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = False, True
    try:
        for tag in tags:
            if tag in source:
                part.add(source[tag])
        write_dataset(buffer, part)
    except FormatError:
        raise
    except Exception as error:
        raise FormatError(f"{header.source.name}: pydicom cannot read its sequences") from error
    return buffer.getvalue()
