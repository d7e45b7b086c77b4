"""
What stands beside a NIfTI file: the BIDS ``.json``, and ``.bval`` and ``.bvec`` of FSL.

Names and units of BIDS become DICOM keywords and the units of DICOM: times in ms.
"""

from __future__ import annotations

import contextlib
import json
import math
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from imagedata_xr.errors import SourceNotFoundError
from imagedata_xr.formats.nifti.sidecar import PLAIN, SECONDS_FROM_MS
from imagedata_xr.geometry import lps_ras
from imagedata_xr.schema import FA, TE, TI
from imagedata_xr.sources import LocalFile, neighbour
from imagedata_xr.stored import KEY, left_out

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from imagedata_xr.frames import Source

__all__ = ["Beside", "attributes", "beside_source", "in_patient", "read_beside"]

BESIDE: Final = (".json", ".bval", ".bvec")
SUFFIXES: Final = (".gz", ".nii", ".hdr", ".img")
KEYWORD_OF: Final = {key: keyword for keyword, key in PLAIN.items()}
LONGEST_TEXT: Final = 16 << 20
AXES_OF: Final = {"EchoTime": TE, "InversionTime": TI, "FlipAngle": FA}
# Said by the array itself.
LEFT_OUT: Final = (
    KEY,
    "VolumeTiming",
    "SpacingBetweenSlices",
    "ConversionSoftware",
    "ConversionSoftwareVersion",
)
LONGEST_INTEGER: Final = 2**63


@dataclass(frozen=True, slots=True, eq=False)
class Beside:
    """
    Contents of the files beside an image.

    Attributes
    ----------
    json : dict
        Of the ``.json``; empty without one.
    b : ndarray or None
        Of the ``.bval``, s/mm2, one a volume.
    vectors : ndarray or None
        Of the ``.bvec``, as stored, shape (volumes, 3).
    """

    json: dict[str, Any] = field(default_factory=dict)
    b: NDArray[np.float64] | None = None
    vectors: NDArray[np.float64] | None = None


def read_beside(path: str, volumes: int) -> Beside:
    """
    Return what stands beside a file; a file that cannot be understood is left out.

    Parameters
    ----------
    path : str
        Of the image.
    volumes : int
        How many 3-D volumes the image has.

    Warns
    -----
    DataWarning
        For each file left out.
    """
    image = Path(path)
    name = stem_of(image.name)
    texts = {suffix: _text(image.with_name(name + suffix)) for suffix in BESIDE}
    b, vectors = _numbers(texts[".bval"], name + ".bval"), _rows(texts[".bvec"], name + ".bvec")
    if b is not None and b.size != volumes:
        left_out(f"{name}.bval", f"it has {b.size} values for {volumes} volumes")
        b = None
    if vectors is not None and (b is None or len(vectors) != volumes):
        left_out(f"{name}.bvec", f"it has {len(vectors)} vectors for {volumes} volumes")
        vectors = None
    return Beside(_parsed(texts[".json"], name + ".json"), b, vectors)


def beside_source(source: Source, volumes: int) -> Beside:
    """
    Return what stands beside an image on disk, in an archive, or behind a URL.

    Parameters
    ----------
    source : Source
        Of the image.
    volumes : int
        How many 3-D volumes the image has.

    Warns
    -----
    DataWarning
        For each file left out.
    """
    if isinstance(source, LocalFile):
        return read_beside(source.path, volumes)
    name = source.name.rpartition("::")[2].rpartition("/")[2]
    stem = stem_of(name)
    with tempfile.TemporaryDirectory(prefix="imagedata_xr-") as private:
        for suffix in BESIDE:
            found = neighbour(source, stem + suffix)
            if found is None:
                continue
            # Some file systems only know when they read.
            with contextlib.suppress(SourceNotFoundError):
                Path(private, stem + suffix).write_bytes(found.read(0, LONGEST_TEXT + 1))
        return read_beside(str(Path(private, stem + ".nii")), volumes)


