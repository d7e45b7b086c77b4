"""A real DICOMweb server, Orthanc: what is stored comes back as it was, also with other clients."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pydicom
import pytest
import xarray as xr
from dicom_peers import orthanc, own_network, program, running, wait_for_port

from imagedata_xr import transports
from imagedata_xr.errors import AuthenticationError, PartialWriteError
from imagedata_xr.testing import Phantom, write_series
from imagedata_xr.transports import Retry

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
CORPUS = Path(
    os.environ.get("IMAGEDATA_XR_CORPUS", Path(__file__).parents[2] / "shared" / "corpus")
)
# In four transfer syntaxes, one of them with undefined lengths; a volume of several frames.
SERIES = ("ct_rt_j2k_98", "mr_siemens_cor_rl", "mr_jpeg_fragments", "mr_philips_enh_t1_small")
PATIENT = "SECRETPATIENT"


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path):
    monkeypatch.setenv("IMAGEDATA_XR_SPOOL", str(tmp_path / "spool"))
    monkeypatch.setenv("NETRC", str(tmp_path / "no netrc"))
    monkeypatch.setenv("DICOMWEB_USER", "tester")
    monkeypatch.setenv("DICOMWEB_PASS", "s3cret")


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Orthanc with its plugin, on ports of its own network."""
    program("Orthanc")
    if not PLUGIN.exists():
        pytest.skip("needs the plugin of Orthanc (apt-get install orthanc-dicomweb)")
    with own_network():
        web = free_port()
        found = orthanc(
            tmp_path_factory.mktemp("orthanc"),
            HttpServerEnabled=True,
            HttpPort=web,
            RemoteAccessAllowed=False,
            AuthenticationEnabled=True,
            RegisteredUsers={"tester": "s3cret"},
            Plugins=[str(PLUGIN)],
            DicomWeb={"Enable": True, "Root": "/dicom-web/", "Ssl": False},
        )
        with running(found):
            wait_for_port(web, found.process)
            found.web = web
            found.dicomweb = f"dicomweb+http://127.0.0.1:{web}/dicom-web"
            yield found


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    folder = tmp_path_factory.mktemp("series")
    who = {"PatientName": f"{PATIENT}^Kari", "PatientID": PATIENT, "StudyInstanceUID": "2.25.5"}
    write_series(Phantom(shape=(9, 16, 16), attributes=who), folder)
    return folder


@pytest.fixture
def filled(server, series):
    assert transports.store(server.dicomweb, series, verify=True).complete
    return server


def contents(paths):
    return sorted(path.read_bytes() for path in paths)


def test_bytes_are_kept(filled, series, tmp_path):
    """What is stored is fetched, file meta information and all."""
    receipt = transports.store(filled.dicomweb, series, verify=True)
    assert len(receipt.acknowledged) == len(receipt.verified) == 9
    manifest = transports.fetch(f"{filled.dicomweb}/studies/2.25.5", tmp_path / "out")
    assert contents(manifest.paths) == contents(series.iterdir())


@pytest.mark.skipif(not CORPUS.is_dir(), reason="needs the corpus")
def test_series_of_the_corpus(server, tmp_path):
    """Compressed, with fragments, several frames: byte for byte, and the image of the folder."""
    for name in SERIES:
        files = [one for one in (CORPUS / name).rglob("*") if one.is_file()]
        receipt = transports.store(server.dicomweb, files, verify=True)
        studies = {one.study for one in receipt}
        uids = {one.uid for one in receipt}
        sent = {one.uid: Path(one.path).read_bytes() for one in receipt}
        arrived = {}
        for study in studies:
            url = f"{server.dicomweb}/studies/{study}"
            for one in transports.fetch(url, tmp_path / name):
                arrived[one.uid] = Path(one.path).read_bytes()
        assert {uid: arrived[uid] for uid in uids} == sent


def test_an_image_is_read_and_written(filled, series):
    """The image of a server is the image of the folder; a derived one goes back to it."""
    truth = xr.open_dataarray(series, engine="dicom")
    image = xr.open_dataarray(f"{filled.dicomweb}/studies?PatientID={PATIENT}", engine="dicom")
    xr.testing.assert_identical(image, truth)
    half = image / 2
    half.med.to_dicom(filled.dicomweb, SeriesNumber=901, SeriesDescription="half")
    found = transports.find(filled.dicomweb, level="series", keys={"SeriesNumber": "901"})
    (one,) = [record for record in found if record["SeriesDescription"] == "half"]
    url = f"{filled.dicomweb}/studies/{one['StudyInstanceUID']}/series/{one.uid}"
    again = xr.open_dataarray(url, engine="dicom")
    assert abs(again - half).max() < 0.01


def test_another_client_agrees(filled, series):
    """dicomweb-client finds and retrieves what was stored; what it stores is read."""
    client_of = pytest.importorskip("dicomweb_client").DICOMwebClient
    session = pytest.importorskip("requests").Session()
    session.auth = ("tester", "s3cret")
    client = client_of(f"http://127.0.0.1:{filled.web}/dicom-web", session=session)
    theirs = {one["00080018"]["Value"][0] for one in client.search_for_instances("2.25.5")}
    ours = {
        one.uid for one in transports.find(f"{filled.dicomweb}/studies/2.25.5", level="instance")
    }
    assert ours == theirs
    local = {one.SOPInstanceUID: one for one in map(pydicom.dcmread, series.iterdir())}
    syntaxes = (("application/dicom", "*"),)
    uid = next(iter(local.values())).SeriesInstanceUID
    for one in client.retrieve_series("2.25.5", uid, media_types=syntaxes):
        assert one == local[one.SOPInstanceUID]


def test_a_bad_file_and_wrong_credentials(filled, series, tmp_path, monkeypatch):
    """Files that the server refuses do not keep the good ones back; strangers are kept out."""
    cut = pydicom.dcmread(min(series.iterdir()))
    cut.SOPInstanceUID = cut.file_meta.MediaStorageSOPInstanceUID = "2.25.17"
    del cut.StudyInstanceUID
    cut.save_as(tmp_path / "bad.dcm")
    with pytest.raises(PartialWriteError, match="1 of 10") as caught:
        transports.store(filled.dicomweb, [tmp_path / "bad.dcm", series], retry=Retry(first=0.01))
    assert len(caught.value.receipt.acknowledged) == 9
    monkeypatch.setenv("DICOMWEB_PASS", "wrong")
    with pytest.raises(AuthenticationError) as refused:
        transports.find(f"{filled.dicomweb}/studies?PatientID={PATIENT}")
    for text in (str(caught.value), str(refused.value), filled.log):
        assert PATIENT not in text
        assert "s3cret" not in text


def test_a_killed_server(filled, series, tmp_path):
    """Killed and started again: fetching goes on, and storing loses and doubles nothing."""
    uid = pydicom.dcmread(min(series.iterdir())).SeriesInstanceUID
    url = f"{filled.dicomweb}/studies/2.25.5/series/{uid}"
    transports.fetch(url, tmp_path / "out")
    for path in sorted((tmp_path / "out").iterdir())[:4]:
        path.unlink()
    filled.kill()
    with pytest.raises(OSError, match="no whole answer"):
        transports.fetch(url, tmp_path / "out", retry=Retry(attempts=2, first=0.01))
    filled.start()
    wait_for_port(filled.web, filled.process)
    assert transports.store(filled.dicomweb, series, verify=True).complete
    transports.fetch(url, tmp_path / "out")
    assert contents((tmp_path / "out").iterdir()) == contents(series.iterdir())
    assert len(transports.find(url, level="instance")) == 9
