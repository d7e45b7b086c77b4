"""
Enhanced multi-frame objects: frames whose headers are functional groups (PS3.3 C.7.6.16).

Shared and per-frame groups are found in the bytes of the header and decoded when asked for. Only
the standard's macros at their own place count: vendors keep private copies of positions and b
values deeper in the same frames (Philips in (2005,140F)), which differ.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any

from imagedata_xr.errors import FormatError
from imagedata_xr.formats.dicom import vendors
from imagedata_xr.formats.dicom.framevalues import KeywordValues
from imagedata_xr.formats.dicom.headers.dictionary import KEYWORD_OF, TAG_OF
from imagedata_xr.formats.dicom.nested import sequences_of
from imagedata_xr.frames import Frame, PixelRef

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from imagedata_xr.formats.dicom.headers import Header
    from imagedata_xr.formats.dicom.nested import Nested, Span
    from imagedata_xr.frames import PixelFormat, Value

__all__ = ["EnhancedValues", "is_multiframe", "multiframe_frames"]

_SHARED, _PER_FRAME = 0x52009229, 0x52009230
# Macros whose attributes belong to the frame; those of references and codes have other frames'.
_MACROS = frozenset(
    TAG_OF[keyword]
    for keyword in (
        "CTExposureSequence",
        "CTImageFrameTypeSequence",
        "CTXRayDetailsSequence",
        "CardiacSynchronizationSequence",
        "FrameContentSequence",
        "FrameVOILUTSequence",
        "MRArterialSpinLabelingSequence",
        "MRAveragesSequence",
        "MRDiffusionSequence",
        "MREchoSequence",
        "MRFOVGeometrySequence",
        "MRImageFrameTypeSequence",
        "MRImagingModifierSequence",
        "MRModifierSequence",
        "MRTimingAndRelatedParametersSequence",
        "MRVelocityEncodingSequence",
        "PETFrameTypeSequence",
        "ParametricMapFrameTypeSequence",
        "PixelMeasuresSequence",
        "PixelValueTransformationSequence",
        "PlaneOrientationSequence",
        "PlanePositionSequence",
        "RespiratorySynchronizationSequence",
        "TemporalPositionSequence",
        "UnassignedPerFrameConvertedAttributesSequence",
        "UnassignedSharedConvertedAttributesSequence",
        "XAXRFFrameCharacteristicsSequence",
        "XRay3DFrameTypeSequence",
    )
)
_DIRECTIONS = TAG_OF["DiffusionGradientDirectionSequence"]
# What multi-frame objects call by another name than single images do.
_ALIASES = {
    "EchoTime": "EffectiveEchoTime",
    "InversionTime": "InversionTimes",
    "ImageType": "FrameType",
    "AcquisitionDateTime": "FrameAcquisitionDateTime",
    "AcquisitionNumber": "FrameAcquisitionNumber",
    "TemporalPositionIdentifier": "TemporalPositionIndex",
    "TriggerTime": "NominalCardiacTriggerDelayTime",
}
# Philips says when a dynamic began only in a private sequence of the frame.
_PHILIPS_FRAME, _PHILIPS_BLOCK = 0x0F, b"Philips MR Imaging DD 005"
_DYNAMIC_BEGIN = 0x200510A0
_TIME_OFFSET = "TemporalPositionTimeOffset"
_FRAME_NUMBER = "FrameNumber"
_B, _BVEC, _COMPONENT = "DiffusionBValue", "DiffusionGradientOrientation", "ComplexImageComponent"
_LABEL = "ASLContext"
_DERIVED = frozenset({_B, _BVEC, _COMPONENT, _LABEL})
# Segmentations (bits, or labels) are no images of measured values.
_SEGMENTATIONS = {
    "1.2.840.10008.5.1.4.1.1.66.4": "Segmentation Storage",
    "1.2.840.10008.5.1.4.1.1.66.7": "Label Map Segmentation Storage",
}
_PARAMETRIC_MAP = "1.2.840.10008.5.1.4.1.1.30"
# An encapsulated frame takes at least the header of a fragment (PS3.5 annex A.4).
_SMALLEST_FRAGMENT = 8


@dataclass(slots=True, eq=False)
class _Instance:
    """What the frames of an instance share."""

    header: Header
    values: Mapping[str, Value]
    nested: Nested
    shared: Mapping[int, Span]
    _dataset: Any = None

    def raw(self, span: Span) -> bytes:
        """Return the bytes of a value."""
        return self.nested.data[span.start : span.end]

    def dataset(self) -> Any:
        """Return the pydicom Dataset, read once."""
        if self._dataset is None:
            self._dataset = self.header.dataset()
        return self._dataset


class _FrameReader:
    """A frame as vendors look at it: the values as they stand, and no private elements."""

    __slots__ = ("frame",)

    def __init__(self, frame: EnhancedValues) -> None:
        self.frame = frame

    def get(self, keyword: str) -> Value:
        return self.frame.plain(keyword)

    def private(self, group: int, creator: str, low_byte: int) -> bytes | None:  # noqa: ARG002
        # Private elements of the top level cannot speak for one frame.
        return None

    def has(self, attribute: str | int) -> bool:  # noqa: ARG002
        return False

    def dataset(self) -> Any:
        return self.frame.dataset()


class EnhancedValues(KeywordValues):
    """
    Header values of one frame by DICOM keyword, decoded when asked for.

    The frame's own functional groups go first, then the shared ones, then the top level. What
    multi-frame objects call by another name stands under that of single images as well:
    ``EchoTime``, ``InversionTime``, ``AcquisitionDateTime``, ``TemporalPositionIdentifier``,
    ``TriggerTime``, ``ImageType``.
    """

    __slots__ = ("_derived", "_instance", "_number", "_own")

    def __init__(self, instance: _Instance, own: Mapping[int, Span], number: int) -> None:
        self._instance = instance
        self._own = own
        self._number = number
        self._derived: dict[str, Value] | None = None

    def get(self, keyword: str, default: Any = None) -> Any:
        """Return a value, or `default` where neither frame nor instance has one."""
        value: Value = self._vendor()[keyword] if keyword in _DERIVED else self.plain(keyword)
        return default if value is None else value

    def plain(self, keyword: str) -> Value:
        """Return a value as it stands in the frame's groups, the shared ones or the top level."""
        if keyword == _FRAME_NUMBER:
            return self._number + 1
        alias = _ALIASES.get(keyword)
        for name in (alias, keyword):
            value = self._grouped(name) if name is not None else None
            if value is not None:
                return value
        if keyword == _TIME_OFFSET and _DYNAMIC_BEGIN in self._own:
            return _single_float(self._instance.raw(self._own[_DYNAMIC_BEGIN]))
        if keyword in _DERIVED:
            return self._instance.header.get(keyword)
        return self._instance.values.get(keyword)

    def _grouped(self, keyword: str) -> Value:
        tag = TAG_OF.get(keyword)
        if tag is None:
            return None
        span = self._own.get(tag) or self._instance.shared.get(tag)
        if span is None:
            return None
        return self._instance.header.decode(tag, self._instance.raw(span))

    def _vendor(self) -> dict[str, Value]:
        if self._derived is None:
            reader = _FrameReader(self)
            b, direction = vendors.diffusion(reader)
            self._derived = {
                _B: b,
                _BVEC: direction,
                _COMPONENT: vendors.component(reader),
                _LABEL: vendors.label(reader),
            }
        return self._derived

    def __iter__(self) -> Iterator[str]:
        tags = {*self._own, *self._instance.shared}
        names = {KEYWORD_OF[tag] for tag in tags if tag in KEYWORD_OF}
        names |= {name for name, alias in _ALIASES.items() if alias in names}
        names |= {*self._instance.values, *_DERIVED, _FRAME_NUMBER, _TIME_OFFSET}
        yield from sorted(name for name in names if self.get(name) is not None)

    def dataset(self) -> Any:
        """Return a pydicom Dataset of the frame: its groups' attributes at the top level."""
        from pydicom import Dataset

        full = self._instance.dataset()
        found = Dataset()
        found.update({e.tag: e for e in full if e.tag not in (_SHARED, _PER_FRAME)})
        items = [*full.get("SharedFunctionalGroupsSequence", ())][:1]
        per_frame = full.get("PerFrameFunctionalGroupsSequence", ())
        items += per_frame[self._number : self._number + 1]
        for group in (element for item in items for element in item if element.tag in _MACROS):
            found.update(group.value[0] if group.value else {})
        for name, alias in _ALIASES.items():
            if alias in found:
                setattr(found, name, found[alias].value)
        return found


