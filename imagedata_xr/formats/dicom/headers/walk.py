"""
A walk over the elements of a little-endian data set (PS3.5 chapter 7), keeping what is wanted.

Values that are not kept are skipped by their length, without being read. Whatever is not plain
raises `UnusualError`: then pydicom reads the file.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final

from imagedata_xr.errors import FormatError
from imagedata_xr.formats.dicom.headers.dictionary import (
    LONG_CODES,
    PIXEL_TAGS,
    SHORT_CODES,
    SIMPLE_VRS,
    VR_OF_CODE,
    code_of,
    key_of,
    known_vr,
)
from imagedata_xr.formats.dicom.headers.private import reserved_block

if TYPE_CHECKING:
    from collections.abc import Callable

    from imagedata_xr.formats.dicom.headers.private import PrivateElement

__all__ = ["Found", "UnusualError", "Window", "skip_explicit", "skip_implicit"]

UNDEFINED: Final = 0xFFFFFFFF
# Private values longer than this stay in the file until they are asked for.
LARGE: Final = 1024
PIXELS: Final = frozenset(map(key_of, PIXEL_TAGS))
ITEM, ITEM_END, SEQUENCE_END = map(key_of, (0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD))
DELIMITERS = frozenset((ITEM, ITEM_END, SEQUENCE_END))
_SQ = code_of("SQ")
# What may have an undefined length; UN of undefined length holds implicit VR (PS3.5 section 6.2.2).
ENCAPSULATING: Final = frozenset(map(code_of, ("SQ", "OB", "OW")))
# Tag, VR, 16-bit length and, where the VR is a long one, 32-bit length in one go.
explicit = struct.Struct("<IHHI").unpack_from
implicit = struct.Struct("<II").unpack_from
CutError: Final = struct.error
_CHUNK = 16384
# Added to the tag of a value that stands under another VR than expected, until the walk is over.
_ODD: Final = 1 << 32
# pydicom reads a longer value of VR UN as bytes, not as what the dictionary says.
_LONGEST_UNKNOWN = 0xFFFF


KEPT_VRS: Final = SIMPLE_VRS | {"US or SS"}


class UnusualError(Exception):
    """The bytes are not a plain data set: pydicom has to decide what they are."""


class Window:
    """
    A stretch of a file's bytes, moved on as a walk needs it.

    Parameters
    ----------
    name : str
        Of the file, for errors.
    read : callable
        Takes offset and length, returns bytes.
    size : callable
        Returns the length of the file.
    data : bytes
        The first bytes of the file.
    """

    __slots__ = ("base", "data", "name", "read", "size")

    def __init__(
        self, name: str, read: Callable[[int, int], bytes], size: Callable[[], int], data: bytes
    ) -> None:
        self.name = name
        self.read = read
        self.size = size
        self.data = data
        self.base = 0

    def advance(self, i: int) -> bytes | None:
        """
        Go on at place `i` of the present bytes; None where the file ends just there.

        Raises
        ------
        FormatError
            The file ends before `i`, or in the middle of an element.
        """
        self.base += i
        self.data = self.read(self.base, _CHUNK)
        count = len(self.data)
        if count < 12:
            if self.base > self.size():
                raise self.truncated()
            if count < 8:
                if self.data.strip(b"\0"):
                    raise self.truncated()
                return None
            # The last element may be shorter than the 12 bytes that are looked at.
            self.data += bytes(12 - count)
        return self.data

    def value(self, i: int, length: int) -> bytes:
        """
        Return a value that the present bytes cut off.

        Raises
        ------
        FormatError
            The file ends first.
        """
        start = self.base + i
        if start + length > self.size():
            raise self.truncated()
        return self.read(start, length)

    def truncated(self) -> FormatError:
        """Return the error for a file that ends too early."""
        return FormatError(f"{self.name}: truncated: the file ends inside its DICOM header")


class Found:
    """
    What a walk over one data set has kept.

    Parameters
    ----------
    pool : dict
        Equal values of all files of a scan become one object.
    wanted : frozenset of tuple
        The private elements to keep: group, creator, low byte of the element.
    """

    __slots__ = (
        "creators",
        "elements",
        "located",
        "offset",
        "others",
        "pixel_length",
        "pixel_tag",
        "pool",
        "private",
        "vrs",
        "wanted",
    )

    def __init__(self, pool: dict[Any, Any], wanted: frozenset[PrivateElement]) -> None:
        self.pool = pool
        self.wanted = wanted
        self.elements: dict[int, bytes] = {}
        self.vrs: dict[int, int] = {}
        self.others: list[int] = []
        self.creators: list[tuple[int, str]] = []
        self.located: dict[int, tuple[int, int]] = {}
        self.private: dict[int, int] = {}
        self.pixel_tag: int | None = None
        self.offset: int | None = None
        self.pixel_length = 0

    def creator(self, key: int, window: Window, i: int, length: int) -> int | None:
        """Note a private creator and the elements of its block; return the tag if it is one."""
        tag = key_of(key)
        if not 0x10 <= tag & 0xFFFF <= 0xFF:
            return None
        value = window.data[i : i + length]
        if len(value) < length:
            value = window.value(i, length)
        self.reserve(tag, value)
        return tag

    def reserve(self, tag: int, value: bytes) -> None:
        """Note the elements wanted of a private creator's block (PS3.5 section 7.8.1)."""
        creator, block = reserved_block(self.wanted, tag, value)
        self.creators.append(creator)
        self.private.update(block)

    def unexpected(self, key: int, code: int) -> int | None:
        """Return where to keep a public element that stands under another VR than expected."""
        tag = key_of(key)
        if key in PIXELS:
            raise UnusualError
        if known_vr(tag) is None:
            return None
        self.vrs[tag] = code
        return tag + _ODD

    def settle(self) -> None:
        """
        Put the elements of unexpected VR to their tags, at the end of a walk.

        Raises
        ------
        UnusualError
            An element is there twice, under two VRs: pydicom knows which one counts.
        """
        for tag in self.vrs:
            value = self.elements.pop(tag + _ODD, None)
            if value is not None:
                if tag in self.elements:
                    raise UnusualError
                self.elements[tag] = value

    def long(self, key: int, code: int, length: int, offset: int) -> int | None:
        """Return the tag of an element with a 32-bit length if its value is to be kept."""
        if key & 1:
            if code == _SQ:
                self.others.append(key_of(key))
                return None
            tag = self._private(key, length, offset)
            if key in self.private:
                self.vrs[self.private[key]] = code
            return tag
        tag = key_of(key)
        vr, expected = VR_OF_CODE[code], known_vr(tag)
        if vr in SIMPLE_VRS and expected is not None:
            return tag if vr == expected else self.unexpected(key, code)
        if vr == "UN" and expected in KEPT_VRS and length < _LONGEST_UNKNOWN:
            return tag
        self.others.append(tag)
        return None

    def _private(self, key: int, length: int, offset: int) -> int | None:
        tag = self.private.get(key)
        if tag is not None and length > LARGE:
            self.located[tag] = (offset, length)
            return None
        return tag

    def bare(self, key: int, length: int, offset: int) -> int | None:
        """Return the tag of an element of implicit VR if its value is to be kept."""
        if key & 1:
            return self._private(key, length, offset)
        tag = key_of(key)
        expected = known_vr(tag)
        if expected in KEPT_VRS:
            return tag
        if expected is not None:
            self.others.append(tag)
        return None

    def pixels(self, key: int, offset: int, length: int) -> None:
        """Note where the pixels are: the end of the header."""
        self.pixel_tag = key_of(key)
        self.offset = offset
        self.pixel_length = -1 if length == UNDEFINED else length


