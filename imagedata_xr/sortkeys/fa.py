"""Flip angle (0018,1314), degrees."""

from __future__ import annotations

from imagedata_xr import schema
from imagedata_xr.sortkeys.key import SortKey

READINGS = (SortKey.from_keyword("FlipAngle", name=schema.FA, units=schema.UNITS_OF[schema.FA]),)
