"""One series in the viewer: its scene, its pictures, its overlay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import xarray as xr

from imagedata_xr import schema
from imagedata_xr.display import windows
from imagedata_xr.errors import ImagedataError, OptionError
from imagedata_xr.suv import suv_factor
from imagedata_xr.viewer.about import describe
from imagedata_xr.viewer.figures import figure
from imagedata_xr.viewer.overlays import overlay_for
from imagedata_xr.viewer.planes import scene
from imagedata_xr.viewer.slices import SliceSource

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imagedata_xr.viewer.overlays import Overlay
    from imagedata_xr.viewer.planes import Orientation, Scene

__all__ = ["Series", "open_series"]

ACTIVITY = ("BQML", "CNTS")  # units of PET images of which SUV can be made


@dataclass(frozen=True, eq=False)
class Series:
    """
    A series and what lies over it.

    Attributes
    ----------
    scene : Scene
    source : SliceSource
    overlay : Overlay or None
    limits : tuple of float
        The window to begin with.
    about : dict
        What the browser is told.
    """

    scene: Scene
    source: SliceSource
    overlay: Overlay | None
    limits: tuple[float, float]
    about: dict[str, Any]

    @property
    def middle(self) -> list[int]:
        """The place to begin with."""
        return [size // 2 for size in self.scene.shape]

    def picture(self, frame: Sequence[int], axis: int, index: int) -> dict[str, Any]:
        """Return the pictures of one cut as a message to the browser."""
        place = tuple(int(k) for k in frame)
        found: dict[str, Any] = {"image": self.source.plane(place, axis, index)}
        if self.overlay is not None:
            found["overlay"] = self.overlay.plane(place, axis, index)
        return found

    def figure(self, axis: int, index: int) -> Any:
        """Return the HoloViews object of one cut at the first frame."""
        found = self.picture([0] * len(self.scene.dims), axis, index)
        over = None if self.overlay is None else (self.overlay, found["overlay"])
        return figure(self.scene, self.scene.planes[axis], found["image"], self.limits, over)


def open_series(
    image: Any, *, overlay: Any, overlay_cmap: str, orientation: Orientation, phi: bool
) -> Series:
    """Return an image as a series of the viewer; see `Viewer`."""
    if isinstance(image, xr.Dataset) and schema.IMAGE in image:
        image = image[schema.IMAGE]
    if not isinstance(image, xr.DataArray):
        raise OptionError(f"the viewer shows DataArrays, not {type(image).__name__}")
    shown = scene(image, orientation=orientation)
    source = SliceSource(shown)
    over = None if overlay is None else overlay_for(overlay, shown, overlay_cmap)
    first = (0,) * len(shown.dims)
    picture = source.plane(first, shown.native, shown.shape[shown.native] // 2)
    limits = (0.0, 1.0) if shown.colour else windows.first_limits(image, picture)
    about = describe(shown, picture, over, suv=_suv(image), phi=phi)
    return Series(shown, source, over, limits, about)


def _suv(image: xr.DataArray) -> float | None:
    """Return what makes SUV of PET values; None where the headers do not say it."""
    if image.attrs.get(schema.UNITS) not in ACTIVITY:
        return None
    try:
        return suv_factor(image)
    except ImagedataError:
        return None
