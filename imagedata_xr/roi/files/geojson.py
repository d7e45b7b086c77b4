"""
Regions as JSON, in the form of GeoJSON (RFC 7946): a FeatureCollection of MultiPolygons.

Positions are x, y, z in patient LPS, mm, instead of longitude and latitude; each ring is a polygon of
its own, and those in one plane combine by the even-odd rule. Numbers have all their digits.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from imagedata_xr.errors import FormatError, ImagedataError
from imagedata_xr.roi.model import Code, Contour, Roi
from imagedata_xr.targets import complete_file

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["read_json", "write_json"]

FORMAT: Final = "imagedata_xr.roi"
VERSION: Final = 1


def write_json(
    rois: Sequence[Roi], path: Path, *, frame_of_reference: Any, overwrite: bool
) -> None:
    """
    Write regions.

    Parameters
    ----------
    rois : sequence of Roi
    path : Path
    frame_of_reference : str or None
        In which the positions are meant.
    overwrite : bool

    Raises
    ------
    WriteError
        The file exists, or the disk refuses.
    """
    content: dict[str, Any] = {
        "type": "FeatureCollection",
        "format": FORMAT,
        "version": VERSION,
        "space": "LPS",
        "units": "mm",
    }
    if frame_of_reference:
        content["FrameOfReferenceUID"] = str(frame_of_reference)
    content["features"] = [_feature(roi) for roi in rois]
    text = json.dumps(content, ensure_ascii=False, allow_nan=False)
    with complete_file(path, overwrite=overwrite) as part:
        part.write_text(text + "\n", encoding="utf-8", newline="\n")


def read_json(path: Path) -> tuple[list[Roi], list[str | None]]:
    """
    Return regions, and the frame of reference if the file names one.

    Raises
    ------
    FormatError
        It is not what `write_json` writes.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise FormatError(f"{path}: no JSON: {error}") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise FormatError(f"{path}: JSON, but no regions: it has no 'format': {FORMAT!r}")
    if content.get("version") != VERSION:
        raise FormatError(
            f"{path}: version {content.get('version')!r} of the format, and {VERSION} is known: "
            "a newer imagedata_xr wrote it"
        )
    if (content.get("space"), content.get("units")) != ("LPS", "mm"):
        raise FormatError(f"{path}: positions are not in LPS and mm")
    features, frame = content.get("features") or [], content.get("FrameOfReferenceUID")
    if not isinstance(features, list) or not isinstance(frame, str | None):
        raise FormatError(f"{path}: 'features' is no list, or 'FrameOfReferenceUID' no text")
    rois = []
    for number, feature in enumerate(features):
        try:
            rois.append(_roi(feature))
        except (ImagedataError, TypeError, ValueError, KeyError, AttributeError) as error:
            raise FormatError(f"{path}: feature {number} is no region: {error}") from error
    return rois, [frame]


def _feature(roi: Roi) -> dict[str, Any]:
    properties: dict[str, Any] = {"name": roi.name, "color": roi.color, "kind": roi.kind}
    if roi.select:
        properties["select"] = {str(k): _plain(v) for k, v in roi.select.items()}
    if roi.number:
        properties["number"] = roi.number
    if roi.code is not None:
        properties["code"] = list(roi.code)
    if roi.thickness is not None:
        properties["thickness"] = roi.thickness
    rings = [[*c.points.tolist(), c.points[0].tolist()] for c in roi.contours]
    return {
        "type": "Feature",
        "properties": properties,
        "geometry": {"type": "MultiPolygon", "coordinates": [[ring] for ring in rings]},
    }


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _roi(feature: Any) -> Roi:
    given = feature["properties"]
    geometry = feature["geometry"]
    if geometry["type"] != "MultiPolygon":
        raise ValueError(f"geometry {geometry['type']!r} is no MultiPolygon")
    rings = [ring for polygon in geometry["coordinates"] for ring in polygon]
    code = given.get("code")
    return Roi(
        name=given["name"],
        color=given["color"],
        kind=str(given.get("kind", "polygon")),
        contours=tuple(Contour(np.array(ring, dtype=np.float64)) for ring in rings),
        select=dict(given.get("select", {})),
        number=given.get("number", 0),
        code=None if code is None else Code(*code),
        thickness=given.get("thickness"),
    )
