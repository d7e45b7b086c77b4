"""From an array of numbers and where its voxels lie to a labelled image, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import numpy as np
import xarray as xr

from imagedata_xr import schema
from imagedata_xr.dataset import Image, Labels, build, canonical_order
from imagedata_xr.errors import GeometryError, OptionError
from imagedata_xr.geometry import grid_from_affine, lps_ras_affine
from imagedata_xr.index import grid_of

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from imagedata_xr.geometry import Grid

__all__ = ["Space", "from_array", "to_numpy_affine"]

Space: TypeAlias = Literal["LPS", "RAS"]
KINDS: Final = "biufc"


def from_array(  # noqa: PLR0913 - a matrix, or its parts
    array: Any,
    *,
    dims: Sequence[str] | None = None,
    affine: ArrayLike | None = None,
    spacing: ArrayLike | None = None,
    origin: ArrayLike | None = None,
    orientation: ArrayLike | None = None,
    space: Space = "LPS",
    coords: Mapping[str, Any] | None = None,
    attrs: Mapping[str, Any] | None = None,
) -> xr.DataArray:
    """
    Return an array of numbers as a labelled image.

    Parameters
    ----------
    array : array
        NumPy or Dask; never copied where its axes stand in the right order.
    dims : sequence of str, optional
        Name of each axis: ``slice``, ``row`` and ``column``; ``rgb`` for colours; and any other,
        as ``time`` (s), ``te``, ``ti`` (ms), ``fa`` (degrees), ``b`` (s/mm2) or ``volume``. By
        default ``("row", "column")`` or ``("slice", "row", "column")``; more axes must be named.
    affine : array_like, shape (4, 4), optional
        Takes the indices of the spatial axes, **in the order of `dims`**, and 1 to mm. So
        ``from_array(img.dataobj, dims=("column", "row", "slice"), affine=img.affine,
        space="RAS")`` is an image of nibabel.
    spacing : array_like, optional
        Instead: voxel size in mm along each spatial axis, in the order of `dims`. Alone, it gives
        positions in mm without a place in the patient.
    origin : array_like, shape (3,), optional
        Centre of the first voxel, mm. Together with `spacing` and `orientation`.
    orientation : array_like, shape (3, 3), optional
        Columns are the unit vectors of increasing index, in the order of `dims`.
    space : {"LPS", "RAS"}
        Coordinates of the patient in which the matrix, or origin and orientation, are given.
    coords : mapping, optional
        Values along the other axes, or of each frame: ``{"time": [0, 2.5]}``, or
        ``{"b": ("volume", values)}`` with the dimensions, as xarray has it.
    attrs : mapping, optional
        Attributes, by DICOM keyword.

    Returns
    -------
    xarray.DataArray
        ``image``, with the dimensions in the order of the data model: acquisition, ``slice``,
        ``row``, ``column``, ``rgb``.

    Raises
    ------
    OptionError
        Names or values do not fit the array.
    GeometryError
        The matrix cannot be inverted, or is incomplete. Nothing is made up.

    Examples
    --------
    >>> import numpy as np
    >>> da = imagedata_xr.from_array(np.zeros((4, 6, 5)), affine=np.diag([5, 2, 2, 1]))
    >>> da.dims, da.med.spacing
    (('slice', 'row', 'column'), (5.0, 2.0, 2.0))
    """
    data, names = _named(array, dims)
    spatial = [name for name in names if name in schema.SPATIAL]
    sizes = dict(zip(names, data.shape, strict=True))
    grid = _grid(spatial, sizes, _matrix(affine, spacing, origin, orientation), space)
    lead = list(canonical_order([n for n in names if n not in (*schema.SPATIAL, schema.RGB)]))
    labels, others = _labels(lead, sizes, coords or {})
    rest = [name for name in (*schema.SPATIAL, schema.RGB) if name in names]
    turned = data.transpose([names.index(name) for name in (*lead, *rest)])
    if grid is None and schema.SLICE in spatial:
        labels[schema.SLICE] = Labels(np.arange(sizes[schema.SLICE]))
    image = Image(turned, labels, grid, attrs=dict(attrs or {}), colour=schema.RGB in names)
    found = build(image)[schema.IMAGE]
    if grid is None:
        found = found.drop_vars(schema.SPATIAL, errors="ignore")
        found = found.assign_coords(_steps(spatial, sizes, spacing))
    for name, variable in others.items():
        found = found.assign_coords({name: variable})
    found.encoding.pop("preferred_chunks", None)
    return found


def to_numpy_affine(
    da: xr.DataArray, *, space: Space = "LPS"
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """
    Return the values and the matrix of an image; `from_array` takes them back.

    Parameters
    ----------
    da : xarray.DataArray
    space : {"LPS", "RAS"}
        Coordinates of the patient.

    Returns
    -------
    values : ndarray
        Axes in the order of the data model: acquisition, slice, row, column, rgb. A spatial axis
        that has become a scalar (``isel(slice=3)``) has length 1.
    affine : ndarray, shape (4, 4)
        Takes (slice, row, column, 1) indices to mm.

    Raises
    ------
    GeometryError
        The image has no place in the patient, or is not evenly spaced.
    """
    _check_space(space)
    grid = grid_of(da)
    affine = np.asarray(grid.affine, dtype=np.float64)
    missing: list[Hashable] = [name for name in schema.SPATIAL if name not in da.dims]
    last = [*schema.SPATIAL, *((schema.RGB,) if schema.RGB in da.dims else ())]
    values = da.expand_dims(missing).transpose(..., *last).values
    return values, affine if space == "LPS" else np.asarray(lps_ras_affine(affine))


def _named(array: Any, dims: Sequence[str] | None) -> tuple[Any, list[str]]:
    if isinstance(array, xr.DataArray | xr.Variable):
        dims = [str(d) for d in array.dims] if dims is None else dims
        array = array.data
    data = array if hasattr(array, "__array_function__") else np.asarray(array)
    if data.dtype.kind not in KINDS:
        raise OptionError(f"voxels are numbers, not {data.dtype}")
    if dims is None:
        if data.ndim not in (2, 3):
            raise OptionError(
                f"the array has {data.ndim} axes: name them, e.g. "
                f"dims={(schema.TIME, *schema.SPATIAL)}"
            )
        dims = schema.SPATIAL[-data.ndim :]
    names = [str(name) for name in ([dims] if isinstance(dims, str) else dims)]
    if len(names) != data.ndim or len(set(names)) < len(names) or not all(names):
        raise OptionError(f"dims={tuple(names)}: one name for each of the {data.ndim} axes")
    if not {schema.ROW, schema.COLUMN} <= set(names):
        raise OptionError(f"dims={tuple(names)}: an image has the axes 'row' and 'column'")
    if schema.RGB in names and data.shape[names.index(schema.RGB)] not in (3, 4):
        raise OptionError(f"rgb has 3 or 4 parts, not {data.shape[names.index(schema.RGB)]}")
    return data, names


def _check_space(space: str) -> None:
    if space not in ("LPS", "RAS"):
        raise OptionError(f"space={space!r}: give 'LPS' (DICOM, ITK) or 'RAS' (NIfTI)")


def _matrix(
    affine: ArrayLike | None,
    spacing: ArrayLike | None,
    origin: ArrayLike | None,
    orientation: ArrayLike | None,
) -> NDArray[np.float64] | None:
    """Return the matrix that the caller means, None where there is none."""
    parts = {"spacing": spacing, "origin": origin, "orientation": orientation}
    given = [name for name, part in parts.items() if part is not None]
    if affine is not None:
        if given:
            raise OptionError(f"affine= says all: leave out {', '.join(given)}")
        return _numbers(affine, (4, 4), "affine")
    if given in ([], ["spacing"]):
        return None
    missing = [name for name, part in parts.items() if part is None]
    if missing:
        raise GeometryError(
            f"{', '.join(given)} without {', '.join(missing)} is no place in the patient: give "
            "all three, or affine="
        )
    steps = _numbers(spacing, (3,), "spacing")
    axes = _numbers(orientation, (3, 3), "orientation")
    lengths = np.linalg.norm(axes, axis=0)
    if (steps <= 0).any() or np.abs(lengths - 1).max() > 1e-3:
        raise GeometryError(
            f"spacing {steps.tolist()} is positive, and the columns of orientation are unit "
            f"vectors (theirs are {lengths.tolist()} long)"
        )
    matrix = np.eye(4)
    matrix[:3, :3] = axes / lengths * steps
    matrix[:3, 3] = _numbers(origin, (3,), "origin")
    return matrix


def _numbers(values: Any, shape: tuple[int, ...], name: str) -> NDArray[np.float64]:
    try:
        found = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise GeometryError(f"{name} is no array of numbers: {values!r}") from error
    if found.shape != shape or not np.isfinite(found).all():
        raise GeometryError(f"{name} has finite numbers of shape {shape}, not {values!r}")
    return found


def _grid(
    spatial: list[str], sizes: Mapping[str, int], matrix: NDArray[np.float64] | None, space: str
) -> Grid | None:
    _check_space(space)
    if matrix is None:
        return None
    if len(spatial) != len(schema.SPATIAL):
        raise GeometryError(
            f"a place in the patient needs the axes slice, row and column, not {spatial}: one "
            "slice is array[None]"
        )
    lps = matrix if space == "LPS" else lps_ras_affine(matrix)
    shape = [sizes[name] for name in spatial]
    if 0 in shape:
        raise OptionError(f"there are no voxels: the array is empty, {shape}")
    return grid_from_affine(lps, shape, order=spatial)


def _steps(
    spatial: list[str], sizes: Mapping[str, int], spacing: ArrayLike | None
) -> dict[str, Any]:
    """Return positions in mm without a place in the patient."""
    if spacing is None:
        return {}
    steps = _numbers(spacing, (len(spatial),), "spacing")
    if (steps <= 0).any():
        raise GeometryError(f"spacing {steps.tolist()} is not positive")
    about = ({schema.UNITS: schema.MM, schema.SPACING: float(step)} for step in steps)
    return {
        name: (name, np.arange(sizes[name]) * step, attrs)
        for name, step, attrs in zip(spatial, steps, about, strict=True)
    }


def _labels(
    lead: list[str], sizes: Mapping[str, int], coords: Mapping[str, Any]
) -> tuple[dict[str, Labels], dict[str, xr.Variable]]:
    """Return the labels of the axes, and all other coordinates."""
    labels = {name: Labels(np.arange(sizes[name])) for name in lead}
    others: dict[str, xr.Variable] = {}
    for name, given in coords.items():
        if name in (*schema.SPATIAL, schema.RGB):
            raise OptionError(f"coords: {name!r} follows from the matrix, or from spacing=")
        variable = _variable(name, given, lead)
        wrong = {d: n for d, n in variable.sizes.items() if sizes.get(str(d)) != n}
        if wrong:
            raise OptionError(f"coords: {name!r} has sizes {wrong}, the array {dict(sizes)}")
        if name not in lead:
            others[name] = variable
            continue
        values = variable.values
        if variable.dims != (name,) or np.unique(values).size < values.size:
            raise OptionError(
                f"coords: {name!r} has values that repeat: call the axis 'volume', and give "
                f"coords={{{name!r}: ('volume', values)}}"
            )
        labels[name] = Labels(values, variable.attrs)
    return labels, others


def _variable(name: str, given: Any, lead: Sequence[str]) -> xr.Variable:
    if isinstance(given, xr.DataArray):
        given = given.variable
    if not isinstance(given, xr.Variable | tuple):
        given = ((name,) if name in lead else (), given)
    try:
        variable = xr.as_variable(given).copy(deep=False)
    except (TypeError, ValueError) as error:
        raise OptionError(f"coords: {name!r}: {error}") from error
    if variable.dtype.kind not in KINDS + "UMm":
        raise OptionError(f"coords: {name!r} has neither numbers nor text: {variable.dtype}")
    if variable.dtype.kind == "f" and name in lead and not np.isfinite(variable.values).all():
        raise OptionError(f"coords: {name!r} has values that are not finite")
    if name in schema.UNITS_OF:
        variable.attrs.setdefault(schema.UNITS, schema.UNITS_OF[name])
    return variable
