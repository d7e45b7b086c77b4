"""
Headers whose bytes are copied as they stand, but for the elements that are changed.

A `PatchedHeader` is changed as a `pydicom.Dataset` is, by the same functions, and gives the same file.
What it cannot do on bytes alone raises `UnusualError`: then the same is done by pydicom.
"""

from __future__ import annotations

import contextlib
import os
import struct
from bisect import bisect_left
from typing import TYPE_CHECKING, Any, Final, NoReturn

from pydicom.charset import convert_encodings
from pydicom.dataelem import DataElement, RawDataElement, convert_raw_data_element
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.tag import BaseTag

from imagedata_xr.errors import FormatError
from imagedata_xr.formats.dicom.nested import LONG_VRS, Nested, Span
from imagedata_xr.formats.dicom.write.encode import (
    as_datasets,
    encoded_element,
    encoded_items,
    encoded_text,
    file_meta,
    known_element,
    pixel_head,
)
from imagedata_xr.formats.dicom.write.outline import ITEM, Outlines, walked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from imagedata_xr.formats.dicom.write.outline import Outline

__all__ = [
    "PatchedHeader",
    "Patcher",
    "UnusualError",
    "drop_range",
    "encoded_header",
    "has_private",
    "put_items",
    "write_file",
]

_CHARACTER_SET, _CLASS, _INSTANCE = 0x00080005, 0x00080016, 0x00080018
# Written as they are, if they are texts of ASCII: decoders neither cut nor convert them.
_TEXTS: Final = frozenset({"CS", "DA", "DS", "DT", "IS", "TM", "UI"})
_NUMBERS: Final = {"FD": "d", "US": "H", "SS": "h"}
_IN_CHARACTERS: Final = frozenset({b"LO", b"LT", b"PN", b"SH", b"SQ", b"ST", b"UC", b"UN", b"UT"})
_MOST_KEPT: Final = 4096


class UnusualError(Exception):
    """A header has to be read or changed in a way that bytes alone do not allow."""


class Patcher:
    """
    What the headers of one series have in common: outlines, and elements encoded and decoded once.

    Attributes
    ----------
    active : bool
        Whether headers are to be patched, where they can be.
    """

    def __init__(self) -> None:
        self.active = False
        self.outlines = Outlines()
        self._encoded: dict[Any, bytes] = {}
        self._decoded: dict[Any, Any] = {}
        self._tested: dict[Any, bool] = {}
        self._sequences: dict[Any, tuple[DataElement, bytes]] = {}

    def encoded(
        self, tag: int, vr: str, value: Any, *, explicit: bool, characters: str | tuple[str, ...]
    ) -> bytes:
        """Return an element as pydicom writes it."""
        text = str(value) if vr == "IS" and type(value) is int else value
        if type(value) is list and value and all(type(one) is str for one in value):
            text = "\\".join(value)
        if value is None and vr in _TEXTS:
            text = ""
        if vr in _TEXTS and type(text) is str and text.isascii() and len(text) < 1 << 15:
            return encoded_text(tag, vr, text, explicit=explicit)
        key = (tag, vr, repr(value), explicit, characters)
        found = self._encoded.get(key)
        if found is None:
            if " or " in vr:
                raise UnusualError
            if len(self._encoded) > _MOST_KEPT:
                self._encoded.clear()
            found = self._encoded[key] = _element(
                DataElement(tag, vr, value), explicit=explicit, characters=characters
            )
        return found

    def element(
        self, one: DataElement, *, explicit: bool, characters: str | tuple[str, ...]
    ) -> bytes:
        """Return an element as pydicom writes it; one with items must not be changed any more."""
        tag = int(one.tag)
        if one.VR != "SQ":
            return self.encoded(tag, one.VR, one.value, explicit=explicit, characters=characters)
        key = (id(one), explicit, characters)
        if key not in self._sequences:
            if len(self._sequences) > _MOST_KEPT:
                self._sequences.clear()
            # Kept, so that nothing else gets its identity.
            self._sequences[key] = one, _element(one, explicit=explicit, characters=characters)
        return self._sequences[key][1]

    def decoded(
        self, tag: int, piece: bytes, *, explicit: bool, characters: str | tuple[str, ...]
    ) -> Any:
        """Return the value of an element as pydicom reads it."""
        key = (tag, piece, explicit, characters)
        if key not in self._decoded:
            if len(self._decoded) > _MOST_KEPT:
                self._decoded.clear()
            self._decoded[key] = _value(tag, piece, explicit=explicit, characters=characters)
        return self._decoded[key]

    def is_public(self, piece: bytes, *, explicit: bool) -> bool:
        """Tell whether the items of a sequence have public elements only."""
        return self._has_only(_is_public, piece, explicit=explicit)

    def is_ascii(self, piece: bytes, *, explicit: bool) -> bool:
        """Tell whether all texts of a sequence mean the same in other characters."""
        return self._has_only(_is_ascii, piece, explicit=explicit)

    def _has_only(
        self, test: Callable[[int, bytes], bool], piece: bytes, *, explicit: bool
    ) -> bool:
        key = (test, piece)
        if key not in self._tested:
            at = _begin(piece, explicit=explicit)
            found = piece[at : at + 4] != ITEM and test(0, piece[at:])
            if not found and (not explicit or piece[4:6] == b"SQ"):
                with contextlib.suppress(FormatError):
                    nested, span = Nested(piece, "header"), Span(at, len(piece), explicit)
                    found = all(test(tag, value) for tag, value in _values(nested, span))
            self._tested[key] = found
        return self._tested[key]


