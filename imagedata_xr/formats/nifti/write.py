"""Write an image as NIfTI (https://nifti.nimh.nih.gov), with the files that belong beside it."""

from __future__ import annotations

import uuid
import warnings
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from imagedata_xr.errors import (
    DataWarning,
    ImagedataError,
    MissingDependencyError,
    OptionError,
    WriteError,
)
from imagedata_xr.formats.nifti.gradients import gradient_files
from imagedata_xr.formats.nifti.layout import layout_of
from imagedata_xr.formats.nifti.sidecar import sidecar_text
from imagedata_xr.formats.nifti.timing import timing_of
from imagedata_xr.formats.nifti.voxels import Voxels, target_dtype, write_voxels

if TYPE_CHECKING:
    import os

    import xarray as xr
    from numpy.typing import DTypeLike

    from imagedata_xr.formats.nifti.layout import Layout

__all__ = ["to_nifti"]

PACKED: Final = ".nii.gz"
PLAIN: Final = ".nii"
BESIDE: Final = (".json", ".bval", ".bvec")
NIFTI1_LONGEST: Final = 32767
RGB24: Final = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
SCANNER: Final = 1


def to_nifti(
    da: xr.DataArray,
    path: str | os.PathLike[str],
    *,
    sidecar: bool | None = None,
    overwrite: bool = False,
    dtype: DTypeLike | None = None,
) -> Path:
    """
    Write an image to a NIfTI file.

    Voxels lie as dcm2niix puts them: i runs with the columns, j against the rows, and k so that
    the matrix has a negative determinant. Axis 4 is ``time``, else ``volume``, else ``b``, else
    the last acquisition dimension. ``pixdim[4]`` is the time step in s, or the repetition time
    where the axis is not time; for uneven times it is the median step, and the sidecar has the
    times (``VolumeTiming``). The sform always holds the matrix; the qform does where the axes
    are orthogonal, and has code 0 otherwise (gantry tilt). Values are written as they are, never
    scaled. NIfTI-2 is written where an axis is longer than 32767.

    Arrays with a ``b`` coordinate along an acquisition dimension get ``.bval`` and ``.bvec``
    files. Lazy and Dask arrays are written part by part. Files appear complete, the image last,
    or not at all.

    Parameters
    ----------
    da : xarray.DataArray
        With coordinates ``slice``, ``row`` and ``column`` in mm along their ``direction``
        (patient LPS); one of them may be a scalar.
    path : path-like
        Ends in ``.nii`` or ``.nii.gz``; the folder exists.
    sidecar : bool, optional
        Whether to write a BIDS ``.json`` file (the default). It holds no patient identity.
    overwrite : bool
        Replace an existing image, and remove the files beside it that belonged to it
        (``.json``, ``.bval``, ``.bvec``).
    dtype : dtype-like, optional
        Type of the voxels; integers only where every value fits exactly. By default that of the
        array; bool becomes uint8, float16 float32, and 64-bit integers the smallest type that
        holds them.

    Returns
    -------
    pathlib.Path
        Of the image.

    Raises
    ------
    OptionError
        Where the suffix or `dtype` means nothing to NIfTI.
    GeometryError
        Where the image has no place in the patient, or its voxels are not evenly spaced.
    WriteError
        Where a file exists, NIfTI has no place for the values, or the disk refuses.
    MissingDependencyError
        Without nibabel.

    Warns
    -----
    DataWarning
        Where uneven times or unknown b-values cannot be written.
    """
    target, stem = _split(path)
    _require_nibabel()
    layout = layout_of(da)
    voxels = Voxels(da, layout, target_dtype(da, dtype, layout))
    timing = timing_of(da, layout)
    texts = gradient_files(da, layout)
    if sidecar is None or sidecar:
        texts[".json"] = sidecar_text(da, layout, timing)
    elif timing.volumes:
        warnings.warn(
            "the volumes are not evenly spaced in time: without the sidecar only the median step "
            "is kept",
            DataWarning,
            stacklevel=2,
        )
    header = _header(layout, voxels.dtype, timing.step)
    beside = {suffix: target.with_name(stem + suffix) for suffix in BESIDE}
    _check_free(target, beside, overwrite=overwrite)
    _write_all(target, beside, texts, (voxels, header))
    return target


