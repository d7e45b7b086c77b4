"""Associations that others ask for: pynetdicom accepts them, `Exchange` serves them."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, Final, Protocol

from imagedata_xr.errors import PeerConnectionError, TransportError
from imagedata_xr.transports.dimse.association import exchange_over, library, socket_handlers
from imagedata_xr.transports.dimse.commands import RESPONSE, response_to
from imagedata_xr.transports.dimse.exchange import BadMessageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from ssl import SSLContext, SSLSocket

    from pynetdicom.association import Association

    from imagedata_xr.transports.core.policy import Timeouts
    from imagedata_xr.transports.dimse.exchange import Exchange, Message, Sink

__all__ = ["Listener", "Service"]

_READY: Final = "Sta6"
_MOST: Final = 64
_TO_END: Final = 5.0


class Service(Protocol):
    """What is done with the messages of one association."""

    def sink_of(self, message: Message, /) -> Sink:
        """Return what takes the data set of a request."""

    def status(self, message: Message, /) -> int:
        """Do what a request asks for, and return the status of the answer."""


class Listener:
    """
    A port at which associations are accepted.

    Parameters
    ----------
    ae : pynetdicom.AE
        With what is supported, and who may ask.
    address : tuple of str and int
        Where to listen; port 0 is one of the system's choice.
    service : callable
        Returns the context in which an association is served.
    timeouts : Timeouts
    tls : SSLContext, optional

    Raises
    ------
    PeerConnectionError
        The port cannot be had.
    """

    def __init__(
        self,
        ae: Any,
        address: tuple[str, int],
        service: Callable[[Exchange], AbstractContextManager[Service]],
        *,
        timeouts: Timeouts,
        tls: SSLContext | None = None,
    ) -> None:
        evt = library().evt
        self._service = service
        self._timeouts = timeouts
        self._open: dict[Exchange, threading.Thread] = {}
        self._lock = threading.Lock()
        ae.acse_timeout = timeouts.handshake
        ae.network_timeout = timeouts.response + timeouts.idle
        ae.maximum_associations = _MOST
        handlers = [*socket_handlers(timeouts.idle), (evt.EVT_REQUESTED, self._requested)]
        try:
            self._server = ae.start_server(
                address,
                block=False,
                evt_handlers=handlers,
                ssl_context=None if tls is None else _Unhurried(tls),
            )
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise PeerConnectionError(f"port {address[1]}: cannot listen: {reason}") from None
        self.port = int(self._server.socket.getsockname()[1])

    def close(self) -> None:
        """Listen no more, and end what is open."""
        self._server.shutdown()
        with self._lock:
            left = dict(self._open)
        for exchange in left:
            # Whoever serves it finds it closed, and drops what is half there.
            with contextlib.suppress(OSError):
                exchange.raw.shutdown(socket.SHUT_RDWR)
        for thread in left.values():
            thread.join(_TO_END)

    def _requested(self, event: Any) -> None:
        """Prepare an association for being taken over as soon as it is accepted."""
        association = event.assoc
        send = association.dul.send_pdu

        def sending(primitive: Any) -> None:
            if getattr(primitive, "result", None) == 0:
                # What comes after the acceptance is for us, not for pynetdicom's thread.
                association.dul._is_transport_event = lambda: False  # noqa: SLF001
            send(primitive)

        association.dul.send_pdu = sending
        association._run_reactor = lambda: self._serve(association)  # noqa: SLF001

    def _serve(self, association: Association) -> None:
        end = time.monotonic() + self._timeouts.handshake
        state = association.dul.state_machine
        while state.current_state != _READY and time.monotonic() < end:
            if not association.dul.is_alive():
                return
            time.sleep(0.0005)
        with contextlib.suppress(PeerConnectionError):
            exchange = exchange_over(association, "the sender", self._timeouts)
            with self._lock:
                self._open[exchange] = threading.current_thread()
            try:
                self._exchanged(exchange)
            finally:
                exchange.close()
                with self._lock:
                    self._open.pop(exchange, None)
                association.is_established = False
                association.is_released = True

    def _exchanged(self, exchange: Exchange) -> None:
        numbers = set(exchange.contexts.values())
        wait = self._timeouts.response + self._timeouts.idle
        try:
            with self._service(exchange) as service:

                def sink_of(message: Message) -> Sink:
                    if message.context not in numbers:
                        raise BadMessageError("a message in a context that was not accepted")
                    return service.sink_of(message)

                while True:
                    message = exchange.receive(sink_of, wait=wait)
                    if message.command["CommandField"] & RESPONSE:
                        raise BadMessageError("an answer to nothing")
                    answer = response_to(message.command, service.status(message))
                    exchange.send(message.context, answer)
        except TransportError:
            exchange.abort()


class _Unhurried:
    """
    A context for TLS whose handshake waits for the thread of the connection.

    In the thread that accepts, one silent client would keep out all others.
    """

    def __init__(self, context: SSLContext) -> None:
        self._context = context

    def wrap_socket(self, raw: socket.socket, **options: Any) -> SSLSocket:
        """Return a socket that speaks TLS from the first byte that is read."""
        return self._context.wrap_socket(raw, do_handshake_on_connect=False, **options)
