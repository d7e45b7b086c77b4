"""The header of one image out of an instance that holds several (PS3.3 C.7.6.16)."""

from __future__ import annotations

import re
from copy import copy
from typing import TYPE_CHECKING, Any, Final

from pydicom import Dataset
from pydicom.datadict import tag_for_keyword

from imagedata_xr.formats.dicom.instance import is_dose
from imagedata_xr.formats.dicom.write.classes import class_of

if TYPE_CHECKING:
    from pydicom import DataElement

__all__ = ["MULTIFRAME", "is_segmentation", "is_single", "single_header"]

# Elements of objects that hold several images in one instance.
MULTIFRAME: Final = (
    "NumberOfFrames",
    "PerFrameFunctionalGroupsSequence",
    "SharedFunctionalGroupsSequence",
)
# What is said of several frames, or names them.
_OF_SEVERAL: Final = frozenset(
    {
        *MULTIFRAME,
        "DimensionIndexSequence",
        "DimensionOrganizationSequence",
        "DimensionOrganizationType",
        "FrameIncrementPointer",
        "FrameTime",
        "FrameTimeVector",
        "RecommendedDisplayFrameRate",
        "CineRate",
        "StartTrim",
        "StopTrim",
    }
)
# Concatenations and dimensions (0020,9056 to 0020,9529); 930D is the time offset of a position.
_NUMBERING: Final = set(range(0x00209056, 0x00209530)) - {0x0020930D}
# Attributes of functional groups whose counterpart in single images has another keyword.
_CALLED: Final = {
    "EffectiveEchoTime": "EchoTime",
    "FrameAcquisitionNumber": "AcquisitionNumber",
    "TemporalPositionIndex": "TemporalPositionIdentifier",
}
_DEEPEST: Final = 3
_SEGMENTATIONS: Final = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")


def is_single(dataset: Any) -> bool:
    """Tell whether an instance holds one image as a whole: Number of Frames may say so, too."""
    if any(keyword in dataset for keyword in MULTIFRAME[1:]):
        return False
    return str(dataset.get("NumberOfFrames") or 1).strip() == "1"


def is_segmentation(dataset: Any) -> bool:
    """Tell whether the frames are masks."""
    return str(dataset.get("SOPClassUID")) in _SEGMENTATIONS


def single_header(dataset: Any, number: int) -> Dataset:
    """
    Return a header for one frame as an image of its own.

    What the instance says of all its frames comes first, then its functional groups, of all
    frames and of this one. Private elements and references of frames are left out.

    Parameters
    ----------
    dataset : pydicom.Dataset
        Of the instance; is not changed.
    number : int
        Zero-based number of the frame.
    """
    flat = Dataset()
    for element in dataset:
        if element.keyword not in _OF_SEVERAL and _is_kept(element):
            # A value that is set below must not become that of the instance, and of other frames.
            flat.add(copy(element))
    for keyword, place in (
        ("SharedFunctionalGroupsSequence", 0),
        ("PerFrameFunctionalGroupsSequence", number),
    ):
        groups = dataset.get(keyword) or []
        if place < len(groups):
            _flatten(groups[place], flat, 1)
    _put_names(flat)
    if is_dose(flat.get) and "DoseGridScaling" in flat:
        # The class of single images has the ordinary rescale.
        flat.RescaleIntercept, flat.RescaleSlope = 0, flat.DoseGridScaling
        flat.RescaleType = "Gy" if flat.get("DoseUnits") == "GY" else "US"
        del flat.DoseGridScaling
        flat.pop("GridFrameOffsetVector", None)
    colour = flat.get("SamplesPerPixel", 1) != 1
    known = {"SOPClassUID": flat.get("SOPClassUID"), "Modality": flat.get("Modality")}
    flat.SOPClassUID = class_of(known, colour=colour)
    return flat


def _is_kept(element: DataElement) -> bool:
    return not element.tag.is_private and element.tag not in _NUMBERING


def _flatten(item: Any, flat: Dataset, depth: int) -> None:
    """Add the elements of a functional group, and of the single items within."""
    for element in item:
        if element.VR != "SQ":
            if _is_kept(element) or element.keyword in _CALLED:
                flat.add(copy(element))
        elif (
            not element.tag.is_private
            and depth < _DEEPEST
            and len(element.value) == 1
            and _describes(element)
        ):
            _flatten(element.value[0], flat, depth + 1)


def _describes(element: DataElement) -> bool:
    """Tell whether a sequence holds facts of the frame, and not a code or a reference."""
    item = element.value[0]
    return "CodeMeaning" not in item and "ReferencedSOPInstanceUID" not in item


def _put_names(flat: Dataset) -> None:
    for keyword, name in _CALLED.items():
        if keyword in flat:
            value = flat[keyword].value
            setattr(flat, name, None if value is None else str(value)[:16])
            tag = tag_for_keyword(keyword)
            assert tag is not None
            del flat[tag]
    encoding = {"COLUMN": "COL", "ROW": "ROW"}.get(str(flat.get("InPlanePhaseEncodingDirection")))
    flat.InPlanePhaseEncodingDirection = encoding
    if encoding is None:
        del flat.InPlanePhaseEncodingDirection
    if flat.get("InversionRecovery") == "NO" and "InversionTime" in flat:
        del flat.InversionTime
    if "FrameType" in flat:
        flat.ImageType = flat.FrameType
        del flat.FrameType
    when = str(flat.get("FrameAcquisitionDateTime") or "")
    if when:
        flat.AcquisitionDateTime = when
        flat.AcquisitionDate = when[:8]
        flat.AcquisitionTime = re.split("[+-]", when[8:], maxsplit=1)[0]
        del flat.FrameAcquisitionDateTime
