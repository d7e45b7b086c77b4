"""Names of the files and folders of images, among many: by a template, or as BIDS has them."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from imagedata_xr import schema
from imagedata_xr.naming import Names, Unique, clean

if TYPE_CHECKING:
    from collections.abc import Callable

    import xarray as xr

__all__ = ["BIDS", "namer"]

BIDS: Final = "bids"


def namer(template: str | None, *, bids: bool = True) -> Callable[[str, xr.DataArray], str]:
    """
    Return what names images, each as no other before.

    Parameters
    ----------
    template : str or None
        Of DICOM keywords in braces (`imagedata_xr.naming.Names`), or ``"bids"``; None for the path
        of the node.
    bids : bool
        Whether ``"bids"`` has its meaning.

    Returns
    -------
    callable
        Takes the path of a node, or any other text that no other image has, and the image; returns
        a relative path without suffix.

    Raises
    ------
    OptionError
        The template means nothing.
    """
    if template is None:
        unique = Unique()
        return lambda node, _: unique.of(
            "/".join(clean(level) for level in node.strip("/").split("/"))
        )
    if bids and template == BIDS:
        return _bids()
    names = Names(template)
    return lambda node, image: names.of(_values(image), key=node)


def _values(image: xr.DataArray) -> dict[str, Any]:
    series = image.coords.get(schema.SERIES)
    known = {} if series is None or series.ndim else {schema.SERIES: str(series.values)}
    return {**{str(key): value for key, value in image.attrs.items()}, **known}


def _bids() -> Callable[[str, xr.DataArray], str]:
    runs: Counter[str] = Counter()

    def name(node: str, image: xr.DataArray) -> str:
        del node
        values = _values(image)
        kind = str(values.get("Modality") or "image").lower()
        if schema.B in image.coords:
            folder = suffix = "dwi"
        else:
            folder = suffix = "pet" if kind == "pt" else clean(kind)
        parts = {
            "sub": _label(values.get("PatientID")) or "unknown",
            "ses": _label(values.get("StudyDate")),
            "acq": _label(f"{values.get('SeriesNumber', '')}{values.get('SeriesDescription', '')}"),
        }
        known = {key: label for key, label in parts.items() if label}
        above = [f"{key}-{known[key]}" for key in ("sub", "ses") if key in known]
        entities = "_".join(f"{key}-{label}" for key, label in known.items())
        path = "/".join([*above, folder, entities])
        runs[path.casefold()] += 1
        run = runs[path.casefold()]
        return f"{path}_run-{run}_{suffix}" if run > 1 else f"{path}_{suffix}"

    return name


def _label(value: object) -> str:
    return "" if value is None else re.sub(r"[\W_]+", "", str(value))[:40]
