"""The slow way: whatever the walk does not understand is read by pydicom, to the same header."""

from __future__ import annotations

import array
import warnings
import zlib
from typing import TYPE_CHECKING, Any

from pydicom.dataelem import RawDataElement
from pydicom.filereader import read_partial

from imagedata_xr.errors import FormatError, SourceError
from imagedata_xr.formats.dicom.headers.dictionary import (
    LONG_VRS,
    PIXEL_TAGS,
    SHORT_VRS,
    SIMPLE_VRS,
    code_of,
    known_private_vr,
    known_vr,
)
from imagedata_xr.formats.dicom.headers.walk import KEPT_VRS, LARGE, UNDEFINED, Found
from imagedata_xr.options import limits

if TYPE_CHECKING:
    from typing import BinaryIO

    from imagedata_xr.formats.dicom.headers.private import PrivateElement
    from imagedata_xr.frames import Source

__all__ = ["read_with_pydicom"]

_IMPLICIT, _EXPLICIT, _BIG_ENDIAN, _DEFLATED = (
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.2",
    "1.2.840.10008.1.2.1.99",
)
_CELL = {"US": 2, "SS": 2, "AT": 2, "UL": 4, "SL": 4, "FL": 4, "FD": 8, "UV": 8, "SV": 8}
_CELL |= {"US or SS": 2}
_LONGEST_UNKNOWN = 0xFFFF
_VRS = SHORT_VRS | LONG_VRS
# Deflate packs at most 258 bytes into two bits.
_LARGEST_RATIO, _CHUNK = 1032, 1 << 20


class _Clipped:
    """A file that is never asked for more than it has: damaged lengths would take the memory."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        self._name = name
        self._size = file.seek(0, 2)
        self.cut = False
        self.tell = file.tell
        self.seek = file.seek
        file.seek(0)

    def read(self, count: int = -1) -> bytes:
        left = max(self._size - self._file.tell(), 0)
        data = self._file.read(left if count < 0 else min(count, left))
        if count < 0:
            # Nothing but a deflated data set is read to the end.
            _check_deflated(data, self._name)
        if count == 8 and 0 < len(data) < 8 and data.strip(b"\0"):
            # Eight bytes are what every element begins with.
            self.cut = True
        return data


def _check_deflated(packed: bytes, name: str) -> None:
    """Raise where a data set inflates to more than the limits allow, before it is kept."""
    now = limits()
    most = max(now.archive_ratio_free_bytes, now.archive_ratio * len(packed))
    if len(packed) * _LARGEST_RATIO <= most:
        return
    stream, count = zlib.decompressobj(-zlib.MAX_WBITS), 0
    try:
        while not stream.eof and (part := stream.decompress(packed, _CHUNK)):
            packed, count = stream.unconsumed_tail, count + len(part)
            if count > most:
                raise FormatError(
                    f"{name}: the deflated data set inflates to more than {most} bytes: "
                    "if this is right, allow it by set_options(archive_ratio=1032)"
                )
    except zlib.error:
        # pydicom says what is wrong with it.
        return


class _Stop:
    """Stops at the pixels, and remembers where they are."""

    def __init__(self, file: _Clipped) -> None:
        self._file = file
        self.tag: int | None = None
        self.offset = self.length = 0

    def __call__(self, tag: int, vr: str | None, length: int) -> bool:
        del vr
        if tag not in PIXEL_TAGS:
            return False
        self.tag, self.offset, self.length = int(tag), self._file.tell(), length
        return True


def read_with_pydicom(
    source: Source, pool: dict[Any, Any], wanted: frozenset[PrivateElement]
) -> tuple[Found, str, bool]:
    """
    Read a header by pydicom.

    Parameters
    ----------
    source : Source
    pool : dict
        Of equal values.
    wanted : frozenset of tuple
        The private elements to keep.

    Returns
    -------
    Found
        As if a walk had found it.
    str
        Transfer Syntax UID.
    bool
        Whether the file is in little endian.

    Raises
    ------
    FormatError
        The file is truncated or damaged.
    SourceError
        It cannot be read.
    """
    with source.open() as opened, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        file = _Clipped(opened, source.name)
        stop = _Stop(file)
        try:
            dataset: Any = read_partial(file, stop_when=stop, force=True)  # type: ignore[arg-type]
            elements = sorted(dataset.elements(), key=lambda element: int(element.tag))
            implicit, little = dataset.original_encoding
            syntax = str(dataset.file_meta.get("TransferSyntaxUID") or "").strip(" \0")
        except (SourceError, FormatError):
            raise
        except Exception as error:
            raise FormatError(f"{source.name}: damaged DICOM file") from error
    if file.cut or any("End of input" in str(warning.message) for warning in caught):
        raise _truncated(source)
    if not elements and stop.tag is None:
        raise FormatError(f"{source.name}: a DICOM file without a data set, or truncated")
    found = Found(pool, wanted)
    for element in elements:
        _keep(element, found, source, in_file=syntax != _DEFLATED)
    if stop.tag is not None:
        found.pixel_tag = stop.tag
        found.pixel_length = -1 if stop.length == UNDEFINED else stop.length
        found.offset = stop.offset if little and syntax != _DEFLATED else None
    return found, syntax or _syntax(implicit=implicit, little=little), bool(little)


def _syntax(*, implicit: bool, little: bool) -> str:
    if not little:
        return _BIG_ENDIAN
    return _IMPLICIT if implicit else _EXPLICIT


def _truncated(source: Source) -> FormatError:
    return FormatError(f"{source.name}: truncated: the file ends inside its DICOM header")


def _keep(element: Any, found: Found, source: Source, *, in_file: bool) -> None:
    tag = int(element.tag)
    if not isinstance(element, RawDataElement):
        if element.VR == "SQ":
            found.others.append(tag)
            return
        element = _raw_again(element)
    value = bytes(element.value or b"")
    if element.length not in (UNDEFINED, len(value)):
        raise _truncated(source)
    vr = _private_vr(element, found) if tag >> 16 & 1 else _public_vr(element, found)
    if vr is None:
        return
    if tag >> 16 & 1 and len(value) > LARGE and in_file and element.is_little_endian:
        found.located[tag] = (element.value_tell, len(value))
        return
    if not element.is_little_endian:
        value = _swapped(value, _CELL.get(vr, 1))
    if tag >> 16 & 1 and 0x10 <= tag & 0xFFFF <= 0xFF:
        found.reserve(tag, value)
    found.elements[tag] = found.pool.setdefault(value, value)


def _raw_again(element: Any) -> RawDataElement:
    """Undo pydicom's decoding of what it needs as it reads: empty values, text, whole numbers."""
    values = [] if element.is_empty else element.value
    if isinstance(values, int):
        values = [values]
    cell = _CELL.get(element.VR)
    if cell and values and all(isinstance(one, int) for one in values):
        signed = element.VR in ("SS", "SL", "SV")
        raw = b"".join(one.to_bytes(cell, "little", signed=signed) for one in values)
        return RawDataElement(element.tag, element.VR, len(raw), raw, 0, False, True)  # noqa: FBT003
    text = values if isinstance(values, str) else "\\".join(map(str, values))
    value = text.encode("latin-1", "replace")
    return RawDataElement(element.tag, element.VR, len(value), value, 0, False, True)  # noqa: FBT003


