"""
Private elements that the reader keeps: group, private creator and low byte of the element.

Their meaning is the vendors' (PS3.5 section 7.8.1 says how blocks are reserved); the names are
those of pydicom's private dictionary and of the vendors' conformance statements.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, TypeAlias

from imagedata_xr.formats.dicom.headers.dictionary import key_of

__all__ = ["WANTED_PRIVATE", "PrivateElement", "reserved_block"]

PrivateElement: TypeAlias = tuple[int, str, int]

_TABLE: tuple[tuple[int, str, tuple[int, ...]], ...] = (
    # Mosaic size, slice duration, b value, directionality, direction, b matrix, bandwidth, times.
    (0x0019, "SIEMENS MR HEADER", (0x08, 0x0A, 0x0B, 0x0C, 0x0D, 0x0E, 0x27, 0x28, 0x29)),
    # CSA image and series headers with their types.
    (0x0029, "SIEMENS CSA HEADER", (0x08, 0x10, 0x18, 0x20)),
    (0x0029, "SIEMENS MEDCOM HEADER2", (0x60,)),
    (0x0021, "SIEMENS MR SDS 01", (0x19,)),
    (0x0051, "SIEMENS MR HEADER", (0x0B, 0x0C, 0x0D, 0x0E, 0x0F, 0x13, 0x16)),
    (0x7FE1, "SIEMENS CSA NON-IMAGE", (0x10,)),
    (0x0071, "SIEMENS MED PT", (0x21, 0x22)),
    # Image type, b value, direction of the b value.
    (0x0043, "GEMS_PARM_01", (0x01, 0x2C, 0x2D, 0x2F, 0x30, 0x39)),
    # Gradients, number of directions, of slices and of temporal positions.
    (0x0019, "GEMS_ACQU_01", (0x5A, 0x9C, 0x9E, 0xA2, 0xBB, 0xBC, 0xBD, 0xD9, 0xDF, 0xE0)),
    (0x0021, "GEMS_RELA_01", (0x4F, 0x56, 0x57, 0x5A, 0x5D, 0x5E)),
    (0x0025, "GEMS_SERS_01", (0x07, 0x11)),
    (0x0027, "GEMS_IMAG_01", (0x41, 0x60)),
    (0x0009, "GEMS_PETD_01", (0x37, 0x38, 0x39, 0x3A, 0x3B, 0x3D)),
    # b value, direction, phase and slice numbers, dynamic scans.
    (
        0x2001,
        "Philips Imaging DD 001",
        (0x03, 0x04, 0x06, 0x08, 0x0A, 0x0B, 0x11, 0x17, 0x18, 0x1A, 0x21, 0x22, 0x23, 0x2D, 0x81),
    ),
    # Scale slope and intercept, image type, directions.
    (
        0x2005,
        "Philips MR Imaging DD 001",
        (0x09, 0x0A, 0x0D, 0x0E, 0x11, 0x20, 0x3D, 0x6E, 0xA0, 0xB0, 0xB1, 0xB2),
    ),
    (0x2005, "Philips MR Imaging DD 002", (0x37, 0x38, 0x43)),
    (0x2005, "Philips MR Imaging DD 004", (0x08, 0x09, 0x0A)),
    # Gradient orientation and diffusion numbers, label or control, phase numbers.
    (0x2005, "Philips MR Imaging DD 005", (0x12, 0x13, 0x14, 0x15, 0x16, 0x29)),
    # SUV and activity scale factors.
    (0x7053, "Philips PET Private Group", (0x00, 0x09)),
    # b value and direction, number of tiles, content time.
    (
        0x0065,
        "Image Private Header",
        (0x09, 0x0A, 0x0B, 0x0F, 0x10, 0x1A, 0x1F, 0x37, 0x50, 0x51),
    ),
    (0x0019, "HMC", (0x4B, 0x4D)),
    (0x0021, "HMC", (0x10,)),
    (0x0019, "HITACHI MR", (0x4B, 0x4D)),
    (0x0029, "TOSHIBA_MEC_MR3", (0x89,)),
    *(
        (0x700D, creator, (0x00, 0x02, 0x03, 0x05, 0x06, 0x19))
        for creator in ("TOSHIBA_MEC_MR3", "CANON_MEC_MR3")
    ),
    # Our own: time of a slice in its volume, and of the volume.
    (0x0017, "IMAGEDATA_XR", (0x01, 0x02, 0x03, 0x04)),
)

WANTED_PRIVATE: Final[frozenset[PrivateElement]] = frozenset(
    (group, creator, low) for group, creator, lows in _TABLE for low in lows
)


@lru_cache(maxsize=16)
def _by_creator(wanted: frozenset[PrivateElement]) -> dict[tuple[int, str], tuple[int, ...]]:
    found: dict[tuple[int, str], list[int]] = {}
    for group, creator, low in sorted(wanted):
        found.setdefault((group, creator), []).append(low)
    return {key: tuple(lows) for key, lows in found.items()}


@lru_cache(maxsize=4096)
def reserved_block(
    wanted: frozenset[PrivateElement], tag: int, value: bytes
) -> tuple[tuple[int, str], dict[int, int]]:
    """
    Return what a private creator element reserves (PS3.5 section 7.8.1).

    Parameters
    ----------
    wanted : frozenset of tuple
        The private elements to keep.
    tag : int
        Of the private creator element.
    value : bytes
        Its raw value.

    Returns
    -------
    tuple
        The tag and the creator's name.
    dict of int to int
        Key and tag of the elements wanted in its block. Not to be changed.
    """
    name = value.decode("latin-1").strip(" \0")
    block = tag & 0xFFFF0000 | (tag & 0xFF) << 8
    lows = _by_creator(wanted).get((tag >> 16, name), ())
    return (tag, name), {key_of(block | low): block | low for low in lows}
