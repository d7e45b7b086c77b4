"""``dicoms://`` with real certificates, against DCMTK and Orthanc, and our receiver with DCMTK."""

from __future__ import annotations

import logging
import socket
import ssl
import subprocess
from dataclasses import dataclass

import pydicom
import pytest
import trustme
from dicom_peers import orthanc, own_network, program, running, storescp

import imagedata_xr
from imagedata_xr.errors import (
    AuthenticationError,
    InsecureWarning,
    OptionError,
    PeerConnectionError,
)
from imagedata_xr.testing import Phantom, write_series
from imagedata_xr.transports import Retry, Timeouts, dimse
from imagedata_xr.transports.dimse import Tls

QUICK = {
    "timeouts": Timeouts(connect=30, handshake=30, response=30, idle=30),
    "retry": Retry(attempts=2, first=0.01),
}


@dataclass
class Keys:
    """Files of certificates, by what they are for."""

    folder: object

    def __getattr__(self, name):
        return str(self.folder / f"{name}.pem")


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """An authority with server and client, a name that is not ours, and an authority of others."""
    folder = tmp_path_factory.mktemp("keys")
    ours, others = trustme.CA(), trustme.CA()
    ours.cert_pem.write_to_path(folder / "ca.pem")
    others.cert_pem.write_to_path(folder / "other_ca.pem")
    for name, authority, identity in (
        ("server", ours, "127.0.0.1"),
        ("elsewhere", ours, "pacs.example.org"),
        ("client", ours, "client.example.org"),
        ("rogue", others, "127.0.0.1"),
    ):
        made = authority.issue_cert(identity)
        made.private_key_pem.write_to_path(folder / f"{name}_key.pem")
        made.cert_chain_pems[0].write_to_path(folder / f"{name}.pem")
    return Keys(folder)


@pytest.fixture(scope="module", autouse=True)
def network():
    with own_network():
        yield


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    who = {"PatientName": "DOE^JANE", "PatientID": "ID-77"}
    return write_series(Phantom(shape=(3, 6, 5), attributes=who), tmp_path_factory.mktemp("files"))


def listening(folder, keys, name="server"):
    """Return DCMTK's storescp with TLS, which wants a certificate of its peer."""
    own = ["+tls", getattr(keys, f"{name}_key"), getattr(keys, name)]
    server = storescp(folder, *own, "+cf", keys.ca, "-rc", "+B")
    server.scheme = "dicoms"
    return server


def client(keys, name="client", ca="ca"):
    return Tls(
        ca=getattr(keys, ca), certificate=getattr(keys, name), key=getattr(keys, f"{name}_key")
    )


def test_sent(keys, files, tmp_path):
    """With certificates on both sides everything arrives."""
    with running(listening(tmp_path, keys)) as server:
        assert dimse.send(server.url, files, tls=client(keys)).complete
        assert dimse.echo(server.url, tls=client(keys)) < 30
    arrived = {pydicom.dcmread(path).SOPInstanceUID for path in (tmp_path / "db").iterdir()}
    assert arrived == {pydicom.dcmread(path).SOPInstanceUID for path in files}


def test_from_the_environment(keys, files, tmp_path, monkeypatch):
    """Files of certificates are named by the environment as well."""
    monkeypatch.setenv("IMAGEDATA_XR_TLS_CA", keys.ca)
    monkeypatch.setenv("IMAGEDATA_XR_TLS_CERTIFICATE", keys.client)
    monkeypatch.setenv("IMAGEDATA_XR_TLS_KEY", keys.client_key)
    with running(listening(tmp_path, keys)) as server:
        assert dimse.send(server.url, files).complete


@pytest.mark.parametrize(
    ("case", "text"),
    [
        (("server", "client", "other_ca"), "is not accepted.*tls=Tls"),
        (("elsewhere", "client", "ca"), "is not accepted.*IP address mismatch"),
        (("rogue", "client", "ca"), "is not accepted"),
        (("server", "rogue", "ca"), "want a certificate"),
    ],
    ids=["unknown authority", "other name", "certificate of others", "we are not trusted"],
)
def test_not_trusted(keys, files, tmp_path, case, text):
    """Whoever is not trusted, or does not trust us, gets nothing, and the error says which."""
    server_name, name, ca = case
    with (
        running(listening(tmp_path, keys, server_name)) as server,
        pytest.raises(AuthenticationError, match=text),
    ):
        dimse.send(server.url, files, tls=client(keys, name, ca), **QUICK)
    assert not list((tmp_path / "db").iterdir())


def test_no_certificate(keys, files, tmp_path):
    """A server that wants a certificate and gets none is an error that says so."""
    with (
        running(listening(tmp_path, keys)) as server,
        pytest.raises(AuthenticationError, match="want a certificate"),
    ):
        dimse.send(server.url, files, tls=Tls(ca=keys.ca), **QUICK)


def test_without_verification(keys, files, tmp_path):
    """Opting out of verification works, and warns each time."""
    one = client(keys)
    blind = Tls(certificate=one.certificate, key=one.key, verify=False)
    with (
        running(listening(tmp_path, keys, "rogue")) as server,
        pytest.warns(InsecureWarning, match="anyone can pretend"),
    ):
        assert dimse.send(server.url, files, tls=blind, **QUICK).complete


