"""
Draw data-model.png: what the axes of an array are, and that a part of it knows its place.

Needs matplotlib: ``python docs/images/make_data_model.py``.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import xarray as xr

import imagedata_xr  # noqa: F401 - registers the accessor .med
from imagedata_xr.testing import Head, Phantom, write_series

OUT = Path(__file__).with_name("data-model.png")
BACK, INK, FAINT, MARK = "#10141a", "#e8ecf1", "#8a94a3", "#4cc9f0"
TIMES = [0.0, 22.5, 30.0, 60.0]
PART = {"row": slice(-70, 0), "column": slice(5, 65)}


def series(folder: str) -> xr.DataArray:
    """Write the phantom, and open it."""
    phantom = Phantom(
        axes={"time": TIMES}, shape=(5, 208, 176), spacing=(20.0, 1.2, 1.2), value=Head(), noise=20
    )
    write_series(phantom, folder)
    return xr.open_dataarray(folder, engine="dicom").load()


def show(ax: Any, image: xr.DataArray) -> None:
    """Draw an axial slice in mm, as a radiologist sees it."""
    column, row = image.column.values, image.row.values
    extent = (column[0] - 0.6, column[-1] + 0.6, row[-1] + 0.6, row[0] - 0.6)
    ax.imshow(image, cmap="gray", vmin=0, vmax=2200, extent=extent)
    ax.tick_params(colors=FAINT, labelsize=8)
    for spine in ax.spines.values():
        spine.set_color(FAINT)


def every(figure: Any, da: xr.DataArray) -> None:
    """Draw some slices of each time: the axes before the rows."""
    slices = da.slice.values[1:4]
    grid = figure.subplots(3, len(TIMES), gridspec_kw={"wspace": 0.06, "hspace": 0.06})
    for y, place in enumerate(slices[::-1]):
        for x, time in enumerate(TIMES):
            ax = grid[y, x]
            show(ax, da.sel(time=time, slice=place))
            ax.set(xticks=[], yticks=[])
            if y == 0:
                ax.set_title(f"{time:g} s", color=INK, fontsize=10)
            if x == 0:
                ax.set_ylabel(f"{place:g} mm", color=INK, fontsize=10)
    figure.suptitle("time, in seconds", color=MARK, fontsize=12)
    figure.supylabel("slice, in mm", color=MARK, fontsize=12)


def part(figure: Any, da: xr.DataArray) -> None:
    """Draw one slice with its rows and columns in mm, and a part cut out by them."""
    whole, cut = figure.subplots(1, 2, width_ratios=[1.35, 1], gridspec_kw={"wspace": 0.35})
    level = da.sel(time=30.0, slice=20)
    show(whole, level)
    piece = level.sel(PART)
    show(cut, piece)
    column, row = piece.column.values, piece.row.values
    corners = [column[0], column[-1], column[-1], column[0], column[0]], [row[0]] * 2
    whole.plot(corners[0], corners[1] + [row[-1]] * 2 + [row[0]], color=MARK, linewidth=1.5)
    for spine in cut.spines.values():
        spine.set_color(MARK)
    for ax in (whole, cut):
        ax.set_xlabel("column, in mm (to the left)", color=INK, fontsize=9)
        ax.set_ylabel("row, in mm (to the back)", color=INK, fontsize=9)
    text = "da.sel(slice=20, row=slice(-70, 0), column=slice(5, 65))"
    figure.suptitle(text, color=MARK, fontsize=10, family="monospace")


def main() -> None:
    """Draw both halves."""
    with tempfile.TemporaryDirectory() as folder:
        da = series(folder)
    figure = plt.figure(figsize=(13, 5), facecolor=BACK)
    left, right = figure.subfigures(1, 2, width_ratios=[1, 1.15])
    for half in (left, right):
        half.set_facecolor(BACK)
    every(left, da)
    part(right, da)
    figure.savefig(OUT, dpi=90, facecolor=BACK)


if __name__ == "__main__":
    main()
