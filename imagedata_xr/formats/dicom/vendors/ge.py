"""GE: b values with an offset, directions along the encoding axes, kinds of images as numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagedata_xr.formats.dicom.vendors.imageframe import from_logical_axes
from imagedata_xr.formats.dicom.vendors.raw import decimals, length_of, short, text, texts

if TYPE_CHECKING:
    from imagedata_xr.formats.dicom.vendors.raw import Diffusion, Readable

__all__ = ["component", "diffusion"]

_ACQUISITION, _PARAMETERS = "GEMS_ACQU_01", "GEMS_PARM_01"
# Added to the b values of series with several of them, and of computed b values (0043,107F).
_OFFSET = 1_000_000_000
_COMPONENTS = {0: "magnitude", 1: "phase", 2: "real", 3: "imaginary"}
# Vas Collapse Flag (0043,1030): what a diffusion image is.
_UNWEIGHTED, _FRACTIONAL_ANISOTROPY, _TRACE = 14, 18, 19
_FIELD_MAPPING = "B0MAP"


def diffusion(header: Readable) -> Diffusion:
    """
    Return the b value, s/mm2, and the direction in patient LPS.

    The first number of (0043,1039), and (0019,10BB), (0019,10BC), (0019,10BD) along frequency,
    phase and slice encoding. Directions shorter than 1 scale the b value by their length squared
    (multi-shell tables keep one nominal b value).
    """
    numbers = decimals(header.private(0x0043, _PARAMETERS, 0x39))
    if not numbers or numbers[0] < 0:
        return None, None
    b = numbers[0] % _OFFSET
    if short(header.private(0x0043, _PARAMETERS, 0x30)) == _UNWEIGHTED:
        return 0.0, None
    parts = [decimals(header.private(0x0019, _ACQUISITION, low)) for low in (0xBB, 0xBC, 0xBD)]
    if b == 0 or not all(parts):
        return b, None
    along = [part[0] for part in parts]
    size = length_of(along)
    if 0.03 < size < 0.97:
        b *= size * size
    return b, from_logical_axes(header, along)


def component(header: Readable) -> str | None:
    """
    Return what the image shows.

    Image Type (0043,102F); Vas Collapse Flag (0043,1030) of derived diffusion maps; series of the
    B0 mapping sequence hold magnitude (flag 2) and field map (flag 0).
    """
    flag = short(header.private(0x0043, _PARAMETERS, 0x30))
    if "DERIVED" in texts(header.get("ImageType")):
        if flag == _FRACTIONAL_ANISOTROPY:
            return "fa"
        if flag == _TRACE:
            return "trace"
    if text(header.private(0x0019, _ACQUISITION, 0x9E)).upper() == _FIELD_MAPPING and flag == 0:
        return "fieldmap"
    kind = short(header.private(0x0043, _PARAMETERS, 0x2F))
    return None if kind is None else _COMPONENTS.get(kind)
