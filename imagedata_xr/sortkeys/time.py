"""
Time of a frame in seconds, from the attribute that really orders the series.

The readings are tried in their order. Dates are taken into account, so that midnight is crossed
in the right direction (DT and TM values: PS3.5 6.2).
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING

from imagedata_xr import schema
from imagedata_xr.sortkeys.key import SortKey, number

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from imagedata_xr.frames import Value

__all__ = [
    "CONTENT_TIMES",
    "READINGS",
    "date_seconds",
    "datetime_seconds",
    "instance_order",
    "time_seconds",
]

_DAY = 86400.0
# Seconds are counted from the year 2000, so that a float holds them to a tenth of a microsecond.
_EPOCH = date(2000, 1, 1).toordinal()
# More than any instance has (Number of Frames is an IS, but files stay below 4 GiB).
_MOST_FRAMES = 1 << 24
_TIME = re.compile(r"(\d{2}):?(?:(\d{2}):?(?:(\d{2})(?:\.(\d{1,6}))?)?)?")
_DATE = re.compile(r"(\d{4})[.-]?(\d{2})[.-]?(\d{2})")
_DATETIME = re.compile(r"(\d{8})(\d{2}(?:\d{2}(?:\d{2}(?:\.\d{1,6})?)?)?)?\s*([+-]\d{4})?")


@lru_cache(maxsize=65536)
def time_seconds(text: str) -> float | None:
    """Return the seconds since midnight of a DICOM TM value, or None where it is none."""
    match = _TIME.fullmatch(text.strip())
    if match is None:
        return None
    hours, minutes, seconds = (int(part or 0) for part in match.groups()[:3])
    fraction = float(f"0.{match[4] or 0}")
    return hours * 3600.0 + minutes * 60.0 + seconds + fraction


@lru_cache(maxsize=4096)
def date_seconds(text: str) -> float | None:
    """Return the seconds from the year 2000 to the start of a DICOM DA value, or None."""
    match = _DATE.fullmatch(text.strip())
    if match is None:
        return None
    try:
        day = date(int(match[1]), int(match[2]), int(match[3]))
    except ValueError:
        return None
    return (day.toordinal() - _EPOCH) * _DAY


@lru_cache(maxsize=65536)
def datetime_seconds(text: str) -> float | None:
    """Return the seconds from the year 2000 to a DICOM DT value (in UTC where it has an offset)."""
    match = _DATETIME.fullmatch(text.strip())
    if match is None or match[2] is None:
        return None
    day, clock = date_seconds(match[1]), time_seconds(match[2])
    if day is None or clock is None:
        return None
    offset = 0.0
    if match[3]:
        sign = -1 if match[3][0] == "-" else 1
        offset = sign * (int(match[3][1:3]) * 3600.0 + int(match[3][3:5]) * 60.0)
    return day + clock - offset


def _text(values: Mapping[str, Value], keyword: str) -> str:
    value = values.get(keyword)
    return value if isinstance(value, str) else ""


def _dated(date_keyword: str, time_keyword: str) -> Callable[[Mapping[str, Value]], Value]:
    def value(values: Mapping[str, Value]) -> Value:
        start = date_seconds(_text(values, date_keyword))
        seconds = time_seconds(_text(values, time_keyword))
        return None if start is None or seconds is None else start + seconds

    return value


def _undated(date_keyword: str, time_keyword: str) -> Callable[[Mapping[str, Value]], Value]:
    """Read clock times of frames that have no date; never mixed with those that have one."""

    def value(values: Mapping[str, Value]) -> Value:
        if date_seconds(_text(values, date_keyword)) is not None:
            return None
        return time_seconds(_text(values, time_keyword))

    return value


def _datetime(*, offset: bool) -> Callable[[Mapping[str, Value]], Value]:
    """Read moments with, or without, an offset from UTC; never mixed."""

    def value(values: Mapping[str, Value]) -> Value:
        text = _text(values, "AcquisitionDateTime")
        match = _DATETIME.fullmatch(text.strip())
        has_offset = match is not None and bool(match[3])
        return datetime_seconds(text) if has_offset == offset else None

    return value


def _milliseconds(keyword: str) -> Callable[[Mapping[str, Value]], Value]:
    def value(values: Mapping[str, Value]) -> Value:
        ms = number(values, keyword)
        return None if ms is None else ms / 1000.0

    return value


def _step(values: Mapping[str, Value]) -> float | None:
    """
    Return the seconds from one temporal position to the next, where the header knows them.

    Temporal Resolution (0020,0110) is that; the repetition time is, in single-shot echo planar
    series, where a volume is acquired in one repetition.
    """
    resolution = number(values, "TemporalResolution")
    if resolution:
        return resolution / 1000.0
    repetition = number(values, "RepetitionTime")
    scanning = values.get("ScanningSequence")
    echo_planar = (
        "EP" in (scanning if isinstance(scanning, tuple) else (scanning,))
        or values.get("EchoPlanarPulseSequence") == "YES"
    )
    if repetition and echo_planar and values.get("MRAcquisitionType") == "2D":
        return repetition / 1000.0
    return None


def instance_order(values: Mapping[str, Value]) -> Value:
    """Return the instance number; within an instance of several frames their order counts on."""
    instance, frame = number(values, "InstanceNumber"), number(values, "FrameNumber")
    if frame is None:
        return instance
    return (instance or 0.0) * _MOST_FRAMES + frame


def _repetition(values: Mapping[str, Value]) -> float | None:
    """
    Return the repetition time in seconds.

    No volume is acquired faster: content times closer than that are times of reconstruction.
    """
    ms = number(values, "RepetitionTime")
    return None if ms is None else ms / 1000.0


def _reading(
    source: str, value: Callable[[Mapping[str, Value]], Value], *, span: float | None = None
) -> SortKey:
    return SortKey(
        name=schema.TIME,
        source=source,
        value=value,
        units=schema.UNITS_OF[schema.TIME],
        ranked=True,
        span=span,
    )


def _clock(kind: str) -> tuple[SortKey, SortKey]:
    """Return the readings of a date and a time, and of the time alone."""
    day, clock = f"{kind}Date", f"{kind}Time"
    return (
        _reading(f"{day}+{clock}", _dated(day, clock)),
        _reading(clock, _undated(day, clock), span=_DAY / 2),
    )


def _doubted(key: SortKey) -> SortKey:
    """
    Take a content time only where nothing else tells the time.

    It is the time of reconstruction where the scanner has its own count of time points.
    """

    def value(values: Mapping[str, Value]) -> Value:
        counted = (number(values, "NumberOfTemporalPositions") or 0) > 1
        return None if counted else key.value(values)

    return replace(key, value=value, shortest=_repetition)


# As the user asks for it: without the doubts that keep it from being chosen by itself.
CONTENT_TIMES = _clock("Content")

READINGS = (
    _reading("AcquisitionDateTime", _datetime(offset=False)),
    _reading("AcquisitionDateTime", _datetime(offset=True)),
    *_clock("Acquisition"),
    _reading("TriggerTime", _milliseconds("TriggerTime")),
    _reading("FrameReferenceTime", _milliseconds("FrameReferenceTime")),
    _reading(
        "TemporalPositionTimeOffset",
        lambda values: number(values, "TemporalPositionTimeOffset"),
    ),
    # What readers of cine instances make of Frame Time and Frame Time Vector (PS3.3 C.7.6.5).
    _reading("FrameTimeOffset", _milliseconds("FrameTimeOffset")),
    SortKey(
        name=schema.TIME,
        source="TemporalPositionIdentifier",
        value=lambda values: number(values, "TemporalPositionIdentifier"),
        units=schema.UNITS_OF[schema.TIME],
        counts=True,
        step=_step,
    ),
    SortKey(
        name=schema.TIME,
        source="InstanceNumber",
        value=instance_order,
        units=schema.UNITS_OF[schema.TIME],
        ranked=True,
        counts=True,
        step=_step,
    ),
    *(_doubted(key) for key in CONTENT_TIMES),
)
