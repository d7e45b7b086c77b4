"""
Where bytes come from: files, folders, globs, archives, bytes, file objects and fsspec URLs.

Every source can be read again at any time and from any process: it is a frozen value that holds
no handle.
"""

from __future__ import annotations

from imagedata_xr.sources.files import LocalFile, MemoryBytes, RemoteFile
from imagedata_xr.sources.find import find_sources, neighbour
from imagedata_xr.sources.parts import read_parts
from imagedata_xr.sources.tarred import TarMember
from imagedata_xr.sources.zipped import ZipMember

__all__ = [
    "LocalFile",
    "MemoryBytes",
    "RemoteFile",
    "TarMember",
    "ZipMember",
    "find_sources",
    "neighbour",
    "read_parts",
]
