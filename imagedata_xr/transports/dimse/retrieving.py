"""
C-GET and C-MOVE: what a server has, into a folder, as it is stored there.

The server is asked first what it has, so that what does not arrive is known; that is asked for
again, and is an error if it stays away.
"""

from __future__ import annotations

import contextlib
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from imagedata_xr.errors import (
    OptionError,
    PartialReadError,
    PeerConnectionError,
    RejectedError,
    SourceNotFoundError,
)
from imagedata_xr.transports.core.locator import Locator
from imagedata_xr.transports.core.results import Manifest
from imagedata_xr.transports.core.selection import Selection
from imagedata_xr.transports.core.spool import existing, made_folder, sweep
from imagedata_xr.transports.core.status import describe, is_temporary
from imagedata_xr.transports.dimse.arriving import Arrivals, Collector
from imagedata_xr.transports.dimse.asking import answers
from imagedata_xr.transports.dimse.association import associated, library
from imagedata_xr.transports.dimse.commands import C_GET, C_MOVE, C_STORE, response_to
from imagedata_xr.transports.dimse.exchange import BadMessageError, Memory
from imagedata_xr.transports.dimse.peer import Peer
from imagedata_xr.transports.dimse.query import found, patiently, selection_of
from imagedata_xr.transports.dimse.receiving import Receiver
from imagedata_xr.transports.dimse.syntaxes import other_classes, proposals, storage_classes

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from pydicom import Dataset

    from imagedata_xr.transports.core.part10 import Identity
    from imagedata_xr.transports.core.results import Instance
    from imagedata_xr.transports.core.selection import Record
    from imagedata_xr.transports.dimse.exchange import Message, Sink

__all__ = ["fetch"]

_GET: Final = "1.2.840.10008.5.1.4.1.2.2.3"
_MOVE: Final = "1.2.840.10008.5.1.4.1.2.2.2"
_IMPLICIT: Final = "1.2.840.10008.1.2"
_LIST: Final = 100
_REFUSALS: Final = 2
_NOT_UNDERSTOOD: Final = 0xC000
_MEDIUM: Final = 0


def fetch(  # noqa: PLR0913 - each is an option of its own
    url: str | Locator,
    folder: str | os.PathLike[str],
    *,
    method: Literal["get", "move"] | None = None,
    port: int = 0,
    keys: Mapping[str, str] | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], object] | None = None,
    **options: Any,
) -> Manifest:
    """
    Copy what a server has into a folder, a file an instance, as it is stored there.

    Parameters
    ----------
    url : str
        What is selected: see `selection_of`.
    folder : path
        Made where it is not there. Files are named by their SOP Instance UID; those that are there
        are not fetched again.
    method : {"get", "move"}, optional
        C-GET, by default, or C-MOVE: the server then connects to us, and must know our AE title
        with this machine and `port`. ``?method=move&port=11112`` in the URL says the same.
    port : int
        On which to listen for C-MOVE.
    keys : mapping of str to str, optional
        More keywords to match: see `find`.
    overwrite : bool
        Fetch all again, and replace files with other contents.
    progress : callable, optional
        Called with how many instances are there, and of how many.
    **options
        `calling`, `tls`, `timeouts`, `retry`, `limits`: see `Peer.of`.

    Returns
    -------
    Manifest

    Raises
    ------
    SourceNotFoundError
        The server has nothing of this.
    PartialReadError
        Not all that it lists has arrived; what has stays, and the next call goes on there.
    TransportError
        It does not answer, or refuses.

    Examples
    --------
    >>> len(dimse.fetch(pacs, "copies"))
    12
    """
    locator = Locator.parse(url)
    peer = Peer.of(locator, **options)
    how = method or locator.option("method") or "get"
    if how not in ("get", "move"):
        raise OptionError(f"method={how!r}: give 'get' or 'move'")
    selection = selection_of(locator, keys=keys)
    records = patiently(peer, lambda: found(peer, selection, "instance", classes=False))
    if not records:
        raise SourceNotFoundError(f"{locator}: the server has nothing of this")
    place = made_folder(folder)
    sweep(place)
    task = _Task(peer, records, place, overwrite=overwrite, progress=progress)
    task.whole = selection.instance is None and not keys
    if how == "move":
        with task.receiver(port or int(locator.option("port") or 0)):
            return task.run(_move)
    return task.run(_get)


