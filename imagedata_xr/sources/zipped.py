"""Members of ZIP archives, read at their own place without the archive's table of contents."""

from __future__ import annotations

import stat
import struct
import zipfile
import zlib
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from imagedata_xr.errors import SourceError
from imagedata_xr.options import limits
from imagedata_xr.sources.entries import (
    Member,
    Refused,
    check_count,
    check_ratio,
    check_total,
    checked_names,
)
from imagedata_xr.sources.files import source_error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imagedata_xr.frames import Source

__all__ = ["ZipMember", "is_zip", "zip_members"]

_STORED, _DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
_LOCAL_HEADER = struct.Struct("<4s22xHH")
_CHUNK = 1 << 20
# The local header's extra field is seldom longer; where it is, it costs one more read.
_EXTRA = 256
# Deflate makes what does not shrink longer by 5 bytes in 16 KB.
_OVERHEAD = 1024
_SIGNATURES = (b"PK\x03\x04", b"PK\x05\x06")
_UNIX = 3


@dataclass(frozen=True, slots=True)
class ZipMember(Member):
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
        CRC-32 of the member, verified whenever a read comes to its end or takes most of it.
    """

    archive: Source
    member: str
    offset: int
    compressed: int
    size: int
    method: int
    crc: int

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
        # Only all bytes together have a checksum.
        whole = end == self.size or 2 * (end - start) >= self.size
        begin = 0 if whole or self.method == _DEFLATED else start
        end = self.size if whole else end
        try:
            if self.method == _STORED:
                data = self._packed(begin, min(end, self.compressed) - begin)
            else:
                data = self._inflated(end)
        except (OSError, EOFError, ValueError, zlib.error, struct.error) as error:
            raise source_error(self.name, error) from error
        if len(data) != end - begin:
            raise SourceError(f"{self.name}: damaged archive: the member is shorter than it says")
        if begin == 0 and end == self.size and zlib.crc32(data) != self.crc:
            raise SourceError(f"{self.name}: damaged archive: the checksum (CRC-32) is wrong")
        stop = None if length is None else start + length
        return data[start - begin : None if stop is None else stop - begin]

    def _packed(self, start: int, length: int) -> bytes:
        """Return bytes as the archive holds them: in one request where they are the first."""
        fixed = _LOCAL_HEADER.size
        guess = len(self.member.encode(errors="replace")) + _EXTRA
        first = self.archive.read(self.offset, fixed + (0 if start else guess + length))
        signature, name, extra = _LOCAL_HEADER.unpack(first[:fixed])
        if signature != _SIGNATURES[0]:
            raise SourceError(f"{self.name}: damaged archive: no member at its place")
        begin = fixed + int(name) + int(extra)
        found = b"" if start else first[begin : begin + length]
        if len(found) < length:
            found += self.archive.read(
                self.offset + begin + start + len(found), length - len(found)
            )
        return found

    def _inflated(self, end: int) -> bytes:
        stream = zlib.decompressobj(-zlib.MAX_WBITS)
        out = bytearray()
        place = 0
        step = end + _OVERHEAD
        while len(out) < end and not stream.eof:
            waiting = stream.unconsumed_tail
            if not waiting:
                waiting = self._packed(place, min(self.compressed - place, step))
                place += len(waiting)
                step = _CHUNK
                if not waiting:
                    break
            out += stream.decompress(waiting, end - len(out))
        if end == self.size and not stream.eof and stream.decompress(stream.unconsumed_tail, 1):
            raise SourceError(f"{self.name}: damaged archive: the member is longer than it says")
        return bytes(out)


def is_zip(start: bytes) -> bool:
    """Tell by its first bytes whether a source is a ZIP archive."""
    return start[:4] in _SIGNATURES


def zip_members(archive: Source) -> list[ZipMember | Refused]:
    """
    Return the files in a ZIP archive, by name.

    Members that are encrypted, links, compressed by a method other than deflate, named twice or
    by a path that leads out of the archive, are `Refused`.

    Parameters
    ----------
    archive : Source

    Raises
    ------
    SourceError
        The archive cannot be read, is damaged, or declares sizes that no image has.
    """
    try:
        with archive.open() as file, zipfile.ZipFile(file) as listing:
            infos = listing.infolist()
    except (OSError, ValueError, EOFError, struct.error, RuntimeError) as error:
        raise source_error(archive.name, error) from error
    except zipfile.BadZipFile as error:
        raise SourceError(f"{archive.name}: damaged archive: {error}") from error
    check_count(archive, len(infos))
    entries = list(_members(archive, infos))
    _check_sizes(archive, [entry for entry in entries if isinstance(entry, ZipMember)])
    return checked_names(entries)


def _members(archive: Source, infos: list[zipfile.ZipInfo]) -> Iterator[ZipMember | Refused]:
    for info in infos:
        if info.filename.endswith("/"):
            continue
        reason = _problem(info)
        yield (
            Refused(archive, info.filename, reason)
            if reason
            else ZipMember(
                archive=archive,
                member=info.filename,
                offset=info.header_offset,
                compressed=info.compress_size,
                size=info.file_size,
                method=info.compress_type,
                crc=info.CRC,
            )
        )


def _problem(info: zipfile.ZipInfo) -> str | None:
    if info.flag_bits & 1:
        return "is encrypted; unpack the archive with its password first"
    if info.create_system == _UNIX and stat.S_ISLNK(info.external_attr >> 16):
        return "is a symbolic link; pack the file that it leads to"
    if info.compress_type not in (_STORED, _DEFLATED):
        return (
            f"is compressed by method {info.compress_type}; "
            "only stored (0) and deflated (8) can be read"
        )
    return None


def _check_sizes(archive: Source, members: list[ZipMember]) -> None:
    most = limits().archive_member_bytes
    for member in members:
        stored_differs = member.method == _STORED and member.size != member.compressed
        if member.size > most or stored_differs:
            raise SourceError(
                f"{member.name}: declares an impossible size, {member.size} bytes "
                "(set_options(archive_member_bytes=))"
            )
        check_ratio(member.name, member.compressed, member.size)
    check_total(archive, sum(member.size for member in members))
    placed = sorted(members, key=lambda member: member.offset)
    for first, second in pairwise(placed):
        if first.offset + _LOCAL_HEADER.size + first.compressed > second.offset:
            raise SourceError(f"{first.name}: damaged archive: overlaps {second.member}")
