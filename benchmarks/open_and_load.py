"""
Time and memory of opening and of loading a series, beside other readers of DICOM.

Prints a table in Markdown. See README.md in this folder for what is measured, and how.

    python benchmarks/open_and_load.py --times 60 --slices 40 --mr-size 256 --ct 600 --ct-size 512
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

# The process that starts the others imports nothing more: Linux hands its peak memory on to them.

# On a virtual machine, huge pages cost from 0.1 to 2 s a GB, as its host has them at hand or not.
ENVIRONMENT = {**os.environ, "NUMPY_MADVISE_HUGEPAGE": "0"}
PROGRAMS = []  # what other programs used


@dataclass(frozen=True)
class Workload:
    """A series to be made: name, number of volumes, slices, and rows and columns."""

    name: str
    volumes: int
    slices: int
    size: int

    @property
    def files(self):
        """Number of files."""
        return self.volumes * self.slices

    @property
    def megabytes(self):
        """Size of the stored pixels."""
        return self.files * self.size**2 * 2 / 1e6


# Cases: from a folder to an array, or to None ---------------------------------------------------


def _paths(folder):
    return sorted(Path(folder).iterdir())


def read_starts(folder):
    """Read the first 16 KB of each file: no scan is faster."""
    for path in _paths(folder):
        descriptor = os.open(path, os.O_RDONLY)
        os.read(descriptor, 16384)
        os.close(descriptor)


def read_all(folder):
    """Read all bytes of each file, and keep them: no load is faster."""
    kept = [path.read_bytes() for path in _paths(folder)]
    assert kept


def ours_open(folder):
    """Sorted into dimensions, with coordinates and attributes; no pixels."""
    import xarray as xr

    xr.open_dataarray(folder, engine="dicom", progress=False)


def ours_load(folder):
    """The same, and all pixels in one array of the true values."""
    import xarray as xr

    return xr.open_dataarray(folder, engine="dicom", progress=False).load().values


def pydicom_headers(folder):
    """All headers, in the order of the files."""
    from pydicom import dcmread

    kept = [dcmread(path, stop_before_pixels=True) for path in _paths(folder)]
    assert kept


def pydicom_pixels(folder):
    """All headers and pixels, in the order of the files."""
    import numpy as np
    from pydicom import dcmread

    def values(path):
        dataset = dcmread(path)
        pixels = dataset.pixel_array.astype(np.int32)
        return pixels + int(dataset.get("RescaleIntercept", 0))

    return np.stack([values(path) for path in _paths(folder)])


def sitk_names(folder):
    """GDCM's list of the files of the series, sorted by position."""
    import SimpleITK as sitk  # noqa: N813

    assert sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))


def sitk_load(folder):
    """One volume of all files, in the order of the files."""
    import SimpleITK as sitk  # noqa: N813

    reader = sitk.ImageSeriesReader()
    reader.SetFileNames([str(path) for path in _paths(folder)])
    return sitk.GetArrayFromImage(reader.Execute())


def _dcm2niix():
    beside = Path(sys.executable).with_name("dcm2niix")
    return str(beside) if beside.exists() else shutil.which("dcm2niix")


def dcm2niix_scan(folder):
    """A list of the series (``-n -1``), by another process."""
    _program(_dcm2niix(), "-n", "-1", folder)


def dcm2niix_convert(folder):
    """A NIfTI file that is not compressed, written by another process."""
    with tempfile.TemporaryDirectory(dir=Path(folder).parent) as target:
        _program(_dcm2niix(), "-z", "n", "-b", "y", "-o", target, folder)
        assert list(Path(target).glob("*.nii"))


