"""The only builder of xarray objects: sorted frames, or any array with a grid, to a Dataset."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
import xarray as xr

from imagedata_xr import schema
from imagedata_xr.index import AxisIndex, position_coords

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from imagedata_xr.geometry import Grid

__all__ = ["COLOUR_LABELS", "Image", "Labels", "build", "canonical_order"]

# Red, green, blue and alpha.
COLOUR_LABELS: Final = (*schema.RGB_LABELS, "A")
# Bytes of a chunk: what one task costs Dask is little beside reading this; what leaves a worker of
# 1 GB room for Dask's deviation, which needs nine times as much; as much as Dask makes.
SMALL_CHUNK: Final = 8 << 20
LARGE_CHUNK: Final = 32 << 20
LARGEST_CHUNK: Final = 128 << 20
RANK: Final = {name: k for k, name in enumerate((schema.VOLUME, *schema.ACQUISITION))}


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """
    Values along one dimension, or one value a frame.

    Attributes
    ----------
    values : ndarray
        1-D for a dimension; over all leading dimensions for values of frames.
    attrs : mapping
        Attributes of the coordinate, ``units`` among them.
    encoding : mapping
        Facts that are not data: where the values come from.
    tolerance : float
        Values of frames that differ by less are the same: headers round.
    group : str
        Coordinates of one group (the components of a vector) have the same dimensions.
    """

    values: npt.NDArray[Any]
    attrs: Mapping[str, Any] = field(default_factory=dict)
    encoding: Mapping[str, Any] = field(default_factory=dict)
    tolerance: float = 0.0
    group: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Image:
    """
    All that makes the Dataset of one image.

    Attributes
    ----------
    data : array
        NumPy array, or a lazy one; dimensions: those of `dims`, ``slice``, ``row``, ``column``
        (without ``slice`` if `grid` is None), then ``rgb`` if `colour`.
    dims : mapping of str to Labels
        Acquisition dimensions in order.
    grid : Grid or None
        Positions of the voxels.
    frames : mapping of str to Labels
        Values a frame, over the acquisition dimensions and ``slice``; each becomes a coordinate
        with the fewest dimensions along which it varies.
    attrs, encoding : mapping
        Of the image.
    spacing : tuple of float or None
        Distance of rows and of columns, mm, of images without a position in the patient.
    colour : bool
        The last axis of the data holds red, green and blue, and maybe alpha.
    by_volume : bool
        One slice takes as long to read as its volume.
    """

    data: Any
    dims: Mapping[str, Labels]
    grid: Grid | None
    frames: Mapping[str, Labels] = field(default_factory=dict)
    attrs: Mapping[str, Any] = field(default_factory=dict)
    encoding: Mapping[str, Any] = field(default_factory=dict)
    spacing: tuple[float, float] | None = None
    colour: bool = False
    by_volume: bool = False

    @property
    def leading(self) -> tuple[str, ...]:
        """Names of the dimensions that number frames."""
        return (*self.dims, *(() if self.grid is None else (schema.SLICE,)))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all dimensions."""
        colour = (schema.RGB,) if self.colour else ()
        return (*self.leading, schema.ROW, schema.COLUMN, *colour)


def build(image: Image) -> xr.Dataset:
    """
    Return a Dataset with the one data variable ``image``.

    Parameters
    ----------
    image : Image
    """
    variable = xr.Variable(image.names, image.data, attrs=dict(image.attrs))
    chunks = _preferred(image, variable)
    variable.encoding = {**image.encoding, "preferred_chunks": chunks}
    coords = [_spatial(image, variable.shape)]
    coords += [_axis(name, labels) for name, labels in image.dims.items()]
    plain: dict[str, Any] = {}
    for name, labels in image.frames.items():
        mates = [one for one in image.frames.values() if one.group and one.group == labels.group]
        plain[name] = _minimal(labels, image.leading, mates or [labels], chunks)
    if image.colour:
        plain[schema.RGB] = (schema.RGB, list(COLOUR_LABELS[: variable.shape[-1]]))
    return xr.Dataset({schema.IMAGE: variable}, coords=_together([*coords, plain]))


