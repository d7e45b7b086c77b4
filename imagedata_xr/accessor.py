"""The accessor ``.med``: a facade without state over free functions."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from imagedata_xr import provenance, schema
from imagedata_xr.errors import GeometryError, OptionError
from imagedata_xr.facade import stands_for
from imagedata_xr.index import grid_of, restore_indexes

if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from pathlib import Path

    import numpy.typing as npt
    import pandas as pd

    from imagedata_xr.construct import Space
    from imagedata_xr.geometry import Grid
    from imagedata_xr.viewer.viewer import Viewer

__all__ = ["Med"]


@xr.register_dataset_accessor("med")  # type: ignore[no-untyped-call]
@xr.register_dataarray_accessor("med")  # type: ignore[no-untyped-call]
class Med:
    """
    Medical image functions of a DataArray, or of a Dataset with the variable ``image``.

    All geometry is derived from the coordinates ``slice``, ``row`` and ``column`` each time, so
    it is right after any xarray operation that keeps them. Matrices and index arrays have the
    order slice, row, column; positions are patient LPS (DICOM), in mm.

    Examples
    --------
    >>> series.med.spacing
    (3.0, 2.0, 1.5)
    >>> series.med.header(time=0, slice=1).Modality
    'MR'
    """

    def __init__(self, obj: xr.DataArray | xr.Dataset) -> None:
        self._obj = obj

    def __repr__(self) -> str:
        try:
            text = provenance.summary(self._image)
        except OptionError as error:
            text = str(error)
        return f"{text}\n  help(da.med) lists what .med does"

    @property
    def _image(self) -> xr.DataArray:
        if isinstance(self._obj, xr.DataArray):
            return self._obj
        if schema.IMAGE not in self._obj:
            raise OptionError(
                f"the Dataset has no variable {schema.IMAGE!r}: take the array itself"
            )
        return self._obj[schema.IMAGE]

    @property
    def grid(self) -> Grid:
        """Positions of the voxels (`imagedata_xr.geometry.Grid`); GeometryError if they are gone."""
        return grid_of(self._obj)

    @property
    def affine(self) -> npt.NDArray[np.floating]:
        """Matrix (4, 4) from (slice, row, column, 1) indices to patient LPS, mm."""
        return self.grid.affine

    @property
    def affine_ras(self) -> npt.NDArray[np.floating]:
        """Matrix (4, 4) from (slice, row, column, 1) indices to patient RAS (NIfTI), mm."""
        return self.grid.affine_ras

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distance of neighbouring slices, rows and columns, mm."""
        return self.grid.spacing

    @property
    def origin(self) -> npt.NDArray[np.floating]:
        """Centre of the first voxel, patient LPS, mm, shape (3,)."""
        return self.grid.origin

    @property
    def orientation(self) -> npt.NDArray[np.floating]:
        """Unit vectors of increasing slice, row and column index as columns, LPS, shape (3, 3)."""
        return self.grid.orientation

    def points(self) -> xr.DataArray:
        """Return the centre of every voxel: patient LPS, mm, on a last dimension ``xyz``."""
        points = self.grid.points()
        dims = (*schema.SPATIAL, "xyz")
        kept = xr.DataArray(points, dims=dims, attrs={schema.UNITS: schema.MM})
        kept = kept.isel({name: 0 for name in schema.SPATIAL if name not in self._obj.dims})
        coords = {name: self._obj.coords[name] for name in schema.SPATIAL if name in self._obj.dims}
        kept = kept.assign_coords({"xyz": ["x", "y", "z"], **coords}).reset_coords(drop=True)
        return restore_indexes(kept)

    def index_to_world(self, indices: npt.ArrayLike) -> npt.NDArray[np.floating]:
        """
        Return the position of one voxel or of many.

        Parameters
        ----------
        indices : array_like, shape (..., 3)
            Slice, row and column indices; may be fractional.

        Returns
        -------
        ndarray, shape (..., 3)
            Patient LPS, mm.
        """
        return _each(self.grid.index_to_world, indices)

    def world_to_index(self, points: npt.ArrayLike) -> npt.NDArray[np.floating]:
        """
        Return the (fractional) slice, row and column indices of one position or of many.

        Parameters
        ----------
        points : array_like, shape (..., 3)
            Patient LPS, mm.

        Returns
        -------
        ndarray, shape (..., 3)
        """
        return _each(self.grid.world_to_index, points)

    def restore(self) -> Any:
        """Return the object with its tolerant indexes, after netCDF, Zarr, coarsen, pad or broadcast."""
        obj: Any = self._obj
        return restore_indexes(obj)

    def frames(self) -> pd.DataFrame:
        """Return a table of one row a frame: labels, values, file and number in the file."""
        return provenance.frame_table(self._obj)

    def header(self, index: int | None = None, **indexers: int) -> Any:
        """
        Return the full header of one frame as a pydicom Dataset, without pixels.

        Parameters
        ----------
        index : int, optional
            Row of `frames`.
        **indexers : int
            Or the frame's place along named dimensions, e.g. ``time=0, slice=3``.
        """
        return provenance.header(self._obj, index, **indexers)

    def info(self, buf: Any = None) -> None:
        """
        Print the dimensions, what each was read from, and how the pixels are stored.

        Parameters
        ----------
        buf : file-like, optional
            Where to write; standard output by default.
        """
        print(provenance.summary(self._image), file=sys.stdout if buf is None else buf)

    @stands_for("imagedata_xr.suv.suv")
    def suv(self) -> xr.DataArray:
        """Return PET values as SUV by body weight, g/ml; see `imagedata_xr.suv.suv`."""
        from imagedata_xr.suv import suv

        return suv(self._image)

    @stands_for("imagedata_xr.formats.dicom.like.like")
    def like(self, template: Any, *, geometry: bool | str = False) -> xr.DataArray:
        """Return the image as one of a DICOM series's patient; see `imagedata_xr.formats.dicom.like`."""
        from imagedata_xr.formats.dicom.like import like

        return like(self._image, template, geometry=geometry)

    @stands_for("imagedata_xr.resampling.resample_like")
    def resample_like(self, other: xr.DataArray | xr.Dataset, **options: Any) -> xr.DataArray:
        """Return the image on another one's grid; see `imagedata_xr.resampling.resample_like`."""
        from imagedata_xr.resampling import resample_like

        return resample_like(self._image, other, **options)

    @stands_for("imagedata_xr.resampling.resample")
    def resample(self, spacing: Any = None, **options: Any) -> xr.DataArray:
        """Return the image evenly spaced, in mm; see `imagedata_xr.resampling.resample`."""
        from imagedata_xr.resampling import resample

        return resample(self._image, spacing, **options)

    @stands_for("imagedata_xr.resampling.reorient")
    def reorient(self, orientation: str) -> xr.DataArray:
        """Return the voxels in another order; see `imagedata_xr.resampling.reorient`."""
        from imagedata_xr.resampling import reorient

        return reorient(self._image, orientation)

    @stands_for("imagedata_xr.resampling.align")
    def align(self, other: xr.DataArray | xr.Dataset, **options: Any) -> xr.DataArray:
        """Return the image on another one's coordinates; see `imagedata_xr.resampling.align`."""
        from imagedata_xr.resampling import align

        return align(self._image, other, **options)

    @stands_for("imagedata_xr.display.to_rgb")
    def to_rgb(self, **options: Any) -> xr.DataArray:
        """Return the image in colours; see `imagedata_xr.display.to_rgb`."""
        from imagedata_xr.display import to_rgb

        return to_rgb(self._image, **options)

    @stands_for("imagedata_xr.display.overlay")
    def overlay(self, over: xr.DataArray, **options: Any) -> xr.DataArray:
        """Return the image with a mask or map over it; see `imagedata_xr.display.overlay`."""
        from imagedata_xr.display import overlay

        return overlay(self._image, over, **options)

    @stands_for("imagedata_xr.formats.dicom.deidentify.deidentify")
    def deidentify(self, profile: Any = "basic", **options: Any) -> xr.DataArray:
        """Return the image without the patient's identity; see `imagedata_xr.deidentify`."""
        from imagedata_xr.formats.dicom.deidentify import deidentify

        return deidentify(self._image, profile, **options)

    @stands_for("imagedata_xr.roi.stats")
    def roi_stats(self, regions: Any = None, **options: Any) -> pd.DataFrame:
        """Return n, volume, mean, sd... within regions; see `imagedata_xr.roi.stats`."""
        from imagedata_xr.roi import stats

        return stats(self._image, regions, **options)

    @stands_for("imagedata_xr.pictures.montage")
    def montage(self, **options: Any) -> Any:
        """Return all slices side by side, as a picture; see `imagedata_xr.pictures.montage`."""
        from imagedata_xr.pictures import montage

        return montage(self._image, **options)

    @stands_for("imagedata_xr.pictures.to_image")
    def to_image(self, path: str | os.PathLike[str], **options: Any) -> Path:
        """Write a picture or film (.png, .gif, .mp4...); see `imagedata_xr.to_image`."""
        from imagedata_xr.pictures import to_image

        return to_image(self._image, path, **options)

    @stands_for("imagedata_xr.formats.nifti.to_nifti")
    def to_nifti(self, path: str | os.PathLike[str], **options: Any) -> Path | str:
        """Write a NIfTI file; see `imagedata_xr.to_nifti`."""
        from imagedata_xr.formats.nifti import to_nifti

        return to_nifti(self._image, path, **options)

    @stands_for("imagedata_xr.formats.itk.to_itk")
    def to_itk(self, path: str | os.PathLike[str], **options: Any) -> Path | str:
        """Write a file of ITK (.mha, .nrrd, .vtk...); see `imagedata_xr.to_itk`."""
        from imagedata_xr.formats.itk import to_itk

        return to_itk(self._image, path, **options)

    @stands_for("imagedata_xr.formats.mat.to_mat")
    def to_mat(self, path: str | os.PathLike[str], **options: Any) -> Path | str:
        """Write a MAT file; see `imagedata_xr.to_mat`."""
        from imagedata_xr.formats.mat import to_mat

        return to_mat(self._image, path, **options)

    @stands_for("imagedata_xr.formats.itk.to_sitk")
    def to_sitk(self) -> Any:
        """Return a ``SimpleITK.Image``; see `imagedata_xr.formats.itk.to_sitk`."""
        from imagedata_xr.formats.itk import to_sitk

        return to_sitk(self._image)

    @stands_for("imagedata_xr.formats.nifti.to_nibabel")
    def to_nibabel(self, **options: Any) -> Any:
        """Return a ``nibabel.Nifti1Image``; see `imagedata_xr.formats.nifti.to_nibabel`."""
        from imagedata_xr.formats.nifti import to_nibabel

        return to_nibabel(self._image, **options)

    @stands_for("imagedata_xr.construct.to_numpy_affine")
    def to_numpy_affine(
        self, *, space: Space = "LPS"
    ) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64]]:
        """Return values and matrix; see `imagedata_xr.construct.to_numpy_affine`."""
        from imagedata_xr.construct import to_numpy_affine

        return to_numpy_affine(self._image, space=space)

    @stands_for("imagedata_xr.viewer.hv_image")
    def hv(self, **options: Any) -> Any:
        """Return the image as HoloViews, in mm; see `imagedata_xr.viewer.hv_image`."""
        from imagedata_xr.viewer import hv_image

        return hv_image(self._image, **options)

    @stands_for("imagedata_xr.viewer.view")
    def view(self, **options: Any) -> Viewer:
        """Return the image in a viewer, to look at and draw in; see `imagedata_xr.view`."""
        from imagedata_xr.viewer import view

        return view(self._image, **options)

    @stands_for("imagedata_xr.formats.dicom.write.to_dicom_seg")
    def to_dicom_seg(self, target: str | os.PathLike[str], **options: Any) -> Path | str:
        """Write a mask as a DICOM Segmentation; see `imagedata_xr.to_dicom_seg`."""
        from imagedata_xr.formats.dicom.write import to_dicom_seg

        return to_dicom_seg(self._image, target, **options)

    @stands_for("imagedata_xr.formats.dicom.write.to_dicom")
    def to_dicom(self, target: str | os.PathLike[str], **options: Any) -> Path | str:
        """Write a folder of DICOM files; see `imagedata_xr.formats.dicom.write.to_dicom`."""
        from imagedata_xr.formats.dicom.write import to_dicom

        return to_dicom(self._image, target, **options)


def _each(
    convert: Callable[[npt.NDArray[np.floating]], npt.NDArray[np.floating]], triples: npt.ArrayLike
) -> npt.NDArray[np.floating]:
    """Convert an array of triples of any shape (..., 3)."""
    array = np.asarray(triples, dtype=np.float64)
    if array.ndim == 0 or array.shape[-1] != 3:
        raise GeometryError(f"give three numbers, or an array of shape (..., 3), not {triples!r}")
    return convert(array.reshape(-1, 3)).reshape(array.shape)
