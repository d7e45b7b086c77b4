"""Limits that hold for the whole process, and may be changed for a while."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from imagedata_xr.errors import FormatError, OptionError

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Limits", "limits", "set_options"]


@dataclass(frozen=True, slots=True)
class Limits:
    """
    How much a stranger's file or archive may claim; checked before memory is taken for it.

    Attributes
    ----------
    archive_members : int
        Files in an archive.
    archive_bytes : int
        Bytes of all files of an archive together, unpacked.
    archive_member_bytes : int
        Bytes of one file of an archive, unpacked.
    archive_ratio : int
        Unpacked bytes a packed one. Empty images shrink to a thousandth, as far as deflate can:
        it counts beyond `archive_ratio_free_bytes`.
    archive_ratio_free_bytes : int
        Unpacked bytes up to which any ratio is accepted, also of a data set that is deflated as a
        whole.
    frame_bytes : int
        Bytes of one frame of a compressed image, decoded.
    image_ratio : int
        Decoded bytes a stored one of a compressed image. It counts beyond `image_ratio_free_bytes`.
    image_ratio_free_bytes : int
        Decoded bytes of an image up to which any ratio is accepted.
    """

    archive_members: int = 1_000_000
    archive_bytes: int = 256 << 30
    archive_member_bytes: int = 64 << 30
    archive_ratio: int = 200
    archive_ratio_free_bytes: int = 256 << 20
    frame_bytes: int = 2 << 30
    image_ratio: int = 5000
    image_ratio_free_bytes: int = 1 << 30

    def check_image(self, name: str, *, stored: int, frame: int, frames: int = 1) -> None:
        """
        Raise where few bytes claim to be a very large image.

        Parameters
        ----------
        name : str
            Of the file.
        stored : int
            Bytes of the compressed image.
        frame, frames : int
            Decoded bytes of a frame, and their number.

        Raises
        ------
        FormatError
            It would be more than the limits allow.
        """
        if frame > self.frame_bytes:
            raise FormatError(
                f"{name}: one frame would be {frame} bytes, decoded: if this is right, allow it by "
                f"set_options(frame_bytes={frame})"
            )
        self.check_ratio(f"{name}: {frames} frames of {frame} bytes", stored, frame * frames)

    def check_ratio(self, what: str, stored: int, decoded: int) -> None:
        """
        Raise where few bytes claim to be very many.

        Parameters
        ----------
        what : str
            For the message: file and part of it.
        stored, decoded : int
            Bytes in the file, and in memory.

        Raises
        ------
        FormatError
            It would be more than the limits allow.
        """
        if decoded > self.image_ratio_free_bytes and decoded > self.image_ratio * stored:
            raise FormatError(
                f"{what} are claimed out of {stored}: if this is right, allow it by "
                f"set_options(image_ratio={-(-decoded // max(stored, 1))})"
            )


_now = [Limits()]


def limits() -> Limits:
    """Return the limits that hold now."""
    return _now[-1]


class set_options:  # noqa: N801 - named as xarray's
    """
    Change limits, for good or within a ``with`` block.

    Parameters
    ----------
    **options : int
        Attributes of `Limits`: whole numbers, 0 or more.

    Raises
    ------
    OptionError
        There is no such option, or its value is no positive whole number.

    Examples
    --------
    >>> with imagedata_xr.set_options(archive_members=10):
    ...     image = xr.open_dataarray(folder, engine="dicom")
    """

    def __init__(self, **options: Any) -> None:
        names = [field.name for field in fields(Limits)]
        for name, value in options.items():
            if name not in names:
                raise OptionError(f"{name}: there is no such option; there are {', '.join(names)}")
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise OptionError(f"{name}={value!r}: give a whole number, 0 or more")
        self._before = _now[-1]
        _now[-1] = replace(_now[-1], **options)

    def __enter__(self) -> None:
        """Keep what `__init__` set."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Return to what was before."""
        _now[-1] = self._before
