"""Python's search for cycles of garbage, while many objects are made of which none is garbage."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["without_collector"]


@contextmanager
def without_collector() -> Iterator[None]:
    """
    Leave out the search for cycles of garbage, which looks at all objects of the process.

    Opening a series makes some objects a file and keeps them all: in a large process the search
    takes as long as the opening. Where two threads do this at once, it is on again when the first
    of them that found it on ends.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
