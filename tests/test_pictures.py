"""Pictures show the right pixels, the right way round, with square pixels, in every format."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from PIL import Image
from roi_images import box, image

import imagedata_xr
from imagedata_xr import roi
from imagedata_xr.errors import OptionError, WriteError
from imagedata_xr.testing import Phantom, write_series


def series(tmp_path, **options):
    """Return a DICOM series of square pixels, as a user opens it."""
    given = {"shape": (3, 12, 10), "spacing": (3.0, 1.0, 1.0), **options}
    write_series(Phantom(**given), tmp_path / "in")
    return xr.open_dataarray(tmp_path / "in", engine="dicom")


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_slice_as_stored(tmp_path, suffix):
    """A slice of a DICOM series looks as it is stored, in the window asked for."""
    da = series(tmp_path)[1]
    middle = float(da.mean()), float(da.max() - da.min())
    path = imagedata_xr.to_image(da, tmp_path / f"one.{suffix}", window=middle)
    found = np.asarray(Image.open(path))
    np.testing.assert_array_equal(found, da.med.to_rgb(window=middle).isel(rgb=0))
    assert found.dtype == np.uint8
    assert found.min() < 50
    assert found.max() > 200


def test_sixteen_bits(tmp_path):
    """16 bits keep steps that 8 do not, from 0 at the lower end to 65535 at the upper."""
    da = series(tmp_path)[1]
    values = da.values.astype(float)
    expected = np.rint(65535 * (values - values.min()) / np.ptp(values))
    for suffix in ("png", "tif"):
        path = da.med.to_image(tmp_path / f"deep.{suffix}", bits=16, window="full")
        found = np.asarray(Image.open(path)).astype(float)
        assert np.abs(found - expected).max() <= 1
    with pytest.raises(OptionError, match="16"):
        da.med.to_image(tmp_path / "deep.jpg", bits=16)


@pytest.mark.parametrize("storage", ["axial", "sagittal", "coronal", (8, -6, 5)], ids=str)
@pytest.mark.parametrize("flipped", [False, True], ids=["up", "down"])
def test_the_patients_right_is_on_the_left(tmp_path, storage, flipped):
    """Of any storage order, axial pictures have anterior on top, others the head; right is left."""
    da, _ = image(shape=(9, 9, 9), spacing=(2.0, 2.0, 2.0), orientation=storage)
    if flipped:
        da = da.isel({name: slice(None, None, -1) for name in ("slice", "row", "column")})
    x, y, z = (da.med.points().sel(xyz=name, drop=True) for name in "xyz")
    # What lies at the left and at the upper edge, by the direction through the slices.
    left, top = {0: (-y, z), 1: (-x, z), 2: (-x, -y)}[np.abs(da.med.orientation[:, 0]).argmax()]
    for field, edges in ((left, (np.s_[:, 0], np.s_[:, -1])), (top, (np.s_[0], np.s_[-1]))):
        tile = field.transpose(*da.dims).isel(slice=4)
        path = tile.med.to_image(tmp_path / "a.png", orientation="radiological", overwrite=True)
        found = np.asarray(Image.open(path)).astype(float)
        assert found[edges[0]].mean() > found[edges[1]].mean() + 100


def test_square_pixels(tmp_path):
    """Pixels of 2 by 1 mm become twice as many rows; a missing slice stays a gap, not a jump."""
    da = series(tmp_path, spacing=(3.0, 2.0, 1.0))
    assert Image.open(da[0].med.to_image(tmp_path / "a.png")).size == (10, 24)
    assert Image.open(da[0].med.to_image(tmp_path / "b.png", width=48)).size == (20, 48)
    sharp = np.asarray(Image.open(da[0].med.to_image(tmp_path / "c.png", smooth=False)))
    np.testing.assert_array_equal(sharp[::2], sharp[1::2])
    cut = da.isel(column=4).med.to_image(tmp_path / "d.png", plane="column")
    assert Image.open(cut).size == (12, 4)


def test_ultrasound_without_place(tmp_path):
    """Images without a place in the patient are shown as stored; they have no letters."""
    da = xr.DataArray(np.arange(24.0).reshape(4, 6), dims=("row", "column"))
    found = np.asarray(Image.open(da.med.to_image(tmp_path / "a.png", window="full")))
    assert found[0, 0] == 0
    assert found[-1, -1] == 255
    with pytest.raises(OptionError, match="left and right"):
        da.med.to_image(tmp_path / "b.png", letters=True)


def test_monochrome1(tmp_path):
    """A slice of a MONOCHROME1 series is white where it is meant to be."""
    da = series(tmp_path, photometric="MONOCHROME1")[0]
    found = np.asarray(Image.open(da.med.to_image(tmp_path / "a.png", window="full")))
    assert found[np.unravel_index(da.values.argmin(), da.shape)] == 255
    assert found[np.unravel_index(da.values.argmax(), da.shape)] == 0


def test_montage(tmp_path):
    """Slices lie side by side in order; further dimensions make rows; letters do not move pixels."""
    da = series(tmp_path, axes={"time": [0, 1]})
    sheet = np.asarray(da.med.montage(window="full"))
    assert sheet.shape == (2 * 12, 3 * 10)
    tile = da.isel(time=1, slice=2)
    expected = tile.med.to_rgb(window=imagedata_xr.display.window_of(da, "full")).isel(rgb=0)
    np.testing.assert_array_equal(sheet[12:, 20:], expected)
    path = da.isel(time=0).med.to_image(tmp_path / "m.png", montage=True, columns=2)
    assert Image.open(path).size == (20, 24)
    large = [np.asarray(da.med.montage(width=120, letters=k)) for k in (False, True)]
    assert large[0].shape == large[1].shape
    assert 0 < (large[0] != large[1]).mean() < 0.1


def test_films(tmp_path):
    """GIF, TIFF and MP4 hold every time point, in order."""
    da = series(tmp_path, axes={"time": [0, 1, 2, 3]}, shape=(2, 33, 31))
    da = da * xr.DataArray([0.25, 0.5, 0.75, 1.0], dims="time")
    window = (float(da.mean()), float(da.max() - da.min()))
    options = {"montage": True, "window": window, "columns": 2}
    with Image.open(da.med.to_image(tmp_path / "a.gif", fps=5, **options)) as film:
        assert film.n_frames == 4
        assert film.info["duration"] == 200
        means = []
        for k in range(4):
            film.seek(k)
            means.append(np.asarray(film.convert("L")).mean())
    assert means == sorted(means)
    with Image.open(da.med.to_image(tmp_path / "a.tif", **options)) as pages:
        assert pages.n_frames == 4
        pages.seek(2)
        shown = da.isel(time=2).med.to_rgb(window=window).isel(rgb=0)
        np.testing.assert_array_equal(np.asarray(pages)[:, :31], shown[0])
    ffmpeg = pytest.importorskip("imageio_ffmpeg")
    path = da.med.to_image(tmp_path / "a.mp4", fps=5, **options)
    frames = ffmpeg.read_frames(str(path), pix_fmt="gray", bits_per_pixel=8)
    assert next(frames)["size"] == (62, 34)
    shown = [np.frombuffer(one, np.uint8).reshape(34, 62) for one in frames]
    assert len(shown) == 4
    assert [one[:33].mean() for one in shown] == pytest.approx(means, abs=3)
    assert {p.name for p in tmp_path.iterdir()} == {"in", "a.gif", "a.tif", "a.mp4"}


def test_colours_and_overlays(tmp_path):
    """Overlays and colour maps reach the file."""
    da = series(tmp_path)
    mask = roi.mask(roi.Roi(name="a", contours=(box(da, 1, (2, 9), (3, 8)),)), da)
    path = da.med.overlay(mask, alpha=1)[1].med.to_image(tmp_path / "a.png")
    found = np.asarray(Image.open(path))
    np.testing.assert_array_equal((found == [255, 0, 0]).all(axis=-1), mask[1])
    path = da[1].med.to_image(tmp_path / "b.jpg", cmap="viridis")
    found = np.asarray(Image.open(path)).astype(int)
    assert np.abs(found - da[1].med.to_rgb(cmap="viridis").values).mean() < 12


def test_what_makes_no_picture(tmp_path):
    """Several pictures for one, files that exist and unknown suffixes are errors; nothing is left."""
    da = series(tmp_path)
    with pytest.raises(OptionError, match=r"3, along slice \(3\).*montage=True"):
        da.med.to_image(tmp_path / "a.png")
    with pytest.raises(OptionError, match=r"\.png"):
        da[0].med.to_image(tmp_path / "a.bmp")
    (tmp_path / "b.png").write_bytes(b"mine")
    with pytest.raises(WriteError, match="overwrite"):
        da[0].med.to_image(tmp_path / "b.png")
    assert (tmp_path / "b.png").read_bytes() == b"mine"
    da[0].med.to_image(tmp_path / "b.png", overwrite=True)
    assert {p.name for p in tmp_path.iterdir()} == {"in", "b.png"}
