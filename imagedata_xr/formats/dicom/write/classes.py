"""Classes of objects that hold one image (PS3.4 B.5), and the attributes that they must have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pydicom._uid_dict import UID_dictionary
from pydicom.datadict import dictionary_VR, tag_for_keyword

from imagedata_xr.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "CT",
    "MR",
    "PET",
    "SECONDARY_CAPTURE",
    "SIXTEEN",
    "ULTRASOUND",
    "class_of",
    "complete",
    "complete_general",
    "derived_class",
    "modality_of",
    "named_class",
    "third_value",
]

CT: Final = "1.2.840.10008.5.1.4.1.1.2"
MR: Final = "1.2.840.10008.5.1.4.1.1.4"
PET: Final = "1.2.840.10008.5.1.4.1.1.128"
SECONDARY_CAPTURE: Final = "1.2.840.10008.5.1.4.1.1.7"
# Bits Allocated is 16 (PS3.3 C.8.2.1, C.8.3.1 and C.8.9.4).
SIXTEEN: Final = frozenset({CT, MR, PET})

# Classes of several images to those of one; X-ray images may be either.
_SINGLE: Final = {
    "1.2.840.10008.5.1.4.1.1.3.1": "1.2.840.10008.5.1.4.1.1.6.1",
    "1.2.840.10008.5.1.4.1.1.6.1": "1.2.840.10008.5.1.4.1.1.6.1",
    "1.2.840.10008.5.1.4.1.1.12.1": "1.2.840.10008.5.1.4.1.1.12.1",
    "1.2.840.10008.5.1.4.1.1.12.2": "1.2.840.10008.5.1.4.1.1.12.2",
    "1.2.840.10008.5.1.4.1.1.2.1": CT,
    "1.2.840.10008.5.1.4.1.1.2.2": CT,
    "1.2.840.10008.5.1.4.1.1.4.1": MR,
    "1.2.840.10008.5.1.4.1.1.4.3": MR,
    "1.2.840.10008.5.1.4.1.1.4.4": MR,
}
# Of ultrasound pixels, 8 bits; of projections for presentation or processing, one meaning of the
# values (PS3.3 C.8.5.6.1 and C.8.11.3).
ULTRASOUND: Final = frozenset({"1.2.840.10008.5.1.4.1.1.3.1", "1.2.840.10008.5.1.4.1.1.6.1"})
_AS_ACQUIRED: Final = frozenset(
    f"1.2.840.10008.5.1.4.1.1.1.{kind}" for kind in ("1", "1.1", "2", "2.1", "3", "3.1")
)
# Of a dose, the values have a scaling of their own (PS3.3 C.8.8.3).
_DOSE: Final = "1.2.840.10008.5.1.4.1.1.481.2"
_OF_MODALITY: Final = {"CT": CT, "MR": MR, "PT": PET}
_MODALITY: Final = {kind: modality for modality, kind in _OF_MODALITY.items()}
_NAMED: Final = {**_OF_MODALITY, "PET": PET, "SC": SECONDARY_CAPTURE, "OT": SECONDARY_CAPTURE}

# Empty where nobody knows them (type 2, PS3.5 7.4.3).
_EMPTY: Final = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
    "StudyID",
    "AccessionNumber",
    "SeriesNumber",
    "Manufacturer",
)
_EMPTY_OF: Final = {
    MR: ("ScanOptions", "MRAcquisitionType", "RepetitionTime", "EchoTime", "EchoTrainLength"),
    CT: ("KVP", "AcquisitionNumber"),
}
_PLACED: Final = ("PositionReferenceIndicator", "PatientPosition", "SliceThickness")
# A research mode and no variant: what PS3.3 C.8.3.1 offers where nothing is known.
_DEFAULT: Final = {
    MR: {"ScanningSequence": "RM", "SequenceVariant": "NONE"},
    SECONDARY_CAPTURE: {"ConversionType": "WSD"},
}
_THIRD: Final = {MR: "OTHER", CT: "AXIAL"}


def class_of(known: Mapping[str, Any], *, colour: bool) -> str:
    """
    Return the class for an image with these attributes, Secondary Capture where none fits.

    Parameters
    ----------
    known : mapping of str to value
        With ``SOPClassUID`` or ``Modality``, as far as they are known.
    colour : bool
        MR and CT have no colours.
    """
    named = str(known.get("SOPClassUID") or "")
    found = _SINGLE.get(named, named if named in (*SIXTEEN, SECONDARY_CAPTURE) else "")
    if not found:
        found = _OF_MODALITY.get(str(known.get("Modality") or ""), SECONDARY_CAPTURE)
    return SECONDARY_CAPTURE if colour and found in SIXTEEN else found


def derived_class(kind: str) -> str:
    """Return the class for computed values of images of a class: Secondary Capture for some."""
    return SECONDARY_CAPTURE if kind in (*_AS_ACQUIRED, _DOSE) else kind


def named_class(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return attributes with the class of object that a name stands for.

    Parameters
    ----------
    attributes : mapping of str to value
        ``SOPClassUID`` may be a modality ("MR", "CT", "PT", "SC") or a keyword of PS3.6
        ("MRImageStorage").

    Raises
    ------
    OptionError
        The name is none of these.
    """
    found = dict(attributes)
    name = found.get("SOPClassUID")
    if not isinstance(name, str) or not name or name[0].isdigit():
        return found
    known = next((uid for uid, facts in UID_dictionary.items() if facts[4] == name), None)
    found["SOPClassUID"] = _NAMED.get(name.upper(), known)
    if found["SOPClassUID"] is None:
        raise OptionError(
            f"SOPClassUID={name!r} is no class: give a UID, one of {', '.join(_NAMED)}, or a "
            "keyword such as 'MRImageStorage'"
        )
    return found


def modality_of(kind: str) -> str:
    """Return the modality of a class, OT (other) where several are possible."""
    return _MODALITY.get(kind, "OT")


def complete(dataset: Any, *, placed: bool) -> None:
    """
    Add what the class of an instance requires and the header lacks.

    Parameters
    ----------
    dataset : pydicom.Dataset
        Is changed.
    placed : bool
        The image has a place in the patient.
    """
    kind = str(dataset.SOPClassUID)
    for keyword, value in _DEFAULT.get(kind, {}).items():
        if not dataset.get(keyword):
            setattr(dataset, keyword, value)
    complete_general(dataset)
    wanted = [*_EMPTY_OF.get(kind, ()), *(_PLACED if placed else ())]
    if kind == SECONDARY_CAPTURE or not placed:
        wanted.append("PatientOrientation")
    if not dataset.get("BodyPartExamined"):
        # Of a body part that may be one of a pair.
        wanted.append("Laterality")
    _add_empty(dataset, wanted)


def complete_general(dataset: Any) -> None:
    """Add, empty, what every image of a patient has to have and the header lacks."""
    _add_empty(dataset, _EMPTY)


def _add_empty(dataset: Any, wanted: Iterable[str]) -> None:
    for keyword in wanted:
        if keyword not in dataset:
            tag = tag_for_keyword(keyword)
            assert tag is not None
            dataset.add_new(tag, dictionary_VR(tag), None)


def third_value(kind: str) -> str | None:
    """Return the least specific third value of Image Type that a class allows."""
    return _THIRD.get(kind)
