"""The list of formats says what is there, and what to install for the rest."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

import imagedata_xr
from imagedata_xr import inventory

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = {
    extra: {re.split(r"[\[><=~! ;]", one)[0].lower() for one in packages}
    for extra, packages in PROJECT["optional-dependencies"].items()
}


def names(kind):
    parts = [part.name for part in inventory.PARTS if part.kind == kind]
    return {name.strip() for text in parts for name in text.split(",")}


def test_engines_and_writers_are_all_there():
    """Each engine of the package and each writer that it offers is listed."""
    engines = PROJECT["entry-points"]["xarray.backends"]
    assert names("engine") - {"compressed"} == set(engines)
    writers = {name for name in imagedata_xr.__all__ if name.startswith("to_")}
    assert names("writer") - {"multi-frame", "to_netcdf", "to_zarr"} == writers


@pytest.mark.parametrize("part", [p for p in inventory.PARTS if p.extra], ids=lambda p: p.name)
def test_remedies_install_what_is_missing(part):
    """The extra that is named brings the packages that are needed."""
    assert {name.lower() for name in part.packages} <= EXTRAS[part.extra]


def test_every_remedy_of_an_error_exists():
    """No error of the package names an extra that pip does not know; ``all`` brings each of them."""
    sources = [*(ROOT / "imagedata_xr").rglob("*.py"), *(ROOT / "imagedata_xr_cli").rglob("*.py")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    named = set(re.findall(r"imagedata_xr\[([a-z]+)\]", text))
    assert named
    assert named <= set(EXTRAS)
    (every,) = PROJECT["optional-dependencies"]["all"]
    assert set(re.findall(r"[a-z]+", every.partition("[")[2])) == set(EXTRAS) - {"all"}


def test_what_is_missing(monkeypatch):
    """A package that is not there is named with the command that installs it."""
    known = inventory.version

    def without_nibabel(package):
        if package == "nibabel":
            raise PackageNotFoundError(package)
        return known(package)

    monkeypatch.setattr(inventory, "version", without_nibabel)
    row = imagedata_xr.list_formats().set_index("name").loc["to_nifti"]
    assert not row["installed"]
    assert row["install"] == 'pip install "imagedata_xr[nifti]"'
    assert row["packages"] == "nibabel (missing)"
    (line,) = [line for line in inventory.report() if " to_nifti " in line]
    assert line.strip().startswith("no ")
    assert 'pip install "imagedata_xr[nifti]"' in line


def test_command():
    """``python -m imagedata_xr formats`` prints the table, or JSON of it."""
    command = [sys.executable, "-m", "imagedata_xr", "formats"]
    plain = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "Engines" in plain
    assert re.search(r"yes +dicom ", plain)
    printed = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    table = json.loads(printed.stdout)
    assert {row["name"] for row in table} >= {"dicom", "to_nifti"}
    assert all(row["installed"] or row["install"] for row in table)
