"""Regions as a DICOM RT Structure Set (PS3.3 A.19, C.8.8.5, C.8.8.6 and C.8.8.8)."""

from __future__ import annotations

import datetime as dt
import warnings
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from imagedata_xr import schema
from imagedata_xr.errors import OptionError, WriteError
from imagedata_xr.index import grid_of
from imagedata_xr.roi.masks import structures
from imagedata_xr.roi.place import cell_sizes
from imagedata_xr.roi.raster import inside
from imagedata_xr.roi.volume import plane_axis
from imagedata_xr.targets import complete_file

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import xarray as xr
    from numpy.typing import NDArray

    from imagedata_xr.geometry import Grid
    from imagedata_xr.roi.model import Contour, Roi

__all__ = ["write_rtstruct"]

CLASS: Final = "1.2.840.10008.5.1.4.1.1.481.3"
# Detached Study Management, retired, is what RT objects still name a study by.
STUDY_CLASS: Final = "1.2.840.10008.3.1.2.3.1"
EXPLICIT: Final = "1.2.840.10008.1.2.1"
PLANAR, XOR = "CLOSED_PLANAR", "CLOSEDPLANAR_XOR"
LONGEST_LABEL: Final = 16
LONGEST_NAME: Final = 64
NAME: Final = "imagedata_xr"


def write_rtstruct(
    rois: Sequence[Roi],
    path: Path,
    image: xr.DataArray,
    *,
    overwrite: bool,
    attributes: Mapping[str, Any],
) -> None:
    """
    Write regions as a structure set of the study, patient and frame of reference of an image.

    Each outline refers to the image instance of the slice in which it lies. Outlines within others
    are holes, and are marked as ``CLOSEDPLANAR_XOR``.

    Parameters
    ----------
    rois : sequence of Roi
        Those with one name are one structure.
    path : Path
    image : DataArray
        Read from DICOM.
    overwrite : bool
    attributes : mapping
        DICOM attributes by keyword.

    Raises
    ------
    WriteError
        A region holds at certain time points only, or has no outline; or the file exists.
    OptionError
        The image has no frame of reference.
    HeaderError
        The image does not know whose it is.
    """
    from pydicom import config

    for roi in rois:
        if roi.select:
            raise WriteError(
                f"{roi.name}: a structure set has no place for where a region holds "
                f"({dict(roi.select)}): write .json, or dataclasses.replace(roi, select={{}})"
            )
        if not roi.contours:
            raise WriteError(f"{roi.name}: a region without outlines: leave it out, or write .json")
    with config.disable_value_validation(), warnings.catch_warnings():
        # Among them names of patients that pydicom doubts.
        warnings.simplefilter("ignore")
        made = _dataset(rois, image, attributes)
        with complete_file(path, overwrite=overwrite) as part:
            made.save_as(part, enforce_file_format=True)


def _dataset(rois: Sequence[Roi], image: xr.DataArray, attributes: Mapping[str, Any]) -> Any:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import UID

    from imagedata_xr.formats.dicom.write.keywords import elements
    from imagedata_xr.formats.dicom.write.template import apply_template, template_header
    from imagedata_xr.formats.dicom.write.uids import new_uid

    header = template_header(image)
    frame = header.get("FrameOfReferenceUID") or image.attrs.get("FrameOfReferenceUID")
    if not frame:
        raise OptionError("the image has no FrameOfReferenceUID: a structure set refers to it")
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = UID(EXPLICIT)
    made.SpecificCharacterSet = header.get("SpecificCharacterSet", "ISO_IR 192")
    made.SOPClassUID, made.SOPInstanceUID = UID(CLASS), UID(new_uid())
    made.Modality = "RTSTRUCT"
    apply_template(made, header, placed=True)
    made.SpecificCharacterSet = "ISO_IR 192"
    _general(made, header, new_uid())
    groups = structures(rois)
    images = _Instances(image)
    grid = grid_of(image)
    described = [_structure(number, group, images, grid) for number, group in groups.items()]
    made.StructureSetROISequence = [_named(n, group[0], frame) for n, group in groups.items()]
    made.ROIContourSequence = described
    made.RTROIObservationsSequence = [
        _observed(k, number, group[0]) for k, (number, group) in enumerate(groups.items(), start=1)
    ]
    made.ReferencedFrameOfReferenceSequence = [_frame_reference(frame, header, images)]
    for element in elements(dict(attributes)):
        made.add(element)
    return made