class PatchedHeader:
    """
    A header that can be changed as a `pydicom.Dataset`, and is written with its pixels.

    Parameters
    ----------
    data : bytes
        With all of the header in native little endian.
    outline : Outline
        Where its elements are.
    patcher : Patcher
    """

    __slots__ = ("_changed", "_characters", "_data", "_outline", "_patcher", "_pixels")
    _data: bytes
    _outline: Outline
    _patcher: Patcher
    _changed: dict[int, bytes]
    _pixels: tuple[Any, int]
    _characters: str | tuple[str, ...] | None

    def __init__(self, data: bytes, outline: Outline, patcher: Patcher) -> None:
        put = object.__setattr__
        put(self, "_data", data)
        put(self, "_outline", outline)
        put(self, "_patcher", patcher)
        put(self, "_changed", dict.fromkeys(outline.lengths, b""))
        put(self, "_pixels", (b"", 0))
        put(self, "_characters", None)

    # As pydicom.Dataset ----------------------------------------------------------------------

    def get(self, keyword: str | int, default: Any = None) -> Any:
        """Return a value by keyword."""
        if not isinstance(keyword, str):
            raise UnusualError
        tag = _known(keyword)[0]
        piece = self._piece(tag)
        if not piece:
            return default
        return self._patcher.decoded(
            tag, piece, explicit=self._outline.explicit, characters=self._encoding()
        )

    def __getattr__(self, keyword: str) -> Any:
        """Return a value by keyword; one that is not there is pydicom's to complain about."""
        if keyword.startswith("_"):
            raise AttributeError(keyword)
        value = self.get(keyword, self)
        if value is self:
            raise UnusualError
        return value

    def __setattr__(self, keyword: str, value: Any) -> None:
        """Set a value by keyword."""
        tag, vr = _known(keyword)
        piece = self._piece(tag)
        if piece and self._outline.explicit and piece[4:6] != vr.encode():
            # The element keeps the VR that it has.
            raise UnusualError
        self.add_new(tag, vr, value)

    def __delattr__(self, keyword: str) -> None:
        """Leave an element out."""
        del self[_known(keyword)[0]]

    def __contains__(self, key: str | int) -> bool:
        """Tell whether there is an element, empty or not."""
        tag = _known(key)[0] if isinstance(key, str) else int(key)
        piece = self._changed.get(tag)
        return tag in self._outline.places if piece is None else bool(piece)

    def __delitem__(self, tag: int) -> None:
        """Leave an element out."""
        self._changed[int(tag)] = b""

    def pop(self, key: str | int, default: Any) -> Any:
        """Leave an element out, if there is one; what it was is not told."""
        del self[_known(key)[0] if isinstance(key, str) else int(key)]
        return default

    def keys(self) -> list[BaseTag]:
        """Return the tags, in order."""
        tags = {*self._outline.tags, *self._changed}
        return [BaseTag(tag) for tag in sorted(tags) if self._piece(tag)]

    def add(self, element: DataElement) -> None:
        """Put in an element in place of what is there."""
        explicit = self._outline.explicit
        self._put(
            int(element.tag),
            self._patcher.element(element, explicit=explicit, characters=self._encoding()),
        )

    def add_new(self, tag: int, vr: str, value: Any) -> None:
        """Put in an element in place of what is there."""
        explicit = self._outline.explicit
        if value and vr in _NUMBERS:
            self._put(tag, _numbers(tag, vr, value, explicit=explicit))
            return
        self._put(
            tag,
            self._patcher.encoded(tag, vr, value, explicit=explicit, characters=self._encoding()),
        )

    def decode(self) -> None:
        """Prepare for other characters: nothing is to be done where all are of ASCII."""
        explicit = self._outline.explicit
        for tag in self._outline.tags:
            piece = self._piece(tag)
            if explicit and piece[4:6] not in _IN_CHARACTERS:
                continue
            if not self._patcher.is_ascii(piece, explicit=explicit):
                raise UnusualError

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise UnusualError

    __iter__ = __getitem__ = private_block = _refuse

    # On bytes --------------------------------------------------------------------------------

    def drop(self, begin: int, end: int) -> None:
        """Leave out the elements of a range of tags."""
        tags = self._outline.tags
        for tag in tags[bisect_left(tags, begin) : bisect_left(tags, end)]:
            self._changed[tag] = b""
        for tag in self._changed:
            if begin <= tag < end:
                self._changed[tag] = b""

    def private(self) -> Iterator[int]:
        """Yield the tags of the private elements."""
        changed = self._changed
        yield from (tag for tag in self._outline.private if changed.get(tag) != b"")
        yield from (tag for tag, piece in changed.items() if tag >> 16 & 1 and piece)

    def remove_private_tags(self) -> None:
        """Leave out private elements, also those within items."""
        explicit = self._outline.explicit
        for tag in self._outline.sequences:
            piece = self._piece(tag)
            if piece and not self._patcher.is_public(piece, explicit=explicit):
                raise UnusualError
        for tag in list(self.private()):
            self._changed[tag] = b""

    def put_items(self, keyword: str, items: Sequence[Mapping[str, Any]]) -> None:
        """Put in a sequence; see `encoded_items`."""
        tag = _known(keyword)[0]
        self._put(tag, encoded_items(tag, items, explicit=self._outline.explicit))

    def put_pixels(self, data: Any, *, cell: int) -> None:
        """Put in native pixels, in cells of so many bits."""
        object.__setattr__(self, "_pixels", (data, cell))

    def stored(self, begin: int, length: int) -> memoryview | None:
        """Return bytes of the source file, None where they are not in memory."""
        part = memoryview(self._data)[begin : begin + length]
        return part if len(part) == length else None

    def identity(self) -> tuple[bytes, ...]:
        """Return the bytes that say whose image it is, and of which study."""
        return self._piece(_CHARACTER_SET), self._piece(0x00100020), self._piece(0x0020000D)

    def _uid(self, tag: int) -> str:
        value = self._piece(tag)[8:]
        if not value.isascii():
            raise FormatError("SOPClassUID or SOPInstanceUID of the source is no UID")
        return value.decode("ascii").strip("\0 ")

    def parts(self) -> list[Any]:
        """Return the bytes of a file, to be written one after the other."""
        explicit, changed = self._outline.explicit, self._changed
        data, cell = self._pixels
        odd = len(data) % 2
        kind, name = (self._uid(tag) for tag in (_CLASS, _INSTANCE))
        syntax = "1.2.840.10008.1.2.1" if explicit else "1.2.840.10008.1.2"
        found, at = [file_meta(kind, name, syntax)], self._outline.start
        for tag in sorted(changed):
            begin, end = self._outline.place(tag)
            found += (self._data[at:begin], changed[tag])
            at = end
        found.append(self._data[at : self._outline.end])
        found.append(pixel_head(len(data) + odd, cell=cell, explicit=explicit))
        return [b"".join(found), data, *([b"\0"] if odd else [])]

    def _piece(self, tag: int) -> bytes:
        """Return an element, empty where there is none."""
        changed = self._changed.get(tag)
        if changed is not None:
            return changed
        place = self._outline.places.get(tag)
        return b"" if place is None else self._data[place[0] : place[2]]

    def _put(self, tag: int, piece: bytes) -> None:
        if tag == _CHARACTER_SET:
            object.__setattr__(self, "_characters", None)
        self._changed[tag] = piece

    def _encoding(self) -> str | tuple[str, ...]:
        if self._characters is None:
            piece = self._piece(_CHARACTER_SET)
            value = (
                self._patcher.decoded(
                    _CHARACTER_SET, piece, explicit=self._outline.explicit, characters="iso8859"
                )
                if piece
                else None
            )
            found = "iso8859" if not value else value if isinstance(value, str) else tuple(value)
            object.__setattr__(self, "_characters", found)
        assert self._characters is not None
        return self._characters


