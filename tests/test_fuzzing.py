"""Readers under damaged and hostile bytes: an error of the package, or what is there; see `fuzzing`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fuzzing.__main__ import NAMES
from fuzzing.series import all_series, campaign

pytest.importorskip("nibabel")
pytest.importorskip("SimpleITK")
pytest.importorskip("scipy")

ROOT = Path(__file__).resolve().parents[1]


def test_fuzzing(tmp_path):
    """No exception of another tree, no hang, no memory beyond a bound, in some thousand cases."""
    command = [sys.executable, "-m", "fuzzing", "--here", "--cases", "60", "--seed", "1"]
    done = subprocess.run(
        [*command, "--found", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(" 0 bugs") == len(NAMES)


def test_series_under_damage():
    """No voxel of an undamaged file is missing, misplaced or mislabelled, whatever became of others."""
    known = all_series()
    tally = campaign(known, seed=1, cases=400)
    assert not tally.bugs
    assert min(tally.opened, tally.refused) > 50
