"""The stand-in for XNAT: what xnatpy, unmodified, sees of it, and the surprises it imitates."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from pathlib import Path

import pytest
import requests

from imagedata_xr.testing import Phantom, XnatServer, write_series

xnat = pytest.importorskip("xnat")

CORPUS = os.environ.get("IMAGEDATA_XR_CORPUS", "../shared/corpus")
REAL = Path(CORPUS, "xnat")


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    folder = tmp_path_factory.mktemp("xnat") / "dicom"
    write_series(Phantom(shape=(6, 16, 16)), folder)
    return folder


@pytest.fixture(scope="module")
def packed(series):
    path = series.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as file:
        for one in sorted(series.iterdir()):
            file.write(one, one.name)
    return path


@pytest.fixture
def server(tmp_path):
    with XnatServer(tmp_path / "xnat", readonly=("guest",)) as found:
        found.users["guest"] = "guest"
        yield found


def connect(server, **how):
    return xnat.connect(
        server.web, **{"user": "tester", "password": "s3cret", "loglevel": "CRITICAL", **how}
    )


@pytest.mark.parametrize("schemas", ["reduced", "real"])
def test_xnatpy_lists_imports_and_downloads(series, packed, tmp_path, schemas):
    """The unmodified client does its whole round against the stand-in, bytes unchanged."""
    if schemas == "real" and not REAL.is_dir():
        pytest.skip(f"no {REAL}: set IMAGEDATA_XR_CORPUS")
    chosen = REAL if schemas == "real" else None
    with XnatServer(tmp_path / "xnat", schemas=chosen) as server:
        with connect(server) as client:
            assert list(client.projects.keys()) == ["PROJECT"]
            there = client.services.import_(
                packed, project="PROJECT", subject="S1", experiment="E1"
            )
            assert there.label == "E1"
            subject = client.projects["PROJECT"].subjects["S1"]
            (scan,) = subject.experiments["E1"].scans.values()
            assert (scan.id, scan.series_description) == ("1", "Phantom series 1")
            assert len(scan.resources["DICOM"].files) == 6
            scan.download(tmp_path / "scan.zip")
            scan.create_resource("NOTES").upload(str(packed), "a.zip")
            waiting = client.services.import_(packed, project="PROJECT", destination="/prearchive")
            assert waiting.status == "READY"
            assert len(client.prearchive.sessions()) == 1
        with zipfile.ZipFile(tmp_path / "scan.zip") as file:
            got = sorted(file.read(one) for one in file.namelist())
            assert file.namelist()[0].startswith(
                "E1/scans/1-Phantom_series_1/resources/DICOM/files/"
            )
        assert got == sorted(path.read_bytes() for path in series.iterdir())
    with XnatServer(tmp_path / "xnat", schemas=chosen) as again, connect(again) as client:
        (scan,) = client.projects["PROJECT"].subjects["S1"].experiments["E1"].scans.values()
        assert set(scan.resources.key_map) >= {"DICOM", "NOTES"}


def test_logins(server):
    """A wrong password, no password, a token, a session that ended."""
    with pytest.raises(xnat.exceptions.XNATLoginFailedError):
        connect(server, password="wrong")
    assert requests.get(f"{server.web}/data/projects", timeout=5).status_code == 401
    alias, secret = server.token("tester")
    with connect(server, user=alias, password=secret) as client:
        assert list(client.projects.keys()) == ["PROJECT"]
    client = connect(server)
    server.logout()
    with pytest.raises(xnat.exceptions.XNATResponseError, match="401"):
        client.get("/data/projects")
    with pytest.raises(xnat.exceptions.XNATResponseError, match="401"):
        client.disconnect()


def ask(server, method, path, user="tester", **more):
    auth = (user, server.users[user])
    return requests.request(method, f"{server.web}{path}", auth=auth, timeout=10, **more)


FILES = "/data/projects/PROJECT/subjects/S1/experiments/E1/scans/1/resources/DICOM/files"


def test_six_behaviours_of_a_real_server(series, packed, server):
    """What a client must not be surprised by, as read in the source of XNAT."""
    data = packed.read_bytes()
    one = sorted(series.iterdir())[0].read_bytes()  # noqa: FURB192
    names = {"project": "PROJECT", "subject": "S1", "session": "E1"}

    def put(**query):
        return ask(server, "POST", "/data/services/import", params={**names, **query}, data=data)

    assert put().text == (
        "/data/archive/projects/PROJECT/subjects/XR_S00001/experiments/XR_E00001\r\n"
    )
    # 1 an existing file: status 200, a list of duplicates, nothing written
    assert ask(server, "PUT", f"{FILES}/x.dcm", data=b"first").text == ""
    again = ask(server, "PUT", f"{FILES}/x.dcm", data=b"second")
    assert (again.status_code, again.json()) == (200, {"duplicates": ["x.dcm"]})
    assert ask(server, "GET", f"{FILES}/x.dcm").content == b"first"
    assert ask(server, "PUT", f"{FILES}/x.dcm?overwrite=true", data=b"third").text == ""
    # 2 without the right to edit: status 200, nothing written
    assert ask(server, "PUT", f"{FILES}/y.dcm", user="guest", data=b"lost").status_code == 200
    assert ask(server, "GET", f"{FILES}/y.dcm").status_code == 404
    # 3 a session that exists
    for query, words in (
        ({}, "retry with overwrite enabled"),
        ({"overwrite": "append"}, "duplicate files"),
    ):
        answer = put(**query)
        assert answer.status_code == 409
        assert words in answer.text
    assert put(overwrite="delete").status_code == 200
    assert len(ask(server, "GET", f"{FILES}?format=json").json()["ResultSet"]["Result"]) == 7
    # 4 the site changes files
    server.archive.change = lambda content: content + b"\0\0"
    assert put(session="E2").status_code == 200
    # 5 archives without a length
    zipped = ask(server, "GET", f"{FILES}?format=zip")
    assert "Content-Length" not in zipped.headers
    with zipfile.ZipFile(io.BytesIO(zipped.content)) as file:
        assert one in [file.read(name) for name in file.namelist()]
    # 6 error pages, sizes and digests
    missing = ask(server, "GET", "/data/projects/OTHER")
    assert missing.status_code == 404
    assert "<h3>" in missing.text
    rows = ask(server, "GET", f"{FILES}?format=json").json()["ResultSet"]["Result"]
    digests = {hashlib.md5(path.read_bytes()).hexdigest() for path in series.iterdir()}
    assert {row["digest"] for row in rows} > digests


def test_imports_that_are_refused(server, packed):
    """No DICOM, no project; what is no DICOM among DICOM is passed over."""
    names = {"project": "PROJECT", "subject": "S1", "session": "E1"}
    path = "/data/services/import"
    assert ask(server, "POST", path, params=names, data=b"no zip").status_code == 400
    other = {**names, "project": "OTHER"}
    assert ask(server, "POST", path, params=other, data=packed.read_bytes()).status_code == 404
    both = io.BytesIO()
    with zipfile.ZipFile(both, "w") as file, zipfile.ZipFile(packed) as first:
        file.writestr("a", first.read(first.namelist()[0]))
        file.writestr("notes.txt", b"text")
    assert ask(server, "POST", path, params=names, data=both.getvalue()).status_code == 200
    assert ask(server, "POST", path, user="guest", params=names, data=b"").status_code == 403
