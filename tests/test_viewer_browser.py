"""The viewer in a real browser: what a user does, what is on the screen, what Python has."""

from __future__ import annotations

import re

import numpy as np
import pytest
import xarray as xr
from viewer_browser import Screen, axial, browser, dynamic, eventually, opened

from imagedata_xr.geometry import grid_from_affine
from imagedata_xr.index import position_coords

pytest.importorskip("panel")

from imagedata_xr.viewer import view


@pytest.fixture(scope="module")
def chromium():
    with browser() as started:
        yield started


def test_wheel_and_keys(chromium):
    """Wheel and arrows step through slices and times; the pixels are those of the array."""
    image = dynamic()
    shown = view(image)
    with opened(chromium, shown) as screen:
        screen.page.mouse.move(*screen.at(0, 0))
        screen.page.mouse.wheel(0, 100)
        screen.press("ArrowUp", "ArrowRight")
        screen.ready()
        np.testing.assert_array_equal(screen.shown(), image.values[1, 5])
        eventually(lambda: (shown.index["slice"], shown.frame) == (5, {"time": 1}))
        screen.press("Home", "ArrowUp")
        screen.page.keyboard.down("Shift")
        screen.page.mouse.wheel(0, 100)
        screen.page.keyboard.up("Shift")
        screen.ready()
        np.testing.assert_array_equal(screen.shown(), image.values[2, 1])
        shown.stage.index = [[4, 20, 25]]
        eventually(lambda: screen.js("v => v.panes[0].index") == 4)


def test_picture_is_the_right_way_round(chromium):
    """A bright voxel is seen where its patient position is, and the letters name the sides."""
    image = axial().copy(data=np.zeros((6, 40, 50), "i2"))
    image[3, 5:8, 10:14] = 1000
    with opened(chromium, view(image, window=(500, 1000))) as screen:
        assert screen.colour(2, -8) == (255, 255, 255)
        assert screen.colour(2, 20) == (0, 0, 0)
        right, down = screen.at(2, -8)
        middle, center = screen.at(14.5, 19)
        assert right < middle
        assert down < center
        letters = screen.page.locator(".letter").all_text_contents()
        assert letters == ["R", "L", "A", "P"]


def test_window_drag_sends_nothing(chromium):
    """While the window is dragged no byte goes over the wire; Python hears of the end."""
    shown = view(axial(), window=(6000, 12000))
    sent = []
    with opened(chromium, shown) as screen:
        screen.page.wait_for_timeout(600)
        script = """() => { const send = WebSocket.prototype.send; window.sent = 0
            WebSocket.prototype.send = function (d) { window.sent += 1; return send.call(this, d) } }"""
        screen.page.evaluate(script)
        screen.drag((0, 0), (20, 10), (25, 0), release=False)
        sent.append(screen.page.evaluate("() => window.sent"))
        dark = screen.colour(0, 50)
        screen.page.mouse.up()
        eventually(lambda: shown.window != (6000, 12000))
        sent.append(screen.page.evaluate("() => window.sent"))
        assert shown.window[1] > 12000
        assert screen.js("v => [v.panes[0].mapper.low, v.panes[0].mapper.high]") == (
            pytest.approx(
                [shown.window[0] - shown.window[1] / 2, sum(shown.window) - shown.window[1] / 2]
            )
        )
    assert sent[0] == 0
    assert sent[1] > 0
    assert dark != (255, 255, 255)


def test_right_drag_windows_in_every_tool(chromium):
    """The right button changes the window while a drawing tool is chosen, and draws nothing."""
    shown = view(axial())
    before = shown.window
    with opened(chromium, shown) as screen:
        screen.press("e")
        screen.drag((0, 0), (15, 5), button="right")
        eventually(lambda: shown.window != before)
    assert shown.rois == []


def test_read_out(chromium):
    """Index, patient position and value under the cursor are those of the array."""
    image = dynamic().assign_attrs(units="HU")
    with opened(chromium, view(image)) as screen:
        screen.press("ArrowRight")
        screen.page.mouse.move(*screen.at(7.2, 11.5))
        screen.page.wait_for_function("() => true")
        screen.ready()
        text = screen.page.locator(".br")
        text.get_by_text("HU").wait_for()
        value = int(image.isel(time=1, slice=3, row=16, column=17))
        assert text.text_content().split("\n") == [
            "[3, 16, 17]",
            "7.2, 11.5, 39.0 mm",
            f"{value} HU",
        ]


