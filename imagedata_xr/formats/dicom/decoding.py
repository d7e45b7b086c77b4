"""
Frames that a decoder has to make: compressed, deflated, big endian, of a palette.

pydicom and its plug-ins decode whatever there is. Where imagecodecs is installed it decodes JPEG
Lossless, JPEG-LS, JPEG 2000 (High Throughput too) and RLE in grey, to the same values, mostly faster,
and by several threads at once; what it refuses, or what is not as the header says, goes to pydicom
all the same. So do JPEG Baseline and Extended, where decoders round differently.
"""

from __future__ import annotations

import io
import operator
import struct
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from imagedata_xr.errors import MissingDependencyError, PixelError
from imagedata_xr.formats.dicom.fragments import check_codec, frame_bytes

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

    import numpy.typing as npt

    from imagedata_xr.frames import PixelFormat, PixelRef

__all__ = ["decoded", "is_parallel"]

# Functions of imagecodecs that refuse damage as the plug-ins of pydicom do. OpenJPH does not (High
# Throughput JPEG 2000, which OpenJPEG decodes as well), and neither does its decoder of whole RLE frames.
_FAST: Final = {
    "1.2.840.10008.1.2.4.57": "jpeg8_decode",
    "1.2.840.10008.1.2.4.70": "jpeg8_decode",
    "1.2.840.10008.1.2.4.80": "jpegls_decode",
    "1.2.840.10008.1.2.4.81": "jpegls_decode",
    "1.2.840.10008.1.2.4.90": "jpeg2k_decode",
    "1.2.840.10008.1.2.4.91": "jpeg2k_decode",
    "1.2.840.10008.1.2.4.201": "jpeg2k_decode",
    "1.2.840.10008.1.2.4.202": "jpeg2k_decode",
    "1.2.840.10008.1.2.4.203": "jpeg2k_decode",
    "1.2.840.10008.1.2.5": "packbits_decode",
}
_RLE: Final = "1.2.840.10008.1.2.5"
_RLE_HEADER: Final = 64
_SOI: Final = b"\xff\xd8"
# Start of a JPEG 2000 codestream, then where its SIZ segment tells sign and bits (ISO 15444-1 A.5.1).
_CODESTREAM, _PRECISION = b"\xff\x4f\xff\x51", 42
# The end of an image, or of a codestream; one byte may follow that makes the length even.
_ENDS: Final = (b"\xff\xd9", b"\xff\xd9\0")


def decoded(ref: PixelRef) -> npt.NDArray[Any]:
    """
    Return the stored values of a frame that is not simply there, as its decoder gives them.

    Raises
    ------
    PixelError
        It cannot be decoded.
    MissingDependencyError
        A decoder for the transfer syntax is not installed.
    SourceError
        The file cannot be read any more.
    """
    from pydicom.pixels.processing import apply_color_lut

    data = (
        None if ref.offset is None else frame_bytes(ref.source, ref.offset, ref.format, ref.number)
    )
    values = None if data is None else _fast(data, ref.format)
    if values is not None:
        return values
    with ref.source.open() as file:
        try:
            if ref.offset is None:
                values = _from_dataset(file, ref)
            elif data is not None:
                values = _from_frame(data, ref)
            else:
                values = _from_place(file, ref)
            if ref.format.palette_bits:
                values = apply_color_lut(values, _header(file))
        except (MissingDependencyError, PixelError):
            raise
        except Exception as error:
            raise _explain(error, ref) from error
        except BaseException as error:
            # A decoder written in Rust panics: what it raises then is no Exception.
            if type(error).__name__ != "PanicException":
                raise
            raise _explain(error, ref) from error
    return values


def is_parallel(ref: PixelRef) -> bool:
    """Tell whether several threads decode such frames at once."""
    return _function(ref.format) is not None and bool(getattr(ref.source, "in_parallel", False))


def _function(form: PixelFormat) -> Callable[..., Any] | None:
    name = _FAST.get(form.syntax)
    if name is None or form.samples > 1 or form.palette_bits or form.real:
        return None
    return _imported(name)


@lru_cache(maxsize=8)
def _imported(name: str) -> Callable[..., Any] | None:
    try:
        import imagecodecs
    except ImportError:
        return None
    if not getattr(imagecodecs, name.removesuffix("_decode").upper()).available:
        return None
    found: Callable[..., Any] = getattr(imagecodecs, name)
    return found


def _fast(data: bytes, form: PixelFormat) -> npt.NDArray[Any] | None:
    """Return what imagecodecs makes of a frame; None where pydicom has to decide."""
    decode = _function(form)
    if decode is None or form.bits_allocated not in (8, 16):
        return None
    if form.syntax == _RLE:
        return _unpacked(data, form, decode)
    if not _fits(data, form):
        return None
    try:
        values = decode(data)
    except Exception:  # noqa: BLE001 - whatever it is, pydicom says what is wrong
        return None
    cell = np.dtype(f"{'i' if form.signed else 'u'}{form.bits_allocated // 8}")
    if values.shape != (form.rows, form.columns) or values.dtype.itemsize != cell.itemsize:
        return None
    return np.asarray(values.view(cell))


