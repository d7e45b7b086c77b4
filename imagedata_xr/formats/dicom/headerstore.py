"""Where the full headers of an array's frames can be read again."""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from imagedata_xr import schema
from imagedata_xr.errors import HeaderError
from imagedata_xr.formats.dicom.whose import PATIENTS, SPACES, Whose

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Self

    from numpy.typing import NDArray

    from imagedata_xr.frames import Frame, Source

__all__ = [
    "HeaderStore",
    "JoinedStore",
    "SourceKey",
    "is_source_key",
    "joined",
    "source_attrs",
    "stores_in",
]


@dataclass(frozen=True, repr=False, eq=False)
class HeaderStore:
    """
    Source of every frame by its provenance key.

    Attributes
    ----------
    places : mapping of int to tuple
        Key of a frame to the source of its instance and the frame's number therein.
    labels : mapping of str to ndarray
        Acquisition dimension to its value for every frame, in the order of `places`.
    whose : Whose
        The patient and the space of the frames.
    met : set of str
        What was said when the array was combined with others: of another patient, or space.
    """

    places: Mapping[int, tuple[Source, int]]
    labels: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    whose: Whose = field(default_factory=Whose)
    met: set[str] = field(default_factory=set, compare=False)

    def __len__(self) -> int:
        return len(self.places)

    def __repr__(self) -> str:
        return f"<HeaderStore of {len(self)} frames>"

    def place(self, frame: int) -> tuple[Source, int]:
        """
        Return the source of a frame's instance, and the frame's number therein.

        Raises
        ------
        HeaderError
            The store does not know the frame.
        """
        try:
            return self.places[frame]
        except KeyError:
            raise HeaderError(
                f"frame {frame} is none of the {len(self)} frames whose headers are known"
            ) from None

    def dataset(self, frame: int) -> Any:
        """
        Return the full header of a frame's instance as a pydicom Dataset, without the pixels.

        Raises
        ------
        HeaderError
            The store does not know the frame, or its file is gone.
        """
        import pydicom

        source, _ = self.place(frame)
        try:
            with source.open() as file, warnings.catch_warnings():
                # What is doubtful was said when the array was opened.
                warnings.simplefilter("ignore")
                return pydicom.dcmread(file, stop_before_pixels=True, force=True)
        except Exception as error:  # pydicom raises whatever comes of damaged bytes
            raise HeaderError(
                f"the header of {source.name} cannot be read again: {error}"
            ) from error

    def clean(self, frame: Frame) -> Frame:
        """Return a frame as those who ask the store may know it: here, as it is."""
        return frame

    def remarks(self, other: object) -> list[str]:
        """Say what is wrong with combining images of two stores, and remember it."""
        if not isinstance(other, HeaderStore):
            return []
        found = [PATIENTS] if self.whose.is_stranger(other.whose) else []
        found += [SPACES] if not found and self.whose.is_elsewhere(other.whose) else []
        self.met.update(found)
        other.met.update(found)
        return found


@dataclass(frozen=True, repr=False, eq=False, kw_only=True)
class JoinedStore(HeaderStore):
    """
    The frames of several stores, or some of one; each is looked up in its own.

    Attributes
    ----------
    parts : tuple of HeaderStore
    """

    parts: tuple[HeaderStore, ...]

    @cached_property
    def _sources(self) -> dict[Source, HeaderStore]:
        return {source: part for part in self.parts for source, _ in part.places.values()}

    def dataset(self, frame: int) -> Any:
        """Return the full header of a frame's instance; see `HeaderStore`."""
        self.place(frame)
        return next(part for part in self.parts if frame in part.places).dataset(frame)

    def clean(self, frame: Frame) -> Frame:
        """Return a frame as the store that it is in lets it be known."""
        return self._sources[frame.ref.source].clean(frame)


def joined(stores: Iterable[HeaderStore]) -> HeaderStore | None:
    """Return one store of the frames of several; None of none."""
    parts = tuple({id(store): store for store in stores}.values())
    if len(parts) < 2:
        return parts[0] if parts else None
    # The first store that knows a frame has the word.
    places = {k: v for part in reversed(parts) for k, v in part.places.items()}
    return JoinedStore(parts=parts, places=places)


class SourceKey(str):
    """
    Name of the attribute that holds the UID of a series an array was made from, with its headers.

    Arithmetic unites the attributes of two arrays, if each series has a name of its own, whereas it
    drops coordinates that differ. The headers are with the name because files take no values but
    plain ones. In all else the name is text; after a netCDF or Zarr file, that is all it is.

    Parameters
    ----------
    name : str
    store : HeaderStore
    """

    __slots__ = ("store",)
    store: HeaderStore

    def __new__(cls, name: str, store: HeaderStore) -> Self:
        """Make the text, and keep the store with it."""
        made = super().__new__(cls, name)
        made.store = store
        return made

    def __getnewargs__(self) -> tuple[str, HeaderStore]:  # type: ignore[override]
        """Return what a copy in another process is made of."""
        return str(self), self.store

    def __deepcopy__(self, memo: Any) -> Self:
        """Return the same: neither text nor store ever change."""
        del memo
        return self


def source_attrs(uids: Iterable[str], store: HeaderStore | None) -> dict[str, str]:
    """
    Return the attributes that say from which series an array was made.

    Parameters
    ----------
    uids : iterable of str
        Series Instance UIDs.
    store : HeaderStore or None
        Their headers, where somebody knows them.
    """
    found = {}
    for uid in filter(None, uids):
        name = schema.SOURCE_SERIES + hashlib.blake2b(uid.encode(), digest_size=4).hexdigest()
        found[name if store is None else SourceKey(name, store)] = uid
    return found


def is_source_key(name: object) -> bool:
    """Tell whether an attribute of an array names a series that it was made from."""
    return isinstance(name, str) and name.startswith(schema.SOURCE_SERIES)


def stores_in(attrs: Mapping[Any, Any]) -> list[HeaderStore]:
    """Return the headers of all series that the attributes of an array name, each once."""
    found = [name.store for name in attrs if isinstance(name, SourceKey)]
    return list({id(store): store for store in found}.values())