def _get(task: _Task, classes: set[str], question: Dataset) -> int | None:
    """Ask by C-GET, and return the final status."""
    pynetdicom = library()
    contexts = [pynetdicom.build_context(_GET, _IMPLICIT), *proposals(classes, room=127)]
    roles = [pynetdicom.build_role(uid, scp_role=True) for uid in sorted(classes)]
    with associated(task.peer, contexts, roles=roles) as exchange:
        if not exchange.syntaxes(_GET):
            raise RejectedError(f"{task.peer}: does not offer C-GET: method='move' is C-MOVE")
        syntaxes = {number: syntax for (_, syntax), number in exchange.contexts.items()}
        with Arrivals(task.collector, syntaxes, once=True) as arrivals:

            def stored(message: Message) -> bool:
                if message.command["CommandField"] != C_STORE:
                    return False
                answer = response_to(message.command, arrivals.finish(message))
                exchange.send(message.context, answer)
                return True

            def sink_of(message: Message) -> Sink:
                is_store = message.command["CommandField"] == C_STORE
                known = message.context in syntaxes
                return arrivals.sink_of(message) if is_store and known else Memory()

            return _final(
                answers(
                    exchange, _GET, C_GET, question, sink_of=sink_of, other=stored, Priority=_MEDIUM
                )
            )


def _move(task: _Task, classes: set[str], question: Dataset) -> int | None:
    """Ask by C-MOVE, and return the final status."""
    del classes
    context = library().build_context(_MOVE, _IMPLICIT)
    with associated(task.peer, [context]) as exchange:
        return _final(
            answers(
                exchange,
                _MOVE,
                C_MOVE,
                question,
                moving=task.progressed,
                MoveDestination=task.peer.calling,
                Priority=_MEDIUM,
            )
        )


def _final(messages: Iterator[Message]) -> int | None:
    status = None
    for message in messages:
        status = int(message.command["Status"])
    return status


