"""Colour maps as tables of 256 colours."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from imagedata_xr.errors import MissingDependencyError, OptionError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Table: TypeAlias = NDArray[np.uint8]

__all__ = ["LABEL_COLORS", "colormap_table", "rgb_of"]

ENTRIES: Final = 256
# Okabe and Ito, Color Universal Design (2008).
LABEL_COLORS: Final = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7")
# For T1 and T2 (Fuderer et al., Magn Reson Med 2025; 93: 1733), in Crameri's collection.
CRAMERI: Final = ("lipari", "navia")
# Red, green and blue from black through red and yellow to white, as in matplotlib.
HOT: Final = (
    ((0.0, 0.365079), (0.0416, 1.0)),
    ((0.365079, 0.746032), (0.0, 1.0)),
    ((0.746032, 1.0), (0.0, 1.0)),
)


def colormap_table(cmap: Any) -> Table:
    """
    Return the colours of a colour map, from the lowest value to the highest.

    Parameters
    ----------
    cmap : str, array_like or matplotlib.colors.Colormap
        ``"gray"``, ``"hot"``; ``"lipari"`` (T1) and ``"navia"`` (T2) and all others of Crameri; any
        name of matplotlib, with ``_r`` for the reverse; a colour as ``"#ff8800"``, for a ramp from
        black; or the colours themselves, shape (n, 3), 0-255 or 0-1.

    Returns
    -------
    ndarray of uint8, shape (256, 3)

    Raises
    ------
    OptionError
        There is no such map.
    MissingDependencyError
        The map comes from matplotlib or cmcrameri, which are not there.

    Examples
    --------
    >>> display.colormap_table("gray").shape
    (256, 3)
    """
    if isinstance(cmap, str):
        return _named(cmap).copy()
    if callable(cmap):
        found = np.asarray(cmap(np.linspace(0, 1, ENTRIES)), dtype=np.float64)
    else:
        try:
            found = np.asarray(cmap, dtype=np.float64)
        except (TypeError, ValueError):
            found = np.empty(0)
    if found.ndim != 2 or found.shape[-1] not in (3, 4) or len(found) < 2:
        raise OptionError(f"cmap={cmap!r}: give a name, or colours of shape (n, 3)")
    levels = found[:, :3] if found.max() > 1 else 255 * found[:, :3]
    if not np.isfinite(levels).all() or levels.min() < 0 or levels.max() > 255:
        raise OptionError("the colours of a map lie between 0 and 1, or 0 and 255")
    return _spread(levels)


def rgb_of(color: str) -> tuple[int, int, int]:
    """Return red, green and blue of ``#rrggbb``."""
    text = str(color)
    try:
        if len(text) == 7 and text[0] == "#":
            return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)
    except ValueError:
        pass
    raise OptionError(f"color {color!r} is not of the form '#rrggbb'")


def _spread(levels: NDArray[np.float64]) -> Table:
    """Interpolate colours to as many as the table has."""
    at = np.linspace(0, len(levels) - 1, ENTRIES)
    channels = [np.interp(at, np.arange(len(levels)), levels[:, k]) for k in range(3)]
    return np.rint(np.stack(channels, axis=-1)).astype(np.uint8)


@cache
def _named(name: str) -> Table:
    if name.endswith("_r"):
        return _named(name[:-2])[::-1]
    if name.startswith("#"):
        return _spread(np.array([(0, 0, 0), rgb_of(name)], dtype=np.float64))
    if name in ("gray", "grey"):
        return _spread(np.array([(0, 0, 0), (255, 255, 255)], dtype=np.float64))
    if name == "hot":
        at = np.linspace(0, 1, ENTRIES)
        ramps = [np.interp(at, ends, levels) for ends, levels in HOT]
        return _spread(255 * np.stack(ramps, axis=-1))
    found = _of_crameri(name)
    return _of_matplotlib(name) if found is None else found


def _of_crameri(name: str) -> Table | None:
    try:
        from cmcrameri import cm
    except ImportError as error:
        if name in CRAMERI:
            raise MissingDependencyError(
                f'the colour map {name!r} needs cmcrameri: pip install "imagedata_xr[colors]"'
            ) from error
        return None
    found = getattr(cm, "cmaps", {}).get(name)
    return None if found is None else _spread(255 * found(np.linspace(0, 1, ENTRIES))[:, :3])


def _of_matplotlib(name: str) -> Table:
    try:
        from matplotlib import colormaps
    except ImportError as error:
        raise MissingDependencyError(
            f'the colour map {name!r} needs matplotlib: pip install "imagedata_xr[colors]"; '
            "'gray' and 'hot' are always there"
        ) from error
    if name not in colormaps:
        raise OptionError(f"there is no colour map {name!r}: see matplotlib.colormaps")
    return _spread(255 * colormaps[name](np.linspace(0, 1, ENTRIES))[:, :3])
