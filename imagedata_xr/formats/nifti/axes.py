"""
What the axes of a NIfTI file behind the third are.

In this order: ``dims=`` of the caller, the names our writer stored (beside the file, else in
``intent_name``), b-values beside the file, time where ``xyzt_units`` says so, and else ``volume``
(axis 4), ``vector`` (axis 5 of vectors and matrices, by ``intent_code``) or ``axis5`` to ``axis7``.
A label is never guessed: without a unit of time, ``pixdim[4]`` says nothing.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from imagedata_xr.dataset import Labels
from imagedata_xr.errors import DataWarning, OptionError
from imagedata_xr.formats.nifti.sidecar import COORDINATES
from imagedata_xr.schema import ACQUISITION, RGB, SPATIAL, TIME, UNITS, UNITS_OF, VOLUME, B
from imagedata_xr.stored import KEY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from imagedata_xr.formats.nifti.beside import Beside
    from imagedata_xr.formats.nifti.header import NiftiHeader

__all__ = ["axis_labels", "axis_names", "names_text", "own_names"]

# NIFTI_INTENT_GENMATRIX, SYMMATRIX, DISPVECT and VECTOR
VECTORS: Final = (1004, 1005, 1006, 1007)
VECTOR: Final = "vector"
# What our writer says in every file.
OWN: Final = "imagedata_xr"
LONGEST_NAME: Final = 15


def names_text(names: Sequence[str]) -> str:
    """
    Return the names of the axes behind the third for ``intent_name``, empty where they are too long.

    Parameters
    ----------
    names : sequence of str
        Axis 4 first.
    """
    text = ",".join(names)
    plain = all(name.isidentifier() and name.isascii() for name in names)
    return text if plain and len(text) <= LONGEST_NAME else ""


def own_names(header: NiftiHeader) -> list[str] | None:
    """Return the names that our writer put into ``intent_name``, axis 4 first, else None."""
    names = header.text("intent_name").split(",")
    # Other programs put their own name there when they change a file.
    if header.text("descrip") != OWN or len(names) != len(header.shape) - len(SPATIAL):
        return None
    good = all(name.isidentifier() for name in names) and not {*SPATIAL, RGB} & set(names)
    return names if good and len(set(names)) == len(names) else None


def axis_names(
    header: NiftiHeader, beside: Beside, dims: Sequence[str] | None, name: str
) -> dict[str, int]:
    """
    Return the names of the axes behind the third, axis 4 first, and their sizes.

    Axes of length 1 are left out where nobody named them.

    Parameters
    ----------
    header : NiftiHeader
    beside : Beside
    dims : sequence of str or None
        The caller's names, axis 4 first; those of axes longer than 1 suffice.
    name : str
        Of the file, for messages.

    Raises
    ------
    OptionError
        `dims` are not as many as there are axes, or mean something else.
    """
    sizes = header.shape[3:]
    if dims is not None:
        return _named(sizes, tuple(dims), name)
    stored = _stored(beside, len(sizes), name) or own_names(header)
    if stored is not None:
        return dict(zip(stored, sizes, strict=True))
    names: list[str] = [_fourth(header, beside), "axis5", "axis6", "axis7"]
    if int(header.fields["intent_code"]) in VECTORS:
        names[1] = VECTOR
    return {n: size for n, size in zip(names, sizes, strict=False) if size > 1}


def _named(sizes: tuple[int, ...], dims: tuple[str, ...], name: str) -> dict[str, int]:
    longer = [size for size in sizes if size > 1]
    if len(dims) not in (len(sizes), len(longer)):
        raise OptionError(
            f"{name}: dims={dims!r} names {len(dims)} axes, but the axes behind the third have "
            f"sizes {sizes}: name each, the fourth first"
        )
    taken = {*SPATIAL, RGB} & set(dims)
    if taken or len(set(dims)) < len(dims) or not all(dims):
        raise OptionError(f"dims={dims!r}: names differ from each other and from {SPATIAL}")
    return dict(zip(dims, sizes if len(dims) == len(sizes) else longer, strict=True))


def _stored(beside: Beside, count: int, name: str) -> list[str] | None:
    private = beside.json.get(KEY)
    if not isinstance(private, dict):
        return None
    dims = private.get("dims")
    if (
        isinstance(dims, list)
        and len(dims) == count + len(SPATIAL)
        and dims[:3] == list(SPATIAL[::-1])
        and all(isinstance(dim, str) and dim for dim in dims)
        and len({*dims, RGB}) == len(dims) + 1
    ):
        return dims[3:]
    warnings.warn(
        f"{name}: the .json beside it names the axes {dims!r}, which do not fit: left out",
        DataWarning,
        stacklevel=3,
    )
    return None


def _fourth(header: NiftiHeader, beside: Beside) -> str:
    if beside.b is not None:
        unique = np.unique(beside.b).size == beside.b.size and np.isfinite(beside.b).all()
        return B if unique and len(header.shape) == 4 else VOLUME
    return TIME if header.seconds is not None and header.pixdim[4] > 0 else VOLUME


def axis_labels(
    axes: Mapping[str, int],
    header: NiftiHeader,
    beside: Beside,
    stored: Mapping[str, tuple[tuple[str, ...], Any, dict[str, Any]]],
) -> dict[str, Labels]:
    """
    Return the values along each axis: as stored beside the file, times from ``pixdim[4]``, numbers.

    Parameters
    ----------
    axes : mapping of str to int
        Sizes, axis 4 first.
    header : NiftiHeader
    beside : Beside
    stored : mapping
        Coordinates that our writer or the caller gave.

    Warns
    -----
    DataWarning
        The values of a physical axis are not known, and it is numbered.
    """
    fourth = next(iter(axes), None)
    found = {}
    for name, size in axes.items():
        units = {UNITS: UNITS_OF[name]} if name in UNITS_OF else {}
        dims, values, attrs = stored.get(name, ((), None, {}))
        known = None
        if dims == (name,):
            known = Labels(values, attrs, {"source": KEY})
        elif name == B and beside.b is not None and beside.b.size == size:
            known = Labels(beside.b, units, {"source": ".bval"})
        elif name == TIME and name == fourth:
            known = _times(size, header, beside, units)
        elif name in COORDINATES:
            known = _of_json(name, size, beside, units)
        if known is None and name in ACQUISITION and size > 1:
            warnings.warn(
                f"nothing says the values along {name!r}, it is numbered: give them, "
                f"dims={{{name!r}: [...]}}",
                DataWarning,
                stacklevel=2,
            )
        found[name] = known or Labels(np.arange(size))
    return found


def _of_json(name: str, size: int, beside: Beside, units: dict[str, str]) -> Labels | None:
    """Return a list of the ``.json`` that has one distinct number for each place of the axis."""
    key, factor = COORDINATES[name]
    listed = beside.json.get(key)
    if not isinstance(listed, list) or len(listed) != size:
        return None
    try:
        values = np.round(np.array(listed, dtype=np.float64) / factor, 6)
    except (TypeError, ValueError):
        return None
    distinct = np.isfinite(values).all() and np.unique(values).size == size
    return Labels(values, units, {"source": key}) if distinct else None


def _times(size: int, header: NiftiHeader, beside: Beside, units: dict[str, str]) -> Labels | None:
    uneven = beside.json.get("VolumeTiming")
    if isinstance(uneven, list) and len(uneven) == size:
        try:
            return Labels(np.array(uneven, dtype=np.float64), units, {"source": "VolumeTiming"})
        except (TypeError, ValueError):
            warnings.warn("VolumeTiming is no list of numbers: left out", DataWarning, stacklevel=2)
    step = header.pixdim[4]
    if not (header.seconds and np.isfinite(step) and step > 0):
        return None
    # A float32 header has seven digits: 2.1 s is not 2.0999999 s.
    exact = (
        float(np.format_float_positional(np.float32(step))) if np.float32(step) == step else step
    )
    return Labels(
        np.round(np.arange(size) * (exact * header.seconds), 9), units, {"source": "pixdim[4]"}
    )
