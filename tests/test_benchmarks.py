"""The benchmark runs from end to end on a few files; nothing is said about its times."""

from __future__ import annotations

import shutil
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


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="measures by means of Linux")
@pytest.mark.skipif(shutil.which("cc") is None, reason="no compiler of C")
def test_smoke_of_scaling(tmp_path):
    """Each task has its table, on a slow disk each file is opened and read twice, and no file stays."""
    pytest.importorskip("distributed")
    small = "--files 40 --rounds 1 --starts 1 --latency 0.1 --gigabytes 1e-4 --slices 2 --size 32"
    done = subprocess.run(
        [
            sys.executable,
            FOLDER / "scaling.py",
            *small.split(),
            *("--reduce", "max over time", "--folder", tmp_path),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    tables = [table.splitlines() for table in done.stdout.strip().split("\n\n")]
    assert [len(table) for table in tables[:4]] == [3, 3, 3, 4]
    calls = int(tables[2][2].split("|")[3])
    assert 160 <= calls < 170
    assert all(line.endswith("| 0 |") for line in tables[3][2:])
    started = [line.split("|")[1].strip() for line in tables[4][2:]]
    assert {"import xarray", "import imagedata_xr", "image_data --version"} < set(started)
    for table in tables:
        assert len({line.count("|") for line in table}) == 1
    assert not list(tmp_path.iterdir())


def test_patched_files_are_one_series(tmp_path):
    """Files made from one header lie on a grid, each with its own identifier, time and pixels."""
    command = [
        sys.executable,
        FOLDER / "scaling.py",
        "--make",
        tmp_path / "made",
        *["30", "5", "16"],
    ]
    subprocess.run(command, check=True, timeout=900)
    image = xr.open_dataarray(tmp_path / "made", engine="dicom")
    assert dict(image.sizes) == {"time": 30, "slice": 5, "row": 16, "column": 16}
    assert len(set(image.frame.values.ravel().tolist())) == 150
    assert len({frame.tobytes() for frame in image.values.reshape(150, -1)}) == 150


@pytest.mark.skipif(sys.platform != "linux", reason="the cores of a process are chosen on Linux")
def test_smoke_of_parts_and_codecs():
    """Each part and each transfer syntax has its line, and what is compared has the same values."""
    pytest.importorskip("imagecodecs")
    pytest.importorskip("libjpeg")
    small = "--frames 4 --size 8 --images 2 --image-size 32 --rounds 1"
    done = subprocess.run(
        [sys.executable, FOLDER / "parts_and_codecs.py", *small.split()],
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("| ")]
    # Two heads, two parts of two series, seven syntaxes.
    assert len(lines) == 2 + 4 + 7
    assert "| HTJ2K |" in done.stdout
    assert "| one time point, 4 frames, enhanced |" in done.stdout
