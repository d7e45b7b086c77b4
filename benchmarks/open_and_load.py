"""
Time and memory of opening and of loading a series, beside other readers of DICOM.

Prints a table in Markdown. See README.md in this folder for what is measured, and how.

    python benchmarks/open_and_load.py --full
"""

from __future__ import annotations

import argparse
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
from pathlib import Path

from readers import ALL, CASES, OURS, PEERS, PROGRAMS, installed, version_of
from series import Workload, elements, make

# The process that starts the others imports nothing more: Linux hands its peak memory on to them.

# On a virtual machine, huge pages cost from 0.1 to 2 s a GB, as its host has them at hand or not.
ENVIRONMENT = {**os.environ, "NUMPY_MADVISE_HUGEPAGE": "0"}
FULL = {"times": 60, "slices": 40, "mr_size": 256, "ct": 600, "ct_size": 512, "pt": 400}


# One measurement, in a process of its own -------------------------------------------------------


def _peak(usage):
    """Return the largest memory of a process, MB."""
    return usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def measure(task, name, folder, warm):
    """Print seconds, MB and the sum of the values of one case, after a run on a small series."""
    function = next(case.run for case in CASES[task] if case.name == name)
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


def _child(*arguments):
    command = [sys.executable, "-W", "ignore", __file__, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=ENVIRONMENT)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")
    return done.stdout


# The table --------------------------------------------------------------------------------------


def measure_all(workload, root, rounds):
    """Return the measurements of each case, and what the headers are like."""
    folder, warm = root / workload.name, root / f"{workload.name}-warm"
    small = Workload(workload.name, min(workload.volumes, 2), 2, workload.size)
    for one, target in ((workload, folder), (small, warm)):
        _child("--write", one.name, one.volumes, one.slices, one.size, target)
    # also fills the page cache; not here, where it would raise the peak of all that follow
    _child("--case", "load", "read all bytes", folder, warm)
    cases = [
        (task, case.name)
        for task, found in CASES.items()
        for case in found
        if installed(case.needs) and workload.name in case.series
    ]
    found = {case: [] for case in cases}
    for number in range(rounds):
        random.Random(number).shuffle(cases)
        for task, name in cases:
            found[task, name].append(
                json.loads(_child("--case", task, name, folder, warm).strip().splitlines()[-1])
            )
    count, length = map(int, _child("--elements", folder).split())
    shutil.rmtree(folder)
    return found, f"{count} elements, {length / 1e3:.1f} KB a header"


def check(workload, found):
    """Stop unless all that load have loaded the same values, and memory has been measured."""
    least = found["load", "read all bytes"][0]["peak"]
    if least < 0.9 * workload.megabytes - 20:
        sys.exit(f"reading {workload.megabytes:.0f} MB took {least:.0f}: peaks are not measured")
    sums = {case: m[0]["sum"] for case, m in found.items() if m[0]["sum"] is not None}
    if len(set(sums.values())) > 1:
        sys.exit(f"the cases loaded different values: {sums}")


def _ratios(measured, ours, what):
    """Return a case's times by ours, round by round: median, and from-to."""
    ratios = sorted(one[what] / own[what] for one, own in zip(measured, ours, strict=True))
    text = "{:.2f}" if ratios[-1] < 10 else "{:.0f}"
    middle, low, high = (text.format(x) for x in (statistics.median(ratios), ratios[0], ratios[-1]))
    return f"{middle} ({low}-{high})"


def table(workload, found, headers):
    """Return the lines of the table of one workload."""
    size, cell = workload.size, workload.cell
    array = workload.files * size**2 * cell / 1e6
    title = f"{workload.name}: {workload.files} files of {size} x {size}"
    lines = [
        f"\n### {title}, {workload.megabytes:.0f} MB\n",
        f"{headers}; the array has {array:.0f} MB.\n",
    ]
    for task, cases in CASES.items():
        lines += [
            f"| {task} | median ms | from-to | us a file | time / ours | CPU / ours | peak MB |",
            "|---|--:|--:|--:|--:|--:|--:|",
        ]
        ours = found[task, OURS[task]]
        for name in [case.name for case in cases if (task, case.name) in found]:
            measured = found[task, name]
            times = [one["seconds"] * 1e3 for one in measured]
            middle = statistics.median(times)
            peak = statistics.median(one["peak"] for one in measured)
            lines.append(
                f"| {name} | {middle:.0f} | {min(times):.0f}-{max(times):.0f} "
                f"| {middle * 1e3 / workload.files:.0f} | {_ratios(measured, ours, 'seconds')} "
                f"| {_ratios(measured, ours, 'cpu')} | {peak:.0f} |"
            )
        lines.append("")
    return lines[:-1]


def facts(rounds):
    """Return the lines that say on what and with what it was measured."""
    names = ["imagedata_xr", "xarray", "numpy", "pydicom", *PEERS]
    known = [n for n in names if installed(n)]
    missing = [n for n in names if n not in known]
    system = f"{platform.system()}, Python {platform.python_version()}"
    return [
        f"- {os.cpu_count()} cores ({platform.machine()}), {system}",
        f"- {', '.join(f'{name} {version_of(name)}' for name in known)}",
        *([f"- not installed, and left out: {', '.join(missing)}"] if missing else []),
        f"- {rounds} rounds, warm page cache, each measurement in a process of its own",
        f"- load of the machine before: {os.getloadavg()[0]:.1f}",
        f"- `python benchmarks/open_and_load.py {' '.join(sys.argv[1:])}`",
    ]


def arguments():
    """Return what the user asks for."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--times", type=int, default=20, help="time points of the MR series")
    parser.add_argument("--slices", type=int, default=20, help="slices of the MR series")
    parser.add_argument("--mr-size", type=int, default=192, help="rows and columns of MR and PET")
    parser.add_argument("--ct", type=int, default=120, help="slices of the CT series")
    parser.add_argument("--ct-size", type=int, default=512, help="rows and columns of CT")
    parser.add_argument("--pt", type=int, default=100, help="slices of the PET series")
    parser.add_argument("--series", nargs="+", choices=ALL, default=ALL, help="which of them")
    parser.add_argument("--full", action="store_true", help=f"as the published table: {FULL}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", help="where to put the files; a temporary folder by default")
    asked = parser.parse_args()
    if asked.full:
        vars(asked).update(FULL)
    return asked


def main():
    """Measure, and print the table."""
    asked = arguments()
    workloads = (
        Workload("MR", asked.times, asked.slices, asked.mr_size),
        Workload("CT", 1, asked.ct, asked.ct_size),
        Workload("PT", 1, asked.pt, asked.mr_size),
    )
    lines = facts(asked.rounds)
    with tempfile.TemporaryDirectory(dir=asked.folder) as root:
        for workload in [one for one in workloads if one.name in asked.series]:
            found, headers = measure_all(workload, Path(root), asked.rounds)
            check(workload, found)
            lines += table(workload, found, headers)
    print("\n".join(lines).rstrip())


if __name__ == "__main__":
    if sys.argv[1:2] == ["--case"]:
        measure(*sys.argv[2:])
    elif sys.argv[1:2] == ["--write"]:
        kind, *numbers, destination = sys.argv[2:]
        make(Workload(kind, *map(int, numbers)), destination)
    elif sys.argv[1:2] == ["--elements"]:
        print(*elements(min(Path(sys.argv[2]).iterdir())))
    else:
        main()
