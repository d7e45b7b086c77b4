"""From a source to a Dataset: headers, frames, sorting, and what the coordinates need."""

from __future__ import annotations

import warnings
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from imagedata_xr import schema
from imagedata_xr.dataset import Image, Labels, build
from imagedata_xr.errors import DataWarning, FormatError, GeometryError, SpacingWarning, outside
from imagedata_xr.formats.dicom import attributes, segmentation
from imagedata_xr.formats.dicom.collector import without_collector
from imagedata_xr.formats.dicom.coordinates import earliest, per_frame
from imagedata_xr.formats.dicom.headerstore import source_attrs
from imagedata_xr.formats.dicom.pixels import reader_for
from imagedata_xr.formats.dicom.scan import scan, without_duplicates
from imagedata_xr.frames import Frames, attribute, evaluate
from imagedata_xr.index import AxisIndex
from imagedata_xr.lazy import FrameArray, lazily
from imagedata_xr.sorting import (
    by_series,
    choose_series,
    choose_stack,
    one_patient,
    select_frames,
    sort_stack,
)
from imagedata_xr.sortkeys import resolve

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import xarray as xr

    from imagedata_xr.formats.dicom.headers import Header
    from imagedata_xr.formats.dicom.scan import Scan
    from imagedata_xr.frames import Frame
    from imagedata_xr.sorting import Cube, DimensionLabels, Stack
    from imagedata_xr.sorting.series import Criterion, SeriesChoice
    from imagedata_xr.sortkeys import SortSpec

__all__ = ["Options", "open_image", "stack_dataset", "to_dataset"]

