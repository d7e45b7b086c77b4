"""What the tags of one page of a TIFF file say of its pixels, and whether they agree (TIFF 6.0)."""

from __future__ import annotations

from typing import Final

from imagedata_xr.errors import FormatError

__all__ = ["FIRST", "NAMES", "Tags", "check_page"]

Tags = dict[int, tuple[int, ...]]

NAMES: Final = {
    254: "NewSubfileType",
    255: "SubfileType",
    256: "ImageWidth",
    257: "ImageLength",
    258: "BitsPerSample",
    259: "Compression",
    262: "PhotometricInterpretation",
    266: "FillOrder",
    273: "StripOffsets",
    274: "Orientation",
    277: "SamplesPerPixel",
    278: "RowsPerStrip",
    279: "StripByteCounts",
    284: "PlanarConfiguration",
    317: "Predictor",
    320: "ColorMap",
    322: "TileWidth",
    323: "TileLength",
    324: "TileOffsets",
    325: "TileByteCounts",
    338: "ExtraSamples",
    339: "SampleFormat",
    530: "YCbCrSubSampling",
    32997: "ImageDepth",
    32998: "TileDepth",
}
TAGS: Final = {name: tag for tag, name in NAMES.items()}
# One value, and what it is where the tag is missing (TIFF 6.0 section 8).
SINGLE: Final = {
    "ImageWidth": 0,
    "ImageLength": 0,
    "Compression": 1,
    "FillOrder": 1,
    "Orientation": 1,
    "SamplesPerPixel": 1,
    "RowsPerStrip": 2**32 - 1,
    "PlanarConfiguration": 1,
    "Predictor": 1,
    "TileWidth": 0,
    "TileLength": 0,
    "ImageDepth": 1,
    "TileDepth": 1,
}
NONE: Final = 1
FAX: Final = (2, 3, 4)
JPEG: Final = 7
PREDICTED: Final = (5, 8, 32946)
ALLOWED: Final = {
    "Compression": (NONE, *FAX, 5, JPEG, 8, 32773, 32946),
    "PhotometricInterpretation": (0, 1, 2, 3, 5, 6, 8),
    "FillOrder": (1, 2),
    "Orientation": tuple(range(1, 9)),
    "PlanarConfiguration": (1, 2),
    "Predictor": (1, 2, 3),
    "BitsPerSample": (1, 2, 4, 8, 16, 32),
    "SampleFormat": (1, 2, 3, 4),
    "ImageDepth": (1,),
    "TileDepth": (1,),
}
FLOAT: Final = 3
PALETTE: Final = 3
YCBCR: Final = 6
COLOURS: Final = {2: 3, 5: 4, 6: 3, 8: 3}
TILED: Final = (322, 323, 324, 325)
# Behind the header of the file.
FIRST: Final = 8
LONGEST: Final = 2**31 - 1
MOST_SAMPLES: Final = 1024
LARGEST_TILE: Final = 1 << 30
# What SimpleITK takes from the first page for all.
COMMON: Final = (
    "ImageWidth",
    "ImageLength",
    "BitsPerSample",
    "SampleFormat",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "Orientation",
    "TileWidth",
    "TileLength",
)


def check_page(where: str, tags: Tags, size: int) -> dict[str, int]:
    """
    Raise FormatError where the tags of a page contradict each other or the length of the file.

    Parameters
    ----------
    where : str
        File and page, for messages.
    tags : dict of tuple of int
    size : int
        Bytes of the file.

    Returns
    -------
    dict
        What all pages have in common.
    """
    page = {name: _single(where, tags, name, value) for name, value in SINGLE.items()}
    if TAGS["PhotometricInterpretation"] not in tags:
        raise _wrong(where, "PhotometricInterpretation", "is missing")
    page["PhotometricInterpretation"] = _single(where, tags, "PhotometricInterpretation", 0)
    for name in ("ImageWidth", "ImageLength"):
        if not 1 <= page[name] <= LONGEST:
            raise _wrong(where, name, f"is {page[name]}")
    if not 1 <= page["SamplesPerPixel"] <= MOST_SAMPLES:
        raise _wrong(where, "SamplesPerPixel", f"is {page['SamplesPerPixel']}")
    for name in ("BitsPerSample", "SampleFormat"):
        page[name] = _per_sample(where, tags, name, page["SamplesPerPixel"])
    for name, allowed in ALLOWED.items():
        if page[name] not in allowed:
            raise _wrong(where, name, f"is {page[name]}, not one of {allowed}")
    _check_samples(where, tags, page)
    _check_packing(where, page)
    _check_parts(where, tags, page, size)
    _check_depth(where, tags, page)
    return {name: page[name] for name in COMMON}


