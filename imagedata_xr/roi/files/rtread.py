"""Regions from DICOM: RT Structure Sets (PS3.3 A.19), and Segmentations through the engine."""

from __future__ import annotations

import warnings
import zipfile
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from imagedata_xr.errors import DataWarning, FormatError
from imagedata_xr.roi.model import Code, Contour, Roi

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["read_dicom"]

CLASS: Final = "1.2.840.10008.5.1.4.1.1.481.3"
SEGMENTATIONS: Final = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
CLOSED: Final = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
# White point of ICC profiles, D50, and the matrix of IEC 61966-2-1 adapted to it.
WHITE: Final = np.array([0.96422, 1.0, 0.82521])
XYZ_TO_SRGB: Final = np.array(
    [
        [3.1338561, -1.6168667, -0.4906146],
        [-0.9787684, 1.9161415, 0.0334540],
        [0.0719453, -0.2289914, 1.4052427],
    ]
)
# A structure without a colour of its own.
RED: Final = "#ff0000"


def read_dicom(path: Path) -> tuple[list[Roi], list[str | None]]:
    """
    Return regions and their frames of reference.

    Parameters
    ----------
    path : Path
        A file, an archive, or a folder with one structure set or one segmentation.

    Raises
    ------
    FormatError
        There is no such object, or several, or it is damaged.
    """
    if path.is_dir():
        path = _only(path)
    if path.suffix.lower() == ".zip":
        return _segmentation(path)
    dataset = _opened(path)
    kind = str(dataset.get("SOPClassUID", ""))
    if kind in SEGMENTATIONS:
        return _segmentation(path)
    if kind != CLASS:
        raise FormatError(
            f"{path}: DICOM, but neither an RT Structure Set nor a Segmentation (SOPClassUID {kind})"
        )
    return _structures(dataset, path)


def _only(folder: Path) -> Path:
    """Return the one structure set of a folder, or the folder for the engine to look into."""
    found = []
    for path in sorted(one for one in folder.rglob("*") if one.is_file()):
        try:
            kind = str(_opened(path, only=["SOPClassUID"]).get("SOPClassUID", ""))
        except FormatError:
            continue
        if kind == CLASS or kind in SEGMENTATIONS:
            found.append((path, kind))
    if not found:
        raise FormatError(f"{folder}: there is no RT Structure Set and no Segmentation in it")
    if len(found) > 1:
        names = ", ".join(path.name for path, _ in found[:5])
        raise FormatError(
            f"{folder}: {len(found)} objects with regions ({names}): give one of them"
        )
    return found[0][0]


def _opened(path: Path, only: list[str] | None = None) -> Any:
    import pydicom

    from imagedata_xr.formats.dicom.headers import read_header
    from imagedata_xr.sources import LocalFile

    # Where a file ends too early, pydicom returns what is left of its sequences, without a word.
    read_header(LocalFile(str(path)))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = pydicom.dcmread(path, specific_tags=only)
            # Decoded here, where an error is caught.
            dataset.get("SOPClassUID")
            return dataset
    except Exception as error:  # pydicom raises whatever comes of damaged bytes
        raise FormatError(f"{path}: no DICOM file that can be read: {error}") from error


def _structures(dataset: Any, path: Path) -> tuple[list[Roi], list[str | None]]:
    with warnings.catch_warnings(record=True) as doubts:
        warnings.simplefilter("always")
        try:
            rois, frames, left_out = _all_structures(dataset)
        except Exception as error:  # pydicom raises whatever comes of damaged values
            raise FormatError(f"{path}: the structure set is damaged: {error}") from error
    del doubts
    if left_out:
        warnings.warn(
            f"{path}: points and open lines are no regions, and were left out: "
            + ", ".join(f"{name} ({count})" for name, count in left_out.items()),
            DataWarning,
            stacklevel=4,
        )
    return rois, frames