def _split(path: str | os.PathLike[str]) -> tuple[Path, str]:
    """Return the path, and its name without the suffix."""
    target = Path(path)
    for suffix in (PACKED, PLAIN):
        if target.name.lower().endswith(suffix) and len(target.name) > len(suffix):
            return target, target.name[: -len(suffix)]
    raise OptionError(f"{target}: the name of a NIfTI file ends in .nii or .nii.gz")


def _require_nibabel() -> Any:
    try:
        import nibabel as nib
    except ImportError as error:
        raise MissingDependencyError(
            'NIfTI files need nibabel: pip install "imagedata_xr[nifti]"'
        ) from error
    return nib


def _header(layout: Layout, dtype: np.dtype[Any], step: float | None) -> bytes:
    """Return all bytes before the voxels."""
    nib = _require_nibabel()
    small = max(layout.nifti_shape) <= NIFTI1_LONGEST
    header = nib.Nifti1Header(endianness="<") if small else nib.Nifti2Header(endianness="<")
    header.set_data_dtype(RGB24 if layout.is_rgb else dtype)
    header.set_data_shape(layout.nifti_shape)
    others = [1.0] * len(layout.acquisition)
    if others and step:
        others[0] = step
    header.set_zooms((*layout.zooms, *others))
    header.set_xyzt_units("mm", "sec")
    if layout.is_sheared:
        header.set_qform(None, code=0)
    else:
        header.set_qform(layout.affine, code=SCANNER, strip_shears=True)
    header.set_sform(layout.affine, code=SCANNER)
    # The rotation of the quaternion is rounded; the voxel sizes are not.
    header.set_zooms((*layout.zooms, *others))
    header.set_slope_inter(1.0, 0.0)
    header["descrip"] = b"imagedata_xr"
    header.set_data_offset(header.sizeof_hdr + 4)
    stream = BytesIO()
    header.write_to(stream)
    return stream.getvalue().ljust(header.sizeof_hdr + 4, b"\0")


def _check_free(target: Path, beside: dict[str, Path], *, overwrite: bool) -> None:
    if not target.parent.is_dir():
        raise WriteError(f"{target}: there is no folder {target.parent}")
    if target.is_dir():
        raise WriteError(f"{target} is a folder")
    # A file left beside would be read as belonging to the new image.
    found = [p.name for p in (target, *beside.values()) if p.exists()]
    if found and not overwrite:
        raise WriteError(
            f"{target.parent} has {', '.join(found)} already: pass overwrite=True to replace "
            "the image and the files beside it"
        )


def _write_all(
    target: Path,
    beside: dict[str, Path],
    texts: dict[str, str],
    image: tuple[Voxels, bytes],
) -> None:
    """Write everything under temporary names in the same folder, then give the real ones."""
    mark = f".{uuid.uuid4().hex}.part"
    gzipped = target.name.lower().endswith(PACKED)
    parts = {beside[suffix]: target.with_name(mark + suffix) for suffix in texts}
    parts[target] = target.with_name(mark)
    voxels, header = image
    try:
        write_voxels(parts[target], voxels, header, gzipped=gzipped)
        for suffix, text in texts.items():
            parts[beside[suffix]].write_text(text, encoding="utf-8", newline="\n")
        for suffix, place in beside.items():
            if suffix not in texts:
                place.unlink(missing_ok=True)
        for place, part in parts.items():
            part.replace(place)
    except ImagedataError:
        raise
    except OSError as error:
        raise WriteError(f"{target} could not be written: {error}") from error
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)
