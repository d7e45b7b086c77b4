"""
Several slices side by side in one stored image: Siemens MOSAIC and United Imaging GRID.

Tiles run along the rows of a square grid. A Siemens header has one Image Position (Patient), that
of the whole mosaic as if it were one slice; the tiles share its centre. They follow each other
along SliceNormalVector of the CSA header, which may be opposite to the cross product of the
direction cosines (reversed slice order). United Imaging lists the position of every tile.
"""

from __future__ import annotations

from dataclasses import replace
from math import ceil, isfinite, isqrt
from typing import TYPE_CHECKING, Any

from imagedata_xr.errors import FormatError
from imagedata_xr.formats.dicom.csa import csa_values
from imagedata_xr.formats.dicom.framevalues import FrameValues
from imagedata_xr.formats.dicom.nested import sequences_of
from imagedata_xr.formats.dicom.vendors.raw import decimals, doubles, short, texts, unit
from imagedata_xr.frames import Frame, PixelRef
from imagedata_xr.sortkeys.time import datetime_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from imagedata_xr.formats.dicom.headers import Header
    from imagedata_xr.formats.dicom.vendors.raw import Vector
    from imagedata_xr.frames import Value

__all__ = ["is_mosaic", "mosaic_frames"]

_SIEMENS, _CSA = "SIEMENS MR HEADER", "SIEMENS CSA HEADER"
_UIH = "Image Private Header"
_MOST_TILES = 4096
# What an item of MRVFrameSequence (0065,1051) says of its tile.
_POSITION, _LOCATION, _MOMENT = 0x00200032, 0x00201041, 0x0008002A


def is_mosaic(header: Header) -> bool:
    """Tell whether Image Type names a mosaic (MOSAIC of Siemens, VFRAME of United Imaging)."""
    kinds = texts(header.get("ImageType"))
    return "MOSAIC" in kinds or ("VFRAME" in kinds and _count_of_grid(header) > 0)


def mosaic_frames(header: Header) -> list[Frame]:
    """
    Return one frame for each tile.

    Their values hold, beside the instance's, ``ImagePositionPatient`` of the tile and
    ``SliceTime``: ms from the first acquired slice of the volume. Acquisition times stay those of
    the volume.

    Raises
    ------
    FormatError
        The number of tiles is missing, does not fit the image, or a position is damaged.
    """
    grid = _count_of_grid(header)
    return _grid_frames(header, grid) if grid else _siemens_frames(header)


def _count_of_grid(header: Header) -> int:
    """Return MRNumberOfSliceInVolume (0065,1050), 0 where there is none."""
    number = decimals(header.private(0x0065, _UIH, 0x50))
    return int(number[0]) if number and 0 < number[0] <= _MOST_TILES else 0


def _siemens_frames(header: Header) -> list[Frame]:
    count = _count(header)
    side = _square_side(count)
    whole = _whole(header)
    shape = _tile_shape(header, whole, side, side)
    listed = _csa(header, "NumberOfImagesInMosaic")
    if listed and listed[0].isdecimal() and int(listed[0]) not in (0, count):
        raise FormatError(
            f"{header.source.name}: a mosaic of {count} images by (0019,100A), of {listed[0]} by "
            "NumberOfImagesInMosaic in (0029,1010)"
        )
    positions = _siemens_positions(header, whole, shape, count)
    times = _slice_times(header, count)
    own = [
        {"ImagePositionPatient": position, "SliceTime": time, "SliceLocation": None}
        for position, time in zip(positions, times, strict=True)
    ]
    return _tiles(whole, shape, side, positions, own)


def _whole(header: Header) -> Frame:
    """Return the stored image as one frame."""
    from imagedata_xr.formats.dicom import instance

    form = instance.pixel_format(header)
    offset, length = instance.native_location(header, form)
    slope, intercept = instance.rescale(header)
    thickness = header.get("SliceThickness")
    return Frame(
        ref=PixelRef(header.source, form, 0, offset, length, slope, intercept),
        uid=str(header.get("SOPInstanceUID") or ""),
        shape=(form.rows, form.columns),
        position=instance.floats(header, "ImagePositionPatient", 3),
        orientation=instance.floats(header, "ImageOrientationPatient", 6),
        spacing=instance.floats(header, "PixelSpacing", 2),
        thickness=float(thickness) if isinstance(thickness, int | float) and thickness else None,
        values=instance.header_values(header),
    )


