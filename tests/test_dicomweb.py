"""DICOMweb through URLs: found, read, stored, with every fault that a server can have."""

from __future__ import annotations

import contextlib
import logging
import pickle
import socket
import ssl
import threading
import time
import warnings

import fsspec
import pydicom
import pytest
import xarray as xr

import imagedata_xr
from imagedata_xr import transports
from imagedata_xr.errors import (
    AuthenticationError,
    DataWarning,
    OptionError,
    PartialReadError,
    PartialWriteError,
    PeerConnectionError,
    RejectedError,
    SourceNotFoundError,
    TransportError,
    WriteError,
)
from imagedata_xr.testing import DicomwebServer, Phantom, write_series
from imagedata_xr.transports import Limits, Retry, Timeouts

SECRET = "s3cret pässword"
PATIENT = "Svendsen"
QUICK = Retry(attempts=2, first=0.01)
WHO = {"PatientName": f"{PATIENT}^Kåre", "PatientID": PATIENT}
STUDY = "2.25.11"


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path):
    """No credentials but those of the test; a spool of its own."""
    monkeypatch.setenv("IMAGEDATA_XR_SPOOL", str(tmp_path / "spool"))
    monkeypatch.setenv("NETRC", str(tmp_path / "no netrc"))
    for scheme in ("dicomweb+https", "dicomweb+http"):
        fsspec.get_filesystem_class(scheme).clear_instance_cache()


@pytest.fixture
def series(tmp_path):
    attributes = {**WHO, "StudyInstanceUID": STUDY, "SeriesDescription": "first"}
    write_series(Phantom(shape=(12, 16, 16), attributes=attributes), tmp_path / "series")
    return tmp_path / "series"


@pytest.fixture
def other(tmp_path):
    """Another series of the same study."""
    attributes = {**WHO, "StudyInstanceUID": STUDY, "SeriesDescription": "second"}
    attributes["SeriesNumber"] = 2
    write_series(Phantom(shape=(3, 16, 16), series=2, attributes=attributes), tmp_path / "other")
    return tmp_path / "other"


@pytest.fixture
def server():
    with DicomwebServer() as found:
        yield found


@pytest.fixture
def filled(server, series):
    return server.add(series.iterdir())


def contents(folder):
    return sorted(path.read_bytes() for path in folder.iterdir() if path.is_file())


def uid_of(folder, keyword="SeriesInstanceUID"):
    return str(pydicom.dcmread(min(folder.iterdir()))[keyword].value)


# Finding and reading ---------------------------------------------------------------------------


def test_an_image_is_read(filled, series, other):
    """From a server, a study, a series, and by what it must match: the image of the folder."""
    truth = xr.open_dataarray(series, engine="dicom")
    whole = f"{filled.url}/studies/{STUDY}/series/{uid_of(series)}"
    for url in (filled.url, f"{filled.url}/", f"{filled.url}/studies", whole):
        image = xr.open_dataarray(url, engine="dicom")
        xr.testing.assert_identical(image, truth)
    filled.add(other.iterdir())
    for query in ("SeriesNumber=1", f"PatientID={PATIENT}&SeriesDescription=first"):
        image = xr.open_dataarray(f"{filled.url}/studies?{query}", engine="dicom")
        xr.testing.assert_identical(image, truth)
    copy = pickle.loads(pickle.dumps(image))
    assert (copy.isel(slice=3) == truth.isel(slice=3)).all()


def test_a_study_is_read_as_a_tree(filled, other):
    """Every series of a server is a node."""
    filled.add(other.iterdir())
    tree = xr.open_datatree(filled.url, engine="dicom")
    sizes = sorted(node.sizes["slice"] for node in tree.subtree if "slice" in node.sizes)
    assert sizes == [3, 12]


