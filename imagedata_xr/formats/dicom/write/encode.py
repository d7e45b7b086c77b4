"""Single data elements and file meta information as bytes (PS3.5 chapter 7, PS3.10 7.1)."""

from __future__ import annotations

import struct
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Final

from pydicom import Dataset, uid
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element
from pydicom.sequence import Sequence as Items

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydicom import DataElement

__all__ = [
    "as_datasets",
    "encoded_element",
    "encoded_items",
    "encoded_text",
    "file_meta",
    "known_element",
    "pixel_head",
]

IMPLEMENTATION: Final = "IMAGEDATA_XR"


@cache
def known_element(keyword: str) -> tuple[int, str] | None:
    """Return tag and VR of a keyword (PS3.6), None where it is none."""
    tag = tag_for_keyword(keyword)
    return None if tag is None else (int(tag), dictionary_VR(tag))


@lru_cache(maxsize=1024)
def _head(tag: int, vr: str) -> bytes:
    return struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr.encode())


def encoded_text(tag: int, vr: str, text: str, *, explicit: bool = True) -> bytes:
    """
    Return an element with a short ASCII text.

    Parameters
    ----------
    tag : int
    vr : str
        One whose length has two bytes.
    text : str
    explicit : bool
        Explicit VR, else implicit.
    """
    raw = text.encode("ascii")
    if len(raw) % 2:
        raw += b"\0" if vr == "UI" else b" "
    if explicit:
        return _head(tag, vr) + len(raw).to_bytes(2, "little") + raw
    return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(raw)) + raw


def encoded_element(
    element: DataElement, *, explicit: bool, characters: str | list[str] = "iso8859"
) -> bytes:
    """
    Return an element as pydicom writes it.

    Parameters
    ----------
    element : pydicom.DataElement
    explicit : bool
        Explicit VR, else implicit.
    characters : str or list of str
        Specific Character Set of the data set.
    """
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = not explicit, True
    write_data_element(buffer, element, characters)
    return bytes(buffer.getvalue())


def encoded_items(tag: int, items: Sequence[Mapping[str, Any]], *, explicit: bool) -> bytes:
    """
    Return a sequence, of defined lengths.

    Parameters
    ----------
    tag : int
    items : sequence of mapping
        Keyword to an ASCII text, or to items again.
    explicit : bool
        Explicit VR, else implicit.
    """
    parts = []
    for item in items:
        elements = {}
        for keyword, value in item.items():
            place = known_element(keyword)
            assert place is not None
            if isinstance(value, str):
                elements[place[0]] = encoded_text(*place, value, explicit=explicit)
            else:
                elements[place[0]] = encoded_items(place[0], value, explicit=explicit)
        content = b"".join(elements[one] for one in sorted(elements))
        parts += [b"\xfe\xff\x00\xe0", len(content).to_bytes(4, "little"), content]
    content = b"".join(parts)
    head = _head(tag, "SQ") + b"\0\0" if explicit else struct.pack("<HH", tag >> 16, tag & 0xFFFF)
    return head + len(content).to_bytes(4, "little") + content


def as_datasets(items: Sequence[Mapping[str, Any]]) -> Items:
    """Return the items of a sequence, as `encoded_items` takes them, for pydicom."""
    found = []
    for item in items:
        dataset = Dataset()
        for keyword, value in item.items():
            setattr(dataset, keyword, value if isinstance(value, str) else as_datasets(value))
        found.append(dataset)
    return Items(found)


@lru_cache(maxsize=64)
def _fixed_meta(sop_class: str, syntax: str) -> tuple[bytes, bytes]:
    before = struct.pack("<HH2sxxI", 2, 1, b"OB", 2) + b"\0\1"
    before += encoded_text(0x00020002, "UI", sop_class)
    after = encoded_text(0x00020010, "UI", syntax)
    after += encoded_text(0x00020012, "UI", str(uid.PYDICOM_IMPLEMENTATION_UID))
    return before, after + encoded_text(0x00020013, "SH", IMPLEMENTATION)


def file_meta(sop_class: str, instance: str, syntax: str) -> bytes:
    """Return preamble, prefix and file meta information of a file (PS3.10 7.1)."""
    before, after = _fixed_meta(sop_class, syntax)
    elements = before + encoded_text(0x00020003, "UI", instance) + after
    group = struct.pack("<HH2sHI", 2, 0, b"UL", 4, len(elements))
    return b"".join((b"\0" * 128, b"DICM", group, elements))


def pixel_head(length: int, *, cell: int, explicit: bool) -> bytes:
    """
    Return what stands before the bytes of native Pixel Data.

    Parameters
    ----------
    length : int
        In bytes, even.
    cell : int
        Bits Allocated.
    explicit : bool
    """
    if not explicit:
        return struct.pack("<HHI", 0x7FE0, 0x0010, length)
    return struct.pack("<HH2sxxI", 0x7FE0, 0x0010, b"OB" if cell <= 8 else b"OW", length)
