"""Writing series at the limits: a full disk, a killed process, more pixels than memory."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import xarray as xr

from imagedata_xr.testing import Phantom, write_series

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
RUN = (
    "import json, os, sys, warnings\n"
    "import numpy as np, xarray as xr, imagedata_xr\n"
    "from imagedata_xr.errors import WriteError\n"
)


@pytest.fixture
def source(tmp_path):
    """Return the folder of a series of 120 files."""
    phantom = Phantom(axes={"time": range(30)}, shape=(4, 32, 32))
    write_series(phantom, tmp_path / "source")
    return tmp_path / "source"


FULL = (
    RUN
    + """
source, disk, name, derived = sys.argv[1:]
da = xr.open_dataarray(source, engine="dicom")
target = os.path.join(disk, name)
small = da.isel(time=[0])
small.med.to_dicom(target)
def content():
    if os.path.isfile(target):
        return {name: len(open(target, "rb").read())}
    return {one: len(open(os.path.join(target, one), "rb").read()) for one in os.listdir(target)}
before, raised = content(), ""
try:
    (da + 1 if derived == "derived" else da).med.to_dicom(target, overwrite=True)
except WriteError as error:
    raised = str(error)
print(json.dumps([raised, content() == before, os.listdir(disk)]))
"""
)


@linux
@pytest.mark.parametrize("name", ["series", "series.zip"])
@pytest.mark.parametrize("kind", ["copy", "derived"])
def test_full_disk(tmp_path, source, name, kind):
    """A disk that is full half way: an error, the former series untouched, and nothing beside it."""
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare")
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = 'mount -t tmpfs -o size=256k tmpfs "$0" && exec "$@"'
    alone = ["unshare", "--mount", "--propagation", "private", "sh", "-c", mount, str(disk)]
    if subprocess.run([*alone, "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount")
    command = [*alone, sys.executable, "-c", FULL, str(source), str(disk), name, kind]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    raised, unchanged, left = json.loads(done.stdout)
    assert "No space left" in raised
    assert unchanged
    assert left == [name]


KILLED = (
    RUN
    + """
source, target, kind = sys.argv[1:]
da = xr.open_dataarray(source, engine="dicom")
print("ready", flush=True)
image = {"copy": da, "derived": da + 1, "dask": da.chunk(time=1) * 1.5}[kind]
while True:
    image.med.to_dicom(target, overwrite=True)
"""
)


@linux
@pytest.mark.parametrize(
    ("name", "kind", "delay"),
    [("series", "copy", 0.05), ("series", "dask", 0.4), ("series.zip", "derived", 0.2)],
)
def test_killed(tmp_path, source, name, kind, delay):
    """Killed at any moment, what has the name of the target is a whole series, or nothing."""
    folder = tmp_path / "out"
    folder.mkdir()
    target = folder / name
    command = [sys.executable, "-c", KILLED, str(source), str(target), kind]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    with child:
        assert child.stdout.readline() == b"ready\n"
        ends = time.monotonic() + 60
        while not any(folder.iterdir()) and time.monotonic() < ends:
            time.sleep(0.005)
        time.sleep(delay)
        child.send_signal(signal.SIGKILL)
    assert child.returncode == -signal.SIGKILL
    assert all(one.name == name or one.name.startswith(".") for one in folder.iterdir())
    if target.exists():
        assert xr.open_dataarray(target, engine="dicom").shape == (30, 4, 32, 32)


def dask_image(source):
    """Open a series with one chunk a volume."""
    return xr.open_dataarray(source, engine="dicom").chunk(time=1)


def test_blocks_are_computed_together(tmp_path, source):
    """Several chunks are computed at a time, each once in a pass, and are written in order."""
    if (os.cpu_count() or 1) < 2:
        pytest.skip("needs two processors")
    meeting = threading.Barrier(2)
    calls = []

    def slow(values):
        calls.append(values.flat[0])
        if len(calls) < 3:
            # Passes only where another chunk is computed at the same time.
            meeting.wait(60)
        return values + np.uint16(1)

    da = dask_image(source)
    image = xr.apply_ufunc(slow, da, dask="parallelized", output_dtypes=["uint16"], keep_attrs=True)
    # The first frame says that values are others: then all are computed once more.
    image = image.drop_vars("frame")
    calls.clear()
    meeting.reset()
    image.med.to_dicom(tmp_path / "out")
    assert len(calls) == 30
    again = xr.open_dataarray(tmp_path / "out", engine="dicom")
    np.testing.assert_array_equal(again.values, da.values + 1)


MEMORY = (
    RUN
    + """
import resource, dask.array
target, count = sys.argv[1], int(sys.argv[2])
rows = 512
data = dask.array.ones((count, 1, rows, rows), chunks=(1, 1, rows, rows), dtype="float32")
data = data * dask.array.arange(count, chunks=1)[:, None, None, None]
da = imagedata_xr.from_array(
    data, dims=("time", "slice", "row", "column"), affine=np.eye(4),
    coords={"time": range(count)},
)
da.med.to_dicom(target, Modality="MR", PatientID="1")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
)


@linux
def test_memory(tmp_path):
    """A series ten times as long takes no more memory."""
    pytest.importorskip("dask")
    peak = {}
    for count in (8, 80):
        command = [sys.executable, "-c", MEMORY, str(tmp_path / str(count)), str(count)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peak[count] = int(done.stdout) * 1024
        assert len(list((tmp_path / str(count)).iterdir())) == count
    # All of it would be 84 MB; a few blocks of 1 MB are there in both.
    assert peak[80] - peak[8] < 24e6


def test_progress(tmp_path, source, monkeypatch, capsys):
    """A bar shows how far the writing is."""
    monkeypatch.setattr("imagedata_xr.progress._DELAY", 0)
    dask_image(source).med.to_dicom(tmp_path / "out", progress=True)
    assert "writing" in capsys.readouterr().err
    dask_image(source).med.to_dicom(tmp_path / "quiet", progress=False)
    assert not capsys.readouterr().err
