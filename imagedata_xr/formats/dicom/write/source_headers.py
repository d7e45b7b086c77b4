"""The frames that an array was read from: their headers, their pixels, and where they lie."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from imagedata_xr import schema
from imagedata_xr.errors import HeaderError, ImagedataError
from imagedata_xr.formats.dicom.headers import read_header, read_headers
from imagedata_xr.formats.dicom.headerstore import (
    HeaderStore,
    JoinedStore,
    SourceKey,
    is_source_key,
    joined,
)
from imagedata_xr.formats.dicom.instance import frames_of
from imagedata_xr.formats.dicom.pixels import reader_for
from imagedata_xr.formats.dicom.write.compress import NATIVE
from imagedata_xr.formats.dicom.write.multiframe import is_single, single_header
from imagedata_xr.formats.dicom.write.patch import PatchedHeader, Patcher
from imagedata_xr.geometry import POSITION_TOLERANCE
from imagedata_xr.index import AxisIndex
from imagedata_xr.sources.files import MemoryBytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from imagedata_xr.formats.dicom.write.layout import Layout
    from imagedata_xr.formats.dicom.write.outline import Outline
    from imagedata_xr.frames import Frame, PixelRef, Source
    from imagedata_xr.geometry import Grid

__all__ = ["Cut", "Cuts", "SourceFrames", "cut_of", "source_frames"]


_META: Final = b"DICM\x02\x00\x00\x00UL\x04\x00"
_META_LENGTH: Final = slice(140, 144)
_PIXELS: Final = b"\xe0\x7f\x10\x00"


@dataclass(frozen=True, slots=True)
class Cut:
    """
    The rows and columns of a source frame that a frame of the array consists of.

    Attributes
    ----------
    rows, columns : ndarray of int
    whole : bool
        They are all of them, in their order.
    """

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    whole: bool


@dataclass(slots=True, eq=False)
class SourceFrames:
    """
    Frames by their provenance keys, read again when asked for.

    Attributes
    ----------
    store : HeaderStore
    patcher : Patcher
        Where it is active, headers are such as copy their bytes, as far as they can be.
    with_pixels : bool
        They have those of the pixels, too.
    """

    store: HeaderStore
    patcher: Patcher = field(default_factory=Patcher)
    _read: dict[Source, dict[int, Frame]] = field(default_factory=dict)
    _last: tuple[Source | None, Any] = (None, None)
    with_pixels: bool = False
    _kept: tuple[Source | None, bytes] = (None, b"")

    def frame(self, key: int) -> Frame | None:
        """Return a frame; None where nobody knows it any more, or its file cannot be read."""
        if key not in self.store.places:
            return None
        source, number = self.store.places[key]
        known = self._read.get(source)
        if known is None:
            try:
                header = read_header(source)
                found = [] if header is None else frames_of(header)
            except ImagedataError as error:
                raise HeaderError(
                    f"the source {source.name} cannot be read again: {error}"
                ) from error
            known = self._read[source] = {one.ref.number: self.store.clean(one) for one in found}
        frame = known.get(number)
        if frame is not None and frame.hash != key:
            raise HeaderError(
                f"the source {source.name} holds another image than when it was opened: open it "
                "again"
            )
        return frame

    def prefetch(self, keys: Iterable[int]) -> None:
        """Read the headers of frames that will be asked for, faster than one by one."""
        places = self.store.places
        wanted = {places[key][0]: None for key in keys if key in places}
        missing = [source for source in wanted if source not in self._read]
        # Those that cannot be read are read again, and raise, when they are asked for.
        for header in read_headers(missing, progress=False, on_error=lambda *_: None):
            with contextlib.suppress(ImagedataError):
                found = frames_of(header)
                self._read[header.source] = {f.ref.number: self.store.clean(f) for f in found}

    def dataset(self, key: int) -> Any:
        """
        Return a header for a frame, without pixels, for one's own use.

        It is that of its instance, if this holds one image; else what it says of the frame.
        """
        source, number = self.store.place(key)
        patched = self._patched(key) if self.patcher.active else None
        if patched is not None:
            return patched
        if self._last[0] == source:
            return single_header(self._last[1], number)
        dataset = self.store.dataset(key)
        if is_single(dataset):
            return dataset
        # Long, and read once for all its frames.
        self._last = (source, dataset)
        return single_header(dataset, number)

    def _patched(self, key: int) -> PatchedHeader | None:
        """Return the header of an instance as its bytes, None where these cannot be patched."""
        store: Any = self.store
        if isinstance(store, JoinedStore):
            store = next(part for part in store.parts if key in part.places)
        frame = self.frame(key)
        # Other stores change headers, as those without identity do: files are not what they give.
        if type(store) is not HeaderStore or frame is None or frame.ref.offset is None:
            return None
        ref = frame.ref
        source, end = ref.source, ref.offset
        assert end is not None
        if self._kept[0] != source or len(self._kept[1]) < end:
            # With the pixels where they may be copied: one image, as it is.
            is_native = ref.format.syntax in NATIVE
            length = ref.length if is_native and ref.tile is None and self.with_pixels else 0
            self._kept = (source, source.read(0, end + length))
        data = self._kept[1]
        outline = self._outline(data, ref)
        if outline is None:
            return None
        header = PatchedHeader(data, outline, self.patcher)
        return header if is_single(header) and header.get("SOPClassUID") else None

    def _outline(self, data: bytes, ref: PixelRef) -> Outline | None:
        """Return where the elements are, None where the file is not as most files are."""
        explicit = ref.format.syntax != NATIVE[0]
        assert ref.offset is not None
        end = ref.offset - (12 if explicit else 8)
        start = 144 + int.from_bytes(data[_META_LENGTH], "little")
        usual = (
            data[128:140] == _META
            and data[end : end + 4] == _PIXELS
            and (not explicit or data[end + 4 : end + 8] in (b"OW\0\0", b"OB\0\0"))
            and start < end
            and data[start : start + 2] != b"\x02\x00"
        )
        outlines = self.patcher.outlines
        return outlines.of(data, start, end, explicit=explicit) if usual else None

    def stands_alone(self, frame: Frame) -> bool:
        """Tell whether a frame, whose header was asked for last, is all that its instance holds."""
        return frame.ref.tile is None and self._last[0] != frame.ref.source

    def pixels(self, frame: Frame, dtype: np.dtype[Any] | None = None) -> NDArray[Any]:
        """Return the values of a frame in a type; by default, as they are stored."""
        ref, (source, data) = frame.ref, self._kept
        if ref.source == source and ref.length and len(data) >= (ref.offset or 0) + ref.length:
            ref = replace(ref, source=MemoryBytes(source.name, data))
        reader = reader_for([ref], frame.shape, rescale=dtype is not None)
        if dtype is not None and dtype.kind == "f" and reader.dtype.kind in "iuf":
            reader = type(reader)(reader.shape, dtype, rescale=True)
        plane = np.empty(reader.shape, reader.dtype)
        reader.read(ref, plane)
        return plane

    def all_frames(self) -> Mapping[int, Frame]:
        """Return every frame of the source series."""
        self.prefetch(self.store.places)
        found = {key: self.frame(key) for key in self.store.places}
        return {key: frame for key, frame in found.items() if frame is not None}


class Cuts:
    """
    Which pixels of their sources the frames of an array are.

    Parameters
    ----------
    layout : Layout
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._origins = None if layout.grid is None else layout.grid.slice_origins().tolist()
        self._alike: dict[Any, Cut] = {}

    def of(self, frame: Frame, place: int) -> Cut | None:
        """Return which pixels of a frame lie where those of a slice do; see `cut_of`."""
        kind = (frame.orientation, frame.spacing, frame.shape)
        known = self._alike.get(kind)
        if known is not None and self._origins is not None and frame.position is not None:
            assert frame.spacing is not None
            tolerance = 0.1 * min(POSITION_TOLERANCE, 0.1 * min(frame.spacing))
            pairs = zip(self._origins[place], frame.position, strict=True)
            if all(abs(one - other) <= tolerance for one, other in pairs):
                return known
        cut = cut_of(frame, self.layout, place)
        if cut is not None and cut.whole:
            self._alike[kind] = cut
        return cut


