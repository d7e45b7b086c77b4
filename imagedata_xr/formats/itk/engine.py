"""The xarray engine ``itk``: an adapter, nothing else. Imports nothing heavy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from xarray.backends import BackendEntrypoint

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import xarray as xr

__all__ = ["ItkEntrypoint"]


class ItkEntrypoint(BackendEntrypoint):
    """Opens MetaImage and NRRD files as labelled, lazy arrays."""

    description: ClassVar[str] = (
        "Open MetaImage and NRRD files (.mha, .mhd, .nrrd, .nhdr) as images"
    )

    def open_dataset(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        dims: str | Sequence[str] | None = None,
    ) -> xr.Dataset:
        """
        Open one file as a Dataset with the variable ``image``.

        Column, row and slice are the first, second and third axis of the file; nothing is
        resampled or turned round. An NRRD file without ``space``, and a 2-D file, have positions
        in mm without a direction in the patient. The header is read now, voxels when they are
        needed: just the asked part of uncompressed MetaImage files, the whole file of others.

        Parameters
        ----------
        filename_or_obj : path
            A local ``.mha``, ``.mhd``, ``.nrrd`` or ``.nhdr`` file.
        drop_variables : str or iterable of str, optional
            Variables and coordinates to leave out.
        dims : str or sequence of str, optional
            Names of the axis behind the third (``volume`` by default) and of the components of a
            vector (``vector`` by default), those that there are. Colours are ``rgb``.

        Returns
        -------
        xarray.Dataset
            ``image`` with dimensions ``[volume, vector,] slice, row, column[, rgb]``.

        Raises
        ------
        imagedata_xr.errors.ImagedataError
            The file is damaged, of another format, or SimpleITK is not installed.
        """
        from imagedata_xr.formats.itk.read import open_image

        dataset = open_image(filename_or_obj, dims=(dims,) if isinstance(dims, str) else dims)
        if drop_variables is None:
            return dataset
        names = [drop_variables] if isinstance(drop_variables, str) else list(drop_variables)
        return dataset.drop_vars(names, errors="ignore")

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Tell whether a path is a MetaImage or NRRD file, by its name and first bytes."""
        from imagedata_xr.formats.itk.guess import holds_itk

        return holds_itk(filename_or_obj)
