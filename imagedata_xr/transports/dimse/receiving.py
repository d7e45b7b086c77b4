"""
Instances that a server or a scanner sends: C-STORE as provider (PS3.4 annex B).

What comes is taken as it is, byte for byte, and only if its data set is the instance that it is
announced as. A file appears complete, and before the sender is told that it is stored.
"""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from imagedata_xr.errors import FormatError, ImagedataError, PeerConnectionError, WriteError
from imagedata_xr.transports.core.part10 import file_header, identify, is_uid
from imagedata_xr.transports.core.policy import Limits, Timeouts
from imagedata_xr.transports.core.results import Manifest
from imagedata_xr.transports.core.spool import Incoming, sweep
from imagedata_xr.transports.dimse.association import PDU, library, size_guard, socket_handlers
from imagedata_xr.transports.dimse.peer import checked_title
from imagedata_xr.transports.dimse.syntaxes import SYNTAXES

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Sequence
    from typing import Self

    from imagedata_xr.transports.core.part10 import Identity
    from imagedata_xr.transports.core.results import Instance
    from imagedata_xr.transports.dimse.peer import Tls

__all__ = ["Collector", "Receiver", "receive"]

_ECHO: Final = "1.2.840.10008.1.1"
_FULL: Final = 0xA700
_MISMATCH: Final = 0xA900
_NOT_UNDERSTOOD: Final = 0xC000
_DUPLICATE: Final = 0x0111
_MOST: Final = 64
_START: Final = 1 << 16


def _anything(_: Identity) -> bool:
    return True


@dataclass(slots=True)
class Collector:
    """
    The folder into which instances are taken, and what became of them.

    Attributes
    ----------
    folder : Path
    limits : Limits
    wanted : callable
        Says of an instance whether it is taken.
    durable, overwrite : bool
        See `Incoming`.
    notify : callable or None
        Called with each `Instance` that is complete.
    got : dict of str to Instance
        By UID.
    problems : list of str
        Why instances were not taken; no patient is named.
    """

    folder: Path
    limits: Limits = field(default_factory=Limits)
    wanted: Callable[[Identity], bool] = _anything
    durable: bool = False
    overwrite: bool = False
    notify: Callable[[Instance], object] | None = None
    got: dict[str, Instance] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    _size: int = 0
    _lock: Any = field(default_factory=threading.Lock)

    def take(self, event: Any) -> int:
        """Take what a C-STORE brings, and return the status for the answer."""
        request = event.request
        if request.DataSet is None:
            return self._refuse(_NOT_UNDERSTOOD, "an instance came without a data set")
        data = request.DataSet.getbuffer()
        announced = str(request.AffectedSOPInstanceUID), str(request.AffectedSOPClassUID)
        identity = _identity(*announced, str(event.context.transfer_syntax), data)
        if identity is None:
            return self._refuse(_NOT_UNDERSTOOD, "a data set cannot be read")
        if (identity.uid, identity.sop_class) != announced:
            return self._refuse(_MISMATCH, "a data set is another instance than was announced")
        if not self.wanted(identity):
            return self._refuse(_MISMATCH, "an instance was sent that was not asked for")
        with self._lock:
            self._size += len(data)
            full = self._size > self.limits.total or len(self.got) >= self.limits.count
        if full:
            return self._refuse(_FULL, "more is sent than the limits allow")
        return self._keep(identity, data)

    def _keep(self, identity: Identity, data: memoryview) -> int:
        try:
            with Incoming(
                self.folder,
                identity.uid,
                identity.sop_class,
                identity.syntax,
                limit=self.limits.instance,
                durable=self.durable,
                overwrite=self.overwrite,
                study=identity.study,
                series=identity.series,
            ) as incoming:
                incoming.write(data)
                done = incoming.finish()
        except WriteError:
            reason = "a file with other contents and the same UID is there (overwrite=True)"
            return self._refuse(_DUPLICATE, reason)
        except ImagedataError:
            return self._refuse(_FULL, "an instance is larger than the limits allow")
        except OSError as error:
            return self._refuse(_FULL, f"{self.folder}: cannot be written: {error.strerror}")
        with self._lock:
            self.got[done.uid] = done
        if self.notify is not None:
            self.notify(done)
        return 0

    def _refuse(self, status: int, reason: str) -> int:
        with self._lock:
            self.problems.append(reason)
        return status

    @property
    def manifest(self) -> Manifest:
        """What was taken."""
        with self._lock:
            return Manifest(tuple(self.got.values()))


def _identity(uid: str, sop_class: str, syntax: str, data: memoryview) -> Identity | None:
    """Return what a data set says of itself; None where it cannot be read."""
    if not (is_uid(uid) and is_uid(sop_class)):
        return None
    header = file_header(sop_class, uid, syntax)
    for part in (data[:_START], data):
        with contextlib.suppress(FormatError):
            return identify(BytesIO(header + part), "instance")
    return None


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
        self._server: Any = None

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
        ae.acse_timeout = self._timeouts.handshake
        ae.dimse_timeout = self._timeouts.response
        ae.network_timeout = self._timeouts.response + self._timeouts.idle
        ae.maximum_pdu_size = PDU
        ae.maximum_associations = _MOST
        known = [str(one.abstract_syntax) for one in pynetdicom.AllStoragePresentationContexts]
        for uid in dict.fromkeys((*known, *self._classes)):
            ae.add_supported_context(uid, list(SYNTAXES))
        ae.add_supported_context(_ECHO)
        handlers = [
            *socket_handlers(self._timeouts.idle),
            *size_guard(self.collector.limits.instance),
            (pynetdicom.evt.EVT_C_STORE, self.collector.take),
        ]
        self.collector.folder.mkdir(parents=True, exist_ok=True)
        sweep(self.collector.folder)
        context = None if self._tls is None else self._tls.server()
        try:
            self._server = ae.start_server(
                (self._host, self.port), block=False, evt_handlers=handlers, ssl_context=context
            )
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise PeerConnectionError(f"port {self.port}: cannot listen: {reason}") from None
        self.port = self._server.socket.getsockname()[1]
        return self

    def stop(self) -> None:
        """Close all connections, and listen no more."""
        if self._server is not None:
            self._server.shutdown()
            self._server = None

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
    """
    ended = stop or threading.Event()
    with Receiver(port, folder, **options) as receiver, contextlib.suppress(KeyboardInterrupt):
        while not ended.wait(0.5):
            pass
    return receiver.manifest
