"""
The voxels of a NIfTI file: which type they get, and how they are written without loading them all.

No value is changed silently: a conversion to integers must be exact, and one to shorter floats
happens only where the caller names the type.
"""

from __future__ import annotations

import contextlib
import importlib
import math
import shutil
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TypeAlias

import numpy as np

from imagedata_xr.errors import OptionError, WriteError
from imagedata_xr.formats.nifti.packed import packed
from imagedata_xr.schema import COLUMN, RGB, ROW, SLICE, SPATIAL

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from concurrent.futures import Executor, Future
    from pathlib import Path

    import xarray as xr
    from numpy.typing import DTypeLike, NDArray

    from imagedata_xr.formats.nifti.layout import Layout

    DType: TypeAlias = np.dtype[Any]

__all__ = ["Voxels", "in_memory", "target_dtype", "write_voxels"]

KEPT: Final = ("i1", "u1", "i2", "u2", "i4", "u4", "f4", "f8", "c8", "c16")
ON_REQUEST: Final = (*KEPT, "i8", "u8")
EXACT: Final = ("u1", "i2", "u2", "i4", "u4")
COLOURS: Final = 3
COPY_LENGTH: Final = 1 << 20
# Small enough for the processor's own memory, large enough for the disk.
PIECE: Final = 1 << 20


def target_dtype(da: xr.DataArray, dtype: DTypeLike | None, layout: Layout) -> DType:
    """
    Return the little-endian type of the voxels in the file.

    Parameters
    ----------
    da : xarray.DataArray
    dtype : dtype-like, optional
        The caller's wish. By default the type of the array where NIfTI has it; bool becomes
        uint8, float16 float32, and 64-bit integers the smallest type that holds every value
        (which reads the voxels once more).
    layout : Layout

    Raises
    ------
    OptionError
        Where `dtype` is no type of a NIfTI file.
    WriteError
        Where NIfTI has no type for the voxels.
    """
    source = da.dtype.newbyteorder("=")
    if layout.is_rgb:
        return _colour_dtype(da, dtype)
    if dtype is not None:
        wanted = np.dtype(dtype).newbyteorder("=")
        if wanted not in [np.dtype(code) for code in ON_REQUEST]:
            raise OptionError(f"dtype={dtype!r}: NIfTI voxels are one of {_names(ON_REQUEST)}")
        if source.kind == "c" and wanted.kind != "c":
            raise OptionError(
                f"dtype={dtype!r} would drop the imaginary part: write abs(da), da.real or da.imag"
            )
        return wanted.newbyteorder("<")
    if source.kind == "b":
        return np.dtype("u1")
    if source == np.dtype("f2"):
        return np.dtype("<f4")
    if source.kind in "iu" and source.itemsize == 8:
        return _smallest_exact(da, layout)
    if source not in [np.dtype(code) for code in KEPT]:
        raise WriteError(
            f"NIfTI has no voxels of type {source}: convert with astype to one of {_names(KEPT)}"
        )
    return source.newbyteorder("<")


@dataclass(frozen=True, slots=True, eq=False)
class Voxels:
    """
    What goes into the file.

    Attributes
    ----------
    array : xarray.DataArray
    layout : Layout
        Of `array`.
    dtype : dtype
        Of the voxels in the file, see `target_dtype`.
    """

    array: xr.DataArray
    layout: Layout
    dtype: DType


def write_voxels(path: Path, voxels: Voxels, header: bytes, *, gzipped: bool) -> None:
    """
    Write the header and the voxels, one volume (or one Dask chunk) at a time.

    Chunks of a Dask array are computed together, in whatever order they come, and written where
    they belong; workers in other processes must see the folder. A compressed Dask array needs
    the uncompressed size on the disk while it is written.

    Parameters
    ----------
    path : Path
        A new file.
    voxels : Voxels
    header : bytes
        All that comes before the voxels.
    gzipped : bool

    Raises
    ------
    WriteError
        Where a value does not fit into the type of the file.
    """
    if not gzipped and voxels.array.variable._in_memory:  # noqa: SLF001 - xarray has no public name for it
        # A thread costs more here than it hides: to turn planes takes less time than to write them.
        with path.open("xb") as file:
            file.write(header)
            for piece in _pieces(_volumes(voxels.array, voxels.layout), voxels.dtype, anew=False):
                file.write(piece.data)
        return
    if voxels.array.chunks is None:
        # What packs in threads gives up, without an error, when the thread that began it has ended.
        with ThreadPoolExecutor(1) as thread, _opened(path, gzipped=gzipped) as file:
            file.write(header)
            volumes = _volumes(voxels.array, voxels.layout)
            # What packs may still hold the last piece when it gets the next one.
            _write_behind(thread, file, _pieces(volumes, voxels.dtype, anew=gzipped))
        return
    plain = path.with_stem(f"{path.stem}-plain") if gzipped else path
    try:
        plain.write_bytes(header)
        _store(plain, voxels, len(header))
        if gzipped:
            _compress(plain, path)
    finally:
        if gzipped:
            plain.unlink(missing_ok=True)


