"""Sending to servers that fail: nothing lost, nothing doubled, bounded, and an error that helps."""

from __future__ import annotations

import hashlib
import logging
import socket
import threading
import time

import pydicom
import pytest

from imagedata_xr import transports
from imagedata_xr.errors import (
    AuthenticationError,
    OptionError,
    PartialWriteError,
    PeerConnectionError,
    RejectedError,
)
from imagedata_xr.testing import Phantom, write_series
from imagedata_xr.testing.servers import Fault, FaultyServer
from imagedata_xr.transports import Retry, Timeouts, dimse

FAST = {
    "timeouts": Timeouts(connect=2, handshake=2, response=1.0, idle=2),
    "retry": Retry(attempts=3, first=0.02, longest=0.05),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    phantom = Phantom(shape=(8, 6, 5), attributes={"PatientName": "DOE^JANE", "PatientID": "ID-77"})
    return write_series(phantom, tmp_path_factory.mktemp("series"))


def data_sets(files):
    """Return the SHA-256 of each data set, as pydicom finds where it begins, by UID."""
    found = {}
    for path in files:
        header = pydicom.dcmread(path, stop_before_pixels=True)
        offset = 144 + header.file_meta.FileMetaInformationGroupLength
        data = path.read_bytes()[offset:]
        found[str(header.SOPInstanceUID)] = hashlib.sha256(data).hexdigest()
    return found


def sent(server, files, **options):
    return dimse.send(server.url, files, **{**FAST, **options})


def test_all_arrive_as_they_are(files):
    """What the server gets are the bytes of the files."""
    with FaultyServer() as server:
        receipt = sent(server, files)
    assert len(receipt.acknowledged) == len(files) == 8
    assert {uid: one for uid, (one,) in server.received.items()} == data_sets(files)


@pytest.mark.parametrize(
    "fault",
    [Fault(lost=True), Fault(abort=True), Fault(stall=1.5), Fault(status=0xA700)],
    ids=["lost", "abort", "stall", "full"],
)
def test_what_passes_is_tried_again(files, fault):
    """A lost answer, an abort, a stall or a full server in the middle: all are stored, once each."""
    with FaultyServer(faults={3: fault}) as server:
        receipt = sent(server, files)
    assert receipt.complete
    assert {uid: one[-1] for uid, one in server.received.items()} == data_sets(files)
    assert all(len(set(one)) == 1 for one in server.received.values())
    assert sorted(one.attempts for one in receipt) == [1] * 7 + [2]


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (0xA700, "out of resources"),
        (0xA900, "does not match its SOP class"),
        (0xC000, "unable to process"),
        (0x0122, "SOP class not supported"),
        (0x0124, "not authorized"),
    ],
)
def test_refusals_raise(files, status, text):
    """A server that refuses every instance is an error that lists each, in bounded time."""
    with FaultyServer(always=Fault(status=status)) as server:
        with pytest.raises(PartialWriteError, match=text) as caught:
            sent(server, files)
        tries = server.stores
    assert len(caught.value.receipt) == len(files)
    assert not any(one.stored for one in caught.value.receipt)
    assert tries <= 3 * len(files)


def test_one_refused(files):
    """One refused instance does not keep the others from being sent."""
    with (
        FaultyServer(faults={2: Fault(status=0xC000)}) as server,
        pytest.raises(PartialWriteError, match="1 of 8") as caught,
    ):
        sent(server, files)
    (failed,) = caught.value.receipt.failed
    assert failed.status == 0xC000
    assert set(server.received) == set(data_sets(files)) - {failed.uid}


def test_warnings_are_stored(files):
    """Statuses 0xB000, 0xB006, 0xB007: stored, and reported as warned."""
    faults = {1: Fault(status=0xB000), 2: Fault(status=0xB006), 3: Fault(status=0xB007)}
    with FaultyServer(faults=faults) as server:
        receipt = sent(server, files)
    assert receipt.complete
    assert sorted(one.status for one in receipt.warned) == [0xB000, 0xB006, 0xB007]
    assert len(server.received) == 8


def test_no_answer_at_all(files):
    """A server that always loses its answer: unknown is said, not success, and it ends."""
    with (
        FaultyServer(always=Fault(lost=True)) as server,
        pytest.raises(PartialWriteError) as caught,
    ):
        sent(server, files)
    receipt = caught.value.receipt
    assert len(receipt) == len(files)
    assert receipt.unknown
    assert not receipt.acknowledged
    assert set(server.received) >= {one.uid for one in receipt.unknown}


def test_server_restarts(files):
    """A server that goes away and comes back gets all."""
    server = FaultyServer(faults={4: Fault(lost=True)}).start()

    def restart():
        while server.stores < 4:
            time.sleep(0.01)
        server.stop()
        time.sleep(0.2)
        server.start()

    thread = threading.Thread(target=restart)
    thread.start()
    try:
        receipt = sent(server, files, retry=Retry(attempts=10, first=0.05, longest=0.2))
    finally:
        thread.join()
        server.stop()
    assert receipt.complete
    assert {uid: one[-1] for uid, one in server.received.items()} == data_sets(files)


