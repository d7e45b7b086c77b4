"""Images of nibabel in memory: the same as the files, there and back."""

from __future__ import annotations

import bz2
import gzip
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr
from nifti_images import FLIPS, PLANES, dwi, image, voxel_indices, world

import imagedata_xr as ix
from imagedata_xr.errors import (
    DataWarning,
    FormatError,
    GeometryError,
    MissingDependencyError,
    OptionError,
)
from imagedata_xr.formats.nifti import to_nibabel, to_nifti

nib = pytest.importorskip("nibabel")


def equal(back, da):
    """Assert that all voxels, places and labels are the same, in whatever order they are stored."""
    turned = back.sel({n: da[n].values for n in ("slice", "row", "column")}).transpose(*da.dims)
    np.testing.assert_array_equal(turned.values, da.values)
    np.testing.assert_allclose(turned.med.affine, da.med.affine, atol=1e-6)
    for name in set(da.coords) - {"slice", "row", "column"}:
        np.testing.assert_array_equal(turned[name].values, da[name].values)
        assert turned[name].attrs.get("units") == da[name].attrs.get("units")


@pytest.mark.parametrize("flip", FLIPS, ids=lambda f: "".join("+-"[s < 0] for s in f))
@pytest.mark.parametrize("plane", PLANES)
def test_there_and_back(plane, flip):
    """nibabel's affine finds each voxel at its place; names and values of axes come back."""
    da = image(PLANES[plane], {"te": [4.9, 9.8]})
    da = da[:, :: flip[0], :: flip[1], :: flip[2]]
    img = da.med.to_nibabel()
    found = np.asarray(img.dataobj)[voxel_indices(img.affine, world(da))]
    np.testing.assert_array_equal(found.T, da.values.reshape(2, -1))
    np.testing.assert_allclose(img.affine, img.header.get_best_affine(), atol=1e-4)
    equal(ix.from_nibabel(img), da)


def test_same_as_the_file(tmp_path):
    """What nibabel saves is what the writer writes, bit for bit; its header is the same."""
    da = dwi()
    to_nifti(da, tmp_path / "a.nii")
    nib.save(to_nibabel(da), tmp_path / "b.nii")
    assert (tmp_path / "a.nii").read_bytes() == (tmp_path / "b.nii").read_bytes()


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".img", ".nii.bz2"])
def test_loaded_files_stay_lazy_and_exact(tmp_path, suffix):
    """One volume of a loaded file is read alone, with whole numbers where scaling gives them."""
    stored = np.arange(3 * 4 * 5 * 2, dtype="i2").reshape(3, 4, 5, 2)
    kind = nib.Nifti1Pair if suffix == ".img" else nib.Nifti1Image
    img = kind(stored, np.diag([2.0, 3, 4, 1]))
    img.header.set_slope_inter(2, -7)
    img.header.set_xyzt_units("mm", "msec")
    img.header["pixdim"][4] = 2500
    nib.save(img, tmp_path / f"a{suffix}")
    loaded = nib.load(tmp_path / f"a{suffix}")
    da = ix.from_nibabel(loaded)
    if suffix != ".nii.bz2":
        assert not da.variable._in_memory
        assert da.dtype == np.int32
    np.testing.assert_array_equal(da.isel(time=1).values, np.asarray(loaded.dataobj)[..., 1].T)
    assert da.time.values.tolist() == [0, 2.5]
    if suffix != ".nii.bz2":
        path = tmp_path / f"a{suffix}"
        xr.testing.assert_allclose(da, xr.open_dataarray(path, engine="nifti"))


def test_the_matrix_is_not_rounded():
    """An affine in float64 stays so, though a NIfTI-1 header has float32."""
    affine = np.eye(4)
    affine[:3, :3] = PLANES["oblique"] * [1.1, 2.3, 3.7]
    affine[:3, 3] = [-123.456789012, 98.7654321, 1e-7]
    da = ix.from_nibabel(nib.Nifti1Image(np.zeros((3, 4, 5), "f4"), affine))
    lps = np.diag([-1.0, -1, 1, 1]) @ affine
    np.testing.assert_allclose(da.med.affine, lps[:, [2, 1, 0, 3]], atol=1e-12)


