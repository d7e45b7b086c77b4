"""What is said of the segments of a segmentation (Segment Sequence, PS3.3 C.8.20.4)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from pydicom import Dataset

from imagedata_xr.errors import OptionError
from imagedata_xr.formats.dicom.write.coded import code_items, code_of
from imagedata_xr.formats.dicom.write.uids import new_uid

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Segment", "described", "segment_item"]

# What may be said of any region (PS3.16, CID 7150).
CONCEPT: Final = ("309825002", "SCT", "Spatial and Relational Concept")
SELECTED: Final = ("111099", "DCM", "Selected region")
STRUCTURE: Final = ("91723000", "SCT", "Anatomical Structure")
ALGORITHMS: Final = ("MANUAL", "SEMIAUTOMATIC", "AUTOMATIC")
_COLOR: Final = re.compile(r"#[0-9a-fA-F]{6}")
LONGEST_LABEL: Final = 64


@dataclass(frozen=True, slots=True)
class Segment:
    """
    What one segment is.

    Parameters
    ----------
    label : str
        Segment Label.
    type : code, optional
        What it is: ``"Liver"`` or another name of SNOMED CT in `pydicom.sr.codedict`, or value,
        scheme and meaning. "Selected region" where nothing is said.
    category : code, optional
        Of the type; "Anatomical Structure" by default.
    region : code, optional
        Where in the body.
    algorithm : {"SEMIAUTOMATIC", "MANUAL", "AUTOMATIC"}
        How it was found.
    algorithm_name : str
        Of what found it, where that was no person.
    description : str
        Free text.
    color : str
        ``#rrggbb``, for display.
    tracking : tuple of str, optional
        Tracking ID and Tracking UID: what is the same in several segmentations.

    Raises
    ------
    OptionError
        A value is none of these.

    Examples
    --------
    >>> imagedata_xr.Segment("Liver").label
    'Liver'
    """

    label: str
    type: Any = None
    category: Any = None
    region: Any = None
    algorithm: str = "SEMIAUTOMATIC"
    algorithm_name: str = "not specified"
    description: str = ""
    color: str = ""
    tracking: tuple[str, str] | None = None

    def __post_init__(self) -> None:
        if not 0 < len(self.label) <= LONGEST_LABEL:
            raise OptionError(
                f"the label of a segment has 1 to {LONGEST_LABEL} characters: {self.label!r}"
            )
        if self.algorithm not in ALGORITHMS:
            raise OptionError(f"algorithm={self.algorithm!r}: one of {', '.join(ALGORITHMS)}")
        if self.color and not _COLOR.fullmatch(self.color):
            raise OptionError(f"color={self.color!r} is no colour: give '#rrggbb'")
        for name in ("type", "category", "region"):
            if getattr(self, name) is not None:
                code_of(getattr(self, name), name)


def described(
    segments: Any, numbers: Sequence[int], attrs: Mapping[Any, Any]
) -> dict[int, Segment]:
    """
    Return what is said of each segment.

    Parameters
    ----------
    segments : None, str, Segment, sequence or mapping
        As given by the caller: of all segments in ascending order of their numbers, or by number.
    numbers : sequence of int
        Of the segments, ascending.
    attrs : mapping
        Of the array, which say what a segmentation that was read said.

    Raises
    ------
    OptionError
        A segment is not described, or one is that the array does not have.
    """
    known = {number: _known(attrs, number) for number in numbers}
    if segments is None:
        return known
    if isinstance(segments, str | Segment):
        segments = [segments]
    if isinstance(segments, Mapping):
        given = dict(segments)
        if set(given) != set(numbers):
            raise OptionError(
                f"segments= describes the numbers {sorted(given)}, and the array has {list(numbers)}"
            )
    else:
        if len(segments) != len(numbers):
            raise OptionError(
                f"segments= describes {len(segments)} segments, and the array has {len(numbers)}: "
                f"{list(numbers)}"
            )
        given = dict(zip(numbers, segments, strict=True))
    return {number: _one(given[number], known[number]) for number in numbers}


def _one(given: Any, known: Segment) -> Segment:
    if isinstance(given, Segment):
        return given
    if isinstance(given, str):
        return replace(known, label=given)
    raise OptionError(
        f"segments={given!r}: describe a segment by its label or imagedata_xr.Segment"
    )


def _known(attrs: Mapping[Any, Any], number: int) -> Segment:
    """Return what the attributes of a segmentation that was read say of a segment."""
    numbers = np.atleast_1d(attrs.get("SegmentNumber", [])).tolist()
    if number not in numbers:
        return Segment(f"segment {number}")
    place = numbers.index(number)

    def text(name: str) -> str:
        column = attrs.get(name, "")
        column = [column] if isinstance(column, str) else list(column)
        return str(column[place]) if len(column) == len(numbers) else ""

    def code(name: str) -> tuple[str, str, str] | None:
        value, _, scheme = text(f"{name}Code").rpartition("^")
        return (value, scheme, text(name)) if value and text(name) else None

    tracking = text("TrackingID"), text("TrackingUID")
    algorithm = text("SegmentAlgorithmType")
    return Segment(
        text("SegmentLabel") or f"segment {number}",
        type=code("SegmentedPropertyType"),
        category=code("SegmentedPropertyCategory"),
        region=code("AnatomicRegion"),
        algorithm=algorithm if algorithm in ALGORITHMS else "SEMIAUTOMATIC",
        algorithm_name=text("SegmentAlgorithmName") or "not specified",
        description=text("SegmentDescription"),
        color=text("SegmentColor"),
        tracking=tracking if all(tracking) else None,
    )


def segment_item(number: int, segment: Segment) -> Dataset:
    """Return an item of Segment Sequence."""
    item = Dataset()
    default = CONCEPT if segment.type is None else STRUCTURE
    category = default if segment.category is None else code_of(segment.category, "category")
    kind = SELECTED if segment.type is None else code_of(segment.type, "type")
    item.SegmentNumber = number
    item.SegmentLabel = segment.label
    if segment.description:
        item.SegmentDescription = segment.description
    item.SegmentAlgorithmType = segment.algorithm
    if segment.algorithm != "MANUAL":
        item.SegmentAlgorithmName = segment.algorithm_name or "not specified"
    item.SegmentedPropertyCategoryCodeSequence = code_items(category)
    item.SegmentedPropertyTypeCodeSequence = code_items(kind)
    if segment.region is not None:
        item.AnatomicRegionSequence = code_items(code_of(segment.region, "region"))
    if segment.color:
        item.RecommendedDisplayCIELabValue = _cielab(segment.color)
    if segment.tracking is not None:
        item.TrackingID, item.TrackingUID = segment.tracking
    else:
        item.TrackingID, item.TrackingUID = segment.label, new_uid()
    return item


def _cielab(color: str) -> list[int]:
    """Return a colour of sRGB as CIELab in 16 bits (PS3.3 C.10.7.1.1; IEC 61966-2-1, D50)."""
    rgb = np.array([int(color[k : k + 2], 16) for k in (1, 3, 5)]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array(
        [
            [0.4360747, 0.3850649, 0.1430804],
            [0.2225045, 0.7168786, 0.0606169],
            [0.0139322, 0.0971045, 0.7141733],
        ]
    )
    ratio = to_xyz @ linear / np.array([0.96422, 1.0, 0.82521])
    root = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    lightness, a, b = (
        116 * root[1] - 16,
        500 * (root[0] - root[1]),
        200 * (root[1] - root[2]),
    )
    scaled = [lightness * 65535 / 100, (a + 128) * 65535 / 255, (b + 128) * 65535 / 255]
    return [int(n) for n in np.clip(np.rint(scaled), 0, 65535)]
