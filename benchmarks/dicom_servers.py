"""
Time of sending to, and fetching from, a DICOM server, beside DCMTK's storescu and getscu.

Prints a table in Markdown. See README.md in this folder for what is measured, and how. Needs Linux, the
right to make a network namespace, and the programs of Debian's orthanc and dcmtk.

    python benchmarks/dicom_servers.py --slices 200 --size 512 --rounds 5
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from dicom_peers import orthanc, own_network, program, running, storescp

from imagedata_xr.testing import Phantom, write_series
from imagedata_xr.transports import dimse

ME = {"calling": "XRTEST"}
PEERS = {"as installed": {}, "with TCP_NODELAY=1": {"TCP_NODELAY": "1"}}


def sent_by_us(server, files, _):
    assert len(dimse.send(server.url, files, **ME).acknowledged) == len(files)


def sent_by_storescu(server, files, _):
    run(["storescu", "-R"], server, map(str, files))


def fetched_by_us(server, files, folder):
    assert len(dimse.fetch(server.url, folder / "ours", **ME)) == len(files)


def fetched_by_getscu(server, files, folder):
    there = folder / "theirs"
    there.mkdir()
    keys = ["-k", "QueryRetrieveLevel=PATIENT", "-k", "PatientID=ID-1"]
    run(["getscu", "-P", "-B", "-od", str(there), *keys], server, [])
    assert len(list(there.iterdir())) == len(files)


def run(command, server, arguments):
    """Run a program of DCMTK in the environment of its server."""
    name, *options = command
    titles = ["-aet", "XRTEST", "-aec", server.aet, "127.0.0.1", str(server.port)]
    full = [program(name), *options, *titles, *arguments]
    subprocess.run(full, check=True, capture_output=True, env={**os.environ, **server.environment})


CASES = {
    ("storescp", "this library"): sent_by_us,
    ("storescp", "storescu"): sent_by_storescu,
    ("Orthanc, sending", "this library"): sent_by_us,
    ("Orthanc, sending", "storescu"): sent_by_storescu,
    ("Orthanc, fetching", "this library"): fetched_by_us,
    ("Orthanc, fetching", "getscu"): fetched_by_getscu,
}


def measure(case, files, folder, environment):
    """Return the seconds of one case, with a server that is new."""
    where = Path(tempfile.mkdtemp(dir=folder))
    server = storescp(where / "server") if case[0] == "storescp" else orthanc(where / "server")
    server.environment = environment
    try:
        with running(server):
            if "fetching" in case[0]:
                sent_by_us(server, files, folder)
            else:
                dimse.echo(server.url, **ME)
            begin = time.perf_counter()
            CASES[case](server, files, where)
            return time.perf_counter() - begin
    finally:
        shutil.rmtree(where)


def table(options, folder):
    phantom = Phantom(
        shape=(options.slices, options.size, options.size), attributes={"PatientID": "ID-1"}
    )
    files = write_series(phantom, folder / "files")
    size = sum(path.stat().st_size for path in files)
    print(f"{len(files)} files, {size / 1e6:.1f} MB, {options.rounds} rounds\n")
    print("| server | | who | median s | fastest | slowest | MB/s |")
    print("|---|---|---|---|---|---|---|")
    jobs = [(case, peer) for case in CASES for peer in PEERS]
    times = {job: [] for job in jobs}
    for _ in range(options.rounds):
        random.shuffle(jobs)
        for case, peer in jobs:
            times[case, peer].append(measure(case, files, folder, PEERS[peer]))
    for (case, peer), seconds in times.items():
        middle = statistics.median(seconds)
        print(
            f"| {case[0]} | {peer} | {case[1]} | {middle:.2f} | {min(seconds):.2f} "
            f"| {max(seconds):.2f} | {size / 1e6 / middle:.0f} |"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", type=int, default=200)
    parser.add_argument("--size", type=int, default=512, help="rows and columns")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with own_network(), tempfile.TemporaryDirectory() as folder:
        table(options, Path(folder))


if __name__ == "__main__":
    main()
