"""``image_data``: convert, copy, combine and send."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imagedata_xr_cli.options import Sources, Verbose, reads, version_of
from imagedata_xr_cli.outputs import writes
from imagedata_xr_cli.program import new_app, run

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["app", "demonstration", "main"]

NAME = "image_data"
_HELP = f"""\
Convert images from one format to another.

OUT is a file (its name ends in .nii, .nii.gz, .mha or .nrrd), a folder, which is made when
missing, a URL, or - for standard output. In a folder, a file is named by series number and
description, with one file each for magnitude, phase and other kinds of images; of DICOM, OUT is
the folder of the new series. DICOM keywords in braces name files and folders by header values.
IN are folders, files, archives or URLs that hold one series, in any order and under any names.

\b
Examples:
  {NAME} --of nifti niftiDir dicomDir
  {NAME} --of dicom --template dicomDir dicomResult niftiResult
  {NAME} --order b --odir multi --of nifti bvalues dwiDir
  {NAME} --all --of nifti converted studyDir
  {NAME} --all 'out/{{PatientID}}/{{SeriesNumber:03d}}_{{SeriesDescription}}.nii.gz' cohortDir
  {NAME} --sernum 1004 --serdes 'Processed data' dicom://server:104/AETITLE dicomResult

Try it on made-up images: {NAME} demo
"""

app = new_app(add_completion=True)
demonstration = new_app(add_completion=False)


@app.command(help=_HELP)
@reads
@writes
def _convert(  # noqa: PLR0913 - each option is one thing a user may say
    out: Annotated[str, typer.Argument(metavar="OUT", help="File, folder or URL to write.")],
    sources: Sources,
    *,
    choice: Any,
    output: Any,
    every: Annotated[
        bool, typer.Option("--all", help="Convert every series that is there, each by itself.")
    ] = False,
    workers: Annotated[
        int, typer.Option(metavar="N", help="With --all: convert so many series at a time.")
    ] = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be written.")] = False,
    verbose: Verbose = False,
    version: Annotated[bool, version_of(NAME)] = False,
) -> int:
    del version
    from imagedata_xr.cli.convert import convert, convert_all

    if every:
        lines = convert_all(sources, choice, output, workers=workers, dry_run=dry_run)
    else:
        lines = convert(sources, choice, output, verbose=verbose, dry_run=dry_run)
    for line in lines:
        if not output.is_quiet:
            # Standard output holds the image where OUT is -.
            print(line, file=sys.stderr if out == "-" else sys.stdout)
    return 0


@demonstration.command(
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``image_data``; see `imagedata_xr_cli.program.run`."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["demo"]:
        return run(demonstration, f"{NAME} demo", given[1:], needs_arguments=False)
    return run(app, NAME, given)


if __name__ == "__main__":
    sys.exit(main())
