"""Numbers as DICOM texts, and moments as dates and times (PS3.5 6.2)."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Final

__all__ = ["LONGEST_DS", "decimal", "decimal_beyond", "moment"]

LONGEST_DS: Final = 16
_EPOCH: Final = datetime(2000, 1, 1)  # noqa: DTZ001 - DICOM times have the zone of the scanner


def decimal(number: float) -> str:
    """
    Return a number as a DS value: the shortest text that means it, or the closest of 16 characters.

    Parameters
    ----------
    number : float
        Finite.
    """
    number = float(number) + 0.0
    text = repr(number)
    text = text.removesuffix(".0")
    for digits in range(17, 0, -1):
        if len(text) <= LONGEST_DS:
            break
        text = f"{number:.{digits}g}"
    return text


def decimal_beyond(number: float, *, up: bool) -> str:
    """Return the DS value closest to a number that is not below it (``up``) or not above it."""
    text = decimal(number)
    step = max(abs(number), 1e-300) * 1e-16
    moved = number
    while (float(text) < number) if up else (float(text) > number):
        moved = moved + step if up else moved - step
        text = decimal(moved)
        step *= 2
    return text


def moment(seconds: float) -> tuple[str, str]:
    """
    Return the DA and TM values of a moment.

    Parameters
    ----------
    seconds : float
        From the start of the year 2000, as the sort keys count them.
    """
    micro = math.floor(seconds * 1e6 + 0.5)
    then = _EPOCH + timedelta(microseconds=micro)
    return then.strftime("%Y%m%d"), then.strftime("%H%M%S.%f")
