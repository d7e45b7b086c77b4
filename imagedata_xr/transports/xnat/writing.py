"""Files to XNAT: by its import service or into a scan, and looked for afterwards."""

from __future__ import annotations

import hashlib
import json
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import quote

from imagedata_xr.errors import (
    AuthenticationError,
    OptionError,
    PeerConnectionError,
    RejectedError,
    SourceNotFoundError,
    TransportError,
)
from imagedata_xr.transports.core.http import Body
from imagedata_xr.transports.core.outgoing import outgoing
from imagedata_xr.transports.core.part10 import safe_name
from imagedata_xr.transports.core.results import Receipt
from imagedata_xr.transports.core.spool import spool_root
from imagedata_xr.transports.xnat.client import KINDS, Client, Place, own_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from imagedata_xr.transports.core.locator import Locator
    from imagedata_xr.transports.core.outgoing import Outgoing
    from imagedata_xr.transports.core.results import Outcome
    from imagedata_xr.transports.xnat.client import Listed

__all__ = ["store", "verify"]

Overwrite = Literal["none", "append", "delete"]
_LARGEST_ANSWER: Final = 16 << 20
_TYPES: Final = {"MR": "mr", "CT": "ct", "PT": "pet"}
_LOST: Final = "no answer came; it may be there: look, and store again with overwrite='append'"
_ABSENT: Final = (
    "the server says success, but does not list it afterwards; you may lack the right to edit"
)
_CHANGED: Final = "the server keeps other bytes under this UID: a site may change files (anonymise)"


def store(
    url: str | Locator,
    files: Sequence[Path],
    *,
    destination: Literal["archive", "prearchive"] = "archive",
    overwrite: Overwrite = "none",
    progress: Callable[[int, int], object] | None = None,
    **options: Any,
) -> Receipt:
    """
    Send DICOM files to XNAT, and look for each of them afterwards.

    Parameters
    ----------
    url : str
        ``xnat://host/project[/subject[/experiment]]``: by the import service, which makes subject,
        experiment and scans as needed. With a scan, and a resource: as files into it.
    files : sequence of Path
    destination : {"archive", "prearchive"}
        Of an import.
    overwrite : {"none", "append", "delete"}
        What to do with an experiment that exists: refuse, add to it, or replace files of the same
        names (others stay).
    progress : callable, optional
        Called with how many instances are done, and of how many.
    **options
        Of `Client`.

    Returns
    -------
    Receipt
        ``acknowledged`` is what the server lists with the same MD5; ``warned`` what it lists with
        other bytes. What it accepted and does not list is ``failed``.
    """
    if destination not in ("archive", "prearchive") or overwrite not in (
        "none",
        "append",
        "delete",
    ):
        raise OptionError(
            "destination is 'archive' or 'prearchive'; overwrite is 'none', 'append' or 'delete'"
        )
    client = Client(url, **options)
    parts = client.locator.path
    if not parts or len(parts) > len(KINDS):
        raise OptionError(f"{client.locator}: name a project, and what is in it up to a resource")
    if own_at(parts) is not None:
        raise OptionError(f"{client.locator}: images are stored into scans, not into 'resources'")
    try:
        ready, outcomes = outgoing(files, even=False)
        if len(parts) > 3:
            outcomes += _to_scan(client, parts, ready, overwrite=overwrite, progress=progress)
        else:
            studies: dict[str, list[Outgoing]] = {}
            for one in ready:
                studies.setdefault(one.identity.study, []).append(one)
            if len(studies) > 1 and len(parts) > 2:
                raise OptionError(
                    f"{client.locator}: {len(studies)} studies cannot be one experiment: store each "
                    "of them, or name no experiment"
                )
            for study in studies.values():
                outcomes += _import(client, parts, study, destination, overwrite)
                if progress is not None:
                    progress(len(outcomes), sum(map(len, studies.values())))
        return Receipt(tuple(outcomes))
    finally:
        client.web.close()


# By the import service -------------------------------------------------------------------------


