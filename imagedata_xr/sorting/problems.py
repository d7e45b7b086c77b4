"""Errors of sorting that say what is there, what is missing, and which argument solves it."""

from __future__ import annotations

import difflib
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from imagedata_xr import schema
from imagedata_xr.errors import IncompleteGridError, MultipleStacksError
from imagedata_xr.sorting.columns import cells, complete, varies_within
from imagedata_xr.sorting.plan import Candidates, explicit, infer
from imagedata_xr.sorting.stacks import describe_stack
from imagedata_xr.sortkeys import SortKey, names, readings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imagedata_xr.frames import Value
    from imagedata_xr.sorting.columns import Column
    from imagedata_xr.sorting.stacks import Stack

__all__ = ["incomplete", "several_stacks", "varying"]

_MOST = 8
# Attributes that tell every image from every other and so explain nothing.
_IDENTITY = frozenset(
    {
        "SOPInstanceUID",
        "InstanceCreationDate",
        "InstanceCreationTime",
        "InstanceNumber",
        "ImagePositionPatient",
        "SliceLocation",
        "WindowCenter",
        "WindowWidth",
        "SmallestImagePixelValue",
        "LargestImagePixelValue",
        "ImageComments",
        "ContentTime",
        "ContentDate",
    }
)


def several_stacks(stacks: Sequence[Stack]) -> MultipleStacksError:
    """Return the error for a series that is more than one stack."""
    found = [describe_stack(stack) for stack in stacks]
    differing = [
        name
        for name in ("rows", "columns", "colour", "orientation")
        if len({repr(stack[name]) for stack in found}) > 1
    ]
    if len({stack["slices"] is None for stack in found}) > 1:
        differing.append("having a position (ImagePositionPatient)")
    differing = differing or ["in-plane position"]
    lines = "\n".join(_stack_line(number, stack) for number, stack in enumerate(found[:_MOST]))
    more = f"\n  ... and {len(found) - _MOST} more" if len(found) > _MOST else ""
    return MultipleStacksError(
        f"the series holds {len(stacks)} stacks of images that differ in "
        f"{', '.join(differing)} and cannot be one array:\n{lines}{more}\n"
        "(or open all of them with xarray.open_datatree)",
        groups=found,
        suggestions=[{"stack": number} for number in range(min(len(stacks), _MOST))],
    )


def _stack_line(number: int, stack: dict[str, Any]) -> str:
    orientation = stack["orientation"]
    where = (
        "no orientation"
        if orientation is None
        else "cosines " + ", ".join(f"{cosine:.3f}" for cosine in orientation)
    )
    colour = ", colour" if stack["colour"] else ""
    place = ", no position" if stack["slices"] is None else ""
    size = f"{stack['rows']}x{stack['columns']}"
    return f"  {number}: {stack['frames']} frames of {size}{colour}, {where}{place}"


def varying(stack: Candidates) -> dict[str, list[Value]]:
    """Return the attributes that differ between frames of one slice, with their values."""
    keywords = sorted({keyword for frame in stack.frames for keyword in frame.values})
    found = {}
    for keyword in keywords:
        if keyword in _IDENTITY:
            continue
        column = stack.exact(SortKey.from_keyword(keyword))
        if column is not None and varies_within(stack.slots, column.codes):
            found[keyword] = list(column.labels)
    return found


