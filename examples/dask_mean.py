"""
The mean over time, computed by two processes.

With ``chunks=``, the array is a plan. The workers get file names and offsets, not pixels: each
reads its own frames.

    python dask_mean.py [FOLDER]
"""

from __future__ import annotations

import sys
import tempfile

import xarray as xr
from distributed import Client, LocalCluster

from imagedata_xr.testing import Phantom, write_series

TIMES = [2.5 * k for k in range(9)]
PHANTOM = Phantom(axes={"time": TIMES}, shape=(5, 33, 31), orientation="oblique")


def main(folder: str) -> None:
    """Average a folder of DICOM over time."""
    series = xr.open_dataarray(folder, engine="dicom", sort="time", chunks={"slice": 1})
    print(f"{series.nbytes / 1e6:.1f} MB in {series.data.npartitions} chunks, none of them read")
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster),
    ):
        mean = series.mean("time").compute()
    centre = mean.sel(slice=0, row=0, column=0, method="nearest")
    print(f"mean in the isocentre: {centre.item():.2f}")


if __name__ == "__main__":
    if sys.argv[1:]:
        main(sys.argv[1])
    else:
        with tempfile.TemporaryDirectory() as made:
            write_series(PHANTOM, made)
            main(made)
