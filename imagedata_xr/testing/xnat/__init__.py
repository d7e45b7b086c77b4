"""
A stand-in for an XNAT server: real HTTP on loopback, files on disk.

It is no XNAT. It answers those requests that the package xnat (xnatpy) and `imagedata_xr` make,
and imitates what a real server does that a client must not be surprised by; each was read in the
source of XNAT:

1. A file that exists is not replaced without ``overwrite=true``: the answer is status 200 and a
   list of duplicates.
2. Who may not edit gets status 200 too, and nothing is written.
3. An import of a session that exists is a conflict (409) unless ``overwrite`` says what to do, and
   ``append`` refuses files and scans that clash; ``delete`` replaces files of the same name only.
4. The site may change DICOM files on their way into the archive: `XnatServer.change`.
5. ZIP archives are sent as they are made, without a length, with members named as XNAT does.
6. Errors are HTML pages; listings of files have sizes and MD5 digests.
"""

from __future__ import annotations

from imagedata_xr.testing.xnat.server import XnatServer

__all__ = ["XnatServer"]
