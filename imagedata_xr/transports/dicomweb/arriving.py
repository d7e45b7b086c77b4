"""One DICOM file on its way from a server: who it is, is known when its beginning is there."""

from __future__ import annotations

import contextlib
import os
import uuid
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Final

from imagedata_xr.errors import FormatError, TransportError
from imagedata_xr.transports.core.part10 import identify
from imagedata_xr.transports.core.spool import Incoming

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import BinaryIO

    from imagedata_xr.transports.core.part10 import Identity
    from imagedata_xr.transports.core.results import Instance

__all__ = ["Arrival"]

_HEAD: Final = 1 << 16
_PIECE: Final = 1 << 20
_WHAT: Final = "what the server sent"


@dataclass(frozen=True, slots=True)
class Arrival:
    """
    How files are taken.

    Attributes
    ----------
    folder : Path
    is_wanted : callable
        Whether to keep an instance.
    limit : int
        The most bytes that are taken of one.
    overwrite : bool
        Replace a file that has other contents.
    """

    folder: Path
    is_wanted: Callable[[Identity], bool]
    limit: int
    overwrite: bool = False

    def kept(self, pieces: Iterator[bytes], size: int | None = None) -> Instance | None:
        """
        Write a DICOM file as it arrives, byte for byte, and return it when it is whole.

        Parameters
        ----------
        pieces : iterator of bytes
            Of the file; what it raises is raised here, and leaves nothing in the folder.
        size : int, optional
            How many bytes it has, as the server says.

        Returns
        -------
        Instance or None
            None for one that is not wanted.

        Raises
        ------
        FormatError
            It is no DICOM file, or has another size than the server says.
        TransportError
            It is larger than the limit.
        WriteError
            There is a file of its name with other contents.
        """
        head = bytearray()
        for piece in pieces:
            head += piece
            if len(head) >= _HEAD:
                break
        try:
            identity = identify(BytesIO(head), _WHAT)
            is_known = bool(identity.study and identity.series)
        except FormatError:
            is_known = False
        if not is_known:
            return self._later(bytes(head), pieces, size)
        if not self.is_wanted(identity):
            return None
        with self._incoming(identity, bytes(head[: identity.offset])) as incoming:
            incoming.write(memoryview(head)[identity.offset :])
            arrived = len(head)
            for piece in pieces:
                arrived += len(piece)
                incoming.write(piece)
            _check(arrived, size)
            return incoming.finish()

    def _later(self, head: bytes, pieces: Iterator[bytes], size: int | None) -> Instance | None:
        """Keep a file whose beginning alone does not say who it is, such as a deflated one."""
        with _aside(self.folder) as file:
            arrived = file.write(head)
            for piece in pieces:
                arrived += file.write(piece)
                if arrived > self.limit:
                    raise TransportError(f"an instance has more than {self.limit} bytes: not taken")
            _check(arrived, size)
            identity = identify(file, _WHAT)
            if not self.is_wanted(identity):
                return None
            file.seek(0)
            with self._incoming(identity, file.read(identity.offset)) as incoming:
                while data := file.read(_PIECE):
                    incoming.write(data)
                return incoming.finish()

    def _incoming(self, identity: Identity, header: bytes) -> Incoming:
        return Incoming(
            self.folder,
            identity.uid,
            identity.sop_class,
            identity.syntax,
            self.limit,
            overwrite=self.overwrite,
            study=identity.study,
            series=identity.series,
            header=header,
        )


def _check(arrived: int, size: int | None) -> None:
    if size is not None and arrived != size:
        raise FormatError(f"an instance arrived with {arrived} bytes of {size}")


@contextlib.contextmanager
def _aside(folder: Path) -> Iterator[BinaryIO]:
    part = folder / f".{os.getpid()}-{uuid.uuid4().hex}.part"
    try:
        with part.open("xb+") as file:
            yield file
    finally:
        part.unlink(missing_ok=True)
