"""Whether all fragments of encapsulated Pixel Data (PS3.5 annex A.4) are in the file."""

from __future__ import annotations

import struct
from array import array
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, BinaryIO

from imagedata_xr.errors import FormatError

if TYPE_CHECKING:
    from imagedata_xr.frames import PixelFormat, Source

__all__ = ["check_codec", "check_fragments", "frame_bytes", "require_native"]

_ITEM = b"\xfe\xff\x00\xe0"
_END = b"\xfe\xff\xdd\xe0"
_JPEG = frozenset(f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, 57, 70, 80, 81))
# Little and big endian, and data sets deflated as a whole.
_NATIVE = frozenset(f"1.2.840.10008.1.2{end}" for end in ("", ".1", ".2", ".1.99"))
# SOI of JPEG (ISO 10918-1, B.1.1.3), which fill bytes may precede.
_STARTS = (b"\xff\xd8", b"\xff\xff")


def check_fragments(
    source: Source, offset: int, frames: int = 1, *, tail: bytes | None = None
) -> None:
    """
    Check that the fragments of an encapsulated Pixel Data element end within the file.

    Decoders make something even of a truncated fragment, an image with grey areas say.

    Parameters
    ----------
    source : Source
    offset : int
        Where the value of Pixel Data begins: its first item is the Basic Offset Table.
    frames : int
        How many there are said to be: each has a fragment at least.
    tail : bytes, optional
        The last 8 bytes of the file, where they are known.

    Raises
    ------
    FormatError
        The file ends before the last fragment does, what stands there is no fragment, or there
        are fewer than frames.
    """
    # Most files end with the delimiter: one look is enough.
    if tail is not None and len(tail) == 8 and tail[:4] == _END and frames == 1:
        return
    size = source.size
    ends = size - 8 > offset and source.read(size - 8, 8)[:4] == _END
    if ends and frames == 1:
        return
    if ends and _listed(source, offset, size) == frames:
        return
    places, end = _walked(source, offset, size)
    count = len(places) - 1
    # Without the delimiter, all is there if the last fragment ends where the file does.
    if end > size:
        raise _cut(source)
    if count < frames:
        raise FormatError(
            f"{source.name}: {frames} frames (NumberOfFrames) in {max(count, 0)} fragments of "
            "compressed Pixel Data"
        )


def require_native(name: str, syntax: str, length: int) -> None:
    """
    Check that native pixels are not in fragments (PS3.5 section A.4): these would be read as pixels.

    Parameters
    ----------
    name : str
        Of the file.
    syntax : str
        Transfer Syntax UID.
    length : int
        Of Pixel Data; negative where it is undefined.

    Raises
    ------
    FormatError
        The transfer syntax is a native one, and the length undefined.
    """
    if length < 0 and syntax in _NATIVE:
        raise FormatError(
            f"{name}: Pixel Data is in fragments, as of a compressed image, and the "
            f"TransferSyntaxUID {syntax} says that it is not"
        )


def check_codec(file: BinaryIO, offset: int, syntax: str) -> None:
    """
    Check that what is declared as JPEG or JPEG-LS begins as such.

    Pillow opens whatever it is given: JPEG 2000 as 8-bit pixels, in the name of JPEG Baseline.

    Parameters
    ----------
    file : binary file
    offset : int
        Where the value of Pixel Data begins.
    syntax : str
        Transfer Syntax UID.

    Raises
    ------
    ValueError
        The first fragment begins otherwise.
    """
    if syntax not in _JPEG:
        return
    file.seek(offset)
    head = file.read(8)
    table = int(struct.unpack_from("<I", head, 4)[0]) if len(head) == 8 else 0
    file.seek(offset + 8 + table)
    start = file.read(10)[8:]
    if start not in _STARTS:
        raise ValueError(f"the first fragment begins with {start.hex()}, which is no JPEG")


def frame_bytes(source: Source, offset: int, form: PixelFormat, number: int) -> bytes | None:
    """
    Return the bytes of one encapsulated frame, its fragments joined; nothing else is read.

    Parameters
    ----------
    source : Source
    offset : int
        Where the value of Pixel Data begins.
    form : PixelFormat
    number : int
        Of the frame, from 0.

    Returns
    -------
    bytes or None
        None where neither the Basic Offset Table nor one fragment a frame tells where frames begin.
    """
    if form.syntax in _NATIVE:
        return None
    if form.frames == 1:
        return _joined(source.read(offset), first=1)
    stamp = getattr(source, "stamp", None)
    places = _frame_places(source, stamp, offset, form.frames)  # type: ignore[arg-type] # all hash
    if places is None or not 0 <= number < form.frames:
        return None
    start, end = places[number : number + 2]
    return _joined(source.read(start, end - start), first=0)


@lru_cache(maxsize=64)
def _frame_places(source: Source, _: object, offset: int, frames: int) -> array[int] | None:
    """Return where the frames of a file with this stamp begin, and where the last one has ended."""
    size = source.size
    head = source.read(offset, 8)
    if len(head) < 8 or head[:4] != _ITEM:
        return None
    (length,) = struct.unpack_from("<I", head, 4)
    if length == 0:
        try:
            places, end = _walked(source, offset, size)
        except FormatError:
            return None
        return array("q", [*places[1:], end]) if len(places) == frames + 1 else None
    if length != 4 * frames or _listed(source, offset, size) != frames:
        return None
    base = offset + 8 + length
    table = struct.unpack(f"<{frames}I", source.read(offset + 8, length))
    return None if table[0] else array("q", [*(base + place for place in table), size])


def _joined(data: bytes, *, first: int) -> bytes | None:
    """Return the contents of fragments from the `first` on; None where they are not whole."""
    parts: list[bytes] = []
    at = 0
    while data[at : at + 4] == _ITEM and at + 8 <= len(data):
        end = at + 8 + int(struct.unpack_from("<I", data, at + 4)[0])
        if end > len(data):
            return None
        parts.append(data[at + 8 : end])
        at = end
    if at < len(data) and data[at : at + 4] != _END:
        return None
    return b"".join(parts[first:]) or None


def _walked(source: Source, offset: int, size: int) -> tuple[list[int], int]:
    """Return where the items of encapsulated Pixel Data are, and where they have ended."""
    places: list[int] = []
    with source.open() as file:
        while offset < size:
            file.seek(offset)
            head = file.read(8)
            if head[:4] == _END:
                break
            if len(head) < 8 or head[:4] != _ITEM:
                raise _cut(source)
            places.append(offset)
            offset += 8 + int(struct.unpack_from("<I", head, 4)[0])
    return places, offset


def _listed(source: Source, offset: int, size: int) -> int:
    """Return how many places within the file the Basic Offset Table has, 0 where it is no table."""
    head = source.read(offset, 8)
    length = int(struct.unpack_from("<I", head, 4)[0]) if len(head) == 8 else 0
    if head[:4] != _ITEM or length % 4 or offset + 8 + length > size:
        return 0
    places = struct.unpack(f"<{length // 4}I", source.read(offset + 8, length))
    rising = all(one < other for one, other in pairwise(places))
    return len(places) if rising and places and offset + length + 8 + places[-1] < size else 0


def _cut(source: Source) -> FormatError:
    return FormatError(
        f"{source.name}: truncated or damaged: its compressed Pixel Data do not end in the file"
    )
