"""``ls``: what is in folders, archives and on servers, alike, and readable."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pydicom
import pytest
import xarray as xr
from dicom_peers import dcmqrscp, orthanc, own_network, running

import imagedata_xr
from imagedata_xr import transports
from imagedata_xr.errors import OptionError, SourceNotFoundError
from imagedata_xr.testing import Phantom, XnatServer, write_series
from imagedata_xr.testing.servers import FaultyServer
from imagedata_xr.transports import dimse

ME = {"calling": "XRTEST"}
SLICES = 3
SERIES = [(patient, study, series) for patient in (1, 2) for study in (1, 2) for series in (1, 2)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two patients with two studies of two series of three slices."""
    top = tmp_path_factory.mktemp("ls") / "images"
    for patient, study, series in SERIES:
        attributes = {
            "PatientID": f"ID-{patient}",
            "PatientName": f"Doe^{patient}",
            "StudyDate": f"2026010{study}",
            "StudyDescription": "",
            "AccessionNumber": f"ACC{patient}{study}",
            "StudyInstanceUID": f"2.25.{patient}{study}",
            "SeriesNumber": 10 - series,
            "SeriesDescription": f"scan {series}",
        }
        phantom = Phantom(
            shape=(SLICES, 6, 5), series=int(f"{patient}{study}{series}"), attributes=attributes
        )
        write_series(phantom, top / f"{patient}{study}{series}")
    return top


@pytest.fixture(scope="module")
def network():
    with own_network():
        yield


@pytest.fixture(scope="module", params=[orthanc, dcmqrscp], ids=lambda make: make.__name__)
def archive(request, folder, tmp_path_factory):
    request.getfixturevalue("network")
    with running(request.param(tmp_path_factory.mktemp("server"))) as server:
        dimse.send(server.url, folder, **ME)
        yield server


@pytest.fixture
def surroundings(tmp_path, monkeypatch):
    monkeypatch.setenv("IMAGEDATA_XR_SPOOL", str(tmp_path / "spool"))
    monkeypatch.setenv("IMAGEDATA_XR_AET", "XRTEST")


TREE = """\
: 2 patients, 4 studies, 8 series, 24 files
ID-1  Doe^1
├─ 2026-01-01  ACC11  (2 series, 6 files)
│  ├─ 8  MR  scan 2  3
│  └─ 9  MR  scan 1  3
└─ 2026-01-02  ACC12  (2 series, 6 files)
   ├─ 8  MR  scan 2  3
   └─ 9  MR  scan 1  3
ID-2  Doe^2
"""


def counted(listing):
    return [(row["PatientID"], row["StudyInstanceUID"], row["files"]) for row in listing]


EACH = [(f"ID-{p}", f"2.25.{p}{s}", SLICES) for p, s, _ in SERIES]


def test_folder_and_archive(folder, tmp_path):
    """A folder and the same in a ZIP archive: one row a series, with counts, as a tree."""
    packed = tmp_path / "images.zip"
    with zipfile.ZipFile(packed, "w") as file:
        for path in filter(Path.is_file, folder.rglob("*")):
            file.write(path, path.relative_to(folder))
    for place in (folder, str(folder), packed, f"file://{folder}"):
        listing = imagedata_xr.ls(place)
        assert counted(listing) == EACH
        assert str(listing).startswith(f"{place}{TREE}")
        image = xr.open_dataarray(listing[0]["path"], engine="dicom", progress=False)
        assert image.sizes["slice"] == SLICES
        assert image.attrs["SeriesInstanceUID"] == listing[0]["SeriesInstanceUID"]


def test_levels(folder):
    """Studies and patients are counted from their series; JSON and tables have the same rows."""
    (one, two, *_) = studies = imagedata_xr.ls(folder, level="study")
    assert len(studies) == 4
    assert (one["series"], one["files"], one["Modality"]) == (2, 6, "MR")
    assert (two["StudyInstanceUID"], two["SeriesInstanceUID"]) == ("2.25.12", "")
    (first, _) = patients = imagedata_xr.ls(folder, level="patient")
    assert (first["PatientID"], first["series"], first["files"]) == ("ID-1", 4, 12)
    assert str(patients).endswith("\nID-2  Doe^2  (4 series, 12 files)")
    table = studies.to_pandas()
    assert json.loads(studies.to_json()) == table.to_dict("records") == list(studies)


def test_what_is_no_image(tmp_path):
    """Damaged files have a row with the reason, files of other kinds are counted."""
    write_series(Phantom(shape=(2, 4, 4)), tmp_path / "a")
    (tmp_path / "a" / "broken.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\2\0\0\0UL\4\0")
    (tmp_path / "notes.txt").write_text("text")
    (tmp_path / "t1.nii.gz").write_bytes(b"text")
    listing = imagedata_xr.ls(tmp_path)
    assert sorted(row["files"] for row in listing) == [1, 2]
    assert [bool(row["problems"]) for row in listing].count(True) == 1
    assert listing.others == {".nii.gz": 1, ".txt": 1}
    assert str(listing).endswith("\nand 2 files that are no DICOM (1 .nii.gz, 1 .txt)")


