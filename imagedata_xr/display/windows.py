"""Windows of grey values: what the header says, what the values say, and usual presets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from imagedata_xr import schema
from imagedata_xr.errors import OptionError

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

__all__ = [
    "CT_PRESETS",
    "NORMS",
    "PRESETS",
    "Window",
    "first_limits",
    "limits",
    "percentiles",
    "presets",
    "window_of",
]

# Name, centre and width in HU, as most workstations have them.
CT_PRESETS: Final = (
    ("soft tissue", 40.0, 400.0),
    ("lung", -600.0, 1500.0),
    ("bone", 480.0, 2500.0),
    ("brain", 40.0, 80.0),
    ("liver", 90.0, 150.0),
)
SUV_PRESETS: Final = (("SUV 0-5", 2.5, 5.0), ("SUV 0-10", 5.0, 10.0), ("SUV 0-20", 10.0, 20.0))
# Units that each preset is meant for.
CT_UNITS: Final = ("HU",)
SUV_UNITS: Final = ("g/ml", "SUV")
PRESETS: Final = {
    **{name: (center, width, CT_UNITS) for name, center, width in CT_PRESETS},
    **{name: (center, width, SUV_UNITS) for name, center, width in SUV_PRESETS},
}
NORMS: Final = ("linear", "log", "sigmoid")
# A logarithmic scale has no zero: it starts at this part of its upper end.
LOG_START: Final = 1e-3
SAMPLES = 200_000
SAMPLE_SLICES: Final = 9


@dataclass(frozen=True, slots=True)
class Window:
    """
    Which values are drawn from black to white.

    Attributes
    ----------
    low, high : float
        Values at and below `low` are black, at and above `high` white.
    norm : {"linear", "log", "sigmoid"}
        ``sigmoid`` is that of PS3.3 C.11.2.1.3.1, with its centre and width between the limits.

    Examples
    --------
    >>> display.Window(300, 500).low
    300
    """

    low: float
    high: float
    norm: str = "linear"

    def __post_init__(self) -> None:
        if self.norm not in NORMS:
            raise OptionError(f"norm={self.norm!r}: give one of {', '.join(map(repr, NORMS))}")
        if not (np.isfinite([self.low, self.high]).all() and self.high > self.low):
            raise OptionError(f"a window from {self.low} to {self.high} shows nothing")
        if self.norm == "log" and self.high <= 0:
            raise OptionError(f"norm='log': the window ends at {self.high}, which is not positive")

    def fractions(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Return 0 for black to 1 for white, of any shape; NaN stays NaN."""
        real: NDArray[Any] = values.astype(np.float64 if values.dtype.itemsize > 4 else np.float32)
        if self.norm == "sigmoid":
            center, width = (self.low + self.high) / 2, self.high - self.low
            with np.errstate(over="ignore"):
                return np.asarray(1 / (1 + np.exp(-4 * (real - center) / width)), np.float32)
        low, high = self.low, self.high
        if self.norm == "log":
            low, high = np.log(low if low > 0 else high * LOG_START), np.log(high)
            real = np.log(np.maximum(real, np.exp(low)))
        return np.asarray(((real - low) / (high - low)).clip(0, 1), np.float32)


def window_of(image: xr.DataArray, window: Any = None, *, norm: str | None = None) -> Window:
    """
    Return a window from what a caller gave.

    Parameters
    ----------
    image : DataArray
        Of a large image that is not in memory, some slices are read where values count.
    window : (center, width), str, Window or None
        Numbers in the image's units; a name of `PRESETS` (for images in their units), ``"header"``
        (Window Center and Width), ``"percentiles"`` (1st to 99th), ``"full"`` (all values). None:
        that of the header where values lie in it, else percentiles.
    norm : str, optional
        One of `NORMS`; by default that of the header's window, else linear.

    Raises
    ------
    OptionError
        The window means nothing, or not for this image.

    Examples
    --------
    >>> display.window_of(series, (400, 200))
    Window(low=300.0, high=500.0, norm='linear')
    """
    if isinstance(window, Window):
        return window if norm is None else Window(window.low, window.high, norm)
    if window is None or window == "header":
        found = None if image.dtype.kind == "b" else _of_header(image)
        if found is None and window == "header":
            raise OptionError("the image has no WindowCenter and WindowWidth of its own")
        if window == "header" and found is not None:
            return found if norm is None else Window(found.low, found.high, norm)
        values = _sample(image)
        low, high = first_limits(image, values)
        if found is not None and (low, high) == _header_limits(image):
            return found if norm is None else Window(found.low, found.high, norm)
        return Window(low, high, norm or "linear")
    if isinstance(window, str):
        return Window(*_named(image, window), norm or "linear")
    try:
        center, width = (float(one) for one in window)
    except (TypeError, ValueError) as error:
        raise OptionError(
            f"window={window!r}: give (center, width), 'header', 'percentiles', 'full' or one of "
            f"{', '.join(map(repr, PRESETS))}"
        ) from error
    if not width > 0:
        raise OptionError(f"window={window!r}: the width is not positive")
    return Window(*limits(center, width), norm or "linear")


