"""Names of the files of a series."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from imagedata_xr.errors import OptionError
from imagedata_xr.targets import complete_file, complete_folder, place_of

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

__all__ = ["OURS", "file_name", "one_file"]

SHORTEST: Final = 4
OURS: Final = re.compile(r"\d{4,}\.dcm")
_SUFFIX: Final = ".dcm"


def file_name(number: int, count: int) -> str:
    """
    Return the name of a file: names sort as the frames do, and say nothing of the patient.

    Parameters
    ----------
    number : int
        From 1.
    count : int
        Of all files.
    """
    return f"{number:0{max(SHORTEST, len(str(count)))}d}.dcm"


@contextlib.contextmanager
def one_file(target: str | os.PathLike[str], *, overwrite: bool) -> Iterator[Path]:
    """
    Give a name for a single instance, which is at the target when all went well.

    Parameters
    ----------
    target : path-like or URL
        A file on disk that ends in ``.dcm``, or what `imagedata_xr.targets.complete_folder` takes.
    overwrite : bool

    Raises
    ------
    OptionError, WriteError
        The target cannot be written, or is not free.
    """
    place = place_of(target)
    if not str(place).lower().endswith(_SUFFIX):
        with complete_folder(target, ours=OURS, overwrite=overwrite) as folder:
            yield folder / file_name(1, 1)
        return
    if not isinstance(place, Path):
        raise OptionError(f"{place}: behind a URL, give a folder or an archive that ends in .zip")
    with complete_file(place, overwrite=overwrite) as path:
        yield path
