"""Phantoms as DICOM files and as pydicom datasets."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydicom import DataElement, Dataset, uid
from pydicom.charset import convert_encodings
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element
from pydicom.pixels.encoders.base import RLELosslessEncoder
from pydicom.tag import Tag

from imagedata_xr.errors import OptionError
from imagedata_xr.testing import pixels
from imagedata_xr.testing.headers import SOP_CLASS, Headers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from os import PathLike

    from numpy.typing import NDArray

    from imagedata_xr.testing.phantom import Phantom, Shot

__all__ = ["datasets", "new_meta", "pixel_element", "write_series"]

SYNTAXES = {
    "explicit": uid.ExplicitVRLittleEndian,
    "implicit": uid.ImplicitVRLittleEndian,
    "big": uid.ExplicitVRBigEndian,
    "deflated": uid.DeflatedExplicitVRLittleEndian,
    "rle": uid.RLELossless,
}
PIXEL_DATA = Tag("PixelData")


def pixel_element(phantom: Phantom, stored: NDArray[Any]) -> DataElement:
    """Return the pixels of one frame, encoded."""
    if phantom.transfer_syntax == "rle":
        encoded = RLELosslessEncoder.encode(
            np.ascontiguousarray(stored),
            rows=phantom.shape[1],
            columns=phantom.shape[2],
            samples_per_pixel=stored.shape[2] if stored.ndim == 3 else 1,
            bits_allocated=stored.dtype.itemsize * 8,
            bits_stored=pixels.bits(phantom),
            pixel_representation=int(stored.dtype.kind == "i"),
            photometric_interpretation=phantom.photometric,
            number_of_frames=1,
            planar_configuration=0,
        )
        element = DataElement(PIXEL_DATA, "OB", encapsulate([encoded]))
        element.is_undefined_length = True
        return element
    order: Literal["<", ">"] = ">" if phantom.transfer_syntax == "big" else "<"
    data = stored.astype(stored.dtype.newbyteorder(order)).tobytes()
    narrow = stored.dtype.itemsize == 1 and phantom.transfer_syntax != "implicit"
    return DataElement(PIXEL_DATA, "OB" if narrow else "OW", data + b"\0" * (len(data) % 2))


def _syntax(phantom: Phantom) -> uid.UID:
    if phantom.transfer_syntax not in SYNTAXES:
        raise OptionError(f"transfer_syntax {phantom.transfer_syntax!r} is none of {[*SYNTAXES]}")
    return SYNTAXES[phantom.transfer_syntax]


def new_meta(phantom: Phantom, sop_class: str, instance: str) -> FileMetaDataset:
    """Return file meta information for an instance in memory."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = uid.UID(sop_class)
    meta.MediaStorageSOPInstanceUID = uid.UID(instance)
    meta.TransferSyntaxUID = _syntax(phantom)
    return meta


def _frames(phantom: Phantom) -> Iterator[tuple[Shot, NDArray[Any]]]:
    """Yield every frame with its stored pixels."""
    shots = phantom.shots()
    for volume in phantom.stored():
        for stored in volume:
            yield next(shots), stored


def _overridden(dataset: Dataset, phantom: Phantom) -> Dataset:
    """Leave out what the caller has set for the whole series."""
    for keyword in phantom.attributes:
        if keyword in dataset:
            delattr(dataset, keyword)
    return dataset


def datasets(phantom: Phantom) -> Iterator[Dataset]:
    """
    Yield the instances of a phantom, in the order of the frames of its truth.

    Examples
    --------
    >>> from imagedata_xr.testing import Phantom
    >>> [int(ds.InstanceNumber) for ds in datasets(Phantom(shape=(3, 4, 5)))]
    [1, 2, 3]
    """
    headers = Headers(phantom)
    series = headers.series()
    for shot, stored in _frames(phantom):
        dataset = Dataset()
        dataset.update(series)
        for layer in (headers.volume(shot), headers.slice(shot), headers.frame(shot, stored)):
            dataset.update(_overridden(layer, phantom))
        dataset.add(pixel_element(phantom, stored))
        dataset.file_meta = new_meta(phantom, SOP_CLASS[phantom.modality], shot.uid)
        yield dataset


