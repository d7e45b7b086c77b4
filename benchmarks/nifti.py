"""
Time of writing and of reading NIfTI files, beside gzip, nibabel and SimpleITK.

Prints a table in Markdown. Cases run one after the other in each round, in an order that changes.

    python benchmarks/nifti.py                      # a made head, with noise, and noise alone
    python benchmarks/nifti.py image.nii.gz ...     # your own files
"""

from __future__ import annotations

import argparse
import random
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK
import xarray as xr

import imagedata_xr

VOLUMES, SIZE = 24, 128


def made(kind):
    """Return a series of volumes: a head with air around it, or noise, 12 bits."""
    x = np.linspace(-1, 1, SIZE)
    head = 1.0 * (x[:, None, None] ** 2 / 0.6 + x[:, None] ** 2 / 0.8 + x**2 / 0.5 < 1)
    head *= 700 + 200 * np.sin(9 * x) * np.cos(7 * x[:, None]) + 100 * np.sin(5 * x[:, None, None])
    noise = np.random.default_rng(0)
    scale = 12 if kind == "head" else 600
    values = (head if kind == "head" else 0) + noise.normal(0, scale, (VOLUMES, *head.shape))
    return imagedata_xr.from_array(
        np.abs(values).round().astype("int16"),
        dims=("time", "slice", "row", "column"),
        affine=np.eye(4),
        coords={"time": np.arange(VOLUMES) * 2.0},
    )


def cases(da, folder):
    """Return tasks, each with its programs: name to function and the file that it makes."""
    ours, theirs, copy = (folder / name for name in ("ours.nii.gz", "theirs.nii.gz", "copy"))
    plain, again = folder / "plain.nii", folder / "again.nii"
    da.med.to_nifti(plain)
    content = plain.read_bytes()
    image = nib.Nifti1Image(np.asarray(nib.load(plain).dataobj), nib.load(plain).affine)

    def gzip():
        with copy.open("wb") as file:
            subprocess.run(["gzip", "-6", "-c", plain], stdout=file, check=True)

    write = {
        "imagedata_xr: to_nifti": (lambda: da.med.to_nifti(ours, overwrite=True), ours),
        "gzip -6 of the plain file": (gzip, copy),
        "nibabel: save": (lambda: nib.save(image, theirs), theirs),
    }
    bytes_alone = {
        "imagedata_xr: to_nifti": (lambda: da.med.to_nifti(again, overwrite=True), again),
        "write the bytes": (lambda: copy.write_bytes(content), copy),
    }

    def opened():
        return xr.open_dataarray(theirs, engine="nifti")

    read = {
        "imagedata_xr: open and load": (lambda: opened().values, None),
        "nibabel: load and dataobj": (lambda: np.asarray(nib.load(theirs).dataobj), None),
        "SimpleITK: ReadImage": (lambda: SimpleITK.ReadImage(str(theirs)), None),
    }
    return {"write .nii.gz": write, "write .nii": bytes_alone, "read .nii.gz": read}


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    images = {name: xr.open_dataarray(name, engine="nifti").load() for name in given.files}
    for name, da in (images or {kind: made(kind) for kind in ("head", "noise")}).items():
        print(f"\n### {Path(name).name}: {da.nbytes / 1e6:.0f} MB, {da.dtype}\n")
        with tempfile.TemporaryDirectory() as folder:
            for task, programs in cases(da, Path(folder)).items():
                times = {program: [] for program in programs}
                for _ in range(given.rounds):
                    for program in random.sample(list(programs), len(programs)):
                        start = time.perf_counter()
                        programs[program][0]()
                        times[program].append(time.perf_counter() - start)
                first = statistics.median(next(iter(times.values())))
                print(f"| {task} | median ms | from-to | / ours | MB |\n|---|--:|--:|--:|--:|")
                for program, found in times.items():
                    path = programs[program][1]
                    size = f"{path.stat().st_size / 1e6:.2f}" if path else ""
                    low, middle, high = (1e3 * f(found) for f in (min, statistics.median, max))
                    ratio = middle / 1e3 / first
                    print(
                        f"| {program} | {middle:.0f} | {low:.0f}-{high:.0f} | {ratio:.2f} | {size} |"
                    )
                print()


if __name__ == "__main__":
    main()
