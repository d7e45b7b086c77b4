"""``image_calculator``: images from images."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imagedata_xr_cli.options import Sources, reads, version_of
from imagedata_xr_cli.outputs import writes
from imagedata_xr_cli.program import new_app, run

if TYPE_CHECKING:
    pass

__all__ = ["app", "main"]

NAME = "image_calculator"
_HELP = f"""\
Compute an image from one or several.

The images IN are a, b, c and so on in EXPR: numbers, + - * / // % **, comparisons, & | ~ of masks,
where(a > 10, b, 0), clip(a, 0, 100), NumPy's functions (sqrt, exp, log, minimum...), and mean(a,
"time") or std, min, max, median, sum along dimensions. Whole numbers are computed as float64, so
nothing wraps or is cut off; --dtype converts the result where no value changes.

\b
Examples:
  {NAME} mean "(a + b) / 2" first second
  {NAME} --of nifti adc.nii.gz "-log(a / b) / 800" b800 b0
  {NAME} --dtype uint8 mask "a > 100" dicomDir
  {NAME} baseline 'mean(a, "time")' dynamicDir
"""

app = new_app(add_completion=True)


@app.command(help=_HELP)
@reads
@writes
def _calculate(  # noqa: PLR0913 - each option is one thing a user may say
    out: Annotated[str, typer.Argument(metavar="OUT", help="File, folder or URL to write.")],
    expression: Annotated[str, typer.Argument(metavar="EXPR", help="What to compute.")],
    sources: Sources,
    *,
    choice: Any,
    output: Any,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be written.")] = False,
    version: Annotated[bool, version_of(NAME)] = False,
) -> int:
    del out, version
    from imagedata_xr.cli.calculator import calculate

    for line in calculate(expression, sources, choice, output, dry_run=dry_run):
        if not output.is_quiet:
            print(line)
    return 0


main = partial(run, app, NAME)


if __name__ == "__main__":
    sys.exit(main())
