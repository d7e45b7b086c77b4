"""Every real file that a server can take arrives byte for byte, and no log names a patient."""

from __future__ import annotations

import logging
import os
import warnings
from pathlib import Path

import pydicom
import pytest
from dicom_peers import own_network, running, storescp

from imagedata_xr.transports import Retry, dimse
from imagedata_xr.transports.core.outgoing import files_of, outgoing
from imagedata_xr.transports.core.part10 import identify

CORPUS = Path(os.environ.get("IMAGEDATA_XR_CORPUS", "../shared/corpus"))
# What DCMTK 3.6.7 does not know.
UNKNOWN = ("High-Throughput JPEG 2000", "Deflated Image Frame")


def test_whole_corpus(tmp_path, caplog):
    """DCMTK's storescp, told to keep what it gets as it is, has the bytes of the files."""
    if not CORPUS.is_dir():
        pytest.skip(f"no {CORPUS}: set IMAGEDATA_XR_CORPUS")
    caplog.set_level(logging.DEBUG, "imagedata_xr")
    caplog.set_level(logging.DEBUG, "pynetdicom")
    ready, _ = outgoing(files_of(CORPUS))
    with own_network(), running(storescp(tmp_path, "+B", "-pm", "+xa")) as server:
        receipt = dimse.store(server.url, [one.path for one in ready], retry=Retry(2, 0.1))
    refused = [one for one in receipt if not one.stored]
    assert all(any(text in one.reason for text in UNKNOWN) for one in refused)
    assert len(receipt.acknowledged) > 1000
    sent = bodies(one.path for one in receipt.acknowledged)
    assert bodies((tmp_path / "db").iterdir()) == sent
    for name in names(one.path for one in ready[::10]):
        assert name not in caplog.text
        assert name not in repr(receipt)


def bodies(paths):
    """Return transfer syntax and hash of each data set by UID."""
    found = {}
    for path in map(Path, paths):
        with path.open("rb") as file:
            one = identify(file, path.name)
            file.seek(one.offset)
            found[one.uid] = (one.syntax, hash(file.read()))
    return found


def names(paths):
    """Return what identifies patients, where it is long enough to be told from other text."""
    found = set()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path in paths:
            keywords = ["PatientName", "PatientID"]
            ds = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=keywords)
            found.update(str(ds.get(keyword, "")) for keyword in keywords)
    return {name for name in found if len(name) > 6}
