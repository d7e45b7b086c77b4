"""
Which points lie inside outlines: even-odd, half-open, so that neighbours tile.

A point on an edge belongs to the region above (to the larger coordinate), never to both of two
that share the edge, and never to none. With NumPy only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.floating]

__all__ = ["inside", "on_lattice"]

# Comparisons of points with edges that are held in memory at once.
BLOCK = 4_000_000


def on_lattice(loops: Sequence[Floats], ys: Floats, xs: Floats) -> NDArray[np.bool_]:
    """
    Return which points of a lattice lie inside.

    Parameters
    ----------
    loops : sequence of ndarray, shape (n, 2)
        Corners (y, x) of closed outlines.
    ys, xs : ndarray, shape (rows,), (columns,)
        Coordinates of the lattice, in any order.

    Returns
    -------
    ndarray of bool, shape (rows, columns)
    """
    down, across = np.argsort(ys, kind="stable"), np.argsort(xs, kind="stable")
    y, x = ys[down], xs[across]
    low_y, low_x, high_y, high_x = _edges(loops)
    first, last = np.searchsorted(y, low_y), np.searchsorted(y, high_y)
    counts = last - first
    edge = np.repeat(np.arange(counts.size), counts)
    row = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + first[edge]
    crossing = _crossing((low_y, low_x, high_y, high_x), edge, y[row])
    column = np.searchsorted(x, crossing)
    width = x.size + 1
    toggles = np.bincount(row * width + column, minlength=y.size * width).reshape(y.size, width)
    found = np.empty((y.size, x.size), dtype=bool)
    found[np.ix_(down, across)] = np.cumsum(toggles, axis=1)[:, :-1] & 1
    return found


def inside(loops: Sequence[Floats], points: Floats) -> NDArray[np.bool_]:
    """
    Return which of some scattered points lie inside, by the same rule.

    Parameters
    ----------
    loops : sequence of ndarray, shape (n, 2)
    points : ndarray, shape (m, 2)
        Coordinates (y, x).

    Returns
    -------
    ndarray of bool, shape (m,)
    """
    edges = _edges(loops)
    found = np.zeros(len(points), dtype=bool)
    size = max(1, BLOCK // max(1, len(points)))
    for start in range(0, edges[0].size, size):
        edge = np.arange(start, min(start + size, edges[0].size))
        y = points[:, :1]
        crossed = (edges[0][edge] <= y) & (y < edges[2][edge])
        at, which = np.nonzero(crossed)
        hit = _crossing(edges, edge[which], points[at, 0]) <= points[at, 1]
        found ^= (np.bincount(at[hit], minlength=len(points)) & 1).astype(bool)
    return found


def _edges(loops: Sequence[Floats]) -> tuple[Floats, Floats, Floats, Floats]:
    """Return y, x of the lower and of the upper end of each edge that is not horizontal."""
    start = np.concatenate([np.empty((0, 2)), *loops])
    end = np.concatenate([np.empty((0, 2)), *(np.roll(loop, -1, axis=0) for loop in loops)])
    rises = start[:, 0] != end[:, 0]
    start, end = start[rises], end[rises]
    # Always from below, so that an edge shared by two outlines is crossed at the same number.
    up = (start[:, 0] < end[:, 0])[:, None]
    low, high = np.where(up, start, end), np.where(up, end, start)
    return low[:, 0], low[:, 1], high[:, 0], high[:, 1]


def _crossing(
    edges: tuple[Floats, Floats, Floats, Floats], which: NDArray[np.intp], y: Floats
) -> Floats:
    """Return the x where each chosen edge is at height y."""
    low_y, low_x, high_y, high_x = (part[which] for part in edges)
    return np.asarray(low_x + (high_x - low_x) * ((y - low_y) / (high_y - low_y)))