def test_presets_and_looks(chromium):
    """Number keys set the presets of CT, w the percentiles, i inverts, h hides all text."""
    shown = view(axial().assign_attrs(units="HU"))
    with opened(chromium, shown) as screen:
        screen.press("2")
        eventually(lambda: shown.window == (-600, 1500))
        assert screen.colour(0, 50) == (255, 255, 255)
        screen.press("i")
        eventually(lambda: shown.stage.looks[0]["invert"])
        assert screen.colour(0, 50) == (0, 0, 0)
        screen.press("w")
        eventually(lambda: shown.window[0] > 5000)
        screen.press("h")
        screen.page.locator(".bl").wait_for(state="hidden")
        assert not screen.page.locator(".letter").first.is_visible()
        screen.press("?")
        assert screen.page.locator(".help").is_visible()


def test_orthogonal_planes_follow_the_crosshair(chromium):
    """A click in one plane moves both others to that voxel."""
    image = axial()
    shown = view(image, planes="orthogonal")
    with opened(chromium, shown) as screen:
        screen.press("x")
        screen.click(5.0, 12.0)
        screen.ready()
        eventually(lambda: shown.index == {"slice": 3, "row": 16, "column": 15})
        np.testing.assert_array_equal(screen.shown(1), image.values[:, 16])
        np.testing.assert_array_equal(screen.shown(2), image.values[:, :, 15])
        screen.click(7.0, 42.0, pane=1)
        eventually(lambda: shown.index == {"slice": 4, "row": 16, "column": 17})


def test_series_are_linked_in_the_patient(chromium):
    """Series of other slice distances show the same place, and pages turn."""
    thick = axial(shape=(3, 20, 25), spacing=(6.0, 4.0, 2.0))
    shown = view([axial(), thick, thick + 1], per_page=2)
    with opened(chromium, shown) as screen:
        screen.press("Home", "ArrowUp", "ArrowUp")
        screen.ready()
        eventually(lambda: [one[0] for one in shown.stage.index] == [2, 1, 1])
        np.testing.assert_array_equal(screen.shown(1), thick.values[1])
        screen.press("PageDown")
        screen.ready()
        assert screen.page.locator(".pane:visible").count() == 1
        np.testing.assert_array_equal(screen.shown(2), thick.values[1] + 1)


def test_overlay_labels(chromium):
    """A label map shows in the colours of its labels, nothing where it is 0, and can be hidden."""
    image = axial()
    labels = xr.zeros_like(image, dtype="u1")
    labels[3, 5:20, 10:30] = 2
    labels.attrs.update(
        SegmentNumber=[1, 2], SegmentLabel=["a", "liver"], SegmentColor=["#00ff00", "#ff0000"]
    )
    shown = view(image, overlay=labels, window=(-20000, 10))
    with opened(chromium, shown) as screen:
        assert screen.colour(10, 0) == (255, 127, 127)
        assert screen.colour(30, 40) == (255, 255, 255)
        screen.page.mouse.move(*screen.at(10, 0))
        screen.page.locator(".br").get_by_text("liver").wait_for()
        screen.press("o")
        eventually(lambda: not shown.stage.looks[0]["overlay"]["visible"])
        assert screen.colour(10, 0) == (255, 255, 255)


def test_colour_series(chromium):
    """Red is red on the screen and in the read-out."""
    base = axial(shape=(2, 30, 30)) * 0
    rgb = xr.concat([base + v for v in (200, 10, 30)], xr.IndexVariable("rgb", ["R", "G", "B"]))
    with opened(chromium, view(rgb.transpose(..., "rgb").astype("u1"))) as screen:
        assert screen.colour(0, 0) == (200, 10, 30)
        screen.page.mouse.move(*screen.at(0, 0))
        screen.page.locator(".br").get_by_text("200, 10, 30").wait_for()


def test_voxel_curve(chromium):
    """The curve of the voxel under the cursor has its values at all times."""
    image = dynamic()
    with opened(chromium, view(image)) as screen:
        screen.press("t")
        screen.page.mouse.move(*screen.at(7.2, 11.5))
        screen.page.mouse.move(*screen.at(7.3, 11.5))
        expected = image[:, 3, 16, 17].values.tolist()
        eventually(lambda: screen.js("v => v.side.voxel") == expected)
        assert screen.page.locator(".side svg").nth(1).is_visible()


