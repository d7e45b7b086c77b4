"""
Instances that come by C-STORE, into the files of a folder (PS3.4 annex B).

What comes is taken as it is, byte for byte, and only if its data set is the instance that it is
announced as. It goes to the disk as it comes; a file appears complete, and before the sender is
told that it is stored.
"""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

from imagedata_xr.errors import FormatError, WriteError
from imagedata_xr.transports.core.part10 import file_header, identify, is_uid
from imagedata_xr.transports.core.policy import Limits
from imagedata_xr.transports.core.results import Manifest
from imagedata_xr.transports.core.spool import Incoming
from imagedata_xr.transports.dimse.exchange import BadMessageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from imagedata_xr.transports.core.part10 import Identity
    from imagedata_xr.transports.core.results import Instance
    from imagedata_xr.transports.dimse.exchange import Message

__all__ = ["Arrivals", "Collector"]

_FULL: Final = 0xA700
_MISMATCH: Final = 0xA900
_NOT_UNDERSTOOD: Final = 0xC000
_DUPLICATE: Final = 0x0111
_START: Final = 1 << 16
# So much of what is refused is let pass, so that the sender can be told why.
_PASSED: Final = 1 << 20
_MOST_REFUSALS: Final = 1000


def _anything(_: Any) -> bool:
    return True


@dataclass(slots=True)
class Collector:
    """
    The folder into which instances are taken, and what became of them.

    Attributes
    ----------
    folder : Path
    limits : Limits
    known : callable
        Says of the UID by which an instance is announced whether it may be one that is taken.
    wanted : callable
        Says of an instance whether it is taken.
    durable, overwrite : bool
        See `Incoming`.
    notify : callable or None
        Called with each `Instance` that is complete.
    got : dict of str to Instance
        By UID.
    problems : list of str
        Why instances were not taken, each reason once; no patient is named.
    """

    folder: Path
    limits: Limits = field(default_factory=Limits)
    known: Callable[[str], bool] = _anything
    wanted: Callable[[Identity], bool] = _anything
    durable: bool = False
    overwrite: bool = False
    notify: Callable[[Instance], object] | None = None
    got: dict[str, Instance] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    _size: int = 0
    _lock: Any = field(default_factory=threading.Lock)

    def claim(self, size: int) -> bool:
        """Count bytes that come, and tell whether the limits allow them."""
        with self._lock:
            self._size += size
            return self._size <= self.limits.total and len(self.got) < self.limits.count

    def keep(self, done: Instance) -> None:
        """Note an instance that is complete."""
        with self._lock:
            self.got[done.uid] = done
        if self.notify is not None:
            self.notify(done)

    def refuse(self, reason: str) -> None:
        """Note why an instance is not taken."""
        with self._lock:
            if reason not in self.problems:
                self.problems.append(reason)

    @property
    def manifest(self) -> Manifest:
        """What was taken."""
        with self._lock:
            return Manifest(tuple(self.got.values()))


