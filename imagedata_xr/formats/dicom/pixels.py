"""
Pixels of one frame: from the file's bytes to values in real-world units.

Native pixels are read at their offset, without a DICOM library; everything else (compressed,
deflated, colour spaces) is left to `decoding`.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from functools import lru_cache
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from imagedata_xr.errors import PixelError
from imagedata_xr.formats.dicom.decoding import decoded, is_parallel
from imagedata_xr.formats.dicom.pixeltypes import result_dtype, stored_dtype, stored_range
from imagedata_xr.sources import LocalFile, read_parts

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt

    from imagedata_xr.frames import PixelFormat, PixelRef

__all__ = ["PixelReader", "reader_for"]

# Bytes of frames that are read and converted together: they stay in the cache of a core.
_TOGETHER = 1 << 18


@dataclass(frozen=True, slots=True)
class PixelReader:
    """
    Reads frames of one size and type.

    Attributes
    ----------
    shape : tuple of int
        Rows and columns, and 3 for colour.
    dtype : numpy.dtype
    rescale : bool
        Apply each frame's slope and intercept. Where that gives floating point values, stored
        values that stand for none (Pixel Padding Value) become NaN.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    rescale: bool = True

    def read(self, ref: PixelRef, out: npt.NDArray[Any]) -> None:
        """
        Put a frame's values into `out`.

        Raises
        ------
        PixelError
            The pixels are truncated or cannot be decoded.
        MissingDependencyError
            A decoder for the transfer syntax is not installed.
        SourceError
            The file cannot be read any more.
        """
        if self._straight((ref,), 0, out[np.newaxis]):
            return
        stored = self._tile(ref) if ref.tile is not None else _whole(ref)
        if stored.shape != self.shape:
            raise PixelError(
                f"{ref.source.name}: the pixels have the shape {stored.shape}, the header says "
                f"{self.shape}"
            )
        if _same_bits(stored.dtype, out.dtype):
            stored = stored.view(out.dtype)
        self._put(stored, ref, ref.slope, out)

    def _put(
        self, stored: npt.NDArray[Any], ref: PixelRef, slope: Any, out: npt.NDArray[Any]
    ) -> None:
        """Put what stored values mean into `out`, which may hold them."""
        real = ref.format.real
        if self.rescale and not ref.format.colour and not real:
            self._rescale(stored, slope, ref.intercept, out)
        elif stored is not out:
            out[...] = stored
        if ref.padding is not None and self.rescale and self.dtype.kind == "f" and not real:
            first, last = ref.padding
            out[(stored >= first) & (stored <= last)] = np.nan

    def _rescale(
        self, stored: npt.NDArray[Any], slope: Any, intercept: float, out: npt.NDArray[Any]
    ) -> None:
        """Put slope times stored value plus intercept into `out`, in its own type at each step."""
        source = stored
        if isinstance(slope, np.ndarray) or slope != 1:
            factor = slope if isinstance(slope, np.ndarray) else self.dtype.type(slope)
            np.multiply(source, factor, out=out, dtype=self.dtype)
            source = out
        if intercept != 0:
            np.add(source, self.dtype.type(intercept), out=out, dtype=self.dtype)
            source = out
        if source is not out:
            out[...] = source

    def at_once(self, ref: PixelRef) -> bool:
        """Tell whether several frames are decoded at once by several threads."""
        return not ref.length and ref.tile is None and is_parallel(ref)

    def read_rows(self, ref: PixelRef, first: int, out: npt.NDArray[Any]) -> None:
        """
        Put some rows of a frame into `out`, without reading the others where that is possible.

        Parameters
        ----------
        ref : PixelRef
        first : int
            Number of the first row.
        out : ndarray, shape (rows, columns) or (rows, columns, 3)

        Raises
        ------
        PixelError, MissingDependencyError, SourceError
            As `read` does.
        """
        count, form = len(out), ref.format
        if not count or self._straight((ref,), first, out[np.newaxis]):
            return
        if count == self.shape[0]:
            self.read(ref, out)
        elif ref.length and ref.offset is not None and ref.tile is None and form.samples == 1:
            width = form.columns * form.bits_allocated // 8
            part = replace(
                ref,
                format=_of_rows(form, count),
                offset=ref.offset + first * width,
                length=count * width,
            )
            replace(self, shape=out.shape).read(part, out)
        else:
            frame = np.empty(self.shape, self.dtype)
            self.read(ref, frame)
            out[...] = frame[first : first + count]

    def read_frames(self, refs: Sequence[PixelRef], first: int, out: npt.NDArray[Any]) -> None:
        """
        Put some rows of several frames into `out`, in as few steps as they allow.

        Parameters
        ----------
        refs : sequence of PixelRef
        first : int
            Number of the first row.
        out : ndarray, shape (frames, rows, columns) or (frames, rows, columns, 3)

        Raises
        ------
        PixelError, MissingDependencyError, SourceError
            As `read` does: of the first frame that cannot be read.
        """
        together = max(1, _TOGETHER // max(1, out[0].nbytes))
        room = np.empty(together * out[0].nbytes, np.uint8)
        for start in range(0, len(refs), together):
            some, places = refs[start : start + together], out[start : start + together]
            if not places.size or self._straight(some, first, places, room):
                continue
            for ref, place in zip(some, places, strict=True):
                self.read_rows(ref, first, place)

    def _straight(
        self,
        refs: Sequence[PixelRef],
        first: int,
        out: npt.NDArray[Any],
        room: npt.NDArray[np.uint8] | None = None,
    ) -> bool:
        """
        Read native rows of local files, from `first` on, without a copy between; False for others.

        Where their type is as wide as that of `out`, they are read to their place: integers that
        fit in both are the same bits, up to a multiple of the type's range. Others are read to
        `room`, if they fit in it.
        """
        form = refs[0].format
        if form.samples > 1 or out.ndim != 3 or out.shape[2] != form.columns:
            return False
        dtype = stored_dtype(form)
        row = form.columns * dtype.itemsize
        whole = form.rows * row
        if first + out.shape[1] > form.rows:
            return False
        files, starts = [], []
        for ref in refs:
            file, start = ref.source, ref.offset
            if (
                ref.length != whole
                or start is None
                or ref.tile is not None
                or type(file) is not LocalFile
                or (ref.format is not form and ref.format != form)
            ):
                return False
            files.append(file)
            starts.append(start + first * row)
        there = _same_bits(dtype, out.dtype) and out.flags.c_contiguous
        place = out.view(dtype) if there else _array(out.shape, dtype, room)
        count = read_parts(files, starts, place.data.cast("B"))
        if count < place.nbytes:
            number, count = divmod(count, place[0].nbytes)
            raise _cut_off(refs[number], count)
        if not form.real:
            _clean(place, form, place)
        self._put_each(out if there else place, refs, out)
        return True

    def _put_each(
        self, stored: npt.NDArray[Any], refs: Sequence[PixelRef], out: npt.NDArray[Any]
    ) -> None:
        """Put what the stored values of several frames mean into `out`: at once where they can."""
        one = refs[0]
        if not one.format.colour and all(
            ref.intercept == one.intercept and ref.padding == one.padding for ref in refs
        ):
            slope: Any = one.slope
            if self.rescale and any(ref.slope != slope for ref in refs):
                slope = np.array([self.dtype.type(ref.slope) for ref in refs])[:, None, None]
            self._put(stored, one, slope, out)
            return
        for values, ref, place in zip(stored, refs, out, strict=True):
            self._put(values, ref, ref.slope, place)

    def _tile(self, ref: PixelRef) -> npt.NDArray[Any]:
        """Cut a slice out of the stored image that holds it beside others."""
        assert ref.tile is not None
        row, column = ref.tile
        if not ref.length or ref.offset is None:
            values = _decoded_once(replace(ref, number=0, tile=None, slope=1.0, intercept=0.0))
            band = values[row : row + self.shape[0]]
        else:
            width = ref.format.columns * ref.format.bits_allocated // 8 * ref.format.samples
            form = replace(ref.format, rows=self.shape[0])
            length = width * self.shape[0]
            band = _native(
                replace(ref, format=form, offset=ref.offset + row * width, length=length)
            )
        return band[:, column : column + self.shape[1]]


def _same_bits(one: np.dtype[Any], other: np.dtype[Any]) -> bool:
    """Tell whether values that fit in both types are the same bits, in native byte order."""
    return one == other or (
        one.itemsize == other.itemsize
        and one.kind in "iu"
        and other.kind in "iu"
        and one.isnative
        and other.isnative
    )


def _array(
    shape: tuple[int, ...], dtype: np.dtype[Any], room: npt.NDArray[np.uint8] | None
) -> npt.NDArray[Any]:
    """Return an array, in memory that is there if it fits."""
    count = prod(shape) * dtype.itemsize
    if room is None or room.size < count:
        return np.empty(shape, dtype)
    return room[:count].view(dtype).reshape(shape)


@lru_cache(maxsize=64)
def _of_rows(form: PixelFormat, rows: int) -> PixelFormat:
    return replace(form, rows=rows)


def reader_for(
    refs: Iterable[PixelRef], shape: tuple[int, int], *, rescale: bool = True
) -> PixelReader:
    """
    Return the reader for frames that become one array.

    Parameters
    ----------
    refs : iterable of PixelRef
        All frames of the array.
    shape : tuple of int
        Rows and columns of a frame.
    rescale : bool
        Apply Rescale Slope and Intercept: exact integers if they are integers, else float32
        (float64 for more than 16 bits stored). False gives the stored values.
    """
    refs = list(refs)
    dtype = result_dtype(refs, rescale=rescale)
    colour = refs[0].format.colour
    if refs[0].format.palette_bits:
        dtype = np.dtype(f"u{max(ref.format.palette_bits for ref in refs) // 8}")
    return PixelReader((*shape, 3) if colour else shape, dtype, rescale)


def _whole(ref: PixelRef) -> npt.NDArray[Any]:
    return _native(ref) if ref.length else _decoded(ref)


@lru_cache(maxsize=2)
def _decoded_once(ref: PixelRef) -> npt.NDArray[Any]:
    """Decode the image that neighbouring slices are cut from only once for all of them."""
    values = _decoded(ref)
    values.flags.writeable = False
    return values


def _native(ref: PixelRef) -> npt.NDArray[Any]:
    form = ref.format
    if ref.offset is None:
        raise PixelError(f"{ref.source.name}: no native pixels")
    data = ref.source.read(ref.offset, ref.length)
    if len(data) < ref.length:
        raise _cut_off(ref, len(data))
    dtype = stored_dtype(form)
    values = np.frombuffer(data, dtype.newbyteorder("<"))
    if form.samples > 1:
        values = _interleaved(values, form)
    else:
        values = values.reshape(form.rows, form.columns)
    if form.real:
        return values
    return _clean(values, form)


def _cut_off(ref: PixelRef, count: int) -> PixelError:
    return PixelError(f"{ref.source.name}: truncated: {count} of {ref.length} bytes of pixel data")


def _interleaved(values: npt.NDArray[Any], form: PixelFormat) -> npt.NDArray[Any]:
    if form.planar:
        return values.reshape(form.samples, form.rows, form.columns).transpose(1, 2, 0)
    return values.reshape(form.rows, form.columns, form.samples)


def _clean(
    values: npt.NDArray[Any], form: PixelFormat, out: npt.NDArray[Any] | None = None
) -> npt.NDArray[Any]:
    """
    Keep the bits stored, with their sign: the others may hold overlays or garbage.

    Parameters
    ----------
    values : ndarray
    form : PixelFormat
    out : ndarray, optional
        Where to put the result, if anything has to be changed.
    """
    above = form.bits_allocated - 1 - form.high_bit
    below = form.high_bit + 1 - form.bits_stored
    if above == 0 and below == 0:
        return values
    if below == 0 and values.dtype.kind == "u":
        mask = values.dtype.type((1 << form.bits_stored) - 1)
        return np.asarray(np.bitwise_and(values, mask, out=out))
    native = np.left_shift(values, above, out=out, dtype=values.dtype.newbyteorder("="))
    return np.asarray(np.right_shift(native, above + below, out=native))


def _decoded(ref: PixelRef) -> npt.NDArray[Any]:
    form = ref.format
    values = decoded(ref)
    if form.samples > 1 or form.palette_bits or form.real or not _has_other_bits(values, form):
        return values
    return _clean(values, form)


def _has_other_bits(values: npt.NDArray[Any], form: PixelFormat) -> bool:
    """Tell whether bits above those stored are set: decoders differ in what they do about it."""
    low, high = stored_range(form)
    return values.dtype.kind in "iu" and bool(values.min() < low or values.max() > high)


if sys.byteorder != "little":
    raise ImportError("imagedata_xr needs a little-endian machine")
