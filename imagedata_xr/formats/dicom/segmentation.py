"""
DICOM segmentations as labelled masks at their own positions (PS3.3 A.51, A.91 and C.8.20).

A segmentation holds frames of masks, each of one segment at one position; frames without a pixel
in the segment are often left out. Overlapping segments lie apart, along the dimension ``segment``.
Nothing is taken from the images that were segmented: the positions are those of the frames.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from imagedata_xr import schema
from imagedata_xr.dataset import Image, Labels, build
from imagedata_xr.errors import (
    FormatError,
    GeometryError,
    IncompleteGridError,
    MultipleSeriesError,
    OptionError,
    SpacingWarning,
    outside,
)
from imagedata_xr.formats.dicom import attributes
from imagedata_xr.formats.dicom.enhanced import frame_count
from imagedata_xr.formats.dicom.fragments import require_native
from imagedata_xr.formats.dicom.framevalues import FrameValues
from imagedata_xr.formats.dicom.headers.dictionary import TAG_OF
from imagedata_xr.formats.dicom.headerstore import HeaderStore
from imagedata_xr.formats.dicom.masks import MaskReader
from imagedata_xr.formats.dicom.nested import sequences_of
from imagedata_xr.formats.dicom.pixeltypes import stored_dtype
from imagedata_xr.formats.dicom.segments import segment_attributes, segments_of
from imagedata_xr.formats.dicom.whose import whose_of
from imagedata_xr.frames import Frame, PixelRef, attribute
from imagedata_xr.lazy import FrameArray, lazily

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt
    import xarray as xr

    from imagedata_xr.formats.dicom.headers import Header
    from imagedata_xr.formats.dicom.nested import Nested, Span
    from imagedata_xr.formats.dicom.reader import Options
    from imagedata_xr.formats.dicom.scan import Scan
    from imagedata_xr.formats.dicom.segments import Segment
    from imagedata_xr.frames import PixelFormat, Value
    from imagedata_xr.sorting import Stack

__all__ = ["SEGMENT", "holds_segments", "is_segmentation", "segmentation_frames", "to_dataset"]

SEGMENT: Final = "segment"
SEGMENT_LABEL: Final = "segment_label"
NO_FRAME: Final = -1

_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.66.4": "Segmentation Storage",
    "1.2.840.10008.5.1.4.1.1.66.7": "Label Map Segmentation Storage",
}
_BINARY, _FRACTIONAL, _LABELMAP = "BINARY", "FRACTIONAL", "LABELMAP"
_SHARED, _PER_FRAME = 0x52009229, 0x52009230
_MACROS = tuple(
    TAG_OF[keyword]
    for keyword in (
        "PixelMeasuresSequence",
        "PlaneOrientationSequence",
        "PlanePositionSequence",
        "SegmentIdentificationSequence",
        "FrameContentSequence",
    )
)
_NUMBER = "ReferencedSegmentNumber"
_OWN = ("TemporalPositionIndex", "StackID", "InStackPositionNumber")
_NATIVE_LITTLE_ENDIAN = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1")


def is_segmentation(header: Header) -> bool:
    """Tell whether an instance is a (label map) segmentation."""
    return header.get("SOPClassUID") in _CLASSES


def holds_segments(stack: Stack) -> bool:
    """Tell whether frames are those of segmentations."""
    return any(uid in _CLASSES for uid in attribute("SOPClassUID", stack.frames))


def segmentation_frames(header: Header) -> list[Frame]:
    """
    Return the frames of a segmentation, in their stored order.

    The values of a frame are those of the instance, with ``ReferencedSegmentNumber`` and what
    Frame Content says of stacks and times of its own.

    Parameters
    ----------
    header : Header

    Raises
    ------
    FormatError
        Segmentation Type is none of BINARY, FRACTIONAL and LABELMAP, the functional groups are
        damaged or do not fit Number of Frames, or the file is too short for its frames.
    """
    from imagedata_xr.formats.dicom import instance

    _kind(header)
    form = replace(instance.pixel_format(header), photometric="MONOCHROME2", palette_bits=0)
    nested, found = sequences_of(header, (_SHARED, _PER_FRAME))
    groups = nested.items(found[_PER_FRAME]) if _PER_FRAME in found else []
    shared_items = nested.items(found[_SHARED]) if _SHARED in found else []
    shared = _attributes(nested, shared_items[0]) if shared_items else {}
    count = frame_count(header, 0, len(groups))
    common = instance.header_values(header)
    uid = str(header.get("SOPInstanceUID") or "")
    frames = []
    for number in range(count):
        own = _attributes(nested, groups[number]) if groups else {}
        values = _values(header, nested, {**shared, **own})
        thickness = values.pop("SliceThickness") or values.get("SpacingBetweenSlices")
        frames.append(
            Frame(
                ref=_ref(header, form, number, count),
                uid=uid,
                shape=(form.rows, form.columns),
                position=_floats(header, values, "ImagePositionPatient", 3),
                orientation=_floats(header, values, "ImageOrientationPatient", 6),
                spacing=_floats(header, values, "PixelSpacing", 2),
                thickness=thickness if isinstance(thickness, float) else None,
                values=FrameValues(common, values),
            )
        )
    return frames


def _kind(header: Header) -> str:
    kind = header.get("SegmentationType")
    if kind not in (_BINARY, _FRACTIONAL, _LABELMAP):
        raise FormatError(
            f"{header.source.name}: SegmentationType of a {_CLASSES[str(header.get('SOPClassUID'))]}"
            f" is {kind!r}, not BINARY, FRACTIONAL or LABELMAP"
        )
    return str(kind)


def _attributes(nested: Nested, item: Span) -> dict[int, Span]:
    """Return where the attributes of an item's functional groups are."""
    found: dict[int, Span] = {}
    groups = nested.elements(item, 1)
    for tag in _MACROS:
        found.update(nested.first(groups.get(tag)))
    return found