OURS = {"open": "imagedata_xr: open", "load": "imagedata_xr: open and load"}
CASES = {
    "open": {
        "read the first 16 KB": (read_starts, None),
        OURS["open"]: (ours_open, None),
        "pydicom: dcmread without pixels": (pydicom_headers, None),
        "SimpleITK: names of the series": (sitk_names, "SimpleITK"),
        "dcm2niix: list of the series": (dcm2niix_scan, "dcm2niix"),
    },
    "load": {
        "read all bytes": (read_all, None),
        OURS["load"]: (ours_load, None),
        "pydicom: dcmread and pixel_array": (pydicom_pixels, None),
        "SimpleITK: ImageSeriesReader": (sitk_load, "SimpleITK"),
        "dcm2niix: convert to .nii": (dcm2niix_convert, "dcm2niix"),
    },
}


# One measurement, in a process of its own -------------------------------------------------------


def _peak(usage):
    """Return the largest memory of a process, MB."""
    return usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def _program(*command):
    """Run another program, and keep what it used."""
    with tempfile.TemporaryFile() as output:
        started = subprocess.Popen(command, stdout=output, stderr=output)
        _, status, usage = os.wait4(started.pid, 0)
        started.returncode = os.waitstatus_to_exitcode(status)
    assert started.returncode == 0, command
    PROGRAMS.append(usage)


def measure(task, name, folder, warm):
    """Print seconds, MB and the sum of the values of one case, after a run on a small series."""
    function, _ = CASES[task][name]
    function(warm)
    before_programs = len(PROGRAMS)
    before = _peak(resource.getrusage(resource.RUSAGE_SELF))
    start, worked = time.perf_counter(), time.process_time()
    result = function(folder)
    seconds, cpu = time.perf_counter() - start, time.process_time() - worked
    cpu += sum(usage.ru_utime + usage.ru_stime for usage in PROGRAMS[before_programs:])
    grown = _peak(resource.getrusage(resource.RUSAGE_SELF)) - before
    total = None if result is None else float(result.sum(dtype="float64"))
    peak = max([grown, *map(_peak, PROGRAMS)])
    print(json.dumps({"seconds": seconds, "cpu": cpu, "peak": peak, "sum": total}))


def write(workload, folder):
    """Write the files of a workload, with names in the order of acquisition."""
    from imagedata_xr.testing import Head, Phantom, write_series

    ct = workload.name == "CT"
    width = 240 / workload.size
    axes = {} if ct else {"time": [2.5 * k for k in range(workload.volumes)]}
    phantom = Phantom(
        axes=axes,
        shape=(workload.slices, workload.size, workload.size),
        spacing=(180 / max(workload.slices, 2), width, width),
        orientation="axial" if ct else (8.0, -5.0, 3.0),
        modality=workload.name,
        dtype="uint16",
        bits_stored=12,
        value=Head(modality=workload.name),
        noise=8.0,
    )
    write_series(phantom, folder, shuffle=None, names="sorted")


def _child(*arguments):
    command = [sys.executable, __file__, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=ENVIRONMENT)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")
    return done.stdout


# The table --------------------------------------------------------------------------------------


def installed(needs):
    """Whether a peer is there."""
    if needs == "dcm2niix":
        return _dcm2niix() is not None
    return needs is None or importlib.util.find_spec(needs) is not None


def measure_all(workload, root, rounds):
    """Return the measurements of each case: in each round, all cases in another order."""
    folder, warm = root / workload.name, root / f"{workload.name}-warm"
    small = Workload(workload.name, min(workload.volumes, 2), 2, workload.size)
    for one, target in ((workload, folder), (small, warm)):
        _child("--write", one.name, one.volumes, one.slices, one.size, target)
    # also fills the page cache; not here, where it would raise the peak of all that follow
    _child("--case", "load", "read all bytes", folder, warm)
    cases = [
        (t, n) for t, found in CASES.items() for n, (_, needs) in found.items() if installed(needs)
    ]
    found = {case: [] for case in cases}
    for number in range(rounds):
        random.Random(number).shuffle(cases)
        for task, name in cases:
            found[task, name].append(json.loads(_child("--case", task, name, folder, warm)))
    shutil.rmtree(folder)
    return found


