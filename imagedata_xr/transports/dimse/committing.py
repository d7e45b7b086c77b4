"""Storage commitment: a server promises to keep instances (PS3.4 annex J)."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from imagedata_xr.errors import OptionError, PeerConnectionError
from imagedata_xr.transports.dimse.asking import answers, data_set, successful
from imagedata_xr.transports.dimse.association import associated, library
from imagedata_xr.transports.dimse.commands import (
    C_ECHO,
    N_ACTION,
    N_EVENT_REPORT,
    response_to,
)
from imagedata_xr.transports.dimse.exchange import Memory
from imagedata_xr.transports.dimse.listening import Listener

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydicom import Dataset

    from imagedata_xr.transports.core.results import Outcome, Receipt
    from imagedata_xr.transports.dimse.exchange import Exchange, Message, Sink
    from imagedata_xr.transports.dimse.peer import Peer

__all__ = ["committed"]

_PUSH_MODEL: Final = "1.2.840.10008.1.20.1"
_INSTANCE: Final = "1.2.840.10008.1.20.1.1"
_ECHO: Final = "1.2.840.10008.1.1"
_REQUEST: Final = 1
_UNKNOWN: Final = 0x0211


def committed(peer: Peer, receipt: Receipt, *, port: int, wait: float) -> Receipt:
    """
    Ask a server to commit itself to what it has acknowledged, and wait for its reports.

    Parameters
    ----------
    peer : Peer
    receipt : Receipt
    port : int
        At which the server knows our AE title, and to which it reports.
    wait : float
        Seconds for the reports.

    Returns
    -------
    Receipt
        With `verified` True for what the server promises to keep, False for what it does not, None
        for what was not asked, because it is not stored.

    Raises
    ------
    OptionError
        There is no port.
    PeerConnectionError
        The port cannot be had, or no report comes in time.
    RejectedError
        The server offers no storage commitment, or refuses it.
    """
    if not port:
        raise OptionError("storage commitment needs port=, the one at which the server knows us")
    asked = [one for one in receipt if one.stored and one.uid and one.sop_class]
    reports = _Reports()
    listener = _listening(peer, port, reports)
    try:
        _ask(peer, asked, reports)
        if not reports.complete.wait(wait):
            raise PeerConnectionError(
                f"{peer}: no report on storage commitment in {wait:g} s: does it know the AE title "
                f"{peer.calling} with this machine and port {port}?"
            )
    finally:
        listener.close()
    uids = {one.uid for one in asked}
    return receipt.checked(lambda one: one.uid in reports.kept if one.uid in uids else None)


def _ask(peer: Peer, asked: list[Outcome], reports: _Reports) -> None:
    """Send a request for each study."""
    context = library().build_context(_PUSH_MODEL)
    requests = list(_requests(asked))
    # All are expected before the first is sent: a report may come before the next request.
    reports.expect({str(request.TransactionUID): request for request in requests})
    with associated(peer, [context]) as exchange:
        (syntax,) = exchange.syntaxes(_PUSH_MODEL)

        def reported(message: Message) -> bool:
            """Take a report that comes over this association."""
            if message.command["CommandField"] != N_EVENT_REPORT:
                return False
            status = reports.take(message, syntax)
            exchange.send(message.context, response_to(message.command, status))
            return True

        for request in requests:
            for answer in answers(
                exchange,
                _PUSH_MODEL,
                N_ACTION,
                request,
                other=reported,
                RequestedSOPClassUID=_PUSH_MODEL,
                RequestedSOPInstanceUID=_INSTANCE,
                ActionTypeID=_REQUEST,
            ):
                successful(exchange, "storage commitment", answer.command["Status"])


def _requests(asked: list[Outcome]) -> Iterator[Dataset]:
    from pydicom import Dataset
    from pydicom.uid import generate_uid

    for study in dict.fromkeys(one.study for one in asked):
        request = Dataset()
        request.TransactionUID = generate_uid(prefix=None)
        request.ReferencedSOPSequence = []
        for one in asked:
            if one.study == study:
                item = Dataset()
                item.ReferencedSOPClassUID = one.sop_class
                item.ReferencedSOPInstanceUID = one.uid
                request.ReferencedSOPSequence.append(item)
        yield request


@dataclass(slots=True)
class _Reports:
    """What is expected, and what the server said of it."""

    kept: set[str] = field(default_factory=set)
    complete: threading.Event = field(default_factory=threading.Event)
    _waiting: dict[str, set[str]] = field(default_factory=dict)
    _lock: Any = field(default_factory=threading.Lock)

    def expect(self, requests: dict[str, Dataset]) -> None:
        for transaction, request in requests.items():
            self._waiting[transaction] = set(_uids(request.ReferencedSOPSequence))
        if not self._waiting:
            self.complete.set()

    def take(self, message: Message, syntax: str) -> int:
        """Take an N-EVENT-REPORT, and return the status; one of something else counts for nothing."""
        try:
            report = data_set(message, syntax)
            transaction = str(report.get("TransactionUID", ""))
            kept = set(_uids(report.get("ReferencedSOPSequence") or ()))
            lost = set(_uids(report.get("FailedSOPSequence") or ()))
        except Exception:  # noqa: BLE001 - a server may send anything
            return 0x0110
        with self._lock:
            expected = self._waiting.pop(transaction, None)
            if expected is None:
                return 0x0112
            self.kept |= (kept - lost) & expected
            if not self._waiting:
                self.complete.set()
        return 0


def _uids(items: Any) -> Iterator[str]:
    return (str(item.ReferencedSOPInstanceUID) for item in items)


class _Reporting:
    """What is done with the messages of a server that reports over an association of its own."""

    def __init__(self, exchange: Exchange, reports: _Reports) -> None:
        self._syntaxes = {number: syntax for (_, syntax), number in exchange.contexts.items()}
        self._reports = reports

    def sink_of(self, _: Message) -> Sink:
        return Memory()

    def status(self, message: Message) -> int:
        field = message.command["CommandField"]
        if field == N_EVENT_REPORT:
            return self._reports.take(message, self._syntaxes[message.context])
        return 0 if field == C_ECHO else _UNKNOWN


def _listening(peer: Peer, port: int, reports: _Reports) -> Listener:
    ae = library().AE(peer.calling)
    ae.require_called_aet = True
    ae.require_calling_aet = [peer.aet]
    # Who reports opens the association, but is the provider of the service (PS3.7 annex D.3.3.4).
    ae.add_supported_context(_PUSH_MODEL, scu_role=True, scp_role=True)
    ae.add_supported_context(_ECHO)
    return Listener(
        ae,
        ("", port),
        lambda exchange: contextlib.nullcontext(_Reporting(exchange, reports)),
        timeouts=peer.timeouts,
        tls=None if peer.tls is None else peer.tls.server(),
    )
