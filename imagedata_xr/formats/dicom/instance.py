"""One DICOM instance to its frames: the place where kinds of objects are told apart."""

from __future__ import annotations

from functools import lru_cache
from math import isfinite
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from imagedata_xr.errors import FormatError
from imagedata_xr.formats.dicom import vendors
from imagedata_xr.formats.dicom.fragments import check_fragments, require_native
from imagedata_xr.formats.dicom.framevalues import FrameValues, KeywordValues
from imagedata_xr.formats.dicom.headers.decode import PADDING
from imagedata_xr.formats.dicom.headers.dictionary import TAG_OF
from imagedata_xr.formats.dicom.headers.header import TAIL
from imagedata_xr.formats.dicom.vendors.own import slice_time
from imagedata_xr.frames import Frame, Frames, PixelFormat, PixelRef
from imagedata_xr.options import limits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from imagedata_xr.formats.dicom.headers import Header
    from imagedata_xr.frames import Value

__all__ = ["InstanceValues", "frames_of", "header_values", "pixel_format"]

_T = TypeVar("_T")
_NUMBERS = {int, float}
_INSTANCE = 0x00080018
_DECIMAL = b"0123456789+-.eE \\"
_FLOAT_PIXELS = {0x7FE00008: 32, 0x7FE00009: 64}
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_NATIVE_LITTLE_ENDIAN = frozenset({"1.2.840.10008.1.2", "1.2.840.10008.1.2.1"})
# Colour spaces whose native samples are red, green and blue as they stand.
_PLAIN = frozenset({"MONOCHROME1", "MONOCHROME2", "RGB"})


def _b_value(header: Header) -> Value:
    return header.recall(vendors.diffusion)[0]


def _direction(header: Header) -> Value:
    return header.recall(vendors.diffusion)[1]


# What stands under a standard keyword wherever the vendor keeps it.
_DERIVED: dict[str, Callable[[Header], Value]] = {
    "DiffusionBValue": _b_value,
    "DiffusionGradientOrientation": _direction,
    "ComplexImageComponent": vendors.component,
    "ASLContext": vendors.label,
    "MultiCoilElementName": vendors.coil,
}


class InstanceValues(KeywordValues):
    """
    Header values of a single-frame instance by DICOM keyword.

    Diffusion and component values stand under their standard keywords, wherever the vendor keeps
    them. `dataset()` gives the full pydicom Dataset.
    """

    __slots__ = ("header",)

    def __init__(self, header: Header) -> None:
        self.header = header

    def get(self, keyword: str, default: Any = None) -> Any:
        """Return a value, or `default` where the header has none."""
        derive = _DERIVED.get(keyword)
        value = self.header.get(keyword) if derive is None else self.header.recall(derive)
        return default if value is None else value

    @staticmethod
    def recall_all(
        function: Callable[[Mapping[str, Value]], _T], frames: Sequence[Frame]
    ) -> tuple[_T, ...]:
        """Return what a function gives for the values of each frame, as `evaluate` means it."""
        asked = _of_header(function)
        if isinstance(frames, Frames):
            if InstanceValues not in frames.alike:
                frames.alike[InstanceValues] = _headers_of_one_kind(frames)
            headers = frames.alike[InstanceValues]
            if headers:
                return _recall_alike(asked, headers)
        return tuple(
            [
                values.header.recall(asked) if type(values) is InstanceValues else function(values)
                for values in (frame.values for frame in frames)
            ]
        )

    def __iter__(self) -> Iterator[str]:
        yield from (keyword for keyword in self.header.keywords() if keyword not in _DERIVED)
        yield from (keyword for keyword in _DERIVED if self.get(keyword) is not None)

    def dataset(self) -> Any:
        """Return the full pydicom Dataset, without the pixels."""
        return self.header.dataset()


def _headers_of_one_kind(frames: Sequence[Frame]) -> list[Header] | None:
    """Return the headers of frames that share the values of one file; None if some do not."""
    if {type(frame.values) for frame in frames} != {InstanceValues}:
        return None
    headers: list[Header] = [frame.values.header for frame in frames]  # type: ignore[attr-defined]
    return headers if len({id(header.shared) for header in headers}) == 1 else None


def _recall_alike(asked: Callable[[Header], _T], headers: Sequence[Header]) -> tuple[_T, ...]:
    """Return what a function gives for headers that share the values of one file."""
    first = headers[0].recall(asked)
    shared = headers[0].shared
    memory = shared.memory[asked]
    if memory.settle(shared.varying):
        return (first,) * len(headers)
    known = memory.results
    found = [known.get(memory.key(header.own), memory) for header in headers]
    missed = [place for place, result in enumerate(found) if result is memory]
    memory.hits += len(found) - len(missed)
    for place in missed:
        found[place] = headers[place].recall(asked)
    return tuple(found)


