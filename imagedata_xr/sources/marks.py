"""Marks of files: equal marks mean the same contents, without reading them."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from imagedata_xr.sources.files import LocalFile, MemoryBytes, RemoteFile, through_fsspec
from imagedata_xr.sources.tarred import TarMember, Unpacked
from imagedata_xr.sources.zipped import ZipMember

if TYPE_CHECKING:
    from imagedata_xr.frames import Source

__all__ = ["mark", "marks"]


def mark(source: Source) -> str:
    """
    Return what changes when the contents of a file do.

    Parameters
    ----------
    source : Source

    Returns
    -------
    str
        Size and time of change (ns) of a file on disk; for a member of an archive those of the
        archive, and its own checksum; behind a URL what its file system says (fsspec's ``ukey``);
        of bytes in memory, a hash. Empty where nobody knows: then the file counts as changed.
    """
    if isinstance(source, LocalFile):
        try:
            status = os.stat(source.path)  # noqa: PTH116 - a Path costs more than the call
        except OSError:
            # Whoever reads it says what is wrong.
            return ""
        return f"{status.st_size}:{status.st_mtime_ns}"
    if isinstance(source, ZipMember | TarMember):
        return _member(source, mark(source.archive))
    if isinstance(source, RemoteFile | Unpacked):
        return _remote(source) if isinstance(source, RemoteFile) else mark(source.archive)
    if isinstance(source, MemoryBytes):
        return hashlib.blake2b(source.data, digest_size=16).hexdigest()
    return ""


def marks(sources: list[Source]) -> dict[str, str]:
    """Return the mark of every source by its name; each archive is asked once."""
    archives: dict[Source, str] = {}
    found = {}
    for one in sources:
        if isinstance(one, ZipMember | TarMember):
            if one.archive not in archives:
                archives[one.archive] = mark(one.archive)
            found[one.name] = _member(one, archives[one.archive])
        else:
            found[one.name] = mark(one)
    return found


def _member(source: ZipMember | TarMember, archive: str) -> str:
    if not archive:
        return ""
    own = f"{source.crc:08x}" if isinstance(source, ZipMember) else source.offset
    return f"{archive}:{own}:{source.size}"


def _remote(source: RemoteFile) -> str:
    if source.by_http:
        # fsspec's key of a web page is that of its address, whatever it holds now.
        return ""
    try:
        system, path = through_fsspec(source.url, dict(source.options))
        return str(system.ukey(path))
    except Exception:  # noqa: BLE001 - file systems raise anything; the reader says what is wrong
        return ""
