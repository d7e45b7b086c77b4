"""Numbers of regions: a table for one frame, and curves along an acquisition dimension."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from imagedata_xr import schema
from imagedata_xr.roi import mask
from imagedata_xr.roi.place import cell_sizes, grid_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from imagedata_xr.roi import Roi
    from imagedata_xr.viewer.planes import Scene
    from imagedata_xr.viewer.slices import SliceSource

__all__ = ["curves", "table", "voxels"]


def voxels(rois: Iterable[Roi], scene: Scene, frame: Sequence[int]) -> NDArray[np.bool_]:
    """Return the voxels inside regions that hold at one frame, shape (slices, rows, columns)."""
    spatial = scene.image.isel(dict.fromkeys(scene.dims, 0), drop=True)
    if schema.RGB in spatial.dims:
        spatial = spatial.isel({schema.RGB: 0}, drop=True)
    inside = np.zeros(scene.shape, dtype=bool)
    for roi in rois:
        if all(_holds(scene, name, value, frame) for name, value in roi.select.items()):
            anywhere = type(roi)(
                name=roi.name, contours=roi.contours, thickness=roi.thickness, kind=roi.kind
            )
            inside |= np.asarray(mask(anywhere, spatial).transpose(*schema.SPATIAL))
    return inside


def table(rois: Iterable[Roi], source: SliceSource, frame: Sequence[int]) -> list[dict[str, Any]]:
    """
    Return the numbers of each structure in one frame.

    Parameters
    ----------
    rois : iterable of Roi
        Those of one name are one structure.
    source : SliceSource
    frame : sequence of int
        Index along each acquisition dimension.

    Returns
    -------
    list of dict
        ``name``, ``n`` (voxels), ``volume_ml``, ``mean``, ``sd`` (of a sample), ``min``, ``max``, ``p5``,
        ``median``, ``p95`` and ``units``; NaN does not count. Volume is None without geometry,
        values are None for colours.
    """
    scene = source.scene
    rows = []
    for name, group in _structures(rois).items():
        inside = voxels(group, scene, frame)
        row: dict[str, Any] = {
            "name": name,
            "n": int(inside.sum()),
            "volume_ml": _volume(scene, inside),
        }
        if not scene.colour:
            row |= _numbers(_values(source, frame, inside))
        row["units"] = str(scene.image.attrs.get(schema.UNITS, ""))
        rows.append(row)
    return rows


def curves(
    rois: Iterable[Roi], source: SliceSource, frame: Sequence[int], dimension: int
) -> dict[str, NDArray[np.float64]]:
    """
    Return the mean of each structure along one acquisition dimension, NaN where it is empty.

    Parameters
    ----------
    rois : iterable of Roi
    source : SliceSource
    frame : sequence of int
        Where the other acquisition dimensions stand.
    dimension : int
        Which acquisition dimension.
    """
    scene = source.scene
    count = scene.image.sizes[scene.dims[dimension]]
    found: dict[str, NDArray[np.float64]] = {}
    for name, group in _structures(rois).items():
        always = not any(roi.select for roi in group)
        inside = voxels(group, scene, frame)
        means = np.full(count, np.nan)
        for k in range(count):
            place = [*frame]
            place[dimension] = k
            if not always:
                inside = voxels(group, scene, place)
            values = _values(source, place, inside)
            if values.size:
                means[k] = values.mean()
        found[name] = means
    return found


def _structures(rois: Iterable[Roi]) -> dict[str, list[Roi]]:
    found: dict[str, list[Roi]] = {}
    for roi in rois:
        found.setdefault(roi.name, []).append(roi)
    return found


def _holds(scene: Scene, name: Any, value: Any, frame: Sequence[int]) -> bool:
    if name not in scene.dims:
        return False
    at = frame[scene.dims.index(name)]
    own = scene.image.coords[name].values[at] if name in scene.image.coords else at
    if isinstance(value, str):
        return str(own) == value
    return bool(np.isclose(float(own), float(value), rtol=0, atol=1e-6))


def _values(
    source: SliceSource, frame: Sequence[int], inside: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return the values of the voxels inside; only slices that have some are read."""
    parts = [
        source.values(tuple(frame), 0, k)[inside[k]]
        for k in np.flatnonzero(inside.any(axis=(1, 2))).tolist()
    ]
    if not parts:
        return np.empty(0)
    values = np.concatenate(parts)
    values = np.abs(values) if values.dtype.kind == "c" else values
    values = values.astype(np.float64)
    return np.asarray(values[np.isfinite(values)])


def _numbers(values: NDArray[np.float64]) -> dict[str, float | None]:
    names = ("mean", "sd", "min", "max", "p5", "median", "p95")
    if not values.size:
        return dict.fromkeys(names)
    spread = float(values.std(ddof=1)) if values.size > 1 else None
    low, middle, high = (float(v) for v in np.percentile(values, (5, 50, 95)))
    numbers = (values.mean(), spread, values.min(), values.max(), low, middle, high)
    return {
        name: None if number is None else float(number)
        for name, number in zip(names, numbers, strict=True)
    }


def _volume(scene: Scene, inside: NDArray[np.bool_]) -> float | None:
    """Return ml; slices that lie unevenly count with half the distance to their neighbours."""
    if scene.directions is None:
        return None
    grid = grid_for(scene.image)
    sizes = [cell_sizes(axis) for axis in grid.axes]
    if any(not np.isfinite(size).all() for size in sizes):
        return None
    places = np.nonzero(inside)
    each = sizes[0][places[0]] * sizes[1][places[1]] * sizes[2][places[2]]
    return float(each.sum() * abs(np.linalg.det(scene.directions)) / 1000)