def _wrong(where: str, name: str, what: str) -> FormatError:
    return FormatError(f"{where}: {name} ({TAGS[name]}) {what}")


def _single(where: str, tags: Tags, name: str, default: int) -> int:
    values = tags.get(TAGS[name], (default,))
    if len(values) != 1:
        raise _wrong(where, name, f"has {len(values)} values instead of one")
    return values[0]


def _per_sample(where: str, tags: Tags, name: str, samples: int) -> int:
    values = tags.get(TAGS[name], (1,))
    if len(values) not in (1, samples) or len(set(values)) != 1:
        raise _wrong(where, name, f"is {values[:8]} where SamplesPerPixel is {samples}")
    return values[0]


def _check_samples(where: str, tags: Tags, page: dict[str, int]) -> None:
    """Raise where samples, their type and colours do not fit."""
    photometric, samples = page["PhotometricInterpretation"], page["SamplesPerPixel"]
    bits = page["BitsPerSample"]
    extra = len(tags.get(TAGS["ExtraSamples"], ()))
    if samples - extra < COLOURS.get(photometric, 1):
        raise _wrong(
            where,
            "SamplesPerPixel",
            f"is {samples}, {extra} of them extra, where PhotometricInterpretation is {photometric}",
        )
    if page["SampleFormat"] == FLOAT and bits != 32:
        raise _wrong(where, "SampleFormat", f"is {FLOAT} (float) where BitsPerSample is {bits}")
    if photometric == PALETTE:
        colours = len(tags.get(TAGS["ColorMap"], ()))
        if bits > 16 or colours != 3 << bits:
            raise _wrong(where, "ColorMap", f"has {colours} values where BitsPerSample is {bits}")


def _check_packing(where: str, page: dict[str, int]) -> None:
    """Raise where a compression cannot hold such samples."""
    packed, bits = page["Compression"], page["BitsPerSample"]
    if (packed in FAX and (bits, page["SamplesPerPixel"]) != (1, 1)) or (
        packed == JPEG and bits != 8
    ):
        raise _wrong(where, "Compression", f"is {packed} where BitsPerSample is {bits}")
    predictor = page["Predictor"]
    fits = {2: bits in (8, 16, 32), 3: page["SampleFormat"] == FLOAT}
    if predictor > 1 and not (packed in PREDICTED and fits[predictor]):
        raise _wrong(
            where,
            "Predictor",
            f"is {predictor} where Compression is {packed} and BitsPerSample is {bits}",
        )


