"""
Time and memory of writing, of compressed files and of Dask, beside other programs and the bare bytes.

Prints a table in Markdown. See README.md in this folder for what is measured, and how.

    python benchmarks/write_and_dask.py --times 60 --slices 40 --size 256 --rounds 5
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import json
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# The process that starts the others imports nothing more: Linux hands its peak memory on to them.
ENVIRONMENT = {**os.environ, "NUMPY_MADVISE_HUGEPAGE": "0", "DASK_LOGGING__DISTRIBUTED": "error"}
OURS = "imagedata_xr"
ELEMENTS = 150
PROGRAMS = []  # processor time of other programs, s


# What there is to write -------------------------------------------------------------------------


def make(kind, folder, times, slices, size):
    """Write a dynamic MR series, a diffusion series or a CT, with headers as long as scanners'."""
    import numpy as np
    from pydicom import dcmread

    from imagedata_xr.testing import Head, Phantom, write_series

    modality = "CT" if kind == "CT" else "MR"
    frames = {"axes": {} if kind == "CT" else {"time": [2.5 * k for k in range(times)]}}
    if kind == "DWI":
        vectors = np.random.default_rng(0).normal(size=(times, 3))
        vectors /= np.linalg.norm(vectors, axis=1)[:, None]
        weighted = [{"b": 1000, "bvec": tuple(vector)} for vector in vectors[1:]]
        frames = {"volumes": [{"b": 0}, *weighted], "vendor": "siemens"}
    phantom = Phantom(
        **frames,
        shape=(times * slices if kind == "CT" else slices, size, size),
        spacing=(3, 1, 1),
        orientation="axial" if kind == "CT" else (8.0, -5.0, 3.0),
        modality=modality,
        dtype="uint16",
        bits_stored=12,
        value=Head(modality=modality),
        noise=8.0,
    )
    write_series(phantom, folder, shuffle=None, names="sorted")
    for path in _paths(folder):
        dataset = dcmread(path)
        block = dataset.private_block(0x0099, "BENCHMARK", create=True)
        for number in range(ELEMENTS):
            block.add_new(number, "LO", f"the text of element {number}")
        dataset.save_as(path)


def _paths(folder):
    return sorted(Path(folder).iterdir())


def _opened(folder, **options):
    import xarray as xr

    import imagedata_xr  # noqa: F401 - da.med

    return xr.open_dataarray(folder, engine="dicom", progress=False, **options)


# DICOM: from what is in memory to a folder ------------------------------------------------------


def hold_bytes(folder):
    """All files, in memory."""
    return [path.read_bytes() for path in _paths(folder)]


