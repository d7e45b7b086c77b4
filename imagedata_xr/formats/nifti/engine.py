"""The xarray engine ``nifti``: an adapter, nothing else. Imports nothing heavy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from xarray.backends import BackendEntrypoint

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import xarray as xr
    from numpy.typing import ArrayLike

__all__ = ["NiftiEntrypoint"]


class NiftiEntrypoint(BackendEntrypoint):
    """Opens NIfTI files as labelled, lazy arrays."""

    description: ClassVar[str] = "Open NIfTI files (.nii, .nii.gz, .hdr/.img) as labelled images"

    def open_dataset(  # noqa: PLR0913 - each option is one thing a user may say
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        mask_and_scale: bool | None = None,
        dims: str | Sequence[str] | Mapping[str, ArrayLike | None] | None = None,
        form: Literal["sform", "qform", "none"] | None = None,
        sidecar: bool = True,
        rescale: bool = True,
    ) -> xr.Dataset:
        """
        Open one NIfTI-1 or NIfTI-2 file as a Dataset with the variable ``image``.

        Column, row and slice are the axes i, j and k of the file; nothing is resampled or turned
        round. The matrix is that of the sform if it has a code, else of the qform; an image with
        neither has positions in mm without a direction in the patient. Where both are there and
        disagree, a warning says so; ``image.encoding["nifti"]["form"]`` says which was taken.

        Axis 4 is ``b`` where a ``.bval`` file has distinct values (``volume`` where they repeat,
        with coordinates ``b`` and ``bvec_x``, ``bvec_y``, ``bvec_z`` in patient LPS), ``time`` in
        seconds where the header has a unit of time and a step, else ``volume``.

        Parameters
        ----------
        filename_or_obj : path, URL, file object or bytes
            ``.nii``, ``.nii.gz``, or either file of an ``.hdr``/``.img`` pair.
        drop_variables : str or iterable of str, optional
            Variables and coordinates to leave out.
        mask_and_scale : bool, optional
            xarray's word for `rescale`; False gives stored values.
        dims : str, sequence of str or mapping, optional
            Names of the axes behind the third, axis 4 first, e.g. ``("te",)``; or with the values
            along them, in the units of the data model: ``{"te": [4.9, 9.8]}`` for ms.
        form : {"sform", "qform", "none"}, optional
            Where the voxels lie; by default the better one.
        sidecar : bool
            Read the ``.json``, ``.bval`` and ``.bvec`` files beside a local image.
        rescale : bool
            Apply ``scl_slope`` and ``scl_inter``.

        Returns
        -------
        xarray.Dataset
            ``image`` with dimensions ``[acquisition dimensions], slice, row, column[, rgb]``.

        Raises
        ------
        imagedata_xr.errors.ImagedataError
            The file is damaged or no NIfTI file, or an option does not fit it.
        """
        from imagedata_xr.formats.nifti.read import Options, open_image

        options = Options(
            dims=(dims,) if isinstance(dims, str) else dims,
            form=form,
            sidecar=sidecar,
            rescale=rescale and mask_and_scale is not False,
        )
        dataset = open_image(filename_or_obj, options)
        if drop_variables is None:
            return dataset
        names = [drop_variables] if isinstance(drop_variables, str) else list(drop_variables)
        return dataset.drop_vars(names, errors="ignore")

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Tell whether a path, file object or bytes hold a NIfTI image, by their contents."""
        from imagedata_xr.formats.nifti.guess import holds_nifti

        return holds_nifti(filename_or_obj)
