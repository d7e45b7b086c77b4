"""Whose a result is, and which frames it may have been made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imagedata_xr import schema
from imagedata_xr.errors import HeaderError, ImagedataError
from imagedata_xr.formats.dicom.like import template_image
from imagedata_xr.formats.dicom.write.patient import in_one_space, require_one_patient
from imagedata_xr.formats.dicom.write.source_headers import SourceFrames, source_frames
from imagedata_xr.formats.dicom.write.template import (
    header_from_attrs,
    require_known,
    template_header,
    template_of,
    template_store,
)

if TYPE_CHECKING:
    from pydicom import Dataset

    from imagedata_xr.formats.dicom.write.layout import Layout

__all__ = ["Origin", "origin_of"]


@dataclass(slots=True, eq=False)
class Origin:
    """
    Where a result comes from.

    Attributes
    ----------
    header : pydicom.Dataset
        Of its patient and study.
    sources : SourceFrames or None
    """

    header: Dataset
    sources: SourceFrames | None


def origin_of(layout: Layout, template: Any, *, asked: set[str]) -> Origin:
    """
    Return where an array comes from.

    Parameters
    ----------
    layout : Layout
    template : DataArray, path, URL or None
        Where the array knows no frames, those of the template are its sources.
    asked : set of str
        Keywords that the caller gives.

    Raises
    ------
    HeaderError
        Nobody knows the patient, there are several, or the frames are those of several series.
    """
    if template is None and "PatientID" not in asked:
        require_one_patient(layout)
    sources = source_frames(layout)
    if sources is not None and template is None and _has_others(sources, layout):
        raise HeaderError(
            "frames of several series were put together, and not all of their headers are known: "
            "pass template= to say whose the result is"
        )
    if template is not None:
        if sources is None:
            template, sources = _opened(template)
        return Origin(template_header(template), sources)
    header = template_of(layout.image)
    if header is None and sources is not None and len(sources.store):
        header = sources.store.dataset(next(iter(sources.store.places)))
    if header is None:
        header = header_from_attrs(layout.image.attrs)
        require_known(header, asked=bool(asked & {"PatientID", "PatientName"}))
        if not in_one_space(layout.image):
            header.pop("FrameOfReferenceUID", None)
    return Origin(header, sources)


def _has_others(sources: SourceFrames, layout: Layout) -> bool:
    keys = layout.along(schema.FRAME)
    if keys is None or keys.dtype.kind not in "iu":
        return False
    return any(int(key) not in sources.store.places for key in keys.ravel() if key != -1)


def _opened(template: Any) -> tuple[Any, SourceFrames | None]:
    """Return a template, opened where it can be, and its frames."""
    try:
        image = template_image(template)
    except ImagedataError:
        return template, None
    store = template_store(image)
    return image, None if store is None else SourceFrames(store)
