"""
Take the pictures of the viewer's page: the built-in phantom in Chromium, used as a user would.

Needs Chromium and playwright: ``python docs/images/make_viewer.py``.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from PIL import Image
from playwright.sync_api import sync_playwright

import imagedata_xr
from imagedata_xr.roi import Roi, ellipse
from imagedata_xr.testing import Head, Phantom, write_series

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

    from imagedata_xr.viewer import Viewer

OUT = Path(__file__).parent
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]


def series(
    folder: str, shape: tuple[int, int, int], spacing: tuple[float, float, float]
) -> xr.DataArray:
    """Write the phantom as DICOM files, and open them."""
    phantom = Phantom(
        axes={"time": np.arange(0, 102.5, 5).tolist()},
        shape=shape,
        spacing=spacing,
        origin=(-96.0, -114.0, -20.0),
        value=Head(scale=12000.0),
        noise=28.0,
        attributes={"SeriesDescription": "fl3d_dynamic", "SeriesNumber": 4},
    )
    write_series(phantom, folder)
    return xr.open_dataarray(folder, engine="dicom").load()


def screenshot(view: Viewer, name: str, act: Callable[[Page], None], size: tuple[int, int]) -> None:
    """Open a viewer, do something in it, and keep a picture of the page."""
    server = view.show(browser=False)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        page = browser.new_page(viewport={"width": size[0], "height": size[1]})
        page.goto(server.url)
        page.locator(".imxr").wait_for()
        page.wait_for_timeout(1000)
        act(page)
        page.wait_for_timeout(1000)
        page.screenshot(path=OUT / name)
        browser.close()
    server.stop()
    with Image.open(OUT / name) as taken:
        taken.convert("RGB").save(OUT / name, optimize=True)


def regions(image: xr.DataArray) -> list[Roi]:
    """Return what the page begins with."""
    at = {"slice": float(image.slice[2])}
    lesion = ellipse(image.isel(time=0), row=(-41, -19), column=(32, 54), **at)
    sinus = ellipse(image.isel(time=0), row=(77, 87), column=(-5, 5), **at)
    return [
        Roi(name="lesion", color="#56b4e9", contours=(lesion,)),
        Roi(name="sagittal sinus", color="#e69f00", contours=(sinus,)),
    ]


def main() -> None:
    """Take all pictures."""
    with tempfile.TemporaryDirectory() as folder:
        image = series(folder, (5, 208, 176), (8.0, 1.1, 1.1))
    view = imagedata_xr.view(image, rois=regions(image))

    def dynamic(page: Page) -> None:
        for _ in range(7):
            page.keyboard.press("ArrowRight")
        page.mouse.move(330, 380)

    screenshot(view, "viewer.png", dynamic, (1000, 680))
    with tempfile.TemporaryDirectory() as folder:
        image = series(folder, (40, 104, 88), (2.2, 2.2, 2.2))
    # Unsigned numbers would wrap where the signal falls.
    peak = image.isel(time=6).astype("float32") - image.isel(time=0)
    planes = imagedata_xr.view(
        image,
        planes="orthogonal",
        overlay=peak.where(peak > 150).rename("enhancement"),
        overlay_cmap="hot",
    )

    def cross(page: Page) -> None:
        page.keyboard.press("x")
        page.mouse.click(352, 362)
        page.mouse.move(356, 366)

    screenshot(planes, "viewer-planes.png", cross, (1000, 820))


if __name__ == "__main__":
    main()