def drop_range(dataset: Any, begin: int, end: int) -> None:
    """Leave out of a header the elements of a range of tags."""
    if isinstance(dataset, PatchedHeader):
        dataset.drop(begin, end)
        return
    for tag in [tag for tag in dataset.keys() if begin <= tag < end]:  # noqa: SIM118
        del dataset[tag]


def has_private(dataset: Any) -> bool:
    """Tell whether a header has private elements."""
    if isinstance(dataset, PatchedHeader):
        return next(dataset.private(), None) is not None
    return any(tag.is_private for tag in dataset.keys())  # noqa: SIM118


def put_items(dataset: Any, keyword: str, items: Sequence[Mapping[str, Any]]) -> None:
    """Put a sequence into a header; see `encoded_items`."""
    if isinstance(dataset, PatchedHeader):
        dataset.put_items(keyword, items)
    else:
        setattr(dataset, keyword, as_datasets(items))


def write_file(path: Path, parts: Sequence[Any]) -> None:
    """Write a new file in one call of the operating system, as far as this takes all."""
    descriptor = os.open(
        path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666
    )
    try:
        done = os.writev(descriptor, parts) if hasattr(os, "writev") else 0
        if done < sum(map(len, parts)):
            rest = memoryview(b"".join(parts))[done:]
            while rest:
                rest = rest[os.write(descriptor, rest) :]
    finally:
        os.close(descriptor)


