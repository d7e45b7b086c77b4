"""``imagedata-xr``: every command under one name."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Annotated

import typer

from imagedata_xr_cli.options import version_of
from imagedata_xr_cli.program import new_app, run

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["COMMANDS", "app", "main"]

NAME = "imagedata-xr"
# Name in the family: module and application; the command's own name stands in its help.
COMMANDS = {
    "data": ("data", "app"),
    "demo": ("data", "demonstration"),
    "calculator": ("calculator", "app"),
    "timeline": ("timeline", "app"),
    "sort": ("sort", "app"),
    "show": ("show", "app"),
    "statistics": ("statistics", "statistics_app"),
    "roi": ("statistics", "roi_app"),
    "deidentify": ("deidentify", "app"),
    "dump": ("looking", "dump_app"),
    "echo": ("network", "echo_app"),
    "fetch": ("network", "fetch_app"),
    "receive": ("network", "receive_app"),
    "send": ("network", "send_app"),
    "explain": ("explain", "app"),
    "formats": ("formats", "app"),
    "list": ("listing", "app"),
    "validate": ("looking", "validate_app"),
}

app = new_app(add_completion=True, no_args_is_help=True)


@app.callback(help="Medical images: convert, look, compute, sort, send.")
def _family(*, version: Annotated[bool, version_of(NAME)] = False) -> None:
    del version


def _collected() -> typer.Typer:
    for name, (module, application) in COMMANDS.items():
        if any(known.name == name for known in app.registered_commands):
            continue
        found: typer.Typer = getattr(import_module(f"imagedata_xr_cli.{module}"), application)
        (command,) = found.registered_commands
        assert command.callback is not None
        app.command(name, help=command.help)(command.callback)
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``imagedata-xr``; see `imagedata_xr_cli.program.run`."""
    return run(_collected(), NAME, arguments)


if __name__ == "__main__":
    sys.exit(main())
