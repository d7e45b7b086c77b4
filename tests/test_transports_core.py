"""What all transports share: addresses without secrets, files that are complete or absent."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pydicom
import pytest

from imagedata_xr import transports
from imagedata_xr.errors import (
    FormatError,
    NoImagesError,
    OptionError,
    PartialWriteError,
    SourceNotFoundError,
    TransportError,
    WriteError,
)
from imagedata_xr.testing import Phantom, change_header, duplicate_file, write_series
from imagedata_xr.transports import Locator, Outcome, Receipt, Selection
from imagedata_xr.transports.core.dispatch import is_remote, transport
from imagedata_xr.transports.core.outgoing import files_of, outgoing
from imagedata_xr.transports.core.part10 import identify, safe_name
from imagedata_xr.transports.core.policy import Retry
from imagedata_xr.transports.core.spool import Incoming, Ledger, Spool, clear_spool, spool_root


@pytest.fixture(autouse=True)
def spool(tmp_path, monkeypatch):
    """Keep the spool of the person who runs the tests out of them."""
    monkeypatch.setenv("IMAGEDATA_XR_SPOOL", str(tmp_path / "spool"))


@pytest.mark.parametrize(
    ("url", "host", "port", "path"),
    [
        ("dicom://pacs:104/AE", "pacs", 104, ("AE",)),
        ("DICOM://[::1]:104/AE/", "::1", 104, ("AE",)),
        ("dicom://pacs:104/AE//1.2.3", "pacs", 104, ("AE", "", "1.2.3")),
        ("dicom://pacs:104/AE/a%2Fb%20%C3%A6", "pacs", 104, ("AE", "a/b æ")),
        ("xnat://host/project/subject*", "host", None, ("project", "subject*")),
    ],
)
def test_locator(url, host, port, path):
    """A URL is taken apart, and put together again means the same."""
    found = Locator.parse(url)
    assert (found.host, found.port, found.path) == (host, port, path)
    assert Locator.parse(found.url) == found


@pytest.mark.parametrize(
    "url",
    [
        "dicom://me:s3cret@pacs:104/AE",
        "xnat://me@host/p",
        "dicom:///AE",
        "dicom://h:99999/A",
        "pacs",
    ],
)
def test_locator_refuses(url):
    """No credentials in URLs, no URL without a host, and the secret is not repeated."""
    with pytest.raises(OptionError) as caught:
        Locator.parse(url)
    assert "s3cret" not in str(caught.value)


def test_nothing_shows_a_patient():
    """Text and repr of addresses, selections and receipts name no patient."""
    locator = Locator.parse("dicom://pacs:104/AE/DOE-1234/1.2.3?calling=ME")
    selection = Selection(patient="DOE-1234", accession="DOE", keys=(("PatientName", "DOE*"),))
    shown = f"{locator} {locator!r} {selection!r} {Outcome('1.2', 'failed', path='/DOE')!r}"
    assert "DOE" not in shown
    assert str(locator) == "dicom://pacs:104/AE/..."


@pytest.mark.parametrize(
    ("url", "level", "link"),
    [
        ("dicom://h:104/AE/P1?calling=ME", "patient", "dicom://h:104/AE/P1?calling=ME"),
        ("dicom://h:104/AE/P1", "study", "dicom://h:104/AE//1.2"),
        ("dicom://h:104/AE", "series", "dicom://h:104/AE//1.2/1.3"),
        ("dicomweb+https://h/a/studies/1.2", "study", "dicomweb+https://h/a/studies/1.2"),
        (
            "dicomweb+https://h/a?PatientID=P*",
            "series",
            "dicomweb+https://h/a/studies/1.2/series/1.3",
        ),
        ("xnat://h/PR", "study", "xnat://h/PR/S%201/E1"),
    ],
)
def test_links(url, level, link):
    """What a server lists has a URL that opens it, without the Patient ID where that can be."""
    values = {
        "PatientID": "P1",
        "StudyInstanceUID": "1.2",
        "SeriesInstanceUID": "1.3",
        "XNATProject": "PR",
        "XNATSubject": "S 1",
        "XNATExperiment": "E1",
    }
    record = transports.Record("series", values)
    assert transports.link(url, record, level=level) == link


def test_schemes():
    """Only URLs of servers are remote, and an unknown scheme is an error that lists those known."""
    assert is_remote("dicom://h:104/AE")
    assert not is_remote("/some/folder")
    assert not is_remote("https://h/a.zip")
    with pytest.raises(OptionError, match="dicoms"):
        transport("ftp://h/x")


def test_odd_data_set_is_not_sent(tmp_path):
    """A data set of an odd number of bytes hangs some servers: it is a failure with the reason."""
    good, bad = write_series(Phantom(shape=(2, 4, 4)), tmp_path)
    bad.write_bytes(bad.read_bytes() + b"\0")
    ready, failed = outgoing([good, bad])
    assert [one.path for one in ready] == [good]
    assert [one.path for one in failed] == [str(bad)]
    assert "odd number of bytes" in failed[0].reason


def test_data_set_of_another_syntax_is_not_sent(tmp_path):
    """A data set without value representations in an explicit syntax is a failure, and vice versa."""
    paths = write_series(Phantom(shape=(3, 4, 4)), tmp_path)
    explicit, implicit = pydicom.uid.ExplicitVRLittleEndian, pydicom.uid.ImplicitVRLittleEndian
    for path, syntaxes in zip(
        paths, ((explicit, implicit), (implicit, explicit), (implicit, implicit)), strict=True
    ):
        ds = pydicom.dcmread(path)
        parts = []
        for syntax in syntaxes:
            ds.file_meta.TransferSyntaxUID = syntax
            ds.save_as(path, implicit_vr=syntax == implicit, little_endian=True)
            with path.open("rb") as file:
                offset = identify(file, path.name).offset
            parts.append((path.read_bytes()[:offset], path.read_bytes()[offset:]))
        path.write_bytes(parts[0][0] + parts[1][1])
    ready, failed = outgoing(paths)
    assert [one.path for one in ready] == paths[2:]
    assert [one.path for one in failed] == list(map(str, paths[:2]))
    assert ["not encoded as" in one.reason for one in failed] == [True, True], failed


def test_identify_without_warnings(tmp_path):
    """Who an instance is matters here, not whether the rest of its header is well made."""
    (path,) = write_series(Phantom(shape=(1, 4, 4)), tmp_path)
    ds = pydicom.dcmread(path)
    ds.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRBigEndian
    pydicom.dcmwrite(path, ds, enforce_file_format=True, little_endian=False, implicit_vr=False)
    data = path.read_bytes()
    path.write_bytes(data.replace(b"CS\0\x0aISO_IR 100", b"CS\0\x0aISO_IR 999"))
    assert path.read_bytes() != data
    with path.open("rb") as file:
        assert identify(file, path.name).uid == ds.SOPInstanceUID


TEST_FILES = sorted((Path(pydicom.__file__).parent / "data" / "test_files").rglob("*.dcm"))


def test_identify_agrees_with_pydicom():
    """Who an instance is, and where its data set begins, on every file that pydicom ships."""
    known = 0
    for path in TEST_FILES:
        try:
            ds = pydicom.dcmread(path, stop_before_pixels=True)
            truth = (
                str(ds.SOPClassUID),
                str(ds.SOPInstanceUID),
                str(ds.file_meta.TransferSyntaxUID),
            )
        except Exception:  # noqa: BLE001 - files that pydicom itself cannot say this of
            continue
        with path.open("rb") as file:
            try:
                found = identify(file, path.name)
            except FormatError:
                assert not all(truth) or "DICM" not in path.read_bytes()[128:132].decode("latin-1")
                continue
            assert (found.sop_class, found.uid, found.syntax) == truth
            file.seek(0)
            length = ds.file_meta.get("FileMetaInformationGroupLength")
            if length:
                assert found.offset == 144 + length
        known += 1
    assert known > 40


def test_identify_behind_much_private_data(tmp_path):
    """Study and series are found however much stands before them."""
    (path,) = write_series(Phantom(shape=(1, 6, 5)), tmp_path)
    header = pydicom.dcmread(path)
    header.private_block(0x0009, "TESTS", create=True).add_new(1, "OB", bytes(1 << 17))
    header.save_as(path)
    with path.open("rb") as file:
        found = identify(file, "a file")
    assert (found.study, found.series) == (header.StudyInstanceUID, header.SeriesInstanceUID)


@pytest.mark.parametrize("uid", ["../../etc/passwd", "a", "", "1.2/3", ".1", "1" * 65, "1.2\0"])
def test_names_of_hostile_uids(uid):
    """A UID that is none never becomes part of a path."""
    name = safe_name(uid)
    assert len(name) == 64
    assert name.isalnum()


def incoming(folder, uid="1.2.3", **more):
    known = {"sop_class": "1.2.840.10008.5.1.4.1.1.7", "syntax": "1.2.840.10008.1.2.1"}
    return Incoming(folder, uid, limit=1000, **known, **more)


ELEMENT = b"\x10\0\x20\0LO\x04\0AB12"


def test_incoming_is_complete(tmp_path):
    """A finished instance is a DICOM file whose data set has the bytes that came."""
    with incoming(tmp_path) as one:
        one.write(ELEMENT[:5])
        one.write(ELEMENT[5:])
        done = one.finish()
    assert [p.name for p in tmp_path.iterdir()] == ["1.2.3.dcm"]
    assert Path(done.path).read_bytes().endswith(ELEMENT)
    assert done.size == Path(done.path).stat().st_size
    assert pydicom.dcmread(done.path).PatientID == "AB12"


def test_incoming_is_absent(tmp_path):
    """What is interrupted or too large leaves no file."""

    def interrupted():
        with incoming(tmp_path) as one:
            one.write(ELEMENT)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with pytest.raises(TransportError, match="1000 bytes"), incoming(tmp_path) as one:
        one.write(b"\0" * 1001)
    assert not list(tmp_path.iterdir())


def test_incoming_replaces_nothing(tmp_path):
    """A file with other contents stays, the same contents are no error, and overwrite replaces."""

    def put(data, **more):
        with incoming(tmp_path, uid="2.25.1", **more) as one:
            one.write(header + data)
            return one.finish()

    header = b"\x08\0\x16\0UI\x04\x001.2\0\x08\0\x18\0UI\x06\x002.25.1"
    put(ELEMENT)
    put(ELEMENT)
    with pytest.raises(WriteError, match="overwrite=True"):
        put(ELEMENT.replace(b"12", b"34"))
    assert (tmp_path / "2.25.1.dcm").read_bytes().endswith(ELEMENT)
    put(ELEMENT.replace(b"12", b"34"), overwrite=True)
    assert (tmp_path / "2.25.1.dcm").read_bytes().endswith(b"AB34")
    assert len(list(tmp_path.iterdir())) == 1


def test_ledger_survives_a_kill(tmp_path):
    """A line that was cut off is ignored, and does not swallow the next."""
    ledger = Ledger(tmp_path / "ledger")
    ledger.add(uid="1")
    with ledger.path.open("ab") as file:
        file.write(b'{"uid":"2')
    ledger.add(uid="3")
    assert [entry["uid"] for entry in ledger] == ["1", "3"]


def test_spool_is_private(tmp_path):
    """Only the owner reads the spool, and its names tell nothing."""
    place = Spool("dicom://pacs:104/AE", "DOE-1234").folder
    assert place.stat().st_mode & 0o077 == 0
    assert spool_root().stat().st_mode & 0o077 == 0
    assert "DOE" not in str(place.relative_to(tmp_path))
    assert Spool("dicom://pacs:104/AE", "DOE-1234").folder == place


def test_spool_is_cleared():
    """Clearing removes what no running process writes, and says how much."""
    gone, kept = Spool("a").folder, Spool("b").folder
    (gone / "1.dcm").write_bytes(b"\0" * 10)
    (kept / f".{os.getppid()}-x.part").write_bytes(b"\0")
    assert clear_spool() == 10
    assert not gone.exists()
    assert kept.exists()


def test_leftovers_of_a_killed_process_go():
    """Half a file of a process that is gone is removed when the spool is used again."""
    place = Spool("a").folder
    ended = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True
    )
    (place / f".{int(ended.stdout)}-x.part").write_bytes(b"\0")
    Spool("a")
    assert not list(place.glob("*.part"))


def test_receipt_raises_with_the_list():
    """Each reason is counted; the receipt comes along, also from another process."""
    receipt = Receipt(
        (
            Outcome("1.1", "acknowledged"),
            Outcome("1.2", "failed", status=0xA700, reason="out of resources"),
            Outcome("1.3", "unknown", reason="no answer"),
            Outcome("1.4", "acknowledged", verified=False),
        )
    )
    with pytest.raises(PartialWriteError, match="3 of 4") as caught:
        receipt.raise_unless_complete(Locator.parse("dicom://h:104/AE/DOE"))
    assert "out of resources" in str(caught.value)
    assert "DOE" not in str(caught.value)
    assert pickle.loads(pickle.dumps(caught.value)).receipt == receipt
    Receipt((Outcome("1.1", "warned"),)).raise_unless_complete("x")


def test_retry_is_bounded():
    """Pauses grow to the longest, and end."""
    pauses = list(Retry(attempts=8, first=1, longest=4, jitter=0).delays())
    assert pauses == [1, 2, 4, 4, 4, 4, 4]


def test_what_is_sent(tmp_path):
    """Instances once each; contradictions and damaged DICOM are failures, other files no matter."""
    files = write_series(Phantom(shape=(3, 6, 5)), tmp_path)
    uid = pydicom.dcmread(files[0]).SOPInstanceUID
    duplicate_file(files[1])
    change_header(files[2], SOPInstanceUID=uid)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "broken.dcm").write_bytes(b"\0" * 200)
    ready, failed = outgoing(files_of(tmp_path))
    assert len(ready) == 2
    assert sorted(one.reason for one in failed) == [
        "another file with other contents has the same SOP Instance UID",
        "no DICOM file",
    ]


def test_nothing_to_send(tmp_path):
    """No such folder and an empty folder are told apart."""
    with pytest.raises(SourceNotFoundError):
        files_of(tmp_path / "nowhere")
    with pytest.raises(NoImagesError):
        files_of(tmp_path)
