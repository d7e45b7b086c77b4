"""
The corpus of real series against dcm2niix, which is run here and now.

``python tests/corpus_oracle.py [FOLDER...]`` prints the table of series and verdicts that
``docs/explanation/corpus.md`` holds. The corpus is found through the variable IMAGEDATA_XR_CORPUS.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import xarray as xr

import imagedata_xr  # noqa: F401 - registers the accessor
from imagedata_xr.errors import ImagedataError, ImagedataWarning

ROOT = Path(__file__).resolve().parent.parent
CORPUS = Path(os.environ.get("IMAGEDATA_XR_CORPUS", ROOT.parent / "shared" / "corpus"))
# Largest distance of a corner voxel, mm: that of the float32 matrix that dcm2niix writes.
CORNER = 1e-4

# dcm2niix is right within the corner tolerance on all others.
UNLIKE_DCM2NIIX = {
    "ct_philips_tilt_p165": "dcm2niix leaves the shear of the tilted gantry out of its matrix",
    "ct_tilt14": "dcm2niix leaves the shear of the tilted gantry out of its matrix",
    "ct_tilt_missing_slice": "a slice is missing: we offer no matrix and say so",
    "ct_uneven_gap": "slices are uneven: we offer no matrix and say so",
    "ct_same_position": "no slice thickness in the header: we offer no matrix",
    "mr_siemens_dce_time_dupinst": "dcm2niix writes a singular matrix",
    "mr_siemens_incomplete_te": "incomplete: an error that says what is missing",
    "mr_ge_localizer3": "three orientations: an error that lists them",
}
# Corners may differ by what dcm2niix's single precision costs it; the table measures that.
ROUNDED_BY_DCM2NIIX = 4e-3


def entries(kind: str | None = "series") -> list[Path]:
    """Return the folders of the corpus that hold one series."""
    manifests = sorted(CORPUS.glob("*/manifest.json"))
    return [m.parent for m in manifests if kind in (None, json.loads(m.read_text()).get("kind"))]


def dcm2niix() -> str | None:
    """Return the path of the program, beside the interpreter or on the PATH."""
    beside = Path(sys.executable).with_name("dcm2niix")
    return str(beside) if beside.exists() else shutil.which("dcm2niix")


@dataclass(frozen=True)
class Verdict:
    """How one series compares."""

    name: str
    dims: str
    corner: float | None
    volumes: str
    text: str

    @property
    def equal(self) -> bool:
        """Whether every voxel of every volume was found at its place."""
        return self.text == "equal"


def converted(folder: Path, out: Path) -> list[tuple[np.ndarray, np.ndarray, Path]]:
    """Run dcm2niix; return data (i, j, k, volumes...), RAS matrix and path of every image."""
    program = dcm2niix()
    assert program is not None
    command = [
        program,
        "-z",
        "n",
        "-b",
        "y",
        "-p",
        "n",
        "-f",
        "%s_%e_%p",
        "-o",
        str(out),
        str(folder),
    ]
    subprocess.run(command, check=False, capture_output=True, timeout=300)
    images = []
    for path in sorted(out.glob("*.nii")):
        if path.stem.endswith(("_Tilt_1", "_Eq_1", "_Eq", "_ROI1")) or "_Eq_" in path.stem:
            continue
        image: Any = nib.load(path)
        data = np.asanyarray(image.dataobj)
        images.append((data, np.asarray(image.affine), path))
    return images


def on_grid(data: np.ndarray, matrix: np.ndarray, ours: xr.DataArray) -> tuple[np.ndarray, float]:
    """
    Bring dcm2niix's volume to the order of our axes by their positions alone.

    Returns the data (volumes, slice, row, column) and the largest distance of a corner, mm.
    """
    shape = [ours.sizes[d] for d in ("slice", "row", "column")]
    own = ours.med.affine_ras
    if shape[0] == 1:
        # The size of a single slice is no position.
        own, matrix = own.copy(), matrix.copy()
        k = int(
            np.argmax(np.abs(own[:3, 0] @ matrix[:3, :3]) / np.linalg.norm(matrix[:3, :3], axis=0))
        )
        matrix[:3, k] = own[:3, 0]
    change = np.linalg.inv(matrix) @ own
    order = np.abs(change[:3, :3]).argmax(axis=0)
    if sorted(order) != [0, 1, 2]:
        raise ValueError("axes are not parallel")
    spatial = data.shape[:3] if data.ndim > 2 else (*data.shape, 1)
    data = data.reshape(*spatial, -1)
    moved = data.transpose(3, *order)
    if list(moved.shape[1:]) != shape:
        raise ValueError(f"shape {moved.shape[1:]} is not {tuple(shape)}")
    for axis in range(3):
        if change[order[axis], axis] < 0:
            moved = np.flip(moved, axis + 1)
            flip = np.eye(4)
            column = order[axis]
            flip[column, column], flip[column, 3] = -1, spatial[column] - 1
            matrix = matrix @ flip
    corners = np.array(
        [[a * (n - 1) for a, n in zip(c, shape, strict=True)] + [1] for c in np.ndindex(2, 2, 2)]
    )
    permuted = np.eye(4)
    permuted[:, :3] = 0
    for axis in range(3):
        permuted[order[axis], axis] = 1
    distance = np.abs((own - matrix @ permuted) @ corners.T)[:3].max()
    return moved, float(distance)


def values_equal(one: np.ndarray, other: np.ndarray) -> bool:
    """Tell whether two volumes are the same, up to the rounding of float32."""
    if one.dtype.kind in "iu" and other.dtype.kind in "iu":
        return bool(np.array_equal(one, other))
    scale = max(float(np.abs(other).max()), 1e-12)
    return bool(np.abs(one.astype(np.float64) - other).max() <= 1e-6 * scale)


def compare(folder: Path, **options: Any) -> Verdict:
    """Open a folder, convert it with dcm2niix, and look for every volume of ours in theirs."""
    name = folder.name
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", ImagedataWarning)
            ours = xr.open_dataarray(folder / "dicom", engine="dicom", **options)
            values = ours.to_numpy()
    except ImagedataError as error:
        return Verdict(name, "", None, "", f"{type(error).__name__}: {str(error).splitlines()[0]}")
    said = sorted(
        {type(w.message).__name__ for w in caught if issubclass(w.category, ImagedataWarning)}
    )
    dims = " x ".join(f"{d} {n}" for d, n in ours.sizes.items())
    if "slice" not in ours.dims:
        return Verdict(name, dims, None, "", "no position in the patient")
    colour = "rgb" in ours.dims
    lead = values.shape[: -4 if colour else -3]
    flat = values.reshape(-1, *values.shape[len(lead) :])
    found = np.zeros(len(flat), dtype=int)
    corner = 0.0
    problems = []
    with tempfile.TemporaryDirectory() as out:
        images = converted(folder / "dicom", Path(out))
        for data, matrix, path in images:
            bands = [data[band] for band in data.dtype.names or ()]
            try:
                moved, distance = on_grid(np.stack(bands, -1) if bands else data, matrix, ours)
            except (ValueError, ImagedataError) as error:
                problems.append(f"{path.stem}: {error}")
                continue
            corner = max(corner, distance)
            for volume in [np.moveaxis(moved, 0, -1)] if bands else moved:
                same = [k for k in range(len(flat)) if values_equal(flat[k], volume)]
                if not same:
                    problems.append(f"{path.stem}: a volume that we do not have")
                free = [k for k in same if not found[k]]
                found[(free or same or [0])[0]] += bool(same)
    volumes = f"{int((found > 0).sum())}/{len(flat)}"
    text = "; ".join(dict.fromkeys([*problems, *(["corner"] if corner > CORNER else []), *said]))
    if (found == 0).any() and not text:
        text = "volumes that dcm2niix does not have"
    return Verdict(name, dims, corner, volumes, text or "equal")


def header_positions(folder: Path) -> np.ndarray:
    """Return Image Position (Patient) of every frame, as pydicom reads it, LPS mm."""
    found = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        dataset = pydicom.dcmread(path, stop_before_pixels=True, force=True)
        groups = dataset.get("PerFrameFunctionalGroupsSequence") or ()
        holders = [group.PlanePositionSequence[0] for group in groups] or [dataset]
        found.extend(holder.ImagePositionPatient for holder in holders)
    return np.array(found, dtype=float)


def off_header(folder: Path) -> tuple[float, float]:
    """Return how far our voxels and dcm2niix's lie from the header's positions, mm."""
    ours = xr.open_dataarray(folder / "dicom", engine="dicom").med.affine
    with tempfile.TemporaryDirectory() as out:
        theirs = np.diag([-1, -1, 1, 1]) @ converted(folder / "dicom", Path(out))[0][1]
    points = header_positions(folder / "dicom")
    points = np.column_stack([points, np.ones(len(points))]).T
    distances = []
    for matrix in (ours, theirs):
        nearest = matrix @ np.round(np.linalg.inv(matrix) @ points)
        distances.append(float(np.abs(nearest - points).max()))
    return distances[0], distances[1]


def explained(verdict: Verdict) -> str:
    """Return the verdict in words."""
    if verdict.equal:
        return "equal"
    if verdict.name in UNLIKE_DCM2NIIX:
        return UNLIKE_DCM2NIIX[verdict.name]
    found, _, total = verdict.volumes.partition("/")
    if verdict.text == "corner" and found == total and (verdict.corner or 1) < ROUNDED_BY_DCM2NIIX:
        ours, theirs = off_header(CORPUS / verdict.name)
        return f"equal; off the header's positions: ours {ours:.0e}, dcm2niix {theirs:.0e} mm"
    return f"DIFFERENT: {verdict.text[:160]}"


def main(folders: list[str]) -> None:
    """Print the table."""
    print("| series | ours | corner, mm | volumes found | verdict |")
    print("|---|---|---|---|---|")
    for folder in [Path(f) for f in folders] or entries():
        verdict = compare(folder)
        corner = "" if verdict.corner is None else f"{verdict.corner:.1e}"
        row = (verdict.name, verdict.dims, corner, verdict.volumes, explained(verdict))
        print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
