"""Attributes that the caller names by their DICOM keywords (PS3.6)."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, Final

from pydicom import DataElement, config
from pydicom.datadict import dictionary_VR, keyword_dict, tag_for_keyword

from imagedata_xr.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ImageSets", "elements", "needs_unicode"]

# What the array and its coordinates say, or what must be new in each file.
ImageSets: Final = frozenset(
    {
        "BitsAllocated",
        "BitsStored",
        "Columns",
        "DoubleFloatPixelData",
        "FloatPixelData",
        "HighBit",
        "ImageOrientationPatient",
        "ImagePositionPatient",
        "InstanceNumber",
        "NumberOfFrames",
        "PhotometricInterpretation",
        "PixelData",
        "PixelRepresentation",
        "PixelSpacing",
        "PlanarConfiguration",
        "RescaleIntercept",
        "RescaleSlope",
        "Rows",
        "SOPInstanceUID",
        "SamplesPerPixel",
        "SpecificCharacterSet",
        "TransferSyntaxUID",
    }
)


def elements(attributes: Mapping[str, Any]) -> list[DataElement]:
    """
    Return data elements for keywords and values; a value of None removes the attribute.

    Raises
    ------
    OptionError
        A keyword is none of the data dictionary, belongs to the image itself, or its value is
        none that the attribute can have.
    """
    found = []
    for keyword, value in attributes.items():
        tag = tag_for_keyword(keyword)
        if tag is None or tag < 0x00080000:
            raise OptionError(f"{keyword} is no DICOM keyword{_suggestion(keyword)}")
        if keyword in ImageSets:
            raise OptionError(
                f"{keyword} is what the array itself says: change the array or its coordinates"
            )
        vr = dictionary_VR(tag).split(" or ")[0]
        try:
            element = DataElement(tag, vr, value, validation_mode=config.RAISE)
        except (ValueError, TypeError, OverflowError) as error:
            raise OptionError(f"{keyword}={value!r}: {error}") from error
        found.append(element)
    return found


def needs_unicode(values: Mapping[str, Any] | list[DataElement]) -> bool:
    """Tell whether a text among the values has characters beyond ASCII."""
    listed = values.values() if hasattr(values, "values") else [one.value for one in values]
    return any(not str(value).isascii() for value in listed)


def _suggestion(keyword: str) -> str:
    known = {name.lower(): name for name in keyword_dict}
    close = difflib.get_close_matches(keyword.lower(), known, n=1, cutoff=0.6)
    return f": did you mean {known[close[0]]}?" if close else ""
