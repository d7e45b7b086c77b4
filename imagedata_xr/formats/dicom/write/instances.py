"""What every written instance has: its identity, its place, its pixels, and its file."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from pydicom import DataElement, Dataset, uid
from pydicom.dataset import FileMetaDataset

from imagedata_xr import schema
from imagedata_xr.errors import FormatError, GeometryError, ImagedataError
from imagedata_xr.formats.dicom.write.classes import SECONDARY_CAPTURE, ULTRASOUND, class_of
from imagedata_xr.formats.dicom.write.compress import NATIVE, compress
from imagedata_xr.formats.dicom.write.numbers import decimal
from imagedata_xr.formats.dicom.write.patch import PatchedHeader, drop_range, write_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from imagedata_xr.formats.dicom.write.layout import Layout
    from imagedata_xr.geometry import Grid

__all__ = ["damaged_headers", "put_geometry", "put_grid_format", "put_pixels", "save"]

IMPLEMENTATION: Final = "IMAGEDATA_XR"
# Overlays, curves: they are drawn on the rows and columns of the source.
DRAWN: Final = (0x50000000, 0x60000000)
WORDS: Final = {"OW": 2, "OL": 4, "OF": 4, "OD": 8, "OV": 8}


def put_geometry(dataset: Any, layout: Layout, place: int) -> None:
    """
    Put the position of a slice into a header (Image Plane module, PS3.3 C.7.6.2).

    Parameters
    ----------
    dataset : pydicom.Dataset
        Is changed.
    layout : Layout
    place : int
        Number of the slice.
    """
    grid = layout.grid
    if grid is None:
        _put_pixel_size(dataset, layout)
        return
    key = ("plane", place)
    if key not in layout.kept:
        layout.kept[key] = _plane(grid, place)
    plane: _Plane = layout.kept[key]
    dataset.ImagePositionPatient = list(plane.position)
    dataset.ImageOrientationPatient = list(plane.orientation)
    dataset.PixelSpacing = list(plane.spacing)
    if "SliceLocation" in dataset:
        dataset.SliceLocation = plane.location
    if "SliceThickness" not in dataset:
        dataset.SliceThickness = plane.thickness
    if "SpacingBetweenSlices" in dataset:
        if plane.between is not None:
            dataset.SpacingBetweenSlices = plane.between
        elif grid.slice.size > 1:
            del dataset.SpacingBetweenSlices


class _Plane(NamedTuple):
    """Where a slice lies, in DS texts."""

    position: tuple[str, ...]
    orientation: tuple[str, ...]
    spacing: tuple[str, ...]
    location: str
    thickness: str | None
    between: str | None


def _plane(grid: Grid, place: int) -> _Plane:
    position, cosines = grid.slice_origins()[place], np.asarray(grid.image_orientation)
    steps = []
    for name, axis in ((schema.ROW, grid.row), (schema.COLUMN, grid.column)):
        try:
            steps.append(abs(axis.step) * float(np.linalg.norm(axis.direction)))
        except GeometryError as error:
            raise GeometryError(f"DICOM needs even pixels, and {name!r} is {error}") from error
    normal = np.cross(cosines[:3], cosines[3:])
    thickness = float(grid.slice.spacing or 0.0)
    try:
        step = abs(grid.slice.step) if grid.slice.size > 1 or thickness else 0.0
    except GeometryError:
        step = 0.0
    between = step * abs(float(np.asarray(grid.slice.direction) @ normal))
    return _Plane(
        tuple(decimal(n) for n in np.round(position, 10) + 0.0),
        tuple(decimal(n) for n in np.round(cosines, 12) + 0.0),
        tuple(decimal(round(n, 12)) for n in steps),
        decimal(round(float(position @ normal), 10)),
        decimal(step or thickness) if step or thickness else None,
        decimal(round(between, 10)) if step and grid.slice.size > 1 else None,
    )


def _put_pixel_size(dataset: Any, layout: Layout) -> None:
    """Put the pixel size of images without a place in the patient, where it is known."""
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "SliceLocation"):
        if keyword in dataset:
            delattr(dataset, keyword)
    sizes = []
    for name in (schema.ROW, schema.COLUMN):
        coord = layout.image.coords.get(name)
        spacing = None if coord is None else coord.attrs.get(schema.SPACING)
        steps = np.empty(0) if coord is None or coord.ndim != 1 else np.abs(np.diff(coord.values))
        if steps.size and spacing is not None:
            spacing = float(steps.mean())
        sizes.append(spacing)
    if all(size is not None for size in sizes):
        dataset.PixelSpacing = [decimal(float(size)) for size in sizes if size is not None]


def put_grid_format(dataset: Any, stored: NDArray[Any], *, bits: int | None = None) -> None:
    """
    Put the format of the pixels into a header (Image Pixel module, PS3.3 C.7.6.3).

    Parameters
    ----------
    dataset : pydicom.Dataset
        Is changed.
    stored : ndarray
        Rows, columns[, colours].
    bits : int, optional
        Bits Stored; all bits of the cell by default.
    """
    cell = stored.dtype.itemsize * 8
    if cell > 8 and str(dataset.get("SOPClassUID")) in ULTRASOUND:
        dataset.SOPClassUID, dataset.ConversionType = SECONDARY_CAPTURE, "WSD"
    colour = stored.ndim == 3
    dataset.SamplesPerPixel = 3 if colour else 1
    known = dataset.get("PhotometricInterpretation")
    plain = known if known in ("MONOCHROME1", "MONOCHROME2") else "MONOCHROME2"
    dataset.PhotometricInterpretation = "RGB" if colour else plain
    dataset.Rows, dataset.Columns = stored.shape[:2]
    dataset.BitsAllocated = cell
    dataset.BitsStored = bits or cell
    dataset.HighBit = (bits or cell) - 1
    dataset.PixelRepresentation = int(stored.dtype.kind == "i")
    if colour:
        dataset.PlanarConfiguration = 0
    elif "PlanarConfiguration" in dataset:
        del dataset.PlanarConfiguration


def put_pixels(dataset: Any, data: Any, *, cell: int) -> None:
    """Put native little-endian pixels into an instance, padded to even length (PS3.5 8.1)."""
    if isinstance(dataset, PatchedHeader):
        dataset.put_pixels(data, cell=cell)
        return
    value = bytes(data) + b"\0" * (len(data) % 2)
    dataset.add(DataElement("PixelData", "OB" if cell <= 8 else "OW", value))


def drop_drawn(dataset: Any) -> None:
    """Leave out overlays and curves."""
    for first in DRAWN:
        drop_range(dataset, first, first + 0x01000000)


@contextmanager
def damaged_headers() -> Iterator[None]:
    """
    Turn what pydicom raises for a value that it cannot read or write into an error of ours.

    Raises
    ------
    FormatError
        A header of the source is damaged. Its text does not tell the value, which may be a name.
    """
    try:
        yield
    except (ImagedataError, OSError):
        raise
    except Exception as error:
        last = error.__traceback__
        while last is not None and last.tb_next is not None:
            last = last.tb_next
        where = "" if last is None else str(last.tb_frame.f_globals.get("__name__"))
        # Whatever else is raised comes from the values, which others may compute.
        if where.partition(".")[0] != "pydicom":
            raise
        raise FormatError(
            f"a header of the source has values that cannot be read or written "
            f"({type(error).__name__}): images with such a header cannot be written"
        ) from error


def save(
    dataset: Any,
    path: Path,
    *,
    syntax: str | None = None,
    write: Callable[[Path, Sequence[Any]], None] = write_file,
) -> None:
    """
    Write an instance to a file (PS3.10 7.1).

    Without a `syntax`, implicit little endian stays so, with private elements as they are;
    everything else is written in explicit little endian.

    Parameters
    ----------
    dataset : pydicom.Dataset or PatchedHeader
        With native pixels.
    path : pathlib.Path
    syntax : str, optional
        UID of the transfer syntax.
    write : callable, optional
        Writes a file from the parts of a PatchedHeader, at once or soon.

    Raises
    ------
    WriteError
        The header holds what cannot be written.
    """
    # Elements of commands and of the file: damaged files have them in the data set.
    drop_range(dataset, 0, 0x0008_0000)
    if isinstance(dataset, PatchedHeader):
        write(path, dataset.parts())
        return
    if not dataset.get("SOPClassUID"):
        dataset.SOPClassUID = class_of(
            {"Modality": dataset.get("Modality")}, colour=dataset.get("SamplesPerPixel", 1) != 1
        )
    if getattr(dataset, "original_encoding", (None, None))[1] is False:
        dataset = _little_endian(dataset)
    former = getattr(dataset, "file_meta", None)
    wanted = syntax
    syntax = None if former is None else former.get("TransferSyntaxUID")
    if syntax is None and getattr(dataset, "original_encoding", (None, None))[0]:
        syntax = NATIVE[0]
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\0\1"
    meta.MediaStorageSOPClassUID = uid.UID(dataset.SOPClassUID)
    meta.MediaStorageSOPInstanceUID = uid.UID(dataset.SOPInstanceUID)
    native = wanted if wanted in NATIVE else NATIVE[1] if wanted else syntax
    meta.TransferSyntaxUID = uid.UID(native if native in NATIVE else NATIVE[1])
    meta.ImplementationClassUID = uid.PYDICOM_IMPLEMENTATION_UID
    meta.ImplementationVersionName = IMPLEMENTATION
    dataset.file_meta = meta
    dataset.preamble = b"\0" * 128
    if wanted is not None and wanted not in NATIVE:
        compress(dataset, wanted)
    dataset.save_as(path, enforce_file_format=True)


def _little_endian(dataset: Any) -> Dataset:
    """Return a big-endian header (a retired syntax) for writing in little endian."""
    pixels = dataset.pop("PixelData", None)

    def swap(_: Any, element: DataElement) -> None:
        width = WORDS.get(element.VR)
        if width and isinstance(element.value, bytes):
            words = np.frombuffer(element.value, f">u{width}")
            element.value = words.astype(f"<u{width}").tobytes()

    dataset.walk(swap)
    turned = Dataset()
    for element in dataset:
        turned.add(element)
    if pixels is not None:
        turned.add(pixels)
    return turned
