"""The files of a series: copies of their sources where nothing changed, else derived images."""

from __future__ import annotations

import shutil
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from imagedata_xr import schema
from imagedata_xr.errors import DataWarning, FormatError, HeaderError, WriteError
from imagedata_xr.formats.dicom.write.acquisition import acquisition_of, start_of
from imagedata_xr.formats.dicom.write.behind import files_behind
from imagedata_xr.formats.dicom.write.classes import (
    PET,
    SECONDARY_CAPTURE,
    ULTRASOUND,
    complete,
)
from imagedata_xr.formats.dicom.write.consistent import SeriesFacts
from imagedata_xr.formats.dicom.write.copies import copy_of
from imagedata_xr.formats.dicom.write.derived import drop_references
from imagedata_xr.formats.dicom.write.functional import put_references
from imagedata_xr.formats.dicom.write.headers import Headers, describe
from imagedata_xr.formats.dicom.write.instances import (
    put_geometry,
    put_grid_format,
    put_pixels,
    save,
)
from imagedata_xr.formats.dicom.write.keywords import needs_unicode
from imagedata_xr.formats.dicom.write.lineage import lineage_of, own_frames
from imagedata_xr.formats.dicom.write.patch import Patcher, UnusualError, write_file
from imagedata_xr.formats.dicom.write.patient import require_one_patient
from imagedata_xr.formats.dicom.write.source_headers import Cuts, source_frames
from imagedata_xr.formats.dicom.write.stored import FEW, encoding_of, planes_of, stored_frames
from imagedata_xr.formats.dicom.write.target import file_name
from imagedata_xr.formats.dicom.write.template import apply_template
from imagedata_xr.formats.dicom.write.uids import new_uid
from imagedata_xr.progress import track

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import DTypeLike, NDArray
    from pydicom import DataElement, Dataset

    from imagedata_xr.formats.dicom.headerstore import HeaderStore
    from imagedata_xr.formats.dicom.write.acquisition import Acquisition
    from imagedata_xr.formats.dicom.write.copies import Copy
    from imagedata_xr.formats.dicom.write.layout import Layout
    from imagedata_xr.formats.dicom.write.lineage import Lineage
    from imagedata_xr.formats.dicom.write.source_headers import SourceFrames
    from imagedata_xr.formats.dicom.write.values import Encoding
    from imagedata_xr.frames import Frame, PixelRef

__all__ = ["Wish", "write_series"]

# Files in a row that only pydicom can write: then so are the others.
_PATIENCE = 8


class _ChangedError(Exception):
    """A frame is no copy of its source; the message says why."""


@dataclass(slots=True, eq=False)
class Wish:
    """
    What the caller wants.

    Attributes
    ----------
    extra : list of DataElement
        Attributes for all files.
    template : Dataset or None
    keep_uid : bool
    pixel : dtype-like or None
    progress : bool or None
    syntax : str or None
        UID of the transfer syntax; None for that of the source, native.
    scale : {"series", "frame"}
        What has one slope and intercept.
    padding : bool
        Values that are NaN or infinite become a padding value.
    sources : sequence of HeaderStore or None
        What a computed image was made from, where the caller says so.
    """

    extra: list[DataElement]
    template: Dataset | None
    keep_uid: bool
    pixel: DTypeLike | None
    progress: bool | None
    syntax: str | None = None
    scale: str = "series"
    padding: bool = False
    sources: Sequence[HeaderStore] | None = None


