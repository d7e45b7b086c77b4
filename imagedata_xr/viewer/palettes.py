"""Colour maps of the viewer, as lists of colours."""

from __future__ import annotations

from functools import cache
from typing import Final

from imagedata_xr.display import colormap_table
from imagedata_xr.errors import MissingDependencyError

__all__ = ["palette", "palettes"]

BOKEH: Final = ("inferno", "viridis", "magma", "plasma", "cividis", "turbo")
# Of relaxometry: T1 and T2.
RELAXATION: Final = ("lipari", "navia")


@cache
def palettes() -> dict[str, list[str]]:
    """Return 256 colours for each name that can be chosen, from the lowest value to the highest."""
    from bokeh import palettes as bokeh

    found = {name: palette(name) for name in ("gray", "hot")}
    found |= {name: list(getattr(bokeh, f"{name.capitalize()}256")) for name in BOKEH}
    for name in RELAXATION:
        try:
            found[name] = palette(name)
        except MissingDependencyError:
            continue
    return found


def palette(name: str) -> list[str]:
    """Return 256 colours; OptionError if there is no such colour map."""
    if name.capitalize() in {one.capitalize() for one in BOKEH}:
        return palettes()[name]
    return [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in colormap_table(name).tolist()]
