"""Dates and times moved by a constant, date and time together, so that midnights are crossed."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["VRS", "move"]

VRS: Final = ("DA", "TM", "DT")
_DATE: Final = re.compile(r"(\d{4})[.]?(\d{2})[.]?(\d{2})")
_TIME: Final = re.compile(r"(\d{2}):?(?:(\d{2}):?(?:(\d{2})(\.\d{1,6})?)?)?")
_STAMP: Final = re.compile(
    r"(\d{4})(\d{2})?(\d{2})?(\d{2})?(\d{2})?(\d{2})?(\.\d{1,6})?([+-]\d{4})?"
)


def move(dataset: Dataset, tags: list[Any], by: timedelta) -> list[Any]:
    """
    Move dates and times of a data set.

    Parameters
    ----------
    dataset : pydicom.Dataset
        Is changed.
    tags : list
        Of elements with VR DA, TM or DT.
    by : timedelta

    Returns
    -------
    list
        Tags of the values that are no dates or times, and were left as they are.
    """
    wrong: list[Any] = []
    done: set[Any] = set()
    by_keyword = {dataset[tag].keyword: tag for tag in tags}
    for keyword, tag in by_keyword.items():
        mate = by_keyword.get(f"{keyword[:-4]}Time", tag) if keyword.endswith("Date") else tag
        pair = (dataset[tag].VR, dataset[mate].VR) == ("DA", "TM")
        if pair and _move_pair(dataset[tag], dataset[mate], by):
            done |= {tag, mate}
    for tag in tags:
        element = dataset[tag]
        if tag in done or element.is_empty:
            continue
        several = list(element.value) if element.VM > 1 else [element.value]
        moved = [_moved(element.VR, str(value), by) for value in several]
        if None in moved:
            wrong.append(tag)
        else:
            element.value = moved if element.VM > 1 else moved[0]
    return wrong


def _move_pair(date: Any, time: Any, by: timedelta) -> bool:
    if date.VM != 1 or time.VM != 1:
        return False
    day, moment = _DATE.fullmatch(str(date.value)), _TIME.fullmatch(str(time.value))
    if day is None or moment is None:
        return False
    try:
        then = _datetime(day.groups(), moment.groups()) + by
    except (ValueError, OverflowError):
        return False
    date.value = f"{then:%Y%m%d}"
    time.value = _spelled(then, moment.groups())
    return True


def _datetime(day: tuple[Any, ...], time: tuple[Any, ...]) -> datetime:
    hour, minute, second, fraction = (part or 0 for part in time)
    micro = round(float(fraction) * 1e6) if fraction else 0
    year, month, of_month = (int(part) for part in day)
    # A leap second (60) is the second before it.
    at = (int(hour), int(minute), min(int(second), 59), micro)
    return datetime(year, month, of_month, *at)  # noqa: DTZ001 - DICOM times have no zone


def _spelled(then: datetime, time: tuple[Any, ...]) -> str:
    """Return a time with as many parts as it had."""
    _, minute, second, fraction = time
    text = f"{then:%H%M%S}" if second else f"{then:%H%M}" if minute else f"{then:%H}"
    return f"{text}.{then.microsecond:06d}"[: len(text) + len(fraction)] if fraction else text


def _moved(vr: str, value: str, by: timedelta) -> str | None:
    value = value.strip()
    try:
        if vr == "DA":
            day = _DATE.fullmatch(value)
            return (
                None
                if day is None
                else f"{_datetime(day.groups(), ('12',) + (None,) * 3) + by:%Y%m%d}"
            )
        if vr == "TM":
            time = _TIME.fullmatch(value)
            if time is None:
                return None
            then = _datetime(("2000", "01", "02"), time.groups()) + by % timedelta(days=1)
            return _spelled(then, time.groups())
        return _moved_stamp(value, by)
    except (ValueError, OverflowError):
        return None


def _moved_stamp(value: str, by: timedelta) -> str | None:
    found = _STAMP.fullmatch(value)
    if found is None:
        return None
    year, month, day, *time, zone = found.groups()
    then = _datetime((year, month or 1, day or 1), tuple(time)) + by
    text = f"{then:%Y}" + (f"{then:%m}" if month else "") + (f"{then:%d}" if day else "")
    return text + (_spelled(then, tuple(time)) if time[0] else "") + (zone or "")
