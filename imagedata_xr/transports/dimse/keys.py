"""The keys of queries: which are asked for at which level, and whether an answer fits them."""

from __future__ import annotations

import fnmatch
from typing import TYPE_CHECKING, Final

from imagedata_xr.errors import OptionError
from imagedata_xr.transports.core.selection import KEYS, LEVELS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydicom import Dataset

    from imagedata_xr.transports.core.selection import Level

__all__ = [
    "OF_PATIENT",
    "RETURNED",
    "agrees",
    "by_level",
    "given",
    "identifier",
    "is_pattern",
    "values_of",
]

_QUERY_LEVEL: Final[dict[Level, str]] = {
    "patient": "PATIENT",
    "study": "STUDY",
    "series": "SERIES",
    "instance": "IMAGE",
}
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


def identifier(level: Level, values: Mapping[str, str]) -> Dataset:
    """Return the data set of a question."""
    from pydicom import Dataset
    from pydicom.datadict import dictionary_VR, tag_for_keyword

    question = Dataset()
    if not all(value.isascii() for value in values.values()):
        question.SpecificCharacterSet = "ISO_IR 192"
    question.QueryRetrieveLevel = _QUERY_LEVEL[level]
    for keyword, value in values.items():
        tag = tag_for_keyword(keyword)
        if tag is not None:
            question.add_new(tag, dictionary_VR(tag), value)
    return question


def values_of(answer: Dataset) -> dict[str, str]:
    """Return the values that an answer has; what cannot be decoded counts as not sent."""
    values = {}
    for tag in answer.keys():  # noqa: SIM118 - the elements themselves would be decoded
        try:
            element = answer[tag]
            raw = element.value
        except Exception:  # noqa: BLE001, S112 - a server may send anything
            continue
        if element.VR == "SQ" or raw is None or not element.keyword:
            continue
        many = raw if element.VM > 1 else [raw]
        values[element.keyword] = "\\".join(str(one).strip() for one in many)
    return values


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
    literal = wanted.replace("[", "[[]")
    return fnmatch.fnmatchcase(value.casefold(), literal.casefold().strip())


_STRICT: Final = (*KEYS.values(), "AccessionNumber")
