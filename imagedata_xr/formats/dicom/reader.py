"""From a source to a Dataset: headers, frames, sorting, and what the coordinates need."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from imagedata_xr import schema
from imagedata_xr.dataset import Image, Labels, build
from imagedata_xr.errors import (
    DuplicateFrameError,
    DuplicateWarning,
    FormatError,
    GeometryError,
    ImagedataError,
    NoImagesError,
    OptionError,
    SkippedFileWarning,
    SpacingWarning,
)
from imagedata_xr.formats.dicom import attributes, headers, segmentation
from imagedata_xr.formats.dicom.coordinates import per_frame
from imagedata_xr.formats.dicom.instance import frames_of
from imagedata_xr.formats.dicom.pixels import reader_for
from imagedata_xr.lazy import FrameArray, lazily
from imagedata_xr.sorting import by_series, choose_series, choose_stack, select_frames, sort_stack
from imagedata_xr.sortkeys import names, readings, resolve
from imagedata_xr.sources import find_sources

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import xarray as xr

    from imagedata_xr.formats.dicom.headers import Header
    from imagedata_xr.frames import Frame, PixelRef, Source
    from imagedata_xr.sorting import Cube, DimensionLabels, Stack
    from imagedata_xr.sorting.series import Criterion, SeriesChoice
    from imagedata_xr.sortkeys import SortSpec

__all__ = ["Options", "Scan", "open_image", "scan"]

_JOINED = "all"
_SUFFIXES = (".dcm", ".dicom", ".ima")


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


@dataclass(frozen=True, slots=True, eq=False)
class Scan:
    """
    All frames of a source with their headers.

    Attributes
    ----------
    frames : list of Frame
    headers : dict of Source to Header
    others : list of Header
        DICOM objects without images (reports, plans), passed over.
    """

    frames: list[Frame]
    headers: dict[Source, Header]
    others: list[Header]


def scan(source: Any, *, errors: str = "raise", progress: bool | None = None) -> Scan:
    """
    Read the headers of all DICOM files of a source.

    Raises
    ------
    FormatError
        A DICOM file is damaged (with ``errors="warn"``: a SkippedFileWarning that names it).
    NoImagesError
        There is no DICOM image.
    """
    if errors not in ("raise", "warn"):
        raise OptionError(f"errors={errors!r}: give 'raise' or 'warn'")
    broken: list[ImagedataError] = []
    sources = find_sources(source)
    known = headers.read_headers(
        sources, progress=progress, on_error=lambda _, error: broken.append(error)
    )
    read = {header.source for header in known}
    if not broken:
        broken.extend(_strangers(one for one in sources if one not in read))
    frames: list[Frame] = []
    found: dict[Source, Header] = {}
    others: list[Header] = []
    for header in known:
        try:
            images = frames_of(header)
        except ImagedataError as error:
            broken.append(error)
            continue
        if images:
            found[header.source] = header
            frames.extend(images)
        else:
            others.append(header)
    _tell(broken, errors)
    if not frames:
        what = f"{len(others)} DICOM object(s) without images" if others else "no DICOM file"
        raise NoImagesError(f"no image in {len(sources)} file(s): {what}")
    return Scan(_without_duplicates(frames), found, others)


def _strangers(sources: Iterable[Source]) -> Iterator[FormatError]:
    """Yield the files that are no DICOM, though their names say that they were."""
    for one in sources:
        if one.name.lower().endswith(_SUFFIXES):
            yield FormatError(f"{one.name}: is named as a DICOM file but is empty or damaged")


def _tell(broken: Sequence[ImagedataError], errors: str) -> None:
    if broken and errors == "raise":
        first = broken[0]
        more = f"; {len(broken) - 1} more like it" if len(broken) > 1 else ""
        remedy = f"{more} (errors='warn' opens the series without)"
        raise type(first)(f"{first}{remedy}") from first
    if broken:
        listed = "\n  ".join(map(str, broken))
        warnings.warn(
            f"left out {len(broken)} file(s):\n  {listed}", SkippedFileWarning, stacklevel=2
        )


def _without_duplicates(frames: list[Frame]) -> list[Frame]:
    """
    Leave out copies of an instance: the same SOP Instance UID and the same contents.

    Raises
    ------
    DuplicateFrameError
        The contents differ.
    """
    seen: dict[tuple[str, int], Frame] = {}
    kept, copies = [], []
    for frame in frames:
        key = (frame.uid, frame.ref.number)
        first = seen.setdefault(key, frame) if frame.uid else frame
        if first is frame:
            kept.append(frame)
        elif _same_contents(first, frame):
            copies.append(frame.ref.source.name)
        else:
            raise DuplicateFrameError(
                f"{first.ref.source.name} and {frame.ref.source.name} have one SOP Instance UID "
                "but different contents: open them one at a time",
                groups=[{"source": f.ref.source.name} for f in (first, frame)],
            )
    if copies:
        warnings.warn(
            f"left out {len(copies)} identical copies of images: {', '.join(copies[:5])}"
            f"{', ...' if len(copies) > 5 else ''}",
            DuplicateWarning,
            stacklevel=2,
        )
    return kept


def _same_contents(one: Frame, other: Frame) -> bool:
    if (one.position, one.orientation, one.shape) != (
        other.position,
        other.orientation,
        other.shape,
    ):
        return False
    there = replace(one.ref, source=other.ref.source, offset=other.ref.offset)
    if (there, one.spacing) != (other.ref, other.spacing):
        return False
    sources = "+".join(key.source for name in names() for key in readings(name)).split("+")
    if any(one.values.get(source) != other.values.get(source) for source in sources):
        return False
    return _contents(one.ref) == _contents(other.ref)


def _contents(ref: PixelRef) -> bytes:
    return ref.source.read(ref.offset or 0, ref.length) if ref.length else ref.source.read()


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
    found = scan(source, errors=options.errors, progress=options.progress)
    series = options.series
    several = isinstance(source, list | tuple) and len(source) > 1
    if series is None and several and options.sort is not None:
        series = _JOINED
    frames = choose_series(by_series(found.frames), series)
    if options.select:
        frames = select_frames(frames, options.select)
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
    flat: list[Frame] = cube.frames.ravel().tolist()
    own = list({id(h): h for h in (found.headers[frame.ref.source] for frame in flat)}.values())
    refs = np.empty(cube.frames.shape, dtype=object)
    refs.ravel()[:] = [frame.ref for frame in flat]
    reader = reader_for((frame.ref for frame in flat), flat[0].shape, rescale=options.rescale)
    bare = [frame for frame in flat if frame.values.get("RescaleSlope") is None]
    scaled = {(ref.slope, ref.intercept) for ref in refs.ravel()} != {(1.0, 0.0)}
    if options.rescale and scaled and 0 < len(bare) < len(flat):
        raise FormatError(
            f"{bare[0].ref.source.name}: has no RescaleSlope, but other images of the series have "
            "(rescale=False opens the stored values)"
        )
    _warn_uneven(cube)
    attrs = _attrs(flat, own, options)
    return build(
        Image(
            data=lazily(FrameArray(refs, reader, progress=options.progress)),
            dims={dim.name: _dimension(dim) for dim in cube.dims},
            grid=cube.grid,
            frames=per_frame(cube, options.coords),
            attrs=attrs,
            encoding={schema.ENCODING: _encoding(cube, flat, found)},
            spacing=flat[0].spacing,
            colour=len(reader.shape) > 2,
        )
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
            stacklevel=2,
        )


def _attrs(flat: Sequence[Frame], own: Sequence[Header], options: Options) -> dict[str, Any]:
    found = attributes.attributes(own, phi=options.phi)
    values = flat[0].values
    for keyword in ("AcquisitionDate", "AcquisitionTime"):
        value = attributes.plain(values.get(keyword))
        if keyword not in found and value is not None and options.phi:
            found[keyword] = value
    if options.rescale:
        found.update(attributes.units(values))
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
