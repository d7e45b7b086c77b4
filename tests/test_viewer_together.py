"""Several pictures at once, and what is written over them, in a real browser."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from test_suv import opened as opened_pet
from test_suv import phantom as pet
from viewer_browser import axial, browser, dynamic, eventually, opened

from imagedata_xr.geometry import grid_from_affine
from imagedata_xr.index import position_coords
from imagedata_xr.suv import suv

pytest.importorskip("panel")

from imagedata_xr.viewer import view


@pytest.fixture(scope="module")
def chromium():
    with browser() as started:
        yield started


def inside_pane(screen, x, y, pane):
    """Return where mm are, pixels from the corner of the pane."""
    return np.array(screen.js(f"v => v.panes[{pane}].toScreen({x}, {y})"))


def test_zoom_and_move_are_linked(chromium):
    """Series of one patient show the same part of a plane, until the link is undone."""
    part = axial(shape=(6, 20, 25), origin=(5, 0, 30))
    with opened(chromium, view([axial(), part])) as screen:
        places = [(6.0, 2.0), (20.0, 30.0)]

        def apart():
            found = [[inside_pane(screen, *mm, pane) for mm in places] for pane in (0, 1)]
            return np.abs(np.subtract(*found)).max()

        assert apart() < 0.01
        screen.page.mouse.move(*screen.at(20, 30))
        screen.page.keyboard.down("Control")
        screen.page.mouse.wheel(0, -300)
        screen.page.keyboard.up("Control")
        screen.drag((20, 10), (12, 4), pane=1, button="middle")
        screen.until("() => true")
        assert screen.js("v => v.panes[0].zoom") > 1
        assert apart() < 0.01
        screen.page.get_by_role("button", name="Link").click()
        screen.press("+")
        assert apart() > 1
        screen.page.get_by_role("button", name="Link").click()
        assert apart() < 0.01


def test_planes_zoom_around_the_crosshair(chromium):
    """Three planes zoom together; the place of the crosshair stays where it is in the others."""
    with opened(chromium, view(axial(), planes="orthogonal")) as screen:
        screen.press("x")
        screen.click(20, 30)
        screen.ready()
        cross = "v => v.panes.map(p => p.toScreen(...p.crossing()))"
        before = screen.js(cross)
        screen.press("+", "+")
        np.testing.assert_allclose(screen.js(cross)[1:], before[1:], atol=0.01)
        assert len(set(screen.js("v => v.panes.map(p => p.zoom)"))) == 1
        screen.press("r")
        assert screen.js("v => v.panes.map(p => [p.zoom, p.center])") == [[1, None]] * 3


def test_touch_pad_does_not_race(chromium):
    """The many small movements of a touch pad make one step, a notch of a wheel does, too."""
    shown = view(axial())
    with opened(chromium, shown) as screen:
        screen.page.mouse.move(*screen.at(0, 0))
        for _ in range(10):
            screen.page.mouse.wheel(0, 4)
        screen.press("h")
        eventually(lambda: shown.index["slice"] == 4)
        screen.page.mouse.wheel(0, -120)
        eventually(lambda: shown.index["slice"] == 3)


def test_names_of_labels(chromium):
    """A label map has a legend of its names and colours, which goes with the overlay."""
    labels = xr.zeros_like(axial(), dtype="u1")
    labels[3, 5:20, 10:30] = 2
    names = {"SegmentNumber": [1, 2], "SegmentLabel": ["<i>gut</i>", "liver"]}
    labels.attrs.update(names, SegmentColor=["#00ff00", "#ff0000"])
    with opened(chromium, view(axial(), overlay=labels)) as screen:
        legend = screen.page.locator(".legend div")
        assert legend.all_inner_texts() == ["<i>gut</i>", "liver"]
        colour = legend.nth(1).locator("i").evaluate("e => getComputedStyle(e).backgroundColor")
        assert colour == "rgb(255, 0, 0)"
        screen.press("o")
        legend.first.wait_for(state="hidden")


def test_text_of_the_corners(chromium):
    """Dates, windows and places are written as people read them."""
    image = xr.concat([axial()] * 3, "volume").assign_coords(b=("volume", [0.0, 500.0, 1000.0]))
    image.attrs.update(StudyDate="20240229", PatientName="A^B", units="BQML")
    with opened(chromium, view(image, window=(456.567, 913.133))) as screen:
        screen.press("ArrowRight")
        left = screen.page.locator(".bl").inner_text().split("\n")
        assert left[1:] == ["volume 2/3", "b 500 s/mm²", "W 913  C 457"]
        assert screen.page.locator(".tl").inner_text() == "A^B\n2024-02-29"
        screen.page.mouse.move(*screen.at(-10, -20))
        assert screen.page.locator(".br").inner_text().split("\n")[1:] == [
            "-10.0, -20.0, 39.0 mm",
            "6000 Bq/ml",
        ]


def test_sheared_planes_say_so(chromium):
    """Cuts through a stack with gantry tilt are no true shapes: the picture says it."""
    affine = np.array([[0, 0, 1.0, 0], [-0.75, 2, 0, 0], [3, 0, 0, 0], [0, 0, 0, 1]])
    coords = position_coords(grid_from_affine(affine, (6, 40, 50)))
    tilted = xr.DataArray(axial().values, coords=coords, dims=("slice", "row", "column"))
    with opened(chromium, view(tilted, planes="orthogonal")) as screen:
        texts = screen.page.locator(".bl").all_inner_texts()
    assert ["sheared" in text for text in texts] == [False, False, True]
    assert "76°" in texts[2] or "104°" in texts[2]


def test_table_of_regions(chromium):
    """Under the name of each region stand all its numbers, percentiles too."""
    shown = view(axial())
    with opened(chromium, shown) as screen:
        screen.press("b")
        screen.drag((4.5, 5.0), (20.5, 21.0))
        eventually(lambda: shown.stage.table)
        screen.page.locator(".side tr.name").get_by_text("region 1").wait_for()
        numbers = screen.page.locator(".side table tr").nth(2).locator("td").all_inner_texts()
    row = shown.table().iloc[0]
    names = ["n", "volume_ml", "mean", "sd", "min", "p5", "median", "p95", "max"]
    assert [float(text) for text in numbers] == pytest.approx(list(row[names]), rel=5e-4)


def test_outlines_follow_over_time(chromium):
    """Outlines that hold at one time are copied to the next, where they are moved."""
    shown = view(dynamic())
    with opened(chromium, shown) as screen:
        screen.press("b")
        screen.page.get_by_role("button", name="Per frame").click()
        screen.drag((4.5, 5.0), (20.5, 21.0))
        screen.press("Shift+ArrowRight", "s")
        screen.drag((12.0, 13.0), (14.0, 13.0))
        eventually(lambda: len(shown.rois) and shown.mask.sizes.get("time") == 3)
        eventually(lambda: shown.mask.sel(time=2.5).any())
        inside = shown.mask.transpose("time", ...).values
        assert shown.frame == {"time": 1}
    assert not inside[2].any()
    np.testing.assert_array_equal(inside[1, :, :, 2:], inside[0, :, :, :-2])


def test_place_beyond_a_series(chromium):
    """Where a linked series has no slice, its nearest one is dimmed and says so."""
    lower = axial().isel(slice=slice(0, 3))
    with opened(chromium, view([axial(), lower])) as screen:
        screen.press("End")
        screen.page.locator(".notice").get_by_text("beyond the series").wait_for()
        dimmed = "e => getComputedStyle(e).opacity"
        assert [one.evaluate(dimmed) for one in screen.page.locator(".plot").all()] == ["1", "0.3"]


def test_suv_of_pet(chromium, tmp_path):
    """Activity is read out as SUV, too, and the presets of SUV are windows of it."""
    image = opened_pet(pet(), tmp_path / "pet")
    expected = float(suv(image)[1, 2, 3])
    shown = view(image)
    with opened(chromium, shown) as screen:
        place = (float(image.column[3]), float(image.row[2]))
        screen.press("Home", "ArrowUp")
        screen.page.mouse.move(*screen.at(*place))
        text = screen.page.locator(".br").get_by_text("SUV")
        text.wait_for()
        lines = text.inner_text().split("\n")
        assert float(lines[-1].removeprefix("SUV ")) == pytest.approx(expected, rel=5e-3)
        presets = [one["name"] for one in shown.series[0].about["presets"]]
        screen.press(str(presets.index("SUV 0-5") + 1))
        eventually(lambda: shown.window[1] == pytest.approx(5 * float(image[1, 2, 3]) / expected))
    del image.attrs["units"]
    assert not any("SUV" in one["name"] for one in view(image).series[0].about["presets"])


def test_speed_of_cine(chromium):
    """Heart beats run as fast as they were taken, slow series at ten a second, or as chosen."""
    beat = dynamic().assign_coords(time=("time", [0.0, 0.05, 0.1], {"units": "s"}))
    with opened(chromium, view([beat, dynamic() + 1])) as screen:
        assert screen.js("v => v.panes.map(p => v.rate(p))") == [pytest.approx(20), 10]
        screen.page.get_by_title("Pictures a second").select_option("30/s")
        assert screen.js("v => v.panes.map(p => v.rate(p))") == [30, 30]


def test_pages_and_long_steps(chromium):
    """Pages turn with control and the arrows, Home and End; shift and page keys leap 10 slices."""
    tall = axial(shape=(30, 8, 10))
    shown = view([tall, tall + 1, tall + 2], per_page=1)
    with opened(chromium, shown) as screen:
        pages = []
        for key in ("Control+ArrowRight", "Control+End", "Control+ArrowLeft", "Control+Home"):
            screen.press(key)
            pages.append(screen.js("v => [v.state.page, v.visible()[0].number]"))
        assert pages == [[1, 1], [2, 2], [1, 1], [0, 0]]
        slices = []
        for key in ("Home", "Shift+PageDown", "Shift+PageDown", "Shift+PageUp"):
            screen.press(key)
            slices.append(screen.js("v => v.panes[0].index"))
        assert slices == [0, 10, 20, 10]
    with opened(chromium, view(tall)) as screen:
        screen.press("Home", "PageDown")
        assert screen.js("v => v.panes[0].index") == 10


def test_help_full_screen_and_bars(chromium):
    """The help opens and closes with ?, F fills the screen, k shows the colour bar in units."""
    image = axial().assign_attrs(units="HU")
    with opened(chromium, view(image, window=(40, 400))) as screen:
        screen.press("?")
        aid = screen.page.locator(".help")
        for words in ("full screen", "cine on, off", "copy the selected outline", "polygon"):
            aid.get_by_text(words, exact=True).wait_for()
        screen.press("Escape")
        aid.wait_for(state="hidden")
        screen.press("k")
        screen.page.locator(".bartext").get_by_text("240 HU").wait_for()
        screen.press("F")
        screen.until("() => document.fullscreenElement !== null")
        box = screen.root.bounding_box()
        screen.press("F")
        screen.until("() => document.fullscreenElement === null")
        assert box["x"] == box["y"] == 0
        screen.press("m")
        assert screen.js("v => v.state.crosshair") is True


def test_rulers_are_deleted(chromium):
    """Delete takes the last ruler, where no outline is selected."""
    with opened(chromium, view(axial())) as screen:
        screen.press("l")
        screen.drag((0, 0), (20, 0))
        screen.drag((0, 10), (20, 10))
        screen.press("Delete")
        assert screen.js("v => v.panes[0].marks.map(m => Math.round(m.points[0][1]))") == [0]


def test_map_with_opacity_and_threshold(chromium):
    """A parametric map shines through as much as is chosen, and only from a chosen value on."""
    image = axial() * 0
    upper = (image + np.linspace(0, 100, 50, dtype="f4")).where(image.row < 30).rename("ktrans")
    shown = view(image, overlay=upper, overlay_cmap="gray", window=(0, 10))
    with opened(chromium, shown) as screen:
        bar = screen.page.locator(".bars")
        screen.js("v => v.state.set('smooth', false)")

        def slide(title, value):
            slider = bar.get_by_title(title)
            script = "(e, v) => { e.value = v; e.dispatchEvent(new Event('input')) }"
            slider.evaluate(script, value)
            screen.press("h")

        slide("Opacity of the overlay", 100)
        dark, bright = screen.colour(0, 0)[0], screen.colour(35, 0)[0]
        assert bright > 220
        assert 20 < dark < 60
        assert screen.colour(35, 50) == (128, 128, 128)
        slide("Lowest value of the overlay that is shown", 50)
        assert screen.colour(0, 0) == (128, 128, 128)
        slide("Opacity of the overlay", 0)
        assert screen.colour(35, 0) == (128, 128, 128)


def test_regions_in_another_plane(chromium):
    """What is drawn in a coronal cut are the voxels of that row, and the table has them."""
    image = axial()
    shown = view(image, planes="orthogonal")
    with opened(chromium, shown) as screen:
        row = screen.js("v => v.panes[1].index")
        screen.press("b")
        screen.drag((4.5, 34.4), (14.5, 43.6), pane=1)
        eventually(lambda: shown.stage.table)
        expected = np.zeros(image.shape, dtype=bool)
        expected[2:5, row, 15:25] = True
        np.testing.assert_array_equal(shown.mask, expected)
        assert shown.table()["mean"][0] == pytest.approx(image.values[expected].mean())


def test_series_of_other_patients_are_not_linked():
    """One frame of reference, or one patient without any, is one space; nobody else shares it."""
    one, other = axial().assign_attrs(PatientID="a"), axial().assign_attrs(PatientID="b")
    framed = axial().assign_attrs(PatientID="a", FrameOfReferenceUID="1.2.3")
    bare = axial().drop_vars(["slice", "row", "column"])
    images = [one, other, one + 1, framed, framed.assign_attrs(PatientID=""), bare]
    found = [shown.about["space"] for shown in view(images, per_page=9).series]
    assert found == ["0", "1", "0", "3", "3", ""]