def _public_vr(element: Any, found: Found) -> str | None:
    """Return the VR under which a public element is kept, None if it is not."""
    tag, vr = int(element.tag), element.VR
    expected = known_vr(tag)
    if expected is None:
        if vr == "SQ":
            found.others.append(tag)
        return None
    unknown = vr == "UN" and element.length < _LONGEST_UNKNOWN
    if vr is None or (unknown and expected in KEPT_VRS):
        vr = expected
    elif vr in SIMPLE_VRS and vr != expected:
        found.vrs[tag] = code_of(vr)
    if vr in KEPT_VRS:
        return str(vr)
    found.others.append(tag)
    return None


def _private_vr(element: Any, found: Found) -> str | None:
    """Return the VR under which a private element is kept, None if it is not."""
    tag, vr = int(element.tag), element.VR
    if 0x10 <= tag & 0xFFFF <= 0xFF:
        return "LO"
    if vr == "SQ":
        found.others.append(tag)
        return None
    if tag not in found.private.values():
        return None
    if vr in _VRS:
        found.vrs[tag] = code_of(vr)
    if vr not in _VRS or vr == "UN":
        block = tag & 0xFFFF0000 | tag >> 8 & 0xFF
        names = [name for reserved, name in found.creators if reserved == block]
        vr = known_private_vr(tag, names[-1]) if names else None
    return str(vr or "UN")


def _swapped(value: bytes, size: int) -> bytes:
    whole = len(value) - len(value) % size
    if size == 1 or not whole:
        return value
    cells = array.array({2: "H", 4: "I", 8: "Q"}[size], value[:whole])
    cells.byteswap()
    return cells.tobytes() + value[whole:]