@lru_cache(maxsize=1024)
def _of_header(function: Callable[[Mapping[str, Value]], _T]) -> Callable[[Header], _T]:
    """Return a function of header values as one of the header: the same one each time."""
    return lambda header: function(InstanceValues(header))


def header_values(header: Header) -> Mapping[str, Value]:
    """Return the header values of an instance by DICOM keyword."""
    return InstanceValues(header)


@lru_cache(maxsize=1024)
def _shared(form: PixelFormat) -> PixelFormat:
    return form


def pixel_format(header: Header) -> PixelFormat:
    """
    Return how the pixels of an instance are encoded (Image Pixel module, PS3.3 C.7.6.3).

    Raises
    ------
    FormatError
        Rows, Columns or Bits Allocated are missing or mean nothing.
    """
    real = header.pixel_tag in _FLOAT_PIXELS
    allocated = _whole(header, "BitsAllocated", _FLOAT_PIXELS.get(header.pixel_tag or 0))
    stored = allocated if real else _whole(header, "BitsStored", allocated)
    high = _whole(header, "HighBit", stored - 1) if not real else allocated - 1
    form = PixelFormat(
        rows=_whole(header, "Rows"),
        columns=_whole(header, "Columns"),
        samples=_whole(header, "SamplesPerPixel", 1),
        bits_allocated=allocated,
        bits_stored=stored,
        high_bit=high,
        signed=bool(_whole(header, "PixelRepresentation", 0)) and not real,
        photometric=str(header.get("PhotometricInterpretation") or "MONOCHROME2").strip(),
        planar=_whole(header, "PlanarConfiguration", 0),
        syntax=header.transfer_syntax,
        real=real,
        frames=_frames(header),
        palette_bits=_palette_bits(header),
    )
    if not (form.rows > 0 and form.columns > 0 and form.samples in (1, 3, 4)):
        raise FormatError(
            f"{header.source.name}: an image of {form.rows} Rows, {form.columns} Columns and "
            f"{form.samples} Samples per Pixel"
        )
    if _whole(header, "PixelRepresentation", 0) not in (0, 1):
        raise FormatError(f"{header.source.name}: PixelRepresentation is neither 0 nor 1")
    if not 0 < form.bits_stored <= form.high_bit + 1 <= form.bits_allocated:
        raise FormatError(
            f"{header.source.name}: Bits Allocated {form.bits_allocated}, Bits Stored "
            f"{form.bits_stored} and High Bit {form.high_bit} contradict each other"
        )
    return _shared(form)


def _frames(header: Header) -> int:
    """Return Number of Frames for decoders; those who expand the frames check it."""
    count = header.get("NumberOfFrames")
    return count if isinstance(count, int) and count > 0 else 1


def _palette_bits(header: Header) -> int:
    """Return the bits of a palette entry (PS3.3 C.7.6.3.1.5), 0 without a palette."""
    if str(header.get("PhotometricInterpretation") or "").strip() != "PALETTE COLOR":
        return 0
    descriptor = header.get("RedPaletteColorLookupTableDescriptor")
    if not isinstance(descriptor, tuple) or descriptor[-1] not in (8, 16):
        raise FormatError(
            f"{header.source.name}: RedPaletteColorLookupTableDescriptor is {descriptor!r}: a "
            "palette has entries of 8 or 16 bits"
        )
    return int(descriptor[-1])


def _whole(header: Header, keyword: str, default: int | None = None) -> int:
    value = header.get(keyword)
    if value is None and default is not None:
        return default
    if not isinstance(value, int):
        raise FormatError(f"{header.source.name}: {keyword} is {value!r}, not a number")
    return value


def frames_of(header: Header) -> list[Frame]:
    """
    Return the frames of an instance; none for an object without pixels.

    Raises
    ------
    FormatError
        The header contradicts itself, or the file ends before its pixels do.
    """
    if header.shared.pixel_tag is None:
        return []
    facts = header.recall(_facts)
    if isinstance(facts, _Facts):
        return [_single(header, facts)]
    from imagedata_xr.formats.dicom import enhanced, mosaic, multiframe, segmentation

    expand = {
        "segmentation": segmentation.segmentation_frames,
        "enhanced": enhanced.multiframe_frames,
        "multiframe": multiframe.multiframe_frames,
        "mosaic": mosaic.mosaic_frames,
    }
    return expand[facts](header)