def _general(made: Any, header: Any, series: str) -> None:
    """Fill the modules of series, equipment and structure set."""
    now = dt.datetime.now()  # noqa: DTZ005 - DICOM times are those of the clock on the wall
    made.SeriesInstanceUID = series
    made.SeriesNumber = int(header.get("SeriesNumber") or 0) + 1000
    made.InstanceNumber = 1
    made.OperatorsName = ""
    made.Manufacturer = made.ManufacturerModelName = NAME
    for keyword in ("DeviceSerialNumber", "SoftwareVersions", "StationName"):
        if keyword in made:
            del made[keyword]
    made.StructureSetLabel = "Regions"
    made.StructureSetDate, made.StructureSetTime = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
    for keyword in ("StudyDate", "StudyTime", "StudyID", "AccessionNumber"):
        if keyword not in made:
            setattr(made, keyword, "")
    for keyword in ("ReferringPhysicianName", "PatientName", "PatientID", "PatientBirthDate"):
        if keyword not in made:
            setattr(made, keyword, "")
    if "PatientSex" not in made:
        made.PatientSex = ""


class _Instances:
    """The DICOM instance of each slice of an image; those that were asked for."""

    def __init__(self, image: xr.DataArray) -> None:
        from imagedata_xr.formats.dicom.write.template import template_store

        self.store = template_store(image)
        frames = image.coords.get(schema.FRAME)
        self.keys: list[int] = []
        if frames is not None and frames.dtype.kind in "iu":
            first = frames.isel({name: 0 for name in frames.dims if name != schema.SLICE})
            self.keys = [int(key) for key in np.atleast_1d(first.values)]
        self.found: dict[int, Any] = {}
        self.series = ""

    def reference(self, place: int) -> Any:
        """Return the item that refers to a slice; None where its instance is not known."""
        from pydicom.dataset import Dataset

        if (
            self.store is None
            or place >= len(self.keys)
            or self.keys[place] not in self.store.places
        ):
            return None
        if place not in self.found:
            key = self.keys[place]
            header = self.store.dataset(key)
            item = Dataset()
            item.ReferencedSOPClassUID = header.SOPClassUID
            item.ReferencedSOPInstanceUID = header.SOPInstanceUID
            if "NumberOfFrames" in header:
                item.ReferencedFrameNumber = int(self.store.place(key)[1]) + 1
            self.series = str(header.get("SeriesInstanceUID", ""))
            self.found[place] = item
        return self.found[place]


def _named(number: int, roi: Roi, frame: str) -> Any:
    from pydicom.dataset import Dataset

    item = Dataset()
    item.ROINumber = number
    item.ReferencedFrameOfReferenceUID = frame
    item.ROIName = roi.name[:LONGEST_NAME]
    item.ROIGenerationAlgorithm = ""
    return item


def _observed(k: int, number: int, roi: Roi) -> Any:
    from pydicom.dataset import Dataset

    item = Dataset()
    item.ObservationNumber = k
    item.ReferencedROINumber = number
    if len(roi.name) <= LONGEST_LABEL:
        item.ROIObservationLabel = roi.name
    if roi.code is not None:
        code = Dataset()
        code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = roi.code
        item.RTROIIdentificationCodeSequence = [code]
    item.RTROIInterpretedType = ""
    item.ROIInterpreter = ""
    return item


