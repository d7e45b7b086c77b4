"""Which frames an array has, in which order, and how their values are read block by block."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from imagedata_xr import schema
from imagedata_xr.errors import GeometryError, OptionError, WriteError
from imagedata_xr.formats.dicom.write.blocks import ahead, loaded
from imagedata_xr.index import grid_of
from imagedata_xr.lazy import unread_refs

if TYPE_CHECKING:
    from collections.abc import Iterator

    import xarray as xr
    from numpy.typing import NDArray

    from imagedata_xr.geometry import Grid

__all__ = ["Layout", "layout_of"]

IN_PLANE = (schema.ROW, schema.COLUMN)


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """
    The frames of an array: one for each index along the leading dimensions.

    Attributes
    ----------
    image : DataArray
    leading : tuple of str
        Dimensions that number the frames, in the order of the array.
    grid : Grid or None
        Where the voxels lie; None for images without a place in the patient.
    kept : dict
        What was worked out once, for others.
    """

    image: xr.DataArray
    leading: tuple[str, ...]
    grid: Grid | None
    kept: dict[Any, Any] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of frames along each leading dimension."""
        return tuple(self.image.sizes[name] for name in self.leading)

    @property
    def is_rgb(self) -> bool:
        """Whether every pixel is a colour."""
        return schema.RGB in self.image.dims

    @property
    def plane(self) -> tuple[int, int]:
        """Rows and columns of a frame."""
        return (self.image.sizes.get(schema.ROW, 1), self.image.sizes.get(schema.COLUMN, 1))

    def slice_of(self, index: tuple[int, ...]) -> int:
        """Return the slice of a frame."""
        return index[self.leading.index(schema.SLICE)] if schema.SLICE in self.leading else 0

    def along(self, name: str) -> NDArray[Any] | None:
        """Return the values of a coordinate for every frame, or None where frames have none."""
        coord = self.image.coords.get(name)
        if coord is None or not set(coord.dims) <= set(self.leading):
            return None
        lacking = [dim for dim in self.leading if dim not in coord.dims]
        values = coord.variable.set_dims(
            {dim: self.image.sizes[dim] for dim in (*lacking, *coord.dims)}
        )
        return np.asarray(values.transpose(*self.leading).values)

    def unread(self) -> tuple[NDArray[Any], Any] | None:
        """Return where the pixels of each frame are, where the array is as it was opened."""
        own = tuple(name for name in (*IN_PLANE, schema.RGB) if name in self.image.dims)
        if self.image.dims != (*self.leading, *own):
            return None
        return unread_refs(self.image.variable)

    def plane_at(self, index: tuple[int, ...]) -> NDArray[Any]:
        """Return the values (row, column[, rgb]) of one frame of an array as it was opened."""
        return self.image.variable.isel(dict(zip(self.leading, index, strict=True))).values

    def planes(self) -> Iterator[tuple[tuple[int, ...], NDArray[Any]]]:
        """
        Yield the index and the values (row, column[, rgb]) of each frame, in order.

        A lazy array is read frame by frame, a Dask array chunk by chunk along the leading
        dimensions, so that no chunk is computed twice, and several chunks at a time.
        """
        variable = self.image.variable
        own = [name for name in (*IN_PLANE, schema.RGB) if name in variable.dims]

        def cut(block: tuple[slice, ...]) -> xr.Variable:
            return variable.isel(dict(zip(self.leading, block, strict=True)))

        blocks = list(self._blocks())
        largest = max(math.prod(k.stop - k.start for k in block) for block in blocks)
        count = ahead(variable, largest * math.prod(self.plane) * variable.dtype.itemsize)
        parts = loaded(variable, blocks, cut, min(count, len(blocks)))
        for block, part in zip(blocks, parts, strict=True):
            # Load before transposing: a lazy backend array may not know how to turn its axes.
            values = part.transpose(*self.leading, *own).values
            lead = values.shape[: len(self.leading)]
            values = values.reshape(*lead, *self.plane, *((3,) if self.is_rgb else ()))
            for offset in np.ndindex(lead):
                index = tuple(k.start + o for k, o in zip(block, offset, strict=True))
                yield index, values[offset]

    def _blocks(self) -> Iterator[tuple[slice, ...]]:
        if self.image.variable._in_memory:  # noqa: SLF001 - xarray has no public name for it
            yield tuple(slice(0, self.image.sizes[name]) for name in self.leading)
            return
        chunks = self.image.chunksizes
        sizes = [chunks.get(name) or (1,) * self.image.sizes[name] for name in self.leading]
        ends = [np.cumsum(one).tolist() for one in sizes]
        cuts = [
            [slice(end - n, end) for n, end in zip(one, last, strict=True)]
            for one, last in zip(sizes, ends, strict=True)
        ]
        yield from product(*cuts)


def layout_of(da: xr.DataArray) -> Layout:
    """
    Return the frames of an array.

    Raises
    ------
    OptionError
        The values are complex, or no numbers.
    GeometryError
        The image lay in the patient, and its place is gone.
    WriteError
        There is nothing to write, or colours are no bytes.
    """
    if da.dtype.kind == "c":
        raise OptionError(
            "DICOM images are real: write abs(da), np.angle of it, da.real or da.imag"
        )
    if da.dtype.kind not in "biuf":
        raise OptionError(f"values of type {da.dtype} are no image: convert with astype")
    if not da.size:
        empty = [str(name) for name, size in da.sizes.items() if not size]
        raise WriteError(f"there are no frames: the array is empty along {empty}")
    if schema.RGB in da.dims and da.sizes[schema.RGB] != 3:
        raise WriteError(
            f"colours are written as red, green and blue, not {da.sizes[schema.RGB]} of them: "
            "da.isel(rgb=slice(3))"
        )
    grid = _grid(da)
    within = (*IN_PLANE, schema.RGB)
    leading = tuple(str(name) for name in da.dims if name not in within)
    return Layout(da, leading, grid)


def _grid(da: xr.DataArray) -> Grid | None:
    placed = any(
        schema.DIRECTION in da.coords[name].attrs for name in schema.SPATIAL if name in da.coords
    )
    if placed:
        return grid_of(da)
    if schema.SLICE in da.dims or not set(IN_PLANE) <= set(da.dims):
        raise GeometryError(
            "the array does not say where its voxels lie: give it the coordinates slice, row and "
            "column of an image on the same grid, e.g. "
            "da.assign_coords(slice=image.slice, row=image.row, column=image.column)"
        )
    return None
