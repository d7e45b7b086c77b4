"""DICOM servers that fail on purpose, for tests of whoever talks to one."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from imagedata_xr.transports.dimse.association import library

if TYPE_CHECKING:
    from typing import Self

__all__ = ["Fault", "FaultyServer"]


@dataclass(frozen=True, slots=True)
class Fault:
    """
    What goes wrong with one message.

    Attributes
    ----------
    status : int
        Answered with instead of success; the data set is kept where it is a warning.
    stall : float
        Seconds before the answer.
    lost : bool
        The data set is kept, and the connection is dropped before the answer.
    abort : bool
        The association is aborted, and nothing kept.
    """

    status: int = 0
    stall: float = 0.0
    lost: bool = False
    abort: bool = False


@dataclass
class FaultyServer:
    """
    A storage server on the loopback that fails as told.

    >>> with FaultyServer(faults={2: Fault(status=0xA700)}) as server:
    ...     server.url.startswith("dicom://127.0.0.1:")
    True

    Attributes
    ----------
    faults : dict of int to Fault
        By the number of the C-STORE, counted from 1.
    always : Fault or None
        For all others.
    reject : tuple of int or None
        Result, source and reason with which associations are rejected (PS3.8 section 9.3.4).
    rejections : int
        How many are, before they are accepted.
    classes : tuple of str
        SOP classes that it takes; empty for all.
    received : dict of str to list of str
        SHA-256 of each data set that was kept, by SOP Instance UID.
    stores, associations : int
        How many came.
    """

    faults: dict[int, Fault] = field(default_factory=dict)
    always: Fault | None = None
    reject: tuple[int, int, int] | None = None
    rejections: int = 1_000_000
    classes: tuple[str, ...] = ()
    aet: str = "FAULTY"
    received: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    stores: int = 0
    associations: int = 0
    port: int = 0
    _server: Any = None
    _lock: Any = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        """Where it is."""
        return f"dicom://127.0.0.1:{self.port}/{self.aet}"

    def start(self) -> Self:
        """Start to listen, on a port of the system's choice the first time."""
        pynetdicom = library()
        evt = pynetdicom.evt
        ae = pynetdicom.AE(self.aet)
        if self.classes:
            for uid in self.classes:
                ae.add_supported_context(uid)
        else:
            ae.supported_contexts = pynetdicom.AllStoragePresentationContexts
            ae.add_supported_context("1.2.840.10008.1.1")
        handlers = [(evt.EVT_C_STORE, self._stored), (evt.EVT_REQUESTED, self._requested)]
        self._server = ae.start_server(("127.0.0.1", self.port), block=False, evt_handlers=handlers)
        self.port = self._server.socket.getsockname()[1]
        return self

    def stop(self) -> None:
        """Drop all connections, and listen no more."""
        if self._server is not None:
            self._server.shutdown()
            self._server = None

    def _requested(self, event: Any) -> None:
        with self._lock:
            self.associations += 1
            refuse = self.reject is not None and self.associations <= self.rejections
        if refuse and self.reject is not None:
            event.assoc.acse.send_reject(*self.reject)
            event.assoc.kill()

    def _stored(self, event: Any) -> int:
        data = event.request.DataSet.getvalue()
        with self._lock:
            self.stores += 1
            fault = self.faults.get(self.stores, self.always) or Fault()
        if fault.abort:
            event.assoc.abort()
            return 0
        time.sleep(fault.stall)
        if fault.status == 0 or fault.status >> 12 == 0xB:
            uid = str(event.request.AffectedSOPInstanceUID)
            self.received[uid].append(hashlib.sha256(data).hexdigest())
        if fault.lost:
            event.assoc.dul.socket.close()
        return fault.status

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
