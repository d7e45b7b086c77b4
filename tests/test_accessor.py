"""The accessor and its errors, on a small phantom."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import xarray as xr

import imagedata_xr
from imagedata_xr.errors import GeometryError, HeaderError, IncompleteGridError, OptionError
from imagedata_xr.testing import Phantom, write_series


@pytest.fixture
def folder(tmp_path):
    phantom = Phantom(axes={"time": [0.0, 2.0, 4.0]}, shape=(3, 6, 5), orientation=(20, 10, 0))
    write_series(phantom, tmp_path / "dicom")
    return tmp_path / "dicom"


@pytest.fixture
def series(folder):
    with xr.open_dataarray(folder, engine="dicom", progress=False) as opened:
        yield opened


def test_one_position_or_many(series):
    """Triples of any shape are converted, and back."""
    one = series.med.index_to_world([1, 2, 3])
    assert one.shape == (3,)
    indices = np.indices((2, 3, 4)).transpose(1, 2, 3, 0)
    many = series.med.index_to_world(indices)
    assert many.shape == (2, 3, 4, 3)
    np.testing.assert_array_equal(many[1, 2, 3], one)
    np.testing.assert_allclose(series.med.world_to_index(many), indices, atol=1e-9)
    with pytest.raises(GeometryError, match="three numbers"):
        series.med.index_to_world([1, 2])


def test_points_align_with_the_image(series):
    """Positions have the image's own indexes, and no coordinate that is not theirs."""
    points = series.isel(row=slice(0, 3)).med.points()
    assert set(points.coords) == {"slice", "row", "column", "xyz"}
    assert isinstance(points.xindexes["row"], imagedata_xr.PositionIndex)
    above = series.where(points.sel(xyz="z") > 0)
    assert dict(above.sizes) == {"time": 3, "slice": 3, "row": 3, "column": 5}


def test_no_such_frame(series):
    """A place outside the array, and an array without frames, are errors that say so."""
    with pytest.raises(HeaderError, match="time has 3"):
        series.med.header(time=3, slice=0)
    with pytest.raises(HeaderError, match="ask the array that was opened"):
        series.mean("time").med.header(slice=0)


def test_info_of_a_copy_on_disk(series, tmp_path, capsys):
    """The path of a netCDF file is not taken for the attribute that a dimension was read from."""
    series.to_netcdf(tmp_path / "copy.nc", engine="h5netcdf")
    series.med.info()
    assert "time: 0 to 4 s, from Acquisition" in capsys.readouterr().out
    with xr.open_dataarray(tmp_path / "copy.nc", engine="h5netcdf") as copy:
        copy.med.info()
    assert "from" not in capsys.readouterr().out


def test_a_name_that_is_no_key(folder):
    """The error names the key that may be meant, and suggests only what opens the series."""
    with pytest.raises(IncompleteGridError, match="did you mean time") as caught:
        xr.open_dataarray(folder, engine="dicom", progress=False, sort="tme")
    assert caught.value.suggestions == ({"sort": "time"},)


def test_notebooks_show_the_message(folder, capsys):
    """In IPython an error is its text below the line of the cell, not pages of library code."""
    interactive = pytest.importorskip("IPython.core.interactiveshell")
    shell = interactive.InteractiveShell()
    shell.run_cell(
        f"import xarray as xr\nxr.open_dataarray({str(folder)!r}, engine='dicom', sort='te')"
    )
    shown = [line for line in capsys.readouterr().out.splitlines() if line]
    assert shown[0].startswith("In this cell, line 2: xr.open_dataarray(")
    assert shown[1].startswith("IncompleteGridError: 9 frames over 3 slice(s)")
    assert "  sort='time'" in shown
    assert shown[-1] == "More: imagedata-xr explain IncompleteGridError"


def test_select_is_a_mapping(folder):
    """A text as `select` is an error that shows the right form."""
    with pytest.raises(OptionError, match="mapping"):
        xr.open_dataarray(folder, engine="dicom", progress=False, select="EchoTime=4")


def test_med_says_what_it_holds(series):
    """Shown in a notebook: axes, units, steps, where they lead, and nothing of the patient."""
    text = repr(series.med)
    assert "slice: -3 to 3 mm, step 3, to the head" in text
    assert "row:" in text
    assert "to the back" in text
    for name in ("PatientName", "PatientID"):
        assert series.attrs[name] not in text
    assert "uneven, to the head" in repr(series.isel(slice=[0, 2, 1]).med)
    assert "time: 0 to 4 s" in repr(series.mean(["slice", "row", "column"]).med)
    assert "no variable 'image'" in repr(series.to_dataset(name="other").med)


def test_help_of_a_method(series):
    """help() and editors show the options of the function behind a method, and its text."""
    parameters = inspect.signature(series.med.to_dicom).parameters
    assert "SeriesNumber" in series.med.to_dicom.__doc__
    assert next(iter(parameters)) == "target"
    assert {"keep_uid", "overwrite", "padding"} <= set(parameters)
    for name in (name for name in dir(series.med) if not name.startswith("_")):
        found = getattr(series.med, name)
        if callable(found) and inspect.signature(found).parameters:
            assert "Parameters\n" in inspect.getdoc(found), name


def test_a_tree_says_what_it_holds(folder):
    """Shown in a notebook, .med of a tree counts its series."""
    assert repr(xr.open_datatree(folder, engine="dicom").med).startswith("1 series with images")
