"""Frames by series, the choice of one of them, and the choice of frames by header value."""

from __future__ import annotations

import difflib
import warnings
from collections import Counter
from math import isclose
from typing import TYPE_CHECKING, Any, TypeAlias

from imagedata_xr.errors import (
    DataWarning,
    MultipleSeriesError,
    NoImagesError,
    OptionError,
    outside,
)
from imagedata_xr.frames import Frames, attribute, evaluate
from imagedata_xr.naming import plain_name
from imagedata_xr.sortkeys import names, readings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from imagedata_xr.frames import Frame, Value

    Criterion: TypeAlias = Value | Sequence[Value] | slice | Callable[[Value], bool]
    SeriesChoice: TypeAlias = str | int | Sequence[str | int]

__all__ = [
    "by_series",
    "choose_series",
    "describe_series",
    "fitting_series",
    "one_patient",
    "select_frames",
]

ALL = "all"
_SHOWN = ("SeriesNumber", "Modality", "SeriesDescription", "SeriesInstanceUID")


def by_series(frames: Sequence[Frame]) -> list[list[Frame]]:
    """Group frames by Series Instance UID, in the order of their series numbers."""
    groups: dict[Value, list[Frame]] = {}
    for uid, frame in zip(attribute("SeriesInstanceUID", frames), frames, strict=True):
        groups.setdefault(uid, []).append(frame)
    return sorted(groups.values(), key=_series_order)


def _series_order(frames: Sequence[Frame]) -> tuple[int, str]:
    number = frames[0].values.get("SeriesNumber")
    uid = str(frames[0].values.get("SeriesInstanceUID"))
    return (number if isinstance(number, int) else 1 << 40, uid)


def describe_series(frames: Sequence[Frame]) -> dict[str, Any]:
    """Return what tells a series from its neighbours, for messages and for choosing."""
    values = frames[0].values
    found: dict[str, Any] = {name: values.get(name) for name in _SHOWN}
    return {**found, "frames": len(frames)}


def choose_series(groups: Sequence[list[Frame]], series: SeriesChoice | None) -> list[Frame]:
    """
    Return the frames of the series that is meant.

    Parameters
    ----------
    groups : sequence of list of Frame
        As `by_series` returns them.
    series : str, int, sequence or None
        A series number, a Series Instance UID or a series description; several of these, whose
        frames are then sorted together; ``"all"``; or None where there is only one.

    Raises
    ------
    MultipleSeriesError
        Several series fit; the message lists them with the argument that chooses each.
    NoImagesError
        No series fits.
    """
    if series is None or (isinstance(series, str) and series == ALL):
        if len(groups) > 1 and series is None:
            raise _several(groups, "several series", groups)
        return [frame for group in groups for frame in group]
    if isinstance(series, str | int):
        return _one(groups, series)
    return [frame for choice in series for frame in _one(groups, choice)]


def one_patient(frames: Sequence[Frame]) -> None:
    """
    Check that frames to be sorted together are of one patient, and each series of one examination.

    Raises
    ------
    MultipleSeriesError
        They have several values of Patient ID; or one series has several of what is the same for
        all its images (PS3.3 C.7.2.1, C.7.4.1): study, frame of reference, patient position. Or no
        image has a Patient ID, and they have several names.

    Warns
    -----
    DataWarning
        Images with one Patient ID have several names.
    """
    _constant(frames, "PatientID")
    _one_name(frames)
    for group in map(Frames, by_series(frames)):
        for keyword in ("StudyInstanceUID", "FrameOfReferenceUID", "PatientPosition"):
            _constant(group, keyword)


def _one_name(frames: Sequence[Frame]) -> None:
    found = attribute("PatientName", frames)
    several = {value: plain_name(str(value or "")) for value in dict.fromkeys(found)}
    names = Counter(several[value] for value in found if several[value])
    if len(names) < 2:
        return
    if any(attribute("PatientID", frames)):
        ((usual, _),) = names.most_common(1)
        odd = next(k for k, value in enumerate(found) if several[value] not in ("", usual))
        warnings.warn(
            f"{frames[odd].ref.source.name}: has another PatientName than other images with the same "
            "PatientID: the array has none (.med.header() has that of each image)",
            DataWarning,
            stacklevel=outside(),
        )
        return
    raise MultipleSeriesError(
        f"the images have no PatientID, and {len(names)} names: they may be of several patients, who "
        "are never put into one array",
        groups=[{"frames": count} for count in names.values()],
        suggestions=[{"select": {"PatientName": value}} for value, name in several.items() if name],
    )


def _constant(frames: Sequence[Frame], keyword: str) -> None:
    counts: Counter[str] = Counter()
    for value, count in Counter(attribute(keyword, frames)).items():
        counts[str(value or "")] += count
    if len(counts) > 1:
        what = "patients" if keyword == "PatientID" else f"values of {keyword} in one series"
        raise MultipleSeriesError(
            f"the images are of {len(counts)} {what}, which are never put into one array",
            groups=[{keyword: name, "frames": count} for name, count in counts.items()],
            suggestions=[{"select": {keyword: name}} for name in counts if name],
        )


def fitting_series(groups: Sequence[list[Frame]], series: SeriesChoice) -> list[list[Frame]]:
    """
    Return every series that is meant, each for itself: a number may be that of several patients'.

    Parameters
    ----------
    groups, series
        As for `choose_series`.

    Raises
    ------
    NoImagesError
        No series fits one of the choices.
    """
    if isinstance(series, str | int):
        return list(groups) if series == ALL else _fitting(groups, series)
    chosen = {id(group) for choice in series for group in _fitting(groups, choice)}
    return [group for group in groups if id(group) in chosen]


