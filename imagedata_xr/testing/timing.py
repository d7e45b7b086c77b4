"""The time attributes of a frame, in each of the ways in which scanners tell the time."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from imagedata_xr.errors import OptionError
from imagedata_xr.testing.decimals import decimal

if TYPE_CHECKING:
    from imagedata_xr.testing.phantom import Phantom, Shot

__all__ = ["Clock"]

TIMINGS = (
    "AcquisitionTime",
    "AcquisitionDateTime",
    "ContentTime",
    "TriggerTime",
    "TemporalPositionIdentifier",
    "FrameReferenceTime",
    "AcquisitionNumber",
    "InstanceNumber",
)
# images are reconstructed, one after the other, when all are taken
RECONSTRUCTION = 600.0
RECONSTRUCTION_STEP = 0.01


def _date(moment: datetime) -> str:
    return moment.strftime("%Y%m%d")


def _time(moment: datetime) -> str:
    return moment.strftime("%H%M%S.%f")


class Clock:
    """
    The moments at which the frames of a phantom are taken.

    Parameters
    ----------
    phantom : Phantom
        The series.
    """

    def __init__(self, phantom: Phantom) -> None:
        if phantom.timing not in TIMINGS:
            raise OptionError(f"timing {phantom.timing!r} is none of {TIMINGS}")
        self.phantom = phantom
        form = "%Y%m%d%H%M%S.%f" if "." in phantom.start else "%Y%m%d%H%M%S"
        self.start = datetime.strptime(phantom.start, form)  # noqa: DTZ007 DICOM times are local
        volumes = phantom.volume_values
        self.times = sorted({float(volume.get("time", 0.0)) for volume in volumes})
        # echoes and components of one excitation share its moment
        shared = {"te", "component", "EchoTime", "EchoNumbers"}
        keys = [
            tuple((k, v) for k, v in volume.items() if k not in shared) if phantom.axes else i
            for i, volume in enumerate(volumes)
        ]
        self.acquisitions = [list(dict.fromkeys(keys)).index(key) for key in keys]
        settings = [
            tuple(item for item in key if item[0] != "time") if isinstance(key, tuple) else key
            for key in keys
        ]
        self.settings = [list(dict.fromkeys(settings)).index(key) for key in settings]
        count = phantom.shape[0]
        self.excitations = phantom.random("excitation").permutation(count).tolist()

    def seconds(self, shot: Shot) -> float:
        """Return when a frame is taken apart from its value on the time axis, s."""
        delay = self.excitations[shot.slice] * self.phantom.slice_delay
        return float(delay + self.settings[shot.volume] * self.phantom.volume_delay)

    def attributes(self, shot: Shot) -> dict[str, str]:
        """Return the time attributes of a frame by keyword."""
        timing = self.phantom.timing
        time = float(shot.values.get("time", 0.0))
        taken = self.start + timedelta(seconds=self.seconds(shot))
        moment = taken + timedelta(seconds=time)
        if timing == "InstanceNumber":
            return {}
        if timing == "ContentTime":
            return {"ContentDate": _date(moment), "ContentTime": _time(moment)}
        built = RECONSTRUCTION + self.times[-1] + shot.number * RECONSTRUCTION_STEP
        content = self.start + timedelta(seconds=built)
        found = {"ContentDate": _date(content), "ContentTime": _time(content)}
        if timing == "AcquisitionDateTime":
            return found | {"AcquisitionDateTime": _date(moment) + _time(moment)}
        if timing == "AcquisitionTime":
            taken = moment
        found |= {"AcquisitionDate": _date(taken), "AcquisitionTime": _time(taken)}
        if timing == "TriggerTime":
            found["TriggerTime"] = decimal(time * 1000)
        elif timing == "FrameReferenceTime" or self.phantom.modality == "PT":
            found["FrameReferenceTime"] = decimal(time * 1000)
        elif timing == "TemporalPositionIdentifier":
            found["TemporalPositionIdentifier"] = str(self.times.index(time) + 1)
            found["NumberOfTemporalPositions"] = str(len(self.times))
        return found

    def acquisition_number(self, shot: Shot) -> int | None:
        """Return Acquisition Number, which only some scanners count up; others leave it at 1."""
        if self.phantom.timing == "AcquisitionNumber":
            return self.times.index(float(shot.values.get("time", 0.0))) + 1
        if self.phantom.vendor == "siemens":
            return self.acquisitions[shot.volume] + 1
        return 1
