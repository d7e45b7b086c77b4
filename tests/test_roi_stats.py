"""Statistics within regions are those of NumPy and SimpleITK, at every time point."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - its own documentation does
import xarray as xr
from corpus_oracle import CORPUS
from roi_images import box, image

from imagedata_xr import roi
from imagedata_xr.errors import GridMismatchError, OptionError
from imagedata_xr.testing import Phantom, write_series


def noise(*, seed=3, **place):
    """Return an image of random numbers."""
    da, _ = image(**place)
    values = np.random.default_rng(seed).normal(100, 30, da.shape)
    return da.copy(data=values).assign_attrs(units="HU")


def region(da, name="a", at=(2, 9)):
    """Return a region in two slices."""
    return roi.Roi(name=name, contours=tuple(box(da, k, at, (3, 8)) for k in (1, 2)))


def test_as_simpleitk():
    """Mean, sd, median, n and volume of each label are SimpleITK's."""
    da = noise()
    labels = roi.mask([region(da), region(da, "b", (12, 20))], da)
    found = da.med.roi_stats(labels).set_index("name")
    measured = sitk.LabelIntensityStatisticsImageFilter()
    measured.Execute(labels.med.to_sitk(), da.med.to_sitk())
    for number, name in enumerate(["a", "b"], start=1):
        row = found.loc[name]
        assert row["n"] == measured.GetNumberOfPixels(number)
        assert row["volume_ml"] == pytest.approx(measured.GetPhysicalSize(number) / 1000)
        assert row["mean"] == pytest.approx(measured.GetMean(number))
        assert row["sd"] == pytest.approx(measured.GetStandardDeviation(number))
        assert row["min"] == measured.GetMinimum(number)
        assert row["max"] == measured.GetMaximum(number)
    assert found.attrs["units"] == "HU"
    assert found["units"].tolist() == ["HU", "HU"]


def test_percentiles_and_nan():
    """Percentiles are NumPy's; NaN is counted apart and changes nothing else but n."""
    da = noise()
    da[1, 4, 4] = np.nan
    inside = roi.mask(region(da), da)
    row = roi.stats(da, inside, percentiles=(2.5, 97.5)).iloc[0]
    values = da.values[inside.values]
    assert row["n"] == np.isfinite(values).sum()
    assert row["n_nan"] == 1
    assert row["volume_ml"] == pytest.approx(values.size * 3.0 * 1.5 * 0.8 / 1000)
    for name, rank in [("p2.5", 2.5), ("median", 50), ("p97.5", 97.5)]:
        assert row[name] == pytest.approx(np.nanpercentile(values, rank))
    assert row["sd"] == pytest.approx(np.nanstd(values, ddof=1))


@pytest.mark.parametrize("lazy", [False, True], ids=["NumPy", "Dask"])
def test_time_and_echo(lazy):
    """One row for each time and echo; the curve has the same numbers with the image's coordinates."""
    one = noise()
    da = xr.concat([one * k for k in (1, 2, 3)], xr.Variable("time", [0.0, 2.0, 5.0]))
    da = xr.concat([da, da + 1], xr.Variable("te", [10.0, 20.0])).transpose("time", "te", ...)
    da = da.assign_coords(acquisition_time=("time", [7.0, 9.0, 12.0])).med.restore()
    inside = roi.mask(region(one), one)
    truth = da.where(inside).mean(["slice", "row", "column"])
    shown = da.chunk(time=1, te=1) if lazy else da
    table = shown.med.roi_stats(inside)
    assert table[["time", "te"]].values.tolist() == [
        [t, e] for t in (0.0, 2.0, 5.0) for e in (10.0, 20.0)
    ]
    assert table["acquisition_time"].tolist() == [7, 7, 9, 9, 12, 12]
    np.testing.assert_allclose(table["mean"], truth.values.ravel())
    found = roi.curve(shown, inside)
    xr.testing.assert_allclose(found, truth.rename("mean"))
    assert found.attrs["units"] == "HU"
    both = roi.curve(shown, [region(one), region(one, "b", (12, 20))], "p95")
    assert both.dims == ("segment", "time", "te")
    assert both.segment_label.values.tolist() == ["a", "b"]


def test_region_that_moves():
    """A region that holds at one time point only has no voxels at others."""
    one = noise()
    da = xr.concat([one, one + 10], xr.Variable("time", [0.0, 2.0])).med.restore()
    here = roi.Roi(name="late", contours=region(one).contours, select={"time": 2.0})
    table = da.med.roi_stats(here)
    assert table["n"].tolist() == [0, 2 * 7 * 5]
    assert np.isnan(table["mean"][0])
    assert table["mean"][1] == pytest.approx(
        float((one + 10).where(roi.mask(region(one), one)).mean())
    )


def test_overlapping_regions_keep_all_their_voxels():
    """Of two outlines that overlap, both are measured whole."""
    da = noise()
    table = da.med.roi_stats([region(da), region(da, "b", (5, 12))])
    assert table["n"].tolist() == [2 * 7 * 5, 2 * 7 * 5]


