"""Sources that are whole: a file on disk, bytes in memory, an object behind an fsspec URL."""

from __future__ import annotations

import io
import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from imagedata_xr.errors import (
    ImagedataError,
    MissingDependencyError,
    SourceError,
    SourceNotFoundError,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO, TypeVar

    _T = TypeVar("_T")

__all__ = [
    "READ_ONLY",
    "LocalFile",
    "MemoryBytes",
    "RemoteFile",
    "fill",
    "source_error",
    "through_fsspec",
]

READ_ONLY: Final = os.O_RDONLY | getattr(os, "O_BINARY", 0)
# One read call returns at most 2 GiB on Linux and macOS.
_LARGEST_READ = 1 << 30
_STORES = ("http://", "https://", "s3://", "gs://", "gcs://", "abfs://", "az://")
_PASSWORD = re.compile(r"(://[^/@:]*):[^/@]*@")


def source_error(name: str, error: Exception) -> ImagedataError:
    """
    Return the package's error for one of the operating system's.

    Parameters
    ----------
    name : str
        What could not be read, as the user knows it.
    error : Exception
        What was raised.
    """
    if isinstance(error, ImagedataError):
        return error
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    if isinstance(error, FileNotFoundError):
        return SourceNotFoundError(f"{name}: no such file or folder")
    return SourceError(f"{name}: cannot be read: {reason}")


@dataclass(frozen=True, slots=True)
class LocalFile:
    """
    A file of the operating system.

    Attributes
    ----------
    path : str
    stamp : tuple of int or None
        Its time of change in ns and its length when it was opened: a file that has others since
        is refused.
    """

    path: str
    stamp: tuple[int, int] | None = field(default=None, repr=False, compare=False)

    def __hash__(self) -> int:
        return hash(self.path)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path, self.stamp)

    @property
    def name(self) -> str:
        """The path."""
        return self.path

    @property
    def in_parallel(self) -> bool:
        """Whether several threads may read such files at once."""
        return True

    @property
    def size(self) -> int:
        """
        Length in bytes.

        Raises
        ------
        SourceError
            The file is gone or may not be read.
        """
        try:
            return os.stat(self.path).st_size  # noqa: PTH116 - a Path costs more than the call
        except (OSError, ValueError) as error:
            raise source_error(self.path, error) from error

    def read(self, start: int = 0, length: int | None = None) -> bytes:
        """
        Return `length` bytes from `start` (to the end by default), fewer at the end.

        Raises
        ------
        SourceError
            The file is gone or cannot be read.
        """
        try:
            descriptor = os.open(self.path, READ_ONLY)
            try:
                status = os.fstat(descriptor)
                self.check(status)
                wanted = max(status.st_size - start, 0)
                if length is not None:
                    wanted = min(wanted, length)
                if start:
                    os.lseek(descriptor, start, os.SEEK_SET)
                return read_fully(descriptor, wanted)
            finally:
                os.close(descriptor)
        except (OSError, ValueError) as error:
            raise source_error(self.path, error) from error

    def read_into(self, start: int, buffer: memoryview) -> int:
        """
        Fill a buffer with the bytes from `start`; return how many there were, fewer at the end.

        Raises
        ------
        SourceError
            The file is gone or cannot be read.
        """
        try:
            descriptor = os.open(self.path, READ_ONLY)
            try:
                self.check(os.fstat(descriptor))
                return fill(descriptor, start, buffer)
            finally:
                os.close(descriptor)
        except (OSError, ValueError) as error:
            raise source_error(self.path, error) from error

    def open(self) -> BinaryIO:
        """
        Return the opened file; the caller closes it.

        Raises
        ------
        SourceError
            The file is gone or may not be read.
        """
        try:
            file = open(self.path, "rb")  # noqa: PTH123, SIM115 - as above
        except (OSError, ValueError) as error:
            raise source_error(self.path, error) from error
        try:
            self.check(os.fstat(file.fileno()))
        except SourceError:
            file.close()
            raise
        return file

    def stamped(self, status: os.stat_result) -> LocalFile:
        """Return the file as it is now: what changes it later is noticed."""
        return LocalFile(self.path, (status.st_mtime_ns, status.st_size))

    def check(self, status: os.stat_result) -> None:
        """Raise `SourceError` where the file has changed since its stamp was taken."""
        if self.stamp not in (None, (status.st_mtime_ns, status.st_size)):
            raise SourceError(f"{self.path}: has changed since it was opened: open it again")


def fill(descriptor: int, start: int, buffer: memoryview) -> int:
    """Fill a buffer with the bytes from `start`; return how many there were, fewer at the end."""
    if not hasattr(os, "preadv"):
        # Windows.
        os.lseek(descriptor, start, os.SEEK_SET)
        data = read_fully(descriptor, len(buffer))
        buffer[: len(data)] = data
        return len(data)
    done = 0
    while done < len(buffer):
        count = os.preadv(descriptor, [buffer[done : done + _LARGEST_READ]], start + done)
        if not count:
            break
        done += count
    return done


