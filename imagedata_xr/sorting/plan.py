"""
Which keys span a complete grid over the frames of one stack.

One rule, no modes: the keys that vary within a slice are candidates; the fewest physical
quantities that form a complete grid are its axes; time is added where they leave several frames a
cell; and where the frames are complete slice by slice but no quantities label them (diffusion
directions, repeated b values), they become numbered volumes.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from imagedata_xr import schema
from imagedata_xr.sorting.columns import (
    Evidence,
    cells,
    complete,
    exact_column,
    kind_column,
    rank_column,
    read,
    varies_within,
)
from imagedata_xr.sortkeys import readings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from imagedata_xr.frames import Frame, Value
    from imagedata_xr.sorting.columns import (
        Column,
        IntArray,
    )
    from imagedata_xr.sortkeys.key import SortKey

__all__ = ["Candidates", "explicit", "infer"]

_QUANTITIES = (
    schema.TE,
    schema.TI,
    schema.FA,
    schema.B,
    schema.COMPONENT,
    schema.LABEL,
    schema.COIL,
)
# What no axis is inferred from, but what must not differ within one volume.

_KINDS = ("DiffusionGradientOrientation",)
_CINE = frozenset({"FrameTimeOffset", "TemporalPositionTimeOffset"})


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """
    The frames of one stack with their slices, and the columns read from them so far.

    Attributes
    ----------
    frames : sequence of Frame
    slots : ndarray of int, shape (n,)
        Slice of every frame.
    placed : bool
        Whether the frames have positions. Without, the images of one time are perhaps slices:
        only frames that say when they were taken, as in cine, make a time axis by themselves.
    """

    frames: Sequence[Frame]
    slots: IntArray
    placed: bool = True
    _known: dict[SortKey, tuple[Value, ...]] = field(default_factory=dict, repr=False)
    _columns: dict[SortKey, Column | None] = field(default_factory=dict, repr=False)

    def values(self, key: SortKey) -> tuple[Value, ...]:
        """Return the key's value of every frame, read once."""
        if key not in self._known:
            self._known[key] = read(key, self.frames)
        return self._known[key]

    def exact(self, key: SortKey) -> Column | None:
        """Return the key's column if every frame has a value."""
        if key not in self._columns:
            self._columns[key] = exact_column(key, self.values(key))
        return self._columns[key]

    def quantities(self) -> list[Column]:
        """Return the columns of physical quantities that vary within a slice."""
        found = []
        for name in _QUANTITIES:
            column = self.exact(readings(name)[0])
            if column is not None and varies_within(self.slots, column.codes):
                found.append(column)
        return found

    def discriminators(self) -> list[Column]:
        """Return all that a volume must agree on over its slices, missing values included."""
        found = []
        for name in (*_QUANTITIES, *_KINDS):
            key = readings(name)[0]
            column = kind_column(key, self.values(key))
            if column.size > 1:
                found.append(column)
        return found

    def witnesses(self) -> list[Column]:
        """Return the counters that may confirm an order of time points."""
        keys = [key for key in readings(schema.VOLUME) if key.counts and not key.ranked]
        columns = [self.exact(key) for key in keys]
        return [column for column in columns if column is not None and column.size > 1]

    def orders(self) -> list[Column]:
        """Return the times and instance numbers that no order of time points may contradict."""
        found: list[Column] = []
        for key in readings(schema.TIME):
            # Times of reconstruction count only where nothing else tells the time.
            if key.shortest is not None and any(not column.key.counts for column in found):
                continue
            column = self.exact(key) if key.ranked else None
            if column is not None and column.size > 1 and not isinstance(column.labels[0], str):
                found.append(column)
        return found


def infer(stack: Candidates) -> tuple[Column, ...] | None:
    """
    Find the axes of a stack from what varies.

    Returns
    -------
    tuple of Column or None
        The axes, in the order of the data model; empty for one frame a slice; None where no keys
        span a complete grid.
    """
    if complete(stack.slots, ()):
        return () if _agree(stack, ()) else None
    quantities = stack.quantities()
    for size in range(1, len(quantities) + 1):
        for chosen in combinations(quantities, size):
            whole = complete(stack.slots, chosen) and _one_kind(quantities, chosen)
            if whole and _agree(stack, chosen):
                return chosen
    return _with_time(stack, quantities) or _volumes(stack)


def _one_kind(quantities: Sequence[Column], chosen: Sequence[Column]) -> bool:
    """Tell whether magnitude, phase and maps are kept apart: the component is an axis or constant."""
    return all(column in chosen for column in quantities if column.key.name == schema.COMPONENT)


def _with_time(stack: Candidates, quantities: Sequence[Column]) -> tuple[Column, ...] | None:
    """Find the quantities that, together with time, explain all that varies."""
    others = stack.discriminators()
    for size in range(len(quantities), -1, -1):
        for chosen in combinations(quantities, size):
            # A repeated b value is a set of volumes: directions or averages, not a time course.
            if any(column.key.name == schema.B for column in chosen):
                continue
            if not _one_kind(quantities, chosen):
                continue
            group, _ = cells(stack.slots, chosen)
            names = {column.key.name for column in chosen}
            if any(
                varies_within(group, other.codes) for other in others if other.key.name not in names
            ):
                continue
            time = _time(stack, chosen)
            if time is not None:
                return (time, *chosen)
    return None


