"""Which formats ITK reads here, and whether a file is one: by its name and its first bytes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

__all__ = ["FORMATS", "PICTURES", "Format", "format_of", "holds_itk"]


@dataclass(frozen=True, slots=True)
class Format:
    """
    A file format.

    Attributes
    ----------
    name : str
    io : str
        The class of ITK that reads it.
    begins : tuple of bytes
        What the file may begin with; any of `within` stands in its first bytes where this is empty.
    within : tuple of bytes
    picture : bool
        Pixels without a size in mm.
    """

    name: str
    io: str
    begins: tuple[bytes, ...] = ()
    within: tuple[bytes, ...] = ()
    picture: bool = False


_META: Final = Format("MetaImage", "MetaImageIO", within=(b"ObjectType", b"NDims"))
_NRRD: Final = Format("NRRD", "NrrdImageIO", (b"NRRD000",))
_VTK: Final = Format("VTK image", "VTKImageIO", (b"# vtk DataFile",))
# The magic number stands at byte 252.
_GIPL: Final = Format("GIPL", "GiplImageIO", within=(b"\xef\xff\xe9\xb0", b"\x2a\xe3\x89\xb8"))
_GIPL_PACKED: Final = Format("GIPL", "GiplImageIO", (b"\x1f\x8b",))
_ANALYZE: Final = Format("Analyze", "NiftiImageIO", (b"\x5c\x01\0\0", b"\0\0\x01\x5c"))
_TIFF: Final = Format("TIFF", "TIFFImageIO", (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), picture=True)
_PNG: Final = Format("PNG", "PNGImageIO", (b"\x89PNG\r\n\x1a\n",), picture=True)
_JPEG: Final = Format("JPEG", "JPEGImageIO", (b"\xff\xd8\xff",), picture=True)

FORMATS: Final = {
    ".mha": _META,
    ".mhd": _META,
    ".nrrd": _NRRD,
    ".nhdr": _NRRD,
    ".vtk": _VTK,
    ".gipl": _GIPL,
    ".gipl.gz": _GIPL_PACKED,
    ".hdr": _ANALYZE,
    ".img": _ANALYZE,
    ".tif": _TIFF,
    ".tiff": _TIFF,
    ".png": _PNG,
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
}
PICTURES: Final = tuple(suffix for suffix, kind in FORMATS.items() if kind.picture)
_READ: Final = 1 << 12
_NIFTI_MAGIC: Final = (b"ni1\0", b"n+1\0")
_MAGIC_AT: Final = 344


def format_of(path: str | os.PathLike[str]) -> tuple[str, Format] | None:
    """Return the suffix and format that the end of a name says, or None."""
    name = Path(path).name.lower()
    for suffix in sorted(FORMATS, key=len, reverse=True):
        if name.endswith(suffix) and len(name) > len(suffix):
            return suffix, FORMATS[suffix]
    return None


def holds_itk(source: Any) -> bool:
    """
    Tell whether a local path is a file of one of these formats.

    Parameters
    ----------
    source : object
        Anything that a user may pass to ``open_dataset``; False for all but local paths.
    """
    if not isinstance(source, str | os.PathLike):
        return False
    path = Path(os.fspath(source)).expanduser()
    found = format_of(path)
    if found is None:
        return False
    suffix, kind = found
    try:
        # An Analyze image has its header in a file of its own.
        header = path if suffix != ".img" else _half(path, ".hdr")
        with header.open("rb") as file:
            head = file.read(_READ)
    except OSError:
        return False
    if kind is _ANALYZE:
        is_nifti = head[_MAGIC_AT : _MAGIC_AT + 4] in _NIFTI_MAGIC
        return head.startswith(kind.begins) and len(head) >= _MAGIC_AT + 4 and not is_nifti
    return head.startswith(kind.begins) if kind.begins else any(w in head for w in kind.within)


def _half(path: Path, suffix: str) -> Path:
    return path.with_suffix(suffix.upper() if path.suffix.isupper() else suffix)
