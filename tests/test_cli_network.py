"""Commands against a real Orthanc: sent, listed there, fetched back, received."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pydicom
import pytest
import xarray as xr
from dicom_peers import free_port, orthanc, own_network, running

from imagedata_xr.errors import TransportError
from imagedata_xr.testing import Phantom, write_series
from imagedata_xr.transports import dimse
from imagedata_xr_cli import data, listing, network

AET = "XRTEST"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with own_network(), running(orthanc(tmp_path_factory.mktemp("server"))) as started:
        yield started


@pytest.fixture
def call(capsys):
    def run(command, *arguments):
        status = command([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


@pytest.fixture
def dicom(tmp_path):
    named = {"PatientID": "ID-7", "PatientName": "Doe^Jane"}
    write_series(Phantom(axes={"time": [0, 1.5]}, attributes=named), tmp_path / "dicomResult")
    return tmp_path / "dicomResult"


def test_convert_to_a_server(server, dicom, tmp_path, call):
    """The published example: the result is in the archive with its number, name and patient."""
    options = ["--calling_aet", AET, "--senum", 1004, "--serdes", "Processed data"]
    status, out, error = call(data.main, *options, server.url, dicom)
    assert (status, error) == (0, "")
    assert "dicom, " in out
    (series,) = dimse.find(f"{server.url}//*/1004", level="series", calling=AET)
    assert series["SeriesDescription"] == "Processed data"
    assert series["PatientName"] == "Doe^Jane"
    source = f"{server.url}//{series['StudyInstanceUID']}/1004"
    nifti = tmp_path / "back.nii.gz"
    assert call(data.main, "--calling_aet", AET, nifti, source)[0] == 0
    original = xr.open_dataarray(dicom, engine="dicom")
    back = xr.open_dataarray(nifti, engine="nifti")
    # NIfTI has its own order of axes.
    assert float(back.sum()) == float(original.sum())
    assert sorted(back.shape) == sorted(original.shape)


def test_send_and_fetch(server, dicom, tmp_path, call):
    """What is sent comes back byte for byte, and both commands say so in JSON."""
    options = ["--calling_aet", AET, "--json"]
    status, out, _ = call(network.send, *options, "--verify", server.url, dicom)
    assert status == 0
    assert {(one["state"], one["verified"]) for one in json.loads(out)} == {("acknowledged", True)}
    uid = pydicom.dcmread(next(dicom.iterdir())).SeriesInstanceUID
    status, out, _ = call(network.fetch, *options, f"{server.url}//*/{uid}", tmp_path / "got")
    fetched = json.loads(out)
    assert status == 0
    assert len(fetched) == len(list(dicom.iterdir())) == len(list((tmp_path / "got").iterdir()))
    for path in dicom.iterdir():
        sent = pydicom.dcmread(path)
        back = pydicom.dcmread(tmp_path / "got" / f"{sent.SOPInstanceUID}.dcm")
        np.testing.assert_array_equal(sent.pixel_array, back.pixel_array)


def test_list(server, dicom, tmp_path, call):
    """A folder, an archive and a server with the same series are listed alike."""
    assert call(network.send, "--calling_aet", AET, server.url, dicom)[0] == 0
    archive = shutil.make_archive(str(tmp_path / "a"), "zip", dicom)
    url = f"{server.url}/ID-7"
    found = []
    for place in (dicom, archive, url):
        status, out, _ = call(listing.main, "--calling_aet", AET, "--json", "-r", url, place)
        assert status == 0
        uid = pydicom.dcmread(next(dicom.iterdir())).SeriesInstanceUID
        (row, *_) = [row for row in reversed(json.loads(out)) if row["SeriesInstanceUID"] == uid]
        found.append((row["PatientName"], row["Modality"], row["files"]))
    assert found == 3 * [("Doe^Jane", "MR", 8)]
    status, out, _ = call(listing.main, "--calling_aet", AET, server.url)
    assert status == 0
    assert "Doe^Jane" in out
    status, out, error = call(listing.main, tmp_path / "nowhere")
    assert (status, out, error.count("\n")) == (1, "", 1)


def test_not_everything_is_taken(server, tmp_path, call):
    """Exit status and message say how many instances a server has refused, and no patient."""
    folder = tmp_path / "one"
    (path,) = write_series(Phantom(shape=(1, 4, 4), attributes={"PatientName": "Doe"}), folder)
    (folder / "notes.txt").write_text("no DICOM")
    status, out, error = call(network.send, "--calling_aet", "STRANGER", server.url, folder)
    assert (status, out) == (1, "0 of 1 instances are stored\n")
    assert "1 of 1 instance(s) are not stored" in error
    assert "Doe" not in error
    path.unlink()
    status, _, error = call(network.send, "--calling_aet", AET, server.url, folder)
    assert status == 1
    assert "no DICOM file" in error


def test_echo(server, call):
    """A server answers; one that is not there is named."""
    status, out, _ = call(network.echo, server.url)
    assert status == 0
    assert "answers in" in out
    status, _, error = call(network.echo, "dicom://127.0.0.1:1/NOBODY")
    assert (status, error.count("\n")) == (1, 1)
    assert "Connection refused" in error
    assert call(network.echo, "xnat+https://127.0.0.1/p")[0] == 1


@pytest.mark.usefixtures("server")
def test_receive(dicom, tmp_path):
    """The receiver takes what is sent, names the files, and ends at Ctrl-C with a count."""
    port = str(free_port())
    command = [sys.executable, "-m", "imagedata_xr_cli.family", "receive", "--calling_aet", "STORE"]
    command += ["--host", "127.0.0.1", port, str(tmp_path / "came")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ) as process:
        try:
            for _ in range(200):
                try:
                    dimse.echo(f"dicom://127.0.0.1:{port}/STORE")
                    break
                except TransportError:
                    time.sleep(0.1)
            assert network.send([f"dicom://127.0.0.1:{port}/STORE", str(dicom)]) == 0
        finally:
            process.send_signal(signal.SIGINT)
        printed = process.communicate(timeout=30)[0]
    assert process.returncode == 0
    count = len(list(dicom.iterdir()))
    assert len(list((tmp_path / "came").iterdir())) == count
    assert printed.splitlines()[-1].startswith(f"{tmp_path / 'came'}: {count} instances")
