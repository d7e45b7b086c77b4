"""Masks as DICOM Segmentation objects, through highdicom (PS3.3 A.51 and C.8.20)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
from pydicom import config
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from imagedata_xr import schema
from imagedata_xr.errors import (
    GeometryError,
    HeaderError,
    MissingDependencyError,
    OptionError,
    WriteError,
)
from imagedata_xr.formats.dicom.segmentation import SEGMENT, SEGMENT_LABEL
from imagedata_xr.formats.dicom.write.keywords import elements
from imagedata_xr.formats.dicom.write.target import OURS, file_name
from imagedata_xr.formats.dicom.write.template import template_header, template_store
from imagedata_xr.formats.dicom.write.uids import new_uid
from imagedata_xr.index import grid_of
from imagedata_xr.targets import complete_folder, place_of

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import xarray as xr
    from numpy.typing import NDArray

    from imagedata_xr.geometry import Grid

    Coded: TypeAlias = Code | tuple[str, str, str] | str

__all__ = ["Segment", "to_dicom_seg"]

# What may be said of any region (PS3.16, CID 7150).
_CATEGORY: Final = Code("309825002", "SCT", "Spatial and Relational Concept")
_TYPE: Final = Code("111099", "DCM", "Selected region")
# The standard's families are claims about what nobody told us.
_FAMILY: Final = Code("unspecified", "99IMAGEDATA_XR", "Unspecified")
_ALGORITHMS: Final = ("MANUAL", "SEMIAUTOMATIC", "AUTOMATIC")
_MOST: Final = 65535
_NAME: Final = "imagedata_xr"


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """
    What a segment is.

    Attributes
    ----------
    label : str
        Its name, at most 64 characters.
    category, type : Code, tuple or str
        Coded meanings: value, scheme and meaning, such as ``("10200004", "SCT", "Liver")``, or a
        name of pydicom's SNOMED CT codes, such as ``"Liver"``. By default a selected region, a
        spatial concept.
    algorithm : {"MANUAL", "SEMIAUTOMATIC", "AUTOMATIC"}
        How it was found.
    color : str, optional
        ``#rrggbb``: how to show it.
    """

    label: str
    category: Coded = _CATEGORY
    type: Coded = _TYPE
    algorithm: str = "SEMIAUTOMATIC"
    color: str | None = None


def to_dicom_seg(  # noqa: PLR0913 - each option is one thing a user may say
    mask: xr.DataArray,
    target: str | os.PathLike[str],
    *,
    segments: Sequence[Segment | str] | Mapping[int, Segment | str] | None = None,
    template: Any = None,
    omit_empty: bool = False,
    overwrite: bool = False,
    **attributes: Any,
) -> Path | str:
    """
    Write a mask as a DICOM Segmentation: one binary object with a frame a slice and segment.

    It belongs to the study, the patient and the frame of reference of the images that the mask
    was made from, and refers to them: those whose frames the mask still knows, or those of the
    array that it was made `like`, or of `template`. Its positions are those of the mask's own
    coordinates.

    Parameters
    ----------
    mask : xarray.DataArray
        bool: one segment. Whole numbers: a label map, 0 is the background. With a dimension
        ``segment``: one mask each, which may overlap.
    target : path-like or URL
        A folder that does not exist or is empty, or a ``.zip``; as `to_dicom` takes it.
    segments : sequence or mapping, optional
        What each segment is, in the order of their numbers or by number: a `Segment` or just its
        name. In the object they are numbered from 1 on, as the standard demands. By default the names that the array knows, else "Segment 1" and so on.
    template : DataArray, path or URL, optional
        DICOM images of the patient, where the mask does not know them.
    omit_empty : bool
        Leave out slices without a pixel. The file gets smaller; whoever opens it cannot tell
        how many slices there were.
    overwrite : bool
        Replace what an earlier call wrote there.
    **attributes
        DICOM attributes by keyword, e.g. ``SeriesDescription="tumour"``.

    Returns
    -------
    pathlib.Path or str
        The target.

    Raises
    ------
    OptionError
        The values are no mask, or `segments` do not fit it.
    GeometryError
        The mask has no place in the patient.
    HeaderError
        Nobody knows whose mask it is.
    WriteError
        The target is not free, or the mask changes with time.
    MissingDependencyError
        Without highdicom.
    """
    _require_highdicom()
    extra = elements(attributes)
    planes, numbers = _planes(mask)
    described = _described(mask, numbers, segments)
    sources = _sources(mask, template)
    grid = grid_of(mask)
    with (
        complete_folder(target, ours=OURS, overwrite=overwrite) as folder,
        config.disable_value_validation(),
        warnings.catch_warnings(),
    ):
        # Among them names of patients that highdicom doubts.
        warnings.simplefilter("ignore")
        listed = [described[number] for number in numbers]
        made = _made(sources, planes, listed, grid, omit_empty=omit_empty)
        for element in extra:
            made.add(element)
        made.save_as(folder / file_name(1, 1), enforce_file_format=True)
    return place_of(target)


def _require_highdicom() -> Any:
    try:
        import highdicom
    except ImportError as error:
        raise MissingDependencyError(
            'segmentations need highdicom: pip install "imagedata_xr[objects]"'
        ) from error
    return highdicom


def _planes(mask: xr.DataArray) -> tuple[NDArray[np.uint8], list[int]]:
    """Return masks of shape (slice, row, column, segment), and the number of each segment."""
    spatial = [name for name in schema.SPATIAL if name in mask.dims]
    others = [name for name in mask.dims if name not in (*spatial, SEGMENT)]
    if others:
        raise WriteError(
            f"a segmentation has no dimension {others[0]!r}: write one for each, e.g. of "
            f"mask.isel({others[0]}=0)"
        )
    missing = [name for name in schema.SPATIAL if name not in spatial]
    ordered = mask.expand_dims(missing)
    if SEGMENT in mask.dims:
        values = ordered.transpose(*schema.SPATIAL, SEGMENT).values
        _require_bits(values)
        known = mask.coords.get(SEGMENT)
        numbers = range(1, values.shape[3] + 1) if known is None else known.values.tolist()
        return np.ascontiguousarray(values, dtype=np.uint8), [int(n) for n in numbers]
    values = ordered.transpose(*schema.SPATIAL).values
    if values.dtype.kind == "b":
        return values.astype(np.uint8)[..., None], [1]
    if values.dtype.kind not in "iu" or (values.size and values.min() < 0):
        raise OptionError(
            f"a mask is bool, or whole numbers from 0, not {mask.dtype}: make one, e.g. da > 100"
        )
    numbers = [int(number) for number in np.unique(values) if number]
    if not numbers or max(numbers) > _MOST:
        raise OptionError(
            f"a label map has segments 1 to {_MOST}, and this one has {numbers or 'none'}"
        )
    stacked = np.stack([values == number for number in numbers], axis=-1)
    return stacked.astype(np.uint8), numbers


def _require_bits(values: NDArray[Any]) -> None:
    if values.dtype.kind not in "biu" or not np.isin(values, (0, 1)).all():
        raise OptionError("masks along the dimension 'segment' are 0 and 1, or bool")


def _described(
    mask: xr.DataArray,
    numbers: list[int],
    segments: Sequence[Segment | str] | Mapping[int, Segment | str] | None,
) -> dict[int, Segment]:
    if segments is None:
        labels = mask.coords.get(SEGMENT_LABEL)
        names = [] if labels is None else [str(name) for name in np.ravel(labels.values)]
        known = names if len(names) == len(numbers) else [f"Segment {n}" for n in numbers]
        given: dict[int, Segment | str] = dict(zip(numbers, known, strict=True))
    elif hasattr(segments, "items"):
        given = {int(number): one for number, one in segments.items()}
    else:
        listed = [segments] if isinstance(segments, str | Segment) else list(segments)
        given = dict(zip(numbers, listed, strict=False))
        if len(listed) != len(numbers):
            raise OptionError(f"segments: {len(listed)} are described, the mask has {numbers}")
    missing = [number for number in numbers if number not in given]
    if missing:
        raise OptionError(f"segments: nothing is said of number {missing[0]}")
    return {n: one if isinstance(one, Segment) else Segment(label=one) for n, one in given.items()}


def _sources(mask: xr.DataArray, template: Any) -> list[Any]:
    """Return the headers of the images that the segmentation refers to."""
    store = template_store(mask if template is None else template)
    keys = mask.coords.get(schema.FRAME)
    if store is None:
        if template is None:
            raise HeaderError(
                "the mask does not know whose it is: pass template= (DICOM images of the patient)"
            )
        return [template_header(template)]
    wanted = list(store.places)
    if template is None and keys is not None and keys.dtype.kind in "iu":
        own = [int(key) for key in keys.values.ravel() if int(key) in store.places]
        wanted = own or wanted
    first: dict[Any, int] = {}
    for key in wanted:
        first.setdefault(store.place(key)[0], key)
    headers = [store.dataset(key) for key in first.values()]
    # highdicom takes several single images, or one multi-frame object.
    return headers[:1] if "NumberOfFrames" in headers[0] else headers


def _made(
    sources: list[Any],
    planes: NDArray[np.uint8],
    segments: list[Segment],
    grid: Grid,
    *,
    omit_empty: bool,
) -> Any:
    hd = _require_highdicom()
    origins, cosines = grid.slice_origins(), [float(n) for n in np.ravel(grid.image_orientation)]
    try:
        steps = [
            abs(axis.step) * np.linalg.norm(axis.direction) for axis in (grid.row, grid.column)
        ]
    except GeometryError as error:
        raise GeometryError(f"a segmentation needs even pixels: {error}") from error
    thickness = float(grid.slice.spacing or 0.0) or _nearest(origins)
    measures = hd.PixelMeasuresSequence(
        pixel_spacing=[float(step) for step in steps],
        slice_thickness=thickness,
        spacing_between_slices=thickness,
    )
    _complete(sources)
    release = version(_NAME)
    described = [_description(hd, number, one, release) for number, one in enumerate(segments, 1)]
    try:
        return hd.seg.Segmentation(
            source_images=sources,
            pixel_array=planes,
            segmentation_type="BINARY",
            segment_descriptions=described,
            series_instance_uid=new_uid(),
            series_number=int(sources[0].get("SeriesNumber") or 0) + 1000,
            sop_instance_uid=new_uid(),
            instance_number=1,
            manufacturer=_NAME,
            manufacturer_model_name=_NAME,
            software_versions=release,
            device_serial_number=release,
            pixel_measures=measures,
            plane_orientation=hd.PlaneOrientationSequence("PATIENT", cosines),
            plane_positions=[
                hd.PlanePositionSequence("PATIENT", [float(n) for n in one]) for one in origins
            ],
            omit_empty_frames=omit_empty,
            content_label="SEGMENTATION",
        )
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise WriteError(f"the segmentation cannot be made of these images: {error}") from error


def _nearest(origins: NDArray[np.floating]) -> float:
    if len(origins) < 2:
        return 1.0
    return float(np.linalg.norm(np.diff(origins, axis=0), axis=1).min())


def _complete(sources: list[Any]) -> None:
    """Put empty values where source images lack what highdicom copies (type 2, PS3.3 C.7)."""
    for source in sources:
        for keyword in (
            *("AccessionNumber", "PatientBirthDate", "PatientID", "PatientName", "PatientSex"),
            *("ReferringPhysicianName", "StudyDate", "StudyID", "StudyTime"),
        ):
            if keyword not in source:
                setattr(source, keyword, None)


def _description(hd: Any, number: int, one: Segment, release: str) -> Any:
    if one.algorithm not in _ALGORITHMS:
        raise OptionError(f"algorithm={one.algorithm!r}: give one of {', '.join(_ALGORITHMS)}")
    identification = None
    if one.algorithm != "MANUAL":
        identification = hd.AlgorithmIdentificationSequence(
            name=_NAME, family=_FAMILY, version=release
        )
    color = None
    if one.color is not None:
        color = hd.color.CIELabColor.from_rgb(*_rgb(one.color))
    return hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=one.label[:64],
        segmented_property_category=_code(one.category),
        segmented_property_type=_code(one.type),
        algorithm_type=one.algorithm,
        algorithm_identification=identification,
        display_color=color,
    )


def _code(given: Coded) -> Code:
    if isinstance(given, Code):
        return given
    if isinstance(given, str):
        try:
            found: Code = getattr(codes.SCT, given)
        except AttributeError as error:
            raise OptionError(
                f"{given!r} is no name of a SNOMED CT code that pydicom knows: give value, scheme "
                "and meaning, e.g. ('10200004', 'SCT', 'Liver')"
            ) from error
        return found
    if len(given) != 3:
        raise OptionError(f"a code has value, scheme and meaning, not {given!r}")
    return Code(*map(str, given))


def _rgb(color: str) -> tuple[int, int, int]:
    text = color.removeprefix("#")
    if len(text) != 6 or not all(char in "0123456789abcdefABCDEF" for char in text):
        raise OptionError(f"color={color!r}: give #rrggbb")
    red, green, blue = (int(text[k : k + 2], 16) for k in (0, 2, 4))
    return red, green, blue
