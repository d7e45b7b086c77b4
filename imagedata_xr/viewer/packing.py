"""All pictures of a viewer in one block, for a page that works without Python."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from imagedata_xr.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from imagedata_xr.viewer.series import Series

__all__ = ["archived"]

MAX_SAVED = 1 << 29
# Typed arrays of the browser begin at multiples of their size.
ALIGNED = 8


def archived(
    series: Sequence[Series], panes: Iterable[dict[str, int]]
) -> tuple[bytes, list[dict[str, Any]]]:
    """
    Return every picture that panes can reach, deflated, and where each one is.

    Parameters
    ----------
    series : sequence of Series
    panes : iterable of dict
        With the keys ``series`` and ``axis``.

    Returns
    -------
    archive : bytes
    contents : list of dict
        ``key``, and for each picture ``start``, ``stop`` (bytes after inflation) and ``shape``.

    Raises
    ------
    OptionError
        They are too many for one page.
    """
    pack = zlib.compressobj(6)
    parts: list[bytes] = []
    contents: list[dict[str, Any]] = []
    total = 0
    for place in _places(series, panes):
        number, axis, index, *frame = place
        entry: dict[str, Any] = {"key": ":".join(map(str, place))}
        for name, picture in series[number].picture(frame, axis, index).items():
            stop = total + picture.nbytes
            entry[name] = {"start": total, "stop": stop, "shape": list(picture.shape)}
            parts.append(pack.compress(picture.tobytes()))
            total = stop + -stop % ALIGNED
            parts.append(pack.compress(bytes(total - stop)))
        contents.append(entry)
        if total > MAX_SAVED:
            raise OptionError(
                f"the pictures exceed {MAX_SAVED >> 20} MiB, too much for one page: "
                "save a part, e.g. image.isel(time=slice(0, 10))"
            )
    parts.append(pack.flush())
    return b"".join(parts), contents


def _places(series: Sequence[Series], panes: Iterable[dict[str, int]]) -> Iterable[tuple[int, ...]]:
    """Return (series, axis, index, frame...) of every picture."""
    for pane in panes:
        number, axis = pane["series"], pane["axis"]
        scene = series[number].scene
        sizes = [scene.image.sizes[name] for name in scene.dims]
        for index in range(scene.shape[axis]):
            for frame in np.ndindex(*sizes):
                yield (number, axis, index, *frame)
