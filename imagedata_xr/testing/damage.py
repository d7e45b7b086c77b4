"""Ways to spoil a series, for tests of what a reader says then."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pydicom

from imagedata_xr.testing.headers import fill

if TYPE_CHECKING:
    from os import PathLike

__all__ = ["change_header", "drop_file", "duplicate_file", "truncate_file"]


def drop_file(path: str | PathLike[str]) -> Path:
    """
    Delete a file; return its path.

    Examples
    --------
    >>> files = testing.write_series(testing.Phantom(), "dropped")
    >>> testing.drop_file(files[0]).exists()
    False
    """
    path = Path(path)
    path.unlink()
    return path


def duplicate_file(path: str | PathLike[str], *, uid: str | None = None) -> Path:
    """
    Copy a file to a new name beside it; return the path of the copy.

    Parameters
    ----------
    path : path-like
        The file.
    uid : str, optional
        SOP Instance UID of the copy, e.g. ``phantom.uid("copy")``; the same by default.

    Examples
    --------
    >>> files = testing.write_series(testing.Phantom(), "doubled")
    >>> testing.duplicate_file(files[0]).read_bytes() == files[0].read_bytes()
    True
    """
    path = Path(path)
    copy = path.with_name(f"{path.stem}_copy{path.suffix}")
    copy.write_bytes(path.read_bytes())
    return copy if uid is None else change_header(copy, SOPInstanceUID=uid)


def truncate_file(path: str | PathLike[str], *, keep: float = 0.75) -> Path:
    """
    Cut the end off a file; return its path.

    Parameters
    ----------
    path : path-like
        The file.
    keep : float
        Which part of the file to keep, 0 to 1.

    Examples
    --------
    >>> files = testing.write_series(testing.Phantom(), "cut")
    >>> before = files[0].stat().st_size
    >>> testing.truncate_file(files[0]).stat().st_size < before
    True
    """
    path = Path(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    return path


def change_header(path: str | PathLike[str], **attributes: Any) -> Path:
    """
    Change attributes of a file by keyword, None removes one; return its path.

    Examples
    --------
    >>> import pydicom
    >>> import tempfile
    >>> from imagedata_xr.testing import Phantom, write_series
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = change_header(write_series(Phantom(), folder)[0], EchoTime=99)
    ...     int(pydicom.dcmread(path).EchoTime)
    99
    """
    path = Path(path)
    dataset = pydicom.dcmread(path)
    fill(dataset, **attributes)
    if "SOPInstanceUID" in attributes:
        dataset.file_meta.MediaStorageSOPInstanceUID = attributes["SOPInstanceUID"]
    dataset.save_as(path)
    return path
