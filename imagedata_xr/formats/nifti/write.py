"""Write an image as NIfTI (https://nifti.nimh.nih.gov), with the files that belong beside it."""

from __future__ import annotations

import warnings
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

from imagedata_xr.errors import DataWarning, OptionError, WriteError
from imagedata_xr.formats.nifti.encode import header_bytes, nibabel_header, require_nibabel
from imagedata_xr.formats.nifti.gradients import gradient_files
from imagedata_xr.formats.nifti.layout import layout_of
from imagedata_xr.formats.nifti.sidecar import sidecar_text
from imagedata_xr.formats.nifti.timing import timing_of
from imagedata_xr.formats.nifti.voxels import Voxels, target_dtype, write_voxels
from imagedata_xr.schema import TIME, VOLUME, B
from imagedata_xr.targets import as_write_error, complete_file, named, place_of, written_at

if TYPE_CHECKING:
    import os

    import xarray as xr
    from numpy.typing import DTypeLike

    from imagedata_xr.formats.nifti.layout import Layout
    from imagedata_xr.formats.nifti.timing import Timing

__all__ = ["to_nifti"]

PACKED: Final = ".nii.gz"
PLAIN: Final = ".nii"
BESIDE: Final = (".json", ".bval", ".bvec")


def to_nifti(  # noqa: PLR0913 - each option is one thing a user may say
    da: xr.DataArray,
    path: str | os.PathLike[str],
    *,
    sidecar: bool | None = None,
    overwrite: bool = False,
    dtype: DTypeLike | None = None,
    force: bool = False,
) -> Path | str:
    """
    Write an image to a NIfTI file.

    Voxels lie as dcm2niix puts them: i runs with the columns, j against the rows, and k so that
    the matrix has a negative determinant. Axis 4 is ``time``, else ``volume``, else ``b``, else
    the last acquisition dimension. ``pixdim[4]`` is the time step in s, or the repetition time
    where the axis is not time; for uneven times it is the median step, and the sidecar has the
    times (``VolumeTiming``). The sform always holds the matrix; the qform does where the axes
    are orthogonal, and has code 0 otherwise (gantry tilt). Values are written as they are, never
    scaled. NIfTI-2 is written where an axis is longer than 32767.

    Names of other axes stand in the sidecar and, where they are short, in ``intent_name``.
    Arrays with a ``b`` coordinate along an acquisition dimension get ``.bval`` and ``.bvec``
    files. Lazy and Dask arrays are written part by part. Files appear complete, the image last,
    or not at all.

    Parameters
    ----------
    da : xarray.DataArray
        With coordinates ``slice``, ``row`` and ``column`` in mm along their ``direction``
        (patient LPS); one of them may be a scalar.
    path : path-like or URL
        Ends in ``.nii`` or ``.nii.gz``; the folder exists. ``zip://a.nii.gz::b.zip`` makes an
        archive; an fsspec URL is written when all is there.
    sidecar : bool, optional
        Whether to write a BIDS ``.json`` file (the default). It holds no patient identity.
    overwrite : bool
        Replace an existing image, and remove the files beside it that belonged to it
        (``.json``, ``.bval``, ``.bvec``).
    dtype : dtype-like, optional
        Type of the voxels; integers only where every value fits exactly. By default that of the
        array; bool becomes uint8, float16 float32, and 64-bit integers the smallest type that
        holds them.
    force : bool
        Write voxels that NIfTI has no place for (uneven slices, no direction in the patient)
        in the order of the array, with qform and sform code 0: with their size, the mean step,
        and without their place. A warning says why.

    Returns
    -------
    pathlib.Path or str
        Of the image; the URL where it is behind one.

    Raises
    ------
    OptionError
        Where the suffix or `dtype` means nothing to NIfTI.
    GeometryError
        Where the image has no place in the patient, or its voxels are not evenly spaced.
    WriteError
        Where a file exists, NIfTI has no place for the values, or the disk refuses.
    MissingDependencyError
        Without nibabel.

    Warns
    -----
    DataWarning
        Where uneven times, unknown b-values, values along an axis or, with `force`, the place
        cannot be written.

    Examples
    --------
    >>> out = imagedata_xr.to_nifti(series, "series.nii.gz")
    >>> again = xr.open_dataarray(out, engine="nifti")
    >>> bool((again - series == 0).all())
    True
    """
    _split(named(path))
    require_nibabel()
    with written_at(path, overwrite=overwrite, beside=BESIDE) as target:
        _to_file(da, target, sidecar=sidecar, overwrite=overwrite, dtype=dtype, force=force)
    return place_of(path)


