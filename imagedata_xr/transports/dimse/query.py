"""C-ECHO and C-FIND: whether a server answers, and what it has (PS3.4 annex C)."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from imagedata_xr.errors import OptionError, PeerConnectionError, TransportError
from imagedata_xr.transports.core.keys import (
    OF_PATIENT,
    RETURNED,
    agrees,
    by_level,
    given,
    is_pattern,
)
from imagedata_xr.transports.core.locator import Locator
from imagedata_xr.transports.core.selection import KEYS, LEVELS, Record, Selection, level_to_list
from imagedata_xr.transports.core.status import is_pending
from imagedata_xr.transports.dimse.asking import answers, data_set, successful
from imagedata_xr.transports.dimse.association import associated, library
from imagedata_xr.transports.dimse.commands import C_ECHO, C_FIND
from imagedata_xr.transports.dimse.keys import identifier, values_of
from imagedata_xr.transports.dimse.peer import Peer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import TypeVar

    from pydicom import Dataset

    from imagedata_xr.transports.core.selection import Level
    from imagedata_xr.transports.dimse.exchange import Exchange

    _T = TypeVar("_T")

__all__ = ["echo", "find", "found", "link", "patiently", "selection_of"]

_UID: Final = re.compile(r"[012](\.(0|[1-9]\d*))+")
_PATIENT_ROOT: Final = "1.2.840.10008.5.1.4.1.2.1.1"
_STUDY_ROOT: Final = "1.2.840.10008.5.1.4.1.2.2.1"
_ECHO: Final = "1.2.840.10008.1.1"
_IMPLICIT: Final = "1.2.840.10008.1.2"
_MEDIUM: Final = 0


def selection_of(url: str | Locator, *, keys: Mapping[str, str] | None = None) -> Selection:
    """
    Return what the path of a URL selects.

    Parameters
    ----------
    url : str or Locator
        ``dicom://host:port/AET[/patient[/study[/series[/instance]]]]``: a Patient ID, the UID of
        a study or its accession number, the UID of a series or its number, the UID of an
        instance. An empty part or ``*`` means any; ``*`` and ``?`` in a Patient ID match.
    keys : mapping of str to str, optional
        More keywords to match.

    Raises
    ------
    OptionError
        The path has more parts, or one that cannot be.

    Examples
    --------
    >>> dimse.selection_of("dicom://pacs:104/ARCHIVE/ID-17/ACC123/4").series_number
    4
    """
    locator = Locator.parse(url)
    parts: list[str | None] = [None if one in ("", "*") else one for one in locator.path[1:]]
    if len(parts) > len(LEVELS):
        raise OptionError(f"{locator}: has more parts than AET/patient/study/series/instance")
    parts += [None] * (len(LEVELS) - len(parts))
    patient, study, series, instance = parts
    number: int | None = None
    if series is not None and not _UID.fullmatch(series):
        if not series.isdecimal():
            raise OptionError(f"{locator}: a series is named by its UID or number")
        number, series = int(series), None
    if instance is not None and not _UID.fullmatch(instance):
        raise OptionError(f"{locator}: an instance is named by its UID")
    by_uid = study is not None and _UID.fullmatch(study) is not None
    return Selection(
        patient=patient,
        study=study if by_uid else None,
        accession=None if by_uid else study,
        series=series,
        series_number=number,
        instance=instance,
        keys=tuple((keys or {}).items()),
    )


def link(locator: Locator, record: Record, level: Level) -> str:
    """
    Return the URL of a record, or of what is above it at a level.

    Below patients it has UIDs only and no Patient ID, so that the source of an opened image names
    no patient.

    Examples
    --------
    >>> (study,) = dimse.find(pacs, level="study")
    >>> dimse.link(transports.Locator.parse(pacs), study, "study") == f"{pacs}//{study.uid}"
    True
    """
    parts = [record.get(KEYS[one]) for one in LEVELS[: LEVELS.index(level) + 1]]
    if level != "patient":
        parts[0] = ""
    return replace(locator, path=(locator.path[0], *parts)).url


def echo(url: str | Locator, **options: Any) -> float:
    """
    Ask a server whether it is there (C-ECHO).

    Parameters
    ----------
    url : str
    **options
        `calling`, `tls`, `timeouts`: see `Peer.of`.

    Returns
    -------
    float
        Seconds until the answer, of an association that is open already.

    Raises
    ------
    TransportError
        It does not answer, or refuses.

    Examples
    --------
    >>> dimse.echo(pacs) > 0  # seconds
    True
    """
    peer = Peer.of(url, **options)
    context = library().build_context(_ECHO)
    with associated(peer, [context]) as exchange:
        begin = time.perf_counter()
        for answer in answers(exchange, _ECHO, C_ECHO):
            successful(exchange, "C-ECHO", answer.command["Status"])
        return time.perf_counter() - begin


def find(
    url: str | Locator,
    *,
    level: Level | None = None,
    keys: Mapping[str, str] | None = None,
    **options: Any,
) -> list[Record]:
    """
    Return what a server has (C-FIND).

    Parameters
    ----------
    url : str
        What is selected: see `selection_of`.
    level : {"patient", "study", "series", "instance"}, optional
        What to list; by default the level below the one that the URL names.
    keys : mapping of str to str, optional
        More DICOM keywords and what they must match, such as ``{"StudyDate": "20260101-"}``.
        Those of a study restrict the studies, those of a series the series.
    **options
        `calling`, `tls`, `timeouts`, `retry`, `limits`: see `Peer.of`.

    Returns
    -------
    list of Record
        Each with the values of the levels above it.

    Raises
    ------
    TransportError
        It does not answer, or refuses.
    OptionError
        The URL or an option means nothing.

    Examples
    --------
    >>> (study,) = dimse.find(pacs, level="study", keys={"PatientID": "PHANTOM*"})
    >>> study["StudyDate"]
    '20240229'
    """
    peer = Peer.of(url, **options)
    selection = selection_of(url, keys=keys)
    wanted = level_to_list(level, selection, top="patient")
    return patiently(peer, lambda: found(peer, selection, wanted))


def patiently(peer: Peer, action: Callable[[], _T]) -> _T:
    """Repeat what changes nothing on the server, as the peer's `retry` says."""
    for delay in peer.retry.delays():
        try:
            return action()
        except PeerConnectionError:
            time.sleep(delay)
    return action()


