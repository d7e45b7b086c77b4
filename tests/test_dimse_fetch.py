"""What is on real servers is fetched as it is stored there, completely or with an error."""

from __future__ import annotations

import contextlib
import logging
import socket
import struct
import subprocess
import threading
import time
from pathlib import Path

import pydicom
import pytest
import xarray as xr
from dicom_peers import dcmqrscp, free_port, orthanc, own_network, program, running

from imagedata_xr import transports
from imagedata_xr.errors import (
    OptionError,
    PartialReadError,
    PeerConnectionError,
    SourceNotFoundError,
)
from imagedata_xr.testing import Phantom, write_series
from imagedata_xr.transports import Limits, Retry, Timeouts, dimse
from imagedata_xr.transports.core.part10 import identify

pytestmark = pytest.mark.usefixtures("network")

ME = {"calling": "XRTEST"}
PATIENT = {"PatientID": "ID-77", "PatientName": "DOE^JANE"}
PLAIN = "1.2.840.10008.1.2.1"
SYNTAXES = ("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.5")


@pytest.fixture(scope="module")
def network():
    with own_network():
        yield


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    """A series of each transfer syntax, by the syntax."""
    folder = tmp_path_factory.mktemp("files")
    made = {}
    for number, syntax in enumerate((PLAIN, *SYNTAXES), start=1):
        phantom = Phantom(
            shape=(4, 64, 64), series=number, attributes={**PATIENT, "SeriesNumber": number}
        )
        paths = write_series(phantom, folder / str(number))
        if syntax in SYNTAXES:
            for path in paths:
                compressed(path, syntax)
        made[syntax] = paths
    return made


def compressed(path, syntax):
    ds = pydicom.dcmread(path)
    ds.compress(syntax, generate_instance_uid=False)
    ds.save_as(path)


@pytest.fixture(scope="module", params=[orthanc, dcmqrscp], ids=lambda make: make.__name__)
def archive(request, series, tmp_path_factory):
    request.getfixturevalue("network")
    with running(request.param(tmp_path_factory.mktemp("server"))) as server:
        # DCMTK's takes no compressed images, unless it is told to take one kind only.
        server.files = list(series.values()) if request.param is orthanc else [series[PLAIN]]
        dimse.send(server.url, [path for paths in server.files for path in paths], **ME)
        yield server


MR = "1.2.840.10008.5.1.4.1.1.4"


def bodies(paths):
    """Return transfer syntax and data set by UID."""
    found = {}
    for path in map(Path, paths):
        with path.open("rb") as file:
            one = identify(file, path.name)
            file.seek(one.offset)
            found[one.uid] = (one.syntax, file.read())
    return found


@pytest.mark.parametrize("method", ["get", "move"])
def test_byte_for_byte(archive, tmp_path, method):
    """Everything of a patient comes as it was sent, in each transfer syntax, by both ways."""
    url = f"{archive.url}/ID-77?method={method}&port={archive.client_port}"
    manifest = transports.fetch(url, tmp_path / "got", **ME)
    sent = bodies(path for paths in archive.files for path in paths)
    assert bodies(manifest.paths) == sent
    assert len(list((tmp_path / "got").iterdir())) == len(manifest) == len(sent)


def test_one_series_one_instance(archive, series, tmp_path):
    """A series by its number, and one instance of it."""
    (first, *_) = series[PLAIN]
    header = pydicom.dcmread(first)
    manifest = dimse.fetch(archive.url + "/ID-77/*/1", tmp_path / "series", **ME)
    assert bodies(manifest.paths) == bodies(series[PLAIN])
    url = f"{archive.url}//{header.StudyInstanceUID}/{header.SeriesInstanceUID}/{header.SOPInstanceUID}"
    manifest = dimse.fetch(url, tmp_path / "one", **ME)
    assert bodies(manifest.paths) == bodies([first])


