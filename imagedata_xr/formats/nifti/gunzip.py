"""
Random access to a gzip file (RFC 1952) without inflating it twice.

The state of the inflater is remembered every few MB as the file is first passed through: reading
a part costs inflating up to it once, and from the last mark before it afterwards.
"""

from __future__ import annotations

import contextlib
import importlib
import threading
import zlib
from bisect import bisect_right
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from imagedata_xr.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imagedata_xr.frames import Source

__all__ = ["LARGEST_RATIO", "Gunzipped", "opened"]

MAGIC: Final = b"\x1f\x8b"
# Deflate packs at most 258 bytes into two bits.
LARGEST_RATIO: Final = 1032
MARK_EVERY: Final = 4 << 20
BLOCK: Final = 1 << 18
MOST_AT_ONCE: Final = 1 << 19
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
        self._codec = _first_of("zlib_ng.zlib_ng")
        # Faster still; what it has in hand cannot be copied, so nothing is remembered on its way.
        self._straight = _first_of("isal.isal_zlib", "zlib_ng.zlib_ng")
        self._marks = [_State(0, 0, self._codec, self._codec.decompressobj(GZIP))]
        # Where the last read ended: the next one often goes on there.
        self._last: _State | None = None

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
        pieces = list(self._pieces(start, length))
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def read_into(self, start: int, out: memoryview) -> int:
        """
        Put inflated bytes from `start` into memory, and return how many there were.

        They are inflated by a thread while those before are put to their place.

        Raises
        ------
        FormatError
            The file is damaged or ends too early.
        """
        place, at = np.frombuffer(out, np.uint8), 0
        for piece in _by_thread(self._pieces(start, len(out)), len(out)):
            place[at : at + len(piece)] = np.frombuffer(piece, np.uint8)
            at += len(piece)
        return at

    def _pieces(self, start: int, length: int) -> Iterator[bytes]:
        """Yield the inflated bytes from `start` on."""
        state = self._nearest(start, length)
        end, block = start + length, b""
        try:
            while state.at < end:
                # Not past the end, where the next read may go on.
                block = block or self.source.read(state.there, BLOCK)
                at = state.at
                found = self._inflated(state, block, min(MOST_AT_ONCE, end - at))
                if found is None:
                    break
                data, block = found
                first = max(start - at, 0)
                yield data[first:] if first else data
                self._mark(state)
            kept = self._check_end(state, whole=state.at == end)
        except (zlib.error, state.codec.error) as error:
            raise FormatError(f"{self.name}: the gzip stream is damaged: {error}") from error
        with self._lock:
            self._last = state if kept else None

    def _inflated(self, state: _State, block: bytes, most: int) -> tuple[bytes, bytes] | None:
        """Return the next bytes and what is left of the block, None behind the last; move on."""
        if state.inflater.eof:
            # Members follow each other; some writers fill the file up with zeros.
            if not block.strip(b"\0"):
                return None
            state.inflater = state.codec.decompressobj(GZIP)
        inflater = state.inflater
        data: bytes = inflater.decompress(block, most)
        if not data and not block and not inflater.eof:
            raise FormatError(f"{self.name}: the gzip stream breaks off after {state.at} bytes")
        # At its end, an inflater may still have the tail of the call before.
        left = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
        state.there += len(block) - len(left)
        state.at += len(data)
        return data, left

    def _nearest(self, start: int, length: int) -> _State:
        """Return the last known place before a byte, which nobody else has."""
        with self._lock:
            mark = self._marks[bisect_right([mark.at for mark in self._marks], start) - 1]
            last, self._last = self._last, None
            if last is not None and mark.at <= last.at <= start:
                return last
            if mark.at == 0 and start < MARK_EVERY <= length:
                return _State(0, 0, self._straight, self._straight.decompressobj(GZIP))
            return mark.copy()

    def _check_end(self, state: _State, *, whole: bool) -> bool:
        """
        Let the inflater compare the checksum where all bytes may have come, and not the end.

        Returns whether reading can go on from the state.
        """
        if not whole or state.inflater.eof or self.source.size - state.there > BLOCK:
            return True
        can_copy = hasattr(state.inflater, "copy")
        trial = state.copy() if can_copy else state
        while not trial.inflater.eof:
            found = self._inflated(trial, self.source.read(trial.there, BLOCK), 1)
            if found is None or found[0]:
                break
        return can_copy

    def _mark(self, state: _State) -> None:
        with self._lock:
            if (
                state.at - self._marks[-1].at >= MARK_EVERY
                and not state.inflater.eof
                and hasattr(state.inflater, "copy")
            ):
                self._marks.append(state.copy())


@dataclass(slots=True)
class _State:
    """Place in the inflated bytes, place in the file, and the inflater there."""

    at: int
    there: int
    codec: Any
    inflater: Any

    def copy(self) -> _State:
        return _State(self.at, self.there, self.codec, self.inflater.copy())


def _by_thread(pieces: Iterator[bytes], length: int) -> Iterator[bytes]:
    """Yield pieces that a thread makes, one ahead; a few are made right here."""
    if length < 2 * MARK_EVERY:
        yield from pieces
        return
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, pieces, None)
        while (piece := coming.result()) is not None:
            coming = thread.submit(next, pieces, None)
            yield piece


def _first_of(*names: str) -> Any:
    """Return the first module that is installed, else zlib."""
    for name in names:
        with contextlib.suppress(ImportError):
            return importlib.import_module(name)
    return zlib


def opened(source: Source) -> Source | Gunzipped:
    """Return the source, or its inflated bytes where it is a gzip file."""
    return Gunzipped(source) if source.read(0, len(MAGIC)) == MAGIC else source
