"""Values of the frames that become coordinates of the image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from imagedata_xr import schema
from imagedata_xr.dataset import Labels
from imagedata_xr.errors import OptionError
from imagedata_xr.formats.dicom.headerstore import HeaderStore
from imagedata_xr.formats.dicom.whose import whose_of
from imagedata_xr.frames import alike, attribute
from imagedata_xr.sorting.columns import read
from imagedata_xr.sortkeys import readings

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from imagedata_xr.frames import Frame, Frames
    from imagedata_xr.sorting import Cube

__all__ = ["earliest", "per_frame"]

# DICOM times have microseconds.
_DECIMALS = 6
_ACQUIRED = frozenset({"AcquisitionDateTime", "AcquisitionDate+AcquisitionTime", "AcquisitionTime"})
# Directions are turned with the cosines of each slice, which differ in their last digits.
_ROUNDING = 1e-4


def per_frame(cube: Cube, flat: Frames, coords: Sequence[str]) -> dict[str, Labels]:
    """
    Return the values of the frames that become coordinates.

    Parameters
    ----------
    cube : Cube
    flat : Frames
        Those of the cube, one after the other.
    coords : sequence of str
        DICOM keywords that the user wants beside those that every image has.

    Raises
    ------
    OptionError
        No frame has a value for one of `coords`.
    """
    shape = cube.frames.shape
    dims = set(cube.names)
    keys = [frame.hash for frame in flat]
    found: dict[str, Labels] = {schema.FRAME: Labels(np.array(keys, dtype=np.int64).reshape(shape))}
    for name, column in _moments(cube, flat).items():
        found[name] = Labels(column.reshape(shape), {schema.UNITS: schema.UNITS_OF[name]})
    for name in (schema.TE, schema.TI, schema.FA, schema.B):
        numbers = _numbers(read(readings(name)[0], flat))
        if name not in dims and numbers is not None and _varies(numbers):
            found[name] = Labels(
                numbers.reshape(shape), {schema.UNITS: schema.UNITS_OF[name]}, tolerance=_ROUNDING
            )
    found.update(_directions(flat, shape))
    for keyword in coords:
        found[keyword] = Labels(_wanted(keyword, flat).reshape(shape))
    uids = attribute(schema.SERIES, flat)
    series = np.array([str(uid or "") for uid in uids[: 1 if alike(uids) else None]])
    places = [(frame.ref.source, frame.ref.number) for frame in flat]
    store = HeaderStore(dict(zip(keys, places, strict=True)), _labels(cube), whose_of(flat))
    whole = np.resize(series, shape)
    found[schema.SERIES] = Labels(whole, {}, {schema.HEADERS: store})
    return found


def _labels(cube: Cube) -> dict[str, npt.NDArray[Any]]:
    """Return the label of every frame along each acquisition dimension."""
    places = np.indices(cube.frames.shape)
    return {dim.name: dim.labels[places[k].ravel()] for k, dim in enumerate(cube.dims)}


def _numbers(values: Sequence[Any]) -> npt.NDArray[np.float64] | None:
    """Return values as floats, NaN where one is missing; None where none is finite."""
    if alike(values) and not isinstance(values[0], int | float):
        return None
    listed = [float(v) if isinstance(v, int | float) else np.nan for v in values]
    column = np.array(listed, dtype=np.float64)
    return column if np.isfinite(column).any() else None


def _varies(column: npt.NDArray[np.float64]) -> bool:
    return bool(np.ptp(column[np.isfinite(column)]) > 0)


def _moments(cube: Cube, flat: Sequence[Frame]) -> dict[str, npt.NDArray[np.float64]]:
    """Return the frames' own times, on the same zero as the dimension ``time`` where it has one."""
    found: dict[str, npt.NDArray[np.float64]] = {}
    used = next((dim for dim in cube.dims if dim.name == schema.TIME), None)
    source, column = _acquired(flat)
    if column is not None:
        known = used is not None and used.source == source
        start = used.start if used is not None and known else None
        first = float(column.min()) if start is None else start
        moments = np.asarray(np.round(column - first, _DECIMALS), dtype=np.float64)
        if _varies(moments):
            found[schema.ACQUISITION_TIME] = moments
    for name, keyword in ((schema.TRIGGER_TIME, "TriggerTime"), (schema.SLICE_TIME, "SliceTime")):
        numbers = _numbers(attribute(keyword, flat))
        if numbers is not None and _varies(numbers):
            found[name] = numbers
    return found


def _acquired(frames: Sequence[Frame]) -> tuple[str, npt.NDArray[np.float64] | None]:
    """Return the moments at which the frames were acquired, and the attributes that say so."""
    for key in readings(schema.TIME):
        if key.source in _ACQUIRED:
            column = _numbers(read(key, frames))
            if column is not None and not np.isnan(column).any():
                return key.source, column
    return "", None


def earliest(frames: Sequence[Frame]) -> Frame:
    """Return the frame that was acquired first, the first one where the header does not say."""
    _, column = _acquired(frames)
    return frames[0 if column is None else int(column.argmin())]


def _directions(flat: Sequence[Frame], shape: tuple[int, ...]) -> dict[str, Labels]:
    """Return gradient directions in patient LPS; frames without one (b = 0) have the zero vector."""
    rows = attribute("DiffusionGradientOrientation", flat)
    if not any(isinstance(row, tuple) and len(row) == 3 for row in rows):
        return {}
    table = np.array(
        [row if isinstance(row, tuple) and len(row) == 3 else (0.0, 0.0, 0.0) for row in rows],
        dtype=np.float64,
    )
    return {
        name: Labels(table[:, k].reshape(shape), tolerance=_ROUNDING, group="bvec")
        for k, name in enumerate(schema.BVEC)
    }


def _wanted(keyword: str, flat: Sequence[Frame]) -> npt.NDArray[Any]:
    values = attribute(keyword, flat)
    if all(value is None for value in values):
        raise OptionError(f"coords: no frame has a value for {keyword!r}")
    if all(isinstance(value, int | float) for value in values):
        return np.array(values)
    numbers = _numbers(values)
    if numbers is not None and all(
        value is None or isinstance(value, int | float) for value in values
    ):
        return numbers
    return np.array(
        ["\\".join(map(str, v)) if isinstance(v, tuple) else str(v or "") for v in values]
    )