def test_problems_are_one_line(tmp_path):
    """An incomplete series has the first line of its error beside it, whole and readable."""
    files = write_series(Phantom(axes={"te": [1, 2]}, shape=(2, 4, 4)), tmp_path / "a")
    files[0].unlink()
    (tmp_path / "notes.txt").write_text("text")
    text = str(imagedata_xr.ls(tmp_path))
    assert "! 3 frames over 2 slice(s) make no complete grid" in text
    assert "\N{REPLACEMENT CHARACTER}" not in text
    assert "select=" not in text
    assert text.endswith("and 1 file that is no DICOM (1 .txt)")


def test_headers_do_not_command_the_terminal(tmp_path):
    """Control characters of headers are not printed."""
    attributes = {"PatientID": "A\x1b[2JB", "SeriesDescription": "x\x1b]0;owned\x07"}
    for path in write_series(Phantom(shape=(1, 4, 4)), tmp_path):
        ds = pydicom.dcmread(path)
        for keyword, value in attributes.items():
            setattr(ds, keyword, value)
        ds.save_as(path)
    text = str(imagedata_xr.ls(tmp_path))
    assert "\x1b" not in text
    assert "\x07" not in text


def test_wrong_arguments(folder):
    """Levels and options that mean nothing, and places that are not there, are errors."""
    with pytest.raises(OptionError, match="level='instance'"):
        imagedata_xr.ls(folder, level="instance")
    with pytest.raises(OptionError, match="calling: only for servers"):
        imagedata_xr.ls(folder, calling="ME")
    with pytest.raises(SourceNotFoundError):
        imagedata_xr.ls(folder / "nothing")


@pytest.mark.usefixtures("surroundings")
def test_dicom_servers(archive, folder):
    """Orthanc and DCMTK list what the folder lists, and each row opens by its path."""
    listing = imagedata_xr.ls(archive.url, level="series")
    assert counted(listing) == EACH
    tree = str(imagedata_xr.ls(folder)).removeprefix(str(folder))
    if archive.aet == "QRDB":
        # DCMTK's archive keeps no descriptions of series.
        tree = tree.replace("scan 1", "-").replace("scan 2", "-")
    assert str(listing) == f"{archive.url}{tree}"
    assert all("ID-" not in row["path"] for row in listing)
    image = xr.open_dataarray(listing[0]["path"], engine="dicom", progress=False)
    assert image.attrs["SeriesInstanceUID"] == listing[0]["SeriesInstanceUID"]
    part = imagedata_xr.ls(f"{archive.url}/ID-2", **ME)
    assert counted(part) == EACH[4:]
    assert "ID-2" not in part.place


def test_whole_server(archive):
    """Of a whole server studies are listed, by one question."""
    listing = imagedata_xr.ls(archive.url, **ME)
    assert listing.level == "study"
    assert [row["StudyInstanceUID"] for row in listing] == [
        "2.25.11",
        "2.25.12",
        "2.25.21",
        "2.25.22",
    ]
    assert imagedata_xr.ls(archive.url, level="patient", **ME)[1]["PatientName"] == "Doe^2"
    assert "no DICOM" in str(imagedata_xr.ls(f"{archive.url}/NOBODY", **ME))


def test_xnat(folder, tmp_path, monkeypatch):
    """Subjects, experiments and scans of XNAT are patients, studies and series."""
    monkeypatch.setenv("XNAT_USER", "tester")
    monkeypatch.setenv("XNAT_PASS", "s3cret")
    monkeypatch.setenv("IMAGEDATA_XR_SPOOL", str(tmp_path / "spool"))
    with XnatServer(tmp_path / "xnat") as server:
        transports.store(f"{server.url}/PROJECT/S1/E1", [folder / "111", folder / "112"])
        transports.store(f"{server.url}/PROJECT/S2/E2", folder / "211")
        listing = imagedata_xr.ls(f"{server.url}/PROJECT", level="series")
        assert [(row["PatientID"], row["SeriesNumber"], row["files"]) for row in listing] == [
            ("S1", "8", SLICES),
            ("S1", "9", SLICES),
            ("S2", "9", SLICES),
        ]
        image = xr.open_dataarray(listing[0]["path"], engine="dicom", progress=False)
        assert image.attrs["SeriesDescription"] == listing[0]["SeriesDescription"]


def test_server_without_queries():
    """A server that only stores says that it cannot be asked."""
    with FaultyServer() as server, pytest.raises(imagedata_xr.ImagedataError, match="accepts"):
        imagedata_xr.ls(server.url)
