"""What is at a place, without opening it: patients, studies and series, with counts."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final, Literal

from imagedata_xr.errors import OptionError
from imagedata_xr.transports import Locator, find, is_remote, link

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pandas as pd

    from imagedata_xr.cohorts.rows import Row
    from imagedata_xr.transports import Record

__all__ = ["Listing", "ls"]

_LEVELS: Final = ("patient", "study", "series")
_OF_PATIENT: Final = ("project", "PatientID", "PatientName")
_OF_STUDY: Final = ("StudyDate", "AccessionNumber", "StudyDescription")
_OF_SERIES: Final = ("SeriesNumber", "SeriesDescription")
_UIDS: Final = ("StudyInstanceUID", "SeriesInstanceUID")
_COLUMNS: Final = (
    *_OF_PATIENT,
    *_OF_STUDY,
    "SeriesNumber",
    "Modality",
    "SeriesDescription",
    "series",
    "files",
    "problems",
    "path",
    *_UIDS,
)
_TEXTS: Final = (*_OF_PATIENT, *_OF_STUDY, *_OF_SERIES, "Modality", *_UIDS)
_WIDEST: Final = 48


@dataclass(frozen=True, slots=True, repr=False)
class Listing:
    """
    What is at a place; as text, a tree of patients, studies and series.

    Attributes
    ----------
    place : str
        What was listed; of a server's URL, only what names no patient.
    level : {"patient", "study", "series"}
        What a row is.
    rows : tuple of dict
        Each with ``project`` (of XNAT), ``PatientID``, ``PatientName``, ``StudyDate``, ``AccessionNumber``,
        ``StudyDescription``, ``SeriesNumber``, ``Modality``, ``SeriesDescription`` as texts that
        are empty where nothing is known; ``series`` and ``files``, how many there are, None where
        the server does not say; ``problems``, a list of texts; ``path``, what opens it: a URL, a
        folder, or a list of files; ``StudyInstanceUID``, ``SeriesInstanceUID``.
    others : dict of str to int
        How many files are no DICOM, by the end of their names.
    """

    place: str
    level: Literal["patient", "study", "series"]
    rows: tuple[dict[str, Any], ...]
    others: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows)

    def __getitem__(self, number: int) -> dict[str, Any]:
        return self.rows[number]

    def to_pandas(self) -> pd.DataFrame:
        """Return a table with a row for each patient, study or series."""
        import pandas as pd

        return pd.DataFrame(list(self.rows), columns=list(_COLUMNS))

    def to_json(self) -> str:
        """Return the rows as JSON, for programs."""
        return json.dumps(list(self.rows), indent=2, ensure_ascii=False)

    def __repr__(self) -> str:
        return "\n".join(_tree(self))


def ls(
    place: Any,
    *,
    level: Literal["patient", "study", "series"] | None = None,
    **options: Any,
) -> Listing:
    """
    List what is in a folder, an archive, or on a server.

    Files are listed by their headers. A server is asked (C-FIND, QIDO-RS, XNAT's lists); no image
    is fetched.

    Parameters
    ----------
    place : path, URL, list, file object or bytes
        Whatever can be opened: ``"folder"``, ``"study.zip"``, ``"dicom://host:104/AETITLE"``,
        ``"dicomweb+https://host/root"``, ``"xnat://host/project"``, more of their path to list a
        part only.
    level : {"patient", "study", "series"}, optional
        What to list. By default series, but studies of a whole server: asking for all of its
        series may take long.
    **options
        Of the transport's `find`, for servers; ``progress`` for files.

    Returns
    -------
    Listing
        Prints as a tree; ``.to_pandas()`` is a table, ``.rows`` are its rows.

    Raises
    ------
    SourceError
        A folder or file is not there, or cannot be read.
    TransportError
        The server does not answer, or refuses.
    OptionError
        An option means nothing here.

    Examples
    --------
    >>> listing = imagedata_xr.ls(folder)
    >>> len(listing.rows), listing.rows[0]["files"]
    (1, 12)
    """
    if level is not None and level not in _LEVELS:
        raise OptionError(f"level={level!r}: give one of {', '.join(_LEVELS)}")
    if isinstance(place, str | Locator) and is_remote(place):
        return _of_server(Locator.parse(place), level, options)
    unknown = set(options) - {"progress"}
    if unknown:
        raise OptionError(f"{', '.join(sorted(unknown))}: only for servers")
    return _of_files(place, level or "series", **options)


# Servers -----------------------------------------------------------------------------------------


def _of_server(locator: Locator, level: Any, options: dict[str, Any]) -> Listing:
    level = level or ("study" if _is_whole(locator) else "series")
    rows = [_asked(locator, one) for one in find(locator, level=level, **options)]
    if level == "series" and any(row["files"] is None for row in rows):
        # Not every server keeps count.
        there = find(locator, level="instance", **options)
        counts = Counter(link(locator, one, level="series") for one in there)
        for row in rows:
            row["files"] = counts[row["path"]]
    return Listing(str(locator), level, tuple(sorted(rows, key=_order)))


def _is_whole(locator: Locator) -> bool:
    if locator.scheme.startswith("dicomweb"):
        return "studies" not in locator.path[:-1]
    return len(locator.path) <= 1


def _asked(locator: Locator, record: Record) -> dict[str, Any]:
    row: dict[str, Any] = {name: record.get(name) for name in _TEXTS}
    row["project"] = record.get("XNATProject")
    row["Modality"] = row["Modality"] or record.get("ModalitiesInStudy").replace("\\", ",")
    of_level = {"study": "Study", "series": "Series"}.get(record.level)
    row["files"] = _number(record.get(f"NumberOf{of_level}RelatedInstances"))
    row["series"] = {
        "study": _number(record.get("NumberOfStudyRelatedSeries")),
        "series": 1,
    }.get(record.level)
    row["problems"] = []
    row["path"] = link(locator, record)
    return {name: row[name] for name in _COLUMNS}


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() else None


# Files -------------------------------------------------------------------------------------------


def _of_files(place: Any, level: str, *, progress: bool | None = None) -> Listing:
    from imagedata_xr.cohorts.rows import STRANGER
    from imagedata_xr.cohorts.table import place_rows, read_catalog

    found = read_catalog(place, progress=progress)
    others = Counter(_suffix(name) for row in found if row.kind == STRANGER for name in row.files)
    rows: dict[Any, dict[str, Any]] = {}
    files: dict[Any, set[str]] = {}
    for number, (one, where) in enumerate(zip(found, place_rows(found), strict=True)):
        if one.kind == STRANGER:
            continue
        key = one.values.get(_UIDS[1]) or number
        rows.setdefault(key, _read(one, where))
        rows[key]["problems"] += [
            text for text in one.problems if text not in rows[key]["problems"]
        ]
        files.setdefault(key, set()).update(one.files)
    for key, names in files.items():
        rows[key]["files"] = len(names)
    made = _merged(sorted(rows.values(), key=_order), level)
    return Listing(_shown(place), level, tuple(made), dict(sorted(others.items())))  # type: ignore[arg-type]


def _read(one: Row, where: str | list[str]) -> dict[str, Any]:
    texts = {name: str(one.values.get(name) or "") for name in _TEXTS}
    row = {**texts, "series": 1, "files": 0, "problems": [], "path": where}
    return {name: row[name] for name in _COLUMNS}


def _merged(rows: Sequence[dict[str, Any]], level: str) -> list[dict[str, Any]]:
    """Return one row a study or patient, of those of series."""
    if level == "series":
        return list(rows)
    made: dict[Any, dict[str, Any]] = {}
    for row in rows:
        first = made.setdefault(_key(row, level), {**row, "series": 0, "files": 0, "path": []})
        first["series"] += row["series"]
        first["files"] += row["files"]
        first["problems"] = list(dict.fromkeys([*first["problems"], *row["problems"]]))
        first["path"] += row["path"] if isinstance(row["path"], list) else [row["path"]]
        kinds = dict.fromkeys([*filter(None, first["Modality"].split(",")), row["Modality"]])
        first["Modality"] = ",".join(filter(None, kinds))
    gone = (*_OF_SERIES, _UIDS[1], *((*_OF_STUDY, _UIDS[0]) if level == "patient" else ()))
    for row in made.values():
        row.update(dict.fromkeys(gone, ""))
    return list(made.values())


def _suffix(name: str) -> str:
    found = PurePath(name.rpartition("/")[2])
    return "".join(found.suffixes[-2:] if found.suffix == ".gz" else [found.suffix]) or "no suffix"


def _shown(place: Any) -> str:
    if isinstance(place, str | PurePath):
        return str(place)
    return f"{len(place)} places" if isinstance(place, list | tuple) else "a file"


# Text --------------------------------------------------------------------------------------------


def _key(row: dict[str, Any], level: str) -> tuple[str, ...]:
    patient = tuple(row[name] for name in _OF_PATIENT)
    if level == "patient":
        return patient
    uid = row[_UIDS[0]]
    return (*patient, *((uid,) if uid else (row[name] for name in _OF_STUDY)))


def _order(row: dict[str, Any]) -> tuple[Any, ...]:
    number = row["SeriesNumber"]
    return (
        *(row[name] for name in (*_OF_PATIENT, *_OF_STUDY)),
        row[_UIDS[0]],
        int(number) if number.lstrip("-").isdecimal() else 1 << 40,
        number,
        row["SeriesDescription"],
        row[_UIDS[1]],
    )


def _tree(listing: Listing) -> Iterator[str]:
    yield f"{_printable(listing.place)}: {_totals(listing)}"
    patients = _grouped(listing.rows, "patient")
    for patient in patients:
        head = patient[0]
        names = (head["project"], head["PatientID"] or "no Patient ID", head["PatientName"])
        counts = _counts(patient) if listing.level == "patient" else ""
        yield "  ".join(filter(None, (*map(_printable, names), counts)))
        if listing.level != "patient":
            yield from _studies(patient, listing.level)
    if listing.others:
        kinds = ", ".join(f"{count} {_printable(name)}" for name, count in listing.others.items())
        count = sum(listing.others.values())
        are = "is" if count == 1 else "are"
        yield f"and {_plural(count, 'file')} that {are} no DICOM ({kinds})"


def _studies(rows: Sequence[dict[str, Any]], level: str) -> Iterator[str]:
    studies = _grouped(rows, "study")
    for number, study in enumerate(studies):
        last = number == len(studies) - 1
        yield f"{'└' if last else '├'}─ {_study(study, level)}"
        if level == "series":
            widths = [max(len(cell) for cell in column) for column in zip(*map(_cells, study))]  # noqa: B905
            for row in study:
                yield f"{' ' if last else '│'}  {_series(row, widths, row is study[-1])}"


def _study(rows: Sequence[dict[str, Any]], level: str) -> str:
    head = rows[0]
    date = head["StudyDate"]
    if len(date) == 8 and date.isdecimal():
        date = f"{date[:4]}-{date[4:6]}-{date[6:]}"
    names = [date or "no date", head["AccessionNumber"], head["StudyDescription"]]
    if level == "study":
        names.append(head["Modality"])
    return "  ".join([*map(_printable, filter(None, names)), _counts(rows)])


def _cells(row: dict[str, Any]) -> tuple[str, str, str, str]:
    description = _printable(row["SeriesDescription"]) or "-"
    if len(description) > _WIDEST:
        description = f"{description[: _WIDEST - 1]}…"
    count = "" if row["files"] is None else str(row["files"])
    return _printable(row["SeriesNumber"]) or "-", _printable(row["Modality"]), description, count


def _series(row: dict[str, Any], widths: Sequence[int], is_last: bool) -> str:  # noqa: FBT001
    number, modality, description, count = _cells(row)
    text = (
        f"{'└' if is_last else '├'}─ {number:>{widths[0]}}  {modality:<{widths[1]}}  "
        f"{description:<{widths[2]}}  {count:>{widths[3]}}"
    ).rstrip()
    # The first lines only: the arguments that help would be long here, and dicom_dump shows them.
    problems = "; ".join(problem.splitlines()[0] for problem in row["problems"] if problem)
    return f"{text}  ! {_printable(problems)}" if problems else text


def _grouped(rows: Sequence[dict[str, Any]], level: str) -> list[list[dict[str, Any]]]:
    groups: dict[Any, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(_key(row, level), []).append(row)
    return list(groups.values())


def _counts(rows: Sequence[dict[str, Any]]) -> str:
    texts = []
    for name, word in (("series", "series"), ("files", "file")):
        values = [row[name] for row in rows]
        if None not in values:
            texts.append(_plural(sum(values), word))
    return f"({', '.join(texts)})" if texts else ""


def _totals(listing: Listing) -> str:
    texts = [_plural(len(_grouped(listing.rows, "patient")), "patient")]
    if listing.level != "patient":
        studies, counts = len(_grouped(listing.rows, "study")), _counts(listing.rows)
        texts += [_plural(studies, "study"), *filter(None, [counts.strip("()")])]
    return ", ".join(texts) if listing.rows else "no DICOM"


def _plural(count: int, word: str) -> str:
    many = {"study": "studies", "series": "series"}.get(word, f"{word}s")
    return f"{count} {word if count == 1 else many}"


def _printable(text: str) -> str:
    """Return a text that cannot command a terminal: headers and servers may say anything."""
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text)
