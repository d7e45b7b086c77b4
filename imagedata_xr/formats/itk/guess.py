"""Is a file MetaImage or NRRD? Answered from its name and first bytes, for xarray's choice."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

__all__ = ["READERS", "holds_itk"]

# End of the name to the class of ITK that reads it.
READERS: Final = {
    ".mha": "MetaImageIO",
    ".mhd": "MetaImageIO",
    ".nrrd": "NrrdImageIO",
    ".nhdr": "NrrdImageIO",
}
_READ = 1 << 12
_META = (b"ObjectType", b"NDims")


def holds_itk(source: Any) -> bool:
    """
    Tell whether a local path is a MetaImage or NRRD file.

    Parameters
    ----------
    source : object
        Anything that a user may pass to ``open_dataset``; False for all but local paths.
    """
    if not isinstance(source, str | os.PathLike):
        return False
    path = Path(os.fspath(source))
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        return False
    try:
        with path.open("rb") as file:
            head = file.read(_READ)
    except OSError:
        return False
    if reader == "NrrdImageIO":
        return head.startswith(b"NRRD000")
    return any(word in head for word in _META)
