"""A list, a pattern or a folder of pictures: which files, in which order."""

from __future__ import annotations

import glob
import os
import re
import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from imagedata_xr.errors import DataWarning, NoImagesError, OptionError
from imagedata_xr.formats.itk.guess import FORMATS, PICTURES, format_of

__all__ = ["files_of"]

DIGITS: Final = re.compile(r"(\d+)")
PATTERN: Final = re.compile(r"[*?\[]")


def files_of(source: Any) -> list[str] | None:
    """
    Return the files of a stack, numbers in their names in order; None for one file.

    Parameters
    ----------
    source : object
        A list of paths, a glob pattern, or a folder, of which the pictures are taken.

    Raises
    ------
    NoImagesError
        There are no pictures.
    OptionError
        They are of several formats.

    Warns
    -----
    DataWarning
        Where the numbers in the names leave some out.
    """
    if isinstance(source, list | tuple):
        names = [os.fspath(one) for one in source]
    elif isinstance(source, str | os.PathLike) and Path(source).is_dir():
        names = [str(p) for p in Path(source).iterdir() if p.suffix.lower() in PICTURES]
    elif isinstance(source, str) and PATTERN.search(source) and not Path(source).exists():
        names = glob.glob(source)  # noqa: PTH207 - takes absolute patterns too
    else:
        return None
    if not names:
        raise NoImagesError(f"{source}: there are no pictures ({', '.join(PICTURES)})")
    names = sorted(dict.fromkeys(names), key=_natural)
    found = [format_of(name) for name in names]
    kinds = {None if one is None else one[1].name for one in found}
    pictures = {kind.name for kind in FORMATS.values() if kind.picture}
    if len(kinds) > 1 or not kinds <= pictures:
        listed = ", ".join(sorted(str(kind) for kind in kinds))
        raise OptionError(f"a stack is made of pictures of one format, not of {listed}")
    _warn_of_gaps(names)
    return names


def _natural(name: str) -> tuple[Any, ...]:
    """Return what sorts slice2 before slice10."""
    parts = DIGITS.split(name)
    return tuple((int(p), "") if k % 2 else (0, p.lower()) for k, p in enumerate(parts)), name


def _warn_of_gaps(names: list[str]) -> None:
    """Warn where one number counts the files, and some of its values are missing."""
    split = [DIGITS.split(Path(name).stem) for name in names]
    if len({len(parts) for parts in split}) != 1:
        return
    varying = [k for k in range(len(split[0])) if len({parts[k] for parts in split}) > 1]
    if len(varying) != 1 or not varying[0] % 2:
        return
    numbers = [int(parts[varying[0]]) for parts in split]
    steps = [b - a for a, b in pairwise(numbers)]
    usual = min(steps)
    gaps = [k for k, step in enumerate(steps) if step != usual]
    if gaps:
        first, after = Path(names[gaps[0]]).name, Path(names[gaps[0] + 1]).name
        warnings.warn(
            f"the numbers of the pictures leave some out, first between {first} and {after}",
            DataWarning,
            stacklevel=5,
        )
