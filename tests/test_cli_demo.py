"""The demonstration of the command line."""

from __future__ import annotations

import subprocess
import sys

import pytest
import xarray as xr

from imagedata_xr.cli.demo import compare
from imagedata_xr.formats.nifti import to_nifti
from imagedata_xr.testing import Phantom, write_series
from imagedata_xr_cli import data as image_data

nib = pytest.importorskip("nibabel")


def test_demo(tmp_path):
    """The demonstration goes the whole way, finds no difference, and says where the files are."""
    command = [sys.executable, "-m", "imagedata_xr_cli.data", "demo", tmp_path / "demo"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert "240 shuffled DICOM files" in done.stdout
    assert "time: 20, slice: 12, row: 128, column: 112" in done.stdout
    assert "3440640 of 3440640 voxels" in done.stdout
    assert done.stdout.endswith(f"The files are in {tmp_path / 'demo'}\n")
    assert len([path for path in (tmp_path / "demo" / "dicom").rglob("*") if path.is_file()]) == 240
    assert nib.load(tmp_path / "demo" / "14_fl3d_dynamic.nii.gz").shape == (112, 128, 12, 20)


def test_demo_notices_differences(tmp_path):
    """The comparison of the demonstration is a real one."""
    phantom = Phantom(axes={"time": [0, 2.5, 5]}, orientation="oblique")
    write_series(phantom, tmp_path / "dicom")
    image = xr.open_dataarray(tmp_path / "dicom", engine="dicom").load()
    path = to_nifti(image, tmp_path / "out.nii")
    same = compare(image, path)
    assert (same.voxels, same.different) == (360, 0)
    assert same.distance < 1e-4
    image[1, 2, 3, 4] += 1
    assert compare(image, path).different == 1
    moved = image.assign_coords(row=("row", image.row.values + 0.4, image.row.attrs))
    assert compare(moved, path).distance == pytest.approx(0.4, abs=1e-4)


def test_demo_keeps_what_is_there(tmp_path, capsys):
    """The demonstration does not write into a folder with files."""
    (tmp_path / "mine.txt").write_text("mine")
    assert image_data.main(["demo", str(tmp_path)]) == 1
    assert "is not an empty folder" in capsys.readouterr().err
