"""A real browser for tests of the viewer."""

from __future__ import annotations

import io
import shutil
import time
from contextlib import contextmanager

import numpy as np
import pytest
import xarray as xr

from imagedata_xr.geometry import grid_from_affine
from imagedata_xr.index import position_coords

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
SIZE = {"width": 900, "height": 700}


def axial(shape=(6, 40, 50), spacing=(3.0, 2.0, 1.0), origin=(-10, -20, 30)):
    """Return an axial image, supine, each voxel of which has a value of its own."""
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2], affine[3, 3] = *spacing, 1
    affine[:3, 3] = origin
    coords = position_coords(grid_from_affine(affine, shape))
    values = np.arange(np.prod(shape)).reshape(shape).astype("i2")
    return xr.DataArray(values, coords=coords, dims=("slice", "row", "column"), name="image")


def dynamic(count=3, **options):
    """Return three volumes; 5000 are added at each time."""
    base = axial(**options)
    times = xr.IndexVariable("time", [2.5 * k for k in range(count)], {"units": "s"})
    return xr.concat([base + 5000 * k for k in range(count)], times)


@contextmanager
def browser():
    """Start Chromium, or skip."""
    sync_api = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        try:
            yield started
        finally:
            started.close()


class Screen:
    """A page that shows a viewer, and what a user does with it."""

    def __init__(self, page, view=None):
        self.page = page
        self.view = view
        self.root = page.locator(".imxr").first
        self.root.wait_for(timeout=20_000)
        self.until("() => document.fonts.ready.then(() => true)")
        self.ready()

    def until(self, script):
        return self.page.wait_for_function(script, timeout=10_000)

    def ready(self):
        """Wait until each visible pane shows its own picture."""
        deadline = time.monotonic() + 10
        script = "e => e.viewer.visible().every(p => p.size && p.shown === p.key())"
        while not self.root.evaluate(script):
            assert time.monotonic() < deadline, "the pictures did not come"
            self.page.wait_for_timeout(10)

    def js(self, script):
        """Evaluate a function of the viewer."""
        return self.root.evaluate(f"e => ({script})(e.viewer)")

    def shown(self, pane=0):
        """Return the pixels of a pane in array order: rows ascend in mm."""
        flat = self.js(f"v => Array.from(v.panes[{pane}].picture().image)")
        shape = self.js(f"v => v.panes[{pane}].picture().image.shape")
        return np.array(flat).reshape(shape)

    def at(self, x, y, pane=0):
        """Return where mm of a pane's plane are on the page."""
        script = f"v => v.panes[{pane}].toScreen({x}, {y})"
        px, py = self.js(script)
        box = self.page.locator(".pane").nth(pane).bounding_box()
        return box["x"] + px, box["y"] + py

    def drag(self, *places, pane=0, button="left", release=True):
        """Drag through places in mm."""
        mouse = self.page.mouse
        first, *others = [self.at(*place, pane=pane) for place in places]
        mouse.move(*first)
        mouse.down(button=button)
        for place in others:
            mouse.move(*place, steps=4)
        if release:
            mouse.up(button=button)

    def click(self, x, y, pane=0, **options):
        self.page.mouse.click(*self.at(x, y, pane=pane), **options)

    def press(self, *keys):
        for key in keys:
            self.page.keyboard.press(key)
        # A tool for drawing opens the panel beside the picture.
        self.page.evaluate("() => new Promise(r => requestAnimationFrame(() => setTimeout(r, 30)))")

    def colour(self, x, y, pane=0):
        """Return what a user sees at a place in mm."""
        from PIL import Image

        px, py = self.at(x, y, pane=pane)
        clip = {"x": px, "y": py, "width": 1, "height": 1}
        with Image.open(io.BytesIO(self.page.screenshot(clip=clip))) as seen:
            return seen.convert("RGB").getpixel((0, 0))


@contextmanager
def opened(started, view, size=None):
    """Serve a viewer and open it; errors of the page fail the test."""
    server = view.show(browser=False)
    page = started.new_page(viewport=size or SIZE)
    wrong = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    try:
        page.goto(server.url)
        yield Screen(page, view)
    finally:
        page.close()
        server.stop()
    assert not wrong, wrong


def eventually(check, seconds=10):
    """Wait until Python has heard of it."""
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.01)
