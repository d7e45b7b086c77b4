"""``image_statistics`` and ``image_roi``: numbers of series, and of regions within images."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imagedata_xr_cli.options import Json, Overwrite, Quiet, Sources, reads, version_of
from imagedata_xr_cli.program import new_app, run

if TYPE_CHECKING:
    pass

__all__ = ["roi", "roi_app", "statistics", "statistics_app"]

STATISTICS, ROI = "image_statistics", "image_roi"

statistics_app = new_app(add_completion=True)
roi_app = new_app(add_completion=True)

_Csv = Annotated[bool, typer.Option("--csv", help="Print CSV, for spreadsheets.")]
_Each = Annotated[
    bool, typer.Option("--each", help="One row for each volume (time, b, te...), with percentiles.")
]


def _form(*, as_json: bool, as_csv: bool, bash: bool = False) -> str:
    return "json" if as_json else "csv" if as_csv else "bash" if bash else "text"


@statistics_app.command(
    help="Print number, range, mean, standard deviation and median of every series that is there, "
    "of every patient and study.\n\n\b\n"
    f"Examples:\n  {STATISTICS} studyDir\n  {STATISTICS} --mask mask.nii.gz dwiDir\n"
    f"  {STATISTICS} --roi regions.dcm --each --csv dynamicDir > curve.csv\n"
    f'  eval "$({STATISTICS} --bash seriesDir)"; echo $mean'
)
@reads
def _statistics(  # noqa: PLR0913 - each option is one thing a user may say
    sources: Sources,
    *,
    choice: Any,
    mask: Annotated[
        str | None,
        typer.Option(metavar="IMAGE", help="Only voxels where this image is above 0."),
    ] = None,
    regions: Annotated[
        str | None,
        typer.Option("--roi", metavar="FILE", help="Regions: JSON, RTSTRUCT, SEG or NIfTI."),
    ] = None,
    each: _Each = False,
    bash: Annotated[
        bool, typer.Option("--bash", help="Print assignments for a shell, of one series.")
    ] = False,
    as_csv: _Csv = False,
    as_json: Json = False,
    quiet: Quiet = False,
    version: Annotated[bool, version_of(STATISTICS)] = False,
) -> int:
    del version
    from imagedata_xr.cli.statistics import of_series, problems_of

    table = of_series(sources, choice, mask=mask, regions=regions, each=each, quiet=quiet)
    for line in table.lines(_form(as_json=as_json, as_csv=as_csv, bash=bash)):
        print(line)
    problem = problems_of(table)
    if problem is not None:
        raise problem
    return 0


@roi_app.command(
    help="Print the statistics of an image within regions (DICOM RTSTRUCT or SEG, JSON, a NIfTI "
    "label map), or write the regions in another format.\n\n\b\n"
    f"Examples:\n  {ROI} ctDir structures.dcm\n  {ROI} --each --csv dynamicDir tumour.json\n"
    f"  {ROI} --to structures.json ctDir structures.dcm"
)
@reads
def _roi(  # noqa: PLR0913 - each option is one thing a user may say
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="Folder, file or URL.")],
    regions: Annotated[str, typer.Argument(metavar="REGIONS", help="File or folder of regions.")],
    *,
    choice: Any,
    target: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="OUT",
            help="Write them: .json, .dcm (RTSTRUCT), .nii.gz, or a folder or .zip (SEG).",
        ),
    ] = None,
    each: _Each = False,
    as_csv: _Csv = False,
    as_json: Json = False,
    overwrite: Overwrite = False,
    version: Annotated[bool, version_of(ROI)] = False,
) -> int:
    del version
    if target is not None:
        from imagedata_xr.cli.regions import rewrite

        print(rewrite(image, regions, target, choice, overwrite=overwrite))
        return 0
    from imagedata_xr.cli.statistics import of_regions

    for line in of_regions(image, regions, choice, each=each).lines(
        _form(as_json=as_json, as_csv=as_csv)
    ):
        print(line)
    return 0


statistics = partial(run, statistics_app, STATISTICS)
roi = partial(run, roi_app, ROI)


if __name__ == "__main__":
    sys.exit(statistics())