def _kind(header: Header) -> str:
    """Return how an instance holds its frames."""
    from imagedata_xr.formats.dicom import enhanced, mosaic, segmentation

    if segmentation.is_segmentation(header):
        return "segmentation"
    if enhanced.is_multiframe(header):
        return "enhanced"
    if _whole(header, "NumberOfFrames", 1) > 1:
        return "multiframe"
    return "mosaic" if mosaic.is_mosaic(header) else "single"


class _Facts(NamedTuple):
    """
    What images of one series mostly have in common, as `Frame` and `PixelRef` have it.

    Attributes
    ----------
    native : int
        Bytes of a frame that no decoder is needed for; -1 where this takes a closer look.
    """

    form: PixelFormat
    native: int
    shape: tuple[int, int]
    orientation: Any
    spacing: Any
    thickness: float | None
    padding: tuple[int, int] | None
    own: Mapping[str, Value]


def _facts(header: Header) -> _Facts | str:
    """Return what a single image has in common with others, or how an instance holds its frames."""
    kind = header.recall(_kind)
    if kind != "single":
        return kind
    form = header.recall(pixel_format)
    orientation, spacing, thickness = header.recall(_plane)
    nothing, own = header.recall(_padding), header.recall(slice_time)
    simple = form.syntax in _NATIVE_LITTLE_ENDIAN and _is_plain(form) and form.frames == 1
    native = _frame_length(form) if simple and header.is_little_endian else -1
    return _Facts(
        form,
        native,
        (form.rows, form.columns),
        orientation,
        spacing,
        thickness,
        nothing,
        own,
    )


def _single(header: Header, facts: _Facts) -> Frame:
    form, native, shape, orientation, spacing, thickness, nothing, own = facts
    offset, length, size = header.pixel_offset, header.pixel_length, header.size
    if (
        offset is None
        or size is None
        or not 0 <= native <= length <= native + 1
        or offset + length > size
    ):
        offset, native = native_location(header, form)
    # Not among the facts: in PET, each image has its own.
    slope, intercept = header.recall(rescale)
    values = InstanceValues(header)
    return Frame(
        PixelRef(header.source, form, 0, offset, native, slope, intercept, None, nothing),
        _uid(header),
        shape,
        header.recall(_position),
        orientation,
        spacing,
        thickness,
        FrameValues(values, own) if own else values,
    )


def _padding(header: Header) -> tuple[int, int] | None:
    return padding(header, header.recall(pixel_format))


def _position(header: Header) -> Any:
    return floats(header, "ImagePositionPatient", 3)


def _plane(header: Header) -> tuple[Any, Any, float | None]:
    """Return orientation, spacing and thickness."""
    thickness = header.get("SliceThickness")
    return (
        floats(header, "ImageOrientationPatient", 6),
        floats(header, "PixelSpacing", 2),
        float(thickness) if isinstance(thickness, int | float) and thickness else None,
    )


def _is_plain(form: PixelFormat) -> bool:
    """Tell whether native samples are values as they stand."""
    return form.real or (form.photometric in _PLAIN and form.bits_allocated >= 8)


def _frame_length(form: PixelFormat) -> int:
    """Return the bytes of a native frame."""
    return form.rows * form.columns * form.samples * form.bits_allocated // 8


def native_location(header: Header, form: PixelFormat) -> tuple[int | None, int]:
    """
    Return where the pixels are: offset and length of a native frame.

    The length is 0 where a decoder is needed, the offset then that of all Pixel Data; it is None
    where the file must be read as a whole (big endian, deflated).

    Raises
    ------
    FormatError
        The file, or the pixel element, is shorter than Rows x Columns say.
    """
    require_native(header.source.name, form.syntax, header.pixel_length)
    length = _frame_length(form)
    offset = header.pixel_offset
    if offset is None or not header.is_little_endian:
        limits().check_image(
            header.source.name, stored=header.source.size, frame=length, frames=form.frames
        )
        return None, 0
    if header.pixel_length < 0:
        whole = header.source.size if header.size is None else header.size
        stored = whole - offset
        limits().check_image(header.source.name, stored=stored, frame=length, frames=form.frames)
        tail = header.tail if stored > TAIL else None
        check_fragments(header.source, offset, form.frames, tail=tail)
        return offset, 0
    if form.syntax not in _NATIVE_LITTLE_ENDIAN:
        return None, 0
    if header.pixel_length < length and "422" not in form.photometric:
        raise FormatError(
            f"{header.source.name}: Pixel Data has {header.pixel_length} bytes, but "
            f"{form.rows} Rows x {form.columns} Columns need {length}"
        )
    size = header.source.size if header.size is None else header.size
    lacking = offset + header.pixel_length - size
    if lacking > 0:
        raise FormatError(
            f"{header.source.name}: truncated: the file ends {lacking} bytes before its Pixel "
            "Data does"
        )
    beyond = header.pixel_length - length * form.frames
    if beyond > 1 and header.source.read(offset + length * form.frames, beyond).strip(b"\0"):
        raise FormatError(
            f"{header.source.name}: Pixel Data has {header.pixel_length} bytes, but Rows, Columns, "
            f"BitsAllocated and NumberOfFrames make {length * form.frames}"
        )
    if _is_plain(form):
        return offset, length
    _require_frames(header, form)
    return offset, 0


