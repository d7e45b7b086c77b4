"""What is asked for, and what is found: the levels patient, study, series, instance."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from imagedata_xr.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["KEYS", "LEVELS", "Level", "Record", "Selection", "level_to_list"]

Level = Literal["patient", "study", "series", "instance"]
LEVELS: Final[tuple[Level, ...]] = ("patient", "study", "series", "instance")
KEYS: Final[dict[Level, str]] = {
    "patient": "PatientID",
    "study": "StudyInstanceUID",
    "series": "SeriesInstanceUID",
    "instance": "SOPInstanceUID",
}


@dataclass(frozen=True, slots=True)
class Selection:
    """
    Which patients, studies, series or instances are meant; what is None is not restricted.

    Attributes
    ----------
    patient : str or None
        Patient ID.
    study, series, instance : str or None
        UIDs.
    accession : str or None
        Accession Number, instead of the UID of a study.
    series_number : int or None
        Instead of the UID of a series.
    keys : tuple of (str, str)
        More DICOM keywords and the values that they must match.

    Examples
    --------
    >>> transports.Selection(patient="ID-17", study="1.2.3").level
    'study'
    """

    patient: str | None = field(default=None, repr=False)
    study: str | None = None
    series: str | None = None
    instance: str | None = None
    accession: str | None = field(default=None, repr=False)
    series_number: int | None = None
    keys: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    @property
    def level(self) -> Level | None:
        """The lowest level that is named; None where nothing is."""
        named = (
            self.patient,
            self.study or self.accession,
            self.series or (self.series_number is not None or None),
            self.instance,
        )
        lowest: Level | None = None
        for level, value in zip(LEVELS, named, strict=True):
            lowest = level if value is not None else lowest
        return lowest


def level_to_list(level: Level | None, selection: Selection, *, top: Level) -> Level:
    """
    Return what is to be listed: what the caller says, else the level below the one selected.

    Parameters
    ----------
    level : {"patient", "study", "series", "instance"} or None
    selection : Selection
    top : {"patient", "study"}
        The level where nothing is selected.

    Raises
    ------
    OptionError
        There is no such level.
    """
    if level is None:
        named = selection.level
        return top if named is None else LEVELS[min(LEVELS.index(named) + 1, len(LEVELS) - 1)]
    if level not in LEVELS:
        raise OptionError(f"level={level!r}: give one of {', '.join(LEVELS)}")
    return level


@dataclass(frozen=True, slots=True)
class Record:
    """
    One patient, study, series or instance that a server has.

    Attributes
    ----------
    level : {"patient", "study", "series", "instance"}
    values : mapping of str to str
        DICOM keywords to values, several joined by a backslash. Left out of the repr: it names
        the patient.

    Examples
    --------
    >>> (study,) = transports.find(url, level="study")
    >>> study["PatientID"], study["StudyDate"]
    ('PHANTOM1', '20240229')
    """

    level: Level
    values: Mapping[str, str] = field(repr=False)

    @property
    def uid(self) -> str:
        """The key of its level: Patient ID or a UID."""
        return self.values.get(KEYS[self.level], "")

    def __getitem__(self, keyword: str) -> str:
        return self.values[keyword]

    def __iter__(self) -> Iterator[str]:
        return iter(self.values)

    def get(self, keyword: str, default: str = "") -> str:
        """Return the value of a DICOM keyword, the default where the server sent none."""
        return self.values.get(keyword) or default