def skip_explicit(window: Window, i: int) -> int:  # noqa: C901 - a loop without calls
    """
    Return the place after a sequence of undefined length whose value begins at `i`.

    Raises
    ------
    UnusualError
        Its items are not plain explicit VR (PS3.5 section 7.5).
    FormatError
        The file ends first.
    """
    data = window.data
    short, long = SHORT_CODES, LONG_CODES
    open_items = [False]
    while open_items:
        try:
            while True:
                key, code, length, length4 = explicit(data, i)
                if key in DELIMITERS:
                    i += 8
                    i += _step(open_items, key, code | length << 16)
                    if not open_items:
                        return i
                elif not open_items[-1]:
                    raise UnusualError
                elif code in short:
                    i += 8 + length
                elif code in long:
                    i += 12
                    if length4 != UNDEFINED:
                        i += length4
                    elif code in ENCAPSULATING:
                        open_items.append(False)
                    else:
                        raise UnusualError
                else:
                    raise UnusualError
        except CutError:
            data = _inside(window, i)
            i = 0
    return i


def skip_implicit(window: Window, i: int) -> int:
    """
    Return the place after a sequence of undefined length, as `skip_explicit` does.

    Raises
    ------
    UnusualError
        There are no items in it.
    FormatError
        The file ends first.
    """
    data = window.data
    open_items = [False]
    while open_items:
        try:
            while True:
                key, length = implicit(data, i)
                i += 8
                if key in DELIMITERS:
                    i += _step(open_items, key, length)
                    if not open_items:
                        return i
                elif not open_items[-1]:
                    raise UnusualError
                elif length == UNDEFINED:
                    open_items.append(False)
                else:
                    i += length
        except CutError:
            data = _inside(window, i)
            i = 0
    return i


def _inside(window: Window, i: int) -> bytes:
    data = window.advance(i)
    if data is None:
        raise window.truncated()
    return data


def _step(open_items: list[bool], key: int, length: int) -> int:
    """
    Take a delimiter; return how many bytes it skips.

    `open_items` has one entry for each sequence of undefined length that is open: whether an item
    of undefined length is open in it.
    """
    if key == ITEM:
        if open_items[-1]:
            raise UnusualError
        if length != UNDEFINED:
            return length
        open_items[-1] = True
    elif key == ITEM_END:
        if not open_items[-1]:
            raise UnusualError
        open_items[-1] = False
    else:
        if open_items[-1]:
            raise UnusualError
        open_items.pop()
    return 0
