"""The Panel component: what Python and the browser know in common."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any, ClassVar, Final

import param
from panel.custom import Children, JSComponent

from imagedata_xr.errors import ImagedataError
from imagedata_xr.viewer.scripts import module

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["RENDERING", "Stage"]

# What the browser changes (``report.js``).
HEARD: Final = frozenset(
    (
        *("index", "frame", "dimension", "windows", "looks", "tool", "smooth", "linked"),
        *("crosshair", "hide_text", "page", "records", "structures", "per_frame"),
    )
)

# Panel keeps style sheets for the document that is at work, which it takes to be that of any thread:
# models of two documents are not made at the same time.
RENDERING: Final = threading.RLock()

logger = logging.getLogger(__name__)


class Stage(JSComponent):
    """
    Panes, tools and keys in the browser.

    Parameters
    ----------
    answer : callable
        Gives the reply to a message of the browser: pictures, curves; or None.
    """

    plots = Children(default=[])
    series = param.List(default=[])
    panes = param.List(default=[])
    palettes = param.Dict(default={})
    archive = param.Bytes(default=b"")
    contents = param.List(default=[])
    offline = param.Boolean(default=False)
    whole_page = param.Boolean(default=False)
    blocking = param.Boolean(default=False)
    index = param.List(default=[])
    frame = param.List(default=[])
    windows = param.List(default=[])
    looks = param.List(default=[])
    tool = param.String(default="window")
    dimension = param.Integer(default=0)
    hide_text = param.Boolean(default=False)
    smooth = param.Boolean(default=True)
    linked = param.Boolean(default=True)
    crosshair = param.Boolean(default=False)
    page = param.Integer(default=0)
    per_page = param.Integer(default=4)
    columns = param.Integer(default=0)
    records = param.List(default=[])
    structures = param.List(default=[])
    per_frame = param.Boolean(default=False)
    table = param.List(default=[])
    curves = param.Dict(default={})
    fps = param.Number(default=10)
    cache_mb = param.Number(default=256)
    ahead = param.Integer(default=8)

    # Panel would hold every change of the browser back for 50 ms.
    _debounce: ClassVar[int] = 0
    _esm = module()

    def __init__(self, answer: Callable[[Any], list[dict[str, Any]]], **params: Any) -> None:
        super().__init__(**params)
        self._answer = answer
        self._hearing = threading.RLock()
        self._repeated: dict[str, int] = {}

    def _on_msg(self, ref: str, manager: Any, msg: Any) -> None:
        # A kernel with subshells hears the browser in two threads, and Panel's hold on a
        # document is not made for two: the one's changes were lost in the other's.
        with self._hearing:
            super()._on_msg(ref, manager, msg)

    def _repeat(self, page: str, count: int, state: dict[str, Any]) -> None:
        """Take what the browser says a second time, where it was not heard the first time."""
        if count <= self._repeated.get(page, 0):
            return
        self._repeated[page] = count
        missed = {k: v for k, v in state.items() if k in HEARD and getattr(self, k) != v}
        if missed:
            self.param.update(**missed)

    def _handle_msg(self, message: Any) -> None:
        if "state" in message:
            self._repeat(message["page"], message["count"], message["state"])
            return
        try:
            replies = self._answer(message)
        except ImagedataError as error:
            logger.warning("the viewer cannot show a picture: %s", type(error).__name__)
            replies = [{"error": str(error)}]
        for reply in replies:
            self._send_msg(reply)
