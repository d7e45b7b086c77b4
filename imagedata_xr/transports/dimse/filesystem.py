"""DICOM servers as a read-only fsspec file system: ``dicom://`` and ``dicoms://``."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from fsspec.utils import stringify_path

from imagedata_xr.errors import SourceNotFoundError
from imagedata_xr.transports.core.filesystem import TransportFileSystem
from imagedata_xr.transports.core.part10 import safe_name
from imagedata_xr.transports.core.selection import LEVELS
from imagedata_xr.transports.core.spool import Spool
from imagedata_xr.transports.dimse.query import find, link
from imagedata_xr.transports.dimse.retrieving import fetch

if TYPE_CHECKING:
    from pathlib import Path

    from imagedata_xr.transports.core.locator import Locator
    from imagedata_xr.transports.core.selection import Level, Record

__all__ = ["DimseFileSystem", "SecureDimseFileSystem"]


class DimseFileSystem(TransportFileSystem):
    """
    ``AET/patient/study/series/instance``.

    Below patients, names have UIDs only and no Patient ID, so that the sources of an opened image
    name no patient.

    Parameters
    ----------
    calling : str, optional
        Own AE title.
    **options
        Others of `Peer.of`, and `method` and `port` of `fetch`.
    """

    protocol: ClassVar[str | tuple[str, ...]] = "dicom"
    leaf_depth: ClassVar[int] = 5

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._given = {
            key: options[key]
            for key in ("calling", "tls", "timeouts", "retry", "limits")
            if options.get(key) is not None
        }
        self._way = {key: options[key] for key in ("method", "port") if options.get(key)}
        self._spools: dict[tuple[str, str, str], Path] = {}

    @classmethod
    def _strip_protocol(cls, path: Any) -> str:
        text = str(stringify_path(path))
        _, slashes, rest = text.partition("://")
        head, mark, query = (rest if slashes else text).partition("?")
        return head.rstrip("/") + mark + query

    def children(self, locator: Locator) -> list[dict[str, Any]]:
        """Return what is directly below a URL."""
        level = LEVELS[max(len(locator.path) - 1, 0)]
        return [
            self._entry(locator, one, level) for one in find(locator, level=level, **self._given)
        ]

    def find(self, path: str, *_: Any, detail: bool = False, **__: Any) -> Any:
        """Return all instances below a path, by one association."""
        locator = self.locator(path)
        if len(locator.path) >= self.leaf_depth:
            entries = [self.info(path)]
        else:
            records = self._remembering(
                locator, lambda: find(locator, level="instance", **self._given)
            )
            entries = [self._entry(locator, one, "instance") for one in records]
        by_name = {one["name"]: one for one in entries}
        return by_name if detail else sorted(by_name)

    def _entry(self, locator: Locator, record: Record, level: Level) -> dict[str, Any]:
        kind = "file" if level == "instance" else "directory"
        size = None if kind == "file" else 0
        name = self._strip_protocol(link(locator, record, level))
        return {"name": name, "size": size, "type": kind}

    def local(self, locator: Locator) -> Path:
        """Return the spooled file of an instance; its whole series is fetched where it is not there."""
        _, _, study, series, instance = locator.path
        key = (f"{locator.scheme}://{locator.address}/{locator.path[0]}", study, series)
        folder = self._spools.get(key)
        name = f"{safe_name(instance)}.dcm"
        if folder is None or not (folder / name).exists():
            folder = self._spools[key] = Spool(*key).folder
        path = folder / name
        if not path.exists():
            fetch(replace(locator, path=locator.path[:-1]), folder, **self._way, **self._given)
        if not path.exists():
            raise SourceNotFoundError(f"{locator}: the server has no such instance")
        return path


class SecureDimseFileSystem(DimseFileSystem):
    """The same with TLS."""

    protocol: ClassVar[str | tuple[str, ...]] = "dicoms"
