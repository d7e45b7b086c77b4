"""Images of SimpleITK in memory, from arrays and to arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from imagedata_xr import schema
from imagedata_xr.errors import GeometryError, OptionError, WriteError
from imagedata_xr.formats.itk.header import axes_of, dataset_of, header_of, pieces
from imagedata_xr.formats.itk.sitk import TYPES, require_sitk
from imagedata_xr.index import grid_of
from imagedata_xr.stored import described

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr
    from numpy.typing import NDArray

__all__ = ["acquisition_of", "from_sitk", "image_of", "lps_matrix", "to_sitk"]

MOST_BEHIND: Final = 2


def to_sitk(da: xr.DataArray) -> Any:
    """
    Return an image as a ``SimpleITK.Image``.

    Voxels stay in the order of the array: column, row and slice are the first three axes of ITK,
    acquisition dimensions the fourth and fifth, the last of the array first, with spacing 1. The
    names of those and their values stand in the image's meta data, from which `from_sitk` has
    them back. Colours are the components of a voxel; bool becomes uint8.

    Parameters
    ----------
    da : xarray.DataArray
        With coordinates ``slice``, ``row`` and ``column``; one of them may be a scalar.

    Returns
    -------
    SimpleITK.Image

    Raises
    ------
    GeometryError
        The image has no place in the patient, or its voxels are not evenly spaced.
    WriteError
        ITK has no place for the axes, or no such voxels.
    MissingDependencyError
        Without SimpleITK.
    """
    return image_of(da, lps_matrix(da))


def from_sitk(image: Any, *, dims: Sequence[str] | None = None) -> xr.DataArray:
    """
    Return a ``SimpleITK.Image`` as a labelled image.

    Parameters
    ----------
    image : SimpleITK.Image
        Of 2 to 5 dimensions. From three on, its origin and direction are taken to be those of the
        patient in LPS, as ITK has them.
    dims : sequence of str, optional
        Names of the axes behind the third, the fourth first, and of the components of a vector.

    Returns
    -------
    xarray.DataArray
        ``image``; the values are a copy.

    Raises
    ------
    OptionError
        It is no image, or `dims` do not fit.
    GeometryError
        Its direction matrix cannot be inverted.

    Examples
    --------
    >>> image = series.isel(time=0).med.to_sitk()
    >>> again = imagedata_xr.from_sitk(image)
    >>> bool((again.values == series.isel(time=0).values).all())
    True
    """
    sitk = require_sitk()
    if not isinstance(image, sitk.Image):
        raise OptionError(f"from_sitk takes a SimpleITK.Image, not {type(image).__name__}")
    header = header_of(image, "the image")
    axes = axes_of(header, (dims,) if isinstance(dims, str) else dims)
    values = np.transpose(sitk.GetArrayFromImage(image), axes.order)
    found: xr.DataArray = dataset_of(header, axes, values)[schema.IMAGE]
    found.encoding.pop("preferred_chunks", None)
    return found


def acquisition_of(da: xr.DataArray) -> tuple[str, ...]:
    """Return the dimensions that are no place and no colour."""
    return tuple(str(d) for d in da.dims if d not in (*schema.SPATIAL, schema.RGB))


def lps_matrix(da: xr.DataArray) -> NDArray[np.float64]:
    """Return the matrix that takes (column, row, slice, 1) indices to LPS mm, shape (4, 4)."""
    try:
        affine = grid_of(da).affine
    except GeometryError as error:
        raise GeometryError(
            f"{error}. ITK describes only evenly spaced voxels with a place in the patient: "
            "da.med.resample(...) makes an even grid, isel(...) takes an even part"
        ) from error
    return np.asarray(affine, dtype=np.float64)[:, [2, 1, 0, 3]]


def image_of(
    da: xr.DataArray, matrix: NDArray[np.float64] | None, *, as_components: bool = False
) -> Any:
    """
    Return the image of SimpleITK.

    Parameters
    ----------
    da : xarray.DataArray
    matrix : ndarray, shape (4, 4), or None
        Of `lps_matrix`; None for pixels without a place.
    as_components : bool
        Make the one acquisition dimension the components of a voxel.
    """
    sitk = require_sitk()
    lead, colour = acquisition_of(da), schema.RGB in da.dims
    if len(lead) > MOST_BEHIND:
        raise WriteError(
            f"ITK has five axes, and {list(lead)} come on top of slice, row and column: use a part "
            f"of it, as isel({lead[0]}=0), or to_nifti"
        )
    present: list[Any] = [n for n in schema.SPATIAL if n in da.dims or matrix is not None]
    missing = [name for name in present if name not in da.dims]
    last = [*present, *lead] if as_components else [*lead, *present]
    ordered = da.expand_dims(missing).transpose(*last, *([schema.RGB] if colour else []))
    native = np.dtype("u1") if da.dtype.kind == "b" else da.dtype.newbyteorder("=")
    if native not in [np.dtype(kind) for kind in TYPES.values()]:
        raise WriteError(f"ITK has no voxels of type {da.dtype}: convert with astype first")
    if not ordered.size:
        raise WriteError("there are no voxels: the array is empty")
    values = np.ascontiguousarray(ordered.values, dtype=native)
    image = sitk.GetImageFromArray(values, isVector=colour or as_components)
    if matrix is not None:
        _place(image, matrix)
    _describe(image, da, lead[::-1], as_components=as_components)
    return image


def _place(image: Any, matrix: NDArray[np.float64]) -> None:
    spacing = np.linalg.norm(matrix[:3, :3], axis=0)
    count = image.GetDimension()
    direction = np.eye(count)
    direction[:3, :3] = matrix[:3, :3] / spacing
    image.SetSpacing([*spacing.tolist(), *[1.0] * (count - 3)])
    image.SetDirection(direction.ravel().tolist())
    image.SetOrigin([*matrix[:3, 3].tolist(), *[0.0] * (count - 3)])


def _describe(image: Any, da: xr.DataArray, names: tuple[str, ...], *, as_components: bool) -> None:
    """Put names and values of the other axes into the meta data."""
    coords = described(da, texts=True)
    if not names and not coords:
        return
    content: dict[str, Any] = {"dims": list(names), "coords": coords}
    if as_components:
        content["components"] = names[0]
    for key, text in pieces(content).items():
        image.SetMetaData(key, text)
