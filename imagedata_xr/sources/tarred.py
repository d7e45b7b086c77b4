"""Members of tar archives, read at their own place; compressed ones are unpacked once a process."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import tarfile
import tempfile
import threading
import weakref
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final, cast

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
from imagedata_xr.sources.files import LocalFile, source_error

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from imagedata_xr.errors import ImagedataError
    from imagedata_xr.frames import Source

__all__ = ["TarMember", "Unpacked", "is_tar", "packed_tar", "tar_members"]

_BLOCK: Final = 512
_CHUNK: Final = 1 << 20
_MAGIC: Final = {b"\x1f\x8b": "gz", b"BZh": "bz2", b"\xfd7zXZ\0": "xz"}
# The largest dictionary of the presets of xz, and what the decoder needs besides.
_XZ_MEMORY: Final = 128 << 20
_DAMAGED = (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError, tarfile.TarError)


@dataclass(frozen=True, slots=True)
class Unpacked:
    """
    What a compressed file holds.

    It is unpacked into a temporary file without a name when it is first read in a process.

    Attributes
    ----------
    archive : Source
        The compressed bytes.
    codec : str
        ``gz``, ``bz2`` or ``xz``; empty for bytes that cannot be read in part where they are.
    """

    archive: Source
    codec: str

    @property
    def name(self) -> str:
        """The archive's name."""
        return self.archive.name

    @property
    def size(self) -> int:
        """
        Length in bytes, unpacked.

        Raises
        ------
        SourceError
            The archive is gone or damaged.
        """
        return self._there().size

    def read(self, start: int = 0, length: int | None = None) -> bytes:
        """
        Return `length` bytes from `start` (to the end by default), fewer at the end.

        Raises
        ------
        SourceError
            The archive is gone or damaged.
        """
        return self._there().read(start, length)

    def open(self) -> BinaryIO:
        """
        Return a file over the bytes.

        Raises
        ------
        SourceError
            The archive is gone or damaged.
        """
        return io.BufferedReader(_Reader(self._there()))

    def _there(self) -> _Spooled:
        """Return the unpacked bytes; of a file that was replaced, the new ones."""
        source = self.archive
        try:
            stamp = os.stat(source.path).st_mtime_ns if isinstance(source, LocalFile) else 0  # noqa: PTH116
        except OSError as error:
            raise source_error(self.name, error) from error
        with _unpacking:
            return _spooled(cast("Any", source), self.codec, stamp)


class _Spooled:
    """A temporary file that closes with the last who uses it; read from many threads at once."""

    def __init__(self, file: Any, size: int) -> None:
        self.size = size
        self._file = file
        self._lock = threading.Lock()
        weakref.finalize(self, file.close)

    def read(self, start: int, length: int | None) -> bytes:
        wanted = max(self.size - start, 0)
        if length is not None:
            wanted = min(wanted, length)
        if hasattr(os, "pread"):  # a forked process shares the file's position
            return _pread(self._file.fileno(), wanted, start)
        with self._lock:  # pragma: no cover - Windows
            self._file.seek(start)
            data: bytes = self._file.read(wanted)
            return data


def _pread(descriptor: int, length: int, start: int) -> bytes:
    data = os.pread(descriptor, length, start)
    while len(data) < length and (
        more := os.pread(descriptor, length - len(data), start + len(data))
    ):
        data += more  # one call returns at most 2 GiB
    return data


class _Reader(io.RawIOBase):
    """A file over unpacked bytes, with a position of its own."""

    def __init__(self, data: _Spooled) -> None:
        super().__init__()
        self._data = data
        self._place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._data.size}[whence]
        self._place = max(base + offset, 0)
        return self._place

    def readinto(self, buffer: Any) -> int:
        data = self._data.read(self._place, len(buffer))
        buffer[: len(data)] = data
        self._place += len(data)
        return len(data)


# Two threads that read the same archive unpack it once; an archive may be packed twice.
_unpacking = threading.RLock()


@lru_cache(maxsize=4)
def _spooled(archive: Source, codec: str, stamp: int) -> _Spooled:
    del stamp
    packed = archive.size if codec else 0
    file = tempfile.TemporaryFile(prefix="imagedata_xr-")  # noqa: SIM115 - closed with its last user
    size = 0
    try:
        with getattr(archive, "stream", archive.open)() as source:
            for piece in _decompressed(source, codec):
                size += len(piece)
                check_total(archive, size)
                if codec:
                    check_ratio(archive.name, packed, size)
                file.write(piece)
        file.flush()
    except BaseException as error:
        file.close()
        if isinstance(error, _DAMAGED):
            raise _damaged(archive, error) from error
        raise
    return _Spooled(file, size)


