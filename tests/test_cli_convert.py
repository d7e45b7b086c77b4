"""Conversion by the command line beyond one file: DICOM out, templates, volumes, whole studies."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
import xarray as xr

from imagedata_xr.errors import DataWarning
from imagedata_xr.testing import Phantom, write_series
from imagedata_xr_cli import data

pytest.importorskip("nibabel")

NAMED = {"SeriesNumber": 14, "SeriesDescription": "ep2d", "PatientName": "Doe^Jane"}
DIFFUSION = Phantom(axes={"b": [0, 400, 800]}, attributes=NAMED)


def call(capsys, *arguments):
    status = data.main([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    return status, printed.out, printed.err


@pytest.fixture
def dicom(tmp_path):
    write_series(DIFFUSION, tmp_path / "dicom")
    return tmp_path / "dicom"


def opened(path, **options):
    return xr.open_dataarray(path, engine="dicom", **options)


def test_there_and_back(tmp_path, dicom, capsys):
    """DICOM to NIfTI, and back with the original as template: same patient, place and values."""
    nifti, result = tmp_path / "niftiDir", tmp_path / "dicomResult"
    assert call(capsys, "--of", "nifti", nifti, dicom)[0] == 0
    status, _, error = call(capsys, "--of", "dicom", "--template", dicom, result, nifti)
    assert (status, error) == (0, "")
    back, source = opened(result), opened(dicom)
    assert back.attrs["PatientName"] == "Doe^Jane"
    assert back.attrs["StudyInstanceUID"] == source.attrs["StudyInstanceUID"]
    assert back.attrs["SeriesInstanceUID"] != source.attrs["SeriesInstanceUID"]
    difference = back.astype(float) - source.astype(float)
    assert difference.sizes == source.sizes
    assert float(abs(difference).max()) == 0


def test_attributes(tmp_path, dicom, capsys):
    """Series number, description, image type and any keyword are those of every file."""
    options = ["--senum", 1004, "--serdes", "Processed data", "--imagetype", "DERIVED,SECONDARY,X"]
    options += ["--set", "ImageComments=by hand", "--set", "OperatorsName=", "--frame", "1.2.3"]
    assert call(capsys, *options, tmp_path / "out", dicom)[0] == 0
    for path in (tmp_path / "out").iterdir():
        header = pydicom.dcmread(path)
        assert (header.SeriesNumber, header.SeriesDescription) == (1004, "Processed data")
        assert list(header.ImageType) == ["DERIVED", "SECONDARY", "X"]
        assert header.ImageComments == "by hand"
        assert header.FrameOfReferenceUID == "1.2.3"


def test_format_of_the_input(tmp_path, dicom, capsys):
    """Without --of, DICOM stays DICOM and NIfTI stays NIfTI."""
    assert call(capsys, "-q", tmp_path / "copy", dicom) == (0, "", "")
    assert opened(tmp_path / "copy").dims == ("b", "slice", "row", "column")
    assert call(capsys, "-q", tmp_path / "a.nii", dicom)[0] == 0
    assert call(capsys, "-q", tmp_path / "folder", tmp_path / "a.nii")[0] == 0
    assert [path.suffix for path in (tmp_path / "folder").glob("*.nii.gz")] == [".gz"]


def test_several_formats(tmp_path, dicom, capsys):
    """Each format has a folder of its own, or the one that %p names; only what is asked for."""
    assert (
        call(capsys, "--of", "nifti", "--of", "itk", "--odir", "multi", tmp_path / "x", dicom)[0]
        == 0
    )
    assert sorted(path.name for path in (tmp_path / "x").iterdir()) == ["itk", "nifti"]
    names = sorted(path.name for path in (tmp_path / "x" / "itk").iterdir())
    assert names == ["14_ep2d_b0.mha", "14_ep2d_b400.mha", "14_ep2d_b800.mha"]
    out = tmp_path / "made_%p"
    assert call(capsys, "--of", "nifti", "--of", "dicom", out, dicom)[0] == 0
    assert (tmp_path / "made_nifti").is_dir()
    assert opened(tmp_path / "made_dicom").sizes["b"] == 3


def test_a_folder_for_each_volume(tmp_path, dicom, capsys):
    """--odir multi makes a DICOM folder for each b value, with the values of that volume."""
    assert call(capsys, "--order", "b", "--odir", "multi", tmp_path / "out", dicom)[0] == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["b0", "b400", "b800"]
    source = opened(dicom)
    for b in (0, 400, 800):
        found = opened(tmp_path / "out" / f"b{b}")
        np.testing.assert_array_equal(found.values, source.sel(b=b).values)


def test_order_of_files(tmp_path, dicom, capsys):
    """--sort tag writes all b values of a slice one after the other."""
    assert call(capsys, "--sort", "tag", tmp_path / "out", dicom)[0] == 0
    headers = [pydicom.dcmread(path) for path in sorted((tmp_path / "out").iterdir())]
    places = [tuple(header.ImagePositionPatient) for header in headers]
    assert [header.InstanceNumber for header in headers] == list(range(1, 13))
    assert all(len(set(places[k : k + 3])) == 1 for k in range(0, 12, 3))


def test_every_series(tmp_path, capsys):
    """--all converts each series of a study; one that cannot be is told, and the exit status says so."""
    for number in (1, 2):
        phantom = DIFFUSION.replace(series=number, attributes={**NAMED, "SeriesNumber": number})
        files = write_series(phantom, tmp_path / "study" / str(number))
    assert call(capsys, "--all", "--of", "nifti", tmp_path / "out", tmp_path / "study")[0] == 0
    names = sorted(path.name for path in (tmp_path / "out").glob("*.nii.gz"))
    assert names == ["1_ep2d.nii.gz", "2_ep2d.nii.gz"]
    files[1].unlink()
    status, _, error = call(capsys, "--all", tmp_path / "again", tmp_path / "study")
    assert status == 1
    assert "1 series were not converted" in error
    assert "Jane" not in error
    assert [path.name for path in (tmp_path / "again").iterdir()] == ["1_ep2d"]


def test_dry_run(tmp_path, dicom, capsys):
    """--dry-run says what would be written, and writes nothing."""
    status, printed, _ = call(capsys, "--dry-run", "--of", "nifti", tmp_path / "out", dicom)
    assert status == 0
    assert "would write" in printed
    assert not (tmp_path / "out").exists()


def test_input_options(tmp_path, dicom, capsys):
    """Options reach the engine by name, and keys can be redefined."""
    status, printed, _ = call(
        capsys, "--input_options", "x=DiffusionBValue", "--dry-run", tmp_path / "o", dicom
    )
    assert status == 0
    assert "x 3 x slice 4" in printed
    status, _, error = call(capsys, "--input_options", "no_such=1", tmp_path / "o", dicom)
    assert status == 1
    assert "no_such" in error


def test_dtype(tmp_path, dicom, capsys):
    """--dtype converts where no value changes."""
    assert call(capsys, "--dtype", "float32", tmp_path / "a.nii", dicom)[0] == 0
    assert xr.open_dataarray(tmp_path / "a.nii", engine="nifti").dtype == "float32"
    sidecar = json.loads((tmp_path / "a.json").read_text())
    assert "Jane" not in str(sidecar)


@pytest.fixture
def cohort(tmp_path):
    """Two patients with two series each, of which two have the same number and description."""
    for patient in (1, 2):
        for series in (1, 2):
            attributes = {
                "PatientID": f"P{patient}",
                "StudyInstanceUID": f"2.25.{patient}",
                "StudyDate": "20260102",
                "SeriesNumber": 7,
                "SeriesDescription": "T1 (ax)",
            }
            phantom = Phantom(series=10 * patient + series, attributes=attributes)
            write_series(phantom, tmp_path / "cohort" / f"{patient}{series}")
    return tmp_path / "cohort"


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("workers", [1, 2])
def test_series_of_one_name_are_kept_apart(tmp_path, cohort, capsys, workers):
    """None of four series of the same number and description replaces another, even if it may."""
    options = ["--all", "--of", "nifti", "--overwrite", "--workers", workers]
    for _ in range(2):
        status, out, _ = call(capsys, *options, tmp_path / "out", cohort)
        assert status == 0
        assert len(out.splitlines()) == 4
        names = [name for name in files(tmp_path / "out") if name.endswith(".nii.gz")]
        assert names == [f"7_T1_ax{end}.nii.gz" for end in ("", "_2", "_3", "_4")]


def test_names_by_a_template(tmp_path, cohort, capsys):
    """Keywords in braces name folders and files; what they cannot tell apart gets a number."""
    out = f"{tmp_path}/out/{{PatientID}}/{{SeriesNumber:03d}}_{{SeriesDescription}}.nii"
    status, _, error = call(capsys, "--all", out, cohort)
    assert (status, error) == (0, "")
    names = [name for name in files(tmp_path / "out") if name.endswith(".nii")]
    assert names == [f"P{p}/007_T1_ax{end}.nii" for p in (1, 2) for end in ("", "_2")]
    status, _, error = call(capsys, "--all", f"{tmp_path}/out/{{Patient ID}}", cohort)
    assert status == 1
    assert "Patient ID" in error


def test_names_as_bids_has_them(tmp_path, cohort, capsys):
    """With --bids, subject, session and series name the files."""
    assert call(capsys, "--all", "--bids", "--of", "nifti", tmp_path / "out", cohort)[0] == 0
    stem = "sub-P1/ses-20260102/mr/sub-P1_ses-20260102_acq-7T1ax"
    names = files(tmp_path / "out")
    assert f"{stem}_mr.nii.gz" in names
    assert f"{stem}_run-2_mr.json" in names
    assert len([name for name in names if name.endswith(".nii.gz")]) == 4


def test_failures_among_many(tmp_path, cohort, capsys):
    """A series that cannot be written is named, the others are there, and the status says so."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "7_T1_ax_2.nii.gz").write_text("mine")
    options = ["--all", "--of", "nifti", "--workers", 2]
    status, out, error = call(capsys, *options, tmp_path / "out", cohort)
    assert status == 1
    assert len(out.splitlines()) == 3
    assert "1 series were not converted" in error
    assert "--overwrite" in error
    assert (tmp_path / "out" / "7_T1_ax_2.nii.gz").read_text() == "mine"


def test_pipes(tmp_path, dicom):
    """An archive comes by standard input, and a file leaves by standard output."""
    archive = shutil.make_archive(str(tmp_path / "dicom"), "zip", dicom)
    command = [sys.executable, "-m", "imagedata_xr_cli.data", "--of", "nifti", "-", "-"]
    piped = subprocess.run(
        command, input=Path(archive).read_bytes(), capture_output=True, check=True
    )
    assert piped.stderr.endswith(b"b 3 x slice 4 x row 6 x column 5\n")
    (tmp_path / "piped.nii.gz").write_bytes(piped.stdout)
    with pytest.warns(DataWarning, match="along 'b'"):  # a pipe has no .bval file beside it
        back = xr.open_dataarray(tmp_path / "piped.nii.gz", engine="nifti")
    assert float(back.sum()) == float(opened(dicom).sum())
    done = subprocess.run(command, input=b"", capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"nothing came on standard input" in done.stderr
