"""Whether a server has what it said that it took."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imagedata_xr.transports.core.selection import Selection
from imagedata_xr.transports.dimse.peer import Peer
from imagedata_xr.transports.dimse.query import found, patiently

if TYPE_CHECKING:
    from imagedata_xr.transports.core.locator import Locator
    from imagedata_xr.transports.core.results import Outcome, Receipt

__all__ = ["verify"]


def verify(url: str | Locator, receipt: Receipt, **options: Any) -> Receipt:
    """
    Ask a server, series by series, which instances of a receipt it lists (C-FIND).

    An acknowledgement alone is no proof: some servers acknowledge what they then drop.

    Parameters
    ----------
    url : str
        ``dicom://host:port/AET``.
    receipt : Receipt
        Of `send` or `store`.
    **options
        `calling`, `tls`, `timeouts`, `retry`, `limits`: see `Peer.of`.

    Returns
    -------
    Receipt
        With `verified` of each outcome True or False; None where the file names no series.

    Raises
    ------
    TransportError
        The server does not answer, or refuses.
    """
    options.pop("progress", None)
    peer = Peer.of(url, **options)
    series = sorted({(one.study, one.series) for one in receipt if one.study and one.series})
    present: set[str] = set()
    for study, uid in series:
        selection = Selection(study=study, series=uid)
        there = patiently(peer, lambda selection=selection: found(peer, selection, "instance"))  # type: ignore[misc]
        present.update(record.uid for record in there)

    def is_there(one: Outcome) -> bool | None:
        return one.uid in present if one.study and one.series else None

    return receipt.checked(is_there)
