"""
Enhanced multi-frame objects: frames whose headers are functional groups (PS3.3 C.7.6.16).

Shared and per-frame groups are found in the bytes of the header and decoded when asked for. Only
the standard's macros at their own place count: vendors keep private copies of positions and b
values deeper in the same frames (Philips in (2005,140F)), which differ.
"""

from __future__ import annotations

import struct
from math import isfinite
from typing import TYPE_CHECKING, Any

from imagedata_xr.errors import FormatError
from imagedata_xr.formats.dicom.enhancedvalues import EnhancedValues
from imagedata_xr.formats.dicom.groups import PER_FRAME, SHARED, Groups, attributes_of
from imagedata_xr.formats.dicom.headers.dictionary import TAG_OF
from imagedata_xr.formats.dicom.nested import sequences_of
from imagedata_xr.frames import Frame, PixelRef

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imagedata_xr.formats.dicom.headers import Header
    from imagedata_xr.formats.dicom.nested import Nested, Span
    from imagedata_xr.frames import PixelFormat, Source

__all__ = ["is_multiframe", "multiframe_frames"]

# Segmentations (bits, or labels) are no images of measured values.
_SEGMENTATIONS = {
    "1.2.840.10008.5.1.4.1.1.66.4": "Segmentation Storage",
    "1.2.840.10008.5.1.4.1.1.66.7": "Label Map Segmentation Storage",
}
_PARAMETRIC_MAP = "1.2.840.10008.5.1.4.1.1.30"
# An encapsulated frame takes at least the header of a fragment (PS3.5 annex A.4).
_SMALLEST_FRAGMENT = 8


def is_multiframe(header: Header) -> bool:
    """Tell whether an instance describes its frames by functional groups."""
    return header.has(PER_FRAME) or header.has(SHARED)


def multiframe_frames(header: Header) -> list[Frame]:
    """
    Return the frames of an enhanced multi-frame object, in their stored order.

    Parameters
    ----------
    header : Header

    Raises
    ------
    FormatError
        The object is a segmentation, its groups are damaged or do not fit Number of Frames, or
        the file is too short for its frames.
    """
    from imagedata_xr.formats.dicom import instance

    form = instance.pixel_format(header)
    _refuse_segmentation(header, form)
    if "MOSAIC" in str(header.get("ImageType")).upper():
        raise FormatError(
            f"{header.source.name}: the frames of this multi-frame object are mosaics (ImageType), "
            "whose slices nothing in its functional groups places"
        )
    offset, length = instance.native_location(header, form)
    nested, found = sequences_of(header, (SHARED, PER_FRAME))
    groups = nested.items(found[PER_FRAME]) if PER_FRAME in found else []
    shared_items = nested.items(found[SHARED]) if SHARED in found else []
    shared = attributes_of(nested, shared_items[0]) if shared_items else {}
    if shared_items and header.get("SOPClassUID") == _PARAMETRIC_MAP:
        shared.update(_units(nested, shared_items[0]))
    padding = instance.padding(header, form)
    count = frame_count(header, length, len(groups))
    common = Groups(header, instance.header_values(header), nested, shared, groups)
    frames = []
    for number in range(count):
        values = EnhancedValues(common, common.own[number] if groups else {}, number)
        place = None if offset is None else offset + number * length
        frames.append(_frame(values, header.source, form, place, length, padding))
    return frames


def _units(nested: Nested, item: Span) -> dict[int, Span]:
    """Return where the units of the values are, if these are the stored ones (PS3.3 C.7.6.16.2.11)."""
    mapping = nested.first(nested.elements(item, 1).get(TAG_OF["RealWorldValueMappingSequence"]))
    wanted = {"RealWorldValueSlope": 1.0, "RealWorldValueIntercept": 0.0}
    for keyword, number in wanted.items():
        span = mapping.get(TAG_OF[keyword])
        if span is None or nested.data[span.start : span.end] != struct.pack("<d", number):
            return {}
    code = nested.first(mapping.get(TAG_OF["MeasurementUnitsCodeSequence"]))
    value = code.get(TAG_OF["CodeValue"])
    return {} if value is None else {TAG_OF["Units"]: value}


