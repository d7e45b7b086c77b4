"""The xarray engine ``mat``: an adapter, nothing else. Imports nothing heavy."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from xarray.backends import BackendEntrypoint

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import xarray as xr

__all__ = ["MatEntrypoint"]


class MatEntrypoint(BackendEntrypoint):
    """Opens a variable of a MAT file as a labelled array."""

    description: ClassVar[str] = "Open a variable of a MATLAB file as an image"

    def open_dataset(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        variable: str | None = None,
        dims: str | Sequence[str] | None = None,
    ) -> xr.Dataset:
        """
        Open one variable as a Dataset with the variable ``image``.

        Files that `imagedata_xr.to_mat` wrote come back with all dimensions, labels and positions.
        In others, the axes are rows, columns and slices, as MATLAB users have them, and a fourth
        is ``volume``; they have no place in the patient.

        Files of version 7.3 are read lazily, just the part that is asked for; those of version 5
        and 4 are read now.

        Parameters
        ----------
        filename_or_obj : path
            A local ``.mat`` file.
        drop_variables : str or iterable of str, optional
            Variables and coordinates to leave out.
        variable : str, optional
            Name of the variable in the file; not needed where only one is an image.
        dims : str or sequence of str, optional
            Names of its axes, in MATLAB's order, e.g. ``("row", "column", "slice", "time")``.

        Returns
        -------
        xarray.Dataset

        Raises
        ------
        imagedata_xr.errors.ImagedataError
            The file is damaged, `variable` or `dims` do not fit, or a package is missing.
        """
        from imagedata_xr.formats.mat.read import open_image

        dataset = open_image(
            filename_or_obj, variable=variable, dims=(dims,) if isinstance(dims, str) else dims
        )
        if drop_variables is None:
            return dataset
        names = [drop_variables] if isinstance(drop_variables, str) else list(drop_variables)
        return dataset.drop_vars(names, errors="ignore")

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Tell whether a path is a MAT file of version 5 or 7.3, by name and first bytes."""
        if not isinstance(filename_or_obj, str | os.PathLike):
            return False
        path = Path(os.fspath(filename_or_obj)).expanduser()
        if path.suffix.lower() != ".mat":
            return False
        try:
            with path.open("rb") as file:
                return file.read(7) == b"MATLAB "
        except OSError:
            return False
