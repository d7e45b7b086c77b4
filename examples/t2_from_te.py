"""
T2 from several echoes, by a fit of an exponential to a region.

The region is given in mm, the echo times are in ms, and so is T2.

    python t2_from_te.py [FOLDER]
"""

from __future__ import annotations

import sys
import tempfile

import numpy as np
import xarray as xr

import imagedata_xr  # noqa: F401 - adds .med
from imagedata_xr.testing import Head, Phantom, write_series

PHANTOM = Phantom(
    axes={"te": [10, 25, 45, 70, 100]},
    shape=(9, 64, 64),
    spacing=(15, 4, 4),
    value=Head(scale=30_000, repetition_time=500),
)


def decay(te: np.ndarray, s0: float, t2: float) -> np.ndarray:
    """Return the signal at an echo time."""
    return s0 * np.exp(-te / t2)


def main(folder: str) -> None:
    """Fit a region in a folder of DICOM."""
    echoes = xr.open_dataarray(folder, engine="dicom", sort="te").astype(float)
    region = echoes.sel(slice=30, method="nearest").sel(row=slice(30, 50), column=slice(20, 40))
    fit = region.curvefit("te", decay, p0={"s0": region.max().item(), "t2": 50.0})
    t2 = fit.curvefit_coefficients.sel(param="t2")

    print(f"{t2.size} voxels, echo times {echoes.te.values.tolist()} ms")
    print(f"median T2: {t2.median().item():.2f} ms")


if __name__ == "__main__":
    if sys.argv[1:]:
        main(sys.argv[1])
    else:
        with tempfile.TemporaryDirectory() as made:
            write_series(PHANTOM, made)
            main(made)
