"""The xarray engine ``itk``: an adapter, nothing else. Imports nothing heavy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from xarray.backends import BackendEntrypoint

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import xarray as xr

__all__ = ["ItkEntrypoint"]


class ItkEntrypoint(BackendEntrypoint):
    """Opens files of ITK as labelled, lazy arrays."""

    description: ClassVar[str] = (
        "Open MetaImage, NRRD, VTK, GIPL, Analyze and picture files as images, through SimpleITK"
    )

    def open_dataset(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        dims: str | Sequence[str] | None = None,
        space: Literal["LPS", "RAS"] | None = None,
    ) -> xr.Dataset:
        """
        Open one file, or a stack of pictures, as a Dataset with the variable ``image``.

        Column, row and slice are the first, second and third axis of the file; nothing is
        resampled or turned round. Only MetaImage, and NRRD with a ``space``, say where the voxels
        lie in the patient. NRRD without one, VTK, GIPL, Analyze and 2-D files have positions in mm
        from the first voxel on without a direction, unless `space` is given. TIFF, PNG and JPEG
        have pixels, and no coordinates.

        The header is read now, voxels when they are needed: just the asked part of uncompressed
        MetaImage and binary VTK files, the whole file of others.

        Parameters
        ----------
        filename_or_obj : path, glob pattern, or list of paths
            A local ``.mha``, ``.mhd``, ``.nrrd``, ``.nhdr``, ``.vtk``, ``.gipl[.gz]``,
            ``.hdr``/``.img`` (Analyze), ``.tif``, ``.png`` or ``.jpg`` file. A folder, a pattern
            or a list is a stack of pictures, in the order of the numbers in their names.
        drop_variables : str or iterable of str, optional
            Variables and coordinates to leave out.
        dims : str or sequence of str, optional
            Names of the axes behind the third, the fourth first (``volume``, ``axis5`` by
            default), and of the components of a vector (``vector`` by default), those that there
            are. Colours are ``rgb``. Of a stack, the axis across the pictures (``slice``).
        space : {"LPS", "RAS"}, optional
            Say that the axes of a file, which does not say so itself, are those of the patient.

        Returns
        -------
        xarray.Dataset
            ``image`` with dimensions ``[acquisition, vector,] slice, row, column[, rgb]``.

        Raises
        ------
        imagedata_xr.errors.ImagedataError
            The file is damaged, of another format, or SimpleITK is not installed.
        """
        from imagedata_xr.formats.itk.read import open_image

        dataset = open_image(
            filename_or_obj, dims=(dims,) if isinstance(dims, str) else dims, space=space
        )
        if drop_variables is None:
            return dataset
        names = [drop_variables] if isinstance(drop_variables, str) else list(drop_variables)
        return dataset.drop_vars(names, errors="ignore")

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Tell whether a path is a file of these formats, by its name and first bytes."""
        from imagedata_xr.formats.itk.guess import holds_itk

        return holds_itk(filename_or_obj)