def test_arrays_in_memory_are_not_copied():
    """The labelled image is a view of the voxels."""
    values = np.zeros((3, 4, 5, 2), "f4")
    da = ix.from_nibabel(nib.Nifti1Image(values, np.eye(4)), dims={"te": [1.0, 2.0]})
    assert np.shares_memory(da.values, values)
    assert da.dims == ("te", "slice", "row", "column")


def test_other_formats_of_nibabel(tmp_path):
    """FreeSurfer's MGH has an affine in the patient; ANALYZE has none, and is refused."""
    affine = np.diag([-1.5, 1, 2, 1])
    values = np.arange(60, dtype="f4").reshape(3, 4, 5)
    nib.save(nib.MGHImage(values, affine), tmp_path / "a.mgz")
    for img in (nib.MGHImage(values, affine), nib.load(tmp_path / "a.mgz")):
        da = ix.from_nibabel(img)
        np.testing.assert_array_equal(da.values, values.T)
        np.testing.assert_allclose(da.med.affine_ras[:, [2, 1, 0, 3]], img.affine, atol=1e-6)
    with pytest.raises(OptionError, match="from_array"):
        ix.from_nibabel(nib.AnalyzeImage(values, affine))
    with pytest.raises(OptionError, match="not ndarray"):
        ix.from_nibabel(values)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nii.bz2"])
def test_sizes_that_no_file_has(tmp_path, suffix):
    """A header that claims more voxels than there are is an error before memory is taken."""
    path = tmp_path / f"a{suffix}"
    nib.save(nib.Nifti2Image(np.zeros((3, 4, 5), "i2"), np.eye(4)), path)
    unpack, pack = {
        ".nii": (bytes, bytes),
        ".nii.gz": (gzip.decompress, gzip.compress),
        ".nii.bz2": (bz2.decompress, bz2.compress),
    }[suffix]
    data = bytearray(unpack(path.read_bytes()))
    data[24:32] = (10**14).to_bytes(8, "little")
    path.write_bytes(pack(bytes(data)))
    with pytest.raises(FormatError, match=r"a\.nii"):
        ix.from_nibabel(nib.load(path))


def test_codes_of_zero_are_no_place():
    """An image whose matrix nobody vouches for has no place, as a file has none."""
    img = nib.Nifti1Image(np.zeros((3, 4, 5), "f4"), np.eye(4))
    img.set_sform(None, code=0)
    img.set_qform(None, code=0)
    assert "direction" not in ix.from_nibabel(img)["slice"].attrs


def test_colours_and_uneven_slices():
    """Colours are nibabel's RGB; uneven slices are refused, or lose their place on request."""
    da = image(dtype="uint8").expand_dims(rgb=["R", "G", "B"], axis=-1)
    da = da + xr.DataArray(np.arange(3, dtype="u1"), dims="rgb")
    equal(ix.from_nibabel(to_nibabel(da)), da)
    uneven = image(shape=(6, 5, 6)).isel(slice=[0, 1, 3])
    with pytest.raises(GeometryError, match=r"resample.*force=True"):
        to_nibabel(uneven)
    with pytest.warns(DataWarning, match="no place"):
        img = to_nibabel(uneven, force=True)
    np.testing.assert_array_equal(ix.from_nibabel(img).values, uneven.values)
    assert "direction" not in ix.from_nibabel(img)["slice"].attrs


def test_changed_images_lose_labels_not_voxels():
    """nibabel hands the labels on to no image that it makes: none comes back wrong."""
    da = image(lead={"time": [0, 1.0, 7.0]})
    img = to_nibabel(da).slicer[..., 1:]
    back = ix.from_nibabel(img)
    assert back.sizes["time"] == 2
    assert (back.time.values != [1, 7]).any()


def test_without_nibabel(monkeypatch):
    """The error holds the line that installs it."""
    monkeypatch.setitem(sys.modules, "nibabel", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "imagedata_xr\[nifti\]"'):
        to_nibabel(image())
    with pytest.raises(MissingDependencyError):
        ix.from_nibabel(None)


def test_importing_costs_nothing():
    """nibabel is imported when it is used."""
    code = "import sys, imagedata_xr; imagedata_xr.from_nibabel; print('nibabel' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
