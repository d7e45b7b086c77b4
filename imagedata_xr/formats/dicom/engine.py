"""The xarray engine ``dicom``: an adapter, nothing else. Imports nothing heavy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from xarray.backends import BackendEntrypoint

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import xarray as xr

    from imagedata_xr.sorting.series import Criterion, SeriesChoice
    from imagedata_xr.sortkeys import SortSpec

__all__ = ["DicomEntrypoint"]


class DicomEntrypoint(BackendEntrypoint):
    """Opens DICOM files, folders and archives as labelled, lazy arrays."""

    description: ClassVar[str] = "Open DICOM folders, files and archives as labelled images"
    supports_groups: ClassVar[bool] = True

    def open_dataset(  # noqa: PLR0913 - each option is one thing a user may say
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        mask_and_scale: bool | None = None,
        sort: SortSpec | None = None,
        series: SeriesChoice | None = None,
        select: Mapping[str, Criterion] | None = None,
        stack: int | None = None,
        rescale: bool = True,
        phi: bool = True,
        coords: Sequence[str] = (),
        errors: Literal["raise", "warn"] = "raise",
        progress: bool | None = None,
    ) -> xr.Dataset:
        """
        Open one DICOM series as a Dataset with the variable ``image``.

        Parameters
        ----------
        filename_or_obj : path, URL, list, file object or bytes
            A folder (with its subfolders), a file, a glob pattern, a zip archive, an fsspec URL,
            a binary file object, the bytes themselves, or a list of these.
        drop_variables : str or iterable of str, optional
            Variables and coordinates to leave out.
        mask_and_scale : bool, optional
            xarray's word for `rescale`; False gives stored values.
        sort : str, SortKey, callable, sequence or mapping, optional
            Dimensions in front of ``slice``: ``"time"``, ``("time", "te")``, any DICOM keyword,
            ``{"ti": keyword or callable}``. By default they are inferred from what varies.
        series : int, str or sequence, optional
            Series number, description or UID of the one series to open; several are sorted
            together, as are all with ``"all"``.
        select : mapping, optional
            DICOM keyword to the value, list of values, ``slice(low, high)`` or predicate that
            frames must meet.
        stack : int, optional
            Number of the stack, where a series holds several orientations or matrix sizes.
        rescale : bool
            Apply Rescale Slope and Intercept, each frame's own.
        phi : bool
            False leaves what identifies the patient out of the attributes.
        coords : sequence of str
            DICOM keywords that become coordinates with a value a frame.
        errors : {"raise", "warn"}
            What to do about damaged DICOM files.
        progress : bool, optional
            Progress bar: True, False, or by default one when a person is looking and it takes
            more than a second or so.

        Returns
        -------
        xarray.Dataset
            ``image`` with dimensions ``[acquisition dimensions], slice, row, column[, rgb]``.

        Raises
        ------
        imagedata_xr.errors.ImagedataError
            Where the files are no one image; the message holds the argument that solves it.
        """
        from imagedata_xr.formats.dicom.reader import Options, open_image

        options = Options(
            sort=sort,
            series=series,
            select=select,
            stack=stack,
            rescale=rescale and mask_and_scale is not False,
            phi=phi,
            coords=(coords,) if isinstance(coords, str) else tuple(coords),
            errors=errors,
            progress=progress,
        )
        return _without(open_image(filename_or_obj, options), drop_variables)

    def open_groups_as_dict(  # noqa: PLR0913 - see open_dataset
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        sort: SortSpec | None = None,
        series: SeriesChoice | None = None,
        select: Mapping[str, Criterion] | None = None,
        rescale: bool = True,
        phi: bool = True,
        coords: Sequence[str] = (),
        errors: Literal["raise", "warn"] = "warn",
        progress: bool | None = None,
    ) -> dict[str, xr.Dataset]:
        """
        Open every series of a source, as groups ``/patient/study/series``.

        The parameters are those of `open_dataset`; `series` leaves all others out, `select` takes
        the frames that fit of every series. A series that makes no array is an empty group
        whose attribute ``error`` says why; with ``phi=False`` no name identifies the patient.
        Damaged files are warned of and are groups below ``/unreadable``; ``errors="raise"`` lets none pass.
        """
        from imagedata_xr.formats.dicom.reader import Options
        from imagedata_xr.formats.dicom.tree import open_groups

        options = Options(
            sort=sort,
            series=series,
            select=select,
            rescale=rescale,
            phi=phi,
            coords=(coords,) if isinstance(coords, str) else tuple(coords),
            errors=errors,
            progress=progress,
        )
        groups = open_groups(filename_or_obj, options)
        return {path: _without(dataset, drop_variables) for path, dataset in groups.items()}

    def open_datatree(  # noqa: PLR0913 - see open_dataset
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        sort: SortSpec | None = None,
        series: SeriesChoice | None = None,
        select: Mapping[str, Criterion] | None = None,
        rescale: bool = True,
        phi: bool = True,
        coords: Sequence[str] = (),
        errors: Literal["raise", "warn"] = "warn",
        progress: bool | None = None,
    ) -> xr.DataTree:
        """Open every series of a source as a DataTree; see `open_groups_as_dict`."""
        import xarray as xr

        return xr.DataTree.from_dict(
            self.open_groups_as_dict(
                filename_or_obj,
                drop_variables=drop_variables,
                sort=sort,
                series=series,
                select=select,
                rescale=rescale,
                phi=phi,
                coords=coords,
                errors=errors,
                progress=progress,
            )
        )

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Tell whether a path, list, file object or bytes hold DICOM, by their contents."""
        from imagedata_xr.formats.dicom.guess import holds_dicom

        return holds_dicom(filename_or_obj)


def _without(dataset: xr.Dataset, names: str | Iterable[str] | None) -> xr.Dataset:
    if names is None:
        return dataset
    return dataset.drop_vars([names] if isinstance(names, str) else list(names), errors="ignore")