def read_fully(descriptor: int, length: int) -> bytes:
    """Read `length` bytes from the place of a file descriptor, fewer only at the end."""
    data = os.read(descriptor, min(length, _LARGEST_READ))
    if len(data) == length or not data:
        return data
    parts = [data]
    missing = length - len(data)
    while missing and (data := os.read(descriptor, min(missing, _LARGEST_READ))):
        parts.append(data)
        missing -= len(data)
    return b"".join(parts)


@dataclass(frozen=True, slots=True)
class MemoryBytes:
    """
    Bytes in memory.

    Attributes
    ----------
    name : str
        The name to show to a person.
    data : bytes
    """

    name: str
    data: bytes = field(repr=False)

    @property
    def size(self) -> int:
        """Length in bytes."""
        return len(self.data)

    def read(self, start: int = 0, length: int | None = None) -> bytes:
        """Return `length` bytes from `start` (to the end by default), fewer at the end."""
        return self.data[start : None if length is None else start + length]

    def open(self) -> BinaryIO:
        """Return a file over the bytes."""
        return io.BytesIO(self.data)


def through_fsspec(url: str, options: dict[str, Any]) -> tuple[Any, str]:
    """
    Return the fsspec file system of a URL, and the path in it.

    Raises
    ------
    SourceError
        fsspec knows no such protocol.
    MissingDependencyError
        The protocol's package is not installed.
    """
    from fsspec.core import url_to_fs

    name = without_password(url)
    try:
        system, path = url_to_fs(url, **options)
    except ImportError as error:
        raise MissingDependencyError(f"{name}: {error} (pip install ...)") from error
    except Exception as error:
        raise source_error(name, error) from error
    return system, str(path)


def without_password(url: str) -> str:
    """Return a URL that may be shown."""
    return _PASSWORD.sub(r"\1:***@", url)


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """
    A file behind an fsspec URL.

    Attributes
    ----------
    url : str
        With its protocol, or chain of them.
    options : tuple of tuple
        Storage options for fsspec as pairs. Credentials are better left to the environment: what
        stands here is pickled with the source.
    length : int or None
        Length in bytes where the listing knew it.
    """

    url: str
    options: tuple[tuple[str, Any], ...] = field(default=(), repr=False, hash=False)
    length: int | None = None

    @property
    def name(self) -> str:
        """The URL, without a password."""
        return without_password(self.url)

    @property
    def size(self) -> int:
        """
        Length in bytes.

        Raises
        ------
        SourceError
            The file is gone or cannot be reached.
        """
        if self.length is not None:
            return self.length
        size: int | None = self._call(lambda system, path: system.size(path))
        return len(self.read()) if size is None else size

    def exists(self) -> bool:
        """
        Whether the file is there.

        Raises
        ------
        SourceError
            That cannot be known.
        """
        try:
            return bool(self._call(lambda system, path: system.isfile(path)))
        except SourceNotFoundError:
            return False

    def read(self, start: int = 0, length: int | None = None) -> bytes:
        """
        Return `length` bytes from `start` (to the end by default), fewer at the end.

        Raises
        ------
        SourceError
            The file is gone or cannot be reached.
        """
        end = None if length is None else start + length
        if self.length is not None:
            end = self.length if end is None else min(end, self.length)
        if end is not None and end <= start:
            return b""
        if start and end is None:
            end = max(self.size, start)
        data = self._call(lambda system, path: bytes(system.cat_file(path, start=start, end=end)))
        if end is None or len(data) <= end - start:
            return data
        # A web server that knows no ranges sends everything from the beginning.
        return data[start:end]

    def open(self) -> BinaryIO:
        """
        Return the opened file; the caller closes it.

        Raises
        ------
        SourceError
            The file is gone or cannot be reached.
        """
        opened: BinaryIO = self._call(lambda system, path: system.open(path, "rb"))
        # The memory system hands out the file that it keeps: one position for all who open it.
        if isinstance(opened, io.BytesIO):
            return io.BytesIO(opened.getvalue())
        if opened.seekable():
            return opened
        with opened:
            return io.BytesIO(opened.read())

    def stream(self) -> BinaryIO:
        """
        Return a file to be read once from its beginning, from servers without ranges too.

        Raises
        ------
        SourceError
            The file is gone or cannot be reached.
        """
        how = {"block_size": 0} if self.by_http else {}
        opened: BinaryIO = self._call(lambda system, path: system.open(path, "rb", **how))
        return opened

    @property
    def in_parallel(self) -> bool:
        """Whether several threads may read such files at once: each has its own connection."""
        return self.url.startswith(_STORES)

    @property
    def by_http(self) -> bool:
        """Whether a web server has the file, which may know no ranges."""
        return self.url.startswith(("http://", "https://"))

    @property
    def has_ranges(self) -> bool:
        """
        Whether a part of the file can be read without the rest.

        Raises
        ------
        SourceError
            The file is gone or cannot be reached.
        """
        return not self.by_http or bool(
            self._call(lambda system, path: system.info(path).get("partial"))
        )

    def _call(self, action: Callable[[Any, str], _T]) -> _T:
        system, path = through_fsspec(self.url, dict(self.options))
        try:
            return action(system, path)
        except Exception as error:
            raise source_error(self.name, error) from error
