"""
The DICOM network protocol: C-ECHO, C-FIND, C-STORE, with pynetdicom.

::

    from imagedata_xr.transports import dimse

    dimse.echo("dicom://host:104/PACS")
    dimse.find("dicom://host:104/PACS/*", level="study", keys={"StudyDate": "20260101-"})
    dimse.send("dicom://host:104/PACS", ["a.dcm", "b.dcm"])
"""

from __future__ import annotations

from imagedata_xr.transports.dimse.peer import Peer, Tls
from imagedata_xr.transports.dimse.query import echo, find, selection_of
from imagedata_xr.transports.dimse.sending import send, store
from imagedata_xr.transports.dimse.verifying import verify

__all__ = ["Peer", "Tls", "echo", "find", "selection_of", "send", "store", "verify"]
