"""Writing images and masks as DICOM."""

from __future__ import annotations

from imagedata_xr.formats.dicom.write.segment import Segment, to_dicom_seg
from imagedata_xr.formats.dicom.write.write import to_dicom

__all__ = ["Segment", "to_dicom", "to_dicom_seg"]
