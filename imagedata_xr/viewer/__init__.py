"""
The viewer: HoloViews elements of medical images, and an interactive window around them.

The only place of HoloViews, Panel and Bokeh, which the extra ``viewer`` brings.
"""

from __future__ import annotations

from imagedata_xr.viewer.elements import hv_image, polygons, rois_of

__all__ = ["hv_image", "polygons", "rois_of"]