def is_multiframe(header: Header) -> bool:
    """Tell whether an instance describes its frames by functional groups."""
    return header.has(_PER_FRAME) or header.has(_SHARED)


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
    nested, found = sequences_of(header, (_SHARED, _PER_FRAME))
    groups = nested.items(found[_PER_FRAME]) if _PER_FRAME in found else []
    shared_items = nested.items(found[_SHARED]) if _SHARED in found else []
    shared = _attributes(nested, shared_items[0]) if shared_items else {}
    if shared_items and header.get("SOPClassUID") == _PARAMETRIC_MAP:
        shared.update(_units(nested, shared_items[0]))
    padding = instance.padding(header, form)
    count = frame_count(header, length, len(groups))
    common = _Instance(header, instance.header_values(header), nested, shared)
    frames = []
    for number in range(count):
        own = _attributes(nested, groups[number]) if groups else {}
        values = EnhancedValues(common, own, number)
        place = None if offset is None else offset + number * length
        ref = PixelRef(
            header.source,
            form,
            number,
            place,
            length,
            _number(header, values, "RescaleSlope", 1.0),
            _number(header, values, "RescaleIntercept", 0.0),
            padding=padding,
        )
        frames.append(_frame(header, values, ref))
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


def _attributes(nested: Nested, item: Span) -> dict[int, Span]:
    """Return where the attributes of an item's functional groups are."""
    found: dict[int, Span] = {}
    elements = nested.elements(item, 1)
    for tag, span in elements.items():
        if tag >> 16 == 0x2005 and tag & 0xFF == _PHILIPS_FRAME and tag & 0xFFFF > 0xFF:
            found.update(_dynamic_begin(nested, elements, tag))
        if tag in _MACROS:
            inside = nested.first(span)
            directions = inside.pop(_DIRECTIONS, None)
            if directions is not None:
                inside.update(nested.first(directions))
            found.update(inside)
    return found


