"""
Multi-frame objects without functional groups: RT dose, nuclear medicine, cine, secondary capture.

The Multi-frame module (PS3.3 C.7.6.6) says with Frame Increment Pointer what changes from frame to
frame; RT Dose (C.8.8.3) and NM Reconstruction (C.8.4.15) give their frames places in the patient.
"""

from __future__ import annotations

from itertools import accumulate
from math import isfinite
from typing import TYPE_CHECKING, Any

from imagedata_xr.errors import FormatError
from imagedata_xr.formats.dicom.enhanced import frame_count
from imagedata_xr.formats.dicom.framevalues import FrameValues
from imagedata_xr.formats.dicom.headers.dictionary import KEYWORD_OF
from imagedata_xr.formats.dicom.nested import sequences_of
from imagedata_xr.formats.dicom.vendors.raw import unit
from imagedata_xr.frames import Frame, PixelRef

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imagedata_xr.formats.dicom.headers import Header
    from imagedata_xr.formats.dicom.vendors.raw import Vector
    from imagedata_xr.frames import Value

__all__ = ["multiframe_frames"]

_DETECTORS = 0x00540022
_POSITION, _ORIENTATION = 0x00200032, 0x00200037


def multiframe_frames(header: Header) -> list[Frame]:
    """
    Return the frames of a multi-frame object without functional groups, in their stored order.

    Their values hold, beside the instance's, ``FrameNumber`` (from 1), ``FrameTimeOffset`` in ms
    from the first frame where Frame Time (0018,1063) or Frame Time Vector (0018,1065) are given,
    and the frame's own number out of each vector that Frame Increment Pointer names (NM).

    Raises
    ------
    FormatError
        A count, vector or position is missing or contradicts the others.
    """
    from imagedata_xr.formats.dicom import instance

    form = instance.pixel_format(header)
    offset, length = instance.native_location(header, form)
    count = frame_count(header, length)
    orientation, positions = _geometry(header, count)
    slope, intercept = instance.rescale(header)
    own = _own_values(header, count)
    thickness = header.get("SliceThickness")
    common = instance.header_values(header)
    spacing = instance.floats(header, "PixelSpacing", 2)
    return [
        Frame(
            ref=PixelRef(
                header.source,
                form,
                number,
                None if offset is None else offset + number * length,
                length,
                slope,
                intercept,
            ),
            uid=str(header.get("SOPInstanceUID") or ""),
            shape=(form.rows, form.columns),
            position=positions[number],
            orientation=orientation,
            spacing=spacing,
            thickness=float(thickness) if isinstance(thickness, float) and thickness else None,
            values=FrameValues(common, {**own[number], "ImagePositionPatient": positions[number]}),
        )
        for number in range(count)
    ]


def _own_values(header: Header, count: int) -> list[dict[str, Value]]:
    from imagedata_xr.formats.dicom import instance

    found: list[dict[str, Value]] = [{"FrameNumber": number + 1} for number in range(count)]
    if instance.is_dose(header.get) and header.get("DoseUnits") == "GY":
        for values in found:
            values["Units"] = "Gy"
    for name, numbers in (*_vectors(header, count), ("FrameTimeOffset", _times(header, count))):
        for values, number in zip(found, numbers, strict=False):
            values[name] = number
    return found


def _vectors(header: Header, count: int) -> list[tuple[str, Sequence[Any]]]:
    """Return the vectors that Frame Increment Pointer (0028,0009) names and that fit."""
    pointer = header.get("FrameIncrementPointer")
    tags = pointer if isinstance(pointer, tuple) else (pointer,)
    found: list[tuple[str, Sequence[Any]]] = []
    for tag in tags:
        keyword = KEYWORD_OF.get(tag) if isinstance(tag, int) else None
        vector = header.get(keyword) if keyword is not None else None
        if keyword is not None and isinstance(vector, tuple) and len(vector) == count:
            found.append((keyword, vector))
    return found


