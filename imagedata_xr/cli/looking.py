"""What is in a source, as text or JSON: structure, and what is odd."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from imagedata_xr.cli.remedies import options_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from imagedata_xr.cli.opening import Choice
    from imagedata_xr.formats.dicom.survey import SeriesSurvey, StackSurvey, Survey

__all__ = ["Verdict", "dump", "validate"]

_FEW: Final = 6


class Verdict(list[str]):
    """Lines to print, and whether all is well."""

    is_fine: bool = True


def _survey(sources: Sequence[str], choice: Choice, *, quiet: bool = False) -> Survey:
    from imagedata_xr.formats.dicom.survey import survey

    source: Any = list(sources) if len(sources) > 1 else sources[0]
    sort = choice.arguments().get("sort")
    return survey(source, sort=sort, progress=False if quiet else None)


def dump(
    sources: Sequence[str], choice: Choice, *, as_json: bool = False, quiet: bool = False
) -> Iterator[str]:
    """
    Yield lines that tell, for each series: dimensions, what varies, and what stands in the way.

    Parameters
    ----------
    sources : sequence of str
    choice : Choice
        Its `order` is tried instead of what varies.
    as_json : bool
        One JSON object.
    quiet : bool
        No progress bar.
    """
    found = _survey(sources, choice, quiet=quiet)
    if as_json:
        yield json.dumps(asdict(found), default=str)
        return
    patients = f"{found.patients} patient{'s' if found.patients != 1 else ''}"
    studies = f"{found.studies} {'studies' if found.studies != 1 else 'study'}"
    yield f"{patients}, {studies}, {len(found.series)} series"
    for one in found.series:
        yield from _series_lines(one)
    if found.others:
        yield "without images:"
        yield from (f"  {other}" for other in found.others)
    if found.problems:
        yield "cannot be read:"
        yield from (f"  {problem}" for problem in found.problems)


def _series_lines(one: SeriesSurvey) -> Iterator[str]:
    about = one.series
    number = about["SeriesNumber"] if about["SeriesNumber"] is not None else "-"
    yield ""
    yield (
        f"series {number}: {about['SeriesDescription'] or '(no description)'} "
        f"[{about['Modality']}], {about['frames']} images in {one.files} files"
    )
    yield f"  {about['SeriesInstanceUID']}"
    yield from (f"  problem: {text}" for text in one.problems)
    for place, stack in enumerate(one.stacks):
        if len(one.stacks) > 1:
            yield f"  stack {place}: {stack.frames} images"
        yield from (f"  {line}" for line in _stack_lines(stack))


def _stack_lines(stack: StackSurvey) -> Iterator[str]:
    if stack.dims:
        sizes = " x ".join(f"{name} {dim['size']}" for name, dim in stack.dims.items())
        plane = f"row {stack.rows} x column {stack.columns}"
        yield f"dimensions: {f'{sizes} x ' if sizes else ''}{plane}"
    for name, dim in stack.dims.items():
        if "first" in dim:
            ends = f"{_short(dim['first'])} to {_short(dim['last'])} {dim['units']}".strip()
            yield f"  {name}: {ends}, from {dim['source']}"
    if stack.spacing is not None:
        yield (
            "spacing: "
            + " x ".join(f"{step:g}" if step else "uneven" for step in stack.spacing)
            + " mm"
        )
    for keyword, values in stack.varies.items():
        shown = ", ".join(map(_short, values[:_FEW]))
        more = f", ... ({len(values)} values)" if len(values) > _FEW else ""
        yield f"varies: {keyword} = {shown}{more}"
    yield from (f"problem: {text}" for text in stack.problems)
    yield from (f"opens with: {options_of(one)}" for one in stack.suggestions)


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def validate(
    sources: Sequence[str], choice: Choice, *, as_json: bool = False, quiet: bool = False
) -> Verdict:
    """
    Return a line for everything that is odd: missing slices, copies, mixtures, broken files.

    Parameters
    ----------
    sources : sequence of str
    choice : Choice
    as_json : bool
        One JSON object with the list of problems.
    quiet : bool
        Only problems, no summary.
    """
    found = _survey(sources, choice, quiet=quiet)
    problems = found.all_problems()
    if as_json:
        verdict = Verdict([json.dumps({"problems": problems, "series": len(found.series)})])
    else:
        images = sum(one.series["frames"] for one in found.series)
        verdict = Verdict(problems)
        if not quiet:
            counted = f"{len(problems)} problem(s)" if problems else "nothing odd"
            verdict.append(f"{counted} in {len(found.series)} series of {images} images")
    verdict.is_fine = not problems
    return verdict
