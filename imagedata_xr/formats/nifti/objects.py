"""Images of nibabel in memory, from arrays and to arrays."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from imagedata_xr import schema
from imagedata_xr.errors import FormatError, OptionError
from imagedata_xr.formats.nifti.beside import Beside
from imagedata_xr.formats.nifti.encode import (
    RGB24,
    nibabel_header,
    require_nibabel,
)
from imagedata_xr.formats.nifti.gunzip import opened
from imagedata_xr.formats.nifti.header import parse_header, with_matrix
from imagedata_xr.formats.nifti.layout import layout_of
from imagedata_xr.formats.nifti.read import Options, check_length, dataset_of
from imagedata_xr.formats.nifti.timing import timing_of
from imagedata_xr.formats.nifti.volumes import VoxelArray
from imagedata_xr.formats.nifti.voxels import Voxels, in_memory, target_dtype
from imagedata_xr.lazy import lazily
from imagedata_xr.sources import LocalFile
from imagedata_xr.stored import KEY, described

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import xarray as xr
    from numpy.typing import ArrayLike, DTypeLike, NDArray

    from imagedata_xr.formats.nifti.header import NiftiHeader

__all__ = ["from_nibabel", "to_nibabel"]


def to_nibabel(da: xr.DataArray, *, dtype: DTypeLike | None = None, force: bool = False) -> Any:
    """
    Return an image as a ``nibabel.Nifti1Image``, as `to_nifti` would write it.

    Voxels are loaded and turned as in a file: i runs with the columns, j against the rows. Names
    and values of the other axes stand in ``extra``, from which `from_nibabel` has them back;
    nibabel itself neither saves them nor hands them on to images made from this one.

    Parameters
    ----------
    da : xarray.DataArray
        With coordinates ``slice``, ``row`` and ``column``; one of them may be a scalar.
    dtype : dtype-like, optional
        Type of the voxels, as in `to_nifti`.
    force : bool
        Leave the place out where NIfTI has none for the voxels, as in `to_nifti`.

    Returns
    -------
    nibabel.Nifti1Image or nibabel.Nifti2Image
        NIfTI-2 where an axis is longer than 32767.

    Raises
    ------
    GeometryError
        The image has no place in the patient, or its voxels are not evenly spaced.
    OptionError, WriteError
        NIfTI has no place for the axes, or no such voxels.
    MissingDependencyError
        Without nibabel.
    """
    nib = require_nibabel()
    layout = layout_of(da, force=force)
    voxels = Voxels(da, layout, target_dtype(da, dtype, layout))
    values = in_memory(voxels)
    if layout.is_rgb:
        values = np.ascontiguousarray(values).view(RGB24)[..., 0]
    header = nibabel_header(layout, voxels.dtype, timing_of(da, layout).step)
    kind = nib.Nifti1Image if header.sizeof_hdr == nib.Nifti1Header.sizeof_hdr else nib.Nifti2Image
    content = {
        "dims": list(layout.nifti_dims),
        "coords": described(da, reversed_dims=layout.reversed_dims),
    }
    affine = layout.affine if layout.is_placed else header.get_best_affine()
    return kind(values.transpose(), affine, header, extra={KEY: content})


def from_nibabel(
    image: Any,
    *,
    dims: str | Sequence[str] | Mapping[str, ArrayLike | None] | None = None,
) -> xr.DataArray:
    """
    Return an image of nibabel as a labelled image.

    Column, row and slice are the axes i, j and k. The voxels of an image that was loaded from a
    file and not changed are read when they are needed, from that file; an array in memory is
    taken as it is, without a copy.

    Parameters
    ----------
    image : nibabel.spatialimages.SpatialImage
        NIfTI-1 or NIfTI-2, or a format whose affine is that of the patient (MGH, PAR/REC, MINC).
        The place is the image's own ``affine``; there is none where the codes of both sform and
        qform are 0.
    dims : str, sequence of str or mapping, optional
        Names of the axes behind the third, axis 4 first; or with the values along them.

    Returns
    -------
    xarray.DataArray
        ``image``, in patient LPS.

    Raises
    ------
    OptionError
        It is no image with a place, or `dims` do not fit.
    FormatError, GeometryError
        The header says what cannot be.
    MissingDependencyError
        Without nibabel.

    Examples
    --------
    >>> image = series.isel(time=0).med.to_nibabel()
    >>> again = imagedata_xr.from_nibabel(image)
    >>> bool((again - series.isel(time=0) == 0).all())
    True
    """
    nib = require_nibabel()
    if not isinstance(image, nib.spatialimages.SpatialImage):
        raise OptionError(f"from_nibabel takes an image of nibabel, not {type(image).__name__}")
    header = _header(image)
    extra = getattr(image, "extra", None)
    content = extra.get(KEY) if isinstance(extra, dict) else None
    beside = Beside({KEY: content} if isinstance(content, dict) else {})
    options = Options(dims=(dims,) if isinstance(dims, str) else dims)
    name = image.get_filename() or "the image"

    voxels = _voxels(image.dataobj, header, name)

    def voxels_of(squeezed: NiftiHeader, order: tuple[int, ...]) -> Any:
        if isinstance(voxels, np.ndarray):
            return _turned(voxels, squeezed, order)
        return lazily(VoxelArray(voxels, squeezed, order))

    found: xr.DataArray = dataset_of(header, beside, options, name=name, voxels_of=voxels_of)[
        schema.IMAGE
    ]
    found.encoding.pop("preferred_chunks", None)
    return found


def _voxels(dataobj: Any, header: NiftiHeader, name: str) -> Any:
    """Return the array, or the file that has been found long enough to hold it."""
    if _is_plain_file(dataobj):
        source = opened(LocalFile(os.fspath(dataobj.file_like)))
        check_length(source, header)
        return source
    try:
        return np.asanyarray(dataobj)
    except Exception as error:
        raise FormatError(f"{name}: nibabel cannot read the voxels: {error}") from error


def _is_plain_file(dataobj: Any) -> bool:
    """Whether the voxels are still in a file that our reader reads."""
    proxies = require_nibabel().arrayproxy
    if type(dataobj) is not proxies.ArrayProxy or dataobj.order != "F":
        return False
    path = dataobj.file_like
    # nibabel unpacks these, too
    return isinstance(path, str | os.PathLike) and Path(path).suffix not in (".bz2", ".zst")


def _turned(values: NDArray[Any], header: NiftiHeader, order: tuple[int, ...]) -> NDArray[Any]:
    """Return an array with the axes i, j, k... in the order of the image."""
    if values.dtype.names:
        values = np.stack([values[name].T for name in values.dtype.names], axis=-1)
        return values.reshape((*header.shape[::-1], -1)).transpose((*order, len(order)))
    return values.T.reshape(header.shape[::-1]).transpose(order)


def _header(image: Any) -> NiftiHeader:
    """Return what the image says, with its own matrix, and the voxels' own type and offset."""
    nib = require_nibabel()
    name, dataobj, affine = image.get_filename() or "the image", image.dataobj, image.affine
    if isinstance(image, nib.Nifti1Pair):
        own = image.header.copy()
        is_placed = int(own["sform_code"]) > 0 or int(own["qform_code"]) > 0
    elif isinstance(image, nib.analyze.AnalyzeImage) or affine is None:
        raise OptionError(
            f"{type(image).__name__} has no orientation: from_array(image.dataobj, "
            "dims=('column', 'row', 'slice'), ...) takes one from you"
        )
    else:
        own, is_placed = nib.Nifti2Header(), True
        own.set_data_shape(image.shape)
    own.set_data_offset(own.single_vox_offset if own.is_single else 0)
    found = parse_header(own.binaryblock, name)
    # float64, so that the matrix stays what it is; nibabel has chosen between the forms.
    found = with_matrix(found, None)
    if is_placed and affine is not None:
        found = with_matrix(found, np.asarray(affine, dtype=np.float64))
    dtype = np.dtype(dataobj.dtype)
    return replace(
        found,
        dtype=np.dtype("u1") if dtype.names else dtype,
        parts=len(dtype.names or ("",)),
        offset=int(getattr(dataobj, "offset", 0)),
        slope=float(getattr(dataobj, "slope", 1.0)),
        inter=float(getattr(dataobj, "inter", 0.0)),
    )
