"""Where a command puts each of its images: names of files and folders."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from imagedata_xr import schema
from imagedata_xr.cohorts.names import BIDS, namer
from imagedata_xr.errors import OptionError
from imagedata_xr.naming import Unique, clean

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import xarray as xr

    from imagedata_xr.cli.formats import Format

__all__ = ["Places", "is_template", "is_url"]

_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]+://")


def is_url(out: str) -> bool:
    """Tell whether a target is a URL."""
    return _URL.match(out) is not None


def is_template(out: str) -> bool:
    """Tell whether a target is to be made of header values: ``out/{SeriesNumber}.nii.gz``."""
    return "{" in out and not is_url(out)


class Places:
    """
    Names of what a command writes, each given once.

    Parameters
    ----------
    out : str
        A file, a folder, a URL, or a template; ``%p`` in it is the name of the format.
    formats : mapping of str to Format
        By name; several have folders of their own.
    is_one : bool
        Whether the target is for one image alone.
    bids : bool
        Name files in the folder as BIDS has them.

    Raises
    ------
    OptionError
        The template means nothing.
    """

    def __init__(
        self, out: str, formats: Mapping[str, Format], *, is_one: bool, bids: bool = False
    ) -> None:
        if bids and (is_template(out) or is_url(out)):
            raise OptionError(f"--bids: OUT is a folder, not {out}")
        self._is_one = is_one
        self._has_folders = len(formats) > 1 and "%p" not in out
        self._unique = Unique()
        self._formats = formats
        self._out = {name: out.replace("%p", name) for name in formats}
        self._suffix = {
            name: next((end for end in form.suffixes if out.lower().endswith(end)), "")
            for name, form in formats.items()
        }
        self._named: dict[str, tuple[str, Callable[[str, xr.DataArray], str]]] = {}
        for name in formats if bids or is_template(out) else ():
            whole = self._out[name]
            root, template = (whole, BIDS) if bids else _split(whole, self._suffix[name])
            self._named[name] = root, namer(template, bids=bids)

    def of(self, image: xr.DataArray, name: str, *, kind: str, key: str) -> str:
        """
        Return the place of an image.

        Parameters
        ----------
        image : DataArray
        name : str
            Of the format.
        kind : str
            What tells the image from others of its series; empty where there is one.
        key : str
            What tells its series from others.
        """
        form, out, suffix = self._formats[name], self._out[name], self._suffix[name]
        if name not in self._named and (suffix or is_url(out)):
            return out
        root, named = self._named.get(name, (out, None))
        folder = Path(root) / name if self._has_folders else Path(root)
        end = suffix or ("" if form.is_folder else form.suffixes[0])
        if named is not None:
            return str(folder / (named(key, image) + (f"_{clean(kind)}" if kind else "") + end))
        if form.is_folder and self._is_one:
            return str(folder / clean(kind) if kind else folder)
        return self._unique.of(str(folder / _stem(image, kind))) + end


def _split(out: str, suffix: str) -> tuple[str, str]:
    """Return the folder before the first level with a brace, and the template below it."""
    levels = (out[: -len(suffix)] if suffix else out).split("/")
    first = next(k for k, level in enumerate(levels) if "{" in level)
    root = "/".join(levels[:first])
    return root or ("/" if out.startswith("/") else "."), "/".join(levels[first:])


def _stem(image: xr.DataArray, kind: str = "") -> str:
    """Return series number, description and kind as the name of a file, without the patient's."""
    parts: list[Any] = [image.attrs.get(name) for name in ("SeriesNumber", "SeriesDescription")]
    parts.append(kind or None)
    texts = [clean(part, empty="") for part in parts if part is not None]
    return "_".join(text for text in texts if text)[:100] or schema.IMAGE
