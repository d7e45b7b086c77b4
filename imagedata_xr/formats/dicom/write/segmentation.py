"""Masks and label maps as DICOM segmentations (PS3.3 A.51, A.91 and C.8.20)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from pydicom import Dataset, config
from pydicom.sequence import Sequence as Items

from imagedata_xr import schema
from imagedata_xr.errors import DataWarning, GeometryError, OptionError, WriteError
from imagedata_xr.formats.dicom.like import geometry_image, take_geometry
from imagedata_xr.formats.dicom.write.described import described, segment_item
from imagedata_xr.formats.dicom.write.functional import (
    FrameGroups,
    Origins,
    new_instance,
    put_extra,
)
from imagedata_xr.formats.dicom.write.instances import (
    damaged_headers,
    put_grid_format,
    put_pixels,
    save,
)
from imagedata_xr.formats.dicom.write.keywords import elements
from imagedata_xr.formats.dicom.write.layout import layout_of
from imagedata_xr.formats.dicom.write.origin import origin_of
from imagedata_xr.formats.dicom.write.target import one_file
from imagedata_xr.targets import place_of

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    import xarray as xr
    from numpy.typing import NDArray

    from imagedata_xr.formats.dicom.write.layout import Layout

__all__ = ["to_dicom_seg"]

SEGMENT: Final = "segment"
BINARY, LABELMAP = "binary", "labelmap"
_CLASSES: Final = {
    BINARY: "1.2.840.10008.5.1.4.1.1.66.4",
    LABELMAP: "1.2.840.10008.5.1.4.1.1.66.7",
}
_DERIVATION: Final = ("113076", "DCM", "Segmentation")
_IDENTITY: Final = ("SegmentIdentificationSequence", "ReferencedSegmentNumber")
_MOST: Final = 65535


@dataclass(slots=True, eq=False)
class _Masks:
    """
    The frames of a segmentation before it is written.

    Attributes
    ----------
    packed : dict
        Number of the segment and slice to the bits of a frame; frames without any are not there.
    numbers : set of int
    overlap : bool
        A voxel is in several segments.
    """

    packed: dict[tuple[int, int], bytes] = field(default_factory=dict)
    numbers: set[int] = field(default_factory=set)
    overlap: bool = False


def to_dicom_seg(  # noqa: PLR0913 - each option is one thing a user may say
    da: xr.DataArray,
    target: str | os.PathLike[str],
    *,
    segments: Any = None,
    template: Any = None,
    geometry: Any = None,
    segmentation_type: str = BINARY,
    omit_empty: bool = False,
    overwrite: bool = False,
    **attributes: Any,
) -> Path | str:
    """
    Write a mask or label map as one DICOM segmentation.

    The mask needs no grid of an image: each frame has its own position, that of the array.
    Frames without a voxel in a segment are left out, but for one at each position where there is
    no voxel of any segment, so that the slices of the array are those of the file. Where the
    array knows its source frames, through ``frame``, these are named as sources; else those
    frames of its source, or of a template that is an array or folder, whose pixels lie where
    its own do.

    Parameters
    ----------
    da : DataArray
        Bool or 0 and 1: one mask, or one for each place along the dimension ``segment``, which
        may overlap. Other whole numbers without this dimension: a label map, 0 outside.
    target : path-like or URL
        A file whose name ends in ``.dcm``, or a folder, ``.zip`` archive or URL as `to_dicom`
        takes it, with the one file ``0001.dcm``.
    segments : optional
        What the segments are: a label or `Segment`, or one for each segment in the order of
        their numbers, or a mapping of numbers to these. By default what the array says in
        ``SegmentLabel`` and so on, as for a segmentation that was read or made of regions.
    template, geometry
        As in `to_dicom`.
    segmentation_type : {"binary", "labelmap"}
        One bit for each voxel and segment, which every reader knows; or Label Map Segmentation,
        with the numbers themselves.
    omit_empty : bool
        Leave out slices without a voxel in any segment. The file gets smaller; whoever opens it
        cannot tell how many slices there were.
    overwrite : bool
        Replace an existing file.
    **attributes
        DICOM attributes by keyword, e.g. ``SeriesDescription="tumour"``.

    Returns
    -------
    pathlib.Path or str
        The target.

    Raises
    ------
    OptionError
        Values are no mask, segments are not described, or an argument means nothing.
    WriteError
        The array has further dimensions, segments that overlap shall be a label map, or the target
        is not free.
    GeometryError, GridMismatchError, HeaderError
        As in `to_dicom`.

    Warns
    -----
    DataWarning
        Where segments get other numbers: in a binary segmentation they are 1, 2, 3... (PS3.3
        C.8.20.4).

    Examples
    --------
    >>> mask = series.isel(time=0) > series.isel(time=0).mean()
    >>> out = imagedata_xr.to_dicom_seg(mask, "mask.dcm", segments="Bright")
    >>> xr.open_dataarray(out, engine="dicom").dims
    ('segment', 'slice', 'row', 'column')
    """
    if segmentation_type not in _CLASSES:
        raise OptionError(f"segmentation_type={segmentation_type!r}: one of {', '.join(_CLASSES)}")
    extra = elements(attributes)
    placing = geometry_image(geometry, template)
    if placing is not None:
        da = take_geometry(da, placing)
    layout = layout_of(_masks_only(da))
    with (
        one_file(target, overwrite=overwrite) as path,
        config.disable_value_validation(),
        damaged_headers(),
    ):
        origin = origin_of(layout, template, asked={element.keyword for element in extra})
        if placing is not None and geometry is not True and "FrameOfReferenceUID" in placing.attrs:
            origin.header.FrameOfReferenceUID = placing.attrs["FrameOfReferenceUID"]
        placed = layout.grid is not None
        if not placed and origin.sources is None:
            raise GeometryError(
                "the mask has no place in a patient, and nobody knows the image whose pixels it "
                "marks: pass template= (the image)"
            )
        kind = _CLASSES[segmentation_type]
        dataset: Any = new_instance(origin.header, kind, "SEG", placed=placed)
        _put_facts(dataset)
        origins = Origins(layout, origin.sources)
        if segmentation_type == BINARY:
            _put_masks(dataset, layout, origins, segments, omit_empty=omit_empty)
        else:
            _put_label_map(dataset, layout, origins, segments, omit_empty=omit_empty)
        put_extra(dataset, extra)
        save(dataset, path)
    return place_of(target)


def _masks_only(da: xr.DataArray) -> xr.DataArray:
    """Return the array without dimensions of one place that segmentations do not have."""
    known = (SEGMENT, *schema.SPATIAL)
    single = [name for name in da.dims if name not in known and da.sizes[name] == 1]
    da = da.isel(dict.fromkeys(single, 0))
    others = [str(name) for name in da.dims if name not in known]
    if others:
        raise WriteError(
            f"a segmentation has no dimension {others[0]!r}: write one at a time, e.g. "
            f"da.isel({others[0]}=0)"
        )
    if SEGMENT in da.dims:
        da = da.transpose(SEGMENT, ...)
    return da


def _put_facts(dataset: Any) -> None:
    """Put what all segmentations have (Segmentation Image module, PS3.3 C.8.20.2)."""
    dataset.ImageType = ["DERIVED", "PRIMARY"]
    dataset.ContentLabel = "SEGMENTATION"
    dataset.ContentDescription = None
    dataset.ContentCreatorName = None


def _numbers_along(layout: Layout) -> list[int] | None:
    """Return the numbers of the dimension of segments, None without it."""
    if SEGMENT not in layout.leading:
        return None
    size = layout.image.sizes[SEGMENT]
    coord = layout.image.coords.get(SEGMENT)
    ordinal = list(range(1, size + 1))
    numbers = ordinal if coord is None else coord.values.tolist()
    if numbers == list(range(size)):
        # What `concat` numbers where nobody does.
        return ordinal
    if len(set(numbers)) < size or not all(isinstance(n, int) and n > 0 for n in numbers):
        raise OptionError(f"the coordinate 'segment' has {numbers}: segments are numbered from 1")
    return numbers


def _planes(layout: Layout) -> Iterator[tuple[tuple[int, ...], NDArray[Any]]]:
    """
    Yield index and whole numbers of each plane.

    Raises
    ------
    OptionError
        There are fractions, negative numbers, or ones beyond 16 bits.
    """
    for index, plane in layout.planes():
        if plane.dtype.kind == "f" and not np.array_equal(plane, np.rint(plane)):
            raise OptionError(
                "a mask is bool or whole numbers, no fractions and no NaN: say which voxels belong to the segment, "
                "e.g. da > 0.5"
            )
        least, most = plane.min(), plane.max()
        if least < 0 or most > _MOST:
            raise OptionError(
                f"labels are whole numbers from 0 to {_MOST}, and the array has {least} to {most}"
            )
        if SEGMENT in layout.leading and most > 1:
            raise OptionError(
                f"along the dimension 'segment' masks are 0 and 1, and the array has {most}"
            )
        yield index, plane


def _read_masks(layout: Layout) -> _Masks:
    found, along = _Masks(), _numbers_along(layout)
    found.numbers.update(along or ())
    place_of_segment = layout.leading.index(SEGMENT) if along else None
    covered: dict[int, NDArray[Any]] = {}
    for index, plane in _planes(layout):
        place = layout.slice_of(index)
        if along is not None and place_of_segment is not None:
            parts = {along[index[place_of_segment]]: plane != 0}
        elif plane.dtype.kind == "b":
            parts = {1: plane}
        else:
            numbers = np.unique(plane)
            parts = {int(number): plane == number for number in numbers if number}
        for number, part in parts.items():
            found.numbers.add(number)
            if not part.any():
                continue
            bits = np.packbits(part, bitorder="little")
            found.packed[number, place] = bits.tobytes()
            if along is not None:
                before = covered.get(place)
                found.overlap = found.overlap or (
                    before is not None and bool((before & bits).any())
                )
                covered[place] = bits if before is None else before | bits
    found.numbers.update(_told(layout) if along is None else ())
    return found


def _told(layout: Layout) -> list[int]:
    """Return the numbers of segments that a label map's attributes tell; 1 for a single mask."""
    if layout.image.dtype.kind == "b":
        return [1]
    return [int(n) for n in np.atleast_1d(layout.image.attrs.get("SegmentNumber", []))]


