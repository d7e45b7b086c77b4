"""The header of one DICOM file: raw values by tag, decoded when asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from imagedata_xr.errors import FormatError, SourceError
from imagedata_xr.formats.dicom.headers.decode import UndecodableError, decode, is_blank
from imagedata_xr.formats.dicom.headers.dictionary import (
    KEYWORD_OF,
    SIMPLE_VRS,
    TAG_OF,
    known_private_vr,
    known_vr,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imagedata_xr.frames import Source, Value

__all__ = ["Header", "HeaderValues"]

_CHARACTER_SET, _PIXEL_REPRESENTATION = 0x00080005, 0x00280103


@dataclass(slots=True, eq=False, kw_only=True)
class Header:
    """
    The top level of a DICOM data set, without its pixels. Not to be changed.

    Attributes
    ----------
    source : Source
        The file.
    elements : dict of int to bytes
        Raw values in little endian by tag (``group << 16 | element``): the public elements of
        text and number VRs that PS3.6 knows, the private creators, and the private elements
        wanted.
    vrs : mapping of int to str
        Value representations as the file says them, where they differ from the dictionary's or
        where this is ambiguous, and those of private elements.
    transfer_syntax : str
        Transfer Syntax UID; the one that the bytes have where the file does not say.
    pixel_tag : int or None
        7FE00010, or 7FE00008 for float and 7FE00009 for double pixels.
    pixel_offset : int or None
        Where the value of the pixel element begins in the file; None where no such place means
        anything (deflated or big-endian data sets).
    pixel_length : int
        Its length in bytes; -1 for encapsulated pixels of undefined length.
    is_little_endian : bool
        Byte order of the file; `elements` are in little endian always.
    from_pydicom : bool
        Whether pydicom had to read it.
    others : tuple of int
        Tags of the top-level elements not in `elements`: sequences and binary values.
    creators : tuple of tuple
        Tag and name of the private creators.
    located : mapping of int to tuple of int
        Offset and length in the file of private elements too large to keep.
    """

    source: Source
    elements: dict[int, bytes]
    transfer_syntax: str
    vrs: Mapping[int, str] = field(default_factory=dict)
    pixel_tag: int | None = None
    pixel_offset: int | None = None
    pixel_length: int = 0
    is_little_endian: bool = True
    from_pydicom: bool = False
    others: tuple[int, ...] = ()
    creators: tuple[tuple[int, str], ...] = ()
    located: Mapping[int, tuple[int, int]] = field(default_factory=dict)

    def get(self, attribute: str | int) -> Value:
        """
        Return the value of an element.

        Parameters
        ----------
        attribute : str or int
            DICOM keyword or tag.

        Returns
        -------
        str, int, float, tuple of these, or None
            None where the element is missing, empty, a sequence or binary.

        Raises
        ------
        FormatError
            The value is no such number as its VR says (PS3.5 section 6.2).
        """
        tag = TAG_OF.get(attribute) if isinstance(attribute, str) else attribute
        raw = self.elements.get(tag) if tag is not None else None
        return self.decode(tag, raw) if raw and tag is not None else None

    def has(self, attribute: str | int) -> bool:
        """Tell whether the data set has an element, sequences and empty elements included."""
        tag = TAG_OF.get(attribute) if isinstance(attribute, str) else attribute
        return (
            tag in self.elements
            or tag in self.others
            or tag in self.located
            or (tag is not None and tag == self.pixel_tag)
        )

    def vr(self, tag: int) -> str | None:
        """Return the value representation of an element, None where nobody knows it."""
        vr = self.vrs.get(tag)
        if tag >> 16 & 1:
            return self._vr_of_private(tag, vr)
        if vr is None:
            vr = known_vr(tag)
        if vr == "US or SS":
            # PS3.5 annex A.1: the sign is that of the pixels.
            signed = self.elements.get(_PIXEL_REPRESENTATION, b"")[:1] == b"\1"
            return "SS" if signed else "US"
        return vr

    def decode(self, tag: int, raw: bytes) -> Value:
        """
        Return what a raw value means under a tag of this header.

        Raises
        ------
        FormatError
            It is no such number as the tag's VR says.
        """
        vr = self.vrs.get(tag) or known_vr(tag)
        if vr not in SIMPLE_VRS:
            vr = self.vr(tag)
        try:
            return decode(vr or "UN", raw, self.elements.get(_CHARACTER_SET, b""))
        except UndecodableError as error:
            name = KEYWORD_OF.get(tag, f"({tag >> 16:04X},{tag & 0xFFFF:04X})")
            raise FormatError(f"{self.source.name}: {name} is {error}") from error

    def keywords(self) -> Iterator[str]:
        """Iterate over the keywords of the public elements that have a value."""
        for tag, raw in self.elements.items():
            keyword = KEYWORD_OF.get(tag)
            if keyword is not None and raw and not is_blank(self.vr(tag) or "UN", raw):
                yield keyword

    def private(self, group: int, creator: str, low: int) -> bytes | None:
        """
        Return the raw value of a private element (PS3.5 section 7.8.1).

        Parameters
        ----------
        group : int
        creator : str
            Private creator, compared exactly after stripping spaces.
        low : int
            Low byte of the element number.

        Raises
        ------
        SourceError
            A large value stayed in the file, which cannot be read any more.
        """
        tag = self._private_tag(group, creator, low)
        if tag is None:
            return None
        if tag in self.located:
            offset, length = self.located[tag]
            return self.source.read(offset, length)
        return self.elements[tag]

    def private_vr(self, group: int, creator: str, low: int) -> str | None:
        """Return the VR of a private element: the file's, or that of pydicom's dictionary."""
        tag = self._private_tag(group, creator, low)
        return None if tag is None else self.vr(tag)

    def dataset(self) -> Any:
        """
        Read the full data set, sequences and all private elements included, without the pixels.

        Returns
        -------
        pydicom.dataset.FileDataset

        Raises
        ------
        FormatError
            pydicom cannot read it.
        SourceError
            The file is gone.
        """
        from pydicom import dcmread

        with self.source.open() as file:
            try:
                return dcmread(file, stop_before_pixels=True, force=True)
            except SourceError:
                raise
            except Exception as error:
                raise FormatError(f"{self.source.name}: cannot be read by pydicom") from error

    def _private_tag(self, group: int, creator: str, low: int) -> int | None:
        for reserved, name in self.creators:
            if reserved >> 16 == group and name == creator:
                tag = group << 16 | (reserved & 0xFF) << 8 | low
                if tag in self.elements or tag in self.located:
                    return tag
        return None

    def _vr_of_private(self, tag: int, vr: str | None) -> str | None:
        if 0x10 <= tag & 0xFFFF <= 0xFF:
            return "LO"
        if vr is not None and vr != "UN":
            return vr
        block = tag & 0xFFFF0000 | tag >> 8 & 0xFF
        for reserved, name in self.creators:
            if reserved == block:
                return known_private_vr(tag, name) or vr
        return vr


class HeaderValues(Mapping[str, "Value"]):
    """
    The values of a header by DICOM keyword, decoded when asked for.

    Parameters
    ----------
    header : Header
    """

    __slots__ = ("header",)

    def __init__(self, header: Header) -> None:
        self.header = header

    def __getitem__(self, keyword: str) -> Value:
        value = self.header.get(keyword)
        if value is None:
            raise KeyError(keyword)
        return value

    def get(self, keyword: str, default: Any = None) -> Any:
        """Return a value, or `default` where the header has none."""
        value = self.header.get(keyword)
        return default if value is None else value

    def __contains__(self, keyword: object) -> bool:
        tag = TAG_OF.get(keyword) if isinstance(keyword, str) else None
        raw = self.header.elements.get(tag) if tag is not None else None
        return raw is not None and not is_blank(self.header.vr(tag or 0) or "UN", raw)

    def __iter__(self) -> Iterator[str]:
        return self.header.keywords()

    def __len__(self) -> int:
        return sum(1 for _ in self.header.keywords())

    def dataset(self) -> Any:
        """Return the full pydicom Dataset, without the pixels."""
        return self.header.dataset()
