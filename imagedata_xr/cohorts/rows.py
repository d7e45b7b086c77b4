"""One row a series, or a stack of it: what it is, how it opens, what is wrong with it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from imagedata_xr import schema
from imagedata_xr.errors import GeometryError, ImagedataError, ImagedataWarning
from imagedata_xr.formats.dicom.attributes import plain
from imagedata_xr.formats.dicom.reader import stack_dataset
from imagedata_xr.formats.dicom.reasons import reason, without_identity
from imagedata_xr.formats.dicom.scan import without_duplicates
from imagedata_xr.index import grid_of
from imagedata_xr.sorting import by_series, one_patient, split

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import xarray as xr

    from imagedata_xr.formats.dicom.reader import Options
    from imagedata_xr.formats.dicom.scan import Scan
    from imagedata_xr.frames import Frame
    from imagedata_xr.sorting import Stack

__all__ = ["BROKEN", "IMAGE", "OTHER", "STRANGER", "Row", "rows_of"]

IMAGE: Final = "image"
# A DICOM object without images; a file that cannot be read; a file that is no DICOM.
OTHER: Final = "other"
BROKEN: Final = "broken"
STRANGER: Final = "stranger"

_WHO: Final = ("PatientID", "PatientName", "AccessionNumber")
_WHICH: Final = (
    "StudyDate",
    "StudyDescription",
    schema.STUDY,
    schema.SERIES,
    "SeriesNumber",
    "SeriesDescription",
    "Modality",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """
    What is known of one series, or of one stack of it.

    Attributes
    ----------
    kind : str
        ``image``, ``other``, ``broken`` or ``stranger``.
    values : dict
        Header values by keyword.
    dims : tuple of str
        Dimensions of the array; empty where there is none.
    shape : tuple of int
    spacing : tuple of float
        Of slices, rows and columns, mm; nan for slices that are not even.
    dtype : str
    n : int
        Number of frames.
    size : int
        Bytes of the array in memory.
    stack : int or None
        Number of the stack where the series has several.
    problems : tuple of str
    files : dict of str to str
        Name of each file to its mark.
    """

    kind: str
    values: dict[str, Any] = field(default_factory=dict)
    dims: tuple[str, ...] = ()
    shape: tuple[int, ...] = ()
    spacing: tuple[float, ...] = ()
    dtype: str = ""
    n: int = 0
    size: int = 0
    stack: int | None = None
    problems: tuple[str, ...] = ()
    files: dict[str, str] = field(default_factory=dict)


def rows_of(found: Scan, known: dict[str, str], options: Options) -> Iterator[Row]:
    """
    Yield the rows of everything that was found.

    Parameters
    ----------
    found : Scan
    known : dict of str to str
        Marks of all files, by name.
    options : Options
        How series are opened.
    """
    left = dict(known)
    for frames in by_series(found.frames):
        files = {name: left.pop(name, "") for name in dict.fromkeys(_names(frames))}
        yield from _series(frames, files, found, options)
    for header in found.others:
        name = header.source.name
        values = _values(header, phi=options.phi)
        yield Row(
            kind=OTHER,
            values=values,
            problems=("no image",),
            files={name: left.pop(name, "")},
        )
    for source, error in found.broken.items():
        text = str(error) if options.phi else str(error).replace(source.name, "a file")
        yield Row(kind=BROKEN, problems=(text,), files={source.name: left.pop(source.name, "")})
    if left:
        yield Row(kind=STRANGER, files=left)


def _names(frames: Sequence[Frame]) -> Iterator[str]:
    return (frame.ref.source.name for frame in frames)


def _values(header: Any, *, phi: bool) -> dict[str, Any]:
    found = {}
    for keyword in (*(_WHO if phi else ()), *_WHICH):
        try:
            value = plain(header.get(keyword))
        except ImagedataError:
            value = None
        if value is not None:
            found[keyword] = value
    return found


def _series(
    frames: Sequence[Frame], files: dict[str, str], found: Scan, options: Options
) -> Iterator[Row]:
    values = _values(frames[0].values, phi=options.phi)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ImagedataWarning)
        try:
            one_patient(frames)
            kept = without_duplicates(frames)
            stacks = split(kept)
        except ImagedataError as error:
            text = reason(error, frames, phi=options.phi)
            yield Row(kind=IMAGE, values=values, n=len(frames), problems=(text,), files=files)
            return
    said = _texts(caught, frames, options)
    for number, stack in enumerate(stacks):
        several = number if len(stacks) > 1 else None
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", ImagedataWarning)
            facts, problems = _stack(stack, found, options)
        problems = (*said, *problems, *_texts(caught, stack.frames, options))
        yield Row(
            kind=IMAGE,
            values=values,
            n=len(stack.frames),
            stack=several,
            problems=problems,
            files=files,
            **facts,
        )


def _texts(caught: Any, frames: Sequence[Frame], options: Options) -> tuple[str, ...]:
    """Return what was warned of, without the patient."""
    texts = dict.fromkeys(
        str(one.message) for one in caught if issubclass(one.category, ImagedataWarning)
    )
    if not options.phi:
        names = sorted(set(_names(frames)), key=len, reverse=True)
        for name in names:
            texts = {text.replace(name, "a file"): None for text in texts}
    return tuple(without_identity(text, (frame.values for frame in frames)) for text in texts)


def _stack(stack: Stack, found: Scan, options: Options) -> tuple[dict[str, Any], tuple[str, ...]]:
    try:
        image = stack_dataset(stack, found, options)[schema.IMAGE]
    except ImagedataError as error:
        return {}, (reason(error, stack.frames, phi=options.phi),)
    facts = {
        "dims": tuple(map(str, image.dims)),
        "shape": image.shape,
        "spacing": _spacing(image),
        "dtype": str(image.dtype),
        "size": image.nbytes,
    }
    return facts, ()


def _spacing(image: xr.DataArray) -> tuple[float, ...]:
    try:
        axes = grid_of(image).axes
    except GeometryError:
        known = (
            image.coords[name].attrs.get(schema.SPACING)
            for name in image.dims[-3:]
            if name in image.coords
        )
        return tuple(float(one) for one in known if one is not None)
    found = []
    for axis in axes:
        try:
            found.append(abs(float(axis.step)))
        except GeometryError:
            found.append(float("nan"))
    return tuple(found)
