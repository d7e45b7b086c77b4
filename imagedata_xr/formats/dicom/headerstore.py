"""Where the full headers of an array's frames can be read again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imagedata_xr.errors import HeaderError, SourceError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imagedata_xr.frames import Frame, Source

__all__ = ["HeaderStore"]


@dataclass(frozen=True, slots=True, repr=False)
class HeaderStore:
    """
    Source of every frame by its provenance key.

    Attributes
    ----------
    places : mapping of int to tuple
        Key of a frame to the source of its instance and the frame's number therein.
    """

    places: Mapping[int, tuple[Source, int]]

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
            with source.open() as file:
                return pydicom.dcmread(file, stop_before_pixels=True, force=True)
        except (OSError, SourceError) as error:
            raise HeaderError(
                f"the header of {source.name} cannot be read again: {error}"
            ) from error

    def clean(self, frame: Frame) -> Frame:
        """Return a frame as those who ask the store may know it: here, as it is."""
        return frame
