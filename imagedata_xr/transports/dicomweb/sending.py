"""
STOW-RS: files to a server, with what it says of each (PS3.18 section 10.5).

An instance is sent until its fate is known: after a lost answer it is sent again, under the same
SOP Instance UID, so that nothing is lost and nothing doubled.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

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
from imagedata_xr.transports.core.results import Receipt
from imagedata_xr.transports.core.status import describe, is_temporary
from imagedata_xr.transports.dicomweb.client import Client, resource
from imagedata_xr.transports.dicomweb.model import items, values_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from imagedata_xr.transports.core.locator import Locator
    from imagedata_xr.transports.core.outgoing import Outgoing
    from imagedata_xr.transports.core.results import Outcome

__all__ = ["store", "verify"]

_MOST_BYTES: Final = 64 << 20
_MOST_FILES: Final = 64
_FAILED: Final = "00081198"
_STORED: Final = "00081199"
_OK: Final = 200
_TOO_LARGE: Final = 413
_LOST: Final = "no answer came; the server may have it or not, and storing again is safe"
_SILENT: Final = "the server does not say what became of it"
_ABSENT: Final = "the server says success, but does not list it afterwards"


def store(
    url: str | Locator,
    files: Sequence[Path],
    *,
    progress: Callable[[int, int], object] | None = None,
    **options: Any,
) -> Receipt:
    """
    Send files as they are, and return what became of each.

    Parameters
    ----------
    url : str
        ``dicomweb+https://host/root``; with ``/studies/UID``, files of this study only.
    files : sequence of Path
    progress : callable, optional
        Called with how many instances are done, and of how many.
    **options
        Of `Client`.

    Returns
    -------
    Receipt

    Raises
    ------
    AuthenticationError
        The server does not let us in.
    OptionError
        The URL names a series or an instance, or another study than that of a file.
    """
    with Client(url, **options) as client:
        selection = client.selection
        if selection.series or selection.keys:
            raise OptionError(f"{client.locator}: storing needs a server, and at most a study")
        ready, failed = outgoing(files, even=False)
        if selection.study and {one.identity.study for one in ready} - {selection.study}:
            raise OptionError(f"{client.locator}: there are files of another study: name none")
        transfer = _Transfer(client, len(ready), progress)
        for batch in _batches(ready):
            transfer.run(batch)
        return Receipt((*transfer.outcomes(), *failed))


def _batches(ready: list[Outgoing]) -> Iterator[list[Outgoing]]:
    """Yield so many files as one request has: what is lost with it is sent again."""
    batch: list[Outgoing] = []
    size = 0
    for one in ready:
        if batch and (len(batch) == _MOST_FILES or size + one.size > _MOST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(one)
        size += one.size
    if batch:
        yield batch


@dataclass(frozen=True, slots=True)
class _Said:
    """What is known of an instance; `again` where another attempt may end otherwise."""

    state: str
    reason: str = ""
    status: int | None = None
    again: bool = False
    verified: bool | None = None


@dataclass(slots=True)
class _Transfer:
    """The instances that are done, and whether the server is still there."""

    client: Client
    total: int
    progress: Callable[[int, int], object] | None
    sent: list[Outgoing] = field(default_factory=list)
    said: dict[str, _Said] = field(default_factory=dict)
    attempts: dict[str, int] = field(default_factory=dict)
    gone: _Said | None = None

    def run(self, batch: list[Outgoing]) -> None:
        """Send a batch until the fate of each is known, or there were too many attempts."""
        self.sent += batch
        waiting = batch
        delays = self.client.web.retry.delays()
        while waiting and self.gone is None:
            self._post(waiting)
            left = [one for one in waiting if self.said[one.identity.uid].again]
            if len(left) < len(waiting):
                delays = self.client.web.retry.delays()
            waiting = left
            if waiting and (delay := next(delays, None)) is None:
                # Others will fare no better where no answer comes at all.
                lost = all(self.said[one.identity.uid].reason == _LOST for one in batch)
                self.gone = _Said("failed", "not sent: the server stopped answering")
                self.gone = self.gone if lost else None
                break
            if waiting:
                time.sleep(delay or 0)
        for one in batch:
            if self.gone is not None:
                self.said.setdefault(one.identity.uid, self.gone)
        if self.progress is not None:
            self.progress(len(self.said), self.total)

    def _post(self, batch: list[Outgoing]) -> None:
        for one in batch:
            uid = one.identity.uid
            self.attempts[uid] = self.attempts.get(uid, 0) + 1
        try:
            answers = self._answers(batch)
        except PeerConnectionError:
            self._all(batch, _Said("unknown", _LOST, again=True))
        except AuthenticationError:
            if not any(one.state in ("acknowledged", "warned") for one in self.said.values()):
                raise
            self.gone = _Said("failed", "the server does not let us in any more")
            self._all(batch, self.gone)
        except RejectedError as error:
            self._refused(batch, error.status)
        except SourceNotFoundError:
            self._refused(batch, 404)
        else:
            for one in batch:
                self.said[one.identity.uid] = answers.get(one.identity.uid, answers[""])

    def _all(self, batch: list[Outgoing], what: _Said) -> None:
        self.said.update((one.identity.uid, what) for one in batch)

    def _refused(self, batch: list[Outgoing], status: int | None) -> None:
        """Find out whether a refusal without a list means each of a batch."""
        again = status in (429, 502, 503, 504)
        if len(batch) > 1 and not again and status not in (404, 405, 415):
            for one in batch:
                self._post([one])
                if self.gone is not None:
                    return
            return
        reason = f"the server refuses (HTTP {status})"
        if status == _TOO_LARGE:
            reason = f"it is too large for the server (HTTP {status})"
        self._all(batch, _Said("failed", reason, status, again=again))

    def _answers(self, batch: list[Outgoing]) -> dict[str, _Said]:
        """Send a batch, and return what the server says by UID; of others, under an empty one."""
        boundary = uuid.uuid4().hex
        study = self.client.selection.study
        client = self.client
        found = client.web.request(
            "POST",
            f"{client.root}{resource(study) if study else '/studies'}",
            headers={
                "Accept": "application/dicom+json",
                "Content-Type": (
                    f'multipart/related; type="application/dicom"; boundary={boundary}'
                ),
            },
            body=_body(batch, boundary),
            accept=(200, 202, 400, 409),
            again=False,
        )
        status = found.status_code
        try:
            answer = client.web.decoded(found)
        except RejectedError:
            answer = None
        answers = {
            **{uid: one for item in items(answer, _STORED) for uid, one in _stored(item)},
            **{uid: one for item in items(answer, _FAILED) for uid, one in _failed(item)},
        }
        if not answers and status >= 400:
            raise RejectedError("refused", status=status)
        silent = _Said("unknown", _SILENT, status, again=status != _OK or bool(answers))
        return {**answers, "": silent}

    def outcomes(self) -> list[Outcome]:
        """Return what became of each; what the server said nothing of is looked for."""
        self._look([one for one in self.sent if self.said[one.identity.uid].reason == _SILENT])
        return [
            one.outcome(
                said.state,
                reason=said.reason,
                status=said.status,
                attempts=self.attempts.get(one.identity.uid, 0),
                verified=said.verified,
            )
            for one in self.sent
            for said in [self.said[one.identity.uid]]
        ]

    def _look(self, silent: list[Outgoing]) -> None:
        try:
            there = _listed(self.client, {(o.identity.study, o.identity.series) for o in silent})
        except TransportError:
            return
        for one in silent:
            uid = one.identity.uid
            # Success for a whole request (PS3.18 table 10.5.3-1), of which it gives no list.
            if self.said[uid].status == _OK and not self.said[uid].again:
                is_there = uid in there
                self.said[uid] = (
                    _Said("acknowledged", status=_OK, verified=True)
                    if is_there
                    else _Said("failed", _ABSENT, _OK, verified=False)
                )


def _body(batch: list[Outgoing], boundary: str) -> Body:
    parts: list[bytes | Path] = []
    for number, one in enumerate(batch):
        start = "\r\n" if number else ""
        parts += [
            f"{start}--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode(),
            one.path,
        ]
    return Body(*parts, f"\r\n--{boundary}--\r\n".encode())


def _stored(item: dict[str, Any]) -> Iterator[tuple[str, _Said]]:
    values = values_of(item)
    warning = values.get("WarningReason", "")
    said = _Said("acknowledged", status=0)
    if warning.isdecimal() and int(warning):
        said = _Said("warned", describe(int(warning)), int(warning))
    if uid := values.get("ReferencedSOPInstanceUID"):
        yield uid, said


def _failed(item: dict[str, Any]) -> Iterator[tuple[str, _Said]]:
    values = values_of(item)
    reason = values.get("FailureReason", "")
    code = int(reason) if reason.isdecimal() else None
    text = "the server gives no reason" if code is None else describe(code)
    if uid := values.get("ReferencedSOPInstanceUID"):
        yield uid, _Said("failed", text, code, again=code is not None and is_temporary(code))


def _listed(client: Client, series: set[tuple[str, str]]) -> set[str]:
    """Return the UIDs of all instances that a server lists of some series."""
    there: set[str] = set()
    for study, one in sorted(series):
        try:
            rows = client.rows(f"{resource(study, one)}/instances", {}, "instance")
        except SourceNotFoundError:
            continue
        there.update(row["SOPInstanceUID"] for row in rows)
    return there


def verify(url: str | Locator, receipt: Receipt, **options: Any) -> Receipt:
    """
    Ask a server, series by series, which instances of a receipt it lists (QIDO-RS).

    Parameters
    ----------
    url : str
    receipt : Receipt
        Of `store`.
    **options
        Of `Client`.

    Returns
    -------
    Receipt
        With `verified` of each outcome True or False; None where the file names no series.

    Raises
    ------
    TransportError
        The server does not answer, or refuses.
    """
    options.pop("progress", None)
    series = {(one.study, one.series) for one in receipt if one.study and one.series}
    with Client(url, **options) as client:
        present = _listed(client, series)

    def is_there(one: Outcome) -> bool | None:
        return one.uid in present if one.study and one.series else None

    return receipt.checked(is_there)
