"""
Associations with pynetdicom: tuned, bounded, silent, and with errors that say what happened.

pynetdicom 3.0.4 negotiates them; `Exchange` carries their messages. Its sockets wait for each other
(Nagle's algorithm here, delayed acknowledgements there): 40 ms a message. And it logs what is
asked and answered, with the names of patients.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from imagedata_xr.errors import (
    AuthenticationError,
    MissingDependencyError,
    PeerConnectionError,
    RejectedError,
)
from imagedata_xr.transports.dimse.exchange import Exchange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pynetdicom.association import Association

    from imagedata_xr.errors import TransportError
    from imagedata_xr.transports.core.policy import Timeouts
    from imagedata_xr.transports.dimse.peer import Peer

__all__ = [
    "PDU",
    "TemporaryRejectionError",
    "associated",
    "exchange_over",
    "library",
    "socket_handlers",
]

PDU: Final = 131072
# Some send more than was agreed; none has a reason to send this much.
_LARGEST_PDU: Final = 16 << 20
_RESULT_TRANSIENT: Final = 2
_REJECTED: Final = (1, _RESULT_TRANSIENT)
_TITLE_REASONS: Final = {3: "the calling AE title", 7: "the called AE title"}


class TemporaryRejectionError(PeerConnectionError):
    """The server takes no association now, but may do so later."""


def library() -> Any:
    """
    Return pynetdicom, told to keep patients out of its logs.

    Raises
    ------
    MissingDependencyError
        It is not installed.
    """
    try:
        import pynetdicom
        from pynetdicom import _config
    except ImportError as error:
        raise MissingDependencyError(
            'DICOM servers need pynetdicom: pip install "imagedata_xr[network]"'
        ) from error
    _config.LOG_REQUEST_IDENTIFIERS = False
    _config.LOG_RESPONSE_IDENTIFIERS = False
    _config.LOG_HANDLER_LEVEL = "none"
    return pynetdicom


def socket_handlers(idle: float) -> list[Any]:
    """
    Return the event handlers that keep the two sides from waiting for each other.

    Parameters
    ----------
    idle : float
        Seconds for the rest of a PDU that has begun: without a bound, whoever sends half of one
        holds a thread for ever.
    """
    evt = library().evt

    def opened(event: Any) -> None:
        with contextlib.suppress(OSError, AttributeError):
            raw = event.assoc.dul.socket.socket
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            raw.settimeout(idle)
            event.assoc.dul.socket.recv = _bounded(raw)

    def moved(event: Any) -> None:
        with contextlib.suppress(OSError, AttributeError):
            raw = event.assoc.dul.socket.socket
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    handlers = [(evt.EVT_CONN_OPEN, opened)]
    if hasattr(socket, "TCP_QUICKACK"):
        handlers += [(evt.EVT_DATA_SENT, moved), (evt.EVT_DATA_RECV, moved)]
    return handlers


def _bounded(raw: socket.socket) -> Callable[[int], bytearray]:
    """Return what reads from a socket: no more than a PDU can have, and in large pieces."""

    def receive(length: int) -> bytearray:
        if length > _LARGEST_PDU:
            raise OSError(f"a PDU of {length} bytes is not taken")
        data = bytearray(length)
        view = memoryview(data)
        at = 0
        while at < length:
            count = raw.recv_into(view[at:])
            if not count:
                break
            at += count
        view.release()
        del data[at:]
        return data

    return receive


def entity(peer: Peer) -> Any:
    """Return the application entity that we are towards a peer."""
    ae = library().AE(peer.calling)
    ae.connection_timeout = peer.timeouts.connect
    ae.acse_timeout = peer.timeouts.handshake
    ae.dimse_timeout = peer.timeouts.response
    ae.network_timeout = peer.timeouts.response + peer.timeouts.idle
    ae.maximum_pdu_size = PDU
    return ae


@contextlib.contextmanager
def associated(
    peer: Peer,
    contexts: Sequence[Any],
    *,
    roles: Sequence[Any] = (),
) -> Iterator[Exchange]:
    """
    Open an association for messages, and release or abort it at the end.

    Parameters
    ----------
    peer : Peer
    contexts : sequence of PresentationContext
        At most 128.
    roles : sequence of SCP_SCU_RoleSelectionNegotiation

    Raises
    ------
    PeerConnectionError
        The server cannot be reached, does not answer, or takes no association now
        (`TemporaryRejectionError`).
    AuthenticationError
        It does not accept the AE titles or the certificate.
    RejectedError
        It refuses, or accepts none of the contexts.
    """
    evt = library().evt
    ae = entity(peer)
    tls = None if peer.tls is None else (peer.tls.client(), peer.host)
    connected: list[float] = []
    opened = (evt.EVT_CONN_OPEN, lambda _: connected.append(time.monotonic()))
    try:
        association = ae.associate(
            peer.host,
            peer.port,
            contexts=list(contexts),
            ae_title=peer.aet,
            ext_neg=list(roles),
            tls_args=tls,
            evt_handlers=[*socket_handlers(peer.timeouts.idle), opened],
        )
    except OSError as error:
        raise _unreachable(peer, error) from error
    if not association.is_established:
        raise _refusal(peer, association, connected=bool(connected))
    exchange = exchange_over(association, str(peer), peer.timeouts)
    try:
        yield exchange
    except BaseException:
        exchange.abort()
        raise
    exchange.release()


def exchange_over(association: Association, name: str, timeouts: Timeouts) -> Exchange:
    """
    Take the connection of an association from pynetdicom's threads, and end them.

    Parameters
    ----------
    association : Association
        Established.
    name : str
        Of the other side, for messages.
    timeouts : Timeouts

    Raises
    ------
    PeerConnectionError
        The connection is closed already.
    """
    association._kill = True  # noqa: SLF001 - there is no public way to have one without threads
    association.dul.kill_dul()
    for thread in (association, association.dul):
        if thread is not threading.current_thread():
            thread.join()
    raw = getattr(association.dul.socket, "socket", None)
    if raw is None:
        raise PeerConnectionError(f"{name}: the connection was closed at once")
    contexts = {
        (str(one.abstract_syntax), str(one.transfer_syntax[0])): int(one.context_id or 0)
        for one in association.accepted_contexts
    }
    other = association.acceptor if association.is_requestor else association.requestor
    return Exchange(name, raw, timeouts, int(other.maximum_length or 0), contexts)


def _refusal(peer: Peer, association: Association, *, connected: bool) -> TransportError:
    """Return the error for an association that did not come about."""
    answer = _answer(association)
    if answer is not None and answer.result in _REJECTED:
        return _rejection(peer, answer)
    if not connected:
        return _unconnected(peer)
    if answer is not None and answer.result == 0:
        return RejectedError(
            f"{peer}: accepts nothing of what was proposed: the AE title may not do this there, "
            "or it knows none of these classes and transfer syntaxes",
        )
    if peer.tls is not None:
        return _unconnected(peer)
    return PeerConnectionError(
        f"{peer}: the connection is made, but there is no answer to the request for an "
        f"association: is it a DICOM port, without TLS (else dicoms://), and does it know the "
        f"calling AE title {peer.calling}?"
    )


def _answer(association: Association) -> Any:
    """Return the answer to a request for an association; None where none came."""
    if association.acceptor.primitive is not None:
        return association.acceptor.primitive
    # An answer that closes the connection at once is taken for a failure to connect by the thread
    # that waits for the connection, and stays where it was put.
    for waiting in tuple(association.dul.to_user_queue.queue):
        if getattr(waiting, "result", None) in _REJECTED:
            return waiting
    return None


def _rejection(peer: Peer, answer: Any) -> TransportError:
    said = f"{answer.result_str}, {answer.source_str}, {answer.reason_str}"
    if answer.result == _RESULT_TRANSIENT:
        return TemporaryRejectionError(f"{peer}: takes no association now ({said})")
    title = _TITLE_REASONS.get(answer.diagnostic) if answer.result_source == 1 else None
    if title is not None:
        which = peer.calling if "calling" in title else peer.aet
        return AuthenticationError(f"{peer}: does not recognize {title} {which!r} ({said})")
    return RejectedError(f"{peer}: rejects the association ({said})")


def _unreachable(peer: Peer, error: OSError) -> TransportError:
    reason = error.strerror or str(error) or type(error).__name__
    return PeerConnectionError(f"{peer}: cannot be reached: {reason}")


def _unconnected(peer: Peer) -> TransportError:
    """Connect once more without pynetdicom, which only logs why it could not."""
    try:
        raw = socket.create_connection((peer.host, peer.port), timeout=peer.timeouts.connect)
    except OSError as error:
        return _unreachable(peer, error)
    with raw:
        if peer.tls is None:
            return PeerConnectionError(f"{peer}: the connection was closed at once")
        try:
            with peer.tls.client().wrap_socket(raw, server_hostname=peer.host) as wrapped:
                # A server says only with TLS 1.3's first data that it wanted our certificate.
                wrapped.settimeout(min(peer.timeouts.connect, 2.0))
                wrapped.recv(1)
        except ssl.SSLCertVerificationError as error:
            return AuthenticationError(
                f"{peer}: its certificate is not accepted ({error.verify_message}): give the "
                "certificates to trust with tls=Tls(ca=...)"
            )
        except ssl.SSLError as error:
            return AuthenticationError(
                f"{peer}: no TLS connection ({error.reason}): does it speak TLS, and does it want "
                "a certificate, tls=Tls(certificate=..., key=...)?"
            )
        except OSError:
            pass
    return PeerConnectionError(f"{peer}: TLS works, but there is no DICOM association behind it")