def test_plain_and_secret_do_not_meet(keys, files, tmp_path):
    """No silent downgrade: plain to a TLS port and TLS to a plain port are errors."""
    with running(listening(tmp_path / "secret", keys)) as server:
        plain = server.url.replace("dicoms", "dicom")
        quick = {**QUICK, "timeouts": Timeouts(connect=30, handshake=2, response=2, idle=2)}
        with pytest.raises(PeerConnectionError, match="dicoms://"):
            dimse.send(plain, files, **quick)
    with running(storescp(tmp_path / "plain")) as server:
        secret = server.url.replace("dicom", "dicoms")
        with pytest.raises((AuthenticationError, PeerConnectionError), match="TLS"):
            dimse.send(secret, files, tls=client(keys), **quick)
    assert not list((tmp_path / "plain" / "db").iterdir())


def test_orthanc(keys, files, tmp_path):
    """Orthanc with TLS: sent, verified, listed, fetched."""
    made = orthanc(
        tmp_path / "server",
        DicomTlsEnabled=True,
        DicomTlsCertificate=keys.server,
        DicomTlsPrivateKey=keys.server_key,
        DicomTlsTrustedCertificates=keys.ca,
        DicomTlsRemoteCertificateRequired=True,
    )
    made.scheme = "dicoms"
    options = {"calling": "XRTEST", "tls": client(keys)}
    with running(made) as server:
        receipt = dimse.store(server.url, files, **options)
        assert len(dimse.verify(server.url, receipt, **options).verified) == len(files)
        (series,) = imagedata_xr.ls(server.url, level="series", **options)
        assert series["files"] == len(files)
        assert series["path"].startswith("dicoms://")
        manifest = dimse.fetch(server.url, tmp_path / "got", **options)
    assert len(manifest) == len(files)


def test_receiver(keys, files, tmp_path):
    """Our receiver takes from DCMTK with a certificate, and from nobody else."""
    tls = client(keys, "server")
    where = ["-aec", "ME", "127.0.0.1"]

    def push(*options):
        command = [program("storescu"), "-to", "10", *options, *where, str(receiver.port)]
        return subprocess.run([*command, *map(str, files)], capture_output=True, check=False)

    with dimse.Receiver(0, tmp_path, aet="ME", host="127.0.0.1", tls=tls) as receiver:
        rogue = ["+tls", keys.rogue_key, keys.rogue, "+cf", keys.ca]
        assert push(*rogue).returncode != 0
        assert push("+tla", "+cf", keys.ca).returncode != 0
        assert push().returncode != 0
        assert not list(tmp_path.iterdir())
        assert push("+tls", keys.client_key, keys.client, "+cf", keys.ca).returncode == 0
    assert len(receiver.manifest) == len(files)


def test_silent_clients(keys, files, tmp_path):
    """Clients that connect to a receiver with TLS and say nothing keep nobody out."""
    tls = client(keys, "server")
    with dimse.Receiver(0, tmp_path / "got", aet="ME", host="127.0.0.1", tls=tls) as receiver:
        address = ("127.0.0.1", receiver.port)
        silent = [socket.create_connection(address, 10) for _ in range(5)]
        silent[0].sendall(b"\x16\x03\x01")
        silent[1].sendall(b"no TLS at all, but a line of text")
        url = f"dicoms://127.0.0.1:{receiver.port}/ME"
        assert dimse.send(url, files, tls=client(keys)).complete
        for one in silent:
            one.close()


def test_secrets_are_not_shown(keys, files, tmp_path, caplog):
    """Neither the path of the key in a repr, nor patients or keys in logs."""
    caplog.set_level(logging.DEBUG)
    assert "client_key" not in repr(client(keys))
    with running(listening(tmp_path, keys)) as server:
        dimse.send(server.url, files, tls=client(keys))
    for text in ("DOE", "ID-77", "client_key", "PRIVATE"):
        assert text not in caplog.text


def test_wrong_files(keys, tmp_path):
    """Files that are not there, or are no certificates, are errors before any connection."""
    with pytest.raises(OptionError, match="no such file"):
        dimse.echo("dicoms://h:1/AE", tls=Tls(ca=str(tmp_path / "nothing.pem")))
    with pytest.raises(AuthenticationError, match="cannot be loaded"):
        dimse.echo("dicoms://h:1/AE", tls=Tls(ca=keys.ca, certificate=keys.client))
    bad = tmp_path / "bad.pem"
    bad.write_text("no certificate")
    with pytest.raises((AuthenticationError, OptionError), match=r"bad\.pem"):
        dimse.echo("dicoms://h:1/AE", tls=Tls(ca=str(bad)))


def test_old_versions_are_refused(keys):
    """TLS below 1.2 is not spoken, neither way."""
    for context in (client(keys).client(), client(keys).server()):
        assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
        assert context.verify_mode == ssl.CERT_REQUIRED