def _named(image: xr.DataArray, name: str) -> tuple[float, float]:
    if name in ("percentiles", "full"):
        values = np.asarray(image.values) if name == "full" else _sample(image)
        return percentiles(values, *((0, 100) if name == "full" else (1, 99)))
    key = " ".join(name.lower().replace("_", " ").split())
    known = {one.lower(): one for one in PRESETS}
    if key not in known:
        raise OptionError(
            f"window={name!r} is none of 'header', 'percentiles', 'full', "
            f"{', '.join(map(repr, PRESETS))}"
        )
    center, width, units = PRESETS[known[key]]
    if image.attrs.get(schema.UNITS) not in units:
        raise OptionError(
            f"window={name!r} is for values in {units[0]}, and these are in "
            f"{image.attrs.get(schema.UNITS)!r}"
        )
    return limits(center, width)


def _header_limits(image: xr.DataArray) -> tuple[float, float] | None:
    found = [np.atleast_1d(image.attrs.get(key, [])) for key in ("WindowCenter", "WindowWidth")]
    try:
        center, width = (float(one[0]) for one in found)
    except (IndexError, ValueError, TypeError):
        return None
    return limits(center, width) if width > 0 else None


def _of_header(image: xr.DataArray) -> Window | None:
    """Return the first window of the header, as PS3.3 C.11.2.1.2 and C.11.2.1.3 define it."""
    found = _header_limits(image)
    if found is None:
        return None
    function = str(np.atleast_1d(image.attrs.get("VOILUTFunction", "LINEAR"))[0])
    if function == "SIGMOID":
        return Window(*found, "sigmoid")
    low, high = found
    # LINEAR, the default, goes from black to white between the centres of whole numbers.
    if function == "LINEAR" and high - low > 1:
        return Window(low, high - 1)
    return Window(low, high)


def _sample(image: xr.DataArray) -> NDArray[Any]:
    """Return values that stand for all: every one where they are in memory, else some slices."""
    chosen: dict[Any, Any] = {}
    if not isinstance(image.variable._data, np.ndarray):  # noqa: SLF001 - asks, and reads nothing
        for name in image.dims:
            if name not in (schema.ROW, schema.COLUMN, schema.RGB):
                size = image.sizes[name]
                most = SAMPLE_SLICES if name == schema.SLICE else 3
                chosen[name] = np.unique(np.linspace(0, size - 1, min(size, most)).round()).astype(
                    int
                )
    return np.asarray(image.isel(chosen).values)


def limits(center: float, width: float) -> tuple[float, float]:
    """Return the lowest and highest value of a window."""
    return center - width / 2, center + width / 2


def percentiles(values: NDArray[Any], low: float = 1.0, high: float = 99.0) -> tuple[float, float]:
    """Return limits that leave out outliers; NaN and infinities do not count."""
    flat = values.reshape(-1)[:: max(1, values.size // SAMPLES)]
    flat = flat[np.isfinite(flat)] if flat.dtype.kind == "f" else flat
    if not flat.size:
        return 0.0, 1.0
    lower, upper = (float(v) for v in np.percentile(flat, (low, high)))
    if upper <= lower:
        lower, upper = float(flat.min()), float(flat.max())
    return (lower, upper) if upper > lower else (lower - 0.5, lower + 0.5)


def first_limits(image: xr.DataArray, values: NDArray[Any]) -> tuple[float, float]:
    """
    Return the window to begin with.

    That is the first one of the header (PS3.3 C.11.2.1.2) where a part of the values lies in it:
    a computed image often carries the window of its source. Else percentiles of the values.
    """
    if values.dtype == np.uint8 and values.size and values.max() <= 1:
        return 0.0, 1.0
    low, high = percentiles(values)
    found = [np.atleast_1d(image.attrs.get(key, [])) for key in ("WindowCenter", "WindowWidth")]
    try:
        center, width = (float(one[0]) for one in found)
    except (IndexError, ValueError, TypeError):
        return low, high
    lower, upper = limits(center, width)
    sensible = np.isfinite([center, width]).all() and width > 0
    return (lower, upper) if sensible and lower < high and upper > low else (low, high)


def presets(image: xr.DataArray) -> list[tuple[str, float, float]]:
    """Return named windows (name, centre, width) of the header and of the modality."""
    found: list[tuple[str, float, float]] = []
    centers, widths, names = (
        np.atleast_1d(image.attrs.get(key, [])).tolist()
        for key in ("WindowCenter", "WindowWidth", "WindowCenterWidthExplanation")
    )
    for k, (center, width) in enumerate(zip(centers, widths, strict=False)):
        try:
            found.append(
                (str(names[k]) if k < len(names) else "header", float(center), float(width))
            )
        except (TypeError, ValueError):
            continue
    units = str(image.attrs.get(schema.UNITS, ""))
    if units == "HU":
        found.extend(CT_PRESETS)
    if units in {"g/ml", "SUV"}:
        found.extend(SUV_PRESETS)
    return found[:9]
