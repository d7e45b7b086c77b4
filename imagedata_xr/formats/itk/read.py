"""Open a file through SimpleITK (https://simpleitk.org): its header first, voxels when needed."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from imagedata_xr import schema
from imagedata_xr.dataset import Image, Labels, build
from imagedata_xr.errors import (
    FormatError,
    GeometryError,
    MissingDependencyError,
    OptionError,
    SourceNotFoundError,
)
from imagedata_xr.formats.itk.guess import READERS, holds_itk
from imagedata_xr.formats.itk.metaheader import check_meta_header
from imagedata_xr.geometry import grid_from_affine
from imagedata_xr.lazy import FrameArray, lazily

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr
    from numpy.typing import NDArray

    from imagedata_xr.geometry import Grid

__all__ = ["open_image", "require_sitk"]

VECTOR: Final = "vector"
ENCODING: Final = "itk"
COLOURS: Final = 3
# Deflate packs at most 258 bytes into two bits.
LARGEST_RATIO: Final = 1032
NRRD_SPACE: Final = "NRRD_space"
TYPES: Final = {
    "Int8": "i1",
    "UInt8": "u1",
    "Int16": "i2",
    "UInt16": "u2",
    "Int32": "i4",
    "UInt32": "u4",
    "Int64": "i8",
    "UInt64": "u8",
    "Float32": "f4",
    "Float64": "f8",
    "ComplexFloat32": "c8",
    "ComplexFloat64": "c16",
}


@dataclass(frozen=True, slots=True, eq=False)
class Header:
    """
    What a header says.

    Attributes
    ----------
    path : str
    shape : tuple of int
        In C order: the last axis of the file first, components of a voxel last.
    parts : int
        Numbers a voxel.
    dtype : dtype
    spacing, origin : tuple of float
        In the order of the file.
    direction : ndarray, shape (n, n)
        Columns are the unit vectors of the axes.
    texts : dict of str
        Everything else.
    """

    path: str
    shape: tuple[int, ...]
    parts: int
    dtype: np.dtype[Any]
    spacing: tuple[float, ...]
    origin: tuple[float, ...]
    direction: NDArray[np.float64]
    texts: dict[str, str]


def require_sitk() -> Any:
    """Return SimpleITK, or raise MissingDependencyError."""
    try:
        import SimpleITK as sitk  # noqa: N813 - the name that everybody uses
    except ImportError as error:
        raise MissingDependencyError(
            'MetaImage and NRRD files need SimpleITK: pip install "imagedata_xr[itk]"'
        ) from error
    return sitk


def open_image(source: Any, *, dims: Sequence[str] | None = None) -> xr.Dataset:
    """
    Return the Dataset of one file, without its voxels.

    Parameters
    ----------
    source : path
    dims : sequence of str, optional
        See `ItkEntrypoint.open_dataset`.
    """
    header = _header(_checked(source))
    axes = len(header.spacing)
    colour = header.parts == COLOURS and header.dtype == np.uint8
    names = _names(header, dims, colour=colour)
    grid = _grid(header) if axes > 2 else None
    array = ItkArray(header, colour=colour)
    sizes = dict(zip(names, array.shape, strict=False))
    labels = {name: Labels(np.arange(size)) for name, size in sizes.items()}
    steps = [float(step) for step in header.spacing]
    if axes > 2 and grid is None:
        count = np.arange(header.shape[axes - 3])
        about = {schema.UNITS: schema.MM, schema.SPACING: steps[2]}
        labels[schema.SLICE] = Labels(count * steps[2], about)
    image = Image(
        lazily(array),
        labels,
        grid,
        attrs=_attrs(header.texts),
        encoding={ENCODING: {"texts": dict(header.texts)}},
        spacing=(steps[1], steps[0]),
        colour=colour,
    )
    dataset = build(image)
    # ITK reads most files whole, however little is asked for.
    dataset.image.encoding["preferred_chunks"].pop(schema.SLICE, None)
    return dataset


def _attrs(texts: dict[str, str]) -> dict[str, str]:
    """Return what is not said by the array itself."""
    own = ("ITK_", "NRRD_")
    found = {k: v for k, v in texts.items() if k.isidentifier() and not k.startswith(own)}
    # MET_MOD_CT is CT, and MET_MOD_UNKNOWN says nothing.
    modality = found.pop("Modality", "").removeprefix("MET_MOD_")
    return found | ({"Modality": modality} if modality not in ("", "UNKNOWN", "OTHER") else {})


def _checked(source: Any) -> str:
    if not isinstance(source, str | os.PathLike):
        raise OptionError(f"the engine 'itk' opens local files by their path, not {type(source)}")
    path = Path(os.fspath(source)).expanduser()
    if not path.is_file():
        raise SourceNotFoundError(f"{path}: no such file")
    if path.suffix.lower() not in READERS:
        raise OptionError(f"{path}: the engine 'itk' opens {', '.join(READERS)}")
    if not holds_itk(path):
        raise FormatError(f"{path}: its first bytes are not those of a {path.suffix} file")
    if READERS[path.suffix.lower()] == "MetaImageIO":
        check_meta_header(str(path))
    return str(path)


def _reader(path: str) -> Any:
    reader = require_sitk().ImageFileReader()
    # By name: ITK would else choose by contents, and read other formats too.
    reader.SetImageIO(READERS[Path(path).suffix.lower()])
    reader.SetFileName(path)
    return reader


def _header(path: str) -> Header:
    sitk = require_sitk()
    reader = _reader(path)
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise FormatError(f"{path}: {_reason(error)}") from error
    codes = {getattr(sitk, f"sitk{name}"): kind for name, kind in TYPES.items()}
    codes |= {
        getattr(sitk, f"sitkVector{name}"): kind
        for name, kind in TYPES.items()
        if hasattr(sitk, f"sitkVector{name}")
    }
    kind = codes.get(reader.GetPixelID())
    if kind is None:
        raise FormatError(f"{path}: voxels of an unknown type ({reader.GetPixelIDValue()})")
    size, parts = reader.GetSize(), int(reader.GetNumberOfComponents())
    dtype = np.dtype(kind)
    if dtype.kind == "c":
        parts = 1
    if len(size) not in (2, 3, 4) or min(size) < 1:
        raise FormatError(f"{path}: sizes {tuple(size)}: images have 2, 3 or 4 axes")
    _check_length(path, math.prod(size) * parts * dtype.itemsize)
    return Header(
        path=path,
        shape=tuple(size)[::-1] + ((parts,) if parts > 1 else ()),
        parts=parts,
        dtype=dtype,
        spacing=tuple(reader.GetSpacing()),
        origin=tuple(reader.GetOrigin()),
        direction=np.array(reader.GetDirection()).reshape(len(size), len(size)),
        texts=_texts(reader),
    )


def _texts(reader: Any) -> dict[str, str]:
    """Return all texts of the header that are UTF-8."""
    keys = [key for key in reader.GetMetaDataKeys() if _is_text(key)]
    texts = {key: reader.GetMetaData(key) for key in keys}
    return {key: text for key, text in texts.items() if _is_text(text)}


def _is_text(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _reason(error: Exception) -> str:
    """Return the last line of what ITK says, without addresses of its objects."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].rpartition("): ")[2] if lines else type(error).__name__


