"""
T2 of every voxel, by a fit of an exponential to several echoes.

The coordinate ``te`` is in ms, and so is T2. The images are read and fitted slice by slice.

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


def t2_map(echoes: xr.DataArray, *, above: float) -> xr.DataArray:
    """Return T2 in ms; nan where the first echo is not brighter than a threshold, or nothing fits."""
    signal = echoes.astype(float)
    first = signal.isel(te=0, drop=True)
    # a straight line through the logarithm is where the fit of the exponential starts
    line = np.log(signal.clip(1)).polyfit("te", 1, skipna=False).polyfit_coefficients
    rate = -line.sel(degree=1, drop=True).med.restore()
    start = {"s0": first, "t2": 1 / rate.clip(1 / 2000, 1 / 5)}
    fit = signal.where(first > above).curvefit("te", decay, p0=start, errors="ignore")
    return fit.curvefit_coefficients.sel(param="t2", drop=True).med.restore()


def main(folder: str) -> None:
    """Fit each voxel of a folder of DICOM."""
    echoes = xr.open_dataarray(folder, engine="dicom", chunks={"te": -1, "slice": 1})
    t2 = t2_map(echoes, above=float(echoes.max()) / 10).compute()

    print(f"{t2.count().item()} voxels, echo times {echoes.te.values.tolist()} ms")
    print(f"median T2: {t2.median().item():.2f} ms")


if __name__ == "__main__":
    if sys.argv[1:]:
        main(sys.argv[1])
    else:
        with tempfile.TemporaryDirectory() as made:
            write_series(PHANTOM, made)
            main(made)
