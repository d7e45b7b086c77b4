"""DICOM files as transports see them: who they are, and where their data set begins."""

from __future__ import annotations

import hashlib
import struct
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from imagedata_xr.errors import FormatError

if TYPE_CHECKING:
    from typing import BinaryIO

__all__ = ["Identity", "file_header", "identify", "is_encoded_as", "is_uid", "safe_name"]

_CHUNK: Final = 1 << 16
_LONG_VRS: Final = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
_SHORT_VRS: Final = frozenset(
    b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split()
)
_IMPLICIT: Final = "1.2.840.10008.1.2"
_DEFLATED: Final = "1.2.840.10008.1.2.1.99"
_NOT_LITTLE: Final = frozenset(("1.2.840.10008.1.2.2", _DEFLATED))
_UNDEFINED: Final = 0xFFFFFFFF
_WANTED: Final = {
    0x00080016: "sop_class",
    0x00080018: "uid",
    0x0020000D: "study",
    0x0020000E: "series",
}
_LAST: Final = 0x0020000E
_DIGITS: Final = frozenset("0123456789.")
_IMPLEMENTATION: Final = "2.25.302116549073241325706021187430225512633"


@dataclass(frozen=True, slots=True)
class Identity:
    """
    What a file must say of itself before it can be sent.

    Attributes
    ----------
    sop_class, uid : str
        SOP Class and Instance UID of the data set (not of the file meta information, which may
        be stale).
    syntax : str
        Transfer Syntax UID.
    offset : int
        Where the data set begins.
    study, series : str
        UIDs.
    """

    sop_class: str
    uid: str
    syntax: str
    offset: int
    study: str = ""
    series: str = ""


def is_uid(text: str) -> bool:
    """Tell whether a text can be a UID (PS3.5 section 9): digits and dots, at most 64."""
    return 0 < len(text) <= 64 and _DIGITS.issuperset(text) and not text.startswith(".")


def safe_name(uid: str) -> str:
    """Return a file name for a UID that a server sent; anything else than a UID is hashed."""
    return uid if is_uid(uid) else hashlib.sha256(uid.encode("utf-8", "replace")).hexdigest()


def identify(file: BinaryIO, name: str) -> Identity:
    """
    Read who an instance is.

    Parameters
    ----------
    file : binary file
        Of a DICOM file (PS3.10 chapter 7).
    name : str
        For the message.

    Raises
    ------
    FormatError
        It is not a DICOM file, or lacks a UID.
    """
    file.seek(0)
    data = file.read(_CHUNK)
    found = None
    if data[128:132] == b"DICM":
        try:
            found = _walked(data)
        except (struct.error, UnicodeDecodeError):
            found = None
    if found is None:
        found = _through_pydicom(file, name)
    if not (is_uid(found.uid) and is_uid(found.sop_class) and is_uid(found.syntax)):
        raise FormatError(f"{name}: has no valid SOP Class, SOP Instance and Transfer Syntax UID")
    return found


def _walked(data: bytes) -> Identity | None:
    """Return what plain elements say; None where they are not plain."""
    meta, start = _elements(data, 132, implicit=False, last=0x0002FFFF, wanted={0x00020010: "s"})
    syntax = meta.get("s", "")
    if not syntax or syntax in _NOT_LITTLE:
        return None
    values, end = _elements(data, start, implicit=syntax == _IMPLICIT, last=_LAST, wanted=_WANTED)
    if "uid" not in values or "sop_class" not in values:
        return None
    if len(data) == _CHUNK and end + 8 > _CHUNK:
        # What is far behind, such as study and series after much private data, was not seen.
        return None
    return Identity(syntax=syntax, offset=start, **values)


