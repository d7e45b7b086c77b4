"""The examples run as they are, and what they print is what their phantoms say."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from imagedata_xr.testing import Head, write_series
from imagedata_xr.testing.head import TISSUES

EXAMPLES = Path(__file__).parents[1] / "examples"
GREY, LESION = TISSUES["grey"], TISSUES["lesion"]


def run(name, *arguments, **options):
    """Return what an example prints; warnings are errors."""
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / name), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        **options,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def number(text, before):
    """Return the number that follows some text."""
    return float(re.search(rf"{re.escape(before)}: (-?[\d.]+)", text)[1])


@pytest.fixture
def phantoms():
    """The names that an example defines."""
    return lambda name: runpy.run_path(str(EXAMPLES / name))


def test_every_example_is_tested():
    """A new example comes with a test."""
    text = Path(__file__).read_text(encoding="utf-8")
    assert all(f'"{path.name}"' in text for path in EXAMPLES.glob("*.py"))


@pytest.mark.parametrize("given", [False, True])
def test_mean_of_two_series(tmp_path, monkeypatch, phantoms, given):
    """The mean of 1000 and 1800, and a NIfTI file with the voxels of both."""
    nibabel = pytest.importorskip("nibabel")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    arguments = []
    if given:
        made = phantoms("mean_of_two_series.py")
        for key in ("FIRST", "SECOND"):
            arguments.append(tmp_path / key)
            write_series(made[key], tmp_path / key)
        arguments.append(tmp_path / "result.nii")
    text = run("mean_of_two_series.py", *arguments)
    assert number(text, "first mean in the isocentre") == pytest.approx(1400, abs=0.01)
    image = nibabel.load(text.splitlines()[-1])
    assert image.shape == (31, 33, 5, 3)
    assert image.header.get_zooms()[:3] == pytest.approx((1.5, 2, 3))


@pytest.mark.parametrize("given", [False, True])
def test_adc_from_b(tmp_path, phantoms, given):
    """The diffusion coefficient of grey matter, also of a folder that is given."""
    if given:
        write_series(phantoms("adc_from_b.py")["PHANTOM"], tmp_path)
    text = run("adc_from_b.py", *([tmp_path] if given else []))
    assert number(text, "median") == pytest.approx(GREY.adc, abs=0.002)


def test_t2_from_te():
    """The T2 of grey matter, in ms."""
    pytest.importorskip("scipy")
    assert number(run("t2_from_te.py"), "median T2") == pytest.approx(GREY.t2, rel=0.002)


def test_t1_from_fa():
    """The T1 of grey matter, in ms, of five series in one folder."""
    assert number(run("t1_from_fa.py"), "median T1") == pytest.approx(GREY.t1, rel=0.002)


def test_perfusion():
    """Transfer, volumes and times of the lesion are those that its signal was made of."""
    pytest.importorskip("scipy")
    text = run("perfusion.py")
    assert number(text, "ktrans") == pytest.approx(LESION.leak, abs=0.002)
    assert number(text, "\nve") == pytest.approx(0.3, abs=0.002)
    assert number(text, "\nvp") == pytest.approx(LESION.plasma, abs=0.002)
    times = np.arange(12, 80) * 1.5
    curve = [Head().concentration(LESION, time) for time in times]
    area = np.trapezoid(curve, times)
    assert number(text, "area under the curve") == pytest.approx(area, rel=0.01)
    assert number(text, "time to peak") == pytest.approx(times[np.argmax(curve)] - 20, abs=0.51)


def test_dask_mean(phantoms):
    """In the isocentre the phantom is 1800 plus the time."""
    pytest.importorskip("distributed")
    times = phantoms("dask_mean.py")["TIMES"]
    text = run("dask_mean.py")
    assert number(text, "mean in the isocentre") == 1800 + sum(times) / len(times)


def test_sorting():
    """Errors say what is there, and what they suggest works."""
    text = run("sorting.py")
    for line in (
        "MultipleSeriesError: several series",
        "{'time': 2, 'te': 3, 'slice': 3}",
        "{'tau': 3, 'slice': 3}",
        "{'te': 3, 'time': 2, 'slice': 3}",
        "{'time': 2, 'te': 2, 'slice': 3}",
        "IncompleteGridError: 18 frames over 3 slice(s)",
        "IncompleteGridError: 17 frames over 3 slice(s)",
    ):
        assert line in text
    worked, said = re.search(r"(\d+) of (\d+) suggestions open it", text).groups()
    assert worked == said != "0"
