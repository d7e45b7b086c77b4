"""DICOM files into folders by patient, study and series: ``dicom_sort``."""

from __future__ import annotations

import contextlib
import os
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from imagedata_xr.errors import NoImagesError, OptionError, SourceError, WriteError
from imagedata_xr.naming import Names, Unique, fields

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from imagedata_xr.formats.dicom.headers import Header
    from imagedata_xr.frames import Source

__all__ = ["MODES", "place"]

MODES: Final = ("copy", "move", "link", "symlink")
# Without the patient's identity: numbers in the order of the files.
_TEMPLATE: Final = "{Patient}/{StudyDate}_{StudyDescription}/{SeriesNumber}_{SeriesDescription}"
_PATIENT: Final = "Patient"
_DIRECTORY: Final = "1.2.840.10008.1.3.10"
_SUFFIX: Final = ".dcm"


@dataclass(frozen=True, slots=True)
class Move:
    """
    One file and its new place.

    Attributes
    ----------
    source : Source
    place : str
        Below the target.
    """

    source: Source
    place: str


def place(  # noqa: PLR0913 - one for each option
    sources: Sequence[str],
    out: str,
    *,
    mode: str = "copy",
    template: str | None = None,
    dry_run: bool = False,
    quiet: bool = False,
) -> Iterator[str]:
    """
    Put DICOM files into folders; yield what there is to tell a person.

    Nothing is ever overwritten: where a file of the same contents is there already, it is left
    alone; where another is, an error says so before anything is done.

    Parameters
    ----------
    sources : sequence of str
    out : str
        A folder, or a new archive that ends in ``.zip``.
    mode : {"copy", "move", "link", "symlink"}
    template : str, optional
        Of folders, such as ``{PatientID}/{SeriesNumber}_{SeriesDescription}``. ``{Patient}`` is
        ``patient1`` and so on, without identity.
    dry_run : bool
        Only tell.
    quiet : bool
        No progress bar.

    Raises
    ------
    ImagedataError
        Nothing was changed, or the error says what was.
    """
    if mode not in MODES:
        raise OptionError(f"--mode {mode}: give one of {', '.join(MODES)}")
    is_archive = out.lower().endswith(".zip")
    if is_archive and mode != "copy":
        raise OptionError(f"--mode {mode}: files can only be copied into an archive")
    moves = list(_moves(sources, template or _TEMPLATE, quiet=quiet))
    if dry_run:
        yield from (f"{one.source.name} -> {Path(out) / one.place}" for one in moves)
        return
    count = _into_archive(moves, out) if is_archive else _into_folder(moves, out, mode)
    folders = len({str(Path(one.place).parent) for one in moves})
    there = f" ({len(moves) - count} were there already)" if count < len(moves) else ""
    yield f"{out}: {len(moves)} files in {folders} folder(s){there}"


def _moves(sources: Sequence[str], template: str, *, quiet: bool) -> Iterator[Move]:
    from imagedata_xr.formats.dicom.headers import read_headers
    from imagedata_xr.sources import find_sources

    names = Names(template)
    wanted = fields(template)
    broken: list[str] = []
    files = find_sources(list(sources))
    headers = read_headers(
        files,
        progress=False if quiet else None,
        on_error=lambda source, error: broken.append(f"{source.name}: {error}"),
    )
    if broken:
        raise SourceError(f"{len(broken)} file(s) cannot be read, the first: {broken[0]}")
    images = [one for one in headers if not _is_directory(one)]
    if not images:
        raise NoImagesError(f"there is no DICOM file in {', '.join(sources)}")
    patients: dict[Any, str] = {}
    taken: dict[str, Unique] = {}
    for header in sorted(images, key=_order):
        who = (header.get("PatientID"), header.get("PatientName"))
        values = {keyword: header.get(keyword) for keyword in wanted if keyword != _PATIENT}
        values[_PATIENT] = patients.setdefault(who, f"patient{len(patients) + 1}")
        key = (who, header.get("StudyInstanceUID"), header.get("SeriesInstanceUID"))
        folder = names.of(values, key=key)
        name = taken.setdefault(folder, Unique()).of(_file_name(header))
        yield Move(header.source, f"{folder}/{name}{_SUFFIX}")


def _is_directory(header: Header) -> bool:
    """Tell whether a file is a DICOMDIR, whose paths would no longer hold."""
    return any(tag >> 16 == 0x0004 for tag in (*header.elements, *header.others))


def _order(header: Header) -> tuple[Any, ...]:
    numbers = (header.get("SeriesNumber"), header.get("InstanceNumber"))
    uids = [
        str(header.get(name) or "")
        for name in ("PatientID", "StudyInstanceUID", "SeriesInstanceUID")
    ]
    return (*uids, *(n if isinstance(n, int) else 1 << 40 for n in numbers), header.source.name)


def _file_name(header: Header) -> str:
    number = header.get("InstanceNumber")
    return f"{number:05d}" if isinstance(number, int) and number >= 0 else "image"


def _into_folder(moves: Sequence[Move], out: str, mode: str) -> int:
    root = Path(out)
    local = {one: getattr(one.source, "path", None) for one in moves}
    if mode != "copy" and None in local.values():
        raise OptionError(f"--mode {mode}: members of archives and remote files can only be copied")
    waiting = [one for one in moves if not _is_there(root / one.place, one.source)]
    for one in waiting:
        target = root / one.place
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            _transfer(one.source, local[one], target, mode)
        except OSError as error:
            raise WriteError(f"{target}: {error.strerror or error}") from error
    return len(waiting)


def _is_there(target: Path, source: Source) -> bool:
    if not os.path.lexists(target):
        return False
    if target.is_file() and target.read_bytes() == source.read():
        return True
    raise WriteError(f"{target} exists and is another file: nothing was changed")


def _transfer(source: Source, path: str | None, target: Path, mode: str) -> None:
    if mode == "symlink":
        target.symlink_to(Path(str(path)).absolute())
        return
    if mode == "link":
        os.link(str(path), target)
        return
    # Under another name until it is whole.
    part = target.with_name(f".{target.name}.part")
    try:
        if path is None:
            part.write_bytes(source.read())
        else:
            shutil.copy2(path, part)
        part.rename(target)
    finally:
        part.unlink(missing_ok=True)
    if mode == "move":
        Path(str(path)).unlink()


def _into_archive(moves: Sequence[Move], out: str) -> int:
    from imagedata_xr.targets import complete_file

    with complete_file(out, overwrite=False) as part, contextlib.ExitStack() as stack:
        archive = stack.enter_context(zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED))
        for one in moves:
            archive.writestr(one.place, one.source.read())
    return len(moves)
