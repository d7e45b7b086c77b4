"""Instances that a server or a scanner sends to us: a storage server (PS3.4 annex B)."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from imagedata_xr.transports.core.policy import Limits, Timeouts
from imagedata_xr.transports.core.spool import sweep
from imagedata_xr.transports.dimse.arriving import Arrivals, Collector
from imagedata_xr.transports.dimse.association import PDU, library
from imagedata_xr.transports.dimse.commands import C_ECHO, C_STORE
from imagedata_xr.transports.dimse.exchange import Memory
from imagedata_xr.transports.dimse.listening import Listener
from imagedata_xr.transports.dimse.peer import checked_title
from imagedata_xr.transports.dimse.syntaxes import SYNTAXES

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Self

    from imagedata_xr.transports.core.results import Instance, Manifest
    from imagedata_xr.transports.dimse.exchange import Exchange, Message, Sink
    from imagedata_xr.transports.dimse.peer import Tls

__all__ = ["Receiver", "receive"]

_ECHO: Final = "1.2.840.10008.1.1"
_UNKNOWN: Final = 0x0211


class _Storage:
    """What is done with the messages of one sender."""

    def __init__(self, arrivals: Arrivals) -> None:
        self._arrivals = arrivals

    def sink_of(self, message: Message) -> Sink:
        is_store = message.command["CommandField"] == C_STORE
        return self._arrivals.sink_of(message) if is_store else Memory()

    def status(self, message: Message) -> int:
        field = message.command["CommandField"]
        if field == C_STORE:
            return self._arrivals.finish(message)
        return 0 if field == C_ECHO else _UNKNOWN


class Receiver:
    """
    A storage server, for C-MOVE and for scanners that push.

    ::

        with Receiver(11112, "folder", aet="ME") as receiver:
            ...
        receiver.manifest

    Parameters
    ----------
    port : int
        0 for one of the system's choice; `port` says which.
    folder : path
        Made where it is not there.
    aet : str
        The AE title by which it must be called.
    host : str
        Address to listen on; all by default.
    calling : sequence of str
        AE titles that may send; all by default.
    classes : iterable of str
        More SOP classes than the standard's.
    tls : Tls, optional
        Listen with TLS only; senders must show a certificate, unless ``verify=False``.
    limits : Limits, optional
    timeouts : Timeouts, optional
    overwrite : bool
        Replace a file of the same UID with other contents; such an instance is refused otherwise.
    notify : callable, optional
        Called with each `Instance` that is complete, from another thread.

    Examples
    --------
    >>> with dimse.Receiver(0, "received", aet="ME", host="127.0.0.1") as receiver:
    ...     dimse.send(f"dicom://127.0.0.1:{receiver.port}/ME", folder)
    <Receipt: 12 acknowledged, 0 verified>
    >>> len(receiver.manifest)
    12
    """

    def __init__(  # noqa: PLR0913 - each is an option of its own
        self,
        port: int,
        folder: str | os.PathLike[str],
        *,
        aet: str = "IMAGEDATA_XR",
        host: str = "",
        calling: Sequence[str] = (),
        classes: Iterable[str] = (),
        tls: Tls | None = None,
        limits: Limits | None = None,
        timeouts: Timeouts | None = None,
        overwrite: bool = False,
        notify: Callable[[Instance], object] | None = None,
    ) -> None:
        self.port = port
        self.aet = checked_title(aet)
        self.collector = Collector(
            Path(folder),
            limits or Limits(),
            durable=True,
            overwrite=overwrite,
            notify=notify,
        )
        self._host = host
        self._calling = [checked_title(one) for one in calling]
        self._classes = tuple(classes)
        self._tls = tls
        self._timeouts = timeouts or Timeouts()
        self._listener: Listener | None = None

    @property
    def manifest(self) -> Manifest:
        """What has come."""
        return self.collector.manifest

    def start(self) -> Self:
        """
        Begin to listen.

        Raises
        ------
        PeerConnectionError
            The port cannot be had.
        """
        pynetdicom = library()
        ae = pynetdicom.AE(self.aet)
        ae.require_called_aet = True
        ae.require_calling_aet = self._calling
        ae.maximum_pdu_size = PDU
        known = [str(one.abstract_syntax) for one in pynetdicom.AllStoragePresentationContexts]
        for uid in dict.fromkeys((*known, *self._classes)):
            ae.add_supported_context(uid, list(SYNTAXES))
        ae.add_supported_context(_ECHO)
        self.collector.folder.mkdir(parents=True, exist_ok=True)
        sweep(self.collector.folder)
        self._listener = Listener(
            ae,
            (self._host, self.port),
            self._served,
            timeouts=self._timeouts,
            tls=None if self._tls is None else self._tls.server(),
        )
        self.port = self._listener.port
        return self

    @contextlib.contextmanager
    def _served(self, exchange: Exchange) -> Iterator[_Storage]:
        syntaxes = {number: syntax for (_, syntax), number in exchange.contexts.items()}
        with Arrivals(self.collector, syntaxes) as arrivals:
            yield _Storage(arrivals)

    def stop(self) -> None:
        """Close all connections, and listen no more."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


def receive(
    port: int,
    folder: str | os.PathLike[str],
    *,
    stop: threading.Event | None = None,
    **options: Any,
) -> Manifest:
    """
    Take what is sent to a port, until interrupted.

    Parameters
    ----------
    port : int
    folder : path
        Files are named by their SOP Instance UID; each appears complete.
    stop : threading.Event, optional
        Ends it when it is set; Ctrl-C does too.
    **options
        Those of `Receiver`.

    Returns
    -------
    Manifest
        What has come.

    Raises
    ------
    PeerConnectionError
        The port cannot be had.

    Examples
    --------
    >>> import threading
    >>> enough = threading.Event()
    >>> enough.set()
    >>> dimse.receive(0, "received", stop=enough, host="127.0.0.1")
    <Manifest of 0 instance(s), 0 bytes>
    """
    ended = stop or threading.Event()
    with Receiver(port, folder, **options) as receiver, contextlib.suppress(KeyboardInterrupt):
        while not ended.wait(0.5):
            pass
    return receiver.manifest
