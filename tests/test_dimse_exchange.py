"""Messages over an association: whole on any network, and bounded whatever the other side sends."""

from __future__ import annotations

import io
import socket
import struct
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import generate_uid
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.pdu import P_DATA_TF

from imagedata_xr.errors import PeerConnectionError
from imagedata_xr.transports import Timeouts
from imagedata_xr.transports.dimse import commands
from imagedata_xr.transports.dimse.exchange import BadMessageError, Exchange, ReleasedError

CONTEXTS = {("1.2", "1.2.840.10008.1.2"): 1}
QUICK = Timeouts(response=0.5, idle=0.5)
STORE = {
    "CommandField": commands.C_STORE,
    "MessageID": 7,
    "Priority": 0,
    "AffectedSOPClassUID": "1.2.840.10008.5.1.4.1.1.4",
    "AffectedSOPInstanceUID": "1.2.3.45",
}


def pair(*, largest=0, timeouts=QUICK):
    """Return our side of an association, and the other's socket."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        theirs, _ = server.accept()
    theirs.settimeout(20)
    return Exchange("dicom://peer", ours, timeouts, largest, CONTEXTS), theirs


def everything(raw):
    data = b""
    while piece := raw.recv(1 << 20):
        data += piece
    return data


def pdu(*items, kind=4):
    """Return a PDU with (context, control, data) values."""
    body = b"".join(struct.pack(">IBB", len(data) + 2, c, how) + data for c, how, data in items)
    return struct.pack(">BxI", kind, len(body)) + body


@settings(max_examples=60, deadline=None)
@given(
    size=st.integers(1, 1500).map(lambda n: 2 * n) | st.integers(1, 6).map(lambda n: n << 17),
    largest=st.sampled_from([0, 12, 13, 64, 1000, 16384, 131072, 1 << 24]),
)
def test_sent_as_another_reads_it(size, largest):
    """pynetdicom reads the command and the data set, and no PDU is longer than agreed."""
    if size > 10000 and 0 < largest < 1000:
        size = 10000
    exchange, other = pair(largest=largest)
    data = (bytes(range(251)) * (size // 251 + 1))[:size]
    got = []
    thread = threading.Thread(target=lambda: got.append(everything(other)))
    thread.start()
    exchange.send(1, STORE, io.BytesIO(data), size)
    exchange.close()
    thread.join()
    message, stream = C_STORE_RQ(), got[0]
    complete = False
    while stream:
        length = struct.unpack_from(">I", stream, 2)[0]
        assert not largest or length <= largest
        one = P_DATA_TF()
        one.decode(stream[: 6 + length])
        assert not complete
        complete = message.decode_msg(one.to_primitive())
        stream = stream[6 + length :]
    primitive = message.message_to_primitive()
    assert complete
    assert primitive.DataSet.getvalue() == data
    assert (primitive.AffectedSOPInstanceUID, primitive.MessageID) == ("1.2.3.45", 7)


@settings(max_examples=60, deadline=None)
@given(
    data=st.binary(min_size=2, max_size=3000),
    most=st.integers(12, 4000),
    cuts=st.lists(st.integers(1, 2000), max_size=20),
)
def test_read_as_another_sent_it(data, most, cuts):
    """What pynetdicom sends is read whole, wherever the network cuts it, twice in a row."""
    exchange, other = pair(timeouts=Timeouts(response=20, idle=20))
    request = C_STORE()
    request.MessageID, request.Priority = 3, 2
    request.AffectedSOPClassUID = STORE["AffectedSOPClassUID"]
    request.AffectedSOPInstanceUID = uid = generate_uid()
    request.DataSet = io.BytesIO(data)
    message = C_STORE_RQ()
    message.primitive_to_message(request)
    stream = b""
    for primitive in message.encode_msg(1, most):
        one = P_DATA_TF()
        one.from_primitive(primitive)
        stream += one.encode()

    def trickle():
        rest = stream * 2
        for cut in cuts:
            other.sendall(rest[:cut])
            rest = rest[cut:]
        other.sendall(rest)

    thread = threading.Thread(target=trickle)
    thread.start()
    for _ in range(2):
        got = exchange.receive()
        assert got.data == data
        assert got.command["AffectedSOPInstanceUID"] == uid
        assert got.command["CommandField"] == commands.C_STORE
    thread.join()
    exchange.close()
    other.close()


COMMAND = commands.encoded(STORE, data=True)
ALONE = commands.encoded({"CommandField": commands.C_ECHO, "MessageID": 1}, data=False)


@pytest.mark.parametrize(
    ("stream", "error"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", BadMessageError),
        (struct.pack(">BxI", 4, 0xFFFFFFFF), BadMessageError),
        (pdu() * 3, BadMessageError),
        (pdu((1, 0, b"")), BadMessageError),
        (pdu((1, 1, b"")), BadMessageError),
        (pdu((1, 2, b"data without a command")), BadMessageError),
        (pdu((1, 3, b"\1\2\3")), BadMessageError),
        (pdu((1, 3, b"\0\0\0\1\xff\xff\xff\xff12")), BadMessageError),
        (pdu((1, 3, b"\x08\0\0\1\2\0\0\0\1\0")), BadMessageError),
        (pdu((1, 3, COMMAND)) + pdu((3, 2, b"12")), BadMessageError),
        (pdu((1, 3, COMMAND)) + pdu((1, 3, ALONE)), BadMessageError),
        (pdu((1, 1, bytes(60000))) * 2, BadMessageError),
        (struct.pack(">BxIIBB", 4, 8, 1000, 1, 3), BadMessageError),
        (pdu((1, 3, COMMAND)) + pdu((1, 0, bytes(8 << 20))) * 3, BadMessageError),
        (pdu(kind=7) + b"\0\0\0\0", PeerConnectionError),
        (pdu(kind=5) + b"\0\0\0\0", ReleasedError),
        (pdu(kind=2), BadMessageError),
        (b"\4\0\0", PeerConnectionError),
        (pdu((1, 3, COMMAND)) + pdu((1, 0, b"12")), PeerConnectionError),
    ],
)
def test_what_is_no_message(stream, error):
    """What cannot be a message, ends too early or has no end is an error at once, and ends it."""
    exchange, other = pair(timeouts=Timeouts(response=20, idle=20))

    def talk():
        try:
            other.sendall(stream)
            other.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    thread = threading.Thread(target=talk)
    thread.start()
    with pytest.raises(error, match=r"peer|answer of more"):
        exchange.receive()
    thread.join()
    assert not exchange.open
    with pytest.raises(PeerConnectionError):
        exchange.send(1, STORE)


@pytest.mark.parametrize("part", [0, 3, 20, 100])
def test_silence(part):
    """Who says nothing, or stops in the middle, is given up when the time is over."""
    exchange, other = pair()
    other.sendall((pdu((1, 3, COMMAND)) + pdu((1, 2, b"12")))[:part])
    with pytest.raises(PeerConnectionError, match="stopped answering"):
        exchange.receive()
    assert not exchange.open


def test_trickle():
    """Who sends a byte now and then is given up as well."""
    exchange, other = pair(timeouts=Timeouts(response=0.3, idle=0.3))
    ended = threading.Event()

    def talk():
        other.sendall(pdu((1, 3, COMMAND)))
        while not ended.wait(0.02):
            try:
                other.sendall(pdu((1, 0, b"1")))
            except OSError:
                return

    thread = threading.Thread(target=talk)
    thread.start()
    begin = time.monotonic()
    with pytest.raises(PeerConnectionError, match="bytes a second"):
        exchange.receive()
    ended.set()
    thread.join()
    assert time.monotonic() - begin < 60


def test_nobody_takes_it():
    """A peer that does not read holds nobody for ever."""
    exchange, _other = pair()
    with pytest.raises(PeerConnectionError, match="lost while sending"):
        exchange.send(1, STORE, io.BytesIO(bytes(64 << 20)), 64 << 20)


def test_file_becomes_shorter():
    """A file that ends before its size is an error, and the association is aborted, not ended."""
    exchange, other = pair()
    with pytest.raises(OSError, match="shorter"):
        exchange.send(1, STORE, io.BytesIO(bytes(100)), 1 << 20)
    assert everything(other)[-10:] == pdu(kind=7)[:5] + b"\4\0\0\0\0"


def test_release_is_answered():
    """A release is answered in order (PS3.8 section 9.2)."""
    exchange, other = pair()
    other.sendall(struct.pack(">BxII", 5, 4, 0))
    with pytest.raises(ReleasedError):
        exchange.receive()
    assert everything(other) == struct.pack(">BxII", 6, 4, 0)
