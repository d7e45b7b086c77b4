"""
An end to each wait for an answer, however slowly it drips.

A socket's timeout begins anew with every byte. Headers and the lines between the pieces of
a body may be as many as the other side likes, and nothing comes of them: so whoever waits
says until when, and the connection is closed then.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from requests.adapters import HTTPAdapter

__all__ = ["adapter", "socket_of", "until"]


class _Watch:
    """One thread for all that wait in a process; it is there while somebody does."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._ends: dict[object, tuple[float, Any]] = {}
        self._thread: threading.Thread | None = None
        self._process = 0

    def add(self, seconds: float, connection: Any) -> object:
        ticket = object()
        with self._condition:
            self._ends[ticket] = (time.monotonic() + seconds, connection)
            if self._thread is None or self._process != os.getpid():
                # A process that is forked has no threads.
                self._process = os.getpid()
                self._thread = threading.Thread(target=self._run, daemon=True)
                self._thread.start()
            self._condition.notify()
        return ticket

    def remove(self, ticket: object) -> bool:
        """Take a wait away, and tell whether it was in time."""
        with self._condition:
            return self._ends.pop(ticket, None) is not None

    def _run(self) -> None:
        with self._condition:
            while self._ends:
                ticket = min(self._ends, key=lambda one: self._ends[one][0])
                end, connection = self._ends[ticket]
                left = end - time.monotonic()
                if left > 0:
                    self._condition.wait(left)
                    continue
                del self._ends[ticket]
                # Not the method of a TLS socket, which would take its state from whoever reads.
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)
            self._thread = None


_watch = _Watch()


@contextlib.contextmanager
def until(seconds: float, connection: Any) -> Iterator[None]:
    """
    Close a connection unless what is done in the context is done in time.

    Parameters
    ----------
    seconds : float
    connection : socket or None

    Raises
    ------
    TimeoutError
        It was not.
    """
    if connection is None:
        yield
        return
    ticket = _watch.add(seconds, connection)
    in_time = True
    try:
        yield
    finally:
        in_time = _watch.remove(ticket)
    if not in_time:
        raise TimeoutError("the answer dripped for too long")


def socket_of(raw: Any) -> Any:
    """Return the socket of an answer that came by the adapter; None of any other."""
    return getattr(raw, "_imagedata_xr_socket", None)


def adapter(seconds: float) -> HTTPAdapter:
    """
    Return what makes connections for requests, each answer's head with an end.

    Parameters
    ----------
    seconds : float
        Until the head of an answer must be whole.
    """
    from requests.adapters import HTTPAdapter
    from urllib3.connection import HTTPConnection, HTTPSConnection
    from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

    class Plain(HTTPConnection):
        def getresponse(self) -> Any:
            return _answer(super().getresponse, self.sock, seconds)

    class Secure(HTTPSConnection):
        def getresponse(self) -> Any:
            return _answer(super().getresponse, self.sock, seconds)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    pools = {"http": PlainPool, "https": SecurePool}

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *args: Any, **options: Any) -> None:
            super().init_poolmanager(*args, **options)
            self.poolmanager.pool_classes_by_scheme = pools

        def proxy_manager_for(self, *args: Any, **options: Any) -> Any:
            manager = super().proxy_manager_for(*args, **options)
            manager.pool_classes_by_scheme = pools
            return manager

    return Adapter()


def _answer(getresponse: Any, connection: Any, seconds: float) -> Any:
    with until(seconds, connection):
        found = getresponse()
    found._imagedata_xr_socket = connection  # noqa: SLF001 - ours
    return found
