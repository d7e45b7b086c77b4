"""Data sets without identity: every element, at any depth (PS3.15 E.1)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from pydicom import Dataset
from pydicom.datadict import dictionary_has_tag
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag

from imagedata_xr.errors import DataWarning, FormatError, ImagedataError
from imagedata_xr.formats.dicom.deidentify.moments import VRS, move
from imagedata_xr.formats.dicom.deidentify.table import (
    DUMMY,
    EMPTY,
    INSIDE,
    OPTIONS,
    REMOVE,
    SAFE_PRIVATE,
    UID,
    actions,
    tags_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imagedata_xr.formats.dicom.deidentify.profile import Profile

__all__ = ["Deidentifier"]

_TEXTS: Final = {
    **dict.fromkeys(("LO", "LT", "SH", "ST", "UC", "UT", "PN", "AE"), "ANONYMIZED"),
    "CS": "ANONYMIZED",
    "AS": "000Y",
}
_NUMBERS: Final = ("DS", "FD", "FL", "IS", "SL", "SS", "SV", "UL", "US", "UV")
_CURVES, _OVERLAYS = 0x5000, 0x6000
_PATIENT: Final = 0x0010
_PSEUDONYMS: Final = ("PatientID", "PatientName")
_CODES: Final = {
    "device": ("113109", "Retain Device Identity Option"),
    "institution": ("113112", "Retain Institution Identity Option"),
    "patient_characteristics": ("113108", "Retain Patient Characteristics Option"),
    "safe_private": ("113111", "Retain Safe Private Option"),
    "uids": ("113110", "Retain UIDs Option"),
}
_OF_DATES: Final = {
    "keep": ("113106", "Retain Longitudinal Temporal Information Full Dates Option"),
    "shifted": ("113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
}
_MODIFIED: Final = {"keep": "UNMODIFIED", "shifted": "MODIFIED", "remove": "REMOVED"}


@dataclass(frozen=True, slots=True, repr=False)
class Deidentifier:
    """
    Applies a profile to data sets.

    Attributes
    ----------
    profile : Profile
    table : mapping of int to str
        What to do about each attribute.
    """

    profile: Profile
    table: Mapping[int, str] = field(default_factory=actions)

    @property
    def _kept(self) -> frozenset[int]:
        named = [OPTIONS[name] for name in self.profile.retain if name in OPTIONS]
        return tags_of([*self.profile.keep, *(keyword for group in named for keyword in group)])

    def apply(self, dataset: Any, *, patient_id: str | None = None) -> None:
        """
        Take the identity out of a data set.

        Parameters
        ----------
        dataset : pydicom.Dataset
            Is changed.
        patient_id : str, optional
            Of whom it is, where the data set does not say.

        Warns
        -----
        DataWarning
            The header says that names are burned into the pixels, which stay as they are.

        Raises
        ------
        FormatError
            The data set is damaged: what cannot be read cannot be cleaned.
        """
        try:
            self._apply(dataset, patient_id)
        except ImagedataError:
            raise
        except Exception as error:  # pydicom raises whatever comes of damaged values
            raise FormatError(
                f"a header has values that cannot be read ({type(error).__name__}), and so not be "
                "de-identified"
            ) from error
        if str(dataset.get("BurnedInAnnotation") or "").upper() == "YES":
            warnings.warn(
                "Burned In Annotation is YES: the pixels themselves hold text that may identify the "
                "patient, and are not changed",
                DataWarning,
                stacklevel=3,
            )

    def _apply(self, dataset: Any, patient_id: str | None) -> None:
        who = str(dataset.get("PatientID") or patient_id or dataset.get("PatientName") or "")
        self._walk(dataset, who, self._kept)
        pseudonym = self.profile.patient(who)
        kept = self.profile.keep
        for keyword in _PSEUDONYMS:
            if keyword not in kept:
                setattr(dataset, keyword, pseudonym)
        self._mark(dataset)
        self._clean_file(dataset)

    @staticmethod
    def _clean_file(dataset: Any) -> None:
        """Keep of the file only how its data set is encoded."""
        former = getattr(dataset, "file_meta", None)
        if former is None:
            return
        meta = FileMetaDataset()
        for keyword in ("MediaStorageSOPClassUID", "TransferSyntaxUID"):
            if keyword in former:
                meta.add(former[keyword])
        dataset.file_meta = meta
        dataset.preamble = b"\0" * 128
        dataset.filename = None

    def _walk(self, dataset: Any, who: str, kept: frozenset[int]) -> None:
        self._drop_private(dataset)
        moments = []
        for tag in list(dataset.keys()):
            group = tag.group & 0xFF00
            if tag.is_private or tag.group == 0x0002:
                continue
            if group in (_CURVES, _OVERLAYS) and (tag.group & 1) == 0:
                del dataset[tag]
                continue
            element = _element(dataset, tag)
            if element is None or int(tag) in kept:
                continue
            if element.VR in VRS and tag.group != _PATIENT and self.profile.dates != "remove":
                moments.append(tag)
            elif element.VR == "SQ":
                self._sequence(dataset, element, who, kept)
            else:
                self._element(dataset, element)
        if self.profile.dates == "shifted":
            for tag in move(dataset, moments, self.profile.shift(who)):
                dataset[tag].value = None

    def _drop_private(self, dataset: Any) -> None:
        safe: set[Any] = set()
        for creator, group, lows in SAFE_PRIVATE if "safe_private" in self.profile.retain else ():
            try:
                block = dataset.private_block(group, creator)
            except KeyError:
                continue
            found = {block.get_tag(low) for low in lows if low in block}
            safe |= found | ({Tag(group, block.block_start >> 8)} if found else set())
        for tag in [tag for tag in dataset.keys() if tag.is_private and tag not in safe]:  # noqa: SIM118
            del dataset[tag]

    def _sequence(self, dataset: Any, element: Any, who: str, kept: frozenset[int]) -> None:
        if self.table.get(int(element.tag)) in (REMOVE, EMPTY):
            if self.table[int(element.tag)] == REMOVE:
                del dataset[element.tag]
            else:
                element.value = Sequence([])
            return
        for item in element.value:
            self._walk(item, who, kept)

    def _element(self, dataset: Any, element: Any) -> None:
        action = self.table.get(int(element.tag))
        if action is None and element.VR in VRS:
            action = EMPTY
        if element.VR == "UI" and action != REMOVE:
            several = list(element.value) if element.VM > 1 else [element.value or ""]
            mapped = [self.profile.uid(str(uid)) for uid in several]
            element.value = mapped if element.VM > 1 else mapped[0]
        elif action == REMOVE or (
            action is None and element.VR in ("UN", "OB") and not _known(element)
        ):
            del dataset[element.tag]
        elif action == EMPTY or (action is None and element.VR == "PN"):
            element.value = None
        elif action in (DUMMY, UID, INSIDE):
            self._dummy(dataset, element)

    @staticmethod
    def _dummy(dataset: Any, element: Any) -> None:
        """Put a value without meaning: of type 1 attributes nobody may take it all."""
        if element.is_empty:
            return
        if element.VR in _TEXTS:
            element.value = _TEXTS[element.VR]
        elif element.VR in _NUMBERS:
            element.value = 0
        elif element.VR in VRS:
            element.value = None
        else:
            del dataset[element.tag]

    def _mark(self, dataset: Any) -> None:
        """Say what was done (PS3.3 C.7.1.1, C.7.6.1)."""
        codes = [("113100", "Basic Application Confidentiality Profile")]
        codes += [_CODES[name] for name in sorted(self.profile.retain)]
        if self.profile.dates in _OF_DATES:
            codes.append(_OF_DATES[self.profile.dates])
        items = []
        for value, meaning in codes:
            item = Dataset()
            item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
            items.append(item)
        dataset.PatientIdentityRemoved = "YES"
        dataset.DeidentificationMethod = "DICOM PS3.15 Basic Profile, imagedata_xr"
        dataset.DeidentificationMethodCodeSequence = Sequence(items)
        dataset.LongitudinalTemporalInformationModified = _MODIFIED[self.profile.dates]


def _element(dataset: Any, tag: Any) -> Any:
    """Return an element; None, and take it out, where its value cannot be understood."""
    try:
        element = dataset[tag]
        _ = element.value
    except Exception:  # noqa: BLE001 - whatever pydicom cannot decode might hold a name
        del dataset[tag]
        return None
    return element


def _known(element: Any) -> bool:
    return bool(dictionary_has_tag(element.tag))
