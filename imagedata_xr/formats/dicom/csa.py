"""
Siemens CSA headers: (0029,1010) of the image and (0029,1020) of the series.

A table of named tags with text values, in two versions: CSA2 starts with ``SV10``, CSA1 does not.
Every length in it is checked: headers come damaged, and from strangers.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from imagedata_xr.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["csa_values", "parse_csa"]

_MAGIC = b"SV10"
# Name, number of values, type (4 bytes), its number, number of items, 77 or 205.
_TAG = struct.Struct("<64si4s3i")
_ITEM = struct.Struct("<4i")
# Real headers have about 100 tags, of up to a few hundred items.
_MOST_TAGS, _MOST_ITEMS = 1024, 65536


def parse_csa(data: bytes) -> dict[str, list[str]]:
    """
    Return all tags of a CSA header.

    Parameters
    ----------
    data : bytes
        Value of the element.

    Returns
    -------
    dict of str to list of str
        The values of each tag, without those left empty at the end.

    Raises
    ------
    FormatError
        It is no CSA header, or is damaged.
    """
    return dict(_tags(data))


def csa_values(data: bytes, name: str) -> list[str]:
    """
    Return the values of one tag, without reading the others; none where there is no such tag.

    Parameters
    ----------
    data : bytes
        Value of the element.
    name : str
        Name of the tag, e.g. ``"B_value"``.

    Raises
    ------
    FormatError
        The tag is damaged.
    """
    second, start, _ = _table(data)
    key = name.encode("ascii") + b"\0"
    at = data.find(key, start)
    # A longer name that ends alike, or a value that contains the name, is not the tag.
    while at >= 0 and not _is_tag(data, at, start):
        at = data.find(key, at + 1)
    if at < 0:
        return []
    base = 0 if second else _first_count(data, start)
    return _read_tag(data, at, second=second, base=base)[1]


def _is_tag(data: bytes, at: int, start: int) -> bool:
    if at + _TAG.size > len(data):
        return False
    # Items are padded to 4 bytes, so that every tag starts at such a distance from the first.
    return (at - start) % 4 == 0 and _TAG.unpack_from(data, at)[5] in (77, 205)


def _table(data: bytes) -> tuple[bool, int, int]:
    """Return whether it is CSA2, where its first tag starts, and how many there are."""
    second = data[:4] == _MAGIC
    start = 8 if second else 0
    if len(data) < start + 8:
        raise FormatError(f"CSA header: {len(data)} bytes are too few")
    count, check = struct.unpack_from("<2I", data, start)
    if check != 77 or not 0 < count <= _MOST_TAGS:
        raise FormatError(f"CSA header: {count} tags and check number {check}, not 77")
    return second, start + 8, count


def _first_count(data: bytes, start: int) -> int:
    if start + _TAG.size > len(data):
        raise FormatError("CSA header: it ends within its first tag")
    return int(_TAG.unpack_from(data, start)[4])


def _tags(data: bytes) -> Iterator[tuple[str, list[str]]]:
    second, at, count = _table(data)
    base = 0 if second else _first_count(data, at)
    for _ in range(count):
        name, values, at = _read_tag(data, at, second=second, base=base)
        yield name, values


def _read_tag(data: bytes, at: int, *, second: bool, base: int) -> tuple[str, list[str], int]:
    """Return the name and values of the tag at a place, and where it ends."""
    if at + _TAG.size > len(data):
        raise FormatError(f"CSA header: it ends within a tag, at byte {at}")
    raw, multiplicity, _, _, items, check = _TAG.unpack_from(data, at)
    name = raw.partition(b"\0")[0].decode("latin-1")
    if check not in (77, 205) or not 0 <= items <= _MOST_ITEMS:
        raise FormatError(f"CSA header: tag {name!r} at byte {at} is damaged")
    at += _TAG.size
    wanted = multiplicity if 0 < multiplicity <= items else items
    values: list[str] = []
    for number in range(items):
        if at + _ITEM.size > len(data):
            raise FormatError(f"CSA header: it ends within tag {name!r}")
        lengths = _ITEM.unpack_from(data, at)
        at += _ITEM.size
        # CSA1 may add the number of items of the table's first tag to the first length.
        size = lengths[1] if second or lengths[0] == lengths[1] else lengths[0] - base
        if size < 0 or at + size > len(data):
            if not second:
                break
            raise FormatError(f"CSA header: an item of tag {name!r} has {size} bytes")
        if number < wanted:
            values.append(data[at : at + size].partition(b"\0")[0].decode("latin-1").strip())
        at += size + -size % 4
    while values and not values[-1]:
        values.pop()
    return name, values, at
