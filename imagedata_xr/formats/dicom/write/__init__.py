"""Writing DICOM: one file a frame, each with the header of its own source."""

from __future__ import annotations

from imagedata_xr.formats.dicom.write.write import to_dicom

__all__ = ["to_dicom"]
