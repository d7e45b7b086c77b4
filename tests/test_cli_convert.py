"""Conversion by the command line beyond one file: DICOM out, templates, volumes, whole studies."""

from __future__ import annotations

import json

import numpy as np
import pydicom
import pytest
import xarray as xr

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