def _check_length(path: str, needed: int) -> None:
    """Raise where no file here can hold so many voxels, before memory is taken for them."""
    header = Path(path)
    files = [header]
    if header.suffix.lower() in (".mhd", ".nhdr"):
        files = [one for one in header.parent.iterdir() if one.is_file()]
    if needed > LARGEST_RATIO * sum(one.stat().st_size for one in files):
        raise FormatError(f"{path}: the voxels need {needed} bytes, more than the file can hold")


def _names(header: Header, dims: Sequence[str] | None, *, colour: bool) -> tuple[str, ...]:
    default = (schema.VOLUME,) * (len(header.spacing) > 3)
    default += (VECTOR,) * (header.parts > 1 and not colour)
    if dims is None:
        return default
    names = tuple(dims)
    reserved = {*schema.SPATIAL, schema.RGB} & set(names)
    if len(names) != len(default) or reserved or len(set(names)) < len(names) or not all(names):
        raise OptionError(f"dims={names!r}: name the axes {default} and nothing else")
    return names


def _grid(header: Header) -> Grid | None:
    """Return the grid, in LPS as ITK has it; None for an NRRD file without a space."""
    nrrd = READERS[Path(header.path).suffix.lower()] == "NrrdImageIO"
    if nrrd and NRRD_SPACE not in header.texts:
        return None
    matrix = np.eye(4)
    matrix[:3, :3] = header.direction[:3, :3] * header.spacing[:3]
    matrix[:3, 3] = header.origin[:3]
    sizes = header.shape[: len(header.spacing)][::-1][:3]
    try:
        return grid_from_affine(matrix, sizes, order=schema.SPATIAL[::-1])
    except GeometryError as error:
        raise GeometryError(f"{header.path}: {error}") from error


class ItkArray(FrameArray):
    """
    The voxels of a file, read through SimpleITK part by part.

    Parameters
    ----------
    header : Header
    colour : bool
        Components of a voxel are the last axis; else they stand before the three spatial ones.
    """

    def __init__(self, header: Header, *, colour: bool) -> None:
        self.path = header.path
        self.dtype = header.dtype
        self.file_shape = header.shape
        self.axes = len(header.spacing)
        order = list(range(len(header.shape)))
        if header.parts > 1 and not colour:
            order.insert(max(self.axes - 3, 0), order.pop())
        self.order = tuple(order)
        self.shape = tuple(self.file_shape[axis] for axis in order)

    def _read(self, key: tuple[Any, ...]) -> NDArray[Any]:
        asked = dict(zip(self.order, key, strict=True))
        picks = [
            np.atleast_1d(np.arange(size)[asked[axis]]) for axis, size in enumerate(self.file_shape)
        ]
        whole = np.transpose(self._picked(picks), self.order)
        return whole[tuple(0 if isinstance(k, int | np.integer) else slice(None) for k in key)]

    def _picked(self, picks: list[NDArray[np.intp]]) -> NDArray[Any]:
        """Return the voxels at the crossings of the picked indices, in the order of the file."""
        shape = tuple(pick.size for pick in picks)
        if 0 in shape:
            return np.empty(shape, self.dtype)
        first = [int(pick.min()) for pick in picks[: self.axes]]
        sizes = [int(pick.max()) + 1 - low for pick, low in zip(picks, first, strict=False)]
        first += [0] * (len(picks) - self.axes)
        sitk, reader = require_sitk(), _reader(self.path)
        reader.SetExtractIndex(first[: self.axes][::-1])
        reader.SetExtractSize(sizes[::-1])
        try:
            block = sitk.GetArrayFromImage(reader.Execute())
        except RuntimeError as error:
            raise FormatError(f"{self.path}: {_reason(error)}") from error
        if block.dtype != self.dtype or block.ndim != len(picks):
            raise FormatError(f"{self.path}: the file has changed since it was opened")
        near = [pick - low for pick, low in zip(picks, first, strict=True)]
        return np.asarray(block[np.ix_(*near)])
