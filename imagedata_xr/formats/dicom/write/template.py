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
from imagedata_xr.sources import find_sources

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["apply_template", "header_from_attrs", "require_known", "template_header"]

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
        series = template.coords.get(schema.SERIES)
        store = None if series is None else series.encoding.get(schema.HEADERS)
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
    for tag in [tag for tag in dataset.keys() if tag.group == _PATIENT]:  # noqa: SIM118
        del dataset[tag]
    for tag in copied:
        dataset.add(template[tag])
    for keyword in _GENERAL:
        if not placed and keyword in ("FrameOfReferenceUID", "PositionReferenceIndicator"):
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
