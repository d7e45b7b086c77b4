"""The benchmark runs from end to end on a few files; nothing is said about its times."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import xarray as xr

FOLDER = Path(__file__).parents[1] / "benchmarks"
SCRIPT = FOLDER / "open_and_load.py"
SMALL = "--ct 4 --ct-size 32 --rounds 1 --series CT"


def test_smoke(tmp_path):
    """Each reader that is installed has its line in the table, and no file stays."""
    where = ["--folder", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *SMALL.split(), *where],
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    assert "### CT: 4 files of 32 x 32" in done.stdout
    for name in ("imagedata_xr: open", "imagedata_xr: open and load", "read all bytes"):
        lines = [line for line in done.stdout.splitlines() if line.startswith(f"| {name} |")]
        assert len(lines) == 1
        assert all(line.count("|") == 8 for line in lines)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("name", "dims"), [("MR", ("time", "slice")), ("PT", ("slice",))])
def test_series_are_what_they_are_called(tmp_path, name, dims):
    """The made files are one series on a complete grid, with headers as long as a scanner's."""
    command = [
        sys.executable,
        str(SCRIPT),
        "--write",
        name,
        "2" if name == "MR" else "1",
        "3",
        "16",
    ]
    subprocess.run([*command, str(tmp_path / "made")], check=True, timeout=900)
    image = xr.open_dataarray(tmp_path / "made", engine="dicom")
    assert image.dims == (*dims, "row", "column")
    assert image.shape == ((2, 3, 16, 16) if name == "MR" else (3, 16, 16))
    assert image.dtype == ("uint16" if name == "MR" else "float32")
    header = image.med.header(**dict.fromkeys(dims, 1))
    assert sum(1 for _ in header.iterall()) > 200


def test_smoke_of_writing(tmp_path):
    """Each task that writes or reads has its table, with a line for each program, and no file stays."""
    small = ["--times", "2", "--slices", "2", "--size", "16", "--rounds", "1", "--kind", "MR"]
    tasks = ("write DICOM", "read .nii.gz")
    asked = [word for task in tasks for word in ("--task", task)]
    done = subprocess.run(
        [sys.executable, FOLDER / "write_and_dask.py", *small, *asked, "--folder", tmp_path],
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    for task in tasks:
        assert f"| {task}, MR | median ms |" in done.stdout
    lines = [line for line in done.stdout.splitlines() if line.startswith("| imagedata_xr: ")]
    assert len(lines) == 5
    assert all(line.count("|") == 10 for line in lines)
    assert not list(tmp_path.iterdir())
