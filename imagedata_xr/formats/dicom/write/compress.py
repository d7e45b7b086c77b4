"""Transfer syntaxes of what is written: native, or compressed without loss (PS3.5 annex A)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from pydicom import uid
from pydicom.encaps import encapsulate
from pydicom.pixels.encoders.base import get_encoder
from pydicom.pixels.utils import pixel_array

from imagedata_xr.errors import MissingDependencyError, OptionError, WriteError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["NATIVE", "compress", "syntax_of"]

NATIVE: Final = (uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian)
_NAMED: Final = {
    "implicit": uid.ImplicitVRLittleEndian,
    "explicit": uid.ExplicitVRLittleEndian,
    "rle": uid.RLELossless,
    "jpegls": uid.JPEGLSLossless,
    "jpeg2000": uid.JPEG2000Lossless,
    "htj2k": uid.HTJ2KLossless,
}
_SPELLED: Final = {"jls": "jpegls", "j2k": "jpeg2000", "jpeg2k": "jpeg2000", "deflated": ""}
_LIST: Final = ", ".join(_NAMED)
# The encoder that pydicom knows takes neither small images nor HTJ2K.
_THROUGH_IMAGECODECS: Final = (uid.JPEG2000Lossless, uid.HTJ2KLossless)
# PS3.5 8.2.2 to 8.2.4 and the decoders have no more.
_WIDEST: Final = 16


def syntax_of(name: str | None) -> str | None:
    """
    Return the UID of a transfer syntax.

    Parameters
    ----------
    name : str or None
        ``implicit``, ``explicit``, ``rle``, ``jpegls``, ``jpeg2000``, ``htj2k``, or the UID of one
        of these; None where every file has that of its source.

    Raises
    ------
    OptionError
        It is another one: nothing is written with loss.
    MissingDependencyError
        A package that encodes it is not installed.
    """
    if name is None:
        return None
    key = str(name).lower().replace("-", "").replace("_", "").replace(" ", "")
    found = _NAMED.get(_SPELLED.get(key, key))
    found = found or next((one for one in _NAMED.values() if str(one) == str(name)), None)
    if found is None:
        raise OptionError(
            f"syntax={name!r}: images are written without loss, as one of {_LIST}, or its UID"
        )
    if found in _THROUGH_IMAGECODECS:
        _require_imagecodecs()
    elif found not in NATIVE and not get_encoder(found).is_available:
        raise MissingDependencyError(
            f'syntax={name!r} needs an encoder: pip install "imagedata_xr[codecs]"'
        )
    return str(found)


def _require_imagecodecs() -> Any:
    try:
        import imagecodecs
    except ImportError as error:
        raise MissingDependencyError(
            'JPEG 2000 needs imagecodecs: pip install "imagedata_xr[codecs]"'
        ) from error
    return imagecodecs


def compress(dataset: Any, syntax: str) -> None:
    """
    Compress the native pixels of an instance, and check that they come back as they were.

    Parameters
    ----------
    dataset : pydicom.Dataset
        Is changed. With file meta information; the pixels are native little endian.
    syntax : str
        UID of a compressed transfer syntax.

    Raises
    ------
    WriteError
        The syntax has no place for these pixels, or gives others back.
    """
    stored = bytes(dataset.PixelData)
    values = _stored_values(dataset, stored)
    bits = int(dataset.BitsStored)
    _check(dataset, values, bits, syntax)
    try:
        if syntax in _THROUGH_IMAGECODECS:
            frames = [_jpeg2000(one, bits, syntax) for one in values]
        else:
            encoder = get_encoder(uid.UID(syntax))
            about = _about(dataset)
            frames = [encoder.encode(one, **about) for one in values]
    except (RuntimeError, ValueError, TypeError) as error:
        raise WriteError(
            f"these pixels cannot be compressed ({error}): leave out syntax="
        ) from error
    dataset.PixelData = encapsulate(frames)
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = uid.UID(syntax)
    if "PlanarConfiguration" in dataset:
        dataset.PlanarConfiguration = 1 if syntax == uid.RLELossless else 0
    again = np.asarray(pixel_array(dataset, raw=True)).reshape(values.shape)
    if not np.array_equal(again, values):
        raise WriteError(
            f"compressed pixels ({uid.UID(syntax).name}) come back with other values: leave out "
            "syntax="
        )


def _jpeg2000(values: NDArray[Any], bits: int, syntax: str) -> bytes:
    """Return one frame as a codestream; colours stay red, green and blue (PS3.5 A.4.4)."""
    codecs = _require_imagecodecs()
    if syntax == uid.HTJ2KLossless:
        return bytes(codecs.htj2k_encode(values, reversible=True, rgb=False))
    return bytes(
        codecs.jpeg2k_encode(
            values, level=0, codecformat="j2k", reversible=True, mct=False, bitspersample=bits
        )
    )


def _stored_values(dataset: Any, stored: bytes) -> NDArray[Any]:
    """Return the frames, shape (frames, rows, columns[, samples])."""
    sign = "i" if dataset.PixelRepresentation else "u"
    dtype = np.dtype(f"<{sign}{dataset.BitsAllocated // 8}")
    samples = int(dataset.SamplesPerPixel)
    count = int(dataset.get("NumberOfFrames") or 1)
    shape = (count, int(dataset.Rows), int(dataset.Columns), *((samples,) if samples > 1 else ()))
    size = int(np.prod(shape))
    values = np.frombuffer(stored, dtype, count=size)
    if samples > 1 and dataset.get("PlanarConfiguration"):
        planes = values.reshape(count, samples, *shape[1:3])
        return np.ascontiguousarray(np.moveaxis(planes, 1, -1))
    return values.reshape(shape)


def _check(dataset: Any, values: NDArray[Any], bits: int, syntax: str) -> None:
    name = uid.UID(syntax).name
    if values.dtype.itemsize * 8 > _WIDEST:
        raise WriteError(
            f"{name} has at most {_WIDEST} bits a value, not {values.dtype.itemsize * 8}: "
            "syntax='explicit' has room for them"
        )
    low, high = (
        (-(1 << bits - 1), (1 << bits - 1) - 1)
        if values.dtype.kind == "i"
        else (0, (1 << bits) - 1)
    )
    if values.size and (values.min() < low or values.max() > high):
        raise WriteError(
            f"values between {values.min()} and {values.max()} do not fit the {bits} bits that "
            f"are stored (overlays in unused bits?), which {name} has no place for: "
            "syntax='explicit' keeps them"
        )
    if str(dataset.PhotometricInterpretation).startswith("YBR"):
        raise WriteError(f"{dataset.PhotometricInterpretation} pixels are not compressed anew")


def _about(dataset: Any) -> dict[str, Any]:
    return {
        "rows": int(dataset.Rows),
        "columns": int(dataset.Columns),
        "samples_per_pixel": int(dataset.SamplesPerPixel),
        "bits_allocated": int(dataset.BitsAllocated),
        "bits_stored": int(dataset.BitsStored),
        "pixel_representation": int(dataset.PixelRepresentation),
        "photometric_interpretation": str(dataset.PhotometricInterpretation),
        "planar_configuration": 0,
        "number_of_frames": 1,
    }
