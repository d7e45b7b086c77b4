"""Files written by other threads, while the next ones are made: the system takes longer than Python."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

from imagedata_xr.formats.dicom.write.patch import write_file

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future
    from pathlib import Path
    from types import TracebackType
    from typing import Self

__all__ = ["FilesBehind"]

_WORKERS: Final = 1
# What waits is held in memory: 32 MB, or one file.
_MOST: Final = 1 << 25


class FilesBehind:
    """
    Writes files behind the back of who makes them.

    A context manager: at its end all files are written, or, after an error, none is any more.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="imagedata_xr")
        self._waiting: deque[tuple[Future[None], int]] = deque()
        self._held = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self.wait()
        finally:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def write(self, path: Path, parts: Sequence[Any]) -> None:
        """
        Write a new file soon.

        Parameters
        ----------
        path : pathlib.Path
        parts : sequence of bytes-like
            Its bytes, which nobody changes any more.

        Raises
        ------
        OSError
            A file before it could not be written.
        """
        size = sum(map(len, parts))
        while self._waiting and (self._held + size > _MOST or self._waiting[0][0].done()):
            self._take()
        self._waiting.append((self._pool.submit(write_file, path, parts), size))
        self._held += size

    def wait(self) -> None:
        """
        Wait until all files are written.

        Raises
        ------
        OSError
            One of them could not be.
        """
        while self._waiting:
            self._take()

    def _take(self) -> None:
        future, size = self._waiting.popleft()
        self._held -= size
        future.result()