def test_busy_for_a_while(files):
    """A transient rejection passes."""
    with FaultyServer(reject=(2, 3, 2), rejections=2) as server:
        assert sent(server, files).complete
    assert server.associations == 3


def test_busy_for_ever(files):
    """One that does not pass is an error after a bounded number of attempts."""
    with FaultyServer(reject=(2, 3, 2)) as server:
        with pytest.raises(PeerConnectionError, match="takes no association now"):
            sent(server, files)
        assert server.associations == 3


@pytest.mark.parametrize(
    ("reject", "error", "text"),
    [
        ((1, 1, 7), AuthenticationError, "called AE title 'FAULTY'"),
        ((1, 1, 3), AuthenticationError, "calling AE title 'ME'"),
        ((1, 1, 1), RejectedError, "rejects"),
    ],
)
def test_rejected_for_good(files, reject, error, text):
    """A permanent rejection is not tried again, and the text names the title that is wrong."""
    with FaultyServer(reject=reject) as server:
        with pytest.raises(error, match=text):
            sent(server, files, calling="ME")
        assert server.associations == 1


def test_rejection_is_quicker_than_we(files, monkeypatch):
    """A rejection that closes the connection before our thread looks is a rejection still."""
    from pynetdicom.transport import AssociationSocket

    class Late(threading.Event):
        def wait(self, timeout=None):
            connected = super().wait(timeout)
            time.sleep(0.3)
            return connected

    init = AssociationSocket.__init__

    def slow(self, *args, **kwargs):
        init(self, *args, **kwargs)
        self._ready = Late()

    with FaultyServer(reject=(1, 1, 7)) as server:
        monkeypatch.setattr(AssociationSocket, "__init__", slow)
        with pytest.raises(AuthenticationError, match="called AE title"):
            sent(server, files)


def test_class_not_accepted(files):
    """A server that takes none of the classes is an error before anything is sent."""
    with (
        FaultyServer(classes=("1.2.840.10008.1.1",)) as server,
        pytest.raises(RejectedError, match="accepts nothing"),
    ):
        sent(server, files)


def test_nobody_there(files):
    """A closed port and a port that says nothing are told apart."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    with pytest.raises(PeerConnectionError, match="cannot be reached"):
        dimse.send(f"dicom://127.0.0.1:{port}/AE", files, **FAST)
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        quick = {**FAST, "timeouts": Timeouts(connect=1, handshake=0.3, response=0.3, idle=1)}
        with pytest.raises(PeerConnectionError, match="is it a DICOM port"):
            dimse.send(f"dicom://127.0.0.1:{mute.getsockname()[1]}/AE", files, **quick)


def test_many_small_messages(tmp_path):
    """No answer is lost in hundreds of stores over one association, as happens to pynetdicom."""
    many = write_series(Phantom(shape=(400, 2, 2)), tmp_path)
    with FaultyServer() as server:
        receipt = sent(server, many)
    assert {one.attempts for one in receipt} == {1}
    assert (server.stores, server.associations) == (400, 1)
    assert {uid: one for uid, (one,) in server.received.items()} == data_sets(many)


def test_returned_on_request(files):
    """``errors="return"`` gives the receipt instead of the error."""
    with FaultyServer(always=Fault(status=0xC000)) as server:
        receipt = transports.store(server.url, files, errors="return", **FAST)
    assert len(receipt.failed) == 8


def test_no_patient_in_logs_and_errors(files, caplog):
    """Neither logs at the finest level nor errors name the patient."""
    caplog.set_level(logging.DEBUG)
    with (
        FaultyServer(faults={2: Fault(status=0xC000)}) as server,
        pytest.raises(PartialWriteError) as caught,
    ):
        sent(server, files)
    shown = caplog.text + str(caught.value) + repr(caught.value.receipt)
    assert "DOE" not in shown
    assert "ID-77" not in shown


@pytest.mark.parametrize(
    ("url", "options", "text"),
    [
        ("dicom://h:104", {}, "names no AE title"),
        ("dicom://h:104/A_TITLE_THAT_IS_TOO_LONG", {}, "is no AE title"),
        ("dicom://h:104/AE/patient", {}, "server and AE title only"),
        ("dicom://h:104/AE", {"tls": dimse.Tls()}, "dicoms://"),
    ],
)
def test_wrong_arguments(files, url, options, text):
    """What means nothing is said before a connection is made."""
    with pytest.raises(OptionError, match=text):
        dimse.send(url, files, **options)


def test_echo():
    """C-ECHO is answered; where it is not, the error says so."""
    with FaultyServer() as server:
        assert 0 < dimse.echo(server.url) < 5