def in_memory(voxels: Voxels) -> NDArray[Any]:
    """
    Return the voxels as they would be in the file, in C order: that of the file reversed.

    Raises
    ------
    WriteError
        Where a value does not fit into the type of the file.
    """
    layout = voxels.layout
    colour = (COLOURS,) if layout.is_rgb else ()
    result = np.empty((*layout.shape, *colour), voxels.dtype)
    lead = layout.shape[: len(layout.acquisition)]
    volumes = _volumes(voxels.array.compute(), layout)
    for index, volume in zip(np.ndindex(lead), volumes, strict=True):
        result[index] = _converted(volume, voxels.dtype)
    return result


def _compress(source: Path, target: Path) -> None:
    """Write a gzip copy of a file."""
    with source.open("rb") as plain, _opened(target, gzipped=True) as file:
        shutil.copyfileobj(plain, file, COPY_LENGTH)


@dataclass(frozen=True, slots=True)
class _Region:
    """
    Part of a file that takes chunks of an array in any order, from any process.

    Attributes
    ----------
    path : Path
        An existing file.
    offset : int
        Where the first voxel stands, bytes.
    shape : tuple of int
        Of the whole array, C order.
    dtype : dtype
    """

    path: Path
    offset: int
    shape: tuple[int, ...]
    dtype: DType

    def __setitem__(self, region: tuple[slice, ...], block: NDArray[Any]) -> None:
        spans = [s.indices(n) for s, n in zip(region, self.shape, strict=True)]
        block = np.ascontiguousarray(block, dtype=self.dtype)
        # Bytes of one run follow each other in the file: every axis behind the split is whole.
        split = len(spans)
        while split > 0 and block.shape[split - 1] == self.shape[split - 1]:
            split -= 1
        lead = max(split - 1, 0)
        strides = [math.prod(self.shape[k + 1 :]) for k in range(len(spans))]
        corner = sum(start * stride for (start, _, _), stride in zip(spans, strides, strict=True))
        # r+b: a chunk that is late after a failure must not bring the removed file back.
        with self.path.open("r+b") as file:
            for index in np.ndindex(block.shape[:lead]):
                place = corner + sum(i * strides[k] for k, i in enumerate(index))
                file.seek(self.offset + place * self.dtype.itemsize)
                file.write(np.ascontiguousarray(block[index]).data)


def _store(path: Path, voxels: Voxels, offset: int) -> None:
    """Compute a Dask array into the file."""
    dask_array = importlib.import_module("dask.array")
    layout, dtype = voxels.layout, voxels.dtype
    spatial, colour = _dims(voxels.array)
    data = voxels.array.transpose(*layout.acquisition, *spatial, *colour).data
    data = data[_in_file_order(spatial, len(layout.acquisition), layout)]
    data = data.map_blocks(_converted, dtype, dtype=dtype, meta=np.empty((0,) * data.ndim, dtype))
    shape = layout.shape + ((COLOURS,) if layout.is_rgb else ())
    dask_array.store(data, _Region(path, offset, shape, dtype), lock=False)


def _dims(da: xr.DataArray) -> tuple[list[str], list[str]]:
    """Return the spatial dimensions that the array has, and the colour dimension if any."""
    return [name for name in SPATIAL if name in da.dims], [RGB] if RGB in da.dims else []


def _volumes(da: xr.DataArray, layout: Layout) -> Iterator[NDArray[Any]]:
    """Yield the volumes in file order, each with the axes slice, row, column (and rgb)."""
    spatial, colour = _dims(da)
    order = _in_file_order(spatial, 0, layout)
    for index in np.ndindex(layout.shape[: len(layout.acquisition)]):
        # Load before transposing: a lazy backend array may not know how to turn its axes.
        volume = da.variable.isel(dict(zip(layout.acquisition, index, strict=True))).load()
        yield volume.transpose(*spatial, *colour).values[order]


