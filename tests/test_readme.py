"""The examples of README.md run as they are shown."""

from __future__ import annotations

import contextlib
import re
import shlex
from pathlib import Path

import pytest

from imagedata_xr_cli import data as image_data

README = Path(__file__).parent.parent / "README.md"

pytest.importorskip("nibabel")


def blocks(language):
    return re.findall(
        rf"^```{language}\n(.*?)^```", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )


def test_readme(tmp_path, capsys):
    """The demonstration, the Python example and the conversion work one after the other."""
    demo, tests, convert = (block.strip() for block in blocks("bash"))
    assert tests.endswith("-m pytest -n auto")
    (example,) = blocks("python")
    with contextlib.chdir(tmp_path):
        for line in (demo.rpartition("&& ")[2], convert):
            program, *arguments = shlex.split(line)
            assert program == ".venv/bin/image_data"
            assert image_data.main(arguments) == 0
        capsys.readouterr()
        exec(compile(example, README.name, "exec"), {})
        assert (tmp_path / "demo" / "enhancement.nii.gz").is_file()
        assert (tmp_path / "demo" / "nifti" / "14_fl3d_dynamic.nii.gz").is_file()
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "('time', 'slice', 'row', 'column')"
    assert float(printed[1]) > 1.5
    assert printed[2:] == ["[ -93.28 -117.63  -74.75]", "fl3d_dynamic"]
