"""
Values out of the raw bytes of private elements, whose types the standard does not know.

An element that cannot be read as its vendor writes it gives nothing: private elements are often
damaged by anonymisation, and no image needs them to be read.
"""

from __future__ import annotations

import struct
from math import isfinite, sqrt
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imagedata_xr.frames import Value

__all__ = [
    "Diffusion",
    "Nesting",
    "Readable",
    "Vector",
    "decimals",
    "doubles",
    "length_of",
    "short",
    "singles",
    "text",
    "texts",
    "unit",
]

Vector: TypeAlias = tuple[float, float, float]
Diffusion: TypeAlias = tuple[float | None, Vector | None]

# More values than any element holds that is read here.
_MOST = 4096


class Readable(Protocol):
    """The part of a header that vendors look at."""

    def get(self, keyword: str) -> Value:
        """Return the value of a standard attribute, or None."""

    def private(self, group: int, creator: str, low_byte: int) -> bytes | None:
        """Return the raw value of a private element, or None."""


class Nesting(Readable, Protocol):
    """A header that can also be read as a whole."""

    def has(self, attribute: str | int) -> bool:
        """Tell whether there is an element, sequences included."""

    def dataset(self) -> Any:
        """Return the full pydicom Dataset."""


def text(raw: bytes | None) -> str:
    """Return a text value without its padding; empty where there is none."""
    return "" if raw is None else raw.decode("latin-1").strip(" \0")


def texts(value: Value) -> tuple[str, ...]:
    """Return the values of a multi-valued attribute as text."""
    if value is None:
        return ()
    return tuple(str(item) for item in value) if isinstance(value, tuple) else (str(value),)


def decimals(raw: bytes | None) -> tuple[float, ...]:
    r"""Return the numbers of a DS or IS value (``1\2\3``); none of them where one is no number."""
    if raw is None or len(raw) > 16 * _MOST:
        return ()
    try:
        numbers = tuple(float(part) for part in text(raw).split("\\") if part.strip())
    except ValueError:
        return ()
    return _finite(numbers)


def doubles(raw: bytes | None) -> tuple[float, ...]:
    """Return the numbers of an FD value."""
    return _packed(raw, "d", 8)


def singles(raw: bytes | None) -> tuple[float, ...]:
    """Return the numbers of an FL value."""
    return _packed(raw, "f", 4)


def short(raw: bytes | None) -> int | None:
    """Return the number of an SS value, or of the first of several."""
    return None if raw is None or len(raw) < 2 else int.from_bytes(raw[:2], "little", signed=True)


def _packed(raw: bytes | None, code: str, size: int) -> tuple[float, ...]:
    if raw is None or not raw or len(raw) % size or len(raw) > size * _MOST:
        return ()
    return _finite(struct.unpack(f"<{len(raw) // size}{code}", raw))


def _finite(numbers: tuple[float, ...]) -> tuple[float, ...]:
    return numbers if all(isfinite(number) for number in numbers) else ()


def length_of(vector: Sequence[float]) -> float:
    """Return the Euclidean length of a vector."""
    return sqrt(sum(number * number for number in vector))


def unit(vector: Sequence[float]) -> Vector | None:
    """Return a vector of length 1, or None where it has not three numbers or no direction."""
    if len(vector) != 3:
        return None
    size = length_of(vector)
    if not 1e-3 < size < 1e6:
        return None
    x, y, z = (float(number) / size + 0.0 for number in vector)
    return x, y, z
