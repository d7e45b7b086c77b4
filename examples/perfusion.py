"""
Maps of perfusion and leakage from a dynamic series with contrast agent.

The signal becomes a concentration (mmol/l), the area under the curve and the time to its peak follow,
and the extended Tofts model is fitted with the curve of an artery. ``time`` is in s.

The images are read and fitted slice by slice, so that a series may be larger than memory.

    python perfusion.py
"""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING

import dask
import numpy as np
import xarray as xr

import imagedata_xr  # noqa: F401 - adds .med
from imagedata_xr.testing import Head, Phantom, write_series

if TYPE_CHECKING:
    from collections.abc import Callable

TR = 5.0
PHANTOM = Phantom(
    axes={"time": [1.5 * k for k in range(80)]},
    shape=(5, 48, 48),
    spacing=(12, 4, 4),
    attributes={"RepetitionTime": TR, "FlipAngle": 20.0},
    value=Head(scale=150_000, repetition_time=TR),
)
RELAXIVITY = 4.5e-3  # of the agent, 1/(mmol/l)/ms
HEMATOCRIT = 0.45
START = {"ktrans": 0.1, "ve": 0.2, "vp": 0.02}


def concentration(dce: xr.DataArray, t1: float | xr.DataArray, *, before: float) -> xr.DataArray:
    """Return mmol/l, from a spoiled gradient echo and what T1 (ms) was before the bolus (s)."""
    cosine = np.cos(np.deg2rad(dce.attrs["FlipAngle"]))
    repetition = dce.attrs["RepetitionTime"]
    signal = dce.where((dce > 0).all("time")).astype(float)
    baseline = signal.sel(time=slice(None, before)).mean("time")
    recovered = np.exp(-repetition / t1)
    relative = signal / baseline * (1 - recovered) / (1 - recovered * cosine)
    # noise may exceed what any concentration gives
    decay = ((1 - relative) / (1 - relative * cosine)).clip(1e-3, 1)
    return (-np.log(decay) / repetition - 1 / t1) / RELAXIVITY


def tofts(time: np.ndarray, plasma: np.ndarray) -> Callable[..., np.ndarray]:
    """Return the extended Tofts model (J Magn Reson Imaging 1999) for even times, s."""
    step = (time[1] - time[0]) / 60

    def model(time: np.ndarray, ktrans: float, ve: float, vp: float) -> np.ndarray:
        washout = np.exp(-ktrans / ve * (time - time[0]) / 60)
        ends = (plasma * washout[0] + plasma[0] * washout) / 2
        leaked = (np.convolve(plasma, washout)[: len(time)] - ends) * step
        return vp * plasma + ktrans * leaked

    return model


def main(folder: str) -> None:
    """Make maps of a folder of DICOM, for a T1 of 1500 ms (a map does as well) and 1900 ms of blood."""
    dce = xr.open_dataarray(folder, engine="dicom", chunks={"time": -1, "slice": 1})
    agent = concentration(dce, 1500.0, before=18)

    uptake = agent.sel(time=slice(18, None))
    area, peak = dask.compute(uptake.integrate("time"), uptake.idxmax("time"))

    artery = {"slice": 24, "row": 82, "column": 2}
    blood = concentration(dce.sel(artery, method="nearest"), 1900.0, before=18)
    plasma = blood.values / (1 - HEMATOCRIT)
    region = {"slice": [24], "row": slice(-38, -18), "column": slice(42, 48)}
    fit = agent.sel(region).curvefit("time", tofts(dce.time.values, plasma), p0=START)
    found = fit.curvefit_coefficients.compute()

    spot = {"slice": 24, "row": -28, "column": 44}
    print(f"area under the curve: {area.sel(spot, method='nearest').item():.1f} mmol/l s")
    print(f"time to peak: {peak.sel(spot, method='nearest').item() - 20:.0f} s after arrival")
    for name in ("ktrans", "ve", "vp"):
        print(f"{name}: {found.sel(param=name).median().item():.3f}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        write_series(PHANTOM, made)
        main(made)
