"""
Regions in files: JSON of our own, DICOM RT Structure Sets and Segmentations, NIfTI label maps.

JSON keeps everything. A structure set keeps outlines, a segmentation and NIfTI keep voxels.
"""

from __future__ import annotations

from imagedata_xr.roi.files.dispatch import FORMATS, from_file, to_file

__all__ = ["FORMATS", "from_file", "to_file"]
