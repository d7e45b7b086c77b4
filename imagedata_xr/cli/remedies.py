"""Errors in the words of the command line: remedies are options, not arguments of Python."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from imagedata_xr.errors import ImagedataError, SortError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["as_options", "in_words", "options_of"]

# Arguments that an error may name, as options.
_SPELLINGS = {
    "pass overwrite=True to": "use --overwrite to",
    "errors='warn' opens the series without": "--errors warn opens the series without",
    "pass template= to say whose it is": "--template says whose it is",
}


def in_words(error: Exception) -> str | None:
    """
    Return what to tell a person of an error; None where nobody raised it on purpose.

    Parameters
    ----------
    error : Exception
    """
    if isinstance(error, SortError):
        return _spelled(as_options(error))
    if isinstance(error, ImagedataError | OSError):
        return _spelled(str(error) or repr(error))
    if isinstance(error, MemoryError):
        return "there is not enough memory: --chunks auto computes in pieces"
    return None


def _spelled(text: str) -> str:
    for argument, option in _SPELLINGS.items():
        text = text.replace(argument, option)
    return text


def as_options(error: SortError) -> str:
    """
    Return the message of an error with its suggestions spelled as options.

    Parameters
    ----------
    error : SortError
    """
    text = str(error.args[0])
    lines = [options_of(suggestion) for suggestion in error.suggestions]
    if not lines:
        return text
    return "\n".join([text, "Run it again with one of:", *(f"  {line}" for line in lines)])


def options_of(suggestion: Mapping[str, Any]) -> str:
    """Return arguments of ``xarray.open_dataarray`` as options."""
    return " ".join(_options(suggestion))


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
