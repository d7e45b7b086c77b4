"""Headers of a derived series: from a source of each frame, of its slice, or from attributes."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from imagedata_xr import schema
from imagedata_xr.formats.dicom.write.acquisition import start_of
from imagedata_xr.formats.dicom.write.classes import (
    CT,
    PET,
    SECONDARY_CAPTURE,
    class_of,
    complete,
    derived_class,
    modality_of,
)
from imagedata_xr.formats.dicom.write.derived import drop_pixel_facts, keep_common, mark_derived
from imagedata_xr.formats.dicom.write.lineage import own_frames
from imagedata_xr.formats.dicom.write.multiframe import is_segmentation
from imagedata_xr.formats.dicom.write.patch import PatchedHeader, Patcher, encoded_header
from imagedata_xr.formats.dicom.write.patient import in_one_space
from imagedata_xr.formats.dicom.write.pet import complete_pet
from imagedata_xr.formats.dicom.write.source_headers import Cuts
from imagedata_xr.formats.dicom.write.template import header_from_attrs, require_known
from imagedata_xr.formats.dicom.write.uids import new_uid
from imagedata_xr.sortkeys import readings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydicom import DataElement, Dataset

    from imagedata_xr.formats.dicom.write.layout import Layout
    from imagedata_xr.formats.dicom.write.lineage import Lineage
    from imagedata_xr.formats.dicom.write.outline import Outline
    from imagedata_xr.formats.dicom.write.source_headers import SourceFrames
    from imagedata_xr.formats.dicom.write.values import Encoding
    from imagedata_xr.frames import Frame

__all__ = ["Headers", "describe"]

# Axes, besides time, along which headers differ.
LABELS: Final = (
    schema.TE,
    schema.TI,
    schema.FA,
    schema.B,
    schema.COMPONENT,
    schema.LABEL,
    schema.COIL,
)
_PADDING: Final = 0x00280120  # Pixel Padding Value
LABEL_ROUNDING: Final = 1e-4
# Units of PET (PS3.3 C.8.9.1.1.3) for those of arrays.
PET_UNITS: Final = {"g/ml": "GML", "GML": "GML", "BQML": "BQML", "CNTS": "CNTS", "NONE": "NONE"}


def describe(encoding: Encoding) -> str:
    """Return a Derivation Description: what was done, and how exact the stored values are."""
    # Three digits, rounded up.
    bound = np.format_float_scientific(encoding.error * 1.005, 2, trim="-")
    exact = f"rounded by at most {float(bound):g}" if encoding.error else "stored exactly"
    padded = "" if encoding.padding is None else "; what is no finite number is padding"
    return f"Computed with imagedata_xr; values {exact}{padded}"


def _is_labelled(frame: Frame, wanted: Mapping[str, Any]) -> bool:
    """Tell whether a source frame has the echo time, component and so on of a frame."""
    for name, label in wanted.items():
        value = readings(name)[0].value(frame.values)
        if isinstance(value, int | float) and isinstance(label, int | float):
            if abs(value - label) > LABEL_ROUNDING * max(1.0, abs(label)):
                return False
        elif value != label:
            return False
    return True


class Headers:
    """
    Makes the header of each frame of a derived series.

    Parameters
    ----------
    layout : Layout
    sources : SourceFrames or None
    lineage : Lineage
        From which images each frame was made.
    extra : list of DataElement
        Attributes that the caller gives.
    template : Dataset or None

    Attributes
    ----------
    patcher : Patcher
    """

    def __init__(
        self,
        layout: Layout,
        sources: SourceFrames | None,
        lineage: Lineage,
        extra: list[DataElement],
        template: Dataset | None,
    ) -> None:
        self.layout = layout
        self.own = own_frames(lineage, sources)
        self.extra = {element.keyword: element.value for element in extra}
        self.template = template
        self.sources = sources
        self.lineage = lineage
        self._labels = [(name, layout.along(name)) for name in LABELS if name in layout.leading]
        self.patcher = Patcher()
        self._cuts = Cuts(layout)
        self._encoded: tuple[bytes, Outline] | tuple[()] | None = None
        self._study = new_uid()
        self._space = new_uid()
        usable = self._usable(self._any_frame())
        self.from_source = usable
        self.lost = 0 if usable else sum(frame is not None for frame in self.own.ravel())
        self.sop_class = self._class()

    def _any_frame(self) -> Frame | None:
        listed = [frame for frame in self.own.ravel() if frame is not None]
        if listed or self.sources is None:
            return listed[0] if listed else None
        return next(iter(self._all.values()), None)

    def _usable(self, frame: Frame | None) -> bool:
        """Tell whether headers of the source can be those of single images."""
        if frame is None or self.sources is None:
            return False
        values = frame.values
        if frame.hash not in self.sources.store.places or is_segmentation(values):
            return False
        return not (self.layout.is_rgb and values.get("SamplesPerPixel") != 3)

    def _class(self) -> str:
        if "SOPClassUID" in self.extra:
            return str(self.extra["SOPClassUID"])
        frame = self._any_frame()
        if self.from_source and frame is not None and "Modality" not in self.extra:
            assert self.sources is not None
            known_class = self.sources.dataset(frame.hash).get("SOPClassUID")
            return derived_class(str(known_class or SECONDARY_CAPTURE))
        known = dict(self.layout.image.attrs)
        if self.template is not None and "SOPClassUID" not in known:
            known = {"Modality": self.template.get("Modality"), **known}
        return class_of({**known, **self.extra}, colour=self.layout.is_rgb)

    @cached_property
    def _all(self) -> dict[int, Frame]:
        return {} if self.sources is None else dict(self.sources.all_frames())

    @cached_property
    def start(self) -> float | None:
        """Moment of the first frame of the source, seconds from the year 2000."""
        keys = [key for key in readings(schema.TIME) if key.source.startswith("Acquisition")]
        for key in keys:
            found = [key.value(frame.values) for frame in self._all.values()]
            numbers = [value for value in found if isinstance(value, int | float)]
            if numbers:
                return float(min(numbers))
        return start_of(self.layout.image.attrs)

    def is_own(self, index: tuple[int, ...]) -> bool:
        """Tell whether the header is that of the frame's own source."""
        return self.from_source and self.own[index] is not None

    def keeps_place(self, index: tuple[int, ...]) -> bool:
        """Tell whether the header has the frame's place, size and orientation already."""
        frames = self.frames_of(index)
        if not self.from_source or not frames or self.sources is None:
            return False
        if not self.sources.stands_alone(frames[0]):
            return False
        cut = self._cuts.of(frames[0], self.layout.slice_of(index))
        return cut is not None and cut.whole

    def frames_of(self, index: tuple[int, ...]) -> list[Frame]:
        """Return the frames that give a frame its header: its own, or all it was made from."""
        if self.own[index] is not None:
            return [self.own[index]]
        if self.sources is None:
            return []
        places = self.sources.store.places
        there = [frame for frame in self.lineage.of(index) if frame.hash in places]
        wanted: dict[str, Any] = {
            name: column[index].item() for name, column in self._labels if column is not None
        }
        return [frame for frame in there if _is_labelled(frame, wanted)] or there

    def make(self, index: tuple[int, ...], description: str) -> Dataset:
        """
        Return a header without pixels, for one's own use.

        Parameters
        ----------
        index : tuple of int
            Of the frame.
        description : str
            Derivation Description.
        """
        frames = self.frames_of(index)
        dataset = self._base(index, frames)
        dataset.SOPClassUID = self.sop_class
        origin = "" if self.from_source else "; header from the attributes of the array"
        frames = self.lineage.of(index)
        remark = self.lineage.remark(index) if frames else ""
        mark_derived(dataset, frames, description + origin + remark)
        complete(dataset, placed=self.layout.grid is not None)
        if self.sop_class == PET and not self.from_source:
            number = int(np.ravel_multi_index(index, self.own.shape)) + 1 if index else 1
            slices = self.layout.image.sizes.get(schema.SLICE, 1)
            complete_pet(dataset, number=number, slices=slices, given=self.extra)
        return dataset

    def _base(self, index: tuple[int, ...], frames: list[Frame]) -> Dataset:
        if not self.from_source or self.sources is None:
            return self._bytes_of_attrs() or self._from_attrs()
        base: Dataset = self.sources.dataset((frames or list(self._all.values()))[0].hash)
        if self.own[index] is None:
            keep_common(base, frames or list(self._all.values()))
        elif self.own[index].ref.tile is not None:
            base.remove_private_tags()
        drop_pixel_facts(base)
        return base

    def _bytes_of_attrs(self) -> Any:
        """Return the header from the attributes, encoded once; None where that is not possible."""
        if not self.patcher.active:
            return None
        if self._encoded is None:
            self._encoded = encoded_header(self._from_attrs())
        return PatchedHeader(*self._encoded, self.patcher) if self._encoded else None

    def _from_attrs(self) -> Dataset:
        base = header_from_attrs(self.layout.image.attrs)
        # One that is given below, or taken from the template, replaces it.
        given = {"Modality", "SOPClassUID", "PatientID", "PatientName"} & set(self.extra)
        if self.template is None:
            require_known(base, asked=bool(given))
        drop_pixel_facts(base)
        if not in_one_space(self.layout.image):
            base.pop("FrameOfReferenceUID", None)
        if "StudyInstanceUID" not in base:
            base.StudyInstanceUID = self._study
        if self.layout.grid is not None and "FrameOfReferenceUID" not in base:
            base.FrameOfReferenceUID = self._space
        if not base.get("Modality"):
            own = modality_of(self.sop_class)
            base.Modality = own if self.template is None else self.template.get("Modality", own)
        return base

    def put_rescale(self, dataset: Dataset, encoding: Encoding, *, always: bool = False) -> None:
        """
        Put slope, intercept, padding and units of stored values into a header (PS3.3 C.11.1).

        Parameters
        ----------
        dataset : pydicom.Dataset
            Is changed.
        encoding : Encoding
        always : bool
            Also where the stored values are the values.
        """
        if encoding.padding is not None:
            dataset.add_new(
                _PADDING, "SS" if encoding.dtype.kind == "i" else "US", encoding.padding
            )
        units = self.layout.image.attrs.get(schema.UNITS)
        if self.sop_class == PET and units in PET_UNITS:
            dataset.Units = PET_UNITS[units]
        if encoding.is_identity and not always and self.sop_class not in (CT, PET):
            return
        dataset.RescaleIntercept = encoding.intercept
        dataset.RescaleSlope = encoding.slope
        if self.sop_class != PET:
            dataset.RescaleType = str(units)[:16] if units else "US"
