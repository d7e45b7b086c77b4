"""
One 2-D image of a series: where its bytes are, where it lies, and what its header says.

Pure values: no I/O library, no DICOM library and no xarray is imported here.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any, BinaryIO, Self

__all__ = [
    "Frame",
    "Frames",
    "PixelFormat",
    "PixelRef",
    "Source",
    "Value",
    "alike",
    "attribute",
    "evaluate",
    "frame_hash",
]

_T = TypeVar("_T")
Value: TypeAlias = "str | int | float | tuple[str | int | float, ...] | None"


class Source(Protocol):
    """Bytes that can be read again at any time, from any process (picklable, holds no handle)."""

    @property
    def name(self) -> str:
        """The name to show to a person: a path, a URL, or ``archive.zip::member``."""

    @property
    def size(self) -> int:
        """Length in bytes."""

    def read(self, start: int = 0, length: int | None = None) -> bytes:
        """Return ``length`` bytes from ``start`` (to the end by default), fewer at the end."""

    def open(self) -> BinaryIO:
        """Return a seekable binary file over all bytes; the caller closes it."""


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """
    How the pixels of a stored image are encoded (Image Pixel module, PS3.3 C.7.6.3).

    Attributes
    ----------
    rows, columns : int
        Size of the stored image (of the whole mosaic where it holds tiles).
    samples : int
        Samples a pixel: 1, or 3 for colour.
    bits_allocated, bits_stored, high_bit : int
        Where the value is in its cell.
    signed : bool
        Two's complement.
    photometric : str
        Photometric Interpretation.
    planar : int
        Planar Configuration: 0 for colour by pixel, 1 for colour by plane.
    syntax : str
        Transfer Syntax UID.
    real : bool
        Float or double pixels, without bits and rescale.
    frames : int
        Number of frames that the Pixel Data of the instance holds.
    palette_bits : int
        Bits of an entry of the palette (8 or 16) where there is one, else 0.
    """

    rows: int
    columns: int
    samples: int = 1
    bits_allocated: int = 16
    bits_stored: int = 16
    high_bit: int = 15
    signed: bool = False
    photometric: str = "MONOCHROME2"
    planar: int = 0
    syntax: str = "1.2.840.10008.1.2.1"
    real: bool = False
    frames: int = 1
    palette_bits: int = 0

    @property
    def colour(self) -> bool:
        """Whether the image becomes red, green and blue."""
        return self.samples > 1 or self.palette_bits > 0


@dataclass(frozen=True, slots=True)
class PixelRef:
    """
    Where the pixels of one frame are.

    Attributes
    ----------
    source : Source
        The instance (file) that holds them.
    format : PixelFormat
        How they are encoded.
    number : int
        Zero-based frame number in the instance.
    offset : int or None
        Byte offset of the frame's native pixels in the source, or of all Pixel Data where they
        need a decoder; None where the source must be read as a whole (deflated, big endian).
    length : int
        Number of bytes of the frame's native pixels; 0 where a decoder is needed.
    slope, intercept : float
        The frame's own rescale (modality transformation, PS3.3 C.11.1).
    tile : tuple of int or None
        First row and column of the frame in the stored image, where one stored image holds
        several slices side by side (Siemens mosaic).
    padding : tuple of int or None
        First and last stored value that stand for no value (PS3.3 C.7.5.1.1.2).
    """

    source: Source
    format: PixelFormat
    number: int = 0
    offset: int | None = None
    length: int = 0
    slope: float = 1.0
    intercept: float = 0.0
    tile: tuple[int, int] | None = None
    padding: tuple[int, int] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Be pickled in half the time that a dataclass takes: Dask sends many."""
        place = (self.source, self.format, self.number, self.offset, self.length)
        return PixelRef, (*place, self.slope, self.intercept, self.tile, self.padding)


@dataclass(frozen=True, slots=True)
class Frame:
    """
    One 2-D image.

    Attributes
    ----------
    ref : PixelRef
        Where its pixels are.
    uid : str
        SOP Instance UID of the instance that holds it.
    shape : tuple of int
        Rows and columns.
    position : tuple of float or None
        Centre of the first pixel in patient LPS, mm (Image Position (Patient), PS3.3 C.7.6.2).
    orientation : tuple of float or None
        Direction cosines of increasing column index, then of increasing row index
        (Image Orientation (Patient)), as stored: not normalised.
    spacing : tuple of float or None
        Distance between rows, then between columns, mm (Pixel Spacing).
    thickness : float or None
        Extent across the slice, mm: the voxel size of a stack of one slice.
    values : Mapping of str to Value
        Header values by DICOM keyword, decoded when asked for. Vendor-specific diffusion values
        stand under their standard keywords.
    """

    ref: PixelRef
    uid: str
    shape: tuple[int, int]
    position: tuple[float, float, float] | None
    orientation: tuple[float, ...] | None
    spacing: tuple[float, float] | None
    thickness: float | None
    values: Mapping[str, Value]

    @property
    def hash(self) -> int:
        """The frame's provenance key."""
        return frame_hash(self.uid or self.ref.source.name, self.ref.number)


class Frames(tuple[Frame, ...]):  # noqa: SLOT001 - it has an attribute
    """
    Frames that are asked for many values.

    Attributes
    ----------
    alike : dict
        What kinds of values have found that all frames have in common.
    """

    alike: dict[type, Any]

    def __new__(cls, frames: Iterable[Frame] = ()) -> Self:
        """Return the frames themselves if they are such ones."""
        if type(frames) is cls:
            return frames
        made = super().__new__(cls, frames)
        made.alike = {}
        return made


def evaluate(
    function: Callable[[Mapping[str, Value]], _T], frames: Sequence[Frame]
) -> tuple[_T, ...]:
    """
    Return what a function makes of the header values of each frame.

    It is asked once for frames whose values are alike in what it asks for, where these can tell.

    Parameters
    ----------
    function : callable
        Depends on nothing but the values that it asks for.
    frames : sequence of Frame
        Values that can remember have a static method ``recall_all`` of these two parameters.
    """
    recall_all = getattr(frames[0].values, "recall_all", None) if frames else None
    if recall_all is None:
        return tuple([function(frame.values) for frame in frames])
    found: tuple[_T, ...] = recall_all(function, frames)
    return found


@lru_cache(maxsize=1024)
def _getter(keyword: str) -> Callable[[Mapping[str, Value]], Value]:
    return lambda values: values.get(keyword)


def attribute(keyword: str, frames: Sequence[Frame]) -> tuple[Value, ...]:
    """Return the value of one attribute of each frame, None where it has none."""
    return evaluate(_getter(keyword), frames)


def alike(values: Sequence[object]) -> bool:
    """Tell whether there are values, and all are equal."""
    return len(values) > 0 and values.count(values[0]) == len(values)


def frame_hash(uid: str, number: int = 0) -> int:
    """
    Return the 63-bit provenance key of a frame.

    Parameters
    ----------
    uid : str
        SOP Instance UID.
    number : int
        Zero-based frame number in the instance.
    """
    digest = hashlib.blake2b(f"{uid}\0{number}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") & 0x7FFF_FFFF_FFFF_FFFF
