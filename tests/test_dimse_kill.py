"""Our own process is killed in the middle of a transfer: the next one goes on, and nothing is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pydicom
import pytest
from dicom_peers import orthanc, own_network, running

from imagedata_xr.testing import Phantom, write_series
from imagedata_xr.transports import Retry, dimse
from imagedata_xr.transports.core.part10 import identify

ME = {"calling": "XRTEST"}
COUNT = 60
# Says how far it is, and waits, so that it is killed in the middle.
CODE = """
import sys, time
from imagedata_xr.transports import dimse

def told(done, total):
    print(done, flush=True)
    time.sleep(0.02)

getattr(dimse, sys.argv[1])(sys.argv[2], sys.argv[3], progress=told, calling="XRTEST")
"""


@pytest.fixture(scope="module", autouse=True)
def network():
    with own_network():
        yield


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_series(Phantom(shape=(COUNT, 32, 32)), tmp_path_factory.mktemp("files"))


@pytest.fixture
def server(tmp_path):
    with running(orthanc(tmp_path / "server")) as started:
        yield started


def killed(*arguments, at):
    """Run a transfer in a process of its own, and kill it after so many instances."""
    command = [sys.executable, "-c", CODE, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if int(line) >= at:
                break
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL


def bodies(paths):
    found = {}
    for path in paths:
        with path.open("rb") as file:
            one = identify(file, path.name)
            file.seek(one.offset)
            found[one.uid] = file.read()
    return found


def test_fetch_goes_on(server, files, tmp_path):
    """What has arrived is whole and is not fetched again; what was under way leaves nothing."""
    got = tmp_path / "got"
    dimse.send(server.url, files, **ME)
    killed("fetch", server.url, got, at=COUNT // 3)
    first = {path: path.stat().st_mtime_ns for path in got.glob("*.dcm")}
    sent = bodies(files)
    assert COUNT // 3 <= len(first) < COUNT
    assert bodies(first).items() <= sent.items()
    # As after a kill in the middle of writing.
    old = f".{dead()}-0.part"
    for name, age in (
        (old, 3600),
        (".mine.part", 3600),
        (f".{os.getpid()}-0.part", 0),
    ):
        (got / name).write_bytes(b"half")
        os.utime(got / name, times=(time.time() - age,) * 2)
    manifest = dimse.fetch(server.url, got, **ME)
    assert bodies(manifest.paths) == sent
    assert {path: path.stat().st_mtime_ns for path in first} == first
    left = {path.name for path in got.iterdir()} - {f"{uid}.dcm" for uid in sent}
    fresh = {name for name in left if name not in (".mine.part", f".{os.getpid()}-0.part")}
    # At most the one that was under way just now: it goes when it is old.
    assert old not in left
    assert len(fresh) <= 1
    assert left >= {".mine.part", f".{os.getpid()}-0.part"}


def test_send_goes_on(server, files):
    """Sending once more after a kill leaves each instance once on the server."""
    killed("send", server.url, files[0].parent, at=COUNT // 3)
    there = dimse.find(server.url, level="instance", **ME)
    assert COUNT // 3 <= len(there) < COUNT
    receipt = dimse.verify(server.url, dimse.send(server.url, files, **ME), **ME)
    assert len(receipt.verified) == COUNT
    there = dimse.find(server.url, level="instance", **ME)
    truth = sorted(pydicom.dcmread(path).SOPInstanceUID for path in files)
    assert sorted(one.uid for one in there) == truth


def dead():
    """Return the number of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)
    return process.pid


def test_receiver_is_killed(files, tmp_path):
    """A receiver that is killed has only whole files, and what it acknowledged is among them."""
    code = (
        "import sys, threading; from imagedata_xr.transports import dimse\n"
        "with dimse.Receiver(0, sys.argv[1], aet='ME', host='127.0.0.1') as one:\n"
        "    print(one.port, flush=True); threading.Event().wait()"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "got")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        url = f"dicom://127.0.0.1:{process.stdout.readline().strip()}/ME"

        def told(done, _):
            if done == COUNT // 3:
                process.send_signal(signal.SIGKILL)
                time.sleep(0.2)

        receipt = dimse.store(url, files, progress=told, retry=Retry(2, 0.01))
    there = bodies((tmp_path / "got").glob("*.dcm"))
    acknowledged = {one.uid for one in receipt.acknowledged}
    assert COUNT // 3 <= len(acknowledged) < COUNT
    assert acknowledged <= set(there)
    assert there.items() <= bodies(files).items()
