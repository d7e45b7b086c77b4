"""Limits that hold for the whole process, and may be changed for a while."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from imagedata_xr.errors import OptionError

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Limits", "limits", "set_options"]


@dataclass(frozen=True, slots=True)
class Limits:
    """
    How much a stranger's archive or answer may claim.

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
        Unpacked bytes up to which any ratio is accepted.
    """

    archive_members: int = 1_000_000
    archive_bytes: int = 256 << 30
    archive_member_bytes: int = 64 << 30
    archive_ratio: int = 200
    archive_ratio_free_bytes: int = 256 << 20


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
    >>> with set_options(archive_members=10):
    ...     limits().archive_members
    10
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
