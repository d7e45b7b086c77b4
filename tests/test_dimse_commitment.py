"""Storage commitment: what a server promises to keep, by Orthanc and by servers that do not."""

from __future__ import annotations

import pytest
from dicom_peers import free_port, orthanc, own_network, running

from imagedata_xr import transports
from imagedata_xr.errors import (
    OptionError,
    PartialWriteError,
    PeerConnectionError,
    RejectedError,
)
from imagedata_xr.testing import Phantom, write_series
from imagedata_xr.testing.servers import FaultyServer
from imagedata_xr.transports import Outcome, Receipt, dimse

ME = {"calling": "XRTEST"}


@pytest.fixture(scope="module", autouse=True)
def network():
    with own_network():
        yield


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two studies of four slices each."""
    folder = tmp_path_factory.mktemp("files")
    return [
        path
        for study in (1, 2)
        for path in write_series(
            Phantom(
                shape=(4, 6, 5), series=study, attributes={"StudyInstanceUID": f"2.25.{study}"}
            ),
            folder / str(study),
        )
    ]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running(orthanc(tmp_path_factory.mktemp("server"))) as started:
        yield started


def test_kept(server, files):
    """Orthanc promises to keep what it has, of all studies."""
    options = {**ME, "method": "commitment", "port": server.client_port}
    receipt = dimse.verify(server.url, dimse.store(server.url, files, **ME), **options)
    assert len(receipt.verified) == len(files) == 8
    assert receipt.complete


def test_not_kept(server, files):
    """What it does not have is not promised, and not complete; what failed is not asked for."""
    stored = dimse.store(server.url, files, **ME)
    one = stored.outcomes[0]
    invented = Outcome("2.25.99", "acknowledged", sop_class=one.sop_class, study=one.study)
    failed = Outcome("2.25.98", "failed", sop_class=one.sop_class, study=one.study)
    receipt = dimse.verify(
        server.url,
        Receipt((*stored, invented, failed)),
        method="commitment",
        port=server.client_port,
        **ME,
    )
    assert [each.verified for each in receipt] == [True] * 8 + [False, None]
    with pytest.raises(PartialWriteError, match="not there when asked afterwards"):
        Receipt(receipt.outcomes[:9]).raise_unless_complete("server")


def test_no_report(server, files):
    """Without a report in time, it is an error that names title and port; the port is free again."""
    stored = dimse.store(server.url, files[:1], **ME)
    port = free_port()
    for _ in range(2):
        with pytest.raises(PeerConnectionError, match=f"XRTEST.*{port}"):
            dimse.verify(server.url, stored, method="commitment", port=port, wait=0.5, **ME)


def test_not_offered(files):
    """A server without storage commitment, a missing port and a wrong method are errors."""
    with FaultyServer() as server:
        stored = dimse.store(server.url, files)
        with pytest.raises(RejectedError, match="accepts nothing"):
            dimse.verify(server.url, stored, method="commitment", port=free_port())
        with pytest.raises(OptionError, match="port="):
            dimse.verify(server.url, stored, method="commitment")
        with pytest.raises(OptionError, match="method='guess'"):
            dimse.verify(server.url, stored, method="guess")


def test_in_one_call(server, files):
    """Storing and verifying in one call takes options of verifying."""
    commitment = {"method": "commitment", "port": server.client_port}
    receipt = transports.store(server.url, files, verify=commitment, **ME)
    assert len(receipt.verified) == len(files)