def test_sliders_and_dimensions(chromium):
    """A 5-D array has a slider for each dimension; n chooses the one that arrows step along."""
    echoes = xr.IndexVariable("te", [5.0, 10.0, 20.0, 40.0], {"units": "ms"})
    image = xr.concat([dynamic() + k for k in range(4)], echoes)
    shown = view(image.transpose("time", "te", ...))
    with opened(chromium, shown) as screen:
        screen.press("n", "ArrowRight", "ArrowRight")
        eventually(lambda: shown.frame == {"time": 0, "te": 2})
        slider = screen.page.locator("input[data-dimension=time]")
        slider.fill("2")
        eventually(lambda: shown.frame == {"time": 2, "te": 2})
        screen.ready()
        np.testing.assert_array_equal(screen.shown(), dynamic().values[2, 3] + 2)
        assert "20 ms" in screen.page.locator(".bl").text_content()


def test_cine(chromium):
    """The space bar runs through the times, over the end, and stops."""
    image = dynamic()
    with opened(chromium, view(image)) as screen:
        seen = set()
        screen.press(" ")
        eventually(lambda: seen.add(screen.js("v => v.panes[0].frame[0]")) or seen == {0, 1, 2})
        screen.press(" ")
        still = screen.js("v => v.panes[0].frame[0]")
        screen.page.wait_for_timeout(300)
        assert screen.js("v => v.panes[0].frame[0]") == still


def test_ruler_and_angle(chromium):
    """Lengths and angles are those in the patient, also where rows and slices are not square."""
    tilt = np.deg2rad(20)
    affine = np.eye(4)
    affine[:3, :3] = [[0, 0, 1], [2 * np.sin(tilt), 2, 0], [2 * np.cos(tilt), 0, 0]]
    coords = position_coords(grid_from_affine(affine, (30, 40, 50)))
    image = axial(shape=(30, 40, 50)).drop_vars(("slice", "row", "column")).assign_coords(coords)
    with opened(chromium, view(image, planes=["column"])) as screen:
        rows, slices = image.row.values, image.slice.values
        screen.press("l")
        a, b = [screen.js(f"v => [v.panes[0].plane.across, {k}]")[0] for k in range(2)]
        assert a == b == 1
        screen.drag((rows[5], slices[5]), (rows[25], slices[20]))
        first, last = (affine @ [20, 25, 0, 1])[:3], (affine @ [5, 5, 0, 1])[:3]
        points = screen.js("v => v.measure(v.panes[0], v.panes[0].marks[0].points)")
        assert float(points.split()[0]) == pytest.approx(np.linalg.norm(first - last), abs=0.2)
        screen.press("a")
        for r, s in ((5, 20), (5, 5), (25, 5)):
            screen.click(rows[r], slices[s])
        up, along = affine[:3, 0], affine[:3, 1]
        cosine = up @ along / np.linalg.norm(up) / np.linalg.norm(along)
        text = screen.js("v => v.measure(v.panes[0], v.panes[0].marks[1].points)")
        assert float(text[:-1]) == pytest.approx(np.rad2deg(np.arccos(cosine)), abs=1)


def test_plain_holoviews(chromium, tmp_path):
    """The image as plain HoloViews: dragging changes the window, hovering shows the voxel."""
    hv = pytest.importorskip("holoviews")
    image = axial()
    hv.save(image.isel(slice=3).med.hv(width=300), tmp_path / "plain.html", resources="inline")
    page = chromium.new_page()
    page.route("http*://**", lambda route: route.abort())
    page.goto((tmp_path / "plain.html").as_uri())
    canvas = page.locator("canvas").first
    canvas.wait_for()
    page.wait_for_timeout(300)
    find = """() => { const all = [...Bokeh.documents[0]._all_models.values()]
        const mapper = all.find((m) => m.type === 'LinearColorMapper')
        return [mapper.low, mapper.high] }"""
    low, high = page.evaluate(find)
    corner = canvas.bounding_box()
    x, y = corner["x"] + 140, corner["y"] + 140
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 60, y, steps=5)
    page.mouse.up()
    after = page.evaluate(find)
    assert after[1] - after[0] > 1.1 * (high - low)
    page.mouse.move(x + 20, y + 20)
    tip = page.locator(".bk-Tooltip").first
    tip.get_by_text("value").wait_for()
    text = tip.evaluate("e => e.shadowRoot.textContent")
    row, column = (int(k) for k in re.search(r"index:\s*0, (\d+), (\d+)", text).groups())
    assert f"value:{image.values[3, row, column]}" in text.replace(" ", "")
    position = [float(mm) for mm in re.search(r"mm:\s*([-\d., ]+)", text)[1].split(",")]
    np.testing.assert_allclose(position, [column - 10, 2 * row - 20, 39], atol=1.05)
    page.close()