def test_goes_on(archive, series, tmp_path):
    """What is there stays untouched; what is missing, or was damaged, comes."""
    manifest = dimse.fetch(archive.url + "/ID-77/*/1", tmp_path, **ME)
    kept, gone, damaged, _ = manifest.paths
    before = kept.stat().st_mtime_ns
    gone.unlink()
    damaged.write_bytes(b"x")
    with pytest.raises(PartialReadError, match="overwrite=True"):
        dimse.fetch(archive.url + "/ID-77/*/1", tmp_path, retry=Retry(2, 0.01), **ME)
    damaged.unlink()
    manifest = dimse.fetch(archive.url + "/ID-77/*/1", tmp_path, **ME)
    assert bodies(manifest.paths) == bodies(series[PLAIN])
    assert kept.stat().st_mtime_ns == before


@pytest.mark.parametrize("make", [orthanc, dcmqrscp])
def test_classes_in_one_series(make, tmp_path):
    """A series with instances of several classes comes whole."""
    paths = write_series(
        Phantom(shape=(5, 8, 8), series=9, attributes={"PatientID": "ID-MIX"}), tmp_path / "files"
    )
    classes = [MR, MR, "1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.2", MR]
    for path, sop_class in zip(paths, classes, strict=True):
        dataset = pydicom.dcmread(path)
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = sop_class
        dataset.save_as(path)
    with running(make(tmp_path / "server")) as server:
        transports.store(server.url, paths, **ME)
        manifest = dimse.fetch(server.url + "/ID-MIX", tmp_path / "got", **ME)
    assert bodies(manifest.paths) == bodies(paths)
    assert sorted(one.sop_class for one in manifest) == sorted(classes)


def test_nothing_there(archive, tmp_path):
    """An unknown patient is not an empty success, and no folder is made."""
    with pytest.raises(SourceNotFoundError):
        dimse.fetch(archive.url + "/ID-78", tmp_path / "got", **ME)
    assert not (tmp_path / "got").exists()


def test_move_needs_a_port(archive, tmp_path):
    """C-MOVE without a port is an error that says so."""
    with pytest.raises(OptionError, match="port="):
        dimse.fetch(archive.url + "/ID-77", tmp_path, method="move", **ME)


def test_move_to_an_unknown_title(archive, tmp_path):
    """A server that does not know where to send is an error in bounded time."""
    with pytest.raises((PartialReadError, PeerConnectionError)) as caught:
        dimse.fetch(
            archive.url + "/ID-77",
            tmp_path,
            method="move",
            port=free_port(),
            calling="XRTEST",
            retry=Retry(2, 0.01),
            timeouts=Timeouts(response=5),
        )
    assert "ID-77" not in str(caught.value)


def test_limits(archive, tmp_path):
    """More than was allowed is not taken."""
    few = Limits(total=1000)
    with pytest.raises(PartialReadError, match="limits"):
        dimse.fetch(archive.url + "/ID-77/*/1", tmp_path, limits=few, retry=Retry(1), **ME)
    small = Limits(instance=100)
    with pytest.raises(PartialReadError, match="limits"):
        dimse.fetch(archive.url + "/ID-77/*/1", tmp_path, limits=small, retry=Retry(1), **ME)
    assert not list(tmp_path.iterdir())


def test_killed_while_it_gives(tmp_path):
    """Orthanc is killed three times during one transfer: everything comes, byte for byte."""
    files = write_series(Phantom(shape=(100, 64, 64)), tmp_path / "files")
    server = orthanc(tmp_path / "server").start()
    kills = []
    count = [0]

    def killer():
        for limit in (15, 40, 70):
            while count[0] < limit:
                time.sleep(0.0005)
            server.kill()
            kills.append(count[0])
            server.start()

    def progress(done, _):
        count[0] = done
        time.sleep(0.002)

    try:
        transports.store(server.url, files, verify=True, **ME)
        thread = threading.Thread(target=killer)
        thread.start()
        manifest = dimse.fetch(
            server.url,
            tmp_path / "got",
            progress=progress,
            retry=Retry(attempts=20, first=0.1, longest=0.5),
            **ME,
        )
        thread.join()
    finally:
        server.stop()
    assert len(kills) == 3
    assert bodies(manifest.paths) == bodies(files)
    assert not list((tmp_path / "got").glob("*.part"))


