"""
How values become colours: windows, colour maps, images in red, green and blue, and overlays.

Below the viewer, and without it: NumPy arithmetic on labelled arrays.
"""

from __future__ import annotations

from imagedata_xr.display.colormaps import colormap_table
from imagedata_xr.display.overlays import overlay
from imagedata_xr.display.rgb import to_rgb
from imagedata_xr.display.windows import PRESETS, Window, window_of

__all__ = ["PRESETS", "Window", "colormap_table", "overlay", "to_rgb", "window_of"]
