"""The times of a dynamic series, as the command line prints them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from imagedata_xr import schema
from imagedata_xr.cli.opening import open_image
from imagedata_xr.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from imagedata_xr.cli.opening import Choice

__all__ = ["timeline"]


def timeline(
    sources: Sequence[str], choice: Choice, *, single_column: bool = False, as_json: bool = False
) -> Iterator[str]:
    """
    Yield the lines to print.

    Parameters
    ----------
    sources : sequence of str
    choice : Choice
    single_column : bool
        One time a line, below a title.
    as_json : bool
        A JSON object with the times, in seconds, and where they come from.

    Raises
    ------
    OptionError
        The series has no times.
    """
    with open_image(sources, choice, progress=False) as image:
        if schema.TIME not in image.coords:
            dims = ", ".join(map(str, image.dims))
            raise OptionError(
                f"the series has no times: its dimensions are {dims} (--order time asks for them)"
            )
        coord = image.coords[schema.TIME]
        times = [float(value) for value in coord.values.ravel()]
        source = coord.encoding.get("source")
    if as_json:
        found: dict[str, Any] = {"units": "s", "time": times, "source": source}
        yield json.dumps(found)
    elif single_column:
        yield "t [s]"
        yield from (f"{time:g}" for time in times)
    else:
        yield f"Timeline [s], from {source}:" if source else "Timeline [s]:"
        yield " ".join(f"{time:g}" for time in times)