_JOINED = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the user may say about opening; see `imagedata_xr.formats.dicom.engine`."""

    sort: SortSpec | None = None
    series: SeriesChoice | None = None
    select: Mapping[str, Criterion] | None = None
    stack: int | None = None
    rescale: bool = True
    phi: bool = True
    coords: Sequence[str] = ()
    errors: Literal["raise", "warn"] = "raise"
    progress: bool | None = None


def open_image(source: Any, options: Options) -> xr.Dataset:
    """
    Open one series, or one stack of it, as a Dataset.

    Parameters
    ----------
    source : path, URL, list, file object or bytes
        As `imagedata_xr.sources.find_sources` takes it.
    options : Options

    Raises
    ------
    ImagedataError
        See the tree in `imagedata_xr.errors`.
    """
    with without_collector():
        return _open(source, options)


def _open(source: Any, options: Options) -> xr.Dataset:
    found = scan(source, errors=options.errors, progress=options.progress)
    series = options.series
    several = isinstance(source, list | tuple) and len(source) > 1
    if series is None and several and options.sort is not None:
        series = _JOINED
    frames: Sequence[Frame] = choose_series(by_series(Frames(found.frames)), series)
    if options.select:
        frames = select_frames(frames, options.select)
    frames = Frames(frames)
    # Before copies are left out: a copy under another patient's name is none.
    one_patient(frames)
    frames = without_duplicates(frames)
    return stack_dataset(choose_stack(frames, options.stack), found, options)


def stack_dataset(stack: Stack, found: Scan, options: Options) -> xr.Dataset:
    """Build the Dataset of a stack: an image, sorted, or the masks of a segmentation."""
    if segmentation.holds_segments(stack):
        return segmentation.to_dataset(stack, found, options)
    keys = resolve(options.sort) if options.sort is not None else ()
    return to_dataset(sort_stack(stack, keys), found, options)


def to_dataset(cube: Cube, found: Scan, options: Options) -> xr.Dataset:
    """
    Build the Dataset of a sorted series.

    Parameters
    ----------
    cube : Cube
    found : Scan
        What the frames were found in.
    options : Options
    """
    flat = Frames(cube.frames.ravel().tolist())
    own = list({id(h): h for h in (found.headers[frame.ref.source] for frame in flat)}.values())
    refs = np.empty(cube.frames.shape, dtype=object)
    refs.ravel()[:] = [frame.ref for frame in flat]
    reader = reader_for((frame.ref for frame in flat), flat[0].shape, rescale=options.rescale)
    if options.rescale:
        _check_rescale(flat)
    _warn_bits(flat)
    _warn_uneven(cube)
    frames = per_frame(cube, flat, options.coords)
    series = frames[schema.SERIES]
    store = series.encoding[schema.HEADERS]
    attrs = {
        **_attrs(flat, own, options),
        **source_attrs(dict.fromkeys(series.values.ravel().tolist()), store),
    }
    made = build(
        Image(
            data=lazily(FrameArray(refs, reader, progress=options.progress)),
            dims={dim.name: _dimension(dim) for dim in cube.dims},
            grid=cube.grid,
            frames=frames,
            attrs=attrs,
            encoding={schema.ENCODING: _encoding(cube, flat, found)},
            spacing=flat[0].spacing,
            colour=len(reader.shape) > 2,
            # Mosaics, and files that must be unpacked as a whole.
            by_volume=any(
                frame.ref.tile is not None or (frame.ref.offset is None and frame.ref.number)
                for frame in flat
            ),
        )
    )
    for index in made.xindexes.values():
        if isinstance(index, AxisIndex):
            index.origins = (store,)
    return made


def _check_rescale(flat: Sequence[Frame]) -> None:
    """Raise where some frames lack what others are scaled by; warn where all lack one half of it."""
    if all(frame.ref.slope == 1 and frame.ref.intercept == 0 for frame in flat):
        return
    for name, keyword, other, taken in (
        ("slope", "RescaleSlope", "RescaleIntercept", 1),
        ("intercept", "RescaleIntercept", "RescaleSlope", 0),
    ):
        # Where a header has none, this is what its frame has.
        if all(getattr(frame.ref, name) != taken for frame in flat):
            continue
        values = attribute(keyword, flat)
        bare = [frame for frame, value in zip(flat, values, strict=True) if value is None]
        if not bare:
            continue
        file = bare[0].ref.source.name
        if len(bare) < len(flat):
            raise FormatError(
                f"{file}: has no {keyword}, but other images of the series have "
                "(rescale=False opens the stored values)"
            )
        if any(value is not None for value in attribute(other, flat)):
            warnings.warn(
                f"{file}: has {other}, but no {keyword}: {taken} is taken (rescale=False opens the "
                "stored values)",
                DataWarning,
                stacklevel=outside(),
            )


def _warn_bits(flat: Sequence[Frame]) -> None:
    """Warn where images of one series disagree on which bits of a pixel count, and for what."""
    if len({id(frame.ref.format) for frame in flat}) == 1:
        return
    for name, facts in (
        ("BitsStored", [frame.ref.format.bits_stored for frame in flat]),
        ("PixelRepresentation", [int(frame.ref.format.signed) for frame in flat]),
    ):
        if len(set(facts)) > 1:
            usual = Counter(facts).most_common(1)[0][0]
            odd = next(k for k, value in enumerate(facts) if value != usual)
            warnings.warn(
                f"{flat[odd].ref.source.name}: {name} is {facts[odd]}, and {usual} in other images of "
                "the series: the values of one of them may be wrong",
                DataWarning,
                stacklevel=outside(),
            )


def _warn_uneven(cube: Cube) -> None:
    if cube.grid is None or cube.grid.slice.size < 2:
        return
    try:
        _ = cube.grid.slice.step
    except GeometryError as error:
        warnings.warn(
            f"slices are unevenly spaced, one may be missing ({error}); the coordinate holds the "
            "measured positions",
            SpacingWarning,
            stacklevel=outside(),
        )


def _attrs(flat: Sequence[Frame], own: Sequence[Header], options: Options) -> dict[str, Any]:
    found = attributes.attributes(own, phi=options.phi)
    first = earliest(flat).values
    for keyword in ("AcquisitionDate", "AcquisitionTime"):
        value = attributes.plain(first.get(keyword))
        if keyword not in found and value is not None and options.phi:
            found[keyword] = value
    units = evaluate(attributes.units, flat) if options.rescale else ({},)
    if all(one == units[0] for one in units):
        found.update(units[0])
    photometric = flat[0].ref.format.photometric
    colour = flat[0].ref.format.colour
    found["PhotometricInterpretation"] = "RGB" if colour else photometric
    return found


def _dimension(dim: DimensionLabels) -> Labels:
    attrs = {schema.UNITS: dim.units} if dim.units else {}
    return Labels(dim.labels, attrs, {"source": dim.source})


def _encoding(cube: Cube, flat: Sequence[Frame], found: Scan) -> dict[str, Any]:
    form = flat[0].ref.format
    return {
        "sort": {dim.name: dim.source for dim in cube.dims},
        "start": {dim.name: dim.start for dim in cube.dims if dim.start is not None},
        "skipped": [f"{h.get('Modality')}: {h.source.name}" for h in found.others],
        "TransferSyntaxUID": form.syntax,
        "BitsAllocated": form.bits_allocated,
        "BitsStored": form.bits_stored,
        "PixelRepresentation": int(form.signed),
        "PhotometricInterpretation": form.photometric,
        "RescaleSlope": sorted({frame.ref.slope for frame in flat})[:2],
        "RescaleIntercept": sorted({frame.ref.intercept for frame in flat})[:2],
    }
