"""
Which integers are stored for the values of an image, and how they become the values again.

No value is clipped or wrapped: integers are stored as they are, and floats by one slope and
intercept of the whole series (modality transformation, PS3.3 C.11.1) whose largest rounding error
is half a slope, the least that evenly spaced integers can have.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
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
    missing : int
        Number of values that are NaN or infinite, and not counted above.
    """

    low: float
    high: float
    whole: bool
    missing: int = 0


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
    padding : int or None
        Stored in place of values that are NaN or infinite.
    """

    dtype: np.dtype[Any]
    slope: str = "1"
    intercept: str = "0"
    error: float = 0.0
    padding: int | None = None

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
        # DICOM has the low byte first, whatever the array has (PS3.5 section 7.3).
        stored = self.dtype.newbyteorder("<")
        if plane.dtype.kind in "biu" and self.is_identity:
            numbers = plane
            if self.padding is None and np.can_cast(plane.dtype, stored):
                return np.ascontiguousarray(plane, dtype=stored)
        else:
            numbers = plane.astype(np.float64)
            numbers -= float(self.intercept)
            numbers /= float(self.slope)
            np.rint(numbers, out=numbers)
        if self.padding is not None:
            finite = np.isfinite(plane)
            if (numbers[finite] == self.padding).any():
                raise WriteError(f"a value would be stored as the padding, {self.padding}")
            numbers = np.where(finite, numbers, self.padding)
        info = np.iinfo(self.dtype)
        if numbers.size and not (numbers.min() >= info.min and numbers.max() <= info.max):
            raise WriteError(
                f"values between {plane.min()} and {plane.max()} do not fit into {self.dtype}"
            )
        return np.ascontiguousarray(numbers, dtype=stored)


def extent_of(planes: Iterable[NDArray[Any]], *, padding: bool = False) -> Extent:
    """
    Return the extent of all values.

    Parameters
    ----------
    planes : iterable of ndarray
    padding : bool
        Values that are not finite are left out, and counted.

    Raises
    ------
    WriteError
        A value is not finite, and DICOM integers have no NaN; or no value is.
    """
    low, high, whole, missing = np.inf, -np.inf, True, 0
    for plane in planes:
        values = plane
        if plane.dtype.kind == "f":
            values = plane if _all_finite(plane) else plane[np.isfinite(plane)]
            lost = plane.size - values.size
            if lost and not padding:
                raise WriteError(
                    "the image has NaN or infinite values, which stored integers cannot hold: "
                    "padding=True stores a padding value there, pixel='float' keeps them in a "
                    "parametric map; or say what they shall be, e.g. da.fillna(0) or "
                    "da.where(np.isfinite(da), 0)"
                )
            missing += lost
            whole = whole and np.array_equal(values, np.rint(values))
        if values.size:
            low, high = min(low, values.min().item()), max(high, values.max().item())
    if low > high:
        raise WriteError("no value of the image is a finite number: there is nothing to show")
    return Extent(low, high, whole, missing)


def _all_finite(values: NDArray[Any]) -> bool:
    """Tell whether no value is NaN or infinite: so are smallest and largest."""
    with np.errstate(invalid="ignore"):
        return not values.size or bool(np.isfinite(values.min()) and np.isfinite(values.max()))


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
            return Encoding(found, padding=_free_cell(extent, found))
        if dtype.kind in "iu":
            raise WriteError(
                f"whole numbers between {extent.low} and {extent.high} do not fit into "
                f"{'32 bits' if wanted is None else wanted}: "
                "da.astype('float64') stores them by slope and intercept, rounded"
            )
    return _scaled(extent, wanted, through_zero=through_zero)


def frame_encoding(series: Encoding, plane: NDArray[Any], *, through_zero: bool) -> Encoding:
    """
    Return how the values of one frame are stored, in cells as those of its series.

    Parameters
    ----------
    series : Encoding
        Of all frames. If it has a padding value, so has that of each frame.
    plane : ndarray
        Values of the frame.
    through_zero : bool
        Rescale Intercept must be 0.
    """
    padded = series.padding is not None
    if padded and not np.isfinite(plane).any():
        extent = Extent(0.0, 0.0, whole=False)
    else:
        extent = extent_of([plane], padding=padded)
    return _scaled(
        replace(extent, whole=False, missing=int(padded)), series.dtype, through_zero=through_zero
    )


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
        fits = info.min <= extent.low and extent.high <= info.max
        if fits and not (extent.missing and _free_cell(extent, np.dtype(name)) is None):
            return np.dtype(name)
    return None


def _free_cell(extent: Extent, dtype: np.dtype[Any]) -> int | None:
    """Return an integer that no value has, for padding (PS3.3 C.7.5.1.1.2); None without need."""
    info = np.iinfo(dtype)
    # Pixel Padding Value has 16 bits.
    if not extent.missing or dtype.itemsize > 2:
        return None
    if info.min < extent.low:
        return int(info.min)
    return int(info.max) if extent.high < info.max else None


def _scaled(extent: Extent, wanted: np.dtype[Any] | None, *, through_zero: bool) -> Encoding:
    signed = through_zero and extent.low < 0
    dtype = wanted or np.dtype("int16" if signed else "uint16")
    if extent.missing and dtype.itemsize > 2:
        raise OptionError(
            f"padding: Pixel Padding Value has 16 bits, which {dtype} pixels have not"
        )
    info = np.iinfo(dtype)
    least, most, padding = int(info.min), int(info.max), None
    if extent.missing and through_zero and not least:
        # A stored 0 is the value 0 here.
        padding, most = most, most - 1
    elif extent.missing:
        padding, least = least, least + 1
    if through_zero:
        if extent.low < 0 and not info.min:
            raise WriteError(
                f"negative values need signed cells where Rescale Intercept is 0: not {dtype}"
            )
        steepest = max(extent.high / most, extent.low / least if info.min else 0.0)
        slope = _slope(steepest or 1.0)
        return Encoding(dtype, slope, "0", float(slope) / 2, padding)
    if extent.high == extent.low:
        # A stored 0, or 1 where 0 is the padding. A DS has 16 characters: beyond them is no step.
        slope = "1" if abs(extent.low) < 1e9 else decimal(abs(extent.low) * 1e-6)
        stored = int(padding == 0)
        base = decimal(extent.low - stored * float(slope))
        error = abs(float(base) + stored * float(slope) - extent.low)
        return Encoding(dtype, slope, base, error, padding)
    slope = _slope((extent.high - extent.low) / (most - least))
    # Signed cells begin below zero: the intercept is the value of a stored 0.
    intercept = decimal(extent.low - least * float(slope))
    more = 1e-9
    # A DS has 16 characters: the intercept may be off by more than a step.
    while _overflows(extent, float(slope), float(intercept), (least, most)):
        slope = decimal_beyond(float(slope) * (1 + more), up=True)
        intercept = decimal(extent.low - least * float(slope))
        more = min(2 * more, 1.0)
    # Far from zero, the last digit of a float64 is as large as a step.
    digit = float(np.spacing(max(abs(extent.low), abs(extent.high))))
    return Encoding(dtype, slope, intercept, float(slope) / 2 + 2 * digit, padding)


def _slope(least: float) -> str:
    """Return the DS value of a slope that is large enough."""
    if not least < 1e300:
        raise WriteError("the values are too far apart to be stored as integers with a slope")
    return decimal_beyond(max(least, 1e-300), up=True)


def _overflows(extent: Extent, slope: float, intercept: float, cells: tuple[int, int]) -> bool:
    ends = [np.rint((value - intercept) / slope) for value in (extent.low, extent.high)]
    return bool(ends[0] < cells[0] or ends[1] > cells[1])
