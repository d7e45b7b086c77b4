"""Options that commands share, each with its one meaning."""

from __future__ import annotations

import inspect
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from imagedata_xr.cli.opening import Choice

__all__ = [
    "Json",
    "Overwrite",
    "Quiet",
    "Sources",
    "Verbose",
    "added",
    "reads",
    "sorts",
    "version_of",
]

Sources = Annotated[
    list[str],
    typer.Argument(metavar="IN...", help="Folders, files, archives or URLs.", show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what exists.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only warnings and errors.")]
Order = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KEYS",
        help="Dimensions besides slice, row and column: time, te, ti, fa, b, volume, a DICOM "
        "keyword, NAME=KEYWORD, or several with commas; none for one volume. By default: what "
        "varies.",
    ),
]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Print what was found in the headers, too.")
]


def _options(  # noqa: PLR0913 - each option is one thing a user may say
    *,
    order: Order = None,
    series: Annotated[
        list[str] | None,
        typer.Option(
            "--series",
            "--input_serinsuid",
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
        int | None, typer.Option(metavar="N", help="Number of the stack in a series of several.")
    ] = None,
    errors: Annotated[
        str, typer.Option(metavar="raise|warn", help="What to do about damaged DICOM files.")
    ] = "raise",
    input_format: Annotated[
        str | None,
        typer.Option(
            "--input_format",
            "--input-format",
            metavar="FORMAT",
            help="dicom, nifti, itk or mat; by default what the files are.",
        ),
    ] = None,
    input_echo: Annotated[
        str | None,
        typer.Option(
            "--input_echo", "--input-echo", metavar="N", help="Same as --select EchoNumbers=N."
        ),
    ] = None,
    input_acquisition: Annotated[
        str | None,
        typer.Option(
            "--input_acquisition",
            "--input-acquisition",
            metavar="N",
            help="Same as --select AcquisitionNumber=N.",
        ),
    ] = None,
    input_options: Annotated[
        list[str] | None,
        typer.Option(
            "--input_options",
            "--input-options",
            metavar="NAME=VALUE",
            help="An option of the engine (rescale=false), or a sort key (ti=InversionTime).",
        ),
    ] = None,
    calling_aet: Annotated[
        str | None,
        typer.Option(
            "--calling_aet",
            "--calling-aet",
            metavar="AET",
            help="Own AE title, for DICOM servers; IMAGEDATA_XR_AET by default.",
        ),
    ] = None,
    chunks: Annotated[
        str | None,
        typer.Option(
            metavar="CHUNKS",
            help="Compute in pieces with Dask: auto, or DIM=SIZE with commas, e.g. slice=10.",
        ),
    ] = None,
) -> None:
    """Hold the options that `reads` gives to commands."""


def reads(command: Callable[..., Any]) -> Callable[..., Any]:
    """
    Give a command the options that say what to read, as its one parameter ``choice``.

    Parameters
    ----------
    command : callable
        Takes ``choice`` (`imagedata_xr.cli.opening.Choice`), and options of its own.
    """
    return added(command, "choice", _options, _choice)


def sorts(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the option ``--order`` alone, as its parameter ``choice``; see `reads`."""
    return added(command, "choice", _only_order, _choice)


def _only_order(*, order: Order = None) -> None:
    """Hold the option that `sorts` gives to commands."""


def added(
    command: Callable[..., Any],
    name: str,
    options: Callable[..., None],
    made: Callable[..., Any],
) -> Callable[..., Any]:
    """
    Replace one parameter of a command by many options.

    Parameters
    ----------
    command : callable
    name : str
        The parameter.
    options : callable
        Has the options as its keyword-only parameters.
    made : callable
        Takes what else was given as a dict, and the options by keyword; returns the parameter.
    """
    shared = inspect.signature(options, eval_str=True).parameters
    own = dict(inspect.signature(command, eval_str=True).parameters)
    own.pop(name)

    @wraps(command)
    def with_options(**given: Any) -> Any:
        asked = {option: given.pop(option) for option in shared}
        return command(**{name: made(given, **asked)}, **given)

    wrapped: Any = with_options
    del wrapped.__wrapped__
    before = [one for one in own.values() if one.kind is not one.KEYWORD_ONLY]
    after = [one for one in own.values() if one.kind is one.KEYWORD_ONLY]
    wrapped.__signature__ = inspect.Signature([*before, *shared.values(), *after])
    wrapped.__annotations__ = {
        key: one.annotation for key, one in wrapped.__signature__.parameters.items()
    }
    return with_options


def _choice(given: dict[str, Any], **asked: Any) -> Choice:
    from imagedata_xr.cli.opening import Choice, calling

    title = asked.pop("calling_aet", None)
    if title is not None:
        for name in ("out", "sources", "image", "regions", "template", "geometry"):
            value = given.get(name)
            if isinstance(value, str):
                given[name] = calling(value, title)
            elif value is not None:
                given[name] = [calling(one, title) for one in value]

    aliases = {"input_echo": "EchoNumbers", "input_acquisition": "AcquisitionNumber"}
    extra = tuple(
        f"{keyword}={value}"
        for name, keyword in aliases.items()
        if (value := asked.pop(name, None)) is not None
    )
    select = (*(asked.pop("select", None) or ()), *extra)
    lists = {
        name: tuple(asked.pop(name, None) or ()) for name in ("order", "series", "input_options")
    }
    return Choice(**{**lists, **asked, "select": select})


def version_of(name: str) -> Any:
    """Return the option that shows the version of a command."""

    def show(value: bool) -> None:  # noqa: FBT001 - typer calls it so
        if value:
            from importlib.metadata import version

            print(f"{name} {version('imagedata_xr')}")
            raise typer.Exit

    return typer.Option("--version", "-V", is_eager=True, callback=show, help="Show the version.")
