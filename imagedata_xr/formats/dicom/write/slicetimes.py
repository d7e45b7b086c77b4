"""
When each slice of a volume was acquired, in files of single slices.

Acquisition Time is that of the slice (PS3.3 C.7.6.1), as scanners write it and converters read it. What
a mosaic says, the time of the volume and the delays of its slices, is kept beside it in elements of
our own, so that the file is read as the mosaic was.
"""

from __future__ import annotations

from typing import Any

from pydicom.datadict import dictionary_VR

from imagedata_xr.formats.dicom.vendors.own import CREATOR, GROUP, MOMENTS, SLICE_TIME
from imagedata_xr.formats.dicom.write.numbers import moment
from imagedata_xr.sortkeys.time import date_seconds, datetime_seconds, time_seconds

__all__ = ["has_delay", "put_delay"]


def has_delay(dataset: Any) -> bool:
    """Tell whether a header has the delay of a slice already."""
    return _block(dataset) is not None


def put_delay(dataset: Any, delay: float) -> None:
    """
    Put the delay of a slice into a header that has the time of its volume.

    Parameters
    ----------
    dataset : pydicom.Dataset
        Is changed.
    delay : float
        From the first acquired slice of the volume, ms.
    """
    block = _block(dataset) or dataset.private_block(GROUP, CREATOR, create=True)
    for low in (SLICE_TIME, *MOMENTS):
        if low in block:
            del block[low]
    block.add_new(SLICE_TIME, "FD", float(delay))
    for low, keyword in MOMENTS.items():
        if dataset.get(keyword):
            block.add_new(low, dictionary_VR(keyword), str(dataset.get(keyword)))
    day, clock = (str(dataset.get(name) or "") for name in ("AcquisitionDate", "AcquisitionTime"))
    start, seconds = date_seconds(day), time_seconds(clock)
    if start is not None and seconds is not None:
        dataset.AcquisitionDate, dataset.AcquisitionTime = moment(start + seconds + delay / 1e3)
    text = str(dataset.get("AcquisitionDateTime") or "")
    zone = text[-5:] if text[-5:-4] in ("+", "-") else ""
    at = datetime_seconds(text.removesuffix(zone))
    if at is not None:
        dataset.AcquisitionDateTime = "".join(moment(at + delay / 1e3)) + zone


def _block(dataset: Any) -> Any:
    try:
        return dataset.private_block(GROUP, CREATOR)
    except KeyError:
        return None