def stem_of(name: str) -> str:
    """Return the name of an image without its endings."""
    for suffix in SUFFIXES:
        if name.lower().endswith(suffix):
            name = name[: -len(suffix)]
    return name


def _text(path: Path) -> str | None:
    try:
        if not path.is_file():
            return None
        if path.stat().st_size > LONGEST_TEXT:
            left_out(path.name, "it is too long")
            return None
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        left_out(path.name, str(error))
        return None


def _parsed(text: str | None, name: str) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        left_out(name, f"it is no JSON: {error}")
        return {}
    if not isinstance(content, dict):
        left_out(name, "it is no JSON object")
        return {}
    return content


def _numbers(text: str | None, name: str) -> NDArray[np.float64] | None:
    if text is None:
        return None
    try:
        return np.array([float(word) for word in text.replace(",", " ").split()])
    except ValueError as error:
        left_out(name, str(error))
        return None


def _rows(text: str | None, name: str) -> NDArray[np.float64] | None:
    """Return the vectors: three lines of components, or three numbers a line."""
    numbers = _numbers(text, name)
    if text is None or numbers is None:
        return None
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) == 3 and numbers.size % 3 == 0:
        return numbers.reshape(3, -1).T
    if numbers.size == 3 * len(lines):
        return numbers.reshape(-1, 3)
    left_out(name, "it is no table of three rows")
    return None


def in_patient(vectors: NDArray[np.float64], affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """
    Return gradient directions in patient LPS, as unit vectors or zero.

    Parameters
    ----------
    vectors : ndarray of float, shape (n, 3)
        Along the axes of the file; FSL turns x round where the determinant is positive.
    affine : ndarray of float, shape (4, 4)
        Takes voxel indices to RAS mm.
    """
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    side = np.sign(np.linalg.det(axes))
    # A tilted stack has no orthogonal k axis: the gradients were played out along the normal.
    normal = np.cross(axes[:, 0], axes[:, 1]) * side
    axes[:, 2] = normal / np.linalg.norm(normal)
    along = np.nan_to_num(vectors) * [-side, 1, 1]
    world = np.asarray(lps_ras(along @ np.linalg.inv(axes)), dtype=np.float64)
    length = np.linalg.norm(world, axis=1, keepdims=True)
    unit = np.divide(world, length, out=np.zeros_like(world), where=length > 0)
    return np.asarray(unit + 0.0)


def attributes(content: Mapping[str, Any], axes: Sequence[str]) -> dict[str, Any]:
    """
    Return the attributes of the image by DICOM keyword; other names stay as they are.

    Parameters
    ----------
    content : mapping
        Of the ``.json``.
    axes : sequence of str
        Names of coordinates, whose values are no attributes.
    """
    found: dict[str, Any] = {}
    for key, stored in content.items():
        value = _simple(stored)
        taken = AXES_OF.get(key) in axes
        if value is None or taken or key in LEFT_OUT or not key.isidentifier():
            continue
        if key in SECONDS_FROM_MS and not isinstance(value, str):
            value = _simple(np.round(np.multiply(value, 1000.0), 6).tolist())
        elif key == "AcquisitionTime" and isinstance(value, str):
            value = value.replace(":", "")
        found[KEYWORD_OF.get(key, key)] = value
    excitation = found.pop("RepetitionTimeExcitation", None)
    if isinstance(excitation, int | float) and "RepetitionTime" not in found:
        found["RepetitionTime"] = round(excitation * 1000.0, 6)
    return found


def _simple(value: Any) -> Any:
    """Return a str, int, float or flat list of these, else None."""
    if not isinstance(value, list):
        return _scalar(value)
    parts = [_scalar(part) for part in value]
    kinds = {type(part) for part in parts}
    if kinds == {str} or (kinds and kinds <= {int, float}):
        return parts if len(parts) > 1 else parts[0]
    return None


def _scalar(value: Any) -> str | int | float | None:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int) and abs(value) >= LONGEST_INTEGER:
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float) else None
