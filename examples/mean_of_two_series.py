"""
The mean of two dynamic series, as NIfTI.

Two scans of one patient whose times differ by some ms: the arrays align within a tolerance, on
the same voxels or not at all, and the mean keeps the geometry and the patient.

    python mean_of_two_series.py [FOLDER FOLDER [RESULT.nii.gz]]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import xarray as xr

import imagedata_xr  # noqa: F401 - adds .med
from imagedata_xr.testing import Linear, Phantom, write_series

FIRST = Phantom(
    axes={"time": [0, 2.5, 5]}, shape=(5, 33, 31), orientation="oblique", value=Linear(offset=1000)
)
SECOND = FIRST.replace(series=2, axes={"time": [0, 2.51, 4.99]}, value=Linear(offset=1800))


def main(first: str | Path, second: str | Path, result: str | Path) -> None:
    """Average two folders of DICOM."""
    a = xr.open_dataarray(first, engine="dicom", sort="time")
    b = xr.open_dataarray(second, engine="dicom", sort="time")
    mean = (a.astype("float32") + b) / 2
    mean.med.to_nifti(result)

    print(
        f"{mean.attrs['PatientName']}: {dict(mean.sizes)}, voxels of {np.round(mean.med.spacing, 3)} mm"
    )
    centre = mean.sel(slice=0, row=0, column=0, method="nearest")
    print(f"first mean in the isocentre: {centre.isel(time=0).item():.2f}")
    print(result)


if __name__ == "__main__":
    folder = Path(tempfile.mkdtemp(prefix="mean_"))
    if not sys.argv[1:]:
        write_series(FIRST, folder / "first")
        write_series(SECOND, folder / "second")
    given = sys.argv[1:] or [folder / "first", folder / "second"]
    main(*(given if len(given) > 2 else [*given, folder / "mean.nii.gz"]))
