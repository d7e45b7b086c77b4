"""XNAT through URLs: read, listed, written, with every fault that a server has shown."""

from __future__ import annotations

import hashlib
import io
import logging
import pickle
import socket
import ssl
import zipfile

import fsspec
import pydicom
import pytest
import xarray as xr

from imagedata_xr import transports
from imagedata_xr.errors import (
    AuthenticationError,
    OptionError,
    PartialReadError,
    PartialWriteError,
    PeerConnectionError,
    RejectedError,
    SourceNotFoundError,
    TransportError,
)
from imagedata_xr.sources import find_sources
from imagedata_xr.testing import Phantom, XnatServer, write_series
from imagedata_xr.transports import Retry, xnat

SECRET = "s3cret pässword"
PATIENT = "Svendsen"
QUICK = Retry(attempts=2, first=0.01)


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path):
    """No credentials but those of the test; a spool of its own."""
    monkeypatch.setenv("IMAGEDATA_XR_SPOOL", str(tmp_path / "spool"))
    monkeypatch.setenv("NETRC", str(tmp_path / "no netrc"))
    monkeypatch.setenv("XNAT_USER", "tester")
    monkeypatch.setenv("XNAT_PASS", SECRET)
    for cls in ("xnat", "xnat+http"):
        fsspec.get_filesystem_class(cls).clear_instance_cache()


@pytest.fixture
def series(tmp_path):
    folder = tmp_path / "series"
    who = {"PatientName": f"{PATIENT}^Kari", "PatientID": PATIENT}
    write_series(Phantom(shape=(6, 16, 16), attributes=who), folder)
    return folder


@pytest.fixture
def server(tmp_path):
    users = {"tester": SECRET, "guest": "guest"}
    with XnatServer(tmp_path / "xnat", users=users, readonly=("guest",)) as found:
        yield found


@pytest.fixture
def filled(server, series):
    receipt = transports.store(f"{server.url}/PROJECT/{PATIENT}/E1", series)
    assert len(receipt.acknowledged) == len(receipt.verified) == 6
    return server


def contents(folder):
    return sorted(path.read_bytes() for path in folder.iterdir() if path.is_file())


def test_an_image_is_read_by_any_name(filled, series):
    """A scan by id, description or pattern, an experiment, a subject: the image of the folder."""
    truth = xr.open_dataarray(series, engine="dicom")
    base = f"{filled.url}/PROJECT"
    for path in (
        f"{PATIENT}/E1/1",
        f"{PATIENT}/E1/1/DICOM",
        f"{PATIENT}/E1/Phantom series 1",
        f"{PATIENT}/E1/Phantom%20series%201",
        "XR_S00001/XR_E00001/Phantom*",
        "*/E[0-9]/1",
        f"{PATIENT}/E1",
        "",
    ):
        image = xr.open_dataarray(f"{base}/{path}", engine="dicom")
        xr.testing.assert_identical(image, truth)
    copy = pickle.loads(pickle.dumps(image))
    assert (copy.isel(slice=3) == truth.isel(slice=3)).all()
    assert SECRET.encode() not in pickle.dumps(image)


def test_fetched_files_are_those_that_were_stored(filled, series, tmp_path):
    """Byte for byte; one archive for the series; nothing again when it is there already."""
    filled.log.clear()
    manifest = transports.fetch(f"{filled.url}/PROJECT/{PATIENT}/E1", tmp_path / "out")
    assert contents(tmp_path / "out") == contents(series)
    assert len(manifest) == 6
    assert sum("format=zip" in path for _, path in filled.log) == 1
    filled.log.clear()
    transports.fetch(f"{filled.url}/PROJECT/{PATIENT}/E1", tmp_path / "out")
    assert not [path for _, path in filled.log if "zip" in path or ".dcm" in path]


def test_find(filled):
    """Subjects, experiments, scans, files, at any level."""
    url = f"{filled.url}/PROJECT"
    assert [one["PatientID"] for one in transports.find(url)] == [PATIENT]
    (study,) = transports.find(url, level="study")
    assert (study["XNATExperiment"], study["StudyDate"]) == ("E1", "2024-02-29")
    (scan,) = transports.find(f"{url}/{PATIENT}/E1")
    assert scan["SeriesDescription"] == "Phantom series 1"
    assert len(transports.find(url, level="instance")) == 6
    assert PATIENT not in repr(study)


