"""Commands that look at folders: structure and what is odd, told truly and without the patient."""

from __future__ import annotations

import json
import shutil

import pydicom
import pytest
import xarray as xr
from PIL import Image

from imagedata_xr.testing import Phantom, drop_file, duplicate_file, truncate_file, write_series
from imagedata_xr_cli import family, looking
from imagedata_xr_cli.show import main as show

NAMED = {"PatientName": "Doe^Jane", "PatientID": "ID-4711", "SeriesDescription": "echoes"}
ECHOES = Phantom(axes={"te": [10, 20, 30]}, attributes=NAMED)


def call(capsys, command, *arguments):
    status = command([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    assert "Jane" not in printed.out + printed.err
    assert "4711" not in printed.out + printed.err
    return status, printed.out, printed.err


@pytest.fixture
def files(tmp_path):
    return write_series(ECHOES, tmp_path / "dicom")


@pytest.mark.usefixtures("files")
def test_dump_tells_how_a_series_opens(tmp_path, capsys):
    """Dimensions and sources are those of the array that xarray opens."""
    status, printed, error = call(capsys, looking.dump, tmp_path / "dicom")
    assert (status, error) == (0, "")
    opened = xr.open_dataarray(tmp_path / "dicom", engine="dicom")
    sizes = " x ".join(f"{dim} {size}" for dim, size in opened.sizes.items())
    assert f"dimensions: {sizes}" in printed
    assert "te: 10 to 30 ms, from EchoTime" in printed
    assert "varies: EchoTime = 10, 20, 30" in printed
    status, printed, _ = call(capsys, looking.dump, "--json", tmp_path / "dicom")
    stack = json.loads(printed)["series"][0]["stacks"][0]
    assert stack["dims"]["te"] == {
        "size": 3,
        "source": "EchoTime",
        "units": "ms",
        "first": 10.0,
        "last": 30.0,
    }
    assert stack["spacing"] == pytest.approx(opened.med.spacing)


def test_dump_shows_options_that_work(tmp_path, files, capsys):
    """Where a frame is missing, the option shown opens a part with the other command."""
    drop_file(files[1])
    status, printed, _ = call(capsys, looking.dump, tmp_path / "dicom")
    assert status == 0
    assert "EchoTime=10, slice 1: missing" in printed
    options = printed.partition("opens with: ")[2].splitlines()[0].split()
    out = tmp_path / "out.mha"
    arguments = ["data", "--dry-run", *options, str(out), str(tmp_path / "dicom")]
    assert family.main(arguments) == 0
    assert "te 2 x slice 4" in capsys.readouterr().out


@pytest.mark.usefixtures("files")
def test_nothing_odd(tmp_path, capsys):
    """A complete series has no problems, and the exit status is 0."""
    status, printed, error = call(capsys, looking.validate, tmp_path / "dicom")
    assert (status, error) == (0, "")
    assert printed == "nothing odd in 1 series of 12 images\n"
    assert call(capsys, looking.validate, "-q", tmp_path / "dicom") == (0, "", "")


def lose_identity(files):
    for path in files:
        header = pydicom.dcmread(path)
        header.PatientID = ""
        del header.FrameOfReferenceUID
        header.save_as(path)


def change_pixels_of_a_copy(files):
    copy = files[0].with_name("copy.dcm")
    header = pydicom.dcmread(files[0])
    header.PixelData = bytes(reversed(header.PixelData))
    header.save_as(copy)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda files: drop_file(files[1]), ["EchoTime=10, slice 1: missing"]),
        (lambda files: duplicate_file(files[0]), ["left out 1 identical copies"]),
        (lambda files: truncate_file(files[0]), ["truncated"]),
        (lambda files: [path.unlink() for path in files[1::4]], ["unevenly spaced"]),
        (change_pixels_of_a_copy, ["one SOP Instance UID but different contents"]),
        (
            lose_identity,
            ["12 of 12 images have no PatientID", "12 of 12 images have no FrameOfReferenceUID"],
        ),
    ],
)
def test_what_is_odd(tmp_path, files, capsys, damage, said):
    """Each kind of damage is told, in text and JSON, and the exit status is 1."""
    files = sorted(files, key=lambda path: pydicom.dcmread(path).InstanceNumber)
    damage(files)
    status, printed, error = call(capsys, looking.validate, tmp_path / "dicom")
    assert (status, error) == (1, "")
    assert all(text in printed for text in said), printed
    status, printed, _ = call(capsys, looking.validate, "--json", tmp_path / "dicom")
    assert status == 1
    problems = json.loads(printed)["problems"]
    assert all(any(text in problem for problem in problems) for text in said)


def test_two_patients_and_a_report(tmp_path, files, capsys):
    """Patients, studies and series are counted; what is no image is listed."""
    other = ECHOES.replace(series=2, attributes={**NAMED, "PatientID": "ID-4711-b"})
    write_series(other, tmp_path / "dicom")
    report = pydicom.dcmread(files[0])
    for keyword in ("PixelData", "Rows", "Columns", "BitsAllocated", "PixelRepresentation"):
        delattr(report, keyword)
    report.SOPClassUID = report.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.88.11"
    report.Modality = "SR"
    report.SOPInstanceUID = report.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    report.save_as(tmp_path / "dicom" / "report.dcm")
    status, printed, _ = call(capsys, looking.dump, tmp_path / "dicom")
    assert status == 0
    assert printed.startswith("2 patients, 1 study, 2 series")
    assert f"SR: {tmp_path / 'dicom' / 'report.dcm'}" in printed


def test_no_images(tmp_path, capsys):
    """An empty or missing folder is an error of one line."""
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "empty", tmp_path / "nowhere"):
        status, printed, error = call(capsys, looking.validate, path)
        assert (status, printed) == (1, "")
        assert error.count("\n") == 1


@pytest.mark.parametrize("name", family.COMMANDS)
def test_family(capsys, name):
    """Every command is there under the one name, with its help."""
    assert family.main([name, "--help"]) == 0
    assert f"Usage: imagedata-xr {name}" in capsys.readouterr().out


def test_family_help_and_errors(tmp_path, capsys):
    """The family lists its commands; a wrong one is wrong usage."""
    assert family.main([]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in family.COMMANDS)
    assert family.main(["nothing"]) == 2
    assert capsys.readouterr().err.startswith("imagedata-xr: error: ")
    shutil.rmtree(tmp_path)
    assert family.main(["validate", str(tmp_path)]) == 1


def test_show_names_what_it_leaves_out(tmp_path, capsys):
    """Of a study, all series are in the picture, or named with the reason, without the patient."""
    pytest.importorskip("holoviews")
    for number in range(5):
        write_series(
            Phantom(attributes=NAMED | {"SeriesNumber": number}, seed=number),
            tmp_path / "in" / str(number),
        )
    files = write_series(
        Phantom(axes={"te": [1, 2]}, attributes=NAMED, seed=9), tmp_path / "in" / "te"
    )
    drop_file(files[1])
    status, printed, error = call(
        capsys, show, "--no-names", "--save", tmp_path / "x.png", tmp_path / "in"
    )
    assert status == 0
    assert "written" in printed
    assert "not shown: " in error
    assert "make no complete grid" in error
    with Image.open(tmp_path / "x.png") as picture:
        assert picture.width >= 5 * picture.height / 2
