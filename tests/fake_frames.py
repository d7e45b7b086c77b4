"""Frames made from the phantom without any file, for tests of sorting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imagedata_xr.frames import Frame, PixelFormat, PixelRef
from imagedata_xr.testing import datasets

if TYPE_CHECKING:
    from imagedata_xr.testing import Phantom

COMPONENTS = {"M": "magnitude", "P": "phase", "R": "real", "I": "imaginary"}


@dataclass(frozen=True, slots=True)
class NoSource:
    """A source without bytes."""

    name: str
    size: int = 0


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return str(value)
    if hasattr(value, "__iter__"):
        return tuple(_plain(one) for one in value)
    return float(value) if isinstance(value, float) else int(value)


def frames(phantom: Phantom) -> list[Frame]:
    """Return the frames of a phantom in the order of its truth."""
    return [frame(dataset, number) for number, dataset in enumerate(datasets(phantom))]


def frame(dataset: Any, number: int = 0) -> Frame:
    """Return the frame of one Dataset."""
    values = {
        element.keyword: _plain(element.value)
        for element in dataset
        if element.keyword
        and element.VR not in {"SQ", "OB", "OW", "UN", "PN"}
        and element.value not in (None, "")
    }
    kind = {"M", "P", "R", "I"} & set(values.get("ImageType", ()))
    if kind:
        values["ComplexImageComponent"] = COMPONENTS[kind.pop()]
    positioned = "ImagePositionPatient" in dataset
    return Frame(
        ref=PixelRef(NoSource(f"file{number}"), PixelFormat(dataset.Rows, dataset.Columns)),
        uid=str(dataset.SOPInstanceUID),
        shape=(dataset.Rows, dataset.Columns),
        position=values.get("ImagePositionPatient") if positioned else None,
        orientation=values.get("ImageOrientationPatient") if positioned else None,
        spacing=values.get("PixelSpacing"),
        thickness=values.get("SliceThickness"),
        values=values,
    )
