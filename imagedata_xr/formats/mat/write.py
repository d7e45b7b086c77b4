"""Write an image as a MAT file (MathWorks, MAT-File Format)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from imagedata_xr import schema
from imagedata_xr.errors import GeometryError, OptionError, WriteError
from imagedata_xr.formats.mat.files import require_h5py, require_scipy
from imagedata_xr.index import grid_of
from imagedata_xr.stored import KEY, described, plain
from imagedata_xr.targets import complete_file, named, place_of, written_at

if TYPE_CHECKING:
    import os
    from pathlib import Path

    import xarray as xr
    from numpy.typing import NDArray

    from imagedata_xr.geometry import Grid

__all__ = ["to_mat"]

# A variable of version 5 is shorter than 2 GiB.
LARGEST: Final = 2**31 - 1
VERSIONS: Final = ("5", "7.3")
TYPES: Final = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
REALS: Final = ("float32", "float64", "complex64", "complex128")
# Of the array, and so of everybody who sees it; nothing about the patient.
KEPT: Final = ("Modality", "units", "PhotometricInterpretation")
_CLASSES: Final = {"float32": "single", "float64": "double", "bool": "logical"}
_HEADER: Final = b"MATLAB 7.3 MAT-file, written by imagedata_xr"
_USER_BLOCK: Final = 512


def to_mat(  # noqa: PLR0913 - each option is one thing a user may say
    da: xr.DataArray,
    path: str | os.PathLike[str],
    *,
    variable: str = "image",
    version: str | None = None,
    compress: bool = False,
    overwrite: bool = False,
) -> Path | str:
    """
    Write an image to a MAT file.

    In MATLAB, the variable has the axes ``row, column[, rgb], slice`` and then those of the
    acquisition in the order of the array: ``image(:, :, 3, 2)`` is the third slice at the second
    time. Numbers along an axis of the acquisition, such as ``time``, are variables of their
    names. ``affine`` takes MATLAB's ``[row; column; slice; 1]``, counted from 1, to patient LPS in
    mm, where slices are even. The text ``imagedata_xr`` holds all labels and positions for
    ``engine="mat"``. Nothing says who the patient is.

    Parameters
    ----------
    da : xarray.DataArray
    path : path-like or URL
        Ends in ``.mat``; the folder exists. ``zip://a.mat::b.zip`` makes an archive; an fsspec
        URL is written when all is there.
    variable : str
        Name of the image in the file.
    version : {"5", "7.3"}, optional
        7.3 (HDF5) is read part by part, and has room for more than 2 GiB; 5 is what every program
        reads. By default 5, where it has room.
    compress : bool
        Deflate the values.
    overwrite : bool
        Replace an existing file.

    Returns
    -------
    pathlib.Path or str

    Raises
    ------
    OptionError
        The name of the file, of the variable or the version means nothing.
    WriteError
        MATLAB has no such values, the file exists, or the disk refuses.
    MissingDependencyError
        Without SciPy or h5py.

    Examples
    --------
    >>> out = imagedata_xr.to_mat(series, "series.mat")
    >>> xr.open_dataarray(out, engine="mat").sizes == series.sizes
    True
    """
    if named(path).suffix.lower() != ".mat":
        raise OptionError(f"{place_of(path)}: the name of the file ends in .mat")
    if not _is_name(variable) or variable in (KEY, "affine"):
        raise OptionError(f"variable={variable!r} is no name of a variable")
    _check(da, version)
    chosen = version or ("5" if da.nbytes <= LARGEST else "7.3")
    names = _names(da)
    content = _content(da, variable, names)
    (require_scipy if chosen == "5" else require_h5py)()
    with (
        written_at(path, overwrite=overwrite) as target,
        complete_file(target, overwrite=overwrite) as part,
    ):
        if chosen == "5":
            content[variable] = da.transpose(*names).values
            with part.open("wb") as file:
                require_scipy().savemat(file, content, do_compression=compress, oned_as="row")
        else:
            try:
                _write_hdf(part, content, da.transpose(*names), variable, compress=compress)
            except RuntimeError as error:
                # HDF5 cannot close a file for which there is no room.
                raise WriteError(f"{target} could not be written: {error}") from error
    return place_of(path)


def _is_name(name: str) -> bool:
    return name.isidentifier() and name.isascii() and len(name) <= 63 and not name.startswith("_")


def _check(da: xr.DataArray, version: str | None) -> None:
    if version is not None and version not in VERSIONS:
        raise OptionError(f"version={version!r}: give {' or '.join(VERSIONS)}")
    if da.dtype.name not in (*TYPES, *REALS):
        raise WriteError(f"MATLAB has no values of type {da.dtype}: convert with astype first")
    if not da.size:
        raise WriteError("there are no voxels: the array is empty")
    if version == "5" and da.nbytes > LARGEST:
        raise WriteError(
            f"{da.nbytes} bytes are too many for version 5, which has room for {LARGEST}: "
            "version='7.3'"
        )


def _names(da: xr.DataArray) -> list[str]:
    """Return the dimensions in MATLAB's order."""
    first = [n for n in (schema.ROW, schema.COLUMN, schema.RGB, schema.SLICE) if n in da.dims]
    if not {schema.ROW, schema.COLUMN} <= set(first):
        raise WriteError(
            f"an image has rows and columns, not {list(map(str, da.dims))}: da.expand_dims(...) "
            "gives back an axis that isel took"
        )
    return first + [str(n) for n in da.dims if n not in first]


