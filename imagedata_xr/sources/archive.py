"""Members of ZIP archives, read at their own place without the archive's table of contents."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from imagedata_xr.errors import SourceError
from imagedata_xr.sources.files import source_error

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from imagedata_xr.frames import Source

__all__ = [
    "MAX_MEMBERS",
    "MAX_MEMBER_SIZE",
    "MAX_RATIO",
    "RATIO_FREE_SIZE",
    "ZipMember",
    "is_zip",
    "zip_members",
]

MAX_MEMBERS: Final = 1_000_000
MAX_MEMBER_SIZE: Final = 64 << 30
# Empty images shrink to a thousandth, as far as deflate can: the ratio counts for what is large.
MAX_RATIO: Final = 200
RATIO_FREE_SIZE: Final = 256 << 20

_STORED, _DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
_LOCAL_HEADER = struct.Struct("<4s22xHH")
_CHUNK = 1 << 20
_SIGNATURES = (b"PK\x03\x04", b"PK\x05\x06")


@dataclass(frozen=True, slots=True)
class ZipMember:
    """
    A member of a ZIP archive.

    Attributes
    ----------
    archive : Source
        The archive's own bytes.
    member : str
        Name in the archive.
    offset : int
        Where the local file header is.
    compressed : int
        Bytes in the archive.
    size : int
        Bytes of the member.
    method : int
        0 for stored, 8 for deflated.
    crc : int
        CRC-32 of the member, verified whenever all of it is read.
    """

    archive: Source
    member: str
    offset: int
    compressed: int
    size: int
    method: int
    crc: int

    @property
    def name(self) -> str:
        """The archive's name, and the member's after ``::``."""
        return f"{self.archive.name}::{self.member}"

    def read(self, start: int = 0, length: int | None = None) -> bytes:
        """
        Return `length` bytes from `start` (to the end by default), fewer at the end.

        Raises
        ------
        SourceError
            The archive is gone or damaged here.
        """
        end = self.size if length is None else min(start + length, self.size)
        if end <= start:
            return b""
        try:
            with self.archive.open() as file:
                file.seek(self._data_offset(file))
                stored = self.method == _STORED
                data = self._stored(file, start, end) if stored else self._inflated(file, end)
        except (OSError, EOFError, ValueError, zlib.error, struct.error) as error:
            raise source_error(self.name, error) from error
        begin = start if stored else 0
        if len(data) != end - begin:
            raise SourceError(f"{self.name}: damaged archive: the member is shorter than it says")
        if begin == 0 and end == self.size and zlib.crc32(data) != self.crc:
            raise SourceError(f"{self.name}: damaged archive: the checksum (CRC-32) is wrong")
        return data[start - begin :] if start > begin else data

    def open(self) -> BinaryIO:
        """
        Return a file over the member.

        Raises
        ------
        SourceError
            The archive is gone or damaged here.
        """
        return io.BytesIO(self.read())

    def _data_offset(self, file: BinaryIO) -> int:
        file.seek(self.offset)
        signature, name, extra = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
        if signature != _SIGNATURES[0]:
            raise SourceError(f"{self.name}: damaged archive: no member at its place")
        return self.offset + _LOCAL_HEADER.size + int(name) + int(extra)

    def _stored(self, file: BinaryIO, start: int, end: int) -> bytes:
        file.seek(start, io.SEEK_CUR)
        return file.read(min(end, self.compressed) - start)

    def _inflated(self, file: BinaryIO, end: int) -> bytes:
        stream = zlib.decompressobj(-zlib.MAX_WBITS)
        out = bytearray()
        left = self.compressed
        while len(out) < end and not stream.eof:
            waiting = stream.unconsumed_tail
            if not waiting:
                waiting = file.read(min(left, _CHUNK))
                left -= len(waiting)
                if not waiting:
                    break
            out += stream.decompress(waiting, end - len(out))
        if end == self.size and not stream.eof and stream.decompress(stream.unconsumed_tail, 1):
            raise SourceError(f"{self.name}: damaged archive: the member is longer than it says")
        return bytes(out)


def is_zip(source: Source) -> bool:
    """
    Tell by its content whether a source is a ZIP archive.

    Raises
    ------
    SourceError
        It cannot be read.
    """
    start = source.read(0, 132)
    # A DICOM file may begin with anything in its preamble (PS3.10 section 7.1).
    return start[:4] in _SIGNATURES and start[128:] != b"DICM"


def zip_members(archive: Source) -> list[ZipMember]:
    """
    Return the files in a ZIP archive, by name.

    Parameters
    ----------
    archive : Source

    Raises
    ------
    SourceError
        The archive cannot be read, is damaged, encrypted, compressed by a method other than
        deflate, or declares sizes that no image has.
    """
    try:
        with archive.open() as file, zipfile.ZipFile(file) as listing:
            infos = listing.infolist()
    except (OSError, ValueError, EOFError, struct.error, RuntimeError) as error:
        raise source_error(archive.name, error) from error
    except zipfile.BadZipFile as error:
        raise SourceError(f"{archive.name}: damaged archive: {error}") from error
    members = sorted(_members(archive, infos), key=lambda member: member.member)
    _check_limits(archive, members)
    return members


def _members(archive: Source, infos: list[zipfile.ZipInfo]) -> Iterator[ZipMember]:
    for info in infos:
        if info.filename.endswith("/"):
            continue
        if info.flag_bits & 1:
            raise SourceError(f"{archive.name}::{info.filename}: is encrypted")
        if info.compress_type not in (_STORED, _DEFLATED):
            raise SourceError(
                f"{archive.name}::{info.filename}: is compressed by method {info.compress_type}; "
                "only stored (0) and deflated (8) can be read"
            )
        yield ZipMember(
            archive=archive,
            member=info.filename,
            offset=info.header_offset,
            compressed=info.compress_size,
            size=info.file_size,
            method=info.compress_type,
            crc=info.CRC,
        )


def _check_limits(archive: Source, members: list[ZipMember]) -> None:
    if len(members) > MAX_MEMBERS:
        raise SourceError(f"{archive.name}: {len(members)} members are more than {MAX_MEMBERS}")
    for member in members:
        stored_differs = member.method == _STORED and member.size != member.compressed
        if member.size > MAX_MEMBER_SIZE or stored_differs:
            raise SourceError(f"{member.name}: declares an impossible size, {member.size} bytes")
        if member.size > RATIO_FREE_SIZE and member.size > MAX_RATIO * member.compressed:
            raise SourceError(
                f"{member.name}: declares {member.size} bytes out of {member.compressed}: more "
                f"than {MAX_RATIO} to 1"
            )
    placed = sorted(members, key=lambda member: member.offset)
    for first, second in pairwise(placed):
        if first.offset + _LOCAL_HEADER.size + first.compressed > second.offset:
            raise SourceError(f"{first.name}: damaged archive: overlaps {second.member}")
