"""Images with distinct values, and where their voxels lie, from the definition of the coordinates."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

nib = pytest.importorskip("nibabel")

STEPS = (3.5, 2.0, 1.25)
CORNER = np.array([-41.5, 17.25, 96.0])
FLIPS = list(product((1, -1), repeat=3))
# Columns: LPS directions of increasing slice, row and column index.
PLANES = {
    "axial": np.column_stack([(0, 0, 1), (0, 1, 0), (1, 0, 0)]).astype(float),
    "sagittal": np.column_stack([(-1, 0, 0), (0, 0, -1), (0, 1, 0)]).astype(float),
    "coronal": np.column_stack([(0, 1, 0), (0, 0, -1), (1, 0, 0)]).astype(float),
}


def rotation(seed):
    """Return a random proper rotation."""
    q, r = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q if np.linalg.det(q) > 0 else -q


PLANES["oblique"] = rotation(5)[:, ::-1]
DWI_VECTORS = np.array([[0, 0, 0], [1, 0, 0], [0.6, -0.8, 0], [-0.48, 0.6, 0.64], [0, 0, 1]])


def image(directions=PLANES["axial"], lead=None, shape=(4, 5, 6), dtype="int16", steps=STEPS):
    """Return an image with distinct values, made from the definition of the coordinates."""
    lead = lead or {}
    sign = np.where(np.array([0.90, 1.00, 1.13]) @ directions > 0, 1.0, -1.0)
    canonical = directions * sign
    start = np.linalg.solve(canonical, CORNER)
    coords = {
        name: (
            name,
            start[k] + sign[k] * steps[k] * np.arange(shape[k]),
            {"units": "mm", "direction": canonical[:, k].tolist(), "spacing": steps[k]},
        )
        for k, name in enumerate(("slice", "row", "column"))
    }
    sizes = (*(len(v) for v in lead.values()), *shape)
    values = np.arange(np.prod(sizes)).reshape(sizes)
    units = {"time": "s", "te": "ms", "ti": "ms", "b": "s/mm2"}
    for name, axis in lead.items():
        coords[name] = (name, list(axis), {"units": units[name]} if name in units else {})
    return xr.DataArray(
        values.astype(dtype), dims=(*lead, "slice", "row", "column"), coords=coords, name="image"
    )


def world(da):
    """Return LPS positions of all voxels, shape (slice, row, column, 3)."""
    parts = [
        np.multiply.outer(np.atleast_1d(da[n].values), da[n].attrs["direction"])
        for n in ("slice", "row", "column")
    ]
    return parts[0][:, None, None] + parts[1][None, :, None] + parts[2][None, None]


def voxel_indices(affine_ras, points_lps):
    """Return the file's voxel indices of LPS points, after checking that they are whole."""
    ras = points_lps.reshape(-1, 3) * [-1, -1, 1]
    ijk = (ras - affine_ras[:3, 3]) @ np.linalg.inv(affine_ras[:3, :3]).T
    assert np.abs(ijk - np.rint(ijk)).max() < 1e-4
    return tuple(np.rint(ijk).astype(int).T)


def check_by_world(path, da):
    """Assert that nibabel finds each value of a 3-D image at its place in the patient."""
    img = nib.load(path)
    found = np.asarray(img.dataobj)[voxel_indices(img.affine, world(da))]
    np.testing.assert_array_equal(found, da.values.ravel())
    return img


def dwi(directions=PLANES["oblique"]):
    """Return an image with a volume axis, b-values and directions in the patient."""
    da = image(directions, {"volume": range(5)})
    b = np.array([0.0, 1000, 1000, 2000, 2000])
    vectors = {f"bvec_{x}": ("volume", DWI_VECTORS[:, k]) for k, x in enumerate("xyz")}
    return da.assign_coords(b=("volume", b, {"units": "s/mm2"}), **vectors)


def read_gradients(path):
    """Return b-values (n,) and vectors (n, 3) beside an image."""
    return np.loadtxt(path.with_suffix(".bval")), np.loadtxt(path.with_suffix(".bvec")).T


class Recorder(BackendArray):
    """A lazy array that remembers how much is asked for, and fails where it is told to."""

    def __init__(self, values, fail_after=None):
        self.values, self.shape, self.dtype = values, values.shape, values.dtype
        self.asked = []
        self.fail_after = fail_after

    def __getitem__(self, key):
        """Return values."""
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.BASIC, self.read
        )

    def read(self, key):
        """Refuse negative steps, as a reader of files may."""
        assert all(not isinstance(k, slice) or (k.step or 1) > 0 for k in key)
        if self.fail_after is not None and len(self.asked) >= self.fail_after:
            raise RuntimeError("the disk was unplugged")
        self.asked.append(self.values[key].size)
        return self.values[key]


def lazy(da, fail_after=None):
    """Return the image as a lazy array of xarray, and its recorder."""
    recorder = Recorder(da.values, fail_after)
    variable = xr.Variable(da.dims, indexing.LazilyIndexedArray(recorder))
    return xr.DataArray(variable, coords=da.coords), recorder
