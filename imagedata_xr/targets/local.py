"""Files and folders of the operating system that appear in one step."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Final

from imagedata_xr.errors import ImagedataError, WriteError

if TYPE_CHECKING:
    import re
    from collections.abc import Iterator

__all__ = ["as_write_error", "complete_file", "complete_local_folder", "require_only"]

# renameat2 of Linux: fail where the new name exists; swap two names.
_NOREPLACE: Final = 1
_EXCHANGE: Final = 2
_AT_FDCWD: Final = -100
_TAKEN: Final = (errno.EEXIST, errno.ENOTEMPTY)


@contextlib.contextmanager
def complete_file(target: str | os.PathLike[str], *, overwrite: bool) -> Iterator[Path]:
    """
    Give a name beside a file, which takes the file's place when all went well.

    Parameters
    ----------
    target : path-like
        Its folder exists.
    overwrite : bool
        Replace an existing file.

    Raises
    ------
    WriteError
        The file exists (also where another process wrote it in the meantime), or the disk refuses.
    """
    place = _place(target)
    if place.is_dir():
        raise WriteError(f"{target} is a folder")
    if place.exists() and not overwrite:
        raise WriteError(f"{target} exists: pass overwrite=True to replace it")
    part = _part(place)
    with as_write_error(target):
        try:
            yield part
            if overwrite or not _rename(part, place, _NOREPLACE):
                part.replace(place)
        finally:
            part.unlink(missing_ok=True)


@contextlib.contextmanager
def complete_local_folder(
    target: str | os.PathLike[str], *, ours: re.Pattern[str], overwrite: bool
) -> Iterator[Path]:
    """
    Give a new folder beside the target, which takes the target's place when all went well.

    Parameters
    ----------
    target : path-like
        Does not exist, or is empty; its parent exists.
    ours : re.Pattern
        Names of the files that the writer gives.
    overwrite : bool
        Replace a folder that holds such files only.

    Raises
    ------
    WriteError
        The target is not free (also where another process wrote it in the meantime), or the disk
        refuses.
    """
    place = _place(target)
    if place.exists() and not place.is_dir():
        raise WriteError(f"{target} is a file: a folder of files is written")
    if place.is_dir():
        require_only(ours, [path.name for path in place.iterdir()], target, overwrite=overwrite)
    part = _part(place)
    with as_write_error(target):
        try:
            part.mkdir()
            yield part
            _put(part, place, ours, overwrite=overwrite)
        finally:
            shutil.rmtree(part, ignore_errors=True)


def require_only(
    ours: re.Pattern[str], names: list[str], target: object, *, overwrite: bool
) -> None:
    """
    Check that a folder may be replaced.

    Raises
    ------
    WriteError
        It holds files, and `overwrite` is not given; or files of other names.
    """
    if names and not overwrite:
        raise WriteError(
            f"{target} has {len(names)} file(s) already: pass overwrite=True to replace them"
        )
    strangers = sorted(name for name in names if not ours.fullmatch(name))
    if strangers:
        raise WriteError(
            f"{target} has files that this writer did not make ({', '.join(strangers[:3])}): "
            "overwrite=True would remove them; choose another folder"
        )


def _place(target: str | os.PathLike[str]) -> Path:
    """Return where a target is: behind links, with a folder around it that exists."""
    place = Path(os.path.realpath(target))
    if not place.parent.is_dir():
        raise WriteError(f"{target}: there is no folder {Path(target).parent}")
    return place


def _part(place: Path) -> Path:
    return place.with_name(f".{uuid.uuid4().hex}.part")


@contextlib.contextmanager
def as_write_error(target: object) -> Iterator[None]:
    """Turn what the operating system refuses into a WriteError that names the target."""
    try:
        yield
    except ImagedataError:
        raise
    except OSError as error:
        if error.errno in _TAKEN:
            raise WriteError(
                f"{target} was written by somebody else in the meantime: pass overwrite=True to "
                "replace it"
            ) from error
        raise WriteError(f"{target} could not be written: {error}") from error


def _put(part: Path, place: Path, ours: re.Pattern[str], *, overwrite: bool) -> None:
    """Give a finished folder its name; what had the name before is in `part` then."""
    there = place.exists()
    if not (overwrite and there and any(place.iterdir())):
        if there and os.name == "nt":  # pragma: no cover - a folder there replaces none
            place.rmdir()
        try:
            part.replace(place)
        except OSError as error:
            # It is not empty: a folder that is swapped while it is listed may look so.
            if not overwrite or error.errno not in _TAKEN:
                raise
        else:
            return
    if not _rename(part, place, _EXCHANGE):
        old = part.with_name(f"{part.name}-old")
        place.replace(old)
        try:
            part.replace(place)
        except OSError:
            old.replace(place)
            raise
        old.replace(part)
    try:
        require_only(ours, [path.name for path in part.iterdir()], place, overwrite=True)
    except WriteError:
        # Somebody put a file there while we wrote.
        if _rename(part, place, _EXCHANGE):
            raise
        part.replace(part.with_suffix(".kept"))
        raise


def _rename(one: Path, other: Path, how: int) -> bool:
    """
    Rename in one step of the operating system; False where it offers none.

    Parameters
    ----------
    one, other : Path
    how : int
        Fail where `other` exists, or swap the two.

    Raises
    ------
    OSError
    """
    if sys.platform != "linux":
        return False
    import ctypes

    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call is None:
        return False
    names = os.fsencode(one), os.fsencode(other)
    if call(_AT_FDCWD, names[0], _AT_FDCWD, names[1], how) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        return False
    raise OSError(code, os.strerror(code))
