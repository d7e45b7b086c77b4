"""
Pixels of segmentations: bits, fractions or labels of one frame.

Native frames of one bit a pixel follow each other without a gap between them (PS3.5 section
8.1.1), so that a frame may begin within a byte: just the bytes that hold its bits are read.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from imagedata_xr.errors import PixelError
from imagedata_xr.formats.dicom.pixels import PixelReader
from imagedata_xr.formats.dicom.pixeltypes import stored_dtype

if TYPE_CHECKING:
    import numpy.typing as npt

    from imagedata_xr.frames import PixelRef

__all__ = ["MaskReader"]

_RLE, _DEFLATED_FRAMES = "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.8.1"
_RLE_HEADER = 64


@dataclass(frozen=True, slots=True)
class MaskReader:
    """
    Reads frames of one segmentation.

    Attributes
    ----------
    shape : tuple of int
        Rows and columns.
    dtype : numpy.dtype
    maximum : int
        Divisor of the stored values: Maximum Fractional Value of fractions, else 1.
    binary : bool
        Whether a pixel is in the segment (1) or not (0), and nothing else.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    maximum: int = 1
    binary: bool = False

    def read(self, ref: PixelRef, out: npt.NDArray[Any]) -> None:
        """
        Put a frame's values into `out`.

        Raises
        ------
        PixelError
            The pixels are truncated or cannot be decoded, or a fraction is above the maximum.
        MissingDependencyError
            A decoder for the transfer syntax is not installed.
        SourceError
            The file cannot be read any more.
        """
        values = _stored(ref)
        if self.maximum != 1 and values.max() > self.maximum:
            raise PixelError(
                f"{ref.source.name}: frame {ref.number} holds {values.max()}, more than "
                f"MaximumFractionalValue ({self.maximum})"
            )
        if self.maximum != 1:
            np.divide(values, self.maximum, out=out, dtype=self.dtype)
        else:
            out[...] = values != 0 if self.binary else values


def _stored(ref: PixelRef) -> npt.NDArray[Any]:
    form = ref.format
    if form.bits_allocated == 1 and ref.length and ref.offset is not None:
        data = ref.source.read(ref.offset, ref.length)
        return _bits(data, ref, ref.number * form.rows * form.columns % 8)
    if form.syntax == _DEFLATED_FRAMES:
        data = _inflated(ref)
    elif form.syntax == _RLE and form.bits_allocated == 1:
        data = _unpacked(ref)
    else:
        # The decoders of pydicom cannot do the two above.
        values = np.empty((form.rows, form.columns), stored_dtype(form))
        PixelReader(values.shape, values.dtype, rescale=False).read(ref, values)
        return values
    if form.bits_allocated == 1:
        return _bits(data, ref)
    cells = stored_dtype(form).newbyteorder("<")
    size = form.rows * form.columns
    if len(data) < size * cells.itemsize:
        raise _too_short(ref, len(data))
    return np.frombuffer(data, cells, size).reshape(form.rows, form.columns)


def _bits(data: bytes, ref: PixelRef, first: int = 0) -> npt.NDArray[np.uint8]:
    """Return the pixels of a frame whose first one is a bit of the first byte, lowest bit first."""
    size = ref.format.rows * ref.format.columns
    if len(data) * 8 < first + size:
        raise _too_short(ref, len(data))
    packed = np.frombuffer(data, np.uint8)
    bits = np.unpackbits(packed, count=first + size, bitorder="little")[first:]
    return bits.reshape(ref.format.rows, ref.format.columns)


def _fragment(ref: PixelRef) -> bytes:
    """Return the bytes of an encapsulated frame (PS3.5 annex A.4)."""
    from pydicom import dcmread
    from pydicom.encaps import get_frame

    count = ref.format.frames
    with ref.source.open() as file:
        try:
            if ref.offset is None:
                data = dcmread(file, force=True).PixelData
                return get_frame(data, ref.number, number_of_frames=count)
            file.seek(ref.offset)
            return get_frame(file, ref.number, number_of_frames=count)
        except Exception as error:
            raise PixelError(
                f"{ref.source.name}: frame {ref.number} is not in Pixel Data: {error}"
            ) from error


def _inflated(ref: PixelRef) -> bytes:
    """Return a frame of the Deflated Image Frame Compression transfer syntax (PS3.5 A.4.13)."""
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(_fragment(ref))
    except zlib.error as error:
        raise PixelError(
            f"{ref.source.name}: frame {ref.number} cannot be inflated: {error}"
        ) from error


def _unpacked(ref: PixelRef) -> bytes:
    """Return the packed bits of an RLE frame, which has one segment (PS3.5 annex G)."""
    data = _fragment(ref)
    segments, start = (int.from_bytes(data[k : k + 4], "little") for k in (0, 4))
    if segments != 1 or start < _RLE_HEADER:
        raise PixelError(
            f"{ref.source.name}: frame {ref.number} of one bit a pixel has {segments} RLE segments"
        )
    found, at = bytearray(), start
    needed = -(-ref.format.rows * ref.format.columns // 8)
    while at < len(data) - 1 and len(found) < needed:
        code = data[at]
        if code < 128:
            found += data[at + 1 : at + 2 + code]
            at += 2 + code
        elif code > 128:
            found += data[at + 1 : at + 2] * (257 - code)
            at += 2
        else:
            at += 1
    return bytes(found)


def _too_short(ref: PixelRef, length: int) -> PixelError:
    form = ref.format
    return PixelError(
        f"{ref.source.name}: truncated: frame {ref.number} has {length} bytes, too few for "
        f"{form.rows} Rows x {form.columns} Columns of {form.bits_allocated} bits"
    )
