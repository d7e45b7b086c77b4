"""The accessor ``.med`` of trees: a facade without state over free functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import xarray as xr

from imagedata_xr.facade import stands_for

if TYPE_CHECKING:
    import os
    from pathlib import Path

    import pandas as pd

__all__ = ["TreeMed"]


@xr.register_datatree_accessor("med")  # type: ignore[no-untyped-call]
class TreeMed:
    """
    Medical image functions of a DataTree of series, as `xarray.open_datatree` gives it.

    Examples
    --------
    >>> tree = xr.open_datatree(folder, engine="dicom")
    >>> len(tree.med.images())
    1
    """

    def __init__(self, tree: xr.DataTree) -> None:
        self._tree = tree

    def __repr__(self) -> str:
        return f"{len(self.images())} series with images\n  help(tree.med) lists what .med does"

    @stands_for("imagedata_xr.cohorts.trees.images")
    def images(self) -> dict[str, xr.DataArray]:
        """Return the array of every node that holds one, by path."""
        from imagedata_xr.cohorts import trees

        return dict(trees.images(self._tree))

    @stands_for("imagedata_xr.cohorts.trees.restore_tree")
    def restore(self) -> xr.DataTree:
        """Return the tree with its tolerant indexes, after Zarr or netCDF."""
        from imagedata_xr.cohorts import trees

        return trees.restore_tree(self._tree)

    @stands_for("imagedata_xr.cohorts.trees.tree_to_dicom")
    def to_dicom(self, folder: str | os.PathLike[str], **options: Any) -> pd.DataFrame:
        """Write each series as DICOM; see `imagedata_xr.cohorts.trees.tree_to_dicom`."""
        from imagedata_xr.cohorts import trees

        return trees.tree_to_dicom(self._tree, folder, **options)

    @stands_for("imagedata_xr.cohorts.trees.tree_to_nifti")
    def to_nifti(self, folder: str | os.PathLike[str], **options: Any) -> pd.DataFrame:
        """Write each series as NIfTI; see `imagedata_xr.cohorts.trees.tree_to_nifti`."""
        from imagedata_xr.cohorts import trees

        return trees.tree_to_nifti(self._tree, folder, **options)

    @stands_for("imagedata_xr.cohorts.trees.tree_to_zarr")
    def to_zarr(self, store: str | os.PathLike[str], **options: Any) -> Path:
        """Write the tree as a Zarr store; see `imagedata_xr.cohorts.trees.tree_to_zarr`."""
        from imagedata_xr.cohorts import trees

        return trees.tree_to_zarr(self._tree, store, **options)