def _require_frames(header: Header, form: PixelFormat) -> None:
    """Raise where native pixels that a decoder unpacks are fewer than the frames need."""
    needed = form.rows * form.columns * form.samples * form.bits_allocated * form.frames // 8
    # Of a pair of pixels, one has both colour differences (PS3.3 C.7.6.3.1.2).
    if header.pixel_length < (needed * 2 // 3 if "422" in form.photometric else needed):
        raise FormatError(
            f"{header.source.name}: Pixel Data has {header.pixel_length} bytes, but {form.frames} "
            f"frames (NumberOfFrames) need {needed}"
        )


def _decimals(header: Header, tag: int) -> tuple[float, ...]:
    """Return finite decimal numbers of the plainest form; nothing where there is anything else."""
    raw = header.raw(tag)
    if not raw or tag in header.shared.vrs or raw.translate(None, _DECIMAL):
        return ()
    try:
        found = tuple(map(float, raw.split(b"\\")))
    except ValueError:
        return ()
    return found if all(map(isfinite, found)) else ()


def _uid(header: Header) -> str:
    """Return the SOP Instance UID: no two are the same, so that a cache would only grow."""
    raw = header.own.get(_INSTANCE)
    if raw and raw.isascii() and b"\\" not in raw and _INSTANCE not in header.shared.vrs:
        return raw.decode("ascii").strip(PADDING)
    return str(header.get(_INSTANCE) or "")


def is_dose(value: Callable[[str], Any]) -> bool:
    """
    Tell whether an image is a dose, whose scaling is its own attribute (PS3.3 C.8.8.3).

    Parameters
    ----------
    value : callable
        Returns the value of a keyword. One frame of a dose, as an image of its own class, has the
        modality, and an ordinary rescale.
    """
    return bool(value("Modality") == "RTDOSE" and value("SOPClassUID") != _SECONDARY_CAPTURE)


def rescale(header: Header) -> tuple[float, float]:
    """Return Rescale Slope and Intercept (1 and 0 where the header has none), or that of a dose."""
    if is_dose(header.get):
        return _real(header, "DoseGridScaling", 1.0), 0.0
    slope, intercept = _real(header, "RescaleSlope", 1.0), _real(header, "RescaleIntercept", 0.0)
    if slope == 0:
        raise FormatError(f"{header.source.name}: RescaleSlope is 0, which leaves no image")
    return slope, intercept


def padding(header: Header, form: PixelFormat) -> tuple[int, int] | None:
    """Return the stored values that stand for no value, first and last; None without any."""
    value = header.get("PixelPaddingValue")
    if not isinstance(value, int):
        return None
    limit = header.get("PixelPaddingRangeLimit")
    cells = 1 << form.bits_allocated
    ends = [end % cells for end in (value, limit if isinstance(limit, int) else value)]
    if form.signed:
        ends = [end - cells if end >= cells // 2 else end for end in ends]
    return min(ends), max(ends)


def _real(header: Header, keyword: str, default: float) -> float:
    quick = _decimals(header, TAG_OF[keyword])
    if len(quick) == 1:
        return quick[0]
    value = header.get(keyword)
    if value is None:
        return default
    if not isinstance(value, int | float) or not abs(value) < float("inf"):
        raise FormatError(f"{header.source.name}: {keyword} is {value!r}, not a number")
    return float(value)


def floats(header: Header, keyword: str, count: int) -> Any:
    """
    Return a multi-valued number, or None where the header has none.

    Raises
    ------
    FormatError
        It does not have `count` finite numbers.
    """
    quick = _decimals(header, TAG_OF[keyword])
    if len(quick) == count:
        return quick
    value = header.get(keyword)
    if value is None:
        return None
    numbers: tuple[Any, ...] = value if isinstance(value, tuple) else (value,)
    if len(numbers) != count or not _NUMBERS.issuperset(map(type, numbers)):
        numbers = (float("nan"),)
    found = tuple(map(float, numbers))
    if not all(map(isfinite, found)):
        raise FormatError(f"{header.source.name}: {keyword} is {value!r}, not {count} numbers")
    return found
