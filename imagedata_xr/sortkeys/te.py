"""Echo time (0018,0081), ms."""

from __future__ import annotations

from imagedata_xr import schema
from imagedata_xr.sortkeys.key import SortKey

READINGS = (SortKey.from_keyword("EchoTime", name=schema.TE, units=schema.UNITS_OF[schema.TE]),)
