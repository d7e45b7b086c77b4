"""Loading by several threads: the same values, the same errors, and nothing left behind."""

from __future__ import annotations

import os
import signal
import threading
import time
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from imagedata_xr import loading
from imagedata_xr.errors import ImagedataError, PixelError, SourceError
from imagedata_xr.sources import LocalFile, parts
from imagedata_xr.testing import Phantom, write_series

SHAPE = (5, 12, 10)
AXES = {"time": list(range(9))}
FRAME = 12 * 10 * 2
KINDS = (
    {"dtype": "uint16", "bits_stored": 12},
    {"dtype": "int16", "modality": "CT"},
    {"dtype": "uint16", "rescale": [(1.5, 2.0), (0.5, -7.25), (1.0, 0.0)]},
    {"dtype": "uint16", "rescale": [(0.1 + k / 64, 0.0) for k in range(11)]},
    {"dtype": "uint8"},
    {"dtype": "uint16", "transfer_syntax": "big"},
)


@pytest.fixture
def by_two(monkeypatch):
    """Two threads for however little, three frames at a time."""
    monkeypatch.setattr(loading, "cores", lambda: 2)
    monkeypatch.setattr(loading, "_SMALL", 0)
    monkeypatch.setattr(loading, "_BLOCK", 3 * FRAME)


def no_thread_is_left():
    return not [one for one in threading.enumerate() if one.name.startswith("imagedata_xr")]


def refs_of(image):
    """Return where the frames of an opened image are, and what reads them."""
    data = image.variable._data
    while not hasattr(data, "refs"):
        data = data.array
    return data


def pydicom_values(folder, *, rescale):
    """Return the frames of a folder by pydicom, in the order of the files' names."""
    from pydicom import dcmread

    found = []
    for path in sorted(Path(folder).iterdir()):
        dataset = dcmread(path)
        values = dataset.pixel_array
        if rescale is not None:
            slope = rescale(float(dataset.get("RescaleSlope", 1)))
            values = values * slope + rescale(float(dataset.get("RescaleIntercept", 0)))
        found.append(values)
    return np.stack(found)


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.usefixtures("by_two")
def test_values_are_those_of_pydicom(tmp_path, kind):
    """Every frame has its values and its place, bit for bit, whoever has read it."""
    write_series(Phantom(shape=SHAPE, axes=AXES, noise=3, **kind), tmp_path, names="sorted")
    image = xr.open_dataarray(tmp_path, engine="dicom").load()
    rescale = {"f": np.float32, "i": np.int16}.get(image.dtype.kind)
    expected = pydicom_values(tmp_path, rescale=rescale if "rescale" in kind else None)
    if kind.get("modality") == "CT":
        expected = pydicom_values(tmp_path, rescale=np.int16)
    np.testing.assert_array_equal(image.values, expected.reshape(image.shape))
    assert no_thread_is_left()


@pytest.mark.usefixtures("by_two")
def test_several_threads_read(tmp_path, monkeypatch):
    """Two threads are inside at once, and never more."""
    truth = Phantom(shape=SHAPE, axes=AXES, noise=3)
    write_series(truth, tmp_path)
    together, names, plain = threading.Barrier(2, timeout=60), set(), os.preadv

    def preadv(*where):
        name = threading.current_thread().name
        if name.startswith("imagedata_xr") and name not in names:
            names.add(name)
            together.wait()
        return plain(*where)

    monkeypatch.setattr(os, "preadv", preadv)
    image = xr.open_dataarray(tmp_path, engine="dicom")
    np.testing.assert_array_equal(image.values, truth.truth().values)
    assert len(names) == 2


@pytest.mark.parametrize("bad", [(2,), (11, 40), (24, 25), (44,)])
@pytest.mark.usefixtures("by_two")
def test_the_first_failure_is_the_one_that_is_told(tmp_path, bad):
    """Of several files that were cut off, the first in the order of the frames is named, always."""
    write_series(Phantom(shape=SHAPE, axes=AXES), tmp_path)
    image = xr.open_dataarray(tmp_path, engine="dicom")
    data = refs_of(image)
    refs = [
        type(ref)(LocalFile(ref.source.path), ref.format, 0, ref.offset, ref.length)
        for ref in data.refs.ravel()
    ]
    for number in bad:
        with Path(refs[number].source.path).open("r+b") as file:
            file.truncate(refs[number].offset + 2 * number)
    out = np.empty((len(refs), *SHAPE[1:]), np.uint16)
    for _ in range(5):
        told = []
        with pytest.raises(PixelError, match=f"{2 * bad[0]} of {FRAME} bytes") as caught:
            told.extend(loading.load(data.reader, refs, None, out))
        assert refs[bad[0]].source.path in str(caught.value)
        assert len(told) <= bad[0]
        assert no_thread_is_left()