def write_bytes(files, target):
    """Open, write and close: nothing that makes files is faster."""
    target.mkdir()
    for number, data in enumerate(files, start=1):
        descriptor = os.open(target / f"{number:04}.dcm", os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        os.write(descriptor, data)
        os.close(descriptor)


def hold_loaded(folder):
    """All values."""
    return _opened(folder).load()


def hold_whole(folder):
    """Whole numbers that are computed."""
    image = _opened(folder).load()
    return image + image.dtype.type(1)


def hold_scaled(folder):
    """Computed numbers that are not whole."""
    return _opened(folder).load().astype("float32") * 1.1


def write_ours(image, target):
    """A new series of the image."""
    image.med.to_dicom(target, progress=False)


def hold_datasets(folder):
    """Datasets of pydicom that have been read and changed."""
    from pydicom import dcmread

    found = [dcmread(path) for path in _paths(folder)]
    for number, dataset in enumerate(found, start=1):
        dataset.decode()
        dataset.SOPInstanceUID = f"2.25.{number}"
    return found


def write_pydicom(datasets, target):
    """Datasets that are ready."""
    from pydicom import dcmwrite

    target.mkdir()
    for number, dataset in enumerate(datasets, start=1):
        dcmwrite(target / f"{number:04}.dcm", dataset, enforce_file_format=True)


def hold_sitk(folder):
    """Images of SimpleITK with the public elements of their headers."""
    import SimpleITK as sitk  # noqa: N813

    return [sitk.ReadImage(str(path)) for path in _paths(folder)]


def write_sitk(images, target):
    """Images that are ready."""
    import SimpleITK as sitk  # noqa: N813

    target.mkdir()
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for number, image in enumerate(images, start=1):
        writer.SetFileName(str(target / f"{number:04}.dcm"))
        writer.Execute(image)


DICOM = {
    "write the bytes": (hold_bytes, write_bytes, None),
    f"{OURS}: copy of what was opened": (_opened, write_ours, None),
    f"{OURS}: copy of what was loaded": (hold_loaded, write_ours, None),
    f"{OURS}: computed, whole numbers": (hold_whole, write_ours, None),
    f"{OURS}: computed, scaled numbers": (hold_scaled, write_ours, None),
    "pydicom: dcmwrite of ready datasets": (hold_datasets, write_pydicom, "pydicom"),
    "SimpleITK: ImageFileWriter": (hold_sitk, write_sitk, "SimpleITK"),
}


# NIfTI ------------------------------------------------------------------------------------------


def hold_plain(folder):
    """A plain NIfTI file, beside the series."""
    plain = Path(folder).with_suffix(".nii")
    if not plain.exists():
        hold_loaded(folder).med.to_nifti(plain, sidecar=False)
    return plain


def hold_packed(folder):
    """A compressed NIfTI file, beside the series."""
    plain = hold_plain(folder)
    packed = plain.with_suffix(".nii.gz")
    if not packed.exists():
        with packed.open("wb") as file:
            subprocess.run(["gzip", "-6", "-c", plain], stdout=file, check=True)
    return packed


def hold_nibabel(folder):
    """An image of nibabel, in memory."""
    import nibabel as nib
    import numpy as np

    image = nib.load(hold_plain(folder))
    return nib.Nifti1Image(np.asarray(image.dataobj), image.affine)


def write_nifti(image, target):
    """Compressed or not, as the name says."""
    image.med.to_nifti(target, sidecar=False)


def write_nibabel(image, target):
    """Compressed or not, as the name says."""
    import nibabel as nib

    nib.save(image, target)


def write_gzip(plain, target):
    """By the program."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with target.open("wb") as file:
        subprocess.run(["gzip", "-6", "-c", plain], stdout=file, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    PROGRAMS.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def read_ours(packed, _):
    """Open and load."""
    import xarray as xr

    assert xr.open_dataarray(packed, engine="nifti").load().size


def read_nibabel(packed, _):
    """Open and load, as stored."""
    import nibabel as nib
    import numpy as np

    assert np.asarray(nib.load(packed).dataobj).size


NII = {
    "write the bytes": (
        lambda folder: hold_plain(folder).read_bytes(),
        lambda data, target: target.write_bytes(data),
        None,
    ),
    f"{OURS}: to_nifti": (hold_loaded, write_nifti, None),
    "nibabel: save": (hold_nibabel, write_nibabel, "nibabel"),
}
PACKED = {
    "gzip -6": (hold_plain, write_gzip, None),
    f"{OURS}: to_nifti": (hold_loaded, write_nifti, None),
    "nibabel: save": (hold_nibabel, write_nibabel, "nibabel"),
}
READ = {
    f"{OURS}: open and load": (hold_packed, read_ours, None),
    "nibabel: load and dataobj": (hold_packed, read_nibabel, "nibabel"),
}


# Dask -------------------------------------------------------------------------------------------


def load_all(folder, _):
    """Load the series into one array, and reduce it there."""
    _opened(folder).load().mean("time")


def _cluster(folder):
    import distributed

    if "cluster" not in KEPT:
        KEPT["cluster"] = distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, memory_limit="1GB"
        )
        KEPT["client"] = distributed.Client(KEPT["cluster"])
    # Workers import what they need.
    _opened(folder, chunks={}).isel(time=slice(2)).mean().compute()
    return folder


def _reduced(chunks):
    def reduce(folder, _):
        _opened(folder, chunks=chunks).mean("time").compute()

    return reduce


KEPT = {}
DASK = {
    "load, and mean over time": (lambda folder: folder, load_all, None),
    f"{OURS}: Dask, mean over time, chunks={{}}": (_cluster, _reduced({}), "distributed"),
    f"{OURS}: Dask, mean over time, chunks='auto'": (
        _cluster,
        _reduced("auto"),
        "distributed",
    ),
}
TASKS = {
    "write DICOM": (DICOM, ("MR", "DWI", "CT"), ""),
    "write .nii": (NII, ("MR",), ".nii"),
    "write .nii.gz": (PACKED, ("MR",), ".nii.gz"),
    "read .nii.gz": (READ, ("MR",), ""),
    "Dask": (DASK, ("MR",), ""),
}


# One measurement, in a process of its own -------------------------------------------------------


def measure(task, name, folder, warm, target):
    """Print seconds, processor seconds, MB and bytes written, after a run on a small series."""
    hold, work, _ = TASKS[task][0][name]
    work(hold(warm), Path(f"{target}-warm{TASKS[task][2]}"))
    held = hold(folder)
    gc.collect()
    place = Path(f"{target}{TASKS[task][2]}")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start, worked = time.perf_counter(), time.process_time()
    work(held, place)
    seconds, cpu = time.perf_counter() - start, time.process_time() - worked
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e3
    written = [place] if place.is_file() else list(place.iterdir()) if place.exists() else []
    for one in ("client", "cluster"):
        if one in KEPT:
            KEPT[one].close()
    found = {"seconds": seconds, "cpu": cpu + sum(PROGRAMS[1:]), "peak": grown}
    print(json.dumps({**found, "size": sum(path.stat().st_size for path in written)}))


def _child(*arguments):
    command = [sys.executable, __file__, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=ENVIRONMENT)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")
    return done.stdout.splitlines()[-1] if done.stdout else ""


# The table --------------------------------------------------------------------------------------


def installed(needs):
    """Whether a peer is there."""
    return needs is None or importlib.util.find_spec(needs) is not None


def rounds_of(task, kind, root, rounds):
    """Return the measurements of each case: in each round, all cases in another order."""
    cases = [name for name, (*_, needs) in TASKS[task][0].items() if installed(needs)]
    found = {name: [] for name in cases}
    for number in range(rounds):
        random.Random(number).shuffle(cases)
        for name in cases:
            target = root / "target"
            told = _child("--case", task, name, root / kind, root / f"{kind}-warm", target / "x")
            found[name].append(json.loads(told))
            shutil.rmtree(target)
            target.mkdir()
    return {name: found[name] for name in TASKS[task][0] if name in found}


def table(task, kind, found):
    """Return the lines of the table of one task."""
    lines = [
        f"| {task}, {kind} | median ms | from-to | x first | from-to | CPU ms | x first | MB | peak MB |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    first = next(iter(found.values()))
    for name, measured in found.items():
        wall, cpu = ([m[key] * 1e3 for m in measured] for key in ("seconds", "cpu"))
        pairs = list(zip(measured, first, strict=True))
        ratios = [one["seconds"] / other["seconds"] for one, other in pairs]
        work = statistics.median(one["cpu"] / max(other["cpu"], 1e-4) for one, other in pairs)
        peak = statistics.median(m["peak"] for m in measured)
        lines.append(
            f"| {name} | {statistics.median(wall):.0f} | {min(wall):.0f}-{max(wall):.0f} "
            f"| {statistics.median(ratios):.2f} | {min(ratios):.2f}-{max(ratios):.2f} "
            f"| {statistics.median(cpu):.0f} | {work:.2f} "
            f"| {measured[0]['size'] / 1e6:.1f} | {peak:.0f} |"
        )
    return [*lines, ""]


def arguments():
    """Return what the user asks for."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--times", type=int, default=20, help="volumes of the MR series")
    parser.add_argument("--slices", type=int, default=20)
    parser.add_argument("--size", type=int, default=192, help="rows and columns")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--task", choices=TASKS, action="append", help="all by default")
    parser.add_argument(
        "--kind", choices=("MR", "DWI", "CT"), action="append", help="all by default"
    )
    parser.add_argument("--folder", help="where to put the files; a temporary folder by default")
    return parser.parse_args()


def main():
    """Measure, and print the tables."""
    asked = arguments()
    tasks = asked.task or list(TASKS)
    with tempfile.TemporaryDirectory(dir=asked.folder) as name:
        root = Path(name)
        (root / "target").mkdir()
        kinds = {task: [k for k in TASKS[task][1] if k in (asked.kind or (k,))] for task in tasks}
        for kind in sorted({kind for several in kinds.values() for kind in several}):
            for folder, times, slices in (
                (kind, asked.times, asked.slices),
                (f"{kind}-warm", 2, 2),
            ):
                _child("--make", kind, root / folder, times, slices, asked.size)
        for task in tasks:
            for kind in kinds[task]:
                found = rounds_of(task, kind, root, asked.rounds)
                print("\n".join(table(task, kind, found)), flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--case"]:
        measure(*sys.argv[2:])
    elif sys.argv[1:2] == ["--make"]:
        make(sys.argv[2], sys.argv[3], *map(int, sys.argv[4:]))
    else:
        main()
