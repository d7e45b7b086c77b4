"""The viewer in JupyterLab: a real notebook in a real browser, without a network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from viewer_browser import Screen, browser

pytest.importorskip("panel")

SLOW = 90_000  # ms, for a machine that does much else

CELLS = (
    """import numpy as np, xarray as xr, imagedata_xr
values = np.arange(3 * 6 * 40 * 50, dtype="i2").reshape(3, 6, 40, 50)
image = xr.DataArray(values, dims=("time", "slice", "row", "column"))
view = imagedata_xr.get_roi(image)""",
    """print("found", view.frame, view.index["slice"], int(view.mask.sum()), view.mask.dtype)""",
)


def notebook(folder):
    """Write a notebook and a kernel of this Python."""
    kernel = folder / "share" / "kernels" / "here"
    kernel.mkdir(parents=True)
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": command, "display_name": "here", "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(spec))
    cells = [
        {
            "cell_type": "code",
            "id": f"c{k}",
            "source": text,
            "metadata": {},
            "outputs": [],
            "execution_count": None,
        }
        for k, text in enumerate(CELLS)
    ]
    metadata = {"kernelspec": {"name": "here", "display_name": "here", "language": "python"}}
    whole = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    (folder / "n.ipynb").write_text(json.dumps(whole))


@contextmanager
def lab(folder):
    """Run JupyterLab on this machine only, on a port that is free; yield its address."""
    if find_spec("jupyterlab") is None or find_spec("ipykernel") is None:
        pytest.skip("no JupyterLab in this environment")
    # The extension by which the page talks with Python lies beside Panel, wherever that is.
    spec = find_spec("pyviz_comms")
    shared = Path(spec.origin).parents[4] / "share" / "jupyter"
    if not (shared / "labextensions" / "@pyviz").is_dir():
        pytest.skip("JupyterLab does not find the extension of pyviz_comms")
    notebook(folder)
    runtime = folder / "run"
    environment = {
        **os.environ,
        "JUPYTER_PATH": f"{folder / 'share'}{os.pathsep}{shared}",
        "JUPYTER_RUNTIME_DIR": str(runtime),
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "IPYTHONDIR": str(folder / "ipython"),
    }
    options = ("--no-browser", "--allow-root", "--ip=127.0.0.1", "--port=0")
    command = [sys.executable, "-m", "jupyterlab", *options, f"--ServerApp.root_dir={folder}"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + SLOW / 1000
            while not (found := list(runtime.glob("jpserver-*.json"))):
                assert process.poll() is None, "JupyterLab did not start"
                assert time.monotonic() < deadline, "JupyterLab is not ready"
                time.sleep(0.1)
            about = json.loads(found[0].read_text())
            yield f"{about['url']}lab/tree/n.ipynb?token={about['token']}"
        finally:
            process.terminate()
            process.wait(60)


def run_cell(page, number):
    """Run a cell: while JupyterLab starts, it draws its cells anew, and keys may go astray."""
    cell = page.locator(".jp-Notebook .jp-CodeCell").nth(number)
    prompt = cell.locator(".jp-InputPrompt").first
    deadline = time.monotonic() + SLOW / 1000
    while prompt.inner_text().strip() == "[ ]:":
        assert time.monotonic() < deadline, "the cell does not run"
        cell.locator(".cm-content").click()
        page.keyboard.press("Shift+Enter")
        page.wait_for_timeout(1000)


def test_regions_in_a_notebook(tmp_path):
    """A cell shows the viewer and waits for nobody; the next one has what was drawn in it."""
    with browser() as chromium, lab(tmp_path) as url:
        page = chromium.new_page(viewport={"width": 1200, "height": 1000})
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(url)
        page.locator(".jp-Notebook .jp-Cell .cm-content").nth(1).wait_for(timeout=SLOW)
        page.locator("[data-status=idle]").first.wait_for(timeout=SLOW)
        run_cell(page, 0)
        page.locator(".imxr").wait_for(timeout=SLOW)
        screen = Screen(page)
        screen.click(10, 10)
        screen.press("ArrowUp", "ArrowRight", "b")
        screen.ready()
        screen.drag((9.5, 4.5), (29.5, 20.5))
        page.locator(".side tr.name").get_by_text("region 1").wait_for(timeout=SLOW)
        run_cell(page, 1)
        output = page.locator(".jp-OutputArea-output").get_by_text("found")
        output.wait_for(timeout=SLOW)
        assert output.inner_text().strip() == "found {'time': 1} 4 320 bool"
        page.close()
    hosts = {urlsplit(one).hostname for one in asked if one.startswith("http")}
    assert hosts == {"127.0.0.1"}
