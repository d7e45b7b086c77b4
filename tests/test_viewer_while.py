"""Pages of the viewer that are made in two threads at the same time."""

from __future__ import annotations

import threading
from urllib.request import urlopen

import numpy as np
import pytest
import xarray as xr

import imagedata_xr  # noqa: F401 - the accessor

pytest.importorskip("panel")


def test_saving_while_a_browser_comes(tmp_path):
    """A script saves the viewer while a browser asks for its page: both get theirs."""
    values = np.zeros((6, 4, 5), dtype="i2")
    view = xr.DataArray(values, dims=("slice", "row", "column")).med.view()
    server = view.show(browser=False)
    statuses = []

    def come():
        for _ in range(8):
            with urlopen(server.url, timeout=60) as answer:
                statuses.append(answer.status)

    visitor = threading.Thread(target=come)
    visitor.start()
    try:
        while visitor.is_alive():
            view.save(tmp_path / "page.html")
    finally:
        visitor.join()
        server.stop()
    assert statuses == [200] * 8
