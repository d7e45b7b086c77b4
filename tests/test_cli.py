"""The command line, mostly as a process of its own: what it writes, says and returns."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from imagedata_xr.cli import formats, opening, places
from imagedata_xr.cli.remedies import as_options
from imagedata_xr.errors import IncompleteGridError, OptionError, SortError
from imagedata_xr.testing import Phantom, drop_file, duplicate_file, truncate_file, write_series
from imagedata_xr_cli import data

nib = pytest.importorskip("nibabel")

NAMED = {"SeriesNumber": 14, "SeriesDescription": "fl3d: dynamic/1 ", "PatientName": "Doe^Jane"}
DYNAMIC = Phantom(axes={"time": [0, 2.5, 5]}, attributes=NAMED)
FILE = "14_fl3d_dynamic_1.nii.gz"


def run(*arguments, **options):
    """Run the command as a process, and return what came of it."""
    command = [sys.executable, "-m", "imagedata_xr_cli.data", *map(str, arguments)]
    # a pipe is no terminal, and the test's own interpreter may have been told to raise warnings
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONWARNINGS"}
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        stdin=subprocess.DEVNULL,
        env=environment,
        **options,
    )


def call(capsys, *arguments):
    """Run the command in this process, and return its status and what it printed."""
    status = data.main([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    return status, printed.out, printed.err


def one_line(text):
    return text.count("\n") == 1 and text.endswith("\n")


@pytest.fixture
def dicom(tmp_path):
    write_series(DYNAMIC, tmp_path / "dicom")
    return tmp_path / "dicom"


def test_installed_command():
    """The console script is there, and is this program."""
    script = Path(sys.executable).with_name("image_data")
    if not script.exists():
        pytest.skip("the package is not installed with its scripts")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert re.fullmatch(r"image_data \d+\.\d+\S*\n", done.stdout)


def test_into_a_folder(tmp_path, dicom):
    """OUT is a folder: it is made, and the file named by series, without the patient's name."""
    done = run("--of", "nifti", tmp_path / "a" / "niftiDir", dicom)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        f"{tmp_path / 'a' / 'niftiDir' / FILE}: nifti, uint16, "
        "time 3 x slice 4 x row 6 x column 5\n"
    )
    names = {path.name for path in (tmp_path / "a" / "niftiDir").iterdir()}
    assert names == {FILE, FILE.replace(".nii.gz", ".json")}
    image = nib.load(tmp_path / "a" / "niftiDir" / FILE)
    assert image.shape == (5, 6, 4, 3)
    assert sorted(np.asarray(image.dataobj).ravel()) == sorted(DYNAMIC.truth().values.ravel())


def test_into_a_file(tmp_path, dicom):
    """OUT ends in .nii: that file is written; nifti is the format if none is given."""
    done = run("--quiet", tmp_path / "out.nii", dicom)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert nib.load(tmp_path / "out.nii").shape == (5, 6, 4, 3)


def test_several_inputs(tmp_path, capsys):
    """IN may be several files or folders of one series."""
    files = write_series(DYNAMIC, tmp_path / "dicom")
    halves = [tmp_path / "x", tmp_path / "y"]
    for k, path in enumerate(files):
        halves[k % 2].mkdir(exist_ok=True)
        shutil.move(path, halves[k % 2])
    assert call(capsys, "-q", tmp_path / "out.nii", *halves)[0] == 0
    assert nib.load(tmp_path / "out.nii").shape == (5, 6, 4, 3)


def test_existing_file_is_kept(tmp_path, dicom, capsys):
    """A file is replaced with --overwrite only."""
    out = tmp_path / "out.nii"
    out.write_text("mine")
    status, printed, error = call(capsys, out, dicom)
    assert (status, printed) == (1, "")
    assert error.startswith(f"image_data: error: {out.parent} has out.nii already: use --overwrite")
    assert one_line(error)
    assert out.read_text() == "mine"
    assert call(capsys, "--overwrite", "-q", out, dicom)[0] == 0
    assert nib.load(out).shape == (5, 6, 4, 3)


def test_verbose(tmp_path, dicom, capsys):
    """-v tells which attributes the dimensions were read from."""
    status, printed, _ = call(capsys, "-v", tmp_path / "out.nii", dicom)
    assert status == 0
    assert "AcquisitionTime" in printed


