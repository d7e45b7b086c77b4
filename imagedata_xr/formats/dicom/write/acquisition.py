"""
Acquisition coordinates in their standard attributes, where the source header says otherwise.

A frame with a source keeps what its header says of echo time, b value and so on, in the words of
its vendor, as long as the coordinates mean the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from pydicom.datadict import dictionary_VR, tag_for_keyword

from imagedata_xr import schema
from imagedata_xr.formats.dicom.vendors.own import MOMENTS
from imagedata_xr.formats.dicom.write.keywords import ImageSets, elements
from imagedata_xr.formats.dicom.write.numbers import decimal, moment
from imagedata_xr.formats.dicom.write.patch import has_private
from imagedata_xr.formats.dicom.write.slicetimes import has_delay, put_delay
from imagedata_xr.sortkeys import readings
from imagedata_xr.sortkeys.time import date_seconds, time_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from imagedata_xr.formats.dicom.write.layout import Layout
    from imagedata_xr.frames import Frame

__all__ = ["Acquisition", "acquisition_of", "start_of"]

KEYWORD: Final = {
    schema.TE: "EchoTime",
    schema.TI: "InversionTime",
    schema.FA: "FlipAngle",
    schema.TRIGGER_TIME: "TriggerTime",
}
TEXTS: Final = {schema.LABEL: "ASLContext", schema.COIL: "MultiCoilElementName"}
ROUNDING: Final = 1e-4
# Of the smallest step in time: as the index of the time axis takes two moments for one.
TIME_ROUNDING: Final = 0.1
ABSOLUTE: Final = ("AcquisitionDateTime", "AcquisitionDate+AcquisitionTime")


@dataclass(slots=True, eq=False)
class Acquisition:
    """
    Values of the acquisition coordinates for every frame.

    Attributes
    ----------
    columns : mapping of str to ndarray
        Coordinate to its values over the leading dimensions.
    times : ndarray or None
        Seconds from the first frame, where headers do not have them already.
    start : float or None
        Moment of time 0, in seconds from the year 2000.
    count : ndarray or None
        Number of the frame along the dimensions that no attribute describes.
    """

    columns: Mapping[str, NDArray[Any]]
    times: NDArray[np.floating] | None = None
    start: float | None = None
    count: NDArray[np.intp] | None = None
    _ranks: list[float] = field(default_factory=list)

    def apply(
        self, dataset: Any, index: tuple[int, ...], frame: Frame | None, *, turned: bool = False
    ) -> None:
        """
        Put the values of a frame into its header.

        Parameters
        ----------
        dataset : pydicom.Dataset
            Is changed.
        index : tuple of int
            Of the frame.
        frame : Frame or None
            Its own source.
        turned : bool
            The image axes may be others than in the source, to which some vendors' gradient
            directions refer.
        """
        for name, keyword in KEYWORD.items():
            wanted = self._value(name, index)
            if wanted is None or _same(wanted, _read(name, frame)):
                continue
            if name == schema.TRIGGER_TIME and frame is None and not self._is_time(wanted, index):
                continue
            setattr(dataset, keyword, decimal(wanted))
        self._diffusion(dataset, index, frame, turned=turned)
        moved = self._moment(dataset, index)
        self._slice_time(dataset, index, frame, moved=moved)
        if frame is None and self.count is not None:
            dataset.AcquisitionNumber = int(self.count[index]) + 1
        for name, column in self.columns.items():
            keyword = TEXTS.get(name, name)
            wanted_text = frame is None or (name in TEXTS and _lost(dataset, keyword))
            if wanted_text and tag_for_keyword(keyword) and keyword not in ImageSets:
                value = _plain(keyword, column[index].item())
                (element,) = elements({keyword: value.upper() if name == schema.LABEL else value})
                dataset.add(element)

    def _value(self, name: str, index: tuple[int, ...]) -> float | None:
        column = self.columns.get(name)
        value = None if column is None else float(column[index])
        return value if value is not None and np.isfinite(value) else None

    def _is_time(self, trigger: float, index: tuple[int, ...]) -> bool:
        """Whether a reader that takes the trigger time for the time, ms, finds the time."""
        if self.times is None or self.start is not None:
            return True
        return _same(trigger, float(self.times[index]) * 1000)

    def _diffusion(
        self, dataset: Any, index: tuple[int, ...], frame: Frame | None, *, turned: bool
    ) -> None:
        b = self._value(schema.B, index)
        vector = [self._value(name, index) for name in schema.BVEC]
        if b is None and None in vector:
            return
        known = _read(schema.B, frame)
        direction = None if frame is None else frame.values.get("DiffusionGradientOrientation")
        former = direction if isinstance(direction, tuple) else (0.0, 0.0, 0.0)
        same = b is None or _same(b, known)
        known_vector = None not in vector
        moved = known_vector and not _are_close(vector, former)
        lost = b is not None and _lost(dataset, "DiffusionBValue")
        if known_vector and any(vector):
            lost = lost or _lost(dataset, "DiffusionGradientOrientation")
        if same and not moved and not lost and not (turned and known_vector):
            return
        # What the vendor says of the gradient in elements of its own is not true any more.
        dataset.remove_private_tags()
        if b is not None:
            dataset.DiffusionBValue = b
        if known_vector and any(vector):
            dataset.DiffusionGradientOrientation = vector
        elif "DiffusionGradientOrientation" in dataset:
            del dataset.DiffusionGradientOrientation

    def _slice_time(
        self, dataset: Any, index: tuple[int, ...], frame: Frame | None, *, moved: bool
    ) -> None:
        delay = self._value(schema.SLICE_TIME, index)
        if delay is None:
            return
        known = None if frame is None else frame.values.get("SliceTime")
        kept = frame is not None and frame.ref.tile is None and not moved and has_delay(dataset)
        if kept and isinstance(known, float) and _same(delay, known):
            return
        # A tile may have another time of its volume than the instance.
        if frame is not None and frame.ref.tile is not None and not moved:
            for keyword in MOMENTS.values():
                if frame.values.get(keyword):
                    setattr(dataset, keyword, str(frame.values[keyword]))
        put_delay(dataset, delay)

    def _moment(self, dataset: Any, index: tuple[int, ...]) -> bool:
        """Put the time of a frame into its header; tell whether there was one to put."""
        if self.times is None:
            return False
        seconds = float(self.times[index])
        if self.start is not None:
            dataset.AcquisitionDate, dataset.AcquisitionTime = moment(self.start + seconds)
            if "AcquisitionDateTime" in dataset:
                dataset.AcquisitionDateTime = dataset.AcquisitionDate + dataset.AcquisitionTime
            return True
        # Without a date, the offset from the first frame is all that can be said.
        if not self._ranks:
            self._ranks.extend(np.unique(self.times).tolist())
        dataset.TemporalPositionIdentifier = self._ranks.index(seconds) + 1
        dataset.NumberOfTemporalPositions = len(self._ranks)
        dataset.TemporalPositionTimeOffset = seconds
        return True


def _lost(dataset: Any, keyword: str) -> bool:
    """Tell whether a header does not say what private elements, which were removed, had said."""
    return keyword not in dataset and not has_private(dataset)


def acquisition_of(
    layout: Layout, frames: NDArray[Any] | None, start: float | None = None
) -> Acquisition:
    """
    Return what the coordinates of an array say of the acquisition.

    Parameters
    ----------
    layout : Layout
    frames : ndarray of Frame, or None
        The source of every frame, where each has one.
    start : float, optional
        Moment of time 0 for frames without sources, seconds from the year 2000.
    """
    named = (*KEYWORD, *TEXTS, schema.TIME, schema.SLICE_TIME, schema.B, *schema.BVEC)
    columns = {}
    for name in (*named, *(dim for dim in layout.leading if tag_for_keyword(dim))):
        column = layout.along(name)
        if column is not None and column.dtype.kind in "biufU":
            columns[name] = column
    times = columns.get(schema.TIME)
    if times is not None and times.dtype.kind not in "iuf":
        times = None
    if times is not None and frames is not None and _times_are_kept(layout, times, frames):
        times = None
    if times is not None and frames is not None:
        times, start = _delayed(times, frames)
    known = {*KEYWORD, schema.B, schema.TIME, schema.SLICE}
    other = [k for k, n in enumerate(layout.leading) if n not in known and not tag_for_keyword(n)]
    count = None
    if other:
        places = np.indices(layout.shape)[other]
        count = np.ravel_multi_index(tuple(places), [layout.shape[k] for k in other])
    return Acquisition(columns, times, start, count)


def start_of(attrs: Mapping[Any, Any]) -> float | None:
    """Return the moment of the first frame that the attributes of an image tell."""
    day, clock = attrs.get("AcquisitionDate"), attrs.get("AcquisitionTime")
    if not (isinstance(day, str) and isinstance(clock, str)):
        return None
    start, seconds = date_seconds(day), time_seconds(clock)
    return None if start is None or seconds is None else start + seconds


def _plain(keyword: str, value: Any) -> Any:
    """Return a label of an axis as a value of the attribute after which the axis is called."""
    tag = tag_for_keyword(keyword)
    vr = "" if tag is None else dictionary_VR(tag)
    if vr == "DS":
        return decimal(value)
    if vr == "CS":
        return str(value).upper()
    return round(value) if vr in ("IS", "US", "SS", "UL", "SL") else value


def _read(name: str, frame: Frame | None) -> float | None:
    if frame is None:
        return None
    if name == schema.TRIGGER_TIME:
        value = frame.values.get("TriggerTime")
    else:
        value = readings(name)[0].value(frame.values)
    return float(value) if isinstance(value, int | float) else None


def _same(one: float, other: float | None) -> bool:
    return other is not None and abs(one - other) <= ROUNDING * max(1.0, abs(one))


def _are_close(vector: Sequence[float | None], other: Sequence[Any]) -> bool:
    """Tell whether two directions are the same, as far as texts of them are."""
    pairs = zip(vector, other, strict=False)
    return len(other) == len(vector) and all(
        one is not None and abs(one - float(two)) <= ROUNDING for one, two in pairs
    )


def _moments(frames: NDArray[Any], source: str) -> NDArray[np.floating]:
    key = next(key for key in readings(schema.TIME) if key.source == source)
    found = [key.value(frame.values) for frame in frames.ravel()]
    numbers = [float(v) if isinstance(v, int | float) else np.nan for v in found]
    return np.array(numbers).reshape(frames.shape)


def _times_are_kept(layout: Layout, times: NDArray[np.floating], frames: NDArray[Any]) -> bool:
    """Tell whether some attribute of the headers orders the frames as their times do."""
    coord = layout.image.coords[schema.TIME]
    axes = tuple(layout.leading.index(str(dim)) for dim in coord.dims)
    gaps = np.diff(np.unique(times))
    if not axes or not gaps.size:
        return True
    allowed = max(TIME_ROUNDING * float(gaps.min()), 1e-3)
    told = coord.encoding.get("source")
    keys = [key for key in readings(schema.TIME) if key.source == told]
    for key in keys or [key for key in readings(schema.TIME) if not key.counts]:
        measured = _moments(frames, key.source)
        if key.counts:
            # The step was put in by the reader; the order is what the header holds.
            steps = [np.sign(np.diff(one, axis=axes[0])) for one in (measured, times)]
            if np.array_equal(steps[0], steps[1]):
                return True
        elif bool((np.ptp(measured - times, axis=axes) <= allowed).all()):
            return True
    return False


def _delayed(
    times: NDArray[np.floating], frames: NDArray[Any]
) -> tuple[NDArray[np.floating], float | None]:
    """Return the times with the delays of slices that headers tell, and the moment of time 0."""
    for source in ABSOLUTE:
        measured = _moments(frames, source)
        if not np.isfinite(measured).all():
            continue
        delayed = np.array(times, dtype=np.float64)
        for time in np.unique(times):
            same = times == time
            delayed[same] += measured[same] - measured[same].min()
        return delayed, float(measured[times == times.min()].min() - times.min())
    return times, None