def test_fetched_files_are_those_that_are_stored(filled, series, tmp_path):
    """Byte for byte, preamble and file meta information too; one request; nothing twice."""
    odd = min(series.iterdir())
    data = bytearray(odd.read_bytes())
    data[:4] = b"II*\0"
    filled.keep(bytes(data))
    odd.write_bytes(data)
    seen = []
    manifest = transports.fetch(
        filled.url, tmp_path / "out", progress=lambda done, total: seen.append((done, total))
    )
    assert contents(tmp_path / "out") == contents(series)
    assert len(manifest) == 12
    assert seen[-1] == (12, 12)
    retrieved = [path for _, path in filled.log if path.rpartition("/")[2][0].isdigit()]
    assert len(retrieved) == 1
    filled.log.clear()
    assert transports.fetch(filled.url, tmp_path / "out").size == manifest.size
    assert not [path for _, path in filled.log if path.rpartition("/")[2][0].isdigit()]


def test_files_whose_beginning_does_not_say_who_they_are(server, series, tmp_path):
    """Deflated ones, and those with much before the UIDs of study and series."""
    files = sorted(series.iterdir())
    deflated = pydicom.dcmread(files[0])
    deflated.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    deflated.save_as(files[0])
    long = pydicom.dcmread(files[1])
    long.private_block(0x0009, "TESTS", create=True).add_new(1, "OB", bytes(1 << 20))
    long.save_as(files[1])
    server.add(files)
    transports.fetch(server.url, tmp_path / "out")
    assert contents(tmp_path / "out") == contents(series)


def test_find(filled, other):
    """Patients, studies, series, instances, each with the values of those above."""
    filled.add(other.iterdir())
    (patient,) = transports.find(filled.url, level="patient")
    assert patient["PatientName"] == WHO["PatientName"]
    (study,) = transports.find(filled.url)
    assert study["NumberOfStudyRelatedSeries"] == "2"
    url = f"{filled.url}/studies/{STUDY}"
    found = {one["SeriesDescription"]: one for one in transports.find(url)}
    assert found["second"].uid == uid_of(other)
    assert found["second"]["PatientID"] == PATIENT
    assert len(transports.find(f"{url}/series/{found['first'].uid}")) == 12
    assert len(transports.find(url, level="instance", keys={"SeriesNumber": "2"})) == 3
    assert transports.find(filled.url, keys={"PatientID": "nobody"}) == []
    assert PATIENT not in repr(study)


def test_listing(filled, series, other):
    """A tree of patients, studies and series; each row has the URL that opens it."""
    filled.add(other.iterdir())
    listing = imagedata_xr.ls(filled.url, level="series")
    assert sorted(row["files"] for row in listing.rows) == [3, 12]
    (first,) = [row for row in listing.rows if row["SeriesDescription"] == "first"]
    image = xr.open_dataarray(first["path"], engine="dicom")
    xr.testing.assert_identical(image, xr.open_dataarray(series, engine="dicom"))
    (patient,) = imagedata_xr.ls(filled.url, level="patient").rows
    assert len(transports.find(patient["path"], level="series")) == 2


def test_keys_that_a_server_ignores(filled, other, monkeypatch):
    """What an answer does not match is left out, whatever the server thinks of it."""
    filled.add(other.iterdir())
    found = filled.found

    def careless(**wanted):
        wanted.pop("SeriesNumber", None)
        wanted.pop("PatientID", None)
        return found(**wanted)

    monkeypatch.setattr(filled, "found", careless)
    assert len(transports.find(filled.url, level="series", keys={"SeriesNumber": "02"})) == 1
    assert transports.find(filled.url, keys={"PatientID": "nobody"}) == []


@pytest.mark.parametrize("warns", [True, False])
def test_pages(filled, tmp_path, warns):
    """A server that lists five at a time is asked until it has listed all."""
    filled.most, filled.warns = 5, warns
    assert len(transports.find(filled.url, level="instance")) == 12
    assert len(transports.fetch(filled.url, tmp_path / "out")) == 12


@pytest.mark.parametrize("warns", [True, False])
def test_a_server_that_never_lists_all(filled, tmp_path, warns):
    """One that knows no pages is found out, by its warning or by its own count."""
    filled.most, filled.warns = 5, warns

    def always_the_first(handler):
        path = handler.path.partition("?")[0]
        if not path.endswith("/instances"):
            return False
        handler.query("instances", {"SeriesInstanceUID": path.split("/")[-2]}, {})
        return True

    filled.fault = always_the_first
    with pytest.raises(TransportError, match="lists"):
        transports.fetch(filled.url, tmp_path / "out", retry=QUICK)
    if not warns:
        assert len(transports.fetch(filled.url, tmp_path / "out", counts=False)) == 5