def test_as_a_file_system(filled, series):
    """fsspec lists, finds and opens; archives in a resource are read through a chain."""
    system = fsspec.filesystem("xnat+http")
    host = filled.url.partition("://")[2]
    (scan,) = system.ls(f"{host}/PROJECT/{PATIENT}/E1", detail=False)
    files = system.find(scan)
    assert len(files) == 6
    with fsspec.open(f"xnat+http://{files[0]}") as file:
        assert file.read() in contents(series)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path in series.iterdir():
            archive.write(path, path.name)
    scan = f"{filled.web}/data/projects/PROJECT/subjects/{PATIENT}/experiments/E1/scans/1"
    import requests

    put = requests.put(
        f"{scan}/resources/ZIPS/files/a.zip",
        data=packed.getvalue(),
        auth=("tester", SECRET.encode()),
        timeout=5,
    )
    assert put.status_code == 404  # the resource is not there yet
    auth = (b"tester", SECRET.encode())
    requests.put(f"{scan}/resources/ZIPS", auth=auth, timeout=5)
    url = f"{scan}/resources/ZIPS/files/a.zip"
    assert requests.put(url, data=packed.getvalue(), auth=auth, timeout=5).status_code == 200
    chain = f"zip://*::{filled.url}/PROJECT/{PATIENT}/E1/1/ZIPS/a.zip"
    assert len(find_sources(chain)) == len(find_sources(series))


def test_resources_of_what_is_no_scan(filled, series, tmp_path):
    """Files of a project, a subject or an experiment, by any engine."""
    image = xr.open_dataarray(series, engine="dicom")
    image.med.to_nifti(tmp_path / "a.nii.gz")
    data = (tmp_path / "a.nii.gz").read_bytes()
    requests = pytest.importorskip("requests")
    auth = (b"tester", SECRET.encode())
    paths = ("", f"/subjects/{PATIENT}", f"/subjects/{PATIENT}/experiments/E1")
    for rest, url in zip(paths, ("", f"/{PATIENT}", f"/{PATIENT}/E1"), strict=True):
        place = f"{filled.web}/data/projects/PROJECT{rest}/resources/NIFTI"
        requests.put(place, params={"format": "NIFTI"}, auth=auth, timeout=5).raise_for_status()
        put = requests.put(f"{place}/files/sub/a.nii.gz", data=data, auth=auth, timeout=5)
        put.raise_for_status()
        base = f"{filled.url}/PROJECT{url}/resources"
        read = xr.open_dataarray(f"{base}/NIFTI/sub/a.nii.gz", engine="nifti")
        assert (read.values == xr.open_dataarray(tmp_path / "a.nii.gz", engine="nifti")).all()
        assert len(transports.find(f"{base}/NIFTI")) == len(transports.find(base)) == 1
        system = fsspec.filesystem("xnat+http")
        (resource,) = system.ls(base, detail=False)
        assert resource.endswith("/resources/NIFTI")
        assert len(system.ls(resource)) == 1
        with pytest.raises(SourceNotFoundError, match="no resource"):
            transports.find(f"{base}/OTHER")


def test_names_that_mean_nothing(filled):
    """Which part of the path names nothing is said; the parts themselves may be patients."""
    for path, match in (
        ("NONE", "part 1 .* no project"),
        (f"PROJECT/{PATIENT}x", "part 2 .* no subject"),
        (f"PROJECT/{PATIENT}/E1/7", "part 4 .* no scan"),
    ):
        with pytest.raises(SourceNotFoundError, match=match) as caught:
            xr.open_dataarray(f"{filled.url}/{path}", engine="dicom")
        assert PATIENT not in str(caught.value)
    with pytest.raises(OptionError, match="name a project"):
        transports.fetch(filled.url, "nowhere")


# Writing ---------------------------------------------------------------------------------------


def test_an_image_is_written(server, series):
    """`to_dicom` to an experiment, and back."""
    image = xr.open_dataarray(series, engine="dicom")
    url = f"{server.url}/PROJECT/{PATIENT}/E9"
    image.med.to_dicom(url, SeriesNumber=77)
    again = xr.open_dataarray(f"{url}/77", engine="dicom")
    assert (again == image).all()


