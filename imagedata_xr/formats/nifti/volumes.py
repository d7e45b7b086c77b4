"""The voxels of a NIfTI file as an array that reads the parts it is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

from imagedata_xr.errors import FormatError
from imagedata_xr.lazy import FrameArray

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from imagedata_xr.formats.nifti.header import NiftiHeader

__all__ = ["Bytes", "VoxelArray", "result_dtype"]

MOST_AT_ONCE: Final = 8 << 20
INTEGERS: Final = ("u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8")
# Between these, float64 and every integer type hold all whole numbers.
EXACT: Final = 2**53
# Products of float32 and a factor between these are float32.
SMALL: Final = 1e-20
LARGE: Final = 1e20


class Bytes(Protocol):
    """Where the voxels are: a file, or an inflated one."""

    @property
    def name(self) -> str:
        """The name to show to a person."""

    def read(self, start: int, length: int) -> bytes:
        """Return bytes, fewer at the end."""


def result_dtype(header: NiftiHeader, *, rescale: bool) -> np.dtype[Any]:
    """
    Return the smallest type that holds every value exactly: integers if they can be.

    Fractions are float32 where stored numbers have up to 16 bits or are float32, else float64.

    Parameters
    ----------
    header : NiftiHeader
    rescale : bool
        Whether ``scl_slope`` and ``scl_inter`` are applied.
    """
    stored = header.dtype.newbyteorder("=")
    slope, inter = header.slope, header.inter
    if not rescale or (slope, inter) == (1, 0):
        return stored
    if stored.kind in "iu" and slope.is_integer() and inter.is_integer():
        info = np.iinfo(stored)
        ends = [int(slope) * int(end) + int(inter) for end in (info.min, info.max)]
        if max(map(abs, (*ends, slope, inter))) < EXACT:
            for kind in INTEGERS:
                wide = np.iinfo(kind)
                if wide.min <= min(ends) and max(ends) <= wide.max:
                    return np.dtype(kind)
    if stored.kind == "c" or stored.itemsize > 4:
        return stored if stored.kind in "fc" else np.dtype(np.float64)
    usual = all(value == 0 or SMALL < abs(value) < LARGE for value in (slope, inter))
    short = stored.kind == "f" or stored.itemsize <= 2
    return np.dtype(np.float32 if short and usual else np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """Planes that follow each other in the file: from which byte, how many, and which rows."""

    start: int
    planes: slice
    rows: int


class VoxelArray(FrameArray):
    """
    The axes of the file in C order, those behind the third in an order of one's own.

    Parameters
    ----------
    source : Bytes
        Where the voxels are.
    header : NiftiHeader
    order : tuple of int
        Which axis in C order (the last of the file first) each leading axis of the array is.
    rescale : bool
        Apply ``scl_slope`` and ``scl_inter``.
    """

    def __init__(
        self, source: Bytes, header: NiftiHeader, order: tuple[int, ...], *, rescale: bool = True
    ) -> None:
        self.source = source
        self.stored = header.dtype
        self.offset = header.offset
        self.parts = (header.parts,) if header.parts > 1 else ()
        self.file_shape = header.shape[::-1] + self.parts
        self.order = (*order, *range(len(order), len(self.file_shape)))
        self.shape = tuple(self.file_shape[axis] for axis in self.order)
        self.dtype = result_dtype(header, rescale=rescale)
        self.scale = (header.slope, header.inter) if rescale else (1.0, 0.0)

    def _read(self, key: tuple[Any, ...]) -> NDArray[Any]:
        asked = dict(zip(self.order, key, strict=True))
        picks = [
            np.atleast_1d(np.arange(size)[asked[axis]]) for axis, size in enumerate(self.file_shape)
        ]
        whole = np.transpose(self._picked(picks), self.order)
        return whole[tuple(0 if isinstance(k, int | np.integer) else slice(None) for k in key)]

    def _picked(self, picks: list[NDArray[np.intp]]) -> NDArray[Any]:
        """Return the voxels at the crossings of the picked indices, in the order of the file."""
        shape = tuple(pick.size for pick in picks)
        frame = len(self.parts) + 2
        leading, (rows, columns) = picks[:-frame], picks[len(picks) - frame :][:2]
        if 0 in shape:
            return np.empty(shape, self.dtype)
        straight = getattr(self.source, "read_into", None)
        if straight is not None and self._is_all(picks):
            return self._all(shape, straight)
        planes = np.ravel_multi_index(np.ix_(*leading), self.file_shape[:-frame]).ravel()
        order = np.argsort(planes, kind="stable")
        result = np.empty((planes.size, *shape[-frame:]), self.dtype)
        first = int(rows.min())
        within = [_as_slice(rows - first), _as_slice(columns)]
        within += [_as_slice(pick) for pick in picks[len(picks) - len(self.parts) :]]
        for run in self._runs(planes[order], first, int(rows.max())):
            block = self._block(run)
            for axis, part in enumerate(within, start=1):
                block = block[(slice(None),) * axis + (part,)]
            result[_as_slice(order[run.planes])] = self._values(block)
        return result.reshape(shape)

    def _is_all(self, picks: list[NDArray[np.intp]]) -> bool:
        """Tell whether all voxels are wanted, in the order and type of the file."""
        whole = all(
            pick.size == size and (pick == np.arange(size)).all()
            for pick, size in zip(picks, self.file_shape, strict=True)
        )
        return whole and self.stored == self.dtype and self.scale == (1, 0)

    def _all(self, shape: tuple[int, ...], read_into: Callable[[int, Any], int]) -> NDArray[Any]:
        """Return all voxels, read right to their place."""
        result = np.empty(shape, self.dtype)
        there = read_into(self.offset, result.reshape(-1).view(np.uint8).data)
        if there != result.nbytes:
            raise self._broken(there, result.nbytes, self.offset)
        return result

    def _broken(self, there: int, length: int, start: int) -> FormatError:
        return FormatError(
            f"{self.source.name}: the voxels break off: {there} of {length} bytes at {start}"
        )

    def _runs(self, planes: NDArray[np.intp], first: int, last: int) -> Iterator[Run]:
        """Yield what is read at once."""
        rows, columns = self.file_shape[len(self.file_shape) - len(self.parts) - 2 :][:2]
        line = columns * self.stored.itemsize * (self.parts[0] if self.parts else 1)
        whole = first == 0 and last == rows - 1
        breaks = np.flatnonzero(np.diff(planes) != 1) + 1 if whole else np.arange(1, planes.size)
        most = max(1, MOST_AT_ONCE // (rows * line))
        for begin, end in zip([0, *breaks.tolist()], [*breaks.tolist(), planes.size], strict=True):
            for at in range(begin, end, most):
                start = self.offset + (int(planes[at]) * rows + first) * line
                yield Run(start, slice(at, min(at + most, end)), last - first + 1)

    def _block(self, run: Run) -> NDArray[Any]:
        columns = self.file_shape[len(self.file_shape) - len(self.parts) - 1]
        shape = (run.planes.stop - run.planes.start, run.rows, columns, *self.parts)
        length = int(np.prod(shape, dtype=object)) * self.stored.itemsize
        data = self.source.read(run.start, length)
        if len(data) != length:
            raise self._broken(len(data), length, run.start)
        return np.frombuffer(data, self.stored).reshape(shape)

    def _values(self, block: NDArray[Any]) -> NDArray[Any]:
        slope, inter = self.scale
        if (slope, inter) == (1, 0):
            return block
        if self.dtype.kind in "iu":
            return (block.astype(np.int64) * int(slope) + int(inter)).astype(self.dtype)
        wide = block.astype(np.result_type(block.dtype, np.float64))
        with np.errstate(all="ignore"):
            return (wide * slope + inter).astype(self.dtype)


def _as_slice(indices: NDArray[np.intp]) -> NDArray[np.intp] | slice:
    """Return indices that follow each other as a slice, which copies nothing."""
    if indices.size and (np.diff(indices) == 1).all():
        return slice(int(indices[0]), int(indices[-1]) + 1)
    return indices
