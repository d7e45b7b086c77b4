"""``image_list``: what is in folders, archives and on servers."""

from __future__ import annotations

import json
import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imagedata_xr_cli.network import connects
from imagedata_xr_cli.options import Json, Quiet, version_of
from imagedata_xr_cli.program import new_app, run

if TYPE_CHECKING:
    pass

__all__ = ["app", "main"]

NAME = "image_list"
_HELP = f"""\
List patients, studies and series, wherever they are.

Folders and archives are listed by the headers of their files; a server is asked, and no image fetched.

\b
Examples:
  {NAME} studyDir archive.zip
  {NAME} dicom://server:104/PACS/ID-17
  {NAME} --level study 'dicom://server:104/PACS/ID-*'
  {NAME} xnat+https://xnat.example.org/PROJECT
  {NAME} --json studyDir | jq '.[].path'
"""

app = new_app(add_completion=True)


@app.command(help=_HELP)
@connects
def _list(  # noqa: PLR0913 - each option is one thing a user may say
    places: Annotated[
        list[str],
        typer.Argument(metavar="PLACE...", help="Folders, files, archives or URLs."),
    ],
    *,
    access: Any,
    level: Annotated[
        str | None,
        typer.Option(
            metavar="LEVEL",
            help="patient, study or series; by default series, but studies of a whole server.",
        ),
    ] = None,
    recursive: Annotated[
        bool, typer.Option("--recursive", "-r", help="Same as --level series.")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    version: Annotated[bool, version_of(NAME)] = False,
) -> int:
    del version
    from imagedata_xr.cli.listing import lines_of, records_of

    level = "series" if recursive and level is None else level
    if as_json:
        rows = records_of(places, level, access, quiet=quiet)
        print(json.dumps(rows, indent=2, ensure_ascii=False, default=str))
        return 0
    for line in lines_of(places, level, access, quiet=quiet):
        print(line)
    return 0


main = partial(run, app, NAME)


if __name__ == "__main__":
    sys.exit(main())
