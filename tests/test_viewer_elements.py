"""Plain HoloViews of images: each picture is the right slice, the right way round, in mm."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from roi_images import image as oblique_image

from imagedata_xr import errors
from imagedata_xr.geometry import grid_from_affine
from imagedata_xr.index import position_coords
from imagedata_xr.roi import Roi, ellipse, mask, rectangle
from imagedata_xr.viewer import hv_image, polygons, rois_of, view
from imagedata_xr.viewer.planes import scene
from imagedata_xr.viewer.slices import ByteCache, SliceSource, wire

hv = pytest.importorskip("holoviews")


def axial(shape=(4, 6, 5), spacing=(3.0, 2.0, 1.0), dtype="i2"):
    """Return an axial image, supine: x to the left, y to the back, z to the head."""
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2], affine[3, 3] = *spacing, 1
    affine[:3, 3] = -10, -20, 30
    coords = position_coords(grid_from_affine(affine, shape))
    values = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    return xr.DataArray(values, coords=coords, dims=("slice", "row", "column"), name="image")


def dynamic(times=(0.0, 2.5, 7.0), **options):
    """Return a dynamic image: 1000 are added at each time."""
    base = axial(**options)
    parts = [base + 1000 * k for k in range(len(times))]
    return xr.concat(parts, xr.IndexVariable("time", list(times), {"units": "s"}))


def drawn(element):
    """Return the Bokeh figure of an element, and what its image glyph shows, as on the screen."""
    figure = hv.render(element, backend="bokeh")
    data = figure.renderers[0].data_source.data
    picture = data["image"][0]
    if figure.y_range.start < figure.y_range.end:
        picture = picture[::-1]
    if figure.x_range.start > figure.x_range.end:
        picture = picture[:, ::-1]
    return figure, picture


def test_slice_of_a_dynamic_series():
    """Labels of time and mm of the slice choose the picture; rows run down as stored."""
    found = hv_image(dynamic())
    assert [d.name for d in found.kdims] == ["time", "slice"]
    _, picture = drawn(found[7.0, 33.0])
    np.testing.assert_array_equal(picture, dynamic().values[2, 1])
    assert picture.dtype == np.int16


def test_aspect_is_that_of_the_patient():
    """A pixel of 2 by 1 mm is twice as high as it is wide on the screen."""
    figure, picture = drawn(hv_image(axial(shape=(1, 50, 60))))
    height = figure.frame_height / picture.shape[0]
    width = figure.frame_width / picture.shape[1]
    assert height / width == pytest.approx(2, abs=0.02)


@pytest.mark.parametrize("flip", ["slice", "row", "column"])
@pytest.mark.parametrize("plane", ["slice", "row", "column"])
def test_radiological_planes(plane, flip):
    """Right is on the left, front or head on top, whatever the storage order."""
    stored = axial()
    flipped = stored.isel({flip: slice(None, None, -1)})
    found = hv_image(flipped, plane=plane, orientation="radiological")
    _, picture = drawn(found[float(stored[plane][1])])
    expected = stored.isel({plane: 1}).values
    np.testing.assert_array_equal(picture, expected if plane == "slice" else expected[::-1])


def test_letters_of_planes():
    """Letters say where left, right, top and bottom of each plane are in the patient."""
    shown = scene(axial(), orientation="radiological")
    assert [plane.letters for plane in shown.planes] == [
        ("R", "L", "A", "P"),
        ("R", "L", "S", "I"),
        ("A", "P", "S", "I"),
    ]


def test_missing_slice_is_a_gap():
    """Where a slice is missing, cuts through the stack show a gap, not a neighbour's values."""
    gap = axial(shape=(6, 4, 4)).isel(slice=[0, 1, 3, 4, 5])
    _, picture = drawn(hv_image(gap, plane="row")[float(gap.row[0])])
    assert picture.shape[0] == 6
    assert np.isnan(picture).all(axis=1).tolist() == [False, False, False, True, False, False]


def test_colours_arrive_as_they_are():
    """Red stays red."""
    base = axial(shape=(1, 3, 4))
    red = xr.concat([base * 0 + v for v in (255, 10, 0)], xr.IndexVariable("rgb", ["R", "G", "B"]))
    _, picture = drawn(hv_image(red.transpose(..., "rgb").astype("u1")))
    assert picture.view(np.uint8).reshape(3, 4, 4)[0, 0].tolist() == [255, 10, 0, 255]