def test_overwrite_is_a_choice(filled, series, tmp_path):
    """By default an experiment that exists is not touched."""
    url = f"{filled.url}/PROJECT/{PATIENT}/E1"
    for overwrite in ("none", "append"):
        with pytest.raises(PartialWriteError, match="409") as caught:
            transports.store(url, series, overwrite=overwrite)
        assert len(caught.value.receipt.failed) == 6
    assert transports.store(url, series, overwrite="delete", verify=True).complete
    assert len(transports.find(url, level="instance")) == 6
    more = tmp_path / "more"
    write_series(Phantom(series=2, attributes={"PatientID": PATIENT}), more)
    assert transports.store(url, more, overwrite="append", verify=True).complete
    assert len(transports.find(url)) == 2
    with pytest.raises(OptionError, match="overwrite"):
        transports.store(url, series, overwrite="yes")
    with pytest.raises(OptionError, match="into scans"):
        transports.store(f"{url}/resources/DICOM", series)


def test_prearchive(server, series):
    """What waits for a person is acknowledged, not verified."""
    receipt = transports.store(f"{server.url}/PROJECT", series, destination="prearchive")
    assert len(receipt.acknowledged) == 6
    assert not receipt.verified
    assert transports.find(f"{server.url}/PROJECT") == []
    (session,) = transports.find(f"{server.url}/PROJECT", destination="prearchive")
    assert (session["XNATSubject"], session["XNATStatus"]) == (PATIENT, "READY")
    (scan,) = transports.find(
        f"{server.url}/PROJECT/{PATIENT[:3]}*", level="series", destination="prearchive"
    )
    assert scan["SeriesDescription"] == "Phantom series 1"
    assert transports.find(f"{server.url}/OTHER", destination="prearchive") == []
    with pytest.raises(OptionError, match="prearchive lists sessions"):
        transports.find(server.url, level="instance", destination="prearchive")


def test_into_a_scan(server, series, tmp_path):
    """Subject, experiment, scan and resource are made; existing files are not replaced unasked."""
    url = f"{server.url}/PROJECT/New/E5/42"
    assert transports.store(url, series, verify=True).complete
    transports.fetch(url, tmp_path / "out")
    assert contents(tmp_path / "out") == contents(series)
    # the same again is no change
    assert transports.store(url, series).complete
    changed = tmp_path / "changed"
    changed.mkdir()
    header = pydicom.dcmread(min(series.iterdir()))
    header.SeriesDescription = "other"
    header.save_as(changed / "a.dcm")
    with pytest.raises(PartialWriteError, match="overwrite='delete' replaces it"):
        transports.store(url, changed)
    assert transports.store(url, changed, overwrite="delete").complete


def test_success_without_the_right_to_edit(server, series, monkeypatch):
    """A server that says 200 and writes nothing is found out."""
    transports.store(f"{server.url}/PROJECT/S/E/1", series)
    monkeypatch.setenv("XNAT_USER", "guest")
    monkeypatch.setenv("XNAT_PASS", "guest")
    more = series.with_name("more")
    write_series(Phantom(series=2), more)
    with pytest.raises(PartialWriteError, match="right to edit"):
        transports.store(f"{server.url}/PROJECT/S/E/1", more)
    with pytest.raises(AuthenticationError):
        transports.store(f"{server.url}/PROJECT/S/E3", more)


def test_a_site_that_changes_files(server, series):
    """Anonymised on arrival: stored, with a warning, never called identical."""
    server.archive.change = lambda data: data.replace(PATIENT.encode(), b"X" * len(PATIENT))
    receipt = transports.store(f"{server.url}/PROJECT/S/E", series)
    assert len(receipt.warned) == 6
    assert receipt.complete


def test_several_studies_are_several_experiments(server, series):
    """XNAT takes one study a time."""
    other = series.with_name("other")
    write_series(Phantom(study=2, series=5), other)
    with pytest.raises(OptionError, match="2 studies"):
        transports.store(f"{server.url}/PROJECT/S/E", [series, other])
    assert transports.store(f"{server.url}/PROJECT/S", [series, other]).complete
    assert len(transports.find(f"{server.url}/PROJECT/S")) == 2


# Faults ----------------------------------------------------------------------------------------


