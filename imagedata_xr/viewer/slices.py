"""Slices on their way to the screen: read once, small, and within bounds of memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np

from imagedata_xr import schema

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from numpy.typing import NDArray

    from imagedata_xr.viewer.planes import Plane, Scene

__all__ = ["ByteCache", "SliceSource", "packed", "wire"]

# What Bokeh sends as raw bytes; float16 goes as text and complex numbers not at all.
NATIVE = frozenset(("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32"))
MEGABYTE = 1 << 20


class ByteCache:
    """
    Arrays by key, the least recently used of which go when they exceed a number of bytes.

    Parameters
    ----------
    limit : int
        Bytes; one array larger than that is kept alone.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.nbytes = 0
        self._arrays: OrderedDict[Hashable, NDArray[Any]] = OrderedDict()

    def __contains__(self, key: Hashable) -> bool:
        return key in self._arrays

    def get(self, key: Hashable, make: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        """Return the array of a key, made if it is not here."""
        if key in self._arrays:
            self._arrays.move_to_end(key)
            return self._arrays[key]
        array = self._arrays[key] = make()
        self.nbytes += array.nbytes
        while self.nbytes > self.limit and len(self._arrays) > 1:
            self.nbytes -= self._arrays.popitem(last=False)[1].nbytes
        return array


class SliceSource:
    """
    The slices of a scene, as they are drawn.

    Parameters
    ----------
    scene : Scene
        The image and its planes.
    cache_mb : float
        Bound of the memory for what was read, MiB. A volume that is larger is read by slices
        each time, in every plane.
    """

    def __init__(self, scene: Scene, *, cache_mb: float = 512) -> None:
        self.scene = scene
        self._cache = ByteCache(int(cache_mb * MEGABYTE))
        self._lock = threading.RLock()
        image = scene.image
        per_frame = int(np.prod([image.sizes[d] for d in scene.dims], dtype=np.int64)) or 1
        self._volume_bytes = image.dtype.itemsize * image.size // per_frame

    @property
    def nbytes(self) -> int:
        """Bytes held at present."""
        return self._cache.nbytes

    def plane(self, frame: tuple[int, ...], axis: int, index: int) -> NDArray[Any]:
        """
        Return one picture in a type that travels as raw bytes.

        Parameters
        ----------
        frame : tuple of int
            Index along each acquisition dimension.
        axis, index : int
            Which axis is cut, and where.

        Returns
        -------
        ndarray, shape (rows, columns)
            Lines ascend in mm. Colours are packed into uint32. Lines without a slice are NaN.
        """
        with self._lock:
            return self._plane(frame, axis, index)

    def values(self, frame: tuple[int, ...], axis: int, index: int) -> NDArray[Any]:
        """Return the voxels of one cut in array order, in their own type."""
        image = self.scene.image.isel(dict(zip(self.scene.dims, frame, strict=True)))
        cut = {schema.SPATIAL[axis]: index}
        volume = ("volume", frame)
        if volume in self._cache or (axis and self._volume_bytes <= self._cache.limit):
            whole = self._cache.get(volume, lambda: np.asarray(image.data))
            return np.asarray(whole[tuple(slice(None) if k != axis else index for k in range(3))])
        return self._cache.get((frame, axis, index), lambda: np.asarray(image.isel(cut).data))

    def _plane(self, frame: tuple[int, ...], axis: int, index: int) -> NDArray[Any]:
        plane = self.scene.planes[axis]
        picture = self.values(frame, axis, index)
        picture = packed(picture) if self.scene.colour else wire(picture)
        return _on_lines(picture, plane, swap=plane.down > plane.across)


def _on_lines(picture: NDArray[Any], plane: Plane, *, swap: bool) -> NDArray[Any]:
    if swap:
        picture = picture.T
    rows, columns = plane.rows.index, plane.columns.index
    gaps = (rows < 0)[:, None] | (columns < 0)
    picture = picture[rows][:, columns]
    if gaps.any():
        picture = picture.astype("f4") if picture.dtype != np.uint32 else picture
        picture[gaps] = np.nan if picture.dtype == np.float32 else 0
    return np.ascontiguousarray(picture)


def wire(values: NDArray[Any]) -> NDArray[Any]:
    """Return values in the smallest type that Bokeh sends as bytes; complex as magnitude."""
    if values.dtype.kind == "c":
        values = np.abs(values)
    if values.dtype.name in NATIVE:
        return values.astype(values.dtype.newbyteorder("="), copy=False)
    if values.dtype == np.bool_:
        return values.view(np.uint8)
    if values.dtype.kind in "iu" and values.size:
        bounds = np.iinfo(np.int32)
        if bounds.min <= values.min() and values.max() <= bounds.max:
            return values.astype(np.int32)
    return values.astype(np.float32)


def packed(values: NDArray[Any]) -> NDArray[np.uint32]:
    """Return colours, shape (..., 3), as the red-green-blue-alpha bytes of a canvas, uint32."""
    if values.dtype == np.uint16:
        values = values >> 8
    elif values.dtype.kind == "f":
        values = np.clip(np.nan_to_num(values) * 255 + 0.5, 0, 255)
    pixels = np.full((*values.shape[:-1], 4), 255, dtype=np.uint8)
    pixels[..., :3] = values[..., :3]
    return pixels.view(np.uint32)[..., 0]
