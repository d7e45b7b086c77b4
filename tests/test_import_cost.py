"""What importing costs: nothing heavy is loaded before it is needed. Counted, not timed."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from imagedata_xr.testing import Phantom, write_series

HEAVY = {
    "SimpleITK",
    "dask",
    "distributed",
    "fsspec",
    "holoviews",
    "matplotlib",
    "nibabel",
    "panel",
    "pydicom",
    "pynetdicom",
    "scipy",
    "tqdm",
}


def loaded(code):
    """Return the top-level modules that a fresh interpreter has after some code."""
    tail = "import json, sys; print(json.dumps(sorted({m.partition('.')[0] for m in sys.modules})))"
    run = subprocess.run(
        [sys.executable, "-c", f"{code}\n{tail}"], capture_output=True, text=True, check=True
    )
    return set(json.loads(run.stdout.splitlines()[-1]))


@pytest.fixture(scope="module")
def xarray_loads():
    return loaded("import xarray")


def test_import(xarray_loads):
    """``import imagedata_xr`` costs little more than ``import xarray``."""
    assert "imagedata_xr" in (found := loaded("import imagedata_xr"))
    assert not (found - xarray_loads) & HEAVY


def test_engines(xarray_loads):
    """xarray loads every engine module as soon as any file is opened: ours weigh nothing."""
    found = loaded(
        "import xarray\nassert 'dicom' in xarray.backends.list_engines()\nimport sys\n"
        "assert 'imagedata_xr.formats.dicom.engine' in sys.modules"
    )
    assert not (found - xarray_loads) & HEAVY


@pytest.mark.parametrize("command", ["data", "calculator", "timeline", "family"])
def test_help_of_the_command_line(command):
    """Help loads a command line library and nothing else: not even the package itself."""
    found = loaded(f"from imagedata_xr_cli.{command} import main\nassert main(['--help']) == 0")
    assert not found & (HEAVY | {"rich", "pydantic", "xarray", "numpy", "imagedata_xr"})


@pytest.mark.parametrize("modality", ["MR", "CT"])
def test_first_series(xarray_loads, tmp_path, modality):
    """To open and load the first series takes pydicom and what it needs; no Dask, although it is there."""
    axes = {"time": [0, 1]} if modality == "MR" else {}
    write_series(Phantom(axes=axes, modality=modality), tmp_path)
    found = loaded(
        "import sys, xarray\nimport imagedata_xr\n"
        f"image = xarray.open_dataarray({str(tmp_path)!r}, engine='dicom', progress=False)\n"
        "assert image.load().values.size"
    )
    heavy = HEAVY | {"bokeh", "highdicom", "openpyxl", "pyarrow", "xnat"}
    assert not (found - xarray_loads) & (heavy - {"pydicom", "fsspec", "tqdm"})


def test_phantoms_are_described_without_pydicom(xarray_loads):
    """Only writing a phantom needs pydicom, describing one does not."""
    found = loaded("from imagedata_xr.testing import Phantom\nPhantom().truth()")
    assert not (found - xarray_loads) & HEAVY
