"""Writers under faults: what is written is complete or absent, and what was there before is kept."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest
import xarray as xr

from imagedata_xr.errors import ImagedataError, WriteError
from imagedata_xr.testing import Phantom, write_series

pytest.importorskip("nibabel")
pytest.importorskip("SimpleITK")
pytest.importorskip("h5py")

TARGETS = {
    "nii": ("a.nii", "to_nifti", "nifti", {}),
    "nii.gz": ("a.nii.gz", "to_nifti", "nifti", {}),
    "mha": ("a.mha", "to_itk", "itk", {}),
    "nrrd": ("a.nrrd", "to_itk", "itk", {}),
    "mat 5": ("a.mat", "to_mat", "mat", {}),
    "mat 7.3": ("a.mat", "to_mat", "mat", {"version": "7.3"}),
    "zip": ("a.zip", "to_dicom", "dicom", {}),
    "folder": ("a", "to_dicom", "dicom", {}),
}
FILES = [name for name in TARGETS if name != "folder"]
# Imports once what all need; each order is then carried out by a process of its own.
SCRIPT = """
import json, os, resource, signal, sys, zlib
import xarray as xr
import imagedata_xr, nibabel, SimpleITK, scipy.io, h5py, pydicom
import imagedata_xr.formats.dicom.write, imagedata_xr.formats.nifti, imagedata_xr.formats.itk
from imagedata_xr.errors import WriteError

def work(source, most, jobs):
    da = xr.open_dataarray(source, engine="dicom").load()
    if not jobs:
        print(zlib.crc32(da.to_numpy().tobytes()), flush=True)
    if most:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))
    print("writing", flush=True)
    for target, method, options in jobs:
        image = da.astype("f4") + 0.5 if method != "to_dicom" else da
        try:
            getattr(image.med, method)(target, overwrite=True, **options)
        except WriteError as error:
            print(error, flush=True)

for line in sys.stdin:
    order = json.loads(line)
    children = []
    for said in order["said"]:
        children.append(os.fork())
        if not children[-1]:
            descriptor = os.open(said, os.O_WRONLY | os.O_CREAT)
            os.dup2(descriptor, 1)
            os.dup2(descriptor, 2)
            work(order["source"], order["most"], order["jobs"])
            os._exit(0)
    print(json.dumps(children), flush=True)
    print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(c, 0)[1]) for c in children]), flush=True)
