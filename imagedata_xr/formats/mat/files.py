"""Variables of MAT files, whichever version: what there is, and their values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from imagedata_xr.copies import on_disk
from imagedata_xr.errors import (
    FormatError,
    MissingDependencyError,
    OptionError,
    SourceNotFoundError,
)
from imagedata_xr.formats.mat.elements import stored_variables
from imagedata_xr.options import limits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from imagedata_xr.formats.mat.elements import Stored

__all__ = ["HdfVariable", "read_text", "require_h5py", "require_scipy", "variables"]

NUMBERS: Final = "biufc"
# The names of MATLAB's classes of numbers in HDF5 files.
CLASSES: Final = frozenset(
    {"double", "single", "logical"} | {f"{u}int{n}" for u in ("", "u") for n in (8, 16, 32, 64)}
)


def require_scipy() -> Any:
    """Return scipy.io, or raise MissingDependencyError."""
    try:
        import scipy.io
    except ImportError as error:
        raise MissingDependencyError(
            'MAT files need SciPy: pip install "imagedata_xr[mat]"'
        ) from error
    return scipy.io


def require_h5py() -> Any:
    """Return h5py, or raise MissingDependencyError."""
    try:
        import h5py
    except ImportError as error:
        raise MissingDependencyError(
            'MAT files of version 7.3 need h5py: pip install "imagedata_xr[mat]"'
        ) from error
    return h5py


@dataclass(frozen=True, slots=True, eq=False)
class HdfVariable:
    """
    An array of numbers in an HDF5 file; picklable, holds no open file.

    Attributes
    ----------
    path, name : str
    shape : tuple of int
        In MATLAB's order; in the file it is reversed.
    dtype : dtype
        Of the values: complex for a pair of parts, bool for MATLAB's logical.
    """

    path: str
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def read(self, first: list[int], stop: list[int]) -> NDArray[Any]:
        """
        Return a block of the values.

        Raises
        ------
        FormatError
            The file has changed, or is damaged there.
        """
        h5py = require_h5py()
        key = tuple(map(slice, first[::-1], stop[::-1]))
        try:
            with h5py.File(self.path, "r") as file:
                block = np.asarray(file[self.name][key]).transpose()
        except (OSError, KeyError, RuntimeError, ValueError) as error:
            raise FormatError(f"{self.path}: {self.name} cannot be read: {error}") from error
        if self.dtype.kind == "c":
            block = block["real"] + 1j * block["imag"]
        if block.shape != tuple(b - a for a, b in zip(first, stop, strict=True)):
            raise FormatError(f"{self.path}: the file has changed since it was opened")
        return np.asarray(block.astype(self.dtype, copy=False))


def _checked(source: Any) -> str:
    if not isinstance(source, str | Path):
        raise OptionError(
            f"the engine 'mat' opens one file by its path or URL, not a {type(source).__name__}"
        )
    path = Path(source).expanduser()
    if not path.is_file():
        raise SourceNotFoundError(f"{path}: no such file")
    return str(path)


def variables(source: Any) -> tuple[str, Mapping[str, Stored | HdfVariable], str]:
    """
    Return the path, the variables that are arrays of numbers, and the text of our writer.

    Parameters
    ----------
    source : path

    Raises
    ------
    SourceNotFoundError, FormatError, OptionError, MissingDependencyError
    """
    from imagedata_xr.stored import KEY

    path = _checked(on_disk(source))
    with Path(path).open("rb") as file:
        head = file.read(520)
    if b"MATLAB 7.3" in head[:128] or head[512:516] == b"\x89HDF":
        return path, *_of_hdf(path, KEY)
    return path, *_of_elements(path, KEY)


def _of_elements(path: str, key: str) -> tuple[dict[str, Stored], str]:
    found = stored_variables(path)
    text = found.get(key)
    numbers = {name: one for name, one in found.items() if not one.is_text}
    return numbers, text.text() if text is not None and text.is_text else ""


def _of_hdf(path: str, key: str) -> tuple[dict[str, HdfVariable], str]:
    h5py = require_h5py()
    found: dict[str, HdfVariable] = {}
    text = ""
    try:
        with h5py.File(path, "r") as file:
            for name, item in file.items():
                if not isinstance(item, h5py.Dataset) or name.startswith("#"):
                    continue
                kind = _class_of(item)
                if name == key and kind == "char":
                    text = read_text(item[()])
                dtype = _dtype_of(item, kind)
                if dtype is not None and not item.attrs.get("MATLAB_empty", 0):
                    limits().check_ratio(
                        f"{path}: {name}", item.id.get_storage_size(), item.size * dtype.itemsize
                    )
                    found[name] = HdfVariable(path, name, item.shape[::-1], dtype)
    except FormatError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise FormatError(f"{path}: is no MAT file, or damaged: {error}") from error
    return found, text


def _class_of(item: Any) -> str:
    kind = item.attrs.get("MATLAB_class", b"")
    return kind.decode("ascii", "replace") if isinstance(kind, bytes) else str(kind)


def _dtype_of(item: Any, kind: str) -> np.dtype[Any] | None:
    if kind not in CLASSES:
        return None
    if item.dtype.fields is not None:
        parts = item.dtype.fields
        if set(parts) != {"real", "imag"}:
            return None
        return np.dtype(np.complex64 if parts["real"][0].itemsize == 4 else np.complex128)
    if item.dtype.kind not in NUMBERS:
        return None
    return np.dtype(bool) if kind == "logical" else item.dtype.newbyteorder("=")


def read_text(codes: NDArray[Any]) -> str:
    """Return MATLAB's text: UTF-16 code units along the columns."""
    units = np.asarray(codes, dtype="<u2").transpose().ravel(order="F")
    return units.tobytes().decode("utf-16-le", "replace")
