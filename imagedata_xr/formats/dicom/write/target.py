"""The folder that is written: complete, or not there."""

from __future__ import annotations

import contextlib
import re
import shutil
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Final

from imagedata_xr.errors import ImagedataError, OptionError, WriteError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

__all__ = ["check_target", "complete_folder", "file_name"]

SHORTEST: Final = 4
OURS: Final = re.compile(r"\d{4,}\.dcm")


def file_name(number: int, count: int) -> str:
    """
    Return the name of a file: names sort as the frames do, and say nothing of the patient.

    Parameters
    ----------
    number : int
        From 1.
    count : int
        Of all files.
    """
    return f"{number:0{max(SHORTEST, len(str(count)))}d}.dcm"


def check_target(target: str | os.PathLike[str], *, overwrite: bool) -> Path:
    """
    Return the folder to write.

    Raises
    ------
    OptionError
        The target is a URL.
    WriteError
        It is a file, has no parent folder, or is not empty. With `overwrite`, only files with
        the names that we give are replaced: any other file in the folder is an error still.
    """
    if "://" in str(target):
        raise OptionError(f"{target}: a folder is written, not a URL")
    folder = Path(target)
    if folder.exists() and not folder.is_dir():
        raise WriteError(f"{folder} is a file: DICOM is written as a folder of files")
    if not folder.absolute().parent.is_dir():
        raise WriteError(f"{folder}: there is no folder {folder.parent}")
    found = sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []
    if found and not overwrite:
        raise WriteError(
            f"{folder} has {len(found)} file(s) already: pass overwrite=True to replace them"
        )
    strangers = [name for name in found if not OURS.fullmatch(name)]
    if strangers:
        raise WriteError(
            f"{folder} has files that to_dicom did not write ({', '.join(strangers[:3])}): "
            "overwrite=True would remove them; choose another folder"
        )
    return folder


@contextlib.contextmanager
def complete_folder(folder: Path) -> Iterator[Path]:
    """
    Give a new folder beside the target, which takes the target's place when all went well.

    Raises
    ------
    WriteError
        The disk refuses.
    """
    place = folder.absolute()
    part = place.with_name(f".{uuid.uuid4().hex}.part")
    try:
        part.mkdir()
        yield part
        _swap(part, place)
    except ImagedataError:
        raise
    except OSError as error:
        raise WriteError(f"{folder} could not be written: {error}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _swap(part: Path, place: Path) -> None:
    """Put the finished folder in its place; the old one comes back where that fails."""
    if not place.exists():
        part.replace(place)
        return
    old = part.with_name(f"{part.name}-old")
    place.replace(old)
    try:
        part.replace(place)
    except OSError:
        old.replace(place)
        raise
    shutil.rmtree(old, ignore_errors=True)
