"""Raw value to plain Python, by value representation (PS3.5 section 6.2): pure and cached."""

from __future__ import annotations

import struct
import warnings
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from imagedata_xr.formats.dicom.headers.dictionary import SIMPLE_VRS

if TYPE_CHECKING:
    from collections.abc import Callable

    from imagedata_xr.frames import Value

__all__ = ["PADDING", "UndecodableError", "decode", "is_blank"]

PADDING = " \0\t\r\n"
_BINARY = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d", "UV": "Q", "SV": "q"}
_TEXT = frozenset(("LO", "SH", "UC", "LT", "ST", "UT", "PN"))
_WHOLE = frozenset(("LT", "ST", "UT", "UR"))
_NUMBERS = frozenset((*_BINARY, "AT"))
# Longer values are rare and seldom asked for twice.
_CACHED = 1024
_ESCAPE = 0x1B


class UndecodableError(ValueError):
    """A value that its value representation does not allow; the text is what the value is."""


def decode(vr: str, raw: bytes, character_set: bytes = b"") -> Value:
    """
    Return what a raw value means.

    Parameters
    ----------
    vr : str
        Value representation; binary ones and sequences have no value here.
    raw : bytes
        In little endian.
    character_set : bytes
        Raw value of Specific Character Set (PS3.3 C.12.1.1.2), for text.

    Returns
    -------
    str, int, float, tuple of these, or None
        A tuple for more than one value; None for none.

    Raises
    ------
    UndecodableError
        A number cannot be read.
    """
    function = _cached if len(raw) <= _CACHED else _decode
    return function(vr, raw, character_set if vr in _TEXT else b"")


def is_blank(vr: str, raw: bytes) -> bool:
    """Tell whether a raw value is nothing but padding."""
    if vr not in SIMPLE_VRS:
        return True
    return not raw if vr in _NUMBERS else raw[:1] in b" \0\t\r\n" and not raw.strip(b" \0\t\r\n")


def _decode(vr: str, raw: bytes, character_set: bytes) -> Value:
    if vr not in SIMPLE_VRS or is_blank(vr, raw):
        return None
    if vr in _NUMBERS:
        return _tags(raw) if vr == "AT" else _binary(raw, _BINARY[vr])
    if vr in _TEXT:
        return _text(vr, raw, character_set)
    text = raw.decode("latin-1").strip(PADDING)
    if vr in _WHOLE:
        return text
    convert = _CONVERTERS.get(vr)
    parts = [part.strip(PADDING) for part in text.split("\\")]
    values = parts if convert is None else [convert(part) for part in parts]
    return values[0] if len(values) == 1 else tuple(values)


_cached = lru_cache(maxsize=1 << 17)(_decode)


def _decimal(text: str) -> str | float:
    # An empty value among others keeps its place.
    if not text:
        return ""
    try:
        if "_" not in text:
            return float(text)
    except ValueError:
        pass
    raise UndecodableError(f"{text[:32]!r}, not a number")


def _integer(text: str) -> str | int | float:
    try:
        if "_" not in text:
            return int(text)
    except ValueError:
        pass
    number = _decimal(text)
    if isinstance(number, float) and number.is_integer():
        return int(number)
    return number


_CONVERTERS: dict[str, Callable[[str], str | int | float]] = {"DS": _decimal, "IS": _integer}


def _unpacked(raw: bytes, code: str, size: int) -> tuple[Any, ...]:
    if len(raw) % size:
        raise UndecodableError(f"{len(raw)} bytes long, not a multiple of {size}")
    return struct.unpack(f"<{len(raw) // struct.calcsize('<' + code)}{code}", raw)


def _binary(raw: bytes, code: str) -> Value:
    values: tuple[int | float, ...] = _unpacked(raw, code, struct.calcsize("<" + code))
    return values[0] if len(values) == 1 else values


def _tags(raw: bytes) -> Value:
    halves = _unpacked(raw, "H", 4)
    tags = tuple(g << 16 | e for g, e in zip(halves[::2], halves[1::2], strict=True))
    return tags[0] if len(tags) == 1 else tags


def _text(vr: str, raw: bytes, character_set: bytes) -> Value:
    if vr == "PN":
        return _person_names(raw, character_set)
    text = _characters(raw, character_set)
    if vr in _WHOLE:
        return text.rstrip(" \0") or None
    parts = tuple(part.rstrip(" \0") for part in text.split("\\"))
    return (parts[0] or None) if len(parts) == 1 else parts


def _person_names(raw: bytes, character_set: bytes) -> Value:
    # Empty groups at the end carry nothing (PS3.5 section 6.2.1).
    text = _characters(raw.rstrip(b"\0 "), character_set, person=True)
    names = tuple(name.rstrip("=") for name in text.split("\\"))
    return (names[0] or None) if len(names) == 1 else names


def _characters(raw: bytes, character_set: bytes, *, person: bool = False) -> str:
    if raw.isascii() and _ESCAPE not in raw:
        return raw.decode("ascii")
    from pydicom.charset import decode_bytes
    from pydicom.valuerep import PN_DELIMS, TEXT_VR_DELIMS

    with warnings.catch_warnings():
        # Text that does not fit its character set is shown with replacement characters.
        warnings.simplefilter("ignore")
        try:
            encodings = _encodings(character_set)
            return decode_bytes(raw, encodings, PN_DELIMS if person else TEXT_VR_DELIMS)
        except (LookupError, ValueError):
            return raw.decode("latin-1")


@lru_cache(maxsize=256)
def _encodings(character_set: bytes) -> tuple[str, ...]:
    from pydicom.charset import convert_encodings

    terms = [term.strip(" \0") for term in character_set.decode("latin-1").split("\\")]
    return tuple(convert_encodings(terms if len(terms) > 1 else terms[0]))
