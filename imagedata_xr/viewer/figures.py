"""The figure of each pane: HoloViews draws it once, then the browser changes its pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from imagedata_xr.viewer.loading import holoviews

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from imagedata_xr.viewer.overlays import Overlay
    from imagedata_xr.viewer.planes import Plane, Scene

__all__ = ["figure"]


def figure(
    scene: Scene,
    plane: Plane,
    picture: NDArray[Any],
    limits: tuple[float, float],
    over: tuple[Overlay, NDArray[Any]] | None = None,
) -> Any:
    """
    Return one picture as a HoloViews object without axes, with named renderers.

    Parameters
    ----------
    scene : Scene
    plane : Plane
    picture : ndarray
        As `SliceSource.plane` gives it.
    limits : tuple of float
        Lowest and highest value of the window.
    over : tuple, optional
        An overlay and its picture.
    """
    hv = holoviews()
    xs, ys = plane.columns.centres, plane.rows.centres
    dims = ["x", "y"]
    options: dict[str, Any] = {
        "xaxis": None,
        "yaxis": None,
        "toolbar": None,
        "default_tools": [],
        "show_frame": False,
        "bgcolor": "black",
        "border": 0,
        "width": 300,
        "height": 300,
        "invert_xaxis": plane.x_range[0] > plane.x_range[1],
        "invert_yaxis": plane.y_range[0] > plane.y_range[1],
        "backend_opts": {
            "plot.output_backend": "canvas",
            "plot.outline_line_color": None,
            "plot.min_border": 0,
        },
    }
    if scene.colour:
        channels = picture.view(np.uint8).reshape(*picture.shape, 4)[..., :3]
        made = hv.RGB((xs, ys, *np.moveaxis(channels, -1, 0)), dims)
        made = made.opts(hooks=[_named("image", picture)], **options)
    else:
        made = hv.Image((xs, ys, picture), dims, "value")
        made = made.opts(cmap="gray", clim=limits, hooks=[_named("image", picture)], **options)
    if over is None:
        return made
    overlay, upper = over
    second = hv.Image((xs, ys, upper), dims, "overlay").opts(
        cmap=overlay.palette,
        clim=(overlay.low, overlay.high),
        clipping_colors={"NaN": "transparent", "min": "transparent"},
        hooks=[_named("overlay", upper)],
        **options,
    )
    return (made * second).opts(hv.opts.Overlay(**options))


def _named(name: str, picture: NDArray[Any]) -> Callable[[Any, Any], None]:
    def hook(plot: Any, _element: Any) -> None:
        plot.handles["glyph_renderer"].name = name
        # HoloViews may have flipped or converted what the browser will replace.
        plot.handles["source"].data["image"] = [picture]

    return hook
