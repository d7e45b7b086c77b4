"""United Imaging: diffusion directions along the axes of the image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagedata_xr.formats.dicom.vendors.imageframe import from_image_axes
from imagedata_xr.formats.dicom.vendors.raw import doubles

if TYPE_CHECKING:
    from imagedata_xr.formats.dicom.vendors.raw import Diffusion, Readable

__all__ = ["component", "diffusion"]

_CREATOR = "Image Private Header"


def diffusion(header: Readable) -> Diffusion:
    """
    Return the b value, s/mm2, and the direction in patient LPS.

    BActualValue (0065,1009) and MRDiffusionGradOrientation (0065,1037), whose numbers count along
    the row, the column and their cross product.
    """
    b = doubles(header.private(0x0065, _CREATOR, 0x09))
    if not b or b[0] < 0:
        return None, None
    vector = doubles(header.private(0x0065, _CREATOR, 0x37))
    return b[0], from_image_axes(header, vector) if b[0] > 0 else None


def component(header: Readable) -> str | None:  # noqa: ARG001 (Image Type says it all)
    """Return None: United Imaging has nothing beyond the standard attributes."""
    return None