def _elements(
    data: bytes, at: int, *, implicit: bool, last: int, wanted: dict[int, str]
) -> tuple[dict[str, str], int]:
    """Return the wanted values up to a tag, and where the first element behind it is."""
    values: dict[str, str] = {}
    while at + 8 <= len(data):
        group, element = struct.unpack_from("<HH", data, at)
        tag = group << 16 | element
        if tag > last:
            break
        begin, length = _value(data, at, implicit=implicit)
        if length == _UNDEFINED:
            raise struct.error("a sequence of undefined length is not plain")
        if tag in wanted:
            values[wanted[tag]] = data[begin : begin + length].decode("ascii").strip("\0 ")
        at = begin + length
    return values, at


def _value(data: bytes, at: int, *, implicit: bool) -> tuple[int, int]:
    """Return where the value of an element is, and its length (PS3.5 section 7.1)."""
    if implicit:
        return at + 8, int(struct.unpack_from("<I", data, at + 4)[0])
    vr = data[at + 4 : at + 6]
    if vr in _SHORT_VRS:
        return at + 8, int(struct.unpack_from("<H", data, at + 6)[0])
    if vr in _LONG_VRS:
        return at + 12, int(struct.unpack_from("<I", data, at + 8)[0])
    raise struct.error("no VR")


def is_encoded_as(syntax: str, start: bytes) -> bool:
    """
    Tell whether the start of a data set has a value representation if, and only if, it must.

    Parameters
    ----------
    syntax : str
        Transfer Syntax UID.
    start : bytes
        The first 6 bytes of the data set.
    """
    if syntax == _DEFLATED:
        return True
    return (start[4:6] in _SHORT_VRS | _LONG_VRS) == (syntax != _IMPLICIT)


def _through_pydicom(file: BinaryIO, name: str) -> Identity:
    from pydicom import dcmread
    from pydicom.filereader import read_preamble
    from pydicom.tag import Tag

    try:
        file.seek(0)
        with warnings.catch_warnings():
            # Only who the instance is matters here, not whether its header is well made.
            warnings.simplefilter("ignore")
            dataset = dcmread(
                file, stop_before_pixels=True, specific_tags=[Tag(tag) for tag in _WANTED]
            )
        syntax = str(dataset.file_meta.get("TransferSyntaxUID", ""))
        values = {_WANTED[int(e.tag)]: str(e.value or "") for e in dataset if int(e.tag) in _WANTED}
        file.seek(0)
        read_preamble(file, force=False)
        offset = _after_meta(file)
    except Exception as error:  # noqa: BLE001 - pydicom raises whatever damaged files lead to
        kind = type(error).__name__
        raise FormatError(f"{name}: is no DICOM file that can be sent ({kind})") from None
    return Identity(
        sop_class=values.get("sop_class", ""),
        uid=values.get("uid", ""),
        syntax=syntax,
        offset=offset,
        study=values.get("study", ""),
        series=values.get("series", ""),
    )


def _after_meta(file: BinaryIO) -> int:
    """Return where the last element of group 0002 ends, whatever its length element says."""
    while True:
        here = file.tell()
        head = file.read(12)
        if len(head) < 8 or head[:2] != b"\2\0":
            return here
        begin, length = _value(head.ljust(12, b"\0"), 0, implicit=False)
        file.seek(here + begin + length)


def file_header(sop_class: str, uid: str, syntax: str) -> bytes:
    """
    Return the preamble and the file meta information of a DICOM file (PS3.10 section 7.1).

    Parameters
    ----------
    sop_class, uid, syntax : str
        UIDs.
    """
    elements = b"".join(
        (
            b"\2\0\1\0OB\0\0\2\0\0\0\0\1",
            _ui(0x0002, sop_class),
            _ui(0x0003, uid),
            _ui(0x0010, syntax),
            _ui(0x0012, _IMPLEMENTATION),
        )
    )
    length = struct.pack("<HH2sHI", 2, 0, b"UL", 4, len(elements))
    return b"\0" * 128 + b"DICM" + length + elements


def _ui(element: int, uid: str) -> bytes:
    value = uid.encode("ascii")
    value += b"\0" * (len(value) % 2)
    return struct.pack("<HH2sH", 2, element, b"UI", len(value)) + value