class Arrivals:
    """
    The instances that come over one association, one after the other.

    Parameters
    ----------
    collector : Collector
    syntaxes : dict of int to str
        Transfer syntax of each context.
    once : bool
        Each should come but once: nobody pushes, all was asked for.
    """

    def __init__(
        self, collector: Collector, syntaxes: dict[int, str], *, once: bool = False
    ) -> None:
        self._collector = collector
        self._syntaxes = syntaxes
        self._seen: set[str] | None = set() if once else None
        self._repeated = 0
        self._current: _Arrival | None = None
        self._refused = 0

    def sink_of(self, message: Message) -> _Arrival:
        """
        Return what takes the data set that follows a C-STORE.

        Raises
        ------
        BadMessageError
            The same is sent again and again.
        """
        self.close()
        command = message.command
        self._note(str(command.get("AffectedSOPInstanceUID", "")))
        self._current = _Arrival(
            self._collector,
            str(command.get("AffectedSOPInstanceUID", "")),
            str(command.get("AffectedSOPClassUID", "")),
            self._syntaxes[message.context],
        )
        return self._current

    def _note(self, uid: str) -> None:
        if self._seen is None:
            return
        self._repeated += uid in self._seen
        if self._repeated > _MOST_REFUSALS:
            raise BadMessageError("sends the same instances again and again")
        if self._collector.known(uid):
            self._seen.add(uid)

    def finish(self, message: Message) -> int:
        """
        Return the status for the answer to a C-STORE whose data set has come.

        Raises
        ------
        BadMessageError
            More was refused than a sender can mean well with.
        """
        arrival = message.sink
        if not isinstance(arrival, _Arrival):
            self._collector.refuse("an instance came without a data set")
            status = _NOT_UNDERSTOOD
        else:
            status = arrival.finish()
        if status != 0:
            self._refused += 1
        if self._refused > _MOST_REFUSALS:
            raise BadMessageError(f"more than {_MOST_REFUSALS} instances were refused")
        return status

    def close(self) -> None:
        """Drop what is half there."""
        if self._current is not None:
            self._current.close()
            self._current = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class _Arrival:
    """
    One instance on its way to the disk.

    What is refused is let pass by for a while, so that the sender gets its answer.
    """

    def __init__(self, collector: Collector, uid: str, sop_class: str, syntax: str) -> None:
        self._collector = collector
        self._announced = uid, sop_class
        self._header = b""
        self._start = bytearray()
        self._size = 0
        self._status = 0
        self._incoming: Incoming | None = None
        if not (is_uid(uid) and is_uid(sop_class)):
            self._refuse(_NOT_UNDERSTOOD, "an instance is announced by what is no UID")
        elif not collector.known(uid):
            self._refuse(_MISMATCH, "an instance was sent that was not asked for")
        elif not collector.claim(0):
            self._refuse(_FULL, "more is sent than the limits allow")
        else:
            self._header = file_header(sop_class, uid, syntax)
            self._open(uid, sop_class, syntax)

    def _open(self, uid: str, sop_class: str, syntax: str) -> None:
        collector = self._collector
        try:
            self._incoming = Incoming(
                collector.folder,
                uid,
                sop_class,
                syntax,
                limit=collector.limits.instance,
                durable=collector.durable,
                overwrite=collector.overwrite,
                header=self._header,
            )
        except OSError as error:
            self._refuse(_FULL, f"{collector.folder}: cannot be written: {error.strerror}")

    def write(self, data: memoryview) -> None:
        """
        Take a piece.

        Raises
        ------
        BadMessageError
            There is no end to it.
        """
        self._size += len(data)
        limit = self._collector.limits.instance
        if self._size > limit + _PASSED:
            self._refuse(_FULL, "an instance is larger than the limits allow")
            raise BadMessageError(f"an instance has more than {limit} bytes: not taken")
        if self._incoming is None:
            if not self._collector.claim(len(data)) and self._size > _PASSED:
                raise BadMessageError("more is sent than the limits allow")
            return
        if len(self._start) < _START:
            self._start += data[: _START - len(self._start)]
        if not self._collector.claim(len(data)):
            self._refuse(_FULL, "more is sent than the limits allow")
        elif self._size > limit:
            self._refuse(_FULL, "an instance is larger than the limits allow")
        else:
            try:
                self._incoming.write(data)
            except OSError as error:
                folder = self._collector.folder
                self._refuse(_FULL, f"{folder}: cannot be written: {error.strerror}")

    def finish(self) -> int:
        """Give the file its name if it is what it should be, and return the status."""
        try:
            if self._incoming is not None:
                self._named(self._incoming)
        finally:
            self.close()
        return self._status

    def _named(self, incoming: Incoming) -> None:
        identity = self._identity(incoming)
        if identity is None:
            self._refuse(_NOT_UNDERSTOOD, "a data set cannot be read")
            return
        if (identity.uid, identity.sop_class) != self._announced:
            self._refuse(_MISMATCH, "a data set is another instance than was announced")
            return
        if not self._collector.wanted(identity):
            self._refuse(_MISMATCH, "an instance was sent that was not asked for")
            return
        incoming.study, incoming.series = identity.study, identity.series
        try:
            done = incoming.finish()
        except WriteError:
            reason = "a file with other contents and the same UID is there (overwrite=True)"
            self._refuse(_DUPLICATE, reason)
        except OSError as error:
            folder = self._collector.folder
            self._refuse(_FULL, f"{folder}: cannot be written: {error.strerror}")
        else:
            self._collector.keep(done)

    def _identity(self, incoming: Incoming) -> Identity | None:
        """Return what the data set says of itself; None where it cannot be read."""
        whole = self._size == len(self._start)
        with contextlib.suppress(FormatError):
            found = identify(BytesIO(self._header + self._start), "instance")
            if whole or (found.study and found.series):
                return found
        if not whole:
            with contextlib.suppress(FormatError, OSError), incoming.opened() as file:
                return identify(file, "instance")
        return None

    def _refuse(self, status: int, reason: str) -> None:
        self._status = status
        self._collector.refuse(reason)
        self.close()

    def close(self) -> None:
        """Drop what is half there."""
        if self._incoming is not None:
            with contextlib.suppress(OSError):
                self._incoming.__exit__(None, None, None)
            self._incoming = None
