"""XNAT as a read-only fsspec file system: project/subject/experiment/scan/resource/file."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, ClassVar, Final
from urllib.parse import quote

from imagedata_xr.errors import SourceNotFoundError
from imagedata_xr.transports.core.filesystem import TransportFileSystem
from imagedata_xr.transports.xnat.client import KINDS, Client, own_at
from imagedata_xr.transports.xnat.reading import spooled

if TYPE_CHECKING:
    from pathlib import Path

    from imagedata_xr.transports.core.locator import Locator
    from imagedata_xr.transports.xnat.client import Place

__all__ = ["XnatFileSystem", "XnatPlainFileSystem"]

# So long is a list of files believed that the server gave.
_FRESH: Final = 60.0


class XnatFileSystem(TransportFileSystem):
    """
    XNAT behind HTTPS.

    Reading a file fetches its resource into the spool once. Projects, subjects and experiments may
    be named by label or identifier, scans also by type or series description, all with wildcards.
    """

    protocol: ClassVar[str | tuple[str, ...]] = ("xnat", "xnat+https")

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._clients: dict[str, Client] = {}
        self._known: dict[Any, tuple[float, dict[str, Path]]] = {}

    def _client(self, locator: Locator) -> Client:
        if locator.address not in self._clients:
            self._clients[locator.address] = Client(locator)
        return self._clients[locator.address]

    def is_instance(self, locator: Locator) -> bool:
        """Tell whether a URL names one file."""
        return len(locator.path) > _depth(locator.path)

    def children(self, locator: Locator) -> list[dict[str, Any]]:
        """Return what is directly below a URL."""
        client = self._client(locator)
        places = client.resolve(locator.path)
        own = own_at(locator.path)
        if own == len(locator.path) - 1:
            return [
                {"name": _path(client, one), "size": 0, "type": "directory"}
                for place in places
                for one in client.own_resources(place)
            ]
        if len(locator.path) == _depth(locator.path):
            return [one for place in places for one in self._files(client, place)]
        return [
            {"name": _path(client, child), "size": 0, "type": "directory"}
            for place in places
            for child in client.children(place)
        ]

    def find(
        self,
        path: str,
        maxdepth: int | None = None,
        withdirs: bool = False,  # noqa: FBT001, FBT002 - as fsspec has it
        detail: bool = False,  # noqa: FBT001, FBT002
        **_: Any,
    ) -> Any:
        """Return all files below a path: those of DICOM resources, where it names no resource."""
        del maxdepth, withdirs
        locator = self.locator(path)
        if self.is_instance(locator):
            found = [self.info(path)]
        else:
            client = self._client(locator)
            found = [
                one
                for place in client.resources(locator.path)
                for one in self._files(client, place)
            ]
        names = {one["name"]: one for one in found}
        return names if detail else sorted(names)

    def local(self, locator: Locator) -> Path:
        """Return the spooled file of an instance, fetched where it is not there."""
        depth = _depth(locator.path)
        parts, name = locator.path[:depth], "/".join(locator.path[depth:])
        key = (locator.address, parts)
        since, paths = self._known.get(key, (0.0, {}))
        if name not in paths or time.monotonic() - since > _FRESH or not paths[name].exists():
            client = self._client(locator)
            places = client.resolve(parts)
            paths = spooled(client, places[0]) if len(places) == 1 else {}
            self._known[key] = time.monotonic(), paths
        if name not in paths:
            raise SourceNotFoundError(f"{locator}: there is no such file")
        return paths[name]

    def _files(self, client: Client, place: Place) -> list[dict[str, Any]]:
        base = _path(client, place)
        return [
            {
                "name": f"{base}/{quote(one.name)}",
                "size": one.size,
                "type": "file",
                "md5": one.digest,
            }
            for one in client.files(place)
        ]


class XnatPlainFileSystem(XnatFileSystem):
    """XNAT behind HTTP, unencrypted."""

    protocol: ClassVar[str | tuple[str, ...]] = "xnat+http"


def _depth(path: tuple[str, ...]) -> int:
    """Return how many parts of a path lead to a resource."""
    own = own_at(path)
    return len(KINDS) if own is None else own + 2


def _path(client: Client, place: Place) -> str:
    return "/".join((client.locator.address, *(quote(part, safe="") for part in place.parts)))
