"""The header of one DICOM file: raw values by tag, decoded when asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

from imagedata_xr.errors import FormatError, SourceError
from imagedata_xr.formats.dicom.headers.decode import UndecodableError, decode, is_blank
from imagedata_xr.formats.dicom.headers.dictionary import (
    KEYWORD_OF,
    SIMPLE_VRS,
    TAG_OF,
    known_private_vr,
    known_vr,
)
from imagedata_xr.formats.dicom.headers.shared import DECISIVE, Memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from imagedata_xr.formats.dicom.headers.shared import Shared
    from imagedata_xr.frames import Source, Value

__all__ = ["TAIL", "Header", "HeaderValues"]

TAIL: Final = 8
_CHARACTER_SET, _PIXEL_REPRESENTATION = DECISIVE
_NEW: Any = object()
_T = TypeVar("_T")


class Header:
    """
    The top level of a DICOM data set, without its pixels. Not to be changed.

    Parameters
    ----------
    source : Source
        The file.
    shared : Shared
        What it has in common with other files, and what it has not set itself.
    own : dict of int to bytes
        Raw values in little endian by tag (``group << 16 | element``), of elements that are in
        `shared` too, with the values of another file.
    pixel_offset : int or None
        Where the value of the pixel element begins in the file; None where no such place means
        anything (deflated or big-endian data sets).
    pixel_length : int
        Its length in bytes; -1 for encapsulated pixels of undefined length.
    located : mapping of int to tuple of int
        Offset and length in the file of private elements too large to keep.
    size : int or None
        Length of the file, bytes; None where it was not looked at.

    Attributes
    ----------
    tail : bytes or None
        The last `TAIL` bytes of the file, where they were read together with those of other files.
    """

    __slots__ = (
        "located",
        "own",
        "pixel_length",
        "pixel_offset",
        "shared",
        "size",
        "source",
        "tail",
    )

    def __init__(  # noqa: PLR0913 - one for each fact
        self,
        source: Source,
        shared: Shared,
        own: dict[int, bytes],
        pixel_offset: int | None,
        pixel_length: int,
        *,
        located: Mapping[int, tuple[int, int]],
        size: int | None = None,
    ) -> None:
        self.source = source
        self.shared = shared
        self.own = own
        self.pixel_offset = pixel_offset
        self.pixel_length = pixel_length
        self.located = located
        self.size = size
        self.tail: bytes | None = None

    @property
    def elements(self) -> dict[int, bytes]:
        """
        Raw values in little endian by tag.

        The public elements of text and number VRs that PS3.6 knows, the private creators, and the
        private elements wanted.
        """
        return self.shared.elements | self.own

    @property
    def transfer_syntax(self) -> str:
        """Transfer Syntax UID; the one that the bytes have where the file does not say."""
        return self.shared.transfer_syntax

    @property
    def vrs(self) -> Mapping[int, str]:
        """
        Value representations as the file says them.

        Where they differ from the dictionary's or where this is ambiguous, and those of private
        elements.
        """
        return self.shared.vrs

    @property
    def pixel_tag(self) -> int | None:
        """7FE00010, or 7FE00008 for float and 7FE00009 for double pixels."""
        return self.shared.pixel_tag

    @property
    def is_little_endian(self) -> bool:
        """Byte order of the file; `elements` are in little endian always."""
        return self.shared.is_little_endian

    @property
    def from_pydicom(self) -> bool:
        """Whether pydicom had to read it."""
        return self.shared.from_pydicom

    @property
    def others(self) -> tuple[int, ...]:
        """Tags of the top-level elements not in `elements`: sequences and binary values."""
        return self.shared.others

    @property
    def creators(self) -> tuple[tuple[int, str], ...]:
        """Tag and name of the private creators."""
        return self.shared.creators

    def raw(self, tag: int | None) -> bytes | None:
        """Return the raw value of an element, None where there is none."""
        own = self.own
        if tag is None:
            return None
        return own[tag] if tag in own else self.shared.elements.get(tag)

    def recall(self, function: Callable[[Header], _T]) -> _T:
        """
        Return what a function makes of this header: worked out once for all that are alike.

        Parameters
        ----------
        function : callable
            Its result depends on nothing but what it asks the header for, is not changed by
            anybody, and does not keep the header.
        """
        shared = self.shared
        varying = shared.varying
        memory = shared.memory.get(function)
        if memory is None:
            memory = shared.memory[function] = Memory()
        if memory.settled if memory.size == len(varying) else memory.settle(varying):
            settled: _T = memory.result
            return settled
        if memory.asked is None:
            return function(self)
        result: _T = memory.results.get(memory.key(self.own), _NEW)
        if result is not _NEW:
            memory.hits += 1
            return result
        if memory.is_full:
            return function(self)
        watched = _Watched(self)
        result = function(watched)
        memory.add(self.own, varying, watched.seen, result)
        return result

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
        if tag is None:
            return None
        own, shared = self.own, self.shared
        if tag in own:
            raw = own[tag]
            return self.decode(tag, raw) if raw else None
        values = shared.values
        if tag not in values:
            found = shared.elements.get(tag)
            values[tag] = self.decode(tag, found) if found else None
        return values[tag]

    def has(self, attribute: str | int) -> bool:
        """Tell whether the data set has an element, sequences and empty elements included."""
        tag = TAG_OF.get(attribute) if isinstance(attribute, str) else attribute
        return (
            tag in self.shared.elements
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
            signed = self.shared.elements.get(_PIXEL_REPRESENTATION, b"")[:1] == b"\1"
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
            return decode(vr or "UN", raw, self.shared.elements.get(_CHARACTER_SET, b""))
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
        return self.raw(tag)

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
                if tag in self.shared.elements or tag in self.located:
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


class _Watched(Header):
    """
    A header that notes what is asked for.

    Attributes
    ----------
    seen : set of int or None
        Tags of the values; None once more than values was asked for.
    """

    __slots__ = ("_header", "seen")

    def __init__(self, header: Header) -> None:
        self._header = header
        self.seen: set[int] | None = set()
        self.shared = header.shared
        self.own = header.own
        self.located = header.located

    def _see(self, tag: int) -> None:
        if self.seen is not None:
            self.seen.add(tag)

    @property
    def elements(self) -> dict[int, bytes]:
        self.seen = None
        return self._header.elements

    @property
    def source(self) -> Source:  # type: ignore[override]
        self.seen = None
        return self._header.source

    @property
    def pixel_offset(self) -> int | None:  # type: ignore[override]
        self.seen = None
        return self._header.pixel_offset

    @property
    def pixel_length(self) -> int:  # type: ignore[override]
        self.seen = None
        return self._header.pixel_length

    @property
    def size(self) -> int | None:  # type: ignore[override]
        self.seen = None
        return self._header.size

    def raw(self, tag: int | None) -> bytes | None:
        if tag is not None:
            self._see(tag)
        return super().raw(tag)

    def recall(self, function: Callable[[Header], _T]) -> _T:
        memory = self.shared.memory.get(function)
        if memory is not None and memory.is_full:
            # What it looks at in this header may be more than in those that are remembered.
            return function(self)
        result = self._header.recall(function)
        asked = self.shared.memory[function].asked
        if asked is None:
            self.seen = None
        elif self.seen is not None:
            self.seen |= asked
        return result

    def get(self, attribute: str | int) -> Value:
        tag = TAG_OF.get(attribute) if isinstance(attribute, str) else attribute
        if tag is not None:
            self._see(tag)
        return super().get(attribute)

    def keywords(self) -> Iterator[str]:
        self.seen = None
        return self._header.keywords()

    def private(self, group: int, creator: str, low: int) -> bytes | None:
        tag = self._private_tag(group, creator, low)
        if tag is not None and tag in self.located:
            self.seen = None
        return super().private(group, creator, low)

    def dataset(self) -> Any:
        self.seen = None
        return self._header.dataset()


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
        raw = self.header.raw(tag)
        return raw is not None and not is_blank(self.header.vr(tag or 0) or "UN", raw)

    def __iter__(self) -> Iterator[str]:
        return self.header.keywords()

    def __len__(self) -> int:
        return sum(1 for _ in self.header.keywords())

    def dataset(self) -> Any:
        """Return the full pydicom Dataset, without the pixels."""
        return self.header.dataset()
