"""A request over an association, and the answers to it."""

from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING, Any, Final

from imagedata_xr.errors import PeerConnectionError, RejectedError
from imagedata_xr.transports.core.status import describe, is_pending
from imagedata_xr.transports.dimse.commands import N_ACTION, RESPONSE
from imagedata_xr.transports.dimse.exchange import BadMessageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pydicom import Dataset

    from imagedata_xr.transports.dimse.exchange import Exchange, Message, Sink

__all__ = ["answers", "data_set", "encoded_data_set", "successful"]

# How often as long as for an answer is waited while it is only said that there will be one.
_PATIENCE: Final = 10
_IMPLICIT: Final = "1.2.840.10008.1.2"
_BIG: Final = "1.2.840.10008.1.2.2"


def answers(  # noqa: PLR0913 - each is a part of its own
    exchange: Exchange,
    abstract: str,
    field: int,
    question: Dataset | None = None,
    *,
    sink_of: Callable[[Message], Sink] | None = None,
    other: Callable[[Message], bool] | None = None,
    moving: Callable[[], object] | None = None,
    **more: Any,
) -> Iterator[Message]:
    """
    Send a request, and yield the answers to it, to the last.

    Parameters
    ----------
    exchange : Exchange
    abstract : str
        SOP class whose context it goes in.
    field : int
        Command Field.
    question : Dataset, optional
    sink_of : callable, optional
        See `Exchange.receive`.
    other : callable, optional
        Does what another message asks for, and tells whether that was anything to the purpose.
    moving : callable, optional
        Returns what changes as long as there is progress elsewhere.
    **more
        Further elements of the command.

    Raises
    ------
    PeerConnectionError
        The other side stops answering.
    BadMessageError
        It sends something else.
    """
    syntax, context = next(iter(exchange.syntaxes(abstract).items()))
    exchange.number = exchange.number % 65535 + 1
    command = {"CommandField": field, "MessageID": exchange.number, **more}
    if field != N_ACTION:
        command["AffectedSOPClassUID"] = abstract
    if question is None:
        exchange.send(context, command)
    else:
        data = encoded_data_set(question, syntax)
        exchange.send(context, command, io.BytesIO(data), len(data))
    since, state = time.monotonic(), None
    while True:
        message = exchange.receive(sink_of)
        if not message.command["CommandField"] & RESPONSE and other is not None and other(message):
            since = time.monotonic()
            continue
        if message.command["CommandField"] != field | RESPONSE or (
            message.command.get("MessageIDBeingRespondedTo") != exchange.number
        ):
            raise BadMessageError(f"{exchange.name}: answers what it was not asked")
        if "Status" not in message.command:
            raise BadMessageError(f"{exchange.name}: sent an answer without a status")
        now = None if moving is None else moving()
        if message.sink is not None or now != state:
            since, state = time.monotonic(), now
        elif time.monotonic() - since > _PATIENCE * exchange.timeouts.response:
            raise PeerConnectionError(f"{exchange.name}: says that it is busy, and sends nothing")
        yield message
        if not is_pending(message.command["Status"]):
            return


def successful(exchange: Exchange, name: str, status: int) -> None:
    """
    Raise unless a status is success.

    Raises
    ------
    RejectedError
    """
    if status != 0:
        raise RejectedError(f"{exchange.name}: refuses {name}: {describe(status)}", status=status)


def encoded_data_set(dataset: Dataset, syntax: str) -> bytes:
    """Return a data set in an uncompressed transfer syntax."""
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import write_dataset

    file = DicomBytesIO()
    file.is_implicit_VR = syntax == _IMPLICIT
    file.is_little_endian = syntax != _BIG
    write_dataset(file, dataset)
    return file.getvalue()


def data_set(message: Message, syntax: str) -> Dataset:
    """
    Return the data set of a message.

    Raises
    ------
    BadMessageError
        It cannot be read.
    """
    from pydicom.filereader import read_dataset

    try:
        return read_dataset(io.BytesIO(message.data), syntax == _IMPLICIT, syntax != _BIG)
    except Exception as error:  # noqa: BLE001 - a server may send anything
        kind = type(error).__name__
        raise BadMessageError(f"an answer that cannot be decoded ({kind})") from None
