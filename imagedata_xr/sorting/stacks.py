"""
Frames of one series split into stacks: parallel images of one size on one set of axes.

A stack is what can be one array. Localizers hold several (one an orientation); so do series that
mix matrix sizes, or images with and without a position in the patient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from imagedata_xr.errors import GeometryError
from imagedata_xr.frames import Frames, alike, evaluate
from imagedata_xr.geometry import stack_grid

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from imagedata_xr.frames import Frame, Value
    from imagedata_xr.geometry import Grid
    from imagedata_xr.sorting.columns import IntArray

__all__ = ["Stack", "describe_stack", "split"]

# Direction cosines closer than this are one orientation: headers round to a few decimals.
_SAME_DIRECTION = 5e-4
# Two pixel spacings are one up to this fraction, and this drift over the image in pixels.
_SAME_SPACING, _SAME_PIXEL = 1e-3, 0.1
# In-plane offsets closer than this belong to one (straight) stack, mm.
_SAME_OFFSET = 0.01


@dataclass(frozen=True, slots=True, eq=False)
class Stack:
    """
    Parallel frames of one size.

    Attributes
    ----------
    frames : Frames
    slots : ndarray of int, shape (n,)
        Number of the slice that each frame belongs to, ascending along the normal
        (row cosines x column cosines); all zero without positions.
    grid : Grid or None
        Positions of the voxels; None where the images have no position in the patient.
    """

    frames: Frames
    slots: IntArray
    grid: Grid | None


def split(frames: Sequence[Frame]) -> list[Stack]:
    """
    Split the frames of a series into stacks, in the order of their first frames.

    Raises
    ------
    GeometryError
        A frame has a position but no orientation or pixel spacing.
    """
    stacks = []
    for group in _alike(frames):
        if group[0].position is None:
            stacks.append(Stack(Frames(group), np.zeros(len(group), dtype=np.intp), None))
            continue
        first = group[0]
        if first.orientation is None or first.spacing is None:
            missing = "ImageOrientationPatient" if first.orientation is None else "PixelSpacing"
            raise GeometryError(
                f"{first.ref.source.name}: has ImagePositionPatient but no {missing}, so its "
                "pixels cannot be placed in the patient"
            )
        try:
            stacks.append(_place(group, first.orientation, first.spacing))
        except GeometryError:
            parts = _by_offset(group, first.orientation)
            if len(parts) == 1:
                raise
            stacks.extend(_place(part, first.orientation, first.spacing) for part in parts)
    return stacks


def _place(
    frames: Sequence[Frame], orientation: tuple[float, ...], spacing: tuple[float, float]
) -> Stack:
    first = frames[0]
    grid, slots = stack_grid(
        np.array([frame.position for frame in frames], dtype=np.float64),
        orientation,
        spacing,
        first.shape,
        thickness=first.thickness,
    )
    return Stack(Frames(frames), slots, grid)


def _alike(frames: Sequence[Frame]) -> list[list[Frame]]:
    """Group frames of one size, colour, orientation and pixel spacing."""
    groups: list[list[Frame]] = []
    found: dict[tuple[Any, ...], list[Frame]] = {}
    kinds = evaluate(_kind, frames)
    if alike(kinds) and _of_one_place(frames):
        return [list(frames)]
    for frame, kind in zip(frames, kinds, strict=True):
        key = (frame.shape, kind, frame.position is None, frame.orientation, frame.spacing)
        group = found.get(key)
        if group is None:
            group = next((g for g in groups if _same(g[0], frame)), None)
            if group is None:
                group = []
                groups.append(group)
            found[key] = group
        group.append(frame)
    return groups


def _of_one_place(frames: Sequence[Frame]) -> bool:
    """Tell whether all frames have equal sizes and axes, and a position."""
    first = frames[0]
    shape, orientation, spacing = first.shape, first.orientation, first.spacing
    return all(
        frame.position is not None
        and frame.shape == shape
        and frame.orientation == orientation
        and frame.spacing == spacing
        for frame in frames
    )


def _colour(frame: Frame) -> bool:
    return not _kind(frame.values).startswith("MONOCHROME")


def _kind(values: Mapping[str, Value]) -> str:
    """Return what a value means: dark to bright, bright to dark, or colour, however encoded."""
    photometric = str(values.get("PhotometricInterpretation") or "MONOCHROME2")
    return photometric if photometric.startswith("MONOCHROME") else "colour"


def _same(one: Frame, other: Frame) -> bool:
    return (
        one.shape == other.shape
        and _kind(one.values) == _kind(other.values)
        and (one.position is None) == (other.position is None)
        and _near(one.orientation, other.orientation, _SAME_DIRECTION)
        and _same_spacing(one, other)
    )


def _same_spacing(one: Frame, other: Frame) -> bool:
    if one.spacing is None or other.spacing is None:
        return one.spacing is other.spacing
    return all(
        abs(a - b) <= min(_SAME_SPACING, _SAME_PIXEL / max(one.shape)) * a
        for a, b in zip(one.spacing, other.spacing, strict=True)
    )


def _near(one: tuple[float, ...] | None, other: tuple[float, ...] | None, tolerance: float) -> bool:
    if one is None or other is None:
        return one is other
    return all(abs(a - b) <= tolerance for a, b in zip(one, other, strict=True))


def _by_offset(frames: Sequence[Frame], orientation: tuple[float, ...]) -> list[list[Frame]]:
    """Group frames whose first pixels lie on one straight line along the normal."""
    cosines = np.asarray(orientation, dtype=np.float64)
    axes = np.stack([cosines[:3], cosines[3:]])
    groups: list[list[Frame]] = []
    offsets: list[np.ndarray] = []
    for frame in frames:
        offset = axes @ np.asarray(frame.position, dtype=np.float64)
        for group, known in zip(groups, offsets, strict=True):
            if np.abs(offset - known).max() <= _SAME_OFFSET:
                group.append(frame)
                break
        else:
            groups.append([frame])
            offsets.append(offset)
    return groups


def describe_stack(stack: Stack) -> dict[str, Any]:
    """Return what tells a stack from its neighbours, for messages and for choosing."""
    first = stack.frames[0]
    return {
        "frames": len(stack.frames),
        "rows": first.shape[0],
        "columns": first.shape[1],
        "colour": _colour(first),
        "orientation": first.orientation,
        "slices": int(stack.slots.max()) + 1 if stack.grid is not None else None,
    }
