"""A folder of files at any target: a folder, a ZIP archive, or a URL."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from imagedata_xr.errors import ImagedataError, OptionError, SourceError, WriteError
from imagedata_xr.sources.files import through_fsspec, without_password
from imagedata_xr.targets.local import complete_file, complete_local_folder, require_only
from imagedata_xr.transports import Locator, is_remote, store
from imagedata_xr.transports.core.dispatch import transport

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["complete_folder", "pack", "passing", "place_of"]

_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]+)(://|::)")
_LOCAL: Final = re.compile(r"(file|local)://")
_ZIP: Final = ".zip"
# Of the members of archives (PKZIP has no earlier year): the same bytes for the same files.
_OLDEST: Final = (1980, 1, 1, 0, 0, 0)


@contextlib.contextmanager
def complete_folder(
    target: str | os.PathLike[str], *, ours: re.Pattern[str], overwrite: bool
) -> Iterator[Path]:
    """
    Give a private folder, whose files are at the target when all went well.

    Parameters
    ----------
    target : path-like or URL
        A folder; a ZIP archive, where the name ends in ``.zip``; an fsspec URL of either; or a
        server that `imagedata_xr.transports` knows, which gets DICOM files one by one. A
        folder or archive on disk, and an archive on an object store, appear in one step. A
        folder behind a URL is written file by file: where that fails, the new files are
        removed again, but old ones may have been replaced.
    ours : re.Pattern
        Names of the files that the writer gives. Others in an existing folder are an error.
    overwrite : bool
        Replace what exists.

    Raises
    ------
    OptionError
        Nobody knows the URL's protocol.
    WriteError
        The target is not free, or refuses the files.
    """
    place = place_of(target)
    if isinstance(place, Path):
        way = _zip_file if place.suffix.lower() == _ZIP else complete_local_folder
        with way(place, ours=ours, overwrite=overwrite) as folder:
            yield folder
        return
    if is_remote(target):
        with _server(str(target), overwrite=overwrite) as folder:
            yield folder
        return
    try:
        system, path = through_fsspec(os.fspath(target), {})
    except SourceError as error:
        raise OptionError(f"{place} is no URL that can be written: {error.__cause__}") from error
    is_archive = path.lower().endswith(_ZIP)
    with passing(place):
        there = _there(system, path, place, ours, overwrite=overwrite, archive=is_archive)
    with tempfile.TemporaryDirectory(prefix="imagedata_xr-") as private:
        folder = Path(private, "files")
        folder.mkdir()
        yield folder
        with passing(place):
            if is_archive:
                archive = Path(private, "archive.zip")
                pack(folder, archive)
                system.put_file(str(archive), path)
            else:
                _upload(folder, system, path, there)


@contextlib.contextmanager
def _server(url: str, *, overwrite: bool) -> Iterator[Path]:
    """Give a private folder whose DICOM files a server takes; all, or an error that lists them."""
    replacing = getattr(transport(url), "REPLACING", None)
    if overwrite and replacing is None:
        raise OptionError(
            f"{Locator.parse(url)}: what a server does with instances that it has is its own affair: "
            "leave overwrite=True out"
        )
    with tempfile.TemporaryDirectory(prefix="imagedata_xr-") as private:
        yield Path(private)
        store(url, private, **(replacing if overwrite and replacing else {}))


def place_of(target: str | os.PathLike[str]) -> Path | str:
    """Return a target as a path or, where it is a URL, as text without a password."""
    text = os.fspath(target)
    if isinstance(target, str) and _LOCAL.match(text) and "::" not in text:
        from fsspec.implementations.local import LocalFileSystem

        return Path(LocalFileSystem._strip_protocol(text))  # noqa: SLF001 - fsspec's way to do it
    if is_remote(target):
        return str(Locator.parse(text))
    if isinstance(target, str) and _URL.match(text):
        return without_password(text)
    return Path(target)


@contextlib.contextmanager
def passing(place: object) -> Iterator[None]:
    """Turn whatever a file system raises into an error of ours."""
    try:
        yield
    except ImagedataError:
        raise
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise WriteError(f"{place} could not be written: {without_password(reason)}") from error


@contextlib.contextmanager
def _zip_file(target: Path, *, ours: re.Pattern[str], overwrite: bool) -> Iterator[Path]:
    del ours  # an archive is replaced as a whole
    with complete_file(target, overwrite=overwrite) as part:
        folder = part.with_name(f"{part.name}-files")
        folder.mkdir()
        try:
            yield folder
            pack(folder, part)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def pack(folder: Path, archive: Path) -> None:
    """
    Move the files of a folder into an archive, one after the other.

    They are stored as they are: a reader finds each at its offset, and need not unpack what comes
    before it.
    """
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as packed:
        for path in sorted(folder.iterdir()):
            info = zipfile.ZipInfo(path.name, _OLDEST)
            info.external_attr = 0o644 << 16
            info.file_size = path.stat().st_size
            with path.open("rb") as source, packed.open(info, "w") as member:
                while piece := source.read(1 << 20):
                    member.write(piece)
            path.unlink()


def _there(  # noqa: PLR0913 - what decides whether the target is free
    system: Any,
    path: str,
    place: object,
    ours: re.Pattern[str],
    *,
    overwrite: bool,
    archive: bool,
) -> list[str]:
    """Return the names of the files in a remote folder that may be written; none for an archive."""
    if not system.exists(path):
        return []
    if not system.isdir(path):
        if not archive:
            raise WriteError(f"{place} is a file: a folder of files is written")
        if not overwrite:
            raise WriteError(f"{place} exists: pass overwrite=True to replace it")
        return []
    found = system.ls(path, detail=False)
    names = [str(name).rstrip("/").rsplit("/", 1)[-1] for name in found]
    require_only(ours, names, place, overwrite=overwrite)
    return names


def _upload(folder: Path, system: Any, path: str, there: list[str]) -> None:
    """Put files one by one; take the new ones away where that fails, old ones where they are left."""
    put: list[str] = []
    base = path.rstrip("/")
    try:
        system.makedirs(base, exist_ok=True)
        for one in sorted(folder.iterdir()):
            put.append(one.name)
            system.put_file(str(one), f"{base}/{one.name}")
    except BaseException:
        for name in put:
            if name not in there:
                with contextlib.suppress(Exception):
                    system.rm_file(f"{base}/{name}")
        raise
    for name in there:
        if name not in put:
            system.rm_file(f"{base}/{name}")
