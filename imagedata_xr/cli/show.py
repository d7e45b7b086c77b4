"""Images in the browser, as the command line asks for them."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from imagedata_xr.cli.opening import open_each
from imagedata_xr.errors import NoImagesError, OptionError, SkippedFileWarning

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imagedata_xr.cli.opening import Choice

__all__ = ["show"]


def show(  # noqa: PLR0913 - one for each option
    sources: Sequence[str],
    choice: Choice,
    *,
    port: int,
    browser: bool,
    phi: bool,
    save: str | None,
) -> str:
    """
    Show every series of the sources until Ctrl-C, or write a page or a picture of them.

    Parameters
    ----------
    sources : sequence of str
    choice : Choice
    port : int
        0 is any free one.
    browser : bool
        Whether to open a browser.
    phi : bool
        Whether the patient's name is shown.
    save : str or None
        A file that ends in ``.html`` or ``.png``.

    Returns
    -------
    str
        What there is to tell a person; empty where all was shown.

    Raises
    ------
    ImagedataError
        There is nothing to show.
    """
    found = list(open_each(sources, choice, phi=phi, progress=None))
    images = [one.image for one in found if one.image is not None]
    if not images:
        reasons = "; ".join(one.problem.splitlines()[0] for one in found)
        raise NoImagesError(f"there is nothing to show: {reasons or 'no image'}")
    for one in found:
        if one.image is None:
            reason = one.problem.splitlines()[0]
            warnings.warn(f"not shown: {one.name}: {reason}", SkippedFileWarning, stacklevel=2)
    from imagedata_xr.viewer import show_image, view

    if save is None:
        show_image(images, port=port, browser=browser, phi=phi)
        return ""
    suffix = Path(save).suffix.lower()
    if suffix not in (".html", ".png"):
        raise OptionError(f"--save {save}: the name ends in .html or .png")
    shown = view(images, phi=phi, per_page=len(images))
    if suffix == ".html":
        shown.save(save)
    else:
        shown.snapshot(save)
    return f"{save}: written"