def test_urls_that_mean_nothing(filled):
    """What cannot be a resource, or is not there, is said; no patient is named."""
    for path in ("studies/abc", f"studies/{STUDY}/instances/1.2", "studies/1.2/series/x"):
        with pytest.raises(OptionError, match="/studies/UID/series/UID"):
            transports.find(f"{filled.url}/{path}")
    with pytest.raises(OptionError, match="no DICOM keyword"):
        transports.find(f"{filled.url}/studies?Name=x")
    with pytest.raises(SourceNotFoundError, match="nothing of this"):
        transports.fetch(f"{filled.url}/studies?PatientID={PATIENT}x", "nowhere")
    with pytest.raises((SourceNotFoundError, FileNotFoundError)) as caught:
        xr.open_dataarray(f"{filled.url}/studies/1.2.3", engine="dicom")
    assert PATIENT not in str(caught.value)


def test_as_a_file_system(filled, series):
    """fsspec lists, finds and opens."""
    system = fsspec.filesystem("dicomweb+http")
    host = filled.url.partition("://")[2]
    (study,) = system.ls(host, detail=False)
    assert study == f"{host}/studies/{STUDY}"
    (one,) = system.ls(study, detail=False)
    files = system.find(one)
    assert len(files) == len(system.ls(one)) == 12
    with fsspec.open(f"dicomweb+http://{files[0]}") as file:
        assert file.read() in contents(series)
    assert system.size(files[0]) == min(series.iterdir()).stat().st_size
    with pytest.raises(NotImplementedError, match="store"):
        fsspec.open(f"dicomweb+http://{files[0]}", "wb").open()


# Storing ---------------------------------------------------------------------------------------


def test_an_image_is_written(server, series):
    """`to_dicom` to a server, and back; what a server replaces is not ours to say."""
    image = xr.open_dataarray(series, engine="dicom")
    image.med.to_dicom(server.url, SeriesNumber=77)
    again = xr.open_dataarray(f"{server.url}/studies?SeriesNumber=77", engine="dicom")
    assert (again == image).all()
    with pytest.raises(OptionError, match="overwrite"):
        image.med.to_dicom(server.url, overwrite=True)