def incomplete(
    stack: Candidates, *, asked: Sequence[Sequence[SortKey]] = (), reason: str = ""
) -> IncompleteGridError | MultipleStacksError:
    """Return the error for frames that make no complete grid."""
    differ = varying(stack)
    component = _component(stack)
    if component is not None and not asked:
        return _several_components(component)
    counts = Counter(np.bincount(stack.slots).tolist())
    total = f"{len(stack.frames)} frames over {int(stack.slots.max()) + 1} slice(s)"
    text = f"{total} make no complete grid"
    if asked:
        text += f" over {' x '.join(key[0].name for key in asked)}"
    if reason:
        text += f": {reason}{'' if 'did you mean' in reason else _meant(asked)}"
    if len(counts) > 1:
        text += "; frames a slice: " + ", ".join(
            f"{count} in {slices} slice(s)" for count, slices in sorted(counts.items())
        )
    columns = _columns(stack, asked)
    groups = _uneven(stack, columns)
    for group in groups[:_MOST]:
        text += f"\n  {group['text']}"
    if differ:
        shown = [f"{keyword} ({_values(values)})" for keyword, values in differ.items()]
        text += f"\nWhat differs between the frames of one slice: {'; '.join(shown[:12])}"
    elif len(counts) > 1 or max(counts) > 1:
        text += "\nNothing in the headers tells the frames of one slice apart"
    else:
        kinds = [f"{c.key.source} ({_values(c.labels)})" for c in stack.discriminators()]
        text += f"\nThe slices are of several kinds: {'; '.join(kinds)}"
    return IncompleteGridError(
        text, groups=groups, suggestions=_suggestions(stack, columns, differ, asked)
    )


def _meant(asked: Sequence[Sequence[SortKey]]) -> str:
    """Return which sort keys somebody may have meant who gave names that are none."""
    keywords = [key[0].name for key in asked if key[0].source == key[0].name]
    wrong = [name for name in keywords if name not in names()]
    near = [name for text in wrong for name in difflib.get_close_matches(text, names(), n=2)]
    return f" (did you mean {' or '.join(near)}?)" if near else ""


def _values(values: Sequence[Value]) -> str:
    shown = ", ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in values[:5])
    return shown if len(values) <= 5 else f"{shown}, ... {len(values)} values"


def _component(stack: Candidates) -> Column | None:
    for column in stack.quantities():
        if column.key.name == schema.COMPONENT:
            return column
    return None


def _several_components(component: Column) -> MultipleStacksError:
    counts = Counter(component.codes.tolist())
    groups = [
        {"component": label, "frames": counts[code]} for code, label in enumerate(component.labels)
    ]
    listed = ", ".join(f"{group['component']} ({group['frames']} frames)" for group in groups)
    return MultipleStacksError(
        f"the series mixes kinds of images that make no complete grid: {listed}",
        groups=groups,
        suggestions=[{"select": {"component": label}} for label in component.labels],
    )


def _columns(stack: Candidates, asked: Sequence[Sequence[SortKey]]) -> list[Column]:
    """Return the columns that come nearest to a grid: those asked for, else what varies."""
    if asked:
        found = [stack.exact(reading) for key in asked for reading in key[:1]]
        return [column for column in found if column is not None]
    columns = stack.quantities()
    for key in readings(schema.TIME):
        column = stack.exact(key)
        if column is not None and varies_within(stack.slots, column.codes):
            number, _ = cells(stack.slots, [*columns, column])
            if len(np.unique(number)) == len(number) and column.size * 2 < len(number):
                return [*columns, column]
    return columns


def _uneven(stack: Candidates, columns: Sequence[Column]) -> list[dict[str, Any]]:
    """List the cells of the grid that hold no frame or several."""
    if not columns:
        return []
    number, size = cells(stack.slots, columns)
    counts = np.bincount(number, minlength=size)
    if size > 100 * len(number):
        return []
    slices = int(stack.slots.max()) + 1
    found = []
    for cell in np.flatnonzero(counts != 1).tolist():
        rest, slot = divmod(cell, slices)
        values: dict[str, Value] = {}
        for column in reversed(columns):
            rest, code = divmod(rest, column.size)
            keyword = column.key.source.split("+")[-1]
            first = stack.frames[int(np.flatnonzero(column.codes == code)[0])]
            raw = first.values.get(keyword)
            values[keyword] = column.labels[code] if raw is None else raw
        what = "missing" if counts[cell] == 0 else f"{counts[cell]} frames"
        where = ", ".join(f"{key}={_values([value])}" for key, value in values.items())
        found.append(
            {
                **values,
                "slice": slot,
                "frames": int(counts[cell]),
                "text": f"{where}, slice {slot}: {what}",
            }
        )
    return found


