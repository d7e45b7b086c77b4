"""The viewer as a page of this machine: 127.0.0.1 only, under a path that cannot be guessed."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import threading
import webbrowser
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imagedata_xr.errors import OptionError
from imagedata_xr.viewer.component import RENDERING

if TYPE_CHECKING:
    from imagedata_xr.viewer.viewer import Viewer

__all__ = ["Server", "serve", "wait_for_regions"]

HOST = "127.0.0.1"
TITLE = "imagedata_xr"
# A closed tab ends the session after this time, ms, so that a waiting script goes on; a page that
# is loaded anew is back sooner.
CHECK_MS, LIFETIME_MS = 500, 4000
# So long the server waits for answers that are on their way to a page, before it ends.
ANSWER_S = 5.0


@dataclass(frozen=True, eq=False)
class Server:
    """
    A running page.

    Attributes
    ----------
    url : str
        With the random path; without it, the server shows nothing.
    """

    url: str
    _thread: Any
    _closed: threading.Event

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the last tab is closed, or Done was pressed; say whether it was."""
        return self._closed.wait(timeout)

    def stop(self) -> None:
        """End the server, when the messages that it has in hand are answered."""
        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(_end(self._thread), self._thread.asyncio_loop)


def serve(view: Viewer, *, port: int = 0, browser: bool = True, blocking: bool = False) -> Server:
    """
    Serve a viewer on this machine, and print where.

    Parameters
    ----------
    view : Viewer
    port : int
        0 is any free one.
    browser : bool
        Whether to open the page in a browser, if there is one.
    blocking : bool
        Whether the page has a button Done.

    Returns
    -------
    Server

    Raises
    ------
    OptionError
        The port is taken, or none.
    """
    import panel as pn

    port = _free(port)
    token = secrets.token_urlsafe(24)
    closed = threading.Event()
    view.stage.blocking = blocking
    view.on_done(closed.set)
    sessions: set[str] = set()

    def page() -> None:
        pn.state.on_session_destroyed(lambda context: _left(sessions, context.id, closed))
        sessions.add(pn.state.curdoc.session_context.id)
        with RENDERING:
            view.page().server_doc(pn.state.curdoc, TITLE)

    thread = pn.serve(
        {token: page},
        port=port,
        address=HOST,
        websocket_origin=[f"{HOST}:{port}", f"localhost:{port}"],
        show=False,
        threaded=True,
        verbose=False,
        title=TITLE,
        use_index=False,
        check_unused_sessions_milliseconds=CHECK_MS,
        unused_session_lifetime_milliseconds=LIFETIME_MS,
    )
    thread.asyncio_loop.set_exception_handler(_unhandled)
    url = f"http://{HOST}:{port}/{token}"
    _listening(port)
    print(f"The viewer is at {url}", flush=True)  # noqa: T201 - the way to it without a browser
    if browser:
        webbrowser.open(url)
    return Server(url, thread, closed)


def wait_for_regions(view: Viewer, *, port: int = 0, browser: bool = True) -> None:
    """Serve a viewer until Done is pressed or its tab is closed."""
    server = serve(view, port=port, browser=browser, blocking=True)
    try:
        server.wait()
    finally:
        server.stop()


async def _end(thread: Any) -> None:
    # Panel cancels what is running, and Tornado prints a traceback for each message among it.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(ANSWER_S):
            while running := _in_hand():
                await asyncio.wait(running)
    thread.stop()


def _in_hand() -> list[asyncio.Task[Any]]:
    # Bokeh's name for the task that takes a message and answers it; it keeps no list of them.
    return [
        task
        for task in asyncio.all_tasks()
        if getattr(task.get_coro(), "__name__", "") == "on_message"
    ]


def _unhandled(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Be silent where a tab is closed while a picture is on its way to it."""
    from tornado.websocket import WebSocketClosedError

    if not isinstance(context.get("exception"), WebSocketClosedError):
        loop.default_exception_handler(context)


def _left(sessions: set[str], session: str, closed: threading.Event) -> None:
    sessions.discard(session)
    if not sessions:
        closed.set()


def _free(port: int) -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind((HOST, port))
        except (OSError, OverflowError, TypeError) as error:
            raise OptionError(
                f"port {port} cannot be used: {error}; 0 takes any free one"
            ) from error
        return int(one.getsockname()[1])


def _listening(port: int, tries: int = 200) -> None:
    """Wait until the server's thread accepts connections."""
    pause = threading.Event()
    for _ in range(tries):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as one:
            if one.connect_ex((HOST, port)) == 0:
                return
        pause.wait(0.05)
    raise OptionError(f"the page did not start on port {port}")
