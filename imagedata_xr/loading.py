"""Many frames read into one array: in blocks, and by several threads where these help."""

from __future__ import annotations

import threading
from contextlib import closing, contextmanager
from itertools import repeat
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, Protocol

from imagedata_xr.sources.ahead import by_threads, cores

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    import numpy as np
    import numpy.typing as npt

    from imagedata_xr.frames import PixelRef

__all__ = ["FrameReader", "load"]

# Bytes of a block: what it costs to hand it to a thread is little beside reading it.
_BLOCK: Final = 4 << 20
# Bytes below which one thread has read them before others have begun.
_SMALL: Final = 8 << 20
# Frames that are read one by one, to see how long that takes.
_FIRST: Final = 8
# Seconds a frame, and a byte, beyond which files are waited for: a slow disk. Threads that share
# few cores with other programs wait as well: several times as much.
_SLOW: Final = (1e-3, 2e-9)
_SHARED: Final = 5


class FrameReader(Protocol):
    """
    Reads the pixels of one frame; picklable, holds no open file.

    One that can read some rows alone has ``read_rows(ref, first, out)``, which puts as many as
    ``out`` has there, from row ``first`` on; ``read_frames(refs, first, out)`` does that for several
    frames. One whose decoder lets other threads work says so with ``at_once(ref)``.
    """

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of every frame it returns."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns, and 3 for colour."""

    def read(self, ref: PixelRef, out: npt.NDArray[Any]) -> None:
        """Put the frame's values into ``out``, an array of `shape` and `dtype`."""


def load(
    reader: FrameReader, refs: Sequence[PixelRef | None], first: int | None, out: npt.NDArray[Any]
) -> Generator[None]:
    """
    Fill an array with frames, or with some rows of each; yield once a frame, in their order.

    What cannot be read is raised in its turn: the first frame's failure, whoever has met it. When
    the iterator is closed, or left by an exception, no thread is at work any more.

    Parameters
    ----------
    reader : FrameReader
    refs : sequence of PixelRef or None
        None is a frame of zeros.
    first : int or None
        Number of the first row that is wanted; None for whole frames.
    out : ndarray, shape (frames, rows, columns) or (frames, rows, columns, 3)
    """
    read = _block_reader(reader, refs, first, out)
    with _share() as threads:
        if threads > 1 and len(refs) > 1 and _decode_at_once(reader, refs):
            yield from by_threads(
                lambda number: read(number, number + 1), range(len(refs)), threads
            )
        elif _in_parallel(refs):
            yield from _native(read, len(refs), out.nbytes, threads)
        else:
            for number in range(len(refs)):
                yield read(number, number + 1)


def _block_reader(
    reader: FrameReader, refs: Sequence[PixelRef | None], first: int | None, out: npt.NDArray[Any]
) -> Callable[[int, int], None]:
    """Return what reads the frames from one number to another."""
    read_frames = getattr(reader, "read_frames", None)
    read_rows = getattr(reader, "read_rows", None)

    def read(start: int, stop: int) -> None:
        some: Any = refs[start:stop]
        if read_frames is not None and all(ref is not None for ref in some):
            read_frames(some, first or 0, out[start:stop])
            return
        for ref, place in zip(some, out[start:stop], strict=True):
            if ref is None:
                place[...] = 0
            elif first is not None and read_rows is not None:
                read_rows(ref, first, place)
            else:
                reader.read(ref, place)

    return read


def _native(
    read: Callable[[int, int], None], count: int, held: int, threads: int
) -> Iterator[None]:
    """Read frames that need no decoder: blocks of them, or single ones where each is waited for."""
    limit = _SLOW[0] + _SLOW[1] * held / max(1, count)
    workers = threads if held >= _SMALL else 1
    size = max(1, _BLOCK * count // max(1, held))
    first = range(min(_FIRST, count))
    spans = [(number, number + 1) for number in first]
    spans += [(start, min(start + size, count)) for start in range(len(first), count, size)]

    def timed(span: tuple[int, int]) -> tuple[int, bool]:
        begun = perf_counter()
        read(*span)
        length = span[1] - span[0]
        scale = 1 if span[0] < _FIRST or workers == 1 else _SHARED
        return length, perf_counter() - begun > limit * length * scale

    done = slow = 0
    for part, number in ((spans[:_FIRST], 1), (spans[_FIRST:], workers)):
        with closing(by_threads(timed, part, number)) as found:
            for length, late in found:
                done += length
                slow = slow + length if late else 0
                yield from repeat(None, length)
                if slow >= _FIRST:
                    break
        if slow >= _FIRST:
            break
    if done < count:
        yield from by_threads(lambda number: read(number, number + 1), range(done, count))


@contextmanager
def _share() -> Iterator[int]:
    """Give the number of threads that one of several loads of this process may use."""
    one = object()
    _loads.add(one)
    try:
        # Workers of Dask are as many as there are cores, in other processes too.
        by_dask = threading.current_thread().name.startswith("Dask")
        yield 1 if by_dask else max(1, cores() // len(_loads))
    finally:
        _loads.discard(one)


_loads: set[object] = set()


def _decode_at_once(reader: FrameReader, refs: Sequence[PixelRef | None]) -> bool:
    """Tell whether all frames need a decoder that lets other threads work."""
    at_once = getattr(reader, "at_once", None)
    return at_once is not None and all(ref is None or at_once(ref) for ref in refs)


def _in_parallel(refs: Sequence[PixelRef | None]) -> bool:
    """Tell whether threads may help: decoders let only one of them work at a time."""
    return all(
        ref is None or (ref.length > 0 and getattr(ref.source, "in_parallel", False))
        for ref in refs
    )
