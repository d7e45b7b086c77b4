"""
Columns of header values over the frames of one stack, and the arithmetic of complete grids.

A frame has a *slot* (the number of its slice) and, for every key, a *code* (the number of its
value among the key's different values). Keys span a complete grid when each combination of slot
and codes stands exactly once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from imagedata_xr.frames import alike, evaluate

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from imagedata_xr.frames import Frame, Value
    from imagedata_xr.sortkeys.key import SortKey

    IntArray = npt.NDArray[np.intp]
    FloatArray = npt.NDArray[np.float64]

__all__ = [
    "Column",
    "Evidence",
    "cells",
    "complete",
    "exact_column",
    "kind_column",
    "parallel",
    "rank_column",
    "read",
]

# Two slices' steps of time may differ by this fraction of the smallest step before one of them
# must be suspected of a missing frame.
_STEP_TOLERANCE = 0.5
# A slice whose longest step is this many times its shortest has a gap: a missing frame doubles it.
_REGULAR = 1.75
# Clocks that do not start anew with every slice, as that of Trigger Time does.
_MOMENTS = frozenset(
    {
        "AcquisitionDateTime",
        "AcquisitionDate+AcquisitionTime",
        "AcquisitionTime",
        "FrameReferenceTime",
    }
)
# Components of one direction differ by less from slice to slice.
_ROUNDING = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """
    One key over the frames of a stack.

    Attributes
    ----------
    key : SortKey
        The reading that the values come from.
    codes : ndarray of int, shape (n,)
        For each frame the index of its value in `labels`.
    labels : tuple
        The different values in ascending order: numbers or strings. For a ranked column with
        values of their own in each slice, the smallest value of each rank.
    values : tuple
        For each frame its own value.
    """

    key: SortKey
    codes: IntArray
    labels: tuple[Value, ...]
    values: tuple[Value, ...]

    @property
    def size(self) -> int:
        """Number of different values."""
        return len(self.labels)


def read(key: SortKey, frames: Sequence[Frame]) -> tuple[Value, ...]:
    """Return the key's value of every frame; none of them where they cannot be believed."""
    values = evaluate(key.value, frames)
    if key.span is not None:
        numbers = [value for value in values if isinstance(value, int | float)]
        if numbers and max(numbers) - min(numbers) > key.span:
            return (None,) * len(values)
    return values


def exact_column(key: SortKey, values: Sequence[Value]) -> Column | None:
    """
    Give the different values numbers, equal up to the key's tolerance.

    Returns
    -------
    Column or None
        None where a frame has no value, or the values cannot be ordered.
    """
    if any(value is None for value in values):
        return None
    if all(isinstance(value, int | float) for value in values):
        return _numeric(key, values)
    if key.units:
        return None
    texts = [_text(value) for value in values]
    labels = sorted(set(texts))
    index = {label: code for code, label in enumerate(labels)}
    codes = np.array([index[text] for text in texts], dtype=np.intp)
    return Column(key, codes, tuple(labels), tuple(texts))


def kind_column(key: SortKey, values: Sequence[Value]) -> Column:
    """
    Give the different values numbers, a missing one and vectors among them.

    Numbers are equal up to the key's tolerance, vectors up to rounding in the header.
    """
    if alike(values):
        return Column(key, np.zeros(len(values), dtype=np.intp), (values[0],), tuple(values))
    codes = np.full(len(values), -1, dtype=np.intp)
    kinds: list[Value] = []
    known: dict[Value, int] = {}
    for place, value in enumerate(values):
        if value not in known:
            same = (k for k, kind in enumerate(kinds) if _alike(kind, value, key.tolerance))
            known[value] = next(same, len(kinds))
            if known[value] == len(kinds):
                kinds.append(value)
        codes[place] = known[value]
    return Column(key, codes, tuple(kinds), tuple(values))


