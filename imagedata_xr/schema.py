"""
Names and units of the data model: every dimension, coordinate and attribute, spelled once.

Spatial coordinates are positions in mm along their own ``direction`` (unit vector in patient LPS
coordinates, DICOM PS3.3 C.7.6.2.1.1), so that a voxel lies at
``slice * d_slice + row * d_row + column * d_column``.
"""

from __future__ import annotations

from typing import Final

IMAGE: Final = "image"

SLICE: Final = "slice"
ROW: Final = "row"
COLUMN: Final = "column"
SPATIAL: Final = (SLICE, ROW, COLUMN)
RGB: Final = "rgb"
RGB_LABELS: Final = ("R", "G", "B")

VOLUME: Final = "volume"
TIME: Final = "time"
TE: Final = "te"
TI: Final = "ti"
FA: Final = "fa"
B: Final = "b"
COMPONENT: Final = "component"
LABEL: Final = "label"
COIL: Final = "coil"
ACQUISITION: Final = (TIME, TE, TI, FA, B)

FRAME: Final = "frame"
SERIES: Final = "SeriesInstanceUID"
STUDY: Final = "StudyInstanceUID"
ACQUISITION_TIME: Final = "acquisition_time"
TRIGGER_TIME: Final = "trigger_time"
SLICE_TIME: Final = "slice_time"
BVEC: Final = ("bvec_x", "bvec_y", "bvec_z")

DIRECTION: Final = "direction"
SPACING: Final = "spacing"
UNITS: Final = "units"
MM: Final = "mm"
UNITS_OF: Final = {
    TIME: "s",
    ACQUISITION_TIME: "s",
    TRIGGER_TIME: "ms",
    SLICE_TIME: "ms",
    TE: "ms",
    TI: "ms",
    FA: "deg",
    B: "s/mm2",
    SLICE: MM,
    ROW: MM,
    COLUMN: MM,
}

ENCODING: Final = "dicom"
HEADERS: Final = "dicom_headers"
# Of a series that gave patient and study, and is no source of the values.
TEMPLATE: Final = "dicom_template"
# Attributes that name the series from which an array was made, each under a name of its own.
SOURCE_SERIES: Final = "SourceSeries_"