def _times(header: Header, count: int) -> Sequence[float]:
    """Return the ms of every frame from the first one; nothing where they are unknown."""
    steps = header.get("FrameTimeVector")
    if isinstance(steps, tuple) and len(steps) == count:
        if not all(isinstance(step, int | float) for step in steps):
            raise FormatError(f"{header.source.name}: FrameTimeVector holds what is no number")
        return tuple(accumulate((float(step) for step in steps[1:]), initial=0.0))
    step = header.get("FrameTime")
    if isinstance(step, int | float) and step > 0:
        return tuple(number * float(step) for number in range(count))
    return ()


def _geometry(header: Header, count: int) -> tuple[Any, Sequence[Vector | None]]:
    """Return Image Orientation (Patient) and every frame's position in the patient, LPS mm."""
    from imagedata_xr.formats.dicom import instance

    position = instance.floats(header, "ImagePositionPatient", 3)
    orientation = instance.floats(header, "ImageOrientationPatient", 6)
    if position is None and header.has(_DETECTORS):
        position, orientation = _detector(header)
    depths = _depths(header, count)
    if position is None or orientation is None or depths is None:
        alone = count == 1
        return orientation, [position if alone else None] * count
    a, d = orientation[:3], orientation[3:]
    normal = unit((a[1] * d[2] - a[2] * d[1], a[2] * d[0] - a[0] * d[2], a[0] * d[1] - a[1] * d[0]))
    if normal is None:
        raise FormatError(
            f"{header.source.name}: ImageOrientationPatient has zero or parallel vectors"
        )
    x, y, z = position
    return orientation, [(x + t * normal[0], y + t * normal[1], z + t * normal[2]) for t in depths]


def _depths(header: Header, count: int) -> Sequence[float] | None:
    """Return how far each frame lies from the first along the normal, mm."""
    offsets = header.get("GridFrameOffsetVector")
    if offsets is not None:
        numbers = offsets if isinstance(offsets, tuple) else (offsets,)
        if not all(isinstance(n, int | float) and isfinite(n) for n in numbers):
            raise FormatError(f"{header.source.name}: GridFrameOffsetVector holds no numbers")
        if len(numbers) < count:
            raise FormatError(
                f"{header.source.name}: GridFrameOffsetVector has {len(numbers)} numbers for "
                f"{count} frames"
            )
        return _from_first(header, [float(n) for n in numbers[:count]])
    slices, spacing = header.get("SliceVector"), header.get("SpacingBetweenSlices")
    if not isinstance(slices, tuple) or len(slices) != count:
        return None
    if not isinstance(spacing, int | float) or not spacing:
        return None
    # PS3.3 C.8.4.15: here the sign says which way the slices follow each other.
    return [(int(number) - 1) * float(spacing) for number in slices]


def _from_first(header: Header, offsets: list[float]) -> list[float]:
    """
    Return Grid Frame Offset Vector as distances from the first frame (PS3.3 C.8.8.3.2).

    Where its first number is not 0, its numbers are z coordinates in the patient.
    """
    orientation = header.get("ImageOrientationPatient")
    upward = 1.0
    if offsets[0] != 0 and isinstance(orientation, tuple) and len(orientation) == 6:
        a = [float(n) for n in orientation if isinstance(n, float)]
        upward = -1.0 if len(a) == 6 and a[0] * a[4] - a[1] * a[3] < 0 else 1.0
    return [upward * (offset - offsets[0]) for offset in offsets]


def _detector(header: Header) -> tuple[Any, Any]:
    """Return position and orientation of the first detector (PS3.3 C.8.4.11), or None."""
    nested, found = sequences_of(header, (_DETECTORS,))
    elements = nested.first(found.get(_DETECTORS))
    values = []
    for tag, count in ((_POSITION, 3), (_ORIENTATION, 6)):
        span = elements.get(tag)
        value = None if span is None else header.decode(tag, nested.data[span.start : span.end])
        good = isinstance(value, tuple) and len(value) == count
        good = good and all(isinstance(n, float) and isfinite(n) for n in value or ())  # type: ignore[union-attr]
        values.append(value if good else None)
    return values[0], values[1]
