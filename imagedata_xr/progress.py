"""A progress bar for long work, when a person is looking."""

from __future__ import annotations

import sys
import threading
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

__all__ = ["bar_class", "track", "watched"]

_T = TypeVar("_T")
# Work that is done sooner shows nothing, seconds.
_DELAY = 1.0
# Fewer items than this are never worth a bar: its import would cost more than they do.
_FEW = 50


def watched() -> bool:
    """Tell whether a person is looking: a terminal, or a notebook."""
    shell = sys.modules.get("IPython")
    if shell is not None:
        kernel = shell.get_ipython()
        if kernel is not None and type(kernel).__name__ == "ZMQInteractiveShell":
            return True
    return bool(sys.stderr is not None and sys.stderr.isatty())


def bar_class() -> Any:
    """Return tqdm's class for where we are; widgets of notebooks only where they can be shown."""
    if find_spec("ipywidgets") is None:
        from tqdm import tqdm

        return tqdm
    from tqdm.auto import tqdm as fitting

    return fitting


def track(items: Collection[_T], what: str, *, show: bool | None = None) -> Iterable[_T]:
    """
    Go through items, with a progress bar if it takes more than a second or so.

    Parameters
    ----------
    items : collection
    what : str
        The word in front of the bar.
    show : bool or None
        True for a bar in any case, False for none, None for one when a person is looking.
        Worker threads never show one.
    """
    if show is None:
        main = threading.current_thread() is threading.main_thread()
        show = len(items) >= _FEW and main and watched()
    if not show:
        return items
    bar: Iterable[_T] = bar_class()(items, desc=what, delay=_DELAY, leave=False, unit="frame")
    return bar
