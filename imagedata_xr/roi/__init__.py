"""
Regions of interest: outlines in patient coordinates, masks, statistics and files of them.

An outline is in mm in the patient, not in pixels, so that it stays in its place when the image is
cropped, flipped or sub-sampled, and fits any other image of the same patient position.

>>> import imagedata_xr.roi as roi  # doctest: +SKIP
>>> region = roi.Roi(name="liver", contours=(roi.ellipse(ct, slice=40, row=(0, 50), column=(9, 80)),))
>>> ct.where(roi.mask(region, ct)).mean()  # doctest: +SKIP
"""

from __future__ import annotations

from imagedata_xr.roi.files import from_file, to_file
from imagedata_xr.roi.masks import mask
from imagedata_xr.roi.model import Code, Contour, Roi
from imagedata_xr.roi.outlining import outlines
from imagedata_xr.roi.shapes import contour, ellipse, rectangle
from imagedata_xr.roi.statistics import curve, stats, threshold

__all__ = [
    "Code",
    "Contour",
    "Roi",
    "contour",
    "curve",
    "ellipse",
    "from_file",
    "mask",
    "outlines",
    "rectangle",
    "stats",
    "threshold",
    "to_file",
]
