"""De-identification after the profiles of DICOM PS3.15 annex E: arrays, headers, and whole folders."""

from __future__ import annotations

from imagedata_xr.formats.dicom.deidentify.array import deidentify
from imagedata_xr.formats.dicom.deidentify.files import deidentify_files
from imagedata_xr.formats.dicom.deidentify.profile import Profile

__all__ = ["Profile", "deidentify", "deidentify_files"]
