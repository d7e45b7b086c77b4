"""Conversion of images from one format to another, as the command line asks for it."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from imagedata_xr.cli.formats import formats_for
from imagedata_xr.cli.opening import engine_of, open_each, open_image
from imagedata_xr.cli.pipes import from_input, to_output
from imagedata_xr.cli.places import Places, is_template
from imagedata_xr.cli.remedies import in_words
from imagedata_xr.cli.saving import tasks
from imagedata_xr.errors import ImagedataError, ImagedataWarning, OptionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import xarray as xr

    from imagedata_xr.cli.formats import Output
    from imagedata_xr.cli.opening import Choice, Found
    from imagedata_xr.cli.saving import Task

__all__ = ["convert", "convert_all"]

# The line to print, what went wrong, and the warnings.
_Done: TypeAlias = tuple[str, str, list[tuple[type[Warning], str]]]


def convert(
    sources: Sequence[str],
    choice: Choice,
    output: Output,
    *,
    verbose: bool = False,
    dry_run: bool = False,
) -> Iterator[str]:
    """
    Read one image and write it; yield what there is to tell a person.

    Parameters
    ----------
    sources : sequence of str
    choice : Choice
        Which image, and in which order.
    output : Output
        Where to, and in which formats.
    verbose : bool
        Tell what was found in the headers.
    dry_run : bool
        Write nothing.

    Raises
    ------
    ImagedataError
        What could not be written does not exist.
    """
    with from_input(sources) as given:
        engine, found = engine_of(given, choice)
        # What the files are has been looked at: that is not done again.
        known = replace(choice, input_format=engine)
        yield from _converted(found, known, output, engine, verbose=verbose, dry_run=dry_run)


def _converted(  # noqa: PLR0913 - what a conversion is made of
    sources: Sequence[str],
    choice: Choice,
    output: Output,
    engine: str,
    *,
    verbose: bool,
    dry_run: bool,
) -> Iterator[str]:
    with to_output(output, engine) as taken:
        formats = formats_for(taken, engine)
        places = Places(taken.out, formats, is_one=True, bids=output.is_bids)
        with open_image(sources, choice, progress=False if output.is_quiet else None) as image:
            if verbose:
                from imagedata_xr.provenance import summary

                yield summary(image)
            for task in tasks(image, taken, formats, places, key=""):
                yield f"would write {task}" if dry_run else task.write()


def convert_all(
    sources: Sequence[str],
    choice: Choice,
    output: Output,
    *,
    workers: int = 1,
    dry_run: bool = False,
) -> Iterator[str]:
    """
    Read every series and write each; yield what there is to tell a person.

    Parameters
    ----------
    sources : sequence of str
    choice : Choice
    output : Output
        Its target is a folder, or a template.
    workers : int
        How many series are converted at the same time, each by a process.
    dry_run : bool
        Write nothing.

    Raises
    ------
    OptionError
        In the end, where some series could not be converted; the others are there.
    """
    if workers < 1:
        raise OptionError(f"--workers {workers}: give 1 or more")
    engine, found = engine_of(sources, choice)
    known = replace(choice, input_format=engine)
    formats = formats_for(output, engine)
    if not is_template(output.out) and any(form.owns(output.out) for form in formats.values()):
        raise OptionError(f"--all: OUT is a folder or a template, not {output.out}")
    places = Places(output.out, formats, is_one=False, bids=output.is_bids)
    problems: list[str] = []
    waiting = _planned(
        open_each(found, known, progress=False if output.is_quiet else None),
        lambda name, image: tasks(image, output, formats, places, key=name),
        problems,
    )
    if dry_run:
        yield from (f"would write {task}" for _, task in waiting)
    else:
        yield from _written(waiting, problems, workers)
    if problems:
        listed = "\n".join(f"  {problem.splitlines()[0]}" for problem in problems)
        raise OptionError(f"{len(problems)} series were not converted:\n{listed}")


def _planned(
    each: Iterable[Found], plan: Callable[[str, xr.DataArray], Iterator[Task]], problems: list[str]
) -> Iterator[tuple[str, Task]]:
    for found in each:
        if found.image is None:
            problems.append(f"{found.name}: {found.problem}")
            continue
        try:
            yield from ((found.name, task) for task in plan(found.name, found.image))
        except (ImagedataError, OSError) as error:
            problems.append(f"{found.name}: {in_words(error)}")


def _written(
    waiting: Iterator[tuple[str, Task]], problems: list[str], workers: int
) -> Iterator[str]:
    one_by_one = ((name, _done(task)) for name, task in waiting)
    done = one_by_one if workers == 1 else _by_processes(waiting, workers)
    for name, (line, problem, heard) in done:
        for category, text in heard:
            warnings.warn(text, category, stacklevel=2)
        if problem:
            problems.append(f"{name}: {problem}")
        else:
            yield line


def _by_processes(waiting: Iterator[tuple[str, Task]], workers: int) -> Iterator[tuple[str, _Done]]:
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        begun = [(name, pool.submit(_done, task)) for name, task in waiting]
        try:
            yield from ((name, future.result()) for name, future in begun)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _done(task: Task) -> _Done:
    """Write a task; return the line to print, what went wrong, and the warnings."""
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always", ImagedataWarning)
        try:
            line, problem = task.write(), ""
        except (ImagedataError, OSError, MemoryError) as error:
            line, problem = "", in_words(error) or repr(error)
    return line, problem, [(one.category, str(one.message)) for one in heard]