def _to_file(  # noqa: PLR0913 - each option is one thing a user may say
    da: xr.DataArray,
    path: Path,
    *,
    sidecar: bool | None,
    overwrite: bool,
    dtype: DTypeLike | None,
    force: bool,
) -> None:
    target, stem = _split(path)
    layout = layout_of(da, force=force)
    voxels = Voxels(da, layout, target_dtype(da, dtype, layout))
    timing = timing_of(da, layout)
    texts = gradient_files(da, layout)
    if sidecar is None or sidecar:
        texts[".json"] = sidecar_text(da, layout, timing)
    else:
        _say_what_is_lost(layout, timing, texts)
    header = header_bytes(nibabel_header(layout, voxels.dtype, timing.step))
    beside = {suffix: target.with_name(stem + suffix) for suffix in BESIDE}
    _check_free(target, beside, overwrite=overwrite)
    _write_all(target, beside, texts, (voxels, header), overwrite=overwrite)


def _say_what_is_lost(layout: Layout, timing: Timing, texts: dict[str, str]) -> None:
    if timing.volumes:
        warnings.warn(
            "the volumes are not evenly spaced in time: without the sidecar only the median step "
            "is kept",
            DataWarning,
            stacklevel=3,
        )
    kept = {TIME, VOLUME, *((B,) if texts else ())}
    lost = [name for name in layout.acquisition if name not in kept]
    if lost:
        warnings.warn(
            f"the values along {', '.join(lost)} are in the sidecar alone, which is not written",
            DataWarning,
            stacklevel=3,
        )


def _split(path: str | os.PathLike[str]) -> tuple[Path, str]:
    """Return the path, and its name without the suffix."""
    target = Path(path)
    for suffix in (PACKED, PLAIN):
        if target.name.lower().endswith(suffix) and len(target.name) > len(suffix):
            return target, target.name[: -len(suffix)]
    raise OptionError(f"{target}: the name of a NIfTI file ends in .nii or .nii.gz")


def _check_free(target: Path, beside: dict[str, Path], *, overwrite: bool) -> None:
    # A file left beside would be read as belonging to the new image.
    if overwrite or target.is_dir():
        return
    found = [place.name for place in beside.values() if place.exists()]
    if target.exists():
        raise WriteError(
            f"{target.parent} has {', '.join([target.name, *found])} already: pass overwrite=True to "
            "replace the image and the files beside it"
        )
    if found:
        raise WriteError(
            f"{target.parent} has {', '.join(found)} already, which would be taken for a part of "
            f"{target.name}: give the image another name; overwrite=True would remove or replace it"
        )


def _write_all(
    target: Path,
    beside: dict[str, Path],
    texts: dict[str, str],
    image: tuple[Voxels, bytes],
    *,
    overwrite: bool,
) -> None:
    """Write everything under temporary names in the same folder, then give the real ones."""
    gzipped = target.name.lower().endswith(PACKED)
    voxels, head = image
    made: dict[Path, int] = {}
    try:
        with ExitStack() as stack:
            # Left in the reverse order: the image last.
            part = stack.enter_context(complete_file(target, overwrite=overwrite))
            parts = {
                beside[suffix]: stack.enter_context(
                    complete_file(beside[suffix], overwrite=overwrite)
                )
                for suffix in texts
            }
            with as_write_error(target):
                write_voxels(part, voxels, head, gzipped=gzipped)
            for suffix, text in texts.items():
                parts[beside[suffix]].write_text(text, encoding="utf-8", newline="\n")
            made = {place: one.stat().st_ino for place, one in parts.items()}
            for suffix, place in beside.items():
                if suffix not in texts:
                    place.unlink(missing_ok=True)
    except BaseException:
        for place, number in made.items():
            if place.exists() and place.stat().st_ino == number:
                place.unlink()
        raise
