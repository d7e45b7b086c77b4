"""
Servers as read-only fsspec file systems, so that every place that takes a URL takes theirs.

A thin face: folders are patients, studies and series, files are instances. Reading an instance
fetches its whole series into the spool once, and reads from there. A file system holds no
credentials, so neither its pickle nor fsspec's cache of instances does.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, ClassVar, Final

from fsspec.spec import AbstractFileSystem

from imagedata_xr.errors import SourceNotFoundError, TransportError
from imagedata_xr.transports.core.locator import Locator

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

__all__ = ["TransportFileSystem"]

# A server that did not answer is not asked again for each of a series' thousand files.
_REMEMBER_FAILURE: Final = 20.0


class TransportFileSystem(AbstractFileSystem):  # type: ignore[misc]
    """
    What the file systems of all transports share.

    A subclass sets `protocol` and gives `children`, `local` and `leaf_depth` or `is_instance`.
    """

    protocol: ClassVar[str | tuple[str, ...]] = ()
    leaf_depth: ClassVar[int] = 5
    root_marker = ""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._lock = threading.RLock()
        self._failures: dict[Any, tuple[float, TransportError]] = {}

    # What a transport gives ------------------------------------------------------------------

    def is_instance(self, locator: Locator) -> bool:
        """Tell whether a URL names one instance, a file."""
        return len(locator.path) >= self.leaf_depth

    def children(self, locator: Locator) -> list[dict[str, Any]]:
        """Return what is directly below a URL: ``name``, ``size``, ``type`` of each."""
        raise NotImplementedError

    def local(self, locator: Locator) -> Path:
        """Return the spooled file of an instance, fetched where it is not there."""
        raise NotImplementedError

    # What fsspec asks for --------------------------------------------------------------------

    def locator(self, path: str) -> Locator:
        """Return the URL of a path."""
        if "://" in path:
            return Locator.parse(path)
        protocol = self.protocol if isinstance(self.protocol, str) else self.protocol[0]
        return Locator.parse(f"{protocol}://{path}")

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:  # noqa: FBT001, FBT002
        """Return what is directly below a path."""
        locator = self.locator(path)
        if self.is_instance(locator):
            found = [self.info(path)]
        else:
            found = self._remembering(locator, lambda: self.children(locator))
        return found if detail else [one["name"] for one in found]

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Return size and type of a path; the size of an instance is known when it is spooled."""
        locator = self.locator(path)
        name = self._strip_protocol(path)
        if not self.is_instance(locator):
            return {"name": name, "size": 0, "type": "directory"}
        return {"name": name, "size": None, "type": "file"}

    def size(self, path: str) -> int:
        """Return the bytes of an instance's file."""
        return self.fetched(path).stat().st_size

    def fetched(self, path: str) -> Path:
        """Return the spooled file of an instance."""
        locator = self.locator(path)
        if not self.is_instance(locator):
            raise SourceNotFoundError(f"{locator}: names no single instance")
        with self._lock:
            key = locator.address, locator.path[:-1]
            found: Path = self._remembering(key, lambda: self.local(locator))
            return found

    def _remembering(self, key: Any, action: Any) -> Any:
        failed = self._failures.get(key)
        if failed is not None and time.monotonic() - failed[0] < _REMEMBER_FAILURE:
            raise failed[1]
        try:
            return action()
        except TransportError as error:
            self._failures[key] = (time.monotonic(), error)
            raise

    def cat_file(
        self, path: str, start: int | None = None, end: int | None = None, **_: Any
    ) -> bytes:
        """Return the bytes of an instance's file, or a part."""
        with self.fetched(path).open("rb") as file:
            begin = start or 0
            if begin < 0:
                begin += file.seek(0, 2)
            file.seek(begin)
            return file.read() if end is None else file.read(max(end - begin, 0))

    def _open(self, path: str, mode: str = "rb", **_: Any) -> BinaryIO:
        if mode != "rb":
            raise NotImplementedError("transports.store writes to servers, not open()")
        return self.fetched(path).open("rb")
