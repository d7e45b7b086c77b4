"""Magnitude, phase, real, imaginary and maps (0008,9208), from what the vendor says."""

from __future__ import annotations

from imagedata_xr import schema
from imagedata_xr.sortkeys.key import SortKey

READINGS = (SortKey.from_keyword("ComplexImageComponent", name=schema.COMPONENT),)
