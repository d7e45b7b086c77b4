"""
Diffusion weighting beside a NIfTI file: ``.bval`` and ``.bvec`` in the convention of FSL.

Vectors are unit vectors along the axes of the file. FSL turns their x round where the matrix of
the image has a positive determinant; the files written here never have one (see `layout`), which
makes the vectors equal to those of dcm2niix.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from imagedata_xr.errors import DataWarning
from imagedata_xr.geometry import lps_ras
from imagedata_xr.schema import BVEC, B

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

    from imagedata_xr.formats.nifti.layout import Layout

__all__ = ["gradient_files"]


def gradient_files(da: xr.DataArray, layout: Layout) -> dict[str, str]:
    """
    Return the texts of the gradient files by suffix; empty where no axis has b-values.

    Every 3-D volume has one column, in file order (NIfTI axis 4 runs fastest). Volumes without a
    direction (b = 0, trace images, or no ``bvec_x``, ``bvec_y``, ``bvec_z`` coordinates) have
    0 0 0, as dcm2niix writes them.

    Parameters
    ----------
    da : xarray.DataArray
        With a coordinate ``b`` (s/mm2) along acquisition dimensions.
    layout : Layout

    Warns
    -----
    DataWarning
        Where a b-value is not known, or directions have no place to refer to.
    """
    b = _per_volume(da, B, layout)
    if b is None:
        return {}
    if not np.isfinite(b).all():
        warnings.warn(
            f"{np.count_nonzero(~np.isfinite(b))} of {b.size} volumes have no b-value (NaN): no "
            ".bval and .bvec files are written",
            DataWarning,
            stacklevel=3,
        )
        return {}
    if not layout.is_placed:
        if any(name in da.coords for name in BVEC):
            warnings.warn(
                "directions of gradients mean nothing without a place in the patient: no .bvec "
                "file is written",
                DataWarning,
                stacklevel=3,
            )
        return {".bval": _line(b)}
    parts = [_per_volume(da, name, layout) for name in BVEC]
    vectors = np.zeros((b.size, 3))
    known = [part for part in parts if part is not None]
    if len(known) == len(BVEC):
        vectors = np.nan_to_num(np.column_stack(known))
    vectors[b == 0] = 0.0
    along = rotated(vectors, layout)
    return {
        ".bval": _line(b),
        ".bvec": "".join(_line(component) for component in along.T),
    }


def rotated(vectors: NDArray[np.float64], layout: Layout) -> NDArray[np.float64]:
    """
    Return gradient directions along the axes of the file, as unit vectors or zero.

    Parameters
    ----------
    vectors : ndarray of float, shape (n, 3)
        Patient LPS.
    layout : Layout
    """
    axes = layout.affine[:3, :3] / np.linalg.norm(layout.affine[:3, :3], axis=0)
    # A tilted stack has no orthogonal k axis: the gradients are played out along the normal.
    normal = np.cross(axes[:, 0], axes[:, 1])
    normal *= np.sign(normal @ axes[:, 2])
    axes[:, 2] = normal / np.linalg.norm(normal)
    along = lps_ras(vectors) @ axes
    length = np.linalg.norm(along, axis=1, keepdims=True)
    return np.asarray(np.divide(along, length, out=np.zeros_like(along), where=length > 0))


def _per_volume(da: xr.DataArray, name: str, layout: Layout) -> NDArray[np.float64] | None:
    """Return a coordinate for every volume in file order, or None where it has none."""
    if name not in da.coords:
        return None
    coordinate = da.coords[name]
    if not coordinate.ndim or not set(coordinate.dims) <= set(layout.acquisition):
        return None
    sizes = {dim: da.sizes[dim] for dim in layout.acquisition}
    full = coordinate.variable.set_dims(sizes).transpose(*layout.acquisition)
    return np.asarray(full.values, dtype=np.float64).ravel()


def _line(values: NDArray[np.float64]) -> str:
    return " ".join(f"{value + 0.0:.8g}" for value in values.tolist()) + "\n"