def _put_segments(
    dataset: Any, layout: Layout, numbers: list[int], segments: Any, renumbered: Mapping[int, int]
) -> None:
    attrs = dict(layout.image.attrs)
    coord = layout.image.coords.get("segment_label")
    if "SegmentLabel" not in attrs and coord is not None and coord.dims == (SEGMENT,):
        attrs |= {"SegmentNumber": _numbers_along(layout), "SegmentLabel": coord.values.tolist()}
    known = described(segments, numbers, attrs)
    dataset.SegmentSequence = Items(
        [segment_item(renumbered[number], known[number]) for number in numbers]
    )


def _put_masks(
    dataset: Any, layout: Layout, origins: Origins, segments: Any, *, omit_empty: bool
) -> None:
    """Put one bit for each voxel and segment."""
    masks = _read_masks(layout)
    numbers = sorted(masks.numbers)
    if not numbers:
        raise OptionError("the label map has none but 0: there is no segment")
    renumbered = {number: k for k, number in enumerate(numbers, 1)}
    if any(old != new for old, new in renumbered.items()):
        warnings.warn(
            f"segments {numbers} are numbered {list(renumbered.values())} in the file, as binary "
            "segmentations are; segmentation_type='labelmap' keeps the numbers",
            DataWarning,
            stacklevel=3,
        )
    _put_segments(dataset, layout, numbers, segments, renumbered)
    dataset.SegmentationType = "BINARY"
    dataset.SegmentsOverlap = "YES" if masks.overlap else "NO"
    depth = layout.image.sizes.get(schema.SLICE, 1)
    filled = {place for _, place in masks.packed}
    # A file has at least one frame.
    wanted = filled if omit_empty and filled else set(range(depth))
    order = sorted({*masks.packed, *((numbers[0], place) for place in wanted - filled)})
    groups = FrameGroups(dataset, layout, origins, derivation=_DERIVATION, pointers=[_IDENTITY])
    for number, place in order:
        index = _index(layout, numbers, number, place)
        group = groups.add(index, [renumbered[number]])
        identity = Dataset()
        identity.ReferencedSegmentNumber = renumbered[number]
        group.SegmentIdentificationSequence = Items([identity])
    groups.finish()
    size = int(np.prod(layout.plane))
    put_grid_format(dataset, np.empty(layout.plane, dtype=np.uint8), bits=1)
    dataset.BitsAllocated = 1
    empty = bytes(-(-size // 8))
    frames = (masks.packed.get(key, empty) for key in order)
    put_pixels(dataset, _joined(frames, size), cell=1)


def _index(layout: Layout, numbers: list[int], number: int, place: int) -> tuple[int, ...]:
    """Return the place of a frame along the leading dimensions."""
    along = _numbers_along(layout)
    at = {SEGMENT: (along or numbers).index(number), schema.SLICE: place}
    return tuple(at[name] for name in layout.leading)


def _joined(frames: Iterable[bytes], size: int) -> bytes:
    """Return frames of bits without gaps between them (PS3.5 8.1.1)."""
    if size % 8 == 0:
        return b"".join(frames)
    found, rest = [], np.empty(0, dtype=np.uint8)
    for frame in frames:
        bits = np.unpackbits(np.frombuffer(frame, np.uint8), count=size, bitorder="little")
        rest = np.concatenate([rest, bits])
        whole = rest.size // 8 * 8
        found.append(np.packbits(rest[:whole], bitorder="little").tobytes())
        rest = rest[whole:]
    return b"".join([*found, np.packbits(rest, bitorder="little").tobytes()])


def _put_label_map(
    dataset: Any, layout: Layout, origins: Origins, segments: Any, *, omit_empty: bool
) -> None:
    """Put the number of the segment of each voxel."""
    along = _numbers_along(layout)
    depth = layout.image.sizes.get(schema.SLICE, 1)
    cells = np.zeros((depth, *layout.plane), dtype=np.uint16)
    for index, plane in _planes(layout):
        place = layout.slice_of(index)
        if along is None:
            cells[place] = plane
            continue
        inside = plane != 0
        if cells[place][inside].any():
            raise WriteError("segments overlap, and a label map cannot say it: leave it binary")
        cells[place][inside] = along[index[layout.leading.index(SEGMENT)]]
    numbers = sorted({*np.unique(cells).tolist(), *(along or _told(layout))} - {0})
    if not numbers:
        raise OptionError("the label map has none but 0: there is no segment")
    _put_segments(dataset, layout, numbers, segments, dict(zip(numbers, numbers, strict=True)))
    dataset.SegmentationType = "LABELMAP"
    groups = FrameGroups(dataset, layout, origins, derivation=_DERIVATION, pointers=[])
    filled = np.flatnonzero(cells.any(axis=(1, 2))).tolist()
    wanted = filled if omit_empty and filled else list(range(depth))
    for place in wanted:
        groups.add(_index(layout, numbers, numbers[0], place), [])
    groups.finish()
    cells = cells[wanted]
    narrow = cells.astype(np.uint8) if numbers[-1] < 256 else cells
    put_grid_format(dataset, narrow[0])
    put_pixels(dataset, narrow.tobytes(), cell=narrow.dtype.itemsize * 8)
