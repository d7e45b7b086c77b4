"""What the numbers in answers mean (PS3.7 annex C, PS3.4 sections B.2.3, C.4)."""

from __future__ import annotations

from typing import Final

__all__ = ["describe", "is_pending", "is_stored", "is_temporary", "is_warning"]

_TEXTS: Final = {
    0x0000: "success",
    0x0105: "no such attribute",
    0x0106: "invalid attribute value",
    0x0107: "attribute list error",
    0x0110: "processing failure",
    0x0111: "duplicate SOP instance",
    0x0112: "no such SOP instance",
    0x0117: "invalid SOP instance",
    0x0118: "no such SOP class",
    0x0119: "class and instance conflict",
    0x0122: "SOP class not supported",
    0x0124: "not authorized",
    0x0210: "duplicate invocation",
    0x0211: "unrecognized operation",
    0x0212: "mistyped argument",
    0x0213: "resource limitation",
    0xA701: "out of resources: cannot count the matches",
    0xA702: "out of resources: cannot perform sub-operations",
    0xA801: "move destination unknown",
    0xB000: "warning: elements were coerced, or sub-operations failed",
    0xB006: "warning: elements were discarded",
    0xB007: "warning: the data set does not match its SOP class",
    0xFE00: "cancelled",
}
_CLASSES: Final = {
    0xA7: "out of resources",
    0xA8: "refused",
    0xA9: "the data set does not match its SOP class",
    0xB0: "warning",
}


def describe(status: int) -> str:
    """Return a status in words, with its number."""
    text = _TEXTS.get(status) or _CLASSES.get(status >> 8)
    if text is None:
        text = "unable to process" if status >> 12 == 0xC else "unknown status"
    return f"{text} (0x{status:04X})"


def is_pending(status: int) -> bool:
    """Tell whether more answers follow."""
    return status in (0xFF00, 0xFF01)


def is_warning(status: int) -> bool:
    """Tell whether the request was done, with a warning."""
    return status >> 12 == 0xB or status in (0x0001, 0x0107, 0x0116)


def is_stored(status: int) -> bool:
    """Tell whether a C-STORE was done."""
    return status == 0 or is_warning(status)


def is_temporary(status: int) -> bool:
    """Tell whether the same request may be answered otherwise a little later."""
    return status >> 8 == 0xA7 or status == 0x0213
