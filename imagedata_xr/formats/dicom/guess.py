"""Does something hold DICOM? Answered from a few bytes, for xarray's choice of an engine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

__all__ = ["holds_dicom"]

_MAGIC_AT, _MAGIC = 128, b"DICM"
_HEAD = 132
_ZIP = b"PK\x03\x04"
# A folder is believed to hold no DICOM after so many other files.
_MOST_FILES = 256
_FIRST_GROUPS = (b"\x02\0", b"\x08\0", b"\0\x02", b"\0\x08")
_READ = 1 << 12
_ZARR = ("zarr.json", ".zgroup", ".zarray", ".zmetadata")


def holds_dicom(source: Any) -> bool:
    """
    Tell whether a path, list, file object or bytes hold DICOM.

    Parameters
    ----------
    source : object
        Anything that a user may pass to ``open_dataset``. Remote URLs are never fetched: False.
    """
    if isinstance(source, str | os.PathLike):
        return _path(os.fspath(source))
    if isinstance(source, bytes | bytearray | memoryview):
        return _bytes(bytes(source[:_READ]), len(source))
    if isinstance(source, list | tuple):
        return bool(source) and all(holds_dicom(one) for one in source)
    if hasattr(source, "read") and hasattr(source, "seek"):
        place = source.tell()
        try:
            head = source.read(_READ)
            size = source.seek(0, os.SEEK_END)
            return isinstance(head, bytes) and _bytes(head, size)
        finally:
            source.seek(place)
    return False


def _bytes(head: bytes, size: int) -> bool:
    if head[_MAGIC_AT:_HEAD] == _MAGIC:
        return True
    # The dictionary is not imported for files that cannot be a bare data set.
    if head[:2] not in _FIRST_GROUPS:
        return False
    from imagedata_xr.formats.dicom.headers.recognise import is_dicom

    return is_dicom(head, lambda: size)


def _path(path: str) -> bool:
    local = Path(path).expanduser()
    if local.is_dir():
        return _folder(local)
    if local.is_file():
        return _file(local)
    if "://" in path or "::" in path:
        return False
    import glob

    matches = glob.iglob(str(local), recursive=True)  # noqa: PTH207 - the pattern may be absolute
    first = next((match for match in map(Path, matches) if match.is_file()), None)
    return first is not None and _file(first)


def _file(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(_READ)
    return _bytes(head, path.stat().st_size) or (head[:4] == _ZIP and _zip(path))


def _zip(path: Path) -> bool:
    import zipfile

    try:
        with zipfile.ZipFile(path) as archive:
            members = [info for info in archive.infolist() if not info.is_dir()][:_MOST_FILES]
            for info in members:
                with archive.open(info) as member:
                    if _bytes(member.read(_READ), info.file_size):
                        return True
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError):
        return False
    return False


def _folder(path: Path) -> bool:
    seen = 0
    for folder, names, files in os.walk(path):
        if any(name in _ZARR for name in files):
            return False
        names.sort()
        for name in sorted(files):
            full = Path(folder) / name
            if name.startswith(".") or not full.is_file():
                continue
            with full.open("rb") as file:
                if _bytes(file.read(_READ), full.stat().st_size):
                    return True
            seen += 1
            if seen >= _MOST_FILES:
                return False
    return False