def encoded_header(dataset: Any) -> tuple[bytes, Outline] | tuple[()]:
    """Return a header as bytes, explicit little endian; empty where it has to be written whole."""
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = False, True
    write_dataset(buffer, dataset)
    data = bytes(buffer.getvalue())
    outline = walked(data, 0, len(data), explicit=True)
    return () if outline is None else (data, outline)


def _known(keyword: str) -> tuple[int, str]:
    found = known_element(keyword)
    if found is None:
        raise UnusualError
    return found


def _begin(piece: bytes, *, explicit: bool) -> int:
    """Return where the value of an element begins."""
    return 12 if explicit and int.from_bytes(piece[4:6], "little") in LONG_VRS else 8


def _numbers(tag: int, vr: str, value: Any, *, explicit: bool) -> bytes:
    """Return an element of binary numbers."""
    several = value if isinstance(value, list) else [value]
    try:
        raw = struct.pack(f"<{len(several)}{_NUMBERS[vr]}", *several)
    except struct.error:
        raise UnusualError from None
    group, element = tag >> 16, tag & 0xFFFF
    if explicit:
        return struct.pack("<HH2sH", group, element, vr.encode(), len(raw)) + raw
    return struct.pack("<HHI", group, element, len(raw)) + raw


def _element(one: DataElement, *, explicit: bool, characters: str | tuple[str, ...]) -> bytes:
    listed = characters if isinstance(characters, str) else list(characters)
    return encoded_element(one, explicit=explicit, characters=listed)


def _value(tag: int, piece: bytes, *, explicit: bool, characters: str | tuple[str, ...]) -> Any:
    vr, begin = piece[4:6].decode("ascii") if explicit else None, _begin(piece, explicit=explicit)
    length = len(piece) - begin
    listed = convert_encodings(characters if isinstance(characters, str) else list(characters))
    raw = RawDataElement(
        BaseTag(tag), vr, length, piece[begin:], begin, not explicit, is_little_endian=True
    )
    element = convert_raw_data_element(raw, encoding=listed)
    if element.VR in ("SQ", "UN") or " or " in element.VR:
        raise UnusualError
    return element.value


def _values(nested: Nested, span: Span) -> Iterator[tuple[int, bytes]]:
    """Yield tag and bytes of all values in a sequence that are no sequences themselves."""
    for item in nested.items(span):
        for tag, value in nested.elements(item).items():
            if nested.data[value.start : value.start + 4] == ITEM:
                yield tag, b""
                yield from _values(nested, value)
            else:
                yield tag, nested.data[value.start : value.end]


def _is_public(tag: int, _: bytes) -> bool:
    return not tag >> 16 & 1


def _is_ascii(_: int, value: bytes) -> bool:
    # Escapes change the characters.
    return value.isascii() and b"\x1b" not in value
