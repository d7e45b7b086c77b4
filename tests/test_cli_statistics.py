"""Commands that count and sort: statistics, regions, files into folders."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import zipfile

import numpy as np
import pydicom
import pytest
import xarray as xr

from imagedata_xr import roi
from imagedata_xr.testing import Phantom, write_series
from imagedata_xr_cli import show, sort, statistics

NAMED = {"PatientName": "Doe^Jane", "PatientID": "ID-4711", "SeriesDescription": "dynamic"}
DYNAMIC = Phantom(axes={"time": [0, 2.5, 5]}, attributes=NAMED)


def call(capsys, command, *arguments):
    status = command([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    assert "Traceback" not in printed.err
    return status, printed.out, printed.err


@pytest.fixture
def dicom(tmp_path):
    write_series(DYNAMIC, tmp_path / "dicom")
    return tmp_path / "dicom"


@pytest.fixture
def series(dicom):
    return xr.open_dataarray(dicom, engine="dicom")


def test_every_series_of_every_study(tmp_path, capsys):
    """Each series of two patients with two studies each has a row with NumPy's numbers."""
    values = {}
    for number in range(8):
        who, study = number // 4, number // 2
        phantom = Phantom(
            series=number,
            noise=number,
            attributes={"SeriesNumber": number, "PatientID": f"p{who}"},
        )
        for path in write_series(phantom, tmp_path / "cohort" / str(number)):
            header = pydicom.dcmread(path)
            header.StudyInstanceUID = f"1.2.{study + 1}"
            header.save_as(path)
        values[number] = phantom.truth().values
    status, printed, error = call(capsys, statistics.statistics, "--json", tmp_path / "cohort")
    assert (status, error) == (0, "")
    rows = {row["series"]: row for row in json.loads(printed)}
    assert set(rows) == set(values)
    for number, row in rows.items():
        expected = values[number]
        assert row["n"] == expected.size
        for name, function in (
            ("min", np.min),
            ("max", np.max),
            ("mean", np.mean),
            ("sd", np.std),
            ("median", np.median),
        ):
            assert row[name] == pytest.approx(function(expected)), name


def test_forms(dicom, series, capsys):
    """Text, CSV and shell assignments say the same."""
    status, printed, _ = call(capsys, statistics.statistics, dicom)
    assert status == 0
    assert printed.splitlines()[0].split()[:3] == ["series", "modality", "description"]
    _, printed, _ = call(capsys, statistics.statistics, "--csv", dicom)
    (row,) = csv.DictReader(io.StringIO(printed))
    assert float(row["mean"]) == pytest.approx(float(series.mean()))
    _, printed, _ = call(capsys, statistics.statistics, "--bash", dicom)
    done = subprocess.run(
        ["bash", "-c", f'{printed}\nbash -c "echo $mean $std $n"'],
        capture_output=True,
        text=True,
        check=True,
    )
    mean, std, n = map(float, done.stdout.split())
    assert (mean, std, n) == pytest.approx((float(series.mean()), float(series.std()), series.size))


def test_mask_and_regions(tmp_path, dicom, series, capsys):
    """A mask from NIfTI and outlines select voxels by place, whatever order they are stored in."""
    pytest.importorskip("nibabel")
    inside = series.isel(time=0, drop=True) > float(series.isel(time=0).median())
    inside.astype("u1").med.to_nifti(tmp_path / "mask.nii.gz")
    status, printed, error = call(
        capsys, statistics.statistics, "--mask", tmp_path / "mask.nii.gz", "--json", dicom
    )
    assert (status, error) == (0, "")
    expected = series.where(inside)
    assert json.loads(printed)[0]["mean"] == pytest.approx(float(expected.mean()))
    regions = roi.outlines(inside)
    roi.to_file(regions, tmp_path / "regions.json", like=series)
    _, printed, _ = call(
        capsys, statistics.statistics, "--roi", tmp_path / "regions.json", "--each", "--json", dicom
    )
    rows = json.loads(printed)
    assert [row["time"] for row in rows] == [0, 2.5, 5]
    np.testing.assert_allclose(
        [row["mean"] for row in rows], expected.mean(["slice", "row", "column"])
    )
    status, _, error = call(capsys, statistics.statistics, "--roi", "a", "--mask", "b", dicom)
    assert (status, error.count("\n")) == (1, 1)


