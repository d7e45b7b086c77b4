"""
Which axis of an array becomes which axis of the NIfTI file, and where its voxels lie.

The order is that of dcm2niix (https://github.com/rordenlab/dcm2niix): i runs with the column
index, j against the row index, and k with the slice index or against it, so that the matrix in RAS
coordinates has a negative determinant ("radiological" storage) for every image.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Final

import numpy as np

from imagedata_xr.errors import DataWarning, GeometryError, WriteError
from imagedata_xr.geometry import POSITION_TOLERANCE, lps_ras_affine
from imagedata_xr.index import grid_of
from imagedata_xr.schema import (
    COLUMN,
    DIRECTION,
    MM,
    RGB,
    ROW,
    SLICE,
    SPACING,
    SPATIAL,
    TIME,
    UNITS,
    VOLUME,
    B,
)

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

__all__ = ["Layout", "layout_of"]

MAX_AXES: Final = 7
FOURTH: Final = (TIME, VOLUME, B)


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """
    The axes of the file.

    Attributes
    ----------
    acquisition : tuple of str
        Dimensions behind the three spatial ones, slowest first: the last is NIfTI axis 4.
    shape : tuple of int
        Sizes in C order: those of `acquisition`, then slice, row and column.
    affine : ndarray of float, shape (4, 4)
        Takes voxel indices (i, j, k, 1) to RAS mm; without a place, a diagonal of voxel sizes.
    reversed_slices : bool
        Whether k runs against the slice index of the array.
    reversed_rows : bool
        Whether j runs against the row index: of every image that has a place.
    is_sheared : bool
        Whether the axes are not orthogonal (gantry tilt), so that no quaternion describes them.
    is_rgb : bool
        Whether every voxel is a colour.
    is_placed : bool
        Whether the place of the voxels in the patient is written.
    """

    acquisition: tuple[str, ...]
    shape: tuple[int, ...]
    affine: NDArray[np.float64]
    reversed_slices: bool
    reversed_rows: bool
    is_sheared: bool
    is_rgb: bool
    is_placed: bool = True

    @property
    def nifti_dims(self) -> tuple[str, ...]:
        """Names of the file's axes, i first."""
        return (COLUMN, ROW, SLICE, *self.acquisition[::-1])

    @property
    def nifti_shape(self) -> tuple[int, ...]:
        """Sizes of the file's axes, i first."""
        return self.shape[::-1]

    @property
    def reversed_dims(self) -> tuple[str, ...]:
        """Dimensions along which the file runs against the array."""
        turned = {SLICE: self.reversed_slices, ROW: self.reversed_rows}
        return tuple(name for name, is_turned in turned.items() if is_turned)

    @property
    def zooms(self) -> tuple[float, ...]:
        """Voxel size in mm along i, j and k."""
        return tuple(np.linalg.norm(self.affine[:3, :3], axis=0).tolist())


def layout_of(da: xr.DataArray, *, force: bool = False) -> Layout:
    """
    Return the axes of the file for an image.

    NIfTI axis 4 is ``time`` if there is one, else ``volume``, else ``b``, else the last of the
    acquisition dimensions; the others follow from the last to the first.

    Parameters
    ----------
    da : xarray.DataArray
        Dimensions in any order. A spatial dimension may be missing where its coordinate is
        still there as a scalar (``isel(slice=3)``).
    force : bool
        Leave the place out where NIfTI has none for the voxels. Their order is that of the
        array then.

    Raises
    ------
    GeometryError
        Where the image has no position in the patient, or is not evenly spaced.
    WriteError
        Where it has more than seven axes, an axis without voxels or an axis that has no place
        in a NIfTI file.

    Warns
    -----
    DataWarning
        With `force`, where the place is left out.
    """
    others = tuple(str(d) for d in da.dims if d not in (*SPATIAL, RGB))
    _check_axes(da, others)
    try:
        affine = _affine(da)
    except GeometryError as error:
        if not force:
            raise
        warnings.warn(f"no place in the patient is written: {error}", DataWarning, stacklevel=3)
        return _without_place(da, others)
    slices, rows = affine[:, 0], affine[:, 1]
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    sizes = {str(name): size for name, size in da.sizes.items()}
    spatial = tuple(sizes.get(name, 1) for name in SPATIAL)
    # In LPS and RAS alike: two axes change sign between them.
    turned = bool(np.linalg.det(directions[:, ::-1]) < 0)
    columns = [affine[:, 2], -rows, -slices if turned else slices]
    corner = affine[:, 3] + rows * (spatial[1] - 1) + slices * (spatial[0] - 1 if turned else 0)
    order = _acquisition_order(others)
    return Layout(
        acquisition=order,
        shape=tuple(sizes[name] for name in order) + spatial,
        affine=np.asarray(lps_ras_affine(np.column_stack([*columns, corner])), dtype=np.float64),
        reversed_slices=turned,
        reversed_rows=True,
        is_sheared=_is_sheared(directions, spatial, affine),
        is_rgb=RGB in da.dims,
    )


