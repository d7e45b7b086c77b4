"""One DICOM instance to its frames: the place where kinds of objects are told apart."""

from __future__ import annotations

from functools import lru_cache
from math import isfinite
from typing import TYPE_CHECKING, Any, TypeVar

from imagedata_xr.errors import FormatError
from imagedata_xr.formats.dicom import vendors
from imagedata_xr.formats.dicom.fragments import check_fragments, require_native
from imagedata_xr.formats.dicom.framevalues import FrameValues, KeywordValues
from imagedata_xr.formats.dicom.headers.header import TAIL
from imagedata_xr.formats.dicom.headers.shared import Memory
from imagedata_xr.formats.dicom.vendors.own import slice_time
from imagedata_xr.frames import Frame, PixelFormat, PixelRef
from imagedata_xr.options import limits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from imagedata_xr.formats.dicom.headers import Header
    from imagedata_xr.formats.dicom.headers.shared import Shared
    from imagedata_xr.frames import Value

__all__ = ["InstanceValues", "frames_of", "header_values", "pixel_format"]

_T = TypeVar("_T")
_NUMBERS = {int, float}
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
        found: list[_T] = []
        shared: Shared | None = None
        memory, settled = Memory(), False
        result: Any = None
        for frame in frames:
            values = frame.values
            if type(values) is not InstanceValues:
                found.append(function(values))
                continue
            header = values.header
            if header.shared is not shared:
                shared = header.shared
                result = header.recall(asked)
                memory = shared.memory[asked]
                settled = memory.settle(shared.varying)
            elif not settled:
                # As `recall`, without its calls: most of what varies takes few values.
                result = memory.results.get(memory.key(header.own), memory)
                if result is memory:
                    result = header.recall(asked)
                else:
                    memory.hits += 1
            found.append(result)
        return tuple(found)

    def __iter__(self) -> Iterator[str]:
        yield from (keyword for keyword in self.header.keywords() if keyword not in _DERIVED)
        yield from (keyword for keyword in _DERIVED if self.get(keyword) is not None)

    def dataset(self) -> Any:
        """Return the full pydicom Dataset, without the pixels."""
        return self.header.dataset()


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
    if header.pixel_tag is None:
        return []
    kind = header.recall(_kind)
    if kind == "single":
        return [_single(header)]
    from imagedata_xr.formats.dicom import enhanced, mosaic, multiframe, segmentation

    expand = {
        "segmentation": segmentation.segmentation_frames,
        "enhanced": enhanced.multiframe_frames,
        "multiframe": multiframe.multiframe_frames,
        "mosaic": mosaic.mosaic_frames,
    }
    return expand[kind](header)


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


def _single(header: Header) -> Frame:
    form = header.recall(pixel_format)
    offset, length = native_location(header, form)
    slope, intercept = header.recall(rescale)
    orientation, spacing, thickness = header.recall(_plane)
    values, own = header_values(header), header.recall(slice_time)
    nothing = header.recall(_padding)
    return Frame(
        ref=PixelRef(header.source, form, 0, offset, length, slope, intercept, padding=nothing),
        uid=str(header.get("SOPInstanceUID") or ""),
        shape=(form.rows, form.columns),
        position=header.recall(_position),
        orientation=orientation,
        spacing=spacing,
        thickness=thickness,
        values=FrameValues(values, own) if own else values,
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
    length = form.rows * form.columns * form.samples * form.bits_allocated // 8
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
    plain = form.photometric in _PLAIN and form.bits_allocated >= 8
    if plain or form.real:
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
