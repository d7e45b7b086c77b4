"""Open a NIfTI file as a labelled image; only the header is read."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import xarray as xr

from imagedata_xr import schema
from imagedata_xr.dataset import Image, Labels, build, canonical_order
from imagedata_xr.errors import DataWarning, FormatError, OptionError, SourceNotFoundError
from imagedata_xr.formats.nifti.axes import OWN, axis_labels, axis_names, own_names
from imagedata_xr.formats.nifti.beside import (
    BESIDE,
    Beside,
    attributes,
    beside_source,
    in_patient,
)
from imagedata_xr.formats.nifti.gunzip import Gunzipped, opened
from imagedata_xr.formats.nifti.header import LONGEST, parse_header
from imagedata_xr.formats.nifti.place import affine_of, grid_of_header, unrounded
from imagedata_xr.formats.nifti.sidecar import AFFINE
from imagedata_xr.formats.nifti.volumes import VoxelArray
from imagedata_xr.lazy import lazily
from imagedata_xr.sources import LocalFile, find_sources
from imagedata_xr.stored import KEY, coordinates

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import ArrayLike

    from imagedata_xr.formats.nifti.header import NiftiHeader
    from imagedata_xr.frames import Source
    from imagedata_xr.geometry import Grid

__all__ = ["Options", "check_length", "dataset_of", "open_image"]

PAIR: Final = {".img": ".hdr", ".hdr": ".img"}
ENCODING: Final = "nifti"


@dataclass(frozen=True, slots=True)
class Options:
    """What the user says; see `NiftiEntrypoint.open_dataset`."""

    dims: Sequence[str] | Mapping[str, ArrayLike | None] | None = None
    form: str | None = None
    sidecar: bool = True
    rescale: bool = True


def open_image(filename_or_obj: Any, options: Options) -> xr.Dataset:
    """
    Return the Dataset of one file, without its voxels.

    Parameters
    ----------
    filename_or_obj : path, URL, file object or bytes
    options : Options

    Raises
    ------
    ImagedataError
        The file is no NIfTI file, is damaged, or an option means nothing to it.
    """
    source, voxels = _files(filename_or_obj)
    content = opened(source)
    header = parse_header(content.read(0, LONGEST), source.name)
    if header.single:
        data = content
    elif voxels is None:
        raise FormatError(f"{source.name}: the voxels are in another file (.img): give its path")
    else:
        data = opened(voxels)
    check_length(data, header)
    volumes = math.prod(header.shape[3:])
    beside = beside_source(source, volumes) if options.sidecar else Beside()

    def voxels_of(header: NiftiHeader, order: tuple[int, ...]) -> Any:
        return lazily(VoxelArray(data, header, order, rescale=options.rescale))

    packed = isinstance(data, Gunzipped)
    dataset = dataset_of(
        header, beside, options, name=data.name, voxels_of=voxels_of, by_volume=packed
    )
    if packed:
        # A slice costs inflating what stands before it: volumes are read whole.
        for variable in dataset.variables.values():
            variable.encoding.get("preferred_chunks", {}).pop(schema.SLICE, None)
    return dataset


def _files(given: Any) -> tuple[Source, Source | None]:
    """Return the source of the header, and of the voxels where they have a file of their own."""
    pair: Path | None = None
    if isinstance(given, str | os.PathLike):
        path = Path(given)
        folded = path.suffix.lower() == ".gz"
        stem = path.with_suffix("") if folded else path
        other = PAIR.get(stem.suffix.lower())
        if other and path.is_file():
            upper = other.upper() if stem.suffix.isupper() else other
            names = [stem.with_suffix(upper + end) for end in ("", ".gz")]
            pair = next((one for one in names if one.is_file()), None)
            if pair is None and other == ".hdr":
                raise SourceNotFoundError(f"{path}: there is no {names[0].name} beside it")
            if pair is not None and other == ".hdr":
                given, pair = pair, path
    sources = find_sources(given)
    if len(sources) > 1:
        # Of an archive of one image and what belongs to it, the image is meant.
        sources = [one for one in sources if not one.name.lower().endswith(BESIDE)] or sources
    if len(sources) != 1:
        raise OptionError(
            f"{given}: a NIfTI image is one file, and here are {len(sources)}: open each of them"
        )
    if isinstance(given, str | os.PathLike) and pair is None and _is_half(sources[0]):
        name = str(Path(given).with_suffix(".img"))
        raise SourceNotFoundError(f"{given}: there is no {name} with the voxels beside it")
    return sources[0], None if pair is None else LocalFile(str(pair))


def _is_half(source: Source) -> bool:
    """Whether a local file has the header of a pair."""
    if not isinstance(source, LocalFile):
        return False
    return not parse_header(opened(source).read(0, LONGEST), source.name).single


def check_length(data: Source | Gunzipped, header: NiftiHeader) -> None:
    """Raise where the file cannot hold so many voxels, before memory is taken for them."""
    needed = header.offset + header.length
    there = data.at_most if isinstance(data, Gunzipped) else data.size
    if there < needed:
        raise FormatError(
            f"{data.name}: {'x'.join(map(str, header.shape))} voxels need {needed} bytes, and "
            f"the file has {'at most ' if isinstance(data, Gunzipped) else ''}{there}"
        )


def dataset_of(  # noqa: PLR0913 - what stands in a file, and how it is read
    header: NiftiHeader,
    beside: Beside,
    options: Options,
    *,
    name: str,
    voxels_of: Callable[[NiftiHeader, tuple[int, ...]], Any],
    by_volume: bool = False,
) -> xr.Dataset:
    """
    Return the Dataset of an image.

    Parameters
    ----------
    header : NiftiHeader
    beside : Beside
    options : Options
    name : str
        Of the file, for messages.
    voxels_of : callable
        Takes the header without unnamed axes of length 1, and which axis in C order (the last of
        the file first) each axis of the image is; returns the array.
    by_volume : bool
        One slice takes as long to read as its volume.
    """
    axes = axis_names(header, beside, None if options.dims is None else tuple(options.dims), name)
    sizes = {**axes, **dict(zip(schema.SPATIAL[::-1], header.shape[:3], strict=True))}
    private = beside.json.get(KEY)
    private = private if isinstance(private, dict) else {}
    stored = coordinates(private.get("coords"), sizes, name)
    header = unrounded(header, private.get(AFFINE))
    stored |= _given(options.dims, axes)
    grid, form = grid_of_header(header, options.form, name)
    names = canonical_order(tuple(axes)[::-1])
    labels = axis_labels(axes, header, beside, stored)
    spacing = _spacing(header)
    dims = {n: labels[n] for n in names}
    if grid is None:
        dims[schema.SLICE] = _slices(header.shape[2], spacing[0])
    extra = _gradients(header, beside, grid, form, axes)
    extra |= {n: xr.Variable(*v) for n, v in stored.items() if n not in axes}
    image = Image(
        voxels_of(_squeezed(header, axes), _order(names, axes)),
        dims,
        grid,
        attrs=_attrs(header, beside, {*axes, *extra}),
        encoding={ENCODING: _facts(header, form)},
        spacing=spacing[1:] if all(spacing[1:]) else None,
        colour=header.parts > 1,
        by_volume=by_volume,
    )
    dataset = build(image)
    chunks = dataset.image.encoding["preferred_chunks"]
    for key, variable in extra.items():
        ordered = variable.transpose(*(d for d in dataset.image.dims if d in variable.dims))
        ordered.encoding["preferred_chunks"] = {d: chunks[d] for d in ordered.dims if d in chunks}
        dataset.coords[key] = ordered
    return dataset


def _given(dims: Any, axes: Mapping[str, int]) -> dict[str, Any]:
    """Return the values that the caller gave along the axes, as coordinates."""
    found = {}
    for name, values in dims.items() if isinstance(dims, Mapping) else ():
        if values is None:
            continue
        array = np.asarray(values)
        numbers = array.dtype.kind in "iuf"
        if (
            array.shape != (axes[name],)
            or array.dtype.kind not in "iufU"
            or np.unique(array).size < array.size
            or (numbers and not np.isfinite(array).all())
        ):
            raise OptionError(
                f"dims={{{name!r}: {values!r}}}: give {axes[name]} distinct numbers or names"
            )
        units = {schema.UNITS: schema.UNITS_OF[name]} if name in schema.UNITS_OF else {}
        found[name] = ((name,), array.astype(np.float64) if units else array, units)
    return found


def _order(names: tuple[str, ...], axes: dict[str, int]) -> tuple[int, ...]:
    """Return which axis in C order each leading one is, the three spatial ones behind them."""
    file_order = tuple(axes)[::-1]
    lead = tuple(file_order.index(name) for name in names)
    return (*lead, *range(len(lead), len(lead) + len(schema.SPATIAL)))


def _squeezed(header: NiftiHeader, axes: dict[str, int]) -> NiftiHeader:
    return replace(header, shape=(*header.shape[:3], *axes.values()))


def _spacing(header: NiftiHeader) -> tuple[float, float, float]:
    """Return the voxel size along slice, row and column in mm, 0 where it is not known."""
    sizes = [abs(size) * header.mm for size in header.pixdim[1:4]]
    k, j, i = (size if math.isfinite(size) else 0.0 for size in sizes[::-1])
    return k, j, i


def _slices(count: int, step: float) -> Labels:
    if not step:
        return Labels(np.arange(count))
    return Labels(np.arange(count) * step, {schema.UNITS: schema.MM, schema.SPACING: step})


def _gradients(
    header: NiftiHeader, beside: Beside, grid: Grid | None, form: str, axes: dict[str, int]
) -> dict[str, xr.Variable]:
    """Return b-values and directions in the patient, one a volume."""
    if beside.b is None:
        return {}
    # axis 4 runs fastest
    dims, shape = tuple(axes)[::-1], tuple(axes.values())[::-1]
    units = {schema.UNITS: schema.UNITS_OF[schema.B]}
    found = {}
    if schema.B not in axes:
        found[schema.B] = xr.Variable(dims, beside.b.reshape(shape), units)
    # All zero where no direction is known, as of trace images.
    if beside.vectors is None or not np.nan_to_num(beside.vectors).any():
        return found
    if grid is None:
        warnings.warn(
            "the .bvec file is left out: without qform and sform, its directions are not known",
            DataWarning,
            stacklevel=2,
        )
        return found
    table = in_patient(beside.vectors, affine_of(header, form))
    for k, name in enumerate(schema.BVEC):
        found[name] = xr.Variable(dims, table[:, k].reshape(shape))
    return found


def _attrs(header: NiftiHeader, beside: Beside, coords: set[str]) -> dict[str, Any]:
    attrs = attributes(beside.json, sorted(coords))
    for field in ("descrip", "intent_name", "aux_file"):
        text = header.text(field)
        named = field == "intent_name" and own_names(header) is not None
        if text and text != OWN and not named:
            attrs.setdefault(field, text)
    return attrs


def _facts(header: NiftiHeader, form: str) -> dict[str, Any]:
    return {
        "form": form,
        "dtype": header.dtype.str,
        "dim": list(header.shape),
        "pixdim": list(header.pixdim),
        "scl_slope": float(header.fields["scl_slope"]),
        "scl_inter": float(header.fields["scl_inter"]),
        **{
            name: int(header.fields[name])
            for name in ("qform_code", "sform_code", "intent_code", "xyzt_units", "dim_info")
        },
        "toffset": float(header.fields["toffset"]),
    }