def _all_structures(dataset: Any) -> tuple[list[Roi], list[str | None], dict[str, int]]:
    outlined = {
        int(one.ReferencedROINumber): one for one in dataset.get("ROIContourSequence") or ()
    }
    observed = {
        int(one.ReferencedROINumber): one for one in dataset.get("RTROIObservationsSequence") or ()
    }
    rois: list[Roi] = []
    frames: list[str | None] = []
    left_out: dict[str, int] = {}
    for item in dataset.StructureSetROISequence:
        number = int(item.ROINumber)
        name = str(item.get("ROIName") or f"ROI {number}")
        drawn = outlined.get(number)
        every = [] if drawn is None else list(drawn.get("ContourSequence") or ())
        closed = [one for one in every if str(one.ContourGeometricType) in CLOSED]
        if len(closed) < len(every):
            left_out[name] = len(every) - len(closed)
        frame = item.get("ReferencedFrameOfReferenceUID")
        frames.append(None if frame is None else str(frame))
        color, code = _color(drawn), _code(observed.get(number))
        by_thickness: dict[float | None, list[Contour]] = {}
        for one in closed:
            slab = one.get("ContourSlabThickness")
            thick = None if slab in (None, "") else float(slab)
            by_thickness.setdefault(thick, []).append(_contour(one))
        for thick, contours in (by_thickness or {None: []}).items():
            rois.append(
                Roi(
                    name=name,
                    color=color,
                    contours=tuple(contours),
                    number=number,
                    code=code,
                    thickness=thick if thick is not None and thick > 0 else None,
                )
            )
    return rois, frames, left_out


def _contour(item: Any) -> Contour:
    values = np.array([float(one) for one in item.ContourData], dtype=np.float64)
    if values.size % 3:
        raise FormatError(f"ContourData has {values.size} numbers, which are no points of x, y, z")
    count = item.get("NumberOfContourPoints")
    if count is not None and 3 * int(count) != values.size:
        raise FormatError(
            f"NumberOfContourPoints is {count}, ContourData has {values.size} numbers"
        )
    return Contour(values.reshape(-1, 3))


def _color(item: Any) -> str:
    color = None if item is None else item.get("ROIDisplayColor")
    if color is None or len(color) != 3:
        return RED
    return "#" + "".join(f"{min(255, max(0, int(one))):02x}" for one in color)


def _code(item: Any) -> Code | None:
    found = None if item is None else item.get("RTROIIdentificationCodeSequence")
    if not found:
        return None
    code = found[0]
    value = code.get("CodeValue") or code.get("LongCodeValue") or code.get("URNCodeValue")
    scheme, meaning = code.get("CodingSchemeDesignator"), code.get("CodeMeaning")
    return Code(str(value), str(scheme or ""), str(meaning or "")) if value else None


def _segmentation(path: Path) -> tuple[list[Roi], list[str | None]]:
    import xarray as xr

    from imagedata_xr.roi.files.voxels import rois_of_mask

    found = xr.open_dataarray(path, engine="dicom")
    plain = path.is_file() and not zipfile.is_zipfile(path)
    colors = _segment_colors(_opened(path, only=["SegmentSequence"])) if plain else {}
    return rois_of_mask(found, colors), [str(found.attrs.get("FrameOfReferenceUID") or "")]


def _segment_colors(dataset: Any) -> dict[int, str]:
    """Return the recommended colours by Segment Number (PS3.3 C.8.20.2)."""
    found = {}
    for item in dataset.get("SegmentSequence") or ():
        lab = item.get("RecommendedDisplayCIELabValue")
        if lab is not None and len(lab) == 3:
            found[int(item.SegmentNumber)] = _of_lab([float(one) for one in lab])
    return found


def _of_lab(lab: Sequence[float]) -> str:
    """Return a colour in CIELab (scaled as in PS3.3 C.10.7.1.1) as sRGB."""
    light = lab[0] * 100 / 65535
    a, b = (one * 255 / 65535 - 128 for one in lab[1:])
    fy = (light + 16) / 116
    cubes = np.array([fy + a / 500, fy, fy - b / 200])
    limit = 6 / 29
    xyz = np.where(cubes > limit, cubes**3, 3 * limit**2 * (cubes - 4 / 29)) * WHITE
    linear = (XYZ_TO_SRGB @ xyz).clip(0, 1)
    levels = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return "#" + "".join(f"{round(255 * float(one)):02x}" for one in levels)
