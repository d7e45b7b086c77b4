"""Archives of any kind: what they hold, and which of it is meant."""

from __future__ import annotations

import fnmatch
from typing import TYPE_CHECKING, TypeAlias

from imagedata_xr.errors import SourceNotFoundError
from imagedata_xr.sources.entries import Refused
from imagedata_xr.sources.tarred import is_tar, packed_tar, tar_members
from imagedata_xr.sources.zipped import is_zip, zip_members

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from imagedata_xr.frames import Source
    from imagedata_xr.sources.tarred import TarMember
    from imagedata_xr.sources.zipped import ZipMember

__all__ = ["ENDINGS", "opened", "selected"]

ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
_FIRST = 512

Entry: TypeAlias = "ZipMember | TarMember | Refused"


def opened(source: Source) -> list[Source]:
    """
    Return the members of an archive, or a source that is none itself.

    Raises
    ------
    SourceError
        It cannot be read, or a member of it cannot.
    """
    entries = _entries(source)
    return [source] if entries is None else _readable(entries)


def selected(archive: Source, inner: str) -> list[Source] | None:
    """
    Return the members that a folder, a name or a pattern inside an archive means.

    Parameters
    ----------
    archive : Source
    inner : str
        Empty for all.

    Returns
    -------
    list of Source or None
        None where the source is no archive.

    Raises
    ------
    SourceNotFoundError
        There is no such member.
    SourceError
        The archive or a member that is meant cannot be read.
    """
    entries = _entries(archive)
    if entries is None:
        return None
    inner = inner.replace("\\", "/").strip("/")
    if not inner:
        return _readable(entries)
    exact = [entry for entry in entries if entry.member == inner]
    if exact:
        return [found for member in _readable(exact) for found in opened(member)]
    below = [entry for entry in entries if entry.member.startswith(inner + "/")]
    if below:
        return _readable(below)
    matching = [entry for entry in entries if fnmatch.fnmatchcase(entry.member, inner)]
    if matching:
        return _readable(matching)
    for entry in entries:
        rest = inner.removeprefix(entry.member)
        if rest != inner and rest.startswith(("/", "::")) and not isinstance(entry, Refused):
            found = selected(entry, rest.removeprefix("::"))
            if found is not None:
                return found
    raise SourceNotFoundError(f"{archive.name}::{inner}: no such member of the archive")


def _entries(source: Source) -> Sequence[Entry] | None:
    """Return what an archive holds, None where the content is that of no archive."""
    start = source.read(0, _FIRST)
    # A DICOM file may begin with anything in its preamble (PS3.10 section 7.1).
    if start[128:132] == b"DICM":
        return None
    if is_zip(start):
        return zip_members(source)
    if is_tar(start):
        return tar_members(source)
    unpacked = packed_tar(source, start)
    return None if unpacked is None else tar_members(unpacked)


def _readable(entries: Iterable[Entry]) -> list[Source]:
    """Return the members; where one cannot be read, its slice must not go unseen."""
    found: list[Source] = []
    for entry in entries:
        if isinstance(entry, Refused):
            raise entry.error()
        found.append(entry)
    return found