@pytest.mark.parametrize(
    ("order", "dims"),
    [
        (["te"], {"te"}),
        (["EchoTime"], {"te"}),
        (["echo=EchoTime"], {"echo"}),
        (["auto"], {"te"}),
        (["volume"], {"volume"}),
    ],
)
def test_order(tmp_path, capsys, order, dims):
    """--order takes names, keywords, and names for keywords."""
    write_series(Phantom(axes={"te": [10, 20, 30]}), tmp_path / "dicom")
    options = [word for key in order for word in ("--order", key)]
    status, printed, error = call(capsys, *options, tmp_path / "out.nii", tmp_path / "dicom")
    assert (status, error) == (0, "")
    found = {part.split()[0] for part in printed.rpartition("uint16, ")[2].split(" x ")}
    assert found - {"slice", "row", "column"} == dims


@pytest.mark.parametrize("options", [["--order", "time,te"], ["--order", "time", "--order", "te"]])
def test_order_of_several(tmp_path, capsys, options):
    """Several keys are joined by commas, or given one by one."""
    write_series(Phantom(axes={"time": [0, 30], "te": [10, 20, 30]}), tmp_path / "dicom")
    status, printed, error = call(capsys, *options, tmp_path / "out.nii", tmp_path / "dicom")
    assert (status, error) == (0, "")
    assert "time 2 x te 3 x slice 4" in printed


def test_select(tmp_path, capsys):
    """--select compares numbers as numbers and texts as texts; a keyword may have two values."""
    write_series(Phantom(axes={"te": [10, 20, 30]}), tmp_path / "dicom")
    options = ["--select", "EchoTime=10.0", "--select", "EchoTime=30", "--select", "Modality=MR"]
    status, printed, error = call(capsys, *options, tmp_path / "out.nii", tmp_path / "dicom")
    assert (status, error) == (0, "")
    assert "te 2 x slice 4" in printed


@pytest.fixture
def two_series(tmp_path):
    for number in (1, 2):
        phantom = DYNAMIC.replace(series=number, attributes={"SeriesNumber": number})
        write_series(phantom, tmp_path / "dicom")
    return tmp_path / "dicom"


def test_kinds_of_images_are_files_of_their_own(tmp_path, capsys):
    """Magnitude and phase go to two files of a folder; one file cannot hold them."""
    phantom = Phantom(axes={"component": ["M", "P"]}, vendor="ge", attributes=NAMED)
    write_series(phantom, tmp_path / "dicom")
    status, out, _ = call(capsys, "--of", "nifti", tmp_path / "nifti", tmp_path / "dicom")
    assert status == 0
    kinds = ("magnitude", "phase")
    names = [FILE.replace(".nii.gz", f"_{kind}.nii.gz") for kind in kinds]
    assert [Path(line.split(": ")[0]).name for line in out.splitlines()] == names
    for kind, name in zip(kinds, names, strict=True):
        call(capsys, tmp_path / "one.nii", tmp_path / "dicom", "--select", f"component={kind}")
        one, of_two = nib.load(tmp_path / "one.nii"), nib.load(tmp_path / "nifti" / name)
        np.testing.assert_array_equal(np.asarray(one.dataobj), np.asarray(of_two.dataobj))
        for suffix in (".nii", ".json"):
            (tmp_path / "one").with_suffix(suffix).unlink()
    status, _, error = call(capsys, tmp_path / "one.nii", tmp_path / "dicom")
    assert status == 1
    assert "component=magnitude, component=phase" in error
    assert not (tmp_path / "one.nii").exists()


def test_folder_that_cannot_be_made(tmp_path, dicom, capsys):
    """The error names the folder."""
    (tmp_path / "file").touch()
    status, _, error = call(capsys, "--of", "nifti", tmp_path / "file" / "nifti", dicom)
    assert status == 1
    assert one_line(error)
    assert f"the folder {tmp_path / 'file' / 'nifti'} could not be made" in error


def test_series_must_be_chosen(tmp_path, two_series):
    """The error lists the options that solve it, no traceback, and nothing is written."""
    done = run(tmp_path / "new" / "out", two_series)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("image_data: error: several series")
    assert done.stderr.endswith("Run it again with one of:\n  --series 1\n  --series 2\n")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "new").exists()


def test_series(tmp_path, two_series, capsys):
    """The option that the error shows works."""
    status, printed, error = call(
        capsys, "--of", "nifti", "--series", "2", tmp_path / "out", two_series
    )
    assert (status, error) == (0, "")
    assert f"{tmp_path / 'out' / '2'}" in printed


