"""
Multi-frame instances that are results: whose, where each frame lies, and made from which images.

The attributes are those of PS3.3 C.7.6.16 (functional groups), C.7.6.17 (dimensions) and C.12.2
(references).
"""

from __future__ import annotations

from datetime import datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

from pydicom import Dataset
from pydicom.datadict import tag_for_keyword
from pydicom.sequence import Sequence as Items

from imagedata_xr import schema
from imagedata_xr.formats.dicom.write.classes import complete_general
from imagedata_xr.formats.dicom.write.coded import code_items
from imagedata_xr.formats.dicom.write.derived import reference
from imagedata_xr.formats.dicom.write.instances import put_geometry
from imagedata_xr.formats.dicom.write.lineage import lineage_of
from imagedata_xr.formats.dicom.write.patch import put_items
from imagedata_xr.formats.dicom.write.source_headers import cut_of
from imagedata_xr.formats.dicom.write.template import apply_template
from imagedata_xr.formats.dicom.write.uids import new_uid

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pydicom import DataElement

    from imagedata_xr.formats.dicom.headerstore import HeaderStore
    from imagedata_xr.formats.dicom.write.layout import Layout
    from imagedata_xr.formats.dicom.write.source_headers import SourceFrames
    from imagedata_xr.frames import Frame

__all__ = ["FrameGroups", "Origins", "new_instance", "put_extra"]

_OURS: Final = "imagedata_xr"
# Of the machine that acquired the images, not of what made this object.
_ACQUIRED: Final = ("BodyPartExamined", "PatientPosition", "StationName", "Modality")
_POSITION: Final = ("PlanePositionSequence", "ImagePositionPatient")
_TRIAL: Final = 0x0012
_LOSSY: Final = ("LossyImageCompressionRatio", "LossyImageCompressionMethod")


class Origins:
    """
    The source images of each frame of an array, and those that were named.

    Parameters
    ----------
    layout : Layout
        Of the result.
    sources : SourceFrames or None
        Frames that it may have been made from.
    named : sequence of HeaderStore, optional
        What it was made from, where the caller says so.
    """

    def __init__(
        self,
        layout: Layout,
        sources: SourceFrames | None,
        named: Sequence[HeaderStore] | None = None,
    ) -> None:
        self._lineage = lineage_of(layout, sources, named)
        self.used: dict[str, Frame] = {}

    def of(self, index: tuple[int, ...]) -> list[Frame]:
        """Return the sources of a frame."""
        found = self._lineage.of(index)
        self.used.update({frame.uid: frame for frame in found})
        return found


def new_instance(header: Dataset, kind: str, modality: str, *, placed: bool) -> Dataset:
    """
    Return a new instance of the patient and study of a header, in a series of its own.

    Parameters
    ----------
    header : pydicom.Dataset
        Of a source, or of a template; for one's own use.
    kind : str
        SOP Class UID.
    modality : str
    placed : bool
        It has positions in the header's frame of reference.
    """
    made = Dataset()
    apply_template(made, header, placed=placed)
    for element in header:
        if element.tag.group == _TRIAL:
            made.add(element)
    if made.get("SpecificCharacterSet"):
        made.decode()
    made.SpecificCharacterSet = "ISO_IR 192"
    for keyword in _ACQUIRED:
        made.pop(keyword, None)
    made.Manufacturer = made.ManufacturerModelName = _OURS
    made.DeviceSerialNumber, made.SoftwareVersions = "1", version(_OURS)
    made.SOPClassUID, made.SOPInstanceUID = kind, new_uid()
    made.SeriesInstanceUID, made.Modality = new_uid(), modality
    # As many scanners number what they compute from a series.
    made.SeriesNumber = int(header.get("SeriesNumber") or 0) % 1_000_000 * 100 + 1
    made.InstanceNumber = 1
    if not made.get("StudyInstanceUID"):
        made.StudyInstanceUID = new_uid()
    if placed:
        made.FrameOfReferenceUID = made.get("FrameOfReferenceUID") or new_uid()
        made.PositionReferenceIndicator = made.get("PositionReferenceIndicator")
    else:
        made.PatientOrientation = header.get("PatientOrientation")
    now = datetime.now().astimezone()
    made.ContentDate = made.InstanceCreationDate = now.strftime("%Y%m%d")
    made.ContentTime = made.InstanceCreationTime = now.strftime("%H%M%S.%f")
    made.LossyImageCompression = "01" if header.get("LossyImageCompression") == "01" else "00"
    for keyword in _LOSSY if made.LossyImageCompression == "01" else ():
        if keyword in header:
            made.add(header[keyword])
    complete_general(made)
    return made


def put_extra(dataset: Any, extra: Iterable[DataElement]) -> None:
    """Put the caller's attributes into an instance; those of value None leave it."""
    for element in extra:
        if element.value is None:
            dataset.pop(element.tag, None)
        else:
            dataset.add(element)


def plane_groups(layout: Layout, shared: Dataset) -> list[Dataset]:
    """
    Put what is the same of all slices into the shared groups, and return the positions.

    Parameters
    ----------
    layout : Layout
    shared : pydicom.Dataset
        Is changed.

    Returns
    -------
    list of pydicom.Dataset
        An item of Plane Position Sequence for each slice; none without a place in the patient.
    """
    positions: list[Dataset] = []
    if layout.grid is None:
        sizes: Any = Dataset()
        put_geometry(sizes, layout, 0)
        if "PixelSpacing" in sizes:
            shared.PixelMeasuresSequence = Items([sizes])
        return []
    for place in range(layout.grid.slice.size):
        facts: Any = Dataset()
        facts.SpacingBetweenSlices = None
        put_geometry(facts, layout, place)
        position = Dataset()
        position.ImagePositionPatient = facts.ImagePositionPatient
        positions.append(position)
    measures, orientation = Dataset(), Dataset()
    for keyword in ("PixelSpacing", "SliceThickness", "SpacingBetweenSlices"):
        if facts.get(keyword):
            setattr(measures, keyword, facts.get(keyword))
    orientation.ImageOrientationPatient = facts.ImageOrientationPatient
    shared.PixelMeasuresSequence = Items([measures])
    shared.PlaneOrientationSequence = Items([orientation])
    return positions


