"""Where a series is: a folder of its own, or its files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping

__all__ = ["Places"]

_MEMBER: Final = "::"


class Places:
    """
    What to open for a series.

    Parameters
    ----------
    owners : mapping of str to hashable
        Name of each DICOM file to what it belongs to.
    """

    def __init__(self, owners: Mapping[str, Hashable]) -> None:
        self._owner: dict[str, Hashable] = {}
        self._shared: set[str] = set()
        for name, owner in owners.items():
            for folder in _above(name):
                if self._owner.setdefault(folder, owner) != owner:
                    self._shared.add(folder)

    def of(self, names: Iterable[str]) -> str | list[str]:
        """Return the folder (or archive) that holds these files and no other DICOM, or the files."""
        files = list(names)
        if len(files) == 1:
            return files[0]
        first, *rest = (_above(name) for name in files)
        common = set(first).intersection(*rest)
        folder = next((one for one in first if one in common), None)
        if folder is None or folder in self._shared:
            return files
        archives = {name.partition(_MEMBER)[0] for name in files if _MEMBER in name}
        if archives and archives != {folder.partition(_MEMBER)[0]}:
            return files
        return folder


def _above(name: str) -> list[str]:
    """Return the folders above a file, the nearest first; an archive counts as one."""
    found: list[str] = []
    while True:
        cuts = [name.rfind(cut) for cut in {"/", os.sep, _MEMBER}]
        place = max(cuts)
        if place <= 0 or name[:place].endswith((":/", ":")):
            return found
        name = name[:place]
        found.append(name)
