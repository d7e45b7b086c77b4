"""From what a user passes to the list of sources behind it."""

from __future__ import annotations

import glob
import os
import re
import stat
from typing import TYPE_CHECKING, Any

from imagedata_xr.errors import NoImagesError, OptionError, SourceError, SourceNotFoundError
from imagedata_xr.sources.archives import ENDINGS, opened, selected
from imagedata_xr.sources.files import (
    LocalFile,
    MemoryBytes,
    RemoteFile,
    source_error,
    through_fsspec,
    without_password,
)
from imagedata_xr.sources.tarred import TarMember, Unpacked
from imagedata_xr.sources.zipped import ZipMember

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from imagedata_xr.frames import Source

__all__ = ["find_sources", "neighbour"]

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]+(://|::)")
_LOCAL_URL = re.compile(r"(file|local)://")
_MAGIC = re.compile(r"[*?\[]")
_ARCHIVE_URL = re.compile(r"(zip|tar)://")
_SOURCES = (LocalFile, MemoryBytes, RemoteFile, ZipMember, TarMember, Unpacked)


def find_sources(
    source: object, *, storage_options: Mapping[str, Any] | None = None
) -> list[Source]:
    """
    Return the sources behind whatever a user may pass, in a reproducible order.

    Parameters
    ----------
    source : str, path-like, bytes, binary file object, Source, or a list or tuple of them
        A folder (with all folders below it), a file, a glob pattern, an archive (ZIP; tar, also
        compressed by gzip, bzip2 or xz), a folder, member or pattern inside one
        (``a.zip/folder``, ``a.zip?folder``), or an fsspec URL of any of these. What exists
        literally is never taken for a pattern or a URL. An archive is opened where it is named
        itself, not where a folder holds it.
    storage_options : mapping, optional
        Passed on to fsspec for URLs.

    Returns
    -------
    list of Source
        Sorted by name within each part of a list; none twice.

    Raises
    ------
    SourceNotFoundError
        There is no such file, folder or match.
    SourceError
        It cannot be listed or read.
    NoImagesError
        There is no file in it.
    OptionError
        The argument is none of these things.
    """
    found = list(dict.fromkeys(_find(source, dict(storage_options or {}))))
    if not found:
        raise NoImagesError(f"{_shown(source)}: there is no file in it")
    return found


def _shown(source: object) -> str:
    if isinstance(source, str | os.PathLike):
        return without_password(os.fsdecode(source))
    return f"the {type(source).__name__} given"


def _find(source: object, options: dict[str, Any]) -> list[Source]:
    if isinstance(source, list | tuple):
        return [found for item in source for found in _find(item, options)]
    if isinstance(source, _SOURCES):
        return opened(source)
    if isinstance(source, str | os.PathLike):
        return _named(os.fsdecode(source), options)
    if isinstance(source, bytes | bytearray | memoryview):
        return opened(MemoryBytes("<bytes>", bytes(source)))
    if hasattr(source, "read"):
        return opened(_from_file_object(source))
    raise OptionError(
        f"a {type(source).__name__} is no source of images: give a path, a glob pattern, a URL, "
        "bytes, a binary file object, or a list of these"
    )


def _from_file_object(file: Any) -> MemoryBytes:
    name = getattr(file, "name", None)
    name = name if isinstance(name, str) else "<file object>"
    try:
        position = file.tell()
        file.seek(0)
        data = file.read()
        file.seek(position)
    except (OSError, ValueError, AttributeError) as error:
        raise source_error(name, error) from error
    if not isinstance(data, bytes):
        raise OptionError(f"{name}: is open as text; open it with mode 'rb'")
    return MemoryBytes(name, data)


def _named(name: str, options: dict[str, Any]) -> list[Source]:
    if "\0" in name or not name:
        raise SourceNotFoundError(f"{name!r}: no such file or folder")
    if os.path.lexists(name):
        return _existing(name)
    home = os.path.expanduser(name)  # noqa: PTH111 - a Path would drop what a name may end with
    if home != name:
        return _named(home, options)
    if _LOCAL_URL.match(name) and "::" not in name:
        return _named(_local_path(name), options)
    if _URL.match(name) and not os.path.isfile(name.partition("::")[0]):  # noqa: PTH113
        return _remote(name, options)
    inside = _inside_archive(name)
    if inside is not None:
        return inside
    if _MAGIC.search(name):
        return _globbed(name)
    raise SourceNotFoundError(f"{name}: no such file or folder")


def _local_path(url: str) -> str:
    from fsspec.implementations.local import LocalFileSystem

    return str(LocalFileSystem._strip_protocol(url))  # noqa: SLF001 - fsspec's way to do it


# Local files -----------------------------------------------------------------------------------


def _existing(path: str) -> list[Source]:
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116
    except OSError as error:
        raise source_error(path, error) from error
    if stat.S_ISDIR(mode):
        return [LocalFile(found) for found in _walk(path)]
    if stat.S_ISREG(mode):
        return opened(LocalFile(path))
    raise SourceError(f"{path}: is neither a file nor a folder")


def _walk(folder: str) -> list[str]:
    found: list[str] = []
    waiting = [folder]
    seen: set[tuple[int, int]] = set()
    while waiting:
        here = waiting.pop()
        try:
            status = os.stat(here)  # noqa: PTH116
            # A symbolic link may lead back up, or to a folder already listed.
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(here) as entries:
                folders, files = _sorted_out(entries)
        except OSError as error:
            raise source_error(here, error) from error
        found += files
        waiting += sorted(folders, reverse=True)
    return sorted(found)


def _sorted_out(entries: Iterable[os.DirEntry[str]]) -> tuple[list[str], list[str]]:
    folders, files = [], []
    for entry in entries:
        if entry.is_dir():
            folders.append(entry.path)
        elif entry.is_file() or (entry.is_symlink() and not os.path.exists(entry.path)):  # noqa: PTH110
            # A dangling link stays in: a slice that cannot be read must not go unseen.
            files.append(entry.path)
    return folders, files


def _globbed(pattern: str) -> list[Source]:
    matches = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - literal prefixes stay
    if not matches:
        raise SourceNotFoundError(f"{pattern}: no such file or folder, and nothing matches it")
    opens = pattern.lower().endswith(ENDINGS)
    found: list[Source] = []
    for match in matches:
        if opens or os.path.isdir(match):  # noqa: PTH112
            found += _existing(match)
        elif os.path.isfile(match):  # noqa: PTH113
            found.append(LocalFile(match))
    return found


# Archives --------------------------------------------------------------------------------------


def _inside_archive(name: str) -> list[Source] | None:
    """
    Return what ``a.zip/folder`` or ``a.zip?folder`` means, None if no part of it is a file.

    The question mark is how imagedata writes it.
    """
    for separator in re.finditer(r"[/\\?]|::", name):
        path, rest = name[: separator.start()], name[separator.end() :]
        if os.path.isfile(path):  # noqa: PTH113
            found = selected(LocalFile(path), rest)
            if found is None:
                raise SourceNotFoundError(f"{name}: {path} is a file, and no archive")
            return found
    return None


def neighbour(source: Source, name: str) -> Source | None:
    """
    Return the file of a name that stands beside a member of an archive or a remote file.

    Parameters
    ----------
    source : Source
    name : str

    Returns
    -------
    Source or None
        None where there is none, or where that cannot be known.
    """
    if isinstance(source, ZipMember | TarMember):
        folder = source.member.rpartition("/")[0]
        try:
            found = selected(source.archive, f"{folder}/{name}" if folder else name)
        except SourceNotFoundError:
            return None
        return found[0] if found and len(found) == 1 else None
    if not isinstance(source, RemoteFile) or "?" in source.url or "::" in source.url:
        return None
    beside = RemoteFile(f"{source.url.rpartition('/')[0]}/{name}", source.options)
    return beside if beside.exists() else None


# URLs ------------------------------------------------------------------------------------------


def _remote(url: str, options: dict[str, Any]) -> list[Source]:
    head, _, rest = url.partition("::")
    inner = _ARCHIVE_URL.match(head)
    if rest and inner:
        archives = _named(rest, options) if "::" in rest else _single(rest, options)
        return [found for one in archives for found in _chosen(one, head[inner.end() :])]
    if rest and "://" in head and "://" not in rest:
        return _chosen(_single(head, options)[0], rest)
    system, path = through_fsspec(url, options)
    name = without_password(url)
    try:
        listing, single = _listed(system, path)
    except Exception as error:
        raise source_error(name, error) from error
    if not listing and not single:
        raise SourceNotFoundError(f"{name}: no such file or folder")
    pairs = tuple(sorted(options.items()))
    found = [
        RemoteFile(_url_of(system, inner, url), pairs, info.get("size"))
        for inner, info in sorted(listing.items())
        if info.get("type", "file") == "file"
    ]
    return opened(_settled(found[0])) if single and found else list(found)


def _settled(remote: RemoteFile) -> Source:
    """Return a file that can be read in part: fetched once where its server cannot do that."""
    return remote if remote.has_ranges else Unpacked(remote, "")


def _chosen(archive: Source, inner: str) -> list[Source]:
    found = selected(archive, inner)
    if found is None:
        raise SourceError(f"{archive.name}: is no archive")
    return found


def _single(url: str, options: dict[str, Any]) -> list[Source]:
    """Return an archive itself rather than its members."""
    if _LOCAL_URL.match(url):
        return [LocalFile(_local_path(url))]
    if not _URL.match(url):
        return [LocalFile(url)]
    return [_settled(RemoteFile(url, tuple(sorted(options.items()))))]


def _listed(system: Any, path: str) -> tuple[dict[str, Any], bool]:
    """Return the files below a path or matching it, and whether it is one file itself."""
    if system.isfile(path):
        return {path: system.info(path)}, True
    if system.isdir(path):
        return dict(system.find(path, detail=True)), False
    if not _MAGIC.search(path):
        return {}, False
    found: dict[str, Any] = {}
    for match, info in system.glob(path, detail=True).items():
        below = info.get("type") == "directory"
        found.update(system.find(match, detail=True) if below else {match: info})
    return found, False


def _url_of(system: Any, path: str, url: str) -> str:
    """Return the URL of one file in a listing; chains keep their other links."""
    head, _, rest = url.partition("::")
    if not rest:
        return str(system.unstrip_protocol(path))
    protocol, slashes, _ = head.partition("://")
    if slashes:
        return f"{protocol}://{path}::{rest}"
    inner, _ = through_fsspec(rest, {})
    return f"{head}::{_url_of(inner, path, rest)}"