def test_whole_image():
    """Without a region, all voxels count: what the command line prints."""
    da = noise().astype(np.int16)
    row = da.med.roi_stats().iloc[0]
    assert row["n"] == da.size
    assert row["mean"] == pytest.approx(da.values.mean())
    assert row["volume_ml"] == pytest.approx(da.size * 3.0 * 1.5 * 0.8 / 1000)
    flat = xr.DataArray(np.arange(12.0).reshape(3, 4), dims=("row", "column"))
    row = flat.med.roi_stats().iloc[0]
    assert row["mean"] == 5.5
    assert np.isnan(row["volume_ml"])


@pytest.mark.parametrize("dtype", ["int16", "uint8", "int64"])
def test_many_whole_numbers(dtype):
    """Large integer images have NumPy's statistics to the last digit that counts."""
    values = np.random.default_rng(5).normal(80, 20, (40, 50, 60)).round().astype(dtype)
    da = xr.DataArray(values, dims=("slice", "row", "column"))
    row = da.med.roi_stats(percentiles=(0, 12.3, 99.9, 100)).iloc[0]
    assert row["mean"] == pytest.approx(values.mean(dtype=float), rel=1e-12)
    assert row["sd"] == pytest.approx(values.std(ddof=1, dtype=float), rel=1e-12)
    for name, rank in [("p0", 0), ("p12.3", 12.3), ("median", 50), ("p99.9", 99.9), ("p100", 100)]:
        assert row[name] == pytest.approx(np.percentile(values, rank), rel=1e-12)


def test_one_slice_and_a_part_of_the_image():
    """A region measures the same in the image, in a crop, in a flipped copy and in one slice."""
    da = noise()
    inside = roi.mask(region(da), da)
    whole = da.med.roi_stats(inside).drop(columns="name")
    turned = da.isel(row=slice(None, None, -1), slice=slice(1, 4))
    part = turned.med.roi_stats(inside.isel(slice=slice(1, 4))).drop(columns="name")
    np.testing.assert_allclose(part.drop(columns="units"), whole.drop(columns="units"))
    one = da[1].med.roi_stats(region(da)).iloc[0]
    assert one["n"] == 7 * 5
    assert one["volume_ml"] == pytest.approx(whole["volume_ml"][0] / 2)
    with pytest.raises(GridMismatchError):
        da.med.roi_stats(noise(origin=(0, 0, 0)) > 100)


def test_uneven_slices():
    """The volume is that of the measured positions."""
    da = noise(orientation="axial", shape=(5, 6, 4)).isel(slice=[0, 1, 3, 4])
    row = da.med.roi_stats(xr.ones_like(da, dtype=bool)).iloc[0]
    assert row["volume_ml"] == pytest.approx((3 + 4.5 + 4.5 + 3) * 24 * 1.5 * 0.8 / 1000)


def test_tilted_series(tmp_path):
    """A voxel of a tilted stack has the area of a pixel times the distance of the planes."""
    write_series(Phantom(tilt=20.0, modality="CT", dtype="int16"), tmp_path)
    da = xr.open_dataarray(tmp_path, engine="dicom")
    volume = abs(np.linalg.det(da.med.affine[:3, :3])) * da.size / 1000
    assert da.med.roi_stats()["volume_ml"][0] == pytest.approx(volume)


def test_threshold():
    """Thresholds hold within the region only; a fraction is of its own maximum at each time."""
    one = noise()
    da = xr.concat([one, one * 3], xr.Variable("time", [0.0, 2.0])).med.restore()
    inside = roi.mask(region(one), one)
    found = roi.threshold(da, inside, low=90, high=120)
    np.testing.assert_array_equal(found, ((da >= 90) & (da <= 120) & inside).transpose(*found.dims))
    assert found.dtype == bool
    hot = roi.threshold(da, inside, fraction=0.5)
    top = one.where(inside).max()
    np.testing.assert_array_equal(hot[0], (one >= 0.5 * top) & inside)
    xr.testing.assert_equal(hot[0].drop_vars("time"), hot[1].drop_vars("time"))
    lazy = roi.threshold(da.chunk(time=1), inside, fraction=0.5)
    assert lazy.chunks is not None
    xr.testing.assert_equal(lazy.compute(), hot)
    with pytest.raises(OptionError, match="low"):
        roi.threshold(da, inside)


def test_what_makes_no_statistics():
    """Complex values, maps as masks and other things say what to do."""
    da = noise()
    with pytest.raises(OptionError, match="abs"):
        (da * 1j).med.roi_stats()
    with pytest.raises(OptionError, match="bool"):
        da.med.roi_stats(da)
    with pytest.raises(OptionError, match="Roi"):
        da.med.roi_stats(["liver"])
    with pytest.raises(OptionError, match="statistic"):
        roi.curve(da, statistic="average")


def test_real_dynamic_series():
    """A region in a real dynamic series gives a curve along its seconds."""
    folder = CORPUS / "mr_siemens_dce_time3" / "dicom"
    if not folder.exists():
        pytest.skip(f"no corpus: {folder}")
    da = xr.open_dataarray(folder, engine="dicom")
    inside = roi.ellipse(
        da,
        slice=float(da.slice[1]),
        row=tuple(da.row[[60, 120]]),
        column=tuple(da.column[[40, 110]]),
    )
    region_ = roi.Roi(name="centre", contours=(inside,))
    found = roi.curve(da, region_)
    assert found.dims == ("time",)
    expected = da.where(roi.mask(region_, da)).mean(["slice", "row", "column"])
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert found.time.attrs["units"] == "s"
