"""From which images each frame of an array was made, as far as the array still knows."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from imagedata_xr import schema
from imagedata_xr.errors import OptionError
from imagedata_xr.formats.dicom.headerstore import JoinedStore, joined, stores_in
from imagedata_xr.formats.dicom.like import template_image
from imagedata_xr.formats.dicom.write.source_headers import SourceFrames, cut_of, source_frames
from imagedata_xr.index import AxisIndex

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import xarray as xr
    from numpy.typing import NDArray

    from imagedata_xr.formats.dicom.headerstore import HeaderStore
    from imagedata_xr.formats.dicom.write.layout import Layout
    from imagedata_xr.frames import Frame

__all__ = ["Lineage", "lineage_of", "named_sources", "own_frames"]

# Of a slice, mm: source frames farther away are not looked at closely.
_NEAR: Final = 0.1
# Images that one frame names as its sources, where it lies at none of their places.
_MOST: Final = 2048


class Keys(enum.Enum):
    """
    What the keys of an array's frames say: nothing, or all of its sources, or some of them.

    These are keys of the coordinate ``frame``.
    """

    NONE = enum.auto()
    ALL = enum.auto()
    SOME = enum.auto()


class Lineage:
    """
    The source images of each frame of an array.

    A frame that has a key of its own (the coordinate ``frame``) was made from that image. What
    came from several has none any more; its sources are, of each series that went into the array,
    the images at its place with its labels. Along a dimension that the array does not have any
    more (a mean over time), these are all: xarray does not keep which of them were taken.

    Parameters
    ----------
    layout : Layout
        Of the result.
    parts : sequence of SourceFrames
        The series that went into it, as they were opened.
    own : ndarray of Frame or None
        The frame that each frame of the array is, where it is one.
    keys : Keys
        What `own` says.
    named : bool
        The caller has named the sources.
    """

    def __init__(
        self,
        layout: Layout,
        parts: Sequence[SourceFrames],
        own: NDArray[Any],
        keys: Keys,
        *,
        named: bool = False,
    ) -> None:
        self.layout = layout
        self.parts = tuple(parts)
        self.own = own
        self.keys = keys
        self.named = named
        self._near: dict[tuple[int, int], list[int]] = {}
        self._taken: dict[tuple[Any, ...], dict[int, None]] = {}
        self._found: dict[tuple[Any, ...], list[Frame]] = {}
        self._labels = [self._labels_of(part.store) for part in self.parts]

    def of(self, index: tuple[int, ...]) -> list[Frame]:
        """Return the sources of a frame."""
        own: Frame | None = self.own[index]
        parts = range(len(self.parts))
        if self.keys is Keys.NONE:
            return [frame for k in parts for frame in self._of_part(k, index)]
        if own is None:
            # An image that nobody knows any more.
            return []
        if self.keys is Keys.ALL:
            return [own]
        # What was read together with the frame's own source gave it nothing but that.
        others = [k for k in parts if own.hash not in self.parts[k].store.places]
        return [own, *(frame for k in others for frame in self._of_part(k, index))]

    def remark(self, index: tuple[int, ...]) -> str:
        """Say how the sources of a frame were found, where they may not be what was used."""
        if self.named or self.keys is Keys.ALL:
            return ""
        matched: set[str] = set()
        for k, part in enumerate(self.parts):
            several = {name for name, all_ in part.store.labels.items() if len(np.unique(all_)) > 1}
            if several - set(self._labels[k]) and len(self._of_part(k, index)) > 1:
                return "; some of the source images may not have been used"
            matched |= several & set(self._labels[k])
        if matched and len(self.parts) > 1:
            return f"; source images are those of the same {', '.join(sorted(matched))}"
        return ""

    def _labels_of(self, store: HeaderStore) -> dict[str, tuple[NDArray[Any], NDArray[Any]]]:
        """Return the labels of the array's frames and of the source's, by dimension."""
        found = {}
        for name, theirs in store.labels.items():
            mine = self.layout.along(name)
            if mine is not None and len(theirs) == len(store):
                found[name] = (mine, theirs)
        return found

    def _of_part(self, k: int, index: tuple[int, ...]) -> list[Frame]:
        place = self.layout.slice_of(index)
        labels = {name: mine[index].item() for name, (mine, _) in self._labels[k].items()}
        key = (k, place, *labels.values())
        if key not in self._found:
            part, wanted = self.parts[k], self._labelled(k, labels)
            keys = [key for key in self._at(k, place) if key in wanted]
            if not keys and not self._at(k, place):
                keys = list(wanted) if len(wanted) <= _MOST else []
            frames = [part.frame(key) for key in keys]
            self._found[key] = [frame for frame in frames if frame is not None]
        return self._found[key]

    def _labelled(self, k: int, labels: dict[str, Any]) -> dict[int, None]:
        """Return the keys of the source frames with these labels, in order."""
        key = (k, *labels.values())
        if key in self._taken:
            return self._taken[key]
        store = self.parts[k].store
        taken = np.ones(len(store), dtype=bool)
        for name, label in labels.items():
            taken &= _is_at(self._labels[k][name][1], label, name)
        found = {one: None for one, wanted in zip(store.places, taken, strict=True) if wanted}
        self._taken[key] = found
        return found

    def _at(self, k: int, place: int) -> list[int]:
        """Return the keys of the source frames that a slice of the array is cut out of."""
        if (k, place) not in self._near:
            self._near[k, place] = [
                key
                for key, frame in self._candidates(self.parts[k], place)
                if cut_of(frame, self.layout, place) is not None
            ]
        return self._near[k, place]

    def _candidates(self, part: SourceFrames, place: int) -> Iterable[tuple[int, Frame]]:
        frames = part.all_frames().items()
        grid = self.layout.grid
        if grid is None:
            return frames
        cosines = np.asarray(grid.image_orientation)
        normal = np.cross(cosines[:3], cosines[3:])
        corner = grid.slice_origins()[place]
        return [
            (key, frame)
            for key, frame in frames
            if frame.position is not None
            and abs(float((np.asarray(frame.position) - corner) @ normal)) < _NEAR
        ]


def lineage_of(
    layout: Layout, sources: SourceFrames | None, named: Sequence[HeaderStore] | None = None
) -> Lineage:
    """
    Return what an array knows of its source images, or what the caller says of them.

    Parameters
    ----------
    layout : Layout
    sources : SourceFrames or None
        Those that give its headers, or patient and study.
    named : sequence of HeaderStore, optional
        The images that it was made from, where the caller names them.
    """
    image, known = layout.image, [] if sources is None else [sources]
    if sources is not None and isinstance(sources.store, JoinedStore):
        known = [SourceFrames(store) for store in sources.store.parts]
    stores = [part.store for part in known]
    known += [SourceFrames(one) for one in stores_in(image.attrs) if one not in stores]
    own = np.full(layout.shape, None, dtype=object)
    keys = layout.along(schema.FRAME)
    keyed = keys is not None and keys.dtype.kind in "iu"
    if keyed and keys is not None:
        for part in known:
            part.prefetch(keys.ravel().tolist())
        for index in np.ndindex(layout.shape):
            key = int(keys[index])
            frames = (part.frame(key) for part in known if key in part.store.places)
            own[index] = next(frames, None)
    if named is not None:
        return Lineage(layout, [SourceFrames(one) for one in named], own, Keys.NONE, named=True)
    # Where its series are not known, other arrays went into this one.
    single = schema.SERIES in image.coords and source_frames(layout) is not None
    if not keyed:
        return Lineage(layout, known, own, Keys.NONE)
    return Lineage(layout, known, own, Keys.ALL if single else Keys.SOME)


def named_sources(sources: Any) -> list[HeaderStore] | None:
    """
    Return the frames of images that the caller names as sources.

    Parameters
    ----------
    sources : DataArray, path, URL, sequence of these, or None
        A part of an array stands for the frames of that part.

    Raises
    ------
    OptionError
        One was not read from DICOM.
    """
    if sources is None:
        return None
    listed = sources if isinstance(sources, list | tuple) else [sources]
    found: list[HeaderStore] = []
    for one in listed:
        image = template_image(one)
        found += _stores_of(image)
    return found


def _stores_of(image: xr.DataArray) -> list[HeaderStore]:
    stores = stores_in(image.attrs)
    series, frames = image.coords.get(schema.SERIES), image.coords.get(schema.FRAME)
    if series is not None and schema.HEADERS in series.encoding:
        stores.insert(0, series.encoding[schema.HEADERS])
    store = joined(stores)
    if store is None:
        raise OptionError("sources: an array does not know its DICOM frames: give one as opened")
    if frames is None or frames.dtype.kind not in "iu":
        return stores
    keys = frames.values.ravel().tolist()
    if not store.places.keys() >= set(keys):
        raise OptionError("sources: an array has frames of several series: give each as opened")
    labels = {
        str(dim): image.coords[dim].broadcast_like(frames).transpose(*frames.dims).values.ravel()
        for dim in frames.dims
        if dim != schema.SLICE and dim in image.coords
    }
    for name, values in store.labels.items():
        # Of a part, as after isel(time=0): one for all frames.
        if name not in labels and name in image.coords and not image.coords[name].ndim:
            labels[name] = np.full(len(keys), image.coords[name].values, dtype=values.dtype)
    unique = dict.fromkeys(keys)
    if len(unique) < len(keys):
        labels = {}
    places = {key: store.places[key] for key in unique}
    return [JoinedStore(parts=(store,), places=places, labels=labels)]


def own_frames(lineage: Lineage, sources: SourceFrames | None) -> NDArray[Any]:
    """Return the source of each frame among those whose headers the array has, None else."""
    return lineage.own if sources is not None else np.full_like(lineage.own, None)


def _is_at(values: NDArray[Any], label: Any, name: str) -> NDArray[np.bool_]:
    """
    Tell which values are a label; where none is, those on both sides of it.

    Numbers are the same as the index of the axis takes them for the same.
    """
    if values.dtype.kind not in "iuf" or not isinstance(label, int | float):
        return np.asarray(values == label)
    known = np.unique(values[np.isfinite(values)])
    if not known.size or not np.isfinite(label):
        return np.zeros(len(values), dtype=bool)
    steps = np.diff(known)
    step = float(steps.min()) if steps.size else 1.0
    near = known[np.abs(known - label).argmin()]
    if abs(near - label) <= AxisIndex.RTOL_OF.get(name, AxisIndex.RTOL) * step:
        return np.asarray(values == near)
    beside = [*known[known < label][-1:], *known[known > label][:1]]
    return np.isin(values, beside)
