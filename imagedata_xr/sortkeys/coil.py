"""Element of the receive coil of images that were not combined (0018,9047)."""

from __future__ import annotations

from imagedata_xr import schema
from imagedata_xr.sortkeys.key import SortKey

READINGS = (SortKey.from_keyword("MultiCoilElementName", name=schema.COIL),)
