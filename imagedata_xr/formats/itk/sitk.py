"""SimpleITK itself: imported when it is needed, its words turned into ours."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from imagedata_xr.errors import MissingDependencyError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["TYPES", "quiet", "reason", "require_sitk", "voxel_type"]

TYPES: Final = {
    "Int8": "i1",
    "UInt8": "u1",
    "Int16": "i2",
    "UInt16": "u2",
    "Int32": "i4",
    "UInt32": "u4",
    "Int64": "i8",
    "UInt64": "u8",
    "Float32": "f4",
    "Float64": "f8",
    "ComplexFloat32": "c8",
    "ComplexFloat64": "c16",
}


def require_sitk() -> Any:
    """Return SimpleITK, or raise MissingDependencyError."""
    try:
        import SimpleITK as sitk  # noqa: N813 - the name that everybody uses
    except ImportError as error:
        raise MissingDependencyError(
            'these files need SimpleITK: pip install "imagedata_xr[itk]"'
        ) from error
    return sitk


def voxel_type(pixel_id: int) -> np.dtype[Any] | None:
    """Return the type of a number in a voxel; None for what NumPy does not know (labels)."""
    sitk = require_sitk()
    for prefix in ("sitk", "sitkVector"):
        for name, kind in TYPES.items():
            if getattr(sitk, prefix + name, None) == pixel_id:
                return np.dtype(kind)
    return None


def reason(error: Exception) -> str:
    """Return the last line of what ITK says, without addresses of its objects."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].rpartition("): ")[2] if lines else type(error).__name__


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep ITK from printing its warnings: what matters is raised or warned of by us."""
    objects = require_sitk().ProcessObject
    before = objects.GetGlobalWarningDisplay()
    objects.GlobalWarningDisplayOff()
    try:
        yield
    finally:
        objects.SetGlobalWarningDisplay(before)
