"""Outlines from positions along the axes of an image: contours, rectangles, ellipses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from imagedata_xr.errors import OptionError
from imagedata_xr.roi.model import Contour
from imagedata_xr.roi.place import grid_for
from imagedata_xr.schema import SPATIAL

if TYPE_CHECKING:
    from collections.abc import Mapping

    import xarray as xr
    from numpy.typing import ArrayLike, NDArray

__all__ = ["contour", "ellipse", "rectangle"]

ELLIPSE_POINTS = 96


def contour(like: xr.DataArray, **at: ArrayLike) -> Contour:
    """
    Return an outline from positions along the coordinates of an image.

    Parameters
    ----------
    like : DataArray
        Whose axes are meant.
    **at : array_like, shape (n,) or ()
        ``slice``, ``row`` and ``column``: mm along each coordinate, as in ``like.row``; one number
        where the outline is flat.

    Returns
    -------
    Contour
        In patient LPS.

    Examples
    --------
    >>> roi.contour(series, slice=1.5, row=[-3, 3, 3], column=[-2, -2, 2])
    Contour(3 points, 12 mm2)
    """
    along = np.stack(np.broadcast_arrays(*_named(at)), axis=-1).astype(np.float64)
    return Contour(along.reshape(-1, 3) @ grid_for(like).directions.T)


def rectangle(like: xr.DataArray, **at: ArrayLike) -> Contour:
    """
    Return a rectangle in a plane of an image.

    Parameters
    ----------
    like : DataArray
    **at : float or two floats
        ``slice``, ``row`` and ``column``: mm along each coordinate, two where the rectangle
        extends (from, to), one where it is flat.

    Returns
    -------
    Contour

    Examples
    --------
    >>> outline = roi.rectangle(series, slice=float(series.slice[1]), row=(-3, 3), column=(-2, 2))
    >>> roi.Roi(name="box", contours=(outline,)).name
    'box'
    """
    (flat, where), (first, one), (second, two) = _plane(at)
    corners: dict[str, ArrayLike] = {
        flat: where[0],
        first: [one[0], one[1], one[1], one[0]],
        second: [two[0], two[0], two[1], two[1]],
    }
    return contour(like, **corners)


def ellipse(like: xr.DataArray, *, points: int = ELLIPSE_POINTS, **at: ArrayLike) -> Contour:
    """
    Return an ellipse in a plane of an image.

    Parameters
    ----------
    like : DataArray
    points : int
        Corners of the polygon.
    **at : float or two floats
        ``slice``, ``row`` and ``column``: mm along each coordinate, two where the ellipse extends
        (from, to), one where it is flat.

    Returns
    -------
    Contour

    Examples
    --------
    >>> outline = roi.ellipse(series, slice=float(series.slice[1]), row=(-3, 3), column=(-2, 2))
    >>> region = roi.Roi(name="centre", contours=(outline,))
    >>> int(roi.mask(region, series).sum()) > 0
    True
    """
    (flat, where), (first, one), (second, two) = _plane(at)
    angle = 2 * np.pi * np.arange(points) / points
    corners: dict[str, ArrayLike] = {
        flat: where[0],
        first: one.mean() + 0.5 * (one[1] - one[0]) * np.sin(angle),
        second: two.mean() + 0.5 * (two[1] - two[0]) * np.cos(angle),
    }
    return contour(like, **corners)


def _named(at: Mapping[str, ArrayLike]) -> list[ArrayLike]:
    if set(at) != set(SPATIAL):
        raise OptionError(f"give positions along {', '.join(SPATIAL)}, not {sorted(at)}")
    return [at[name] for name in SPATIAL]


def _plane(at: Mapping[str, ArrayLike]) -> list[tuple[str, NDArray[np.float64]]]:
    """Return the axes with their extents, the flat one first."""
    named = [
        (name, np.atleast_1d(np.asarray(extent, dtype=np.float64)))
        for name, extent in zip(SPATIAL, _named(at), strict=True)
    ]
    if sorted(extent.size for _, extent in named) != [1, 2, 2]:
        raise OptionError(
            "give one position for the axis across the plane and two, (from, to), for both others"
        )
    return sorted(named, key=lambda pair: pair[1].size)
