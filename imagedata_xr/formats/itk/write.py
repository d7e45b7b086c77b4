"""Write an image in one of ITK's formats, through SimpleITK."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from imagedata_xr.errors import GeometryError, OptionError, WriteError
from imagedata_xr.formats.itk.guess import FORMATS, format_of
from imagedata_xr.formats.itk.objects import acquisition_of, image_of, lps_matrix
from imagedata_xr.formats.itk.sitk import quiet, reason, require_sitk
from imagedata_xr.schema import COLUMN, DIRECTION, RGB, ROW, SLICE, SPATIAL
from imagedata_xr.targets import complete_file, named, place_of, written_at

if TYPE_CHECKING:
    import os

    import xarray as xr
    from numpy.typing import NDArray

__all__ = ["to_itk"]

REAL: Final = ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8")
# What comes back as it was written.
TYPES_OF: Final = {
    "MetaImage": REAL,
    "NRRD": (*REAL, "c8", "c16"),
    "VTK image": REAL,
    "GIPL": ("u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8"),
    "TIFF": ("u1", "i1", "u2", "i2", "f4"),
    "PNG": ("u1", "u2"),
}
COLOURS_OF: Final = {
    "MetaImage": REAL,
    "NRRD": REAL,
    "VTK image": ("u1",),
    "TIFF": ("u1", "u2"),
    "PNG": ("u1", "u2"),
}
UNTURNED: Final = ("VTK image", "GIPL")
BEHIND: Final = ("MetaImage", "NRRD")
DETACHED: Final = {".mhd": (".raw", ".zraw"), ".nhdr": (".raw", ".raw.gz")}
# Numbers of some headers are float32.
PLACE_TOLERANCE: Final = 1e-3


def to_itk(
    da: xr.DataArray,
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    compress: bool = False,
    force: bool = False,
) -> Path | str:
    """
    Write an image to a file of ITK; the format is that of the suffix.

    ========================  ====================================================================
    ``.mha``, ``.mhd``        MetaImage: everything, with up to two acquisition dimensions
    ``.nrrd``, ``.nhdr``      NRRD: everything, with one acquisition dimension as components;
                              complex values
    ``.vtk``, ``.gipl[.gz]``  three dimensions; axes along those of the patient only
    ``.tif``, ``.png``        pixels without a place in the patient; TIFF also in pages
    ========================  ====================================================================

    Voxels stay in the order of the array and the type is kept (bool becomes uint8). MetaImage and
    NRRD files hold the names and values of acquisition dimensions for our reader; attributes are
    not written, so that nothing says who the patient is.

    Parameters
    ----------
    da : xarray.DataArray
        With coordinates ``slice``, ``row`` and ``column``; one of them may be a scalar.
    path : path-like or URL
        The folder exists. ``zip://a.mha::b.zip`` makes an archive; an fsspec URL is written
        when all is there. ``.mhd`` and ``.nhdr`` put the voxels into a ``.raw`` file beside it.
    overwrite : bool
        Replace existing files.
    compress : bool
        Deflate the voxels, where the format can.
    force : bool
        Write pixels without their place where the format has none for it.

    Returns
    -------
    pathlib.Path or str

    Raises
    ------
    OptionError
        The suffix means nothing here.
    GeometryError
        The format cannot say where the voxels lie.
    WriteError
        The file exists, the format has no place for the values or axes, or the disk refuses.
    MissingDependencyError
        Without SimpleITK.

    Examples
    --------
    >>> out = imagedata_xr.to_itk(series.isel(time=0), "first.mha")
    >>> bool((xr.open_dataarray(out, engine="itk").values == series.isel(time=0).values).all())
    True
    """
    found = format_of(named(path))
    if found is None or found[1].name not in TYPES_OF:
        names = [s for s, kind in FORMATS.items() if kind.name in TYPES_OF]
        raise OptionError(
            f"{place_of(path)}: the name of the file ends in one of {', '.join(names)}"
        )
    suffix, kind = found
    require_sitk()
    _check_values(da, kind.name)
    image = _image(da, kind.name, force=force)
    beside = DETACHED.get(suffix, ())
    with written_at(path, overwrite=overwrite, beside=beside) as target:
        _write(image, target, suffix, overwrite=overwrite, compress=compress)
    return place_of(path)


def _check_values(da: xr.DataArray, name: str) -> None:
    kinds = (COLOURS_OF if RGB in da.dims else TYPES_OF).get(name, ())
    dtype = np.dtype("u1") if da.dtype.kind == "b" else da.dtype.newbyteorder("=")
    if dtype not in [np.dtype(kind) for kind in kinds]:
        what = "colours" if RGB in da.dims else "voxels"
        listed = ", ".join(np.dtype(kind).name for kind in kinds) or "no type"
        raise WriteError(
            f"a {name} file has {what} of {listed}, not {da.dtype}: convert with astype first"
        )
    lead = acquisition_of(da)
    if name in ("TIFF", "PNG", *BEHIND) or not lead:
        return
    raise WriteError(
        f"a {name} file has no place for the axes {list(lead)}: write one file each, of "
        f"isel({lead[0]}=0) and so on, or use .mha, .nrrd or to_nifti"
    )


def _image(da: xr.DataArray, name: str, *, force: bool) -> Any:
    """Return what is written."""
    if name in ("TIFF", "PNG"):
        return image_of(_picture(da, name, force=force), None)
    matrix = lps_matrix(da)
    if name in UNTURNED and not _is_unturned(matrix, da):
        if not force:
            raise GeometryError(
                f"a {name} file has no direction, and these axes do not run to the left, to the "
                "back and to the head: write .mha or .nrrd, turn it with "
                "da.med.reorient('LPS') or da.med.resample(...), or pass force=True to write the "
                "voxels with their size and without their place"
            )
        matrix = np.diag([*np.linalg.norm(matrix[:3, :3], axis=0), 1.0])
    lead = acquisition_of(da)
    if name != "NRRD" or not lead:
        return image_of(da, matrix)
    if len(lead) > 1 or RGB in da.dims or da.dtype.kind == "c":
        raise WriteError(
            f"a NRRD file has one axis of components, not {[*lead, *da.dims[-1:]]}: write one "
            f"file each, of isel({lead[0]}=0) and so on, or use .mha or to_nifti"
        )
    # One component is none.
    single = da.sizes[lead[0]] == 1
    return image_of(da.isel({lead[0]: 0}) if single else da, matrix, as_components=not single)


def _is_unturned(matrix: NDArray[np.float64], da: xr.DataArray) -> bool:
    """Whether the axes run along those of the patient, upwards, within the tolerance."""
    sizes = [da.sizes.get(name, 1) - 1 for name in (COLUMN, ROW, SLICE)]
    along = matrix[:3, :3] * sizes
    straight = np.diag(np.diag(along))
    upward = bool((np.diag(matrix)[:3] > 0).all())
    return upward and float(np.abs(along - straight).sum(axis=1).max()) <= PLACE_TOLERANCE


def _picture(da: xr.DataArray, name: str, *, force: bool) -> xr.DataArray:
    """Return the pixels in the order of pages, rows and columns."""
    squeezed = da.squeeze([d for d in acquisition_of(da) if da.sizes[d] == 1])
    if SLICE in squeezed.dims and squeezed.sizes[SLICE] == 1:
        squeezed = squeezed.squeeze(SLICE)
    pages = [d for d in squeezed.dims if d not in (ROW, COLUMN, RGB)]
    if not {ROW, COLUMN} <= set(squeezed.dims) or len(pages) > (name == "TIFF"):
        raise WriteError(
            f"a {name} file has rows and columns{' and pages' if name == 'TIFF' else ''}, not "
            f"{list(map(str, squeezed.dims))}: write one file each, of isel(...)"
        )
    lost = [str(n) for n in (*pages, *SPATIAL) if n in da.coords]
    if lost and not force:
        placed = any(DIRECTION in da.coords[n].attrs for n in lost)
        error = GeometryError if placed else WriteError
        raise error(
            f"a {name} file has no place for the coordinates {sorted(set(lost))}: write .mha, "
            ".nrrd or to_nifti, or pass force=True to write the pixels alone"
        )
    ordered = squeezed.transpose(*pages, ROW, COLUMN, *([RGB] if RGB in squeezed.dims else []))
    plain = ordered.drop_vars([c for c in ordered.coords if c != RGB])
    return plain.rename({pages[0]: SLICE}) if pages and pages[0] != SLICE else plain


def _write(image: Any, target: Path, suffix: str, *, overwrite: bool, compress: bool) -> None:
    """Write into a folder of its own, then give every file its name, the header last."""
    stem = target.name[: -len(suffix)]
    beside = [target.with_name(stem + end) for end in DETACHED.get(suffix, ())]
    _check_free((target, *beside), overwrite=overwrite)
    try:
        with tempfile.TemporaryDirectory(prefix=".imagedata_xr-", dir=target.parent) as part:
            made = Path(part)
            _through_itk(image, made / (stem + suffix), suffix, compress=compress)
            (made / (stem + suffix)).rename(made / target.name)
            with ExitStack() as stack:
                for place in (target, *beside):
                    if (made / place.name).exists():
                        # Left in the reverse order: the header last.
                        free = stack.enter_context(complete_file(place, overwrite=overwrite))
                        (made / place.name).replace(free)
                    else:
                        # The old header goes with its voxels.
                        place.unlink(missing_ok=True)
    except WriteError:
        raise
    except OSError as error:
        raise WriteError(f"{target} could not be written: {error}") from error


def _check_free(places: tuple[Path, ...], *, overwrite: bool) -> None:
    if not places[0].absolute().parent.is_dir():
        raise WriteError(f"{places[0]}: there is no folder {places[0].parent}")
    for place in places:
        if place.is_dir() or (place.exists() and not overwrite):
            raise WriteError(f"{place} exists: pass overwrite=True to replace it")


def _through_itk(image: Any, path: Path, suffix: str, *, compress: bool) -> None:
    writer = require_sitk().ImageFileWriter()
    writer.SetImageIO(FORMATS[suffix].io)
    writer.SetFileName(str(path))
    writer.SetUseCompression(compress)
    try:
        with quiet():
            writer.Execute(image)
    except RuntimeError as error:
        raise WriteError(f"{path.name} could not be written: {reason(error)}") from error
