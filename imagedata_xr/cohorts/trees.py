"""Trees of series written to disk: each series complete or absent, and a report of all."""

from __future__ import annotations

import contextlib
import re
import warnings
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from imagedata_xr.cohorts.names import namer
from imagedata_xr.errors import ImagedataError, OptionError, SkippedFileWarning, WriteError
from imagedata_xr.index import restore_indexes
from imagedata_xr.progress import track
from imagedata_xr.targets import complete_folder, place_of

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator

    import pandas as pd
    import xarray as xr

__all__ = ["images", "restore_tree", "tree_to_dicom", "tree_to_nifti", "tree_to_zarr"]

_ANY: Final = re.compile(r"[\s\S]*")
_ZARR_ROOTS: Final = ("zarr.json", ".zgroup")


def images(tree: xr.DataTree) -> Iterator[tuple[str, xr.DataArray]]:
    """Yield path and array of every node that holds an image."""
    for node in tree.subtree:
        if len(node.data_vars) == 1:
            (image,) = node.data_vars.values()
            yield node.path, image


def restore_tree(tree: xr.DataTree) -> xr.DataTree:
    """
    Return a tree with its tolerant indexes, after Zarr or netCDF.

    Parameters
    ----------
    tree : xarray.DataTree
    """
    import xarray as xr

    return xr.DataTree.from_dict(
        {node.path: restore_indexes(node.to_dataset(inherit=False)) for node in tree.subtree},
        name=tree.name,
    )


def tree_to_dicom(
    tree: xr.DataTree,
    folder: str | os.PathLike[str],
    *,
    template: str | None = None,
    errors: Literal["raise", "report"] = "raise",
    progress: bool | None = None,
    **options: Any,
) -> pd.DataFrame:
    """
    Write every image of a tree as a DICOM series in a folder of its own.

    Parameters
    ----------
    tree : xarray.DataTree
        As `xarray.open_datatree` gives it.
    folder : path-like
        Folders of series are made below it. It may hold others; none is replaced without
        ``overwrite=True``.
    template : str, optional
        Names of the folders, such as ``"{PatientID}/{SeriesNumber}_{SeriesDescription}"``, of
        attributes of the images (`imagedata_xr.naming`). By default, the paths of the nodes.
    errors : {"raise", "report"}
        What to do at the end, when all series that can be written are there and some are not.
    progress : bool, optional
        Progress bar over the series.
    **options
        Of `imagedata_xr.to_dicom`.

    Returns
    -------
    pandas.DataFrame
        One row a node: ``node``, ``path`` (None where nothing was written), ``error``.

    Raises
    ------
    ExceptionGroup
        Of the ImagedataErrors of the series that could not be written.
    OptionError
        `template` or `errors` means nothing.

    Warns
    -----
    SkippedFileWarning
        Nodes that hold no array (series that did not open, objects without images) are not
        written.
    """
    from imagedata_xr.formats.dicom.write import to_dicom

    def write(image: xr.DataArray, path: Path) -> object:
        return to_dicom(image, path, progress=False, **options)

    return _write_all(
        tree, folder, namer(template, bids=False), write, errors=errors, progress=progress
    )


def tree_to_nifti(
    tree: xr.DataTree,
    folder: str | os.PathLike[str],
    *,
    template: str | None = None,
    errors: Literal["raise", "report"] = "raise",
    progress: bool | None = None,
    **options: Any,
) -> pd.DataFrame:
    """
    Write every image of a tree as a NIfTI file, with the files beside it.

    Parameters
    ----------
    tree : xarray.DataTree
        As `xarray.open_datatree` gives it.
    folder : path-like
        Files are made in it and in folders below. None is replaced without ``overwrite=True``.
    template : str, optional
        Names of the files without suffix, as for `tree_to_dicom`; or ``"bids"``, for
        ``sub-P1/ses-20200101/dwi/sub-P1_ses-20200101_acq-5ep2d_dwi.nii.gz``: of what BIDS asks,
        nothing is guessed, so only diffusion (``dwi``) and PET (``pet``) have folders and suffixes
        of BIDS, and all else those of its modality (``mr``, ``ct``).
    errors : {"raise", "report"}
        What to do at the end, when all series that can be written are there and some are not.
    progress : bool, optional
        Progress bar over the series.
    **options
        Of `imagedata_xr.to_nifti`.

    Returns
    -------
    pandas.DataFrame
        One row a node: ``node``, ``path`` (None where nothing was written), ``error``.

    Raises
    ------
    ExceptionGroup
        Of the ImagedataErrors of the series that could not be written.
    OptionError
        `template` or `errors` means nothing.

    Warns
    -----
    SkippedFileWarning
        Nodes that hold no array (series that did not open, objects without images) are not
        written.
    """
    from imagedata_xr.formats.nifti import to_nifti

    def write(image: xr.DataArray, path: Path) -> object:
        return to_nifti(image, path.with_name(f"{path.name}.nii.gz"), **options)

    return _write_all(tree, folder, namer(template), write, errors=errors, progress=progress)