def test_window_survives_the_next_slice():
    """What the user dragged stays when the slice changes."""
    found = hv_image(axial(), window=(50, 20))
    plot = hv.renderer("bokeh").get_plot(found)
    mapper = plot.handles["color_mapper"]
    assert (mapper.low, mapper.high) == (40, 60)
    mapper.update(low=1, high=2)
    plot.update((39.0,))
    assert (mapper.low, mapper.high) == (1, 2)


def test_composes():
    """The picture takes part in overlays and layouts of HoloViews."""
    found = hv_image(axial()) * hv.Points([(0, 0)]) + hv_image(axial(), plane="row")
    assert isinstance(found, hv.Layout)
    hv.render(found, backend="bokeh")


def test_polygons_lie_on_the_structure():
    """A region shows in the slice in which it was drawn, at the mm of the coordinates, only."""
    like = axial(shape=(4, 20, 20))
    roi = Roi(name="a", contours=(ellipse(like, slice=33, row=(-15, 5), column=(-8, 0)),))
    found = polygons([roi], like, index=1)
    assert len(found) == 1
    assert len(polygons([roi], like, index=2)) == 0
    low, high = found.range("row")
    assert (low, high) == pytest.approx((-15, 5), abs=0.1)


class Stream:
    """What a draw stream of HoloViews has after something was drawn."""

    def __init__(self, **values):
        self.__dict__.update(values)


def test_draw_streams_become_regions():
    """Boxes of BoxEdit, on an oblique series, are the voxels between their edges."""
    like, _ = oblique_image()
    rows, columns = like.row.values, like.column.values
    box = Stream(
        data={
            "x0": [(columns[2] + columns[3]) / 2],
            "x1": [(columns[6] + columns[7]) / 2],
            "y0": [(rows[4] + rows[5]) / 2],
            "y1": [(rows[9] + rows[10]) / 2],
        }
    )
    inside = np.argwhere(mask(rois_of(box, like, index=2)[0], like).values)
    assert inside.min(axis=0).tolist() == [2, 5, 3]
    assert inside.max(axis=0).tolist() == [2, 9, 6]


@pytest.mark.parametrize(
    ("given", "sent"),
    [("f2", "f4"), ("f8", "f4"), ("c8", "f4"), ("?", "u1"), ("i8", "i4"), (">i2", "i2")],
)
def test_small_types_on_the_wire(given, sent):
    """What Bokeh would send as text, or twice as large, goes as a small native type."""
    values = np.array([[0, 1], [1, 0]]).astype(given)
    assert wire(values).dtype == np.dtype(sent)
    np.testing.assert_array_equal(wire(values), np.abs(values))


def test_memory_is_bounded():
    """A series larger than the bound is read by slices, and the oldest are forgotten."""
    source = SliceSource(scene(axial(shape=(20, 256, 256))), cache_mb=1)
    for k in range(20):
        source.plane((), 0, k)
        source.plane((), 1, k)
        assert source.nbytes <= 1 << 20


def test_cache_drops_the_oldest():
    """The least recently used array goes first."""
    cache = ByteCache(20)
    for key in "ab":
        cache.get(key, lambda: np.zeros(10, "u1"))
    cache.get("a", lambda: np.ones(10, "u1"))
    cache.get("c", lambda: np.zeros(10, "u1"))
    assert "a" in cache
    assert "b" not in cache


def test_no_picture():
    """An array without rows and columns says what is needed."""
    with pytest.raises(errors.OptionError, match="two of 'slice', 'row' and 'column'"):
        hv_image(xr.DataArray(np.zeros(3), dims="time"))
    with pytest.raises(errors.OptionError, match="is none of slice, row, column"):
        hv_image(axial(), plane="z")


def test_curve_follows_the_regions():
    """The curve of the viewer is plain HoloViews, in seconds, of the regions of the moment."""
    image = dynamic()
    shown = view(image)
    curve = shown.curve()
    assert list(curve[()].keys()) == ["no region"]
    outline = rectangle(image.isel(time=0), slice=39.0, row=(-19.0, -13.0), column=(-8.5, -6.5))
    shown.rois = [Roi(name="aorta", contours=(outline,))]
    line = curve[()]["aorta"]
    inside = (image.row > -19) & (image.row < -13) & (image.column > -8.5) & (image.column < -6.5)
    expected = image.sel(slice=39.0).where(inside).mean(["row", "column"])
    np.testing.assert_allclose(line.dimension_values(0), image.time)
    np.testing.assert_allclose(line.dimension_values(1), expected)
    with pytest.raises(errors.OptionError, match="none of time"):
        shown.curve("te")