"""


class Workers:
    """Processes that read a series, and write it where they are asked to."""

    def __init__(self, server, series):
        self.server, self.series = server, str(series)

    def start(self, folder, *names, most=0, count=1):
        """Give an order; return the process ids, and the files of what they say."""
        jobs = [[str(folder / TARGETS[n][0]), TARGETS[n][1], TARGETS[n][3]] for n in names]
        said = [folder.with_name(f"{folder.name}-said-{k}") for k in range(count)]
        order = {"source": self.series, "most": most, "jobs": jobs, "said": list(map(str, said))}
        self.server.stdin.write(json.dumps(order) + "\n")
        self.server.stdin.flush()
        return json.loads(self.server.stdout.readline()), said

    def ended(self):
        """Wait for the end of all; return their exit codes."""
        return json.loads(self.server.stdout.readline())


@pytest.fixture(scope="module")
def workers(series):
    """Workers of the series."""
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        yield Workers(server, series)
        server.stdin.close()


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    """A series of 10 MB, large enough to be broken off."""
    folder = tmp_path_factory.mktemp("series")
    write_series(Phantom(shape=(20, 256, 256), dtype="int16"), folder)
    return folder


def opened(target, name):
    with xr.open_dataarray(target, engine=TARGETS[name][2]) as da:
        return da.load()


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize("names", [("nii", "mha", "mat 5", "zip"), ("nii.gz", "nrrd", "mat 7.3")])
def test_disk_full(tmp_path, workers, names):
    """Where the disk takes no more, the old files are as they were, and nothing else is left."""
    before = {TARGETS[name][0]: b"before" for name in names}
    for file, data in before.items():
        (tmp_path / file).write_bytes(data)
    _, (said,) = workers.start(tmp_path, *names, most=5_000)
    assert workers.ended() == [0], said.read_text()
    assert said.read_text().count("could not be written") == len(names), said.read_text()
    assert contents(tmp_path) == before


def test_disk_full_of_a_folder(tmp_path, workers):
    """A folder of DICOM files for which there is no place does not appear."""
    _, (said,) = workers.start(tmp_path, "folder", most=5_000)
    assert workers.ended() == [0], said.read_text()
    assert said.read_text().count("could not be written") == 1, said.read_text()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["nii.gz", "mha", "mat 5", "zip", "folder"])
def test_killed(tmp_path, workers, name):
    """A writer that is killed leaves the old file or the new one, never a part of it."""
    target = tmp_path / TARGETS[name][0]
    if name != "folder":
        target.write_bytes(b"before")
    (pid,), (said,) = workers.start(tmp_path, name)
    wait_until(lambda: said.exists() and "writing" in said.read_text())
    time.sleep(0.05)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    assert workers.ended()[0] in (0, -signal.SIGKILL)
    if target.exists() and (name == "folder" or target.read_bytes() != b"before"):
        assert opened(target, name).sizes["slice"] == 20


def wait_until(happened):
    """Wait for what must happen in a minute, or in three on a slow machine."""
    end = time.monotonic() + 180
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.mark.parametrize("name", FILES)
def test_no_place_to_write(tmp_path, series, name):
    """A target below a file, or that is a folder, is an error that names it."""
    da = xr.open_dataarray(series, engine="dicom").isel(slice=slice(2))
    file, method, _, options = TARGETS[name]
    (tmp_path / "taken").write_bytes(b"x")
    with pytest.raises(WriteError, match="taken"):
        getattr(da.med, method)(tmp_path / "taken" / file, **options)
    (tmp_path / file).mkdir()
    (tmp_path / file / "other").write_bytes(b"y")
    with pytest.raises(WriteError, match=file):
        getattr(da.med, method)(tmp_path / file, overwrite=True, **options)
    assert (tmp_path / file / "other").read_bytes() == b"y"
    assert sorted(contents(tmp_path)) == ["taken"]


@pytest.mark.parametrize("name", FILES)
def test_many_writers_of_one_target(tmp_path, series, name):
    """Of several who write to one target, one wins whole."""
    whole = xr.open_dataarray(series, engine="dicom").isel(slice=slice(4)).load()
    file, method, _, options = TARGETS[name]
    target = tmp_path / file
    parts = [whole.isel(slice=slice(2 + k % 3)) for k in range(6)]

    def write(da):
        try:
            getattr(da.med, method)(target, overwrite=True, **options)
        except ImagedataError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(3) as threads:
        said = list(threads.map(write, parts))
    assert said.count("") >= 1, said
    found = opened(target, name)
    winner = whole.isel(slice=slice(found.sizes["slice"]))
    # A file may hold its slices and rows in the other order: compared by their places.
    assert float(abs(found.squeeze().astype(float) - winner).max()) == 0
    assert found.size == winner.size
    assert [path.name for path in tmp_path.iterdir() if not path.name.endswith(".json")] == [file]


def checksum(folder):
    """Return the checksum of all voxels of a series."""
    return zlib.crc32(xr.open_dataarray(folder, engine="dicom").to_numpy().tobytes())


def test_many_readers(tmp_path, series, workers):
    """Threads and processes that read at the same time read the same."""
    once = checksum(series)
    with ThreadPoolExecutor(4) as threads:
        assert set(threads.map(checksum, [series] * 8)) == {once}
    _, said = workers.start(tmp_path, count=3)
    assert workers.ended() == [0] * 3
    assert {path.read_text().split()[0] for path in said} == {str(once)}