def _preferred(image: Image, variable: xr.Variable) -> dict[str, int]:
    """
    Return the chunks of ``chunks={}``: slices with all their times, echoes, b values.

    What is not named is whole, and may be cut as one likes without a warning of xarray's.
    """
    sizes = dict(zip(image.names, variable.shape, strict=True))
    leading = list(image.leading)
    chunks = {name: size for name, size in sizes.items() if name not in leading}
    held = math.prod(chunks.values()) * variable.dtype.itemsize
    if image.by_volume or not image.dims or schema.SLICE not in leading:
        return chunks | _volumes(leading, sizes, held)
    while len(leading) > 1 and held * sizes[leading[-2]] <= LARGE_CHUNK:
        held *= sizes[leading.pop(-2)]
    if len(leading) > 1:
        # Pieces as alike as can be.
        size = sizes[leading[-2]]
        pieces = math.ceil(size / max(1, LARGE_CHUNK // max(1, held)))
        chunks |= dict.fromkeys(leading, 1) | {leading[-2]: math.ceil(size / pieces)}
    elif held * sizes[schema.SLICE] > SMALL_CHUNK:
        # Of long courses, users choose how many slices.
        joined = SMALL_CHUNK // max(1, held)
        chunks[schema.SLICE] = joined if held < SMALL_CHUNK // 4 else 1
    return chunks


def _volumes(leading: list[str], sizes: Mapping[str, int], held: int) -> dict[str, int]:
    """Return the chunks that are whole volumes, of which small ones are joined."""
    leading = list(leading)
    slices = sizes.get(schema.SLICE, 1)
    if schema.SLICE in leading and held * slices <= LARGEST_CHUNK:
        leading.remove(schema.SLICE)
        held *= slices
    while leading and held * sizes[leading[-1]] <= SMALL_CHUNK:
        held *= sizes[leading.pop()]
    chunks = dict.fromkeys(leading, 1)
    # Of large volumes, users choose how many slices.
    if leading and leading[-1] != schema.SLICE and held < SMALL_CHUNK // 4:
        chunks[leading[-1]] = max(1, SMALL_CHUNK // max(1, held))
    return chunks


def _together(parts: Sequence[xr.Coordinates | Mapping[str, Any]]) -> xr.Coordinates:
    """Return all coordinates in one: xarray aligns each that is added with all others."""
    made = [one if isinstance(one, xr.Coordinates) else xr.Coordinates(one) for one in parts]
    return xr.Coordinates(
        {name: variable for one in made for name, variable in one.variables.items()},
        indexes={name: index for one in made for name, index in one.xindexes.items()},
    )


def canonical_order(names: Sequence[str]) -> tuple[str, ...]:
    """Return names of acquisition dimensions in the order of the data model; others follow."""
    return tuple(sorted(names, key=lambda name: RANK.get(name, len(RANK))))


def _spatial(image: Image, shape: Sequence[int]) -> xr.Coordinates | dict[str, Any]:
    if image.grid is not None:
        return position_coords(image.grid)
    if image.spacing is None:
        return {}
    rows, columns = shape[len(image.leading) : len(image.leading) + 2]
    pairs = zip((schema.ROW, schema.COLUMN), (rows, columns), image.spacing, strict=True)
    return {
        name: (name, np.arange(size) * step, {schema.UNITS: schema.MM, schema.SPACING: step})
        for name, size, step in pairs
    }


def _axis(name: str, labels: Labels) -> xr.Coordinates | dict[str, Any]:
    values: Any = labels.values
    indexed = values.dtype.kind in "iuf"
    if indexed and values.dtype != np.float16:
        # Of an index of pandas, xarray does not ask whether it is Dask's, and imports no Dask.
        values = pd.Index(values)
    variable = xr.Variable((name,), values, dict(labels.attrs), dict(labels.encoding))
    if not indexed:
        return {name: variable}
    index = AxisIndex.from_variables({name: variable}, options={})
    return xr.Coordinates(index.create_variables({name: variable}), indexes={name: index})


def _variable(dims: tuple[str, ...], values: npt.NDArray[Any], labels: Labels) -> xr.Variable:
    """Return a coordinate; of plain values, xarray need not import Dask to know that they are."""
    values = np.asarray(values)
    plain = values.dtype.kind in "biufUS"
    return xr.Variable(dims, values, dict(labels.attrs), dict(labels.encoding), fastpath=plain)


def _minimal(
    labels: Labels,
    leading: tuple[str, ...],
    mates: Sequence[Labels],
    chunks: Mapping[str, int],
) -> xr.Variable:
    """Drop the dimensions along which neither the values nor those of the same group vary."""
    values, dims = labels.values, leading
    for axis in reversed(range(values.ndim)):
        if all(_constant(mate, axis) for mate in mates):
            values = values.take(0, axis=axis)
            dims = (*dims[:axis], *dims[axis + 1 :])
    variable = _variable(dims, values, labels)
    # Without it, ds.chunks and map_blocks refuse a Dataset whose coordinates are cut otherwise.
    variable.encoding["preferred_chunks"] = {dim: chunks[dim] for dim in dims if dim in chunks}
    return variable


def _constant(labels: Labels, axis: int) -> bool:
    first = labels.values.take([0], axis=axis)
    if labels.values.dtype.kind != "f":
        return bool((labels.values == first).all())
    return np.allclose(labels.values, first, rtol=0, atol=labels.tolerance, equal_nan=True)
