"""
Cost of many files, of a slow disk, of Dask with less memory than the series has, and of the start.

Prints tables in Markdown. See README.md in this folder for what is measured, and how.

    python benchmarks/scaling.py
    python benchmarks/scaling.py --task stream --gigabytes 3 --memory 700MB
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

HERE = Path(__file__).parent
ENVIRONMENT = {
    **os.environ,
    "NUMPY_MADVISE_HUGEPAGE": "0",
    "DASK_LOGGING__DISTRIBUTED": "error",
    "PYTHONWARNINGS": "ignore",
}
SLICES = 20


# Cases, each in a process of its own -------------------------------------------------------------


def _opened(folder, **options):
    import xarray as xr

    import imagedata_xr  # noqa: F401 - da.med

    return xr.open_dataarray(folder, engine="dicom", progress=False, **options)


def _resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _count(folder):
    return sum(1 for _ in os.scandir(folder))


def case_files(warm, folder):
    """Open many files: microseconds of the processor, and bytes that stay, a file."""
    import gc

    _opened(warm)
    gc.collect()
    before, start = _resident(), time.process_time()
    image = _opened(folder)
    seconds = time.process_time() - start
    gc.collect()
    held, count = _resident() - before, _count(folder)
    assert image.size
    return {"us": seconds / count * 1e6, "bytes": held / count}


def case_graph(warm, folder):
    """Open with Dask and plan a mean: seconds, tasks, and bytes of what travels."""
    import pickle

    _opened(warm, chunks={}).mean("time").compute()
    start = time.process_time()
    image = _opened(folder, chunks={})
    opened = time.process_time() - start
    start = time.process_time()
    mean = image.mean("time").data.__dask_graph__()
    planned = time.process_time() - start
    start = time.process_time()
    size = len(pickle.dumps(dict(mean)))
    packed = time.process_time() - start
    return {
        "open": opened,
        "plan": planned,
        "pickle": packed,
        "tasks": len(mean),
        "bytes": size / _count(folder),
    }


def case_slow(warm, folder):
    """Open and load: seconds of the clock."""
    _opened(warm).load()
    start = time.perf_counter()
    image = _opened(folder)
    opened = time.perf_counter() - start
    start = time.perf_counter()
    image.load()
    return {"open": opened, "load": time.perf_counter() - start}


REDUCED = {
    "mean over time": lambda image: image.mean("time"),
    "max over time": lambda image: image.max("time"),
    "mean over space": lambda image: image.mean(["slice", "row", "column"]),
    "deviation over time": lambda image: image.std("time"),
}


def _in_pieces(folder, reduce=None):
    """Load a series volumes by volumes, in one process; return seconds."""
    image = _opened(folder)
    step = max(1, (64 << 20) // max(1, image.isel(time=0).nbytes))
    start = time.perf_counter()
    for first in range(0, image.sizes["time"], step):
        part = image.isel(time=slice(first, first + step)).load()
        if reduce is not None:
            reduce(part)
    return time.perf_counter() - start


def case_stream(warm, folder, what, chunks, memory):
    """Reduce a series with two workers of one thread, and load it in pieces just before."""
    import distributed

    reduce = REDUCED[what]
    _in_pieces(warm)
    load, alone = _in_pieces(folder), _in_pieces(folder, reduce)
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, memory_limit=memory
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        client.run(_planned, warm)
        reduce(_opened(warm, chunks={})).compute()
        image = _opened(folder, chunks="auto" if chunks == "auto" else {})
        before = client.run(time.process_time)
        start = time.perf_counter()
        try:
            reduce(image).compute()
            seconds = time.perf_counter() - start
        except distributed.scheduler.KilledWorker:
            seconds = math.inf
            client.wait_for_workers(2)
        after = client.run(time.process_time)
        peak = max(client.run(_peak).values())
    return {
        "load": load,
        "alone": alone,
        "dask": seconds,
        "cpu": max(0.0, sum(after.values()) - sum(before.values())),
        "peak": peak / 1e6,
        "lost": len(set(before) - set(after)) if seconds < math.inf else 2,
        "megabytes": image.nbytes / 1e6,
    }


def _planned(folder):
    """Let a worker import what it needs."""
    _opened(folder, chunks={}).mean("time").compute(scheduler="synchronous")


def _peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024


# The tables --------------------------------------------------------------------------------------


def _child(*arguments, **environment):
    command = [sys.executable, __file__, *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=ENVIRONMENT | environment
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1]) if done.stdout else None


def _rounds(asked, *arguments, **environment):
    """Return the medians of all figures of a case."""
    found = [_child("--case", *arguments, **environment) for _ in range(asked.rounds)]
    return {name: statistics.median(one[name] for one in found) for name in found[0]}


def _series(root, name, volumes, slices, size):
    folder = root / name
    _child("--make", folder, volumes, slices, size)
    return folder


def _many(root, asked, case):
    """Yield number of files and medians of a case, of series of more and more files."""
    for count in asked.files:
        folder = _series(root, "many", max(1, count // SLICES), min(SLICES, count), 16)
        yield _count(folder), _rounds(asked, case, root / "warm", folder)
        shutil.rmtree(folder)


def files(root, asked):
    """Return the table of opening more and more files."""
    yield "| files | us a file (CPU) | bytes a file that stay |"
    yield "|--:|--:|--:|"
    for count, found in _many(root, asked, "files"):
        yield f"| {count} | {found['us']:.0f} | {found['bytes']:.0f} |"


def graph(root, asked):
    """Return the table of planning with Dask."""
    yield "| files | open, s (CPU) | plan, s | pickle, s | tasks | pickled bytes a file |"
    yield "|--:|--:|--:|--:|--:|--:|"
    for count, found in _many(root, asked, "graph"):
        yield (
            f"| {count} | {found['open']:.2f} | {found['plan']:.3f} "
            f"| {found['pickle']:.2f} | {found['tasks']:.0f} | {found['bytes']:.0f} |"
        )


def slow(root, asked):
    """Return the table of a disk of which each call takes some ms."""
    shim = root / "slow_disk.so"
    command = ["cc", "-shared", "-fPIC", "-O2", "-o", shim, HERE / "slow_disk.c", "-ldl"]
    subprocess.run(command, check=True)
    yield "| files | ms a call | calls | open, s | load, s | calls one by one / both |"
    yield "|--:|--:|--:|--:|--:|--:|"
    for count in [one for one in asked.files if one <= asked.slow_files]:
        folder = _series(root, "slow", max(1, count // SLICES), min(SLICES, count), 16)
        calls = root / "calls"
        calls.unlink(missing_ok=True)
        preload = {
            "LD_PRELOAD": str(shim),
            "SLOW_FOLDER": str(folder),
            "SLOW_MS": str(asked.latency),
            "SLOW_COUNT": str(calls),
        }
        found = _rounds(asked, "slow", root / "warm", folder, **preload)
        made = max(map(int, calls.read_text().split()))
        serial = made * asked.latency / 1e3
        yield (
            f"| {_count(folder)} | {asked.latency:g} | {made} | {found['open']:.2f} "
            f"| {found['load']:.2f} | {serial / (found['open'] + found['load']):.1f} |"
        )
        shutil.rmtree(folder)


def stream(root, asked):
    """Return the table of reductions with less memory than the series has."""
    volumes = max(2, round(asked.gigabytes * 1e9 / (2 * asked.slices * asked.size**2)))
    folder = _series(root, "series", volumes, asked.slices, asked.size)
    yield (
        f"| two workers of {asked.memory} | MB | load, s | load and reduce, s | Dask, s "
        "| Dask's speed / load's | CPU of workers, s | peak MB of a worker | workers lost |"
    )
    yield "|---|--:|--:|--:|--:|--:|--:|--:|--:|"
    for what in asked.reduce or REDUCED:
        for chunks in ("{}", "auto"):
            case = ("stream", root / "warm", folder, what, chunks, asked.memory)
            found = _rounds(asked, *case)
            yield (
                f"| {what}, `chunks={chunks}` | {found['megabytes']:.0f} | {found['load']:.2f} "
                f"| {found['alone']:.2f} | {found['dask']:.2f} "
                f"| {found['load'] / found['dask']:.2f} | {found['cpu']:.1f} "
                f"| {found['peak']:.0f} | {found['lost']:.0f} |"
            )
    shutil.rmtree(folder)


def _spent(code):
    """Return the processor time of a new interpreter that runs some code, s."""
    command = [sys.executable, "-c", code]
    child = os.posix_spawn(
        sys.executable,
        command,
        ENVIRONMENT,
        file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)],
    )
    _, status, usage = os.wait4(child, 0)
    if status:
        sys.exit(f"{code}: status {status}")
    return usage.ru_utime + usage.ru_stime


def _starts():
    """Return what is started: imports, and each command of the project."""
    cases = {
        "import xarray": "import xarray",
        "import imagedata_xr": "import imagedata_xr",
        "an array of xarray": "import xarray; xarray.DataArray([0])",
    }
    scripts = tomllib.loads((HERE.parent / "pyproject.toml").read_text())["project"]["scripts"]
    for name, place in scripts.items():
        module, function = place.split(":")
        for word in ("--help", *(("--version",) if name == "image_data" else ())):
            cases[f"{name} {word}"] = (
                f"import sys; sys.argv = [{name!r}, {word!r}]\n"
                f"from {module} import {function} as run\nsys.exit(run())"
            )
    return cases


def start(_, asked):
    """Return the table of imports and of commands."""
    found = {name: [] for name in _starts()}
    for _ in range(asked.starts):
        for name, code in _starts().items():
            found[name].append(_spent(code))
    first = found["import xarray"]
    yield "| start | CPU ms | from-to | of import xarray |"
    yield "|---|--:|--:|--:|"
    for name, spent in found.items():
        ratio = statistics.median(one / other for one, other in zip(spent, first, strict=True))
        yield (
            f"| {name} | {statistics.median(spent) * 1e3:.0f} "
            f"| {min(spent) * 1e3:.0f}-{max(spent) * 1e3:.0f} | {ratio:.2f} |"
        )


TASKS = {"files": files, "graph": graph, "slow": slow, "stream": stream, "start": start}
CASES = {"files": case_files, "graph": case_graph, "slow": case_slow, "stream": case_stream}


def arguments():
    """Return what the user asks for."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--task", choices=TASKS, action="append", help="all by default")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--files", type=int, nargs="+", default=[100, 1000, 10_000, 100_000])
    parser.add_argument("--slow-files", type=int, default=1000, help="most files on the slow disk")
    parser.add_argument("--latency", type=float, default=5, help="of each call, ms")
    parser.add_argument("--gigabytes", type=float, default=3, help="of the series that streams")
    parser.add_argument("--memory", default="700MB", help="limit of each of the two workers")
    parser.add_argument("--slices", type=int, default=40, help="of the series that streams")
    parser.add_argument("--size", type=int, default=256, help="its rows and columns")
    parser.add_argument("--reduce", choices=REDUCED, action="append", help="all by default")
    parser.add_argument("--starts", type=int, default=10, help="how often each start is made")
    parser.add_argument("--folder", help="where to put the files; a temporary folder by default")
    return parser.parse_args()


def main():
    """Measure, and print the tables."""
    asked = arguments()
    with tempfile.TemporaryDirectory(dir=asked.folder) as name:
        root = Path(name)
        _series(root, "warm", 3, 2, 16)
        for task in asked.task or TASKS:
            for line in TASKS[task](root, asked):
                print(line, flush=True)
            print()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--case"]:
        print(json.dumps(CASES[sys.argv[2]](*sys.argv[3:])))
    elif sys.argv[1:2] == ["--make"]:
        from patched import make_patched

        make_patched(sys.argv[2], *map(int, sys.argv[3:]))
    else:
        main()
