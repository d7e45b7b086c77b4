"""
Copies of whole native images, made of the bytes of their sources.

Only the identity of an instance, its number and the attributes that the caller gives are encoded; all
else is copied as it stands. Whatever is unusual, in the file or in what is wanted, is left to pydicom.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final, NoReturn

from imagedata_xr.formats.dicom.write.encode import (
    encoded_element,
    encoded_text,
    file_meta,
    pixel_head,
)
from imagedata_xr.formats.dicom.write.keywords import needs_unicode
from imagedata_xr.formats.dicom.write.multiframe import is_segmentation
from imagedata_xr.formats.dicom.write.outline import Outlines
from imagedata_xr.formats.dicom.write.source_headers import cut_of
from imagedata_xr.geometry import POSITION_TOLERANCE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pydicom import DataElement

    from imagedata_xr.formats.dicom.write.layout import Layout
    from imagedata_xr.formats.dicom.write.outline import Outline
    from imagedata_xr.frames import Frame

__all__ = ["Original", "Patches", "UnusualError", "write_file"]

_EXPLICIT: Final = "1.2.840.10008.1.2.1"
_IMPLICIT: Final = "1.2.840.10008.1.2"
_META: Final = b"DICM\x02\x00\x00\x00UL\x04\x00"
_META_LENGTH: Final = slice(140, 144)
_PIXELS: Final = b"\xe0\x7f\x10\x00"
_CHARACTER_SET, _CLASS, _INSTANCE = 0x00080005, 0x00080016, 0x00080018
_PATIENT, _STUDY, _SERIES, _NUMBER = 0x00100020, 0x0020000D, 0x0020000E, 0x00200013


class UnusualError(Exception):
    """A header has to be changed in a way that bytes alone do not allow."""


class Original:
    """
    A header as others would change it: it can be looked at, and refuses every change.

    Parameters
    ----------
    frame : Frame
        The only one of its instance.
    """

    __slots__ = ("_frame",)
    _frame: Frame

    def __init__(self, frame: Frame) -> None:
        object.__setattr__(self, "_frame", frame)

    def get(self, keyword: str, default: Any = None) -> Any:
        """Return the value of an element, as `pydicom.Dataset` does."""
        return self._frame.values.get(keyword, default)

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise UnusualError

    __setattr__ = __delattr__ = __contains__ = __iter__ = __getitem__ = __delitem__ = _refuse
    add = add_new = pop = keys = private_block = remove_private_tags = _refuse


class Patches:
    """
    Makes the bytes of copies.

    Parameters
    ----------
    layout : Layout
    extra : sequence of DataElement
        Attributes for all files; None leaves one out.
    """

    def __init__(self, layout: Layout, extra: Sequence[DataElement]) -> None:
        self.layout = layout
        self.extra = tuple(extra)
        tags = {int(element.tag) for element in extra}
        identity = {_PATIENT, _STUDY, _CHARACTER_SET}
        self.is_plain = not needs_unicode(list(extra)) and not tags & identity
        self._encoded: dict[bool, dict[int, bytes]] = {}
        self._outlines = Outlines()
        self._alike: set[Any] = set()
        self._origins = None if layout.grid is None else layout.grid.slice_origins()

    def data_of(self, frame: Frame, place: int) -> bytes | None:
        """
        Return the file of a frame up to the end of its pixels, None where it cannot be patched.

        Parameters
        ----------
        frame : Frame
        place : int
            Slice of the array, where the frame must lie as a whole.
        """
        ref, form = frame.ref, frame.ref.format
        unusual = (
            not self.is_plain
            or ref.tile is not None
            or form.frames > 1
            or form.real
            or form.bits_allocated < 8
            or form.syntax not in (_EXPLICIT, _IMPLICIT)
            or not ref.length
            or ref.offset is None
            or is_segmentation(frame.values)
        )
        if unusual or not self._lies(frame, place) or ref.offset is None:
            return None
        data = ref.source.read(0, ref.offset + ref.length)
        return data if len(data) == ref.offset + ref.length else None

    def _lies(self, frame: Frame, place: int) -> bool:
        """Tell whether a slice of the array is the frame, all of it."""
        kind = (frame.orientation, frame.spacing, frame.shape)
        if self._origins is not None and kind in self._alike and frame.position is not None:
            assert frame.spacing is not None
            tolerance = 0.1 * min(POSITION_TOLERANCE, 0.1 * min(frame.spacing))
            pairs = zip(self._origins[place].tolist(), frame.position, strict=True)
            if all(abs(one - other) <= tolerance for one, other in pairs):
                return True
        cut = cut_of(frame, self.layout, place)
        if cut is None or not cut.whole:
            return False
        self._alike.add(kind)
        return True

    def outline(self, data: bytes, frame: Frame) -> Outline | None:
        """Return where the elements are, None where the file is not as most files are."""
        explicit = frame.ref.format.syntax == _EXPLICIT
        assert frame.ref.offset is not None
        end = frame.ref.offset - (12 if explicit else 8)
        start = 144 + int.from_bytes(data[_META_LENGTH], "little")
        usual = (
            data[128:140] == _META
            and data[end : end + 4] == _PIXELS
            and (not explicit or data[end + 4 : end + 8] in (b"OW\0\0", b"OB\0\0"))
            and start < end
            and data[start : start + 2] != b"\x02\x00"
        )
        return self._outlines.of(data, start, end, explicit=explicit) if usual else None

    def identity(self, data: bytes, outline: Outline) -> tuple[bytes, ...]:
        """Return the bytes that say whose image it is."""
        return tuple(_piece(data, outline, tag) for tag in (_CHARACTER_SET, _PATIENT, _STUDY))

    def _given(self, *, explicit: bool) -> dict[int, bytes]:
        if explicit not in self._encoded:
            self._encoded[explicit] = {
                int(one.tag): b"" if one.value is None else encoded_element(one, explicit=explicit)
                for one in self.extra
            }
        return self._encoded[explicit]

    def parts(
        self,
        data: bytes,
        outline: Outline,
        frame: Frame,
        new: tuple[str, str, int] | None,
    ) -> list[bytes | memoryview]:
        """
        Return the bytes of a copy, to be written one after the other.

        Parameters
        ----------
        data : bytes
            Of the source.
        outline : Outline
        frame : Frame
        new : tuple or None
            SOP and Series Instance UID and Instance Number; None for those of the source.
        """
        explicit = outline.explicit
        changed: dict[int, bytes] = {tag: b"" for tag in outline.tags if not tag & 0xFFFF}
        if new is not None:
            instance, series, number = new
            changed[_INSTANCE] = encoded_text(_INSTANCE, "UI", instance, explicit=explicit)
            changed[_SERIES] = encoded_text(_SERIES, "UI", series, explicit=explicit)
            changed[_NUMBER] = encoded_text(_NUMBER, "IS", str(number), explicit=explicit)
        changed |= self._given(explicit=explicit)
        header = _patched(data, outline, changed)
        kind = changed[_CLASS] if _CLASS in changed else _piece(data, outline, _CLASS)
        name = changed.get(_INSTANCE) or _piece(data, outline, _INSTANCE)
        length, offset = frame.ref.length, frame.ref.offset
        head = pixel_head(
            length + length % 2, cell=frame.ref.format.bits_allocated, explicit=explicit
        )
        meta = file_meta(_text(kind), _text(name), frame.ref.format.syntax)
        pixels = memoryview(data)[offset:]
        return [b"".join((meta, *header, head)), pixels, *([b"\0"] if length % 2 else [])]


def _piece(data: bytes, outline: Outline, tag: int) -> bytes:
    place = outline.places.get(tag)
    return b"" if place is None else data[place[0] : place[2]]


def _text(piece: bytes) -> str:
    """Return the value of a short element with a UID."""
    return piece[8:].decode("ascii").strip("\0 ")


def _patched(data: bytes, outline: Outline, changed: dict[int, bytes]) -> list[bytes]:
    found, at = [], outline.start
    for tag in sorted(changed):
        begin, end = outline.place(tag)
        found += [data[at:begin], changed[tag]]
        at = end
    return [*found, data[at : outline.end]]


def write_file(path: Path, parts: Sequence[bytes | memoryview]) -> None:
    """Write a new file in one call of the operating system, as far as this takes all."""
    descriptor = os.open(
        path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666
    )
    try:
        done = os.writev(descriptor, parts) if hasattr(os, "writev") else 0
        if done < sum(map(len, parts)):
            rest = memoryview(b"".join(parts))[done:]
            while rest:
                rest = rest[os.write(descriptor, rest) :]
    finally:
        os.close(descriptor)
