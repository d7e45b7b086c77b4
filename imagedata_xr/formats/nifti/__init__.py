"""NIfTI files (https://nifti.nimh.nih.gov)."""

from imagedata_xr.formats.nifti.write import to_nifti

__all__ = ["to_nifti"]
