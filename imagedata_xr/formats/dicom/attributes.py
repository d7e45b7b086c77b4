"""Attributes of the image from what is constant over its headers."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Final

from imagedata_xr import schema
from imagedata_xr.errors import DataWarning, FormatError, outside
from imagedata_xr.formats.dicom.headers.dictionary import KEYWORD_OF, TAG_OF, known_vr
from imagedata_xr.formats.dicom.instance import is_dose

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from imagedata_xr.formats.dicom.headers import Header
    from imagedata_xr.frames import Value

__all__ = ["attributes", "identifies", "plain"]

# What the coordinates, the array itself or its encoding already say, or what belongs to one image.
_ELSEWHERE = frozenset(
    {
        "ImageOrientationPatient",
        "ImagePositionPatient",
        "InstanceCreationDate",
        "InstanceCreationTime",
        "InstanceNumber",
        "LargestImagePixelValue",
        "NumberOfFrames",
        "PixelSpacing",
        "RescaleIntercept",
        "RescaleSlope",
        "RescaleType",
        "SOPInstanceUID",
        "SliceLocation",
        "SmallestImagePixelValue",
        "SpacingBetweenSlices",
        "SpecificCharacterSet",
        "Units",
    }
)
# Image Pixel module, palettes and overlays (PS3.3 C.7.6.3): facts of the stored cells.
_PIXEL_MODULE = range(0x00280002, 0x00280122)
_PALETTES = range(0x00281101, 0x00281224)
_PATIENT = 0x0010
_NOT_IDENTIFYING = frozenset({"PatientSex", "PatientAge", "PatientSize", "PatientWeight"})
# Besides all person names (VR PN).
_IDENTIFYING = frozenset(
    {
        "AccessionNumber",
        "AdmissionID",
        "CurrentPatientLocation",
        "InstitutionAddress",
        "InstitutionName",
        "InstitutionalDepartmentName",
        "NameOfPhysiciansReadingStudy",
        "OperatorsName",
        "PerformedProcedureStepID",
        "PerformingPhysicianName",
        "PersonName",
        "PhysiciansOfRecord",
        "ReferringPhysicianAddress",
        "ReferringPhysicianName",
        "ReferringPhysicianTelephoneNumbers",
        "RequestingPhysician",
        "ScheduledPerformingPhysicianName",
        "StationName",
        "StudyID",
    }
)


def plain(value: Value) -> str | int | float | list[str | int | float] | None:
    """Turn a header value into what netCDF and Zarr can hold; None where there is nothing."""
    if isinstance(value, tuple):
        kept = [_clean(item) for item in value]
        return kept or None
    return None if value is None or value == "" else _clean(value)


def _clean(value: str | float) -> str | int | float:
    return value.replace("\0", "") if isinstance(value, str) else value


def attributes(headers: Sequence[Header], *, phi: bool = True) -> dict[str, Any]:
    """
    Return the series-constant, public elements of simple VR: keyword to str, int, float or list.

    Parameters
    ----------
    headers : sequence of Header
        One for every instance.
    phi : bool
        False leaves out what identifies the patient and the people who treat them.
    """
    found: dict[str, Any] = {}
    undecodable, strange = [], []
    for tag in _constant(headers):
        keyword = KEYWORD_OF.get(tag)
        vr = headers[0].vr(tag)
        if keyword is None or vr == "AT" or _left_out(tag, keyword):
            continue
        if not phi and (vr == "PN" or identifies(keyword)):
            continue
        try:
            value = plain(headers[0].get(keyword))
        except FormatError:
            undecodable.append(keyword)
            continue
        if value is not None:
            found[keyword] = value
        if _REPLACED in str(value):
            strange.append(keyword)
    if strange:
        warnings.warn(
            f"{headers[0].source.name}: text that does not fit SpecificCharacterSet, with "
            f"{_REPLACED} for what cannot be read: {', '.join(strange)}",
            DataWarning,
            stacklevel=outside(),
        )
    if undecodable:
        warnings.warn(
            f"{headers[0].source.name}: left out of the attributes, since their values are no "
            f"numbers: {', '.join(undecodable)}",
            DataWarning,
            stacklevel=outside(),
        )
    return found


def _constant(headers: Sequence[Header]) -> Iterable[int]:
    """Return the tags whose bytes are the same in all headers, in ascending order."""
    models = list({id(header.shared): header.shared.elements for header in headers}.values())
    differing = set().union(*(header.own for header in headers))
    first = headers[0].elements
    for tag in sorted(first):
        raw = first[tag]
        if tag in differing:
            same = all(header.raw(tag) == raw for header in headers)
        else:
            same = all(elements.get(tag) == raw for elements in models)
        if same:
            yield tag


def _left_out(tag: int, keyword: str) -> bool:
    return keyword in _ELSEWHERE or tag in _PIXEL_MODULE or tag in _PALETTES


def identifies(keyword: str) -> bool:
    """Tell whether an element names the patient, or those who treat them."""
    tag = TAG_OF.get(keyword, 0)
    patient = tag >> 16 == _PATIENT and keyword not in _NOT_IDENTIFYING
    return patient or keyword in _IDENTIFYING or known_vr(tag) == "PN"


# What stands for bytes that are no characters.
_REPLACED: Final = "\ufffd"
# Codes of UCUM that arrays call by the names of other attributes.
_OF_UCUM: Final = {"[hnsf'U]": "HU", "Bq/ml": "BQML"}
_NO_UNITS: Final = ("US", "", "1")


def units(values: Mapping[str, Value]) -> dict[str, str]:
    """Return the units of rescaled values: those of the header, HU for CT (PS3.3 C.8.2.1.1.2)."""
    named = values.get("Units") or values.get("RescaleType")
    if isinstance(named, str) and named not in _NO_UNITS:
        return {schema.UNITS: _OF_UCUM.get(named, named)}
    if is_dose(values.get) and values.get("DoseUnits") == "GY":
        return {schema.UNITS: "Gy"}
    if values.get("Modality") == "CT" and values.get("RescaleIntercept") is not None:
        return {schema.UNITS: "HU"}
    return {}