@dataclass(slots=True, eq=False)
class _Series:
    """The series that is written, and what its files have in common."""

    layout: Layout
    wish: Wish
    folder: Path
    sources: SourceFrames | None
    lineage: Lineage
    own: NDArray[Any]
    acquisition: Acquisition
    is_alone: bool = True
    uid: str = field(default_factory=new_uid)
    studies: set[tuple[str, str]] = field(default_factory=set)
    facts: SeriesFacts | None = None
    patcher: Patcher = field(default_factory=Patcher)
    unusual: int = 0
    write: Callable[[Path, Sequence[Any]], None] = write_file

    @property
    def count(self) -> int:
        return self.own.size

    def number(self, index: tuple[int, ...]) -> int:
        return int(np.ravel_multi_index(index, self.own.shape)) + 1 if index else 1

    def finish(self, dataset: Dataset, index: tuple[int, ...], sources: list[Frame]) -> None:
        """Put identity, sources and the caller's attributes into an instance, and write it."""
        number = self.number(index)
        self._check_references(dataset)
        if self.wish.template is not None:
            apply_template(dataset, self.wish.template, placed=self.layout.grid is not None)
        if needs_unicode(self.wish.extra):
            dataset.decode()
            dataset.SpecificCharacterSet = "ISO_IR 192"
        if not self.wish.keep_uid:
            dataset.SOPInstanceUID = new_uid()
            dataset.SeriesInstanceUID = self.uid
            dataset.InstanceNumber = number
        for element in self.wish.extra:
            if element.value is None:
                dataset.pop(element.tag, None)
            else:
                dataset.add(element)
        self.check_study(dataset)
        if self.facts is not None:
            self.facts.apply(dataset)
        if sources and "SourceImageSequence" in dataset:
            put_references(dataset, sources)
        path = self.folder / file_name(number, self.count)
        save(dataset, path, syntax=self.wish.syntax, write=self.write)

    def _check_references(self, dataset: Dataset) -> None:
        """Leave out references to the source's images, where another patient gets the result."""
        wish, patient = self.wish, dataset.get("PatientID")
        wanted = patient if wish.template is None else wish.template.get("PatientID")
        given = [element.value for element in wish.extra if element.keyword == "PatientID"]
        if not patient and self.lineage.named:
            return
        if (given[-1] if given else wanted) != patient:
            drop_references(dataset)

    def in_either_way(self, write: Callable[[], None]) -> None:
        """Write a file from bytes or, where these do not allow it, with pydicom."""
        wish, patcher = self.wish, self.patcher
        if wish.syntax is None and self.facts is None and self.unusual < _PATIENCE:
            patcher.active = True
            try:
                write()
            except UnusualError:
                self.unusual += 1
            else:
                self.unusual = 0
                return
            finally:
                patcher.active = False
        write()

    def check_study(self, dataset: Dataset) -> None:
        """Check that all frames are of one patient and study."""
        known = (str(dataset.get("PatientID")), str(dataset.get("StudyInstanceUID")))
        self.studies.add(known)
        if len(self.studies) > 1:
            raise HeaderError(
                "the frames belong to several patients or studies, and a series has one: pass "
                "template= to say whose it is"
            )


def write_series(layout: Layout, wish: Wish, folder: Path) -> None:
    """
    Write the files of a series into an empty folder.

    Parameters
    ----------
    layout : Layout
    wish : Wish
    folder : Path
    """
    if wish.template is None and "PatientID" not in {element.keyword for element in wish.extra}:
        require_one_patient(layout)
    sources = source_frames(layout)
    keys = layout.along(schema.FRAME)
    if sources is not None and not _covers(sources, layout, keys):
        if wish.template is None:
            raise HeaderError(
                "frames of another series were put to those of this one, and their headers are not "
                "known: write each series by itself, open them together, keep the attributes of both "
                "(xr.concat(..., combine_attrs='drop_conflicts')), or pass template="
            )
        sources = None
    lineage = lineage_of(layout, sources, wish.sources)
    own = own_frames(lineage, sources)
    known = all(frame is not None for frame in own.ravel())
    start = start_of(layout.image.attrs)
    alone = known and all(frame.ref.format.frames == 1 for frame in own.ravel())
    acquisition = acquisition_of(layout, own if alone else None, start)
    series = _Series(layout, wish, folder, sources, lineage, own, acquisition, alone)
    if sources is not None:
        sources.patcher = series.patcher
    several = {str(frame.values.get(schema.SERIES)) for frame in own.ravel() if frame is not None}
    if len(several) > 1 and not wish.keep_uid:
        series.facts = SeriesFacts()
    reason = "its frames have no source of their own"
    if known and sources is not None:
        try:
            with _behind(series):
                _write_copies(series)
        except _ChangedError as changed:
            reason = str(changed)
            shutil.rmtree(folder)
            folder.mkdir()
            series.studies.clear()
            series.facts = SeriesFacts() if series.facts is not None else None
        else:
            return
    if wish.keep_uid:
        raise WriteError(f"keep_uid: this is not the image that was opened: {reason}")
    with _behind(series):
        _write_derived(series)


@contextmanager
def _behind(series: _Series) -> Iterator[None]:
    """Let another thread write the files, if they are many."""
    if series.count < FEW:
        yield
        return
    with files_behind() as series.write:
        yield


def _covers(sources: SourceFrames, layout: Layout, keys: NDArray[Any] | None) -> bool:
    """Tell whether the array has frames of no other series than those whose headers are known."""
    if keys is not None and keys.dtype.kind in "iu":
        return all(int(key) in sources.store.places for key in keys.ravel())
    series = layout.image.coords[schema.SERIES]
    if not series.ndim:
        return True
    known = {str(frame.values.get(schema.SERIES)) for frame in sources.all_frames().values()}
    return set(map(str, series.values.ravel())) <= known


