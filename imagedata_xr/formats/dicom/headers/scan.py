"""From sources to headers: one file, or many in one go."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, TypeAlias

from imagedata_xr.errors import ImagedataError
from imagedata_xr.formats.dicom.headers.datasets import walk_explicit, walk_implicit
from imagedata_xr.formats.dicom.headers.dictionary import VR_OF_CODE
from imagedata_xr.formats.dicom.headers.header import TAIL, Header
from imagedata_xr.formats.dicom.headers.layout import Layouts
from imagedata_xr.formats.dicom.headers.private import WANTED_PRIVATE
from imagedata_xr.formats.dicom.headers.recognise import file_meta, is_dicom
from imagedata_xr.formats.dicom.headers.shared import Shared
from imagedata_xr.formats.dicom.headers.through_pydicom import read_with_pydicom
from imagedata_xr.formats.dicom.headers.walk import Found, UnusualError, Window
from imagedata_xr.progress import track
from imagedata_xr.sources import LocalFile
from imagedata_xr.sources.ahead import ahead
from imagedata_xr.sources.files import READ_ONLY, source_error

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from imagedata_xr.formats.dicom.headers.private import PrivateElement
    from imagedata_xr.frames import Source

__all__ = ["read_header", "read_headers"]

_FIRST_READ, _SMALLEST_READ = 16384, 4096
# Longer headers have long private values in them, over which the walk seeks.
_LARGEST_READ = 1 << 16
_MARGIN = 512
# Files of more kinds than this are not of a few series.
_MOST_ALIKE = 256
_IMPLICIT = "1.2.840.10008.1.2"
_EXPLICIT_ROOT = "1.2.840.10008.1.2."
# Big endian, and data sets deflated as a whole (PS3.5 annex A).
_NOT_PLAIN = frozenset(_EXPLICIT_ROOT + tail for tail in ("2", "1.99", "4.95", "4.205"))


# The first bytes of a file, and its length where that came with them.
_Start: TypeAlias = "tuple[Source, bytes, int | None]"


def _start_of(source: LocalFile, length: int) -> _Start:
    try:
        descriptor = os.open(source.path, READ_ONLY)
        try:
            data = os.read(descriptor, length)
            status = os.fstat(descriptor)
        finally:
            os.close(descriptor)
    except (OSError, ValueError) as error:
        raise source_error(source.path, error) from error
    return source.stamped(status), data, status.st_size


class _Scan:
    """What the files of one scan have in common."""

    __slots__ = ("alike", "guess", "layouts", "pool", "wanted")

    def __init__(self, pool: dict[Any, Any], private: frozenset[PrivateElement]) -> None:
        self.pool = pool
        self.wanted = private
        self.guess = _FIRST_READ
        self.layouts = Layouts(pool)
        self.alike: dict[tuple[Any, ...], Shared] = {}

    def read(self, source: Source) -> Header | None:
        return self.take(self.fetch(source))

    def fetch(self, source: Source) -> _Start:
        """Read the first bytes of a file; may be called by several threads at once."""
        if type(source) is LocalFile:
            return _start_of(source, self.guess)
        return source, source.read(0, self.guess), None

    def try_fetch(self, source: Source) -> _Start | ImagedataError:
        """Read the first bytes of a file, or return what is wrong with it."""
        try:
            return self.fetch(source)
        except ImagedataError as error:
            return error

    def take(self, start: _Start) -> Header | None:
        """Return the header of a file whose first bytes were read; to be called in turn."""
        source, data, size = start
        header = self.layouts.read(source, data, size)
        if header is None:
            header = self._read(source, data, lambda: source.size if size is None else size)
            if header is not None:
                header.size = size
        return header

    def _read(
        self,
        source: Source,
        data: bytes,
        size: Callable[[], int],
    ) -> Header | None:
        if data[128:132] != b"DICM" and not is_dicom(data, size):
            return None
        start, syntax = file_meta(data)
        implicit = syntax == _IMPLICIT
        if implicit or (syntax.startswith(_EXPLICIT_ROOT) and syntax not in _NOT_PLAIN):
            found = Found(self.pool, self.wanted)
            window = Window(source.name, source.read, size, data)
            try:
                (walk_implicit if implicit else walk_explicit)(window, start, found)
                found.settle()
            except UnusualError:
                pass
            else:
                if found.offset is not None and found.offset < _LARGEST_READ:
                    self.guess = max(_SMALLEST_READ, found.offset + _MARGIN)
                header = self._header(source, found, syntax)
                if not implicit and window.base == 0:
                    self.layouts.learn(header, data, start)
                return header
        found, syntax, little = read_with_pydicom(source, self.pool, self.wanted)
        return self._header(source, found, syntax, little=little, from_pydicom=True)

    def _header(
        self,
        source: Source,
        found: Found,
        syntax: str,
        *,
        little: bool = True,
        from_pydicom: bool = False,
    ) -> Header:
        same = self.pool.setdefault
        vrs = tuple(found.vrs.items())
        others, creators = tuple(found.others), tuple(found.creators)
        plain = (syntax, found.pixel_tag, little, from_pydicom)
        key = (*plain, vrs, others, creators, tuple(found.located), tuple(found.elements))
        shared = self.alike.get(key)
        own = None if shared is None else shared.difference(found.elements)
        if shared is None or own is None:
            facts = (
                *plain,
                same(("vrs", vrs), {tag: VR_OF_CODE[code] for tag, code in vrs}),
                same(others, others),
                same(creators, creators),
            )
            shared, own = Shared(found.elements, facts), {}
            if len(self.alike) >= _MOST_ALIKE:
                self.alike.clear()
            self.alike[key] = shared
        shared.varying.update(own)
        located = found.located or same("located", {})
        return Header(source, shared, own, found.offset, found.pixel_length, located=located)


def read_header(
    source: Source,
    *,
    pool: dict[Any, Any] | None = None,
    private: frozenset[PrivateElement] = WANTED_PRIVATE,
) -> Header | None:
    """
    Read the header of one file.

    Parameters
    ----------
    source : Source
    pool : dict, optional
        Kept by the caller between files: equal values of all of them become one object.
    private : frozenset of tuple
        The private elements to keep: group, creator, low byte of the element.

    Returns
    -------
    Header or None
        None where the bytes are not DICOM. Files without preamble or file meta information are
        recognised by their first elements.

    Raises
    ------
    FormatError
        A DICOM file that is truncated in its header, or damaged.
    SourceError
        The file cannot be read.
    """
    return _Scan({} if pool is None else pool, private).read(source)


def read_headers(
    sources: Sequence[Source],
    *,
    progress: bool | None = None,
    private: frozenset[PrivateElement] = WANTED_PRIVATE,
    on_error: Callable[[Source, ImagedataError], None] | None = None,
) -> tuple[Header, ...]:
    """
    Read the headers of many files; those that are not DICOM are passed over.

    Parameters
    ----------
    sources : sequence of Source
    progress : bool or None
        Show a progress bar; None for one when a person is looking.
    private : frozenset of tuple
        The private elements to keep: group, creator, low byte of the element.
    on_error : callable, optional
        Is called with every file that cannot be read, and the error; the file is then passed
        over. Without it the error is raised.

    Raises
    ------
    FormatError
        A DICOM file that is truncated in its header, or damaged.
    SourceError
        A file cannot be read.
    """
    scan = _Scan({}, private)
    headers = []
    together = all(getattr(one, "in_parallel", False) for one in sources)
    starts = (ahead if together else map)(scan.try_fetch, sources)
    tracked = track(sources, "Reading headers", show=progress)
    for source, start in zip(tracked, starts, strict=True):
        try:
            if isinstance(start, ImagedataError):
                raise start
            header = scan.take(start)
        except ImagedataError as error:
            if on_error is None:
                raise
            on_error(source, error)
            continue
        if header is not None:
            headers.append(header)
    if together:
        _read_tails([header for header in headers if header.pixel_length < 0])
    return tuple(headers)


def _read_tails(headers: Sequence[Header]) -> None:
    """Read the ends of files with compressed pixels: whether these are whole is seen there."""

    def tail(header: Header) -> bytes | None:
        try:
            size = header.source.size if header.size is None else header.size
            return header.source.read(max(size - TAIL, 0), TAIL)
        except ImagedataError:
            # Said where it is asked for.
            return None

    for header, data in zip(headers, ahead(tail, headers), strict=True):
        header.tail = data
