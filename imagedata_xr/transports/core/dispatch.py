"""From the scheme of a URL to the module that speaks its protocol."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from imagedata_xr.errors import OptionError
from imagedata_xr.transports.core.locator import Locator
from imagedata_xr.transports.core.selection import KEYS, LEVELS

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence
    from pathlib import Path

    from imagedata_xr.transports.core.results import Manifest, Receipt
    from imagedata_xr.transports.core.selection import Level, Record

__all__ = ["GROUP", "Transport", "is_remote", "resource_link", "transport"]

GROUP: Final = "imagedata_xr.transports"
_OURS: Final = {
    "dicom": "imagedata_xr.transports.dimse",
    "dicoms": "imagedata_xr.transports.dimse",
    "dicomweb+https": "imagedata_xr.transports.dicomweb",
    "dicomweb+http": "imagedata_xr.transports.dicomweb",
    "xnat": "imagedata_xr.transports.xnat",
    "xnat+https": "imagedata_xr.transports.xnat",
    "xnat+http": "imagedata_xr.transports.xnat",
}


class Transport(Protocol):
    """What a module offers that speaks a protocol; each may take more keyword arguments."""

    def find(
        self, url: str | Locator, *, level: Level | None = None, **options: Any
    ) -> list[Record]:
        """Return what a server has below a URL, at a level."""

    def fetch(self, url: str | Locator, folder: str | os.PathLike[str], **options: Any) -> Manifest:
        """Copy what a server has at a URL into a folder."""

    def store(self, url: str | Locator, files: Sequence[Path], **options: Any) -> Receipt:
        """Send files, and return what became of each, without raising for a single one."""

    def verify(self, url: str | Locator, receipt: Receipt, **options: Any) -> Receipt:
        """Ask the server whether it has what a receipt lists."""


def is_remote(target: object) -> bool:
    """Tell whether a target is a URL that some transport knows."""
    if isinstance(target, Locator):
        return True
    scheme, slashes, _ = str(target).partition("://")
    return bool(slashes) and scheme.lower() in {*_OURS, *_others()}


def transport(url: str | Locator) -> Transport:
    """
    Return the module that speaks the protocol of a URL.

    Raises
    ------
    OptionError
        No module does.
    """
    scheme = Locator.parse(url).scheme
    if scheme in _OURS:
        return cast("Transport", import_module(_OURS[scheme]))
    others = _others()
    if scheme not in others:
        known = ", ".join(sorted({*_OURS, *others}))
        raise OptionError(f"{scheme}://: no transport speaks it; there are {known}")
    return cast("Transport", others[scheme].load())


def resource_link(locator: Locator, record: Record, level: Level) -> str:
    """
    Return the URL of a record, or of what is above it, as DICOMweb names resources.

    It is used for transports that have no `link` of their own (PS3.18 section 10.1).
    """
    path = locator.path
    root = path[: len(path) - 1 - path[::-1].index("studies")] if "studies" in path else path
    if level == "patient":
        options = (("PatientID", record.uid),) if record.level == "patient" else ()
        return replace(locator, path=root, options=options).url
    parts = [
        part
        for name, one in zip(
            ("studies", "series", "instances"), LEVELS[1 : LEVELS.index(level) + 1], strict=False
        )
        for part in (name, record.get(KEYS[one]))
    ]
    return replace(locator, path=(*root, *parts), options=()).url


def _others() -> dict[str, Any]:
    return {entry.name.lower(): entry for entry in entry_points(group=GROUP)}
