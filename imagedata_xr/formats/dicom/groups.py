"""
The functional groups of a multi-frame instance (PS3.3 C.7.6.16): what each frame has for itself.

Frames differ in few of their attributes. Those of the first frame are kept for all, and of every
other frame only what it has otherwise; what is worked out from values that are alike is worked out
once. The bytes of an item are compared with those of another one first: where all but the values
are the same, the walk over it would find the same elements at the same places.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from imagedata_xr.formats.dicom.headers.dictionary import TAG_OF
from imagedata_xr.formats.dicom.headers.shared import Memory
from imagedata_xr.formats.dicom.nested import Nested

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy.typing as npt

    from imagedata_xr.formats.dicom.headers import Header
    from imagedata_xr.formats.dicom.nested import Span
    from imagedata_xr.frames import Value

__all__ = [
    "DYNAMIC_BEGIN",
    "MACROS",
    "NOT_THERE",
    "PER_FRAME",
    "SHARED",
    "Groups",
    "Layouts",
    "attributes_of",
]

SHARED, PER_FRAME = 0x52009229, 0x52009230
_UNDEFINED = b"\xff\xff\xff\xff"
# Of one length of items, and before learning costs more than it saves.
_KEPT, _PATIENCE = 8, 64


class _Lacking(Enum):
    """What a frame has in the place of an attribute of the first frame that it lacks."""

    NOT_THERE = 0


NOT_THERE: Final[Any] = _Lacking.NOT_THERE
# Macros whose attributes belong to the frame; those of references and codes have other frames'.
MACROS = frozenset(
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
# Philips says when a dynamic began only in a private sequence of the frame.
_PHILIPS_FRAME, _PHILIPS_BLOCK = 0x0F, b"Philips MR Imaging DD 005"
DYNAMIC_BEGIN = 0x200510A0


class Groups:
    """
    What the frames of an instance share.

    Parameters
    ----------
    header : Header
    values : Mapping of str to Value
        Of the instance.
    nested : Nested
        The bytes that the groups are in.
    shared : Mapping of int to Span
        The attributes of the shared groups.
    items : sequence of Span
        The per-frame groups, one a frame; none where there are no such groups.

    Attributes
    ----------
    shared, first : dict of int to bytes
        Raw attributes of the shared groups, and of those of the first frame.
    own : list of dict
        For each frame what it has otherwise than the first.
    varying : set of int
        Tags of which another frame has another value.
    """

    __slots__ = ("_dataset", "_memory", "first", "header", "own", "shared", "values", "varying")

    def __init__(
        self,
        header: Header,
        values: Mapping[str, Value],
        nested: Nested,
        shared: Mapping[int, Span],
        items: Sequence[Span],
    ) -> None:
        self.header = header
        self.values = values
        self.shared = {tag: _bytes(nested, span) for tag, span in shared.items()}
        self.first: dict[int, bytes] = {}
        self.own: list[dict[int, Any]] = []
        if items:
            self.first = _raw(nested, attributes_of(nested, items[0]))
            layouts = Layouts(nested, self.first)
            self.own = [layouts.read(item) for item in items]
        self.varying = {tag for own in self.own for tag in own}
        self._memory: dict[Any, Memory] = {}
        self._dataset: Any = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle without what can be worked out again."""
        return _unpickled, (self.header, self.values, self.shared, self.first, self.varying)

    def raw(self, own: Mapping[int, Any], tag: int) -> bytes | None:
        """Return the raw value of a frame's own groups or of the shared ones, None without one."""
        raw = own.get(tag)
        if raw is None:
            raw = self.first.get(tag)
        elif raw is NOT_THERE:
            raw = None
        return self.shared.get(tag) if raw is None else raw

    def memory(self, function: Any) -> Memory:
        """Return what a function of the frames' values gave so far."""
        memory = self._memory.get(function)
        if memory is None:
            memory = self._memory[function] = Memory()
        return memory

    def is_settled(self, memory: Memory) -> bool:
        """Tell whether a function looks at nothing in which the frames differ."""
        return memory.settle(self.varying)

    def dataset(self) -> Any:
        """Return the pydicom Dataset, read once."""
        if self._dataset is None:
            self._dataset = self.header.dataset()
        return self._dataset


def _unpickled(
    header: Header,
    values: Mapping[str, Value],
    shared: dict[int, bytes],
    first: dict[int, bytes],
    varying: set[int],
) -> Groups:
    found = Groups(header, values, Nested(b"", ""), {}, ())
    found.shared, found.first, found.varying = shared, first, varying
    return found


def _raw(nested: Nested, spans: Mapping[int, Span]) -> dict[int, bytes]:
    return {tag: _bytes(nested, span) for tag, span in spans.items()}


def _otherwise(first: Mapping[int, bytes], found: Mapping[int, bytes]) -> dict[int, Any]:
    own: dict[int, Any] = {tag: raw for tag, raw in found.items() if first.get(tag) != raw}
    if len(found) - len(own) < len(first):
        own.update((tag, NOT_THERE) for tag in first if tag not in found)
    return own


