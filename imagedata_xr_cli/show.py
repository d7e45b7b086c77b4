"""``image_show``: images in the browser."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imagedata_xr_cli.options import Sources, reads, version_of
from imagedata_xr_cli.program import new_app, run

if TYPE_CHECKING:
    pass

__all__ = ["app", "main"]

NAME = "image_show"

app = new_app(add_completion=True)


@app.command(
    help="Show images in the browser, several side by side. The page is served on this machine "
    "only, under an address that nobody can guess, which is printed; Ctrl-C ends it.\n\n\b\n"
    f"Examples:\n  {NAME} ctDir\n  {NAME} --no-browser --port 8800 dynamicDir\n"
    f"  {NAME} --save page.html dwiDir"
)
@reads
def _show(  # noqa: PLR0913 - each option is one thing a user may say
    sources: Sources,
    *,
    choice: Any,
    port: Annotated[int, typer.Option(metavar="N", help="Port; 0 is any free one.")] = 0,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Whether to open a browser.")
    ] = True,
    anonymous: Annotated[bool, typer.Option("--no-names", help="Hide the patient's name.")] = False,
    save: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Write a page (.html) or a picture (.png) instead of showing."
        ),
    ] = None,
    version: Annotated[bool, version_of(NAME)] = False,
) -> int:
    del version
    from imagedata_xr.cli.show import show

    line = show(sources, choice, port=port, browser=browser, phi=not anonymous, save=save)
    if line:
        print(line)
    return 0


main = partial(run, app, NAME)


if __name__ == "__main__":
    sys.exit(main())
