"""
Real DICOM servers for tests: Orthanc and DCMTK, each in a network of its own.

They listen on every address of the machine and cannot be told otherwise, so they run in a network
namespace that has nothing but a loopback. The thread that runs the tests enters it too.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

_NEW_NETWORK = 0x40000000
PATIENT = "DOE^JANE"


def program(name):
    """Return the path of a program of Debian; skip the test where it is missing."""
    # A virtual environment has programs of the same names from pynetdicom.
    found = shutil.which(name, path="/usr/bin:/usr/sbin:/usr/local/bin")
    if found is None:
        pytest.skip(f"needs the program {name} (apt-get install orthanc dcmtk iproute2)")
    return found


@contextlib.contextmanager
def own_network():
    """Put this thread, and all that it starts, into a network with only a loopback."""
    ip = program("ip")
    libc = ctypes.CDLL(None, use_errno=True)
    before = os.open(f"/proc/self/task/{os.gettid()}/ns/net", os.O_RDONLY) if LINUX else None
    if before is None or libc.unshare(_NEW_NETWORK) != 0:
        pytest.skip("needs the right to make a network namespace (root on Linux)")
    try:
        subprocess.run([ip, "link", "set", "lo", "up"], check=True)
        yield
    finally:
        assert libc.setns(before, _NEW_NETWORK) == 0
        os.close(before)


LINUX = hasattr(os, "gettid") or Path("/proc/self/task").is_dir()
if not hasattr(os, "gettid"):
    import threading

    os.gettid = threading.get_native_id


def free_port():
    """Return a port of the system's choice; in a network of our own nobody else takes it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def wait_for_port(port, process):
    """Wait until a server listens."""
    end = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5):
            return
        time.sleep(0.05)
    pytest.fail("the server did not start")


@dataclass
class Server:
    """
    A server that can be killed and started again with what it has stored.

    Attributes
    ----------
    command : list of str
    folder : Path
        Its files, and ``log``.
    port : int
    aet : str
    client_port : int
        Where it believes the AE title XRTEST to be.
    """

    command: list
    folder: Path
    port: int
    aet: str
    client_port: int = 0
    scheme: str = "dicom"
    environment: dict = field(default_factory=dict)
    process: subprocess.Popen | None = None

    @property
    def url(self):
        return f"{self.scheme}://127.0.0.1:{self.port}/{self.aet}"

    @property
    def log(self):
        return (self.folder / "log").read_text(errors="replace")

    def start(self):
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.folder,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environment},
            )
        wait_for_port(self.port, self.process)
        return self

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()


def orthanc(folder, **changes):
    """Return an Orthanc that is not started yet."""
    port, client_port = free_port(), free_port()
    settings = {
        "Name": "tests",
        "StorageDirectory": "db",
        "IndexDirectory": "db",
        "HttpServerEnabled": False,
        "DicomAet": "ORTHANC",
        "DicomPort": port,
        "DicomCheckCalledAet": True,
        "DicomAlwaysAllowEcho": True,
        "DicomAlwaysAllowStore": False,
        "DicomAlwaysAllowFind": False,
        "DicomAlwaysAllowGet": False,
        "DicomAlwaysAllowMove": False,
        "DicomModalities": {
            "xr": {"AET": "XRTEST", "Host": "127.0.0.1", "Port": client_port},
        },
        "OverwriteInstances": True,
        "SyncStorageArea": False,
        "MaximumPduLength": 131072,
        **changes,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "orthanc.json").write_text(json.dumps(settings), encoding="utf-8")
    return Server([program("Orthanc"), "orthanc.json"], folder, port, "ORTHANC", client_port)


_DCMQRSCP = """NetworkTCPPort = {port}
MaxPDUSize = 131072
MaxAssociations = 16
HostTable BEGIN
xr = (XRTEST, localhost, {client_port})
peers = xr
HostTable END
VendorTable BEGIN
VendorTable END
AETable BEGIN
QRDB {folder}/db RW (500, 1024mb) peers
QRRO {folder}/readonly R (500, 1024mb) peers
QRQUOTA {folder}/quota RW (1, 1mb) ANY
AETable END
"""


def dcmqrscp(folder):
    """Return a DCMTK archive that is not started yet."""
    port, client_port = free_port(), free_port()
    for name in ("db", "readonly", "quota"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    text = _DCMQRSCP.format(port=port, client_port=client_port, folder=folder)
    (folder / "dcmqrscp.cfg").write_text(text, encoding="utf-8")
    command = [program("dcmqrscp"), "-c", "dcmqrscp.cfg"]
    return Server(command, folder, port, "QRDB", client_port)


def storescp(folder, *options):
    """Return a DCMTK receiver that is not started yet."""
    port = free_port()
    (folder / "db").mkdir(parents=True, exist_ok=True)
    command = [program("storescp"), *options, "-aet", "STORESCP", "-od", str(folder / "db")]
    return Server([*command, str(port)], folder, port, "STORESCP")


@contextlib.contextmanager
def running(server):
    """Start a server, and stop it at the end."""
    try:
        yield server.start()
    finally:
        server.stop()
