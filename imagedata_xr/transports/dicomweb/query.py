"""What a DICOMweb server has, level by level."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from imagedata_xr.errors import SourceNotFoundError, TransportError
from imagedata_xr.transports.core.keys import OF_PATIENT, agrees, by_level, given
from imagedata_xr.transports.core.selection import KEYS, LEVELS, Record, level_to_list
from imagedata_xr.transports.dicomweb.client import RESOURCES, Client, resource, split

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imagedata_xr.transports.core.locator import Locator
    from imagedata_xr.transports.core.selection import Level

__all__ = ["find", "found", "link"]

# Not among what a server sends unasked (PS3.18 table 10.6.3-3).
_MORE: Final = {"includefield": "00081030"}


def find(
    url: str | Locator,
    *,
    level: Level | None = None,
    keys: Mapping[str, str] | None = None,
    **options: Any,
) -> list[Record]:
    """
    Return what a server has (QIDO-RS).

    Parameters
    ----------
    url : str
        See `Client`.
    level : {"patient", "study", "series", "instance"}, optional
        What to list; by default the level below the one that the URL names: studies for a server.
    keys : mapping of str to str, optional
        DICOM keywords and what they must match, such as ``{"StudyDate": "20260101-"}``. Those of
        a study restrict the studies, those of a series the series.
    **options
        Of `Client`.

    Returns
    -------
    list of Record
        Each with the values of the levels above it.

    Raises
    ------
    TransportError
        The server does not answer, or refuses.
    OptionError
        The URL or an option means nothing.
    """
    with Client(url, keys=keys, **options) as client:
        return found(client, level_to_list(level, client.selection, top="study"))


def found(client: Client, level: Level, *, inherit: bool = True) -> list[Record]:
    """
    Return what a server has of the selection of a client.

    Parameters
    ----------
    client : Client
    level : {"patient", "study", "series", "instance"}
    inherit : bool
        With the values of the levels above; without them, levels that the URL names need not be
        asked for.
    """
    return _Search(client, inherit=inherit).at(level)


def link(locator: Locator, record: Record, level: Level) -> str:
    """Return the URL of a record, or of what is above it at a level; of a patient, a query."""
    root, _ = split(locator)
    if level == "patient":
        query = (("PatientID", record.get("PatientID")),)
        return replace(locator, path=(*root, "studies"), options=query).url
    uids = [record[KEYS[one]] for one in LEVELS[1 : LEVELS.index(level) + 1]]
    below = [part for pair in zip(RESOURCES, uids, strict=False) for part in pair]
    return replace(locator, path=(*root, *below), options=()).url


class _Search:
    """From the top down: a server need not search the series of all studies (PS3.18 10.6.1.3)."""

    def __init__(self, client: Client, *, inherit: bool) -> None:
        self.client = client
        self.selection = client.selection
        self.inherit = inherit
        self.keys = by_level(client.selection.keys)

    def at(self, level: Level) -> list[Record]:
        if level == "patient":
            return self._patients()
        if level == "study":
            return self._studies()
        if level == "series":
            return [one for study in self._studies() for one in self._series(study)]
        return [
            one
            for study in self._studies()
            for series in self._series(study)
            for one in self._instances(series)
        ]

    def _patients(self) -> list[Record]:
        patients: dict[str, Record] = {}
        for study in self._studies():
            values = {key: study.get(key) for key in OF_PATIENT}
            patients.setdefault(study.get("PatientID"), Record("patient", values))
        return list(patients.values())

    def _studies(self) -> list[Record]:
        wanted = {
            **self.keys["patient"],
            **self.keys["study"],
            **given("StudyInstanceUID", self.selection.study),
        }
        if self._is_known(self.selection.study, wanted):
            return [Record("study", wanted)]
        rows = self.client.rows("/studies", {**_MORE, **wanted}, "study")
        return _records("study", rows, wanted, {})

    def _is_known(self, uid: str | None, wanted: dict[str, str]) -> bool:
        return uid is not None and not self.inherit and len(wanted) == 1

    def _series(self, study: Record) -> list[Record]:
        wanted = {**self.keys["series"], **given("SeriesInstanceUID", self.selection.series)}
        inherited = dict(study.values)
        if self._is_known(self.selection.series, wanted):
            return [Record("series", {**inherited, **wanted})]
        count = None if wanted else _number(study.get("NumberOfStudyRelatedSeries"))
        path = f"{resource(study.uid)}/series"
        return _records("series", self._below(path, wanted, "series", count), wanted, inherited)

    def _instances(self, series: Record) -> list[Record]:
        wanted = {**self.keys["instance"], **given("SOPInstanceUID", self.selection.instance)}
        inherited = dict(series.values)
        count = None if wanted else _number(series.get("NumberOfSeriesRelatedInstances"))
        path = f"{resource(series['StudyInstanceUID'], series.uid)}/instances"
        rows = self._below(path, wanted, "instance", count)
        if count is not None and len(rows) < count and self.client.counts:
            raise TransportError(
                f"{self.client.locator}: the server says that a series has {count} instances, and "
                f"lists {len(rows)}; counts=False believes the list"
            )
        return _records("instance", rows, wanted, inherited)

    def _below(
        self, path: str, wanted: dict[str, str], level: Level, count: int | None
    ) -> list[dict[str, str]]:
        try:
            return self.client.rows(path, wanted, level, count=count)
        except SourceNotFoundError:
            # So some say that there is nothing below it.
            return []


def _records(
    level: Level, rows: list[dict[str, str]], wanted: dict[str, str], inherited: dict[str, str]
) -> list[Record]:
    records = []
    for row in rows:
        values = {**row, **{key: text for key, text in inherited.items() if not row.get(key)}}
        # Whatever a server says, what is below a study is of this study.
        values |= {key: text for key, text in inherited.items() if key.endswith("InstanceUID")}
        if all(agrees(key, text, values) for key, text in wanted.items()):
            records.append(Record(level, values))
    return records


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() else None
