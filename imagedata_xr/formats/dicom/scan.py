"""All frames of a source: which files are images, which are not, and which are damaged."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from imagedata_xr.errors import (
    DuplicateFrameError,
    DuplicateWarning,
    FormatError,
    ImagedataError,
    NoImagesError,
    OptionError,
    SkippedFileWarning,
    outside,
)
from imagedata_xr.formats.dicom import headers
from imagedata_xr.formats.dicom.instance import frames_of
from imagedata_xr.sortkeys import names, readings
from imagedata_xr.sources import find_sources

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from imagedata_xr.formats.dicom.headers import Header
    from imagedata_xr.frames import Frame, PixelRef, Source

__all__ = ["Scan", "scan", "sift", "without_duplicates"]

_SUFFIXES = (".dcm", ".dicom", ".ima")
_DIRECTORY = 0x0004  # the group of a DICOMDIR
_PREAMBLE = 132
_FEW = 5


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
    broken : dict of Source to ImagedataError
        Files that cannot be read.
    """

    frames: list[Frame]
    headers: dict[Source, Header]
    others: list[Header]
    broken: dict[Source, ImagedataError]


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
    broken: dict[Source, ImagedataError] = {}
    sources = find_sources(source)
    known = headers.read_headers(sources, progress=progress, on_error=broken.__setitem__)
    found = sift(sources, known, broken)
    _tell([broken[one] for one in sources if one in broken], errors)
    if not found.frames:
        count = len(found.others)
        what = f"{count} DICOM object(s) without images" if count else "no DICOM file"
        raise NoImagesError(f"no image in {len(sources)} file(s): {what}")
    return found


def sift(
    sources: Sequence[Source], known: Sequence[Header], broken: dict[Source, ImagedataError]
) -> Scan:
    """
    Tell images from what is none, and from what is damaged.

    Parameters
    ----------
    sources : sequence of Source
        All files.
    known : sequence of Header
        The headers of those that are DICOM.
    broken : dict of Source to ImagedataError
        Those that cannot be read; gets what else is damaged.
    """
    found = _expanded(known, broken)
    for lost in [header for header in found.others if _lost_its_pixels(header, found)]:
        found.others.remove(lost)
        name = lost.source.name
        broken[lost.source] = FormatError(f"{name}: truncated: an image without pixels")
    if len(known) < len(sources):
        strangers = {one for one in sources if one not in broken} - {h.source for h in known}
        broken.update((one, _damaged(one)) for one in _suspects(strangers, known))
    return found


def _expanded(known: Sequence[Header], broken: dict[Source, ImagedataError]) -> Scan:
    found = Scan([], {}, [], broken)
    for header in known:
        try:
            images = frames_of(header)
        except ImagedataError as error:
            broken[header.source] = error
            continue
        if images:
            found.headers[header.source] = header
            found.frames.extend(images)
        else:
            found.others.append(header)
    return found


def _lost_its_pixels(header: Header, found: Scan) -> bool:
    """Tell whether a file cut off between two elements of its header was an image."""
    if not found.frames or any(
        tag >> 16 == _DIRECTORY for tag in (*header.elements, *header.others)
    ):
        return False
    kind = header.get("SOPClassUID")
    return kind is None or kind in {one.get("SOPClassUID") for one in found.headers.values()}


def _suspects(strangers: set[Source], known: Sequence[Header]) -> Iterator[Source]:
    """
    Yield the files that are no DICOM, though they look as if they had been.

    They are named as DICOM files, or as the DICOM files beside them but hold nothing: what is left
    of a file that was cut off, or never written.
    """
    if not strangers:
        return
    beside = {PurePath(header.source.name).suffix.lower() for header in known}
    for one in strangers:
        path = PurePath(one.name)
        if path.suffix.lower() in _SUFFIXES or (
            path.suffix.lower() in beside and not path.name.startswith(".") and _is_blank(one)
        ):
            yield one


def _is_blank(source: Source) -> bool:
    return source.size <= _PREAMBLE and not source.read().strip(b"\0")


def _damaged(source: Source) -> FormatError:
    return FormatError(f"{source.name}: is named as a DICOM file but is empty or damaged")


def _tell(broken: Sequence[ImagedataError], errors: str) -> None:
    if broken and errors == "raise":
        first = broken[0]
        more = f"; {len(broken) - 1} more like it" if len(broken) > 1 else ""
        raise type(first)(f"{first}{more} (errors='warn' opens the series without)") from first
    if broken:
        listed = "\n  ".join(map(str, broken))
        warnings.warn(
            f"left out {len(broken)} file(s):\n  {listed}", SkippedFileWarning, stacklevel=outside()
        )


def without_duplicates(frames: Sequence[Frame]) -> list[Frame]:
    """
    Leave out copies of an instance: the same SOP Instance UID and the same contents.

    Raises
    ------
    DuplicateFrameError
        The contents differ.
    """
    known = {(frame.uid, frame.ref.number) for frame in frames if frame.uid}
    if len(known) == len(frames):
        return list(frames)
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
        more = ", ..." if len(copies) > _FEW else ""
        warnings.warn(
            f"left out {len(copies)} identical copies of images: {', '.join(copies[:_FEW])}{more}",
            DuplicateWarning,
            stacklevel=outside(),
        )
    return kept


def _same_contents(one: Frame, other: Frame) -> bool:
    there = replace(one.ref, source=other.ref.source, offset=other.ref.offset)
    if there != other.ref or any(
        getattr(one, name) != getattr(other, name)
        for name in ("position", "orientation", "shape", "spacing")
    ):
        return False
    sources = "+".join(key.source for name in names() for key in readings(name)).split("+")
    if any(one.values.get(source) != other.values.get(source) for source in sources):
        return False
    return _contents(one.ref) == _contents(other.ref)


def _contents(ref: PixelRef) -> bytes:
    return ref.source.read(ref.offset or 0, ref.length) if ref.length else ref.source.read()