def source_frames(layout: Layout) -> SourceFrames | None:
    """
    Return the frames that an array was read from, or None where it does not know them.

    Of arrays that were put end to end, these are the frames of all of them. A result of several
    series has none: their attributes say so where the coordinate of one of them is left.
    """
    image = layout.image
    series = image.coords.get(schema.SERIES)
    store = None if series is None else series.encoding.get(schema.HEADERS)
    if store is None or series is None:
        return None
    own = set(map(str, series.values.ravel()))
    named = {name: uid for name, uid in image.attrs.items() if is_source_key(name)}
    if not own.issuperset(named.values()):
        return None
    if not series.ndim:
        return SourceFrames(store)
    stores = [store, *(name.store for name in named if isinstance(name, SourceKey))]
    for index in image.xindexes.values():
        stores += index.origins if isinstance(index, AxisIndex) else ()
    return SourceFrames(joined(stores) or store)


def cut_of(frame: Frame, layout: Layout, place: int) -> Cut | None:
    """
    Return which pixels of a source frame lie where those of a slice of the array do.

    Parameters
    ----------
    frame : Frame
        Of the source.
    layout : Layout
    place : int
        Number of the slice.

    Returns
    -------
    Cut or None
        None where the array lies elsewhere: by more than 0.01 mm, or a tenth of a pixel if that
        is less, which is what the reader takes for the rounding of positions.
    """
    if layout.grid is None or frame.position is None:
        same = layout.grid is None and frame.position is None and frame.shape == layout.plane
        whole = _cut(np.arange(frame.shape[0]), np.arange(frame.shape[1]), frame.shape)
        return whole if same else None
    if frame.orientation is None or frame.spacing is None:
        return None
    across, down = np.asarray(frame.orientation, dtype=np.float64).reshape(2, 3)
    normal = np.cross(across, down)
    normal /= np.linalg.norm(normal)
    steps = np.column_stack([down * frame.spacing[0], across * frame.spacing[1], normal])
    rows, columns = _edges(layout.grid, place, steps, frame.position)
    tolerance = min(POSITION_TOLERANCE, 0.1 * min(frame.spacing))
    units = np.array([*frame.spacing, 1.0])
    on_rows, on_columns = rows.round(), columns.round()
    on_rows[:, 1:] = on_rows[0, 1], 0.0
    on_columns[:, ::2] = on_rows[0, 0], 0.0
    off = max(np.abs((rows - on_rows) * units).max(), np.abs((columns - on_columns) * units).max())
    if off > tolerance:
        return None
    return _cut(on_rows[:, 0].astype(np.intp), on_columns[:, 1].astype(np.intp), frame.shape)


def _edges(
    grid: Grid, place: int, steps: NDArray[np.floating], corner: tuple[float, ...]
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Return the first column and the first row of a slice as indices of a source frame."""
    first = grid.slice_origins()[place]
    found = []
    for axis in (grid.row, grid.column):
        points = first + np.outer(axis.values - axis.values[0], axis.direction)
        found.append(np.linalg.solve(steps, (points - np.asarray(corner)).T).T)
    return found[0], found[1]


def _cut(rows: NDArray[np.intp], columns: NDArray[np.intp], shape: tuple[int, int]) -> Cut | None:
    if rows.min() < 0 or columns.min() < 0 or rows.max() >= shape[0] or columns.max() >= shape[1]:
        return None
    whole = np.array_equal(rows, np.arange(shape[0])) and np.array_equal(
        columns, np.arange(shape[1])
    )
    return Cut(rows, columns, whole)
