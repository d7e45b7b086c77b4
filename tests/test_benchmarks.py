"""The benchmark runs from end to end on a few files; nothing is said about its times."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "open_and_load.py"
SMALL = "--times 2 --slices 3 --mr-size 32 --ct 4 --ct-size 32 --rounds 1"


def test_smoke(tmp_path):
    """Each reader that is installed has its line in both tables, and no file stays."""
    where = ["--folder", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *SMALL.split(), *where],
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    for title in ("### MR: 6 files of 32 x 32", "### CT: 4 files of 32 x 32"):
        assert title in done.stdout
    for name in ("imagedata_xr: open", "imagedata_xr: open and load", "read all bytes"):
        lines = [line for line in done.stdout.splitlines() if line.startswith(f"| {name} |")]
        assert len(lines) == 2
        assert all(line.count("|") == 8 for line in lines)
    assert not list(tmp_path.iterdir())
