"""``image_timeline``, also called ``timeline``: the times of a dynamic series."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imagedata_xr_cli.options import Json, Sources, reads, version_of
from imagedata_xr_cli.program import new_app, run

if TYPE_CHECKING:
    pass

__all__ = ["app", "main"]

NAME = "image_timeline"

app = new_app(add_completion=True)


@app.command(
    help="Print the times of a dynamic series, in seconds from its first image.\n\n\b\n"
    f"Examples:\n  {NAME} dynamicDir\n  {NAME} --json dynamicDir | jq .time"
)
@reads
def _timeline(
    sources: Sources,
    *,
    choice: Any,
    single_column: Annotated[
        bool, typer.Option("--one", "-1", help="One time a line, below a title.")
    ] = False,
    as_json: Json = False,
    version: Annotated[bool, version_of(NAME)] = False,
) -> int:
    del version
    from imagedata_xr.cli.timeline import timeline

    for line in timeline(sources, choice, single_column=single_column, as_json=as_json):
        print(line)
    return 0


main = partial(run, app, NAME)


if __name__ == "__main__":
    sys.exit(main())
