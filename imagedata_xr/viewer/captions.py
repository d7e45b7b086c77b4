"""What is written in the corners of a picture that is saved, as the browser writes it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from imagedata_xr import schema

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imagedata_xr.viewer.series import Series

__all__ = ["place", "scale_bar", "window"]


def place(shown: Series, axis: int, index: int, frame: Sequence[int]) -> list[str]:
    """Return which slice it is, and where it stands along each acquisition dimension."""
    about, lines = shown.about, []
    if about["planes"][axis]["note"]:
        lines.append(about["planes"][axis]["note"])
    count = about["shape"][axis]
    if about["directions"] is not None or count > 1:
        mm = round(about["positions"][axis][index], 1) + 0.0
        lines.append(f"{schema.SPATIAL[axis]} {index + 1}/{count}  {mm:.1f} {about['unit']}")
    for dim, k in zip(about["dims"], frame, strict=True):
        label = f"{dim['labels'][k]} {dim['unit']}".strip() if dim["named"] else ""
        lines.append(f"{dim['name']} {label}  {k + 1}/{len(dim['labels'])}".replace("   ", " "))
        if dim["beside"][k]:
            lines.append(dim["beside"][k])
    return lines


def window(low: float, high: float) -> str:
    """Return width and centre of a window, with the digits that the width calls for."""
    digits = max(0, min(12, 2 - math.floor(math.log10(high - low))))
    width, center = (f"{round(v, digits) + 0.0:.12g}" for v in (high - low, (high + low) / 2))
    return f"W {width}  C {center}"


def scale_bar(width: int, mm_a_pixel: float) -> tuple[int, str]:
    """Return the length of a bar of about a quarter of a picture, pixels, and what it says."""
    most = width / 4 * mm_a_pixel
    power = 10.0 ** math.floor(math.log10(most))
    length = next(k * power for k in (5, 2, 1) if k * power <= most)
    return round(length / mm_a_pixel), f"{length:.12g} mm"
