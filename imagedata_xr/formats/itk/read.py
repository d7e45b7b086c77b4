"""Open a file through SimpleITK (https://simpleitk.org): its header first, voxels when needed."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from imagedata_xr import schema
from imagedata_xr.copies import on_disk
from imagedata_xr.errors import FormatError, OptionError, SourceNotFoundError
from imagedata_xr.formats.itk.guess import FORMATS, format_of, holds_itk
from imagedata_xr.formats.itk.header import Axes, axes_of, dataset_of, header_of
from imagedata_xr.formats.itk.lengths import check_length
from imagedata_xr.formats.itk.metaheader import check_meta_header
from imagedata_xr.formats.itk.nrrdheader import check_nrrd_header
from imagedata_xr.formats.itk.sitk import quiet, reason, require_sitk
from imagedata_xr.formats.itk.stack import files_of
from imagedata_xr.formats.itk.tiffheader import check_tiff_header
from imagedata_xr.lazy import FrameArray, lazily
from imagedata_xr.options import limits

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr
    from numpy.typing import NDArray

    from imagedata_xr.formats.itk.header import Header

__all__ = ["open_image"]

NRRD_SPACE: Final = "NRRD_space"
META: Final = "MetaImageIO"
NRRD: Final = "NrrdImageIO"
TIFF: Final = "TIFFImageIO"


def open_image(
    source: Any, *, dims: Sequence[str] | None = None, space: str | None = None
) -> xr.Dataset:
    """
    Return the Dataset of one file or of a stack of pictures, without the voxels.

    Parameters
    ----------
    source : path, or list of paths
    dims : sequence of str, optional
    space : {"LPS", "RAS"}, optional
        See `ItkEntrypoint.open_dataset`.
    """
    source = on_disk(source)
    files = files_of(source)
    if files is not None:
        return _stack(files, dims, space)
    path = _checked(source)
    header, is_streamed = _header(path)
    axes = axes_of(header, dims)
    dataset = dataset_of(header, axes, lazily(ItkArray(path, header, axes)), space)
    _chunk(dataset, whole=not is_streamed)
    return dataset


def _chunk(dataset: xr.Dataset, *, whole: bool) -> None:
    """Say which parts can be read without reading more: of most files, all there is."""
    for variable in dataset.variables.values() if whole else ():
        variable.encoding.pop("preferred_chunks", None)


def _checked(source: Any) -> str:
    if not isinstance(source, str | os.PathLike):
        raise OptionError(f"the engine 'itk' opens files by their path or URL, not {type(source)}")
    path = Path(os.fspath(source)).expanduser()
    if not path.is_file():
        raise SourceNotFoundError(f"{path}: no such file")
    found = format_of(path)
    if found is None:
        raise OptionError(f"{path}: the engine 'itk' opens {', '.join(FORMATS)}")
    suffix, kind = found
    if not holds_itk(path):
        hint = ": NIfTI files are opened by engine='nifti'" if suffix in (".hdr", ".img") else ""
        raise FormatError(f"{path}: its first bytes are not those of a {kind.name} file{hint}")
    if kind.io == META:
        check_meta_header(str(path))
    elif kind.io == NRRD:
        check_nrrd_header(str(path))
    elif kind.io == TIFF:
        check_tiff_header(str(path))
    return str(path)


def _reader(path: str) -> Any:
    found = format_of(path)
    assert found is not None
    reader = require_sitk().ImageFileReader()
    # By name: ITK would else choose by contents, and read other formats too.
    reader.SetImageIO(found[1].io)
    reader.SetFileName(path)
    return reader


def _header(path: str) -> tuple[Header, bool]:
    """Return the header, and whether parts of the file can be read on their own."""
    found = format_of(path)
    assert found is not None
    suffix, kind = found
    reader = _reader(path)
    try:
        with quiet():
            reader.ReadImageInformation()
    except RuntimeError as error:
        raise FormatError(f"{path}: {reason(error)}") from error
    header = header_of(reader, path)
    count = math.prod(header.shape)
    needed = count * header.dtype.itemsize
    check_length(path, suffix, needed, count)
    if kind.picture:
        limits().check_image(path, stored=Path(path).stat().st_size, frame=needed)
    says_place = kind.io == META or NRRD_SPACE in header.texts
    header = replace(header, placed=header.placed and says_place, sized=not kind.picture)
    return header, _is_streamed(path, kind.io)


def _is_streamed(path: str, io: str) -> bool:
    with Path(path).open("rb") as file:
        head = file.read(4096)
    if io == META:
        return b"CompressedData = True" not in head
    return io == "VTKImageIO" and b"\nBINARY" in head


class ItkArray(FrameArray):
    """
    The voxels of a file, read through SimpleITK part by part.

    Parameters
    ----------
    path : str
    header : Header
    axes : Axes
    """

    def __init__(self, path: str, header: Header, axes: Axes) -> None:
        self.path = path
        self.dtype = header.dtype
        self.file_shape = header.shape
        self.axes = header.rank
        self.order = axes.order
        self.shape = tuple(self.file_shape[axis] for axis in self.order)

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
            with quiet():
                block = sitk.GetArrayFromImage(reader.Execute())
        except RuntimeError as error:
            raise FormatError(f"{self.path}: {reason(error)}") from error
        if block.dtype != self.dtype or block.ndim != len(picks):
            raise FormatError(f"{self.path}: the file has changed since it was opened")
        near = [pick - low for pick, low in zip(picks, first, strict=True)]
        return np.asarray(block[np.ix_(*near)])


def _stack(files: list[str], dims: Sequence[str] | None, space: str | None) -> xr.Dataset:
    """Return the Dataset of pictures that lie on each other."""
    headers = [_header(_checked(path))[0] for path in files]
    first = headers[0]
    for path, header in zip(files, headers, strict=True):
        if (header.shape, header.dtype) != (first.shape, first.dtype):
            raise FormatError(
                f"{path}: {header.shape} pixels of {header.dtype}, but {files[0]} has "
                f"{first.shape} of {first.dtype}: pictures of a stack are alike"
            )
    if first.rank != 2:
        raise FormatError(f"{files[0]}: has several pages: open each file on its own")
    if space:
        raise OptionError(f"space={space!r}: pictures have no size in mm: use from_array")
    names = (schema.SLICE,) if dims is None else tuple(dims)
    if len(names) != 1 or names[0] in (schema.ROW, schema.COLUMN, schema.RGB) or not names[0]:
        raise OptionError(f"dims={names!r}: one name for the axis across the pictures")
    single = axes_of(first, None)
    if single.leading:
        raise FormatError(f"{files[0]}: {first.parts} numbers a pixel are no colour")
    stacked = replace(first, shape=(len(files), *first.shape), texts={})
    axes = Axes(names, tuple(range(len(stacked.shape))), single.colour, {})
    dataset = dataset_of(stacked, axes, lazily(StackArray(files, first, single)))
    return dataset.drop_vars(schema.SLICE, errors="ignore")


class StackArray(FrameArray):
    """Pictures of the same size, one behind the other."""

    def __init__(self, files: list[str], header: Header, axes: Axes) -> None:
        self.pictures = [ItkArray(path, header, axes) for path in files]
        self.dtype = header.dtype
        self.shape = (len(files), *self.pictures[0].shape)

    def _read(self, key: tuple[Any, ...]) -> NDArray[Any]:
        chosen = np.arange(len(self.pictures))[key[0]]
        # The file is read whole anyway.
        found = [self.pictures[k]._read(key[1:]) for k in np.atleast_1d(chosen)]  # noqa: SLF001
        if found:
            whole = np.stack(found)
        else:
            part = np.empty(self.shape[1:], self.dtype)
            for axis, one in reversed(list(enumerate(key[1:]))):
                part = part[(slice(None),) * axis + (one,)]
            whole = np.empty((0, *part.shape), self.dtype)
        return whole[0] if np.ndim(chosen) == 0 else whole
