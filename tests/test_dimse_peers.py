"""Real servers, Orthanc and DCMTK: what they have is found, and what is sent arrives."""

from __future__ import annotations

import logging
import shutil
import threading
import time

import pydicom
import pytest
from dicom_peers import dcmqrscp, orthanc, own_network, running, storescp

from imagedata_xr import transports
from imagedata_xr.errors import AuthenticationError, PartialWriteError, RejectedError
from imagedata_xr.testing import Phantom, write_series
from imagedata_xr.transports import Retry, dimse

pytestmark = pytest.mark.usefixtures("network")

ME = {"calling": "XRTEST"}
PATIENTS = ("ID-1", "ID-2")
SLICES = 3


def phantom(patient, study, series):
    attributes = {
        "PatientID": patient,
        "PatientName": f"DOE^{patient}",
        "AccessionNumber": f"ACC{patient[-1]}{study}",
        "StudyInstanceUID": f"2.25.{patient[-1]}{study}",
        "SeriesNumber": series,
        "SeriesDescription": f"scan {series}",
    }
    return Phantom(
        shape=(SLICES, 6, 5), series=int(f"{patient[-1]}{study}{series}"), attributes=attributes
    )


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two patients with two studies of two series of three slices."""
    folder = tmp_path_factory.mktemp("files")
    return [
        path
        for patient in PATIENTS
        for study in (1, 2)
        for series in (1, 2)
        for path in write_series(
            phantom(patient, study, series), folder / f"{patient}{study}{series}"
        )
    ]


@pytest.fixture(scope="module")
def network():
    with own_network():
        yield


@pytest.fixture(scope="module", params=[orthanc, dcmqrscp], ids=lambda make: make.__name__)
def archive(request, files, tmp_path_factory):
    """Each kind of archive, with the files in it."""
    request.getfixturevalue("network")
    with running(request.param(tmp_path_factory.mktemp("server"))) as server:
        receipt = dimse.send(server.url, files, **ME)
        assert len(receipt.acknowledged) == len(files) == 24
        yield server


def test_echo(archive):
    """Both answer C-ECHO."""
    assert dimse.echo(archive.url, **ME) < 5


@pytest.mark.parametrize(
    ("path", "level", "count"),
    [
        ("", None, 2),
        ("/ID-1", None, 2),
        ("/ID-*", "patient", 2),
        ("", "study", 4),
        ("/ID-1/ACC12", None, 2),
        ("//2.25.12", None, 2),
        ("", "series", 8),
        ("/*/ACC21/2", None, SLICES),
        ("/ID-2/2.25.21", "instance", 2 * SLICES),
        ("", "instance", 8 * SLICES),
        ("/ID-3", "instance", 0),
        ("//ACC33", "series", 0),
    ],
)
def test_find(archive, path, level, count):
    """Each level, by patient, accession number, UID and series number, alike on both servers."""
    found = dimse.find(archive.url + path, level=level, **ME)
    assert len({one.uid for one in found}) == len(found) == count


def test_values(archive):
    """A series has the values of its study and patient."""
    (series,) = dimse.find(archive.url + "/ID-2/ACC22/1", level="series", **ME)
    assert series["PatientName"] == "DOE^ID-2"
    assert series["StudyInstanceUID"] == "2.25.22"
    assert series["SeriesNumber"] == "1"
    assert series["Modality"] == "MR"


def test_keys(archive):
    """More keys restrict the level that they belong to."""
    found = dimse.find(archive.url, level="series", keys={"PatientName": "DOE^ID-1"}, **ME)
    assert {one["PatientID"] for one in found} == {"ID-1"}
    assert len(found) == 4


def test_verify(archive, files):
    """What was sent is there; what was not is not."""
    receipt = transports.store(archive.url, files, verify=True, **ME)
    assert len(receipt.verified) == len(files)
    invented = transports.Outcome(
        "2.25.99",
        "acknowledged",
        study=receipt.outcomes[0].study,
        series=receipt.outcomes[0].series,
    )
    checked = dimse.verify(archive.url, transports.Receipt((invented,)), **ME)
    assert not checked.complete


def test_success_is_no_proof(files, tmp_path):
    """An archive that acknowledges what it drops is found out by verifying."""
    with running(dcmqrscp(tmp_path)) as server:
        url = server.url.replace("QRDB", "QRQUOTA")
        assert dimse.send(url, files, **ME).complete
        with pytest.raises(PartialWriteError, match="not there when asked afterwards"):
            transports.store(url, files, verify=True, **ME)


def test_wrong_titles(archive):
    """Wrong AE titles are named."""
    with pytest.raises(AuthenticationError, match="called AE title 'NOBODY'"):
        dimse.echo(archive.url.rpartition("/")[0] + "/NOBODY", **ME)


def test_not_allowed(files, tmp_path):
    """An archive that may only be read takes nothing, and the error says so."""
    with (
        running(dcmqrscp(tmp_path)) as server,
        pytest.raises(RejectedError, match="may not do this"),
    ):
        dimse.send(server.url.replace("QRDB", "QRRO"), files, **ME)


def test_bytes_arrive(files, tmp_path):
    """A receiver that keeps what it gets has the data sets byte for byte."""
    with running(storescp(tmp_path, "+B")) as server:
        dimse.send(server.url, files)
        time.sleep(0.2)
    kept = {}
    for path in (tmp_path / "db").iterdir():
        header = pydicom.dcmread(path, stop_before_pixels=True)
        kept[header.SOPInstanceUID] = body(path)
    assert kept == {pydicom.dcmread(p).SOPInstanceUID: body(p) for p in files}


def body(path):
    """Return the data set of a file as bytes."""
    length = pydicom.dcmread(path, stop_before_pixels=True).file_meta.FileMetaInformationGroupLength
    return path.read_bytes()[144 + length :]


def test_killed_while_it_takes(tmp_path):
    """Orthanc is killed three times during one transfer: everything is there, nothing double."""
    series = write_series(Phantom(shape=(120, 32, 32)), tmp_path / "files")
    server = orthanc(tmp_path / "server").start()
    done = []
    kills = []

    def killer():
        for limit in (20, 50, 90):
            while len(done) < limit:
                time.sleep(0.001)
            server.kill()
            kills.append(len(done))
            server.start()

    thread = threading.Thread(target=killer)
    thread.start()
    try:
        receipt = transports.store(
            server.url,
            series,
            verify=True,
            progress=lambda *count: done.append(count),
            retry=Retry(attempts=20, first=0.1, longest=0.5),
            **ME,
        )
    finally:
        thread.join()
        server.stop()
    assert len(kills) == 3
    assert len(receipt.verified) == len(series)
    assert any(one.attempts > 1 for one in receipt)


def test_no_patient_in_logs(archive, caplog):
    """Queries and answers are not logged, at any level."""
    caplog.set_level(logging.DEBUG)
    dimse.find(archive.url + "/ID-1", level="instance", **ME)
    assert "DOE" not in caplog.text
    assert "ID-1" not in caplog.text


def test_programs_are_those_of_debian():
    """A server of the same name in the virtual environment is not what is tested against."""
    assert shutil.which("storescp", path="/usr/bin") in (None, "/usr/bin/storescp")