def _values(header: Header, nested: Nested, spans: Mapping[int, Span]) -> dict[str, Value]:
    wanted = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness")
    found: dict[str, Value] = {}
    for keyword in (*wanted, "SpacingBetweenSlices", _NUMBER, *_OWN):
        span = spans.get(TAG_OF[keyword])
        raw = b"" if span is None else nested.data[span.start : span.end]
        found[keyword] = header.decode(TAG_OF[keyword], raw) if raw else None
    return found


def _floats(header: Header, values: Mapping[str, Value], keyword: str, count: int) -> Any:
    numbers = values[keyword]
    if numbers is None:
        return None
    good = isinstance(numbers, tuple) and len(numbers) == count
    if not good or not all(isinstance(n, float) and isfinite(n) for n in numbers):  # type: ignore[union-attr]
        raise FormatError(f"{header.source.name}: {keyword} is {numbers!r}, not {count} numbers")
    return numbers


def _ref(header: Header, form: PixelFormat, number: int, count: int) -> PixelRef:
    """
    Return where the pixels of a frame are; the bytes around its bits, where a pixel is one bit.

    Raises
    ------
    FormatError
        The file, or the pixel element, is too short.
    """
    require_native(header.source.name, form.syntax, header.pixel_length)
    bits = form.rows * form.columns * form.bits_allocated
    if header.pixel_offset is None or not header.is_little_endian:
        return PixelRef(header.source, form, number)
    if header.pixel_length < 0 or form.syntax not in _NATIVE_LITTLE_ENDIAN:
        place = header.pixel_offset if header.pixel_length < 0 else None
        return PixelRef(header.source, form, number, place)
    needed = -(-count * bits // 8)
    if header.pixel_length < needed:
        raise FormatError(
            f"{header.source.name}: Pixel Data has {header.pixel_length} bytes, but {count} frames "
            f"(NumberOfFrames) need {needed}"
        )
    missing = header.pixel_offset + header.pixel_length - header.source.size
    if missing > 0:
        raise FormatError(
            f"{header.source.name}: truncated: the file ends {missing} bytes before its Pixel Data"
        )
    first = number * bits // 8
    length = -(-(number + 1) * bits // 8) - first
    return PixelRef(header.source, form, number, header.pixel_offset + first, length)


def to_dataset(stack: Stack, found: Scan, options: Options) -> xr.Dataset:
    """
    Build the Dataset of one segmentation.

    Parameters
    ----------
    stack : Stack
    found : Scan
        What the frames were found in.
    options : Options
        `sort` means nothing here. With `select`, only segments that have frames left are there.
        Without `rescale`, fractions are integers as stored.

    Returns
    -------
    xarray.Dataset
        ``image`` with the dimensions segment, slice, row, column: uint8, 1 in the segment and 0
        elsewhere (netCDF has no Boolean type), or float32 from 0 to 1 for fractions (PS3.3
        C.8.20.2.3). A label map has no dimension ``segment``: its values are segment numbers.

    Raises
    ------
    MultipleSeriesError
        There are several segmentations.
    IncompleteGridError
        There are several frames of a segment at one position, or without any position.
    FormatError
        The header contradicts itself, or the frames are tiles of a slide.
    OptionError
        `coords` are not to be had from a segmentation.
    """
    header = _only_header(stack, found)
    if options.coords:
        raise OptionError("coords: frames of a segmentation give none but frame and segment")
    kind, segments = _kind(header), segments_of(header)
    if options.select:
        numbers = {frame.values.get(_NUMBER) for frame in stack.frames}
        segments = [s for s in segments if kind == _LABELMAP or s.number in numbers]
    refs, keys = _placed(stack, None if kind == _LABELMAP else segments)
    reader = _reader(header, kind, stack.frames[0].ref.format, rescale=options.rescale)
    _warn_uneven(stack)
    found_attrs = attributes.attributes([header], phi=options.phi) | segment_attributes(segments)
    data = FrameArray(refs, reader, progress=options.progress)
    axis = {SEGMENT: Labels(np.array([s.number for s in segments], dtype=np.int64))}
    dataset = build(
        Image(
            data=lazily(data),
            dims={} if kind == _LABELMAP else axis,
            grid=stack.grid,
            frames=_provenance(stack, keys),
            attrs=found_attrs | {"PhotometricInterpretation": "MONOCHROME2"},
            encoding={schema.ENCODING: _encoding(header, stack, found)},
            spacing=stack.frames[0].spacing,
        )
    )
    if kind != _LABELMAP:
        dataset.coords[SEGMENT_LABEL] = SEGMENT, [segment.label for segment in segments]
    return dataset


def _only_header(stack: Stack, found: Scan) -> Header:
    uids = list(dict.fromkeys(frame.uid for frame in stack.frames))
    header = found.headers[stack.frames[0].ref.source]
    if len(uids) > 1:
        raise MultipleSeriesError(
            f"the series holds {len(uids)} segmentations: open them one at a time",
            groups=[{"SOPInstanceUID": uid} for uid in uids],
            suggestions=[{"select": {"SOPInstanceUID": uid}} for uid in uids],
        )
    tiled = str(header.get("DimensionOrganizationType") or "").startswith("TILED")
    if stack.grid is None and (tiled or header.get("TotalPixelMatrixRows") is not None):
        raise FormatError(
            f"{header.source.name}: its frames are tiles of a slide (TotalPixelMatrixRows), which "
            "have no position in a patient"
        )
    return header


def _placed(
    stack: Stack, segments: Sequence[Segment] | None
) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """Return the place of each frame's pixels, None where it was left out, and its key."""
    name = stack.frames[0].ref.source.name
    rows = {segment.number: k for k, segment in enumerate(segments or ())}
    depth = () if stack.grid is None else (stack.grid.slice.size,)
    shape = depth if segments is None else (len(segments), *depth)
    refs = np.full(shape, None, dtype=object)
    keys = np.full(shape, NO_FRAME, dtype=np.int64)
    for frame, slot in zip(stack.frames, stack.slots.tolist(), strict=True):
        number = frame.values.get(_NUMBER)
        if segments is not None and number not in rows:
            raise FormatError(
                f"{name}: {_NUMBER} of frame {frame.ref.number + 1} is {number!r}, but "
                f"SegmentSequence has {sorted(rows)}"
            )
        # Label maps: the number means nothing.
        row = () if segments is None else (rows[int(number)],)  # type: ignore[arg-type]
        place = (*row, *((slot,) if depth else ()))
        if refs[place] is not None:
            where = f"at {frame.position} mm" if depth else "without a position in the patient"
            what = f"segment {number}" if row else "the label map"
            raise IncompleteGridError(
                f"{name}: {what} has several frames {where} (frames {refs[place].number + 1} and "
                f"{frame.ref.number + 1}): segments that change with time make no array",
                groups=[{"segment": number, "position": frame.position}],
            )
        refs[place], keys[place] = frame.ref, frame.hash
    return refs, keys


def _reader(header: Header, kind: str, form: PixelFormat, *, rescale: bool) -> MaskReader:
    shape = (form.rows, form.columns)
    if kind == _FRACTIONAL and rescale:
        maximum = header.get("MaximumFractionalValue")
        if not isinstance(maximum, int) or maximum < 1:
            raise FormatError(f"{header.source.name}: MaximumFractionalValue is {maximum!r}")
        return MaskReader(shape, np.dtype(np.float32), maximum)
    if kind == _BINARY:
        return MaskReader(shape, np.dtype(np.uint8), binary=True)
    return MaskReader(shape, stored_dtype(form))


def _warn_uneven(stack: Stack) -> None:
    if stack.grid is None or stack.grid.slice.size < 2:
        return
    try:
        _ = stack.grid.slice.step
    except GeometryError as error:
        warnings.warn(
            f"slices are unevenly spaced: frames without a pixel in any segment may have been left "
            f"out ({error}); the coordinate holds the measured positions",
            SpacingWarning,
            stacklevel=outside(),
        )


def _provenance(stack: Stack, keys: npt.NDArray[np.int64]) -> dict[str, Labels]:
    series = str(stack.frames[0].values.get(schema.SERIES) or "")
    places = {f.hash: (f.ref.source, f.ref.number) for f in stack.frames}
    store = HeaderStore(places, whose=whose_of(stack.frames))
    return {
        schema.FRAME: Labels(keys),
        schema.SERIES: Labels(np.full(keys.shape, series), {}, {schema.HEADERS: store}),
    }


def _encoding(header: Header, stack: Stack, found: Scan) -> dict[str, Any]:
    form = stack.frames[0].ref.format
    return {
        "sort": {SEGMENT: _NUMBER},
        "start": {},
        "skipped": [f"{h.get('Modality')}: {h.source.name}" for h in found.others],
        "TransferSyntaxUID": form.syntax,
        "BitsAllocated": form.bits_allocated,
        "BitsStored": form.bits_stored,
        "PixelRepresentation": int(form.signed),
        "PhotometricInterpretation": str(header.get("PhotometricInterpretation")),
        "RescaleSlope": [1.0],
        "RescaleIntercept": [0.0],
    }