def _write_copies(series: _Series) -> None:
    sources = series.sources
    assert sources is not None
    if series.layout.image.dtype.kind == "b":
        raise _ChangedError("masks are computed")
    seen: set[Any] = set()
    cuts = Cuts(series.layout)
    sources.with_pixels = True
    for index, plane in _planes_to_copy(series):
        frame = series.own[index]
        cut = cuts.of(frame, series.layout.slice_of(index))
        values = plane
        if plane is None and (cut is None or not cut.whole):
            values = series.layout.plane_at(index)

        def write(index: Any = index, cut: Any = cut, values: Any = values) -> None:
            copy = copy_of(sources, series.own[index], cut, values)
            if isinstance(copy, str):
                raise _ChangedError(copy)
            if series.wish.keep_uid and (not copy.is_whole or copy.frame.uid in seen):
                raise _ChangedError("parts of frames, or frames twice")
            _write_copy(series, index, copy)

        series.in_either_way(write)
        seen.add(frame.uid)
    sources.with_pixels = False


def _planes_to_copy(series: _Series) -> Any:
    """Yield index and values of each frame; None for those that are their source's for sure."""
    unread = series.layout.unread()
    if unread is None:
        yield from planes_of(series.layout, "writing", progress=series.wish.progress)
        return
    refs, reader = unread
    # The values of the source are those after rescale.
    rescaled = bool(getattr(reader, "rescale", False))
    for index in track(list(np.ndindex(series.own.shape)), "writing", show=series.wish.progress):
        frame: Any = series.own[index]
        ref: PixelRef = frame.ref
        plain = refs[index] == ref and (rescaled or (ref.slope, ref.intercept) == (1, 0))
        yield index, None if plain else series.layout.plane_at(index)


def _write_copy(series: _Series, index: tuple[int, ...], copy: Copy) -> None:
    dataset = copy.header
    own = copy.frame if copy.is_whole or series.is_alone else None
    if not copy.is_whole:
        dataset.InstanceNumber = series.number(index)
        complete(dataset, placed=series.layout.grid is not None)
        copy.mark_part()
    # What private elements said of it, and these are gone now, is put into the standard's.
    series.acquisition.apply(dataset, index, own, turned=not copy.is_whole)
    if not copy.is_whole:
        put_geometry(dataset, series.layout, series.layout.slice_of(index))
    bits = dataset.BitsAllocated
    if not isinstance(bits, int):
        raise FormatError(f"{copy.frame.ref.source.name}: BitsAllocated is {bits!r}, not a number")
    put_pixels(dataset, copy.data, cell=bits)
    series.finish(dataset, index, [] if copy.is_whole else [copy.frame])


def _write_derived(series: _Series) -> None:
    layout, wish = series.layout, series.wish
    lineage = series.lineage
    headers = Headers(layout, series.sources, lineage, wish.extra, wish.template)
    headers.patcher = series.patcher
    if headers.lost:
        warnings.warn(
            f"{headers.lost} frames had a header of their own that cannot be carried over "
            "(several images in one instance, or read elsewhere): theirs are made from the "
            "attributes of the array",
            DataWarning,
            stacklevel=4,
        )
    encoding, missing = encoding_of(
        layout,
        headers.sop_class,
        pixel=wish.pixel,
        padding=wish.padding,
        progress=wish.progress,
    )
    # Of integers, and of numbers that are whole all over the series, none is rounded.
    each = wish.scale == "frame" and encoding.error > 0
    if headers.sop_class in ULTRASOUND and encoding.dtype.itemsize > 1:
        headers.sop_class = SECONDARY_CAPTURE
    if series.acquisition.times is not None and series.acquisition.start is None:
        series.acquisition.start = headers.start
    through_zero = headers.sop_class == PET
    for index, form, stored in stored_frames(
        layout, encoding, each=each, through_zero=through_zero, progress=wish.progress
    ):

        def write(index: Any = index, form: Encoding = form, stored: Any = stored) -> None:
            dataset = headers.make(index, describe(form))
            kept = headers.keeps_place(index)
            own = series.own[index] if headers.is_own(index) and series.is_alone else None
            series.acquisition.apply(dataset, index, own, turned=not kept)
            if not kept:
                put_geometry(dataset, layout, layout.slice_of(index))
            put_grid_format(dataset, stored)
            if not layout.is_rgb:
                headers.put_rescale(dataset, form, always=each)
            data = memoryview(stored.reshape(-1).view(np.uint8))
            put_pixels(dataset, data, cell=stored.dtype.itemsize * 8)
            series.finish(dataset, index, lineage.of(index))

        series.in_either_way(write)
    if missing:
        warnings.warn(
            f"{missing} values are NaN or infinite, and are stored as Pixel Padding Value, "
            "which other programs may show as a number",
            DataWarning,
            stacklevel=4,
        )
