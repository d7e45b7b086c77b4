"""The receiver among senders that lie, that stall, and that are many: whole files or none."""

from __future__ import annotations

import socket
import threading
import tracemalloc
from io import BytesIO

import pydicom
import pytest
from pydicom.uid import UID, generate_uid
from pynetdicom import AE
from pynetdicom.dimse_primitives import C_STORE

from imagedata_xr.testing import Phantom, write_series
from imagedata_xr.transports import Limits, Retry, Timeouts, dimse
from imagedata_xr.transports.core.part10 import identify

MR = "1.2.840.10008.5.1.4.1.1.4"
EXPLICIT = "1.2.840.10008.1.2.1"


@pytest.fixture
def files(tmp_path):
    who = {"PatientName": "DOE^JANE", "PatientID": "ID-77"}
    return write_series(Phantom(shape=(2, 6, 5), attributes=who), tmp_path / "files")


@pytest.fixture
def receiver(tmp_path):
    with dimse.Receiver(
        0,
        tmp_path / "got",
        aet="ME",
        host="127.0.0.1",
        limits=Limits(instance=1 << 20),
        timeouts=Timeouts(handshake=2, response=2, idle=1),
    ) as started:
        yield started


def body(path):
    with path.open("rb") as file:
        file.seek(identify(file, path.name).offset)
        return file.read()


def pushed(receiver, uid, data, sop_class=MR):
    """Send a data set under any name, and return the status; None where there is no answer."""
    ae = AE("LIAR")
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 20
    ae.add_requested_context(sop_class, EXPLICIT)
    association = ae.associate("127.0.0.1", receiver.port, ae_title="ME")
    assert association.is_established
    request = C_STORE()
    request.MessageID = 1
    request.Priority = 2
    request.AffectedSOPClassUID = UID(sop_class)
    request._affected_sop_instance_uid = UID(uid)
    request.DataSet = BytesIO(data)
    association._reactor_checkpoint.clear()
    try:
        association.dimse.send_msg(request, association.accepted_contexts[0].context_id)
        _, answer = association.dimse.get_msg(block=True)
    finally:
        association._reactor_checkpoint.set()
    if association.is_established:
        association.release()
    return None if answer is None else answer.Status


def kept(receiver):
    return sorted(path.name for path in receiver.collector.folder.iterdir())


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_names_that_lead_out(receiver, files, tmp_path):
    """A UID that is a path is no file, here or elsewhere."""
    data = body(files[0])
    uid = str(pydicom.dcmread(files[0]).SOPInstanceUID).encode()
    for name in ("../../x", "/tmp/x", "..", "1.2/../../3"):
        padded = name.encode().ljust(len(uid), b"\0")
        assert pushed(receiver, name, data.replace(uid, padded)) != 0
        assert pushed(receiver, name, data) != 0
    assert kept(receiver) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["files", "got"]


def test_other_than_announced(receiver, files):
    """Another instance or class than announced, and what is no data set, are refused with a reason."""
    header = pydicom.dcmread(files[0])
    data = body(files[0])
    uid = str(header.SOPInstanceUID)
    assert pushed(receiver, generate_uid(), data) == 0xA900
    assert pushed(receiver, uid, data, sop_class="1.2.840.10008.5.1.4.1.1.2") == 0xA900
    assert pushed(receiver, uid, b"\x08\0\x18\0UI\xff\xff1.2.3") == 0xC000
    assert pushed(receiver, uid, b"no DICOM at all!") == 0xC000
    assert kept(receiver) == []
    assert pushed(receiver, uid, data) == 0
    assert kept(receiver) == [f"{uid}.dcm"]
    assert not any("DOE" in text or "ID-77" in text for text in receiver.collector.problems)


def test_other_contents(receiver, files):
    """The same again is taken; the same UID with other contents is refused, and the first stays."""
    uid = str(pydicom.dcmread(files[0]).SOPInstanceUID)
    data = body(files[0])
    assert pushed(receiver, uid, data) == 0
    assert pushed(receiver, uid, data) == 0
    assert pushed(receiver, uid, data[:-1] + bytes([data[-1] ^ 1])) == 0x0111
    (name,) = kept(receiver)
    assert body(receiver.collector.folder / name) == data


def test_too_large(receiver, files):
    """A message beyond the limit is cut off, and the receiver goes on."""
    uid = str(pydicom.dcmread(files[0]).SOPInstanceUID)
    assert pushed(receiver, uid, body(files[0]) + bytes(8 << 20)) != 0
    assert kept(receiver) == []
    assert dimse.send(f"dicom://127.0.0.1:{receiver.port}/ME", files).complete


def test_memory(tmp_path):
    """An instance takes the memory of a buffer, not its own size, in the receiver and the sender."""
    (path,) = write_series(Phantom(shape=(1, 6, 5)), tmp_path / "files")
    dataset = pydicom.dcmread(path)
    dataset.add_new(0x00091001, "OB", bytes(64 << 20))
    dataset.save_as(path)
    del dataset
    with dimse.Receiver(0, tmp_path / "got", aet="ME", host="127.0.0.1") as receiver:
        url = f"dicom://127.0.0.1:{receiver.port}/ME"
        dimse.echo(url)
        tracemalloc.start()
        try:
            assert dimse.send(url, [path]).complete
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 16 << 20
    (got,) = receiver.manifest.paths
    assert body(got) == body(path)


def test_silent_connections(receiver, files):
    """Connections that say nothing, or stop in the middle, keep nobody out for long."""
    silent = [socket.create_connection(("127.0.0.1", receiver.port), 10) for _ in range(70)]
    for one in silent[::2]:
        one.sendall(b"\1\0\0\0\1\0half of a request")
    try:
        retry = Retry(attempts=20, first=0.2, longest=1)
        assert dimse.send(f"dicom://127.0.0.1:{receiver.port}/ME", files, retry=retry).complete
    finally:
        for one in silent:
            one.close()
    assert len(kept(receiver)) == len(files)


def test_many_at_once(receiver, tmp_path):
    """Senders at the same time, some with the same files: each instance once, all acknowledged."""
    series = [
        write_series(Phantom(shape=(20, 6, 5), series=number), tmp_path / f"s{number}")
        for number in (1, 2, 3)
    ]
    receipts = []

    def push(files):
        retry = Retry(attempts=20, first=0.05, longest=0.5)
        url = f"dicom://127.0.0.1:{receiver.port}/ME"
        receipts.append(dimse.store(url, files, retry=retry))

    threads = [threading.Thread(target=push, args=(files,)) for files in series * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(one.acknowledged) for one in receipts] == [20] * 6
    sent = {f"{pydicom.dcmread(path).SOPInstanceUID}.dcm": body(path) for s in series for path in s}
    got = {name: body(receiver.collector.folder / name) for name in kept(receiver)}
    assert got == sent
