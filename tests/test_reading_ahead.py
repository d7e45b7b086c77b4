"""Slow disks and stores: several reads at a time, the same results in the same order."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import imagedata_xr  # noqa: F401 - registers the accessor
from imagedata_xr.errors import FormatError, ImagedataError, PixelError
from imagedata_xr.formats.dicom.headers import read_header, read_headers
from imagedata_xr.formats.dicom.instance import frames_of
from imagedata_xr.sources import LocalFile, ahead, files, find_sources
from imagedata_xr.testing import Phantom, write_series

SHAPE = (24, 9, 7)


class Gate:
    """Counts how many are inside at once."""

    def __init__(self):
        self.lock = threading.Lock()
        self.inside = self.most = 0

    def __enter__(self):
        with self.lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        time.sleep(0.005)

    def __exit__(self, *_):
        with self.lock:
            self.inside -= 1


@dataclass(frozen=True)
class Slow:
    """A file on a disk that takes 5 ms for each read."""

    path: str
    gate: Gate = field(compare=False)
    in_parallel: bool = True

    @property
    def name(self):
        return self.path

    @property
    def size(self):
        return LocalFile(self.path).size

    def read(self, start=0, length=None):
        with self.gate:
            return LocalFile(self.path).read(start, length)

    def open(self):
        return LocalFile(self.path).open()


def facts(header):
    return header.source.name, header.elements, header.pixel_offset


@pytest.mark.parametrize("parallel", [True, False])
def test_headers_from_a_slow_disk(tmp_path, parallel):
    """Many files are waited for at a time, but no more than 16; sources that cannot are not."""
    write_series(Phantom(shape=SHAPE, axes={"time": [0, 1, 2]}), tmp_path)
    plain = find_sources(tmp_path)
    gate = Gate()
    found = read_headers([Slow(one.path, gate, parallel) for one in plain], progress=False)
    assert [facts(one) for one in found] == [facts(one) for one in read_headers(plain)]
    assert gate.most == 1 if not parallel else 1 < gate.most <= 16


def test_compressed_files_from_a_slow_disk(tmp_path):
    """Whether compressed pixels are whole is looked at in several files at a time as well."""
    write_series(Phantom(shape=SHAPE, transfer_syntax="rle"), tmp_path)
    gate = Gate()
    headers = read_headers([Slow(one.path, gate) for one in find_sources(tmp_path)])
    gate.most = 0
    assert all(frames_of(header)[0].ref.offset == header.pixel_offset for header in headers)
    assert gate.most == 0
    cut = find_sources(tmp_path)[5].path
    header = read_header(LocalFile(cut))
    end = bytes.fromhex("feffdde0 00000000")
    for data in (
        Path(cut).read_bytes()[:-100],
        Path(cut).read_bytes()[: header.pixel_offset] + end,
    ):
        Path(cut).write_bytes(data)
        check_cut(tmp_path, gate, cut)


def check_cut(tmp_path, gate, cut):
    headers = read_headers([Slow(one.path, gate) for one in find_sources(tmp_path)])
    for header in headers:
        if header.source.path == cut:
            with pytest.raises(FormatError, match=r"truncated|0 fragments"):
                frames_of(header)
        else:
            assert len(frames_of(header)) == 1


def test_damage_is_told_of_the_right_file(tmp_path):
    """Each damaged file is named, in its turn, wherever it was read; the others are there."""
    write_series(Phantom(shape=SHAPE), tmp_path, names="sorted")
    sources = [Slow(one.path, Gate()) for one in find_sources(tmp_path)]
    for number in (3, 20):
        with Path(sources[number].path).open("r+b") as file:
            file.truncate(400)
    told = []
    found = read_headers(sources, progress=False, on_error=lambda one, _: told.append(one))
    assert told == [sources[3], sources[20]]
    assert [one.source for one in found] == [
        one for number, one in enumerate(sources) if number not in (3, 20)
    ]
    with pytest.raises(ImagedataError, match=sources[3].name):
        read_headers(sources, progress=False)


@pytest.mark.parametrize("fails", [5, 30])
def test_results_come_in_order(fails):
    """Results come in order, an exception in its turn, and the threads are gone afterwards."""

    def work(number):
        time.sleep(0.003 if number % 3 else 0.006)
        if number == fails:
            raise ValueError(number)
        return number

    assert list(ahead.ahead(lambda number: work(number + 100), range(40))) == list(range(100, 140))
    seen = []
    with pytest.raises(ValueError, match=str(fails)):
        seen.extend(ahead.ahead(work, range(60)))
    assert list(ahead.ahead(work, ())) == []
    taken = ahead.ahead(work, range(fails + 1, 200))
    assert [next(taken) for _ in range(12)] == list(range(fails + 1, fails + 13))
    taken.close()
    assert not [one for one in threading.enumerate() if one.name.startswith("imagedata_xr")]


def slow_files(monkeypatch, gate):
    plain = os.preadv

    def preadv(*where):
        with gate:
            return plain(*where)

    monkeypatch.setattr(os, "preadv", preadv)


def test_pixels_from_a_slow_disk(tmp_path, monkeypatch):
    """Pixels that arrive out of order lie in their places."""
    truth = Phantom(shape=SHAPE, axes={"time": [0, 1]})
    write_series(truth, tmp_path)
    gate = Gate()
    slow_files(monkeypatch, gate)
    image = xr.open_dataarray(tmp_path, engine="dicom")
    np.testing.assert_array_equal(image.values, truth.truth().values)
    assert 1 < gate.most <= 16


# Pixels straight to their place ---------------------------------------------------------------

KINDS = (
    {"dtype": "uint16"},
    {"dtype": "uint16", "bits_stored": 12},
    {"dtype": "int16", "bits_stored": 12},
    {"dtype": "int16", "modality": "CT"},
    {"dtype": "uint8"},
    {"dtype": "uint16", "rescale": [(1.5, 2), (0.5, -7.25)]},
    {"dtype": "uint16", "transfer_syntax": "implicit"},
    {"dtype": "uint16", "transfer_syntax": "big"},
    {"dtype": "uint16", "transfer_syntax": "rle"},
)
PARTS = (0, -1, slice(2, 5), slice(None), slice(6, 0, -2), [4, 1, 4], [])


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_parts_of_frames(tmp_path, kind):
    """Whatever rows and columns are asked for, they are those of the whole image."""
    write_series(Phantom(shape=(3, 9, 7), noise=3, **kind), tmp_path)
    image = xr.open_dataarray(tmp_path, engine="dicom")
    whole = xr.open_dataarray(tmp_path, engine="dicom").load()
    for rows, columns in product(PARTS, PARTS):
        for first in (1, slice(None), [2, 0]):
            part = {"slice": first, "row": rows, "column": columns}
            xr.testing.assert_identical(image.isel(part).load(), whole.isel(part))


def test_only_the_rows_are_read(tmp_path, monkeypatch):
    """The time course of one voxel costs one row of each frame, not the frame."""
    write_series(Phantom(shape=(3, 9, 7), axes={"time": [0, 1, 2]}), tmp_path)
    image = xr.open_dataarray(tmp_path, engine="dicom")
    read = []
    plain = os.preadv
    monkeypatch.setattr(
        os, "preadv", lambda opened, to, start: read.append(len(to[0])) or plain(opened, to, start)
    )
    course = image.isel(slice=1, row=4, column=2).values
    assert read == [7 * 2] * 3
    np.testing.assert_array_equal(course, image.values[:, 1, 4, 2])


def test_no_preadv(tmp_path, monkeypatch):
    """Systems without preadv read the same."""
    truth = Phantom(shape=(3, 9, 7), noise=3)
    write_series(truth, tmp_path)
    expected = xr.open_dataarray(tmp_path, engine="dicom").values
    monkeypatch.delattr(files.os, "preadv", raising=False)
    np.testing.assert_array_equal(xr.open_dataarray(tmp_path, engine="dicom").values, expected)


def test_pixels_cut_off_after_opening(tmp_path):
    """A file that was cut off since it was opened is an error, not the zeros of fresh memory."""
    write_series(Phantom(shape=(3, 9, 7)), tmp_path)
    image = xr.open_dataarray(tmp_path, engine="dicom")
    refs = image.variable._data
    while not hasattr(refs, "refs"):
        refs = refs.array
    ref = refs.refs.ravel()[0]
    with Path(ref.source.path).open("r+b") as file:
        file.truncate(ref.offset + 20)
    with pytest.raises(ImagedataError, match="has changed"):
        image.load()
    unstamped = type(ref)(LocalFile(ref.source.path), ref.format, 0, ref.offset, ref.length)
    with pytest.raises(PixelError, match="20 of 126 bytes"):
        refs.reader.read(unstamped, np.empty((9, 7), np.uint16))
