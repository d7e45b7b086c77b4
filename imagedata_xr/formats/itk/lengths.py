"""
Whether a file can hold the voxels that its header promises.

ITK takes what is missing from VTK, GIPL and JPEG files for zeros, grey, or whatever the memory
holds, without a word.
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Final

from imagedata_xr.errors import FormatError

__all__ = ["check_length"]

# Deflate packs at most 258 bytes into two bits.
LARGEST_RATIO: Final = 1032
VTK_HEADER: Final = 4096
GIPL_HEADER: Final = 256
JPEG_TAIL: Final = 1024
DETACHED: Final = (".mhd", ".nhdr")
UNBOUNDED: Final = (".tif", ".tiff", ".jpg", ".jpeg")


def check_length(path: str, suffix: str, needed: int, count: int) -> None:
    """
    Raise FormatError where the file cannot hold the voxels.

    Parameters
    ----------
    path : str
    suffix : str
        Of the format.
    needed : int
        Bytes of the voxels.
    count : int
        Numbers in them.
    """
    file = Path(path)
    files = [file]
    if suffix in DETACHED:
        files = [one for one in file.parent.iterdir() if one.is_file()]
    there = sum(one.stat().st_size for one in files)
    if suffix == ".vtk":
        _check_vtk(file, needed, count)
    elif suffix == ".gipl":
        _require(path, there - GIPL_HEADER, needed)
    elif suffix == ".gipl.gz":
        _check_gzip(file, needed + GIPL_HEADER)
    elif suffix in (".hdr", ".img"):
        image = file.with_suffix(".IMG" if file.suffix.isupper() else ".img")
        _require(path, image.stat().st_size if image.is_file() else 0, needed)
    elif suffix in (".jpg", ".jpeg"):
        with file.open("rb") as stream:
            stream.seek(max(there - JPEG_TAIL, 0))
            if b"\xff\xd9" not in stream.read():
                raise FormatError(f"{path}: the picture breaks off: it has no end of image")
    if suffix not in UNBOUNDED and needed > LARGEST_RATIO * there:
        raise FormatError(f"{path}: the voxels need {needed} bytes, more than the file can hold")


def _require(path: str, there: int, needed: int) -> None:
    if there < needed:
        raise FormatError(f"{path}: the voxels need {needed} bytes, and the file has {there}")


def _check_vtk(file: Path, needed: int, count: int) -> None:
    with file.open("rb") as stream:
        head = stream.read(VTK_HEADER)
    lines = head.split(b"\n")
    at = 0
    for line in lines[:-1]:
        at += len(line) + 1
        if line.strip().upper().startswith((b"LOOKUP_TABLE", b"COLOR_SCALARS", b"VECTORS")):
            break
    else:
        raise FormatError(f"{file}: there are no SCALARS in the header of the VTK file")
    kind = lines[2].strip().upper() if len(lines) > 2 else b""
    if kind == b"BINARY":
        _require(str(file), file.stat().st_size - at, needed)
    elif kind == b"ASCII":
        numbers = len(file.read_bytes()[at:].split())
        if numbers < count:
            raise FormatError(f"{file}: {count} numbers are promised, and {numbers} are there")
    else:
        raise FormatError(f"{file}: line 3 of a VTK file is BINARY or ASCII, not {kind!r}")


def _check_gzip(file: Path, needed: int) -> None:
    """Read a packed file through: nothing else tells where it breaks off."""
    there = 0
    try:
        with gzip.open(file) as stream:
            while part := stream.read(1 << 20):
                there += len(part)
                if there >= needed:
                    return
    except (OSError, EOFError, ValueError) as error:
        raise FormatError(f"{file}: the gzip stream is damaged: {error}") from error
    _require(str(file), there, needed)
