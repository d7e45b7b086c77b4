"""
What to say when a folder is not one complete series: ``series=``, ``sort=`` and ``select=``.

Each error says what is there, and which arguments open it; ``error.suggestions`` has them as data.

    python sorting.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import xarray as xr

import imagedata_xr
from imagedata_xr.testing import Phantom, drop_file, write_series

ECHOES = Phantom(
    axes={"time": [0, 4], "te": [5, 10, 15]},
    shape=(3, 16, 16),
    attributes={"SeriesDescription": "echoes"},
)
INVERSION = Phantom(
    axes={"ti": [50, 100, 400]},
    series=2,
    shape=(3, 16, 16),
    attributes={"SeriesDescription": "inversion recovery"},
)


def show(folder: Path, **options: Any) -> list[dict[str, Any]]:
    """Print the dimensions, or the error; return what the error suggests."""
    said = ", ".join(f"{name}={value!r}" for name, value in options.items())
    print(f'>>> xr.open_dataarray("study", engine="dicom"{", " * bool(said)}{said})')
    try:
        image = xr.open_dataarray(folder, engine="dicom", **options)
    except imagedata_xr.SortError as error:
        print(f"{type(error).__name__}: {error}\n")
        return list(error.suggestions)
    sizes = {name: size for name, size in image.sizes.items() if name not in {"row", "column"}}
    print(f"{sizes}\n")
    return []


def main(folder: Path) -> None:
    """Make two series in one folder, open them, and lose a file."""
    files = write_series(ECHOES, folder / "a", shuffle=1)
    write_series(INVERSION, folder / "b", shuffle=1)

    show(folder)
    show(folder, series=1)
    show(folder, series="inversion recovery", sort={"tau": "InversionTime"})
    show(folder, series=1, sort=("te", "time"))
    show(folder, series=1, select={"EchoTime": slice(6, None)})
    show(folder, series=1, sort="te")

    print("A file gets lost.\n")
    drop_file(files[4])
    suggestions = show(folder, series=1)
    failed = [one for one in suggestions if show(folder, series=1, **one)]
    print(f"{len(suggestions) - len(failed)} of {len(suggestions)} suggestions open it")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        main(Path(made))
