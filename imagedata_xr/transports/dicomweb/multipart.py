"""The parts of a multipart body as they arrive (RFC 2046 section 5.1), of which none may be cut."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from imagedata_xr.errors import PeerConnectionError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["boundary_of", "parts"]

_BOUNDARY: Final = re.compile(r';\s*boundary\s*=\s*(?:"([^"]+)"|([^\s;"]+))', re.IGNORECASE)
_LONGEST_HEAD: Final = 1 << 16


def boundary_of(content_type: str) -> bytes | None:
    """Return the boundary that a content type names; None where it is not multipart."""
    found = _BOUNDARY.search(content_type)
    if found is None or not content_type.lower().lstrip().startswith("multipart/"):
        return None
    return (found[1] or found[2]).encode("latin-1", "replace")


def parts(
    pieces: Iterator[bytes], boundary: bytes
) -> Iterator[tuple[dict[str, str], Iterator[bytes]]]:
    """
    Yield headers, with names in lower case, and body of each part.

    Parameters
    ----------
    pieces : iterator of bytes
        The whole body, cut anywhere.
    boundary : bytes

    Raises
    ------
    PeerConnectionError
        The end of the last part never comes: what was yielded of it is not to be used.
    """
    source = _Source(pieces)
    mark = b"\r\n--" + boundary
    for _ in source.until(mark):
        pass
    while not source.is_next(b"--"):
        head = bytearray()
        for piece in source.until(b"\r\n\r\n"):
            head += piece
            if len(head) > _LONGEST_HEAD:
                raise PeerConnectionError("the head of a part has no end")
        body = source.until(mark)
        yield _headers(bytes(head)), body
        for _ in body:
            pass


def _headers(head: bytes) -> dict[str, str]:
    found = {}
    for line in head.decode("latin-1").split("\r\n"):
        name, colon, value = line.partition(":")
        if colon:
            found[name.strip().lower()] = value.strip()
    return found


class _Source:
    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        # The first delimiter may stand at the very beginning.
        self._buffer = b"\r\n"

    def _more(self) -> None:
        piece = next(self._pieces, None)
        if piece is None:
            raise PeerConnectionError("the answer ends in the middle of a part")
        self._buffer += piece

    def is_next(self, wanted: bytes) -> bool:
        """Tell whether bytes come next."""
        while len(self._buffer) < len(wanted):
            self._more()
        return self._buffer.startswith(wanted)

    def until(self, mark: bytes) -> Iterator[bytes]:
        """Yield what comes before a mark, and go behind it."""
        while (at := self._buffer.find(mark)) < 0:
            keep = len(mark) - 1
            if len(self._buffer) > keep:
                yield self._buffer[:-keep]
                self._buffer = self._buffer[-keep:]
            self._more()
        if at:
            yield self._buffer[:at]
        self._buffer = self._buffer[at + len(mark) :]