def _pieces(volumes: Iterable[NDArray[Any]], dtype: DType, *, anew: bool) -> Iterator[NDArray[Any]]:
    """Yield some planes at a time, in memory that the second one behind them has too unless `anew`."""
    buffers: list[NDArray[Any]] = []
    for volume in volumes:
        if volume.dtype == dtype and volume.flags.c_contiguous:
            yield volume
            continue
        shape = volume.shape[1:]
        count = max(1, PIECE // max(1, math.prod(shape) * dtype.itemsize))
        if not buffers or buffers[0].shape[1:] != shape:
            buffers = [np.empty((min(count, len(volume)), *shape), dtype) for _ in range(2)]
        for at in range(0, len(volume), count):
            planes = _converted(volume[at : at + count], dtype)
            if anew:
                yield np.ascontiguousarray(planes)
                continue
            buffers.reverse()
            np.copyto(buffers[0][: len(planes)], planes)
            yield buffers[0][: len(planes)]


def _write_behind(thread: Executor, file: BinaryIO, pieces: Iterable[NDArray[Any]]) -> None:
    """Write pieces by a thread, while the next one is made."""
    writing: Future[int] | None = None
    try:
        for piece in pieces:
            if writing is not None:
                writing.result()
            writing = thread.submit(file.write, piece.data)
    finally:
        # The file is closed next, whatever went wrong.
        if writing is not None:
            wait((writing,))
    if writing is not None:
        writing.result()


def _in_file_order(spatial: list[str], before: int, layout: Layout) -> tuple[Any, ...]:
    """Return the index that turns rows and slices as the file has them, and adds axes of length 1."""
    reverse = slice(None, None, -1)
    turned = {SLICE: layout.reversed_slices, ROW: layout.reversed_rows, COLUMN: False}
    keys = [
        None if name not in spatial else reverse if turned[name] else slice(None)
        for name in SPATIAL
    ]
    return (*(slice(None),) * before, *keys, *(slice(None),) * layout.is_rgb)


def _converted(block: NDArray[Any], dtype: DType) -> NDArray[Any]:
    """Return the values in another type, or raise where one does not fit."""
    if block.dtype == dtype or block.dtype.kind == "b" or block.size == 0:
        return block.astype(dtype, copy=False)
    with np.errstate(all="ignore"):
        result = block.astype(dtype)
        if not _fits(block, result):
            raise WriteError(
                f"voxels of type {block.dtype} between {block.min()} and {block.max()} do not fit "
                f"into {dtype.name} without loss: choose a wider dtype=, or round and clip first"
            )
    return result


def _fits(block: NDArray[Any], result: NDArray[Any]) -> bool:
    if result.dtype.kind in "iu":
        info = np.iinfo(result.dtype)
        # NaN compares false.
        in_range = bool(block.min() >= info.min and block.max() <= info.max)
        return in_range and (block.dtype.kind in "iu" or np.array_equal(result, block))
    if block.dtype.kind in "iu":
        return np.array_equal(result.real.astype(block.dtype), block)
    return np.array_equal(np.isfinite(result), np.isfinite(block))


def _smallest_exact(da: xr.DataArray, layout: Layout) -> DType:
    """Return the smallest type that many programs read and that holds every value."""
    if da.chunks is None:
        ends = [(volume.min(), volume.max()) for volume in _volumes(da, layout)]
        low, high = min(int(a) for a, _ in ends), max(int(b) for _, b in ends)
    else:
        low, high = (
            int(v) for v in importlib.import_module("dask").compute(da.data.min(), da.data.max())
        )
    for code in EXACT:
        info = np.iinfo(code)
        if info.min <= low and high <= info.max:
            return np.dtype(code).newbyteorder("<")
    raise WriteError(
        f"{da.dtype} values between {low} and {high} need 64 bits, which few programs read: pass "
        f"dtype='{da.dtype}' to write them so, or dtype='float64' where that is exact"
    )


def _colour_dtype(da: xr.DataArray, dtype: DTypeLike | None) -> DType:
    if da.sizes[RGB] != COLOURS:
        raise WriteError(f"a colour has red, green and blue, not {da.sizes[RGB]} parts")
    if dtype is not None and np.dtype(dtype) != np.uint8:
        raise OptionError(f"dtype={dtype!r}: the colours of a NIfTI file are uint8 (RGB24)")
    if dtype is None and da.dtype != np.uint8:
        raise WriteError(
            f"the colours of a NIfTI file are uint8 (RGB24), not {da.dtype}: pass dtype='uint8' "
            "where all values are 0 to 255, else scale them first, e.g. (da // 256).astype('uint8')"
        )
    return np.dtype("u1")


@contextlib.contextmanager
def _opened(path: Path, *, gzipped: bool) -> Iterator[BinaryIO]:
    """Open a new file."""
    with packed(path) if gzipped else path.open("xb") as file:
        yield file


def _names(codes: tuple[str, ...]) -> str:
    return ", ".join(np.dtype(code).name for code in codes)
