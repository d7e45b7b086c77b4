"""
The JSON file beside a NIfTI file: acquisition parameters by their BIDS names.

Names and units are those of BIDS (https://bids-specification.readthedocs.io, MRI and PET
metadata) and of dcm2niix. Only the keywords listed here are taken over, so that neither patient
nor institution, device serial number, UID or date gets into the file. Free text of the scanner
(series description, protocol name) is kept, as by ``dcm2niix -ba y``.

What NIfTI itself cannot say stands under ``imagedata_xr``: ``dims``, the names of the file's
axes, i first; and ``coords``, every numeric coordinate that does not follow from the geometry, as
``{name: {"dims": [...], "values": [...], "units": "..."}}`` with values in the order of the file
(missing values are null); and ``affine``, the matrix in float64, which counts where the header has
the same numbers in float32.
"""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from imagedata_xr.schema import FA, TE, TI, UNITS
from imagedata_xr.stored import KEY, described, plain

if TYPE_CHECKING:
    import xarray as xr

    from imagedata_xr.formats.nifti.layout import Layout
    from imagedata_xr.formats.nifti.timing import Timing

__all__ = ["AFFINE", "sidecar_text"]

AFFINE: Final = "affine"

PLAIN: Final = {
    "Modality": "Modality",
    "MagneticFieldStrength": "MagneticFieldStrength",
    "ImagingFrequency": "ImagingFrequency",
    "Manufacturer": "Manufacturer",
    "ManufacturerModelName": "ManufacturersModelName",
    "SoftwareVersions": "SoftwareVersions",
    "BodyPartExamined": "BodyPart",
    "PatientPosition": "PatientPosition",
    "MRAcquisitionType": "MRAcquisitionType",
    "SeriesDescription": "SeriesDescription",
    "ProtocolName": "ProtocolName",
    "ScanningSequence": "ScanningSequence",
    "SequenceVariant": "SequenceVariant",
    "ScanOptions": "ScanOptions",
    "SequenceName": "SequenceName",
    "ImageType": "ImageType",
    "SeriesNumber": "SeriesNumber",
    "AcquisitionNumber": "AcquisitionNumber",
    "SliceThickness": "SliceThickness",
    "NumberOfAverages": "NumberOfAverages",
    "SAR": "SAR",
    "EchoNumbers": "EchoNumber",
    "EchoTrainLength": "EchoTrainLength",
    "PixelBandwidth": "PixelBandwidth",
    "PercentSampling": "PercentSampling",
    "PercentPhaseFieldOfView": "PercentPhaseFOV",
    "ReceiveCoilName": "ReceiveCoilName",
    "TransmitCoilName": "TransmitCoilName",
    "InPlanePhaseEncodingDirection": "InPlanePhaseEncodingDirectionDICOM",
    "FlipAngle": "FlipAngle",
    "KVP": "KVP",
    "XRayTubeCurrent": "XRayTubeCurrent",
    "XRayExposure": "XRayExposure",
    "ConvolutionKernel": "ConvolutionKernel",
    "DecayCorrection": "DecayCorrection",
    UNITS: "Units",
}
SECONDS_FROM_MS: Final = ("RepetitionTime", "EchoTime", "InversionTime")
COORDINATES: Final = {TE: ("EchoTime", 1e-3), TI: ("InversionTime", 1e-3), FA: ("FlipAngle", 1.0)}
PHASE_AXIS: Final = {"ROW": "i", "COL": "j", "COLUMN": "j"}


def sidecar_text(da: xr.DataArray, layout: Layout, timing: Timing) -> str:
    """
    Return the text of the JSON file.

    Parameters
    ----------
    da : xarray.DataArray
        `attrs` by DICOM keyword, times in ms.
    layout : Layout
    timing : Timing
    """
    content = _from_attrs(da.attrs)
    for name, (key, factor) in COORDINATES.items():
        if name in da.coords and da.coords[name].dtype.kind in "iuf" and da.coords[name].ndim < 2:
            content[key] = plain(np.round(da.coords[name].values * factor, 9))
    if layout.nifti_shape[2] > 1:
        content["SpacingBetweenSlices"] = round(layout.zooms[2], 6)
    if timing.volumes:
        content["VolumeTiming"] = list(timing.volumes)
        # BIDS allows one of the two, and calls the time between excitations by its own name.
        if "RepetitionTime" in content:
            content["RepetitionTimeExcitation"] = content.pop("RepetitionTime")
    content["ConversionSoftware"] = "imagedata_xr"
    content["ConversionSoftwareVersion"] = _own_version()
    content[KEY] = {"dims": list(layout.nifti_dims), "coords": _coords(da, layout)}
    if layout.is_placed:
        content[KEY][AFFINE] = layout.affine.tolist()
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _from_attrs(attrs: dict[Any, Any]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for keyword, key in PLAIN.items():
        if _is_simple(attrs.get(keyword)):
            content[key] = plain(attrs[keyword])
    for keyword in SECONDS_FROM_MS:
        value = attrs.get(keyword)
        if _is_simple(value) and not isinstance(value, str):
            content[keyword] = plain(np.round(np.asarray(value, dtype=float) / 1000, 9))
    clock = _clock(attrs.get("AcquisitionTime"))
    if clock:
        content["AcquisitionTime"] = clock
    axis = PHASE_AXIS.get(str(attrs.get("InPlanePhaseEncodingDirection", "")).upper())
    if axis:
        content["PhaseEncodingAxis"] = axis
    return content


def _coords(da: xr.DataArray, layout: Layout) -> dict[str, Any]:
    """Return the numeric coordinates that do not follow from the matrix of the file."""
    return described(da, reversed_dims=layout.reversed_dims)


def _is_simple(value: Any) -> bool:
    return isinstance(value, str | int | float | list | tuple | np.generic | np.ndarray)


def _clock(value: Any) -> str | None:
    """Return a DICOM time (PS3.5 6.2, TM) with the colons of BIDS."""
    text = str(value) if value is not None else ""
    digits, _, fraction = text.partition(".")
    if not (digits.isdigit() and len(digits) == 6):
        return None
    return f"{digits[:2]}:{digits[2:4]}:{digits[4:]}.{fraction.ljust(6, '0')[:6]}"


def _own_version() -> str:
    try:
        return version("imagedata_xr")
    except PackageNotFoundError:
        return "unknown"
