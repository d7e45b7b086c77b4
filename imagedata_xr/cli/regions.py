"""Regions from one format to another, as the command line asks for it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from imagedata_xr.cli.opening import open_image

if TYPE_CHECKING:
    from imagedata_xr.cli.opening import Choice

__all__ = ["rewrite"]


def rewrite(source: str, regions: str, target: str, choice: Choice, *, overwrite: bool) -> str:
    """
    Write regions in another format, and return what there is to tell a person.

    Parameters
    ----------
    source : str
        The image on which they lie.
    regions : str
        File of regions.
    target : str
        Its suffix says the format; without one, or ``.zip``, a segmentation.
    choice : Choice
    overwrite : bool
        Replace an existing file.

    Raises
    ------
    ImagedataError
        Nothing was written.
    """
    from imagedata_xr.roi import from_file, to_file

    image = open_image([source], choice, progress=False)
    found = from_file(regions, like=image)
    kind = "seg" if Path(target).suffix.lower() in ("", ".zip") else None
    written = to_file(found, target, like=image, format=kind, overwrite=overwrite)
    names = ", ".join(one.name for one in found)
    return f"{written}: {len(found)} region(s): {names}"
