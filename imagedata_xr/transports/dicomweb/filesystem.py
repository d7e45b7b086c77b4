"""DICOMweb servers as a read-only fsspec file system: ``dicomweb+https://``."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from fsspec.utils import stringify_path

from imagedata_xr.errors import SourceNotFoundError
from imagedata_xr.transports.core.filesystem import TransportFileSystem
from imagedata_xr.transports.core.part10 import safe_name
from imagedata_xr.transports.core.selection import LEVELS
from imagedata_xr.transports.core.spool import Spool
from imagedata_xr.transports.dicomweb.client import RESOURCES, Client, split
from imagedata_xr.transports.dicomweb.query import found, link
from imagedata_xr.transports.dicomweb.retrieving import fetch

if TYPE_CHECKING:
    from pathlib import Path

    from imagedata_xr.transports.core.locator import Locator
    from imagedata_xr.transports.core.selection import Level, Record

__all__ = ["DicomwebFileSystem", "DicomwebPlainFileSystem"]


class DicomwebFileSystem(TransportFileSystem):
    """
    ``host/root/studies/UID/series/UID/instances/UID``, behind HTTPS.

    Parameters
    ----------
    **options
        `counts`, `timeouts`, `retry`, `limits`: see `Client`.
    """

    protocol: ClassVar[str | tuple[str, ...]] = "dicomweb+https"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        names = ("counts", "verify", "timeouts", "retry", "limits")
        self._given = {key: options[key] for key in names if options.get(key) is not None}
        self._spools: dict[tuple[str, ...], Path] = {}

    @classmethod
    def _strip_protocol(cls, path: Any) -> str:
        text = str(stringify_path(path))
        _, slashes, rest = text.partition("://")
        head, mark, query = (rest if slashes else text).partition("?")
        return head.rstrip("/") + mark + query

    def is_instance(self, locator: Locator) -> bool:
        """Tell whether a URL names one instance."""
        return len(split(locator)[1]) == len(RESOURCES)

    def children(self, locator: Locator) -> list[dict[str, Any]]:
        """Return what is directly below a URL."""
        named = len(split(locator)[1])
        return self._entries(locator, LEVELS[min(named + 1, len(RESOURCES))])

    def find(self, path: str, *_: Any, detail: bool = False, **__: Any) -> Any:
        """Return all instances below a path."""
        locator = self.locator(path)
        if self.is_instance(locator):
            entries = [self.info(path)]
        else:
            entries = self._remembering(
                (locator.address, locator.path, locator.options),
                lambda: self._entries(locator, "instance"),
            )
        by_name = {one["name"]: one for one in entries}
        return by_name if detail else sorted(by_name)

    def _entries(self, locator: Locator, level: Level) -> list[dict[str, Any]]:
        with Client(locator, **self._given) as client:
            records = found(client, level, inherit=False)
        return [self._entry(locator, one, level) for one in records]

    def _entry(self, locator: Locator, record: Record, level: Level) -> dict[str, Any]:
        name = self._strip_protocol(link(locator, record, level))
        if level == "instance":
            return {"name": name, "size": None, "type": "file"}
        return {"name": name, "size": 0, "type": "directory"}

    def local(self, locator: Locator) -> Path:
        """Return the spooled file of an instance; its whole series is fetched where it is not there."""
        root, uids = split(locator)
        study, series, instance = (uids[key] for key in ("study", "series", "instance"))
        key = (f"{locator.scheme}://{locator.address}", *root, study, series)
        if key not in self._spools or not self._spools[key].exists():
            self._spools[key] = Spool(*key).folder
        path = self._spools[key] / f"{safe_name(instance)}.dcm"
        if not path.exists():
            above = replace(locator, path=locator.path[:-2], options=())
            fetch(above, self._spools[key], **self._given)
        if not path.exists():
            raise SourceNotFoundError(f"{locator}: the server has no such instance")
        return path


class DicomwebPlainFileSystem(DicomwebFileSystem):
    """The same behind HTTP, unencrypted."""

    protocol: ClassVar[str | tuple[str, ...]] = "dicomweb+http"
