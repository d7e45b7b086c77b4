"""Images computed from images, as the command line asks for it."""

from __future__ import annotations

import string
from typing import TYPE_CHECKING

import xarray as xr

from imagedata_xr.cli.expression import evaluate
from imagedata_xr.cli.formats import formats_for
from imagedata_xr.cli.opening import engine_of, open_image
from imagedata_xr.cli.places import Places
from imagedata_xr.cli.saving import tasks
from imagedata_xr.errors import GridMismatchError, OptionError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from imagedata_xr.cli.formats import Output
    from imagedata_xr.cli.opening import Choice

__all__ = ["calculate"]


def calculate(
    expression: str,
    sources: Sequence[str],
    choice: Choice,
    output: Output,
    *,
    dry_run: bool = False,
) -> Iterator[str]:
    """
    Compute an image and write it; yield what there is to tell a person.

    Parameters
    ----------
    expression : str
        As `imagedata_xr.cli.expression.evaluate` takes it; the sources are ``a``, ``b``, ``c``...
    sources : sequence of str
        One image each.
    choice : Choice
        How to read each of them.
    output : Output
    dry_run : bool
        Write nothing.

    Raises
    ------
    OptionError
        The expression is none, or its result no image.
    GridMismatchError
        The images are not of one grid.
    """
    letters = string.ascii_lowercase
    if not 1 <= len(sources) <= len(letters):
        raise OptionError(f"give 1 to {len(letters)} images, not {len(sources)}")
    engine, _ = engine_of(sources[:1], choice)
    formats = formats_for(output, engine)
    progress = False if output.is_quiet else None
    images = {
        letter: open_image([source], choice, progress=progress)
        for letter, source in zip(letters, sources, strict=False)
    }
    for (letter, image), source in zip(images.items(), sources, strict=True):
        yield f"{letter} = {source}: {_described(image)}"
    _same_grid(images)
    result = evaluate(expression, images)
    if not isinstance(result, xr.DataArray):
        raise OptionError(f"{expression} is a number, not an image: {result:g}")
    result = result.rename("image")
    places = Places(output.out, formats, is_one=True, bids=output.is_bids)
    for task in tasks(result, output, formats, places, key=""):
        yield f"would write {task}" if dry_run else task.write()


def _described(image: xr.DataArray) -> str:
    sizes = " x ".join(f"{dim} {size}" for dim, size in image.sizes.items())
    return f"{image.dtype}, {sizes}"


def _same_grid(images: Mapping[str, xr.DataArray]) -> None:
    """Refuse images of which only parts coincide: the rest would silently be left out."""
    (first, whole), *others = images.items()
    for letter, image in others:
        for dim in set(whole.dims) & set(image.dims):
            if whole.sizes[dim] != image.sizes[dim]:
                raise GridMismatchError(
                    f"{first} and {letter} have {whole.sizes[dim]} and {image.sizes[dim]} steps "
                    f"along {dim}: bring them to one grid first"
                )
