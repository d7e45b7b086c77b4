"""Values become the colours that the DICOM standard, matplotlib and plain arithmetic say."""

from __future__ import annotations

import subprocess
import sys

import dask.array
import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
from corpus_oracle import CORPUS
from matplotlib.colors import LogNorm
from pydicom import Dataset
from roi_images import box, image

from imagedata_xr import roi
from imagedata_xr.display import PRESETS, colormap_table, window_of
from imagedata_xr.errors import GridMismatchError, MissingDependencyError, OptionError
from imagedata_xr.testing import Phantom, write_series


def ramp(**options):
    """Return an oblique CT whose values run from -1200 to 1200 HU."""
    da, _ = image(**options)
    values = np.linspace(-1200, 1200, da.size).round().reshape(da.shape)
    return da.copy(data=values.astype(np.int16)).assign_attrs(units="HU")


@pytest.mark.parametrize("function", [None, "LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_header_window_as_pydicom(function):
    """The window of the header is drawn as PS3.3 C.11.2.1.2 says, in pydicom's hands."""
    da = ramp().assign_attrs(WindowCenter=[40.0, 0.0], WindowWidth=[400.0, 10.0])
    ds = Dataset()
    ds.WindowCenter, ds.WindowWidth = [40, 0], [400, 10]
    ds.BitsStored, ds.PixelRepresentation, ds.PhotometricInterpretation = 16, 1, "MONOCHROME2"
    if function:
        da.attrs["VOILUTFunction"] = ds.VOILUTFunction = function
    window = window_of(da)
    fraction = window.fractions(da.values)
    expected = pydicom_window(da.values, ds)
    np.testing.assert_allclose(fraction, expected, atol=2e-3 if function == "SIGMOID" else 1e-6)
    rgb = da.med.to_rgb()
    np.testing.assert_array_equal(rgb.isel(rgb=1), np.rint(255 * fraction))


def pydicom_window(values, ds):
    from pydicom.pixels import apply_windowing

    ds.RescaleSlope, ds.RescaleIntercept = 1, 0
    found = apply_windowing(values, ds)
    low, high = -(2**15), 2**15 - 1
    return (found - low) / (high - low)


@pytest.mark.parametrize("name", PRESETS)
def test_presets(name):
    """A preset is black and white at its limits, and only meant for values in its own units."""
    center, width, units = PRESETS[name]
    da = xr.DataArray([[center - width / 2, center, center + width / 2]], dims=("row", "column"))
    da.attrs["units"] = units[0]
    assert da.med.to_rgb(window=name.upper())[0, :, 0].values.tolist() == [0, 128, 255]
    with pytest.raises(OptionError, match="values in"):
        da.assign_attrs(units="ms").med.to_rgb(window=name)


def test_window_of_a_source_is_not_kept_where_no_value_lies_in_it():
    """A computed image carries the window of its source: it is drawn by its own values then."""
    da = (ramp() * 1e-6).assign_attrs(WindowCenter=5000.0, WindowWidth=300.0)
    assert 0 < float(da.med.to_rgb().mean()) < 255
    assert window_of(da, "full").high == pytest.approx(1200e-6)
    with pytest.raises(OptionError, match="WindowCenter"):
        window_of(ramp(), "header")


@pytest.mark.parametrize("name", ["viridis", "hot", "gray", "jet_r"])
def test_colour_maps_as_matplotlib(name):
    """256 colours of each map, in its order."""
    expected = np.rint(255 * mpl.colormaps[name](np.arange(256))[:, :3])
    assert np.abs(colormap_table(name).astype(int) - expected).max() <= 1


@pytest.mark.parametrize("name", ["lipari", "navia"])
def test_relaxometry_maps(name):
    """The maps for T1 and T2 are Crameri's."""
    cm = pytest.importorskip("cmcrameri").cm
    expected = np.rint(255 * cm.cmaps[name](np.arange(256))[:, :3])
    np.testing.assert_array_equal(colormap_table(name), expected)
    da = ramp().assign_attrs(units="ms")
    found = da.med.to_rgb(cmap=name, window=(0, 2400))
    assert found[0, 0, 0].values.tolist() == expected[0].tolist()
    assert found[-1, -1, -1].values.tolist() == expected[-1].tolist()


def test_missing_colour_maps():
    """Without matplotlib, grey works and others name what to install."""
    code = (
        "import sys; sys.modules['matplotlib'] = sys.modules['cmcrameri'] = None\n"
        "from imagedata_xr.display import colormap_table\n"
        "assert colormap_table('gray')[-1].tolist() == [255, 255, 255]\n"
        "colormap_table('viridis')"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert MissingDependencyError.__name__ in run.stderr
    assert 'pip install "imagedata_xr[colors]"' in run.stderr
    with pytest.raises(OptionError, match="no colour map"):
        colormap_table("vridis")


def test_norms():
    """Logarithmic scales are matplotlib's; a norm of matplotlib does as well."""
    da = xr.DataArray(np.geomspace(1, 1000, 60).reshape(6, 10), dims=("row", "column"))
    found = da.med.to_rgb(window=(500.5, 999), norm="log")
    assert np.abs(found[..., 0].values - np.linspace(0, 255, 60).reshape(6, 10)).max() <= 0.5 + 1e-4
    xr.testing.assert_equal(found, da.med.to_rgb(norm=LogNorm(1, 1000)))
    with pytest.raises(OptionError, match="norm"):
        da.med.to_rgb(norm="gamma")


def test_nan_bool_complex_and_colours():
    """NaN has its colour, masks are black and white, of complex values the magnitude counts."""
    da = ramp().astype(float)
    da[0, 0, 0] = np.nan
    assert da.med.to_rgb(nan_color=(1, 2, 3))[0, 0, 0].values.tolist() == [1, 2, 3]
    assert set(np.unique((da > 0).med.to_rgb())) == {0, 255}
    pair = da.fillna(0) * (0.6 + 0.8j)
    xr.testing.assert_equal(
        pair.med.to_rgb(window=(600, 1200)), abs(da.fillna(0)).med.to_rgb(window=(600, 1200))
    )
    rgb = da.med.to_rgb()
    assert rgb.med.to_rgb().identical(rgb)
    assert rgb.rgb.values.tolist() == ["R", "G", "B"]
    assert "units" not in rgb.attrs
    assert rgb.med.spacing == da.med.spacing


def test_monochrome1_is_shown_as_it_is_meant(tmp_path):
    """Where low values are meant to be white, they are."""
    for photometric in ("MONOCHROME1", "MONOCHROME2"):
        write_series(Phantom(photometric=photometric), tmp_path / photometric)
    one, two = (
        xr.open_dataarray(tmp_path / name, engine="dicom").med.to_rgb(window="full")
        for name in ("MONOCHROME1", "MONOCHROME2")
    )
    np.testing.assert_array_equal(one, 255 - two)
    again = xr.open_dataarray(tmp_path / "MONOCHROME1", engine="dicom")
    np.testing.assert_array_equal(again.med.to_rgb(window="full", invert=False), two)


def test_large_integer_images_are_painted_the_same():
    """An image of many 16-bit values has the colours that each of its slices has by itself."""
    da = xr.DataArray(
        np.arange(-(2**15), 2**15, dtype=np.int16).reshape(4, 128, 128).repeat(3, axis=0),
        dims=("slice", "row", "column"),
    )
    whole = da.med.to_rgb(window=(40, 400), cmap="viridis")
    for k in range(12):
        xr.testing.assert_equal(whole[k], da[k].med.to_rgb(window=(40, 400), cmap="viridis"))


def test_dask_stays_lazy():
    """Nothing but the window's sample is computed; the result is the same."""
    da = ramp()
    lazy = da.chunk(slice=1).med.to_rgb(window="lung", cmap="viridis")
    assert isinstance(lazy.data, dask.array.Array)
    xr.testing.assert_identical(lazy.compute(), da.med.to_rgb(window="lung", cmap="viridis"))
    over = (da > 0).chunk(slice=1)
    lazy = da.chunk(slice=1).med.overlay(over, window="lung")
    assert isinstance(lazy.data, dask.array.Array)
    xr.testing.assert_identical(lazy.compute(), da.med.overlay(over.compute(), window="lung"))


def test_overlay_of_a_mask():
    """Inside, a weighted mean of grey and red; outside, the grey as it was."""
    da = ramp()
    region = roi.Roi(name="a", contours=(box(da, 1, (2, 9), (3, 8)),))
    mask = roi.mask(region, da)
    grey = da.med.to_rgb(window="lung").astype(float)
    found = da.med.overlay(mask, alpha=0.25, window="lung")
    red = xr.DataArray([255, 0, 0], dims="rgb")
    expected = np.rint(xr.where(mask, 0.75 * grey + 0.25 * red, grey))
    assert np.abs(found.astype(float) - expected.transpose(*found.dims)).max() <= 1
    assert found.dtype == np.uint8
    green = da.med.overlay(mask, alpha=1, cmap="#00ff00")
    assert (green.where(mask, drop=True).dropna("row").isel(rgb=1) == 255).all()


def test_overlay_of_labels():
    """Structures have their own colours, or those given; what is no structure is transparent."""
    da = ramp()
    regions = [
        roi.Roi(
            name=name,
            color=color,
            contours=(box(da, k, (2, 9), (3, 8)),),
        )
        for k, (name, color) in enumerate([("a", "#102030"), ("b", "#405060")])
    ]
    labels = roi.mask(regions, da)
    assert set(np.unique(labels)) == {0, 1, 2}
    found = da.med.overlay(labels, alpha=1)
    assert found.isel(slice=0).values[labels[0] == 1].tolist()[0] == [16, 32, 48]
    assert found.isel(slice=1).values[labels[1] == 2].tolist()[0] == [64, 80, 96]
    grey = da.med.to_rgb()
    np.testing.assert_array_equal(found.values[labels == 0], grey.values[labels == 0])
    other = da.med.overlay(labels, alpha=1, cmap={2: "#ffffff"})
    assert other.isel(slice=1).values[labels[1] == 2].tolist()[0] == [255, 255, 255]


def test_overlay_of_a_map():
    """A map is seen where it has a value and reaches the threshold."""
    da = ramp()
    values = (da * 1e-3).astype(np.float32)
    part = values.isel(slice=slice(1, 3), row=slice(None, None, -1))
    found = da.med.overlay(part, alpha=1, cmap="viridis", threshold=-0.3)
    seen = (values >= -0.3) & values.slice.isin(part.slice)
    grey = da.med.to_rgb()
    np.testing.assert_array_equal(found.values[~seen], grey.values[~seen])
    expected = values.where(seen).med.to_rgb(
        cmap="viridis", window=window_of(values.where(seen), "percentiles")
    )
    np.testing.assert_array_equal(found.values[seen], expected.values[seen])


def test_overlay_over_time():
    """One mask serves all time points; one with a time axis changes with it."""
    da = ramp().expand_dims(time=[0.0, 1.0]).med.restore()
    mask = da.isel(time=0, drop=True) > 0
    found = da.med.overlay(mask, alpha=1)
    assert found.dims == (*da.dims, "rgb")
    xr.testing.assert_equal(found.isel(time=0, drop=True), found.isel(time=1, drop=True))
    moving = xr.concat([mask, ~mask], da.time)
    assert (
        not da.med.overlay(moving, alpha=1)
        .isel(time=0, drop=True)
        .equals(da.med.overlay(moving, alpha=1).isel(time=1, drop=True))
    )


def test_overlay_that_lies_elsewhere():
    """A mask of another grid, slice or size is never drawn in the wrong place."""
    da = ramp()
    elsewhere = ramp(origin=(0, 0, 0)) > 0
    with pytest.raises(GridMismatchError):
        da.med.overlay(elsewhere)
    with pytest.raises(GridMismatchError, match="no dimension 'slice'"):
        da.med.overlay(da[2] > 0)
    with pytest.raises(GridMismatchError, match="beside"):
        da[1].med.overlay(da[2] > 0)
    assert da[2].med.overlay(da[2] > 0).dims == ("row", "column", "rgb")
    with pytest.raises(OptionError, match="alpha"):
        da.med.overlay(da > 0, alpha=50)


def test_real_ct():
    """A real CT in a soft tissue window is neither black nor white."""
    folder = CORPUS / "ct_tilt14" / "dicom"
    if not folder.exists():
        pytest.skip(f"no corpus: {folder}")
    da = xr.open_dataarray(folder, engine="dicom")
    found = da.med.to_rgb(window="brain")
    expected = np.rint(255 * ((da.values.astype(float) - 0) / 80).clip(0, 1))
    np.testing.assert_array_equal(found.isel(rgb=0), expected)