def test_stored_bytes_are_those_of_the_files(server, series, other):
    """Nothing is decoded on the way, and every instance has its own answer."""
    seen = []
    receipt = transports.store(
        server.url,
        [series, other],
        verify=True,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert len(receipt.acknowledged) == len(receipt.verified) == 15
    assert sorted(server.files.values()) == sorted(contents(series) + contents(other))
    assert seen[-1] == (15, 15)


def test_files_of_an_odd_length(server, series):
    """They are sent as they are: only the DICOM protocol cannot carry them."""
    odd = min(series.iterdir())
    odd.write_bytes(odd.read_bytes()[:-1])
    assert transports.store(server.url, series).complete
    assert odd.read_bytes() in server.files.values()


def test_each_instance_has_its_own_answer(server, series):
    """Refused, stored with a warning, stored: as the server says of each."""
    uids = [pydicom.dcmread(path).SOPInstanceUID for path in sorted(series.iterdir())]
    server.refused = {uids[0]: 0xC122, uids[1]: 0xA900}
    server.changed = {uids[2]: 0xB000}
    with pytest.raises(PartialWriteError, match="2 of 12") as caught:
        transports.store(server.url, series, retry=QUICK)
    receipt = caught.value.receipt
    assert {one.uid: one.status for one in receipt.failed} == server.refused
    assert [one.uid for one in receipt.warned] == [uids[2]]
    assert "does not match its SOP class" in str(caught.value)
    assert {one.attempts for one in receipt} == {1}
    checked = transports.verify(server.url, receipt)
    assert {one.uid for one in checked if not one.verified} == set(uids[:2])


def test_a_full_server_is_tried_again(server, series):
    """Out of resources may pass; only those instances are sent again."""
    uid = str(pydicom.dcmread(min(series.iterdir())).SOPInstanceUID)
    server.refused = {uid: 0xA700}
    bodies = []

    def fault(handler):
        if handler.command == "POST":
            bodies.append(handler.body.count(b"application/dicom\r\n"))
            if len(bodies) == 3:
                server.refused = {}
        return False

    server.fault = fault
    assert transports.store(server.url, series, retry=Retry(first=0.01)).complete
    assert bodies == [12, 1, 1]


def test_only_one_study(server, series, tmp_path):
    """A study in the URL is a promise."""
    url = f"{server.url}/studies/{STUDY}"
    assert transports.store(url, series).complete
    assert ("POST", url.partition(f":{server.port}")[2]) in server.log
    write_series(Phantom(study=2, series=5), tmp_path / "else")
    with pytest.raises(OptionError, match="another study"):
        transports.store(url, tmp_path / "else")
    with pytest.raises(OptionError, match="at most a study"):
        transports.store(f"{url}/series/1.2", series)


# Faults ----------------------------------------------------------------------------------------


def drop(handler):
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True
    return True


def dropped_body(handler):
    handler.answer(200, b"x" * 100, "application/dicom", Content_Length="1000")
    handler.close_connection = True


SPOILED = {
    "cut": lambda handler, files: handler.multipart(files, cut=len(b"".join(files)) // 2),
    "last delimiter": lambda handler, files: handler.multipart(files, cut=-40),
    "lying length": lambda handler, files: handler.multipart(
        files, Content_Length=str(len(files[0]) + 1)
    ),
    "less than its length": lambda handler, _: dropped_body(handler),
    "fewer": lambda handler, files: handler.multipart(files[3:]),
    "twice": lambda handler, files: handler.multipart(files + files),
    "foreign": lambda handler, files: handler.multipart(
        [files[0].replace(STUDY.encode(), b"2.25.99"), *files[1:]]
    ),
    "junk": lambda handler, files: handler.multipart([b"x" * 5000, b"", *files[2:]]),
    "page": lambda handler, _: handler.answer(200, "<html>log in</html>", "text/html"),
    "no boundary": lambda handler, files: handler.answer(200, b"".join(files), "multipart/related"),
    "empty": lambda handler, _: handler.answer(200, b"", "multipart/related; boundary=x"),
    "drop": lambda handler, _: drop(handler),
    "404": lambda handler, _: handler.answer(404),
    "500": lambda handler, _: handler.answer(500, "<html>no</html>", "text/html"),
    "503": lambda handler, _: handler.answer(503),
}


def spoiled(kind, *, times=1):
    """Return a fault of the first answers to WADO requests for a series."""
    done = []

    def fault(handler):
        parts = handler.path.partition("?")[0].split("/")
        if parts[-2] != "series" or len(done) == times:
            return False
        done.append(handler.path)
        owner = handler.owner
        SPOILED[kind](handler, [owner.files[str(one.SOPInstanceUID)] for one in owner.found()])
        return True

    return fault


@pytest.mark.parametrize("kind", SPOILED)
def test_answers_that_are_spoiled(filled, series, tmp_path, kind):
    """Whatever is wrong with an answer, what is missing is asked for again, and all is whole."""
    filled.fault = spoiled(kind)
    transports.fetch(filled.url, tmp_path / "out", retry=Retry(attempts=3, first=0.01))
    assert contents(tmp_path / "out") == contents(series)
    assert len(list((tmp_path / "out").iterdir())) == 12


@pytest.mark.parametrize("kind", ["lying length", "junk", "fewer", "page", "drop", "500"])
def test_answers_that_stay_spoiled(filled, series, tmp_path, kind):
    """An error that lists what is missing; no file that only looks whole; the rest stays."""
    series_fault = spoiled(kind, times=100)

    def fault(handler):
        if handler.path.split("/")[-2] == "instances":
            return handler.answer(500) or True
        return series_fault(handler)

    filled.fault = fault
    with pytest.raises(PartialReadError) as caught:
        transports.fetch(filled.url, tmp_path / "out", retry=QUICK)
    assert len(caught.value.missing) == 12 - len(caught.value.manifest)
    assert set(contents(tmp_path / "out")) <= set(contents(series))
    assert len(list((tmp_path / "out").iterdir())) == len(caught.value.manifest)
    filled.fault = None
    transports.fetch(filled.url, tmp_path / "out")
    assert contents(tmp_path / "out") == contents(series)


def test_a_server_that_is_no_dicomweb(filled):
    """A page with status 200, JSON of something else, and nothing, are errors that say so."""
    for body, kind in ((b"<html>", "text/html"), (b'["x"]', "application/json"), (b"3", "x/y")):
        filled.fault = lambda handler, body=body, kind=kind: handler.answer(200, body, kind) or True
        with pytest.raises(RejectedError):
            transports.find(filled.url, retry=QUICK)
    filled.fault = lambda handler: handler.answer(404) or True
    with pytest.raises(SourceNotFoundError, match="nothing there"):
        transports.find(filled.url)


def test_a_slow_server_does_not_hold_us(filled):
    """One that does not answer, and one that trickles, are left."""
    filled.fault = lambda handler: time.sleep(1.5) or drop(handler)
    waits = Timeouts(connect=1, response=0.3)
    begin = time.monotonic()
    with pytest.raises(PeerConnectionError, match="no whole answer"):
        transports.find(filled.url, retry=QUICK, timeouts=waits)

    def trickle(handler):
        handler.answer(200, b"", "application/dicom+json", Content_Length="100000")
        for _ in range(40):
            handler.wfile.write(b" ")
            time.sleep(0.1)
        return True

    filled.fault = trickle
    with pytest.raises(PeerConnectionError, match="bytes a second"):
        transports.find(filled.url, retry=QUICK, timeouts=waits)
    assert time.monotonic() - begin < 30


@pytest.mark.parametrize("part", ["headers", "continue", "chunk", "trailer"])
def test_a_server_that_drips(filled, part):
    """One whose headers, promises or lines between the pieces of a body have no end is left."""
    starts = {
        "headers": b"HTTP/1.1 200 OK\r\nX-A: ",
        "continue": b"",
        "chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n1;",
        "trailer": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\n",
    }
    drops = {"continue": b"HTTP/1.1 100 Continue\r\n\r\n", "trailer": b"X-A: 1\r\n"}
    ended = threading.Event()

    def drip(handler):
        handler.close_connection = True
        with contextlib.suppress(OSError):
            handler.wfile.write(starts[part])
            while not ended.wait(0.02):
                handler.wfile.write(drops.get(part, b"a"))
        return True

    filled.fault = drip
    results = []

    def ask():
        with pytest.raises(PeerConnectionError, match="no whole answer"):
            transports.find(
                filled.url, retry=Retry(attempts=1), timeouts=Timeouts(connect=2, response=0.3)
            )
        results.append("ended")

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(60)
    ended.set()
    assert results == ["ended"]


def test_limits(filled, tmp_path):
    """A hostile server sends no more than we take."""
    for limits, match in (
        (Limits(count=5), "too many"),
        (Limits(total=3000), "more than"),
        (Limits(instance=100), "more than 100 bytes"),
        (Limits(records=5), "more than 5 entries"),
    ):
        with pytest.raises(TransportError, match=match):
            transports.fetch(filled.url, tmp_path / "out", retry=QUICK, limits=limits)
    assert len(list((tmp_path / "out").glob("*"))) <= 2


def test_names_that_lead_elsewhere(filled, tmp_path):
    """UIDs that are paths are no UIDs; nothing that has none is lost without a word."""
    row = {"0020000D": {"vr": "UI", "Value": ["../../../etc"]}}
    filled.fault = lambda handler: handler.json([row]) or True
    with pytest.warns(DataWarning, match="1 study.s. without a valid UID"):
        assert transports.find(filled.url) == []
    row = {"00080018": {"vr": "UI", "Value": ["../../../etc/passwd"]}}
    filled.fault = lambda handler: "/instances" in handler.path and (handler.json([row]) or True)
    with pytest.raises(TransportError, match="without a valid UID"):
        transports.fetch(filled.url, tmp_path / "out", retry=QUICK)


def test_other_contents_are_not_replaced_unasked(filled, series, tmp_path):
    """A file of the user's that has the name of an instance."""
    out = tmp_path / "out"
    out.mkdir()
    name = f"{pydicom.dcmread(min(series.iterdir())).SOPInstanceUID}.dcm"
    (out / name).write_bytes(b"mine")
    with pytest.raises(WriteError, match="overwrite=True"):
        transports.fetch(filled.url, out, retry=QUICK)
    assert (out / name).read_bytes() == b"mine"
    transports.fetch(filled.url, out, overwrite=True)
    assert contents(out) == contents(series)


def answered_otherwise(handler, action):
    """Let a server store, and answer in another way."""
    handler.json = lambda *_args, **_more: action() or True
    handler.store()
    del handler.json
    return True


@pytest.mark.parametrize("kind", ["lost", "dropped", "503"])
def test_storing_again(server, series, kind):
    """Where no answer came, it is sent again, and nothing is doubled."""
    calls = []

    def fault(handler):
        calls.append(handler.path)
        if len(calls) > 1:
            return False
        if kind == "503":
            return handler.answer(503) or True
        if kind == "dropped":
            return drop(handler)
        return answered_otherwise(handler, lambda: drop(handler))

    server.fault = fault
    assert transports.store(server.url, series, retry=Retry(first=0.01)).complete
    assert sorted(server.files.values()) == contents(series)
    assert len(calls) == 2


@pytest.mark.parametrize("body", ["", "<html>thanks</html>"])
def test_success_without_a_list(server, series, body):
    """It is looked for afterwards."""
    server.fault = lambda handler: (
        handler.command == "POST"
        and answered_otherwise(handler, lambda: handler.answer(200, body, "text/html"))
    )
    receipt = transports.store(server.url, series)
    assert len(receipt.verified) == 12


def test_one_bad_file_among_good_ones(server, series):
    """A server that refuses a whole request for it, without a list, is asked for each."""
    bad = min(series.iterdir()).read_bytes()

    def fault(handler):
        if handler.command == "POST" and bad in handler.body:
            return handler.answer(400, "<html>bad file</html>", "text/html") or True
        return False

    server.fault = fault
    receipt = transports.store(server.url, series, errors="return", retry=QUICK)
    assert [one.status for one in receipt.failed] == [400]
    assert len(receipt.acknowledged) == 11


def test_a_server_that_stops_answering(server, series):
    """What became of the instances is unknown, and said so; then it is asked no more."""
    server.fault = drop
    with pytest.raises(PartialWriteError, match="no answer came") as caught:
        transports.store(server.url, series, retry=QUICK)
    assert len(caught.value.receipt.unknown) == 12
    posts = [method for method, _ in server.log if method == "POST"]
    assert len(posts) == 2


def test_success_that_is_none(server, series):
    """A server that says 200 and keeps nothing is found out."""
    server.fault = lambda handler: (
        (handler.answer(200, b"") or True) if handler.command == "POST" else False
    )
    with pytest.raises(PartialWriteError, match="does not list it afterwards"):
        transports.store(server.url, series, retry=QUICK)


# Credentials and certificates ------------------------------------------------------------------


def test_credentials(server, series, tmp_path, monkeypatch):
    """Basic and token, from netrc and the environment; wrong ones; none in a URL."""
    server.users, server.tokens = {"tester": SECRET}, ("t0ken",)
    with pytest.raises(AuthenticationError, match="netrc"):
        transports.store(server.url, series)
    monkeypatch.setenv("DICOMWEB_USER", "tester")
    monkeypatch.setenv("DICOMWEB_PASS", SECRET)
    assert transports.store(server.url, series).complete
    monkeypatch.setenv("DICOMWEB_PASS", "wrong")
    with pytest.raises(AuthenticationError):
        transports.find(server.url)
    monkeypatch.setenv("DICOMWEB_TOKEN", "t0ken")
    assert transports.find(server.url)
    monkeypatch.setenv("DICOMWEB_HOST", "elsewhere.example")
    with pytest.raises(AuthenticationError):
        transports.find(server.url)
    netrc = tmp_path / "netrc"
    netrc.write_text(f'machine 127.0.0.1:{server.port} login tester password "{SECRET}"\n')
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    image = xr.open_dataarray(server.url, engine="dicom")
    assert SECRET.encode() not in pickle.dumps(image)
    with pytest.raises(OptionError, match="no password") as caught:
        transports.find("dicomweb+https://tester:s3cret@127.0.0.1/dicom-web")
    assert "s3cret" not in str(caught.value)


def test_a_token_that_expires(server, series, monkeypatch):
    """What was stored before stays in the receipt."""
    server.users = {"tester": SECRET}
    monkeypatch.setenv("DICOMWEB_USER", "tester")
    monkeypatch.setenv("DICOMWEB_PASS", SECRET)
    monkeypatch.setattr("imagedata_xr.transports.dicomweb.sending._MOST_FILES", 5)
    calls = []

    def fault(handler):
        calls.append(handler.path)
        return (handler.answer(401) or True) if len(calls) > 1 else False

    server.fault = fault
    receipt = transports.store(server.url, series, errors="return")
    assert len(receipt.acknowledged) == 5
    assert len(receipt.failed) == 7
    assert len(calls) == 2


def test_certificates(series, tmp_path, monkeypatch):
    """The server's is checked, ours is shown where it asks; not to look is explicit and warns."""
    trustme = pytest.importorskip("trustme")
    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    authority.configure_trust(tls)
    tls.verify_mode = ssl.CERT_REQUIRED
    mine = authority.issue_cert("me@example.org")
    mine.private_key_and_cert_chain_pem.write_to_path(tmp_path / "mine.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    with DicomwebServer(tls=tls) as server:
        assert server.url.startswith("dicomweb+https://")
        with pytest.raises(TransportError, match="certificate is not trusted"):
            transports.find(server.url, retry=QUICK)
        monkeypatch.setenv("DICOMWEB_CA", str(tmp_path / "ca.pem"))
        with pytest.raises(TransportError):
            transports.find(server.url, retry=QUICK)
        monkeypatch.setenv("DICOMWEB_CERT", str(tmp_path / "mine.pem"))
        assert transports.store(server.url, series, verify=True).complete
        assert xr.open_dataarray(server.url, engine="dicom").sizes["slice"] == 12
        monkeypatch.delenv("DICOMWEB_CA")
        with pytest.warns(UserWarning, match="certificate is not checked"):
            transports.find(server.url, verify=False)


def test_nothing_leaks(filled, series, tmp_path, caplog, monkeypatch):
    """No log at any level, no error and no file name has the patient or the password."""
    filled.users = {"tester": SECRET}
    monkeypatch.setenv("DICOMWEB_USER", "tester")
    monkeypatch.setenv("DICOMWEB_PASS", SECRET)
    url = f"{filled.url}/studies?PatientID={PATIENT}"
    errors = []
    with caplog.at_level(logging.DEBUG), warnings.catch_warnings():
        warnings.simplefilter("error")
        transports.fetch(url, tmp_path / "out")
        xr.open_dataarray(url, engine="dicom").load()
        transports.store(filled.url, series)
        filled.fault = spoiled("junk")
        transports.fetch(url, tmp_path / "junk", retry=QUICK)
        for fault in (drop, lambda handler: handler.answer(500, PATIENT) or True):
            filled.fault = fault
            for action in (
                lambda: transports.find(url, retry=QUICK),
                lambda: transports.store(filled.url, series, retry=QUICK),
                lambda: xr.open_dataarray(url, engine="dicom"),
            ):
                with pytest.raises(OSError, match=r"\w") as caught:
                    action()
                errors += [repr(caught.value), str(caught.value), repr(caught.value.__cause__)]
    said = caplog.text + "".join(errors)
    assert PATIENT not in said
    assert "s3cret" not in said
    names = [path.name for path in (tmp_path / "spool").rglob("*")]
    assert names
    assert PATIENT not in "".join(names)
