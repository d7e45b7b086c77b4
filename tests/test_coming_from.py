"""What the page for users of imagedata puts in the place of each call runs."""

from __future__ import annotations

import ast
import contextlib
import re
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import imagedata_xr
from imagedata_xr import roi
from imagedata_xr.testing import Phantom, write_series

PAGE = Path(__file__).parent.parent / "docs" / "coming-from" / "imagedata.md"
# They need a server or a person; the pages of these are followed by test_docs.
ELSEWHERE = ("dicom://", "get_roi", ".show()")


def answers():
    """Yield section, the call of imagedata, and the code in its place."""
    section = ""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            section = line[3:]
        if line.startswith("| ") and not line.startswith("| imagedata"):
            before, after = (cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:3])
            yield section, before, re.findall(r"`([^`]+)`", after.replace(r"\|", "|"))


def is_code(text):
    """Tell code from the names of dimensions, packages and paths."""
    with contextlib.suppress(SyntaxError):
        (statement,) = ast.parse(text).body
        return not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Name))
    return False


@pytest.fixture
def names(tmp_path, monkeypatch):
    """The files and arrays of which the page speaks."""
    monkeypatch.chdir(tmp_path)
    dynamic = Phantom(
        axes={"time": [0, 10, 20]},
        shape=(12, 16, 12),
        spacing=(5, 2, 2),
        attributes={"AcquisitionNumber": 1, "RepetitionTime": 5, "FrameOfReferenceUID": "2.25.3"},
    )
    files = write_series(dynamic, "dir")
    for folder, part in (("dir1", files[::2]), ("dir2", files[1::2])):
        Path(folder).mkdir()
        for path in part:
            shutil.copy(path, folder)
    with zipfile.ZipFile("a.zip", "w") as archive:
        for number, path in enumerate(files):
            archive.write(path, f"time{number}")
    small = {"shape": (3, 8, 6)}
    write_series(Phantom(axes={"time": [0, 5], "te": [10, 20]}, **small), "dual")
    write_series(Phantom(axes={"ti": [100, 300]}, **small), "ti")
    write_series(Phantom(axes={"time": [0, 0.1]}, timing="TriggerTime", **small), "heart")
    axes = ((1, 0, 0), (0, 1, 0), (0, 0, 1))
    volumes = [{"b": 0}, *({"b": 1000, "bvec": axis} for axis in axes)]
    write_series(Phantom(volumes=volumes, **small), "dwi")
    for number in (1, 2):
        write_series(Phantom(series=number, **small), f"study/{number}")
        start = f"2024022910150{number}"
        write_series(Phantom(series=number, start=start, **small), f"split/{number}")
    da = xr.open_dataarray("dir", engine="dicom")
    da.isel(time=0).med.to_nifti("a.nii.gz")
    da.med.to_nifti("b.nii.gz")
    da.isel(time=0).med.to_itk("a.mha")
    da.isel(time=0).med.to_mat("a.mat")
    return {
        "xr": xr,
        "np": np,
        "imagedata_xr": imagedata_xr,
        "roi": roi,
        "da": da,
        "t": da,
        "a": da,
        "b": da.copy(),
        "m": da.med.affine,
        "array": da.values * 2,
        "reference": da.isel(row=slice(None, None, 2)),
        "mask": da.isel(time=0) > da.mean(),
        "v": [1, 2, 3],
        "p": [1.0, 2.0, 3.0],
    }


def test_the_page_is_whole():
    """Each section has rows, and each row something in the place of the call, in words or code."""
    found = list(answers())
    assert {section for section, _, _ in found} == {
        "Open",
        "Sort",
        "Ask",
        "Compute",
        "Look",
        "Write",
    }
    assert len(found) > 60


@pytest.mark.filterwarnings("ignore::imagedata_xr.ImagedataWarning")
def test_each_answer_runs(names):
    """One after the other, in the order of the page."""
    for module in ("SimpleITK", "nibabel", "panel", "PIL", "highdicom"):
        pytest.importorskip(module)
    wrong = []
    for _, before, codes in answers():
        for code in filter(is_code, codes):
            if not any(word in code for word in ELSEWHERE):
                try:
                    exec(compile(code, before, "exec"), names)
                except Exception as error:  # noqa: BLE001 - all are listed
                    wrong.append(f"{before}: {code}: {error!r}")
    assert wrong == []
    assert dict(names["dwi"].sizes)["volume"] == 4
    xr.testing.assert_identical(xr.open_dataarray("same", engine="dicom"), names["da"])
