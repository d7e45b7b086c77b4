"""Canon and Toshiba: diffusion in the image comments."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from imagedata_xr.formats.dicom.vendors.imageframe import from_logical_axes
from imagedata_xr.formats.dicom.vendors.raw import texts

if TYPE_CHECKING:
    from imagedata_xr.formats.dicom.vendors.raw import Diffusion, Readable

__all__ = ["component", "diffusion"]

_NUMBER = r"\s*(-?\d{1,6}(?:\.\d{1,12})?)\s*"
_COMMENT = re.compile(rf"\bb={_NUMBER}(?:\({_NUMBER},{_NUMBER},{_NUMBER}\))?", re.IGNORECASE)


def diffusion(header: Readable) -> Diffusion:
    """
    Return the b value, s/mm2, and the direction in patient LPS.

    Image Comments (0020,4000) such as ``b=1500(0.445,0.000,0.895)``: along phase, frequency and
    slice encoding. Toshiba writes no b value where it is 0: echo-planar images without one are
    unweighted.
    """
    comment = header.get("ImageComments")
    match = _COMMENT.search(comment) if isinstance(comment, str) else None
    if match is None or float(match[1]) < 0:
        return (0.0 if _is_plain_toshiba(header) else None), None
    b = float(match[1])
    if b == 0 or match[2] is None:
        return b, None
    phase, frequency, through = (float(number) for number in match.groups()[1:])
    return b, from_logical_axes(header, (frequency, phase, through))


def _is_plain_toshiba(header: Readable) -> bool:
    maker = str(header.get("Manufacturer") or "").upper()
    planar = "EP" in texts(header.get("ScanningSequence"))
    return "TOSHIBA" in maker and planar and header.get("DiffusionBValue") is None


def component(header: Readable) -> str | None:  # noqa: ARG001 (Image Type says it all)
    """Return None: Canon has nothing beyond the standard attributes."""
    return None
