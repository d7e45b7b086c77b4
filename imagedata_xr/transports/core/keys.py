"""Keys of queries: what is known at which level, and whether an answer fits what was asked."""

from __future__ import annotations

import fnmatch
from typing import TYPE_CHECKING, Final

from imagedata_xr.errors import OptionError
from imagedata_xr.transports.core.selection import KEYS, LEVELS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from imagedata_xr.transports.core.selection import Level

__all__ = ["OF_PATIENT", "RETURNED", "agrees", "by_level", "given", "is_pattern"]

# What is asked for at each level; an empty value matches everything.
RETURNED: Final[dict[Level, tuple[str, ...]]] = {
    "patient": ("PatientID", "PatientName", "PatientBirthDate", "PatientSex"),
    "study": (
        "StudyInstanceUID",
        "StudyDate",
        "StudyTime",
        "AccessionNumber",
        "StudyID",
        "StudyDescription",
        "ModalitiesInStudy",
        "NumberOfStudyRelatedSeries",
        "NumberOfStudyRelatedInstances",
    ),
    "series": (
        "SeriesInstanceUID",
        "Modality",
        "SeriesNumber",
        "SeriesDescription",
        "NumberOfSeriesRelatedInstances",
    ),
    "instance": ("SOPInstanceUID", "SOPClassUID", "InstanceNumber", "NumberOfFrames"),
}
OF_PATIENT: Final = RETURNED["patient"]


def given(keyword: str, value: str | None) -> dict[str, str]:
    """Return a key, or nothing for a value that is not given."""
    return {} if value is None else {keyword: value}


def by_level(keys: Sequence[tuple[str, str]]) -> dict[Level, dict[str, str]]:
    """Return more keys by the level at which they are asked for."""
    from pydicom.datadict import tag_for_keyword

    found: dict[Level, dict[str, str]] = {level: {} for level in LEVELS}
    for keyword, value in keys:
        if tag_for_keyword(keyword) is None:
            raise OptionError(f"keys: {keyword!r} is no DICOM keyword")
        of_level = [level for level in LEVELS if keyword in _KEYS_OF[level]]
        found[of_level[0] if of_level else "instance"][keyword] = str(value)
    return found


_KEYS_OF: Final[dict[Level, tuple[str, ...]]] = {
    "patient": RETURNED["patient"],
    "study": (*RETURNED["study"], "ReferringPhysicianName"),
    "series": (
        *RETURNED["series"],
        "BodyPartExamined",
        "ProtocolName",
        "SeriesDate",
        "SeriesTime",
        "StationName",
        "PerformedProcedureStepStartDate",
    ),
    "instance": RETURNED["instance"],
}


def is_pattern(text: str) -> bool:
    """Tell whether a key may match more than one value."""
    return any(mark in text for mark in "*?\\")


def agrees(keyword: str, wanted: str, values: Mapping[str, str]) -> bool:
    """Tell whether an answer is one: servers may ignore keys that they do not know."""
    if keyword not in _STRICT or not wanted:
        return True
    value = values.get(keyword, "")
    if "\\" in wanted:
        return value in wanted.split("\\")
    if keyword in KEYS.values() and keyword != "PatientID":
        return value == wanted
    if keyword == "SeriesNumber" and value.strip().isdecimal() and wanted.strip().isdecimal():
        return int(value) == int(wanted)
    literal = wanted.replace("[", "[[]")
    return fnmatch.fnmatchcase(value.casefold(), literal.casefold().strip())


_STRICT: Final = (*KEYS.values(), "AccessionNumber", "SeriesNumber", "Modality")
