"""
XNAT: ``xnat://host[:port]/project[/subject[/experiment[/scan[/resource]]]]``.

HTTPS; ``xnat+http://`` where it must be without. User and password, or alias and secret of a
token, come from ``~/.netrc`` or the variables ``XNAT_USER`` and ``XNAT_PASS``.
"""

from __future__ import annotations

from imagedata_xr.transports.xnat.client import Client
from imagedata_xr.transports.xnat.filesystem import XnatFileSystem, XnatPlainFileSystem
from imagedata_xr.transports.xnat.reading import fetch, find, link
from imagedata_xr.transports.xnat.session import session
from imagedata_xr.transports.xnat.writing import store, verify

# What replacing an existing target means to `store`.
REPLACING = {"overwrite": "delete"}

__all__ = [
    "Client",
    "XnatFileSystem",
    "XnatPlainFileSystem",
    "fetch",
    "find",
    "link",
    "session",
    "store",
    "verify",
]
