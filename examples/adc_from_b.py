"""
The apparent diffusion coefficient, from a straight line through log(signal) over b.

The coordinate ``b`` is in s/mm2, so the slope is in mm2/s: the coordinates are the physics.

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


def main(folder: str) -> None:
    """Fit each voxel of a folder of DICOM."""
    dwi = xr.open_dataarray(folder, engine="dicom", sort="b").astype(float)
    fit = np.log(dwi.where(dwi > 0)).polyfit("b", 1)
    # polyfit computes its coordinates anew: restore() makes them align with images again
    adc = -fit.polyfit_coefficients.sel(degree=1).med.restore()

    brain = adc.where(dwi.sel(b=0) > 100)
    print(f"median: {brain.median().item() * 1e3:.3f} x 1e-3 mm2/s")
    white = adc.sel(slice=30, row=40, column=29, method="nearest")
    print(f"white matter: {white.item() * 1e3:.3f} x 1e-3 mm2/s")


if __name__ == "__main__":
    if sys.argv[1:]:
        main(sys.argv[1])
    else:
        with tempfile.TemporaryDirectory() as made:
            write_series(PHANTOM, made)
            main(made)
