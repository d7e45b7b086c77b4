"""
Messages over an association that is established: PDUs written to and read from its socket.

pynetdicom asks for associations and takes them; the messages themselves go through here. Its
threads look for work a thousand times a second, hold a whole message in memory, and lose an
answer now and then. Here the thread that sends is the one that waits for the answer, and data
sets go between files and the socket in pieces.
"""

from __future__ import annotations

import contextlib
import io
import socket
import struct
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

from imagedata_xr.errors import PeerConnectionError, TransportError
from imagedata_xr.transports.dimse.commands import NOTHING, decoded, encoded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

    from imagedata_xr.transports.core.policy import Timeouts
    from imagedata_xr.transports.dimse.commands import Command

__all__ = ["BadMessageError", "Exchange", "Memory", "Message", "ReleasedError", "Sink"]

# Types of PDUs (PS3.8 section 9.3).
_DATA: Final = 4
_RELEASE: Final = 5
_RELEASED: Final = 6
_ABORT: Final = 7
_PDU: Final = struct.Struct(">BxI")
# Length of a presentation data value, its context, and whether it is a command, and the last one.
_ITEM: Final = struct.Struct(">IBB")
_HEADS: Final = _PDU.size + _ITEM.size
_IS_COMMAND: Final = 1
_IS_LAST: Final = 2

# Some send longer PDUs than was agreed; none has a reason for one as long as this.
_LONGEST_PDU: Final = 16 << 20
_LONGEST_COMMAND: Final = 1 << 16
_LONGEST_IDENTIFIER: Final = 16 << 20
_BUFFER: Final = 1 << 18
_OWN_PDU: Final = 131072
# Bytes a second: who sends less, for as long as an answer may take, keeps us on purpose.
_SLOWEST: Final = 1024
_TO_RELEASE: Final = 5.0
_QUICKACK: Final = getattr(socket, "TCP_QUICKACK", None)


class ReleasedError(PeerConnectionError):
    """The other side ended the association in order."""


class BadMessageError(TransportError):
    """The other side sends what is no message, or more than is taken."""


class Sink(Protocol):
    """What takes a data set that arrives."""

    def write(self, data: memoryview, /) -> object:
        """Take a piece; it is valid only until the return."""


@dataclass(slots=True)
class Message:
    """
    A message that has arrived.

    Attributes
    ----------
    context : int
        Number of its presentation context.
    command : dict of str to str or int
    sink : Sink or None
        What took its data set; None where it has none.
    """

    context: int
    command: Command
    sink: Any = None

    @property
    def data(self) -> bytes:
        """The data set, where nothing else was to take it."""
        return self.sink.getvalue() if isinstance(self.sink, io.BytesIO) else b""


