"""What the browser is told about a series: places, dimensions, text, windows. Plain values only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from imagedata_xr import schema
from imagedata_xr.display import windows

if TYPE_CHECKING:
    from collections.abc import Iterable

    import xarray as xr
    from numpy.typing import NDArray

    from imagedata_xr.viewer.overlays import Overlay
    from imagedata_xr.viewer.planes import Lines, Plane, Scene

__all__ = ["describe", "spaces"]

# Units of DICOM (and of the coordinates) -> on the screen.
WRITTEN: Final = {"BQML": "Bq/ml", "s/mm2": "s/mm²", "mm2/s": "mm²/s", "GML": "g/ml"}


def describe(
    scene: Scene,
    picture: NDArray[Any],
    overlay: Overlay | None,
    *,
    suv: float | None = None,
    phi: bool,
) -> dict[str, Any]:
    """
    Return the description of one series.

    Parameters
    ----------
    scene : Scene
    picture : ndarray
        Any of its pictures.
    overlay : Overlay or None
    suv : float, optional
        By what the values are multiplied to make SUV.
    phi : bool
        Whether it may say who the patient is.

    Returns
    -------
    dict
        Of numbers, texts, lists and dicts, as JSON has them.
    """
    image = scene.image
    named = [
        (name, *windows.limits(center, width)) for name, center, width in windows.presets(image)
    ]
    if suv is not None:
        made = [(name, center / suv, width / suv) for name, center, width in windows.SUV_PRESETS]
        named += [(name, *windows.limits(center, width)) for name, center, width in made]
    low, high = (0.0, 1.0) if scene.colour else windows.percentiles(picture)
    return {
        "patient": _patient(scene) if phi else [],
        "title": _title(scene, phi=phi),
        "shape": list(scene.shape),
        "positions": [p.tolist() for p in scene.positions],
        "directions": None if scene.directions is None else scene.directions.tolist(),
        "thickness": [_thickness(scene, k) for k in range(3)],
        "space": "",
        "unit": scene.unit,
        "units": _unit(image),
        "dims": [_dimension(scene, name) for name in scene.dims],
        "planes": [_plane(plane) for plane in scene.planes],
        "colour": scene.colour,
        "suv": suv,
        "span": max(high - low, 1e-12),
        "presets": [{"name": n, "low": float(lo), "high": float(hi)} for n, lo, hi in named[:9]],
        "overlay": None if overlay is None else _overlay(overlay),
    }


def spaces(scenes: Iterable[Scene]) -> list[str]:
    """
    Return a number for each patient space that positions are in; empty without geometry.

    Images without a Frame of Reference UID share one where they are of one patient. Numbers, so
    that a page says neither.
    """
    keys: list[tuple[str, str] | None] = []
    for scene in scenes:
        attrs = scene.image.attrs
        frame = str(attrs.get("FrameOfReferenceUID", ""))
        own = ("", frame) if frame else ("patient", str(attrs.get("PatientID", "")))
        keys.append(None if scene.directions is None else own)
    return ["" if key is None else str(keys.index(key)) for key in keys]


def _unit(array: xr.DataArray) -> str:
    """Return the unit as people write it."""
    found = str(array.attrs.get(schema.UNITS, ""))
    return WRITTEN.get(found, found)


def _date(value: Any) -> str:
    """Return a date (DA) as ISO 8601 has it; what is none stays as it is."""
    text = str(value)
    return f"{text[:4]}-{text[4:6]}-{text[6:]}" if len(text) == 8 and text.isdigit() else text


def _patient(scene: Scene) -> list[str]:
    attrs = scene.image.attrs
    lines = [
        str(attrs.get("PatientName", "")),
        "  ".join(
            str(attrs[key]) for key in ("PatientID", "PatientSex", "PatientAge") if key in attrs
        ),
        "  ".join(
            _date(attrs[key]) if key == "StudyDate" else str(attrs[key])
            for key in ("StudyDate", "StudyDescription")
            if key in attrs
        ),
    ]
    return [line for line in lines if line.strip()]


def _title(scene: Scene, *, phi: bool) -> list[str]:
    attrs = scene.image.attrs
    number, text = attrs.get("SeriesNumber"), attrs.get("SeriesDescription", "")
    first = ". ".join(str(one) for one in (number, text) if one not in (None, ""))
    if not phi and number is not None:
        # Free text may name the patient.
        first = f"series {number}"
    elif not phi:
        first = ""
    return [line for line in (first, str(attrs.get("Modality", ""))) if line.strip()]


def _thickness(scene: Scene, axis: int) -> float:
    name = schema.SPATIAL[axis]
    attrs = scene.image.coords[name].attrs if name in scene.image.coords else {}
    return float(attrs.get(schema.SPACING, 1.0) or 1.0)


def _dimension(scene: Scene, name: str) -> dict[str, Any]:
    image = scene.image
    count = image.sizes[name]
    if name not in image.coords:
        places = list(range(count))
        labels = [str(k) for k in places]
        beside = _beside(image, name)
        return {
            "name": name,
            "unit": "",
            "labels": labels,
            "named": False,
            "beside": beside,
            "places": places,
        }
    values = np.asarray(image.coords[name].values)
    numeric = values.dtype.kind in "iuf"
    return {
        "name": name,
        "unit": _unit(image.coords[name]),
        "labels": [f"{v:.6g}" if numeric else str(v) for v in values.tolist()],
        "named": True,
        "beside": _beside(image, name),
        "places": values.astype(float).tolist() if numeric else list(range(count)),
    }


def _beside(image: xr.DataArray, name: str) -> list[str]:
    """Return what else is known at each place: b values of volumes, times of echoes."""
    lines: list[list[str]] = [[] for _ in range(image.sizes[name])]
    own = [str(n) for n, coord in image.coords.items() if coord.dims == (name,)]
    if name != schema.VOLUME:
        return [""] * len(lines)
    for other in schema.ACQUISITION:
        for line, value in zip(
            lines, image.coords[other].values if other in own else (), strict=False
        ):
            if np.isfinite(value):
                unit = schema.UNITS_OF[other]
                line.append(f"{other} {value:.4g} {WRITTEN.get(unit, unit)}")
    if set(schema.BVEC) <= set(own):
        vectors = np.stack([image.coords[axis].values for axis in schema.BVEC], axis=1)
        for line, vector in zip(lines, vectors, strict=True):
            if np.isfinite(vector).all() and vector.any():
                line.append("(" + ", ".join(f"{part:.2f}" for part in vector) + ")")
    return ["  ".join(line) for line in lines]


def _plane(plane: Plane) -> dict[str, Any]:
    return {
        "through": plane.through,
        "across": plane.across,
        "down": plane.down,
        "columns": _lines(plane.columns),
        "rows": _lines(plane.rows),
        "x_range": list(plane.x_range),
        "y_range": list(plane.y_range),
        "letters": list(plane.letters),
        "note": f"axes at {plane.angle:.0f}°: the picture is sheared" if plane.sheared else "",
    }


def _lines(lines: Lines) -> dict[str, Any]:
    return {"start": lines.start, "step": lines.step, "index": lines.index.tolist()}


def _overlay(overlay: Overlay) -> dict[str, Any]:
    image = overlay.image
    return {
        "name": "overlay" if image.name in (None, schema.IMAGE) else str(image.name),
        "units": "" if overlay.discrete else _unit(image),
        "low": overlay.low,
        "high": overlay.high,
        "labels": overlay.labels,
        "colors": overlay.palette if overlay.labels else [],
        "discrete": overlay.discrete,
    }
