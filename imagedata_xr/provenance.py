"""From an array back to its source: full headers, and a table of its frames."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from imagedata_xr import schema
from imagedata_xr.errors import GeometryError, HeaderError
from imagedata_xr.index import grid_of

if TYPE_CHECKING:
    from collections.abc import Hashable

    import pandas as pd
    import xarray as xr

__all__ = ["frame_table", "header", "header_store", "summary"]

# Where +x, -x of patient LPS lead, and so on; and the cosine from which an axis is called oblique.
SIDES = (("left", "right"), ("back", "front"), ("head", "feet"))
NEARLY = 0.9998


def header_store(obj: xr.DataArray | xr.Dataset) -> Any:
    """
    Return the store of full headers that the array carries.

    Raises
    ------
    HeaderError
        The array has none: it was not read from DICOM, or came back from a netCDF or Zarr file.
    """
    series = obj.coords.get(schema.SERIES)
    store = None if series is None else series.encoding.get(schema.HEADERS)
    if series is not None and not set(map(str, series.values.ravel())).issuperset(
        uid for name, uid in obj.attrs.items() if str(name).startswith(schema.SOURCE_SERIES)
    ):
        # Of three arrays that were added, the coordinate of the last one is left.
        store = None
    if store is None:
        raise HeaderError(
            "the array does not know where its DICOM headers are: it comes from another format, "
            "from several series, or from a netCDF or Zarr file; open the DICOM source again"
        )
    return store


def _frames(obj: xr.DataArray | xr.Dataset) -> xr.DataArray:
    frames = obj.coords.get(schema.FRAME)
    if frames is None or frames.dtype.kind not in "iu":
        raise HeaderError(
            "the array does not know its frames: they were averaged, combined or interpolated, or "
            "it was not read from DICOM; ask the array that was opened"
        )
    found: xr.DataArray = frames
    return found


def header(obj: xr.DataArray | xr.Dataset, index: int | None = None, **indexers: int) -> Any:
    """
    Return the full header of one frame as a pydicom Dataset, without pixels.

    Parameters
    ----------
    obj : DataArray or Dataset
    index : int, optional
        Row of `frame_table`; not needed where there is one frame.
    **indexers : int
        Or the frame's place along named dimensions, e.g. ``time=0, slice=3``.

    Raises
    ------
    HeaderError
        There is no such frame, or its file is gone.
    """
    frames = _frames(obj)
    unknown = set(indexers) - set(obj.dims)
    if unknown:
        raise HeaderError(f"the array has no dimension {sorted(unknown)}: it has {tuple(obj.dims)}")
    outside = {k: v for k, v in indexers.items() if not -obj.sizes[k] <= v < obj.sizes[k]}
    if outside:
        sizes = ", ".join(f"{name} has {obj.sizes[name]}" for name in outside)
        raise HeaderError(f"there is no frame at {outside}: {sizes}")
    frames = frames.isel({name: place for name, place in indexers.items() if name in frames.dims})
    flat = frames.values.ravel()
    place = 0 if index is None and flat.size == 1 else index
    if place is None or not -flat.size <= place < flat.size:
        raise HeaderError(
            f"the array has {flat.size} frames over {frames.dims}: give the number of one of them "
            "(see .med.frames()), or its place, e.g. header(slice=0)"
        )
    return header_store(obj).dataset(int(flat[place]))


def frame_table(obj: xr.DataArray | xr.Dataset) -> pd.DataFrame:
    """
    Return one row a frame: its labels, its own values, its file and its number in the file.

    Raises
    ------
    HeaderError
        The array's frames are not known.
    """
    import pandas as pd

    frames = _frames(obj)
    store = (
        obj.coords[schema.SERIES].encoding.get(schema.HEADERS)
        if schema.SERIES in obj.coords
        else None
    )
    columns: dict[Hashable, Any] = {}
    labels = np.meshgrid(*(np.arange(obj.sizes[dim]) for dim in frames.dims), indexing="ij")
    for dim, places in zip(frames.dims, labels, strict=True):
        known = dim in obj.coords
        columns[dim] = obj.coords[dim].values[places.ravel()] if known else places.ravel()
    for name, coord in obj.coords.items():
        if name not in columns and set(coord.dims) <= set(frames.dims):
            columns[name] = coord.broadcast_like(frames).transpose(*frames.dims).values.ravel()
    keys = [int(key) for key in frames.values.ravel()]
    if store is not None:
        known_places = [store.places.get(key) for key in keys]
        columns["source"] = [None if place is None else place[0].name for place in known_places]
        columns["number"] = [-1 if place is None else place[1] for place in known_places]
    return pd.DataFrame(columns)


def summary(obj: xr.DataArray) -> str:
    """Return a short text: dimensions, what they were read from, geometry, and the source."""
    stored = obj.encoding.get(schema.ENCODING, {})
    sources = stored.get("sort", {})
    lines = [
        f"{schema.IMAGE if obj.name is None else obj.name}: {obj.dtype}, "
        + " x ".join(f"{d} {n}" for d, n in obj.sizes.items())
    ]
    steps = _steps(obj)
    for dim in obj.dims:
        if dim not in obj.coords:
            lines.append(f"  {dim}: no coordinate")
            continue
        coord = obj.coords[dim]
        unit = coord.attrs.get(schema.UNITS, "")
        ends = f"{_short(coord.values[0])} to {_short(coord.values[-1])} {unit}".strip()
        # In arrays that come from netCDF, the source is the path of that file.
        stranger = "original_shape" in coord.encoding
        origin = (None if stranger else coord.encoding.get("source")) or sources.get(dim)
        lines.append(
            f"  {dim}: {ends}{steps.get(dim, '')}" + (f", from {origin}" if origin else "")
        )
    if stored:
        lines.append(
            f"  stored: {stored['BitsStored']} of {stored['BitsAllocated']} bits, "
            f"{stored['PhotometricInterpretation']}, transfer syntax {stored['TransferSyntaxUID']}"
        )
    lines.extend(f"  passed over, no image: {name}" for name in stored.get("skipped", ()))
    return "\n".join(lines)


def _steps(obj: xr.DataArray) -> dict[Hashable, str]:
    """Return the step of each spatial axis and where its indices go, e.g. ", step 9, to the head"."""
    try:
        grid = grid_of(obj)
    except GeometryError:
        return {}
    found: dict[Hashable, str] = {}
    for name, axis, vector in zip(schema.SPATIAL, grid.axes, grid.orientation.T, strict=True):
        try:
            step = f", step {abs(axis.step):.5g}"
        except GeometryError:
            step = ", uneven" if axis.size > 1 else ""
        most = int(np.abs(vector).argmax())
        to = SIDES[most][int(vector[most] < 0)]
        found[name] = f"{step}, to the {to}" + ("" if abs(vector[most]) > NEARLY else ", oblique")
    return found


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float | np.number) else str(value)
