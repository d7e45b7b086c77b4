"""
A look at the directories of a TIFF file (TIFF 6.0 section 2; BigTIFF) before ITK reads it.

libtiff and ITK believe what a directory says of its strips, and of the pages behind the first: a
damaged one makes them write behind the end of their memory, which ends the process.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from imagedata_xr.errors import FormatError
from imagedata_xr.formats.itk.tiffpage import FIRST, NAMES, check_page

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imagedata_xr.formats.itk.tiffpage import Tags

__all__ = ["check_tiff_header"]

# ITK counts pages in 16 bits.
MOST_PAGES: Final = 65535
MOST_TAGS: Final = 4096
# Bytes of a value, by the type of a tag.
SIZES: Final = {
    **dict.fromkeys((1, 2, 6, 7), 1),
    **dict.fromkeys((3, 8), 2),
    **dict.fromkeys((4, 9, 11, 13), 4),
    **dict.fromkeys((5, 10, 12, 16, 17, 18), 8),
}
UNSIGNED: Final = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
NEW_KIND: Final = 254
OLD_KIND: Final = 255
# NewSubfileType: of reduced size, or a mask.
IGNORED: Final = 1 | 4
# What SubfileType says, in terms of NewSubfileType.
RENAMED: Final = {2: 1, 3: 2}


def check_tiff_header(path: str) -> None:
    """
    Raise FormatError where a directory is not one that ITK reads safely and rightly.

    Parameters
    ----------
    path : str
    """
    with Path(path).open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        pages = list(_pages(path, file, size))
    kept = _kept(path, [_kind(tags) for tags in pages])
    first = check_page(f"{path}: page 1", pages[0], size)
    for number, tags in enumerate(pages[1:kept], 2):
        where = f"{path}: page {number}"
        for name, value in check_page(where, tags, size).items():
            if value != first[name]:
                raise FormatError(f"{where}: {name} is {value}, and {first[name]} in page 1")


def _pages(path: str, file: BinaryIO, size: int) -> Iterator[Tags]:
    """Yield the tags of each directory, from the first to the last."""
    head = file.read(16)
    order = "<" if head[:2] == b"II" else ">"
    is_big = len(head) >= 4 and struct.unpack(order + "H", head[2:4])[0] == 43
    if len(head) < (16 if is_big else 8):
        raise FormatError(f"{path}: the header breaks off after {len(head)} bytes")
    if is_big and struct.unpack(order + "HH", head[4:8]) != (8, 0):
        raise FormatError(f"{path}: the header is no BigTIFF: offsets are not of 8 bytes")
    at = struct.unpack(order + ("Q" if is_big else "I"), head[8:16] if is_big else head[4:8])[0]
    count, entry, last = ("Q", "HHQ8s", "Q") if is_big else ("H", "HHI4s", "I")
    layout = struct.Struct(order + entry)
    seen: set[int] = set()
    values = 0
    while at or not seen:
        where = f"{path}: page {len(seen) + 1}"
        if at in seen:
            raise FormatError(f"{where}: its directory, at byte {at}, is that of an earlier page")
        if len(seen) == MOST_PAGES:
            raise FormatError(f"{path}: has more than {MOST_PAGES} pages")
        seen.add(at)
        number = _unpacked(where, file, size, at, order + count)
        if not 1 <= number <= MOST_TAGS:
            raise FormatError(f"{where}: its directory has {number} tags")
        entries = file.read(number * layout.size)
        at = _unpacked(where, file, size, file.tell(), order + last)
        found = _tags(where, file, size - values, order, layout.iter_unpack(entries))
        values += sum(map(len, found.values()))
        yield found


def _unpacked(where: str, file: BinaryIO, size: int, at: int, layout: str) -> int:
    needed = struct.calcsize(layout)
    if at < FIRST or at + needed > size:
        raise FormatError(f"{where}: its directory, at byte {at}, is not inside the file")
    file.seek(at)
    number: int = struct.unpack(layout, file.read(needed).ljust(needed, b"\0"))[0]
    return number


def _tags(
    where: str,
    file: BinaryIO,
    left: int,
    order: str,
    entries: Iterator[tuple[int, int, int, bytes]],
) -> Tags:
    """Return the values of the tags that describe pixels; the others must be inside the file."""
    found: Tags = {}
    size = os.fstat(file.fileno()).st_size
    names: set[int] = set()
    for tag, kind, length, inline in entries:
        name = NAMES.get(tag, "")
        here = f"{where}: {name or 'tag'} ({tag})"
        if tag in names:
            raise FormatError(f"{here}: stands twice in the directory")
        names.add(tag)
        if kind not in SIZES or (name and kind not in UNSIGNED) or not length:
            raise FormatError(f"{here}: has {length} values of type {kind}")
        needed, data = length * SIZES[kind], inline
        if needed > len(inline):
            at = struct.unpack(order + ("Q" if len(inline) == 8 else "I"), inline)[0]
            if at < FIRST or at + needed > size:
                raise FormatError(f"{here}: its {needed} bytes at {at} are not inside the file")
            if name:
                # Tags that share their bytes would make a small file a large one.
                left -= length
                if left < 0:
                    raise FormatError(f"{here}: has {length} values: too many for the file")
                file.seek(at)
                data = file.read(needed).ljust(needed, b"\0")
        if name:
            found[tag] = struct.unpack(f"{order}{length}{UNSIGNED[kind]}", data[:needed])
    return found


def _kind(tags: Tags) -> int | None:
    """Return NewSubfileType, None where the page does not say it."""
    if NEW_KIND in tags:
        return tags[NEW_KIND][0]
    return RENAMED.get(tags[OLD_KIND][0]) if OLD_KIND in tags else None


def _kept(path: str, kinds: list[int | None]) -> int:
    """Return how many pages are slices: all but those of reduced size, and masks, at the end."""
    if len(kinds) == 1:
        return 1
    slices = [not (kind or 0) & IGNORED for kind in kinds]
    kept = sum(slices)
    if not kept or not all(slices[:kept]):
        page = slices.index(False) + 1
        raise FormatError(
            f"{path}: page {page}: NewSubfileType ({NEW_KIND}) is {kinds[page - 1]}, a mask or an "
            "image of reduced size, before the last slice, which SimpleITK would misplace"
        )
    plain = kinds[:kept].count(0)
    if kept > 1 and plain not in (0, kept):
        raise FormatError(
            f"{path}: NewSubfileType ({NEW_KIND}) is 0 in {plain} of {kept} pages: "
            "SimpleITK would count them wrongly"
        )
    return kept
