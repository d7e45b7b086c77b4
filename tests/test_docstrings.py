"""Examples in docstrings of the public interface run, and every function has one."""

from __future__ import annotations

import contextlib
import doctest
import inspect
import re

import dicom_peers
import pytest
import xarray as xr

import imagedata_xr
from imagedata_xr import display, naming, resampling, roi, testing, transports
from imagedata_xr.testing import Phantom, write_series
from imagedata_xr.transports import dimse

MODULES = (imagedata_xr, display, naming, resampling, roi, testing, transports, dimse)
# Plain values.
WITHOUT = {"PRESETS", "METHODS"}


def documented():
    for module in MODULES:
        for name in module.__all__:
            found = getattr(module, name)
            is_error = inspect.isclass(found) and issubclass(found, Exception)
            if callable(found) and not is_error and name not in WITHOUT:
                yield pytest.param(module, found, id=f"{module.__name__}.{name}")


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    folder = tmp_path_factory.mktemp("docstrings") / "dicom"
    phantom = Phantom(axes={"time": [0, 2.5, 5]}, attributes={"PatientName": "Doe^Jane"})
    write_series(phantom, folder)
    found = {"folder": folder, "series": xr.open_dataarray(folder, engine="dicom"), "xr": xr}
    parts = (display, naming, resampling, roi, testing, transports, dimse)
    found |= {part.__name__.rpartition(".")[2]: part for part in parts}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IMAGEDATA_XR_SPOOL", str(folder.parent / "spool"))
        yield found | {"imagedata_xr": imagedata_xr}


@pytest.fixture(scope="module")
def url(names):
    """A DICOMweb server that has the series."""
    with testing.DicomwebServer() as server:
        assert transports.store(server.url, names["folder"]).complete
        yield server.url


@pytest.fixture
def pacs(names, tmp_path_factory):
    """A real DICOM server that has the series."""
    with pytest.MonkeyPatch.context() as patch, dicom_peers.own_network():
        patch.setenv("IMAGEDATA_XR_AET", "XRTEST")
        with dicom_peers.running(dicom_peers.orthanc(tmp_path_factory.mktemp("orthanc"))) as server:
            assert transports.store(server.url, names["folder"]).complete
            yield server.url


@pytest.mark.parametrize(("module", "found"), list(documented()))
@pytest.mark.filterwarnings("ignore::imagedata_xr.ImagedataWarning")
def test_examples(module, found, names, tmp_path, request):
    """What a docstring shows is what happens."""
    names = names | {name: getattr(module, name) for name in module.__all__}
    for server in ("url", "pacs"):
        if re.search(rf"[( ]{server}[,)]", found.__doc__ or ""):
            names = names | {server: request.getfixturevalue(server)}
    tests = [
        test
        for test in doctest.DocTestFinder(recurse=False).find(found, found.__name__, globs=names)
        if test.examples
    ]
    assert tests, "it has no example"
    with contextlib.chdir(tmp_path):
        for test in tests:
            runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
            assert runner.run(test).failed == 0
