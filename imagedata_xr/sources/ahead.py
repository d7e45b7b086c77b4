"""Work in order, several pieces at a time where each is waited for: slow disks, remote stores."""

from __future__ import annotations

import os
from collections import deque
from time import perf_counter
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from concurrent.futures import Future

__all__ = ["ahead", "by_threads", "cores"]

_T = TypeVar("_T")
_R = TypeVar("_R")
# Seconds; a file in the page cache takes a hundredth of it, and threads would only cost.
_SLOW: Final = 1e-3
# So many slow ones in a row are no accident.
_RUN: Final = 8
_WORKERS: Final = 16
# Begun before they are asked for: bounds what waits in memory.
_WAITING: Final = 32


def ahead(function: Callable[[_T], _R], items: Iterable[_T]) -> Iterator[_R]:
    """
    Yield what a function gives for each item, in their order.

    Once several calls in a row have taken long, the next ones are made by threads, before their
    results are asked for. An exception comes in its turn, and ends the iteration.

    Parameters
    ----------
    function : callable
        May be called by several threads at once.
    items : iterable
    """
    rest = iter(items)
    slow = 0
    for item in rest:
        start = perf_counter()
        result = function(item)
        slow = slow + 1 if perf_counter() - start > _SLOW else 0
        yield result
        if slow == _RUN:
            break
    else:
        return
    yield from by_threads(function, rest)


def cores() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def by_threads(
    function: Callable[[_T], _R],
    items: Iterable[_T],
    workers: int = _WORKERS,
    *,
    waiting: int = _WAITING,
) -> Generator[_R]:
    """
    Yield what a function gives for each item, in their order, made by threads.

    Parameters
    ----------
    function : callable
        May be called by several threads at once.
    items : iterable
    workers : int
        Number of threads; with one, there are none.
    waiting : int
        Calls begun before their results are asked for.
    """
    if workers == 1:
        yield from map(function, items)
        return
    from concurrent.futures import ThreadPoolExecutor

    begun: deque[Future[_R]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="imagedata_xr")
    try:
        for item in items:
            begun.append(pool.submit(function, item))
            if len(begun) == waiting:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