def _square_side(count: int) -> int:
    return isqrt(count - 1) + 1


def _tile_shape(header: Header, whole: Frame, down: int, across: int) -> tuple[int, int]:
    rows, columns = whole.shape
    if rows % down or columns % across:
        raise FormatError(
            f"{header.source.name}: a mosaic of {down} x {across} tiles cannot have {rows} Rows "
            f"and {columns} Columns"
        )
    return rows // down, columns // across


def _tiles(
    whole: Frame,
    shape: tuple[int, int],
    across: int,
    positions: Sequence[Vector | None],
    own: Sequence[Mapping[str, Value]],
) -> list[Frame]:
    found = []
    for number, (position, values) in enumerate(zip(positions, own, strict=True)):
        down, right = divmod(number, across)
        ref: PixelRef = replace(whole.ref, number=number, tile=(down * shape[0], right * shape[1]))
        found.append(
            replace(
                whole,
                ref=ref,
                shape=shape,
                position=position,
                values=FrameValues(whole.values, values),
            )
        )
    return found


def _count(header: Header) -> int:
    """Return NumberOfImagesInMosaic, of (0019,100A) or of the CSA image header."""
    number = short(header.private(0x0019, _SIEMENS, 0x0A))
    if number is None:
        values = _csa(header, "NumberOfImagesInMosaic")
        number = int(values[0]) if values and values[0].isdecimal() else 0
    if not 0 < number <= _MOST_TILES:
        raise FormatError(
            f"{header.source.name}: a mosaic whose number of images is {number or 'missing'} "
            "(NumberOfImagesInMosaic, (0019,100A) or in (0029,1010))"
        )
    return number


def _csa(header: Header, name: str) -> list[str]:
    data = header.private(0x0029, _CSA, 0x10)
    if data is None:
        return []
    try:
        return csa_values(data, name)
    except FormatError as error:
        raise FormatError(f"{header.source.name}: (0029,1010): {error}") from error


def _numbers(header: Header, name: str) -> tuple[float, ...]:
    return decimals("\\".join(_csa(header, name)).encode("latin-1"))


def _siemens_positions(
    header: Header, whole: Frame, shape: tuple[int, int], count: int
) -> list[Vector | None]:
    """Return the position of every tile, LPS mm."""
    if whole.position is None or whole.orientation is None or whole.spacing is None:
        return [None] * count
    across, down = unit(whole.orientation[:3]), unit(whole.orientation[3:])
    if across is None or down is None:
        raise FormatError(
            f"{header.source.name}: ImageOrientationPatient {whole.orientation} has no direction"
        )
    normal = _normal(header, across, down)
    step = _step(header, whole) if count > 1 else 0.0
    half_rows = (whole.shape[0] - shape[0]) / 2 * whole.spacing[0]
    half_columns = (whole.shape[1] - shape[1]) / 2 * whole.spacing[1]
    first = [
        p + half_columns * a + half_rows * d
        for p, a, d in zip(whole.position, across, down, strict=True)
    ]
    return [
        (
            first[0] + k * step * normal[0],
            first[1] + k * step * normal[1],
            first[2] + k * step * normal[2],
        )
        for k in range(count)
    ]


