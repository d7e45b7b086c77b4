"""Why a series makes no array, in words that name no patient."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING

from imagedata_xr.errors import ImagedataError, SortError
from imagedata_xr.formats.dicom.attributes import identifies

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from imagedata_xr.frames import Frame, Value

__all__ = ["reason", "without_identity"]

# Shorter values stand in any text, and tell nobody apart.
_SHORTEST = 3


def reason(error: ImagedataError, frames: Sequence[Frame], *, phi: bool = True) -> str:
    """
    Return the text of an error, without what identifies the patient.

    Parameters
    ----------
    error : ImagedataError
    frames : sequence of Frame
        Whose headers may have got into the text.
    phi : bool
        False takes out the names of the files too: they may be patients' names.
    """
    text = str(error)
    if isinstance(error, SortError) and any("select" in one for one in error.suggestions):
        kept = [one for one in error.suggestions if not _names_patient(one.get("select"))]
        text = str(type(error)(error.args[0], suggestions=kept))
    if not phi:
        for name in sorted({frame.ref.source.name for frame in frames}, key=len, reverse=True):
            text = text.replace(name, "a file")
    return without_identity(text, (frame.values for frame in frames))


def without_identity(text: str, headers: Iterable[Mapping[str, Value]]) -> str:
    """Replace every header value that identifies somebody in a text."""
    values: set[str] = set()
    for header in headers:
        for keyword in filter(identifies, header):
            with contextlib.suppress(ImagedataError):
                values.add(str(header.get(keyword)))
    for value in sorted(values, key=len, reverse=True):
        if len(value) >= _SHORTEST:
            text = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", "***", text)
    return text


def _names_patient(select: object) -> bool:
    return isinstance(select, dict) and any(identifies(str(keyword)) for keyword in select)
