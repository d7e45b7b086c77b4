"""Masks, label maps and parametric maps over images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import xarray as xr

from imagedata_xr import schema
from imagedata_xr.display.colormaps import LABEL_COLORS, colormap_table, rgb_of
from imagedata_xr.display.rgb import labelled, to_rgb
from imagedata_xr.display.windows import window_of
from imagedata_xr.errors import OptionError
from imagedata_xr.roi.place import on_image

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["label_colours", "overlay"]

RED: Final = "#ff0000"
NUMBERS: Final = "SegmentNumber"
COLORS: Final = "SegmentColor"


def overlay(  # noqa: PLR0913 - each says one thing about the two layers
    da: xr.DataArray,
    over: xr.DataArray,
    *,
    alpha: float = 0.5,
    cmap: Any = None,
    threshold: float | None = None,
    window: Any = None,
    over_window: Any = None,
) -> xr.DataArray:
    """
    Return an image in colours with a mask, label map or parametric map over it.

    Parameters
    ----------
    da : DataArray
        Grey values, or colours.
    over : DataArray
        Bool: where it is true is coloured. Integers: a label map; 0 is transparent. Floating point:
        a map; NaN is transparent. On voxels of the image: a part of them will do, the rest is
        transparent; one of all time points serves all of them.
    alpha : float
        0 (nothing is seen of `over`) to 1 (nothing is seen of the image beneath).
    cmap : str or array_like, optional
        Of masks, the colour: red by default. Of label maps, a mapping of number to ``#rrggbb``; by
        default their own ``SegmentColor``, or colours that most people can tell apart. Of maps, as
        in `to_rgb`; ``"hot"`` by default.
    threshold : float, optional
        Values of a map below it are transparent.
    window : optional
        Of the image; see `to_rgb`.
    over_window : optional
        Of the map; 1st to 99th percentile of what is shown by default.

    Returns
    -------
    DataArray
        uint8, with a last dimension ``rgb``. Dask arrays stay lazy.

    Raises
    ------
    GridMismatchError
        `over` lies on other voxels.
    OptionError
        An argument means nothing.

    Examples
    --------
    >>> image = series.isel(time=0)
    >>> display.overlay(image, image > 1800).dims
    ('slice', 'row', 'column', 'rgb')
    """
    if not (np.ndim(alpha) == 0 and 0 <= alpha <= 1):
        raise OptionError(f"alpha={alpha!r}: give a number from 0 to 1")
    if schema.RGB in over.dims or over.dtype.kind not in "biuf":
        raise OptionError("an overlay is a mask, a label map or a map of real values, no colours")
    base = to_rgb(da, window=window)
    if base.dtype != np.uint8:
        raise OptionError(f"colours of type {base.dtype}: convert them to uint8 first")
    base = base.isel({schema.RGB: slice(3)})
    placed = on_image(over, da)
    color, shown = _painted(placed, cmap, threshold, over_window)
    made: xr.DataArray = xr.apply_ufunc(
        _blended,
        base,
        color,
        shown,
        kwargs={"alpha": float(alpha)},
        dask="parallelized",
        output_dtypes=[np.uint8],
    )
    made = made.transpose(*base.dims).rename(da.name)
    made.attrs = dict(base.attrs)
    return made


def label_colours(over: xr.DataArray, cmap: Any = None) -> dict[int, tuple[int, int, int]]:
    """Return the colour of each structure that a label map names or that somebody gave."""
    if cmap is not None:
        try:
            return {int(k): rgb_of(v) for k, v in dict(cmap).items()}
        except (TypeError, ValueError) as error:
            raise OptionError(
                f"cmap={cmap!r}: for a label map give {{number: '#rrggbb'}}"
            ) from error
    numbers, colors = (np.atleast_1d(over.attrs.get(k, [])).tolist() for k in (NUMBERS, COLORS))
    return {int(n): rgb_of(c) for n, c in zip(numbers, colors, strict=False)}


def _painted(
    over: xr.DataArray, cmap: Any, threshold: float | None, window: Any
) -> tuple[xr.DataArray, xr.DataArray]:
    """Return the colours, and where they are seen."""
    if over.dtype.kind == "f":
        shown = over.notnull() if threshold is None else over >= threshold
        seen = over.where(shown)
        chosen = window_of(seen, "percentiles" if window is None else window)
        return to_rgb(seen, cmap="hot" if cmap is None else cmap, window=chosen), shown
    if threshold is not None:
        raise OptionError("threshold is for maps of values: this is a mask or a label map")
    if over.dtype.kind == "b":
        table = colormap_table(RED if cmap is None else cmap)
        color = xr.DataArray(
            table[-1], dims=schema.RGB, coords={schema.RGB: list(schema.RGB_LABELS)}
        )
        return color, over
    return _label_map(over, label_colours(over, cmap)), over > 0


def _label_map(over: xr.DataArray, own: dict[int, tuple[int, int, int]]) -> xr.DataArray:
    usual = np.array([rgb_of(color) for color in LABEL_COLORS], dtype=np.uint8)

    def paint(values: NDArray[Any]) -> NDArray[np.uint8]:
        found = usual[(values.astype(np.intp) - 1) % len(usual)]
        for number, color in own.items():
            found[values == number] = color
        return np.asarray(found)

    return labelled(over, paint)


def _blended(
    base: NDArray[np.uint8], color: NDArray[np.uint8], shown: NDArray[np.bool_], *, alpha: float
) -> NDArray[np.uint8]:
    seen = np.broadcast_to(shown, base.shape)[..., 0]
    mixed = base.copy()
    below = base[seen].astype(np.float32)
    above = np.broadcast_to(color, base.shape)[seen]
    mixed[seen] = np.rint(below + np.float32(alpha) * (above - below))
    return mixed
