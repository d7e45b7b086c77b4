"""Zarr stores of trees under faults, and files and folders that may not be read or written."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr

from imagedata_xr.testing import Phantom, write_series

pytest.importorskip("zarr")

WRITER = """
import resource, signal, sys, warnings
import xarray as xr
import imagedata_xr, zarr
from imagedata_xr.errors import WriteError
source, target, most, overwrite = sys.argv[1:]
tree = xr.open_datatree(source, engine="dicom")
if int(most):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(most), resource.RLIM_INFINITY))
print("writing", flush=True)
try:
    tree.med.to_zarr(target, overwrite=overwrite == "1")
except WriteError as error:
    print("refused:", error, flush=True)
else:
    print("written", flush=True)
"""


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    """A series that is large enough for its writer to be broken off."""
    folder = tmp_path_factory.mktemp("zarr") / "in"
    write_series(Phantom(shape=(20, 128, 128), dtype="int16"), folder)
    return folder


def writer(series, target, *, most=0, overwrite=False):
    command = [sys.executable, "-c", WRITER, str(series), str(target), str(most)]
    return subprocess.Popen(
        [*command, str(int(overwrite))],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def image_in(store):
    with xr.open_datatree(store, engine="zarr") as tree:
        (node,) = [one for one in tree.load().subtree if "image" in one.data_vars]
        return node["image"]


def test_full_disk_killed_and_replaced(tmp_path, series):
    """A store is as it was where the disk is full or the writer is killed, and whole where neither."""
    target, truth = tmp_path / "a.zarr", xr.open_dataarray(series, engine="dicom")
    xr.open_datatree(series, engine="dicom").med.to_zarr(target)
    said = writer(series, target, most=2_000, overwrite=True).communicate()[0]
    assert "a.zarr could not be written" in said
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]
    with writer(series, target, overwrite=True) as running:
        assert running.stdout.readline() == "writing\n"
        with contextlib.suppress(ProcessLookupError):
            os.kill(running.pid, signal.SIGKILL)
    np.testing.assert_array_equal(image_in(target), truth)


def test_several_processes_write_one_store(tmp_path, series):
    """Of several processes one writes the store, whole; the others are told."""
    target = tmp_path / "a.zarr"
    running = [writer(series, target) for _ in range(2)]
    said = [one.communicate()[0] for one in running]
    assert sum("\nwritten\n" in text for text in said) == 1, said
    assert sum("refused" in text for text in said) == 1, said
    np.testing.assert_array_equal(image_in(target), xr.open_dataarray(series, engine="dicom"))
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]


def test_damaged_stores(tmp_path, series):
    """Chunks and metadata that are damaged are errors; of a missing chunk, Zarr makes zeros."""
    store = tmp_path / "a.zarr"
    xr.open_datatree(series, engine="dicom").med.to_zarr(store)
    chunk = max(path for path in store.rglob("image/c/**/*") if path.is_file())
    data = chunk.read_bytes()
    for bad in (b"", data[: len(data) // 2]):
        chunk.write_bytes(bad)
        with pytest.raises(RuntimeError):
            image_in(store)
    chunk.unlink()
    # As docs/howto/zarr.md says.
    assert (image_in(store) == 0).sum() > (xr.open_dataarray(series, engine="dicom") == 0).sum()
    (store / "zarr.json").write_text((store / "zarr.json").read_text()[:50])
    with pytest.raises(ValueError):  # noqa: PT011 - of the JSON reader
        image_in(store)


PERMISSIONS = """
import sys, warnings
import xarray as xr
import imagedata_xr
from imagedata_xr.errors import SourceError, WriteError
root = sys.argv[1]
for name in ("file", "folder"):
    try:
        xr.open_dataarray(f"{root}/{name}", engine="dicom")
    except SourceError as error:
        print(name, error)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    image = xr.open_dataarray(f"{root}/file", engine="dicom", errors="warn").load()
print("left", image.sizes["slice"], caught[0].message)
tree = xr.open_datatree(f"{root}/whole", engine="dicom")
print("images", sum("image" in node.data_vars for node in tree.subtree))
for write in (
    lambda: image.med.to_dicom(f"{root}/kept/a"),
    lambda: image.med.to_dicom(f"{root}/kept/a.zip"),
    lambda: image.med.to_mat(f"{root}/kept/a.mat"),
    lambda: image.isel(slice=0).med.to_image(f"{root}/kept/a.png"),
    lambda: tree.med.to_zarr(f"{root}/kept/a.zarr"),
):
    try:
        write()
    except WriteError as error:
        print("refused", error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="permissions of Linux")
def test_permissions(tmp_path):
    """What may not be read is named, and can be left out; what may not be written is left as it was."""
    for name in ("whole", "file", "folder", "kept"):
        (tmp_path / name).mkdir()
    files = write_series(Phantom(shape=(4, 8, 8)), tmp_path / "whole", names="sorted", shuffle=None)
    shutil.copytree(tmp_path / "whole", tmp_path / "file", dirs_exist_ok=True)
    shutil.copytree(tmp_path / "whole", tmp_path / "folder", dirs_exist_ok=True)
    (tmp_path / "folder" / "below").mkdir()
    closed = [tmp_path / "file" / files[0].name, tmp_path / "folder" / "below"]
    for path in closed:
        path.chmod(0)
    (tmp_path / "kept").chmod(0o555)
    # Root reads and writes everything, unless it gives up the capability to.
    drop = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if not os.geteuid() else []
    if drop and not shutil.which("setpriv"):
        pytest.skip("root, and no setpriv")
    try:
        done = subprocess.run(
            [*drop, sys.executable, "-c", PERMISSIONS, str(tmp_path)],
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        for path in (*closed, tmp_path / "kept"):
            path.chmod(0o755)
    said = done.stdout
    if drop and "setpriv:" in done.stderr:
        pytest.skip(done.stderr)
    assert done.returncode == 0, done.stdout + done.stderr
    for wanted in ("Permission denied", "left 3 ", "images 1", files[0].name, "below"):
        assert wanted in said, said
    for name in ("a ", "a.zip", "a.mat", "a.png", "a.zarr"):
        assert f"kept/{name}" in said, said
    assert said.count("refused") == 5, said
    assert not any((tmp_path / "kept").iterdir())
