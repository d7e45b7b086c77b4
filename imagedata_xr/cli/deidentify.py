"""Copies of DICOM files without identity, as the command line asks for them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagedata_xr.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["deidentify"]


def deidentify(  # noqa: PLR0913 - one for each option
    sources: Sequence[str],
    out: str,
    *,
    dates: str | None,
    retain: Iterable[str],
    keep: Iterable[str],
    secret_file: str | None,
    overwrite: bool,
    quiet: bool,
) -> str:
    """
    Write the copies, and return what there is to tell a person.

    Parameters
    ----------
    sources, out, dates, retain, keep, overwrite
        As `imagedata_xr.deidentify_files` takes them.
    secret_file : str or None
        File whose contents are the secret.
    quiet : bool
        No progress bar.

    Raises
    ------
    ImagedataError
        Nothing was written.
    """
    from imagedata_xr.formats.dicom.deidentify import deidentify_files

    source: Any = list(sources) if len(sources) > 1 else sources[0]
    target = deidentify_files(
        source,
        out,
        secret=None if secret_file is None else _secret(secret_file),
        dates=dates,
        retain=retain,
        keep=keep,
        overwrite=overwrite,
        progress=False if quiet else None,
    )
    return f"{target}: written without the patient's identity"


def _secret(name: str) -> bytes:
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise SourceError(f"--secret-file {name}: {error.strerror}") from error
