"""Elements of our own: the times of the slices of a volume, once these are single images."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Final

from imagedata_xr.formats.dicom.vendors.raw import doubles, text

if TYPE_CHECKING:
    from imagedata_xr.formats.dicom.vendors.raw import Readable
    from imagedata_xr.frames import Value

__all__ = ["CREATOR", "GROUP", "MOMENTS", "SLICE_TIME", "slice_time"]

GROUP: Final = 0x0017
CREATOR: Final = "IMAGEDATA_XR"
# From the first acquired slice of the volume, ms (FD).
SLICE_TIME: Final = 0x01
# When the volume was acquired: the standard attributes say when the slice was.
MOMENTS: Final = {0x02: "AcquisitionDate", 0x03: "AcquisitionTime", 0x04: "AcquisitionDateTime"}


def slice_time(header: Readable) -> dict[str, Value]:
    """Return the time of a slice within its volume, and the volume's, by keyword; often nothing."""
    delay = doubles(header.private(GROUP, CREATOR, SLICE_TIME))
    if len(delay) != 1 or not isfinite(delay[0]):
        return {}
    found: dict[str, Value] = {"SliceTime": delay[0]}
    for low, keyword in MOMENTS.items():
        moment = text(header.private(GROUP, CREATOR, low))
        if moment:
            found[keyword] = moment
    return found
