"""From the values of an array to the stored integers of its frames."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from imagedata_xr.errors import WriteError
from imagedata_xr.formats.dicom.write.classes import PET, SIXTEEN
from imagedata_xr.formats.dicom.write.values import (
    Encoding,
    choose_encoding,
    extent_of,
    frame_encoding,
)
from imagedata_xr.progress import track
from imagedata_xr.sources.ahead import by_threads, cores

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import DTypeLike, NDArray

    from imagedata_xr.formats.dicom.write.layout import Layout

__all__ = ["FEW", "encoding_of", "planes_of", "stored_frames"]

# To begin threads takes as long as some frames.
FEW: Final = 8


def planes_of(
    layout: Layout, what: str, *, progress: bool | None
) -> Iterator[tuple[tuple[int, ...], NDArray[Any]]]:
    """Yield index and values of each frame, with a progress bar."""
    planes = layout.planes()
    for _ in track(range(prod(layout.shape)), what, show=progress):
        yield next(planes)


def encoding_of(
    layout: Layout,
    sop_class: str,
    *,
    pixel: DTypeLike | None,
    padding: bool,
    progress: bool | None,
) -> tuple[Encoding, int]:
    """
    Return how all values are stored, and how many of them are NaN or infinite.

    Parameters
    ----------
    layout : Layout
    sop_class : str
        SOP Class UID.
    pixel : dtype-like or None
        What the caller wants.
    padding : bool
        Values that are NaN or infinite become a padding value.
    progress : bool or None

    Raises
    ------
    WriteError
        Colours are no bytes, or the class of object does not take these integers.
    """
    image, missing = layout.image, 0
    if layout.is_rgb:
        if image.dtype != np.uint8:
            raise WriteError(
                f"colours are written as uint8, not {image.dtype}: scale them first, e.g. "
                "(da // 256).astype('uint8')"
            )
        return Encoding(np.dtype(np.uint8)), missing
    sixteen = sop_class in SIXTEEN
    known = image.dtype.name in ("uint16", "int16") or (image.dtype.itemsize == 1 and not sixteen)
    if known and pixel is None:
        found = Encoding(np.dtype("uint8") if image.dtype.kind == "b" else image.dtype)
    else:
        planes = (plane for _, plane in planes_of(layout, "range", progress=progress))
        extent = extent_of(planes, padding=padding)
        missing = extent.missing
        found = choose_encoding(
            image.dtype,
            extent,
            pixel=pixel,
            sixteen=sixteen,
            through_zero=sop_class == PET,
        )
    if sixteen and found.dtype.itemsize != 2:
        raise WriteError(
            f"{found.dtype} pixels are none of this class of object, which has 16 bits: "
            "da.astype('float64') stores the values by slope and intercept, or "
            "SOPClassUID='1.2.840.10008.5.1.4.1.1.7' writes a Secondary Capture"
        )
    return found, missing


def stored_frames(
    layout: Layout, encoding: Encoding, *, each: bool, through_zero: bool, progress: bool | None
) -> Iterator[tuple[tuple[int, ...], Encoding, NDArray[Any]]]:
    """
    Yield the index of each frame, how it is stored, and the stored integers.

    Parameters
    ----------
    layout : Layout
    encoding : Encoding
        Of all frames.
    each : bool
        Each frame has a slope of its own.
    through_zero : bool
        Its intercept is 0.
    progress : bool or None
    """

    def encode(
        frame: tuple[tuple[int, ...], NDArray[Any]],
    ) -> tuple[tuple[int, ...], Encoding, NDArray[Any]]:
        index, plane = frame
        form = frame_encoding(encoding, plane, through_zero=through_zero) if each else encoding
        return index, form, form.encode(plane)

    # To scale numbers takes longer than all else; whole ones are written as they stand.
    whole = layout.image.dtype.kind in "biu"
    workers = 1 if whole or prod(layout.shape) < FEW else cores()
    frames = planes_of(layout, "writing", progress=progress)
    yield from by_threads(encode, frames, workers, waiting=2 * workers)
