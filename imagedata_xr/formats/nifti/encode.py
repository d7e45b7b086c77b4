"""The header of a NIfTI file that is written, through nibabel."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from imagedata_xr.errors import MissingDependencyError
from imagedata_xr.formats.nifti.axes import OWN, names_text
from imagedata_xr.schema import TIME

if TYPE_CHECKING:
    from imagedata_xr.formats.nifti.layout import Layout

__all__ = ["RGB24", "header_bytes", "nibabel_header", "require_nibabel"]

NIFTI1_LONGEST: Final = 32767
RGB24: Final = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
SCANNER: Final = 1


def require_nibabel() -> Any:
    """Return the package, or raise MissingDependencyError with the line that installs it."""
    try:
        import nibabel as nib
    except ImportError as error:
        raise MissingDependencyError(
            'NIfTI files need nibabel: pip install "imagedata_xr[nifti]"'
        ) from error
    return nib


def nibabel_header(layout: Layout, dtype: np.dtype[Any], step: float | None) -> Any:
    """
    Return the header as an object of nibabel: NIfTI-1, or NIfTI-2 for axes longer than 32767.

    Parameters
    ----------
    layout : Layout
    dtype : dtype
        Of the voxels.
    step : float or None
        ``pixdim[4]`` in s; None where nothing is known.
    """
    nib = require_nibabel()
    small = max(layout.nifti_shape) <= NIFTI1_LONGEST
    header = nib.Nifti1Header(endianness="<") if small else nib.Nifti2Header(endianness="<")
    header.set_data_dtype(RGB24 if layout.is_rgb else dtype)
    header.set_data_shape(layout.nifti_shape)
    others = [1.0] * len(layout.acquisition)
    names = names_text(layout.acquisition[::-1])
    # A unit of time makes a reader call axis 4 time: only with a step, and never a nameless other.
    timed = bool(others and step and (names or layout.acquisition[-1] == TIME))
    if timed:
        others[0] = step or 1.0
    header.set_xyzt_units("mm", "sec" if timed else "unknown")
    if layout.is_placed:
        header.set_zooms((*layout.zooms, *others))
        if layout.is_sheared:
            header.set_qform(None, code=0)
        else:
            header.set_qform(layout.affine, code=SCANNER, strip_shears=True)
        header.set_sform(layout.affine, code=SCANNER)
    # The rotation of the quaternion is rounded; the voxel sizes are not.
    header.set_zooms((*layout.zooms, *others))
    header.set_slope_inter(1.0, 0.0)
    header["descrip"] = OWN.encode()
    header["intent_name"] = names.encode()
    return header


def header_bytes(header: Any) -> bytes:
    """Return all bytes before the voxels of a single file."""
    offset = header.sizeof_hdr + 4
    header.set_data_offset(offset)
    stream = BytesIO()
    header.write_to(stream)
    return stream.getvalue().ljust(offset, b"\0")
