"""What every source of bytes must do."""

from __future__ import annotations

import io
import os
import pickle
import unittest
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, ClassVar

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from imagedata_xr.frames import Source

__all__ = ["SourceConformance"]

_DESCRIPTORS = "/dev/fd"


class SourceConformance:
    """
    Tests of a `imagedata_xr.frames.Source`.

    Attributes
    ----------
    DATA : bytes
        What the source holds.

    Examples
    --------
    >>> from pathlib import Path
    >>> from imagedata_xr.sources import LocalFile
    >>> class TestMySource(testing.SourceConformance):
    ...     def make(self, folder, name, data):
    ...         (folder / name).write_bytes(data)
    ...         return LocalFile(folder / name)
    >>> TestMySource().test_ranges(Path())  # pytest runs them all
    """

    DATA: ClassVar[bytes] = np.random.default_rng(0).bytes(10_007)

    def make(self, folder: Path, name: str, data: bytes) -> Source:
        """Return a source of `data`; called again with the same arguments, an equal one."""
        raise NotImplementedError

    def _source(self, folder: Path) -> Source:
        return self.make(folder, "image.dcm", self.DATA)

    def test_whole(self, tmp_path: Path) -> None:
        """Without arguments, all bytes come, each time anew."""
        source = self._source(tmp_path)
        assert type(source.read()) is bytes
        assert source.read() == source.read() == self.DATA

    def test_ranges(self, tmp_path: Path) -> None:
        """A start and a length give what a slice of the bytes gives, also across the end."""
        source, size = self._source(tmp_path), len(self.DATA)
        for start in (0, 1, 4096, size - 1):
            assert source.read(start) == self.DATA[start:]
            for length in (0, 1, 16, 4096, size):
                assert source.read(start, length) == self.DATA[start : start + length]

    def test_beyond_the_end(self, tmp_path: Path) -> None:
        """There is nothing at the end and after it, and that is no error."""
        source, size = self._source(tmp_path), len(self.DATA)
        for start in (size, size + 1, size + 10_000):
            assert source.read(start) == source.read(start, 16) == b""

    def test_empty(self, tmp_path: Path) -> None:
        """No bytes are a source too."""
        source = self.make(tmp_path, "empty.dcm", b"")
        assert source.size == 0
        assert source.read() == source.read(0, 16) == source.read(16) == b""

    def test_open(self, tmp_path: Path) -> None:
        """The opened file is binary and seekable, has its own position, and can be closed."""
        source = self._source(tmp_path)
        with source.open() as file, source.open() as other:
            assert file.readable()
            assert file.seekable()
            assert file.seek(-7, io.SEEK_END) == len(self.DATA) - 7
            assert file.read() == self.DATA[-7:]
            assert file.seek(100) == file.tell() == 100
            assert file.read(50) == self.DATA[100:150]
            assert other.read() == self.DATA
        assert file.closed

    def test_size_and_name(self, tmp_path: Path) -> None:
        """The size is a number of bytes, and a person can tell which source it is."""
        source = self._source(tmp_path)
        assert source.size == len(self.DATA)
        assert isinstance(source.name, str)
        assert "image.dcm" in source.name

    def test_equality(self, tmp_path: Path) -> None:
        """Sources of the same bytes at the same place are equal and have one hash."""
        source, same = self._source(tmp_path), self._source(tmp_path)
        assert source == same
        assert hash(source) == hash(same)
        assert source != self.make(tmp_path, "other.dcm", self.DATA)

    def test_pickle(self, tmp_path: Path) -> None:
        """A copy sent to another process is equal, and reads the same."""
        source = self._source(tmp_path)
        copy = pickle.loads(pickle.dumps(source))  # noqa: S301 - made on this line
        assert copy == source
        assert copy.read(100, 50) == self.DATA[100:150]

    def test_threads(self, tmp_path: Path) -> None:
        """Reads of several threads at once do not disturb each other."""
        source = self._source(tmp_path)
        starts = np.random.default_rng(1).integers(len(self.DATA), size=200).tolist()
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda start: source.read(start, 1000), starts))
        assert found == [self.DATA[start : start + 1000] for start in starts]

    def test_no_open_file(self, tmp_path: Path) -> None:
        """However many sources there are, none holds a file open after reading."""
        self._source(tmp_path).read(0, 1)
        before = _descriptors()
        sources = [self.make(tmp_path, f"{k}.dcm", self.DATA) for k in range(20)]
        assert all(source.size and source.read(0, 16) for source in sources)
        assert _descriptors() <= before


def _descriptors() -> int:
    """Return how many files the process has open."""
    if not os.path.isdir(_DESCRIPTORS):  # noqa: PTH112
        raise unittest.SkipTest(f"this system has no {_DESCRIPTORS}")
    return len(os.listdir(_DESCRIPTORS))  # noqa: PTH208
