"""
Random access to a gzip file (RFC 1952) without inflating it twice.

The state of the inflater is remembered every few MB as the file is first passed through: reading
a part costs inflating up to it once, and from the last mark before it afterwards.
"""

from __future__ import annotations

import importlib
import threading
import zlib
from bisect import bisect_right
from typing import TYPE_CHECKING, Any, Final

from imagedata_xr.errors import FormatError

if TYPE_CHECKING:
    from imagedata_xr.frames import Source

__all__ = ["LARGEST_RATIO", "Gunzipped", "opened"]

MAGIC: Final = b"\x1f\x8b"
# Deflate packs at most 258 bytes into two bits.
LARGEST_RATIO: Final = 1032
MARK_EVERY: Final = 4 << 20
BLOCK: Final = 1 << 20
MOST_AT_ONCE: Final = 2 << 20
GZIP: Final = zlib.MAX_WBITS + 16


class Gunzipped:
    """
    The inflated bytes of a gzip source; may be pickled, holds no open file.

    Parameters
    ----------
    source : Source
        Of compressed bytes.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self._start()

    def _start(self) -> None:
        self._lock = threading.Lock()
        self._zlib = _fastest()
        # Place in the inflated bytes, place in the file, and the inflater there.
        self._marks: list[tuple[int, int, Any]] = [(0, 0, self._zlib.decompressobj(GZIP))]
        # Where the last read ended: the next one often goes on there.
        self._last: tuple[int, int, Any] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"source": self.source}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.source = state["source"]
        self._start()

    @property
    def name(self) -> str:
        """The name to show to a person."""
        return self.source.name

    @property
    def at_most(self) -> int:
        """Number of bytes beyond which it cannot inflate."""
        return LARGEST_RATIO * self.source.size

    def read(self, start: int, length: int) -> bytes:
        """
        Return `length` inflated bytes from `start`, fewer at the end.

        Raises
        ------
        FormatError
            The file is damaged or ends too early.
        """
        at, there, inflater = self._nearest(start)
        pieces = []
        try:
            while at < start + length:
                block = self.source.read(there, BLOCK)
                if inflater.eof:
                    # Members follow each other; some writers fill the file up with zeros.
                    if not block.strip(b"\0"):
                        break
                    inflater = self._zlib.decompressobj(GZIP)
                data = inflater.decompress(block, MOST_AT_ONCE)
                if not data and not block and not inflater.eof:
                    raise FormatError(f"{self.name}: the gzip stream breaks off after {at} bytes")
                there += len(block) - len(inflater.unused_data) - len(inflater.unconsumed_tail)
                first, last = max(start - at, 0), max(start + length - at, 0)
                pieces.append(data if first == 0 and last >= len(data) else data[first:last])
                at += len(data)
                self._mark(at, there, inflater)
            self._check_end(at == start + length, there, inflater)
        except (zlib.error, self._zlib.error) as error:
            raise FormatError(f"{self.name}: the gzip stream is damaged: {error}") from error
        with self._lock:
            self._last = at, there, inflater
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _nearest(self, start: int) -> tuple[int, int, Any]:
        """Return the last known place before a byte, with an inflater that nobody else has."""
        with self._lock:
            place = bisect_right([mark[0] for mark in self._marks], start) - 1
            at, there, inflater = self._marks[place]
            last, self._last = self._last, None
            if last is not None and at <= last[0] <= start:
                return last
            return at, there, inflater.copy()

    def _check_end(self, is_whole: bool, there: int, inflater: Any) -> None:  # noqa: FBT001
        """Let the inflater compare the checksum where all bytes may have come, and not the end."""
        if not is_whole or inflater.eof:
            return
        trial = inflater.copy()
        while not trial.eof:
            block = self.source.read(there, BLOCK)
            if trial.decompress(block, 1):
                return
            if not block:
                raise FormatError(f"{self.name}: the gzip stream breaks off at its end")
            there += len(block) - len(trial.unconsumed_tail)

    def _mark(self, at: int, there: int, inflater: Any) -> None:
        with self._lock:
            if at - self._marks[-1][0] >= MARK_EVERY and not inflater.eof:
                self._marks.append((at, there, inflater.copy()))


def _fastest() -> Any:
    """Return zlib-ng where it is installed: it inflates faster, and can be copied like zlib."""
    try:
        return importlib.import_module("zlib_ng.zlib_ng")
    except ImportError:
        return zlib


def opened(source: Source) -> Source | Gunzipped:
    """Return the source, or its inflated bytes where it is a gzip file."""
    return Gunzipped(source) if source.read(0, len(MAGIC)) == MAGIC else source