def frame_count(header: Header, length: int, groups: int = 0) -> int:
    """
    Return Number of Frames (0028,0008).

    Parameters
    ----------
    header : Header
    length : int
        Bytes of a native frame; 0 where a decoder is needed.
    groups : int
        Number of per-frame functional groups; 0 where the object has none.

    Raises
    ------
    FormatError
        It contradicts the groups or the size of the file.
    """
    name, count = header.source.name, header.get("NumberOfFrames")
    if count is None:
        count = groups or 1
    if not isinstance(count, int) or count < 1:
        raise FormatError(f"{name}: NumberOfFrames is {count!r}, not a positive number")
    if groups and groups != count:
        raise FormatError(
            f"{name}: NumberOfFrames is {count}, but PerFrameFunctionalGroupsSequence has "
            f"{groups} items"
        )
    if length and header.pixel_length < count * length:
        raise FormatError(
            f"{name}: Pixel Data has {header.pixel_length} bytes, but {count} frames "
            f"(NumberOfFrames) need {count * length}"
        )
    if not length and count > 1 and header.source.size < count * _SMALLEST_FRAGMENT:
        raise FormatError(f"{name}: {count} frames (NumberOfFrames) cannot be in so small a file")
    return count


def _refuse_segmentation(header: Header, form: PixelFormat) -> None:
    uid = str(header.get("SOPClassUID") or "")
    if uid in _SEGMENTATIONS or form.bits_allocated == 1:
        from pydicom.uid import UID

        name = _SEGMENTATIONS.get(uid) or UID(uid).name or "an object of one bit a pixel"
        raise FormatError(
            f"{header.source.name}: {name} is not read as an image: its frames are masks"
        )


def _frame(
    values: EnhancedValues,
    source: Source,
    form: PixelFormat,
    *place: Any,
) -> Frame:
    offset, length, padding = place
    slope, intercept, orientation, spacing, thickness, uid = values.recall(_alike)
    return Frame(
        ref=PixelRef(
            source, form, values.number, offset, length, slope, intercept, padding=padding
        ),
        uid=uid,
        shape=(form.rows, form.columns),
        position=values.recall(_position),
        orientation=orientation,
        spacing=spacing,
        thickness=thickness,
        values=values,
    )


def _position(values: EnhancedValues) -> Any:
    return _floats(values, "ImagePositionPatient", 3)


def _alike(values: EnhancedValues) -> tuple[float, float, Any, Any, float | None, str]:
    """Return slope, intercept, orientation, spacing, thickness and SOP Instance UID."""
    return (
        _number(values, "RescaleSlope", 1.0),
        _number(values, "RescaleIntercept", 0.0),
        _floats(values, "ImageOrientationPatient", 6),
        _floats(values, "PixelSpacing", 2),
        _number(values, "SliceThickness", 0.0) or None,
        str(values.get("SOPInstanceUID") or ""),
    )


def _number(values: EnhancedValues, keyword: str, default: float) -> float:
    value = values.plain(keyword)
    if value is None:
        return default
    if not isinstance(value, int | float) or not isfinite(value):
        raise FormatError(f"{values.file}: {keyword} is {value!r}, not a number")
    return float(value)


def _floats(values: EnhancedValues, keyword: str, count: int) -> Any:
    value = values.plain(keyword)
    if value is None:
        return None
    numbers: Sequence[Any] = value if isinstance(value, tuple) else (value,)
    if len(numbers) != count or not all(
        isinstance(number, int | float) and isfinite(number) for number in numbers
    ):
        raise FormatError(f"{values.file}: {keyword} is {value!r}, not {count} numbers")
    return tuple(float(number) for number in numbers)
