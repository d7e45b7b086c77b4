"""Chunks fit the frames, graphs grow with their number and no faster, and hold no pixels."""

from __future__ import annotations

import os
import pickle
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from imagedata_xr.dataset import Image, Labels, build
from imagedata_xr.errors import SourceError
from imagedata_xr.geometry import Axis, Grid
from imagedata_xr.testing import Phantom, write_series

pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")

ROWS = COLUMNS = 32
AXES = ((0, 1, 0), (1, 0, 0))


@pytest.fixture
def folder(tmp_path):
    """Six times of four slices."""
    write_series(Phantom(axes={"time": list(range(6))}, shape=(4, ROWS, COLUMNS)), tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("chunks", "time", "slices"),
    [
        ({}, (6,), (4,)),
        ({"slice": 1}, (6,), (1,) * 4),
        ({"time": 1}, (1,) * 6, (4,)),
        ({"time": -1, "slice": 1}, (6,), (1,) * 4),
        ({"time": 3}, (3, 3), (4,)),
        ("auto", (6,), (4,)),
        (-1, (6,), (4,)),
    ],
)
def test_a_chunk_is_whole_frames(folder, chunks, time, slices):
    """``{}`` and ``"auto"`` join small frames; what is named is cut as it says, without a warning."""
    image = xr.open_dataarray(folder, engine="dicom", chunks=chunks)
    assert image.chunks == (time, slices, (ROWS,), (COLUMNS,))
    np.testing.assert_array_equal(image, xr.open_dataarray(folder, engine="dicom"))


# Shape, chunks of slices with their courses, chunks of volumes.
LAYOUTS = (
    ((60, 20, 256, 256), (60, 1, 256, 256), (1, 20, 256, 256)),
    ((3, 60, 16, 256, 256), (3, 60, 1, 256, 256), (1, 1, 16, 256, 256)),
    ((5, 256, 512, 512), (5, 1, 512, 512), (1, 256, 512, 512)),
    # Volumes above 128 MB, courses above 32 MB.
    ((5, 600, 512, 512), (5, 1, 512, 512), (1, 1, 512, 512)),
    ((600, 20, 256, 256), (200, 1, 256, 256), (1, 20, 256, 256)),
    ((9, 500, 8, 64, 64), (5, 500, 1, 64, 64), (1, 128, 8, 64, 64)),
    ((40, 30, 2, 256, 256), (8, 30, 1, 256, 256), (1, 30, 2, 256, 256)),
    ((100_000, 1, 256, 256), (256, 1, 256, 256), (64, 1, 256, 256)),
    # What is small is joined: 8 MB.
    ((100, 80, 64, 64), (100, 10, 64, 64), (12, 80, 64, 64)),
    ((500, 8, 64, 64), (500, 1, 64, 64), (128, 8, 64, 64)),
    ((30, 8, 64, 64), (30, 8, 64, 64), (30, 8, 64, 64)),
    # One volume.
    ((100, 512, 512), (100, 512, 512), (100, 512, 512)),
    ((600, 512, 512), (1, 512, 512), (1, 512, 512)),
)


def chunks_of_engine(shape, **options):
    """Return what ``chunks={}`` makes of a series, and of the coordinates of its frames."""
    leading = ("te", "time")[4 - len(shape) + 1 :] if len(shape) > 3 else ()
    axis = Axis(np.arange(shape[-3]) * 2.0, (0, 0, 1))
    rows, columns = (Axis(np.arange(n) * 1.0, d) for n, d in zip(shape[-2:], AXES, strict=True))
    image = Image(
        np.broadcast_to(np.zeros((), "uint16"), shape),
        {name: Labels(np.arange(n) * 1.0) for name, n in zip(leading, shape, strict=False)},
        Grid(axis, rows, columns),
        **options,
    )
    encoding = build(image).image.encoding["preferred_chunks"]
    return tuple(encoding.get(str(name), size) for name, size in build(image).image.sizes.items())


