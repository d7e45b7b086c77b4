"""What a segmentation says about its segments (Segment Sequence, PS3.3 C.8.20.4)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from imagedata_xr.errors import FormatError
from imagedata_xr.formats.dicom.headers.dictionary import TAG_OF
from imagedata_xr.formats.dicom.nested import sequences_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from imagedata_xr.formats.dicom.headers import Header
    from imagedata_xr.formats.dicom.nested import Nested, Span
    from imagedata_xr.frames import Value

__all__ = ["Segment", "segment_attributes", "segments_of"]

_SEGMENTS = TAG_OF["SegmentSequence"]
_TEXTS = (
    "SegmentDescription",
    "SegmentAlgorithmType",
    "SegmentAlgorithmName",
    "TrackingID",
    "TrackingUID",
)
# Code sequences: attribute of the image to keyword.
_CODES = {
    "SegmentedPropertyCategory": "SegmentedPropertyCategoryCodeSequence",
    "SegmentedPropertyType": "SegmentedPropertyTypeCodeSequence",
    "AnatomicRegion": "AnatomicRegionSequence",
}
# PS3.3 section 8.1: a code has one of these.
_CODE_VALUES = ("CodeValue", "LongCodeValue", "URNCodeValue")


@dataclass(frozen=True, slots=True)
class Segment:
    """
    One segment.

    Attributes
    ----------
    number : int
        Segment Number.
    label : str
        Segment Label.
    texts : mapping of str to str
        What else is known of it: description, algorithm, tracking, and of the codes for category,
        type and place, the meaning (``SegmentedPropertyType``) and the code itself with its
        scheme (``SegmentedPropertyTypeCode``, e.g. ``10200004^SCT``).
    """

    number: int
    label: str
    texts: Mapping[str, str] = field(default_factory=dict)


def segments_of(header: Header) -> list[Segment]:
    """
    Return the segments of a segmentation, in ascending order of their numbers.

    Raises
    ------
    FormatError
        There is no segment, or one without a number, or a number is there twice.
    """
    nested, found = sequences_of(header, (_SEGMENTS,))
    items = nested.items(found[_SEGMENTS]) if _SEGMENTS in found else []
    segments = [_segment(header, nested, item) for item in items]
    numbers = [segment.number for segment in segments]
    if not numbers or len(set(numbers)) < len(numbers):
        raise FormatError(
            f"{header.source.name}: SegmentSequence has the SegmentNumbers {numbers}: each segment "
            "needs one of its own"
        )
    return sorted(segments, key=lambda segment: segment.number)


def _segment(header: Header, nested: Nested, item: Span) -> Segment:
    elements = nested.elements(item, 1)

    def value(spans: Mapping[int, Span], keyword: str) -> Value:
        span = spans.get(TAG_OF[keyword])
        raw = b"" if span is None else nested.data[span.start : span.end]
        return header.decode(TAG_OF[keyword], raw) if raw else None

    number = value(elements, "SegmentNumber")
    if not isinstance(number, int):
        raise FormatError(f"{header.source.name}: SegmentNumber is {number!r}, not a number")
    texts = {keyword: str(value(elements, keyword) or "") for keyword in _TEXTS}
    for name, keyword in _CODES.items():
        code = nested.first(elements.get(TAG_OF[keyword]))
        texts[name] = str(value(code, "CodeMeaning") or "")
        short = next((v for k in _CODE_VALUES if (v := value(code, k))), None)
        scheme = value(code, "CodingSchemeDesignator")
        texts[f"{name}Code"] = f"{short}^{scheme}" if short else ""
    return Segment(number, str(value(elements, "SegmentLabel") or ""), texts)


def segment_attributes(segments: Sequence[Segment]) -> dict[str, Any]:
    """
    Return flat attributes: keyword to a list with one value a segment, as netCDF can hold them.

    The value itself stands for a list of one, since netCDF knows no difference. What no segment
    has is left out.
    """
    columns: dict[str, list[Any]] = {
        "SegmentNumber": [segment.number for segment in segments],
        "SegmentLabel": [segment.label for segment in segments],
    }
    for name in segments[0].texts:
        columns[name] = [segment.texts[name] for segment in segments]
    return {
        name: column[0] if len(column) == 1 else column
        for name, column in columns.items()
        if name.startswith("SegmentN") or any(column)
    }
