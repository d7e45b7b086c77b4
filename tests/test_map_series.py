"""A function over a cohort: in parallel, with failures as rows, and taken up again after a kill."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from map_series_client import killed_once, slow_mean

import imagedata_xr
from imagedata_xr.errors import OptionError, PeerConnectionError
from imagedata_xr.testing import Phantom, drop_file, write_series

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")
nibabel = pytest.importorskip("nibabel")
psutil = pytest.importorskip("psutil")

SCRIPT = Path(__file__).with_name("map_series_client.py")


def two_workers():
    """Start a cluster of two processes."""
    return distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0"
    )


@pytest.fixture(scope="module")
def client():
    """Two processes."""
    with two_workers() as cluster, distributed.Client(cluster, set_as_default=False) as made:
        yield made


@pytest.fixture
def cohort(tmp_path):
    """Four series that open, one of two stacks among them, and one that does not."""
    folder = tmp_path / "cohort"
    for number in (1, 2, 4):
        write_series(Phantom(series=number, axes={"time": [0, 3]}), folder / str(number))
    paths = write_series(Phantom(series=3, axes={"te": [5, 10]}), folder / "3")
    drop_file(paths[2])
    return folder


def both(image):
    """Return values and an image."""
    mean = image.mean("time").rename("average")
    return {"mean": image.mean(), "worker": os.getpid(), "shape": list(image.shape)}, mean


def scaled(image, factor):
    """Return an image."""
    return image * factor


def failing(image):
    """Fail with the patient's name in the text."""
    if image.attrs["SeriesNumber"] == 2:
        raise ValueError(f"{image.attrs['PatientID']} has no liver")
    return {"ok": 1}


def hungry(image):
    """Take 3 GB for series 2."""
    if image.attrs["SeriesNumber"] == 2:
        kept = [np.ones(1 << 25) for _ in range(12)]
        time.sleep(5)
        return {"sum": float(kept[0][0])}
    return {"sum": 0.0}


def test_values_and_images(cohort, tmp_path, client):
    """Values are those that opening by hand gives, images are written, and failures have reasons."""
    table = imagedata_xr.map_series(both, cohort, cluster=client, output=tmp_path / "out")
    rows = table.set_index("number")
    assert list(rows["status"].sort_index()) == ["done", "done", "failed", "done"]
    assert "missing" in rows.loc[3, "error"]
    assert set(rows["worker"].dropna()) - {os.getpid()}
    for number in (1, 2, 4):
        image = xr.open_dataarray(cohort / str(number), engine="dicom")
        assert rows.loc[number, "mean"] == pytest.approx(float(image.mean()))
        assert rows.loc[number, "shape"] == list(image.shape)
        (path,) = rows.loc[number, "outputs"]
        assert Path(path).name == "average.nii.gz"
        written = xr.open_dataarray(path, engine="nifti").med.restore()
        expected = image.mean("time")
        np.testing.assert_allclose(
            written.sortby(["slice", "row", "column"]).transpose("slice", "row", "column"),
            expected.sortby(["slice", "row", "column"]),
            rtol=1e-6,
        )
    folders = [path.name for path in (tmp_path / "out").iterdir() if path.name[0] != "."]
    wanted = [f"{number}_Phantom_series_{number}" for number in (1, 2, 4)]
    assert sorted(name.rsplit("_", 1)[0] for name in folders) == wanted


def test_nothing_is_done_twice(cohort, tmp_path, client):
    """A second run keeps what is done; a changed file, function or lost result is done again."""
    out = tmp_path / "out"

    def run(function):
        table = imagedata_xr.map_series(function, cohort, cluster=client, output=out)
        return dict(zip(table["number"], table["status"], strict=True)), table

    first, table = run(partial(scaled, factor=2.0))
    assert first == {1: "done", 2: "done", 3: "failed", 4: "done"}
    kept = {1: "kept", 2: "kept", 3: "failed", 4: "kept"}
    again, same = run(partial(scaled, factor=2.0))
    assert again == kept
    assert list(same["outputs"]) == list(table["outputs"])
    os.utime(next((cohort / "1").iterdir()), ns=(1, 1))
    assert run(partial(scaled, factor=2.0))[0] == kept | {1: "done"}
    Path(table.set_index("number").loc[4, "outputs"][0]).unlink()
    assert run(partial(scaled, factor=2.0))[0] == kept | {4: "done"}
    assert run(partial(scaled, factor=3.0))[0] == first
    assert run(partial(scaled, factor=3.0))[0] == kept


def test_failures_name_no_patient(cohort, client):
    """The error of a function is a row, tried as often as asked for, without the patient's ID."""
    table = imagedata_xr.map_series(failing, cohort, cluster=client, retries=2)
    rows = table.set_index("number")
    assert rows.loc[2, "error"] == "ValueError: *** has no liver"
    assert list(rows["tries"].sort_index()) == [1, 3, 0, 1]


