"""
MAT files of version 4 and 5: arrays of numbers, by a walk that checks every length.

SciPy's reader takes memory for what a damaged header declares, and ends the process where elements
do not lie as it expects. The format is that of "MAT-File Format" (MathWorks).
"""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from imagedata_xr.errors import FormatError
from imagedata_xr.sources.files import source_error

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from numpy.typing import NDArray

__all__ = ["Stored", "stored_variables"]

HEADER: Final = 128
TYPES: Final = {
    1: "i1",
    2: "u1",
    3: "i2",
    4: "u2",
    5: "i4",
    6: "u4",
    7: "f4",
    9: "f8",
    12: "i8",
    13: "u8",
    16: "u1",
    17: "u2",
    18: "u4",
}
MATRIX, COMPRESSED, UTF8 = 14, 15, 16
CHAR: Final = 4
CLASSES: Final = {
    6: "f8",
    7: "f4",
    8: "i1",
    9: "u1",
    10: "i2",
    11: "u2",
    12: "i4",
    13: "u4",
    14: "i8",
    15: "u8",
}
COMPLEX, LOGICAL = 0x0800, 0x0200
TYPES_4: Final = ("f8", "f4", "i4", "i2", "u2", "u1")
# What stands before the numbers: flags, sizes and name, each of which has a tag.
FRONT: Final = 1 << 16
CHUNK: Final = 1 << 20
# Deflate packs at most 258 bytes into two bits.
LARGEST_RATIO: Final = 1032


class Place(NamedTuple):
    """
    Where an element is: of version 4 its numbers, of version 5 the value of its matrix.

    ``stored`` is the type of the numbers of version 4, empty for version 5.
    """

    offset: int
    length: int
    packed: bool
    order: str
    stored: str = ""


@dataclass(frozen=True, slots=True)
class Stored:
    """
    An array in a file; picklable, holds no open file.

    Attributes
    ----------
    path, name : str
    shape : tuple of int
        In MATLAB's order.
    dtype : dtype
        Of the values, in the byte order of this computer.
    place : Place
    is_text : bool
        Characters, as UTF-16 code units.
    """

    path: str
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    place: Place
    is_text: bool = False

    def read(self, first: list[int], stop: list[int]) -> NDArray[Any]:
        """
        Return a block of the values.

        Raises
        ------
        FormatError
            The file has changed, or is damaged there.
        """
        return np.asarray(_values(self)[tuple(map(slice, first, stop))])

    def text(self) -> str:
        """Return characters as text, row by row."""
        if 0 in self.shape:
            return ""
        rows = _values(self).reshape(self.shape[0], -1)
        return "".join(row.astype("<u2").tobytes().decode("utf-16-le", "replace") for row in rows)

    def damaged(self, reason: str) -> FormatError:
        """Return the error for numbers that are not as declared."""
        return FormatError(f"{self.path}: {self.name} is damaged: {reason}")


