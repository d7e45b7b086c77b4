"""Errors of sorting whose remedies are options of the command line."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from imagedata_xr.errors import SortError

__all__ = ["as_options"]


def as_options(error: SortError) -> str:
    """
    Return the message of an error with its suggestions spelled as options.

    Parameters
    ----------
    error : SortError
    """
    text = str(error.args[0])
    lines = [" ".join(_options(suggestion)) for suggestion in error.suggestions]
    if not lines:
        return text
    return "\n".join([text, "Run it again with one of:", *(f"  {line}" for line in lines)])


def _options(suggestion: Mapping[str, Any]) -> Iterator[str]:
    for name, value in suggestion.items():
        if name == "sort":
            keys = value if isinstance(value, str) else ",".join(map(str, value))
            yield f"--order {shlex.quote(keys)}"
        elif name == "select":
            for keyword, criterion in value.items():
                several = criterion if isinstance(criterion, list) else [criterion]
                yield from (f"--select {shlex.quote(f'{keyword}={_text(v)}')}" for v in several)
        else:
            yield f"--{name} {shlex.quote(str(value))}"


def _text(value: Any) -> str:
    """Spell a header value as DICOM does: several values with a backslash between them."""
    return "\\".join(map(str, value)) if isinstance(value, tuple) else str(value)