def broken_archive(kind):
    """Return a fault of the ZIP answer."""

    def fault(handler):
        if "format=zip" not in handler.path:
            return False
        if kind == "page":
            handler.answer(200, "<html>please log in</html>", "text/html")
            return True
        caught = io.BytesIO()
        out, handler.wfile = handler.wfile, caught
        handler.xnat.fault = None
        try:
            handler._route(handler.path.partition("?")[0], b"")
        finally:
            handler.wfile = out
            handler.xnat.fault = fault
        data = caught.getvalue()
        _, _, chunked = data.partition(b"\r\n\r\n")
        start = chunked.index(b"\r\n") + 2
        body = bytearray(chunked[start : chunked.rindex(b"\r\n0\r\n")])
        if kind == "cut":
            body = body[: len(body) // 2]
        elif kind == "bit":
            body[len(body) // 3] ^= 0x10
        elif kind == "fewer":
            with zipfile.ZipFile(io.BytesIO(bytes(body))) as whole:
                fewer = io.BytesIO()
                with zipfile.ZipFile(fewer, "w") as part:
                    for name in whole.namelist()[1:]:
                        part.writestr(name, whole.read(name))
            body = bytearray(fewer.getvalue())
        handler.answer(200, bytes(body), "application/zip")
        return True

    return fault


@pytest.mark.parametrize("kind", ["cut", "bit", "page"])
def test_damaged_archives(filled, tmp_path, kind):
    """Half an archive, a changed bit, a page to log in: an error, and no file that looks whole."""
    filled.fault = broken_archive(kind)
    # a changed bit leaves the other five: those few that are missing are asked for one by one
    filled.log.clear()
    url = f"{filled.url}/PROJECT/{PATIENT}/E1"
    if kind == "bit":
        assert len(transports.fetch(url, tmp_path / "out", retry=QUICK)) == 6
        assert contents(tmp_path / "out") == contents(tmp_path / "series")
        return
    with pytest.raises(PartialReadError, match="6 of 6 files"):
        transports.fetch(url, tmp_path / "out", retry=QUICK)
    assert not list((tmp_path / "out").iterdir())


def test_archives_that_leave_files_out(filled, series, tmp_path):
    """What the server's list has and its archive has not, is fetched by itself."""
    filled.fault = broken_archive("fewer")
    transports.fetch(f"{filled.url}/PROJECT/{PATIENT}/E1", tmp_path / "out", retry=QUICK)
    assert contents(tmp_path / "out") == contents(series)


def test_files_that_are_not_what_the_list_says(filled, tmp_path):
    """A digest that does not fit is never accepted."""
    for scan in filled.archive.root.below("scans"):
        for resource in scan.children:
            for file in resource.files.values():
                file["digest"] = hashlib.md5(b"other").hexdigest()
    with pytest.raises(PartialReadError, match="MD5"):
        transports.fetch(f"{filled.url}/PROJECT/{PATIENT}/E1", tmp_path / "out", retry=QUICK)


def drop(handler):
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True
    return True


def test_a_server_that_hangs_up(filled, series, tmp_path):
    """Lost connections are tried again, a bounded number of times."""
    calls = []

    def sometimes(handler):
        calls.append(handler.path)
        return drop(handler) if len(calls) % 3 == 1 else False

    filled.fault = sometimes
    transports.fetch(f"{filled.url}/PROJECT/{PATIENT}/E1", tmp_path / "out")
    assert contents(tmp_path / "out") == contents(series)
    filled.fault = drop
    with pytest.raises(PeerConnectionError, match="no whole answer"):
        transports.find(f"{filled.url}/PROJECT", retry=QUICK)


def test_an_import_whose_answer_is_lost(server, series):
    """It is looked for; what is there counts, what is not is unknown. Nothing is sent twice."""

    def lose(handler):
        if "import" not in handler.path:
            return False
        handler.answer = lambda *_args, **_more: drop(handler)
        return False

    server.fault = lose
    url = f"{server.url}/PROJECT/{PATIENT}/E1"
    # the server reads the body before the fault: the import happens
    receipt = transports.store(url, series, errors="return")
    assert {one.state for one in receipt} <= {"acknowledged", "unknown"}
    server.fault = None
    assert len(transports.find(url, level="instance")) in (0, 6)
    server.fault = lambda handler: drop(handler) if "import" in handler.path else False
    receipt = transports.store(f"{server.url}/PROJECT/{PATIENT}/E2", series, errors="return")
    assert len(receipt.unknown) == 6


def test_redirects(filled):
    """Nobody is led to another server with the password in hand."""

    def elsewhere(handler):
        handler.answer(302, b"", Location="http://127.0.0.2:1/data/projects?who=x")
        return True

    filled.fault = elsewhere
    with pytest.raises(RejectedError, match="redirects elsewhere"):
        transports.find(f"{filled.url}/PROJECT", retry=QUICK)

    def around(handler):
        handler.answer(302, b"", Location=handler.path)
        return True

    filled.fault = around
    with pytest.raises(RejectedError, match="without end"):
        transports.find(f"{filled.url}/PROJECT", retry=QUICK)


def test_answers_that_are_no_xnat(filled):
    """A page with status 200 and JSON of something else are errors that say so."""
    for body, kind in ((b"<html>", "text/html"), (b"[1]", "application/json"), (b"", "text/plain")):
        filled.fault = lambda handler, body=body, kind=kind: handler.answer(200, body, kind) or True
        with pytest.raises(RejectedError):
            transports.find(f"{filled.url}/PROJECT", retry=QUICK)


# Credentials and certificates ------------------------------------------------------------------


def test_credentials(filled, tmp_path, monkeypatch):
    """netrc by host and port before host, the environment, tokens; wrong ones; none in a URL."""
    url = f"{filled.url}/PROJECT"
    alias, secret = filled.token("tester")
    monkeypatch.setenv("XNAT_USER", alias)
    monkeypatch.setenv("XNAT_PASS", secret)
    assert transports.find(url)
    monkeypatch.setenv("XNAT_HOST", "elsewhere.example")
    with pytest.raises(AuthenticationError, match="netrc"):
        transports.find(url)
    netrc = tmp_path / "netrc"
    netrc.write_text(
        "machine 127.0.0.1 login wrong password wrong\n"
        f'machine 127.0.0.1:{filled.port} login tester password "{SECRET}"\n',
        encoding="utf-8",
    )
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    assert transports.find(url)
    with pytest.raises(OptionError, match="no password") as caught:
        transports.find(f"xnat://tester:{secret}@127.0.0.1/PROJECT")
    assert secret not in str(caught.value)


def test_a_session_of_xnatpy(filled, monkeypatch):
    """The same credentials, for all else; without its classes by default."""
    pytest.importorskip("xnat")
    with xnat.session(filled.url) as session:
        found = session.get_json("/data/projects/PROJECT/subjects")
        assert found["ResultSet"]["Result"][0]["label"] == PATIENT
    monkeypatch.setenv("XNAT_PASS", "wrong")
    with pytest.raises(AuthenticationError) as caught:
        xnat.session(filled.url)
    assert "wrong" not in repr(caught.value)


def test_certificates(tmp_path, series, monkeypatch):
    """An unknown certificate is refused; a named one trusted; not to look is explicit and warns."""
    trustme = pytest.importorskip("trustme")
    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    with XnatServer(tmp_path / "tls", users={"tester": SECRET}, tls=tls) as server:
        url = f"{server.url}/PROJECT"
        assert url.startswith("xnat://")
        with pytest.raises(TransportError, match="certificate is not trusted"):
            transports.find(url)
        with pytest.warns(UserWarning, match="certificate is not checked"):
            transports.find(url, verify=False)
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        monkeypatch.setenv("XNAT_CA", str(tmp_path / "ca.pem"))
        transports.store(f"{url}/{PATIENT}/E", series)
        image = xr.open_dataarray(f"{url}/{PATIENT}/E", engine="dicom")
        assert image.sizes["slice"] == 6


def test_nothing_leaks(filled, series, tmp_path, caplog):
    """No log at any level, and no error, names the patient or the password."""
    url = f"{filled.url}/PROJECT/{PATIENT}/E1"
    errors = []
    with caplog.at_level(logging.DEBUG):
        transports.fetch(url, tmp_path / "out")
        xr.open_dataarray(url, engine="dicom").load()
        for action in (
            lambda: transports.store(url, series),
            lambda: transports.find(f"{url}/9/9"),
            lambda: transports.store(f"{filled.url}/NONE/{PATIENT}", series),
        ):
            with pytest.raises((TransportError, SourceNotFoundError)) as caught:
                action()
            errors.append(repr(caught.value) + str(caught.value))
        filled.fault = drop
        with pytest.raises(PeerConnectionError) as caught:
            transports.find(url, retry=QUICK)
        errors.append(repr(caught.value) + repr(caught.value.__cause__))
    said = caplog.text + "".join(errors)
    assert PATIENT not in said
    assert "s3cret" not in said
    names = [path.name for path in (tmp_path / "spool").rglob("*")]
    assert names
    assert PATIENT not in "".join(names)
    assert (tmp_path / "spool").stat().st_mode & 0o077 == 0
