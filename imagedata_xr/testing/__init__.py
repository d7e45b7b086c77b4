"""
Synthetic series whose truth is known, for tests, benchmarks and examples.

>>> phantom = Phantom(axes={"time": [0, 2.5, 5], "te": [10, 20]}, orientation="oblique")
>>> phantom.truth().values.shape
(3, 2, 4, 6, 5)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imagedata_xr.testing.conformance import (
        EngineConformance,
        SourceConformance,
        WriterConformance,
    )
    from imagedata_xr.testing.damage import change_header, drop_file, duplicate_file, truncate_file
    from imagedata_xr.testing.dicomweb import DicomwebServer
    from imagedata_xr.testing.head import Head
    from imagedata_xr.testing.multiframe import enhanced
    from imagedata_xr.testing.phantom import Phantom, Shot, Truth
    from imagedata_xr.testing.signals import Linear, Signal
    from imagedata_xr.testing.writing import datasets, write_series
    from imagedata_xr.testing.xnat import XnatServer

__all__ = [
    "DicomwebServer",
    "EngineConformance",
    "Head",
    "Linear",
    "Phantom",
    "Shot",
    "Signal",
    "SourceConformance",
    "Truth",
    "WriterConformance",
    "XnatServer",
    "change_header",
    "datasets",
    "drop_file",
    "duplicate_file",
    "enhanced",
    "truncate_file",
    "write_series",
]

# pydicom is only imported by those who write
HOMES = {
    "DicomwebServer": "dicomweb",
    "EngineConformance": "conformance",
    "SourceConformance": "conformance",
    "WriterConformance": "conformance",
    "Head": "head",
    "Linear": "signals",
    "Phantom": "phantom",
    "Shot": "phantom",
    "Signal": "signals",
    "Truth": "phantom",
    "XnatServer": "xnat",
    "change_header": "damage",
    "datasets": "writing",
    "drop_file": "damage",
    "duplicate_file": "damage",
    "enhanced": "multiframe",
    "truncate_file": "damage",
    "write_series": "writing",
}


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{HOMES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
