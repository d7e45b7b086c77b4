"""Regions as voxels: NIfTI label maps and DICOM Segmentations."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from imagedata_xr.errors import FormatError, WriteError
from imagedata_xr.roi.masks import NUMBERS, SEGMENT, mask, structures
from imagedata_xr.roi.model import Code
from imagedata_xr.roi.outlining import outlines
from imagedata_xr.targets import complete_file

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import xarray as xr

    from imagedata_xr.roi.model import Roi

__all__ = ["read_nifti", "rois_of_mask", "write_nifti", "write_seg"]

# Names of the columns as BIDS has them for look-up tables of segmentations.
COLUMNS: Final = ("index", "name", "color")
CODES: Final = ("SegmentedPropertyTypeCode", "SegmentedPropertyType")
# What to_dicom_seg says of a region of which nobody said anything.
UNTOLD: Final = "111099"


def write_nifti(rois: Sequence[Roi], path: Path, image: xr.DataArray, *, overwrite: bool) -> None:
    """
    Write regions as a label map on the voxels of an image, with a table of names beside it.

    Parameters
    ----------
    rois : sequence of Roi
    path : Path
    image : DataArray
    overwrite : bool

    Raises
    ------
    WriteError
        Regions overlap, or a file exists.
    """
    from imagedata_xr.formats.nifti import to_nifti

    stacked = mask(rois, image, stack=True)
    shared = int((stacked.sum(SEGMENT) > 1).sum())
    if shared:
        raise WriteError(
            f"{shared} voxels lie in more than one region, and a label map holds one: write .json, "
            "or format='seg'"
        )
    numbers = stacked[SEGMENT].values
    smallest = np.min_scalar_type(int(numbers.max()))
    labels = (stacked * stacked[SEGMENT].astype(smallest)).sum(SEGMENT).astype(smallest)
    table = path.with_name(_stem(path.name) + ".tsv")
    text = io.StringIO()
    writer = csv.writer(text, dialect="excel-tab", lineterminator="\n")
    writer.writerow(COLUMNS)
    for number, group in structures(rois).items():
        writer.writerow((number, group[0].name, group[0].color))
    with complete_file(table, overwrite=overwrite) as part:
        part.write_text(text.getvalue(), encoding="utf-8", newline="\n")
        to_nifti(labels, path, sidecar=False, overwrite=overwrite)


def read_nifti(path: Path) -> list[Roi]:
    """
    Return the outlines of a label map, with the names of the table beside it if there is one.

    Raises
    ------
    FormatError
        The values are no labels.
    """
    import xarray as xr

    found = xr.open_dataarray(path, engine="nifti").load()
    if found.dtype.kind == "f" and bool((found == found.round()).all()):
        found = found.astype(np.int64)
    if found.dtype.kind not in "biu" or (found.size and int(found.min()) < 0):
        raise FormatError(f"{path}: the values are no labels (whole numbers from 0)")
    table = path.with_name(_stem(path.name) + ".tsv")
    names = _table(table) if table.is_file() else {}
    rois = outlines(found.rename("region"))
    return [_renamed(roi, *names[roi.number]) if roi.number in names else roi for roi in rois]


def write_seg(
    rois: Sequence[Roi],
    path: Path,
    image: xr.DataArray,
    *,
    overwrite: bool,
    attributes: Mapping[str, Any],
) -> None:
    """
    Write regions as a DICOM Segmentation on the voxels of an image; they may overlap.

    Parameters
    ----------
    rois : sequence of Roi
    path : Path
        A folder, or a ``.zip``.
    image : DataArray
        Read from DICOM.
    overwrite : bool
    attributes : mapping
        DICOM attributes by keyword.

    Raises
    ------
    WriteError
        A region holds at certain time points only, or the target is not free.
    """
    from imagedata_xr.formats.dicom.write import Segment, to_dicom_seg

    groups = structures(rois)
    segments = {}
    for number, group in groups.items():
        first = group[0]
        one = Segment(label=first.name, color=first.color, algorithm="MANUAL")
        segments[number] = one if first.code is None else replace(one, type=(*first.code,))
    stacked = mask(rois, image, stack=True).sortby(SEGMENT)
    to_dicom_seg(
        stacked, path, segments=segments, template=image, overwrite=overwrite, **attributes
    )


def rois_of_mask(found: xr.DataArray, colors: Mapping[int, str]) -> list[Roi]:
    """Return the outlines of a segmentation as the engine ``dicom`` opens it, with its codes."""
    found = found.load()
    if found.dtype.kind == "f":
        raise FormatError(
            "a segmentation of fractions has no borders: roi.outlines(found > 0.5) chooses them"
        )
    rois = outlines(found.astype(bool) if SEGMENT in found.dims else found)
    numbers, codes, meanings = (
        np.atleast_1d(found.attrs.get(key, [])).tolist() for key in (NUMBERS, *CODES)
    )
    known = {
        int(number): Code(*str(code).partition("^")[::2], str(meaning))
        for number, code, meaning in zip(numbers, codes, meanings, strict=False)
        if "^" in str(code) and not str(code).startswith(UNTOLD)
    }
    return [
        replace(roi, code=known.get(roi.number), color=colors.get(roi.number, roi.color))
        for roi in rois
    ]


def _stem(name: str) -> str:
    low = name.lower()
    return next((name[: -len(end)] for end in (".nii.gz", ".nii") if low.endswith(end)), name)


def _renamed(roi: Roi, name: str, color: str | None) -> Roi:
    return replace(roi, name=name, color=color or roi.color)


def _table(path: Path) -> dict[int, tuple[str, str | None]]:
    """Return name and colour by number; what is not understood is left out."""
    found: dict[int, tuple[str, str | None]] = {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, dialect="excel-tab"))
    except (OSError, UnicodeDecodeError, csv.Error):
        return found
    for row in rows:
        number, name, color = (row.get(key) for key in COLUMNS)
        if number and name and str(number).isdigit():
            found[int(number)] = (name, color)
    return found
