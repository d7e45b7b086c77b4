"""
Draw demo.png of the README: a dynamic series of the built-in phantom, opened as a user would.

Needs matplotlib: ``python docs/images/make_demo.py``.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr

import imagedata_xr  # noqa: F401 - registers the accessor .med
from imagedata_xr.testing import Head, Phantom, write_series

OUT = Path(__file__).with_name("demo.png")
BACK, INK, FAINT = "#10141a", "#e8ecf1", "#5b6675"
LEVEL = 20.0
# Name, place in the patient (LPS, mm), colour, and where the name stands beside its curve.
REGIONS = (
    ("sagittal sinus", (0.0, 82.0, LEVEL), "#f2a65a", (37.0, 16)),
    ("lesion", (43.0, -30.0, LEVEL), "#4cc9f0", (75.0, -20)),
    ("white matter", (-36.0, 20.0, LEVEL), "#b8c0cc", (75.0, 8)),
)
SHOWN = (0.0, 22.5, 25.0, 30.0, 50.0, 120.0)
RADIUS = 4.0


def series(folder: str) -> xr.DataArray:
    """Write the phantom as shuffled files, and open them."""
    phantom = Phantom(
        axes={"time": np.arange(0, 122.5, 2.5).tolist()},
        shape=(5, 208, 176),
        spacing=(8.0, 1.1, 1.1),
        origin=(-96.0, -114.0, 4.0),
        value=Head(scale=12000.0),
        noise=28.0,
        attributes={"SeriesDescription": "fl3d_dynamic"},
    )
    write_series(phantom, folder)
    return xr.open_dataarray(folder, engine="dicom").load()


def around(image: xr.DataArray, place: tuple[float, float, float]) -> xr.DataArray:
    """Return the mean over the voxels within a radius of a place, in the slice there."""
    plane = image.sel(slice=place[2])
    inside = np.hypot(plane.column - place[0], plane.row - place[1]) <= RADIUS
    return plane.where(inside).mean(["row", "column"])


def draw_planes(figure: plt.Figure, grid: mpl.gridspec.GridSpec, image: xr.DataArray) -> None:
    """Show one slice at several times."""
    plane = image.sel(slice=LEVEL)
    top = float(plane.quantile(0.997))
    for k, time in enumerate(SHOWN):
        axes = figure.add_subplot(grid[k // 3, k % 3])
        shown = plane.sel(time=time)
        extent = (plane.column[0], plane.column[-1], plane.row[-1], plane.row[0])
        axes.imshow(shown, cmap="gray", vmin=0, vmax=top, extent=extent, interpolation="bicubic")
        axes.text(
            0.04, 0.95, f"{time:g} s", color=INK, transform=axes.transAxes, va="top", fontsize=11
        )
        axes.set_axis_off()
        if k == len(SHOWN) - 1:
            for _, (x, y, _z), colour, _ in REGIONS:
                axes.add_patch(plt.Circle((x, y), RADIUS + 2, fill=False, color=colour, lw=1.6))
        if k == 3:
            axes.plot([-88, -38], [104, 104], color=INK, lw=2)
            axes.text(-63, 100, "50 mm", color=INK, ha="center", va="bottom", fontsize=9)


def draw_curves(axes: plt.Axes, image: xr.DataArray) -> None:
    """Show the signal of the regions over time."""
    for name, place, colour, (time, above) in REGIONS:
        curve = around(image, place)
        axes.plot(curve.time, curve, color=colour, lw=2.2)
        anchor = (time, float(curve.sel(time=time, method="nearest")))
        axes.annotate(
            name, anchor, (4, above), textcoords="offset points", color=colour, fontsize=11
        )
    for time in SHOWN:
        axes.axvline(time, color=FAINT, lw=0.6, zorder=0)
    axes.set(xlabel="time [s]", ylabel="signal", xlim=(0, 122))
    axes.margins(y=0.1)
    axes.set_facecolor(BACK)
    axes.tick_params(colors=INK, labelsize=9)
    axes.xaxis.label.set_color(INK)
    axes.yaxis.label.set_color(INK)
    for side, spine in axes.spines.items():
        spine.set_visible(side in {"left", "bottom"})
        spine.set_color(FAINT)


def main() -> None:
    """Draw the picture."""
    with tempfile.TemporaryDirectory() as folder:
        image = series(folder)
    figure = plt.figure(figsize=(12, 5.6), facecolor=BACK)
    planes = figure.add_gridspec(
        2, 3, left=0.01, right=0.58, bottom=0.02, top=0.98, wspace=0.03, hspace=0.03
    )
    draw_planes(figure, planes, image)
    curves = figure.add_gridspec(1, 1, left=0.66, right=0.98, bottom=0.12, top=0.96)
    draw_curves(figure.add_subplot(curves[0, 0]), image)
    figure.savefig(OUT, dpi=110, facecolor=BACK)


if __name__ == "__main__":
    main()
