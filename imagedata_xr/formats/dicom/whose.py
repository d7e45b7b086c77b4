"""Of whom a series is, and in which space: compared where two images are combined."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from imagedata_xr import schema
from imagedata_xr.frames import attribute
from imagedata_xr.naming import plain_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imagedata_xr.frames import Frame

__all__ = ["PATIENTS", "SPACES", "Whose", "whose_of"]

PATIENTS: Final = (
    "images of two patients are combined (Patient ID or Patient's Name differ): xarray may keep "
    "the attributes of the first. To write the result as DICOM, pass template= to say whose it is"
)
SPACES: Final = (
    "images of two frames of reference are combined: nothing in their headers says that the same "
    "coordinates are the same place in the patient. Register and resample one first; or, where "
    "they are known to agree, make it like the other: b.med.like(a)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Whose:
    """
    Hashes of what tells patients and spaces apart; empty where a header does not say.

    Attributes
    ----------
    patient, issuer, name : str
        Of Patient ID, Issuer of Patient ID and Patient's Name.
    study, space : str
        Of Study Instance UID and Frame of Reference UID.
    """

    patient: str = ""
    issuer: str = ""
    name: str = ""
    study: str = ""
    space: str = ""

    def is_stranger(self, other: Whose) -> bool:
        """Tell whether the headers say that these are two patients."""
        pairs = [(self.patient, other.patient), (self.name, other.name)]
        if self.patient and other.patient:
            pairs.append((self.issuer, other.issuer))
        return any(_differ(*pair) for pair in pairs)

    def is_same(self, other: Whose) -> bool:
        """Tell whether the headers say that this is one patient."""
        if self.is_stranger(other):
            return False
        equal = ((self.patient, other.patient), (self.study, other.study))
        nameless = not (self.patient or other.patient) and self.name == other.name != ""
        return nameless or any(mine and mine == theirs for mine, theirs in equal)

    def is_elsewhere(self, other: Whose) -> bool:
        """Tell whether the headers say that these are two spaces."""
        return _differ(self.space, other.space)


def whose_of(frames: Sequence[Frame]) -> Whose:
    """Return of whom frames are that were sorted together; what differs among them is unknown."""
    return Whose(
        patient=_hashed("PatientID", frames),
        issuer=_hashed("IssuerOfPatientID", frames),
        name=_hashed("PatientName", frames),
        study=_hashed(schema.STUDY, frames),
        space=_hashed("FrameOfReferenceUID", frames),
    )


def _differ(mine: str, theirs: str) -> bool:
    return bool(mine and theirs and mine != theirs)


def _hashed(keyword: str, frames: Sequence[Frame]) -> str:
    found = {str(value or "").strip() for value in dict.fromkeys(attribute(keyword, frames))}
    if keyword == "PatientName":
        found = {plain_name(name) for name in found}
    if len(found) != 1 or found == {""}:
        return ""
    return hashlib.blake2b(found.pop().encode("utf-8", "replace"), digest_size=8).hexdigest()
