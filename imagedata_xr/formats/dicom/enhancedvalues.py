"""Header values of one frame of an enhanced multi-frame instance, by DICOM keyword."""

from __future__ import annotations

import struct
from math import isfinite
from typing import TYPE_CHECKING, Any, TypeVar

from imagedata_xr.formats.dicom import vendors
from imagedata_xr.formats.dicom.framevalues import KeywordValues
from imagedata_xr.formats.dicom.groups import DYNAMIC_BEGIN, MACROS, PER_FRAME, SHARED
from imagedata_xr.formats.dicom.headers.dictionary import KEYWORD_OF, TAG_OF

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from imagedata_xr.formats.dicom.groups import Groups
    from imagedata_xr.frames import Frame, Value

__all__ = ["EnhancedValues"]

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
_TIME_OFFSET = "TemporalPositionTimeOffset"
_FRAME_NUMBER = "FrameNumber"
_NEW: Any = object()
_T = TypeVar("_T")


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

    __slots__ = ("_number", "_own", "groups")

    def __init__(self, groups: Groups, own: Mapping[int, Any], number: int) -> None:
        self.groups = groups
        self._own = own
        self._number = number

    def get(self, keyword: str, default: Any = None) -> Any:
        """Return a value, or `default` where neither frame nor instance has one."""
        derive = _DERIVED.get(keyword)
        value: Value = self.plain(keyword) if derive is None else self.recall(derive)
        return default if value is None else value

    def plain(self, keyword: str) -> Value:
        """Return a value as it stands in the frame's groups, the shared ones or the top level."""
        if keyword == _FRAME_NUMBER:
            return self.number + 1
        alias = _ALIASES.get(keyword)
        for name in (alias, keyword):
            value = self._grouped(name) if name is not None else None
            if value is not None:
                return value
        if keyword == _TIME_OFFSET:
            raw = self.raw(DYNAMIC_BEGIN)
            if raw is not None:
                return _single_float(raw)
        if keyword in _DERIVED:
            return self.groups.header.get(keyword)
        return self.groups.values.get(keyword)

    @property
    def number(self) -> int:
        """Number of the frame, from 0."""
        return self._number

    @property
    def file(self) -> str:
        """Name of the instance's file."""
        return self.groups.header.source.name

    def raw(self, tag: int) -> bytes | None:
        """Return the raw value of a functional group, the frame's own or a shared one."""
        return self.groups.raw(self._own, tag)

    def _grouped(self, keyword: str) -> Value:
        tag = TAG_OF.get(keyword)
        raw = None if tag is None else self.raw(tag)
        return None if tag is None or raw is None else self.groups.header.decode(tag, raw)

    def recall(self, function: Callable[[Any], _T]) -> _T:
        """Return what a function makes of these values: worked out once for all that are alike."""
        groups = self.groups
        memory = groups.memory(function)
        if groups.is_settled(memory):
            settled: _T = memory.result
            return settled
        if memory.asked is None:
            return function(self)
        known: _T = memory.results.get(memory.key(self._own), _NEW)
        if known is not _NEW:
            memory.hits += 1
            return known
        if memory.is_full:
            return function(self)
        watched = _Watched(self.groups, self._own, self._number)
        found = function(watched)
        memory.add(self._own, groups.varying, watched.seen, found)
        return found

    @staticmethod
    def recall_all(
        function: Callable[[Mapping[str, Value]], _T], frames: Sequence[Frame]
    ) -> tuple[_T, ...]:
        """Return what a function gives for the values of each frame, as `evaluate` means it."""
        found: list[Any] = []
        groups, settled, result = None, False, None
        for frame in frames:
            values = frame.values
            if type(values) is not EnhancedValues:
                found.append(function(values))
                continue
            if values.groups is not groups:
                groups = values.groups
                result = values.recall(function)
                settled = groups.is_settled(groups.memory(function))
            elif not settled:
                result = values.recall(function)
            found.append(result)
        return tuple(found)

    def __iter__(self) -> Iterator[str]:
        groups = self.groups
        tags = {*groups.first, *self._own, *groups.shared}
        names = {KEYWORD_OF[tag] for tag in tags if tag in KEYWORD_OF}
        names |= {name for name, alias in _ALIASES.items() if alias in names}
        names |= {*groups.values, *_DERIVED, _FRAME_NUMBER, _TIME_OFFSET}
        yield from sorted(name for name in names if self.get(name) is not None)

    def dataset(self) -> Any:
        """Return a pydicom Dataset of the frame: its groups' attributes at the top level."""
        from pydicom import Dataset

        full = self.groups.dataset()
        found = Dataset()
        found.update({e.tag: e for e in full if e.tag not in (SHARED, PER_FRAME)})
        items = [*full.get("SharedFunctionalGroupsSequence", ())][:1]
        per_frame = full.get("PerFrameFunctionalGroupsSequence", ())
        items += per_frame[self.number : self.number + 1]
        for group in (element for item in items for element in item if element.tag in MACROS):
            found.update(group.value[0] if group.value else {})
        for name, alias in _ALIASES.items():
            if alias in found:
                setattr(found, name, found[alias].value)
        return found


class _Watched(EnhancedValues):
    """
    Values that note what is asked for.

    Attributes
    ----------
    seen : set of int or None
        Tags of the functional groups; None once more than their values was asked for.
    """

    __slots__ = ("seen",)

    def __init__(self, groups: Groups, own: Mapping[int, Any], number: int) -> None:
        super().__init__(groups, own, number)
        self.seen: set[int] | None = set()

    def raw(self, tag: int) -> bytes | None:
        if self.seen is not None:
            self.seen.add(tag)
        return super().raw(tag)

    @property
    def number(self) -> int:
        self.seen = None
        return self._number

    def recall(self, function: Callable[[Any], _T]) -> _T:
        return function(self)

    def __iter__(self) -> Iterator[str]:
        self.seen = None
        return super().__iter__()


def _b_value(values: EnhancedValues) -> Value:
    return values.recall(_diffusion)[0]


def _direction(values: EnhancedValues) -> Value:
    return values.recall(_diffusion)[1]


def _diffusion(values: EnhancedValues) -> tuple[Value, Value]:
    return vendors.diffusion(_FrameReader(values))


def _component(values: EnhancedValues) -> Value:
    return vendors.component(_FrameReader(values))


def _label(values: EnhancedValues) -> Value:
    return vendors.label(_FrameReader(values))


# What stands under a standard keyword wherever the vendor keeps it.
_DERIVED: dict[str, Callable[[EnhancedValues], Value]] = {
    "DiffusionBValue": _b_value,
    "DiffusionGradientOrientation": _direction,
    "ComplexImageComponent": _component,
    "ASLContext": _label,
}


def _single_float(raw: bytes) -> float | None:
    value: float = struct.unpack("<f", raw)[0]
    return round(value, 6) if isfinite(value) else None
