"""Questions and answers of C-FIND as data sets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydicom import Dataset

    from imagedata_xr.transports.core.selection import Level

__all__ = ["identifier", "values_of"]

_QUERY_LEVEL: Final[dict[Level, str]] = {
    "patient": "PATIENT",
    "study": "STUDY",
    "series": "SERIES",
    "instance": "IMAGE",
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
