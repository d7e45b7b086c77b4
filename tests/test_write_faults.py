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
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

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
}
SCRIPT = """
import json, resource, signal, sys
import xarray as xr
import imagedata_xr, nibabel, SimpleITK, scipy.io, h5py, pydicom
from imagedata_xr.errors import WriteError
source, most, *jobs = sys.argv[1:]
da = xr.open_dataarray(source, engine="dicom").load()
if int(most):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(most), resource.RLIM_INFINITY))
print("writing", flush=True)
for job in jobs:
    target, method, options = json.loads(job)
    image = da.astype("f4") + 0.5 if method != "to_dicom" else da
    try:
        getattr(image.med, method)(target, overwrite=True, **options)
    except WriteError as error:
        print(error, flush=True)
"""


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    """A series of 10 MB, large enough to be broken off."""
    folder = tmp_path_factory.mktemp("series")
    write_series(Phantom(shape=(20, 256, 256), dtype="int16"), folder)
    return folder


def command(series, folder, *names, most=0):
    jobs = [
        json.dumps([str(folder / TARGETS[name][0]), TARGETS[name][1], TARGETS[name][3]])
        for name in names
    ]
    return [sys.executable, "-c", SCRIPT, str(series), str(most), *jobs]


def opened(target, name):
    with xr.open_dataarray(target, engine=TARGETS[name][2]) as da:
        return da.load()


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize("names", [("nii", "mha", "mat 5", "zip"), ("nii.gz", "nrrd", "mat 7.3")])
def test_disk_full(tmp_path, series, names):
    """Where the disk takes no more, the old files are as they were, and nothing else is left."""
    before = {TARGETS[name][0]: b"before" for name in names}
    for file, data in before.items():
        (tmp_path / file).write_bytes(data)
    done = subprocess.run(
        command(series, tmp_path, *names, most=5_000), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for name in names:
        # The text names what the disk had no room for.
        assert f"{TARGETS[name][0]} could not be written" in done.stdout, done.stdout
    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", ["nii.gz", "mha", "mat 5", "zip"])
def test_killed(tmp_path, series, name):
    """A writer that is killed leaves the old file or the new one, never a part of it."""
    target = tmp_path / TARGETS[name][0]
    target.write_bytes(b"before")
    with subprocess.Popen(command(series, tmp_path, name), stdout=subprocess.PIPE) as writer:
        assert writer.stdout.readline() == b"writing\n"
        time.sleep(0.15)
        with contextlib.suppress(ProcessLookupError):
            os.kill(writer.pid, signal.SIGKILL)
    if target.read_bytes() != b"before":
        assert opened(target, name).sizes["slice"] == 20


@pytest.mark.parametrize("name", TARGETS)
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


@pytest.mark.parametrize("name", TARGETS)
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


def test_many_readers(series):
    """Threads and processes that read at the same time read the same."""
    once = checksum(series)
    with ThreadPoolExecutor(4) as threads:
        assert set(threads.map(checksum, [series] * 8)) == {once}
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as processes:
        assert set(processes.map(checksum, [series] * 2)) == {once}
