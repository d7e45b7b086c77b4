"""Sorting: frames and keys in, a complete grid or an error out. Pure: no I/O, no xarray, no pydicom."""

from __future__ import annotations

from imagedata_xr.sorting.cube import Cube, DimensionLabels, choose_stack, sort_stack
from imagedata_xr.sorting.series import (
    by_series,
    choose_series,
    describe_series,
    fitting_series,
    one_patient,
    select_frames,
)
from imagedata_xr.sorting.stacks import Stack, split

__all__ = [
    "Cube",
    "DimensionLabels",
    "Stack",
    "by_series",
    "choose_series",
    "choose_stack",
    "describe_series",
    "fitting_series",
    "one_patient",
    "select_frames",
    "sort_stack",
    "split",
]
