"""HoloViews, Panel and Bokeh, loaded once, without a network."""

from __future__ import annotations

from functools import cache
from typing import Any

from imagedata_xr.errors import MissingDependencyError

__all__ = ["holoviews", "panel"]


@cache
def holoviews() -> Any:
    """
    Return the module ``holoviews`` with its Bokeh backend loaded.

    Raises
    ------
    MissingDependencyError
    """
    try:
        import holoviews as hv
    except ImportError as error:
        raise _missing() from error
    # Resources from the package itself: hospital networks often reach no CDN.
    hv.extension("bokeh", inline=True, logo=False)
    return hv


@cache
def panel() -> Any:
    """
    Return the module ``panel``, set up for notebooks.

    Raises
    ------
    MissingDependencyError
    """
    holoviews()
    try:
        import panel as pn
    except ImportError as error:
        raise _missing() from error
    pn.extension(inline=True)
    return pn


def _missing() -> MissingDependencyError:
    return MissingDependencyError('the viewer needs: pip install "imagedata_xr[viewer]"')