def _import(
    client: Client, parts: tuple[str, ...], study: list[Outgoing], destination: str, overwrite: str
) -> list[Outcome]:
    names = dict(zip(("project", "subject", "session"), parts, strict=False))
    params = {**names, "dest": f"/{destination}"}
    if destination == "archive":
        params["dest"] = "/archive" + "".join(
            f"/{kind}s/{part}" for kind, part in zip(KINDS, parts, strict=False)
        )
    if overwrite != "none":
        params["overwrite"] = overwrite
    with tempfile.TemporaryDirectory(dir=spool_root()) as private:
        packed = Path(private, "files.zip")
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
            for one in study:
                archive.write(one.path, f"{safe_name(one.identity.uid)}.dcm")
        try:
            found = client.web.request(
                "POST",
                "/data/services/import",
                params=params,
                headers={"Content-Type": "application/zip"},
                body=Body(packed),
                again=False,
            )
            answer = b"".join(client.web.pieces(found, _LARGEST_ANSWER)).decode("utf-8", "replace")
        except PeerConnectionError:
            return _after_silence(client, parts, study)
        except AuthenticationError:
            raise
        except RejectedError as error:
            return [_refused(one, error.status) for one in study]
        except SourceNotFoundError:
            return [one.outcome("failed", status=404, reason="no such project") for one in study]
    uri = answer.strip()
    if not uri.startswith("/data/"):
        raise client.web.no_data(found)
    if uri.startswith("/data/prearchive"):
        return _waiting(client, uri, study)
    return _listed(study, _files_at(client, f"{uri}/scans/ALL"))


def _refused(one: Outgoing, status: int | None) -> Outcome:
    reason = f"the import service refuses (HTTP {status})"
    if status == 409:
        reason = (
            "it, or its session, is in the archive already (HTTP 409): name a new scan in the URL "
            "(.../1004); overwrite='append' adds to a session, 'delete' replaces files"
        )
    return one.outcome("failed", status=status, reason=reason)


def _after_silence(client: Client, parts: tuple[str, ...], study: list[Outgoing]) -> list[Outcome]:
    """Look whether an import whose answer was lost has happened."""
    try:
        found = [file for place in client.resources(parts) for file in client.files(place)]
    except (TransportError, SourceNotFoundError):
        found = []
    return [one if one.state == "acknowledged" else _unknown(one) for one in _listed(study, found)]


def _unknown(one: Outcome) -> Outcome:
    from dataclasses import replace

    return replace(one, state="unknown", reason=_LOST, verified=None)


def _waiting(client: Client, uri: str, study: list[Outgoing]) -> list[Outcome]:
    """Look for a session in the prearchive; files are not listed there."""
    try:
        there = bool(client.rows(quote(uri)))
    except SourceNotFoundError:
        there = False
    state, reason = ("acknowledged", "waits in the prearchive") if there else ("failed", _ABSENT)
    return [one.outcome(state, reason=reason) for one in study]


def _files_at(client: Client, rest: str) -> list[Listed]:
    try:
        return client.files(Place(rest=rest), unique=False)
    except SourceNotFoundError:
        return []


# Into a scan -----------------------------------------------------------------------------------


def _to_scan(
    client: Client,
    parts: tuple[str, ...],
    ready: list[Outgoing],
    *,
    overwrite: Overwrite,
    progress: Callable[[int, int], object] | None,
) -> list[Outcome]:
    if len({one.identity.series for one in ready}) > 1:
        raise OptionError(f"{client.locator}: files of several series are not one scan")
    if not ready:
        return []
    parts = parts if len(parts) == len(KINDS) else (*parts, "DICOM")
    rest = _made(client, parts, ready[0])
    params = {"overwrite": "true"} if overwrite == "delete" else {}
    said: dict[str, tuple[str, str]] = {}
    for number, one in enumerate(ready, 1):
        name = quote(f"{safe_name(one.identity.uid)}.dcm")
        try:
            found = client.web.request(
                "PUT",
                f"{rest}/files/{name}",
                params={**params, "inbody": "true"},
                headers={"Content-Type": "application/octet-stream"},
                body=Body(one.path),
                accept=(200, 201),
            )
            answer = b"".join(client.web.pieces(found, _LARGEST_ANSWER))
            if _duplicates(answer):
                reason = "another file of this name is there; overwrite='delete' replaces it"
                said[one.identity.uid] = "failed", reason
        except AuthenticationError:
            raise
        except PeerConnectionError:
            said[one.identity.uid] = "unknown", _LOST
        except RejectedError as error:
            said[one.identity.uid] = "failed", f"the server refuses (HTTP {error.status})"
        if progress is not None:
            progress(number, len(ready))
    return _listed(ready, client.files(Place(rest=rest)), said, unchanged=True)


