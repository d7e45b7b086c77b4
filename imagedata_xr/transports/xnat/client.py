"""What an XNAT server lists: projects, subjects, experiments, scans, resources, files."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote

from imagedata_xr.errors import OptionError, RejectedError, SourceNotFoundError, TransportError
from imagedata_xr.transports.core.http import Web
from imagedata_xr.transports.core.locator import Locator
from imagedata_xr.transports.core.policy import Limits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imagedata_xr.transports.core.policy import Retry, Timeouts

__all__ = ["KINDS", "OWN", "Client", "Listed", "Place", "own_at"]

KINDS: Final = ("project", "subject", "experiment", "scan", "resource")
_COLUMNS: Final = {
    "project": "ID,name,URI",
    "subject": "ID,label,URI",
    "experiment": "ID,label,xsiType,date,URI",
}
_IN_RESOURCE: Final = re.compile(r".*?/resources/[^/]+/files/(.+)")
_MAGIC: Final = re.compile(r"[*?\[]")
_DICOM: Final = ("DICOM", "SECONDARY")
# In a path, before the resources of what is no scan.
OWN: Final = "resources"


@dataclass(frozen=True, slots=True)
class Place:
    """
    One project, subject, experiment, scan or resource.

    Attributes
    ----------
    parts : tuple of str
        What leads to it in a URL.
    rest : str
        Its path on the server.
    names : tuple of str
        Identifier, label, type, series description: how it may be called, strongest first.
    fields : mapping
        The row that the server sent.
    kind : str
        One of `KINDS`; empty for the server itself.
    """

    parts: tuple[str, ...] = field(default=(), repr=False)
    rest: str = field(default="/data", repr=False)
    names: tuple[str, ...] = field(default=(), repr=False)
    fields: dict[str, str] = field(default_factory=dict, repr=False, compare=False)
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Listed:
    """
    A file as the server lists it.

    Attributes
    ----------
    name : str
        In its resource; may have slashes.
    size : int
    digest : str
        MD5; empty where the server keeps none.
    """

    name: str = field(repr=False)
    size: int
    digest: str


class Client:
    """
    An XNAT server.

    Parameters
    ----------
    url : str or Locator
    verify : bool
        Check the server's certificate.
    timeouts, retry, limits
        See `imagedata_xr.transports`.
    """

    def __init__(
        self,
        url: str | Locator,
        *,
        verify: bool = True,
        timeouts: Timeouts | None = None,
        retry: Retry | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.locator = Locator.parse(url)
        self.limits = limits or Limits()
        self.web = Web(self.locator, "XNAT", verify=verify, timeouts=timeouts, retry=retry)

    def rows(self, path: str, **params: str) -> list[dict[str, str]]:
        """Return the rows of a listing."""
        found = self.web.json(path, format="json", **params)
        result = found.get("ResultSet") if isinstance(found, dict) else None
        rows = result.get("Result") if isinstance(result, dict) else None
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise RejectedError(f"{self.locator}: answers, but not as an XNAT server")
        if len(rows) > self.limits.records:
            raise TransportError(f"{self.locator}: lists more than {self.limits.records} entries")
        return rows

    def children(self, place: Place) -> list[Place]:
        """Return what is directly below a place; resources of a scan, not those of an experiment."""
        kind = KINDS[KINDS.index(place.kind) + 1] if place.kind else KINDS[0]
        columns = {"columns": _COLUMNS[kind]} if kind in _COLUMNS else {}
        try:
            rows = self.rows(f"{place.rest}/{kind}s", **columns)
        except SourceNotFoundError:
            if kind != "scan":
                raise
            return []  # an experiment that is no imaging session
        return [_place(place, kind, row) for row in rows]

    def own_resources(self, place: Place) -> list[Place]:
        """Return the resources of a project, subject or experiment itself."""
        above = Place((*place.parts, OWN), place.rest)
        return [_place(above, "resource", row) for row in self.rows(f"{place.rest}/resources")]

    def resolve(self, parts: tuple[str, ...]) -> list[Place]:
        """
        Return the places that the parts of a URL mean.

        Raises
        ------
        SourceNotFoundError
            One of the parts means nothing.
        """
        places = [Place()]
        own = own_at(parts)
        for number, part in enumerate(parts):
            if number == own:
                continue
            find = self.own_resources if own is not None and number > own else self.children
            below = [child for place in places for child in find(place)]
            places = _meant(below, part)
            if not places:
                kind = KINDS[-1] if own is not None and number > own else KINDS[number]
                raise SourceNotFoundError(
                    f"{self.locator}: part {number + 1} of the path names no {kind} there; "
                    f"there are {len(below)}"
                )
        return places

    def resources(self, parts: tuple[str, ...]) -> Iterator[Place]:
        """
        Yield the resources below the parts of a URL: those named, else those with DICOM files.

        Raises
        ------
        SourceNotFoundError
            There is none.
        """
        if not parts:
            raise OptionError(
                f"{self.locator}: name a project: {self.locator.scheme}://host/PROJECT"
            )
        waiting = self.resolve(parts)
        if own_at(parts) == len(parts) - 1:
            waiting = [one for place in waiting for one in self.own_resources(place)]
        found = False
        while waiting:
            place = waiting.pop(0)
            if place.kind != "resource":
                below = self.children(place)
                waiting = [*(_with_dicom(below) if place.kind == "scan" else below), *waiting]
                continue
            found = True
            yield place
        if not found:
            raise SourceNotFoundError(f"{self.locator}: there are no DICOM files in it")

    def files(self, place: Place, *, unique: bool = True) -> list[Listed]:
        """
        Return the files of a resource; of several, names may stand twice (``unique=False``).

        Raises
        ------
        TransportError
            The list makes no sense, or is longer than the limits.
        """
        found: list[Listed] = []
        names: set[str] = set()
        for row in self.rows(f"{place.rest}/files"):
            inside = _IN_RESOURCE.fullmatch(row.get("URI", ""))
            name = unquote(inside[1]) if inside else row.get("Name", "")
            size = row.get("Size", "")
            if not name or not size.isdigit() or (unique and name in names):
                raise TransportError(f"{self.locator}: a listing of files makes no sense")
            names.add(name)
            found.append(Listed(name, int(size), row.get("digest", "").lower()))
        total = sum(one.size for one in found)
        if len(found) > self.limits.count or total > self.limits.total:
            raise TransportError(
                f"{self.locator}: {len(found)} files of {total} bytes are too many"
            )
        return found


def own_at(parts: tuple[str, ...]) -> int | None:
    """Return where in a path ``resources`` stands, for those of a project, subject or experiment."""
    return parts.index(OWN) if OWN in parts[1:4] and parts[0] != OWN else None


def _place(parent: Place, kind: str, row: dict[str, str]) -> Place:
    own = row.get("ID") or row.get("xnat_abstractresource_id") or ""
    label = row.get("label") or row.get("name") or ""
    more = [row.get("type", ""), row.get("series_description", "")] if kind == "scan" else []
    names = tuple(name for name in (own, label, *more) if name)
    shown = own if kind in ("project", "scan") else label or own
    rest = f"{parent.rest}/{kind}s/{quote(own, safe='')}"
    return Place((*parent.parts, shown), rest, names, row, kind)


def _meant(places: list[Place], part: str) -> list[Place]:
    """Return those of a name, the strongest kind of name first; then those of a pattern."""
    for number in range(4):
        found = [one for one in places if part in one.names[number : number + 1]]
        if found:
            return found
    if not _MAGIC.search(part):
        return []
    return [one for one in places if any(fnmatch.fnmatchcase(name, part) for name in one.names)]


def _with_dicom(resources: list[Place]) -> list[Place]:
    return [
        one
        for one in resources
        if one.fields.get("label", "").upper() in _DICOM or one.fields.get("format") == "DICOM"
    ]
