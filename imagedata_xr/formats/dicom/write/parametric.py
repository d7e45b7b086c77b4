"""Floating point values as they are: one Parametric Map with all frames (PS3.3 A.75 and C.8.32)."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from pydicom import DataElement, Dataset
from pydicom.sequence import Sequence as Items

from imagedata_xr import schema
from imagedata_xr.errors import DataWarning, OptionError, WriteError
from imagedata_xr.formats.dicom.vendors import term_of
from imagedata_xr.formats.dicom.write.coded import code_items
from imagedata_xr.formats.dicom.write.enhanced import COMPLEX, POINTERS, label_groups
from imagedata_xr.formats.dicom.write.functional import (
    FrameGroups,
    Origins,
    new_instance,
    put_extra,
)
from imagedata_xr.formats.dicom.write.instances import save
from imagedata_xr.formats.dicom.write.numbers import decimal
from imagedata_xr.formats.dicom.write.origin import origin_of
from imagedata_xr.formats.dicom.write.uids import new_uid
from imagedata_xr.progress import track

if TYPE_CHECKING:
    from pathlib import Path

    import xarray as xr
    from numpy.typing import DTypeLike, NDArray

    from imagedata_xr.formats.dicom.write.layout import Layout
    from imagedata_xr.formats.dicom.write.series import Wish

__all__ = ["float_type", "is_map", "write_map"]

PARAMETRIC_MAP: Final = "1.2.840.10008.5.1.4.1.1.30"
_NAMES: Final = ("float", "float32", "float64")
_PIXELS: Final = {4: ("FloatPixelData", "OF"), 8: ("DoubleFloatPixelData", "OD")}
_DERIVATION: Final = ("113097", "DCM", "Unspecified method of calculation")
_NOT_ACQUIRED: Final = ("SEG", "SR", "RTSTRUCT", "RTDOSE", "RTPLAN", "REG", "PR", "KO")
_CONTENT: Final = "FrameContentSequence"
# Units of arrays whose codes of UCUM have other texts (PS3.16 CID 7181 and 84).
_UCUM: Final = {
    "": ("1", "no units"),
    "HU": ("[hnsf'U]", "Hounsfield unit"),
    "BQML": ("Bq/ml", "Becquerels/milliliter"),
    "SUVbw": ("g/ml{SUVbw}", "Standardized Uptake Value body weight"),
    "g/ml": ("g/ml", "g/ml"),
}
_LONGEST: Final = {"LUTLabel": 16, "code": 16, "LUTExplanation": 64}


def is_map(da: xr.DataArray) -> bool:
    """Tell whether an array holds the floating point values of a parametric map."""
    return da.dtype.name in _NAMES and da.attrs.get("SOPClassUID") == PARAMETRIC_MAP


def float_type(pixel: DTypeLike | None, dtype: np.dtype[Any]) -> np.dtype[Any] | None:
    """
    Return the type of floating point pixels that the caller wants, None where it wants integers.

    Parameters
    ----------
    pixel : dtype-like or None
        ``"float"``: the one that holds the values of the array.
    dtype : dtype
        Of the array.
    """
    try:
        wanted = np.dtype("float64" if pixel == "float" else pixel)
    except TypeError:
        return None
    if pixel is None or wanted.name not in _NAMES:
        return None
    if pixel == "float":
        narrow = np.can_cast(dtype, np.float32) or dtype.kind == "b"
        return np.dtype("<f4" if narrow else "<f8")
    return wanted.newbyteorder("<")


def write_map(layout: Layout, wish: Wish, path: Path, template: Any, dtype: np.dtype[Any]) -> None:
    """
    Write all frames of an array as one instance.

    Parameters
    ----------
    layout : Layout
    wish : Wish
    path : pathlib.Path
    template : DataArray, path, URL or None
    dtype : dtype
        Of the stored pixels: float32 or float64.

    Raises
    ------
    WriteError
        Values do not fit exactly, or colours.
    OptionError
        No attribute of a frame can say where it is along a dimension.
    """
    if layout.is_rgb:
        raise WriteError("a parametric map has no colours: leave out pixel=")
    origin = origin_of(layout, template, asked={element.keyword for element in wish.extra})
    placed = layout.grid is not None
    modality = str(origin.header.get("Modality") or "OT")
    # Of the equipment that acquired the images: a map of it is read as such.
    modality = "OT" if modality in _NOT_ACQUIRED else modality
    dataset: Any = new_instance(origin.header, PARAMETRIC_MAP, modality, placed=placed)
    if not placed:
        # The class has one always.
        dataset.FrameOfReferenceUID = origin.header.get("FrameOfReferenceUID") or new_uid()
        dataset.PositionReferenceIndicator = None
    data, low, high = _pixels(layout, wish, dtype)
    _put_facts(dataset, layout)
    groups = _put_groups(dataset, layout, Origins(layout, origin.sources, wish.sources))
    _put_values(groups.shared, layout, low, high)
    groups.finish()
    dataset.Rows, dataset.Columns = layout.plane
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dtype.itemsize * 8
    keyword, vr = _PIXELS[dtype.itemsize]
    dataset.add(DataElement(keyword, vr, data))
    put_extra(dataset, wish.extra)
    save(dataset, path)


def _pixels(layout: Layout, wish: Wish, dtype: np.dtype[Any]) -> tuple[bytes, float, float]:
    """Return all values as bytes, and the range of the finite ones."""
    low, high, parts, missing = np.inf, -np.inf, [], 0
    planes = layout.planes()
    for _ in track(range(int(np.prod(layout.shape))), "writing", show=wish.progress):
        _, plane = next(planes)
        stored = plane.astype(dtype)
        if not np.array_equal(stored.astype(plane.dtype), plane, equal_nan=plane.dtype.kind == "f"):
            raise WriteError(
                f"{plane.dtype} values are not exact as {dtype.name}: pixel='float64', or "
                f"da.astype('{dtype.name}') where rounding is meant"
            )
        finite = np.isfinite(stored)
        missing += int(stored.size - np.count_nonzero(finite))
        if finite.any():
            low = min(low, float(stored.min(where=finite, initial=np.inf)))
            high = max(high, float(stored.max(where=finite, initial=-np.inf)))
        parts.append(np.ascontiguousarray(stored).tobytes())
    if missing:
        warnings.warn(
            f"{missing} values are NaN or infinite, and are stored so: not every reader of "
            "parametric maps expects them",
            DataWarning,
            stacklevel=4,
        )
    return b"".join(parts), *((low, high) if low <= high else (0.0, 0.0))


def _put_facts(dataset: Any, layout: Layout) -> None:
    """Put what all parametric maps have (PS3.3 C.8.32.2 and C.7.6.16)."""
    flavour = "VOLUME" if layout.grid is not None else "OTHER"
    dataset.ImageType = ["DERIVED", "PRIMARY", flavour, "QUANTITY"]
    dataset.ContentLabel = "MAP"
    dataset.ContentDescription = dataset.ContentCreatorName = None
    dataset.ContentQualification = "RESEARCH"
    dataset.BurnedInAnnotation = "NO"
    # Nobody knows, and a face may be there.
    dataset.RecognizableVisualFeatures = "YES"
    dataset.Laterality = None
    dataset.PixelPresentation = "MONOCHROME"
    dataset.PresentationLUTShape = "IDENTITY"
    dataset.AcquisitionContextSequence = Items([])
    dataset.DerivationDescription = "Computed with imagedata_xr; values stored exactly"


def _put_groups(dataset: Any, layout: Layout, origins: Origins) -> FrameGroups:
    """Add the groups of each frame, with what labels it along the dimensions."""
    dims = [name for name in layout.leading if name != schema.SLICE]
    pointers = [_pointer(name, layout) for name in dims]
    groups = FrameGroups(dataset, layout, origins, derivation=_DERIVATION, pointers=pointers)
    columns = {name: layout.along(name) for name in (*POINTERS, *schema.BVEC)}
    known = {name: column for name, column in columns.items() if column is not None}
    times = sorted(set(known[schema.TIME].ravel().tolist())) if schema.TIME in known else []
    ranks = {name: _ranks(layout, name) for name in dims}
    for index in np.ndindex(layout.shape):
        at = dict(zip(layout.leading, index, strict=True))
        group = groups.add(index, [ranks[name][at[name]] for name in dims])
        labels = {name: column[index] for name, column in known.items()}
        group.ParametricMapFrameTypeSequence = _frame_type(dataset, labels)
        if schema.TIME in labels:
            labels.pop(schema.TRIGGER_TIME, None)
        for name, item in label_groups(labels, times).items():
            if name == _CONTENT:
                group.FrameContentSequence[0].update(item)
            else:
                setattr(group, name, Items([item]))
        if schema.VOLUME in dims:
            group.FrameContentSequence[0].FrameAcquisitionNumber = at[schema.VOLUME] + 1
    return groups


def _frame_type(dataset: Any, labels: dict[str, Any]) -> Items:
    """Return the frame type of one frame, with the name of the map where it is one of several."""
    item: Any = Dataset()
    item.FrameType = list(dataset.ImageType)
    kind = str(labels.get(schema.COMPONENT, "magnitude"))
    if kind.upper() not in COMPLEX:
        item.FrameType = [*dataset.ImageType[:3], term_of(kind)]
    return Items([item])


def _pointer(name: str, layout: Layout) -> tuple[str, str]:
    if name == schema.VOLUME:
        return _CONTENT, "FrameAcquisitionNumber"
    if name not in POINTERS or layout.along(name) is None:
        raise OptionError(
            f"no attribute of a frame says where it is along {name!r}: write one map for each, "
            f"e.g. of da.isel({name}=0)"
        )
    return POINTERS[name]


def _ranks(layout: Layout, name: str) -> list[int]:
    """Return the place of each value of a dimension in ascending order, from 1."""
    coord = layout.image.coords.get(name)
    size = layout.image.sizes[name]
    if coord is None or name == schema.VOLUME:
        return list(range(1, size + 1))
    ranks: NDArray[np.intp] = np.unique(coord.values, return_inverse=True)[1]
    return [int(rank) + 1 for rank in ranks]


def _put_values(shared: Any, layout: Layout, low: float, high: float) -> None:
    """Say what the stored values mean: they are the values (PS3.3 C.7.6.16.2.11)."""
    units = str(layout.image.attrs.get(schema.UNITS) or "")
    code, meaning = _UCUM.get(units, (units, units))
    mapping: Any = Dataset()
    label = "MAP" if layout.image.name in (None, "") else str(layout.image.name)
    mapping.LUTExplanation = label[: _LONGEST["LUTExplanation"]]
    mapping.LUTLabel = label[: _LONGEST["LUTLabel"]]
    mapping.DoubleFloatRealWorldValueFirstValueMapped = low
    mapping.DoubleFloatRealWorldValueLastValueMapped = high
    mapping.RealWorldValueIntercept, mapping.RealWorldValueSlope = 0.0, 1.0
    mapping.MeasurementUnitsCodeSequence = code_items((code, "UCUM", meaning[:64]))
    shared.RealWorldValueMappingSequence = Items([mapping])
    identity: Any = Dataset()
    identity.RescaleIntercept, identity.RescaleSlope, identity.RescaleType = "0", "1", "US"
    shared.PixelValueTransformationSequence = Items([identity])
    window: Any = Dataset()
    window.WindowCenter = decimal((low + high) / 2)
    window.WindowWidth = decimal(high - low if high > low else 1.0)
    # Widths below 1 are allowed for this function only (PS3.3 C.11.2.1.3.2).
    window.VOILUTFunction = "LINEAR_EXACT"
    shared.FrameVOILUTSequence = Items([window])
