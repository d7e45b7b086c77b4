"""Single data elements and file meta information as bytes (PS3.5 chapter 7, PS3.10 7.1)."""

from __future__ import annotations

import struct
from typing import Any, Final

from pydicom import uid
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element

__all__ = ["encoded_element", "encoded_text", "file_meta", "pixel_head"]

IMPLEMENTATION: Final = "IMAGEDATA_XR"


def encoded_text(tag: int, vr: str, text: str, *, explicit: bool = True) -> bytes:
    """
    Return an element with a short ASCII text.

    Parameters
    ----------
    tag : int
    vr : str
        One whose length has two bytes.
    text : str
    explicit : bool
        Explicit VR, else implicit.
    """
    raw = text.encode("ascii")
    raw += (b"\0" if vr == "UI" else b" ") * (len(raw) % 2)
    group, element = tag >> 16, tag & 0xFFFF
    if explicit:
        return struct.pack("<HH2sH", group, element, vr.encode(), len(raw)) + raw
    return struct.pack("<HHI", group, element, len(raw)) + raw


def encoded_element(element: Any, *, explicit: bool) -> bytes:
    """
    Return an element as pydicom writes it.

    Parameters
    ----------
    element : pydicom.DataElement
        With ASCII texts.
    explicit : bool
        Explicit VR, else implicit.
    """
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = not explicit, True
    write_data_element(buffer, element, "iso8859")
    return bytes(buffer.getvalue())


def file_meta(sop_class: str, instance: str, syntax: str) -> bytes:
    """Return preamble, prefix and file meta information of a file (PS3.10 7.1)."""
    elements = (
        struct.pack("<HH2sxxI", 2, 1, b"OB", 2) + b"\0\1",
        encoded_text(0x00020002, "UI", sop_class),
        encoded_text(0x00020003, "UI", instance),
        encoded_text(0x00020010, "UI", syntax),
        encoded_text(0x00020012, "UI", str(uid.PYDICOM_IMPLEMENTATION_UID)),
        encoded_text(0x00020013, "SH", IMPLEMENTATION),
    )
    length = sum(map(len, elements))
    group = struct.pack("<HH2sHI", 2, 0, b"UL", 4, length)
    return b"".join((b"\0" * 128, b"DICM", group, *elements))


def pixel_head(length: int, *, cell: int, explicit: bool) -> bytes:
    """
    Return what stands before the bytes of native Pixel Data.

    Parameters
    ----------
    length : int
        In bytes, even.
    cell : int
        Bits Allocated.
    explicit : bool
    """
    if not explicit:
        return struct.pack("<HHI", 0x7FE0, 0x0010, length)
    return struct.pack("<HH2sxxI", 0x7FE0, 0x0010, b"OB" if cell <= 8 else b"OW", length)
