"""``dicom_sort``: DICOM files into folders by patient, study and series."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from imagedata_xr_cli.options import Quiet, Sources, version_of
from imagedata_xr_cli.program import new_app, run

if TYPE_CHECKING:
    pass

__all__ = ["app", "main"]

NAME = "dicom_sort"
_HELP = f"""\
Put DICOM files into folders of patients, studies and series.

OUT is a folder, which may hold files of an earlier run, or a new archive that ends in .zip. Nothing
is ever overwritten: a file of the same contents is left alone, another one is an error before
anything is done. Patients are numbered, unless the template names them.

\b
Examples:
  {NAME} sorted download
  {NAME} --template '{{PatientID}}/{{StudyDate}}/{{SeriesNumber:03d}}_{{SeriesDescription}}' out in
  {NAME} --mode link sorted download
  {NAME} sorted.zip folder1 folder2 archive.zip
"""

app = new_app(add_completion=True)


@app.command(help=_HELP)
def _sort(  # noqa: PLR0913 - each option is one thing a user may say
    out: Annotated[str, typer.Argument(metavar="OUT", help="Folder or new archive.")],
    sources: Sources,
    *,
    mode: Annotated[
        str,
        typer.Option(metavar="MODE", help="copy, move, link (hard links) or symlink."),
    ] = "copy",
    template: Annotated[
        str | None,
        typer.Option(
            metavar="TEMPLATE",
            help="Folders by DICOM keywords in braces; {Patient} is a number. By default "
            "{Patient}/{StudyDate}_{StudyDescription}/{SeriesNumber}_{SeriesDescription}.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done.")] = False,
    quiet: Quiet = False,
    version: Annotated[bool, version_of(NAME)] = False,
) -> int:
    del version
    from imagedata_xr.cli.placing import place

    for line in place(sources, out, mode=mode, template=template, dry_run=dry_run, quiet=quiet):
        if not quiet:
            print(line)
    return 0


main = partial(run, app, NAME)


if __name__ == "__main__":
    sys.exit(main())
