"""
Labels in a file of a format that has no place for them: as text, in JSON.

NIfTI, MetaImage, NRRD and MAT files know neither the names of their axes nor the values along
them. The writers put both under one key, `KEY`: ``dims``, the names in the order of the file; and
``coords``, as ``{name: {"dims": [...], "dtype": "float64", "values": [...], "units": "..."}}``,
with null for what is not known. Every number comes back bit for bit, but for infinities.
"""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from imagedata_xr.errors import DataWarning
from imagedata_xr.schema import BVEC, FRAME, SPATIAL, UNITS, UNITS_OF

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    import xarray as xr
    from numpy.typing import NDArray

    Stored: TypeAlias = tuple[tuple[str, ...], NDArray[Any], dict[str, Any]]

__all__ = ["KEY", "coordinates", "described", "left_out", "plain"]

KEY: Final = "imagedata_xr"
NUMBERS: Final = "biuf"
# Lists of whole numbers come back as floats here.
FLOATS: Final = (*UNITS_OF, *BVEC)


def described(
    da: xr.DataArray,
    *,
    reversed_dims: Collection[str] = (),
    only_along: Collection[str] | None = None,
    texts: bool = False,
) -> dict[str, Any]:
    """
    Return the coordinates that do not follow from the geometry, as JSON knows them.

    Neither the key of the frame, which is a hash of a UID, nor numbers that describe the patient
    are among them.

    Parameters
    ----------
    da : xarray.DataArray
    reversed_dims : collection of str
        Dimensions along which the file runs against the array.
    only_along : collection of str, optional
        Leave out coordinates with other dimensions.
    texts : bool
        Take coordinates of text that have a dimension, too.
    """
    found: dict[str, Any] = {}
    for name, coordinate in da.coords.items():
        key = str(name)
        if key in (*SPATIAL, FRAME) or key.startswith("Patient"):
            continue
        if only_along is not None and not set(coordinate.dims) <= set(only_along):
            continue
        is_text = coordinate.dtype.kind in "UT" and texts and bool(coordinate.ndim)
        if coordinate.dtype.kind not in "biufm" and not is_text:
            continue
        turned = {d: slice(None, None, -1) for d in reversed_dims if d in coordinate.dims}
        values = coordinate.isel(turned).values
        entry: dict[str, Any] = {"dims": [str(d) for d in coordinate.dims]}
        if values.dtype.kind == "m":
            values, entry[UNITS] = values / np.timedelta64(1, "s"), "s"
        elif UNITS in coordinate.attrs:
            entry[UNITS] = str(coordinate.attrs[UNITS])
        if values.dtype.kind in NUMBERS:
            entry["dtype"] = values.dtype.name
        found[key] = {**entry, "values": plain(values)}
    return found


def plain(value: Any) -> Any:
    """Return what JSON knows: numbers, text, lists, and None for what is not a number."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    return value


def coordinates(
    content: Any, sizes: Mapping[str, int], name: str, *, texts: bool = False
) -> dict[str, Stored]:
    """
    Return dimensions, values and attributes of each coordinate that `described` gave.

    Parameters
    ----------
    content : object
        The value of ``coords``, as read from the file.
    sizes : mapping
        Of the dimensions.
    name : str
        Of the file, for messages.
    texts : bool
        Whether text is allowed.

    Warns
    -----
    DataWarning
        For each coordinate that does not fit.
    """
    found = {}
    for key, entry in content.items() if isinstance(content, dict) else ():
        try:
            dims = tuple(map(str, entry["dims"]))
            values = _array(entry["values"], key, entry.get("dtype"), NUMBERS + "U" * texts)
            fits = values.shape == tuple(sizes[dim] for dim in dims)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            left_out(f"coordinate {key!r} of {name}", f"it is damaged: {error!r}")
            continue
        if not fits:
            left_out(f"coordinate {key!r} of {name}", f"its shape {values.shape} does not fit")
            continue
        units = {UNITS: str(entry[UNITS])} if UNITS in entry else {}
        found[key] = (dims, values, units)
    return found


def left_out(name: str, why: str) -> None:
    """Warn that something in a file is not used."""
    warnings.warn(f"{name} is left out: {why}", DataWarning, stacklevel=3)


def _array(values: Any, name: str, dtype: Any, kinds: str) -> NDArray[Any]:
    array = np.array(values)
    # null stands for what is not known
    if array.dtype.kind == "O" or (name in FLOATS and array.dtype.kind in NUMBERS):
        array = np.array(values, dtype=np.float64)
    if isinstance(dtype, str) and np.dtype(dtype).kind in NUMBERS:
        array = np.array(values, dtype=dtype)
    if array.dtype.kind not in kinds:
        raise ValueError("its values are no numbers")
    return array
