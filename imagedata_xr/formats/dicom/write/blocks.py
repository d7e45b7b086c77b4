"""Blocks of a Dask array, computed several at a time and handed out in order."""

from __future__ import annotations

import sys
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import xarray as xr

__all__ = ["ahead", "loaded"]

# Of all blocks that are computed at a time, or wait to be written.
_BYTES: Final = 1 << 29
_T = TypeVar("_T")


def ahead(variable: xr.Variable, block_bytes: int) -> int:
    """
    Return how many blocks to compute at a time: one for each processor, as far as memory allows.

    Parameters
    ----------
    variable : xarray.Variable
    block_bytes : int
        Of the largest block.
    """
    if variable.chunks is None:
        return 1
    from dask.system import CPU_COUNT

    client = _client()
    workers = CPU_COUNT if client is None else sum(client.nthreads().values())
    return int(max(1, min(workers, _BYTES // max(block_bytes, 1))))


def loaded(
    variable: xr.Variable, parts: Iterable[_T], cut: Callable[[_T], xr.Variable], count: int
) -> Iterator[xr.Variable]:
    """
    Yield parts of a variable in memory, in order.

    Parameters
    ----------
    variable : xarray.Variable
    parts : iterable
    cut : callable
        Part to what it is of the variable, not in memory yet.
    count : int
        How many are computed at a time; as many wait at most.
    """
    if count < 2:
        for part in parts:
            yield cut(part).load()
        return
    options = _alone(variable)
    todo = iter(parts)

    def load(part: _T) -> xr.Variable:
        return cut(part).load(**options)

    with ThreadPoolExecutor(count) as pool:
        waiting = deque(pool.submit(load, part) for part in islice(todo, count))
        try:
            while waiting:
                done = waiting.popleft().result()
                waiting.extend(pool.submit(load, part) for part in islice(todo, 1))
                yield done
        finally:
            for one in waiting:
                one.cancel()


def _alone(variable: xr.Variable) -> dict[str, Any]:
    """Return the scheduler for blocks that are one task each: threads of Dask's would only wait."""
    import dask

    chosen = dask.config.get("scheduler", None) is not None or _client() is not None
    whole = all(len(sizes) == 1 for sizes in (variable.chunks or ())[-2:])
    return {"scheduler": "synchronous"} if whole and not chosen else {}


def _client() -> Any:
    """Return the client of the cluster that Dask would use, None without one."""
    distributed = sys.modules.get("distributed")
    if distributed is None:
        return None
    try:
        return distributed.get_client()
    except ValueError:
        return None
