"""
T1 of every voxel, from gradient echoes of several flip angles, often each a series of its own.

The steady state signal S of flip angle a is a straight line in S / sin(a) over S / tan(a), whose slope
is exp(-TR / T1) (Gupta, J Magn Reson 1977). The images are read and fitted slice by slice.

    python t1_from_fa.py [FOLDER]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import xarray as xr

import imagedata_xr  # noqa: F401 - adds .med
from imagedata_xr.testing import Head, Phantom, write_series

TR = 15.0
ANGLES = (3, 6, 10, 20, 30)


def t1_map(images: xr.DataArray, *, above: float) -> xr.DataArray:
    """Return T1 in ms; nan where no image is brighter than a threshold, or nothing fits."""
    signal = images.where(images.max("fa") > above).astype(float)
    angle = np.deg2rad(images.fa)
    x, y = signal / np.tan(angle), signal / np.sin(angle)
    x, y = x - x.mean("fa"), y - y.mean("fa")
    slope = (x * y).sum("fa", skipna=False) / (x * x).sum("fa", skipna=False)
    return -images.attrs["RepetitionTime"] / np.log(slope.where((slope > 0) & (slope < 1)))


def main(folder: str) -> None:
    """Fit each voxel of all series in a folder of DICOM."""
    # a list of files is sorted as one series, whatever series they are of
    files = [str(path) for path in sorted(Path(folder).rglob("*")) if path.is_file()]
    images = xr.open_dataarray(files, engine="dicom", sort="fa", chunks={"fa": -1, "slice": 1})
    t1 = t1_map(images, above=float(images.max()) / 20).compute()

    print(f"{t1.count().item()} voxels, flip angles {images.fa.values.tolist()} degrees")
    print(f"median T1: {t1.median().item():.0f} ms")


if __name__ == "__main__":
    if sys.argv[1:]:
        main(sys.argv[1])
    else:
        with tempfile.TemporaryDirectory() as made:
            for number, angle in enumerate(ANGLES, 1):
                phantom = Phantom(
                    series=number,
                    shape=(9, 64, 64),
                    spacing=(15, 4, 4),
                    axes={"fa": [angle]},
                    attributes={"RepetitionTime": TR},
                    value=Head(scale=300_000, repetition_time=TR),
                )
                write_series(phantom, Path(made, str(number)))
            main(made)
