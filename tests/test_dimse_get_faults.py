"""Fetching from servers that fail or are hostile: nothing lost, nothing doubled, bounded, an error that helps."""

from __future__ import annotations

import contextlib
import hashlib
import struct
import threading

import pydicom
import pytest
from pynetdicom import AE, AllStoragePresentationContexts, evt

from imagedata_xr.errors import PartialReadError
from imagedata_xr.testing import Phantom, write_series
from imagedata_xr.transports import Limits, Retry, Timeouts, dimse
from imagedata_xr.transports.core.part10 import identify
from imagedata_xr.transports.dimse import asking, commands

FIND = "1.2.840.10008.5.1.4.1.2.2.1"
GET = "1.2.840.10008.5.1.4.1.2.2.3"
MR = "1.2.840.10008.5.1.4.1.1.4"
EXPLICIT = "1.2.840.10008.1.2.1"
QUICK = {
    "timeouts": Timeouts(connect=10, handshake=10, response=3, idle=1),
    "retry": Retry(attempts=3, first=0.01, longest=0.02),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    who = {"PatientName": "DOE^JANE", "PatientID": "ID-77"}
    return write_series(
        Phantom(shape=(6, 20, 20), attributes=who), tmp_path_factory.mktemp("files")
    )


def bodies(paths):
    found = {}
    for path in paths:
        with path.open("rb") as file:
            one = identify(file, path.name)
            file.seek(one.offset)
            found[one.uid] = hashlib.sha256(file.read()).hexdigest()
    return found


class Archive:
    """pynetdicom's server for C-FIND and C-GET, which does something else in the middle, `times` times."""

    def __init__(self, files, fault=None, times=1):
        self.datasets = [pydicom.dcmread(path) for path in files]
        self.fault, self.times, self.gets = fault, times, 0
        self.ended = threading.Event()
        ae = AE("ARCHIVE")
        ae.network_timeout = 30
        for uid in (FIND, GET):
            ae.add_supported_context(uid)
        for context in AllStoragePresentationContexts:
            ae.add_supported_context(
                context.abstract_syntax, EXPLICIT, scu_role=True, scp_role=True
            )
        handlers = [(evt.EVT_C_FIND, self._found), (evt.EVT_C_GET, self._got)]
        self.server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
        self.url = f"dicom://127.0.0.1:{self.server.socket.getsockname()[1]}/ARCHIVE"

    def _found(self, event):
        keys = {"STUDY": "StudyInstanceUID", "SERIES": "SeriesInstanceUID"}
        key = keys.get(event.identifier.QueryRetrieveLevel, "SOPInstanceUID")
        wanted = event.identifier.get("SOPInstanceUID", "")
        seen = set()
        for one in self.datasets:
            if one[key].value in seen or (wanted and wanted != one.SOPInstanceUID):
                continue
            seen.add(one[key].value)
            answer = pydicom.Dataset()
            for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID"):
                setattr(answer, name, one.get(name))
            yield 0xFF00, answer

    def _got(self, event):
        self.gets += 1
        uids = event.identifier.get("SOPInstanceUID") or []
        uids = [uids] if isinstance(uids, str) else list(uids)
        chosen = [one for one in self.datasets if not uids or one.SOPInstanceUID in uids]
        failing = self.fault is not None and self.gets <= self.times
        yield len(chosen)
        for number, one in enumerate(chosen):
            if failing and number == len(chosen) // 2:
                raw = event.assoc.dul.socket.socket
                with contextlib.suppress(OSError):
                    status = self.fault(self, event, raw, one)
                    if status is not None:
                        yield status, None
                        return
                with contextlib.suppress(OSError, AttributeError):
                    event.assoc.dul.socket.close()
                return
            yield 0xFF00, one

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.server.shutdown()


def context_of(event):
    return next(c for c in event.assoc.accepted_contexts if c.abstract_syntax == MR).context_id


def pdu(context, control, data):
    item = struct.pack(">IBB", len(data) + 2, context, control) + data
    return struct.pack(">BxI", 4, len(item)) + item


def store(uid):
    command = {
        "CommandField": commands.C_STORE,
        "MessageID": 9,
        "Priority": 0,
        "AffectedSOPClassUID": MR,
        "AffectedSOPInstanceUID": str(uid),
    }
    return commands.encoded(command, data=True)


def cut(archive, event, raw, one):
    """The connection ends within a PDU."""
    del archive
    context = context_of(event)
    raw.sendall(pdu(context, 3, store(one.SOPInstanceUID)))
    raw.sendall(pdu(context, 0, bytes(100_000))[:5000])


def stalled(archive, event, raw, one):
    """Nothing more comes within a PDU, and the connection stays."""
    cut(archive, event, raw, one)
    archive.ended.wait(5)


def endless(archive, event, raw, one):
    """A data set that has no end."""
    context = context_of(event)
    raw.sendall(pdu(context, 3, store(one.SOPInstanceUID)))
    while not archive.ended.is_set():
        raw.sendall(pdu(context, 0, bytes(100_000)))


def strangers(archive, event, raw, one):
    """Instances that nobody asked for, without end."""
    del one
    context = context_of(event)
    number = 0
    while not archive.ended.is_set():
        number += 1
        uid = f"1.2.3.{number}"
        raw.sendall(pdu(context, 3, store(uid)) + pdu(context, 2, bytes(100)))


def again(archive, event, raw, one):
    """The same instance, without end."""
    context = context_of(event)
    with contextlib.closing(pydicom.filebase.DicomBytesIO()) as file:
        file.is_little_endian, file.is_implicit_VR = True, False
        pydicom.filewriter.write_dataset(file, one)
        data = file.getvalue()
    while not archive.ended.is_set():
        raw.sendall(pdu(context, 3, store(one.SOPInstanceUID)) + pdu(context, 2, data))


def another(archive, event, raw, one):
    """An instance under the name of another, which is not the one that was announced."""
    del archive
    context = context_of(event)
    raw.sendall(pdu(context, 3, store(one.SOPInstanceUID)) + pdu(context, 2, bytes(1000)))
    raw.recv(1000)


def busy(archive, event, raw, one):
    """That there will be more is said for ever."""
    del one
    context = next(c for c in event.assoc.accepted_contexts if c.abstract_syntax == GET)
    pending = {
        "CommandField": commands.C_GET | commands.RESPONSE,
        "MessageIDBeingRespondedTo": event.request.MessageID,
        "AffectedSOPClassUID": GET,
        "Status": 0xFF00,
    }
    while not archive.ended.wait(0.01):
        raw.sendall(pdu(context.context_id, 3, commands.encoded(pending, data=False)))


def aborted(archive, event, raw, one):
    """The association is aborted."""
    del archive, event, one
    raw.sendall(struct.pack(">BxII", 7, 4, 0))


def nonsense(archive, event, raw, one):
    """What is no DICOM."""
    del archive, event, one
    raw.sendall(b"HTTP/1.1 200 OK\r\n\r\n")


def final(status):
    def said(archive, event, raw, one):
        del archive, event, raw, one
        return status

    return said


FAULTS = {
    "cut": cut,
    "stalled": stalled,
    "endless": endless,
    "strangers": strangers,
    "again": again,
    "another": another,
    "busy": busy,
    "aborted": aborted,
    "nonsense": nonsense,
    "0xA702": final(0xA702),
    "0xC000": final(0xC000),
    "cancelled": final(0xFE00),
}


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    monkeypatch.setattr(asking, "_PATIENCE", 0.2)


SMALL = Limits(instance=1 << 20, total=8 << 20)


@pytest.mark.parametrize("fault", FAULTS)
def test_once(files, tmp_path, fault):
    """After one fault everything is there, once, byte for byte."""
    with Archive(files, FAULTS[fault]) as archive:
        manifest = dimse.fetch(archive.url, tmp_path, limits=SMALL, **QUICK)
        assert archive.gets > 1
    assert bodies(manifest.paths) == bodies(files)
    assert sorted(tmp_path.iterdir()) == sorted(manifest.paths)


@pytest.mark.parametrize("fault", FAULTS)
def test_always(files, tmp_path, fault):
    """A fault that stays is an error with what is missing, in bounded time and space."""
    problems = []

    def ask(url):
        try:
            dimse.fetch(url, tmp_path, limits=SMALL, **QUICK)
        except PartialReadError as error:
            problems.append(error)

    with Archive(files, FAULTS[fault], times=10_000) as archive:
        thread = threading.Thread(target=ask, args=(archive.url,), daemon=True)
        thread.start()
        thread.join(240)
        assert not thread.is_alive()
    got = bodies(tmp_path.iterdir())
    missing = set(bodies(files)) - set(got)
    assert [set(error.missing) for error in problems] == ([missing] if missing else [])
    # What is sent too often still comes, a part each time.
    assert missing or fault == "again"
    assert got == {uid: bodies(files)[uid] for uid in got}
    assert not any("DOE" in str(error) or "ID-77" in str(error) for error in problems)


def test_silent_lie(files, tmp_path):
    """A server that says success and has sent but half is asked for the rest."""
    with Archive(files, final(0x0000)) as archive:
        manifest = dimse.fetch(archive.url, tmp_path, **QUICK)
    assert bodies(manifest.paths) == bodies(files)
