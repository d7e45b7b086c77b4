"""Many series at once: a table of what a folder holds, a function over all of it, trees on disk."""

from __future__ import annotations

from imagedata_xr.cohorts.batch import map_series
from imagedata_xr.cohorts.table import catalog

__all__ = ["catalog", "map_series"]