def _time(stack: Candidates, chosen: Sequence[Column]) -> Column | None:
    for key in readings(schema.TIME):
        if key.counts and not (_has_step(key, stack.frames) and _at_once(chosen)):
            continue
        if not stack.placed and key.source not in _CINE:
            continue
        column = next(_columns(stack, key, chosen), None)
        if column is not None and _possible(column, stack.frames):
            return column
    return None


def _possible(column: Column, frames: Sequence[Frame]) -> bool:
    """Tell whether the steps are as long as the quantity's shortest."""
    if column.key.shortest is None:
        return True
    shortest = column.key.shortest(frames[0].values)
    steps = np.diff(np.array(column.labels, dtype=np.float64)) if shortest else np.empty(0)
    return bool((steps >= (shortest or 0.0)).all())


def _at_once(chosen: Sequence[Column]) -> bool:
    """Tell whether one repetition acquires all of a time point: its echoes, and their parts."""
    return all(column.key.name in {schema.TE, schema.COMPONENT, schema.COIL} for column in chosen)


def _has_step(key: SortKey, frames: Sequence[Frame]) -> bool:
    return key.step is not None and key.step(frames[0].values) is not None


def _columns(stack: Candidates, key: SortKey, others: Sequence[Column]) -> Iterator[Column]:
    """Yield the columns of a key that complete the grid of the others: exact, then ranked."""
    values, exact = stack.values(key), stack.exact(key)
    if exact is not None and complete(stack.slots, (exact, *others)):
        if _agree(stack, (exact, *others)):
            yield exact
    elif key.ranked:
        evidence = Evidence(stack.witnesses(), stack.orders())
        ranked = rank_column(key, values, stack.slots, others, evidence)
        if ranked is not None and _agree(stack, (ranked, *others)):
            yield ranked


def _agree(stack: Candidates, axes: Sequence[Column]) -> bool:
    """Tell whether all slices of a volume are of one kind: one echo, direction, component..."""
    flat = np.zeros_like(stack.slots)
    group, _ = cells(flat, axes)
    return not any(varies_within(group, other.codes) for other in stack.discriminators())


def _volumes(stack: Candidates) -> tuple[Column, ...] | None:
    """Return the volumes numbered in the order of acquisition, if every slice agrees on their contents."""
    kinds = [c for c in stack.discriminators() if c.key.name == schema.COMPONENT]
    if any(varies_within(stack.slots, kind.codes) for kind in kinds):
        return None
    for key in readings(schema.VOLUME):
        for column in _columns(stack, key, ()):
            if _agree(stack, (column,)):
                return (column,)
    return None


def explicit(
    stack: Candidates, keys: Sequence[Sequence[SortKey]]
) -> tuple[tuple[Column, ...] | None, str]:
    """
    Find the axes that the user asked for.

    Parameters
    ----------
    stack : Candidates
    keys : sequence of sequence of SortKey
        For each dimension its readings.

    Returns
    -------
    axes : tuple of Column or None
        None where these keys do not span a complete grid.
    reason : str
        What stands in the way; empty where nothing does.
    """
    if len(keys) == 1 and keys[0][0].name == schema.VOLUME:
        axes = _volumes(stack)
        return axes, "" if axes else "no order of acquisition is the same for all slices"
    ranked = [key for key in keys if any(reading.ranked for reading in key)]
    plain = [key for key in keys if key not in ranked]
    if len(ranked) > 1:
        return None, "only one key whose values differ from slice to slice (a time) can be an axis"
    chosen = []
    for key in plain:
        column = next(filter(None, (stack.exact(reading) for reading in key)), None)
        if column is None:
            return None, _lacks(stack, key)
        chosen.append(column)
    if not ranked:
        fits = complete(stack.slots, chosen)
        return (tuple(chosen), "") if fits else (None, "")
    timed = _ranked_axis(stack, ranked[0], chosen)
    if timed is None:
        return None, _no_time(stack, ranked[0])
    by_name = {column.key.name: column for column in (timed, *chosen)}
    return tuple(by_name[key[0].name] for key in keys), ""


def _ranked_axis(
    stack: Candidates, key: Sequence[SortKey], chosen: Sequence[Column]
) -> Column | None:
    for reading in key:
        if reading.counts and not (reading.units == "" or _has_step(reading, stack.frames)):
            continue
        column = next(_columns(stack, reading, chosen), None)
        if column is not None:
            return column
    return None


def _lacks(stack: Candidates, key: Sequence[SortKey]) -> str:
    sources = [reading.source for reading in key]
    text = f"not every frame has {' or '.join(sources)}"
    near = difflib.get_close_matches(sources[0], list(stack.frames[0].values), n=3)
    return f"{text} (did you mean {' or '.join(near)}?)" if near else text


def _no_time(stack: Candidates, key: Sequence[SortKey]) -> str:
    present = [
        reading.source
        for reading in key
        if not any(value is None for value in stack.values(reading))
    ]
    if not present:
        return _lacks(stack, key)
    return f"{' and '.join(present)} give(s) no order that is complete and alike in every slice"
