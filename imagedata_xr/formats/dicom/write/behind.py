"""Files written by another thread, while the next ones are made: the system takes longer than Python."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from imagedata_xr.formats.dicom.write.patch import write_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Executor, Future
    from pathlib import Path

__all__ = ["files_behind"]

# What waits is held in memory: 32 MB, or one file.
_MOST: Final = 1 << 25


@contextmanager
def files_behind() -> Iterator[Callable[[Path, Sequence[Any]], None]]:
    """
    Give a function that writes files soon, as `patch.write_file` does at once.

    At the end of the context all files are written, or, after an error, none is any more.

    Raises
    ------
    OSError
        A file could not be written: said when a later one is given, or at the end.
    """
    pool = ThreadPoolExecutor(1, thread_name_prefix="imagedata_xr")
    files = _Files(pool)
    try:
        yield files.write
        files.wait()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class _Files:
    """Files that a thread writes, of which few wait."""

    def __init__(self, pool: Executor) -> None:
        self._pool = pool
        self._waiting: deque[tuple[Future[None], int]] = deque()
        self._held = 0

    def write(self, path: Path, parts: Sequence[Any]) -> None:
        """Write a new file soon, from bytes that nobody changes any more."""
        size = sum(map(len, parts))
        while self._waiting and (self._held + size > _MOST or self._waiting[0][0].done()):
            self._take()
        self._waiting.append((self._pool.submit(write_file, path, parts), size))
        self._held += size

    def wait(self) -> None:
        """Wait until all files are written."""
        while self._waiting:
            self._take()

    def _take(self) -> None:
        future, size = self._waiting.popleft()
        self._held -= size
        future.result()