def test_missing_frame(tmp_path, capsys):
    """The first option that the error of an incomplete grid shows can be pasted, and works."""
    files = write_series(Phantom(axes={"te": [10, 20, 30]}), tmp_path / "dicom")
    drop_file(files[1])
    status, _, error = call(capsys, tmp_path / "out.nii", tmp_path / "dicom")
    assert status == 1
    assert "EchoTime=10, slice 1: missing" in error
    options = error.partition("Run it again with one of:\n")[2].splitlines()[0].split()
    status, printed, error = call(capsys, *options, tmp_path / "out.nii", tmp_path / "dicom")
    assert (status, error) == (0, "")
    assert "te 2 x slice 4" in printed


def test_remedies_are_spelled_as_options():
    """Suggestions of all kinds become options, quoted for the shell."""
    suggestions = [
        {"sort": ("time", "te")},
        {"select": {"EchoTime": [10.0, 30.0]}},
        {"select": {"ImageType": ("ORIGINAL", "PRIMARY")}, "stack": 1},
        {"series": "T1 fast"},
    ]
    text = as_options(IncompleteGridError("not complete", suggestions=suggestions))
    assert text.splitlines() == [
        "not complete",
        "Run it again with one of:",
        "  --order time,te",
        "  --select EchoTime=10.0 --select EchoTime=30.0",
        "  --select 'ImageType=ORIGINAL\\PRIMARY' --stack 1",
        "  --series 'T1 fast'",
    ]
    assert as_options(SortError("nothing helps")) == "nothing helps"


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--of", "ps", "out", "dicom"], 1, "--of ps: there is no such format; available: dicom"),
        (["--of", "nifti", "out.mha", "dicom"], 1, "or a file that ends in .nii.gz or .nii"),
        (["--of", "nifti", "memory://folder", "dicom"], 1, "name a file"),
        (["--of", "nifti", "dicom://pacs:104/AET", "dicom"], 1, "only DICOM is written to servers"),
        (["--odir", "many", "--of", "nifti", "out", "dicom"], 1, "give single or multi"),
        (["--dtype", "text", "out", "dicom"], 1, "give a type such as uint8"),
        (["--set", "Patient", "out", "dicom"], 1, "give KEYWORD=VALUE"),
        (["--set", "SeriesNumber=x", "out", "dicom"], 1, "SeriesNumber is a number"),
        (["--SOPClassUID", "Photo", "out", "dicom"], 1, "is no class: give a UID"),
        (["--of", "nifti", "--serdes", "new", "out", "dicom"], 1, "only DICOM takes attributes"),
        (["--input_format", "bmp", "out", "dicom"], 1, "give one of dicom, nifti"),
        (["--input_options", "rescale", "out", "dicom"], 1, "give NAME=VALUE"),
        (["--chunks", "many", "out", "dicom"], 1, "give auto, or DIM=SIZE"),
        (["out", "nowhere"], 1, "nowhere: no such file or folder"),
        (["missing/out.nii", "dicom"], 1, "there is no folder missing"),
        (["--select", "EchoTime", "out", "dicom"], 1, "give KEYWORD=VALUE"),
        (["--order", "ti=", "out", "dicom"], 1, "give NAME=KEYWORD"),
        (["--errors", "hide", "out", "dicom"], 1, "give 'raise' or 'warn'"),
        (["--stack", "3", "out", "dicom"], 1, "stack=3"),
        (["--stack", "one", "out", "dicom"], 2, "--stack"),
        (["--sernum", "one", "out", "dicom"], 2, "--sernum"),
        (["out"], 2, "IN"),
    ],
)
def test_errors_are_one_line(dicom, capsys, arguments, status, said):
    """An error is one line that begins the same way, and nothing is left behind."""
    with contextlib.chdir(dicom.parent):
        found, printed, error = call(capsys, *arguments)
    assert (found, printed) == (status, "")
    assert error.startswith("image_data: error: ")
    assert said in error
    assert one_line(error)
    assert [path.name for path in dicom.parent.iterdir()] == [dicom.name]


