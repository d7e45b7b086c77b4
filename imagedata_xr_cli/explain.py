"""``imagedata-xr explain``: what the documentation says of an error or warning."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from imagedata_xr_cli.options import version_of
from imagedata_xr_cli.program import new_app

__all__ = ["app"]

NAME = "imagedata-xr explain"
# Beside this file where the package was installed, in the docs where it is developed.
_PAGES = (
    Path(__file__).with_name("errors.md"),
    Path(__file__).parent.parent / "docs" / "reference" / "errors.md",
)
_ROW = re.compile(r"^\| `(\w+)` \| (.*?) \| (.*?) \|$", re.MULTILINE)
_EXAMPLE = re.compile(r"^```text\n(.*?)^```", re.MULTILINE | re.DOTALL)

app = new_app(add_completion=False)


@app.command(
    help="Say when an error or warning comes, and what to do."
    f"\n\n\b\nExample:\n  {NAME} IncompleteGridError"
)
def _explain(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="Of an error or warning; all of them by default."),
    ] = None,
    *,
    version: Annotated[bool, version_of(NAME)] = False,
) -> int:
    del version
    page = next(path for path in _PAGES if path.exists()).read_text(encoding="utf-8")
    rows = {title: (when, remedy) for title, when, remedy in _ROW.findall(page)}
    if name is None:
        for title, (when, _) in rows.items():
            print(f"{title:22} {when}")
        return 0
    if name not in rows:
        raise typer.BadParameter(f"{name}: there is no such error; there are {', '.join(rows)}")
    when, remedy = rows[name]
    print(f"{name}\n\nWhen: {when}\n\nWhat to do: {remedy}")
    for example in _EXAMPLE.findall(page):
        if example.startswith(f"{name}:"):
            print(f"\nFor example:\n\n{example}", end="")
    return 0
