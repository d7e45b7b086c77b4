"""What the browser says reaches Python, also where two threads of a kernel hear it."""

from __future__ import annotations

import sys
import threading

import numpy as np
import pytest
import xarray as xr
from viewer_browser import browser, eventually, opened

pytest.importorskip("panel")


@pytest.fixture
def view():
    values = np.zeros((3, 6, 4, 5), dtype="i2")
    return xr.DataArray(values, dims=("time", "slice", "row", "column")).med.view()


class Notebook:
    """The viewer in a cell, without a browser: patches are handed to Panel as its comm does."""

    def __init__(self, stage):
        from bokeh.document import Document
        from panel.io.state import state
        from panel.models.comm_manager import CommManager
        from pyviz_comms import Comm

        class Silent(Comm):
            _comm = True

            def init(self, *_args):
                """Nobody listens."""

            def send(self, *_args, **_options):
                """Nobody listens."""

        document, comm = Document(), Silent()
        self.stage = stage
        self.root = stage.get_root(document, comm)
        self.ref = self.root.ref["id"]
        document.add_root(self.root)
        state._views[self.ref] = (stage, self.root, document, comm)
        self.manager = CommManager(plot_id=self.ref, comm_id="a", client_comm_id="b")

    def hear(self, name, value):
        change = {
            "kind": "ModelChanged",
            "model": {"id": self.root.data.id},
            "attr": name,
            "new": value,
        }
        message = {
            "header": {"msgid": "1", "msgtype": "PATCH-DOC"},
            "metadata": {},
            "_buffers": {},
            "content": {"events": [change]},
        }
        self.stage._on_msg(self.ref, self.manager, message)


def test_two_threads_lose_no_change(view):
    """JupyterLab's kernels hear the first messages in one thread, the others in a second one."""
    notebook = Notebook(view.stage)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for k in range(1, 400):
            said = {"index": [[k % 6, 1, 2]], "frame": [[k % 3]]}
            both = [threading.Thread(target=notebook.hear, args=one) for one in said.items()]
            for thread in both:
                thread.start()
            for thread in both:
                thread.join()
            assert {name: getattr(view.stage, name) for name in said} == said
    finally:
        sys.setswitchinterval(before)


def test_what_was_lost_is_taken_from_the_repetition(view):
    """The page says it once more; an older repetition that comes later changes nothing."""
    stage = view.stage
    stage._handle_msg({"state": {"index": [[4, 1, 2]]}, "page": "p", "count": 2})
    assert view.index["slice"] == 4
    stage._handle_msg({"state": {"index": [[5, 1, 2]]}, "page": "p", "count": 1})
    assert view.index["slice"] == 4
    stage._handle_msg({"state": {"index": [[1, 1, 2]], "archive": b"x"}, "page": "q", "count": 1})
    assert view.index["slice"] == 1
    assert stage.archive == b""


def test_the_page_says_it_again(view, monkeypatch):
    """A change that Panel loses on its way reaches Python half a second later."""
    from imagedata_xr.viewer.component import Stage

    hear = Stage._process_events

    def deaf(self, events):
        hear(self, {name: value for name, value in events.items() if name != "index"})

    monkeypatch.setattr(Stage, "_process_events", deaf)
    with browser() as chromium, opened(chromium, view) as screen:
        before = view.index["slice"]
        screen.click(2, 2)
        screen.press("ArrowUp")
        eventually(lambda: view.index["slice"] == before + 1)
