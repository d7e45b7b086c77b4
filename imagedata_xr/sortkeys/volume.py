"""Order of acquisition where no physical quantity labels the volumes."""

from __future__ import annotations

from dataclasses import replace

from imagedata_xr import schema
from imagedata_xr.sortkeys import time
from imagedata_xr.sortkeys.key import SortKey, number

READINGS = (
    *(
        replace(key, name=schema.VOLUME, units="", step=None, shortest=None)
        for key in time.READINGS
        if key.source != "InstanceNumber"
    ),
    SortKey(
        name=schema.VOLUME,
        source="AcquisitionNumber",
        value=lambda values: number(values, "AcquisitionNumber"),
        counts=True,
    ),
    SortKey(
        name=schema.VOLUME,
        source="SeriesNumber",
        value=lambda values: number(values, "SeriesNumber"),
        counts=True,
    ),
    SortKey(
        name=schema.VOLUME,
        source="InstanceNumber",
        value=time.instance_order,
        ranked=True,
        counts=True,
    ),
)
