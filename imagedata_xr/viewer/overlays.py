"""What lies over an image: masks, label maps, parametric maps, on the image's own grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from imagedata_xr import schema
from imagedata_xr.display.colormaps import LABEL_COLORS
from imagedata_xr.display.windows import percentiles
from imagedata_xr.errors import GeometryError, GridMismatchError, OptionError
from imagedata_xr.index import grid_of
from imagedata_xr.roi.masks import COLORS, LABELS, NUMBERS
from imagedata_xr.viewer.palettes import palette
from imagedata_xr.viewer.planes import scene
from imagedata_xr.viewer.slices import SliceSource

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from imagedata_xr.viewer.planes import Scene

__all__ = ["Overlay", "overlay_for"]

MAX_LABELS = 4096


@dataclass(frozen=True, eq=False)
class Overlay:
    """
    An array over an image.

    Attributes
    ----------
    image : DataArray
        On the grid of the image beneath.
    source : SliceSource
    frame_dims : tuple of str
        Acquisition dimensions that it has, of those of the image beneath.
    below : tuple of str
        Acquisition dimensions of the image beneath.
    palette : list of str
    low, high, least : float
        Range of the colours, and the least value that is shown.
    labels : dict
        Names of values.
    discrete : bool
        Whether it is a mask or label map.
    """

    image: xr.DataArray
    source: SliceSource
    frame_dims: tuple[str, ...]
    below: tuple[str, ...]
    palette: list[str]
    low: float
    high: float
    labels: dict[str, str]
    discrete: bool

    def plane(self, frame: Sequence[int], axis: int, index: int) -> NDArray[Any]:
        """Return the picture over the one of the image with the same arguments."""
        own = tuple(k for k, name in zip(frame, self.below, strict=True) if name in self.frame_dims)
        return self.source.plane(own, axis, index)


def overlay_for(found: Any, below: Scene, cmap: str) -> Overlay:
    """
    Return an overlay of an image.

    Parameters
    ----------
    found : DataArray
        Bool, integer labels or floats; NaN is transparent. Its spatial grid is that of the image,
        its acquisition dimensions are among the image's.
    below : Scene
        The image beneath.
    cmap : str
        Colour map of a parametric map.

    Raises
    ------
    OptionError
        It has other dimensions.
    GridMismatchError
        It lies elsewhere, or has other voxels.
    """
    if not isinstance(found, xr.DataArray) or schema.RGB in found.dims:
        raise OptionError("an overlay is a DataArray of a mask, labels or a map, not of colours")
    dims = [str(d) for d in found.dims if d not in schema.SPATIAL]
    if not set(dims) <= set(below.dims):
        raise OptionError(
            f"the overlay has the dimensions {dims}, the image {list(below.dims)}: take one, e.g. "
            f"overlay.isel({dims[0]}=0)"
        )
    placed = _on_grid(found, below)
    upper = scene(placed.transpose(*[d for d in below.dims if d in dims], ...))
    # The planes are those of the image: the pictures lie line on line.
    lower = type(below)(
        upper.image, upper.dims, below.positions, below.directions, below.planes, below.native
    )
    source = SliceSource(lower)
    discrete = placed.dtype.kind in "bui"
    if discrete:
        colors, most, labels = _labels(placed)
        return Overlay(
            placed, source, upper.dims, below.dims, colors, 0.5, most + 0.5, labels, discrete=True
        )
    low, high = percentiles(np.asarray(placed.values), 1, 99.5)
    return Overlay(
        placed, source, upper.dims, below.dims, palette(cmap), low, high, {}, discrete=False
    )


def _on_grid(found: xr.DataArray, below: Scene) -> xr.DataArray:
    """Check that an array has the image's voxels; put flipped ones into its order."""
    remedy = "resample it on the image's grid first"
    missing = [n for n in schema.SPATIAL if n not in found.dims and below.image.sizes[n] > 1]
    if missing:
        raise GridMismatchError(f"the overlay has no dimension {missing[0]!r}: {remedy}")
    if below.directions is None:
        sizes = [found.sizes.get(n, 1) for n in schema.SPATIAL]
        if sizes != list(below.shape):
            raise GridMismatchError(f"the overlay has {sizes} voxels, the image {below.shape}")
        return found
    try:
        grid = grid_of(found)
    except GeometryError as error:
        raise GridMismatchError(f"the overlay has no place in the patient: {remedy}") from error
    if np.abs(grid.directions - below.directions).max() > 5e-4:
        raise GridMismatchError(f"the overlay has other directions than the image: {remedy}")
    for name, axis, values in zip(schema.SPATIAL, grid.axes, below.positions, strict=True):
        own = np.asarray(axis.values)
        step = float(np.abs(np.diff(values)).min()) if values.size > 1 else 1.0
        if own.shape == values.shape and np.abs(own - values).max() <= 0.01 * step:
            continue
        if own.shape == values.shape and np.abs(own[::-1] - values).max() <= 0.01 * step:
            found = found.isel({name: slice(None, None, -1)})
            continue
        raise GridMismatchError(f"the overlay has other positions along {name!r}: {remedy}")
    return found


def _labels(found: xr.DataArray) -> tuple[list[str], int, dict[str, str]]:
    values = np.asarray(found.values)
    high = max(1, int(values.max()) if values.size else 1)
    if high > MAX_LABELS:
        raise OptionError(
            f"the overlay has labels up to {high}: for a map of values, use floats, "
            "overlay.astype('float32')"
        )
    palette = [LABEL_COLORS[k % len(LABEL_COLORS)] for k in range(high)]
    numbers, names, colors = (
        np.atleast_1d(found.attrs.get(key, [])).tolist() for key in (NUMBERS, LABELS, COLORS)
    )
    for number, color in zip(numbers, colors, strict=False):
        if 1 <= int(number) <= high:
            palette[int(number) - 1] = str(color)
    return palette, high, {str(int(n)): str(t) for n, t in zip(numbers, names, strict=False)}
