"""Colour maps of the viewer, as lists of colours."""

from __future__ import annotations

from functools import cache
from typing import Final

from imagedata_xr.viewer.loading import holoviews

__all__ = ["LABEL_COLORS", "palettes"]

NAMES: Final = (
    "gray",
    "inferno",
    "viridis",
    "magma",
    "plasma",
    "cividis",
    "turbo",
    "hot",
    "coolwarm",
    "fire",
)
# Okabe and Ito, Color Universal Design (2008).
LABEL_COLORS: Final = (
    "#e69f00",
    "#56b4e9",
    "#009e73",
    "#f0e442",
    "#0072b2",
    "#d55e00",
    "#cc79a7",
)


@cache
def palettes() -> dict[str, list[str]]:
    """Return 256 colours for each name, from the lowest value to the highest."""
    hv = holoviews()
    found = {}
    available = set(hv.plotting.list_cmaps())
    for name in NAMES:
        if name in available:
            colors = hv.plotting.util.process_cmap(name, 256)
            found[name] = [str(color) for color in colors]
    try:
        from cmcrameri import cm
    except ImportError:
        return found
    # Maps of relaxometry: lipari for T1, navia for T2 (Fuderer et al., Magn Reson Med 2025).
    for name in ("lipari", "navia"):
        rows = (getattr(cm, name).colors * 255 + 0.5).astype(int).tolist()
        shades = [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in rows]
        found[name] = [shades[round(k * (len(shades) - 1) / 255)] for k in range(256)]
    return found