def _structure(number: int, group: Sequence[Roi], images: _Instances, grid: Grid) -> Any:
    from pydicom.dataset import Dataset

    item = Dataset()
    color = group[0].color
    item.ROIDisplayColor = [int(color[k : k + 2], 16) for k in (1, 3, 5)]
    contours = [(contour, roi.thickness) for roi in group for contour in roi.contours]
    kinds = _kinds([contour for contour, _ in contours])
    item.ContourSequence = [
        _contour(contour, kind, thickness, (images, grid))
        for (contour, thickness), kind in zip(contours, kinds, strict=True)
    ]
    item.ReferencedROINumber = number
    return item


def _contour(
    contour: Contour, kind: str, thickness: float | None, place: tuple[_Instances, Grid]
) -> Any:
    from pydicom.dataset import Dataset

    from imagedata_xr.formats.dicom.write.numbers import decimal

    images, grid = place
    item = Dataset()
    at = _slice_of(contour, grid)
    reference = None if at is None else images.reference(at)
    if reference is not None:
        item.ContourImageSequence = [reference]
    item.ContourGeometricType = kind
    if thickness is not None:
        item.ContourSlabThickness = decimal(thickness)
    item.NumberOfContourPoints = len(contour.points)
    item.ContourData = [decimal(float(number)) for number in contour.points.ravel()]
    return item


def _slice_of(contour: Contour, grid: Grid) -> int | None:
    """Return the slice in which an outline lies."""
    axis, along = plane_axis(contour, grid)
    if axis != 0:
        return None
    away = np.abs(grid.slice.values - along[:, 0].mean())
    near = int(away.argmin())
    half = 0.5 * float(np.nan_to_num(cell_sizes(grid.slice)[near], nan=1.0))
    return near if away[near] <= half * (1 + 1e-6) else None


def _kinds(contours: Sequence[Contour]) -> list[str]:
    """Return for each outline whether it combines with others of its plane to make holes."""
    kinds = [PLANAR] * len(contours)
    flats = [_flat(contour) for contour in contours]
    for a, (contour, flat) in enumerate(zip(contours, flats, strict=True)):
        if flat is None:
            continue
        normal, position, frame = flat
        for b, (other, theirs) in enumerate(zip(contours, flats, strict=True)):
            if a == b or theirs is None or abs(abs(normal @ theirs[0]) - 1) > 1e-6:
                continue
            if abs(float(other.points[0] @ normal) - position) > 1e-3:
                continue
            corner = np.atleast_2d(other.points[0] @ frame)
            if bool(inside([contour.points @ frame], corner)[0]):
                kinds[a] = kinds[b] = XOR
    return kinds


def _flat(contour: Contour) -> tuple[NDArray[np.floating], float, NDArray[np.floating]] | None:
    """Return normal, position along it, and two directions in the plane of an outline."""
    area = contour.vector_area
    size = float(np.linalg.norm(area))
    if not size:
        return None
    normal = area / size
    across = np.cross(normal, np.eye(3)[int(np.argmin(np.abs(normal)))])
    across /= np.linalg.norm(across)
    frame = np.column_stack([np.cross(normal, across), across])
    return normal, float(contour.points[0] @ normal), frame


def _frame_reference(frame: str, header: Any, images: _Instances) -> Any:
    from pydicom.dataset import Dataset

    item = Dataset()
    item.FrameOfReferenceUID = frame
    if not images.found:
        for place in range(len(images.keys)):
            images.reference(place)
    study = header.get("StudyInstanceUID")
    if not images.found or not study or not images.series:
        return item
    series = Dataset()
    series.SeriesInstanceUID = images.series
    series.ContourImageSequence = [images.found[k] for k in sorted(images.found)]
    referenced = Dataset()
    referenced.ReferencedSOPClassUID = STUDY_CLASS
    referenced.ReferencedSOPInstanceUID = study
    referenced.RTReferencedSeriesSequence = [series]
    item.RTReferencedStudySequence = [referenced]
    return item
