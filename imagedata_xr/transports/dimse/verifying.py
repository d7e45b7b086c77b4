"""Whether a server has what it said that it took."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from imagedata_xr.errors import OptionError
from imagedata_xr.transports.core.locator import Locator
from imagedata_xr.transports.core.selection import Selection
from imagedata_xr.transports.dimse.committing import committed
from imagedata_xr.transports.dimse.peer import Peer
from imagedata_xr.transports.dimse.query import found, patiently

if TYPE_CHECKING:
    from imagedata_xr.transports.core.results import Outcome, Receipt

__all__ = ["verify"]


def verify(
    url: str | Locator,
    receipt: Receipt,
    *,
    method: Literal["find", "commitment"] = "find",
    port: int = 0,
    wait: float = 60.0,
    **options: Any,
) -> Receipt:
    """
    Ask a server which instances of a receipt it has.

    An acknowledgement alone is no proof: some servers acknowledge what they then drop.

    Parameters
    ----------
    url : str
        ``dicom://host:port/AET``.
    receipt : Receipt
        Of `send` or `store`.
    method : {"find", "commitment"}
        Whether it lists them (C-FIND, series by series), or promises to keep them (storage
        commitment, PS3.4 annex J). For the latter the server connects to us, and must know our AE
        title with this machine and `port`.
    port : int
        On which to listen for its reports; ``?port=11112`` in the URL says the same.
    wait : float
        Seconds until the last report must be there.
    **options
        `calling`, `tls`, `timeouts`, `retry`, `limits`: see `Peer.of`.

    Returns
    -------
    Receipt
        With `verified` of each outcome True or False; None where the file names no series, and for
        commitment where the server has not taken it in the first place.

    Raises
    ------
    TransportError
        The server does not answer, or refuses.
    OptionError
        An option means nothing.

    Examples
    --------
    >>> dimse.verify(pacs, dimse.send(pacs, folder))
    <Receipt: 12 acknowledged, 12 verified>
    """
    if method not in ("find", "commitment"):
        raise OptionError(f"method={method!r}: give 'find' or 'commitment'")
    options.pop("progress", None)
    locator = Locator.parse(url)
    peer = Peer.of(locator, **options)
    if method == "commitment":
        at = port or int(locator.option("port") or 0)
        return committed(peer, receipt, port=at, wait=wait)
    series = sorted({(one.study, one.series) for one in receipt if one.study and one.series})
    present: set[str] = set()
    for study, uid in series:
        selection = Selection(study=study, series=uid)
        asked = partial(found, peer, selection, "instance", classes=False)
        there = patiently(peer, asked)
        present.update(record.uid for record in there)

    def is_there(one: Outcome) -> bool | None:
        return one.uid in present if one.study and one.series else None

    return receipt.checked(is_there)
