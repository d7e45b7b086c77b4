"""Conversion of images from one format to another, as the command line asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagedata_xr.cli.opening import engine_of, open_each, open_image
from imagedata_xr.cli.saving import formats_for, save
from imagedata_xr.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from imagedata_xr.cli.opening import Choice
    from imagedata_xr.cli.saving import Output

__all__ = ["convert", "convert_all"]


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
    engine, _ = engine_of(sources, choice)
    formats = formats_for(output, engine)
    with open_image(sources, choice, progress=False if output.is_quiet else None) as image:
        if verbose:
            from imagedata_xr.provenance import summary

            yield summary(image)
        if dry_run:
            sizes = " x ".join(f"{dim} {size}" for dim, size in image.sizes.items())
            yield f"would write {output.out}: {', '.join(formats)}, {image.dtype}, {sizes}"
            return
        yield from save(image, output, formats)


def convert_all(
    sources: Sequence[str], choice: Choice, output: Output, *, dry_run: bool = False
) -> Iterator[str]:
    """
    Read every series and write each; yield what there is to tell a person.

    Parameters
    ----------
    sources : sequence of str
    choice : Choice
    output : Output
        Its target is a folder.
    dry_run : bool
        Write nothing.

    Raises
    ------
    OptionError
        In the end, where some series could not be converted; the others are there.
    """
    engine, _ = engine_of(sources, choice)
    formats = formats_for(output, engine)
    if any(form.owns(output.out) for form in formats.values()):
        raise OptionError(f"--all: OUT is a folder, not {output.out}")
    problems = []
    for found in open_each(sources, choice, progress=False if output.is_quiet else None):
        if found.image is None:
            problems.append(f"{found.name}: {found.problem}")
        elif dry_run:
            sizes = " x ".join(f"{dim} {size}" for dim, size in found.image.sizes.items())
            yield f"would write {found.name}: {', '.join(formats)}, {found.image.dtype}, {sizes}"
        else:
            yield from save(found.image, output, formats, is_one=False)
    if problems:
        listed = "\n".join(f"  {problem.splitlines()[0]}" for problem in problems)
        raise OptionError(f"{len(problems)} series were not converted:\n{listed}")
