"""Files from XNAT, by whole resources, each checked against the server's own list."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import time
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import quote

from imagedata_xr.errors import (
    FormatError,
    OptionError,
    PartialReadError,
    RejectedError,
    SourceError,
    TransportError,
    WriteError,
)
from imagedata_xr.sources.files import LocalFile
from imagedata_xr.sources.zipped import ZipMember, zip_members
from imagedata_xr.transports.core.part10 import safe_name
from imagedata_xr.transports.core.results import Manifest
from imagedata_xr.transports.core.selection import Record
from imagedata_xr.transports.core.spool import Spool, instance_of, made_folder
from imagedata_xr.transports.xnat.client import Client, own_at
from imagedata_xr.transports.xnat.prearchive import waiting

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from imagedata_xr.transports.core.locator import Locator
    from imagedata_xr.transports.core.results import Instance
    from imagedata_xr.transports.core.selection import Level
    from imagedata_xr.transports.xnat.client import Listed, Place

__all__ = ["fetch", "find", "spooled"]

_IN_ZIP: Final = re.compile(r"(?:.*/)?resources/[^/]+/files/(.+)")
# So few files are asked for one by one.
_FEW: Final = 3
_ZIP_OVERHEAD: Final = 1 << 16
_NAMES: Final = ("XNATProject", "XNATSubject", "XNATExperiment", "XNATScan", "XNATResource")
_LEVELS: Final[tuple[Level, ...]] = ("patient", "study", "series", "instance")


def find(
    url: str | Locator,
    *,
    level: Level | None = None,
    destination: Literal["archive", "prearchive"] = "archive",
    **options: Any,
) -> list[Record]:
    """
    Return what an XNAT server has: subjects as patients, experiments as studies, scans as series.

    Parameters
    ----------
    url : str
    level : {"patient", "study", "series", "instance"}, optional
        By default the one below what the URL names.
    destination : {"archive", "prearchive"}
        Where to look. In the prearchive there are sessions, as studies, and their scans, as series;
        the URL names project, subject and session.
    **options
        Of `Client`.

    Returns
    -------
    list of Record
        Their keys are ``XNATProject``, ``XNATSubject``, ``XNATExperiment``, ``XNATScan``,
        ``XNATResource``, ``XNATFile`` and, where the server lists them, DICOM keywords.
    """
    client = Client(url, **options)
    try:
        parts = client.locator.path
        if destination == "prearchive":
            return waiting(client, level or ("series" if len(parts) > 2 else "study"))
        if destination != "archive":
            raise OptionError(f"destination={destination!r}: give 'archive' or 'prearchive'")
        if own_at(parts) is not None:
            level = "instance"
        depth = _LEVELS.index(level) + 2 if level else min(max(len(parts) + 1, 2), 5)
        if depth == 5:
            return [
                _record(place, "instance", XNATFile=file.name, FileSize=str(file.size))
                for place in client.resources(parts)
                for file in client.files(place)
            ]
        places = client.resolve(parts[:depth])
        while places and len(places[0].parts) < depth:
            places = [child for place in places for child in client.children(place)]
        return [_record(place, _LEVELS[depth - 2]) for place in places]
    finally:
        client.web.close()


def _record(place: Place, level: Level, **more: str) -> Record:
    values = dict(zip(_NAMES, place.parts, strict=False))
    row = place.fields
    if len(place.parts) > 1:
        values["PatientID"] = place.parts[1]
    if level == "study":
        values |= {"StudyDescription": place.parts[2], "StudyDate": row.get("date", "")}
    if level == "series":
        description = row.get("series_description") or row.get("type", "")
        values |= {"SeriesNumber": place.parts[3], "SeriesDescription": description}
    return Record(level, {**values, **more})


def link(locator: Locator, record: Record, level: Level) -> str:
    """Return the URL of a record, or of what is above it at a level."""
    parts = (record.get(name) for name in _NAMES[: _LEVELS.index(level) + 2])
    return replace(locator, path=tuple(parts), options=()).url


def fetch(
    url: str | Locator,
    folder: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    progress: Callable[[int, int], object] | None = None,
    **options: Any,
) -> Manifest:
    """
    Copy the DICOM files at a URL into a folder, byte for byte as XNAT keeps them.

    Parameters
    ----------
    url : str
        Resources other than DICOM are left out, where the URL does not name one.
    folder : path
    overwrite : bool
        Replace files with other contents.
    progress : callable, optional
        Called with how many files are there, and of how many, a resource at a time.
    **options
        Of `Client`.

    Raises
    ------
    PartialReadError
        Some did not arrive whole.
    WriteError
        There is another file with the SOP Instance UID, or the folder cannot be made.
    """
    client = Client(url, **options)
    try:
        target = made_folder(folder)
        places = list(client.resources(client.locator.path))
        kept: dict[str, Instance] = {}
        for done, place in enumerate(places, 1):
            for path in spooled(client, place).values():
                with contextlib.suppress(FormatError):
                    one = _copied(path, target, overwrite=overwrite)
                    kept[one.uid] = one
            if progress is not None:
                progress(len(kept), len(kept) * len(places) // done)
        return Manifest(tuple(kept.values()))
    finally:
        client.web.close()


def _copied(path: Path, folder: Path, *, overwrite: bool) -> Instance:
    one = instance_of(path)
    target = folder / f"{safe_name(one.uid)}.dcm"
    if target.exists() and not overwrite:
        with contextlib.suppress(FormatError):
            if instance_of(target).digest == one.digest:
                return replace(one, path=str(target), size=target.stat().st_size)
        raise WriteError(
            f"{target}: is there already, with other contents; overwrite=True replaces it"
        )
    part = folder / f".{os.getpid()}-{uuid.uuid4().hex}.part"
    try:
        shutil.copyfile(path, part)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return replace(one, path=str(target))


def spooled(client: Client, place: Place) -> dict[str, Path]:
    """
    Return all files of a resource, by name, in the spool: whole, or an error.

    Parameters
    ----------
    client : Client
    place : Place
        A resource.

    Raises
    ------
    PartialReadError
        Some did not arrive whole after all attempts.
    """
    listed = client.files(place)
    folder = Spool("xnat", client.web.base, place.rest).folder
    paths = {one.name: folder / _name(one) for one in listed}
    problem: Exception | None = None
    pauses = client.web.retry.delays()
    while missing := [one for one in listed if not _is_whole(paths[one.name], one)]:
        if problem is not None and (pause := next(pauses, None)) is None:
            raise PartialReadError(
                f"{client.locator}: {len(missing)} of {len(listed)} files did not arrive whole: "
                f"{problem}"
            ) from problem
        if problem is not None:
            time.sleep(pause or 0)
        try:
            if len(missing) > _FEW:
                _by_zip(client, place, missing, folder)
            else:
                for one in missing:
                    _single(client, place, one, folder)
            problem = TransportError("the server leaves files out of its archive")
        except (PartialReadError, SourceError) as error:
            problem = error
        except TransportError as error:
            if isinstance(error, RejectedError) and error.status != 200:
                raise
            problem = error
    return paths


def _name(one: Listed) -> str:
    text = f"{one.name}\0{one.size}\0{one.digest}"
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:40]


def _is_whole(path: Path, one: Listed) -> bool:
    try:
        return path.stat().st_size == one.size
    except OSError:
        return False


def _by_zip(client: Client, place: Place, missing: list[Listed], folder: Path) -> None:
    wanted = {one.name: one for one in missing}
    limit = sum(one.size for one in client.files(place)) + _ZIP_OVERHEAD
    limit += limit // 64 + 4096 * len(missing)
    found = client.web.request("GET", f"{place.rest}/files", params={"format": "zip"})
    with _part(folder) as part:
        with part.open("wb") as file:
            for piece in client.web.pieces(found, limit):
                file.write(piece)
        with part.open("rb") as file:
            if file.read(2) != b"PK":
                raise client.web.no_data(found)
        try:
            members = zip_members(LocalFile(str(part)))
        except SourceError:
            raise PartialReadError(f"{client.locator}: the archive arrived damaged") from None
        for member in members:
            inside = _IN_ZIP.fullmatch(member.member)
            one = wanted.get(inside[1] if inside else member.member.rpartition("/")[2])
            if one is not None and isinstance(member, ZipMember) and member.size == one.size:
                with contextlib.suppress(SourceError):
                    _keep(folder, one, member.read())


def _single(client: Client, place: Place, one: Listed, folder: Path) -> None:
    found = client.web.request("GET", f"{place.rest}/files/{quote(one.name)}")
    _keep(folder, one, b"".join(client.web.pieces(found, one.size)))


def _keep(folder: Path, one: Listed, data: bytes) -> None:
    """Give a file its name in the spool, where it is what the server's list says."""
    digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
    if len(data) != one.size or one.digest not in ("", digest):
        raise PartialReadError("a file arrived other than the server's list says (size or MD5)")
    with _part(folder) as part:
        part.write_bytes(data)
        part.replace(folder / _name(one))


@contextlib.contextmanager
def _part(folder: Path) -> Any:
    part = folder / f".{os.getpid()}-{uuid.uuid4().hex}.part"
    part.touch(0o600)
    try:
        yield part
    finally:
        part.unlink(missing_ok=True)
