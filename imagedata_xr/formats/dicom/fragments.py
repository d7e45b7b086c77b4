"""Whether all fragments of encapsulated Pixel Data (PS3.5 annex A.4) are in the file."""

from __future__ import annotations

import struct
from itertools import pairwise
from typing import TYPE_CHECKING, BinaryIO

from imagedata_xr.errors import FormatError

if TYPE_CHECKING:
    from imagedata_xr.frames import Source

__all__ = ["check_codec", "check_fragments", "require_native"]

_ITEM = b"\xfe\xff\x00\xe0"
_END = b"\xfe\xff\xdd\xe0"
_JPEG = frozenset(f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, 57, 70, 80, 81))
# Little and big endian, and data sets deflated as a whole.
_NATIVE = frozenset(f"1.2.840.10008.1.2{end}" for end in ("", ".1", ".2", ".1.99"))
# SOI of JPEG (ISO 10918-1, B.1.1.3), which fill bytes may precede.
_STARTS = (b"\xff\xd8", b"\xff\xff")


def check_fragments(source: Source, offset: int, frames: int = 1) -> None:
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

    Raises
    ------
    FormatError
        The file ends before the last fragment does, what stands there is no fragment, or there
        are fewer than frames.
    """
    size = source.size
    ends = size - 8 > offset and source.read(size - 8, 8)[:4] == _END
    # Most files end with the delimiter: one look is enough.
    if ends and frames == 1:
        return
    if ends and _listed(source, offset, size) == frames:
        return
    count = -1
    while offset < size:
        head = source.read(offset, 8)
        if head[:4] == _END:
            break
        if len(head) < 8 or head[:4] != _ITEM:
            raise _cut(source)
        count += 1
        offset += 8 + int(struct.unpack_from("<I", head, 4)[0])
    # Without the delimiter, all is there if the last fragment ends where the file does.
    if offset > size:
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
