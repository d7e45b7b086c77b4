"""Coded meanings (PS3.3 8.8) from what callers give them as."""

from __future__ import annotations

from typing import Any

from pydicom import Dataset
from pydicom.sequence import Sequence as Items

from imagedata_xr.errors import OptionError

__all__ = ["code_items", "code_of"]

LONGEST_VALUE = 16
LONGEST_MEANING = 64


def code_of(given: Any, what: str) -> tuple[str, str, str]:
    """
    Return value, scheme and meaning of a code.

    Parameters
    ----------
    given : code
        Three texts: value, scheme and meaning, as a tuple, a ``pydicom.sr.coding.Code`` or a
        `imagedata_xr.roi.Code`; a coded concept of highdicom; or a name of SNOMED CT in pydicom's
        dictionary, such as ``"Liver"``.
    what : str
        What it is for, for errors.

    Raises
    ------
    OptionError
        It is none of these.
    """
    if isinstance(given, str):
        from pydicom.sr.codedict import codes

        try:
            found: Any = getattr(codes.SCT, given)
        except AttributeError:
            raise OptionError(
                f"{what}={given!r} is no name of SNOMED CT in pydicom.sr.codedict: give a code as "
                "(value, scheme, meaning), e.g. ('10200004', 'SCT', 'Liver')"
            ) from None
        return str(found.value), str(found.scheme_designator), str(found.meaning)
    if isinstance(given, Dataset):
        value = next((given.get(k) for k in ("CodeValue", "LongCodeValue") if given.get(k)), "")
        parts = [value, given.get("CodingSchemeDesignator", ""), given.get("CodeMeaning", "")]
    elif isinstance(given, tuple | list):
        parts = list(given[:3])
    else:
        parts = []
    if len(parts) < 3 or not all(isinstance(part, str) and part for part in parts):
        raise OptionError(f"{what}={given!r} is no code: give (value, scheme, meaning)")
    if len(parts[2]) > LONGEST_MEANING:
        raise OptionError(f"{what}: the meaning of a code has at most {LONGEST_MEANING} characters")
    return str(parts[0]), str(parts[1]), str(parts[2])


def code_items(code: tuple[str, str, str]) -> Items:
    """Return a code as the one item of a sequence (PS3.3 8.8)."""
    item = Dataset()
    value, scheme, meaning = code
    setattr(item, "CodeValue" if len(value) <= LONGEST_VALUE else "LongCodeValue", value)
    item.CodingSchemeDesignator = scheme
    item.CodeMeaning = meaning
    return Items([item])
