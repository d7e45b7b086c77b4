"""
Which integers are stored for the values of an image, and how they become the values again.

No value is clipped or wrapped: integers are stored as they are, and floats by one slope and
intercept of the whole series (modality transformation, PS3.3 C.11.1) whose largest rounding error
is half a slope, the least that evenly spaced integers can have.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from imagedata_xr.errors import OptionError, WriteError
from imagedata_xr.formats.dicom.write.numbers import decimal, decimal_beyond

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import DTypeLike, NDArray

__all__ = ["Encoding", "Extent", "choose_encoding", "extent_of", "stored_type"]

STORED: Final = ("uint8", "int8", "uint16", "int16", "uint32", "int32")
NARROW: Final = ("int16", "uint16")
WIDE: Final = ("int32", "uint32")


@dataclass(frozen=True, slots=True)
class Extent:
    """
    What is known of all values of an image.

    Attributes
    ----------
    low, high : int or float
    whole : bool
        All values are whole numbers.
    """

    low: float
    high: float
    whole: bool


@dataclass(frozen=True, slots=True)
class Encoding:
    """
    How values are stored.

    Attributes
    ----------
    dtype : dtype
        Of the stored cells; all bits are used.
    slope, intercept : str
        DS values of Rescale Slope and Rescale Intercept.
    error : float
        Largest distance of a stored value from its value.
    """

    dtype: np.dtype[Any]
    slope: str = "1"
    intercept: str = "0"
    error: float = 0.0

    @property
    def is_identity(self) -> bool:
        """Whether the stored integers are the values."""
        return float(self.slope) == 1 and float(self.intercept) == 0

    def encode(self, plane: NDArray[Any]) -> NDArray[Any]:
        """
        Return the stored integers of a frame.

        Raises
        ------
        WriteError
            A value does not fit: the array has changed while it was written.
        """
        if plane.dtype.kind in "biu" and self.is_identity:
            numbers = plane
        else:
            numbers = np.rint(
                (plane.astype(np.float64) - float(self.intercept)) / float(self.slope)
            )
        info = np.iinfo(self.dtype)
        if numbers.size and not (numbers.min() >= info.min and numbers.max() <= info.max):
            raise WriteError(
                f"values between {plane.min()} and {plane.max()} do not fit into {self.dtype}"
            )
        return np.ascontiguousarray(numbers.astype(self.dtype))


def extent_of(planes: Iterable[NDArray[Any]]) -> Extent:
    """
    Return the extent of all values.

    Raises
    ------
    WriteError
        A value is not finite, and DICOM integers have no NaN.
    """
    low, high, whole = np.inf, -np.inf, True
    for plane in planes:
        least, most = plane.min(), plane.max()
        if plane.dtype.kind == "f":
            if not (np.isfinite(least) and np.isfinite(most)):
                raise WriteError(
                    "the image has NaN or infinite values, which stored integers cannot hold: "
                    "say what they shall be, e.g. da.fillna(0) or "
                    "da.where(np.isfinite(da), 0)"
                )
            whole = whole and np.array_equal(plane, np.rint(plane))
        low, high = min(low, least.item()), max(high, most.item())
    return Extent(low, high, whole)


def stored_type(pixel: DTypeLike | None) -> np.dtype[Any] | None:
    """
    Return the type of stored cells that the caller wants.

    Raises
    ------
    OptionError
        DICOM stores no such cells.
    """
    if pixel is None:
        return None
    try:
        wanted = np.dtype(pixel)
    except TypeError:
        wanted = np.dtype(object)
    if wanted.name not in STORED:
        raise OptionError(f"pixel={pixel!r}: stored pixels are one of {', '.join(STORED)}")
    return wanted


def choose_encoding(
    dtype: np.dtype[Any],
    extent: Extent,
    *,
    pixel: DTypeLike | None = None,
    sixteen: bool = False,
    through_zero: bool = False,
) -> Encoding:
    """
    Return how the values of a series are stored.

    Parameters
    ----------
    dtype : dtype
        Of the array.
    extent : Extent
        Of all values.
    pixel : dtype-like, optional
        Type of the stored cells that the caller wants.
    sixteen : bool
        The class of object has cells of 16 bits (MR, CT and PET).
    through_zero : bool
        Rescale Intercept must be 0 (PET, PS3.3 C.8.9.1).

    Raises
    ------
    OptionError, WriteError
        `pixel` is no type of stored cells, or whole numbers do not fit into it.
    """
    wanted = stored_type(pixel)
    if dtype.kind == "b":
        return Encoding(wanted or np.dtype("uint16" if sixteen else "uint8"))
    if extent.whole:
        found = _whole_type(dtype, extent, wanted, sixteen=sixteen)
        if found is not None:
            return Encoding(found)
        if dtype.kind in "iu":
            raise WriteError(
                f"whole numbers between {extent.low} and {extent.high} do not fit into "
                f"{'32 bits' if wanted is None else wanted}: "
                "da.astype('float64') stores them by slope and intercept, rounded"
            )
    return _scaled(extent, wanted, through_zero=through_zero)


def _whole_type(
    dtype: np.dtype[Any], extent: Extent, wanted: np.dtype[Any] | None, *, sixteen: bool
) -> np.dtype[Any] | None:
    """Return a type that holds the whole numbers: that of the array where it can be stored."""
    own = [dtype.name] if dtype.name in (("uint16", "int16") if sixteen else STORED) else []
    # Readers take unsigned cells for granted more often than signed ones.
    usual = ("uint16", "int16") if extent.low >= 0 else NARROW
    wide = WIDE if dtype.kind in "iu" else ()
    names = [*own, *usual, *wide] if wanted is None else [wanted.name]
    for name in names:
        info = np.iinfo(name)
        if info.min <= extent.low and extent.high <= info.max:
            return np.dtype(name)
    return None


def _scaled(extent: Extent, wanted: np.dtype[Any] | None, *, through_zero: bool) -> Encoding:
    if through_zero:
        dtype = wanted or np.dtype("int16" if extent.low < 0 else "uint16")
        info = np.iinfo(dtype)
        if extent.low < 0 and not info.min:
            raise WriteError(
                f"negative values need signed cells where Rescale Intercept is 0: not {dtype}"
            )
        steepest = max(extent.high / info.max, extent.low / info.min if info.min else 0.0)
        slope = decimal_beyond(steepest or 1.0, up=True)
        return Encoding(dtype, slope, "0", float(slope) / 2)
    dtype = wanted or np.dtype("uint16")
    info = np.iinfo(dtype)
    steps = info.max - info.min
    if extent.high == extent.low:
        base = decimal(extent.low)
        return Encoding(dtype, "1", base, abs(float(base) - extent.low))
    slope = decimal_beyond((extent.high - extent.low) / steps, up=True)
    # Signed cells begin below zero: the intercept is the value of a stored 0.
    intercept = decimal(extent.low - info.min * float(slope))
    while _overflows(extent, float(slope), float(intercept), info):
        slope = decimal_beyond(float(slope) * (1 + 1e-9), up=True)
        intercept = decimal(extent.low - info.min * float(slope))
    return Encoding(dtype, slope, intercept, float(slope) / 2)


def _overflows(extent: Extent, slope: float, intercept: float, info: np.iinfo[Any]) -> bool:
    ends = [np.rint((value - intercept) / slope) for value in (extent.low, extent.high)]
    return bool(ends[0] < info.min or ends[1] > info.max)
