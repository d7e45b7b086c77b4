"""
Where bytes come from: files, folders, globs, ZIP archives, bytes, file objects and fsspec URLs.

Every source can be read again at any time and from any process: it is a frozen value that holds
no handle.
"""

from __future__ import annotations

from imagedata_xr.sources.archive import ZipMember
from imagedata_xr.sources.files import LocalFile, MemoryBytes, RemoteFile
from imagedata_xr.sources.find import find_sources

__all__ = ["LocalFile", "MemoryBytes", "RemoteFile", "ZipMember", "find_sources"]
