"""A made-up dynamic series of a head: written as DICOM, opened, converted and compared."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagedata_xr.errors import MissingDependencyError, WriteError

if TYPE_CHECKING:
    import xarray as xr

    from imagedata_xr.testing import Phantom

__all__ = ["Comparison", "compare", "demo", "head"]

_SERIES = 14
_DESCRIPTION = "fl3d_dynamic"


@dataclass(frozen=True, slots=True)
class Comparison:
    """
    How a NIfTI file differs from the array that it was made of.

    Attributes
    ----------
    voxels : int
        How many were compared.
    different : int
        How many have another value.
    distance : float
        Largest distance between the two positions of a voxel, mm.
    """

    voxels: int
    different: int
    distance: float


def demo(folder: str | None = None) -> int:
    """
    Show the whole way: DICOM files in, a labelled array, a NIfTI file out, and both compared.

    Parameters
    ----------
    folder : str, optional
        Where to put the files; a new temporary folder by default, which stays.

    Returns
    -------
    int
        Exit status: 0 if every voxel is the same.

    Raises
    ------
    ImagedataError
        The folder is not empty, or a part of the way failed.
    """
    _require_nibabel()
    root = _empty_folder(folder)
    import xarray as xr

    from imagedata_xr.formats.nifti import to_nifti
    from imagedata_xr.testing import write_series

    phantom = head()
    files = write_series(phantom, root / "dicom", subfolders=True)
    volumes, slices = len(phantom.volume_values), phantom.shape[0]
    print(f"Made {len(files)} shuffled DICOM files: {volumes} times x {slices} slices")
    for path in files[:2]:
        print(f"  {path}")
    print(f'\n>>> series = xr.open_dataarray("{root / "dicom"}", engine="dicom")\n>>> series')
    with xr.open_dataarray(root / "dicom", engine="dicom") as series:
        print(_text(series))
        path = root / f"{_SERIES}_{_DESCRIPTION}.nii.gz"
        print(f'\n>>> series.med.to_nifti("{path}")')
        to_nifti(series, path)
        found = compare(series, path)
    print(f"\nRead back with nibabel: {found.voxels - found.different} of {found.voxels} voxels")
    print(f"are the same, at positions that differ by at most {found.distance:.1g} mm")
    print(f"\nThe files are in {root}")
    return 0 if found.different == 0 else 1


def head() -> Phantom:
    """Return a dynamic MR series of a head in which contrast agent arrives."""
    from imagedata_xr.testing import Head, Phantom

    return Phantom(
        axes={"time": [2.5 * k for k in range(20)]},
        shape=(12, 128, 112),
        spacing=(9.0, 1.9, 1.9),
        orientation=(8.0, -5.0, 3.0),
        value=Head(),
        noise=25.0,
        slice_delay=0.2,
        series=_SERIES,
        attributes={"SeriesNumber": _SERIES, "SeriesDescription": _DESCRIPTION},
    )


def compare(image: xr.DataArray, path: Path) -> Comparison:
    """
    Compare an array with a NIfTI file, voxel by voxel at the same place in the patient.

    Parameters
    ----------
    image : xarray.DataArray
        With at most one dimension besides slice, row and column.
    path : pathlib.Path
        Of the NIfTI file.
    """
    import numpy as np

    from imagedata_xr.index import grid_of

    nibabel = _require_nibabel()
    stored = nibabel.load(path)
    values = np.asarray(stored.dataobj)
    values = np.moveaxis(values, -1, 0) if values.ndim > 3 else values
    indices = np.indices(values.shape[-3:]).reshape(3, -1)
    homogeneous = np.vstack([indices, np.ones(indices.shape[1])])
    there = stored.affine @ homogeneous
    affine = grid_of(image).affine_ras
    places = np.rint(np.linalg.solve(affine, there)).astype(np.intp)
    here = affine @ places
    distance = float(np.linalg.norm((there - here)[:3], axis=0).max())
    ours = image.values[(..., *places[:3])]
    theirs = values.reshape(*values.shape[:-3], -1)
    return Comparison(theirs.size, int((ours != theirs).sum()), distance)


def _require_nibabel() -> Any:
    try:
        import nibabel
    except ImportError as error:
        raise MissingDependencyError(
            'the demonstration needs nibabel: pip install "imagedata_xr[nifti]"'
        ) from error
    return nibabel


def _empty_folder(folder: str | None) -> Path:
    if folder is None:
        return Path(tempfile.mkdtemp(prefix="imagedata_xr_demo_"))
    root = Path(folder)
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise WriteError(f"{root} exists and is not an empty folder")
    root.mkdir(parents=True, exist_ok=True)
    return root


def _text(series: xr.DataArray) -> str:
    """Return how a notebook's text form shows the array, without its many attributes."""
    import xarray as xr

    with xr.set_options(display_expand_attrs=False, display_width=96):  # type: ignore[no-untyped-call]
        return str(series)