def test_a_worker_that_dies_is_replaced(cohort, tmp_path, client, monkeypatch):
    """kill -9 of a worker loses nothing: its series is done by another."""
    del client
    monkeypatch.setenv("CALLS", str(tmp_path))
    with two_workers() as cluster:
        table = imagedata_xr.map_series(killed_once, cohort, cluster=cluster.scheduler_address)
    assert (tmp_path / "killed").exists()
    done = table[table["status"] == "done"]
    assert sorted(done["number"]) == [1, 2, 4]
    assert list(done["number_"]) == list(done["number"])
    assert list(done["twice"]) == [2 * number for number in done["number"]]


def test_a_series_that_takes_too_much_memory_fails_alone(cohort):
    """A function that needs more than the limit is a row with the remedy; the others are done."""
    with dask.config.set({"distributed.scheduler.allowed-failures": 0}):
        table = imagedata_xr.map_series(hungry, cohort, workers=2, memory_limit="700MB")
    rows = table.set_index("number")
    assert "chunks=" in rows.loc[2, "error"]
    assert list(rows["status"].sort_index()) == ["done", "failed", "failed", "done"]


def test_a_killed_run_is_taken_up_again(tmp_path):
    """After kill -9 of the client, the same call does the rest: no series twice, no half results."""
    cohort, out, calls = tmp_path / "cohort", tmp_path / "out", tmp_path / "calls"
    calls.mkdir()
    numbers = range(1, 9)
    for number in numbers:
        write_series(Phantom(series=number, shape=(2, 4, 4)), cohort / str(number))
    command = [sys.executable, str(SCRIPT), str(cohort), str(out)]
    environment = {**os.environ, "CALLS": str(calls)}
    first = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while len(list(out.glob(".imagedata_xr/*.json"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    workers = psutil.Process(first.pid).children(recursive=True)
    first.send_signal(signal.SIGKILL)
    first.wait()
    # workers notice that their parent is gone
    assert not psutil.wait_procs(workers, timeout=120)[1]
    recorded = len(list(out.glob(".imagedata_xr/*.json")))
    assert 3 <= recorded < len(numbers)
    for path in out.glob("*/double.nii.gz"):
        assert nibabel.load(path).get_fdata().shape == (4, 4, 2)
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    table = json.loads(done.stdout)
    assert {row["status"] for row in table} == {"done", "kept"}
    assert sum(row["status"] == "kept" for row in table) == recorded
    called = {int(path.name): len(path.read_text().split()) for path in calls.iterdir()}
    kept = {row["number"] for row in table if row["status"] == "kept"}
    assert all(called[number] == 1 for number in kept)
    assert len(list(out.glob("*/double.nii.gz"))) == len(numbers)
    assert not list(out.glob("*/.*.part"))


@contextmanager
def scheduler(folder):
    """Run a scheduler and its worker, each a process; yield the scheduler and its address."""
    about = folder / "scheduler.json"
    dask_ = [sys.executable, "-m"]
    listen = ("--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", about)
    join = ("--scheduler-file", about, "--nthreads", "1", "--no-dashboard")
    paths = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    quiet = {"env": paths, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with ExitStack() as stack:
        for command in (
            [*dask_, "distributed.cli.dask_scheduler", *listen],
            [*dask_, "distributed.cli.dask_worker", *join],
        ):
            process = subprocess.Popen(command, **quiet)
            stack.callback(process.wait)
            stack.callback(process.kill)
            if "distributed.cli.dask_scheduler" in command:
                first = process
                deadline = time.monotonic() + 120
                while not about.exists() and time.monotonic() < deadline:
                    time.sleep(0.05)
        yield first, json.loads(about.read_text())["address"]


def test_a_scheduler_that_dies(tmp_path, monkeypatch):
    """The run ends: what is done is kept, the rest are rows that say what to do; then it is done."""
    cohort, out = tmp_path / "cohort", tmp_path / "out"
    monkeypatch.setenv("CALLS", str(tmp_path))
    for number in range(1, 9):
        write_series(Phantom(series=number, shape=(2, 4, 4)), cohort / str(number))
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "2s"}),
        scheduler(tmp_path) as (process, address),
    ):

        def kill():
            deadline = time.monotonic() + 120
            while len(list(out.glob(".imagedata_xr/*.json"))) < 3 and time.monotonic() < deadline:
                time.sleep(0.02)
            process.kill()

        threading.Thread(target=kill, daemon=True).start()
        table = imagedata_xr.map_series(slow_mean, cohort, cluster=address, output=out)
        lost = table[table["status"] == "failed"]
        assert 0 < len(lost) < len(table)
        assert all("the same call again" in text for text in lost["error"])
        with pytest.raises(PeerConnectionError, match="no Dask scheduler answers"):
            imagedata_xr.map_series(slow_mean, cohort, cluster=address, output=out)
    with two_workers() as cluster:
        table = imagedata_xr.map_series(slow_mean, cohort, cluster=cluster, output=out)
    assert set(table["status"]) == {"done", "kept"}
    assert len(list(out.glob("*/double.nii.gz"))) == 8


def removing(image, folder):
    """Lose the folder of series 2 between opening and reading."""
    if image.attrs["SeriesNumber"] == 2:
        shutil.rmtree(Path(folder) / "2")
    return {"mean": image.mean()}, image * 2.0


@pytest.mark.parametrize("chunks", [None, {}])
def test_a_source_that_vanishes(cohort, tmp_path, client, chunks):
    """Files that are gone in the middle make a row that names one; the others are done, in whole."""
    out = tmp_path / "out"
    function = partial(removing, folder=str(cohort))
    table = imagedata_xr.map_series(function, cohort, cluster=client, output=out, chunks=chunks)
    rows = table.set_index("number")
    assert list(rows["status"].sort_index()) == ["done", "failed", "failed", "done"]
    assert str(cohort / "2") in rows.loc[2, "error"]
    assert rows.loc[2, "error"].startswith("SourceNotFoundError")
    assert rows.loc[2, "tries"] == 2
    assert rows.loc[2, "outputs"] == ()
    images = sorted(path.name for path in out.rglob("*.*") if ".imagedata_xr" not in path.parts)
    assert images.count("image.nii.gz") == 2
    assert not [name for name in images if name.endswith(".part")]


def unevenly(image):
    """Return a value."""
    return {"slices": image.sizes["slice"]}


def test_problems_of_series_that_open(tmp_path, client):
    """What opening warns of stands in the table: a series with a gap is done, and says so."""
    paths = write_series(Phantom(shape=(5, 4, 4)), tmp_path / "gap")
    drop_file(paths[2])
    table = imagedata_xr.map_series(unevenly, tmp_path / "gap", cluster=client)
    assert list(table["status"]) == ["done"]
    assert any("uneven" in text for text in table["problems"].iloc[0])


def test_tables_and_lists(cohort, client):
    """Rows that were chosen in the catalog are done, and no others; so are folders of a list."""
    table = imagedata_xr.catalog(cohort)
    chosen = imagedata_xr.map_series(both, table[table["number"] == 2], cluster=client, output=None)
    assert "output=" in chosen["error"].iloc[0]
    chosen = imagedata_xr.map_series(failing, table[table["number"] != 2], cluster=client)
    assert sorted(chosen["number"]) == [1, 3, 4]
    assert list(chosen["status"]) == ["done", "failed", "done"]
    listed = imagedata_xr.map_series(failing, [cohort / "1", cohort / "4"], cluster=client)
    assert list(listed["status"]) == ["done", "done"]
    assert "PatientID" not in imagedata_xr.map_series(
        failing, cohort / "1", cluster=client, phi=False
    )


def test_chunks(cohort, tmp_path, client):
    """With chunks=, the function gets a Dask array, and its results are the same."""
    table = imagedata_xr.map_series(
        both, cohort / "1", cluster=client, output=tmp_path / "out", chunks={}
    )
    image = xr.open_dataarray(cohort / "1", engine="dicom")
    assert table["mean"].iloc[0] == pytest.approx(float(image.mean()))


def test_other_results_stay(cohort, tmp_path, client):
    """A file that no run of ours wrote is not replaced unless asked for."""
    out = tmp_path / "out"
    function = partial(scaled, factor=2.0)
    (path,) = imagedata_xr.map_series(function, cohort / "1", cluster=client, output=out)[
        "outputs"
    ].iloc[0]
    for record in (out / ".imagedata_xr").iterdir():
        record.unlink()
    Path(path).write_bytes(b"mine")
    table = imagedata_xr.map_series(function, cohort / "1", cluster=client, output=out)
    assert "overwrite" in table["error"].iloc[0]
    assert Path(path).read_bytes() == b"mine"
    table = imagedata_xr.map_series(
        function, cohort / "1", cluster=client, output=out, overwrite=True
    )
    assert list(table["status"]) == ["done"]


@pytest.mark.parametrize("wrong", [{"format": "jpg"}, {"retries": -1}, {"output": "s3://x/y"}])
def test_arguments_that_mean_nothing(cohort, wrong):
    """They are refused before anything is opened."""
    with pytest.raises(OptionError):
        imagedata_xr.map_series(slow_mean, cohort, **wrong)


def test_nothing_large_is_sent(cohort, client):
    """A function that holds an atlas of 16 MB, or a lock, is refused with the remedy."""
    with pytest.raises(OptionError, match=r"holds 17 MB.*inside it"):
        imagedata_xr.map_series(partial(scaled, factor=np.ones(1 << 21)), cohort, cluster=client)
    with pytest.raises(OptionError, match="cannot be sent"):
        imagedata_xr.map_series(partial(scaled, factor=threading.Lock()), cohort, cluster=client)
