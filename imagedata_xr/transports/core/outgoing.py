"""Files that are to be sent: which are DICOM instances, and who they are."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from imagedata_xr.errors import FormatError, NoImagesError, SourceNotFoundError
from imagedata_xr.transports.core.part10 import identify, is_encoded_as
from imagedata_xr.transports.core.results import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable

    from imagedata_xr.transports.core.part10 import Identity

__all__ = ["Outgoing", "files_of", "outgoing"]

_DIRECTORY: Final = "1.2.840.10008.1.3.10"
_SUFFIXES: Final = (".dcm", ".dicom", ".ima")


@dataclass(frozen=True, slots=True)
class Outgoing:
    """
    A file that can be sent.

    Attributes
    ----------
    path : Path
    identity : Identity
    size : int
        Bytes of the file.
    as_declared : bool
        Whether the data set has value representations where its transfer syntax says so, and none
        where it does not: servers wait for ever for the rest of one that has not.
    """

    path: Path
    identity: Identity
    size: int
    as_declared: bool

    def outcome(self, state: str, **more: object) -> Outcome:
        """Return what became of it."""
        known = {
            "uid": self.identity.uid,
            "path": str(self.path),
            "sop_class": self.identity.sop_class,
            "study": self.identity.study,
            "series": self.identity.series,
        }
        return Outcome(state=state, **known, **more)  # type: ignore[arg-type]


def outgoing(
    files: Iterable[str | os.PathLike[str]] | str | os.PathLike[str], *, even: bool = True
) -> tuple[list[Outgoing], list[Outcome]]:
    """
    Tell the instances among files from what cannot be sent.

    Files that are no DICOM and do not look like it are passed over, as are directories (DICOMDIR).
    Of several files with one SOP Instance UID the second and later are failures: a server would
    keep one of them only. Copies of one file count once.

    Parameters
    ----------
    files : iterable of path, or path
        A folder stands for all files below it where it is the only one.
    even : bool
        Refuse data sets of an odd number of bytes. As files they can be sent, and are kept so.

    Returns
    -------
    ready : list of Outgoing
    failed : list of Outcome
        With the reason for each.
    """
    ready: dict[str, Outgoing] = {}
    failed: list[Outcome] = []
    if isinstance(files, str | os.PathLike):
        files = files_of(files)
    for path in map(Path, files):
        try:
            one = _identified(path)
        except (FormatError, OSError) as error:
            reason = "no DICOM file" if isinstance(error, FormatError) else "cannot be read"
            failed.append(Outcome("", "failed", reason=reason, attempts=0, path=str(path)))
            continue
        if one is None or one.identity.sop_class == _DIRECTORY:
            continue
        if even and (one.size - one.identity.offset) % 2:
            # PS3.8 annex E: servers drop the connection, or wait for ever.
            reason = "the data set has an odd number of bytes, which DICOM does not allow"
            failed.append(one.outcome("failed", reason=reason, attempts=0))
            continue
        if not one.as_declared:
            reason = "the data set is not encoded as its transfer syntax says"
            failed.append(one.outcome("failed", reason=reason, attempts=0))
            continue
        first = ready.setdefault(one.identity.uid, one)
        if first is not one and not _same(first, one):
            reason = "another file with other contents has the same SOP Instance UID"
            failed.append(one.outcome("failed", reason=reason, attempts=0))
    return list(ready.values()), failed


def _identified(path: Path) -> Outgoing | None:
    with path.open("rb") as file:
        start = file.read(132)
        if start[128:] != b"DICM" and path.suffix.lower() not in _SUFFIXES:
            return None
        identity = identify(file, str(path))
        file.seek(identity.offset)
        as_declared = is_encoded_as(identity.syntax, file.read(6))
        return Outgoing(path, identity, file.seek(0, 2), as_declared)


def _same(one: Outgoing, other: Outgoing) -> bool:
    if one.size - one.identity.offset != other.size - other.identity.offset:
        return False
    with one.path.open("rb") as first, other.path.open("rb") as second:
        first.seek(one.identity.offset)
        second.seek(other.identity.offset)
        while data := first.read(1 << 20):
            if data != second.read(1 << 20):
                return False
    return True


def files_of(source: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[Path]:
    """
    Return the files of folders, files, or several of them, in a reproducible order.

    Raises
    ------
    SourceNotFoundError
        One is not there.
    NoImagesError
        There is no file.
    """
    items = [source] if isinstance(source, str | os.PathLike) else list(source)
    found: dict[Path, None] = {}
    for item in items:
        path = Path(item)
        if path.is_dir():
            found.update(dict.fromkeys(sorted(p for p in path.rglob("*") if p.is_file())))
        elif path.is_file():
            found[path] = None
        else:
            raise SourceNotFoundError(f"{path}: no such file or folder")
    if not found:
        raise NoImagesError("there is no file to send")
    return list(found)