def _check_depth(where: str, tags: Tags, page: dict[str, int]) -> None:
    """Raise where SimpleITK would mix samples, or make 8 bits of values that are more."""
    photometric, samples = page["PhotometricInterpretation"], page["SamplesPerPixel"]
    bits, planes = page["BitsPerSample"], page["PlanarConfiguration"]
    unlike = {
        "TileWidth": not tags.keys().isdisjoint(TILED),
        "PhotometricInterpretation": photometric > PALETTE,
        "PlanarConfiguration": planes == 2 and samples > 1,
        "Orientation": page["Orientation"] not in (1, 4),
        "BitsPerSample": bits < 8 or (photometric == PALETTE and bits > 16),
    }
    # Through TIFFReadRGBAImage, which gives colours for a screen.
    through = [name for name, is_so in unlike.items() if is_so]
    if through and (bits > 8 or page["SampleFormat"] in (2, FLOAT)):
        raise _wrong(
            where,
            "BitsPerSample",
            f"is {bits} and SampleFormat is {page['SampleFormat']}: of such a file SimpleITK reads "
            f"unsigned 8 bits alone, for its {through[0]} ({TAGS[through[0]]}): "
            "write it in strips, upright, samples together",
        )
    if not through and samples > 1 and photometric not in COLOURS:
        raise _wrong(
            where,
            "SamplesPerPixel",
            f"is {samples} where PhotometricInterpretation is {photometric}: SimpleITK would mix "
            "grey and alpha: write it without alpha",
        )


def _check_parts(where: str, tags: Tags, page: dict[str, int], size: int) -> None:
    """Raise where strips or tiles are not all there."""
    tiled = not tags.keys().isdisjoint(TILED)
    strips, tiles = (273, 279), (324, 325)
    starts, lengths = tiles if tiled else strips
    for tag in (starts, lengths):
        if tag not in tags:
            raise _wrong(where, NAMES[tag], "is missing")
    if tiled and not tags.keys().isdisjoint(strips):
        raise _wrong(where, "StripOffsets", "stands beside those of tiles")
    down, number, whole, rest = _layout(where, tags, page, tiled=tiled)
    for tag in (starts, lengths):
        if len(tags[tag]) != number:
            found = len(tags[tag])
            raise _wrong(where, NAMES[tag], f"has {found} values where {number} are needed")
    for k, (at, count) in enumerate(zip(tags[starts], tags[lengths], strict=True)):
        if at < FIRST or at + count > size:
            raise _wrong(where, NAMES[starts], f"[{k}] is {at}: {count} bytes not inside the file")
        needed = rest if (k + 1) % down == 0 else whole
        needed = needed if page["Compression"] == NONE else 1
        if count < needed:
            raise _wrong(where, NAMES[lengths], f"[{k}] is {count}: {needed} bytes are needed")


def _layout(
    where: str, tags: Tags, page: dict[str, int], *, tiled: bool
) -> tuple[int, int, int, int]:
    """Return parts from top to bottom, and in all; bytes of a part, and of the lowest."""
    width, length = page["ImageWidth"], page["ImageLength"]
    across, rows = width, min(page["RowsPerStrip"], length)
    if tiled:
        across, rows = page["TileWidth"], page["TileLength"]
    for name, value in (("TileLength" if tiled else "RowsPerStrip", rows), ("TileWidth", across)):
        if not 1 <= value <= LONGEST:
            raise _wrong(where, name, f"is {value}")
    down = -(-length // rows)
    planes = page["SamplesPerPixel"] if page["PlanarConfiguration"] == 2 else 1
    whole = _bytes(tags, page, across, rows)
    if tiled and whole > LARGEST_TILE:
        raise _wrong(where, "TileLength", f"is {rows} where TileWidth is {across}")
    rest = whole if tiled else _bytes(tags, page, across, length - (down - 1) * rows)
    return down, -(-width // across) * down * planes, whole, rest


def _bytes(tags: Tags, page: dict[str, int], across: int, rows: int) -> int:
    """Return the bytes of a strip or a tile without compression."""
    bits, samples = page["BitsPerSample"], page["SamplesPerPixel"]
    if page["PlanarConfiguration"] == 2:
        samples = 1
    elif page["PhotometricInterpretation"] == YCBCR and page["Compression"] == NONE:
        horizontal, vertical = (*tags.get(TAGS["YCbCrSubSampling"], (2, 2)), 0)[:2]
        if not {horizontal, vertical} <= {1, 2, 4}:
            return LONGEST
        blocks = -(-across // horizontal) * (horizontal * vertical + 2)
        return -(-blocks * bits // 8) * -(-rows // vertical)
    return -(-across * samples * bits // 8) * rows
