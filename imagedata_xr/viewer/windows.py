"""Windows of grey values: what the header says, what the values say, and usual presets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from imagedata_xr import schema

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

__all__ = ["CT_PRESETS", "first_limits", "limits", "percentiles", "presets"]

# Name, centre and width in HU, as most workstations have them.
CT_PRESETS: Final = (
    ("soft tissue", 40.0, 400.0),
    ("lung", -600.0, 1500.0),
    ("bone", 480.0, 2500.0),
    ("brain", 40.0, 80.0),
    ("liver", 90.0, 150.0),
)
SUV_PRESETS: Final = (("SUV 0-5", 2.5, 5.0), ("SUV 0-10", 5.0, 10.0), ("SUV 0-20", 10.0, 20.0))
SAMPLES = 200_000


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