def _without_place(da: xr.DataArray, others: tuple[str, ...]) -> Layout:
    order = _acquisition_order(others)
    sizes = {str(name): size for name, size in da.sizes.items()}
    zooms = [_voxel_size(da, name) for name in SPATIAL[::-1]]
    return Layout(
        acquisition=order,
        shape=tuple(sizes.get(name, 1) for name in (*order, *SPATIAL)),
        affine=np.diag([*zooms, 1.0]),
        reversed_slices=False,
        reversed_rows=False,
        is_sheared=False,
        is_rgb=RGB in da.dims,
        is_placed=False,
    )


def _voxel_size(da: xr.DataArray, name: str) -> float:
    """Return the mean step of an axis in mm, 0 where nothing is known."""
    if name not in da.coords or da.coords[name].attrs.get(UNITS) != MM:
        return 0.0
    values = np.atleast_1d(da.coords[name].values).astype(np.float64)
    if values.size > 1 and np.isfinite(values).all():
        return float(np.ptp(values)) / (values.size - 1)
    return float(da.coords[name].attrs.get(SPACING, 0.0))


def _check_axes(da: xr.DataArray, others: tuple[str, ...]) -> None:
    for name in others:
        if name in da.coords and da.coords[name].dtype.kind in "OUST":
            labels = [str(v) for v in da.coords[name].values]
            raise WriteError(
                f"NIfTI has no place for the axis {name!r} with the labels {labels}: write one "
                f"file each, of isel({name}=0) and so on"
            )
    if len(others) + len(SPATIAL) > MAX_AXES:
        raise WriteError(
            f"NIfTI has {MAX_AXES} axes, and {len(others)} of {others} come on top of slice, row "
            "and column: write a part (isel) or stack some of them"
        )
    empty = [str(name) for name, size in da.sizes.items() if not size]
    if empty:
        raise WriteError(f"there are no voxels: the array is empty along {empty}")


def _affine(da: xr.DataArray) -> NDArray[np.float64]:
    """Return the LPS matrix of (slice, row, column, 1)."""
    if not any(DIRECTION in da.coords[name].attrs for name in SPATIAL if name in da.coords):
        raise GeometryError(
            "no coordinate has a direction in the patient (ultrasound and projection images have "
            "none), so a NIfTI file has no place for the voxels: take the coordinates from an "
            "image on the same grid, or pass force=True to write the voxels without a place"
        )
    grid = grid_of(da)
    try:
        return np.asarray(grid.affine, dtype=np.float64)
    except GeometryError as error:
        for name, axis in zip(SPATIAL, grid.axes, strict=True):
            if axis.size == 1 and axis.spacing is None:
                raise GeometryError(
                    f"{error}. Say it: da[{name!r}].attrs[{SPACING!r}] = 5.0, for 5 mm"
                ) from error
        raise GeometryError(
            f"{error}. NIfTI describes only evenly spaced voxels: resample first, da.med.resample(), "
            "write a regular part (isel), or pass force=True to write the voxels without a place"
        ) from error


def _acquisition_order(others: tuple[str, ...]) -> tuple[str, ...]:
    """Return the dimensions with the one that becomes NIfTI axis 4 at the end."""
    for name in FOURTH:
        if name in others:
            return (*(other for other in others if other != name), name)
    return others


def _is_sheared(
    directions: NDArray[np.float64], sizes: tuple[int, ...], affine: NDArray[np.float64]
) -> bool:
    """
    Whether one axis drifts along another so far that a quaternion misplaces voxels.

    A tenth of a voxel is allowed: direction cosines written with four decimals are that crooked.
    """
    steps = np.linalg.norm(affine[:3, :3], axis=0)
    extent = steps * np.array(sizes)
    allowed = max(POSITION_TOLERANCE, 0.1 * float(steps.min()))
    cosines = directions.T @ directions
    return any(
        abs(float(cosines[a, b])) * float(min(extent[a], extent[b])) > allowed
        for a, b in combinations(range(3), 2)
    )
