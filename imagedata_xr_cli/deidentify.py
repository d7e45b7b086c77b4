"""``image_deidentify``: copies of DICOM files without the patient's identity."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from imagedata_xr_cli.options import Overwrite, Quiet, Sources, version_of
from imagedata_xr_cli.program import new_app, run

if TYPE_CHECKING:
    pass

__all__ = ["app", "main"]

NAME = "image_deidentify"
_HELP = f"""\
Copy DICOM files without the patient's identity: DICOM PS3.15, Basic Profile with options.

OUT is a folder, or ends in .zip; files are named by number. References stay true, pixels stay byte
for byte: text that is burned into them stays too. Reports and documents are left out.

\b
Examples:
  {NAME} anonymous studyDir
  {NAME} --retain device --keep SeriesDescription anonymous.zip studyDir
  {NAME} --secret-file site.key anonymous cohortDir
"""

app = new_app(add_completion=True)


@app.command(help=_HELP)
def _deidentify(  # noqa: PLR0913 - each option is one thing a user may say
    out: Annotated[str, typer.Argument(metavar="OUT", help="Folder or archive to write.")],
    sources: Sources,
    *,
    dates: Annotated[
        str | None,
        typer.Option(
            metavar="shifted|keep|remove",
            help="Dates and times; shifted, the default, keeps intervals.",
        ),
    ] = None,
    retain: Annotated[
        list[str] | None,
        typer.Option(
            metavar="OPTION",
            help="device, institution, patient_characteristics, safe_private or uids; may be given "
            "several times.",
        ),
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(metavar="KEYWORD", help="An attribute to keep as it is, at your own risk."),
    ] = None,
    secret_file: Annotated[
        str | None,
        typer.Option(
            "--secret-file",
            metavar="FILE",
            help="Its contents give the same new identity in every run; without it, a new one.",
        ),
    ] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    version: Annotated[bool, version_of(NAME)] = False,
) -> int:
    del version
    from imagedata_xr.cli.deidentify import deidentify

    line = deidentify(
        sources,
        out,
        dates=dates,
        retain=retain or (),
        keep=keep or (),
        secret_file=secret_file,
        overwrite=overwrite,
        quiet=quiet,
    )
    if not quiet:
        print(line)
    return 0


main = partial(run, app, NAME)


if __name__ == "__main__":
    sys.exit(main())
