"""Plain HoloViews elements of an image, in mm: they compose with all else of HoloViews."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from imagedata_xr import schema
from imagedata_xr.display import windows
from imagedata_xr.errors import OptionError
from imagedata_xr.viewer.loading import holoviews
from imagedata_xr.viewer.planes import scene
from imagedata_xr.viewer.slices import SliceSource

if TYPE_CHECKING:
    from collections.abc import Iterable

    import xarray as xr
    from numpy.typing import NDArray

    from imagedata_xr.roi import Roi
    from imagedata_xr.viewer.planes import Orientation, Plane, Scene

__all__ = ["hv_image", "polygons", "rois_of"]

# Without a pan tool the left button is free. Runs in the browser: no message while dragging.
DRAG = """
const name = cb_obj.event_name, w = cm.high - cm.low, c = (cm.high + cm.low) / 2
if (name === 'panstart') cm.tags = [w, c]
else if (name === 'panend') cm.setv({low: cm.low, high: cm.high}, {check_eq: false})
else {
  const [w0, c0] = cm.tags, step = Math.max(w0, span / 100) / 250
  const width = Math.max(w0 + cb_obj.delta_x * step, span * 1e-5)
  const center = c0 - cb_obj.delta_y * step
  cm.setv({low: center - width / 2, high: center + width / 2}, {sync: false})
}
"""
# Of the place under the cursor: index, patient position or value.
HOVER = """
const {x, y} = special_vars
const col = Math.round((x - at.x0) / at.dx), row = Math.round((y - at.y0) / at.dy)
if (row < 0 || col < 0 || row >= at.rows.length || col >= at.columns.length) return ''
const found = [0, 0, 0], mm = [0, 0, 0]
found[at.through] = at.index; found[at.across] = at.columns[col]; found[at.down] = at.rows[row]
if (format === 'index') return found.join(', ')
mm[at.through] = at.position; mm[at.across] = x; mm[at.down] = y
return at.directions.map((d) => (d[0]*mm[0] + d[1]*mm[1] + d[2]*mm[2]).toFixed(1)).join(', ')
"""


@dataclass
class _Figure:
    """What one HoloViews figure keeps from slice to slice: the window that the user dragged."""

    scene: Scene
    plane: Plane
    low: float
    high: float
    span: float
    cmap: str
    index: int = 0
    mapper: Any = None
    formatters: list[Any] = field(default_factory=list)

    def hook(self, plot: Any, _element: Any) -> None:
        """Add what HoloViews has no option for: the drag and the read-out."""
        from bokeh.events import Pan, PanEnd, PanStart
        from bokeh.models import CustomJS, CustomJSHover, HoverTool

        figure, mapper = plot.handles["plot"], plot.handles.get("color_mapper")
        for formatter in self.formatters:
            formatter.args = {"at": self._place()}
        if figure.tags == ["imagedata_xr"]:
            return
        figure.tags = ["imagedata_xr"]
        self.formatters = [CustomJSHover(code=HOVER, args={"at": self._place()}) for _ in range(2)]
        tips = [("index", "$x{index}")]
        formatters = {"$x": self.formatters[0]}
        if self.scene.directions is not None:
            tips.append(("patient mm", "$y{mm}"))
            formatters["$y"] = self.formatters[1]
        if not self.scene.colour:
            tips.append(("value", "@image"))
        figure.add_tools(HoverTool(tooltips=tips, formatters=formatters))
        if mapper is None:
            return
        self.mapper = mapper
        for event in (PanStart, Pan, PanEnd):
            figure.js_on_event(event, CustomJS(args={"cm": mapper, "span": self.span}, code=DRAG))

    def _place(self) -> dict[str, Any]:
        plane, directions = self.plane, self.scene.directions
        return {
            "x0": plane.columns.start,
            "dx": plane.columns.step,
            "y0": plane.rows.start,
            "dy": plane.rows.step,
            "columns": plane.columns.index.tolist(),
            "rows": plane.rows.index.tolist(),
            "through": plane.through,
            "across": plane.across,
            "down": plane.down,
            "index": self.index,
            "position": float(self.scene.positions[plane.through][self.index]),
            "directions": (np.eye(3) if directions is None else directions).tolist(),
        }

    def element(self, picture: NDArray[Any]) -> Any:
        """Return one slice as an element, in the window of the moment."""
        hv = holoviews()
        plane, unit = self.plane, self.scene.unit
        dims = [hv.Dimension(schema.SPATIAL[k], unit=unit) for k in (plane.across, plane.down)]
        xs, ys = plane.columns.centres, plane.rows.centres
        if self.scene.colour:
            return hv.RGB((xs, ys, *np.moveaxis(_channels(picture), -1, 0)), dims)
        if self.mapper is not None:
            self.low, self.high = self.mapper.low, self.mapper.high
        image = self.scene.image
        value = hv.Dimension(
            "value" if image.name is None else str(image.name),
            unit=str(image.attrs.get(schema.UNITS, "")) or None,
        )
        return hv.Image((xs, ys, picture), dims, value).opts(
            cmap=self.cmap, clim=(self.low, self.high)
        )

    def options(self, width: int) -> dict[str, Any]:
        """Return the plot options: the size of the frame is the only exact aspect."""
        (left, right), (bottom, top) = self.plane.x_range, self.plane.y_range
        scale = width / max(abs(right - left), abs(top - bottom))
        return {
            "frame_width": max(1, round(abs(right - left) * scale)),
            "frame_height": max(1, round(abs(top - bottom) * scale)),
            "invert_xaxis": left > right,
            "invert_yaxis": bottom > top,
            "default_tools": ["save", "wheel_zoom", "box_zoom", "reset"],
            "active_tools": ["wheel_zoom"],
            "bgcolor": "black",
            "backend_opts": {"plot.output_backend": "canvas"},
            "hooks": [self.hook],
        }


def hv_image(  # noqa: PLR0913 - each option is one thing that a user may choose
    image: xr.DataArray,
    *,
    plane: str = schema.SLICE,
    window: Any = None,
    cmap: str = "gray",
    rois: Iterable[Roi] = (),
    orientation: Orientation = "auto",
    width: int = 480,
) -> Any:
    """
    Return an image as HoloViews, in the mm of its own coordinates.

    The left button drags window (across) and level (up and down) within the browser; the wheel
    zooms; hovering shows voxel index, patient position and value.

    Parameters
    ----------
    image : DataArray
        Two to six dimensions, and colours. It is read slice by slice.
    plane : {"slice", "row", "column"}
        The dimension that is cut.
    window : (center, width) or str, optional
        Or a name, as of `display.window_of`. Otherwise that of the header, or percentiles of the
        middle slice.
    cmap : str
        Colour map of HoloViews.
    rois : iterable of Roi
        Outlines to draw in the slices where they lie.
    orientation : {"auto", "stored", "radiological"}
        ``"auto"``: slices of a DICOM series as stored, all else with the patient's right on the
        left and anterior or head on top.
    width : int
        Of the longer side, screen pixels.

    Returns
    -------
    holoviews.Image or holoviews.RGB or holoviews.DynamicMap
        A DynamicMap has one dimension for each acquisition dimension and one for the slices.

    Raises
    ------
    OptionError
        No such plane, or the array has not two of the spatial dimensions.
    MissingDependencyError
        Without HoloViews.
    """
    hv = holoviews()
    if plane not in schema.SPATIAL:
        raise OptionError(f"plane={plane!r} is none of {', '.join(schema.SPATIAL)}")
    shown = scene(image, orientation=orientation)
    axis = schema.SPATIAL.index(plane) if plane in image.dims else shown.native
    cut, source, outlines = shown.planes[axis], SliceSource(shown), tuple(rois)
    middle = shown.shape[axis] // 2
    picture = source.plane((0,) * len(shown.dims), axis, middle)
    low, high = (0.0, 1.0) if shown.colour else windows.first_limits(image, picture)
    if window is not None:
        chosen = windows.window_of(image, window)
        low, high = chosen.low, chosen.high
    state = _Figure(shown, cut, low, high, high - low, cmap, middle)

    def frame(*labels: float) -> Any:
        *acquired, position = labels
        place = tuple(
            _nearest(shown.image, name, label)
            for name, label in zip(shown.dims, acquired, strict=True)
        )
        state.index = int(np.abs(shown.positions[axis] - position).argmin())
        shape = state.element(source.plane(place, axis, state.index))
        if not outlines:
            return shape
        return shape * polygons(outlines, image, plane=schema.SPATIAL[axis], index=state.index)

    options = state.options(width)
    kind = "RGB" if shown.colour else "Image"
    applied = [getattr(hv.opts, kind)(**options)]
    position = shown.positions[axis]
    if not shown.dims and position.size == 1:
        return frame(float(position[0])).opts(*applied)
    dims = [_dimension(hv, shown.image, name) for name in shown.dims]
    dims.append(
        hv.Dimension(
            schema.SPATIAL[axis],
            unit=shown.unit,
            values=position.tolist(),
            default=float(position[middle]),
        )
    )
    # HoloViews would give a slice of its cache the window of the moment when it was drawn.
    return hv.DynamicMap(frame, kdims=dims, cache_size=1).opts(*applied)


def polygons(
    rois: Iterable[Roi], image: xr.DataArray, *, plane: str = schema.SLICE, index: int = 0
) -> Any:
    """
    Return outlines that lie in one slice of an image.

    Parameters
    ----------
    rois : iterable of Roi
    image : DataArray
        Whose coordinates the polygons have.
    plane : {"slice", "row", "column"}
        The dimension that is cut.
    index : int
        Which slice along it.

    Returns
    -------
    holoviews.Polygons
        With the value dimensions ``name`` and ``color``.
    """
    from imagedata_xr.viewer.records import in_plane

    hv = holoviews()
    axis = schema.SPATIAL.index(plane)
    shown = scene(image)
    across, down = shown.planes[axis].across, shown.planes[axis].down
    dims = [schema.SPATIAL[across], schema.SPATIAL[down]]
    found = [
        {dims[0]: points[:, across], dims[1]: points[:, down], "name": roi.name, "color": roi.color}
        for roi in rois
        for points in in_plane(roi, shown, axis, index)
    ]
    made = hv.Polygons(found, dims, ["name", "color"])
    return made.opts(fill_alpha=0.15, line_color="color", fill_color="color", line_width=2)


def rois_of(
    stream: Any,
    image: xr.DataArray,
    *,
    index: int,
    plane: str = schema.SLICE,
    name: str = "region",
) -> list[Roi]:
    """
    Return what a HoloViews draw stream holds as regions.

    Parameters
    ----------
    stream : PolyDraw, PolyEdit, FreehandDraw, BoxEdit, BoundsXY or Lasso
        A stream of `holoviews.streams` whose source lies over `hv_image`.
    image : DataArray
        Whose coordinates the stream's positions are.
    index : int
        The slice on which it was drawn.
    plane : {"slice", "row", "column"}
        The dimension that is cut.
    name : str
        Of the region.

    Returns
    -------
    list of Roi
        One with all outlines, or none if nothing is drawn.
    """
    from imagedata_xr.roi import Roi
    from imagedata_xr.viewer.records import contour_at

    shown = scene(image)
    axis = schema.SPATIAL.index(plane)
    loops = [(np.asarray(x), np.asarray(y)) for x, y in _loops(stream)]
    contours = tuple(contour_at(shown, axis, index, x, y) for x, y in loops if len(x) >= 3)
    return [Roi(name=name, contours=contours)] if contours else []


def _loops(stream: Any) -> list[tuple[Any, Any]]:
    """Return the outlines of any draw stream as x and y."""
    if getattr(stream, "bounds", None):
        left, bottom, right, top = stream.bounds
        return [([left, right, right, left], [bottom, bottom, top, top])]
    geometry = getattr(stream, "geometry", None)
    if geometry is not None:
        return [(geometry[:, 0], geometry[:, 1])]
    data = getattr(stream, "data", None) or {}
    if "x0" in data:
        corners = zip(data["x0"], data["x1"], data["y0"], data["y1"], strict=True)
        return [([a, b, b, a], [c, c, d, d]) for a, b, c, d in corners]
    return list(zip(data.get("xs", []), data.get("ys", []), strict=True))


def _channels(picture: NDArray[Any]) -> NDArray[np.uint8]:
    return picture.view(np.uint8).reshape(*picture.shape, 4)[..., :3]


def _dimension(hv: Any, image: xr.DataArray, name: str) -> Any:
    unit = str(image.coords[name].attrs.get(schema.UNITS, "")) if name in image.coords else ""
    return hv.Dimension(name, unit=unit or None, values=_labels(image, name))


def _labels(image: xr.DataArray, name: str) -> list[Any]:
    labels: list[Any] = list(range(image.sizes[name]))
    if name in image.indexes and image.indexes[name].is_unique:
        labels = image.coords[name].values.tolist()
    return labels


def _nearest(image: xr.DataArray, name: str, label: Any) -> int:
    labels = _labels(image, name)
    if isinstance(label, str):
        return labels.index(label)
    return int(np.abs(np.asarray(labels, dtype=np.float64) - label).argmin())
