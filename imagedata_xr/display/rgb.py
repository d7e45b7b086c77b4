"""Images in red, green and blue from values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import xarray as xr

from imagedata_xr import schema
from imagedata_xr.display.colormaps import colormap_table
from imagedata_xr.display.windows import Window, window_of
from imagedata_xr.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["colours_of", "is_inverted", "labelled", "to_rgb"]

# Of grey values; colours have none.
GREY_ONLY: Final = (
    schema.UNITS,
    "WindowCenter",
    "WindowWidth",
    "WindowCenterWidthExplanation",
    "VOILUTFunction",
    "PresentationLUTShape",
    "SegmentNumber",
    "SegmentLabel",
    "SegmentColor",
)
# Painting every possible 16-bit number costs as much as painting this many pixels.
FEW: Final = 1 << 17


def to_rgb(  # noqa: PLR0913 - each option is one thing that a user may choose
    da: xr.DataArray,
    *,
    cmap: Any = "gray",
    window: Any = None,
    norm: Any = None,
    invert: bool | None = None,
    nan_color: tuple[int, int, int] = (0, 0, 0),
) -> xr.DataArray:
    """
    Return an image in colours.

    Parameters
    ----------
    da : DataArray
        Real values, bool or complex (of which the magnitude is shown). Dask arrays stay lazy.
    cmap : str or array_like
        See `imagedata_xr.display.colormap_table`: ``"gray"``, ``"lipari"`` for T1 maps, ``"navia"``
        for T2 maps, names of matplotlib...
    window : (center, width), str or Window, optional
        See `imagedata_xr.display.window_of`: ``"soft tissue"``, ``"lung"``, ``"percentiles"``... By
        default that of the header, else percentiles, one for the whole image.
    norm : {"linear", "log", "sigmoid"} or callable, optional
        How values between the limits are spread. A callable, as a ``Normalize`` of matplotlib, takes
        values and returns 0 to 1; `window` then has no meaning.
    invert : bool, optional
        The highest value is black. By default for MONOCHROME1 (PS3.3 C.7.6.3.1.2), as it was read.
    nan_color : tuple of int
        Red, green and blue of NaN.

    Returns
    -------
    DataArray
        uint8, with a last dimension ``rgb``. What is in colours already is returned as it is.

    Raises
    ------
    OptionError
        A window, norm or colour map that means nothing.
    MissingDependencyError
        The colour map comes from a package that is not there.

    Examples
    --------
    >>> display.to_rgb(series.isel(time=0), cmap="viridis").dims
    ('slice', 'row', 'column', 'rgb')
    """
    if schema.RGB in da.dims:
        return da
    if da.dtype.kind not in "biufc":
        raise OptionError(f"values of type {da.dtype} have no colours")
    values = abs(da).assign_attrs(da.attrs) if da.dtype.kind == "c" else da
    scale: Callable[[NDArray[Any]], Any]
    if callable(norm):
        if window is not None:
            raise OptionError("norm is a function of its own: leave out window")
        scale = norm
    elif da.dtype.kind == "b" and window is None:
        scale = Window(0.0, 1.0, norm or "linear").fractions
    else:
        scale = window_of(values, window, norm=norm).fractions
    table = colormap_table(cmap)
    if is_inverted(da) if invert is None else invert:
        table = table[::-1]
    return labelled(values, colours_of(scale, table, nan_color))


def colours_of(
    scale: Callable[[NDArray[Any]], Any], table: NDArray[np.uint8], nan_color: tuple[int, int, int]
) -> Callable[[NDArray[Any]], NDArray[np.uint8]]:
    """Return the function from values to colours, on a new last axis."""
    with_nan = np.vstack([table, np.array([nan_color], dtype=np.uint8)])

    def paint(values: NDArray[Any]) -> NDArray[np.uint8]:
        fraction = np.ma.filled(np.ma.asarray(scale(values)).astype(np.float32), np.nan)
        unknown = np.isnan(fraction)
        steps = np.rint(np.where(unknown, 0, fraction).clip(0, 1) * (len(table) - 1))
        return np.asarray(with_nan[np.where(unknown, len(table), steps).astype(np.intp)])

    def looked_up(values: NDArray[Any]) -> NDArray[np.uint8]:
        small = values.dtype.kind in "iu" and values.dtype.itemsize <= 2
        if not small or values.size < FEW:
            return paint(values)
        # Of many small integers, each possible one is painted once.
        limits = np.iinfo(values.dtype)
        every = np.arange(limits.min, limits.max + 1).astype(values.dtype)
        return np.asarray(paint(every)[values.astype(np.intp) - limits.min])

    return looked_up


def labelled(
    values: xr.DataArray, paint: Callable[[NDArray[Any]], NDArray[np.uint8]]
) -> xr.DataArray:
    """Apply a painting function, lazily where the values are of Dask."""
    made: xr.DataArray = xr.apply_ufunc(
        paint,
        values,
        output_core_dims=[[schema.RGB]],
        dask="parallelized",
        output_dtypes=[np.uint8],
        dask_gufunc_kwargs={"output_sizes": {schema.RGB: 3}},
        keep_attrs=True,
    )
    made = made.assign_coords({schema.RGB: list(schema.RGB_LABELS)}).rename(values.name)
    made.attrs = {k: v for k, v in made.attrs.items() if k not in GREY_ONLY}
    return made


def is_inverted(da: xr.DataArray) -> bool:
    """Tell whether the highest value is meant to be black."""
    stored = da.encoding.get(schema.ENCODING, {})
    photometric = stored.get("PhotometricInterpretation") if isinstance(stored, dict) else None
    shape = da.attrs.get("PresentationLUTShape")
    return photometric == "MONOCHROME1" or shape == "INVERSE"
