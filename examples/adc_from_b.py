"""
The apparent diffusion coefficient of every voxel, from a straight line through log(signal) over b.

The coordinate ``b`` is in s/mm2, so the slope is in mm2/s: the coordinates are the physics. The
images are read and fitted slice by slice, so that a series may be larger than memory.

    python adc_from_b.py [FOLDER]
"""

from __future__ import annotations

import sys
import tempfile

import numpy as np
import xarray as xr

import imagedata_xr  # noqa: F401 - adds .med
from imagedata_xr.testing import Head, Phantom, write_series

PHANTOM = Phantom(
    axes={"b": [0, 200, 400, 800]},
    shape=(9, 64, 64),
    spacing=(15, 4, 4),
    value=Head(scale=30_000, repetition_time=500),
)


def adc(dwi: xr.DataArray) -> xr.DataArray:
    """Return the ADC in mm2/s; nan where there is no signal."""
    # skipna=False: with nan allowed, Dask arrays are fitted voxel by voxel, 50 times slower
    fit = np.log(dwi.clip(1).astype(float)).polyfit("b", 1, skipna=False)
    slope = fit.polyfit_coefficients.sel(degree=1, drop=True)
    # polyfit computes its coordinates anew: restore() makes them align with images again
    return -slope.med.restore().where((dwi > 0).all("b"))


def main(folder: str) -> None:
    """Fit each voxel of a folder of DICOM."""
    dwi = xr.open_dataarray(folder, engine="dicom", chunks={"slice": 1})
    if "volume" in dwi.dims:  # several directions for each b
        dwi.b.load()  # with chunks=, coordinates beside the dimensions are Dask arrays too
        dwi = dwi.groupby("b").mean()
    dwi = dwi.chunk(b=-1)
    result = adc(dwi).compute()

    first = dwi.isel(b=0).compute()
    tissue = result.where(first > first.max() / 20)
    print(f"{tissue.count().item()} voxels, b = {dwi.b.values.tolist()} s/mm2")
    print(f"median: {tissue.median().item() * 1e3:.3f} x 1e-3 mm2/s")


if __name__ == "__main__":
    if sys.argv[1:]:
        main(sys.argv[1])
    else:
        with tempfile.TemporaryDirectory() as made:
            write_series(PHANTOM, made)
            main(made)
