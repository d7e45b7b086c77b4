"""What is in folders, archives and on servers, for the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imagedata_xr.listing import ls
from imagedata_xr.transports import is_remote

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from imagedata_xr.cli.network import Access

__all__ = ["lines_of", "records_of"]


def lines_of(places: Sequence[str], level: Any, access: Access, *, quiet: bool) -> Iterator[str]:
    """
    Yield a tree for each place.

    Parameters
    ----------
    places : sequence of str
        Folders, files, archives or URLs.
    level : {"patient", "study", "series"} or None
        The lowest level to list.
    access : Access
        How to connect to servers.
    quiet : bool
        No progress bar.

    Raises
    ------
    ImagedataError
        A place is not there, or a server does not answer.
    """
    for place in places:
        yield str(ls(place, level=level, **_options(place, access, quiet=quiet)))


def records_of(
    places: Sequence[str], level: Any, access: Access, *, quiet: bool
) -> list[dict[str, Any]]:
    """Return the same as one list of rows, for programs; see `lines_of`."""
    return [
        dict(row)
        for place in places
        for row in ls(place, level=level, **_options(place, access, quiet=quiet)).rows
    ]


def _options(place: str, access: Access, *, quiet: bool) -> dict[str, Any]:
    if is_remote(place):
        return access.of(place)
    return {"progress": False} if quiet else {}