def _alike(one: Value, other: Value, tolerance: float) -> bool:
    if isinstance(one, tuple) and isinstance(other, tuple) and len(one) == len(other):
        return all(_alike(a, b, _ROUNDING) for a, b in zip(one, other, strict=True))
    if isinstance(one, int | float) and isinstance(other, int | float):
        return abs(one - other) <= tolerance * max(abs(one), abs(other), 1.0)
    return one == other


def _text(value: Value) -> str:
    return "\\".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _numeric(key: SortKey, values: Sequence[Value]) -> Column | None:
    array = np.array(values, dtype=np.float64)
    if not np.isfinite(array).all():
        return None
    different, inverse = np.unique(array, return_inverse=True)
    # Moments are large numbers (seconds of years): only their differences can be compared.
    size = np.abs(different - (different[0] if key.ranked else 0.0))
    near = np.diff(different) <= key.tolerance * (1e-3 if key.ranked else size[1:])
    group = np.concatenate([[0], np.cumsum(~near)])
    first = np.concatenate([[True], ~near])
    labels = different[first]
    whole = all(isinstance(value, int) for value in values)
    return Column(
        key,
        group[inverse.ravel()].astype(np.intp),
        tuple(int(v) if whole else float(v) for v in labels),
        tuple(values),
    )


def cells(slots: IntArray, columns: Sequence[Column]) -> tuple[IntArray, int]:
    """Return for each frame the number of its cell in the grid, and the number of cells."""
    number = np.zeros(len(slots), dtype=np.intp)
    size = 1
    for column in columns:
        number = number * column.size + column.codes
        size *= column.size
    slices = int(slots.max()) + 1 if len(slots) else 0
    return number * slices + slots, size * slices


def complete(slots: IntArray, columns: Sequence[Column]) -> bool:
    """Tell whether every cell of the grid holds exactly one frame."""
    number, size = cells(slots, columns)
    return size == len(number) and len(np.unique(number)) == size


def varies_within(groups: IntArray, codes: IntArray) -> bool:
    """Tell whether one group holds different codes."""
    pairs = np.unique(np.stack([groups, codes]), axis=1)
    return bool(pairs.shape[1] > len(np.unique(groups)))


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """
    What else the headers say about the order of time points.

    Attributes
    ----------
    witnesses : sequence of Column
        Other columns that count the same thing (acquisition numbers, say). Where one of them
        agrees, the slices need not run in parallel; where one contradicts, they are refused.
    orders : sequence of Column
        Other readings of time, and the instance numbers. One that rises in every cell orders the
        frames as well: then its slices must run in parallel, or take turns.
    """

    witnesses: Sequence[Column] = ()
    orders: Sequence[Column] = ()


def rank_column(
    key: SortKey,
    values: Sequence[Value],
    slots: IntArray,
    columns: Sequence[Column],
    evidence: Evidence,
) -> Column | None:
    """
    Rank the frames of each cell by a value that each slice has for itself.

    Parameters
    ----------
    key : SortKey
        A ranked key.
    values : sequence
        Its value for every frame.
    slots : ndarray of int, shape (n,)
        Slice of every frame.
    columns : sequence of Column
        The other keys of the grid.
    evidence : Evidence
        What must not contradict the order.

    Returns
    -------
    Column or None
        None where the cells have different numbers of frames, equal values in one cell, or
        values that do not run in parallel from slice to slice (a frame is missing).
    """
    if any(not isinstance(value, int | float) for value in values):
        return None
    array = np.array(values, dtype=np.float64)
    group, size = cells(slots, columns)
    order = np.lexsort((array, group))
    count = np.bincount(group, minlength=size)
    if count.min() != count.max():
        return None
    table = array[order].reshape(-1, int(count[0]))
    codes = np.empty(len(array), dtype=np.intp)
    codes[order] = np.tile(np.arange(table.shape[1]), table.shape[0])
    rises = bool((np.diff(table, axis=1) > 0).all())
    if not rises or not _holds(table, codes, order, evidence, counts=key.counts):
        return None
    labels = table.min(axis=0)
    whole = all(isinstance(value, int) for value in values)
    return Column(
        key, codes, tuple(int(v) if whole else float(v) for v in labels), tuple(array.tolist())
    )


