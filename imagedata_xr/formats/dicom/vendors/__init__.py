"""
What only the vendors' own elements tell: diffusion weighting and the kind of image.

One file a vendor, one line in the table below. The standard's attributes go first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imagedata_xr.formats.dicom.vendors import canon, ge, hitachi, philips, siemens, uih
from imagedata_xr.formats.dicom.vendors.raw import texts, unit

if TYPE_CHECKING:
    from types import ModuleType

    from imagedata_xr.formats.dicom.vendors.raw import Diffusion, Nesting, Readable, Vector

__all__ = ["coil", "component", "diffusion", "label"]

# What Manufacturer (0008,0070) contains, in capitals.
_VENDORS: tuple[tuple[str, ModuleType], ...] = (
    ("SIEMENS", siemens),
    ("GE MEDICAL", ge),
    ("GE HEALTHCARE", ge),
    ("PHILIPS", philips),
    ("UIH", uih),
    ("UNITED IMAGING", uih),
    ("CANON", canon),
    ("TOSHIBA", canon),
    ("HITACHI", hitachi),
    ("FUJIFILM", hitachi),
)
# Where the manufacturer is unknown (anonymised), private creators still tell the vendors apart.
_ALL = (siemens, ge, philips, uih, canon, hitachi)
_UNDIRECTED = frozenset({"ISOTROPIC", "NONE"})
_COMPONENTS = frozenset({"MAGNITUDE", "PHASE", "REAL", "IMAGINARY"})
_LETTERS = {"M": "magnitude", "P": "phase", "R": "real", "I": "imaginary"}
# Values of Image Type and Frame Type that name a map, underscores as blanks.
_MAPS = {
    "ADC": "adc",
    "ADC MAP": "adc",
    "EADC": "eadc",
    "TRACE": "trace",
    "TRACEW": "trace",
    "TRACE UNSPECIFIED": "trace",
    "FA": "fa",
    "FRACTIONAL ANISOTROPY": "fa",
    "COLFA": "colfa",
    "TENSOR": "tensor",
    "FIELD MAP": "fieldmap",
    "FIELDMAP": "fieldmap",
    "B0 MAP": "fieldmap",
    "B1 MAP": "b1map",
    "T1 MAP": "t1",
    "T2 MAP": "t2",
    "T2 STAR MAP": "t2star",
    "T2STAR MAP": "t2star",
    "R1 MAP": "r1",
    "R2 MAP": "r2",
    "R2 STAR MAP": "r2star",
    "R2STAR MAP": "r2star",
    "PD MAP": "pd",
    "VELOCITY MAP": "velocity",
    "WATER": "water",
    "W": "water",
    "FAT": "fat",
    "F": "fat",
    "IN PHASE": "in_phase",
    "IP": "in_phase",
    "OP": "opposed_phase",
    "OUT PHASE": "opposed_phase",
    "OPP PHASE": "opposed_phase",
    "OPPOSED PHASE": "opposed_phase",
    "FAT FRACTION": "fat_fraction",
    "RELCBF": "relcbf",
    "CBF": "cbf",
    "RELCBV": "relcbv",
    "CBV": "cbv",
    "MTT": "mtt",
    "RELMTT": "relmtt",
    "TTP": "ttp",
    "TMAX": "tmax",
}


def diffusion(header: Nesting) -> tuple[float | None, Vector | None]:
    """
    Return the diffusion weighting of an instance.

    Diffusion b-value (0018,9087) and Diffusion Gradient Orientation (0018,9089) of PS3.3
    C.8.13.5.9 go first, then the vendor's own elements.

    Parameters
    ----------
    header : Nesting
        A `Header`, or what is like one.

    Returns
    -------
    b : float or None
        b value, s/mm2; None where the header has none.
    direction : tuple of float or None
        Unit vector in patient LPS; None of unweighted, trace-weighted and isotropic images.
    """
    b = header.get("DiffusionBValue")
    standard = float(b) if isinstance(b, int | float) and b >= 0 else None
    direction = standard_direction(header, header.get("DiffusionGradientOrientation"), standard)
    if standard is not None and direction is not None:
        return standard, direction
    for vendor in _vendors(header):
        found: Diffusion = vendor.diffusion(header)
        if found[0] is not None:
            return found
    if standard is not None:
        return standard, _nested_direction(header, standard)
    return None, None


def standard_direction(header: Readable, vector: Any, b: float | None) -> Vector | None:
    """Return Diffusion Gradient Orientation as a unit vector if the image is a directional one."""
    kind = str(header.get("DiffusionDirectionality") or "").strip().upper()
    if not b or kind in _UNDIRECTED or not isinstance(vector, tuple):
        return None
    numbers = [float(n) for n in vector if isinstance(n, int | float) and abs(n) < 1e6]
    return unit(numbers)


def _nested_direction(header: Nesting, b: float) -> Vector | None:
    """Return the direction from where the multi-frame macro puts it (PS3.3 C.8.13.5.9)."""
    if not b or not header.has(0x00189076):
        return None
    items = header.dataset().get("DiffusionGradientDirectionSequence") or ()
    for item in items:
        vector = item.get("DiffusionGradientOrientation")
        if vector is not None:
            return standard_direction(header, tuple(vector), b)
    return None


def component(header: Readable) -> str | None:
    """
    Return what an MR image shows.

    Returns
    -------
    str or None
        ``"magnitude"``, ``"phase"``, ``"real"``, ``"imaginary"``, or the name of a map in lower
        case (``"adc"``, ``"trace"``, ``"fieldmap"``, ``"t2"``...). None where the header does not
        say, and for other modalities.
    """
    if header.get("Modality") not in ("MR", None):
        return None
    kinds = [kind.strip().upper().replace("_", " ") for kind in texts(header.get("ImageType"))[2:]]
    for kind in kinds:
        if kind in _MAPS:
            return _MAPS[kind]
    for vendor in _vendors(header):
        found: str | None = vendor.component(header)
        if found is not None:
            return found
    standard = str(header.get("ComplexImageComponent") or "").strip().upper()
    if standard in _COMPONENTS:
        return standard.lower()
    return next((_LETTERS[kind] for kind in kinds if kind in _LETTERS), None)


def term_of(component: str) -> str:
    """Return the value of Image Type that names a map; the inverse of `component`."""
    name = next((term for term, found in _MAPS.items() if found == component), component)
    return name.upper().replace(" ", "_")[:16]


def label(header: Readable) -> str | None:
    """Return "label", "control" or another context of arterial spin labelling, or None."""
    standard = header.get("ASLContext")
    return standard.lower() if isinstance(standard, str) else philips.label(header)


def coil(header: Readable) -> str | None:
    """Return the coil element of an image that was not combined, or None."""
    named = header.get("MultiCoilElementName")
    return named if isinstance(named, str) else siemens.coil(header)


def _vendors(header: Readable) -> tuple[ModuleType, ...]:
    maker = str(header.get("Manufacturer") or "").upper()
    found = tuple(dict.fromkeys(module for word, module in _VENDORS if word in maker))
    return found or _ALL