@dataclass(slots=True)
class _Task:
    """What is to be fetched, what is there, and what was tried."""

    peer: Peer
    records: list[Record]
    folder: Path
    overwrite: bool
    progress: Callable[[int, int], object] | None
    whole: bool = True
    collector: Collector = field(init=False)
    expected: dict[tuple[str, str], dict[str, Record]] = field(init=False)
    reason: str = ""
    _uids: set[str] = field(init=False)

    def __post_init__(self) -> None:
        self.expected = defaultdict(dict)
        for record in self.records:
            series = record["StudyInstanceUID"], record["SeriesInstanceUID"]
            self.expected[series][record.uid] = record
        self._uids = {record.uid for record in self.records}
        self.collector = self._prepared(Collector(self.folder))
        if not self.overwrite:
            for record in self.records:
                there = existing(self.folder, record.uid, record["SeriesInstanceUID"])
                if there is not None:
                    self.collector.got[there.uid] = there

    def _prepared(self, collector: Collector) -> Collector:
        collector.limits = self.peer.limits
        collector.overwrite = self.overwrite
        collector.known = self._uids.__contains__
        collector.wanted = self._is_wanted
        collector.notify = self._notify
        return collector

    @contextlib.contextmanager
    def receiver(self, port: int) -> Iterator[None]:
        if not port:
            raise OptionError("C-MOVE needs port=, the one at which the server knows us")
        classes = storage_classes(self.records)
        listening = Receiver(
            port, self.folder, aet=self.peer.calling, classes=classes, timeouts=self.peer.timeouts
        )
        listening.collector.got.update(self.collector.got)
        self.collector = self._prepared(listening.collector)
        with listening:
            yield

    def _is_wanted(self, identity: Identity) -> bool:
        # Whatever else a server sends may be anybody's.
        return identity.uid in self.expected.get((identity.study, identity.series), ())

    def progressed(self) -> int:
        """Return how many instances are there."""
        return len(self.collector.got)

    def _notify(self, _: Instance) -> None:
        if self.progress is not None:
            self.progress(len(self.collector.got), len(self.records))

    def run(self, ask: Callable[[_Task, set[str], Dataset], int | None]) -> Manifest:
        for study, series in self.expected:
            self._series(study, series, ask)
        got = self.collector.got
        wanted = [uid for uids in self.expected.values() for uid in uids]
        manifest = Manifest(tuple(got[uid] for uid in wanted if uid in got))
        missing = [uid for uid in wanted if uid not in got]
        if missing:
            why = "; ".join(dict.fromkeys([self.reason, *self.collector.problems][:5]))
            raise PartialReadError(
                f"{self.peer}: {len(missing)} of {len(wanted)} instance(s) did not arrive: {why} "
                "(error.missing has them; what arrived is kept, and calling again goes on there)",
                manifest=manifest,
                missing=missing,
            )
        return manifest

    def _series(
        self,
        study: str,
        series: str,
        ask: Callable[[_Task, set[str], Dataset], int | None],
    ) -> None:
        records = self.expected[study, series]
        sets = self._class_sets(study, series)
        first = classes = next(sets)
        delays = self.peer.retry.delays()
        attempt = refusals = 0
        while missing := [uid for uid in records if uid not in self.collector.got]:
            # Whole series first; then what is missing; then, for servers that know no lists, again.
            whole = self.whole and (attempt % 2 == 0) and (attempt or len(missing) == len(records))
            question = _question(study, series, None if whole else missing[:_LIST])
            attempt += 1
            status = self._asked(ask, classes, question)
            left = sum(uid not in self.collector.got for uid in records)
            if left < len(missing):
                delays, refusals = self.peer.retry.delays(), 0
                continue
            # For C-MOVE, whoever sends proposes.
            others = None if status is None or ask is _move else next(sets, None)
            if others is not None:
                classes, attempt = others, 1
                continue
            classes = first
            refusals += status is not None and not is_temporary(status)
            delay = next(delays, None)
            if delay is None or refusals > _REFUSALS:
                return
            time.sleep(delay)

    def _class_sets(self, study: str, series: str) -> Iterator[set[str]]:
        """
        Yield the SOP classes to ask a series for: those of one instance, and more where that is not all.

        To tell the class of each, some servers open each file, and some tell none.
        """
        records = self.expected[study, series]
        known = [one for one in records.values() if one.get("SOPClassUID")]
        tried = storage_classes(known or records.values())
        yield tried
        if len(known) == len(records):
            return
        if known:
            with contextlib.suppress(PeerConnectionError):
                there = found(self.peer, Selection(study=study, series=series), "instance")
                records.update({one.uid: one for one in there if one.uid in records})
            more = storage_classes(records.values())
            if not more <= tried:
                yield more
            tried |= more
        if not all(one.get("SOPClassUID") for one in records.values()):
            yield from other_classes(tried)

    def _asked(
        self,
        ask: Callable[[_Task, set[str], Dataset], int | None],
        classes: set[str],
        question: Dataset,
    ) -> int | None:
        try:
            status = ask(self, classes, question)
        except PeerConnectionError:
            if not self.collector.got:
                self.reason = "no connection"
            return None
        except BadMessageError as error:
            self.reason = str(error)
            return _NOT_UNDERSTOOD
        except RejectedError:
            if not self.collector.got:
                raise
            self.reason = "the server refuses further associations"
            return None
        self.reason = "the server stopped answering" if status is None else describe(status)
        return status


def _question(study: str, series: str, instances: list[str] | None) -> Dataset:
    from pydicom import Dataset

    question = Dataset()
    question.QueryRetrieveLevel = "SERIES" if instances is None else "IMAGE"
    question.StudyInstanceUID = study
    question.SeriesInstanceUID = series
    if instances is not None:
        question.SOPInstanceUID = instances
    return question
