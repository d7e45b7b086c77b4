"""What a file is, from its first bytes: DICOM file format (PS3.10 chapter 7) or a bare data set."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from imagedata_xr.formats.dicom.headers.dictionary import (
    LONG_CODES,
    LONG_VRS,
    SHORT_CODES,
    SHORT_VRS,
    known_vr,
)
from imagedata_xr.formats.dicom.headers.walk import UNDEFINED, CutError, explicit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["file_meta", "is_dicom"]

_START: Final = b"DICM\2\0\0\0UL\4\0"
_SYNTAX_KEY: Final = 0x0010_0002
_FIRST_GROUPS: Final = frozenset((0x0002, 0x0004, 0x0008))
# Elements that must make sense before bytes without the DICM prefix are taken for DICOM.
_ENOUGH: Final = 4
_NOTHING: Final = (0, "")


def file_meta(data: bytes) -> tuple[int, str]:
    """
    Return where the data set begins and the Transfer Syntax UID.

    An empty UID stands for file meta information that is missing or not plain (PS3.10 section
    7.1).
    """
    if data[128:140] != _START:
        return _NOTHING
    end = 144 + int.from_bytes(data[140:144], "little")
    i, syntax = 144, b""
    try:
        while i < end:
            key, code, length, length4 = explicit(data, i)
            if code in SHORT_CODES:
                i += 8
            elif code in LONG_CODES:
                i += 12
                length = length4
            else:
                return _NOTHING
            if key & 0xFFFF != 2:
                return _NOTHING
            if key == _SYNTAX_KEY:
                syntax = data[i : i + length]
            i += length
    except CutError:
        return _NOTHING
    # Elements of groups 0000 and 0002 after the declared end: the length is wrong.
    if i != end or data[end : end + 2] in (b"", b"\0\0", b"\2\0"):
        return _NOTHING
    return end, syntax.decode("latin-1").strip(" \0")


def is_dicom(data: bytes, size: Callable[[], int]) -> bool:
    """
    Tell whether bytes without the DICM prefix are a data set all the same.

    Parameters
    ----------
    data : bytes
        The first ones of the file.
    size : callable
        Returns the file's length.
    """
    return any(
        _plausible(elements, size)
        for elements in (_explicit(data, "<"), _explicit(data, ">"), _implicit(data))
    )


def _plausible(
    elements: Iterator[tuple[int, str | None, int, int]], size: Callable[[], int]
) -> bool:
    """Elements in their order, known to PS3.6, with its VR, that fit into the file."""
    last = count = end = 0
    for tag, vr, length, end in elements:
        known = "UL" if not tag & 0xFFFF else known_vr(tag)
        first = count == 0
        if (first and tag >> 16 not in _FIRST_GROUPS) or (not first and tag <= last):
            return False
        if known is None or (vr not in (None, "UN") and vr not in known.split(" or ")):
            return False
        count += 1
        last = tag
        if length == UNDEFINED:
            return vr in (None, "UN", "SQ") and known == "SQ"
        if end > size():
            return False
        if count == _ENOUGH:
            return True
    return count > 0 and end == size()


def _explicit(data: bytes, order: str) -> Iterator[tuple[int, str | None, int, int]]:
    i = 0
    while i + 8 <= len(data):
        group, element, code, length = struct.unpack_from(f"{order}HH2sH", data, i)
        vr = code.decode("latin-1")
        i += 8
        if vr in LONG_VRS:
            if i + 4 > len(data):
                return
            (length,) = struct.unpack_from(f"{order}I", data, i)
            i += 4
        elif vr not in SHORT_VRS:
            # No VR at all: nothing that follows can be understood.
            yield 0xFFFFFFFF, "", 0, i
            return
        yield group << 16 | element, vr, length, i + (0 if length == UNDEFINED else length)
        i += length


def _implicit(data: bytes) -> Iterator[tuple[int, str | None, int, int]]:
    i = 0
    while i + 8 <= len(data):
        group, element, length = struct.unpack_from("<HHI", data, i)
        i += 8
        yield group << 16 | element, None, length, i + (0 if length == UNDEFINED else length)
        i += length