def _dynamic_begin(nested: Nested, elements: Mapping[int, Span], tag: int) -> Mapping[int, Span]:
    """Return where a Philips frame says when its dynamic began (2005,xxA0), s, FL."""
    creator = elements.get(tag & 0xFFFF0000 | tag >> 8 & 0xFF)
    if creator is None or not _bytes(nested, creator).startswith(_PHILIPS_BLOCK):
        return {}
    span = nested.first(elements[tag]).get(_DYNAMIC_BEGIN)
    return {} if span is None or span.end - span.start != 4 else {_DYNAMIC_BEGIN: span}


def _bytes(nested: Nested, span: Span) -> bytes:
    return bytes(nested.data[span.start : span.end])


def _single_float(raw: bytes) -> float | None:
    value: float = struct.unpack("<f", raw)[0]
    return round(value, 6) if isfinite(value) else None


def _frame(header: Header, values: EnhancedValues, ref: PixelRef) -> Frame:
    return Frame(
        ref=ref,
        uid=str(values.get("SOPInstanceUID") or ""),
        shape=(ref.format.rows, ref.format.columns),
        position=_floats(header, values, "ImagePositionPatient", 3),
        orientation=_floats(header, values, "ImageOrientationPatient", 6),
        spacing=_floats(header, values, "PixelSpacing", 2),
        thickness=_number(header, values, "SliceThickness", 0.0) or None,
        values=values,
    )


def _number(header: Header, values: EnhancedValues, keyword: str, default: float) -> float:
    value = values.plain(keyword)
    if value is None:
        return default
    if not isinstance(value, int | float) or not isfinite(value):
        raise FormatError(f"{header.source.name}: {keyword} is {value!r}, not a number")
    return float(value)


def _floats(header: Header, values: EnhancedValues, keyword: str, count: int) -> Any:
    value = values.plain(keyword)
    if value is None:
        return None
    numbers: Sequence[Any] = value if isinstance(value, tuple) else (value,)
    if len(numbers) != count or not all(
        isinstance(number, int | float) and isfinite(number) for number in numbers
    ):
        raise FormatError(f"{header.source.name}: {keyword} is {value!r}, not {count} numbers")
    return tuple(float(number) for number in numbers)