def tree_to_zarr(
    tree: xr.DataTree, store: str | os.PathLike[str], *, overwrite: bool = False, **options: Any
) -> Path:
    """
    Write a whole tree as a Zarr store, complete or not at all.

    ``xr.open_datatree(store, engine="zarr").med.restore()`` is identical to the tree; the full
    headers stay in the DICOM files.

    Parameters
    ----------
    tree : xarray.DataTree
    store : path-like
        A folder that does not exist; its parent exists.
    overwrite : bool
        Replace a Zarr store.
    **options
        Of `xarray.DataTree.to_zarr`.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    OptionError
        `store` is a URL: ``tree.to_zarr`` writes there.
    WriteError
        The target is not free, or the disk refuses.
    """
    place = place_of(store)
    if not isinstance(place, Path) or place.suffix.lower() == ".zip":
        raise OptionError(f"{place}: give a folder; tree.to_zarr(...) writes to other stores")
    is_full = place.is_dir() and any(place.iterdir())
    if is_full and overwrite and not any((place / name).is_file() for name in _ZARR_ROOTS):
        raise WriteError(f"{place} is no Zarr store: overwrite=True would remove what it holds")
    with (
        complete_folder(place, ours=_ANY, overwrite=overwrite) as folder,
        warnings.catch_warnings(),
    ):
        # Text of fixed width (the UID) and consolidated metadata have no final form in Zarr 3 yet.
        warnings.filterwarnings("ignore", message=r"(?s).*Zarr (V3|format 3) specification")
        tree.to_zarr(folder, mode="w", **options)
    return place


# Writing ----------------------------------------------------------------------------------------


def _write_all(  # noqa: PLR0913 - what a tree of files is made of
    tree: xr.DataTree,
    folder: str | os.PathLike[str],
    naming: Callable[[str, xr.DataArray], str],
    write: Callable[[xr.DataArray, Path], object],
    *,
    errors: str,
    progress: bool | None,
) -> pd.DataFrame:
    import pandas as pd

    if errors not in ("raise", "report"):
        raise OptionError(f"errors={errors!r}: give 'raise' or 'report'")
    root = place_of(folder)
    if not isinstance(root, Path):
        raise OptionError(f"{root}: give a folder on disk, and send it from there")
    if not root.parent.is_dir():
        raise WriteError(f"{folder}: there is no folder {root.parent}")
    rows, failures = _without_array(tree), []
    if rows:
        listed = "\n  ".join(f"{row['node']}: {row['error']}" for row in rows[:5])
        warnings.warn(
            f"{len(rows)} node(s) hold no array and are not written:\n  {listed}",
            SkippedFileWarning,
            stacklevel=3,
        )
    for node, image in track(list(images(tree)), "writing", show=progress):
        try:
            done = _write_one(root, root / naming(node, image), partial(write, image))
        except (ImagedataError, OSError) as error:
            error.add_note(f"node {node}")
            failures.append(error)
            rows.append({"node": node, "path": None, "error": str(error)})
        else:
            rows.append({"node": node, "path": str(done), "error": None})
    if failures and errors == "raise":
        raise ExceptionGroup(
            f"{len(failures)} of {len(rows)} series could not be written; the others are there",
            failures,
        )
    return pd.DataFrame(rows, columns=["node", "path", "error"])


def _without_array(tree: xr.DataTree) -> list[dict[str, Any]]:
    return [
        {"node": node.path, "path": None, "error": node.attrs.get("error") or node.attrs["note"]}
        for node in tree.subtree
        if {"error", "note"} & set(node.attrs)
    ]


def _write_one(root: Path, path: Path, write: Callable[[Path], object]) -> object:
    made = [one for one in (path.parent, *path.parent.parents) if not one.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return write(path)
    except BaseException:
        for one in made:
            if root in (one, *one.parents):
                with contextlib.suppress(OSError):
                    one.rmdir()
        raise