def test_hostile_text_stays_text(chromium):
    """Markup in header text is shown, not run."""
    evil = "<img src=x onerror=\"document.title='run'\"><b>X</b>"
    image = dynamic().assign_attrs(PatientName=evil, SeriesDescription=evil, units=evil)
    with opened(chromium, view(image)) as screen:
        screen.page.mouse.move(*screen.at(0, 0))
        assert evil in screen.page.locator(".tl").text_content()
        screen.page.locator(".br").get_by_text(evil).wait_for()
        assert screen.page.locator(".imxr img, .imxr b").count() == 0
        assert screen.page.title() != "run"


def test_saved_page(chromium, tmp_path):
    """A saved page shows every slice and time without Python; phi=False keeps the name out."""
    image = dynamic().assign_attrs(PatientName="Nobody^Secret")
    path = view(image, phi=False).save(tmp_path / "page.html")
    assert "Secret" not in path.read_text(encoding="utf-8")
    page = chromium.new_page()
    page.goto(path.as_uri())
    screen = Screen(page)
    screen.press("ArrowUp", "ArrowRight")
    screen.ready()
    np.testing.assert_array_equal(screen.shown(), image.values[1, 4])
    before = screen.js("v => v.panes[0].mapper.high - v.panes[0].mapper.low")
    screen.drag((0, 0), (20, 0))
    assert screen.js("v => v.panes[0].mapper.high - v.panes[0].mapper.low") > 1.2 * before
    page.close()


def test_names_of_bokeh(chromium):
    """Every private name of BokehJS that the viewer uses does what it is used for."""
    with opened(chromium, view(axial())) as screen:
        assert screen.js("v => v.panes[0].smoothing") is True
        box = screen.js("v => v.frameBox(v.panes[0].figure)")
        size = screen.js("v => v.panes[0].size")
        assert box == [0, 0, *size]
        pane = screen.page.locator(".pane").bounding_box()
        drawn = screen.page.locator(".plot canvas").first.bounding_box()
        assert drawn == pytest.approx(pane, abs=0.5)
        # Bokeh's own arithmetic of the ranges says the same as ours.
        x0, x1 = screen.js("v => [v.panes[0].figure.x_range.start, v.panes[0].figure.x_range.end]")
        assert screen.js(f"v => v.panes[0].toScreen({x0}, 0)[0]") == pytest.approx(0, abs=1e-6)
        assert screen.js(f"v => v.panes[0].toScreen({x1}, 0)[0]") == pytest.approx(size[0])


def test_hard_and_smooth_pixels(chromium):
    """Between a dark and a bright voxel there is grey only where pixels are smooth."""
    image = axial(shape=(1, 4, 4)).copy(data=np.zeros((1, 4, 4), "i2"))
    image[0, :, 2:] = 1000
    shown = view(image, window=(500, 1000))
    with opened(chromium, shown) as screen:
        assert 0 < screen.colour(-8.4, -16)[0] < 255
        screen.press("u")
        eventually(lambda: not shown.stage.smooth)
        assert [screen.colour(x, -16)[0] for x in (-8.54, -8.46)] == [0, 255]


def test_path_cannot_be_guessed(chromium):
    """Without the random path the server shows nothing, and it listens on this machine only."""
    server = view(axial()).show(browser=False)
    page = chromium.new_page()
    try:
        root = server.url.rsplit("/", 1)[0]
        assert server.url.startswith("http://127.0.0.1:")
        assert page.goto(root).status == 404
        assert "imxr" not in page.content()
        assert server.url.rsplit("/", 1)[1] not in page.content()
    finally:
        page.close()
        server.stop()
