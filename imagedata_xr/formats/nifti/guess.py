"""Is something a NIfTI file? Answered from its name and first bytes, for xarray's choice."""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from typing import Any

__all__ = ["holds_nifti"]

_NAMES = (".nii", ".nii.gz", ".hdr", ".img", ".hdr.gz", ".img.gz")
_READ = 1 << 12
_MAGIC_AT = ((348, 344, (b"n+1\0", b"ni1\0")), (540, 4, (b"n+2\0", b"ni2\0")))


def holds_nifti(source: Any) -> bool:
    """
    Tell whether a path, a binary file object or bytes hold a NIfTI image.

    Parameters
    ----------
    source : object
        Anything that a user may pass to ``open_dataset``. Remote URLs are never fetched: False.
    """
    if isinstance(source, str | os.PathLike):
        path = Path(os.fspath(source))
        return str(path).lower().endswith(_NAMES) and any(map(_file, _candidates(path)))
    if isinstance(source, bytes | bytearray | memoryview):
        return _head(bytes(source[:_READ]))
    if hasattr(source, "read") and hasattr(source, "seek"):
        place = source.tell()
        try:
            head = source.read(_READ)
            return isinstance(head, bytes) and _head(head)
        finally:
            source.seek(place)
    return False


def _candidates(path: Path) -> list[Path]:
    """Return the file that has the header: that of an ``.img`` stands beside it."""
    plain = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    if plain.suffix.lower() != ".img":
        return [path]
    header = ".HDR" if plain.suffix.isupper() else ".hdr"
    return [plain.with_suffix(header), plain.with_suffix(header + ".gz")]


def _file(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return _head(file.read(_READ))
    except OSError:
        return False


def _head(head: bytes) -> bool:
    if head[:2] == b"\x1f\x8b":
        try:
            head = zlib.decompressobj(zlib.MAX_WBITS + 16).decompress(head, _READ)
        except zlib.error:
            return False
    sizes = {int.from_bytes(head[:4], "little"), int.from_bytes(head[:4], "big")}
    return any(
        size in sizes and head[at : at + 4] in magics and len(head) >= size
        for size, at, magics in _MAGIC_AT
    )
