"""Which format a file of regions has."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import xarray as xr

from imagedata_xr import schema
from imagedata_xr.errors import FormatError, GridMismatchError, OptionError, SourceNotFoundError
from imagedata_xr.roi.model import Roi

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

__all__ = ["FORMATS", "from_file", "to_file"]

JSON: Final = "json"
RTSTRUCT: Final = "rtstruct"
SEG: Final = "seg"
NIFTI: Final = "nifti"
FORMATS: Final = (JSON, RTSTRUCT, SEG, NIFTI)
SUFFIXES: Final = {
    ".json": JSON,
    ".geojson": JSON,
    ".dcm": RTSTRUCT,
    ".nii": NIFTI,
    ".nii.gz": NIFTI,
}
FRAME_OF_REFERENCE: Final = "FrameOfReferenceUID"


def to_file(
    rois: Roi | Iterable[Roi],
    path: str | os.PathLike[str],
    *,
    like: xr.DataArray | xr.Dataset | None = None,
    format: str | None = None,  # noqa: A002 - its name in every writer
    overwrite: bool = False,
    **attributes: Any,
) -> Path:
    """
    Write regions to a file.

    ==============  ================================================================================
    ``"json"``      ``.json``: everything; outlines in patient LPS, mm, like GeoJSON
    ``"rtstruct"``  ``.dcm``: DICOM RT Structure Set; outlines, names, colours, codes
    ``"seg"``       a folder or ``.zip``: DICOM Segmentation on the voxels of `like`; may overlap
    ``"nifti"``     ``.nii``, ``.nii.gz``: a label map on the voxels of `like`, names in ``.tsv``
    ==============  ================================================================================

    Parameters
    ----------
    rois : Roi or iterable of Roi
    path : path-like
        The suffix says the format.
    like : DataArray or Dataset
        The image on which they were drawn; all but JSON need it. For DICOM it was read from DICOM.
        JSON notes its frame of reference.
    format : str, optional
        One of the above.
    overwrite : bool
        Replace an existing file.
    **attributes
        DICOM attributes by keyword, e.g. ``StructureSetLabel="Tumour"``, of DICOM files.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    OptionError
        The format is not known, there are no regions, or the image is missing.
    WriteError
        The file exists, or the format has no place for what the regions hold.
    HeaderError
        The image does not know whose it is.
    MissingDependencyError
        Without nibabel (NIfTI) or highdicom (SEG).

    Examples
    --------
    >>> outline = roi.rectangle(series, slice=1.5, row=(-3, 3), column=(-2, 2))
    >>> liver = roi.Roi(name="liver", contours=(outline,))
    >>> roi.to_file(liver, "regions.dcm", like=series).name  # an RT Structure Set
    'regions.dcm'
    """
    found = [rois] if isinstance(rois, Roi) else list(rois)
    if not found or not all(isinstance(one, Roi) for one in found):
        raise OptionError("there is no region to write: give a Roi, or several")
    kind = _kind(Path(path), format)
    image = like[schema.IMAGE] if isinstance(like, xr.Dataset) else like
    if attributes and kind not in (RTSTRUCT, SEG):
        raise OptionError(f"{', '.join(attributes)}: a {kind} file has no DICOM attributes")
    target = Path(path)
    if kind == JSON:
        from imagedata_xr.roi.files.geojson import write_json

        frame = None if image is None else image.attrs.get(FRAME_OF_REFERENCE)
        write_json(found, target, frame_of_reference=frame, overwrite=overwrite)
        return target
    if image is None:
        raise OptionError(f"a {kind} file belongs to an image: pass like=")
    if kind == RTSTRUCT:
        from imagedata_xr.roi.files.rtstruct import write_rtstruct

        write_rtstruct(found, target, image, overwrite=overwrite, attributes=attributes)
    elif kind == SEG:
        from imagedata_xr.roi.files.voxels import write_seg

        write_seg(found, target, image, overwrite=overwrite, attributes=attributes)
    else:
        from imagedata_xr.roi.files.voxels import write_nifti

        write_nifti(found, target, image, overwrite=overwrite)
    return target


def from_file(
    path: str | os.PathLike[str], *, like: xr.DataArray | xr.Dataset | None = None
) -> list[Roi]:
    """
    Return the regions of a file that `to_file` or another program wrote.

    Parameters
    ----------
    path : path-like
        JSON of `to_file`, a DICOM RT Structure Set or Segmentation (also a folder with one), or a
        NIfTI label map.
    like : DataArray or Dataset, optional
        The image for which they are meant: its frame of reference must be that of the regions.

    Returns
    -------
    list of Roi
        Of voxels, the outlines run half-way between those inside and outside.

    Raises
    ------
    SourceNotFoundError
        There is no such file.
    FormatError
        It holds no regions, or is damaged.
    GridMismatchError
        The regions lie in another frame of reference than the image.

    Warns
    -----
    DataWarning
        A structure set has points or open lines, which are no regions.

    Examples
    --------
    >>> outline = roi.rectangle(series, slice=1.5, row=(-3, 3), column=(-2, 2))
    >>> path = roi.to_file(roi.Roi(name="liver", contours=(outline,)), "liver.json")
    >>> [region.name for region in roi.from_file(path)]
    ['liver']
    """
    place = Path(path)
    if not place.exists():
        raise SourceNotFoundError(f"{path}: there is no such file")
    rois, frames = _read(place)
    image = like[schema.IMAGE] if isinstance(like, xr.Dataset) else like
    wanted = None if image is None else image.attrs.get(FRAME_OF_REFERENCE)
    others = sorted({frame for frame in frames if frame and frame != wanted})
    if wanted and others:
        raise GridMismatchError(
            f"{path}: the regions lie in the frame of reference {others[0]}, the image in {wanted}: "
            "their positions need not be the same place in the patient. If you know that they are, "
            "leave out like="
        )
    return rois


def _kind(path: Path, wanted: str | None) -> str:
    if wanted is not None:
        if wanted not in FORMATS:
            raise OptionError(f"format={wanted!r}: give one of {', '.join(map(repr, FORMATS))}")
        return wanted
    name = path.name.lower()
    for suffix, kind in SUFFIXES.items():
        if name.endswith(suffix):
            return kind
    raise OptionError(
        f"{path}: the name ends in one of {', '.join(SUFFIXES)}; or pass format='seg' for a folder "
        "with a DICOM Segmentation"
    )


def _read(place: Path) -> tuple[list[Roi], list[str | None]]:
    """Return regions, and the frames of reference that the file names."""
    if place.is_file():
        name = place.name.lower()
        if name.endswith((".nii", ".nii.gz")):
            from imagedata_xr.roi.files.voxels import read_nifti

            return read_nifti(place), []
        with place.open("rb") as file:
            start = file.read(132)
        if start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
            from imagedata_xr.roi.files.geojson import read_json

            return read_json(place)
        if start[128:] != b"DICM" and not name.endswith((".dcm", ".zip")):
            raise FormatError(
                f"{place}: neither JSON of regions, DICOM nor NIfTI: what it holds is not known"
            )
    from imagedata_xr.roi.files.rtread import read_dicom

    return read_dicom(place)
