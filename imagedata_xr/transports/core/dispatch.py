"""From the scheme of a URL to the module that speaks its protocol."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from imagedata_xr.errors import OptionError
from imagedata_xr.transports.core.locator import Locator

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence
    from pathlib import Path

    from imagedata_xr.transports.core.results import Manifest, Receipt
    from imagedata_xr.transports.core.selection import Level, Record

__all__ = ["GROUP", "Transport", "is_remote", "transport"]

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
    """
    What a module offers that speaks a protocol; each may take more keyword arguments.

    Examples
    --------
    >>> from imagedata_xr.transports import dimse
    >>> protocol: transports.Transport = dimse
    >>> callable(protocol.find)
    True
    """

    def find(
        self, url: str | Locator, *, level: Level | None = None, **options: Any
    ) -> list[Record]:
        """Return what a server has below a URL, at a level."""

    def link(self, locator: Locator, record: Record, level: Level) -> str:
        """Return the URL of a record, or of what is above it at a level."""

    def fetch(self, url: str | Locator, folder: str | os.PathLike[str], **options: Any) -> Manifest:
        """Copy what a server has at a URL into a folder."""

    def store(self, url: str | Locator, files: Sequence[Path], **options: Any) -> Receipt:
        """Send files, and return what became of each, without raising for a single one."""

    def verify(self, url: str | Locator, receipt: Receipt, **options: Any) -> Receipt:
        """Ask the server whether it has what a receipt lists."""


def is_remote(target: object) -> bool:
    """
    Tell whether a target is a URL that some transport knows.

    Examples
    --------
    >>> transports.is_remote("dicom://pacs:104/ARCHIVE"), transports.is_remote("folder")
    (True, False)
    """
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


def _others() -> dict[str, Any]:
    return {entry.name.lower(): entry for entry in entry_points(group=GROUP)}
