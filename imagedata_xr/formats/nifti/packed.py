"""
Writing gzip files (RFC 1952) fast, and about as small as ``gzip`` at level 6.

ISA-L packs many times faster than zlib, noise as small as zlib does; where it would leave the file
larger, zlib-ng does the work in several threads. Which of the two is found out on the first voxels.
"""

from __future__ import annotations

import contextlib
import gzip
import importlib
import os
import zlib
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Self

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Packing", "packed"]

# The second half counts: the first one may be the smooth border of the image.
SAMPLE: Final = 2 << 20
BLOCK: Final = 1 << 20
FAST: Final = ("isal.isal_zlib", "isal.igzip_threaded", 3)
SMALL: Final = ("zlib_ng.zlib_ng", "zlib_ng.gzip_ng_threaded", 5)
PLAIN: Final = ("zlib", "", 6)
GZIP: Final = zlib.MAX_WBITS + 16
# How much larger ISA-L may leave the sample: zlib-ng leaves it up to 2 % larger or smaller than gzip.
LARGER: Final = 1.035
MOST_THREADS: Final = 4


class Packing:
    """
    A file that is written, and chooses how to pack when it has seen some of its bytes.

    Parameters
    ----------
    raw : file object
        Where the packed bytes go.
    """

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self._first: bytearray | None = bytearray()
        self._file: Any = None

    def write(self, data: Any) -> int:
        """Take bytes."""
        view = memoryview(data).cast("B")
        if self._first is None:
            self._file.write(view)
        else:
            self._first += view
            if len(self._first) >= SAMPLE:
                self._begin(self._first)
        return len(view)

    def _begin(self, first: bytearray) -> None:
        _, name, level = _codecs(first)
        threads = min(_cores(), MOST_THREADS)
        if name:
            self._file = _module(name).open(
                self._raw, "wb", level, threads=threads, block_size=BLOCK
            )
        else:
            self._file = gzip.GzipFile("", "wb", level, self._raw, mtime=0)
        self._first = None
        self._file.write(first)

    def close(self) -> None:
        """Pack what is left and end the stream; the file below stays open."""
        if self._first is None:
            self._file.close()
            return
        # Threads cost more than they bring to a small file.
        name, _, level = _codecs(self._first)
        self._raw.write(_module(name).compress(bytes(self._first), level, GZIP))

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_error: object) -> None:
        """Close; after an error, what comes of it is of no interest."""
        with contextlib.suppress(Exception) if kind else contextlib.nullcontext():
            self.close()


@contextlib.contextmanager
def packed(path: Path) -> Iterator[BinaryIO]:
    """Open a new gzip file without name and time, so that equal images are equal files."""
    with path.open("xb") as raw, Packing(raw) as file:
        yield file  # type: ignore[misc]


def _codecs(sample: bytes | bytearray) -> tuple[str, str, int]:
    """Return the modules that pack at once and in threads, and the level, best for the sample."""
    there = [codec for codec in (FAST, SMALL) if _module(codec[1]) is not None]
    if len(there) < 2:
        return there[0] if there else PLAIN
    end = bytes(sample[len(sample) // 2 :])
    sizes = [len(_module(name).compress(end, level)) for name, _, level in there]
    return FAST if sizes[0] <= LARGER * sizes[1] else SMALL


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
