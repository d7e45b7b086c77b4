"""A run of map_series in a process of its own, which a test kills: folder, output, how many to do."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import imagedata_xr


def slow_mean(image):
    """Say that it was called, and take a while."""
    with (Path(os.environ["CALLS"]) / str(image.attrs["SeriesNumber"])).open("a") as file:
        file.write("x\n")
    time.sleep(0.4)
    return {"mean": image.mean(), "double": (image * 2.0).rename("double")}


def killed_once(image):
    """Kill the worker at the first call with series 2."""
    number = image.attrs["SeriesNumber"]
    mark = Path(os.environ["CALLS"]) / "killed"
    if number == 2 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return {"number": number, "twice": 2 * number}


if __name__ == "__main__":
    table = imagedata_xr.map_series(
        slow_mean, sys.argv[1], output=sys.argv[2], workers=2, progress=False
    )
    sys.stdout.write(table[["number", "status", "mean"]].to_json(orient="records"))
