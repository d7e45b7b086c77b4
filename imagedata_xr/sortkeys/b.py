"""Diffusion b value (0018,9087), s/mm2; readers put the vendors' own values under that keyword."""

from __future__ import annotations

from imagedata_xr import schema
from imagedata_xr.sortkeys.key import SortKey

READINGS = (
    SortKey.from_keyword("DiffusionBValue", name=schema.B, units=schema.UNITS_OF[schema.B]),
)