def test_pooled_over_time(tmp_path, dicom, series, capsys):
    """Without --each, a region has one row: mean and deviation over all its voxels and times."""
    inside = series.isel(time=0, drop=True) > float(series.isel(time=0).median())
    roi.to_file(roi.outlines(inside), tmp_path / "regions.json", like=series)
    status, printed, _ = call(capsys, statistics.roi, "--json", dicom, tmp_path / "regions.json")
    (row,) = json.loads(printed)
    values = series.where(inside).values
    values = values[np.isfinite(values)]
    assert status == 0
    assert row["n"] == values.size
    assert row["mean"] == pytest.approx(values.mean())
    assert row["sd"] == pytest.approx(values.std(ddof=1))


def test_regions_in_another_format(tmp_path, dicom, series, capsys):
    """Outlines become an RT Structure Set and a Segmentation, with the same voxels."""
    inside = series.isel(time=0, drop=True) > float(series.isel(time=0).median())
    roi.to_file(roi.outlines(inside), tmp_path / "a.json", like=series)
    status, _, error = call(
        capsys, statistics.roi, "--to", tmp_path / "b.dcm", dicom, tmp_path / "a.json"
    )
    assert (status, error) == (0, "")
    assert pydicom.dcmread(tmp_path / "b.dcm").Modality == "RTSTRUCT"
    _, first, _ = call(capsys, statistics.roi, "--json", dicom, tmp_path / "a.json")
    _, second, _ = call(capsys, statistics.roi, "--json", dicom, tmp_path / "b.dcm")
    assert json.loads(first)[0]["mean"] == pytest.approx(json.loads(second)[0]["mean"])
    status, _, error = call(
        capsys, statistics.roi, "--to", tmp_path / "b.dcm", dicom, tmp_path / "a.json"
    )
    assert status == 1
    assert "--overwrite" in error


def test_unreadable_series_are_told(tmp_path, dicom, capsys):
    """A series that makes no array is named, the others are printed, and the exit status is 1."""
    other = Phantom(axes={"te": [10, 20]}, series=2, attributes={"SeriesNumber": 2})
    write_series(other, tmp_path / "dicom" / "b")[0].unlink()
    status, printed, error = call(capsys, statistics.statistics, "--json", dicom)
    assert status == 1
    assert len(json.loads(printed)) == 1
    assert "1 series could not be read" in error


def test_sorting_into_folders(tmp_path, capsys):
    """Every file is copied once, into a folder of its series, under names without identity."""
    for number in (1, 2):
        attributes = {**NAMED, "SeriesNumber": number, "PatientID": f"ID-4711-{number}"}
        write_series(DYNAMIC.replace(series=number, attributes=attributes), tmp_path / "in")
    (tmp_path / "in" / "notes.txt").write_text("x")
    before = {path.read_bytes() for path in (tmp_path / "in").iterdir() if path.suffix != ".txt"}
    status, printed, error = call(capsys, sort.main, tmp_path / "out", tmp_path / "in")
    assert (status, error) == (0, "")
    assert printed == f"{tmp_path / 'out'}: 24 files in 2 folder(s)\n"
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert {path.read_bytes() for path in files} == before
    assert len(files) == len(before)
    assert {path.relative_to(tmp_path / "out").parts[0] for path in files} == {
        "patient1",
        "patient2",
    }
    assert not [path for path in files if "4711" in str(path.relative_to(tmp_path))]
    for folder in {path.parent for path in files}:
        assert xr.open_dataarray(folder, engine="dicom").sizes["time"] == 3
    status, printed, _ = call(capsys, sort.main, tmp_path / "out", tmp_path / "in")
    assert (status, "24 were there already" in printed) == (0, True)


