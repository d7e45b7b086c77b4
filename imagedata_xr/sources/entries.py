"""What all archives share: the members' names, and what is refused about them."""

from __future__ import annotations

import io
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from imagedata_xr.errors import SourceError
from imagedata_xr.options import limits

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import BinaryIO

    from imagedata_xr.frames import Source

__all__ = [
    "Member",
    "Refused",
    "check_count",
    "check_ratio",
    "check_total",
    "checked_names",
    "name_problem",
]

_DRIVE = re.compile(r"[A-Za-z]:[/\\]")


class Member(ABC):
    """A member of an archive that can be read, whatever the archive is."""

    __slots__ = ()

    archive: Source
    member: str

    @property
    def name(self) -> str:
        """The archive's name, and the member's after ``::``."""
        return f"{self.archive.name}::{self.member}"

    @abstractmethod
    def read(self, start: int = 0, length: int | None = None) -> bytes:
        """Return `length` bytes from `start` (to the end by default), fewer at the end."""

    def open(self) -> BinaryIO:
        """
        Return a file over the member.

        Raises
        ------
        SourceError
            The archive is gone or damaged here.
        """
        return io.BytesIO(self.read())


@dataclass(frozen=True, slots=True)
class Refused:
    """
    A member that cannot be read; an error only where it is asked for.

    Attributes
    ----------
    archive : Source
    member : str
        Name in the archive.
    reason : str
        What is wrong with it, and what to do.
    """

    archive: Source
    member: str
    reason: str

    def error(self) -> SourceError:
        """Return the error that says so."""
        return SourceError(f"{self.archive.name}::{self.member}: {self.reason}")


class _Member(Protocol):
    @property
    def archive(self) -> Source: ...
    @property
    def member(self) -> str: ...


_Entry = TypeVar("_Entry", bound=_Member)


def name_problem(name: str) -> str | None:
    """Return what is wrong with a member's name, None for nothing."""
    if name.startswith(("/", "\\")) or _DRIVE.match(name):
        return "its name is an absolute path; pack the files anew by relative names"
    if ".." in re.split(r"[/\\]", name):
        return "its name leads out of the archive; pack the files anew by plain names"
    if not name or "\0" in name:
        return "has no valid name; pack the files anew"
    return None


def checked_names(entries: Iterable[_Entry]) -> list[_Entry | Refused]:
    """
    Return the members by name; of several with one name, and of bad names, a `Refused`.

    Parameters
    ----------
    entries : iterable
        With attributes ``archive`` and ``member``.
    """
    found: dict[str, _Entry | Refused] = {}
    for entry in entries:
        name = entry.member
        reason = name_problem(name)
        if name in found:
            reason = "there are several members of this name; pack the files anew by unique names"
        found[name] = Refused(entry.archive, name, reason) if reason else entry
    return [found[name] for name in sorted(found)]


def check_count(archive: Source, count: int) -> None:
    """Raise where there are more members than the limit."""
    most = limits().archive_members
    if count > most:
        raise SourceError(
            f"{archive.name}: {count} members are more than {most} (set_options(archive_members=))"
        )


def check_total(archive: Source, total: int) -> None:
    """Raise where all members together are larger than the limit, in bytes."""
    most = limits().archive_bytes
    if total > most:
        raise SourceError(
            f"{archive.name}: unpacks to more than {most} bytes (set_options(archive_bytes=))"
        )


def check_ratio(name: str, packed: int, unpacked: int) -> None:
    """Raise where few bytes claim to be very many."""
    now = limits()
    if unpacked > now.archive_ratio_free_bytes and unpacked > now.archive_ratio * packed:
        raise SourceError(
            f"{name}: declares {unpacked} bytes out of {packed}: more than {now.archive_ratio} "
            "to 1 (set_options(archive_ratio=))"
        )