def derivation_items(
    frames: Sequence[Frame], layout: Layout, place: int, derivation: tuple[str, str, str]
) -> Items:
    """Return the item of Derivation Image Sequence for a frame (PS3.3 C.7.6.16.2.6)."""
    item, images = Dataset(), []
    for frame in frames:
        image = reference(frame)
        cut = cut_of(frame, layout, place)
        if cut is not None and cut.whole:
            image.SpatialLocationsPreserved = "YES"
        images.append(image)
    item.DerivationCodeSequence = code_items(derivation)
    item.SourceImageSequence = Items(images)
    return Items([item])


class FrameGroups:
    """
    The functional groups of the frames of an instance, as they are added.

    Parameters
    ----------
    dataset : pydicom.Dataset
        Gets the groups when all are there.
    layout : Layout
    origins : Origins
    derivation : tuple of str
        Code of how the frames were made from their sources.
    pointers : sequence of (str, str)
        Functional group and attribute by which frames are ordered before their position.
    """

    def __init__(
        self,
        dataset: Any,
        layout: Layout,
        origins: Origins,
        *,
        derivation: tuple[str, str, str],
        pointers: Sequence[tuple[str, str]],
    ) -> None:
        self.dataset = dataset
        self.layout = layout
        self.origins = origins
        self.derivation = derivation
        self.pointers = [*pointers, *([_POSITION] if layout.grid is not None else [])]
        self.shared: Any = Dataset()
        self.groups: list[Any] = []
        self._positions = plane_groups(layout, self.shared)
        # The same sources are named by many frames.
        self._named: dict[tuple[Any, ...], Items] = {}

    def add(self, index: tuple[int, ...], values: Sequence[int]) -> Any:
        """
        Add the groups of a frame, and return them.

        Parameters
        ----------
        index : tuple of int
            Of the frame in the array.
        values : sequence of int
            Dimension index values of `pointers`.
        """
        place = self.layout.slice_of(index)
        group, content = Dataset(), Dataset()
        content.DimensionIndexValues = list(values)
        if self._positions:
            content.DimensionIndexValues = [*values, place + 1]
            group.PlanePositionSequence = Items([self._positions[place]])
        group.FrameContentSequence = Items([content])
        frames = self.origins.of(index)
        if frames:
            key = (place, *((frame.uid, frame.ref.number) for frame in frames))
            if key not in self._named:
                self._named[key] = derivation_items(frames, self.layout, place, self.derivation)
            group.DerivationImageSequence = self._named[key]
        self.groups.append(group)
        return group

    def finish(self) -> None:
        """Put all groups, the dimensions and the references into the instance."""
        self.dataset.NumberOfFrames = len(self.groups)
        self.dataset.SharedFunctionalGroupsSequence = Items([self.shared])
        self.dataset.PerFrameFunctionalGroupsSequence = Items(self.groups)
        put_dimensions(self.dataset, self.pointers)
        put_references(self.dataset, self.origins.used.values())


def put_dimensions(dataset: Any, pointers: Sequence[tuple[str, str]]) -> None:
    """
    Say by which attributes the frames are ordered (PS3.3 C.7.6.17).

    Parameters
    ----------
    dataset : pydicom.Dataset
        Is changed.
    pointers : sequence of (str, str)
        Keywords of functional group and attribute, slowest first.
    """
    organization, indices = Dataset(), []
    organization.DimensionOrganizationUID = new_uid()
    for group, keyword in pointers:
        item = Dataset()
        item.DimensionOrganizationUID = organization.DimensionOrganizationUID
        item.DimensionIndexPointer = tag_for_keyword(keyword)
        item.FunctionalGroupPointer = tag_for_keyword(group)
        item.DimensionDescriptionLabel = keyword
        indices.append(item)
    dataset.DimensionOrganizationSequence = Items([organization])
    dataset.DimensionIndexSequence = Items(indices)


def put_references(dataset: Any, frames: Iterable[Frame]) -> None:
    """Say in which series and studies the source images are (Common Instance Reference)."""
    by_study: dict[str, dict[str, dict[str, str]]] = {}
    for frame in frames:
        study, series = (str(frame.values.get(key) or "") for key in (schema.STUDY, schema.SERIES))
        if study and series:
            kind = str(frame.values.get("SOPClassUID"))
            by_study.setdefault(study, {}).setdefault(series, {})[frame.uid] = kind
    own = by_study.pop(str(dataset.get("StudyInstanceUID")), None)
    if own:
        put_items(dataset, "ReferencedSeriesSequence", _series_items(own))
    others = []
    for study, series_of in by_study.items():
        others.append(
            {"StudyInstanceUID": study, "ReferencedSeriesSequence": _series_items(series_of)}
        )
    if others:
        put_items(dataset, "StudiesContainingOtherReferencedInstancesSequence", others)


def _series_items(series_of: dict[str, dict[str, str]]) -> list[dict[str, Any]]:
    return [
        {
            "SeriesInstanceUID": series,
            "ReferencedInstanceSequence": [
                {"ReferencedSOPClassUID": kind, "ReferencedSOPInstanceUID": uid}
                for uid, kind in instances.items()
            ],
        }
        for series, instances in series_of.items()
    ]