def test_no_images(tmp_path, capsys):
    """A folder without DICOM is an error, not an empty file."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.txt").write_text("nothing here")
    status, _, error = call(capsys, tmp_path / "out", tmp_path / "in")
    assert status == 1
    assert one_line(error)
    assert not (tmp_path / "out").exists()


def test_warnings_are_lines(tmp_path):
    """A warning of the package is one line on stderr, and the work is done."""
    files = write_series(DYNAMIC, tmp_path / "dicom")
    duplicate_file(files[0])
    done = run(tmp_path / "out.nii", tmp_path / "dicom")
    assert done.returncode == 0
    assert done.stderr.startswith("image_data: warning: left out 1 identical copies")
    assert one_line(done.stderr)


def test_damaged_file(tmp_path, capsys):
    """A damaged file is an error that names it; --errors warn goes on without it."""
    files = write_series(DYNAMIC, tmp_path / "dicom")
    truncate_file(files[0])
    status, _, error = call(capsys, tmp_path / "out.nii", tmp_path / "dicom")
    assert status == 1
    assert files[0].name in error
    status, _, error = call(capsys, "--errors", "warn", tmp_path / "out.nii", tmp_path / "dicom")
    assert f"image_data: warning: left out 1 file(s): {tmp_path}" in error


def test_failing_write_leaves_nothing(tmp_path, dicom, capsys, monkeypatch):
    """A folder that was made for a file that could not be written is taken away again."""

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setitem(formats.FORMATS, "nifti", formats.Format((".nii.gz",), fail))
    status, _, error = call(capsys, "--of", "nifti", tmp_path / "new" / "out", dicom)
    assert status == 1
    assert "No space left on device" in error
    assert not (tmp_path / "new").exists()


def test_other_exceptions_are_not_hidden(tmp_path, dicom, monkeypatch):
    """A mistake in the program is not passed off as one of the user's."""

    def fail(*_):
        raise ZeroDivisionError

    monkeypatch.setitem(formats.FORMATS, "nifti", formats.Format((".nii.gz",), fail))
    with pytest.raises(ZeroDivisionError):
        data.main(["--of", "nifti", str(tmp_path / "out"), str(dicom)])


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is no signal there")
def test_interrupt(tmp_path):
    """Ctrl-C ends with status 130, says nothing, and leaves no file."""
    write_series(Phantom(axes={"time": range(40)}, shape=(4, 256, 256), noise=9), tmp_path / "in")
    command = [
        sys.executable,
        "-m",
        "imagedata_xr_cli.data",
        "--of=nifti",
        tmp_path / "out",
        tmp_path / "in",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not list((tmp_path / "out").glob(".*.part")):
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    printed, error = process.communicate(timeout=60)
    if process.returncode == 0:
        pytest.skip("it was done before it could be interrupted")
    assert (process.returncode, printed, error) == (130, "", "")
    assert not (tmp_path / "out").exists()


def test_interrupt_anywhere(tmp_path, dicom, capsys, monkeypatch):
    """An interrupt in the middle of the work has the same status."""

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setitem(formats.FORMATS, "nifti", formats.Format((".nii.gz",), interrupt))
    assert call(capsys, "--of", "nifti", tmp_path / "out", dicom) == (130, "", "")
    assert not (tmp_path / "out").exists()


def test_help(capsys):
    """Without arguments the command shows its help."""
    status, printed, error = call(capsys)
    assert (status, error) == (0, "")
    assert "image_data demo" in printed
    assert call(capsys, "--help") == (0, printed, "")


@pytest.mark.parametrize(
    ("text", "meanings"),
    [
        ("10", ["10", 10.0]),
        ("MR", ["MR"]),
        ("A\\2", [("A", "2"), ("A", 2.0)]),
    ],
)
def test_meanings(text, meanings):
    """A text may stand for a number, a text, or several values as DICOM joins them."""
    assert opening._meanings(text) == meanings


def test_names_of_files():
    """Names come from number and description, with letters that any file system takes."""
    import xarray as xr

    def stem(**attrs):
        return places._stem(xr.DataArray(0, attrs=attrs))

    assert stem(SeriesNumber=3, SeriesDescription="t1_mprage (sag) *p2*") == "3_t1_mprage_sag_p2"
    assert stem(SeriesDescription="../../etc") == "etc"
    assert stem(SeriesDescription="hode æøå") == "hode_æøå"
    assert stem(SeriesNumber=0) == "0"
    assert stem(PatientName="Doe^Jane") == "image"
    assert len(stem(SeriesDescription="x" * 300)) == 64


def test_arguments_of_the_engine():
    """Options become the arguments of the engine; nothing said is left out."""
    assert opening.Choice().arguments() == {}
    choice = opening.Choice(order=("time, ti=InversionTime",), series=("1", "2"))
    assert choice.arguments()["sort"] == ["time", {"ti": "InversionTime"}]
    assert choice.arguments()["series"] == ["1", "2"]
    with pytest.raises(OptionError):
        opening.Choice(order=("1=2",)).arguments()
