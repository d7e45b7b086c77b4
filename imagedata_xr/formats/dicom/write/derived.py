"""
Headers of images that were computed from others (PS3.3 C.7.6.1.1.2 and C.12.4).

The header is that of a source frame without what described the source's own pixels. Where several
frames went into one, it holds what they have in common.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from imagedata_xr.formats.dicom.headers import read_header
from imagedata_xr.formats.dicom.headers.dictionary import KEYWORD_OF
from imagedata_xr.formats.dicom.write.classes import MR, PET, third_value
from imagedata_xr.formats.dicom.write.encode import as_datasets
from imagedata_xr.formats.dicom.write.instances import drop_drawn
from imagedata_xr.formats.dicom.write.patch import drop_range, put_items

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydicom import Dataset

    from imagedata_xr.frames import Frame

__all__ = ["drop_pixel_facts", "drop_references", "keep_common", "mark_derived", "reference"]

LONGEST: Final = 1024
# What was said of the pixels of the source: how to show them, their range, signatures over them.
PIXEL_FACTS: Final = (
    "DigitalSignaturesSequence",
    "DoseGridScaling",
    "GridFrameOffsetVector",
    "IconImageSequence",
    "LargestImagePixelValue",
    "LargestPixelValueInSeries",
    "MACParametersSequence",
    "ModalityLUTSequence",
    "PixelAspectRatio",
    "PixelPaddingRangeLimit",
    "PixelPaddingValue",
    "RealWorldValueMappingSequence",
    "RescaleIntercept",
    "RescaleSlope",
    "RescaleType",
    "SmallestImagePixelValue",
    "SmallestPixelValueInSeries",
    "VOILUTFunction",
    "VOILUTSequence",
    "WindowCenter",
    "WindowCenterWidthExplanation",
    "WindowWidth",
)
PALETTES: Final = (0x00281101, 0x00281224)
# Required, if empty, in some class (type 2 and 2C).
_EMPTIED: Final = frozenset(
    {"AcquisitionNumber", "ContentDate", "ContentTime", "EchoTime", "KVP", "TriggerTime"}
)
# These are set, or looked after, elsewhere.
_OWN: Final = frozenset(
    {
        "ImageOrientationPatient",
        "ImagePositionPatient",
        "InstanceNumber",
        "PixelSpacing",
        "SOPInstanceUID",
        "SeriesInstanceUID",
        "SliceLocation",
        "SpecificCharacterSet",
    }
)
# Where the images are from which the source itself was made.
_SOURCES: Final = (
    "SourceImageSequence",
    "ReferencedSeriesSequence",
    "StudiesContainingOtherReferencedInstancesSequence",
)
_PURPOSE: Final = {
    "CodeValue": "121322",
    "CodingSchemeDesignator": "DCM",
    "CodeMeaning": "Source image for image processing operation",
}
_REFERENCES: Final = ("ReferencedImageSequence", "ReferencedStudySequence", "RelatedSeriesSequence")


def drop_pixel_facts(dataset: Any) -> None:
    """Leave out what is only true of the pixels of the source."""
    for keyword in PIXEL_FACTS:
        if keyword in dataset:
            delattr(dataset, keyword)
    drop_range(dataset, *PALETTES)
    dataset.pop("PixelPresentation", None)
    drop_drawn(dataset)


def keep_common(dataset: Any, frames: Sequence[Frame]) -> None:
    """
    Leave out of a header what is not the same in all frames that went into an image.

    Private elements go with them: they describe one acquisition.
    """
    if len(frames) < 2:
        return
    dataset.remove_private_tags()
    headers = [read_header(frame.ref.source) for frame in frames]
    elements = [header.elements for header in headers if header is not None]
    tags = {tag for known in elements for tag in known}
    for tag in tags:
        keyword = KEYWORD_OF.get(tag)
        if keyword is None or keyword in _OWN or tag not in dataset:
            continue
        if any(known.get(tag) != elements[0].get(tag) for known in elements):
            if keyword in _EMPTIED:
                setattr(dataset, keyword, None)
            else:
                del dataset[tag]


def mark_derived(dataset: Any, sources: Sequence[Frame], description: str) -> None:
    """
    Say in a header that the image is computed, and from what.

    Parameters
    ----------
    dataset : pydicom.Dataset
        Is changed.
    sources : sequence of Frame
        The images that it was computed from, as far as they are known.
    description : str
        Derivation Description, unless the caller gives one.
    """
    former = dataset.get("ImageType") or []
    former = [former] if isinstance(former, str) else list(former)
    rest = [text for text in former[2:] if text != "MOSAIC"]
    third = third_value(str(dataset.SOPClassUID))
    if third is not None and not rest:
        rest = [third]
    # PET images are primary always (PS3.3 C.8.9.4.1.1).
    second = "PRIMARY" if str(dataset.SOPClassUID) == PET else "SECONDARY"
    dataset.ImageType = ["DERIVED", second, *rest]
    dataset.DerivationDescription = description[:LONGEST]
    now = datetime.now().astimezone()
    dataset.InstanceCreationDate = now.strftime("%Y%m%d")
    dataset.InstanceCreationTime = now.strftime("%H%M%S.%f")
    for keyword in _SOURCES:
        dataset.pop(keyword, None)
    if sources:
        put_items(dataset, "SourceImageSequence", [_reference(frame) for frame in sources])


def drop_references(dataset: Any) -> None:
    """Leave out references to images and studies: they are those of another patient."""
    for keyword in (*_SOURCES, *_REFERENCES):
        dataset.pop(keyword, None)


def reference(frame: Frame) -> Dataset:
    """Return an item of Source Image Sequence (PS3.3 C.7.6.1, Image SOP Instance Reference)."""
    (item,) = as_datasets([_reference(frame)])
    return item


def _reference(frame: Frame) -> dict[str, Any]:
    number = frame.ref.number + 1
    return {
        "ReferencedSOPClassUID": str(frame.values.get("SOPClassUID") or MR),
        "ReferencedSOPInstanceUID": frame.uid,
        **({"ReferencedFrameNumber": str(number)} if frame.ref.format.frames > 1 else {}),
        "PurposeOfReferenceCodeSequence": [_PURPOSE],
    }
