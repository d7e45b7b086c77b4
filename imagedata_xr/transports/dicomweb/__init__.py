"""
DICOMweb: ``dicomweb+https://host[:port][/root][/studies/...]``.

QIDO-RS finds, WADO-RS fetches as stored, STOW-RS stores (PS3.18). ``dicomweb+http://`` is without
TLS. User and password, a token or a certificate come from ``~/.netrc`` or the variables
``DICOMWEB_USER``, ``DICOMWEB_PASS``, ``DICOMWEB_TOKEN``, ``DICOMWEB_CERT``, ``DICOMWEB_KEY``.
"""

from __future__ import annotations

from imagedata_xr.transports.dicomweb.client import Client
from imagedata_xr.transports.dicomweb.filesystem import (
    DicomwebFileSystem,
    DicomwebPlainFileSystem,
)
from imagedata_xr.transports.dicomweb.query import find, link
from imagedata_xr.transports.dicomweb.retrieving import fetch
from imagedata_xr.transports.dicomweb.sending import store, verify

__all__ = [
    "Client",
    "DicomwebFileSystem",
    "DicomwebPlainFileSystem",
    "fetch",
    "find",
    "link",
    "store",
    "verify",
]