def _fits(data: bytes, form: PixelFormat) -> bool:
    """Tell whether a compressed frame begins and ends as its header makes one expect."""
    if not data.endswith(_ENDS):
        return False
    if data.startswith(_CODESTREAM):
        # pydicom knows what to do where codestream and header contradict each other.
        sign = 0x80 if form.signed else 0
        return data[_PRECISION] == sign | (form.bits_stored - 1)
    return _FAST[form.syntax] != "jpeg2k_decode" and data.startswith(_SOI)


def _unpacked(
    data: bytes, form: PixelFormat, decode: Callable[..., Any]
) -> npt.NDArray[Any] | None:
    """Return what the segments of an RLE frame hold (PS3.5 annex G), if each has a byte a pixel."""
    width, size = form.bits_allocated // 8, form.rows * form.columns
    if len(data) < _RLE_HEADER:
        return None
    count, *starts = struct.unpack_from(f"<{1 + width}I", data)
    ends = [*starts[1:], len(data)]
    if count != width or starts[0] != _RLE_HEADER or any(map(operator.ge, starts, ends)):
        return None
    values = np.empty((form.rows, form.columns), f"{'i' if form.signed else 'u'}{width}")
    # The first segment has the most significant bytes.
    places = values.reshape(-1).view(np.uint8).reshape(size, width)[:, ::-1]
    for number, (start, end) in enumerate(zip(starts, ends, strict=True)):
        try:
            held = decode(memoryview(data)[start:end], out=size)
        except Exception:  # noqa: BLE001 - whatever it is, pydicom says what is wrong
            return None
        if len(held) != size:
            return None
        places[:, number] = np.frombuffer(held, np.uint8)
    return values


def _options(form: PixelFormat, frames: int) -> dict[str, Any]:
    """Return what a decoder of pydicom wants to know of the header."""
    options = {
        "rows": form.rows,
        "columns": form.columns,
        "samples_per_pixel": form.samples,
        "bits_allocated": form.bits_allocated,
        "bits_stored": form.bits_stored,
        "photometric_interpretation": form.photometric,
        "pixel_representation": int(form.signed),
        "number_of_frames": frames,
        "pixel_keyword": "PixelData",
    }
    if form.samples > 1:
        options["planar_configuration"] = form.planar
    return options


def _from_frame(data: bytes, ref: PixelRef) -> npt.NDArray[Any]:
    """Decode the bytes of one frame."""
    from pydicom.encaps import encapsulate

    form = ref.format
    file = io.BytesIO(encapsulate([data], has_bot=False))
    check_codec(file, 0, form.syntax)
    file.seek(0)
    values, _ = _decoder(form.syntax, ref).as_array(file, index=0, **_options(form, 1))
    return np.asarray(values)


def _from_place(file: BinaryIO, ref: PixelRef) -> npt.NDArray[Any]:
    """Decode one frame from where the Pixel Data begin; other frames are passed over."""
    form = ref.format
    check_codec(file, ref.offset or 0, form.syntax)
    file.seek(ref.offset or 0)
    options = _options(form, form.frames)
    values, _ = _decoder(form.syntax, ref).as_array(file, index=ref.number, **options)
    return np.asarray(values)


def _from_dataset(file: BinaryIO, ref: PixelRef) -> npt.NDArray[Any]:
    import pydicom

    dataset = pydicom.dcmread(file, force=True)
    syntax = dataset.file_meta.get("TransferSyntaxUID") or ref.format.syntax
    values, _ = _decoder(syntax, ref).as_array(dataset, index=ref.number)
    return np.asarray(values)


def _header(file: BinaryIO) -> Any:
    import pydicom

    file.seek(0)
    return pydicom.dcmread(file, stop_before_pixels=True, force=True)


def _decoder(syntax: str, ref: PixelRef) -> Any:
    from pydicom.pixels.decoders.base import get_decoder

    decoder = get_decoder(syntax)
    if not decoder.is_available:
        raise _missing(decoder, ref)
    return decoder


def _missing(decoder: Any, ref: PixelRef) -> MissingDependencyError:
    wanted = "; ".join(decoder.missing_dependencies)
    return MissingDependencyError(
        f"{ref.source.name}: pixels compressed as {decoder.UID.name} need a decoder that is not "
        f'installed ({wanted}): pip install "imagedata_xr[codecs]"'
    )


def _explain(error: BaseException, ref: PixelRef) -> PixelError:
    first = str(error).strip().splitlines() or [type(error).__name__]
    return PixelError(
        f"{ref.source.name}: the pixels of frame {ref.number} (transfer syntax "
        f"{ref.format.syntax}) cannot be decoded: {' '.join(line.strip() for line in first[:3])}"
    )
