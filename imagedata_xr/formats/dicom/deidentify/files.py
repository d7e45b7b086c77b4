"""Whole folders of DICOM files without identity: every object, not only images."""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING, Any, Final

from imagedata_xr.errors import FormatError, ImagedataError, NoImagesError, SkippedFileWarning
from imagedata_xr.formats.dicom.deidentify.dataset import Deidentifier
from imagedata_xr.formats.dicom.deidentify.profile import profile_of
from imagedata_xr.progress import track
from imagedata_xr.sources import find_sources
from imagedata_xr.targets import complete_folder, place_of

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable
    from pathlib import Path

    from imagedata_xr.formats.dicom.deidentify.profile import Profile
    from imagedata_xr.frames import Source

__all__ = ["deidentify_files"]

_OURS: Final = re.compile(r"\d{6,}\.dcm")
_DIRECTORY: Final = "1.2.840.10008.1.3.10"
# Documents and recordings whose contents no table of attributes cleans (PS3.4 B.5).
_DOCUMENTS: Final = (
    "1.2.840.10008.5.1.4.1.1.104.",
    "1.2.840.10008.5.1.4.1.1.88.",
    "1.2.840.10008.5.1.4.1.1.9.4.",
)


def deidentify_files(  # noqa: PLR0913 - each option is one thing a user may say
    source: Any,
    target: str | os.PathLike[str],
    profile: Profile | str = "basic",
    *,
    secret: bytes | str | None = None,
    dates: str | None = None,
    retain: Iterable[str] = (),
    keep: Iterable[str] = (),
    overwrite: bool = False,
    progress: bool | None = None,
) -> Path | str:
    """
    Write a copy of every DICOM file of a source without identity; pixels stay byte for byte.

    Files are named by number. References between them stay true, since a UID gets the same new one
    everywhere. Files that are no DICOM are not copied. Structured reports, encapsulated documents
    and voice recordings hold free text and speech, and are left out with a warning; so are
    directories (DICOMDIR), whose paths no longer hold.

    Parameters
    ----------
    source : path, URL, list
        As `imagedata_xr.sources.find_sources` takes it.
    target : path-like or URL
        A folder that does not exist or is empty, or a name that ends in ``.zip``.
    profile, secret, dates, retain, keep
        As `imagedata_xr.deidentify` takes them.
    overwrite : bool
        Replace what an earlier call wrote there.
    progress : bool, optional
        Progress bar.

    Returns
    -------
    pathlib.Path or str
        The target.

    Raises
    ------
    FormatError
        A DICOM file cannot be read: nothing is written.
    NoImagesError
        There is no DICOM file.

    Warns
    -----
    SkippedFileWarning
        Where objects were left out, by their kinds.

    Examples
    --------
    >>> report = imagedata_xr.deidentify_files(folder, "anonymous")
    >>> again = xr.open_dataarray("anonymous", engine="dicom")
    >>> bool((again.values == series.values).all())
    True
    """
    wanted = profile_of(profile, secret=secret, dates=dates, retain=retain, keep=keep)
    deidentifier = Deidentifier(wanted)
    left_out: dict[str, int] = {}
    number = 0
    with complete_folder(target, ours=_OURS, overwrite=overwrite) as folder:
        for one in track(find_sources(source), "deidentifying", show=progress):
            dataset = _read(one)
            if dataset is None:
                continue
            try:
                kind = dataset.file_meta.get("MediaStorageSOPClassUID") or dataset.get(
                    "SOPClassUID"
                )
                if kind is None or str(kind) == _DIRECTORY or str(kind).startswith(_DOCUMENTS):
                    name = "unknown objects" if kind is None else kind.name
                    left_out[name] = left_out.get(name, 0) + 1
                    continue
                number += 1
                _write(dataset, deidentifier, folder / f"{number:06d}.dcm")
            except FormatError as error:
                raise FormatError(f"{one.name}: {error}") from error
            except (ValueError, KeyError, TypeError, AttributeError, NotImplementedError) as error:
                raise FormatError(
                    f"{one.name}: has values that cannot be read or written ({type(error).__name__})"
                ) from error
        if not number:
            raise NoImagesError("there is no DICOM file that could be written")
    if left_out:
        listed = ", ".join(f"{count} {name}" for name, count in left_out.items())
        warnings.warn(f"left out: {listed}", SkippedFileWarning, stacklevel=2)
    return place_of(target)


def _read(source: Source) -> Any:
    from pydicom import dcmread

    from imagedata_xr.formats.dicom.headers import read_header

    try:
        if read_header(source) is None:
            return None
        with source.open() as file:
            return dcmread(file, force=True)
    except ImagedataError:
        raise
    except Exception as error:  # pydicom raises whatever comes of damaged bytes
        raise FormatError(f"{source.name}: cannot be read by pydicom") from error


def _write(dataset: Any, deidentifier: Deidentifier, path: Path) -> None:
    from pydicom import config, uid
    from pydicom.dataset import FileMetaDataset

    from imagedata_xr.formats.dicom.write.instances import IMPLEMENTATION

    with config.disable_value_validation():
        deidentifier.apply(dataset)
        meta = FileMetaDataset()
        meta.FileMetaInformationVersion = b"\0\1"
        meta.MediaStorageSOPClassUID = dataset.SOPClassUID
        meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        meta.TransferSyntaxUID = dataset.file_meta.TransferSyntaxUID
        meta.ImplementationClassUID = uid.PYDICOM_IMPLEMENTATION_UID
        meta.ImplementationVersionName = IMPLEMENTATION
        dataset.file_meta = meta
        dataset.preamble = b"\0" * 128
        dataset.save_as(path, enforce_file_format=True)
