"""The lazy array over a grid of frames: the only user of xarray's backend internals."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from xarray.backends import BackendArray
from xarray.core import indexing

from imagedata_xr.progress import track
from imagedata_xr.sources.ahead import ahead

if TYPE_CHECKING:
    import numpy.typing as npt
    import xarray as xr

    from imagedata_xr.frames import PixelRef

__all__ = ["FrameArray", "FrameReader", "lazily", "unread_refs"]


class FrameReader(Protocol):
    """
    Reads the pixels of one frame; picklable, holds no open file.

    One that can read some rows alone has ``read_rows(ref, first, out)``, which puts as many as
    ``out`` has there, from row ``first`` on.
    """

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of every frame it returns."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns, and 3 for colour."""

    def read(self, ref: PixelRef, out: npt.NDArray[Any]) -> None:
        """Put the frame's values into ``out``, an array of `shape` and `dtype`."""


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
        empty = np.broadcast_to(np.empty((), self.dtype), self.reader.shape)
        within = empty.shape if whole else _outer(empty, plane).shape
        result = np.empty((*refs.shape, *within), self.dtype)
        places = list(product(*(range(n) for n in refs.shape)))
        reader = self.reader
        read_rows = getattr(reader, "read_rows", None)
        rows = np.arange(reader.shape[0])[plane[0]]
        first, last = 0, reader.shape[0]
        if read_rows is not None and rows.size:
            first, last = int(rows.min()), int(rows.max()) + 1
        within_rows = (rows - first, *plane[1:])

        def read(place: tuple[int, ...]) -> None:
            ref = refs[place]
            if ref is None:
                result[place] = 0
            elif whole:
                reader.read(ref, result[place])
            else:
                band = np.empty((last - first, *reader.shape[1:]), reader.dtype)
                if read_rows is None:
                    reader.read(ref, band)
                else:
                    read_rows(ref, first, band)
                result[place] = _outer(band, within_rows)

        done = (ahead if _in_parallel(refs) else map)(read, places)
        for _ in zip(track(places, "reading", show=self.progress), done, strict=True):
            pass
        return result


def _in_parallel(refs: npt.NDArray[Any]) -> bool:
    """Tell whether threads may help: decoders let only one of them work at a time."""
    return all(
        ref is None or (ref.length > 0 and getattr(ref.source, "in_parallel", False))
        for ref in refs.ravel()
    )


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
    if not isinstance(data, indexing.LazilyIndexedArray) or not isinstance(data.array, FrameArray):
        return None
    if not isinstance(data.key, indexing.BasicIndexer | indexing.OuterIndexer):
        return None
    array, key = data.array, data.key.tuple
    leading, plane = key[: array.refs.ndim], key[array.refs.ndim :]
    for part, size in zip(plane, array.reader.shape, strict=True):
        if not isinstance(part, slice) or part.indices(size) != (0, size, 1):
            return None
    return _outer(array.refs, leading), array.reader


def lazily(array: FrameArray) -> Any:
    """Wrap an array so that xarray indexes it only when values are needed."""
    return indexing.LazilyIndexedArray(array)
