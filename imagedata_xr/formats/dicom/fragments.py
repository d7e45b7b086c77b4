"""Whether all fragments of encapsulated Pixel Data (PS3.5 annex A.4) are in the file."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from imagedata_xr.errors import FormatError

if TYPE_CHECKING:
    from imagedata_xr.frames import Source

__all__ = ["check_fragments"]

_ITEM = b"\xfe\xff\x00\xe0"
_END = b"\xfe\xff\xdd\xe0"


def check_fragments(source: Source, offset: int) -> None:
    """
    Check that the fragments of an encapsulated Pixel Data element end within the file.

    Decoders make something even of a truncated fragment, an image with grey areas say.

    Parameters
    ----------
    source : Source
    offset : int
        Where the value of Pixel Data begins: its first item is the Basic Offset Table.

    Raises
    ------
    FormatError
        The file ends before the last fragment does, or what stands there is no fragment.
    """
    size = source.size
    # Most files end with the delimiter: one look is enough.
    if size - 8 > offset and source.read(size - 8, 8)[:4] == _END:
        return
    while offset < size:
        head = source.read(offset, 8)
        if head[:4] == _END:
            return
        if len(head) < 8 or head[:4] != _ITEM:
            break
        offset += 8 + int(struct.unpack_from("<I", head, 4)[0])
    # Without the delimiter, all is there if the last fragment ends where the file does.
    if offset != size:
        raise FormatError(
            f"{source.name}: truncated or damaged: its compressed Pixel Data do not end in the file"
        )