class _Encoder:
    """Encodes instances; what they share is encoded once."""

    def __init__(self, phantom: Phantom) -> None:
        self.phantom = phantom
        self.headers = Headers(phantom)
        self.syntax = _syntax(phantom)
        series = self.headers.series()
        self.characters = convert_encodings(series.get("SpecificCharacterSet"))
        self.series = self.elements(series)
        self.volumes: dict[int, dict[int, bytes]] = {}
        self.slices: dict[int, dict[int, bytes]] = {}

    def elements(self, dataset: Dataset) -> dict[int, bytes]:
        """Return the encoded elements by tag."""
        found: dict[int, bytes] = {}
        for element in dataset:
            stream = DicomBytesIO()
            stream.is_little_endian = self.syntax.is_little_endian
            stream.is_implicit_VR = self.syntax.is_implicit_VR
            write_data_element(stream, element, self.characters)
            found[int(element.tag)] = stream.getvalue()
        return found

    def encode(self, shot: Shot, stored: NDArray[Any]) -> bytes:
        """Return one file."""
        phantom = self.phantom
        if shot.volume not in self.volumes:
            layer = _overridden(self.headers.volume(shot), phantom)
            self.volumes = {shot.volume: self.elements(layer)}
        if shot.slice not in self.slices:
            layer = _overridden(self.headers.slice(shot), phantom)
            self.slices[shot.slice] = self.elements(layer)
        frame = _overridden(self.headers.frame(shot, stored), phantom)
        frame.add(pixel_element(phantom, stored))
        parts = self.series | self.volumes[shot.volume] | self.slices[shot.slice]
        parts |= self.elements(frame)
        data = b"".join(parts[tag] for tag in sorted(parts))
        if phantom.transfer_syntax == "deflated":
            squeeze = zlib.compressobj(wbits=-zlib.MAX_WBITS)
            data = squeeze.compress(data) + squeeze.flush()
            data += b"\0" * (len(data) % 2)
        if not phantom.file_meta:
            return data
        start = b"\0" * 128 + b"DICM" if phantom.preamble else b""
        return start + _meta(SOP_CLASS[phantom.modality], shot.uid, self.syntax) + data


def _meta(sop_class: str, instance: str, syntax: str) -> bytes:
    """Return the file meta information (PS3.10 7.1)."""
    texts = ((0x02, sop_class), (0x03, instance), (0x10, syntax), (0x12, "2.25.1802"))
    body = struct.pack("<HH2sHI", 2, 1, b"OB", 0, 2) + b"\0\1"
    for element, text in texts:
        value = text.encode() + b"\0" * (len(text) % 2)
        body += struct.pack("<HH2sH", 2, element, b"UI", len(value)) + value
    return struct.pack("<HH2sHI", 2, 0, b"UL", 4, len(body)) + body


def _names(phantom: Phantom, style: str, shuffle: int | None, *, subfolders: bool) -> list[str]:
    """Return a relative file name for every frame."""
    shots = list(phantom.shots())
    random = phantom.random("names", shuffle)
    if style == "sorted":
        names = [f"series{phantom.series:03d}_{shot.number:05d}.dcm" for shot in shots]
    elif style == "unhelpful":
        names = [random.bytes(6).hex() for _ in shots]
    else:
        raise OptionError(f"names {style!r} is neither 'unhelpful' nor 'sorted'")
    if not subfolders:
        return names
    folders = ("a", "b", "b/c")
    dealt = random.integers(len(folders), size=len(names))
    return [f"{folders[i]}/{name}" for i, name in zip(dealt, names, strict=True)]


def write_series(
    phantom: Phantom,
    folder: str | PathLike[str],
    *,
    shuffle: int | None = 0,
    names: Literal["unhelpful", "sorted"] = "unhelpful",
    subfolders: bool = False,
) -> list[Path]:
    """
    Write a phantom as one file a slice.

    Parameters
    ----------
    phantom : Phantom
        The series.
    folder : path-like
        Where to; made when missing. Several series may share it.
    shuffle : int or None
        Seed of the order in which the files are written (and of unhelpful names); None writes
        them in order.
    names : {"unhelpful", "sorted"}
        Random names without extension, or names by Instance Number.
    subfolders : bool
        Deal the files out to a few folders within folders.

    Returns
    -------
    list of pathlib.Path
        The files in the order of the truth: volume by volume, slice by slice.

    Examples
    --------
    >>> import tempfile
    >>> from imagedata_xr.testing import Phantom
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     len(write_series(Phantom(axes={"te": [10, 20]}, shape=(3, 4, 5)), folder))
    6
    """
    root = Path(folder)
    paths = [root / n for n in _names(phantom, names, shuffle, subfolders=subfolders)]
    for parent in {path.parent for path in paths} | {root}:
        parent.mkdir(parents=True, exist_ok=True)
    encoder = _Encoder(phantom)
    files = (encoder.encode(shot, stored) for shot, stored in _frames(phantom))
    if shuffle is not None:
        # some file systems list files in the order of their creation
        for index in phantom.random("files", shuffle).permutation(len(paths)):
            paths[index].touch()
    for path, data in zip(paths, files, strict=True):
        path.write_bytes(data)
    return paths