def _holds(
    table: FloatArray, codes: IntArray, order: IntArray, evidence: Evidence, *, counts: bool
) -> bool:
    """Tell whether equal ranks of the rows are one time point, after all that is known."""
    if any(_contradicts(one.codes[order].reshape(table.shape)) for one in evidence.witnesses):
        return False
    if any(np.array_equal(one.codes, codes) for one in evidence.witnesses):
        return True
    return parallel(table, counts=counts) and not any(
        _disorders(other, order, table.shape) for other in evidence.orders
    )


def _contradicts(count: IntArray) -> bool:
    """Tell whether a counter rises in every cell, but not alike: frames are missing."""
    rises = bool((np.diff(count, axis=1) > 0).all()) and count.shape[1] > 1
    return rises and not parallel(count.astype(np.float64), counts=True)


def _disorders(other: Column, order: IntArray, shape: tuple[int, ...]) -> bool:
    """Tell whether another reading rises in every cell, but puts the frames into other ranks."""
    table = np.array(other.values, dtype=np.float64)[order].reshape(shape)
    if shape[1] < 2 or (np.diff(table, axis=1) <= 0).any():
        return False
    if other.key.counts:
        return not _take_turns(table)
    if not parallel(table):
        return True
    exact = other.key.source == "FrameReferenceTime" or bool((table % 1).any())
    return exact and other.key.source in _MOMENTS and _half_shared(table)


def _half_shared(table: FloatArray) -> bool:
    """
    Tell whether rows have some moments in common, but not all: one of them lacks a time point.

    Slices are taken at once always (3-D, multiband) or never; clocks of whole seconds cannot say.
    """
    different, row = np.unique(table, axis=0, return_inverse=True)
    pairs = np.stack([table.ravel(), np.repeat(row.ravel(), table.shape[1])], axis=1)
    return len(different) > 1 and len(np.unique(pairs, axis=0)) > len(np.unique(table))


def _take_turns(table: FloatArray) -> bool:
    """
    Tell whether rows that overlap go rank by rank: all of one rank before the next one.

    Instance numbers run through the slices of a time point, or through the time points of a
    slice (or of a package of slices).
    """
    rows = table[np.argsort(table[:, 0], kind="stable")]
    ends = np.maximum.accumulate(rows[:, -1])
    starts = np.concatenate([[True], rows[1:, 0] > ends[:-1]])
    high = np.maximum.reduceat(rows, np.flatnonzero(starts), axis=0)
    low = np.minimum.reduceat(rows, np.flatnonzero(starts), axis=0)
    return bool((high[:, :-1] < low[:, 1:]).all())


def parallel(table: FloatArray, *, counts: bool = False) -> bool:
    """
    Tell whether the rows of a table step together, so that equal ranks mean one time point.

    A frame missing from one row and another one from the next leave rows of equal length, but
    with steps at different places.

    Parameters
    ----------
    table : ndarray, shape (cells, ranks)
        Ascending values of each cell.
    counts : bool
        The values are counts, not measurements: their steps must be equal.
    """
    steps = np.diff(table, axis=1)
    if steps.size == 0 or len(table) == 1:
        return True
    if not _start_together(table, float(steps.min())):
        return False
    spread = np.abs(steps - np.median(steps, axis=0)).max()
    if counts:
        return bool(spread == 0)
    if spread < _STEP_TOLERANCE * steps.min():
        return True
    return steps.shape[1] > 1 and bool((steps.max(axis=1) < _REGULAR * steps.min(axis=1)).all())


def _start_together(table: FloatArray, step: float) -> bool:
    """Tell whether rows that overlap start within one step: else one of them lacks its first."""
    rows = table[np.argsort(table[:, 0], kind="stable")]
    start, end = rows[0, 0], rows[0, -1]
    for first, last in rows[:, [0, -1]].tolist():
        if first - start >= step:
            if first <= end:
                return False
            start = first
        end = max(end, last)
    return True
