"""Storage commitment: a server promises to keep instances (PS3.4 annex J)."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from imagedata_xr.errors import OptionError, PeerConnectionError, RejectedError
from imagedata_xr.transports.core.status import describe
from imagedata_xr.transports.dimse.association import associated, library, socket_handlers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydicom import Dataset

    from imagedata_xr.transports.core.results import Outcome, Receipt
    from imagedata_xr.transports.dimse.peer import Peer

__all__ = ["committed"]

_PUSH_MODEL: Final = "1.2.840.10008.1.20.1"
_INSTANCE: Final = "1.2.840.10008.1.20.1.1"
_ECHO: Final = "1.2.840.10008.1.1"
_REQUEST: Final = 1


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
    server = _listening(peer, port, reports)
    try:
        _ask(peer, asked, reports)
        if not reports.complete.wait(wait):
            raise PeerConnectionError(
                f"{peer}: no report on storage commitment in {wait:g} s: does it know the AE title "
                f"{peer.calling} with this machine and port {port}?"
            )
    finally:
        server.shutdown()
    uids = {one.uid for one in asked}
    return receipt.checked(lambda one: one.uid in reports.kept if one.uid in uids else None)


def _ask(peer: Peer, asked: list[Outcome], reports: _Reports) -> None:
    """Send a request for each study."""
    evt = library().evt
    context = library().build_context(_PUSH_MODEL)
    handlers = [(evt.EVT_N_EVENT_REPORT, reports.take)]
    requests = list(_requests(asked))
    # All are expected before the first is sent: a report may come before the next request.
    reports.expect({str(request.TransactionUID): request for request in requests})
    with associated(peer, [context], handlers=handlers) as association:
        for number, request in enumerate(requests, start=1):
            status, _ = association.send_n_action(
                request, _REQUEST, _PUSH_MODEL, _INSTANCE, msg_id=number % 65535 + 1
            )
            code = status.get("Status")
            if code is None:
                raise PeerConnectionError(f"{peer}: stopped answering during storage commitment")
            if code != 0:
                raise RejectedError(
                    f"{peer}: refuses storage commitment: {describe(code)}", status=code
                )


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

    def take(self, event: Any) -> tuple[int, None]:
        """Take an N-EVENT-REPORT; one of something else counts for nothing."""
        try:
            report = event.event_information
            transaction = str(report.get("TransactionUID", ""))
            kept = set(_uids(report.get("ReferencedSOPSequence") or ()))
            lost = set(_uids(report.get("FailedSOPSequence") or ()))
        except Exception:  # noqa: BLE001 - a server may send anything
            return 0x0110, None
        with self._lock:
            expected = self._waiting.pop(transaction, None)
            if expected is None:
                return 0x0112, None
            self.kept |= (kept - lost) & expected
            if not self._waiting:
                self.complete.set()
        return 0, None


def _uids(items: Any) -> Iterator[str]:
    return (str(item.ReferencedSOPInstanceUID) for item in items)


def _listening(peer: Peer, port: int, reports: _Reports) -> Any:
    pynetdicom = library()
    ae = pynetdicom.AE(peer.calling)
    ae.require_called_aet = True
    ae.require_calling_aet = [peer.aet]
    ae.acse_timeout = peer.timeouts.handshake
    ae.dimse_timeout = peer.timeouts.response
    ae.network_timeout = peer.timeouts.response + peer.timeouts.idle
    # Who reports opens the association, but is the provider of the service (PS3.7 annex D.3.3.4).
    ae.add_supported_context(_PUSH_MODEL, scu_role=True, scp_role=True)
    ae.add_supported_context(_ECHO)
    handlers = [
        *socket_handlers(peer.timeouts.idle),
        (pynetdicom.evt.EVT_N_EVENT_REPORT, reports.take),
    ]
    tls = None if peer.tls is None else peer.tls.server()
    try:
        return ae.start_server(("", port), block=False, evt_handlers=handlers, ssl_context=tls)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise PeerConnectionError(f"port {port}: cannot listen: {reason}") from None
