"""Regions to masks and label maps on an image's own coordinates."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import xarray as xr

from imagedata_xr.errors import DataWarning, OptionError
from imagedata_xr.index import AxisIndex
from imagedata_xr.roi.model import Roi
from imagedata_xr.roi.place import grid_for, spatial_like
from imagedata_xr.roi.volume import fill
from imagedata_xr.schema import HEADERS, SERIES, STUDY, TEMPLATE

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from imagedata_xr.geometry import Grid

__all__ = ["COLORS", "LABELS", "NUMBERS", "SEGMENT", "SEGMENT_LABEL", "mask", "structures"]

# As in segmentations that the engine ``dicom`` opens.
SEGMENT: Final = "segment"
SEGMENT_LABEL: Final = "segment_label"
NUMBERS: Final = "SegmentNumber"
LABELS: Final = "SegmentLabel"
COLORS: Final = "SegmentColor"


def mask(rois: Roi | Iterable[Roi], like: xr.DataArray, *, stack: bool = False) -> xr.DataArray:
    """
    Return the voxels of an image that lie inside regions.

    A voxel is inside where its centre is. Borders are half-open: of two regions that share an
    edge, exactly one has each voxel. Outlines in a plane of the image (axial, or along rows or
    columns), or in any other plane, all work; see `Roi.thickness` for those between slices.

    Parameters
    ----------
    rois : Roi or iterable of Roi
        Those with one name (and one number) are parts of one structure.
    like : DataArray
        The image, or any part of it: cropped, flipped, sub-sampled, one slice of any plane.
    stack : bool
        Return one mask a structure along the dimension ``segment`` instead of a label map. Only
        this holds structures that overlap.

    Returns
    -------
    DataArray
        Bool for one `Roi`; for several, a label map of unsigned integers with the attributes
        ``SegmentNumber``, ``SegmentLabel`` and ``SegmentColor`` (lists; the value itself of one
        structure), 0 elsewhere. Dimensions and coordinates are the spatial ones of the image,
        and those acquisition dimensions that a `Roi.select` names.

    Raises
    ------
    OptionError
        Where a region selects along a dimension that the image does not have, or one number
        stands for two names.
    GeometryError
        Where the image has lost its place.

    Warns
    -----
    DataWarning
        Where structures overlap in a label map: the later one has the voxels.

    Examples
    --------
    >>> outline = roi.rectangle(series, slice=float(series.slice[1]), row=(-3, 3), column=(-2, 2))
    >>> found = roi.mask(roi.Roi(name="box", contours=(outline,)), series)
    >>> found.dims, found.dtype
    (('slice', 'row', 'column'), dtype('bool'))
    """
    if isinstance(rois, Roi):
        made = _placed([rois], like, grid_for(like), _selected([rois])).rename("mask")
        return _of_patient(made, like)
    every = list(rois)
    found, grid, dims = structures(every), grid_for(like), _selected(every)
    parts = [_placed(group, like, grid, dims) for group in found.values()]
    return _of_patient(_stacked(parts, found) if stack else _label_map(parts, found), like)


def _of_patient(made: xr.DataArray, like: xr.DataArray) -> xr.DataArray:
    """Let writers of a mask find patient and study of the image; it is no source of values."""
    series, study = like.coords.get(SERIES), like.coords.get(STUDY)
    uid = like.attrs.get(STUDY) if study is None else study.item()
    store = None if study is None else study.encoding.get(TEMPLATE)
    if series is not None and series.ndim == 0:
        store = series.encoding.get(HEADERS, store)
    if not uid or store is None:
        return made
    made = made.assign_coords({STUDY: str(uid)})
    made.coords[STUDY].encoding[TEMPLATE] = store
    return made


def structures(rois: Sequence[Roi]) -> dict[int, list[Roi]]:
    """
    Return the regions by the number of their structure.

    Those without a number get the first ones that are free, in the order of the list.
    """
    if not rois:
        raise OptionError("there is no region")
    named: dict[str, int] = {}
    owner: dict[int, str] = {}
    for roi in rois:
        if roi.number and owner.setdefault(roi.number, roi.name) != roi.name:
            raise OptionError(
                f"number {roi.number} stands for both {owner[roi.number]!r} and {roi.name!r}: "
                "give one of them another, dataclasses.replace(roi, number=...)"
            )
        if roi.number and named.setdefault(roi.name, roi.number) != roi.number:
            raise OptionError(
                f"{roi.name!r} has the numbers {named[roi.name]} and {roi.number}: it has one"
            )
    found: dict[int, list[Roi]] = {}
    for roi in rois:
        if roi.name not in named:
            named[roi.name] = next(n for n in range(1, len(owner) + 2) if n not in owner)
            owner[named[roi.name]] = roi.name
        found.setdefault(named[roi.name], []).append(roi)
    return found


def _selected(rois: Sequence[Roi]) -> tuple[Hashable, ...]:
    """Return the acquisition dimensions along which any region selects."""
    return tuple(dict.fromkeys(name for roi in rois for name in roi.select))


def _placed(
    rois: Sequence[Roi], like: xr.DataArray, grid: Grid, dims: tuple[Hashable, ...]
) -> xr.DataArray:
    """Return the mask of one structure."""
    varying = [name for name in like.dims if name in dims]
    whole = np.zeros([like.sizes[name] for name in varying] + list(grid.shape), dtype=bool)
    for roi in rois:
        where = _where(roi, like, varying)
        if where is not None:
            whole[where] |= fill(roi.contours, grid, roi.thickness)
    return spatial_like(like, whole, varying)


def _where(
    roi: Roi, like: xr.DataArray, varying: Sequence[Hashable]
) -> tuple[NDArray[np.intp] | slice, ...] | None:
    """Return the places of a region along the varying dimensions, None if it is elsewhere."""
    places: dict[Hashable, slice] = {}
    for name, value in roi.select.items():
        if name not in like.coords:
            raise OptionError(
                f"{roi.name}: it holds at {name} = {value!r}, but the image has no {name!r}; "
                "dataclasses.replace(roi, select={}) makes it hold everywhere"
            )
        at = _place_of(like.coords[name], value)
        if at is None:
            return None
        if name in varying:
            places[name] = slice(at, at + 1)
    return tuple(places.get(name, slice(None)) for name in varying)


def _place_of(coord: xr.DataArray, value: float | str) -> int | None:
    """Return the place of a value in a coordinate, within the tolerance of its index."""
    labels = np.atleast_1d(coord.values)
    if labels.dtype.kind not in "iuf" or isinstance(value, str):
        hits = np.flatnonzero(labels.astype(str) == str(value))
        return int(hits[0]) if hits.size else None
    reach = AxisIndex(labels, coord.name).reach
    distance = np.abs(labels - float(value))
    near = int(np.argmin(distance))
    return near if distance[near] <= reach else None


def _label_attrs(found: Mapping[int, Sequence[Roi]]) -> dict[str, Any]:
    columns: dict[str, list[Any]] = {
        NUMBERS: list(found),
        LABELS: [group[0].name for group in found.values()],
        COLORS: [group[0].color for group in found.values()],
    }
    return {name: one[0] if len(one) == 1 else one for name, one in columns.items()}


def _label_map(parts: Sequence[xr.DataArray], found: Mapping[int, Sequence[Roi]]) -> xr.DataArray:
    labels: xr.DataArray = xr.zeros_like(parts[0], dtype=np.min_scalar_type(max(found)))
    taken = 0
    for number, part in zip(found, parts, strict=True):
        taken += int(np.count_nonzero(labels.values[part.values]))
        labels.values[part.values] = number
    if taken:
        warnings.warn(
            f"{taken} voxels lie in more than one region: the later one has them. "
            "mask(rois, like, stack=True) keeps all",
            DataWarning,
            stacklevel=3,
        )
    return labels.rename("labels").assign_attrs(_label_attrs(found))


def _stacked(parts: Sequence[xr.DataArray], found: Mapping[int, Sequence[Roi]]) -> xr.DataArray:
    first = parts[0]
    made = xr.DataArray(
        np.stack([part.values for part in parts]), dims=(SEGMENT, *first.dims), coords=first.coords
    )
    names = [group[0].name for group in found.values()]
    made = made.assign_coords({SEGMENT: list(found), SEGMENT_LABEL: (SEGMENT, names)})
    return made.rename("mask").assign_attrs(_label_attrs(found))