def _fitting(groups: Sequence[list[Frame]], choice: str | int) -> list[list[Frame]]:
    fits = [group for group in groups if _fits(group[0].values, choice)]
    if fits:
        return fits
    lines = "\n".join(_line(describe_series(group)) for group in groups)
    raise NoImagesError(f"series={choice!r} fits none of the series that are there:\n{lines}")


def _one(groups: Sequence[list[Frame]], choice: str | int) -> list[Frame]:
    fits = _fitting(groups, choice)
    if len(fits) > 1:
        raise _several(fits, f"series={choice!r} fits several series", groups)
    return fits[0]


def _fits(values: Mapping[str, Value], choice: str | int) -> bool:
    if isinstance(choice, int):
        return values.get("SeriesNumber") == choice
    wanted = choice.strip()
    texts = (values.get("SeriesInstanceUID"), values.get("SeriesDescription"))
    return wanted in texts or (wanted.isdigit() and values.get("SeriesNumber") == int(wanted))


def _several(
    fits: Sequence[list[Frame]], what: str, everything: Sequence[list[Frame]]
) -> MultipleSeriesError:
    found = [describe_series(group) for group in fits]
    lines = "\n".join(_line(series) for series in found)
    counts = [describe_series(group)["SeriesNumber"] for group in everything]
    suggestions = [
        {"series": series["SeriesNumber"]}
        if isinstance(series["SeriesNumber"], int) and counts.count(series["SeriesNumber"]) == 1
        else {"series": series["SeriesInstanceUID"]}
        for series in found
    ]
    return MultipleSeriesError(
        f"{what} where one is meant:\n{lines}\n"
        "(series='all', or a list, sorts them together; xarray.open_datatree opens each)",
        groups=found,
        suggestions=suggestions,
    )


def _line(series: Mapping[str, Any]) -> str:
    number, description = series["SeriesNumber"], series["SeriesDescription"]
    return (
        f"  {number if number is not None else '-'}: {description or '(no description)'} "
        f"[{series['Modality']}, {series['frames']} frames, {series['SeriesInstanceUID']}]"
    )


def select_frames(frames: Sequence[Frame], select: Mapping[str, Criterion]) -> list[Frame]:
    """
    Return the frames whose header values fit.

    Parameters
    ----------
    frames : sequence of Frame
    select : mapping
        DICOM keyword (or the name of a sort key such as ``"te"``) to a value; a list of values,
        one of which must fit; a ``slice(low, high)`` of numbers; or a predicate. A multi-valued
        attribute fits a tuple of all its values, or one of its values.

    Raises
    ------
    OptionError
        No frame has such an attribute.
    NoImagesError
        No frame fits.
    """
    if not hasattr(select, "items"):
        raise OptionError(
            f"select={select!r}: give a mapping of DICOM keywords to values, e.g. "
            "{'EchoTime': 4.6}"
        )
    chosen = list(frames)
    for keyword, criterion in select.items():
        read = _reader(keyword)
        values = evaluate(read, chosen)
        if all(value is None for value in values):
            raise OptionError(_unknown(keyword, frames[0].values))
        kept = [
            frame for frame, value in zip(chosen, values, strict=True) if _meets(value, criterion)
        ]
        if not kept:
            known = sorted(set(values) - {None}, key=_rank)
            there = ", ".join(f"{v:g}" if isinstance(v, float) else repr(v) for v in known[:12])
            more = f", ... {len(known)} values" if len(known) > 12 else ""
            raise NoImagesError(
                f"select={{{keyword!r}: {criterion!r}}} leaves no frame: {keyword} is {there}{more}"
            )
        chosen = kept
    return chosen


def _rank(value: Value) -> tuple[bool, float, str]:
    number = isinstance(value, int | float)
    return not number, float(value) if isinstance(value, int | float) else 0.0, str(value)


def _reader(keyword: str) -> Callable[[Mapping[str, Value]], Value]:
    if keyword in names():
        return readings(keyword)[0].value
    return lambda values: values.get(keyword)


def _unknown(keyword: str, values: Mapping[str, Value]) -> str:
    near = difflib.get_close_matches(keyword, [*values, *names()], n=3)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    return f"select: no frame has a value for {keyword!r}{hint}"


def _meets(value: Value, criterion: Criterion) -> bool:
    if callable(criterion):
        return value is not None and bool(criterion(value))
    if isinstance(criterion, slice):
        low, high = criterion.start, criterion.stop
        return (
            isinstance(value, int | float)
            and (low is None or value >= low)
            and (high is None or value <= high)
        )
    if isinstance(criterion, list | set | frozenset):
        return any(_equal(value, one) for one in criterion)
    return _equal(value, criterion)


def _equal(value: Value, wanted: object) -> bool:
    if isinstance(value, int | float) and isinstance(wanted, int | float):
        return isclose(value, wanted, rel_tol=1e-4, abs_tol=1e-9)
    if isinstance(value, tuple):
        if isinstance(wanted, tuple):
            return len(value) == len(wanted) and all(map(_equal, value, wanted))
        return any(_equal(one, wanted) for one in value)
    return value is not None and value == wanted