def check(workload, found):
    """Stop unless all that load have loaded the same values, and memory has been measured."""
    least = found["load", "read all bytes"][0]["peak"]
    if least < 0.9 * workload.megabytes - 20:
        sys.exit(f"reading {workload.megabytes:.0f} MB took {least:.0f}: peaks are not measured")
    sums = {case: m[0]["sum"] for case, m in found.items() if m[0]["sum"] is not None}
    if len(set(sums.values())) > 1:
        sys.exit(f"the cases loaded different values: {sums}")


def table(workload, found):
    """Return the lines of the table of one workload."""
    size, megabytes = workload.size, workload.files * workload.size**2 * 2 / 1e6
    lines = [
        f"\n### {workload.name}: {workload.files} files of {size} x {size}, {megabytes:.0f} MB\n"
    ]
    for task, cases in CASES.items():
        lines += [
            f"| {task} | median ms | from-to | us a file | CPU ms | CPU / ours | peak MB |",
            "|---|--:|--:|--:|--:|--:|--:|",
        ]
        times = {
            name: [m["seconds"] * 1e3 for m in ms] for (t, name), ms in found.items() if t == task
        }
        cpu = {
            name: statistics.median(m["cpu"] for m in ms) * 1e3
            for (t, name), ms in found.items()
            if t == task
        }
        for name in [n for n in cases if n in times]:
            middle = statistics.median(times[name])
            peak = statistics.median(m["peak"] for m in found[task, name])
            lines.append(
                f"| {name} | {middle:.0f} | {min(times[name]):.0f}-{max(times[name]):.0f} "
                f"| {middle * 1e3 / workload.files:.0f} | {cpu[name]:.0f} "
                f"| {cpu[name] / cpu[OURS[task]]:.2f} | {peak:.0f} |"
            )
        lines.append("")
    return lines


def facts(rounds):
    """Return the lines that say on what and with what it was measured."""
    names = ["imagedata_xr", "xarray", "numpy", "pydicom", "SimpleITK", "dcm2niix"]
    known = [n for n in names if installed(n)]
    system = f"{platform.system()}, Python {platform.python_version()}"
    return [
        f"- {os.cpu_count()} cores ({platform.machine()}), {system}",
        f"- {', '.join(f'{name} {_version(name)}' for name in known)}",
        f"- {rounds} rounds, warm page cache, each measurement in a process of its own",
        f"- `python benchmarks/open_and_load.py {' '.join(sys.argv[1:])}`",
    ]


def _version(name):
    try:
        return version(name)
    except PackageNotFoundError:
        return "(version not known)"


def arguments():
    """Return what the user asks for."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--times", type=int, default=20, help="time points of the MR series")
    parser.add_argument("--slices", type=int, default=20, help="slices of the MR series")
    parser.add_argument("--mr-size", type=int, default=192, help="rows and columns of MR")
    parser.add_argument("--ct", type=int, default=120, help="slices of the CT series")
    parser.add_argument("--ct-size", type=int, default=512, help="rows and columns of CT")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", help="where to put the files; a temporary folder by default")
    return parser.parse_args()


def main():
    """Measure, and print the table."""
    asked = arguments()
    workloads = (
        Workload("MR", asked.times, asked.slices, asked.mr_size),
        Workload("CT", 1, asked.ct, asked.ct_size),
    )
    lines = facts(asked.rounds)
    with tempfile.TemporaryDirectory(dir=asked.folder) as root:
        for workload in workloads:
            found = measure_all(workload, Path(root), asked.rounds)
            check(workload, found)
            lines += table(workload, found)
    print("\n".join(lines).rstrip())


if __name__ == "__main__":
    if sys.argv[1:2] == ["--case"]:
        measure(*sys.argv[2:])
    elif sys.argv[1:2] == ["--write"]:
        kind, *numbers, destination = sys.argv[2:]
        write(Workload(kind, *map(int, numbers)), destination)
    else:
        main()