def test_receive(series, tmp_path):
    """DCMTK's storescu pushes to our receiver: every file is there, and C-ECHO is answered."""
    paths = series[PLAIN]
    with dimse.Receiver(0, tmp_path / "got", aet="ME", calling=["SCANNER"]) as receiver:
        title = ["-aet", "SCANNER", "-aec", "ME", "127.0.0.1", str(receiver.port)]
        subprocess.run([program("storescu"), *title, *map(str, paths)], check=True)
        subprocess.run([program("echoscu"), *title], check=True)
        stranger = ["-aet", "OTHER", "-aec", "ME", "127.0.0.1", str(receiver.port)]
        refused = subprocess.run([program("echoscu"), *stranger], capture_output=True, check=False)
    assert refused.returncode != 0
    assert set(bodies(receiver.manifest.paths)) == set(bodies(paths))
    for path in receiver.manifest.paths:
        assert path.stat().st_mode & 0o077 == 0


def test_receive_until_stopped(series, tmp_path):
    """``receive`` ends when it is told to, and says what came."""
    stop = threading.Event()
    port = free_port()
    results = []
    thread = threading.Thread(
        target=lambda: results.append(dimse.receive(port, tmp_path, aet="ME", stop=stop))
    )
    thread.start()
    paths = series[PLAIN]
    dimse.send(f"dicom://127.0.0.1:{port}/ME", paths)
    stop.set()
    thread.join(10)
    assert bodies(results[0].paths) == bodies(paths)


def test_hostile_message(tmp_path):
    """A PDU that claims 4 GB is dropped at once, and the receiver goes on."""
    with dimse.Receiver(0, tmp_path, aet="ME", host="127.0.0.1") as receiver:
        with socket.create_connection(("127.0.0.1", receiver.port), 5) as raw:
            raw.sendall(struct.pack(">BBL", 1, 0, 0xFFFFFFFF) + b"\0" * 1000)
            raw.settimeout(5)
            with contextlib.suppress(ConnectionResetError):
                assert raw.recv(100)[:1] in (b"", b"\7")
        assert dimse.echo(f"dicom://127.0.0.1:{receiver.port}/ME") < 5


def test_port_in_use(tmp_path):
    """A port that is taken is an error that names it."""
    with (
        dimse.Receiver(0, tmp_path, host="127.0.0.1") as first,
        pytest.raises(PeerConnectionError, match=str(first.port)),
    ):
        dimse.Receiver(first.port, tmp_path, host="127.0.0.1").start()


def test_no_patient_in_logs(archive, tmp_path, caplog):
    """Fetching names no patient in logs at the finest level."""
    caplog.set_level(logging.DEBUG)
    dimse.fetch(archive.url + "/ID-77/*/1", tmp_path, **ME)
    assert "DOE" not in caplog.text
    assert "ID-77" not in caplog.text


def test_opened_as_an_image(archive, series, tmp_path, monkeypatch):
    """``xr.open_dataarray("dicom://...")`` gives what the files give, and names no patient."""
    monkeypatch.setenv("IMAGEDATA_XR_SPOOL", str(tmp_path / "spool"))
    monkeypatch.setenv("IMAGEDATA_XR_AET", "XRTEST")
    url = f"{archive.url}/ID-77/*/1"
    image = xr.open_dataarray(url, engine="dicom", progress=False)
    local = xr.open_dataarray(series[PLAIN], engine="dicom", progress=False)
    xr.testing.assert_identical(image.load().drop_attrs(), local.load().drop_attrs())
    assert "ID-77" not in str(image.encoding)


def test_listed_through_fsspec(archive):
    """The server is a tree of folders; below patients no name has a Patient ID."""
    import fsspec

    system, path = fsspec.url_to_fs(archive.url + "?calling=XRTEST")
    (patient,) = system.ls(path, detail=False)
    assert patient.endswith("/ID-77?calling=XRTEST")
    (study,) = system.ls(patient, detail=False)
    assert "ID-77" not in study
    assert len(system.ls(study, detail=False)) == len(archive.files)
    assert len(system.find(path)) == 4 * len(archive.files)
    assert "s3cret" not in system.to_json()
