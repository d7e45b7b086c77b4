"""Patient, study and equipment for images that were not read from DICOM."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import xarray as xr
from pydicom import Dataset
from pydicom.datadict import dictionary_VR, tag_for_keyword

from imagedata_xr import schema
from imagedata_xr.errors import HeaderError, NoImagesError, OptionError
from imagedata_xr.formats.dicom.headers import read_header
from imagedata_xr.formats.dicom.write.keywords import ImageSets
from imagedata_xr.formats.dicom.write.numbers import decimal
from imagedata_xr.formats.dicom.write.patch import drop_range
from imagedata_xr.sources import find_sources

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "apply_template",
    "attributes_of",
    "header_from_attrs",
    "is_general",
    "is_known",
    "plain_attributes",
    "require_known",
    "template_header",
    "template_of",
    "template_store",
]

# Patient, patient study, general study, general equipment, frame of reference (PS3.3 C.7.1 - C.7.5).
_GENERAL: Final = (
    "AccessionNumber",
    "AdmittingDiagnosesDescription",
    "BodyPartExamined",
    "DeviceSerialNumber",
    "FrameOfReferenceUID",
    "InstitutionAddress",
    "InstitutionName",
    "InstitutionalDepartmentName",
    "Manufacturer",
    "ManufacturerModelName",
    "Modality",
    "NameOfPhysiciansReadingStudy",
    "PatientPosition",
    "PhysiciansOfRecord",
    "PositionReferenceIndicator",
    "ProcedureCodeSequence",
    "ReferencedStudySequence",
    "ReferringPhysicianName",
    "SoftwareVersions",
    "StationName",
    "StudyDate",
    "StudyDescription",
    "StudyID",
    "StudyInstanceUID",
    "StudyTime",
)
_OF_PLACE: Final = ("FrameOfReferenceUID", "PositionReferenceIndicator")
_PATIENT: Final = 0x0010
_SEVERAL: Final = range(0x00209056, 0x00209530)
_NOT_COPIED: Final = frozenset(
    {"SOPClassUID", "SeriesInstanceUID", "DimensionOrganizationType", *ImageSets}
)


def template_header(template: Any) -> Dataset:
    """
    Return the header of a template.

    Parameters
    ----------
    template : DataArray, Dataset, path or URL
        An image that was read from DICOM, or where one is.

    Raises
    ------
    OptionError
        The array knows no patient.
    NoImagesError
        There is no DICOM file.
    """
    if isinstance(template, xr.Dataset):
        template = template[schema.IMAGE]
    if isinstance(template, xr.DataArray):
        store = template_store(template)
        if store is not None and len(store):
            found: Dataset = store.dataset(next(iter(store.places)))
            return found
        header = header_from_attrs(template.attrs)
        if not is_known(header):
            raise OptionError("template: the array knows no patient: give one read from DICOM")
        return header
    for source in find_sources(template):
        header_there = read_header(source)
        if header_there is not None and header_there.get("PatientID") is not None:
            dataset: Dataset = header_there.dataset()
            return dataset
    raise NoImagesError(f"template: there is no DICOM file of a patient in {template}")


def template_store(template: Any) -> Any:
    """Return the store of full headers of an array, that of its own template included."""
    if isinstance(template, xr.DataArray):
        for name, key in ((schema.SERIES, schema.HEADERS), (schema.STUDY, schema.TEMPLATE)):
            coord = template.coords.get(name)
            store = None if coord is None else coord.encoding.get(key)
            if store is not None:
                return store
    return None


def template_of(da: xr.DataArray) -> Dataset | None:
    """
    Return the header of the template that an array was made like, where its own are not known.

    Raises
    ------
    HeaderError
        The array has frames of another study.
    """
    study, series = da.coords.get(schema.STUDY), da.coords.get(schema.SERIES)
    store = None if study is None else study.encoding.get(schema.TEMPLATE)
    if store is None:
        return None
    header: Dataset = store.dataset(next(iter(store.places)))
    own = None if series is None else series.encoding.get(schema.HEADERS)
    if own is None:
        return header
    if own.dataset(next(iter(own.places))).get("StudyInstanceUID") != header.get(schema.STUDY):
        raise HeaderError(
            "frames of one study were combined with an image that was made like another one "
            "(.med.like): pass template= to say whose the result is"
        )
    return None


def is_general(keyword: str) -> bool:
    """Tell whether an attribute says whose image it is, or by which equipment it was made."""
    tag = tag_for_keyword(keyword)
    return keyword in _GENERAL or (tag is not None and tag >> 16 == _PATIENT)


def plain_attributes(header: Dataset, *, placed: bool) -> dict[str, Any]:
    """
    Return patient, study and equipment of a header as attributes of an array.

    Parameters
    ----------
    header : pydicom.Dataset
    placed : bool
        The array has a place in the patient, and with it a frame of reference.
    """
    return {
        keyword: value
        for keyword, value in attributes_of(header).items()
        if is_general(keyword) and (placed or keyword not in _OF_PLACE)
    }


def attributes_of(header: Dataset) -> dict[str, Any]:
    """Return the simple public elements of a header as attributes of an array."""
    found: dict[str, Any] = {}
    for element in header:
        if element.VR in ("SQ", "OB", "OW", "UN", "AT") or not element.keyword:
            continue
        several = element.value if element.VM > 1 else [element.value]
        values = [_plain(element.VR, one) for one in several if one is not None and one != ""]
        if values:
            found[element.keyword] = values[0] if len(values) == 1 else values
    return found


def _plain(vr: str, value: Any) -> str | int | float:
    if vr in ("DS", "FL", "FD"):
        return float(value)
    return int(value) if isinstance(value, int) else str(value)


def header_from_attrs(attrs: Mapping[Any, Any]) -> Dataset:
    """Return what the attributes of an array say under DICOM keywords, as a header."""
    header = Dataset()
    header.SpecificCharacterSet = "ISO_IR 192"
    for keyword, value in attrs.items():
        tag = tag_for_keyword(str(keyword))
        if tag is None or tag < 0x00080000 or tag in _SEVERAL or keyword in _NOT_COPIED:
            continue
        vr = dictionary_VR(tag)
        if " or " in vr or vr in ("SQ", "OB", "OW", "UN"):
            continue
        plain = value.tolist() if hasattr(value, "tolist") else value
        if vr == "DS":
            several = plain if isinstance(plain, list) else [plain]
            texts = [decimal(n) if isinstance(n, int | float) else n for n in several]
            plain = texts if isinstance(plain, list) else texts[0]
        header.add_new(tag, vr, plain)
    return header


def apply_template(dataset: Any, template: Dataset, *, placed: bool) -> None:
    """
    Replace patient, study and equipment in a header by those of a template.

    Parameters
    ----------
    dataset : pydicom.Dataset
        Is changed.
    template : pydicom.Dataset
    placed : bool
        The image has a place in the patient: it lies in the template's frame of reference.
    """
    if dataset.get("SpecificCharacterSet") != template.get("SpecificCharacterSet"):
        dataset.decode()
        template.decode()
        dataset.SpecificCharacterSet = "ISO_IR 192"
    copied = [tag for tag in template.keys() if tag.group == _PATIENT]  # noqa: SIM118
    drop_range(dataset, _PATIENT << 16, (_PATIENT + 1) << 16)
    for tag in copied:
        dataset.add(template[tag])
    for keyword in _GENERAL:
        if not placed and keyword in _OF_PLACE:
            continue
        if keyword == "Modality" and keyword in dataset:
            continue
        if keyword in template:
            dataset.add(template[keyword])


def is_known(header: Dataset) -> bool:
    """Tell whether a header says whose image it is."""
    return bool(header.get("PatientID") or header.get("PatientName"))


def require_known(header: Dataset, *, asked: bool) -> None:
    """
    Check that an image belongs to somebody.

    Raises
    ------
    HeaderError
        Nobody knows the patient, and the caller has not asked for an object without one.
    """
    if is_known(header) or asked:
        return
    raise HeaderError(
        "nobody knows whose image this is: pass template= (an array, folder or URL of DICOM of the "
        "patient), or PatientID= and PatientName=, or Modality='OT' to write it without a patient"
    )
