"""The types of stored pixels, and of the values that they mean."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from imagedata_xr.errors import PixelError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from imagedata_xr.frames import PixelFormat, PixelRef

__all__ = ["result_dtype", "stored_dtype", "stored_range"]


def stored_dtype(form: PixelFormat) -> np.dtype[Any]:
    """
    Return the type of the stored pixel cells.

    Raises
    ------
    PixelError
        Bits Allocated has a value that no image can have.
    """
    return _cell(form.bits_allocated, signed=form.signed, real=form.real)


@lru_cache(maxsize=64)
def _cell(bits: int, *, signed: bool, real: bool) -> np.dtype[Any]:
    if real:
        return np.dtype(f"f{bits // 8}")
    if bits == 1:
        return np.dtype("u1")
    if bits not in (8, 16, 32, 64):
        raise PixelError(f"Bits Allocated is {bits}, not 1, 8, 16, 32 or 64")
    return np.dtype(f"{'i' if signed else 'u'}{bits // 8}")


def stored_range(form: PixelFormat) -> tuple[int, int]:
    """Return the least and the greatest value that the bits stored can hold."""
    bits = 1 if form.bits_allocated == 1 else form.bits_stored
    return (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if form.signed else (0, (1 << bits) - 1)


def result_dtype(refs: Iterable[PixelRef], *, rescale: bool) -> np.dtype[Any]:
    """Return the smallest type that holds every value exactly: integers if they can be, float32."""
    kinds = {(ref.format, ref.slope, ref.intercept) for ref in refs}
    forms = {form for form, _, _ in kinds}
    stored = {stored_dtype(form) for form in forms}
    if any(form.real for form in forms):
        return np.result_type(*stored)
    identity = all(slope == 1 and intercept == 0 for _, slope, intercept in kinds)
    if not rescale or identity or any(form.colour for form in forms):
        return np.result_type(*stored)
    if all(slope.is_integer() and intercept.is_integer() for _, slope, intercept in kinds):
        return _integer_dtype(kinds, stored)
    return np.dtype(np.float32 if max(form.bits_stored for form in forms) <= 16 else np.float64)


def _integer_dtype(
    kinds: Iterable[tuple[PixelFormat, float, float]], stored: set[np.dtype[Any]]
) -> np.dtype[Any]:
    ends = [
        int(slope) * value + int(intercept)
        for form, slope, intercept in kinds
        for value in stored_range(form)
    ]
    low, high = min(ends), max(ends)
    candidates: list[np.dtype[Any]] = [np.dtype(name) for name in ("i2", "i4", "i8")]
    if len(stored) == 1:
        candidates = [*stored, *candidates]
    for dtype in candidates:
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return dtype
    return np.dtype(np.float64)