@pytest.mark.parametrize(("shape", "courses", "volumes"), LAYOUTS)
def test_chunks_of_the_engine(shape, courses, volumes):
    """
    A chunk has all times of a slice, so that nothing of a mean over time goes between workers.

    Neither are there as many tasks as frames, nor chunks larger than Dask's own; a worker of 1 GB
    computes a deviation, which takes nine times a chunk.
    """
    assert chunks_of_engine(shape) == courses
    assert chunks_of_engine(shape, by_volume=True) == volumes


def test_files_of_whole_volumes_are_read_by_volume(tmp_path):
    """A slice of a mosaic costs as much as the volume, and so does one of a packed NIfTI file."""
    small = {"shape": (9, 128, 128), "axes": {"time": list(range(60))}}
    write_series(Phantom(**small, value=0), tmp_path / "series")
    series = xr.open_dataarray(tmp_path / "series", engine="dicom", chunks={})
    assert series.data.chunksize == (60, 4, 128, 128)
    for name in ("image.nii", "image.nii.gz"):
        series.med.to_nifti(tmp_path / name, sidecar=False)
        image = xr.open_dataarray(tmp_path / name, engine="nifti", chunks={})
        expected = (60, 4, 128, 128) if name == "image.nii" else (28, 9, 128, 128)
        assert image.data.chunksize == expected


def measured(folder, times):
    """Return tasks and bytes of a series as Dask arrays, a frame a chunk."""
    phantom = Phantom(axes={"time": list(range(times))}, shape=(10, ROWS, COLUMNS))
    write_series(phantom, folder)
    image = xr.open_dataarray(folder, engine="dicom", chunks={"time": 1, "slice": 1})
    graph = image.data.__dask_graph__()
    return len(graph), len(pickle.dumps(graph)), image.nbytes


def test_graphs_are_linear_and_small(tmp_path):
    """One task a chunk; file names and offsets travel, some hundred bytes a frame, and no pixels."""
    few, bytes_few, _ = measured(tmp_path / "few", 10)
    many, bytes_many, pixels = measured(tmp_path / "many", 30)
    assert (few, many) == (101, 301)
    assert (bytes_many - bytes_few) / 200 < 300
    assert bytes_many < pixels / 5


def test_frames_come_back_from_other_processes(folder):
    """Where a frame is, and when its file was changed, is the same after pickling."""
    array = xr.open_dataarray(folder, engine="dicom").variable._data
    while not hasattr(array, "refs"):
        array = array.array
    refs = array.refs.ravel().tolist()
    refs += [replace(refs[0], number=3, slope=2.5, intercept=-1.0, tile=(8, 16), padding=(0, 5))]
    back = pickle.loads(pickle.dumps(refs))
    assert back == refs
    assert [ref.source.stamp for ref in back] == [ref.source.stamp for ref in refs]
    assert refs[0].source.stamp is not None


def kill_once(block, mark, caller):
    """Kill the worker that computes the first block."""
    if os.getpid() != caller and not Path(mark).exists():
        Path(mark).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return block * 2


def test_arrays_survive_a_killed_worker(folder, tmp_path_factory):
    """kill -9 of a worker in the middle of a computation changes no voxel of the result."""
    mark = tmp_path_factory.mktemp("mark") / "killed"
    image = xr.open_dataarray(folder, engine="dicom", chunks={"time": 1, "slice": 1})
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0"
        ) as cluster,
        distributed.Client(cluster),
    ):
        doubled = image.copy(data=image.data.map_blocks(kill_once, mark, os.getpid()))
        found = doubled.compute()
    assert mark.exists()
    np.testing.assert_array_equal(found, xr.open_dataarray(folder, engine="dicom") * 2)


def test_arrays_whose_files_vanish(folder):
    """Files that are gone when chunks are read are an error that names one, never zeros."""
    image = xr.open_dataarray(folder, engine="dicom", chunks={})
    for path in folder.iterdir():
        path.unlink()
    with pytest.raises(SourceError, match=str(folder)):
        image.mean().compute()
