"""
C-STORE: instances to a server, with a receipt for each.

An instance is sent until its fate is known: after a lost answer it is sent again, under the same
SOP Instance UID, so that nothing is lost and nothing doubled.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from imagedata_xr.errors import (
    AuthenticationError,
    OptionError,
    PeerConnectionError,
    RejectedError,
    TransportError,
)
from imagedata_xr.transports.core.locator import Locator
from imagedata_xr.transports.core.outgoing import files_of, outgoing
from imagedata_xr.transports.core.results import Receipt
from imagedata_xr.transports.core.status import describe, is_stored, is_temporary, is_warning
from imagedata_xr.transports.dimse.association import associated, library
from imagedata_xr.transports.dimse.commands import C_STORE, RESPONSE
from imagedata_xr.transports.dimse.exchange import BadMessageError
from imagedata_xr.transports.dimse.peer import Peer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from os import PathLike
    from pathlib import Path

    from imagedata_xr.transports.core.outgoing import Outgoing
    from imagedata_xr.transports.core.results import Outcome
    from imagedata_xr.transports.dimse.exchange import Exchange

__all__ = ["send", "store"]

MOST_CONTEXTS: Final = 128
# So many instances in a row that exhaust their attempts, and it is the server, not they.
_MOST_HOPELESS: Final = 3
_MEDIUM: Final = 0


def send(
    url: str | Locator,
    files: Sequence[str | PathLike[str]] | str | PathLike[str],
    *,
    progress: Callable[[int, int], object] | None = None,
    **options: Any,
) -> Receipt:
    """
    Send instances, and raise unless all are stored.

    Parameters
    ----------
    url : str
        ``dicom://host:port/AET``.
    files : path, or sequence of paths
        Files, and folders with all below them.
    progress : callable, optional
        Called with how many instances are done, and of how many.
    **options
        `calling`, `tls`, `timeouts`, `retry`: see `Peer.of`.

    Returns
    -------
    Receipt

    Raises
    ------
    PartialWriteError
        Not all are stored; its `receipt` lists them.
    TransportError
        The server cannot be reached, or refuses.

    Examples
    --------
    >>> dimse.send(pacs, folder)
    <Receipt: 12 acknowledged, 0 verified>
    """
    receipt = store(url, files_of(files), progress=progress, **options)
    receipt.raise_unless_complete(Locator.parse(url))
    return receipt


def store(
    url: str | Locator,
    files: Sequence[Path],
    *,
    progress: Callable[[int, int], object] | None = None,
    **options: Any,
) -> Receipt:
    """
    Send files, and return what became of each, without raising for a single one.

    Each goes as it is stored, in its own transfer syntax. See `send` for the parameters.

    Raises
    ------
    TransportError
        The server cannot be reached, or refuses, before anything was sent.

    Examples
    --------
    >>> dimse.store(pacs, folder).complete
    True
    """
    locator = Locator.parse(url)
    if len(locator.path) > 1:
        raise OptionError(f"{locator}: sending needs a server and AE title only")
    peer = Peer.of(locator, **options)
    ready, failed = outgoing(files)
    transfer = _Transfer(peer, len(ready), progress)
    for group in _groups(ready):
        transfer.run(group)
    return Receipt((*transfer.done, *failed))


def _groups(ready: Sequence[Outgoing]) -> Iterator[list[Outgoing]]:
    """Yield instances that need no more contexts than an association has (PS3.8 section 9.3.2)."""
    group: list[Outgoing] = []
    pairs: set[tuple[str, str]] = set()
    by_pair = sorted(ready, key=_pair)
    for one in by_pair:
        if _pair(one) not in pairs and len(pairs) == MOST_CONTEXTS:
            yield group
            group, pairs = [], set()
        pairs.add(_pair(one))
        group.append(one)
    if group:
        yield group


def _pair(one: Outgoing) -> tuple[str, str]:
    return one.identity.sop_class, one.identity.syntax


@dataclass(slots=True)
class _Transfer:
    """The instances that are to be sent, those that are done, and what was tried."""

    peer: Peer
    total: int
    progress: Callable[[int, int], object] | None
    done: list[Outcome] = field(default_factory=list)
    attempts: dict[str, int] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)
    hopeless: int = 0

    def run(self, group: list[Outgoing]) -> None:
        waiting = deque(group)
        contexts = [library().build_context(*pair) for pair in sorted({_pair(o) for o in group})]
        delays = self.peer.retry.delays()
        while waiting:
            before = len(self.done)
            refused: PeerConnectionError | None = None
            try:
                with associated(self.peer, contexts) as exchange:
                    reason = self._through(exchange, waiting)
            except (RejectedError, AuthenticationError):
                if not self.done and not self.attempts:
                    raise
                self._give_up(waiting, "the server refuses further associations")
                return
            except PeerConnectionError as error:
                reason, refused = "no connection", error
            if not waiting:
                return
            if len(self.done) > before:
                delays = self.peer.retry.delays()
            delay = next(delays, None)
            if delay is None or self.hopeless >= _MOST_HOPELESS:
                if refused is not None and not self.done and not self.attempts:
                    raise refused
                self._give_up(waiting, reason)
                return
            time.sleep(delay)

    def _through(self, exchange: Exchange, waiting: deque[Outgoing]) -> str:
        """Send what waits over one association, until it ends; return why it did."""
        while waiting:
            one = waiting[0]
            context = exchange.contexts.get(_pair(one))
            if context is None:
                self._refused_context(waiting.popleft())
                continue
            tries = self.attempts[one.identity.uid] = self.attempts.get(one.identity.uid, 0) + 1
            try:
                status = _sent(exchange, one, context)
            except TransportError:
                status = None
            except OSError:
                exchange.abort()
                self._finish(waiting.popleft(), "failed", None, "cannot be read")
                return "a file could not be read"
            last = tries >= self.peer.retry.attempts
            if status is None:
                reason = "no answer: the connection was lost, or the server took too long"
                if last:
                    self.hopeless += 1
                    self._finish(waiting.popleft(), "unknown", None, reason)
                elif tries > 1:
                    # Perhaps it is this one that the server cannot stand: the others first.
                    waiting.rotate(-1)
                exchange.abort()
                return reason
            if is_temporary(status) and not last:
                self.statuses[one.identity.uid] = status
                waiting.rotate(-1)
                return describe(status)
            self.hopeless = 0
            state = "warned" if is_warning(status) else "acknowledged"
            self._finish(
                waiting.popleft(),
                state if is_stored(status) else "failed",
                status,
                "" if status == 0 else describe(status),
            )
        return ""

    def _refused_context(self, one: Outgoing) -> None:
        from pydicom.uid import UID

        names = " in ".join(UID(uid).name for uid in _pair(one))
        self._finish(one, "failed", None, f"the server does not accept {names}")

    def _finish(self, one: Outgoing, state: str, status: int | None, reason: str) -> None:
        tries = self.attempts.get(one.identity.uid, 0)
        self.done.append(one.outcome(state, status=status, reason=reason, attempts=tries))
        if self.progress is not None:
            self.progress(len(self.done), self.total)

    def _give_up(self, waiting: deque[Outgoing], reason: str) -> None:
        while waiting:
            one = waiting.popleft()
            status = self.statuses.get(one.identity.uid)
            if status is not None:
                self._finish(one, "failed", status, describe(status))
            elif one.identity.uid in self.attempts:
                self._finish(one, "unknown", None, reason)
            else:
                self._finish(one, "failed", None, f"not sent: {reason}")


def _sent(exchange: Exchange, one: Outgoing, context: int) -> int:
    """Send one instance, as its file has it, and return the status."""
    exchange.number = exchange.number % 65535 + 1
    command = {
        "CommandField": C_STORE,
        "MessageID": exchange.number,
        "Priority": _MEDIUM,
        "AffectedSOPClassUID": one.identity.sop_class,
        "AffectedSOPInstanceUID": one.identity.uid,
    }
    with one.path.open("rb", buffering=0) as file:
        file.seek(one.identity.offset)
        exchange.send(context, command, file, one.size - one.identity.offset)
    answer = exchange.receive().command
    expected = C_STORE | RESPONSE, exchange.number
    if (answer["CommandField"], answer.get("MessageIDBeingRespondedTo")) != expected:
        raise BadMessageError(f"{exchange.name}: answers what it was not asked")
    if "Status" not in answer:
        raise BadMessageError(f"{exchange.name}: sent an answer without a status")
    return int(answer["Status"])
