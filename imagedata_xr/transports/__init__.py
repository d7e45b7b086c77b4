"""
Images on servers: found, fetched and stored, with nothing lost and nothing doubled.

A URL says which protocol is spoken. Each has a module of its own, which is imported when it is
needed: `dimse` for ``dicom://`` and ``dicoms://``, `dicomweb`, `xnat`. Other packages add theirs
by the entry point group ``imagedata_xr.transports``, named by scheme::

    from imagedata_xr import transports

    transports.find("dicom://host:104/PACS", level="study")
    transports.fetch("dicom://host:104/PACS//1.2.3", "folder")
    transports.store("dicom://host:104/PACS", "folder")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from imagedata_xr.errors import OptionError
from imagedata_xr.transports.core.dispatch import Transport, is_remote, transport
from imagedata_xr.transports.core.locator import Locator
from imagedata_xr.transports.core.outgoing import files_of
from imagedata_xr.transports.core.policy import Limits, Retry, Timeouts
from imagedata_xr.transports.core.results import Instance, Manifest, Outcome, Receipt
from imagedata_xr.transports.core.selection import Record, Selection
from imagedata_xr.transports.core.spool import clear_spool

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping

    from imagedata_xr.transports.core.selection import Level

__all__ = [
    "Instance",
    "Limits",
    "Locator",
    "Manifest",
    "Outcome",
    "Receipt",
    "Record",
    "Retry",
    "Selection",
    "Timeouts",
    "Transport",
    "clear_spool",
    "fetch",
    "find",
    "is_remote",
    "link",
    "store",
    "verify",
]


def find(url: str | Locator, *, level: Level | None = None, **options: Any) -> list[Record]:
    """
    Return what a server has.

    Parameters
    ----------
    url : str
    level : {"patient", "study", "series", "instance"}, optional
        What to list; by default the level below the one that the URL names.
    **options
        Those of the transport's own `find`.

    Returns
    -------
    list of Record

    Raises
    ------
    TransportError
        The server does not answer, or refuses.
    OptionError
        The URL or an option means nothing.

    Examples
    --------
    >>> (found,) = transports.find(url, level="series", keys={"Modality": "MR"})
    >>> found["SeriesDescription"]
    'Phantom series 1'
    """
    return transport(url).find(url, level=level, **options)


def link(url: str | Locator, record: Record, *, level: Level | None = None) -> str:
    """
    Return the URL of something that a server has.

    Parameters
    ----------
    url : str
        That was asked.
    record : Record
        What `find` returned.
    level : {"patient", "study", "series", "instance"}, optional
        Of what the URL is: of what the record is, by default, or of what is above it.

    Returns
    -------
    str
        Of studies and below without the Patient ID, where the protocol allows that.

    Examples
    --------
    >>> (study,) = transports.find(url, level="study")
    >>> transports.link(url, study) == f"{url}/studies/{study.uid}"
    True
    """
    return transport(url).link(Locator.parse(url), record, level or record.level)


def fetch(url: str | Locator, folder: str | os.PathLike[str], **options: Any) -> Manifest:
    """
    Copy what a server has at a URL into a folder, a file an instance, as stored there.

    What was interrupted goes on where it stopped when it is called again.

    Parameters
    ----------
    url : str
    folder : path
        Made where it is not there. Files are named by their SOP Instance UID.
    **options
        Those of the transport's own `fetch`.

    Returns
    -------
    Manifest

    Raises
    ------
    TransportError
        The server does not answer, refuses, or does not send everything (`PartialReadError`).
    WriteError
        The folder cannot be written.

    Examples
    --------
    >>> manifest = transports.fetch(url, "copies")
    >>> len(manifest)
    12
    >>> xr.open_dataarray("copies", engine="dicom").identical(series)
    True
    """
    return transport(url).fetch(url, folder, **options)


def store(
    url: str | Locator,
    source: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    verify: bool | Mapping[str, Any] = False,
    errors: Literal["raise", "return"] = "raise",
    **options: Any,
) -> Receipt:
    """
    Send DICOM files to a server.

    Parameters
    ----------
    url : str
    source : path, or iterable of paths
        Files, and folders with all files below them.
    verify : bool or mapping
        Ask the server afterwards whether it has each instance; a mapping has options of the
        transport's own `verify`.
    errors : {"raise", "return"}
        What to do where not every instance is stored: raise, or return the receipt all the same.
    **options
        Those of the transport's own `store`.

    Returns
    -------
    Receipt
        What became of each instance.

    Raises
    ------
    PartialWriteError
        Not every instance is stored; its `receipt` lists them.
    TransportError
        The server does not answer, or refuses.

    Examples
    --------
    >>> transports.store(url, folder, verify=True)
    <Receipt: 12 acknowledged, 12 verified>
    """
    if errors not in ("raise", "return"):
        raise OptionError(f"errors={errors!r}: give 'raise' or 'return'")
    speaks = transport(url)
    receipt = speaks.store(url, files_of(source), **options)
    if verify:
        more = {} if verify is True else verify
        receipt = speaks.verify(url, receipt, **{**options, **more})
    if errors == "raise":
        receipt.raise_unless_complete(Locator.parse(url))
    return receipt


def verify(url: str | Locator, receipt: Receipt, **options: Any) -> Receipt:
    """
    Ask a server whether it has what a receipt lists.

    Parameters
    ----------
    url : str
    receipt : Receipt
        Of `store`.
    **options
        Those of the transport's own `verify`.

    Returns
    -------
    Receipt
        With `verified` of each outcome True or False.

    Examples
    --------
    >>> receipt = transports.store(url, folder)
    >>> transports.verify(url, receipt)
    <Receipt: 12 acknowledged, 12 verified>
    """
    return transport(url).verify(url, receipt, **options)
