"""Pictures and pages that the viewer writes: right pixels, the same text as on the screen."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from viewer_browser import Screen, axial, browser, dynamic, eventually, opened

pytest.importorskip("panel")

from imagedata_xr.errors import OptionError, WriteError
from imagedata_xr.roi import Roi, rectangle
from imagedata_xr.viewer import captions, view


@pytest.fixture(scope="module")
def chromium():
    with browser() as started:
        yield started


def region(image):
    """Return a rectangle in the middle slice."""
    mm = float(image.slice[image.sizes["slice"] // 2])
    outline = rectangle(image, slice=mm, row=(4.5, 20.5), column=(5.0, 21.0))
    return Roi(name="r", color="#ff0000", contours=(outline,))


def pixels(path):
    from PIL import Image

    with Image.open(path) as taken:
        return np.asarray(taken.convert("RGB")).astype(int)


def test_picture_against_numpy(tmp_path):
    """Each voxel has the grey of the window, where it lies in the patient."""
    image = axial(spacing=(3.0, 1.0, 1.0)).isel(row=slice(None, None, -1))
    shown = view(image, window=(7000, 8000), orientation="radiological")
    shown.stage.param.update(smooth=False, hide_text=True)
    found = pixels(shown.snapshot(tmp_path / "x.png", size=50))
    assert found.shape == (40, 50, 3)
    stored = image.isel(slice=3).sortby("row").values
    expected = np.clip(np.floor((stored - 3000.0) / 8000 * 256), 0, 255)
    np.testing.assert_array_equal(found, np.repeat(expected[..., None], 3, axis=-1))


def test_picture_of_planes_with_regions_and_overlay(tmp_path):
    """Three planes stand beside each other; outlines and maps are where they are in the viewer."""
    image = axial(spacing=(1.0, 1.0, 1.0))
    labels = xr.zeros_like(image, dtype="u1")
    labels[3, 30:, 40:] = 1
    labels.attrs.update(SegmentNumber=[1], SegmentLabel=["a"], SegmentColor=["#0000ff"])
    shown = view(image, planes="orthogonal", overlay=labels, rois=[region(image)], window=(1e6, 10))
    shown.stage.param.update(smooth=False, hide_text=True)
    found = pixels(shown.snapshot(tmp_path / "x.png", size=100))
    assert found.shape == (80, 300, 3)
    # 2 screen pixels a voxel; the first voxel is at -20 (rows) and -10 (columns) mm.
    assert tuple(found[50, 40]) == (255, 0, 0)
    assert tuple(found[70, 90]) == (0, 0, 128)
    assert tuple(found[55, 60]) == (0, 0, 0)


def test_text_of_pictures_is_that_of_the_screen(chromium, tmp_path):
    """Saved pictures say which slice, time and window it is in the words of the page."""
    image = dynamic().assign_attrs(PatientName="A^B", SeriesDescription="dyn", SeriesNumber=4)
    shown = view(image, window=(456.567, 913.133))
    with opened(chromium, shown) as screen:
        screen.press("ArrowRight", "ArrowUp")
        eventually(lambda: shown.frame == {"time": 1} and shown.index["slice"] == 4)
        written = screen.page.locator(".bl").inner_text().split("\n")
    one = shown.series[0]
    lines = captions.place(one, 0, shown.stage.index[0][0], shown.stage.frame[0])
    assert [*lines, captions.window(*shown.stage.windows[0])] == written
    with_text = pixels(shown.snapshot(tmp_path / "a.png"))
    shown.stage.hide_text = True
    without = pixels(shown.snapshot(tmp_path / "b.png"))
    changed = (with_text != without).any(axis=-1)
    corners = changed[:60, :60], changed[:60, -60:], changed[-60:, :120]
    assert all(corner.any() for corner in corners)
    assert not changed[150:200, 100:500].any()


@pytest.mark.parametrize("mm", [0.037, 0.5, 1.0, 3.3])
def test_scale_bar(mm):
    """The bar is as long as it says, and fits."""
    length, text = captions.scale_bar(500, mm)
    assert length * mm == pytest.approx(float(text.removesuffix(" mm")), abs=mm / 2)
    assert 500 / 4 / 2.5 <= length + 1 <= 500 / 4 + 2


def test_names_and_places_of_files(tmp_path):
    """A suffix that is none and a folder that is not there leave nothing behind."""
    shown = view(axial(shape=(1, 4, 4)))
    with pytest.raises(OptionError, match=r"\.png"):
        shown.snapshot(tmp_path / "x.tif")
    with pytest.raises(OptionError, match=r"\.html"):
        shown.save(tmp_path / "x.txt")
    with pytest.raises(WriteError, match=r"x\.png"):
        shown.snapshot(tmp_path / "none" / "x.png")
    assert not list(tmp_path.iterdir())


def test_saved_page_asks_no_network(chromium, tmp_path):
    """A saved page loads nothing from anywhere, and hides numbers of regions that were changed."""
    image = axial()
    shown = view(image, rois=[region(image)])
    assert shown.table()["n"].tolist() == [128]
    path = shown.save(tmp_path / "page.html")
    page = chromium.new_page()
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    screen = Screen(page)
    table = screen.page.locator(".side table")
    assert "128" in table.inner_text()
    assert screen.root.evaluate("e => getComputedStyle(e).backgroundColor") == "rgb(13, 17, 23)"
    screen.press("b")
    screen.drag((25.0, 25.0), (35.0, 40.0))
    table.wait_for(state="hidden")
    screen.press("Control+z")
    table.wait_for()
    page.close()
    assert {url.partition(":")[0] for url in asked} <= {"file", "blob", "data"}
