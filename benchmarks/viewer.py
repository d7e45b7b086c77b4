"""
Time from an event in the browser to changed pixels on its screen, for the viewer.

Prints a table in Markdown. Needs Chromium and playwright.

    python benchmarks/viewer.py --slices 300 --size 512 --rounds 20
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

import dask.array as da
import numpy as np
import xarray as xr
from playwright.sync_api import sync_playwright

from imagedata_xr.geometry import grid_from_affine
from imagedata_xr.index import position_coords
from imagedata_xr.viewer import view

FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]

# In the page: dispatch an event, then look at one pixel of Bokeh's canvas each screen refresh.
MEASURE = """
(canvas, make) => new Promise((resolve, reject) => {
  const context = canvas.getContext('2d')
  const [x, y] = [canvas.width >> 1, canvas.height >> 1]
  const look = () => context.getImageData(x, y, 1, 1).data.join()
  const before = look(), start = performance.now()
  eval(make)
  const wait = () => {
    if (look() !== before) return resolve(performance.now() - start)
    if (performance.now() - start > 3000) return reject(new Error('nothing changed'))
    requestAnimationFrame(wait)
  }
  requestAnimationFrame(wait)
})
"""
KEY = "window.root.dispatchEvent(new KeyboardEvent('keydown', {key: '%s', bubbles: true}))"
DRAG = """
(() => {
  const layer = window.root.querySelector('.layer'), box = layer.getBoundingClientRect()
  const at = (type, x, y) => layer.dispatchEvent(new PointerEvent(type, {
    clientX: box.left + x, clientY: box.top + y, button: 0, pointerId: 1, bubbles: true}))
  window.turn = !window.turn
  at('pointermove', 320, window.turn ? 260 : 180)
})()
"""


def volume(folder, slices, size):
    """Return a CT of noise, one chunk a slice, in a file of the size of the series."""
    path = Path(folder) / "volume.npy"
    stored = np.lib.format.open_memmap(path, mode="w+", dtype="i2", shape=(slices, size, size))
    rng = np.random.default_rng(1)
    for k in range(slices):
        stored[k] = rng.integers(-1000, 1000, (size, size))
        # The pixel that is looked at differs from slice to slice.
        stored[k, size // 2 - 8 : size // 2 + 8, size // 2 - 8 : size // 2 + 8] = (
            200 * (k % 7) - 600
        )
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2], affine[3, 3] = 1, 0.8, 0.8, 1
    coords = position_coords(grid_from_affine(affine, stored.shape))
    lazy = da.from_array(stored, chunks=(1, size, size))
    return xr.DataArray(lazy, coords=coords, dims=("slice", "row", "column"), attrs={"units": "HU"})


def measure(page, make, rounds, before=None):
    """Return the times of some events, ms."""
    canvas = page.locator(".plot canvas").first
    times = []
    for _ in range(rounds):
        if before:
            before()
        page.wait_for_timeout(250)
        times.append(canvas.evaluate(MEASURE, make))
    return times


def row(name, times):
    """Return one line of the table."""
    numbers = (statistics.median(times), min(times), max(times))
    return f"| {name} | " + " | ".join(f"{number:.0f}" for number in numbers) + " |"


def main():
    """Run all cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("--slices", 300), ("--size", 512), ("--rounds", 20)):
        parser.add_argument(name, type=int, default=default)
    options = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("there is no Chromium")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        image = volume(folder, options.slices, options.size)
        server = view(image, window=(0, 2000)).show(browser=False)
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page(viewport={"width": 1000, "height": 900})
        page.goto(server.url)
        root = page.locator(".imxr")
        root.wait_for()
        root.evaluate("e => { window.root = e }")
        page.wait_for_timeout(1500)
        forget = (
            "e => { const s = e.viewer.store; s.pictures.clear(); s.asked.clear(); s.bytes = 0 }"
        )
        lines = [
            (
                f"{options.slices} slices of {options.size} x {options.size} int16, Chromium "
                f"{browser.version} without a GPU, {options.rounds} events each, ms"
            ),
            "",
            "| event | median | least | most |",
            "|---|---:|---:|---:|",
            row(
                "next slice, in the browser's memory",
                measure(page, KEY % "ArrowUp", options.rounds),
            ),
        ]
        root.evaluate("e => { e.viewer.model.ahead = 0 }")
        lines.append(
            row(
                "next slice, from Python",
                measure(page, KEY % "ArrowDown", options.rounds, lambda: root.evaluate(forget)),
            )
        )
        box = page.locator(".layer").bounding_box()
        page.mouse.move(box["x"] + 320, box["y"] + 220)
        page.mouse.down()
        page.evaluate(
            """() => { const send = WebSocket.prototype.send; window.sent = 0
            WebSocket.prototype.send = function (d) { window.sent++; return send.call(this, d) } }"""
        )
        lines.append(row("window drag", measure(page, DRAG, options.rounds)))
        lines.append(f"\nMessages to the server during the drag: {page.evaluate('window.sent')}")
        browser.close()
        server.stop()
    print("\n".join(lines))


if __name__ == "__main__":
    main()