def _suggestions(
    stack: Candidates,
    columns: Sequence[Column],
    differ: dict[str, list[Value]],
    asked: Sequence[Sequence[SortKey]],
) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if asked:
        axes = infer(stack)
        if axes:
            names = tuple(column.key.name for column in axes)
            found.append({"sort": names[0] if len(names) == 1 else names})
    found.extend(_whole_values(stack, columns, asked))
    found.extend(_whole_slices(stack, asked))
    for keyword in differ:
        column = stack.exact(SortKey.from_keyword(keyword))
        if column is not None and complete(stack.slots, [column]) and not asked:
            found.append({"sort": keyword})
        elif column is not None and _divides(stack, column):
            found.extend(_single_values(stack, column, asked))
    unique = {repr(suggestion): suggestion for suggestion in found}
    return list(unique.values())[:_MOST]


def _single_values(
    stack: Candidates, column: Column, asked: Sequence[Sequence[SortKey]]
) -> list[dict[str, Any]]:
    """Suggest each value that makes an image of all slices; of some slices only where none does."""
    kept = [column.codes == code for code in range(column.size)]
    fits = [code for code, keep in enumerate(kept) if _sortable(stack, keep, asked)]
    slices = int(stack.slots.max()) + 1
    whole = [code for code in fits if np.unique(stack.slots[kept[code]]).size == slices]
    return [{"select": {column.key.source: column.labels[code]}} for code in whole or fits]


def _divides(stack: Candidates, column: Column) -> bool:
    """Tell whether an attribute has few values, each of them with several slices' frames."""
    several = np.bincount(column.codes).min() > 1 or not stack.slots.any()
    return 1 < column.size <= _MOST and bool(several)


def _whole_slices(stack: Candidates, asked: Sequence[Sequence[SortKey]]) -> list[dict[str, Any]]:
    """Suggest to leave out the slices that lack a frame."""
    counts = np.bincount(stack.slots)
    keep = np.isin(stack.slots, np.flatnonzero(counts == counts.max()))
    places = [frame.values.get("SliceLocation") for frame in stack.frames]
    # What is left must have no hole: two slices tell nobody that a third lay between them.
    left = np.unique(stack.slots[keep])
    if (
        keep.all()
        or np.ptp(left) >= left.size
        or any(place is None for place in places)
        or not _sortable(stack, keep, asked)
    ):
        return []
    kept = sorted({place for place, k in zip(places, keep.tolist(), strict=True) if k}, key=str)
    return [{"select": {"SliceLocation": kept}}] if len(kept) <= 64 else []


def _whole_values(
    stack: Candidates, columns: Sequence[Column], asked: Sequence[Sequence[SortKey]]
) -> list[dict[str, Any]]:
    """Suggest to leave out the values (time points, say) that lack a frame."""
    found: list[dict[str, Any]] = []
    for column in columns:
        keyword = column.key.source.split("+")[-1]
        raw = [frame.values.get(keyword) for frame in stack.frames]
        slices = int(stack.slots.max()) + 1
        counts = np.bincount(column.codes, minlength=column.size)
        full = [code for code in range(column.size) if counts[code] == counts.max()]
        if len(full) == column.size or counts.max() % slices or len(full) > 64:
            continue
        keep = np.isin(column.codes, full)
        if _sortable(stack, keep, asked):
            values = sorted(
                {v for v, k in zip(raw, keep, strict=True) if k and v is not None}, key=str
            )
            found.append({"select": {keyword: values if len(values) > 1 else values[0]}})
    return found


def _sortable(stack: Candidates, keep: np.ndarray, asked: Sequence[Sequence[SortKey]] = ()) -> bool:
    """Tell whether the frames that are kept make a complete grid, over the keys that were asked for."""
    if not keep.any():
        return False
    frames = [frame for frame, kept in zip(stack.frames, keep.tolist(), strict=True) if kept]
    slots = np.unique(stack.slots[keep], return_inverse=True)[1].astype(np.intp)
    rest = Candidates(frames, slots, placed=stack.placed)
    return (explicit(rest, asked)[0] if asked else infer(rest)) is not None
