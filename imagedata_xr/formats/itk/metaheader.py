"""
A look at the text of a MetaImage header (https://itk.org/Wiki/ITK/MetaIO/Documentation).

The parser of ITK ends the whole process where ``NDims`` is negative, so that no damaged header may
reach it.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Final

from imagedata_xr.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["check_meta_header"]

LONGEST: Final = 16 << 20
LAST: Final = "ElementDataFile"
DIMENSIONS: Final = ("2", "3", "4", "5")
MOST_CHANNELS: Final = 1024
# One number an axis, and a matrix of them.
VECTORS: Final = (
    "DimSize",
    "ElementSpacing",
    "ElementSize",
    "Offset",
    "Position",
    "Origin",
    "CenterOfRotation",
)
MATRICES: Final = ("TransformMatrix", "Rotation", "Orientation")


def check_meta_header(path: str) -> None:
    """
    Raise FormatError where a header is not one that ITK can parse.

    Parameters
    ----------
    path : str
    """
    axes = 0
    for key, value in _lines(path):
        if key == "NDims":
            if value not in DIMENSIONS:
                raise FormatError(f"{path}: NDims is {value!r}, not 2 to 5")
            axes = int(value)
        elif key in (*VECTORS, *MATRICES):
            numbers, count = _numbers(value), axes * axes if key in MATRICES else axes
            if not axes or len(numbers) != count or not all(map(math.isfinite, numbers)):
                raise FormatError(f"{path}: {key} is {value!r} where NDims is {axes}")
            if key == "DimSize" and min(numbers) < 1:
                raise FormatError(f"{path}: DimSize is {value!r}: there are no voxels")
        elif key == "ElementNumberOfChannels" and not (
            value.isdigit() and 1 <= int(value) <= MOST_CHANNELS
        ):
            raise FormatError(f"{path}: {key} is {value!r}")
    if not axes:
        raise FormatError(f"{path}: NDims is missing")


def _lines(path: str) -> list[tuple[str, str]]:
    with Path(path).open("rb") as file:
        head = file.read(LONGEST)
    found = []
    for line in _each_line(head):
        text = line.decode("latin-1").strip()
        key, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not (key.isascii() and key.isprintable()):
            raise FormatError(f"{path}: the header has a line that is no 'key = value'")
        found.append((key, value))
        if key == LAST:
            return found
    raise FormatError(f"{path}: the header has no {LAST}")


def _each_line(head: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(head):
        end = head.find(b"\n", at)
        end = len(head) if end < 0 else end
        yield head[at:end]
        at = end + 1


def _numbers(value: str) -> list[float]:
    try:
        return [float(word) for word in value.split()]
    except ValueError:
        return []