def stored_variables(path: str) -> dict[str, Stored]:
    """
    Return the arrays of numbers and the texts of a file, by name.

    Structures, cells, objects, sparse matrices and functions are passed over.

    Parameters
    ----------
    path : str

    Raises
    ------
    FormatError
        It is no MAT file of version 4 or 5, or is damaged.
    SourceError
        It cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            head = file.read(HEADER)
            size = file.seek(0, 2)
            order = {b"IM": "<", b"MI": ">"}.get(head[126:128])
            if order is None or not head[:4].strip(b"\0"):
                found = list(_of_version_4(path, file, size))
            else:
                found = list(_of_version_5(path, file, size, order))
    except OSError as error:
        raise source_error(path, error) from error
    return {one.name: one for one in found}


def _damaged(path: str, reason: str) -> FormatError:
    return FormatError(f"{path}: is no MAT file, or damaged: {reason}")


# Version 5 -------------------------------------------------------------------------------------


def _of_version_5(path: str, file: BinaryIO, size: int, order: str) -> Iterator[Stored]:
    at = HEADER
    while at < size:
        file.seek(at)
        tag = file.read(8)
        if len(tag) < 8:
            raise _damaged(path, f"it ends within an element, at byte {at}")
        kind, length = struct.unpack(f"{order}2I", tag)
        at += 8
        if kind not in (MATRIX, COMPRESSED) or at + length > size:
            raise _damaged(path, f"at byte {at - 8} stands no variable, or one cut off")
        place = Place(at, length, kind == COMPRESSED, order)
        front = file.read(min(length, FRONT))
        if place.packed:
            front = _unpacked_front(path, front, place)
        found = _described(path, front, place)
        if found is not None:
            yield found
        at += length


def _unpacked_front(path: str, packed: bytes, place: Place) -> bytes:
    try:
        front = zlib.decompressobj().decompress(packed, FRONT)
    except zlib.error as error:
        raise _damaged(path, str(error)) from error
    if len(front) < 8 or struct.unpack(f"{place.order}I", front[:4])[0] != MATRIX:
        raise _damaged(path, f"what is compressed at byte {place.offset} is no variable")
    return front[8:]


def _described(path: str, front: bytes, place: Place) -> Stored | None:
    """Return what the flags, sizes and name of a matrix say; None where it holds no numbers."""
    try:
        _, flags, at = _element(front, 0, place.order)
        _, sizes, at = _element(front, at, place.order)
        _, name, at = _element(front, at, place.order)
        (word,) = struct.unpack_from(f"{place.order}I", flags)
    except (struct.error, IndexError) as error:
        raise _damaged(path, f"the variable at byte {place.offset} has no header") from error
    kind = word & 0xFF
    if kind != CHAR and kind not in CLASSES:
        return None
    if len(sizes) < 8 or len(sizes) % 4:
        raise _damaged(path, f"the variable at byte {place.offset} has no sizes")
    shape = tuple(int(n) for n in np.frombuffer(sizes, f"{place.order}i4"))
    dtype = np.dtype("u2" if kind == CHAR else CLASSES[kind])
    if word & LOGICAL:
        dtype = np.dtype(bool)
    elif word & COMPLEX and kind != CHAR:
        dtype = np.dtype("c8" if kind == 7 else "c16")
    text = name.split(b"\0")[0].decode("latin-1")
    if not text:
        # What objects need to be restored.
        return None
    _check_size(path, shape, place)
    return Stored(path, text, shape, dtype, place, is_text=kind == CHAR)


def _check_size(path: str, shape: tuple[int, ...], place: Place) -> None:
    """Raise where so many numbers cannot be in the element, before memory is taken for them."""
    # MATLAB stores numbers in the smallest type that holds them: one byte at least.
    most = place.length * (LARGEST_RATIO if place.packed else 1)
    if min(shape) < 0 or math.prod(max(n, 1) for n in shape) > most:
        raise _damaged(
            path, f"{' x '.join(map(str, shape))} numbers in {place.length} bytes cannot be"
        )


def _element(data: bytes, at: int, order: str) -> tuple[int, bytes, int]:
    """Return type and value of the element at a place, and where the next one begins."""
    kind, length = struct.unpack_from(f"{order}2I", data, at)
    if kind >> 16:
        # Up to four bytes stand in the tag itself.
        return kind & 0xFFFF, data[at + 4 : at + 4 + min(kind >> 16, 4)], at + 8
    start = at + 8
    if start + length > len(data):
        raise IndexError(length)
    return kind, data[start : start + length], start + length + -length % 8


@lru_cache(maxsize=2)
def _values_at(one: Stored, _: tuple[int, int]) -> NDArray[Any]:
    try:
        with Path(one.path).open("rb") as file:
            file.seek(one.place.offset)
            data = file.read(one.place.length)
    except OSError as error:
        raise source_error(one.path, error) from error
    if len(data) < one.place.length:
        raise one.damaged("the file has become shorter")
    found = _numbers_4(one, data) if one.place.stored else _numbers_5(one, data)
    found.flags.writeable = False
    return found


def _values(one: Stored) -> NDArray[Any]:
    try:
        status = Path(one.path).stat()
    except OSError as error:
        raise source_error(one.path, error) from error
    return _values_at(one, (status.st_mtime_ns, status.st_size))


def _numbers_5(one: Stored, data: bytes) -> NDArray[Any]:
    if one.place.packed:
        data = _inflated(one, data)
    at = 0
    try:
        for _ in range(3):
            _, _, at = _element(data, at, one.place.order)
        kind, real, at = _element(data, at, one.place.order)
        parts = [(kind, real)]
        if one.dtype.kind == "c":
            kind, imaginary, _ = _element(data, at, one.place.order)
            parts.append((kind, imaginary))
    except (struct.error, IndexError) as error:
        raise one.damaged("its numbers are cut off") from error
    numbers = [_part(one, kind, raw) for kind, raw in parts]
    whole = numbers[0] if len(numbers) == 1 else numbers[0] + 1j * numbers[1]
    return whole.reshape(one.shape, order="F").astype(one.dtype, copy=False)


def _inflated(one: Stored, data: bytes) -> bytes:
    inflater = zlib.decompressobj()
    try:
        head = inflater.decompress(data, 8)
        (length,) = struct.unpack(f"{one.place.order}4xI", head)
        if length > len(data) * LARGEST_RATIO:
            raise one.damaged(f"{length} bytes cannot be packed into {len(data)}")
        found = bytearray()
        while len(found) < length and not inflater.eof:
            part = inflater.decompress(inflater.unconsumed_tail, min(CHUNK, length - len(found)))
            if not part and not inflater.unconsumed_tail:
                break
            found += part
        # The checksum stands behind the last byte.
        found += inflater.decompress(inflater.unconsumed_tail, 1)
    except (zlib.error, struct.error) as error:
        raise one.damaged(str(error)) from error
    if len(found) != length or not inflater.eof:
        raise one.damaged(f"it is packed wrongly: {len(found)} bytes where {length} are said")
    return bytes(found)


def _part(one: Stored, kind: int, raw: bytes) -> NDArray[Any]:
    if kind not in TYPES:
        raise one.damaged(f"numbers of type {kind} are not known")
    count = math.prod(one.shape)
    if one.is_text and kind == UTF8:
        units = raw.decode("utf-8", "replace").encode("utf-16-le", "replace")
        found: NDArray[Any] = np.frombuffer(units, "<u2")
    else:
        stored = np.dtype(TYPES[kind]).newbyteorder(one.place.order)  # type: ignore[arg-type]
        if len(raw) % stored.itemsize:
            raise one.damaged(f"{len(raw)} bytes are no numbers of {stored.itemsize}")
        found = np.frombuffer(raw, stored).astype(stored.newbyteorder("="))
    if found.size != count:
        raise one.damaged(f"there are {found.size} numbers where its sizes make {count}")
    return found


# Version 4 -------------------------------------------------------------------------------------


def _of_version_4(path: str, file: BinaryIO, size: int) -> Iterator[Stored]:
    at = 0
    while at < size:
        file.seek(at)
        head = file.read(20)
        order = next((o for o in "<>" if len(head) == 20 and _is_version_4(head, o)), None)
        if order is None:
            raise _damaged(path, f"at byte {at} stands no variable")
        code, rows, columns, imaginary, letters = struct.unpack(f"{order}5i", head)
        kind, text = code // 10 % 10, code % 10
        stored = np.dtype(TYPES_4[kind])
        start = at + 20 + letters
        length = rows * columns * stored.itemsize * (2 if imaginary else 1)
        if start + length > size:
            raise _damaged(path, f"{rows} x {columns} numbers at byte {at} are cut off")
        name = file.read(letters).split(b"\0")[0].decode("latin-1")
        at = start + length
        if text > 1:
            continue
        dtype = stored
        if imaginary:
            dtype = np.dtype("c8" if kind == 1 else "c16")
        place = Place(start, length, packed=False, order=order, stored=stored.str[1:])
        yield Stored(path, name, (rows, columns), dtype, place, is_text=text == 1)


def _is_version_4(head: bytes, order: str) -> bool:
    code, rows, columns, imaginary, letters = struct.unpack(f"{order}5i", head)
    machine = 0 if order == "<" else 1
    return (
        code // 1000 == machine
        and code // 100 % 10 == 0
        and code // 10 % 10 < len(TYPES_4)
        and code % 10 < 3
        and min(rows, columns) >= 0
        and imaginary in (0, 1)
        and 0 < letters <= FRONT
    )


def _numbers_4(one: Stored, data: bytes) -> NDArray[Any]:
    part = len(data) // 2 if one.dtype.kind == "c" else len(data)
    stored = np.dtype(one.place.stored).newbyteorder(one.place.order)  # type: ignore[arg-type]
    values: NDArray[Any] = np.frombuffer(data[:part], stored)
    if one.dtype.kind == "c":
        values = values + 1j * np.frombuffer(data[part:], stored)
    return values.reshape(one.shape, order="F").astype(one.dtype)
