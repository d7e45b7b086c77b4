"""
Medical images as labelled, lazy xarray arrays.

Importing the package registers the accessor ``.med``; the engine ``dicom`` registers itself with
xarray by entry point::

    import xarray as xr
    import imagedata_xr

    series = xr.open_dataarray("folder", engine="dicom")
    series.med.to_nifti("series.nii.gz")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from imagedata_xr import errors
from imagedata_xr.accessor import Med
from imagedata_xr.errors import GridMismatchError, ImagedataError, ImagedataWarning, SortError
from imagedata_xr.index import AxisIndex, PositionIndex
from imagedata_xr.options import set_options
from imagedata_xr.sortkeys.key import SortKey
from imagedata_xr.tree_accessor import TreeMed

if TYPE_CHECKING:
    from imagedata_xr.cohorts import catalog, map_series
    from imagedata_xr.construct import from_array
    from imagedata_xr.formats.dicom.deidentify import Profile, deidentify, deidentify_files
    from imagedata_xr.formats.dicom.write import Segment, to_dicom, to_dicom_seg
    from imagedata_xr.formats.itk import from_sitk, to_itk
    from imagedata_xr.formats.mat import to_mat
    from imagedata_xr.formats.nifti import from_nibabel, to_nifti
    from imagedata_xr.inventory import list_formats
    from imagedata_xr.listing import ls
    from imagedata_xr.pictures import to_image
    from imagedata_xr.viewer import get_roi, view

__all__ = [
    "AxisIndex",
    "GridMismatchError",
    "ImagedataError",
    "ImagedataWarning",
    "Med",
    "PositionIndex",
    "Profile",
    "Segment",
    "SortError",
    "SortKey",
    "TreeMed",
    "catalog",
    "deidentify",
    "deidentify_files",
    "errors",
    "from_array",
    "from_nibabel",
    "from_sitk",
    "get_roi",
    "list_formats",
    "ls",
    "map_series",
    "set_options",
    "to_dicom",
    "to_dicom_seg",
    "to_image",
    "to_itk",
    "to_mat",
    "to_nifti",
    "view",
]

# Writers need more than xarray, so they are imported when they are first asked for.
_LAZY = {
    "Profile": "imagedata_xr.formats.dicom.deidentify",
    "catalog": "imagedata_xr.cohorts",
    "deidentify": "imagedata_xr.formats.dicom.deidentify",
    "deidentify_files": "imagedata_xr.formats.dicom.deidentify",
    "from_array": "imagedata_xr.construct",
    "from_nibabel": "imagedata_xr.formats.nifti",
    "from_sitk": "imagedata_xr.formats.itk",
    "get_roi": "imagedata_xr.viewer",
    "Segment": "imagedata_xr.formats.dicom.write",
    "list_formats": "imagedata_xr.inventory",
    "ls": "imagedata_xr.listing",
    "map_series": "imagedata_xr.cohorts",
    "to_dicom": "imagedata_xr.formats.dicom.write",
    "to_dicom_seg": "imagedata_xr.formats.dicom.write",
    "to_image": "imagedata_xr.pictures",
    "to_itk": "imagedata_xr.formats.itk",
    "to_mat": "imagedata_xr.formats.mat",
    "to_nifti": "imagedata_xr.formats.nifti",
    "view": "imagedata_xr.viewer",
}


# Parts that are used under their own name: imagedata_xr.roi.mask(...).
_PARTS = ("display", "resampling", "roi", "transports")


def __getattr__(name: str) -> Any:
    if name in _PARTS:
        return import_module(f"{__name__}.{name}")
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    if name == "__version__":
        from importlib.metadata import version

        return version("imagedata_xr")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
