"""The DICOM JSON model (PS3.18 annex F), as far as answers need it."""

from __future__ import annotations

from typing import Any

__all__ = ["items", "values_of"]


def values_of(answer: dict[str, Any]) -> dict[str, str]:
    """
    Return the values of an answer by keyword, several joined by a backslash.

    What is no plain value (sequences, bulk data) or no element of the dictionary is left out.
    """
    from pydicom.datadict import keyword_for_tag

    found = {}
    for tag, element in answer.items():
        if not isinstance(element, dict) or element.get("vr") == "SQ":
            continue
        keyword = keyword_for_tag(tag) if _is_tag(tag) else ""
        values = element.get("Value")
        if keyword and isinstance(values, list):
            found[keyword] = "\\".join(map(_text, values))
    return found


def _is_tag(text: str) -> bool:
    return len(text) == 8 and all(one in "0123456789ABCDEFabcdef" for one in text)


def _text(value: Any) -> str:
    if isinstance(value, dict):
        # A person's name, in up to three writings.
        names = [value.get(key) for key in ("Alphabetic", "Ideographic", "Phonetic")]
        return "=".join(one if isinstance(one, str) else "" for one in names).rstrip("=")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return "" if value is None else str(value).strip()


def items(answer: Any, tag: str) -> list[dict[str, Any]]:
    """Return the items of a sequence, none where there is no such sequence."""
    element = answer.get(tag) if isinstance(answer, dict) else None
    values = element.get("Value") if isinstance(element, dict) else None
    return [one for one in values if isinstance(one, dict)] if isinstance(values, list) else []
