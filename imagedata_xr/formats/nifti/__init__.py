"""NIfTI files (https://nifti.nimh.nih.gov)."""

from imagedata_xr.formats.nifti.objects import from_nibabel, to_nibabel
from imagedata_xr.formats.nifti.write import to_nifti

__all__ = ["from_nibabel", "to_nibabel", "to_nifti"]
