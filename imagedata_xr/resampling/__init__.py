"""
Images on other grids: resampled onto another image or to another voxel size, turned, matched.

Positions are those of the coordinates, so that uneven slices, gantry tilt, crops and flips need no
special care of the caller. Down-sampling takes samples as ITK does: smooth before it, or coarsen,
where details finer than the new voxels would alias.
"""

from __future__ import annotations

from imagedata_xr.resampling.matching import align, reorient
from imagedata_xr.resampling.resample import METHODS, resample, resample_like

__all__ = ["METHODS", "align", "reorient", "resample", "resample_like"]
