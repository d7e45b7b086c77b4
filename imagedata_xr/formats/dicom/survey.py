"""What is in a source: its series, what varies in each, how it would be sorted, what is odd."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from imagedata_xr import schema
from imagedata_xr.errors import GeometryError, ImagedataError, ImagedataWarning, SortError
from imagedata_xr.formats.dicom.scan import scan, without_duplicates
from imagedata_xr.sorting import by_series, describe_series, one_patient, sort_stack, split
from imagedata_xr.sorting.plan import Candidates
from imagedata_xr.sorting.problems import varying
from imagedata_xr.sortkeys import resolve

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from imagedata_xr.frames import Frame
    from imagedata_xr.sorting import Cube, Stack
    from imagedata_xr.sortkeys import SortSpec

__all__ = ["SeriesSurvey", "StackSurvey", "Survey", "survey"]

# Attributes that every image has by the standard (PS3.3 C.7, C.12.1), and what hangs on them.
_NEEDED: Final = {
    "SOPInstanceUID": "copies of an image cannot be told from images",
    "SeriesInstanceUID": "images of several series cannot be told apart",
    "StudyInstanceUID": "a PACS cannot file the images",
    "PatientID": "nobody knows whose images these are",
    "Modality": "nobody knows what the values are",
}
_PLACED: Final = {"FrameOfReferenceUID": "positions cannot be compared with those of other series"}
_SHOWN: Final = 6


@dataclass(frozen=True, slots=True)
class StackSurvey:
    """
    One stack of a series: parallel images of one size.

    Attributes
    ----------
    frames, rows, columns : int
    slices : int or None
        None where the images have no position in the patient.
    spacing : tuple of float or None
        Of slices, rows and columns, mm; that of slices is 0 where it is not even.
    dims : dict
        Dimensions as they would be sorted: size, source, first and last label. Empty where the
        frames make no complete grid.
    varies : dict of str to list
        Attributes that differ between the frames of one slice, with their values.
    problems : tuple of str
    suggestions : tuple of dict
        Arguments that open it, or a part of it.
    """

    frames: int
    rows: int
    columns: int
    slices: int | None
    spacing: tuple[float, ...] | None
    dims: dict[str, dict[str, Any]]
    varies: dict[str, list[Any]]
    problems: tuple[str, ...]
    suggestions: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class SeriesSurvey:
    """
    One series. It holds nothing that identifies the patient.

    Attributes
    ----------
    series : dict
        Number, modality, description and UID, and the count of frames.
    files : int
    stacks : tuple of StackSurvey
    problems : tuple of str
        Of the series as a whole.
    """

    series: dict[str, Any]
    files: int
    stacks: tuple[StackSurvey, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Survey:
    """
    All that is in a source.

    Attributes
    ----------
    patients, studies : int
        How many.
    series : tuple of SeriesSurvey
    others : tuple of str
        Objects without images: modality and file.
    problems : tuple of str
        Files that cannot be read.
    """

    patients: int
    studies: int
    series: tuple[SeriesSurvey, ...]
    others: tuple[str, ...] = ()
    problems: tuple[str, ...] = field(default=())

    def all_problems(self) -> list[str]:
        """Return every problem, each with the series it belongs to."""
        found = list(self.problems)
        for one in self.series:
            name = f"series {one.series.get('SeriesNumber', '-')}"
            found += [f"{name}: {text}" for text in one.problems]
            for number, stack in enumerate(one.stacks):
                where = f"{name}, stack {number}" if len(one.stacks) > 1 else name
                found += [f"{where}: {text}" for text in stack.problems]
        return found


def survey(source: Any, *, sort: SortSpec | None = None, progress: bool | None = None) -> Survey:
    """
    Look at all DICOM files of a source.

    Parameters
    ----------
    source : path, URL, list, file object or bytes
        As `imagedata_xr.sources.find_sources` takes it.
    sort : str, SortKey, sequence or mapping, optional
        How to sort, for every series; by default what varies.
    progress : bool, optional
        Progress bar.

    Returns
    -------
    Survey

    Raises
    ------
    ImagedataError
        There is no image, or the source cannot be listed.
    """
    with _heard() as broken:
        found = scan(source, errors="warn", progress=progress)
    keys = resolve(sort) if sort is not None else ()
    series = tuple(_series(frames, keys) for frames in by_series(found.frames))
    return Survey(
        patients=len({frame.values.get("PatientID") for frame in found.frames}),
        studies=len({frame.values.get("StudyInstanceUID") for frame in found.frames}),
        series=series,
        others=tuple(f"{one.get('Modality')}: {one.source.name}" for one in found.others),
        problems=tuple(line.strip() for text in broken for line in text.splitlines()[1:]),
    )


@contextmanager
def _heard() -> Iterator[list[str]]:
    """Collect what would be warned of."""
    texts: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ImagedataWarning)
        yield texts
    texts += [str(one.message) for one in caught if issubclass(one.category, ImagedataWarning)]


def _series(frames: Sequence[Frame], keys: Any) -> SeriesSurvey:
    problems = list(_lacking(frames))
    stacks: tuple[StackSurvey, ...] = ()
    with _heard() as warned:
        try:
            one_patient(frames)
            kept = without_duplicates(frames)
            stacks = tuple(_stack(stack, keys) for stack in split(kept))
        except ImagedataError as error:
            problems.append(_first_line(error))
    files = {frame.ref.source for frame in frames}
    return SeriesSurvey(describe_series(frames), len(files), stacks, (*problems, *warned))


def _lacking(frames: Sequence[Frame]) -> Iterator[str]:
    needed = _NEEDED | (_PLACED if any(frame.position is not None for frame in frames) else {})
    for keyword, consequence in needed.items():
        lacking = sum(frame.values.get(keyword) in (None, "") for frame in frames)
        if lacking:
            yield f"{lacking} of {len(frames)} images have no {keyword}: {consequence}"


def _stack(stack: Stack, keys: Any) -> StackSurvey:
    problems: list[str] = []
    suggestions: tuple[dict[str, Any], ...] = ()
    dims: dict[str, dict[str, Any]] = {}
    try:
        cube = sort_stack(stack, keys)
    except ImagedataError as error:
        problems.append(_first_line(error))
        suggestions = error.suggestions if isinstance(error, SortError) else ()
    else:
        dims = _dims(cube)
    spacing = None
    if stack.grid is not None:
        try:
            spacing = tuple(abs(axis.step) for axis in stack.grid.axes)
        except GeometryError as error:
            problems.append(f"slices are unevenly spaced, one may be missing ({error})")
            spacing = (0.0, abs(stack.grid.row.step), abs(stack.grid.column.step))
    first = stack.frames[0]
    candidates = Candidates(stack.frames, stack.slots, placed=stack.grid is not None)
    return StackSurvey(
        frames=len(stack.frames),
        rows=first.shape[0],
        columns=first.shape[1],
        slices=None if stack.grid is None else int(stack.slots.max()) + 1,
        spacing=spacing,
        dims=dims,
        varies={name: list(values) for name, values in varying(candidates).items()},
        problems=tuple(problems),
        suggestions=suggestions,
    )


def _dims(cube: Cube) -> dict[str, dict[str, Any]]:
    found = {}
    for dim in cube.dims:
        labels = dim.labels.tolist()
        found[dim.name] = {
            "size": len(labels),
            "source": dim.source,
            "units": dim.units,
            "first": labels[0],
            "last": labels[-1],
        }
    if cube.grid is not None:
        found[schema.SLICE] = {"size": cube.frames.shape[-1], "source": "ImagePositionPatient"}
    return found


def _first_line(error: ImagedataError) -> str:
    text: str = error.args[0] if error.args and isinstance(error.args[0], str) else str(error)
    lines = text.splitlines()
    return "; ".join(line.strip() for line in lines[:_SHOWN])
