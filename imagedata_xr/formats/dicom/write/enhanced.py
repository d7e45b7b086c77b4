"""
One multi-frame instance from the files of a series: legacy converted enhanced MR, CT and PET.

Enhanced objects proper require facts of the acquisition that single images do not hold; the legacy
converted classes exist for images that have all that their headers say and no more (PS3.3 A.70 to
A.72). highdicom sorts the attributes of the single images into modules and functional groups;
what labels the axes is put into the standard functional groups besides.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.sequence import Sequence

from imagedata_xr import schema
from imagedata_xr.errors import WriteError
from imagedata_xr.formats.dicom.vendors import term_of
from imagedata_xr.formats.dicom.write.classes import CT, MR, PET
from imagedata_xr.formats.dicom.write.derived import reference
from imagedata_xr.formats.dicom.write.instances import save
from imagedata_xr.formats.dicom.write.objects import require_highdicom, through_highdicom
from imagedata_xr.formats.dicom.write.source_headers import source_frames
from imagedata_xr.formats.dicom.write.uids import new_uid

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from imagedata_xr.formats.dicom.write.layout import Layout

__all__ = ["COMPLEX", "POINTERS", "join", "label_groups"]

_NAMES: Final = {
    MR: "LegacyConvertedEnhancedMRImage",
    CT: "LegacyConvertedEnhancedCTImage",
    PET: "LegacyConvertedEnhancedPETImage",
}
_FRAME_TYPE: Final = "MRImageFrameTypeSequence"
# Where the labels of a frame stand: functional group and attribute.
_PLACES: Final = {
    schema.TE: ("MREchoSequence", "EffectiveEchoTime"),
    schema.TI: ("MRModifierSequence", "InversionTimes"),
    schema.FA: ("MRTimingAndRelatedParametersSequence", "FlipAngle"),
    schema.TIME: ("TemporalPositionSequence", "TemporalPositionTimeOffset"),
    schema.TRIGGER_TIME: ("CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime"),
    schema.COMPONENT: (_FRAME_TYPE, "ComplexImageComponent"),
    schema.LABEL: ("MRArterialSpinLabelingSequence", "ASLContext"),
}
POINTERS: Final = {**_PLACES, schema.B: ("MRDiffusionSequence", "DiffusionBValue")}
COMPLEX: Final = ("MAGNITUDE", "PHASE", "REAL", "IMAGINARY", "MIXED")
_LABELS: Final = (*_PLACES, schema.B, *schema.BVEC)
_UNASSIGNED: Final = (
    "UnassignedPerFrameConvertedAttributesSequence",
    "UnassignedSharedConvertedAttributesSequence",
)
# Groups that highdicom makes without contents where the single images lack them.
_MAY_BE_EMPTY: Final = ("FrameVOILUTSequence", "PixelValueTransformationSequence")


def join(folder: Path, name: str, layout: Layout, *, syntax: str | None = None) -> None:
    """
    Replace the single-frame files in a folder by one multi-frame instance.

    Parameters
    ----------
    folder : pathlib.Path
        Its files are one series, in the order of their names.
    name : str
        Of the new file.
    layout : Layout
        Of the array, whose labels the frames get.
    syntax : str, optional
        UID of the transfer syntax.

    Raises
    ------
    WriteError
        The images are of a class that has no multi-frame form here.
    MissingDependencyError
        Without highdicom.
    """
    legacy = require_highdicom().legacy
    paths = sorted(folder.iterdir())
    singles = [dcmread(path) for path in paths]
    kind = str(singles[0].SOPClassUID)
    if kind not in _NAMES:
        raise WriteError(
            f"multiframe=True writes MR, CT and PET images, not {singles[0].SOPClassUID.name}: "
            "leave it out"
        )
    if any(single.SamplesPerPixel != 1 for single in singles):
        raise WriteError("multiframe=True writes grey images, not colours: leave it out")
    with through_highdicom("these images cannot be joined into one multi-frame instance"):
        joined = getattr(legacy, _NAMES[kind])(
            singles,
            series_instance_uid=singles[0].SeriesInstanceUID,
            series_number=int(singles[0].get("SeriesNumber") or 1),
            sop_instance_uid=new_uid(),
            instance_number=1,
        )
    _label(joined, singles, layout)
    _put_origins(joined, singles, layout)
    _tidy(joined, layout)
    for path in paths:
        path.unlink()
    save(joined, folder / name, syntax=syntax)


def _label(joined: Any, singles: list[Any], layout: Layout) -> None:
    """Put what labels the axes into standard functional groups (PS3.3 C.7.6.16.2, C.8.13.5)."""
    columns = {name: layout.along(name) for name in _LABELS}
    known = {name: column.ravel() for name, column in columns.items() if column is not None}
    times = sorted(set(known[schema.TIME].tolist())) if schema.TIME in known else []
    shared = (joined.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
    common: dict[str, Any] = {}
    for number, group in _numbered(joined, singles):
        labels = {name: column[number] for name, column in known.items()}
        trigger = singles[number].get("TriggerTime")
        if trigger is not None:
            labels.setdefault(schema.TRIGGER_TIME, float(trigger))
        for name, inside in label_groups(labels, times).items():
            _own(group, shared, common, name).update(inside)
        kind = labels.get(schema.COMPONENT)
        if kind is not None and kind.upper() not in COMPLEX:
            _put_map(_own(group, shared, common, _FRAME_TYPE), kind)
        _put_moment(group, singles[number])


def _numbered(joined: Any, singles: list[Any]) -> list[tuple[int, Any]]:
    """Return each frame's group with the number of its single image: highdicom sorts anew."""
    places = {str(single.SOPInstanceUID): number for number, single in enumerate(singles)}
    return [
        (places[str(group.ConversionSourceAttributesSequence[0].ReferencedSOPInstanceUID)], group)
        for group in joined.PerFrameFunctionalGroupsSequence
    ]


