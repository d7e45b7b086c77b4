"""Times of the volumes of a NIfTI file: the step of its fourth axis, in seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from imagedata_xr.schema import TIME, UNITS

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

    from imagedata_xr.formats.nifti.layout import Layout

__all__ = ["Timing", "seconds", "timing_of"]

REGULAR: Final = 0.01
SECONDS_PER: Final = {"s": 1.0, "ms": 1e-3, "min": 60.0}


@dataclass(frozen=True, slots=True)
class Timing:
    """
    Times along NIfTI axis 4.

    Attributes
    ----------
    step : float or None
        For ``pixdim[4]``, in s; None where nothing is known.
    volumes : tuple of float
        Time of each volume in s from the first, only where the steps are uneven.
    """

    step: float | None
    volumes: tuple[float, ...] = ()


def timing_of(da: xr.DataArray, layout: Layout) -> Timing:
    """
    Return the time step of NIfTI axis 4.

    On a ``time`` axis it is the mean step where every time lies within 1 % of a step of an even
    grid. Otherwise it is the median step, and the true times go into the sidecar. On any other
    axis it is the repetition time, as dcm2niix has it.

    Parameters
    ----------
    da : xarray.DataArray
    layout : Layout
    """
    repetition = _repetition(da)
    if not layout.acquisition or layout.acquisition[-1] != TIME or TIME not in da.coords:
        return Timing(repetition)
    times = seconds(da.coords[TIME])
    if times is None or times.ndim != 1 or times.size < 2 or not np.isfinite(times).all():
        return Timing(repetition)
    times = times - times[0]
    step = float(times[-1]) / (times.size - 1)
    off = np.abs(times - step * np.arange(times.size)).max()
    if step > 0 and off <= REGULAR * step:
        return Timing(step)
    middle = float(np.median(np.diff(times)))
    return Timing(middle if middle > 0 else repetition, tuple(times.tolist()))


def seconds(coordinate: xr.DataArray) -> NDArray[np.float64] | None:
    """
    Return the values of a time coordinate in s (dates: from the first), or None.

    Parameters
    ----------
    coordinate : xarray.DataArray
        Dates, durations, or numbers in the unit that its attrs name (s by default).
    """
    values: NDArray[Any] = coordinate.values
    if values.dtype.kind == "M":
        values = values - values.min()
    if values.dtype.kind == "m":
        return np.asarray(values / np.timedelta64(1, "s"), dtype=np.float64)
    factor = SECONDS_PER.get(str(coordinate.attrs.get(UNITS, "s")))
    if factor is None or values.dtype.kind not in "iuf":
        return None
    return np.asarray(values * factor, dtype=np.float64)


def _repetition(da: xr.DataArray) -> float | None:
    """Return the repetition time in s, where the image has a single one."""
    value = da.attrs.get("RepetitionTime")
    if isinstance(value, int | float | np.number) and np.isfinite(value) and value > 0:
        return float(value) / 1000
    return None