def found(peer: Peer, selection: Selection, level: Level, *, classes: bool = True) -> list[Record]:
    """
    Return what a server has, in one association and one attempt.

    Without `classes`, only the first instance of each series has its SOP Class UID: some servers open
    the file of every instance for it.
    """
    build = library().build_context
    # A syntax a context would be usual; text has one size in all of them.
    contexts = [build(root, _IMPLICIT) for root in (_STUDY_ROOT, _PATIENT_ROOT)]
    with associated(peer, contexts) as exchange:
        roots = {abstract for abstract, _ in exchange.contexts}
        return _Query(peer, exchange, selection, roots, classes=classes).at(level)


class _Query:
    """
    The levels of a hierarchy, from the top down.

    A server need not answer a query that leaves out the key of a level above (PS3.4 section
    C.4.1.2.1), and those in use differ in what they then do: so each is asked for first.
    """

    def __init__(
        self,
        peer: Peer,
        exchange: Exchange,
        selection: Selection,
        roots: set[str],
        *,
        classes: bool,
    ) -> None:
        self.peer = peer
        self.exchange = exchange
        self.selection = selection
        self.roots = roots
        self.classes = classes
        self.more = by_level(selection.keys)

    def at(self, level: Level) -> list[Record]:
        if level == "patient":
            return self._patients()
        if level == "study":
            return self._studies()
        above = self.at(LEVELS[LEVELS.index(level) - 1])
        return [one for parent in above for one in self._below(parent, level)]

    def _patients(self) -> list[Record]:
        of_study = self.selection.study or self.selection.accession or self.more["study"]
        if _PATIENT_ROOT in self.roots and not of_study:
            wanted = {**self.more["patient"], **given("PatientID", self.selection.patient)}
            return self._ask("patient", wanted, {}, root=_PATIENT_ROOT)
        patients: dict[str, Record] = {}
        for study in self._studies():
            values = {key: study.get(key) for key in OF_PATIENT}
            patients.setdefault(study.get("PatientID"), Record("patient", values))
        return list(patients.values())

    def _studies(self) -> list[Record]:
        wanted = {
            **self.more["patient"],
            **self.more["study"],
            **given("PatientID", self.selection.patient),
            **given("StudyInstanceUID", self.selection.study),
            **given("AccessionNumber", self.selection.accession),
        }
        if _STUDY_ROOT in self.roots:
            return self._ask("study", wanted, {}, root=_STUDY_ROOT)
        return [
            study
            for patient in self._patients()
            for study in self._ask(
                "study",
                {**wanted, "PatientID": patient.uid},
                dict(patient.values),
                root=_PATIENT_ROOT,
            )
        ]

    def _below(self, parent: Record, level: Level) -> list[Record]:
        root = _STUDY_ROOT if _STUDY_ROOT in self.roots else _PATIENT_ROOT
        number = self.selection.series_number
        wanted = {**self.more[level]}
        if level == "series":
            wanted |= given("SeriesInstanceUID", self.selection.series)
            wanted |= given("SeriesNumber", None if number is None else str(number))
        else:
            wanted |= given("SOPInstanceUID", self.selection.instance)
        above = LEVELS[1 if root == _STUDY_ROOT else 0 : LEVELS.index(level)]
        fixed = {KEYS[one]: parent[KEYS[one]] for one in above}
        asked = {**fixed, **wanted}
        if level == "instance" and not self.classes:
            return self._instances(asked, parent, root)
        found = self._ask(level, asked, dict(parent.values), root=root)
        return [one for one in found if number is None or _is_number(one, number)]

    def _instances(self, asked: dict[str, str], parent: Record, root: str) -> list[Record]:
        """Return the instances of a series, the first of them with its class."""
        key = KEYS["instance"]
        found = self._ask("instance", asked, dict(parent.values), root=root, returned=(key,))
        if found:
            one = {**asked, key: found[0].uid}
            found[:1] = self._ask("instance", one, dict(parent.values), root=root) or found[:1]
        return found

    def _ask(
        self,
        level: Level,
        wanted: dict[str, str],
        inherited: dict[str, str],
        *,
        root: str,
        returned: tuple[str, ...] = (),
    ) -> list[Record]:
        returned = returned or RETURNED[level]
        if level == "study" and root == _STUDY_ROOT:
            returned = (*OF_PATIENT, *returned)
        question = identifier(level, {**dict.fromkeys(returned, ""), **wanted})
        records: list[Record] = []
        for answer in self._answers(question, root):
            values = {**inherited, **values_of(answer)}
            for key, value in wanted.items():
                # Some leave out the key that they were asked by.
                if key in KEYS.values() and not values.get(key) and not is_pattern(value):
                    values[key] = value
            record = Record(level, values)
            if record.uid and all(agrees(key, text, values) for key, text in wanted.items()):
                records.append(record)
        return records

    def _answers(self, question: Dataset, root: str) -> Iterator[Dataset]:
        asked = answers(self.exchange, root, C_FIND, question, Priority=_MEDIUM)
        for number, answer in enumerate(asked, start=1):
            status = answer.command["Status"]
            if not is_pending(status):
                successful(self.exchange, "C-FIND", status)
                return
            if number > self.peer.limits.records:
                raise TransportError(
                    f"{self.peer}: sends more than {number - 1} answers to one query: "
                    "select less, or allow more with limits=Limits(records=...)"
                )
            yield data_set(answer, _IMPLICIT)


def _is_number(record: Record, number: int) -> bool:
    try:
        return int(record.get("SeriesNumber")) == number
    except ValueError:
        return False


def restricted(selection: Selection, record: Record) -> Selection:
    """Return the selection of just a series that was found."""
    return replace(
        selection,
        study=record["StudyInstanceUID"],
        series=record["SeriesInstanceUID"],
        accession=None,
        series_number=None,
    )