@pytest.mark.usefixtures("by_two")
def test_files_that_changed_are_refused(tmp_path):
    """What was written anew after opening is refused, in whichever thread; what is gone, too."""
    write_series(Phantom(shape=SHAPE, axes=AXES), tmp_path)
    image = xr.open_dataarray(tmp_path, engine="dicom")
    refs = refs_of(image).refs.ravel()
    Path(refs[40].source.path).unlink()
    with pytest.raises(ImagedataError, match="no such file"):
        image.copy().load()
    changed = Path(refs[31].source.path)
    changed.write_bytes(changed.read_bytes() + b"\0")
    with pytest.raises(SourceError, match="has changed") as caught:
        image.copy().load()
    assert str(changed) in str(caught.value)


@pytest.mark.usefixtures("by_two")
def test_interrupted(tmp_path, monkeypatch):
    """Ctrl-C while threads read ends the load, and no thread goes on."""
    write_series(Phantom(shape=SHAPE, axes=AXES), tmp_path)
    image = xr.open_dataarray(tmp_path, engine="dicom")
    plain, asked = os.preadv, threading.Event()

    def preadv(*where):
        if threading.current_thread() is not threading.main_thread() and not asked.is_set():
            asked.set()
            os.kill(os.getpid(), signal.SIGINT)
        return plain(*where)

    monkeypatch.setattr(os, "preadv", preadv)
    with pytest.raises(KeyboardInterrupt):
        load_and_wait(image)
    # Python may be interrupted while it begins a thread: it cannot wait for that one.
    for _ in range(600):
        if no_thread_is_left():
            break
        time.sleep(0.1)
    assert no_thread_is_left()


def load_and_wait(image):
    """Load; the signal may come after the last frame."""
    image.load()
    threading.Event().wait(60)


def test_few_bytes_and_workers_of_dask_take_one_thread(tmp_path, monkeypatch):
    """No thread is begun for little, nor where others load already, nor in Dask's workers."""
    write_series(Phantom(shape=SHAPE, axes=AXES), tmp_path)
    image = xr.open_dataarray(tmp_path, engine="dicom")
    monkeypatch.setattr(loading, "cores", lambda: 2)
    names, plain = set(), os.preadv

    def preadv(*where):
        names.add(threading.current_thread().name)
        return plain(*where)

    monkeypatch.setattr(os, "preadv", preadv)
    here = threading.current_thread().name
    image.copy().load()
    assert names == {here}
    monkeypatch.setattr(loading, "_SMALL", 0)
    with loading._share() as threads:
        assert threads == 2
        image.copy().load()
    assert names == {here}
    worker = threading.Thread(target=image.copy().load, name="Dask-Default-Threads-1-1")
    worker.start()
    worker.join()
    assert names == {here, worker.name}


def test_parts_of_one_file(tmp_path):
    """Parts that lie side by side are read at once; what lies beyond the end is not there."""
    path = tmp_path / "bytes"
    path.write_bytes(bytes(range(100)))
    file, other = LocalFile(str(path)), LocalFile(str(path))
    buffer = bytearray(40)
    count = parts.read_parts([file, file, other, file], [10, 20, 50, 0], memoryview(buffer))
    assert count == 40
    assert bytes(buffer) == bytes([*range(10, 30), *range(50, 60), *range(10)])
    assert parts.read_parts([file, file, file], [0, 95, 5], memoryview(bytearray(30))) == 15
    assert parts.read_parts([file, file], [85, 95], memoryview(bytearray(20))) == 15
    gone = LocalFile(str(tmp_path / "gone"))
    with pytest.raises(SourceError, match="gone: no such file"):
        parts.read_parts([file, gone], [0, 0], memoryview(buffer))
    assert not [one for one in Path("/proc/self/fd").iterdir() if one.resolve() == path]


@pytest.mark.usefixtures("by_two")
def test_files_that_are_waited_for_later(tmp_path, monkeypatch):
    """Where files become slow after the first ones, more of them are waited for at a time."""
    truth = Phantom(shape=SHAPE, axes=AXES, noise=3)
    write_series(truth, tmp_path)
    monkeypatch.setattr(loading, "_SHARED", 1)
    plain, numbers, names = os.preadv, count(), set()

    def preadv(*where):
        names.add(threading.current_thread().name)
        if next(numbers) > 10:
            time.sleep(0.02)
        return plain(*where)

    monkeypatch.setattr(os, "preadv", preadv)
    image = xr.open_dataarray(tmp_path, engine="dicom")
    np.testing.assert_array_equal(image.values, truth.truth().values)
    # One, then two, then up to 16.
    assert len(names) > 3
