"""Every real file that a server can take arrives byte for byte, and no log names a patient."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import threading
import time
import warnings
from pathlib import Path

import pydicom
import pytest
from dicom_peers import orthanc, own_network, program, running, storescp

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


def killing(server, marks):
    """Return a thread that kills and restarts a server at each mark, and what is to tell it how far."""
    done = [0]

    def kill():
        for mark in marks:
            while done[0] < mark:
                time.sleep(0.0005)
            server.kill()
            server.start()

    thread = threading.Thread(target=kill)
    thread.start()
    return thread, lambda count, _: done.__setitem__(0, count)


def test_through_orthanc(tmp_path, caplog):
    """
    Sent to and fetched from Orthanc, killed three times each way: all is there, and as it gives it.

    Orthanc encodes many data sets anew as it takes them. So what was fetched is compared with
    what DCMTK's getscu, told to keep the bits, gets in the same transfer syntax.
    """
    if not CORPUS.is_dir():
        pytest.skip(f"no {CORPUS}: set IMAGEDATA_XR_CORPUS")
    caplog.set_level(logging.DEBUG)
    ready, _ = outgoing(files_of(CORPUS)[::8])
    me = {"calling": "XRTEST", "retry": Retry(attempts=30, first=0.05, longest=0.5)}
    with own_network(), contextlib.ExitStack() as stack:
        server = orthanc(tmp_path / "server").start()
        stack.callback(server.stop)
        thread, progress = killing(server, [10, 50, 100])
        receipt = dimse.store(server.url, [one.path for one in ready], progress=progress, **me)
        thread.join()
        stored = {one.uid for one in receipt if one.stored}
        assert len(stored) > 0.9 * len(ready) > 120
        assert {one.uid for one in dimse.verify(server.url, receipt, **me).verified} == stored
        thread, progress = killing(server, [10, 50, 100])
        manifest = dimse.fetch(server.url, tmp_path / "ours", progress=progress, **me)
        thread.join()
        for number, study in enumerate(dimse.find(server.url, level="study", calling="XRTEST")):
            there = tmp_path / "theirs" / str(number)
            there.mkdir(parents=True)
            keys = ["-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={study.uid}"]
            titles = ["-aet", "XRTEST", "-aec", "ORTHANC", "127.0.0.1", str(server.port)]
            command = [program("getscu"), "-S", "+B", "-od", str(there), *keys, *titles]
            subprocess.run(command, capture_output=True, check=False)
    ours = bodies(manifest.paths)
    theirs = bodies((tmp_path / "theirs").rglob("*.*"))
    assert set(ours) == stored
    assert len(manifest) == len(stored)
    assert not list((tmp_path / "ours").glob(".*"))
    same = [uid for uid in theirs if ours[uid][0] == theirs[uid][0]]
    assert len(same) > 0.8 * len(stored)
    assert {uid: ours[uid] for uid in same} == {uid: theirs[uid] for uid in same}
    for name in names(one.path for one in ready):
        assert name not in caplog.text
        assert name not in server.log


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
