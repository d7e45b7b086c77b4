"""``-`` as a source or a target: standard input and output."""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from imagedata_xr.cli.formats import FORMATS
from imagedata_xr.errors import NoImagesError, OptionError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from imagedata_xr.cli.formats import Output

__all__ = ["PIPE", "from_input", "to_output"]

PIPE: Final = "-"
# What the files of each format begin with, where; all else is left to the reader of DICOM.
_BEGINNINGS: Final = (
    (0, b"\x1f\x8b", ".nii.gz"),
    (344, b"n+1\0", ".nii"),
    (4, b"n+2\0", ".nii"),
    (0, b"NRRD", ".nrrd"),
    (0, b"ObjectType", ".mha"),
    (0, b"MATLAB", ".mat"),
    (0, b"PK", ".zip"),
    (0, b"\x89PNG", ".png"),
)


@contextlib.contextmanager
def from_input(sources: Sequence[str]) -> Iterator[list[str]]:
    """
    Give the sources with a file in the place of ``-``, which holds what standard input brings.

    Parameters
    ----------
    sources : sequence of str

    Raises
    ------
    NoImagesError
        Nothing comes.
    """
    if PIPE not in sources:
        yield list(sources)
        return
    if list(sources).count(PIPE) > 1:
        raise OptionError("- stands twice among the inputs: there is one standard input")
    with tempfile.TemporaryDirectory(prefix="imagedata_xr-") as private:
        path = Path(private) / "input"
        with path.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        with path.open("rb") as file:
            beginning = file.read(512)
        if not beginning:
            raise NoImagesError("nothing came on standard input")
        named = path.rename(path.with_name(f"input{_suffix(beginning)}"))
        yield [str(named) if source == PIPE else source for source in sources]


def _suffix(beginning: bytes) -> str:
    return next((s for at, word, s in _BEGINNINGS if beginning[at:].startswith(word)), ".dcm")


@contextlib.contextmanager
def to_output(output: Output, engine: str) -> Iterator[Output]:
    """
    Give the output with a file in the place of ``-``, which goes to standard output in the end.

    Parameters
    ----------
    output : Output
    engine : str
        Name of the engine that read the image: its format is written where none is asked for.

    Raises
    ------
    OptionError
        Several formats are asked for, or a person would see the bytes.
    """
    if output.out != PIPE:
        yield output
        return
    names = output.formats or (engine,)
    if len(names) > 1:
        raise OptionError(f"standard output is one file, not {', '.join(names)}")
    if sys.stdout.isatty():
        raise OptionError("OUT is -, and standard output is a terminal: send it to a file or pipe")
    form = FORMATS.get(names[0].lower())
    with tempfile.TemporaryDirectory(prefix="imagedata_xr-") as private:
        path = Path(private) / f"output{form.suffixes[0] if form else ''}"
        yield replace(output, out=str(path), formats=names)
        if path.exists():
            with path.open("rb") as file:
                shutil.copyfileobj(file, sys.stdout.buffer)
            sys.stdout.buffer.flush()
