"""``imagedata-xr formats``: what can be read and written here, and what to install for more."""

from __future__ import annotations

from typing import Annotated

from imagedata_xr_cli.options import Json, version_of
from imagedata_xr_cli.program import new_app

__all__ = ["app"]

NAME = "imagedata-xr formats"

app = new_app(add_completion=False)


@app.command(
    help="List engines, writers and sources: what is installed, and what to install for the rest."
    f"\n\n\b\nExamples:\n  {NAME}\n  {NAME} --json | jq '.[] | select(.installed | not) | .install'"
)
def _formats(*, as_json: Json = False, version: Annotated[bool, version_of(NAME)] = False) -> int:
    del version
    from imagedata_xr.inventory import list_formats, report

    if as_json:
        print(list_formats().to_json(orient="records", indent=2, force_ascii=False))
        return 0
    for line in report():
        print(line)
    return 0
