"""Philips: diffusion, image kinds and ASL labels of classic images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagedata_xr.formats.dicom.vendors.raw import singles, text, texts, unit

if TYPE_CHECKING:
    from imagedata_xr.formats.dicom.vendors.raw import Diffusion, Readable

__all__ = ["component", "diffusion", "label"]

_IMAGING, _MR, _MR5 = (
    "Philips Imaging DD 001",
    "Philips MR Imaging DD 001",
    "Philips MR Imaging DD 005",
)
_UNDIRECTED = frozenset({"I", "N"})
_COMPONENTS = {
    "M": "magnitude",
    "P": "phase",
    "R": "real",
    "I": "imaginary",
    "B0": "fieldmap",
    "B1": "b1map",
    "T1": "t1",
    "T2": "t2",
    "R1": "r1",
    "R2": "r2",
    "T2 STAR": "t2star",
    "R2 STAR": "r2star",
    "ADC": "adc",
    "EADC": "eadc",
    "FA": "fa",
    "W": "water",
    "F": "fat",
    "IP": "in_phase",
    "OP": "opposed_phase",
    "FF": "fat_fraction",
    "PERFUSION": "perfusion",
}


def diffusion(header: Readable) -> Diffusion:
    """
    Return the b value, s/mm2, and the direction in patient LPS.

    Diffusion B-Factor (2001,1003), Diffusion Direction (2001,1004): I of isotropic images, and
    (2005,10B0), (2005,10B1), (2005,10B2) towards left, posterior and head.
    """
    b = singles(header.private(0x2001, _IMAGING, 0x03))
    if not b or b[0] < 0:
        return None, None
    kind = text(header.private(0x2001, _IMAGING, 0x04)).upper()
    parts = [singles(header.private(0x2005, _MR, low)) for low in (0xB0, 0xB1, 0xB2)]
    if b[0] == 0 or kind[:1] in _UNDIRECTED or not all(parts):
        return b[0], None
    return b[0], unit([part[0] for part in parts])


def component(header: Readable) -> str | None:
    r"""
    Return what the image shows.

    Image Type MR (2005,1011), or the fourth value of Image Type: ``...\M_FFE\M\FFE``.
    """
    kinds = texts(header.get("ImageType"))
    if len(kinds) > 2 and kinds[2].upper().startswith("VELOCITY"):
        return "velocity"
    kind = text(header.private(0x2005, _MR, 0x11)) or (kinds[3] if len(kinds) > 4 else "")
    return _COMPONENTS.get(kind.strip().upper().replace("_", " "))


def label(header: Readable) -> str | None:
    """Return "label" or "control" of arterial spin labelling: (2005,1429)."""
    kind = text(header.private(0x2005, _MR5, 0x29)).lower()
    return kind if kind in ("label", "control") else None
