"""``dicom_dump`` and ``image_validate``: what is in a folder, and what is odd about it."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from imagedata_xr_cli.options import Json, Quiet, Sources, sorts, version_of
from imagedata_xr_cli.program import new_app, run

if TYPE_CHECKING:
    pass

__all__ = ["dump", "dump_app", "validate", "validate_app"]

DUMP, VALIDATE = "dicom_dump", "image_validate"

dump_app = new_app(add_completion=True)
validate_app = new_app(add_completion=True)


@dump_app.command(
    help="Show the structure of DICOM files: series and stacks, their dimensions, what varies "
    "between images at one place, and what stands in the way of an array. Nothing that identifies "
    f"the patient is shown.\n\n\b\nExamples:\n  {DUMP} studyDir\n  {DUMP} --order te seriesDir\n"
    f"  {DUMP} --json studyDir | jq '.series[].stacks[].dims'"
)
@sorts
def _dump(
    sources: Sources,
    *,
    choice: Any,
    as_json: Json = False,
    quiet: Quiet = False,
    version: Annotated[bool, version_of(DUMP)] = False,
) -> int:
    del version
    from imagedata_xr.cli.looking import dump as lines_of

    for line in lines_of(sources, choice, as_json=as_json, quiet=quiet):
        print(line)
    return 0


@validate_app.command(
    help="Tell what is odd about DICOM files: missing slices and frames, copies, mixed series, "
    "missing identity, broken files. The exit status is 1 where anything is.\n\n\b\n"
    f"Examples:\n  {VALIDATE} studyDir\n  {VALIDATE} -q seriesDir || echo 'look at it first'"
)
@sorts
def _validate(
    sources: Sources,
    *,
    choice: Any,
    as_json: Json = False,
    quiet: Quiet = False,
    version: Annotated[bool, version_of(VALIDATE)] = False,
) -> int:
    del version
    from imagedata_xr.cli.looking import validate as verdict_of

    verdict = verdict_of(sources, choice, as_json=as_json, quiet=quiet)
    for line in verdict:
        print(line)
    return 0 if verdict.is_fine else 1


dump = partial(run, dump_app, DUMP)
validate = partial(run, validate_app, VALIDATE)


if __name__ == "__main__":
    sys.exit(dump())
