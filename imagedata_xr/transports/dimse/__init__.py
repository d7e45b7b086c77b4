"""
The DICOM network protocol: C-ECHO, C-FIND, C-GET, C-MOVE, C-STORE, with pynetdicom.

::

    from imagedata_xr.transports import dimse

    dimse.echo("dicom://host:104/PACS")
    dimse.find("dicom://host:104/PACS/*", level="study", keys={"StudyDate": "20260101-"})
    dimse.fetch("dicom://host:104/PACS//1.2.3", "folder")
    dimse.send("dicom://host:104/PACS", ["a.dcm", "b.dcm"])
    dimse.receive(11112, "folder", aet="ME")
"""

from __future__ import annotations

from imagedata_xr.transports.dimse.peer import Peer, Tls
from imagedata_xr.transports.dimse.query import echo, find, link, selection_of
from imagedata_xr.transports.dimse.receiving import Receiver, receive
from imagedata_xr.transports.dimse.retrieving import fetch
from imagedata_xr.transports.dimse.sending import send, store
from imagedata_xr.transports.dimse.verifying import verify

__all__ = [
    "Peer",
    "Receiver",
    "Tls",
    "echo",
    "fetch",
    "find",
    "link",
    "receive",
    "selection_of",
    "send",
    "store",
    "verify",
]