def _put_origins(joined: Any, singles: list[Any], layout: Layout) -> None:
    """
    Name the real source of each frame that is a copy.

    The single images that were joined exist nowhere else, so nothing may refer to them.
    """
    sources, keys = source_frames(layout), layout.along(schema.FRAME)
    flat = None if keys is None or keys.dtype.kind not in "iu" else keys.ravel()
    for number, group in _numbered(joined, singles):
        frame = None
        if (
            sources is not None
            and flat is not None
            and "SourceImageSequence" not in singles[number]
        ):
            frame = sources.frame(int(flat[number]))
        item = None if frame is None else reference(frame)
        if item is None:
            del group.ConversionSourceAttributesSequence
        else:
            group.ConversionSourceAttributesSequence = Sequence([item])


def _own(group: Any, shared: Any, common: dict[str, Any], name: str) -> Any:
    """Return a group of one frame: it stands with all frames or with each, never with both."""
    if name in shared:
        common[name] = shared[name].value[0]
        delattr(shared, name)
    if not group.get(name):
        setattr(group, name, Sequence([deepcopy(common.get(name, Dataset()))]))
    return group[name].value[0]


def _put_map(item: Any, kind: str) -> None:
    """Say which map an image is: a part of a complex number stands in an attribute of its own."""
    kinds = [*item.get("FrameType", ()), *["NONE"] * 4][:4]
    item.FrameType = [*kinds[:3], term_of(kind)]


def _put_moment(group: Any, single: Any) -> None:
    """Put the moment of the acquisition: highdicom 0.28 adds a trigger time in days."""
    content = group.FrameContentSequence[0]
    for keyword in ("FrameAcquisitionDateTime", "FrameReferenceDateTime"):
        content.pop(keyword, None)
    date, time = str(single.get("AcquisitionDate") or ""), str(single.get("AcquisitionTime") or "")
    moment = str(single.get("AcquisitionDateTime") or "") or (date + time if date and time else "")
    if moment:
        content.FrameAcquisitionDateTime = moment


