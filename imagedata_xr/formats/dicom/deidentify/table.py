"""
What to do about each attribute: the Basic Application Level Confidentiality Profile.

Table E.1-1 of DICOM PS3.15 has some 600 rows and changes with every edition; it is taken from the
package dicom-anonymizer, which follows it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from pydicom.datadict import tag_for_keyword

from imagedata_xr.errors import MissingDependencyError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["DUMMY", "EMPTY", "OPTIONS", "REMOVE", "SAFE_PRIVATE", "UID", "actions"]

REMOVE, EMPTY, DUMMY, UID, INSIDE = "X", "Z", "D", "U", "inside"
_EDITION: Final = "dicomfields_2026c"
# Where the table leaves a choice, what any class of object allows: a value of type 1 stays one.
_CATEGORIES: Final = {
    "D_TAGS": DUMMY,
    "Z_TAGS": EMPTY,
    "X_TAGS": REMOVE,
    "U_TAGS": UID,
    "Z_D_TAGS": DUMMY,
    "X_Z_TAGS": EMPTY,
    "X_D_TAGS": DUMMY,
    "X_Z_D_TAGS": DUMMY,
    "X_Z_U_STAR_TAGS": INSIDE,
}
# Attributes that an option retains (PS3.15 E.3.3, E.3.5, E.3.7).
OPTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "device": (
        "CassetteID",
        "DetectorID",
        "DeviceDescription",
        "DeviceLabel",
        "DeviceSerialNumber",
        "DeviceUID",
        "GantryID",
        "GeneratorID",
        "LensMake",
        "LensModel",
        "LensSerialNumber",
        "PerformedStationAETitle",
        "PerformedStationGeographicLocationCodeSequence",
        "PerformedStationName",
        "PerformedStationNameCodeSequence",
        "PlateID",
        "ScheduledStationAETitle",
        "ScheduledStationName",
        "SourceManufacturer",
        "SourceSerialNumber",
        "StationAETitle",
        "StationName",
        "TransducerIdentificationSequence",
        "TreatmentMachineName",
        "UDISequence",
        "UniqueDeviceIdentifier",
        "XRayDetectorID",
        "XRaySourceID",
    ),
    "institution": (
        "InstitutionAddress",
        "InstitutionCodeSequence",
        "InstitutionName",
        "InstitutionalDepartmentName",
        "InstitutionalDepartmentTypeCodeSequence",
    ),
    "patient_characteristics": (
        "Allergies",
        "EthnicGroup",
        "PatientAge",
        "PatientSex",
        "PatientSexNeutered",
        "PatientSize",
        "PatientWeight",
        "PregnancyStatus",
        "PreMedication",
        "SelectorASValue",
        "SmokingStatus",
        "SpecialNeeds",
    ),
}
# Private elements known to hold numbers of the acquisition and nothing else (PS3.15 E.3.10):
# creator, group, low bytes.
SAFE_PRIVATE: Final = (
    ("SIEMENS MR HEADER", 0x0019, (0x0A, 0x0B, 0x0C, 0x0D, 0x0E, 0x27, 0x28)),
    ("Philips Imaging DD 001", 0x2001, (0x03, 0x04)),
    ("Philips MR Imaging DD 001", 0x2005, (0x0D, 0x0E, 0xB0, 0xB1, 0xB2)),
    ("Philips PET Private Group", 0x7053, (0x00, 0x09)),
    ("GEMS_ACQU_01", 0x0019, (0x23, 0x24, 0xBB, 0xBC, 0xBD)),
    ("GEMS_PARM_01", 0x0043, (0x39,)),
    ("Image Private Header", 0x0065, (0x09, 0x37)),
)


@lru_cache(maxsize=1)
def actions() -> Mapping[int, str]:
    """
    Return what to do about each attribute of the table, by tag.

    Raises
    ------
    MissingDependencyError
        Without dicom-anonymizer.
    """
    try:
        from dicomanonymizer.dicomfields_selector import dicom_anonymization_database_selector
    except ImportError as error:
        raise MissingDependencyError(
            'de-identification needs dicom-anonymizer: pip install "imagedata_xr[deidentify]"'
        ) from error
    lists = dicom_anonymization_database_selector(_EDITION)
    found: dict[int, str] = {}
    for category, action in _CATEGORIES.items():
        for entry in lists[category]:
            # Entries of four numbers are groups of overlays and curves, which go as a whole.
            if len(entry) == 2:
                found[entry[0] << 16 | entry[1]] = action
    return found


def tags_of(keywords: Iterable[str]) -> frozenset[int]:
    """Return the tags of keywords that the dictionary knows."""
    tags = (tag_for_keyword(keyword) for keyword in keywords)
    return frozenset(tag for tag in tags if tag is not None)
