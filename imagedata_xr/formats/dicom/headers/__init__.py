"""
Headers of DICOM files, read fast.

A walk over the bytes keeps the raw values of the top level; values are decoded when asked for.
Whatever is unusual is read by pydicom, to the same result.
"""

from __future__ import annotations

from imagedata_xr.formats.dicom.headers.decode import decode
from imagedata_xr.formats.dicom.headers.header import Header, HeaderValues
from imagedata_xr.formats.dicom.headers.private import WANTED_PRIVATE
from imagedata_xr.formats.dicom.headers.scan import read_header, read_headers

__all__ = ["WANTED_PRIVATE", "Header", "HeaderValues", "decode", "read_header", "read_headers"]
