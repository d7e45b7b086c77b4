"""From real-world values to the stored pixels of a phantom and back, and how headers say so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from imagedata_xr.errors import OptionError
from imagedata_xr.testing.decimals import decimal

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from imagedata_xr.testing.phantom import Phantom
    from imagedata_xr.testing.placement import Array

__all__ = ["bits", "check", "palette", "real", "rescale_of", "store"]

PHOTOMETRIC = ("MONOCHROME2", "MONOCHROME1", "RGB", "YBR_FULL", "PALETTE COLOR")
# PS3.3 C.7.6.3.1.2
YBR = np.array(
    [[0.2990, 0.5870, 0.1140], [-0.1687, -0.3313, 0.5000], [0.5000, -0.4187, -0.0813]],
)


def bits(phantom: Phantom) -> int:
    """Return Bits Stored."""
    return phantom.bits_stored or np.dtype(phantom.dtype).itemsize * 8


def check(phantom: Phantom) -> None:
    """Raise unless the pixel options go together."""
    dtype = np.dtype(phantom.dtype)
    if dtype.kind not in "iu" or dtype.itemsize > 4:
        raise OptionError(f"dtype {phantom.dtype!r} cannot be stored in Pixel Data")
    if not 1 < bits(phantom) <= dtype.itemsize * 8:
        raise OptionError(f"bits_stored {phantom.bits_stored} does not fit {phantom.dtype}")
    if dtype.itemsize > 2 and phantom.transfer_syntax == "rle":
        raise OptionError(f"RLE stores no {phantom.dtype} (PS3.5 8.2.2)")
    if phantom.photometric not in PHOTOMETRIC:
        raise OptionError(f"photometric {phantom.photometric!r} is none of {PHOTOMETRIC}")
    if not phantom.photometric.startswith("MONOCHROME") and phantom.dtype != "uint8":
        raise OptionError(f"{phantom.photometric} needs dtype 'uint8'")


def rescale_of(phantom: Phantom, frame: int) -> tuple[float, float]:
    """Return slope and intercept of a frame, as exact as the header can hold them."""
    pairs = phantom.rescale
    if pairs is None:
        return 1.0, -1024.0 if phantom.modality == "CT" else 0.0
    table: Any = pairs
    single = isinstance(table[0], (int, float))
    slope, intercept = table if single else table[frame % len(table)]
    return float(decimal(slope)), float(decimal(intercept))


def _scales(phantom: Phantom, volume: int) -> tuple[Array, Array]:
    first = volume * phantom.shape[0]
    pairs = np.array([rescale_of(phantom, first + i) for i in range(phantom.shape[0])], dtype=float)
    return pairs[:, 0, None, None], pairs[:, 1, None, None]


def palette() -> NDArray[np.uint16]:
    """Return the colour table of PALETTE COLOR phantoms: 256 x (red, green, blue)."""
    index = np.arange(256)
    table = np.stack([index, 255 - index, (index * 5) % 256], axis=1)
    return (table * 257).astype(np.uint16)


def store(phantom: Phantom, values: Array, volume: int) -> NDArray[Any]:
    """Return stored pixels of the real-world values of a volume, clipped to Bits Stored."""
    slope, intercept = _scales(phantom, volume)
    count, dtype = bits(phantom), np.dtype(phantom.dtype)
    low, high = (
        (0, 2**count - 1) if dtype.kind == "u" else (-(2 ** (count - 1)), 2 ** (count - 1) - 1)
    )
    stored = np.clip(np.rint((values - intercept) / slope), low, high).astype(dtype)
    if phantom.photometric not in {"RGB", "YBR_FULL"}:
        return stored
    rgb = np.stack([stored, 255 - stored, stored // 2], axis=-1)
    if phantom.photometric == "RGB":
        return rgb
    shifted = rgb @ YBR.T + (0, 128, 128)
    return np.asarray(np.clip(np.rint(shifted), 0, 255).astype(dtype))


def real(phantom: Phantom, stored: NDArray[Any], volume: int) -> NDArray[Any]:
    """Return what the stored pixels of a volume mean: real-world values, or colours."""
    if phantom.photometric == "RGB":
        return stored
    if phantom.photometric == "PALETTE COLOR":
        return np.asarray(palette()[stored])
    if phantom.photometric == "YBR_FULL":
        rgb = (stored - np.array([0.0, 128.0, 128.0])) @ np.linalg.inv(YBR).T
        return np.asarray(np.clip(np.rint(rgb), 0, 255).astype(np.uint8))
    slope, intercept = _scales(phantom, volume)
    return np.asarray(stored * slope + intercept)
