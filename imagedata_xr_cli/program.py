"""How every command runs, and how it speaks of errors and warnings."""

from __future__ import annotations

import os
import sys
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["new_app", "run"]

_FAILED = 1
_INTERRUPTED = 130
# What a shell says of a program that SIGPIPE ended.
_PIPE_CLOSED = 141


def new_app(**options: Any) -> typer.Typer:
    """Return an application whose help is plain text and whose errors are left to `run`."""
    return typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, **options)


def run(
    app: Callable[..., Any],
    name: str,
    arguments: Sequence[str] | None = None,
    *,
    needs_arguments: bool = True,
) -> int:
    """
    Run a command, and say on one line what went wrong.

    Parameters
    ----------
    app : callable
        A typer application, or anything called like one.
    name : str
        Of the command, for messages.
    arguments : sequence of str, optional
        Those of the process by default.
    needs_arguments : bool
        Without any, show the help.

    Returns
    -------
    int
        Exit status: 0, 1 for an error, 2 for wrong usage, 130 after Ctrl-C, 141 where nobody reads
        the output any more.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        with _warnings_as_lines(name, verbose="-v" in given or "--verbose" in given):
            if needs_arguments and not given:
                given = ["--help"]
            status = app(args=given, prog_name=name, standalone_mode=False)
            sys.stdout.flush()
    except (KeyboardInterrupt, typer.Abort):
        return _INTERRUPTED
    except BrokenPipeError:
        # The interpreter flushes standard output once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return _PIPE_CLOSED
    except typer.TyperException as error:
        _say(name, "error", f"{error.format_message().rstrip('.')} (see {name} --help)")
        return error.exit_code
    except Exception as error:
        text = _described(error)
        if text is None:
            raise
        _say(name, "error", text)
        return _FAILED
    return int(status or 0)


def _say(name: str, what: str, text: str) -> None:
    print(f"{name}: {what}: {text}", file=sys.stderr)


def _described(error: Exception) -> str | None:
    """Return an error in words, None for one that nobody raised on purpose."""
    if "imagedata_xr" in sys.modules:
        from imagedata_xr.cli.remedies import in_words

        return in_words(error)
    return str(error) if isinstance(error, OSError) else None


@contextmanager
def _warnings_as_lines(name: str, *, verbose: bool) -> Iterator[None]:
    """Show each warning of the package as one line; those of other packages only if verbose."""

    def show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        from imagedata_xr.errors import ImagedataWarning

        if verbose or issubclass(category, ImagedataWarning):
            first, *rest = (line.strip() for line in str(message).splitlines())
            _say(name, "warning", " ".join([first, "; ".join(rest)]).strip())

    with warnings.catch_warnings():
        warnings.simplefilter("always" if verbose else "default")
        warnings.showwarning = show
        yield