def _damaged(archive: Source, error: Exception) -> ImagedataError:
    if isinstance(error, OSError) and error.errno is not None:
        return source_error(archive.name, error)
    if isinstance(error, SourceError):
        return error
    return SourceError(f"{archive.name}: damaged archive: {str(error) or type(error).__name__}")


def _decompressed(file: BinaryIO, codec: str, length: int = _CHUNK) -> Iterator[bytes]:
    """Yield pieces of limited size; both checksums and a cut-off end are errors."""
    if codec == "xz":
        yield from _unxz(file)
        return
    openers = {"gz": lambda: gzip.GzipFile(fileobj=file), "bz2": lambda: bz2.BZ2File(file)}
    opened: Any = openers.get(codec, lambda: file)()
    with opened:
        while piece := opened.read(length):
            yield piece


def _unxz(file: BinaryIO) -> Iterator[bytes]:
    """Yield what streams of xz hold; the module's own file object knows no limit of memory."""
    left = b""
    while left := left or file.read(_CHUNK):
        stream = lzma.LZMADecompressor(memlimit=_XZ_MEMORY)
        while not stream.eof:
            if stream.needs_input and not left and not (left := file.read(_CHUNK)):
                raise EOFError("the compressed file ended before its end mark")
            yield stream.decompress(left, _CHUNK)
            left = b""
        left = stream.unused_data.lstrip(b"\0")


@dataclass(frozen=True, slots=True)
class TarMember(Member):
    """
    A member of a tar archive.

    Attributes
    ----------
    archive : Source
        The archive's bytes, unpacked.
    member : str
        Name in the archive.
    offset : int
        Where its bytes begin.
    size : int
        Bytes of the member.
    """

    archive: Source
    member: str
    offset: int
    size: int

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
        data = self.archive.read(self.offset + start, end - start)
        if len(data) != end - start:
            raise SourceError(f"{self.name}: damaged archive: it ends within the member")
        return data


def is_tar(start: bytes) -> bool:
    """Tell by its first 512 bytes, with their checksum, whether a source is a tar archive."""
    try:
        tarfile.TarInfo.frombuf(start[:_BLOCK], "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def packed_tar(source: Source, start: bytes) -> Unpacked | None:
    """
    Return the tar archive in a compressed file, None where it holds something else.

    Parameters
    ----------
    source : Source
    start : bytes
        Its first bytes.

    Raises
    ------
    SourceError
        It cannot be read, or is damaged and named as a tar archive.
    """
    codec = next((name for magic, name in _MAGIC.items() if start.startswith(magic)), None)
    if codec is None:
        return None
    try:
        with source.open() as file:
            found = b""
            for piece in _decompressed(file, codec, _BLOCK):
                found += piece[: _BLOCK - len(found)]
                if len(found) == _BLOCK:
                    break
        if not is_tar(found):
            raise ValueError("there is no tar archive in it")
    except _DAMAGED as error:
        if PurePath(source.name).stem.lower().endswith(".tar"):
            raise _damaged(source, error) from error
        # What it is cannot be seen: the reader of the file says what is wrong with it.
        return None
    return Unpacked(source, codec)


def tar_members(archive: Source) -> list[TarMember | Refused]:
    """
    Return the files in a tar archive, by name.

    Links, special files, sparse files, names that stand twice or lead out of the archive, are
    `Refused`.

    Parameters
    ----------
    archive : Source
        Unpacked.

    Raises
    ------
    SourceError
        The archive cannot be read, is damaged or cut off, or has more members than the limit.
    """
    entries: list[TarMember | Refused] = []
    try:
        with archive.open() as file, tarfile.open(fileobj=file, mode="r:") as listing:
            for info in listing:
                if not info.isdir():
                    entries.append(_entry(archive, info))
                    check_count(archive, len(entries))
            # The reader takes whatever is no header for the end: members would be lost unseen.
            file.seek(listing.offset)
            if file.read(_BLOCK) != bytes(_BLOCK):
                raise SourceError(
                    f"{archive.name}: damaged archive: after {len(entries)} members there is "
                    "neither a member nor the end mark"
                )
    except _DAMAGED as error:
        raise _damaged(archive, error) from error
    return checked_names(entries)


def _entry(archive: Source, info: tarfile.TarInfo) -> TarMember | Refused:
    name = info.name.removeprefix("./")
    if info.issym() or info.islnk():
        return Refused(archive, name, "is a link; pack the file that it leads to")
    if not info.isreg() or info.issparse():
        return Refused(archive, name, "is no ordinary file; pack the archive without it")
    if info.size < 0 or info.size > limits().archive_member_bytes:
        raise SourceError(
            f"{archive.name}::{name}: declares an impossible size, {info.size} bytes "
            "(set_options(archive_member_bytes=))"
        )
    if info.offset_data + info.size > archive.size:
        raise SourceError(f"{archive.name}::{name}: damaged archive: it ends within the member")
    return TarMember(archive, name, info.offset_data, info.size)
