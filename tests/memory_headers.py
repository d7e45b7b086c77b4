"""Headers of Datasets that are made in a test, through the reader and back."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from imagedata_xr.formats.dicom.headers import read_header
from imagedata_xr.formats.dicom.instance import frames_of
from imagedata_xr.formats.dicom.pixels import reader_for
from imagedata_xr.sources import LocalFile, MemoryBytes

if TYPE_CHECKING:
    from pathlib import Path

    from imagedata_xr.frames import Frame

MR = "1.2.840.10008.5.1.4.1.1.4"


def image(rows: int = 4, columns: int = 6, frames: int = 1, **attributes: Any) -> Dataset:
    """Return an MR image whose pixels count up."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = MR, generate_uid()
    dataset.Modality = "MR"
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.ImagePositionPatient = [-10, -20, -30]
    dataset.PixelSpacing, dataset.SliceThickness = [2, 2], 3
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = rows, columns
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 0
    dataset.PixelData = np.arange(rows * columns * frames, dtype="<u2").tobytes()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def file_bytes(dataset: Dataset, syntax: str = ExplicitVRLittleEndian) -> bytes:
    """Return a Dataset as a DICOM file."""
    if not hasattr(dataset, "file_meta"):
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = syntax
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def header_of(dataset: Dataset, syntax: str = ExplicitVRLittleEndian) -> Any:
    """Return the header that the reader finds in a Dataset's file."""
    return read_header(MemoryBytes("memory.dcm", file_bytes(dataset, syntax)))


def frames_in(folder: Path) -> list[Frame]:
    """Return the frames of all files below a folder, in the order of their names."""
    found = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        header = read_header(LocalFile(str(path)))
        found += frames_of(header) if header is not None else []
    return found


def pixels_of(frame: Frame, *, rescale: bool = False) -> np.ndarray:
    """Return the stored values of a frame, or the rescaled ones."""
    reader = reader_for([frame.ref], frame.shape, rescale=rescale)
    out = np.empty(reader.shape, reader.dtype)
    reader.read(frame.ref, out)
    return out
