"""Images in memory for tests of regions, and outlines made without the package."""

from __future__ import annotations

import numpy as np
import xarray as xr

from imagedata_xr import roi
from imagedata_xr.geometry import grid_from_affine
from imagedata_xr.index import position_coords
from imagedata_xr.testing.placement import cosines


def image(shape=(5, 24, 20), spacing=(3.0, 1.5, 0.8), orientation="oblique", origin=(-7, 11, 13)):
    """Return an image of zeros; its matrix is made with NumPy alone."""
    column, row = cosines(orientation)
    affine = np.eye(4)
    for j, (vector, step) in enumerate(
        zip((np.cross(column, row), row, column), spacing, strict=True)
    ):
        affine[:3, j] = vector * step
    affine[:3, 3] = origin
    coords = position_coords(grid_from_affine(affine, shape))
    dims = ("slice", "row", "column")
    found = xr.DataArray(np.zeros(shape), coords=coords, dims=dims, name="image")
    return found, affine


def polygon(affine, slice_, rows, columns):
    """Return patient positions of (fractional) indices in one slice."""
    ones = np.ones(len(rows))
    return (np.stack([ones * slice_, rows, columns, ones], axis=1) @ affine.T)[:, :3]


def star(rng, center, radius, points):
    """Return the corners of a random polygon without crossings, as rows and columns."""
    angle = np.sort(rng.uniform(0, 2 * np.pi, points))
    far = radius * rng.uniform(0.3, 1, points)
    return center[0] + far * np.sin(angle), center[1] + far * np.cos(angle)


def box(like, slice_, rows, columns):
    """Return a rectangle around the voxels of one slice, whose indices are given as (from, to)."""
    ends = {}
    for name, (low, high) in {"row": rows, "column": columns}.items():
        step = abs(float(like[name][1] - like[name][0]))
        pair = sorted([float(like[name][low]), float(like[name][high - 1])])
        ends[name] = (pair[0] - step / 2, pair[1] + step / 2)
    return roi.rectangle(like, slice=float(like.slice[slice_]), **ends)
