"""
The viewer: HoloViews elements of medical images, and an interactive window around them.

The only place of HoloViews, Panel and Bokeh, which the extra ``viewer`` brings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imagedata_xr.viewer.elements import hv_image, polygons, rois_of
from imagedata_xr.viewer.viewing import get_roi, show_image, view

if TYPE_CHECKING:
    from imagedata_xr.viewer.viewer import Viewer

__all__ = ["Viewer", "get_roi", "hv_image", "polygons", "rois_of", "show_image", "view"]


def __getattr__(name: str) -> Any:
    # A subclass of Panel's classes: defined when Panel is there.
    if name == "Viewer":
        from imagedata_xr.viewer.loading import panel

        panel()
        from imagedata_xr.viewer.viewer import Viewer

        return Viewer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
