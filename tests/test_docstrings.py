"""Examples in docstrings of the public interface run, and every function has one."""

from __future__ import annotations

import contextlib
import doctest
import inspect

import pytest
import xarray as xr

import imagedata_xr
from imagedata_xr import display, resampling, roi
from imagedata_xr.testing import Phantom, write_series

MODULES = (imagedata_xr, display, resampling, roi)
# They wait for a person, start processes, or are plain values.
WITHOUT = {"get_roi", "map_series", "PRESETS", "METHODS", "Window", "Code", "Contour", "Roi"}
# One line over the other functions of their module.
WITHOUT |= {"contour", "from_file", "to_file", "outlines", "colormap_table", "window_of", "align"}


def documented():
    for module in MODULES:
        for name in module.__all__:
            found = getattr(module, name)
            is_error = inspect.isclass(found) and issubclass(found, Exception)
            if callable(found) and not is_error and name not in WITHOUT:
                yield pytest.param(found, id=f"{module.__name__}.{name}")


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    folder = tmp_path_factory.mktemp("docstrings") / "dicom"
    write_series(
        Phantom(axes={"time": [0, 2.5, 5]}, attributes={"PatientName": "Doe^Jane"}), folder
    )
    series = xr.open_dataarray(folder, engine="dicom")
    return {
        "series": series,
        "folder": folder,
        "xr": xr,
        "imagedata_xr": imagedata_xr,
        "roi": roi,
    } | {
        "display": display,
        "resampling": resampling,
    }


@pytest.mark.parametrize("found", list(documented()))
@pytest.mark.filterwarnings("ignore::imagedata_xr.ImagedataWarning")
def test_examples(found, names, tmp_path):
    """What a docstring shows is what happens."""
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