def _normal(header: Header, a: Vector, d: Vector) -> Vector:
    """Return the unit vector from one tile to the next."""
    cross = unit((a[1] * d[2] - a[2] * d[1], a[2] * d[0] - a[0] * d[2], a[0] * d[1] - a[1] * d[0]))
    if cross is None:
        raise FormatError(
            f"{header.source.name}: ImageOrientationPatient has zero or parallel vectors"
        )
    vector = unit(_numbers(header, "SliceNormalVector"))
    if vector is None:
        return cross
    along = sum(v * c for v, c in zip(vector, cross, strict=True))
    if abs(along) < 0.99:
        raise FormatError(
            f"{header.source.name}: SliceNormalVector {vector} is not the normal of "
            "ImageOrientationPatient"
        )
    # The header's cosines have more digits than the CSA header's vector.
    x, y, z = cross
    return cross if along > 0 else (-x, -y, -z)


def _step(header: Header, whole: Frame) -> float:
    """Return the distance between slices, mm."""
    spacing = header.get("SpacingBetweenSlices")
    if isinstance(spacing, int | float) and spacing:
        return abs(float(spacing))
    if whole.thickness is None:
        raise FormatError(
            f"{header.source.name}: a mosaic without SpacingBetweenSlices and SliceThickness"
        )
    return whole.thickness


def _slice_times(header: Header, count: int) -> Sequence[float | None]:
    """Return MosaicRefAcqTimes, (0019,1029) or in the CSA image header, from the first one: ms."""
    times = doubles(header.private(0x0019, _SIEMENS, 0x29))
    if len(times) != count:
        times = _numbers(header, "MosaicRefAcqTimes")
    if len(times) < count:
        return [None] * count
    start = min(times[:count])
    return [round(time - start, 3) for time in times[:count]]


def _grid_frames(header: Header, count: int) -> list[Frame]:
    across = _square_side(count)
    down = ceil(count / across)
    whole = _whole(header)
    shape = _tile_shape(header, whole, down, across)
    items = _grid_items(header, count)
    positions = [_position(header, item) for item in items]
    moments = [str(item[_MOMENT]) if item.get(_MOMENT) else "" for item in items]
    seconds = [datetime_seconds(moment) for moment in moments]
    known = [second for second in seconds if second is not None]
    start = min(known) if len(known) == count else None
    moment = moments[seconds.index(start)] if start is not None else ""
    own: list[dict[str, Value]] = []
    for position, second, item in zip(positions, seconds, items, strict=True):
        values: dict[str, Value] = {
            "ImagePositionPatient": position,
            "SliceLocation": item.get(_LOCATION),
        }
        if start is not None and second is not None:
            values["SliceTime"] = round((second - start) * 1e3, 3)
            values["AcquisitionDateTime"] = moment
            values["AcquisitionDate"] = moment[:8]
            values["AcquisitionTime"] = moment[8:]
        own.append(values)
    return _tiles(whole, shape, across, positions, own)


def _grid_items(header: Header, count: int) -> list[dict[int, Any]]:
    """Return what MRVFrameSequence (0065,1051) says of every tile, by tag."""
    blocks = [tag for tag, name in header.creators if tag >> 16 == 0x0065 and name == _UIH]
    tags = [0x00650000 | (tag & 0xFF) << 8 | 0x51 for tag in blocks]
    nested, found = sequences_of(header, tags)
    spans = [item for span in found.values() for item in nested.items(span)]
    if len(spans) < count:
        raise FormatError(
            f"{header.source.name}: a grid of {count} slices, but MRVFrameSequence (0065,1051) "
            f"has {len(spans)} items"
        )
    items = []
    for span in spans[:count]:
        elements = nested.elements(span)
        items.append(
            {
                tag: header.decode(tag, nested.data[elements[tag].start : elements[tag].end])
                for tag in (_POSITION, _LOCATION, _MOMENT)
                if tag in elements
            }
        )
    return items


def _position(header: Header, item: Mapping[int, Any]) -> Vector | None:
    value = item.get(_POSITION)
    if value is None:
        return None
    numbers = value if isinstance(value, tuple) else (value,)
    if len(numbers) != 3 or not all(isinstance(n, float) and isfinite(n) for n in numbers):
        raise FormatError(
            f"{header.source.name}: ImagePositionPatient of a tile is {value!r}, not 3 numbers"
        )
    return numbers[0], numbers[1], numbers[2]
