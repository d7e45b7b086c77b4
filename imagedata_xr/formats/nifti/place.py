"""
Where the voxels of a NIfTI file lie: ``sform``, ``qform``, or nothing but voxel sizes.

nifti1.h, "3D IMAGE (VOLUME) ORIENTATION AND LOCATION IN SPACE": method 3 (``srow_x``, ``srow_y``,
``srow_z``) counts where ``sform_code`` > 0, else method 2 (``quatern_b``, ``qoffset_x``...) where
``qform_code`` > 0. Method 1 has no orientation: such an image has no place in the patient.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from imagedata_xr.errors import DataWarning, FormatError, GeometryError, OptionError
from imagedata_xr.formats.nifti.header import with_matrix
from imagedata_xr.geometry import grid_from_affine, lps_ras_affine
from imagedata_xr.schema import COLUMN, ROW, SLICE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from imagedata_xr.formats.nifti.header import NiftiHeader
    from imagedata_xr.geometry import Grid

__all__ = ["FORMS", "affine_of", "grid_of_header", "unrounded"]

FORMS: Final = ("sform", "qform", "none")
# Two matrices that put a corner of the image this far apart are two places, mm and voxels.
APART_MM: Final = 0.01
APART_VOXELS: Final = 0.1


def affine_of(header: NiftiHeader, form: str) -> NDArray[np.float64]:
    """
    Return the matrix that takes (i, j, k, 1) to RAS mm.

    Parameters
    ----------
    header : NiftiHeader
    form : {"sform", "qform"}

    Raises
    ------
    FormatError
        The numbers are no rotation, or not finite.
    """
    matrix = np.eye(4)
    if form == "sform":
        matrix[:3] = header.numbers("srow")
    else:
        sizes = np.abs(header.pixdim[1:4])
        handed = -1.0 if header.pixdim[0] == -1 else 1.0
        matrix[:3, :3] = _rotation(header.numbers("quatern")) * sizes * [1, 1, handed]
        matrix[:3, 3] = header.numbers("qoffset")
    matrix[:3] *= header.mm
    if not np.isfinite(matrix).all():
        raise FormatError(f"the {form} has numbers that are not finite: {matrix.tolist()}")
    return matrix


def unrounded(header: NiftiHeader, stored: Any) -> NiftiHeader:
    """
    Return the header with the matrix that our writer stored beside it, where it is the same one.

    Parameters
    ----------
    header : NiftiHeader
    stored : object
        What stands beside the file; anything.
    """
    try:
        matrix = np.array(stored, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        return header
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all() or header.mm != 1:
        return header
    with np.errstate(over="ignore"):
        is_same = np.array_equal(matrix[:3].astype(np.float32), header.numbers("srow"))
    return (
        with_matrix(header, matrix) if is_same and int(header.fields["sform_code"]) > 0 else header
    )


def _rotation(quaternion: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rotation matrix of ``quatern_b``, ``_c``, ``_d`` (nifti1_io.c)."""
    b, c, d = quaternion.tolist()
    rest = 1.0 - (b * b + c * c + d * d)
    if not math.isfinite(rest):
        raise FormatError("the quaternion of the qform is not finite")
    if rest < 1e-7:
        length = math.sqrt(b * b + c * c + d * d)
        a, b, c, d = 0.0, b / length, c / length, d / length
    else:
        a = math.sqrt(rest)
    return np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )


def grid_of_header(header: NiftiHeader, form: str | None, name: str) -> tuple[Grid | None, str]:
    """
    Return the grid in patient LPS and the form it was taken from; None without a place.

    Parameters
    ----------
    header : NiftiHeader
    form : {"sform", "qform", "none"} or None
        None for the better one.
    name : str
        Of the file, for messages.

    Raises
    ------
    GeometryError
        The matrix cannot be inverted; the message holds the way out.
    OptionError
        The form is not in the file.

    Warns
    -----
    DataWarning
        Both forms are there, and put the image in different places or only the second is right.
    """
    if form not in (None, *FORMS):
        raise OptionError(f"form={form!r}: give one of {', '.join(map(repr, FORMS))}")
    if form == "none":
        return None, "none"
    codes = {each: int(header.fields[f"{each}_code"]) for each in ("sform", "qform")}
    there = [each for each, code in codes.items() if code > 0]
    if form is not None and form not in there:
        raise OptionError(f"{name}: form={form!r}, but {form}_code is {codes[form]}")
    if not there:
        return None, "none"
    taken = form or there[0]
    try:
        grid = _grid(header, taken, name)
    except GeometryError as error:
        if form is not None or len(there) == 1:
            raise
        grid, taken = _grid(header, there[1], name), there[1]
        warnings.warn(
            f"{name}: {there[0]}: {error.__cause__}: the {taken} is taken",
            DataWarning,
            stacklevel=2,
        )
        return grid, taken
    if form is None and len(there) > 1:
        _compare(header, codes, name)
    return grid, taken


def _grid(header: NiftiHeader, form: str, name: str) -> Grid:
    shape = header.shape[:3]
    try:
        matrix = affine_of(header, form)
        flat = [k for k in range(3) if shape[k] == 1 and not matrix[:3, k].any()]
        if len(flat) == 1:
            # 2-D files need not say how thick the one slice is; its place is known all the same.
            normal = np.cross(matrix[:3, (flat[0] + 1) % 3], matrix[:3, (flat[0] + 2) % 3])
            length = float(np.linalg.norm(normal))
            matrix[:3, flat[0]] = normal / length if length else normal
        grid = grid_from_affine(lps_ras_affine(matrix), shape, order=(COLUMN, ROW, SLICE))
    except (GeometryError, FormatError) as error:
        others = "', '".join(each for each in FORMS if each != form)
        raise GeometryError(
            f"{name}: {form}: {error}. Open it with form='{others}'".replace("', '", "' or '")
        ) from error
    if not flat:
        return grid
    axis = (COLUMN, ROW, SLICE)[flat[0]]
    thin: Any = {axis: replace(getattr(grid, axis), spacing=None)}
    return replace(grid, **thin)


def _compare(header: NiftiHeader, codes: dict[str, int], name: str) -> None:
    corners = np.array([[*ijk, 1] for ijk in product(*((0, n - 1) for n in header.shape[:3]))])
    try:
        sform, qform = (affine_of(header, form) for form in ("sform", "qform"))
    except FormatError:
        return
    apart = float(np.abs((corners @ (sform - qform).T)[:, :3]).max())
    allowed = max(APART_MM, APART_VOXELS * float(np.linalg.norm(sform[:3, :3], axis=0).min()))
    if apart > allowed:
        warnings.warn(
            f"{name}: sform (code {codes['sform']}) and qform (code {codes['qform']}) put voxels "
            f"up to {apart:.3g} mm apart: the sform is taken; form='qform' takes the other",
            DataWarning,
            stacklevel=2,
        )
