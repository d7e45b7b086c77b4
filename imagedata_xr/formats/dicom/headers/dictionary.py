"""
The DICOM dictionary (PS3.6) in the form that a walk over the bytes of a file needs.

Tags and value representations (VR, PS3.5 section 6.2) are met in a file as little-endian integers:
``key`` is the tag as read by ``<I`` (element in the upper half), ``code`` the VR as read by ``<H``.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from pydicom._dicom_dict import DicomDictionary
from pydicom.datadict import (
    dictionary_VR,
    keyword_dict,
    private_dictionary_VR,
)

__all__ = [
    "KEYWORD_OF",
    "PIXEL_TAGS",
    "SHORT_TABLES",
    "SIMPLE_KEYS",
    "SIMPLE_VRS",
    "TAG_OF",
    "code_of",
    "key_of",
    "known_private_vr",
    "known_vr",
]

SHORT_VRS: Final = frozenset(
    {"AE", "AS", "AT", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "LO"}
    | {"LT", "PN", "SH", "SL", "SS", "ST", "TM", "UI", "UL", "US"}
)
LONG_VRS: Final = frozenset(
    {"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"}
)
# Those whose value is text or numbers.
SIMPLE_VRS: Final = SHORT_VRS | {"SV", "UC", "UR", "UT", "UV"}
PIXEL_TAGS: Final = (0x7FE00010, 0x7FE00008, 0x7FE00009)


def key_of(tag: int) -> int:
    """Return a tag as it is met in little-endian bytes; the inverse of itself."""
    return (tag & 0xFFFF) << 16 | tag >> 16


def code_of(vr: str) -> int:
    """Return a VR as it is met in little-endian bytes."""
    return ord(vr[0]) | ord(vr[1]) << 8


VR_OF_CODE: Final = {code_of(vr): vr for vr in SHORT_VRS | LONG_VRS}
SHORT_CODES: Final = frozenset(map(code_of, SHORT_VRS))
LONG_CODES: Final = frozenset(map(code_of, LONG_VRS))

TAG_OF: Final[dict[str, int]] = {
    keyword: int(tag) for keyword, tag in keyword_dict.items() if keyword and int(tag) >> 16 > 2
}
KEYWORD_OF: Final[dict[int, str]] = {tag: keyword for keyword, tag in TAG_OF.items()}


@lru_cache(maxsize=65536)
def known_vr(tag: int) -> str | None:
    """Return the VR of a public element, which may be ambiguous; None for what PS3.6 lacks."""
    if tag >> 16 & 1:
        return None
    try:
        vr = str(dictionary_VR(tag))
    except KeyError:
        return None
    return None if vr == "NONE" else vr


@lru_cache(maxsize=65536)
def known_private_vr(tag: int, creator: str) -> str | None:
    """Return the VR of a private element by pydicom's private dictionary, None if unknown."""
    try:
        return str(private_dictionary_VR(tag, creator))
    except KeyError:
        return None


def _simple_tags() -> dict[int, str]:
    tags = {int(tag): str(entry[0]) for tag, entry in DicomDictionary.items()}
    return {tag: vr for tag, vr in tags.items() if vr in SIMPLE_VRS and tag >> 16 > 2}


_SIMPLE_TAGS = _simple_tags()
# For implicit VR: key to tag, of every element that is kept whatever the file says.
SIMPLE_KEYS: Final = {key_of(tag): tag for tag in _SIMPLE_TAGS}
# For explicit VR: code to the keys of the elements that have just this VR in the dictionary.
SHORT_TABLES: Final = {
    code: {key_of(tag): tag for tag, known in _SIMPLE_TAGS.items() if known == VR_OF_CODE[code]}
    for code in SHORT_CODES
}
