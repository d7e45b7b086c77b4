"""The lazy array over a grid of frames: the only user of xarray's backend internals."""

from __future__ import annotations

from contextlib import closing
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from xarray.backends import BackendArray
from xarray.core import indexing

from imagedata_xr.loading import load
from imagedata_xr.progress import track

if TYPE_CHECKING:
    import numpy.typing as npt
    import xarray as xr

    from imagedata_xr.loading import FrameReader

# Bytes of rows that are read together where only some columns of them are wanted.
_BANDS = 1 << 20

__all__ = ["FrameArray", "lazily", "unread_refs"]


class FrameArray(BackendArray):
    """
    Frames on a grid as one array that reads just the frames it is asked for.

    Parameters
    ----------
    refs : ndarray of PixelRef or None
        Where the frames are; None is a frame of zeros, which nobody stored. The shape is that of
        the leading dimensions.
    reader : FrameReader
    progress : bool or None
        Whether to show a progress bar on long reads; None for when a person is looking.
    """

    def __init__(
        self, refs: npt.NDArray[Any], reader: FrameReader, *, progress: bool | None = None
    ) -> None:
        self.refs = refs
        self.reader = reader
        self.progress = progress
        self.shape = (*refs.shape, *reader.shape)
        self.dtype = reader.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        """Return the values of the frames, rows and columns that `key` names."""
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._read
        )

    def _read(self, key: tuple[Any, ...]) -> npt.NDArray[Any]:
        leading, plane = key[: self.refs.ndim], key[self.refs.ndim :]
        refs = _outer(self.refs, leading)
        whole = all(
            isinstance(part, slice) and part.indices(size) == (0, size, 1)
            for part, size in zip(plane, self.reader.shape, strict=True)
        )
        if not whole:
            return self._read_parts(refs, plane)
        result = np.empty((*refs.shape, *self.reader.shape), self.dtype)
        self._load(refs, None, result.reshape((-1, *self.reader.shape)))
        return result

    def _read_parts(self, refs: npt.NDArray[Any], plane: tuple[Any, ...]) -> npt.NDArray[Any]:
        """Read some rows and columns of each frame: bands of rows, so many at a time."""
        reader = self.reader
        rows = np.arange(reader.shape[0])[plane[0]]
        first, last = 0, reader.shape[0]
        if hasattr(reader, "read_rows") and rows.size:
            first, last = int(rows.min()), int(rows.max()) + 1
        band = (last - first, *reader.shape[1:])
        within = (rows - first, *plane[1:])
        flat = refs.ravel()
        parts = _outer(np.broadcast_to(np.empty((), self.dtype), band), within).shape
        result = np.empty((flat.size, *parts), self.dtype)
        at_once = max(1, _BANDS // max(1, prod(band) * self.dtype.itemsize))
        bands = np.empty((min(at_once, flat.size), *band), self.dtype)
        for start in range(0, flat.size, at_once):
            chosen = flat[start : start + at_once]
            self._load(chosen, first, bands[: len(chosen)])
            result[start : start + at_once] = _outer(bands[: len(chosen)], (slice(None), *within))
        return result.reshape((*refs.shape, *parts))

    def _load(self, refs: npt.NDArray[Any], first: int | None, out: npt.NDArray[Any]) -> None:
        """Fill `out` with frames, or with rows of them."""
        flat = refs.ravel().tolist()
        with closing(load(self.reader, flat, first, out)) as done:
            for _ in zip(track(flat, "reading", show=self.progress), done, strict=True):
                pass


def _outer(array: Any, key: tuple[Any, ...]) -> npt.NDArray[Any]:
    """Index each axis on its own, as xarray's outer indexers mean it."""
    axis = 0
    for part in key:
        array = array[(slice(None),) * axis + (part,)]
        if not isinstance(part, int | np.integer):
            axis += 1
    if isinstance(array, np.ndarray | np.generic):
        return np.asarray(array)
    # An object array indexed down to one element is that element.
    boxed = np.empty((), dtype=object)
    boxed[()] = array
    return boxed


def unread_refs(variable: xr.Variable) -> tuple[npt.NDArray[Any], FrameReader] | None:
    """
    Return where the frames of a variable are, and what reads them; None where it has values already.

    Parameters
    ----------
    variable : xarray.Variable
        Of whole frames: its last dimensions are those of a frame.
    """
    data = variable._data  # noqa: SLF001 - xarray has no public name for it
    while isinstance(data, indexing.MemoryCachedArray | indexing.CopyOnWriteArray):
        data = data.array
    if not isinstance(data, indexing.LazilyIndexedArray) or type(data.array) is not FrameArray:
        return None
    if not isinstance(data.key, indexing.BasicIndexer | indexing.OuterIndexer):
        return None
    array, key = data.array, data.key.tuple
    leading, plane = key[: array.refs.ndim], key[array.refs.ndim :]
    for part, size in zip(plane, array.reader.shape, strict=True):
        if not isinstance(part, slice) or part.indices(size) != (0, size, 1):
            return None
    return _outer(array.refs, leading), array.reader


class _Chosen(indexing.LazilyIndexedArray):
    """A part of a FrameArray; other processes get no more than the frames that it needs."""

    __slots__ = ()

    def __reduce__(self) -> tuple[Any, ...]:
        array, key = self.array, self.key
        # Arrays of other formats have no frames of their own.
        if type(array) is not FrameArray:
            return type(self), (array, key)
        count = array.refs.ndim
        refs = _outer(array.refs, key.tuple[:count])
        part = FrameArray(refs, array.reader, progress=array.progress)
        rest = (slice(None),) * refs.ndim + key.tuple[count:]
        return type(self), (part, type(key)(rest))


def lazily(array: FrameArray) -> Any:
    """Wrap an array so that xarray indexes it only when values are needed."""
    return _Chosen(array)
