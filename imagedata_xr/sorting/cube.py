"""The result of sorting: frames on a complete grid, with a label for every step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from imagedata_xr import schema
from imagedata_xr.errors import OptionError
from imagedata_xr.sorting.columns import cells, complete
from imagedata_xr.sorting.plan import Candidates, explicit, infer
from imagedata_xr.sorting.problems import incomplete, several_stacks
from imagedata_xr.sorting.stacks import split

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imagedata_xr.frames import Frame
    from imagedata_xr.geometry import Grid
    from imagedata_xr.sorting.columns import Column
    from imagedata_xr.sorting.stacks import Stack
    from imagedata_xr.sortkeys import SortKey

__all__ = ["Cube", "DimensionLabels", "choose_stack", "sort_stack"]


# DICOM times have microseconds.
_DECIMALS = 6


@dataclass(frozen=True, slots=True, eq=False)
class DimensionLabels:
    """
    One acquisition dimension.

    Attributes
    ----------
    name : str
    labels : ndarray, shape (n,)
        Its coordinate: numbers, or strings.
    units : str
    source : str
        The DICOM attributes that the labels come from.
    start : float or None
        For ``time``: what was subtracted, in seconds (from the year 2000 where the date is known).
    """

    name: str
    labels: np.ndarray
    units: str
    source: str
    start: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Cube:
    """
    Frames on a complete grid.

    Attributes
    ----------
    dims : tuple of DimensionLabels
        Acquisition dimensions in order.
    frames : ndarray of Frame
        Shape: one entry for each dimension in `dims`, then one for the slices if `grid` is given.
    grid : Grid or None
        Positions of the voxels; None where the images have no position in the patient.
    """

    dims: tuple[DimensionLabels, ...]
    frames: np.ndarray
    grid: Grid | None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the dimensions of `frames`."""
        spatial = () if self.grid is None else (schema.SLICE,)
        return (*(dim.name for dim in self.dims), *spatial)


def choose_stack(frames: Sequence[Frame], stack: int | None = None) -> Stack:
    """
    Return the one stack of a series, or the one that is asked for by its number.

    Raises
    ------
    MultipleStacksError
        There are several; the message lists them with their numbers.
    OptionError
        There is no stack of that number.
    GeometryError
        The frames cannot be placed.
    """
    stacks = split(frames)
    if stack is None:
        if len(stacks) > 1:
            raise several_stacks(stacks)
        return stacks[0]
    if not 0 <= stack < len(stacks):
        raise OptionError(f"stack={stack}: the series holds stacks 0 to {len(stacks) - 1}")
    return stacks[stack]


def sort_stack(stack: Stack, keys: Sequence[Sequence[SortKey]] = ()) -> Cube:
    """
    Sort the frames of a stack into a complete grid.

    Parameters
    ----------
    stack : Stack
    keys : sequence of sequence of SortKey
        For each dimension its readings, as `imagedata_xr.sortkeys.resolve` gives them; empty to
        infer the dimensions from what varies.

    Raises
    ------
    IncompleteGridError
        The keys, or any keys, span no complete grid.
    MultipleStacksError
        Kinds of images (magnitude, phase, maps) are mixed and make no complete grid.
    """
    candidates = Candidates(stack.frames, stack.slots, placed=stack.grid is not None)
    reason = ""
    axes = infer(candidates) if not keys else None
    if keys:
        axes, reason = explicit(candidates, keys)
    if axes is None or not complete(stack.slots, axes):
        raise incomplete(candidates, asked=keys, reason=reason)
    number, size = cells(stack.slots, axes)
    frames = np.empty(size, dtype=object)
    for position, frame in zip(number.tolist(), stack.frames, strict=True):
        frames[position] = frame
    slices = int(stack.slots.max()) + 1
    shape = tuple(axis.size for axis in axes) + (() if stack.grid is None else (slices,))
    labels = tuple(_labels(axis, stack.frames) for axis in axes)
    return Cube(labels, frames.reshape(shape), stack.grid)


def _labels(axis: Column, frames: Sequence[Frame]) -> DimensionLabels:
    key = axis.key
    if key.name == schema.VOLUME:
        return DimensionLabels(key.name, np.arange(axis.size), "", key.source)
    labels: np.ndarray[Any, Any] = np.array(axis.labels)
    start = None
    if key.name == schema.TIME:
        start = float(labels[0])
        step = key.step(frames[0].values) if key.counts and key.step is not None else None
        labels = np.round(labels - labels[0], _DECIMALS).astype(np.float64)
        if key.counts:
            labels = _counted(labels, step)
            start = None
    elif labels.dtype.kind == "i" and key.units:
        labels = labels.astype(np.float64)
    return DimensionLabels(key.name, labels, key.units, key.source, start)


def _counted(labels: np.ndarray, step: float | None) -> np.ndarray:
    """Turn counts into seconds; instance numbers count slices too, so their order is what counts."""
    if step is None:
        raise OptionError("the time step is not known")
    smallest = np.diff(labels).min() if len(labels) > 1 else 1.0
    return np.round(labels / smallest) * step
