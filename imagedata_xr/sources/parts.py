"""Parts of many local files, or of one, read into one buffer."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from imagedata_xr.sources.files import READ_ONLY, fill, source_error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imagedata_xr.sources.files import LocalFile

__all__ = ["read_parts"]


def read_parts(files: Sequence[LocalFile], starts: Sequence[int], buffer: memoryview) -> int:
    """
    Fill a buffer with parts of files; return how many bytes there were before a file's early end.

    A file is opened once for all its parts that are named one after the other, and what lies side
    by side in it is read at once.

    Parameters
    ----------
    files : sequence of LocalFile
        One for each part.
    starts : sequence of int
        Where the parts begin in their files.
    buffer : memoryview
        Of bytes; each part has the same share of it.

    Raises
    ------
    SourceError
        A file is gone, cannot be read, or has changed since it was opened first.
    """
    count, size = len(files), len(buffer) // len(files)
    # Not in Windows. What follows costs more than a small read: no function of our own is called.
    preadv = getattr(os, "preadv", None)
    file, opened, descriptor, number, done = files[0], None, -1, 0, 0
    try:
        while number < count:
            file, start = files[number], starts[number]
            if file is not opened:
                if opened is not None:
                    opened = None
                    os.close(descriptor)
                descriptor = os.open(file.path, READ_ONLY)
                opened = file
                if file.stamp is not None:
                    file.check(os.fstat(descriptor))
            number, end = number + 1, done + size
            while number < count and starts[number] == start + end - done and files[number] is file:
                number, end = number + 1, end + size
            part = buffer[done:end]
            read = 0 if preadv is None else preadv(descriptor, (part,), start)
            if read != end - done:
                read += fill(descriptor, start + read, part[read:])
            done += read
            if done != end:
                break
    except (OSError, ValueError) as error:
        raise source_error(file.path, error) from error
    finally:
        if opened is not None:
            os.close(descriptor)
    return done