def _duplicates(answer: bytes) -> bool:
    try:
        found = json.loads(answer) if answer.strip() else {}
    except ValueError:
        return False
    return isinstance(found, dict) and bool(found.get("duplicates"))


def _made(client: Client, parts: tuple[str, ...], first: Outgoing) -> str:
    """Return where a resource is on the server, with all above it, made where it is not there."""
    places = client.resolve(parts[:1])
    place = places[0]
    for number, part in enumerate(parts[1:], 1):
        below = [one for one in client.children(place) if part in one.names[:2]]
        if not below:
            params = _new(KINDS[number], first)
            rest = f"{place.rest}/{KINDS[number]}s/{quote(part, safe='')}"
            found = client.web.request("PUT", rest, params=params, accept=(200, 201))
            found.close()
            below = [one for one in client.children(place) if part in one.names[:2]]
        if not below:
            raise RejectedError(f"{client.locator}: the server makes no {KINDS[number]} there")
        place = below[0]
    return place.rest


def _new(kind: str, first: Outgoing) -> dict[str, str]:
    from pydicom import dcmread

    if kind == "resource":
        return {"format": "DICOM", "content": "RAW"}
    if kind == "subject":
        return {}
    header = dcmread(first.path, specific_tags=["Modality", "SeriesDescription"])
    modality = _TYPES.get(str(header.get("Modality", "")), "otherDicom")
    if kind == "experiment":
        return {"xsiType": f"xnat:{modality}SessionData"}
    description = str(header.get("SeriesDescription", ""))
    return {
        "xsiType": f"xnat:{modality}ScanData",
        "type": description,
        "series_description": description,
    }


# Afterwards ------------------------------------------------------------------------------------


def _md5(path: str | Path) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def _listed(
    sent: Iterable[Outgoing],
    there: list[Listed],
    said: dict[str, tuple[str, str]] | None = None,
    *,
    unchanged: bool = False,
) -> list[Outcome]:
    """Say what became of each file by what the server lists."""
    digests = {one.digest for one in there if one.digest}
    names = {one.name.rpartition("/")[2]: one for one in there}
    outcomes = []
    for one in sent:
        state, reason = (said or {}).get(one.identity.uid, ("", ""))
        named = names.get(f"{safe_name(one.identity.uid)}.dcm")
        if _md5(one.path) in digests or (named and not named.digest and named.size == one.size):
            outcomes.append(one.outcome("acknowledged", verified=True))
        elif state:
            outcomes.append(one.outcome(state, reason=reason))
        elif named is not None and not unchanged:
            outcomes.append(one.outcome("warned", reason=_CHANGED, verified=True))
        else:
            outcomes.append(one.outcome("failed", reason=_ABSENT, verified=False))
    return outcomes


def verify(url: str | Locator, receipt: Receipt, **options: Any) -> Receipt:
    """
    Look for the files of a receipt among those that XNAT lists at the URL.

    Parameters
    ----------
    url : str
    receipt : Receipt
    **options
        Of `store`. What waits in the prearchive cannot be looked for: `verified` stays None.
    """
    if options.pop("destination", "archive") == "prearchive":
        return receipt
    for name in ("overwrite", "progress"):
        options.pop(name, None)
    client = Client(url, **options)
    try:
        found = [
            file for place in client.resources(client.locator.path) for file in client.files(place)
        ]
    except SourceNotFoundError:
        found = []
    finally:
        client.web.close()
    digests = {one.digest for one in found if one.digest}
    names = {one.name.rpartition("/")[2] for one in found}
    return receipt.checked(
        lambda one: _md5(one.path) in digests or f"{safe_name(one.uid)}.dcm" in names
    )