def label_groups(labels: Mapping[str, Any], times: list[float]) -> dict[str, Dataset]:
    """Return functional groups by keyword for the labels of one frame."""
    found: dict[str, Dataset] = {}
    for name, (sequence, keyword) in _PLACES.items():
        is_map = name == schema.COMPONENT and str(labels.get(name)).upper() not in COMPLEX
        if name in labels and not is_map:
            setattr(found.setdefault(sequence, Dataset()), keyword, _plain(labels[name]))
    if schema.TIME in labels:
        place = found.setdefault("FrameContentSequence", Dataset())
        place.TemporalPositionIndex = times.index(labels[schema.TIME]) + 1
    if schema.B in labels and np.isfinite(float(labels[schema.B])):
        found["MRDiffusionSequence"] = _diffusion(
            float(labels[schema.B]), [float(labels.get(name, np.nan)) for name in schema.BVEC]
        )
    return found


def _plain(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else float(value)


def _diffusion(b: float, direction: list[float]) -> Dataset:
    item = Dataset()
    item.DiffusionBValue = b
    if np.isfinite(direction).all() and any(direction):
        item.DiffusionDirectionality = "DIRECTIONAL"
        inner = Dataset()
        inner.DiffusionGradientOrientation = direction
        item.DiffusionGradientDirectionSequence = Sequence([inner])
    else:
        item.DiffusionDirectionality = "ISOTROPIC" if b else "NONE"
    return item


def _tidy(joined: Any, layout: Layout) -> None:
    """Leave out groups without contents, and give references the evidence that they need."""
    sources: list[Any] = []
    groups = _all_groups(joined)
    for group in groups:
        for name in _MAY_BE_EMPTY:
            if name in group and not any(len(item) for item in group[name].value):
                delattr(group, name)
        anatomy = group.get("FrameAnatomySequence")
        if anatomy and not anatomy[0].get("FrameLaterality"):
            del group.FrameAnatomySequence
        # The group needs the series of each image, which single images do not tell.
        group.pop("ReferencedImageSequence", None)
        for name in _UNASSIGNED:
            for item in group.get(name, ()):
                item.pop("ReferencedImageSequence", None)
        for item in group.get("DerivationImageSequence", ()):
            sources += item.get("SourceImageSequence", ())
    parts = [joined.get("BodyPartExamined"), *(g.get("FrameAnatomySequence") for g in groups)]
    if "Laterality" not in joined and not any(parts):
        # Of a body part that may be one of a pair.
        joined.Laterality = None
    evidence = _evidence(joined, layout, sources)
    if evidence is not None:
        joined.SourceImageEvidenceSequence = evidence


def _all_groups(joined: Any) -> list[Any]:
    shared = joined.get("SharedFunctionalGroupsSequence", ())
    return [*shared, *joined.PerFrameFunctionalGroupsSequence]


def _uids_of(layout: Layout) -> set[str]:
    """Return the UIDs of the instances of the series that the array was read from."""
    sources = source_frames(layout)
    return set() if sources is None else {frame.uid for frame in sources.all_frames().values()}


def _evidence(joined: Any, layout: Layout, sources: list[Any]) -> Sequence | None:
    """Return where the source images are filed: those of other series are left without."""
    series = layout.image.coords.get(schema.SERIES)
    if series is None or series.ndim:
        return None
    known = _uids_of(layout)
    uids = ((str(one.get("ReferencedSOPInstanceUID") or ""), one) for one in sources)
    unique = {uid: one for uid, one in uids if uid in known}
    if not unique:
        return None
    instances = []
    for one in unique.values():
        instance = Dataset()
        instance.ReferencedSOPClassUID = one.ReferencedSOPClassUID
        instance.ReferencedSOPInstanceUID = one.ReferencedSOPInstanceUID
        instances.append(instance)
    within = Dataset()
    within.SeriesInstanceUID = str(series.item())
    within.ReferencedSOPSequence = Sequence(instances)
    study = Dataset()
    study.StudyInstanceUID = joined.StudyInstanceUID
    study.ReferencedSeriesSequence = Sequence([within])
    return Sequence([study])