def _content(da: xr.DataArray, variable: str, names: list[str]) -> dict[str, Any]:
    """Return all variables but the image."""
    grid = _grid(da)
    about: dict[str, Any] = {
        "variable": variable,
        "dims": names,
        "sizes": [int(da.sizes[name]) for name in names],
        "coords": described(da, texts=True),
        "attrs": {k: plain(da.attrs[k]) for k in KEPT if k in da.attrs},
    }
    found: dict[str, Any] = {}
    for name in names:
        known = name in da.coords and da.coords[name].dtype.kind in "iuf"
        if known and name not in schema.SPATIAL and _is_name(name) and name != variable:
            found[name] = da.coords[name].values.astype(np.float64)
    if grid is not None:
        about["axes"] = {
            name: {
                "values": axis.values.tolist(),
                "direction": [float(part) for part in axis.direction],
                "spacing": None if axis.spacing is None else float(axis.spacing),
            }
            for name, axis in zip(schema.SPATIAL, grid.axes, strict=True)
        }
        matrix = _affine(grid)
        if matrix is not None:
            found["affine"] = matrix
    found[KEY] = json.dumps(about, allow_nan=False)
    return found


def _grid(da: xr.DataArray) -> Grid | None:
    placed = any(
        schema.DIRECTION in da.coords[name].attrs for name in schema.SPATIAL if name in da.coords
    )
    return grid_of(da) if placed else None


def _affine(grid: Grid) -> NDArray[np.float64] | None:
    """Return the matrix from MATLAB's indices, row, column, slice from 1, to LPS."""
    try:
        affine = np.asarray(grid.affine, dtype=np.float64)[:, [1, 2, 0, 3]]
    except GeometryError:
        return None
    affine[:3, 3] -= affine[:3, :3].sum(axis=1)
    return affine


def _write_hdf(
    path: Path, content: dict[str, Any], image: xr.DataArray, variable: str, *, compress: bool
) -> None:
    h5py = require_h5py()
    with h5py.File(path, "w", userblock_size=_USER_BLOCK) as file:
        _put(file, variable, image, compress=compress)
        for name, value in content.items():
            if isinstance(value, str):
                units = np.frombuffer(value.encode("utf-16-le"), "<u2")
                item = file.create_dataset(name, data=units.reshape(-1, 1))
                item.attrs["MATLAB_class"] = np.bytes_("char")
                item.attrs["MATLAB_int_decode"] = np.int32(2)
            else:
                item = file.create_dataset(name, data=np.atleast_2d(value).T)
                item.attrs["MATLAB_class"] = np.bytes_("double")
    with path.open("r+b") as raw:
        # Text, then the version (0x0200) and the byte order.
        raw.write(_HEADER.ljust(116) + b"\0" * 8 + b"\0\2IM")


def _put(file: Any, name: str, image: xr.DataArray, *, compress: bool) -> None:
    """Write the image, of Dask or lazy, along its last axis: one volume or slice at a time."""
    kind = image.dtype
    parts = {"complex64": "<f4", "complex128": "<f8"}.get(kind.name)
    cell = np.dtype([("real", parts), ("imag", parts)]) if parts else kind
    cell = np.dtype("u1") if kind.kind == "b" else cell
    shape = image.shape[::-1]
    options = {"compression": "gzip", "compression_opts": 3, "chunks": (1, *shape[1:])}
    item = file.create_dataset(name, shape=shape, dtype=cell, **(options if compress else {}))
    item.attrs["MATLAB_class"] = np.bytes_(
        _CLASSES.get(kind.name, kind.name)
        if not parts
        else ("single" if parts == "<f4" else "double")
    )
    if kind.kind == "b":
        item.attrs["MATLAB_int_decode"] = np.int32(1)
    for place in range(shape[0]):
        block = image[..., place].values.transpose()
        if parts:
            pair = np.empty(block.shape, cell)
            pair["real"], pair["imag"] = block.real, block.imag
            block = pair
        item[place] = block.astype("u1") if kind.kind == "b" else block
