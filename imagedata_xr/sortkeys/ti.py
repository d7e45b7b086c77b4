"""Inversion time (0018,0082), ms."""

from __future__ import annotations

from imagedata_xr import schema
from imagedata_xr.sortkeys.key import SortKey

READINGS = (
    SortKey.from_keyword("InversionTime", name=schema.TI, units=schema.UNITS_OF[schema.TI]),
)
