"""Frames whose values are those of their source: the stored pixels are taken over as they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from imagedata_xr.errors import PixelError
from imagedata_xr.formats.dicom.write.derived import PALETTES, mark_derived
from imagedata_xr.formats.dicom.write.instances import drop_drawn, put_grid_format
from imagedata_xr.formats.dicom.write.multiframe import is_segmentation
from imagedata_xr.formats.dicom.write.patch import PatchedHeader, drop_range

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from imagedata_xr.formats.dicom.write.source_headers import Cut, SourceFrames
    from imagedata_xr.frames import Frame

__all__ = ["Copy", "copy_of"]

# Those of a mosaic or of a whole frame do not hold for a part.
OF_THE_WHOLE = (
    "IconImageSequence",
    "LargestImagePixelValue",
    "SmallestImagePixelValue",
    "AcquisitionMatrix",
)
PART = "Part of the source image, pixel values unchanged"


@dataclass(slots=True, eq=False)
class Copy:
    """
    A frame as its source has it.

    Attributes
    ----------
    header : Dataset
        The source's, for this file's own use, with the format of the pixels.
    frame : Frame
    data : bytes or memoryview
        Stored pixels, native.
    is_whole : bool
        It is all of the stored image, in its order of rows and columns.
    """

    header: Any
    frame: Frame
    data: bytes | memoryview
    is_whole: bool

    def mark_part(self) -> None:
        """Say that the image is a part of its source."""
        if self.frame.ref.tile is not None:
            # Vendors' elements say how many slices the mosaic has.
            self.header.remove_private_tags()
        for keyword in OF_THE_WHOLE:
            if keyword in self.header:
                delattr(self.header, keyword)
        drop_drawn(self.header)
        mark_derived(self.header, [self.frame], PART)


def copy_of(
    sources: SourceFrames, frame: Frame, cut: Cut | None, plane: NDArray[Any] | None
) -> Copy | str:
    """
    Return a frame as a copy of its source, or the reason why it is none.

    Parameters
    ----------
    sources : SourceFrames
    frame : Frame
        The source of the frame.
    cut : Cut or None
        Which of its pixels the frame consists of.
    plane : ndarray or None
        Values of the array; None where they are those of the source for sure.
    """
    if cut is None:
        return "the positions are others"
    if frame.ref.format.real:
        return "the pixels are stored as floats"
    header = sources.dataset(frame.hash)
    if is_segmentation(frame.values):
        return "the source is a segmentation"
    if plane is not None and not _is_equal(sources, frame, cut, plane):
        return "pixel values are others"
    whole = cut.whole and sources.stands_alone(frame)
    form = frame.ref.format
    as_stored = cut.whole and frame.ref.tile is None and form.bits_allocated >= 8
    if as_stored and frame.ref.length and frame.ref.offset is not None:
        # Not through the reader: bits above those stored may be overlays.
        ref = frame.ref
        data: bytes | memoryview | None = None
        assert ref.offset is not None
        if isinstance(header, PatchedHeader):
            data = header.stored(ref.offset, ref.length)
        if data is None:
            data = ref.source.read(ref.offset, ref.length)
        if len(data) != ref.length:
            raise PixelError(f"{ref.source.name}: the pixels are truncated")
        return Copy(header, frame, data, whole)
    stored = _cut(sources.pixels(frame), cut)
    if stored.ndim == 3 and form.palette_bits:
        drop_range(header, *PALETTES)
    bits = min(form.bits_stored, stored.dtype.itemsize * 8)
    put_grid_format(header, stored, bits=None if form.palette_bits else bits)
    return Copy(header, frame, np.ascontiguousarray(stored).tobytes(), whole)


def _is_equal(sources: SourceFrames, frame: Frame, cut: Cut, plane: NDArray[Any]) -> bool:
    """Compare with the source's values, computed in the types that a reader may have taken."""
    kinds = [plane.dtype]
    if plane.dtype.kind == "f":
        kinds = [np.dtype("f4"), np.dtype("f8")]
    real = plane.dtype.kind == "f"
    return any(
        np.array_equal(_cut(sources.pixels(frame, kind), cut), plane, equal_nan=real)
        for kind in kinds
    )


def _cut(values: NDArray[Any], cut: Cut) -> NDArray[Any]:
    return values if cut.whole else values[np.ix_(cut.rows, cut.columns)]
