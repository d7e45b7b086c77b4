"""Values in another type, where every one of them fits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from imagedata_xr.errors import OptionError

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["cast"]

# Names that people know from elsewhere.
_NAMES = {"float": "float64", "double": "float64", "int": "int32"}


def cast(image: xr.DataArray, name: str) -> xr.DataArray:
    """
    Return an image in another type.

    Parameters
    ----------
    image : DataArray
    name : str
        Of a NumPy type; ``float`` and ``double`` are ``float64``, ``int`` is ``int32``.

    Raises
    ------
    OptionError
        There is no such type, or a value would change: it has a fraction, is out of range, or is
        no number. From one real type to another, rounding is what the user asked for.
    """
    dtype = _known(name)
    values = image.values
    if dtype.kind in "iub":
        _require_whole(values, dtype, name)
    elif dtype.kind == "f" and values.dtype.kind == "c":
        raise OptionError(f"--dtype {name}: the values are complex; take abs(a) or real(a) first")
    with np.errstate(over="ignore"):
        result = image.copy(data=values.astype(dtype))
    if dtype.kind == "f" and values.dtype.kind in "iuf":
        lost = np.isfinite(values) & ~np.isfinite(result.values)
        if lost.any():
            raise OptionError(f"--dtype {name}: {int(lost.sum())} values are too large for it")
    return result


def _known(name: str) -> np.dtype[Any]:
    try:
        dtype = np.dtype(_NAMES.get(name, name))
    except TypeError:
        dtype = np.dtype(object)
    if dtype.kind not in "iufbc":
        raise OptionError(f"--dtype {name}: give a type such as uint8, int16, float32 or float64")
    return dtype


def _require_whole(values: np.ndarray[Any, Any], dtype: np.dtype[Any], name: str) -> None:
    if values.dtype.kind == "c":
        raise OptionError(f"--dtype {name}: the values are complex; take abs(a) or real(a) first")
    low, high = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise OptionError(f"--dtype {name}: there are values that are no numbers (NaN, infinity)")
    if values.size and (values.min() < low or values.max() > high):
        raise OptionError(
            f"--dtype {name}: the values go from {values.min()} to {values.max()}, and {name} "
            f"from {low} to {high}; image_calculator with clip(a, {low}, {high}) cuts them off"
        )
    if values.dtype.kind == "f" and (values != np.rint(values)).any():
        raise OptionError(
            f"--dtype {name}: there are values with fractions; image_calculator with rint(a) "
            "rounds them"
        )
