"""The viewer's server, where two things happen at the same time."""

from __future__ import annotations

import asyncio
import gc
import threading
from urllib.request import urlopen

import numpy as np
import pytest
import xarray as xr

import imagedata_xr  # noqa: F401 - the accessor

pytest.importorskip("panel")

from tornado.websocket import WebSocketClosedError


def small():
    """Return a viewer of six slices."""
    values = np.zeros((6, 4, 5), dtype="i2")
    return xr.DataArray(values, dims=("slice", "row", "column")).med.view()


def test_saving_while_a_browser_comes(tmp_path):
    """A script saves the viewer while a browser asks for its page: both get theirs."""
    view = small()
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


def test_a_tab_closed_under_a_picture_is_silent(caplog):
    """A message that finds its page closed makes no noise on the user's terminal; a fault does."""
    server = small().show(browser=False)
    loop = server._thread.asyncio_loop

    async def fails(error):
        raise error

    async def unheard(error):
        task = asyncio.ensure_future(fails(error))
        await asyncio.sleep(0)
        del task

    def noise(error):
        caplog.clear()
        asyncio.run_coroutine_threadsafe(unheard(error), loop).result(30)
        gc.collect()
        return [record for record in caplog.records if record.levelname == "ERROR"]

    try:
        assert noise(WebSocketClosedError()) == []
        assert len(noise(ValueError("of the viewer"))) == 1
    finally:
        server.stop()
