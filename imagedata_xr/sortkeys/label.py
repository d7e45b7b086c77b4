"""Label and control of arterial spin labelling (ASL Context, 0018,9257)."""

from __future__ import annotations

from imagedata_xr import schema
from imagedata_xr.sortkeys.key import SortKey

READINGS = (SortKey.from_keyword("ASLContext", name=schema.LABEL),)
