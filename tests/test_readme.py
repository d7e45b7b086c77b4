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


@pytest.mark.filterwarnings("ignore::imagedata_xr.ImagedataWarning")
def test_readme(tmp_path, capsys):
    """The demonstration, the Python examples and the conversion work one after the other."""
    demo, tests, convert = (block.strip() for block in blocks("bash"))
    assert tests.endswith("-m pytest -n auto")
    names = {}
    with contextlib.chdir(tmp_path):
        for line in (demo.rpartition("&& ")[2], convert):
            program, *arguments = shlex.split(line)
            assert program == ".venv/bin/image_data"
            assert image_data.main(arguments) == 0
        capsys.readouterr()
        for example in blocks("python"):
            exec(compile(example, README.name, "exec"), names)
        assert (tmp_path / "demo" / "nifti" / "14_fl3d_dynamic.nii.gz").is_file()
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "('time', 'slice', 'row', 'column')"
    assert float(printed[1]) > 1.5
    assert printed[2:5] == ["[ -93.28 -117.63  -74.75]", "fl3d_dynamic", "True DERIVED"]
    assert printed[6] == "True"
    assert [line.split()[1] for line in printed[8:]] == ["fl3d_dynamic", "Enhancement"]
    assert list(names["tree"].med.images())
