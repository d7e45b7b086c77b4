"""The engine ``nifti``: values, places, names of axes, and what stands beside a file."""

from __future__ import annotations

import json
import pickle
from typing import ClassVar

import numpy as np
import pytest
import xarray as xr
from nifti_images import FLIPS, PLANES, dwi, image, world

from imagedata_xr.errors import DataWarning, FormatError, GeometryError, ImagedataError, OptionError
from imagedata_xr.formats.nifti import to_nifti
from imagedata_xr.testing import EngineConformance, Phantom, write_series

nib = pytest.importorskip("nibabel")


def opened(path, **options):
    return xr.open_dataarray(path, engine="nifti", **options)


def saved(path, values, affine=None, kind=nib.Nifti1Image, **fields):
    """Write a file by nibabel, with header fields set afterwards."""
    img = kind(values, np.diag([2.0, 3, 4, 1]) if affine is None else affine)
    for name, value in fields.items():
        img.header[name] = value
    nib.save(img, path)
    return path


# --- The suite that every engine passes


class Written(EngineConformance):
    """An image read as DICOM, written and read again."""

    ENGINE: ClassVar[str] = "nifti"
    SUFFIX = ".nii"
    ATOL_MM = 1e-4

    def make(self, folder):
        path = folder / ("image" + self.SUFFIX)
        if not path.exists():
            folder.mkdir(exist_ok=True)
            write_series(self.PHANTOM, folder / "dicom")
            series = xr.open_dataarray(folder / "dicom", engine="dicom").load()
            # NIfTI stores rows upside down: the truth is turned round, so that they are not
            to_nifti(series, path)
        return path

    def dataset(self, folder, **options):
        found = super().dataset(folder, **options)
        for name, size in self.truth_sizes(found).items():
            if size:
                found = found.isel({name: slice(None, None, -1)})
        return found

    def truth_sizes(self, found):
        """Return whether each spatial axis runs against that of the truth."""
        truth = self.truth()
        grid = found.med.grid
        steps = np.diff(truth.points[:2, :2, :2], axis=0)[0, 0, 0], 0
        del steps
        ours = grid.orientation
        theirs = truth.affine[:3, :3]
        return {
            name: bool(ours[:, k] @ theirs[:, k] < 0)
            for k, name in enumerate(("slice", "row", "column"))
        }
