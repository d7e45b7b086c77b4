"""The interactive viewer: a Panel object for notebooks, a local page, or a saved one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import param
from panel import pane
from panel.viewable import Viewer as PanelViewer

from imagedata_xr import schema
from imagedata_xr.display.windows import window_of
from imagedata_xr.errors import ImagedataError, OptionError
from imagedata_xr.roi import Roi, from_file, mask, to_file
from imagedata_xr.viewer import measures
from imagedata_xr.viewer.about import spaces
from imagedata_xr.viewer.component import Stage
from imagedata_xr.viewer.loading import holoviews, panel
from imagedata_xr.viewer.packing import archived
from imagedata_xr.viewer.palettes import palette, palettes
from imagedata_xr.viewer.records import to_records, to_rois
from imagedata_xr.viewer.series import open_series

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    import xarray as xr

    from imagedata_xr.display import Window
    from imagedata_xr.viewer.series import Series
    from imagedata_xr.viewer.serving import Server

__all__ = ["Viewer"]

ORTHOGONAL = "orthogonal"


class Viewer(PanelViewer):  # type: ignore[misc, unused-ignore]
    """
    Images to look at and to draw regions in.

    Parameters
    ----------
    images : DataArray or sequence of DataArray
        Two to six dimensions, and colours; read when they are looked at. Several are shown side
        by side, and move together where they lie in one patient space.
    overlay : DataArray or sequence, optional
        A mask, label map or parametric map (NaN is transparent) over each image, on its grid.
    planes : {"native", "orthogonal"} or sequence of str
        Which dimensions are cut: the slices, all three, or those named.
    window : (center, width) or str, optional
        Or a name, as of `display.window_of`: ``"lung"``, ``"percentiles"``. Otherwise that of the
        header, or percentiles.
    cmap, overlay_cmap : str
        Colour maps to begin with, as of `display.colormap_table`.
    rois : iterable of Roi
        Regions to begin with.
    orientation : {"auto", "stored", "radiological"}
        ``"auto"``: slices of a DICOM series as stored, all else with the patient's right on the
        left and anterior or head on top.
    linked : bool
        Whether several images move together.
    phi : bool
        Whether to show patient and study.
    height : int
        Of the viewer in a notebook, screen pixels.
    per_page, columns : int
        How many pictures there are on a page and in a row; 0 is a choice by itself.

    Attributes
    ----------
    rois : list of Roi
        What is drawn, in patient coordinates: a parameter that can be watched, and set.

    Examples
    --------
    >>> view = imagedata_xr.view(dynamic)  # doctest: +SKIP
    >>> view  # in a notebook  # doctest: +SKIP
    >>> dynamic.where(view.mask).mean(["slice", "row", "column"]).plot()  # doctest: +SKIP
    """

    rois = param.List(default=[], item_type=Roi)

    def __init__(  # noqa: PLR0913 - each option is one thing that a user may choose
        self,
        images: Any,
        *,
        overlay: Any = None,
        planes: str | Sequence[str] = "native",
        window: Any = None,
        cmap: str = "gray",
        overlay_cmap: str = "inferno",
        rois: Iterable[Roi] = (),
        orientation: Any = "auto",
        linked: bool = True,
        phi: bool = True,
        height: int = 640,
        per_page: int = 0,
        columns: int = 0,
    ) -> None:
        super().__init__()
        several = list(images) if isinstance(images, (list, tuple)) else [images]
        overlays = list(overlay) if isinstance(overlay, (list, tuple)) else [overlay]
        if not several or len(overlays) not in {1, len(several)}:
            raise OptionError(f"{len(several)} images and {len(overlays)} overlays do not fit")
        overlays += [None] * (len(several) - len(overlays))
        self._series = [
            open_series(
                image, overlay=over, overlay_cmap=overlay_cmap, orientation=orientation, phi=phi
            )
            for image, over in zip(several, overlays, strict=True)
        ]
        for one, space in zip(self._series, spaces(one.scene for one in self._series), strict=True):
            one.about["space"] = space
        self._height = height
        self._unplaced: list[Roi] = []
        self._known: dict[str, Roi] = {}
        self._finished: Callable[[], None] | None = None
        places = [
            {"series": k, "axis": axis}
            for k, one in enumerate(self._series)
            for axis in _axes(planes, one.scene.native)
        ]
        limits = [
            one.limits if window is None else _limits(window_of(one.scene.image, window))
            for one in self._series
        ]
        self._state: dict[str, Any] = {
            "series": [one.about for one in self._series],
            "panes": places,
            "palettes": {**palettes(), cmap: palette(cmap)},
            "index": [one.middle for one in self._series],
            "frame": [[0] * len(one.scene.dims) for one in self._series],
            "windows": [list(map(float, one)) for one in limits],
            "looks": [_look(one, cmap) for one in self._series],
            "linked": linked,
            "crosshair": planes == ORTHOGONAL,
            "per_page": per_page or max(4, len(_axes(planes, 0))),
            "columns": columns,
        }
        panel()
        self._stage = Stage(
            self._answer,
            plots=self._plots(),
            height=height,
            sizing_mode="stretch_width",
            **self._state,
        )
        self._stage.param.watch(self._from_browser, ["records"])
        self._stage.param.watch(self._measure, ["records", "frame", "dimension"])
        self.param.watch(self._to_browser, ["rois"])
        self.rois = list(rois)

    # ---- the state, as users think of it -----------------------------------------------------

    @property
    def stage(self) -> Stage:
        """The Panel component, with all parameters of the browser's side."""
        return self._stage

    @property
    def series(self) -> list[Series]:
        """The images with their pictures and overlays."""
        return self._series

    @property
    def index(self) -> dict[str, int]:
        """Slice, row and column of the first image at which the viewer stands."""
        return dict(zip(schema.SPATIAL, self._stage.index[0], strict=True))

    @property
    def frame(self) -> dict[str, int]:
        """Index along the acquisition dimensions of the first image."""
        return dict(zip(self._series[0].scene.dims, self._stage.frame[0], strict=True))

    @property
    def window(self) -> tuple[float, float]:
        """Centre and width of the window of the first image."""
        low, high = self._stage.windows[0]
        return (low + high) / 2, high - low

    @property
    def mask(self) -> xr.DataArray:
        """
        The voxels of the first image inside the regions, on its own coordinates.

        Bool for one region, a label map with their names for several. Without a region, nothing
        is inside.
        """
        image = self._series[0].scene.image
        if schema.RGB in image.dims:
            image = image.isel({schema.RGB: 0}, drop=True)
        if not self.rois:
            spatial = image.isel(dict.fromkeys(self._series[0].scene.dims, 0), drop=True)
            empty: xr.DataArray = (spatial != spatial).rename("mask")  # noqa: PLR0124
            return empty.astype(bool) & False
        names = {roi.name for roi in self.rois}
        found = mask(self.rois, image)
        return found.astype(bool).rename("mask") if len(names) == 1 else found

    @property
    def hv(self) -> Any:
        """The image as plain HoloViews, with the regions and the window of the moment."""
        from imagedata_xr.viewer.elements import hv_image

        image = self._series[0].scene.image
        return hv_image(image, window=self.window, rois=self.rois)

    def table(self) -> Any:
        """Return the numbers of each region at the frame that is shown, as a pandas DataFrame."""
        import pandas as pd

        return pd.DataFrame(measures.table(self.rois, self._series[0].source, self._stage.frame[0]))

    def curve(self, dim: str | None = None) -> Any:
        """
        Return the mean of each region along an acquisition dimension, as HoloViews.

        Parameters
        ----------
        dim : str, optional
            Otherwise the one that left and right step along.

        Returns
        -------
        holoviews.DynamicMap
            Of an overlay of curves; it follows the regions.
        """
        hv, shown = holoviews(), self._series[0].scene
        if not shown.dims:
            raise OptionError("the image has no acquisition dimension: there is no curve")
        name = dim or shown.dims[min(self._stage.dimension, len(shown.dims) - 1)]
        if name not in shown.dims:
            raise OptionError(f"dim={dim!r} is none of {', '.join(shown.dims)}")
        about = self._series[0].about
        places = about["dims"][shown.dims.index(name)]["places"]
        value = hv.Dimension("mean", unit=about["units"] or None)

        def draw(rois: list[Roi]) -> Any:
            found = measures.curves(
                rois, self._series[0].source, self._stage.frame[0], shown.dims.index(name)
            )
            lines = {key: hv.Curve((places, y), name, value) for key, y in found.items()}
            empty = {"no region": hv.Curve([], name, value)}
            return hv.NdOverlay(lines or empty, kdims="region").opts(framewise=True)

        return hv.DynamicMap(draw, streams=[hv.streams.Params(self, ["rois"])])

    def to_file(self, path: str | os.PathLike[str], **options: Any) -> Path:
        """Write the regions as JSON, RT Structure Set, Segmentation or NIfTI; see `roi.to_file`."""
        return to_file(self.rois, path, like=self._series[0].scene.image, **options)

    def from_file(self, path: str | os.PathLike[str]) -> None:
        """Take the regions of a file, to look at and edit them; see `roi.from_file`."""
        self.rois = from_file(path, like=self._series[0].scene.image)

    # ---- where it is shown -------------------------------------------------------------------

    def __panel__(self) -> Any:
        """Return what Panel and notebooks show."""
        return self._stage

    def page(self, *, offline: bool = False) -> Any:
        """Return the viewer as a whole page; `offline` with all its pictures in it."""
        from panel.layout import Column

        stage = self._stage
        if offline:
            archive, contents = archived(self._series, self._state["panes"])
            state = {name: getattr(stage, name) for name in stage.param if name in self._kept}
            self._state["index"] = state["index"]
            stage = Stage(
                self._answer,
                plots=self._plots(),
                archive=archive,
                contents=contents,
                offline=True,
                **{**self._state, **state},
            )
        stage.param.update(height=None, sizing_mode="stretch_both", whole_page=True)
        return Column(
            stage,
            sizing_mode="stretch_both",
            margin=0,
            styles={"position": "fixed", "inset": "0", "background": "#0d1117"},
        )

    _kept = frozenset(
        (
            *("index", "frame", "windows", "looks", "smooth", "linked", "crosshair", "page"),
            *("records", "structures", "table", "curves", "hide_text"),
        )
    )

    def on_done(self, callback: Callable[[], None]) -> None:
        """Call a function when the user presses Done."""
        self._finished = callback

    def show(self, *, port: int = 0, browser: bool = True) -> Server:
        """
        Serve the viewer on this machine and print its address; see `serving.serve`.

        Parameters
        ----------
        port : int
            0 is any free one.
        browser : bool
            Whether to open the address in a browser.

        Returns
        -------
        Server
            With ``url`` and ``stop()``.
        """
        from imagedata_xr.viewer.serving import serve

        return serve(self, port=port, browser=browser)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """
        Write one HTML file that needs neither Python nor a network; see `saving.save_page`.

        It holds every picture that can be reached, and the patient's name unless ``phi=False``.
        """
        from imagedata_xr.viewer.saving import save_page

        return save_page(self, path)

    def snapshot(self, path: str | os.PathLike[str], *, size: int = 640) -> Path:
        """
        Write the pictures of the moment as PNG or JPEG; see `saving.save_picture`.

        Parameters
        ----------
        path : path-like
        size : int
            Of the longer side of each picture, pixels.
        """
        from imagedata_xr.viewer.saving import save_picture

        return save_picture(self, path, size=size)

    # ---- between Python and the browser ------------------------------------------------------

    def _plots(self) -> list[Any]:
        return [
            pane.HoloViews(
                self._series[one["series"]].figure(
                    one["axis"], self._state["index"][one["series"]][one["axis"]]
                ),
                linked_axes=False,
                margin=0,
                backend="bokeh",
            )
            for one in self._state["panes"]
        ]

    def _answer(self, message: Any) -> list[dict[str, Any]]:
        if message.get("done"):
            return [{"done": True}]
        if message.get("ended") and self._finished is not None:
            self._finished()
        if "curve" in message:
            return [{"curve": self._voxel_curve(*message["curve"])}]
        return [self._picture(*one) for one in message.get("want", ())]

    def _picture(self, series: int, axis: int, index: int, frame: list[int]) -> dict[str, Any]:
        key = ":".join(str(int(k)) for k in (series, axis, index, *frame))
        try:
            return {"key": key, **self._series[series].picture(frame, axis, index)}
        except (ImagedataError, OSError) as error:
            return {"key": key, "error": f"this picture cannot be read: {error}"}

    def _voxel_curve(
        self, series: int, index: list[int], frame: list[int], dimension: int
    ) -> list[float | None]:
        source = self._series[series].source
        count = source.scene.image.sizes[source.scene.dims[dimension]]
        found: list[float | None] = []
        for k in range(count):
            place = [*frame]
            place[dimension] = k
            value = source.values(tuple(place), 0, index[0])[index[1], index[2]]
            number = float(abs(value) if value.dtype.kind == "c" else value)
            found.append(number if number == number else None)  # noqa: PLR0124 - NaN
        return found

    def _from_browser(self, _event: Any) -> None:
        found: list[Roi] = list(self._unplaced)
        for k, one in enumerate(self._series):
            own = [record for record in self._stage.records if record["series"] == k]
            found.extend(to_rois(own, one.scene, self._known))
        with param.parameterized.discard_events(self):
            before = self.rois
            self.rois = found
        if found != before:
            self._own = True
            self.param.trigger("rois")
            self._own = False

    _own = False

    def _to_browser(self, _event: Any) -> None:
        if self._own:
            return
        self._known = {roi.name: roi for roi in reversed(self.rois)}
        records, self._unplaced = to_records(self.rois, self._series[0].scene)
        names = {roi.name: roi.color for roi in self.rois}
        self._stage.param.update(
            structures=[{"name": name, "color": color} for name, color in names.items()],
            records=[{**record, "series": 0} for record in records],
        )

    def _measure(self, _event: Any) -> None:
        """Send the table and the curves of the regions."""
        stage, first = self._stage, self._series[0]
        if not self.rois:
            stage.param.update(table=[], curves={})
            return
        frame, dims = stage.frame[0], first.scene.dims
        stage.table = measures.table(self.rois, first.source, frame)
        if not dims or first.scene.colour:
            return
        dimension = min(stage.dimension, len(dims) - 1)
        found = measures.curves(self.rois, first.source, frame, dimension)
        dim = first.about["dims"][dimension]
        colors = {roi.name: roi.color for roi in self.rois}
        stage.curves = {
            "dim": dim["name"],
            "x_label": f"{dim['name']} {dim['unit']}".strip(),
            "lines": [
                {
                    "name": name,
                    "color": colors[name],
                    "x": dim["places"],
                    "y": [None if y != y else float(y) for y in values],  # noqa: PLR0124 - NaN
                }
                for name, values in found.items()
            ],
        }


def _limits(window: Window) -> tuple[float, float]:
    return window.low, window.high


def _axes(planes: str | Sequence[str], native: int) -> list[int]:
    if planes == "native":
        return [native]
    if planes == ORTHOGONAL:
        return [0, 1, 2]
    names = [planes] if isinstance(planes, str) else list(planes)
    if not names or not set(names) <= set(schema.SPATIAL):
        raise OptionError(
            f"planes={planes!r}: 'native', 'orthogonal' or some of {', '.join(schema.SPATIAL)}"
        )
    return [schema.SPATIAL.index(name) for name in names]


def _look(one: Any, cmap: str) -> dict[str, Any]:
    over = one.overlay
    return {
        "cmap": cmap,
        "invert": str(one.scene.image.attrs.get("PhotometricInterpretation")) == "MONOCHROME1",
        "overlay": None
        if over is None
        else {"visible": True, "alpha": 0.5, "low": over.low, "high": over.high},
    }
