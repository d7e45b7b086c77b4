"""A variable of a MAT file as a Dataset."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from imagedata_xr import schema
from imagedata_xr.dataset import Image, Labels, build, canonical_order
from imagedata_xr.errors import FormatError, GeometryError, OptionError
from imagedata_xr.formats.mat.files import variables
from imagedata_xr.geometry import Axis, Grid
from imagedata_xr.lazy import FrameArray, lazily
from imagedata_xr.stored import coordinates, left_out

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import xarray as xr
    from numpy.typing import NDArray

    from imagedata_xr.formats.mat.elements import Stored
    from imagedata_xr.formats.mat.files import HdfVariable

__all__ = ["open_image"]

_DEFAULT: Final = (schema.ROW, schema.COLUMN, schema.SLICE, schema.VOLUME)


def open_image(
    source: Any, *, variable: str | None = None, dims: Sequence[str] | None = None
) -> xr.Dataset:
    """
    Return the Dataset of a variable.

    Parameters
    ----------
    source : path
    variable : str, optional
    dims : sequence of str, optional
        In MATLAB's order.
    """
    path, found, text = variables(source)
    described = _described(path, text)
    name = variable or str(described.get("variable") or "")
    if name not in found:
        name = _only_image(path, found, variable)
    own = described if described.get("variable") == name else {}
    return _dataset(path, found[name], own, dims)


def _described(path: str, text: str) -> dict[str, Any]:
    if not text:
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict):
        return found
    left_out(f"the description in {path}", "it is no JSON object")
    return {}


def _only_image(path: str, found: Mapping[str, Stored | HdfVariable], variable: str | None) -> str:
    listed = ", ".join(
        f"{name} ({' x '.join(map(str, one.shape))} {one.dtype})" for name, one in found.items()
    )
    if variable is not None:
        raise OptionError(
            f"{path}: variable={variable!r} is no array of numbers; there are {listed or 'none'}"
        )
    images = [name for name, one in found.items() if min(one.shape, default=0) > 1]
    if len(images) != 1:
        raise OptionError(
            f"{path}: which variable is the image? Pass variable=, one of: {listed or 'none'}"
        )
    return images[0]


def _dataset(
    path: str, one: Stored | HdfVariable, own: dict[str, Any], dims: Sequence[str] | None
) -> xr.Dataset:
    if 0 in one.shape:
        raise OptionError(f"{path}: the variable is empty: {' x '.join(map(str, one.shape))}")
    names = _names(path, one, own, dims)
    # MATLAB drops axes of length 1 at the end, and has two at least.
    shape = (*one.shape, *[1] * (len(names) - len(one.shape)))
    sizes = dict(zip(names, shape, strict=True))
    lead = canonical_order([n for n in names if n not in (*schema.SPATIAL, schema.RGB)])
    last = [name for name in (*schema.SPATIAL, schema.RGB) if name in names]
    order = tuple(names.index(name) for name in (*lead, *last))
    stored = coordinates(own.get("coords"), sizes, path, texts=True)
    labels = {name: Labels(np.arange(sizes[name])) for name in lead}
    for name in lead:
        where, values, attrs = stored.get(name, ((), None, {}))
        if where == (name,) and values is not None:
            labels[name] = Labels(values, attrs)
    grid = _grid(path, own.get("axes"), sizes) if own else None
    if grid is None and schema.SLICE in sizes:
        labels[schema.SLICE] = Labels(np.arange(sizes[schema.SLICE]))
    dataset = build(
        Image(
            lazily(MatArray(one, shape, order)),
            labels,
            grid,
            attrs=_attrs(own),
            colour=schema.RGB in names,
        )
    )
    if grid is None:
        dataset = dataset.drop_vars(schema.SPATIAL, errors="ignore")
    for name, (where, values, attrs) in stored.items():
        if name not in dataset.dims:
            dataset.coords[name] = (where, values, attrs)
    for variable in dataset.variables.values():
        variable.encoding.pop("preferred_chunks", None)
    return dataset


def _names(
    path: str, one: Stored | HdfVariable, own: dict[str, Any], dims: Sequence[str] | None
) -> list[str]:
    sizes = own.get("sizes")
    stored = own.get("dims")
    rank = len(one.shape)
    if dims is not None:
        names = [str(name) for name in dims]
    elif (
        isinstance(stored, list)
        and isinstance(sizes, list)
        and all(isinstance(name, str) for name in stored)
        and _same(one.shape, sizes)
        and len(sizes) == len(stored)
    ):
        names = list(stored)
    elif rank <= len(_DEFAULT):
        names = list(_DEFAULT[:rank])
    else:
        raise OptionError(f"{path}: the variable has {rank} axes: name them with dims=")
    if (
        len(set(names)) < len(names)
        or not all(names)
        or not {schema.ROW, schema.COLUMN} <= set(names)
    ):
        raise OptionError(
            f"{path}: dims={tuple(names)}: an image has 'row' and 'column', each once"
        )
    if not _same(one.shape, [*one.shape, *[1] * (len(names) - rank)]) or len(names) < rank:
        raise OptionError(f"{path}: dims={tuple(names)}, but the variable has {rank} axes")
    colours = dict(zip(names, one.shape, strict=False)).get(schema.RGB, 3)
    if colours not in (3, 4):
        raise OptionError(f"{path}: the axis 'rgb' has 3 or 4 colours, not {colours}")
    return names


def _same(shape: tuple[int, ...], sizes: Sequence[Any]) -> bool:
    """Tell whether two shapes are one for MATLAB, which has no axes of length 1 at the end."""
    longest = max(len(shape), len(sizes))
    padded = [[*one, *[1] * (longest - len(one))] for one in (shape, sizes)]
    return padded[0] == padded[1]


def _grid(path: str, axes: Any, sizes: Mapping[str, int]) -> Grid | None:
    if not isinstance(axes, dict):
        return None
    try:
        found = [
            Axis(
                np.array(axes[name]["values"], dtype=np.float64),
                _vector(axes[name]["direction"]),
                None if axes[name]["spacing"] is None else float(axes[name]["spacing"]),
            )
            for name in schema.SPATIAL
        ]
    except (KeyError, TypeError, ValueError, GeometryError) as error:
        raise FormatError(
            f"{path}: the positions in its description are damaged: {error!r}"
        ) from error
    wrong = [
        n for n, axis in zip(schema.SPATIAL, found, strict=True) if axis.size != sizes.get(n, 1)
    ]
    if wrong:
        raise FormatError(f"{path}: the positions along {wrong[0]} do not fit the variable")
    return Grid(*found)


def _vector(numbers: Any) -> tuple[float, float, float]:
    x, y, z = (float(number) for number in numbers)
    return x, y, z


def _attrs(own: dict[str, Any]) -> dict[str, Any]:
    attrs = own.get("attrs")
    kept = attrs.items() if isinstance(attrs, dict) else ()
    return {str(k): v for k, v in kept if isinstance(v, str | int | float)}


class MatArray(FrameArray):
    """
    The values of a variable, in the order of the array.

    Parameters
    ----------
    variable : Stored or HdfVariable
    shape : tuple of int
        In MATLAB's order, with axes of length 1 at the end.
    order : tuple of int
        Which of MATLAB's axes each axis of the array is.
    """

    def __init__(
        self, variable: Stored | HdfVariable, shape: tuple[int, ...], order: tuple[int, ...]
    ) -> None:
        self.variable = variable
        self.own_shape = shape
        self.order = order
        self.dtype = variable.dtype.newbyteorder("=")
        self.shape = tuple(shape[axis] for axis in order)

    def _read(self, key: tuple[Any, ...]) -> NDArray[Any]:
        asked = dict(zip(self.order, key, strict=True))
        picks = [np.atleast_1d(np.arange(n)[asked[k]]) for k, n in enumerate(self.own_shape)]
        rank = len(self.variable.shape)
        if 0 in [pick.size for pick in picks]:
            block = np.empty([pick.size for pick in picks], self.dtype)
        else:
            first = [int(pick.min()) for pick in picks]
            stop = [int(pick.max()) + 1 for pick in picks]
            read = self.variable.read(first[:rank], stop[:rank])
            near = [pick - low for pick, low in zip(picks, first, strict=True)]
            block = read.reshape(*read.shape, *[1] * (len(picks) - rank))[np.ix_(*near)]
        whole = np.transpose(block, self.order).astype(self.dtype, copy=False)
        return np.asarray(
            whole[tuple(0 if isinstance(k, int | np.integer) else slice(None) for k in key)]
        )