def test_nothing_is_overwritten(tmp_path, dicom, capsys):
    """Another file in the way is an error, and nothing is changed."""
    call(capsys, sort.main, "-q", tmp_path / "out", dicom)
    files = sorted(path for path in (tmp_path / "out").rglob("*.dcm"))
    files[3].write_bytes(b"mine")
    files[7].unlink()
    status, _, error = call(capsys, sort.main, tmp_path / "out", dicom)
    assert status == 1
    assert "is another file: nothing was changed" in error
    assert files[3].read_bytes() == b"mine"
    assert not files[7].exists()


@pytest.mark.parametrize("mode", ["move", "link", "symlink"])
def test_modes(tmp_path, dicom, capsys, mode):
    """Files are moved, or linked without another copy of their bytes."""
    before = {path.name: (path.stat().st_ino, path.read_bytes()) for path in dicom.iterdir()}
    status, _, error = call(capsys, sort.main, "--mode", mode, tmp_path / "out", dicom)
    assert (status, error) == (0, "")
    files = list((tmp_path / "out").rglob("*.dcm"))
    assert {path.read_bytes() for path in files} == {data for _, data in before.values()}
    assert bool(list(dicom.iterdir())) == (mode != "move")
    if mode == "link":
        assert {path.stat().st_ino for path in files} == {inode for inode, _ in before.values()}
    if mode == "symlink":
        assert all(path.is_symlink() and path.resolve().parent == dicom for path in files)


def test_by_template_into_an_archive(tmp_path, dicom, capsys):
    """A template names the folders; an archive is complete or absent, and not replaced."""
    template = "{PatientID}/{SeriesNumber:03d}_{SeriesDescription}"
    out = tmp_path / "out.zip"
    assert call(capsys, sort.main, "--template", template, out, dicom)[0] == 0
    names = zipfile.ZipFile(out).namelist()
    assert {name.rpartition("/")[0] for name in names} == {"ID-4711/001_dynamic"}
    assert xr.open_dataarray(out, engine="dicom").sizes["time"] == 3
    status, _, error = call(capsys, sort.main, out, dicom)
    assert (status, "exists" in error) == (1, True)
    archive = tmp_path / "again"
    assert call(capsys, sort.main, archive, out)[0] == 0
    assert len(list(archive.rglob("*.dcm"))) == 12


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--mode", "burn"], "give one of copy, move"),
        (["--template", "/{PatientID}"], "template"),
        (["--template", "../{PatientID}"], "template"),
        (["--template", "{PatientID!r}"], "template"),
    ],
)
def test_sorting_refuses(tmp_path, dicom, capsys, options, said):
    """What means nothing, or leads out of the target, is an error of one line."""
    status, _, error = call(capsys, sort.main, *options, tmp_path / "out", dicom)
    assert (status, error.count("\n")) == (1, 1)
    assert said in error
    assert not (tmp_path / "out").exists()


def test_sorting_damaged_files(tmp_path, dicom, capsys):
    """A file that cannot be read is an error before anything is done; --dry-run does nothing."""
    status, printed, _ = call(capsys, sort.main, "--dry-run", tmp_path / "out", dicom)
    assert (status, printed.count(" -> ")) == (0, 12)
    first = min(dicom.iterdir())
    first.write_bytes(first.read_bytes()[:600])
    status, _, error = call(capsys, sort.main, tmp_path / "out", dicom)
    assert status == 1
    assert first.name in error
    assert not (tmp_path / "out").exists()


def test_picture_of_a_series(tmp_path, dicom, capsys):
    """image_show --save writes a picture or a page without a browser; other names are an error."""
    pytest.importorskip("panel")
    assert call(capsys, show.main, "--save", tmp_path / "a.png", dicom)[0] == 0
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    status, _, error = call(capsys, show.main, "--save", tmp_path / "a.bmp", dicom)
    assert (status, error.count("\n")) == (1, 1)
