"""A file at any target: on disk, in a new ZIP archive, or behind a URL."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
import zipfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from imagedata_xr.errors import OptionError, SourceError, WriteError
from imagedata_xr.sources.files import through_fsspec, without_password
from imagedata_xr.targets.folders import pack, passing, place_of
from imagedata_xr.targets.local import complete_file
from imagedata_xr.transports import Locator, is_remote

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["named", "written_at"]

_ZIP: Final = ".zip"
_MEMBER: Final = re.compile(r"zip://(.+?)::(.+)", re.DOTALL)


def named(target: str | os.PathLike[str]) -> Path:
    """Return the name of the file that is meant by a target, which says its format."""
    inside = _inside_archive(target)
    return Path(PurePosixPath(inside[1] if inside else os.fspath(target)).name)


@contextlib.contextmanager
def written_at(
    target: str | os.PathLike[str], *, overwrite: bool, beside: Sequence[str] = ()
) -> Iterator[Path]:
    """
    Give the path on disk to which a file is written, and bring it to the target when all went well.

    Parameters
    ----------
    target : path-like or URL
        A file on disk is given as it is. ``zip://a.nii.gz::b.zip`` and ``b.zip/a.nii.gz`` are files
        in an archive that is made; an fsspec URL is written to when all is there, what stands
        beside the file before the file itself.
    overwrite : bool
        Replace what exists; an archive only where it has nothing else.
    beside : sequence of str
        Endings, in place of the file's own, of what may belong to it: ``(".json", ".bval")``.

    Raises
    ------
    OptionError
        Nobody knows the URL's protocol, or it is a server for DICOM.
    WriteError
        The target is not free, or refuses.
    """
    inside = _inside_archive(target)
    if inside is None and isinstance(place_of(target), Path):
        yield Path(place_of(target))
        return
    if inside is None and is_remote(target):
        raise OptionError(
            f"{Locator.parse(str(target))}: a server takes DICOM: use to_dicom, or write to a file"
        )
    archive, member = inside or ("", str(target))
    name = PurePosixPath(member).name
    if archive:
        _check_member(member, name)
    with tempfile.TemporaryDirectory(prefix="imagedata_xr-") as private:
        folder = Path(private, "files")
        folder.mkdir()
        names = [name, *(_stem(name) + end for end in beside)]
        if archive:
            with _archive(archive, names, overwrite=overwrite) as put:
                yield folder / name
                put(folder)
        else:
            with _remote(str(target), names, overwrite=overwrite) as put:
                yield folder / name
                put(folder)


def _stem(name: str) -> str:
    """Return a file's name without its ending, `.gz` and the one before counting as one."""
    plain = name[: -len(".gz")] if name.lower().endswith(".gz") else name
    return plain.rpartition(".")[0] or plain


def _inside_archive(target: str | os.PathLike[str]) -> tuple[str, str] | None:
    """Return the archive and the member that a target means; None where it is none."""
    text = os.fspath(target)
    chained = _MEMBER.fullmatch(text) if isinstance(target, str) else None
    if chained is not None:
        return chained[2], chained[1]
    place = place_of(target)
    if not isinstance(place, Path):
        return None
    for parent in place.parents:
        if parent.suffix.lower() == _ZIP and not parent.is_dir():
            return str(parent), place.relative_to(parent).as_posix()
    return None


def _check_member(member: str, name: str) -> None:
    if member != name:
        raise OptionError(f"{member}: files are written to the top of an archive, without folders")


@contextlib.contextmanager
def _archive(archive: str, names: list[str], *, overwrite: bool) -> Iterator[Any]:
    place = place_of(archive)
    if isinstance(place, Path):
        if overwrite and place.exists():
            _check_contents(place, names)
        with complete_file(place, overwrite=overwrite) as part:
            yield lambda folder: pack(folder, part)
        return
    with _remote(archive, [PurePosixPath(archive).name], overwrite=overwrite) as put:

        def packed(folder: Path) -> None:
            whole = folder.with_name("archive")
            whole.mkdir()
            pack(folder, whole / PurePosixPath(archive).name)
            put(whole)

        yield packed


def _check_contents(place: Path, names: list[str]) -> None:
    try:
        with zipfile.ZipFile(place) as there:
            others = sorted(set(there.namelist()) - set(names))
    except (OSError, zipfile.BadZipFile) as error:
        raise WriteError(f"{place} is no archive that could be replaced: {error}") from error
    if others:
        raise WriteError(
            f"{place} has other members ({', '.join(others[:3])}): overwrite=True would remove them; "
            "choose another archive"
        )


@contextlib.contextmanager
def _remote(url: str, names: list[str], *, overwrite: bool) -> Iterator[Any]:
    """Give what puts the files of a folder behind a URL, the last of `names` first."""
    shown = without_password(url)
    try:
        system, path = through_fsspec(url, {})
    except SourceError as error:
        raise OptionError(f"{shown} is no URL that can be written: {error.__cause__}") from error
    base = path.rpartition("/")[0]
    places = {name: f"{base}/{name}" if base else name for name in names}
    with passing(shown):
        there = [name for name in names if system.exists(places[name])]
    if there and not overwrite:
        raise WriteError(
            f"{shown}: {', '.join(there)} is there already: pass overwrite=True to replace it"
        )

    def put(folder: Path) -> None:
        with passing(shown):
            if base:
                system.makedirs(base, exist_ok=True)
            _put(folder, system, places, there)

    yield put


def _put(folder: Path, system: Any, places: dict[str, str], there: list[str]) -> None:
    """Put files one by one, and take the new ones away again where that fails."""
    made: list[str] = []
    try:
        # The image last: who sees it sees what belongs to it.
        for name in reversed(places):
            if (folder / name).exists():
                made.append(name)
                system.put_file(str(folder / name), places[name])
            elif name in there:
                system.rm_file(places[name])
    except BaseException:
        for name in made:
            if name not in there:
                with contextlib.suppress(Exception):
                    system.rm_file(places[name])
        raise