@dataclass(slots=True, eq=False)
class Exchange:
    """
    One side of an association.

    Attributes
    ----------
    name : str
        Of the other side, for messages.
    raw : socket
    timeouts : Timeouts
    largest : int
        Bytes of a PDU that the other side takes; 0 for any number.
    contexts : dict of tuple of str to int
        Numbers of the accepted contexts, by abstract and transfer syntax.
    open : bool
    number : int
        Of the last request.
    """

    name: str
    raw: socket.socket
    timeouts: Timeouts
    largest: int
    contexts: dict[tuple[str, str], int]
    open: bool = True
    number: int = 0
    _left: int = 0
    _arrived: int = 0
    _since: float = 0.0
    _seen: int = 0
    _buffer: bytearray = field(default_factory=lambda: bytearray(_BUFFER), repr=False)
    _begin: int = 0
    _end: int = 0
    _out: bytearray = field(default_factory=bytearray, repr=False)
    _piece: int = field(init=False)

    def __post_init__(self) -> None:
        # An even number of bytes, so that no element is cut within a word (PS3.8 section D.1).
        most = min(self.largest or _OWN_PDU, _OWN_PDU)
        self._piece = max(most - _ITEM.size, 2) & ~1

    def syntaxes(self, abstract: str) -> dict[str, int]:
        """Return the contexts of an abstract syntax by transfer syntax."""
        return {ts: number for (name, ts), number in self.contexts.items() if name == abstract}

    # Sending ---------------------------------------------------------------------------------

    def send(
        self, context: int, command: Command, data: BinaryIO | None = None, size: int = 0
    ) -> None:
        """
        Send a message.

        Parameters
        ----------
        context : int
        command : dict of str to str or int
        data : binary file, optional
            At the beginning of the data set.
        size : int
            Bytes of the data set.

        Raises
        ------
        PeerConnectionError
            The connection is lost.
        OSError
            `data` cannot be read as far as `size`; the association is aborted.
        """
        body = encoded(command, data=data is not None)
        out = bytearray()
        for at in range(0, len(body), self._piece):
            piece = body[at : at + self._piece]
            last = _IS_LAST if at + self._piece >= len(body) else 0
            out += bytes(_HEADS) + piece
            _put_heads(out, len(out) - len(piece) - _HEADS, context, len(piece), _IS_COMMAND | last)
        if data is None:
            self._write(memoryview(out))
            return
        try:
            self._send_data(context, data, size, out)
        except PeerConnectionError:
            raise
        except OSError:
            self.abort()
            raise

    def _send_data(self, context: int, data: BinaryIO, size: int, before: bytearray) -> None:
        """Send a data set in as few calls as there are buffers, copied but once."""
        slot = _HEADS + self._piece
        room = max(_BUFFER, len(before) + slot)
        if len(self._out) < room:
            self._out = bytearray(room)
        out = memoryview(self._out)
        end = len(before)
        out[:end] = before
        while size:
            while size and end + slot <= len(out):
                count = min(size, self._piece)
                _read_into(data, out[end + _HEADS : end + _HEADS + count])
                size -= count
                _put_heads(out, end, context, count, 0 if size else _IS_LAST)
                end += _HEADS + count
            self._write(out[:end])
            end = 0

    def _write(self, data: memoryview) -> None:
        if not self.open:
            raise PeerConnectionError(f"{self.name}: the connection is closed")
        self.raw.settimeout(self.timeouts.idle)
        at = 0
        try:
            while at < len(data):
                at += self.raw.send(data[at:])
        except (OSError, ValueError) as error:
            self.close()
            raise PeerConnectionError(
                f"{self.name}: the connection was lost while sending"
            ) from error

    # Receiving -------------------------------------------------------------------------------

    def receive(
        self,
        sink_of: Callable[[Message], Sink] | None = None,
        *,
        wait: float | None = None,
    ) -> Message:
        """
        Return the next message when its data set has arrived.

        Parameters
        ----------
        sink_of : callable, optional
            Returns what takes the data set of a message whose command has come; by default that is
            kept in memory, up to `_LONGEST_IDENTIFIER`. What a sink raises ends the association.
        wait : float, optional
            Seconds for the beginning; `timeouts.response` by default.

        Raises
        ------
        ReleasedError
            The other side has ended the association.
        PeerConnectionError
            It has stopped answering, aborted, or is gone.
        TransportError
            It sends what is no message, or too much.
        """
        first = self.timeouts.response if wait is None else wait
        self._since, self._seen = time.monotonic() + first, self._arrived
        try:
            self.raw.settimeout(first)
            return self._message(sink_of)
        except ReleasedError:
            raise
        except TransportError:
            self.abort()
            raise

    def _message(self, sink_of: Callable[[Message], Sink] | None) -> Message:
        command = bytearray()
        message: Message | None = None
        for context, control, length in self._items():
            if control & _IS_COMMAND:
                if message is not None or len(command) + length > _LONGEST_COMMAND:
                    raise BadMessageError(
                        f"{self.name}: sent a command that is too long, or within another"
                    )
                for piece in self._pieces(length):
                    command += piece
                if not control & _IS_LAST:
                    continue
                message = self._understood(context, command)
                if message.command.get("CommandDataSetType", NOTHING) == NOTHING:
                    return message
                message.sink = Memory() if sink_of is None else sink_of(message)
                continue
            if message is None or context != message.context:
                raise BadMessageError(f"{self.name}: sent a data set without a command")
            for piece in self._pieces(length):
                message.sink.write(piece)
            if control & _IS_LAST:
                return message
        raise AssertionError  # pragma: no cover - items end with an error only

    def _understood(self, context: int, command: bytearray) -> Message:
        try:
            return Message(context, decoded(command))
        except ValueError as error:
            raise BadMessageError(f"{self.name}: sent {error}") from None

    def _items(self) -> Iterator[tuple[int, int, int]]:
        """Yield context, control and length of each presentation data value, to be read then."""
        begun = False
        while True:
            while self._left:
                length, context, control = _ITEM.unpack(self._exactly(_ITEM.size))
                # What is empty and not the last could go on for ever.
                least = 2 if control & _IS_LAST else 3
                if length < least or self._left < length + 4:
                    raise BadMessageError(f"{self.name}: sent a value of an impossible length")
                self._left -= length + 4
                yield context, control, length - 2
            kind, self._left = _PDU.unpack(self._exactly(_PDU.size))
            if not begun:
                begun = True
                self.raw.settimeout(self.timeouts.idle)
                self._since, self._seen = time.monotonic(), self._arrived
            if kind == _RELEASE:
                with contextlib.suppress(PeerConnectionError):
                    self._write(memoryview(_PDU.pack(_RELEASED, 4) + bytes(4)))
                self.close()
                raise ReleasedError(f"{self.name}: the other side has ended the association")
            if kind == _ABORT:
                self.close()
                raise PeerConnectionError(
                    f"{self.name}: the other side has aborted the association"
                )
            if kind != _DATA or not 0 < self._left <= _LONGEST_PDU:
                raise BadMessageError(f"{self.name}: sent what is no message of an association")

    def _exactly(self, count: int) -> bytes:
        while self._end - self._begin < count:
            self._fill()
        self._begin += count
        return bytes(self._buffer[self._begin - count : self._begin])

    def _pieces(self, count: int) -> Iterator[memoryview]:
        view = memoryview(self._buffer)
        while count:
            if self._begin == self._end:
                self._fill()
            end = min(self._end, self._begin + count)
            count -= end - self._begin
            piece = view[self._begin : end]
            self._begin = end
            yield piece

    def _fill(self) -> None:
        """Read what there is, behind what is left."""
        if self._begin == self._end:
            self._begin = self._end = 0
        elif self._begin > _BUFFER // 2:
            left = self._end - self._begin
            self._buffer[:left] = self._buffer[self._begin : self._end]
            self._begin, self._end = 0, left
        try:
            count = self.raw.recv_into(memoryview(self._buffer)[self._end :])
            if _QUICKACK is not None:
                self.raw.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
        except TimeoutError:
            raise PeerConnectionError(
                f"{self.name}: the other side has stopped answering"
            ) from None
        except (OSError, ValueError) as error:
            self.close()
            raise PeerConnectionError(f"{self.name}: the connection was lost") from error
        if not count:
            self.close()
            raise PeerConnectionError(f"{self.name}: the other side has closed the connection")
        self._end += count
        self._arrived += count
        self._not_slower()

    def _not_slower(self) -> None:
        now = time.monotonic()
        passed = now - self._since
        if passed > self.timeouts.response + self.timeouts.idle:
            if self._arrived - self._seen < _SLOWEST * passed:
                raise PeerConnectionError(f"{self.name}: sends less than {_SLOWEST} bytes a second")
            self._since, self._seen = now, self._arrived

    # Ending ----------------------------------------------------------------------------------

    def release(self) -> None:
        """End the association in order, and close the connection."""
        if not self.open:
            return
        with contextlib.suppress(TransportError):
            self._write(memoryview(_PDU.pack(_RELEASE, 4) + bytes(4)))
            end = time.monotonic() + _TO_RELEASE
            while time.monotonic() < end:
                self.raw.settimeout(max(end - time.monotonic(), 0.001))
                kind, length = _PDU.unpack(self._exactly(_PDU.size))
                if kind != _DATA or length > _LONGEST_PDU:
                    break
                for _ in self._pieces(length):
                    pass
        self.close()

    def abort(self) -> None:
        """End the association at once."""
        if self.open:
            with contextlib.suppress(OSError, ValueError):
                self.raw.settimeout(1.0)
                self.raw.send(_PDU.pack(_ABORT, 4) + bytes(4))
            self.close()

    def close(self) -> None:
        """Close the connection."""
        self.open = False
        with contextlib.suppress(OSError, ValueError):
            self.raw.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError, ValueError):
            self.raw.close()


class Memory(io.BytesIO):
    """A data set that is small enough for memory."""

    def write(self, data: Any, /) -> int:
        """Take a piece."""
        if self.tell() + len(data) > _LONGEST_IDENTIFIER:
            raise BadMessageError(f"an answer of more than {_LONGEST_IDENTIFIER} bytes: not taken")
        return super().write(data)


def _put_heads(
    out: bytearray | memoryview, at: int, context: int, length: int, control: int
) -> None:
    """Write the heads of a PDU and of the only value in it."""
    _PDU.pack_into(out, at, _DATA, length + _ITEM.size)
    _ITEM.pack_into(out, at + _PDU.size, length + 2, context, control)


def _read_into(file: BinaryIO, view: memoryview) -> None:
    at = 0
    while at < len(view):
        count = file.readinto(view[at:])  # type: ignore[attr-defined]
        if not count:
            raise OSError("a file has become shorter")
        at += count
