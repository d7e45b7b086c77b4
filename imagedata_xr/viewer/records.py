"""Outlines between the viewer, where they are numbers in one slice, and regions in the patient."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from imagedata_xr import schema
from imagedata_xr.roi import Contour, Roi

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from imagedata_xr.viewer.planes import Scene

__all__ = ["Record", "contour_at", "in_plane", "to_records", "to_rois"]

# Of the slice distance: an outline belongs to the slice in which it lies.
NEAR = 0.05


class Record(TypedDict):
    """
    What the browser knows of the outlines of one structure in one slice.

    Attributes
    ----------
    id : str
    name, color, kind : str
        As of `Roi`.
    axis, index : int
        Which axis is cut, and where.
    frame : list of int, or None
        Index along the acquisition dimensions; None holds for all.
    loops : list of [xs, ys]
        Positions along the axes that run across and down, even-odd.
    """

    id: str
    name: str
    color: str
    kind: str
    axis: int
    index: int
    frame: list[int] | None
    loops: list[list[list[float]]]


def directions(scene: Scene) -> NDArray[np.floating]:
    """Return the directions of slice, row and column; those of `roi.grid_for` without geometry."""
    flat = np.array([[0.0, 0, 1], [0, 1, 0], [1, 0, 0]])
    return flat if scene.directions is None else scene.directions


def contour_at(scene: Scene, axis: int, index: int, xs: ArrayLike, ys: ArrayLike) -> Contour:
    """Return an outline that was drawn in one slice as patient positions."""
    plane = scene.planes[axis]
    along = np.empty((len(np.asarray(xs)), 3))
    along[:, axis] = scene.positions[axis][index]
    along[:, plane.across], along[:, plane.down] = xs, ys
    return Contour(along @ directions(scene).T)


def in_plane(roi: Roi, scene: Scene, axis: int, index: int) -> list[NDArray[np.floating]]:
    """Return the outlines in one slice, positions along slice, row and column, shape (n, 3)."""
    positions = scene.positions[axis]
    step = abs(float(np.median(np.diff(positions)))) if positions.size > 1 else 1.0
    found = []
    for contour in roi.contours:
        along = np.linalg.solve(directions(scene), contour.points.T).T
        if np.abs(along[:, axis] - positions[index]).max() <= NEAR * step:
            found.append(along)
    return found


def to_rois(
    records: Iterable[Mapping[str, Any]], scene: Scene, known: Mapping[str, Roi] | None = None
) -> list[Roi]:
    """
    Return regions in the patient from the records of the browser.

    Outlines of one structure, in one family of slices and at one place of the acquisition, are
    one `Roi`; of those that were drawn one by one on the same slice, each is a `Roi` of its own,
    so that where they overlap there is no hole.

    Parameters
    ----------
    records : iterable of Record
    scene : Scene
    known : mapping of name to Roi, optional
        Whose number, code and thickness are kept: the browser does not have them.
    """
    known = known or {}
    taken = {roi.number for roi in known.values()}
    free = (number for number in itertools.count(1) if number not in taken)
    numbers = {name: roi.number for name, roi in known.items() if roi.number}
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    drawn: Counter[tuple[Any, ...]] = Counter()
    for record in records:
        frame = None if record["frame"] is None else tuple(record["frame"])
        key = (record["name"], record["axis"], frame)
        layer = drawn[*key, record["index"]]
        drawn[*key, record["index"]] += 1
        groups.setdefault((*key, layer), []).append(record)
    rois = []
    for (name, axis, frame, _), group in groups.items():
        contours = tuple(
            contour_at(scene, axis, record["index"], xs, ys)
            for record in group
            for xs, ys in record["loops"]
            if len(xs) >= 3
        )
        rois.append(
            Roi(
                name=name,
                color=group[0]["color"],
                kind=group[0]["kind"],
                contours=contours,
                select=_select(scene, frame),
                number=numbers.get(name) or numbers.setdefault(name, next(free)),
                code=known[name].code if name in known else None,
                thickness=known[name].thickness if name in known else _thickness(scene, axis),
            )
        )
    return [roi for roi in rois if roi.contours]


def to_records(rois: Iterable[Roi], scene: Scene) -> tuple[list[Record], list[Roi]]:
    """
    Return the records of regions, and those regions that lie in no slice of the image.

    The latter cannot be edited here, but they are kept.
    """
    records: list[Record] = []
    left: list[Roi] = []
    for k, roi in enumerate(rois):
        places = [_place_of(contour, scene) for contour in roi.contours]
        frame = _frame(scene, roi.select)
        if None in places or (roi.select and frame is None):
            left.append(roi)
            continue
        groups: dict[tuple[int, int], list[list[list[float]]]] = {}
        for axis, index, along in filter(None, places):
            plane = scene.planes[axis]
            loop = [along[:, plane.across].tolist(), along[:, plane.down].tolist()]
            groups.setdefault((axis, index), []).append(loop)
        records.extend(
            Record(
                id=f"p{k}.{axis}.{index}",
                name=roi.name,
                color=roi.color,
                kind=roi.kind,
                axis=axis,
                index=index,
                frame=frame,
                loops=loops,
            )
            for (axis, index), loops in groups.items()
        )
    return records, left


def _place_of(contour: Contour, scene: Scene) -> tuple[int, int, NDArray[np.floating]] | None:
    along = np.linalg.solve(directions(scene), contour.points.T).T
    for axis in np.argsort(np.ptp(along, axis=0), kind="stable").tolist():
        positions = scene.positions[axis]
        index = int(np.abs(positions - along[0, axis]).argmin())
        step = abs(float(np.median(np.diff(positions)))) if positions.size > 1 else 1.0
        if np.abs(along[:, axis] - positions[index]).max() <= NEAR * step:
            return axis, index, along
    return None


def _thickness(scene: Scene, axis: int) -> float | None:
    positions = scene.positions[axis]
    if positions.size > 1:
        step = abs(float(np.median(np.diff(positions))))
    else:
        name = schema.SPATIAL[axis]
        attrs = scene.image.coords[name].attrs if name in scene.image.coords else {}
        step = float(attrs.get(schema.SPACING, 0) or 0)
    matrix = directions(scene)
    first, second = (matrix[:, k] for k in range(3) if k != axis)
    normal = np.cross(first, second)
    size = step * abs(float(normal @ matrix[:, axis])) / float(np.linalg.norm(normal))
    return size if size > 0 else None


def _select(scene: Scene, frame: Sequence[int] | None) -> dict[Hashable, Any]:
    if frame is None:
        return {}
    return {
        name: scene.image.coords[name].values[k].item() if name in scene.image.coords else k
        for name, k in zip(scene.dims, frame, strict=True)
    }


def _frame(scene: Scene, select: Mapping[Hashable, Any]) -> list[int] | None:
    """Return the index along every acquisition dimension, None where it is not one frame."""
    if set(select) != set(scene.dims) or not select:
        return None
    frame = []
    for name in scene.dims:
        labels = scene.image.coords[name].values if name in scene.image.coords else None
        if labels is None:
            frame.append(int(select[name]))
        elif labels.dtype.kind in "iuf":
            frame.append(int(np.abs(labels - float(select[name])).argmin()))
        else:
            frame.append(labels.tolist().index(select[name]))
    return frame
