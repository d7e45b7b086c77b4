"""Siemens: diffusion from the elements of group 0019, else from the CSA image header."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from imagedata_xr.errors import FormatError
from imagedata_xr.formats.dicom.csa import csa_values
from imagedata_xr.formats.dicom.vendors.raw import decimals, doubles, text, unit

if TYPE_CHECKING:
    from imagedata_xr.formats.dicom.vendors.raw import Diffusion, Readable

__all__ = ["coil", "component", "diffusion"]

_CREATOR, _CSA = "SIEMENS MR HEADER", "SIEMENS CSA HEADER"
# One element, as in "H11"; combined images list groups of them: "HEA;HEP".
_ELEMENT = re.compile(r"[A-Z]{1,3}\d{1,3}")
_UNDIRECTED = frozenset({"ISOTROPIC", "NONE"})


def diffusion(header: Readable) -> Diffusion:
    """
    Return the b value, s/mm2, and the direction in patient LPS.

    B_value (0019,100C), DiffusionDirectionality (0019,100D) and DiffusionGradientDirection
    (0019,100E); older software has them in the CSA image header (0029,1010) only.
    """
    b = decimals(header.private(0x0019, _CREATOR, 0x0C))
    if not b:
        return _from_csa(header.private(0x0029, _CSA, 0x10))
    directionality = text(header.private(0x0019, _CREATOR, 0x0D))
    vector = doubles(header.private(0x0019, _CREATOR, 0x0E))
    return _checked(b[0], directionality, vector)


def _from_csa(data: bytes | None) -> Diffusion:
    if data is None:
        return None, None
    try:
        b = [float(item) for item in csa_values(data, "B_value")]
        vector = [float(item) for item in csa_values(data, "DiffusionGradientDirection")]
        directionality = "".join(csa_values(data, "DiffusionDirectionality"))
    except (FormatError, ValueError):
        return None, None
    return _checked(b[0], directionality, tuple(vector)) if b else (None, None)


def _checked(b: float, directionality: str, vector: tuple[float, ...]) -> Diffusion:
    if b < 0:
        return None, None
    directed = b > 0 and directionality.upper() not in _UNDIRECTED
    return b, unit(vector) if directed else None


def component(header: Readable) -> str | None:  # noqa: ARG001 (Image Type says it all)
    """Return None: Siemens has nothing beyond the standard attributes."""
    return None


def coil(header: Readable) -> str | None:
    """Return the coil element of an uncombined image (0051,100F), else None."""
    name = text(header.private(0x0051, _CREATOR, 0x0F))
    return name if _ELEMENT.fullmatch(name) else None
