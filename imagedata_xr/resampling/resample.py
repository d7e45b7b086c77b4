"""Images on the grid of another image, or with another voxel size."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import xarray as xr

from imagedata_xr import schema
from imagedata_xr.errors import DataWarning, OptionError
from imagedata_xr.index import grid_of, position_coords
from imagedata_xr.resampling.grids import even_grid
from imagedata_xr.resampling.sampling import BSPLINE, LINEAR, NEAREST, Sampler, require_even

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from imagedata_xr.geometry import Grid

__all__ = ["METHODS", "is_label_map", "on_grid", "resample", "resample_like"]

METHODS: Final = (NEAREST, LINEAR, BSPLINE)
FRAME_OF_REFERENCE: Final = "FrameOfReferenceUID"
# What label maps of the package carry.
LABELS: Final = ("SegmentNumber", "SegmentLabel")
# Of the source's slices.
STALE: Final = ("SliceThickness", "SpacingBetweenSlices")


def resample_like(
    da: xr.DataArray,
    other: xr.DataArray | xr.Dataset,
    *,
    method: str | None = None,
    fill_value: float | None = None,
) -> xr.DataArray:
    """
    Return an image on the grid of another one in the same patient coordinates.

    Parameters
    ----------
    da : DataArray
        With a place in the patient; uneven slices and gantry tilt included. Other dimensions are
        kept; Dask arrays stay lazy, cut along those.
    other : DataArray or Dataset
        Only its grid counts.
    method : {"linear", "nearest", "bspline"}, optional
        ``linear`` by default; ``nearest`` for bool and label maps. ``bspline`` is of order 3 and
        needs even spacing. All are those of ITK.
    fill_value : scalar, optional
        Where `other` lies outside the image. By default NaN for floating point, False for bool and
        0 for colours and label maps; integers have no such value, and it must be given.

    Returns
    -------
    DataArray
        ``nearest`` keeps the type. The others give float32 for integers of up to 16 bits and for
        bool (the part of a voxel that is inside), float64 for larger ones; colours keep theirs.
        The new voxels are no frames of a source: coordinates of single frames are left out.

    Raises
    ------
    GeometryError
        An image has no place in the patient, or the method needs even spacing.
    OptionError
        The method means nothing here, or a fill value is needed.
    MissingDependencyError
        Without SciPy, for all but ``nearest``.

    Warns
    -----
    DataWarning
        The images have different frames of reference: whether their positions have to do with
        each other is not known.

    Examples
    --------
    >>> coarse = resampling.resample(series, (3, 3, 3))
    >>> resampling.resample_like(coarse, series).sizes == series.sizes
    True
    """
    mine, theirs = (one.attrs.get(FRAME_OF_REFERENCE) for one in (da, _image(other)))
    if mine and theirs and mine != theirs:
        warnings.warn(
            "the images have different frames of reference (FrameOfReferenceUID): the same position "
            "in mm need not be the same place in the patient, unless they were registered",
            DataWarning,
            stacklevel=2,
        )
    grid = grid_of(other)
    found = on_grid(da, grid, method=method, fill_value=fill_value)
    flat = [name for name in schema.SPATIAL if name not in other.dims]
    found = found.isel(dict.fromkeys(flat, 0)) if flat else found
    return found.assign_attrs({FRAME_OF_REFERENCE: theirs}) if theirs else found


def resample(
    da: xr.DataArray,
    spacing: float | Sequence[float] | Mapping[str, float] | None = None,
    *,
    method: str | None = None,
    fill_value: float | None = None,
) -> xr.DataArray:
    """
    Return an image with another voxel size, on an even and rectangular grid.

    Without `spacing`, uneven slices become even (missing ones are interpolated), and a stack with
    gantry tilt becomes upright; the field of view stays. An axis that is even and keeps its spacing
    keeps its positions.

    Parameters
    ----------
    da : DataArray
    spacing : float, sequence of float or mapping, optional
        mm: of all axes, of (slice, row, column), or of those named, ``{"slice": 2.0}``.
    method, fill_value
        As in `resample_like`. The fill value is needed for the corners of an upright stack.

    Returns
    -------
    DataArray

    Raises
    ------
    GeometryError, OptionError, MissingDependencyError
        As `resample_like`.

    Examples
    --------
    >>> resampling.resample(series, (3, 3, 3)).med.spacing
    (3.0, 3.0, 3.0)
    """
    return on_grid(da, even_grid(grid_of(da), spacing), method=method, fill_value=fill_value)


def is_label_map(da: xr.DataArray) -> bool:
    """Tell whether the values are numbers of structures, which have nothing between them."""
    return da.dtype.kind in "iu" and all(name in da.attrs for name in LABELS)


def on_grid(
    da: xr.DataArray, grid: Grid, *, method: str | None, fill_value: float | None
) -> xr.DataArray:
    """Return an image on a grid; see `resample_like`."""
    how = _method(da, method)
    source = grid_of(da)
    if how == BSPLINE:
        require_even(source)
    missing: list[Hashable] = [name for name in schema.SPATIAL if name not in da.dims]
    placed = da.expand_dims(missing) if missing else da
    dtype = _dtype(da, how)
    sampler = Sampler(source, grid, how, dtype, _fill(da, dtype, fill_value))
    if sampler.fill is None:
        if sampler.reaches_beyond():
            raise OptionError(
                f"parts of the new grid lie outside the image, and {da.dtype} has no value for "
                "'unknown': pass fill_value= (e.g. -1024 for CT in HU)"
            )
        sampler = Sampler(source, grid, how, dtype, 0)
    placed = placed.drop_vars(_of_frames(placed))
    lazy = placed.chunks is not None
    found = xr.apply_ufunc(
        sampler,
        placed.chunk(dict.fromkeys(schema.SPATIAL, -1)) if lazy else placed,
        input_core_dims=[list(schema.SPATIAL)],
        output_core_dims=[list(schema.SPATIAL)],
        exclude_dims=set(schema.SPATIAL),
        dask="parallelized",
        output_dtypes=[dtype],
        dask_gufunc_kwargs={
            "output_sizes": dict(zip(schema.SPATIAL, grid.shape, strict=True)),
        },
        keep_attrs=True,
    )
    made: xr.DataArray = found.assign_coords(position_coords(grid))
    colour = [schema.RGB] if schema.RGB in made.dims else []
    made = made.transpose(..., *schema.SPATIAL, *colour).rename(da.name)
    made.attrs = {k: v for k, v in made.attrs.items() if k not in STALE}
    return made


def _image(obj: xr.DataArray | xr.Dataset) -> xr.DataArray | xr.Dataset:
    if isinstance(obj, xr.Dataset) and schema.IMAGE in obj:
        return obj[schema.IMAGE]
    return obj


def _method(da: xr.DataArray, method: str | None) -> str:
    labels = is_label_map(da)
    if method is None:
        return NEAREST if labels or da.dtype.kind == "b" else LINEAR
    if method not in METHODS:
        raise OptionError(f"method={method!r}: give one of {', '.join(map(repr, METHODS))}")
    if labels and method != NEAREST:
        raise OptionError(
            f"method={method!r} would invent structures between those of a label map: leave it "
            "out, or take one structure, (labels == 1)"
        )
    return method


def _dtype(da: xr.DataArray, method: str) -> np.dtype[Any]:
    native = da.dtype.newbyteorder("=")
    if native.kind not in "biufc":
        raise OptionError(f"values of type {da.dtype} cannot be interpolated")
    if method == NEAREST or native.kind in "fc" or schema.RGB in da.dims:
        return native
    return np.dtype(np.float32 if native.itemsize <= 2 else np.float64)


def _fill(da: xr.DataArray, dtype: np.dtype[Any], fill_value: float | None) -> Any:
    """Return the value outside; None where there is none."""
    if fill_value is None:
        if dtype.kind in "fc":
            return np.nan
        known = dtype.kind == "b" or schema.RGB in da.dims or is_label_map(da)
        return 0 if known else None
    try:
        with np.errstate(all="raise"):
            cast = np.asarray(fill_value).astype(dtype)
        same = bool(cast == fill_value) or dtype.kind in "fc"
    except (TypeError, ValueError, FloatingPointError, OverflowError):
        same = False
    if not same:
        raise OptionError(f"fill_value={fill_value!r} is no value of type {dtype}")
    return fill_value


def _of_frames(da: xr.DataArray) -> list[Hashable]:
    """Return the coordinates that belong to the old voxels."""
    of_place = [n for n, c in da.coords.items() if set(c.dims) & set(schema.SPATIAL)]
    return [*of_place, *(n for n in (schema.FRAME,) if n in da.coords and n not in of_place)]
