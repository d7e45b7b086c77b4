"""Writing DICOM: one file a frame, each with the header of its own source; masks in one file."""

from __future__ import annotations

from imagedata_xr.formats.dicom.write.described import Segment
from imagedata_xr.formats.dicom.write.segmentation import to_dicom_seg
from imagedata_xr.formats.dicom.write.write import to_dicom

__all__ = ["Segment", "to_dicom", "to_dicom_seg"]
