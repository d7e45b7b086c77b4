"""The command ``image_data``: what it accepts, and how it speaks of errors and warnings."""

from __future__ import annotations

import sys
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["main"]

_NAME = "image_data"
_FAILED = 1
_INTERRUPTED = 130
_HELP = f"""\
Convert DICOM images to another format.

OUT is a file (its name ends in .nii or .nii.gz), or a folder, which is made when missing; in a
folder, the file is named by series number and description, with one file each for magnitude,
phase and other kinds of images. IN are folders, files or zip archives that hold one series, in
any order and under any names.

Try it on made-up images: {_NAME} demo
"""


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments after the name of the command; those of the process by default.

    Returns
    -------
    int
        Exit status: 0, 1 for an error, 2 for wrong usage, 130 after Ctrl-C.
    """
    arguments = list(sys.argv[1:] if argv is None else argv) or ["--help"]
    app = _demonstration if arguments[0] == "demo" else _conversion
    name = _NAME
    if arguments[0] == "demo":
        name = f"{_NAME} {arguments.pop(0)}"
    try:
        with _warnings_as_lines(verbose="-v" in arguments or "--verbose" in arguments):
            status = app(args=arguments, prog_name=name, standalone_mode=False)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except typer.TyperException as error:
        _say("error", f"{error.format_message().rstrip('.')} (see {name} --help)")
        return error.exit_code
    except OSError as error:
        _say("error", _described(error))
        return _FAILED
    except Exception as error:
        from imagedata_xr.errors import ImagedataError

        if not isinstance(error, ImagedataError):
            raise
        _say("error", _described(error))
        return _FAILED
    return int(status or 0)


def _say(what: str, text: str) -> None:
    print(f"{_NAME}: {what}: {text}", file=sys.stderr)


def _described(error: Exception) -> str:
    from imagedata_xr.cli.remedies import as_options
    from imagedata_xr.errors import SortError

    return as_options(error) if isinstance(error, SortError) else str(error) or repr(error)


@contextmanager
def _warnings_as_lines(*, verbose: bool) -> Iterator[None]:
    """Show each warning of the package as one line; those of other packages only if verbose."""

    def show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        from imagedata_xr.errors import ImagedataWarning

        if verbose or issubclass(category, ImagedataWarning):
            first, *rest = (line.strip() for line in str(message).splitlines())
            _say("warning", " ".join([first, "; ".join(rest)]).strip())

    with warnings.catch_warnings():
        warnings.simplefilter("always" if verbose else "default")
        warnings.showwarning = show
        yield


def _print_version(value: bool) -> None:  # noqa: FBT001 - typer calls it so
    if value:
        from importlib.metadata import version

        print(f"{_NAME} {version('imagedata_xr')}")
        raise typer.Exit


_conversion = typer.Typer(
    add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False
)
_demonstration = typer.Typer(
    add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False
)


@_conversion.command(help=_HELP)
def _convert(  # noqa: PLR0913 - each option is one thing a user may say
    out: Annotated[str, typer.Argument(metavar="OUT", help="File or folder to write.")],
    sources: Annotated[list[str], typer.Argument(metavar="IN", help="What to read.")],
    *,
    formats: Annotated[
        list[str] | None, typer.Option("--of", metavar="FORMAT", help="Output format: nifti.")
    ] = None,
    order: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEYS",
            help="Dimensions besides slice, row and column: time, te, ti, fa, b, volume, a DICOM "
            "keyword, NAME=KEYWORD, or several with commas. By default: what varies.",
        ),
    ] = None,
    series: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SERIES",
            help="Number, description or UID of the series to read; several are sorted "
            "together, as are all with 'all'.",
        ),
    ] = None,
    select: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEYWORD=VALUE",
            help="Read only images with this value of a DICOM attribute. The same keyword again "
            "adds another value.",
        ),
    ] = None,
    stack: Annotated[
        int | None,
        typer.Option(metavar="N", help="Number of the stack in a series of several."),
    ] = None,
    errors: Annotated[
        str, typer.Option(metavar="raise|warn", help="What to do about damaged DICOM files.")
    ] = "raise",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that exist.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print only warnings and errors.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Print what was found in the headers, too.")
    ] = False,
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_print_version, help="Show the version."),
    ] = False,
) -> int:
    del version
    from imagedata_xr.cli.convert import Choice, Request, convert

    choice = Choice(tuple(order or ()), tuple(series or ()), tuple(select or ()), stack, errors)
    asked = tuple(formats or ("nifti",))
    request = Request(sources=tuple(sources), out=out, formats=asked, overwrite=overwrite)
    for line in convert(request, choice, verbose=verbose, quiet=quiet):
        print(line)
    return 0


@_demonstration.command(
    help="Make a DICOM series of a head, open it, and convert it to NIfTI and back."
)
def _demo(
    folder: Annotated[
        str | None,
        typer.Argument(metavar="FOLDER", help="Where to; a new temporary folder by default."),
    ] = None,
) -> int:
    from imagedata_xr.cli.demo import demo

    return demo(folder)


if __name__ == "__main__":
    sys.exit(main())
