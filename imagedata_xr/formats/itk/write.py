"""Write an image as MetaImage or NRRD through SimpleITK."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from imagedata_xr.errors import OptionError, WriteError
from imagedata_xr.formats.itk.guess import READERS
from imagedata_xr.formats.itk.read import TYPES, require_sitk
from imagedata_xr.index import grid_of
from imagedata_xr.schema import RGB, SPATIAL

if TYPE_CHECKING:
    import os

    import xarray as xr

__all__ = ["to_itk"]

ALONE: Final = (".mha", ".nrrd")


def to_itk(
    da: xr.DataArray,
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    compress: bool = False,
) -> Path:
    """
    Write a 3-D image to a file of ITK.

    Voxels stay in the order of the array; the type is kept.

    Parameters
    ----------
    da : xarray.DataArray
        With coordinates ``slice``, ``row`` and ``column``; one of them may be a scalar.
    path : path-like
        Ends in ``.mha`` or ``.nrrd``; the folder exists.
    overwrite : bool
        Replace an existing file.
    compress : bool
        Deflate the voxels.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    OptionError
        The suffix means nothing here.
    GeometryError
        The image has no place in the patient, or its voxels are not evenly spaced.
    WriteError
        The file exists, the format has no place for the values, or the disk refuses.
    MissingDependencyError
        Without SimpleITK.
    """
    target = Path(path)
    if target.suffix.lower() not in ALONE:
        raise OptionError(f"{target}: the name of the file ends in {' or '.join(ALONE)}")
    sitk = require_sitk()
    others = [str(d) for d in da.dims if d not in (*SPATIAL, RGB)]
    if others:
        raise WriteError(
            f"the file has no place for the coordinates of {others}: write one file each, of "
            f"isel({others[0]}=0) and so on, or use to_nifti"
        )
    if da.dtype.newbyteorder("=") not in [np.dtype(kind) for kind in TYPES.values()]:
        raise WriteError(f"the file has no voxels of type {da.dtype}: convert with astype first")
    affine = np.asarray(grid_of(da).affine, dtype=np.float64)[:, [2, 1, 0, 3]]
    if not target.parent.is_dir():
        raise WriteError(f"{target}: there is no folder {target.parent}")
    if target.exists() and (target.is_dir() or not overwrite):
        raise WriteError(f"{target} exists: pass overwrite=True to replace it")
    missing = [name for name in SPATIAL if name not in da.dims]
    ordered = da.expand_dims(missing).transpose(*SPATIAL, *((RGB,) if RGB in da.dims else ()))
    values = np.ascontiguousarray(ordered.values, dtype=da.dtype.newbyteorder("="))
    if not values.size:
        raise WriteError("there are no voxels: the array is empty")
    image = sitk.GetImageFromArray(values, isVector=RGB in da.dims)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((affine[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    # In a folder of its own: the target appears complete or not at all.
    part = Path(tempfile.mkdtemp(prefix=".imagedata_xr-", dir=target.parent))
    try:
        writer = sitk.ImageFileWriter()
        writer.SetImageIO(READERS[target.suffix.lower()])
        writer.SetFileName(str(part / ("image" + target.suffix.lower())))
        writer.SetUseCompression(compress)
        writer.Execute(image)
        (part / ("image" + target.suffix.lower())).replace(target)
    except (OSError, RuntimeError) as error:
        raise WriteError(f"{target} could not be written: {error}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return target