@dataclass(frozen=True, slots=True, eq=False)
class _Layout:
    """
    The bytes of an item, and what each of them means.

    Attributes
    ----------
    explicit : bool
    own : dict
        What this item has otherwise than the first.
    first : ndarray of uint8, shape (length,)
    matters : ndarray of bool, shape (length,)
        False for the bytes of values that nobody keeps.
    owner : ndarray of int, shape (length,)
        Index of the value in `values` that a byte belongs to; -1 where it decides on the walk.
    values : list of tuple of int
        Tag, begin and end in the item.
    """

    explicit: bool
    own: dict[int, Any]
    first: npt.NDArray[np.uint8]
    matters: npt.NDArray[np.bool_]
    owner: npt.NDArray[np.int32]
    values: list[tuple[int, int, int]]

    def read(self, data: bytes) -> dict[int, Any] | None:
        """Return what another item has otherwise than the first; None where it needs a walk."""
        differs = np.frombuffer(data, np.uint8) != self.first
        differs &= self.matters
        owners = set(self.owner[differs].tolist())
        if -1 in owners:
            return None
        own = self.own.copy()
        for number in owners:
            tag, begin, end = self.values[number]
            own[tag] = data[begin:end]
        return own


class Layouts:
    """
    Reads items by the layouts of others.

    Parameters
    ----------
    nested : Nested
    first : dict of int to bytes
        Attributes of the first item.
    """

    def __init__(self, nested: Nested, first: dict[int, bytes]) -> None:
        self.nested = nested
        self.first = first
        self.known: dict[int, list[_Layout]] = {}
        self.pool: dict[bytes, bytes] = {}
        self.hits = self.learnt = 0

    def read(self, item: Span) -> dict[int, Any]:
        """Return what the attributes of an item are otherwise than those of the first."""
        data = self.nested.data[item.start : item.end]
        for layout in self.known.get(len(data), ()):
            own = layout.read(data) if layout.explicit == item.explicit else None
            if own is not None:
                self.hits += 1
                return self._pooled(own)
        spans = attributes_of(self.nested, item)
        own = _otherwise(self.first, _raw(self.nested, spans))
        if self.learnt < _PATIENCE + self.hits // 4:
            self.learnt += 1
            alike = self.known.setdefault(len(data), [])
            alike.insert(0, self._layout(item, spans, own))
            del alike[_KEPT:]
        return self._pooled(own)

    def _pooled(self, own: dict[int, Any]) -> dict[int, Any]:
        intern = self.pool.setdefault
        return {tag: intern(raw, raw) for tag, raw in own.items()}

    def _layout(self, item: Span, spans: Mapping[int, Span], own: dict[int, Any]) -> _Layout:
        start, length = item.start, item.end - item.start
        owner = np.full(length, -1, dtype=np.int32)
        for span in _passed_over(self.nested, item):
            owner[span.start - start : span.end - start] = -2
        values: list[tuple[int, int, int]] = []
        for tag, span in spans.items():
            begin, end = span.start - start, span.end - start
            if (owner[begin:end] == -2).all():
                owner[begin:end] = len(values)
                values.append((tag, begin, end))
        first = np.frombuffer(self.nested.data, np.uint8, length, start)
        return _Layout(item.explicit, own, first, owner != -2, owner, values)


def _passed_over(nested: Nested, item: Span) -> Iterator[Span]:
    """Yield the values of an item that `attributes_of` passes over by their length, or keeps."""
    for tag, span in nested.elements(item, 1).items():
        if tag in MACROS or _is_frame(tag):
            inside = nested.first(span)
            if _DIRECTIONS in inside and tag in MACROS:
                yield from _plain(nested, nested.first(inside.pop(_DIRECTIONS)))
            yield from _plain(nested, inside)
        else:
            yield from _plain(nested, {tag: span})


def _plain(nested: Nested, elements: Mapping[int, Span]) -> Iterator[Span]:
    """Yield the values whose bytes do not decide on where the next element is, or whose it is."""
    for tag, span in elements.items():
        creator = tag >> 16 & 1 and not tag & 0xFF00
        if not creator and nested.data[span.start - 4 : span.start] != _UNDEFINED:
            yield span


def _is_frame(tag: int) -> bool:
    return tag >> 16 == 0x2005 and tag & 0xFF == _PHILIPS_FRAME and tag & 0xFFFF > 0xFF


def attributes_of(nested: Nested, item: Span) -> dict[int, Span]:
    """Return where the attributes of an item's functional groups are."""
    found: dict[int, Span] = {}
    elements = nested.elements(item, 1)
    for tag, span in elements.items():
        if _is_frame(tag):
            found.update(_dynamic_begin(nested, elements, tag))
        if tag in MACROS:
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
    span = nested.first(elements[tag]).get(DYNAMIC_BEGIN)
    return {} if span is None or span.end - span.start != 4 else {DYNAMIC_BEGIN: span}


def _bytes(nested: Nested, span: Span) -> bytes:
    return bytes(nested.data[span.start : span.end])
