"""What SimpleITK says of an image or of a file, and what that makes of the axes."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from imagedata_xr import schema
from imagedata_xr.dataset import Image, Labels, build, canonical_order
from imagedata_xr.errors import FormatError, GeometryError, OptionError
from imagedata_xr.formats.itk.sitk import voxel_type
from imagedata_xr.geometry import grid_from_affine, lps_ras_affine
from imagedata_xr.stored import KEY, coordinates, left_out

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr
    from numpy.typing import NDArray

    from imagedata_xr.geometry import Grid

__all__ = ["Axes", "Header", "axes_of", "dataset_of", "header_of", "pieces"]

VECTOR: Final = "vector"
BEHIND: Final = (schema.VOLUME, "axis5")
ENCODING: Final = "itk"
MOST_AXES: Final = 5
# What NRRD calls the axis of the components.
KIND: Final = "NRRD_kinds[0]"
# Lines of a MetaImage header are cut at 32768 characters.
LONGEST: Final = 16_000


@dataclass(frozen=True, slots=True, eq=False)
class Header:
    """
    What a header says.

    Attributes
    ----------
    name : str
        Of the file, for messages.
    shape : tuple of int
        In C order: the last axis of the file first, components of a voxel last.
    parts : int
        Numbers a voxel.
    dtype : dtype
    spacing, origin : tuple of float
        In the order of the file.
    direction : ndarray, shape (n, n)
        Columns are the unit vectors of the axes.
    texts : dict of str
        Everything else.
    placed : bool
        The origin and the directions are those of the patient, in LPS.
    sized : bool
        The spacing is a size in mm.
    """

    name: str
    shape: tuple[int, ...]
    parts: int
    dtype: np.dtype[Any]
    spacing: tuple[float, ...]
    origin: tuple[float, ...]
    direction: NDArray[np.float64]
    texts: dict[str, str] = field(default_factory=dict)
    placed: bool = True
    sized: bool = True

    @property
    def rank(self) -> int:
        """Number of axes, without components."""
        return len(self.spacing)

    @property
    def is_colour(self) -> bool:
        """Whether the components of a voxel are red, green, blue (and alpha)."""
        small = self.dtype.kind == "u" and self.dtype.itemsize <= 2
        return self.parts in (3, 4) and small and self.texts.get(KIND) != "list"


@dataclass(frozen=True, slots=True, eq=False)
class Axes:
    """
    Names of the axes.

    Attributes
    ----------
    leading : tuple of str
        Dimensions before slice, row and column, in the order of the array.
    order : tuple of int
        Which axis of `Header.shape` each axis of the array is.
    colour : bool
        The components are the last axis, ``rgb``.
    coords : dict
        Coordinates that the file has, as of `imagedata_xr.stored`.
    """

    leading: tuple[str, ...]
    order: tuple[int, ...]
    colour: bool
    coords: dict[str, Any]


def header_of(reader: Any, name: str) -> Header:
    """
    Return what an image, or a reader that has read a header, says.

    Parameters
    ----------
    reader : SimpleITK.Image or SimpleITK.ImageFileReader
    name : str
        For messages.
    """
    dtype = voxel_type(reader.GetPixelID())
    if dtype is None:
        kind = getattr(reader, "GetPixelIDTypeAsString", reader.GetPixelIDValue)()
        raise FormatError(f"{name}: voxels of a type that NumPy has not ({kind})")
    size = reader.GetSize()
    of_voxel = getattr(reader, "GetNumberOfComponentsPerPixel", None)
    parts = int(of_voxel() if of_voxel else reader.GetNumberOfComponents())
    parts = 1 if dtype.kind == "c" else parts
    if not 2 <= len(size) <= MOST_AXES or min(size) < 1:
        raise FormatError(f"{name}: sizes {tuple(size)}: images have 2 to {MOST_AXES} axes")
    return Header(
        name=name,
        shape=tuple(size)[::-1] + ((parts,) if parts > 1 else ()),
        parts=parts,
        dtype=dtype,
        spacing=tuple(reader.GetSpacing()),
        origin=tuple(reader.GetOrigin()),
        direction=np.array(reader.GetDirection()).reshape(len(size), len(size)),
        texts=_texts(reader),
        placed=len(size) > 2,
    )


def _texts(reader: Any) -> dict[str, str]:
    """Return all texts of the header that are UTF-8."""
    keys = [key for key in reader.GetMetaDataKeys() if _is_text(key)]
    texts = {key: reader.GetMetaData(key) for key in keys}
    return {key: text for key, text in texts.items() if _is_text(text)}


def _is_text(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def pieces(content: dict[str, Any]) -> dict[str, str]:
    """Return a description as texts that each header holds; inverse of what `axes_of` reads."""
    text = json.dumps(content, allow_nan=False)
    cut = [text[at : at + LONGEST] for at in range(0, len(text), LONGEST)]
    return {f"{KEY}_{k}": part for k, part in enumerate(cut)}


def _described(header: Header) -> dict[str, Any]:
    """Return the description that our writer put into the header, {} without one."""
    parts: list[str] = []
    while (part := header.texts.get(f"{KEY}_{len(parts)}")) is not None:
        parts.append(part)
    if not parts:
        return {}
    try:
        found = json.loads("".join(parts))
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict):
        return found
    left_out(f"{KEY} in {header.name}", "it is no JSON object")
    return {}


def axes_of(header: Header, dims: Sequence[str] | None) -> Axes:
    """
    Return the names of the axes: the caller's, those of our writer, or `BEHIND`.

    Raises
    ------
    OptionError
        `dims` do not fit.
    """
    described = _described(header)
    spatial = min(header.rank, 3)
    colour = header.is_colour and not described.get("components")
    default = BEHIND[: header.rank - spatial]
    default += (VECTOR,) * (header.parts > 1 and not colour)
    stored = described.get("dims")
    names = default if dims is None else tuple(dims)
    if dims is None and _is_names(stored, len(default)):
        names = tuple(stored or ())
    reserved = {*schema.SPATIAL, schema.RGB} & set(names)
    if len(names) != len(default) or reserved or len(set(names)) < len(names) or not all(names):
        raise OptionError(f"{header.name}: dims={names!r}: name the axes {default}, nothing else")
    # Axes behind the third stand first in C order, components last.
    at = {name: header.rank - 1 - spatial - k for k, name in enumerate(names)}
    if header.parts > 1 and not colour:
        at[names[-1]] = header.rank
    leading = canonical_order(sorted(names, key=lambda name: at[name]))
    plane = range(header.rank - spatial, header.rank)
    order = (*(at[name] for name in leading), *plane, *([header.rank] if colour else []))
    sizes = {name: header.shape[at[name]] for name in names}
    # The slices and rows of the file are those of the array.
    sizes |= dict(zip(schema.SPATIAL[-spatial:], (header.shape[k] for k in plane), strict=True))
    coords = coordinates(described.get("coords"), sizes, header.name, texts=True)
    return Axes(leading, order, colour, coords)


def _is_names(stored: Any, count: int) -> bool:
    return (
        isinstance(stored, list)
        and len(stored) == count
        and all(isinstance(name, str) for name in stored)
    )


def dataset_of(header: Header, axes: Axes, data: Any, space: str | None = None) -> xr.Dataset:
    """
    Return the Dataset of an image.

    Parameters
    ----------
    header : Header
    axes : Axes
    data : array
        With the axes in the order of `axes`.
    space : {"LPS", "RAS"}, optional
        What the caller knows of a file that does not say it.
    """
    grid = _grid(header, space)
    sizes = dict(zip(axes.leading, (header.shape[k] for k in axes.order), strict=False))
    labels = {name: Labels(np.arange(size)) for name, size in sizes.items()}
    for name in labels:
        dims, values, attrs = axes.coords.get(name, ((), None, {}))
        if dims == (name,):
            labels[name] = Labels(values, attrs)
    if header.rank > 2 and grid is None:
        labels[schema.SLICE] = _slices(header)
    image = Image(
        data,
        labels,
        grid,
        attrs=_attrs(header.texts),
        encoding={ENCODING: {"texts": dict(header.texts), "origin": list(header.origin)}},
        spacing=(header.spacing[1], header.spacing[0]) if header.sized else None,
        colour=axes.colour,
    )
    dataset = build(image)
    if grid is None and not header.sized:
        dataset = dataset.drop_vars(schema.SLICE, errors="ignore")
    chunks = dataset[schema.IMAGE].encoding["preferred_chunks"]
    for name, (dims, values, attrs) in axes.coords.items():
        if name not in dataset.dims:
            dataset.coords[name] = (dims, values, attrs)
            dataset[name].encoding["preferred_chunks"] = {
                dim: chunks[dim] for dim in dims if dim in chunks
            }
    return dataset


def _grid(header: Header, space: str | None) -> Grid | None:
    if space not in (None, "LPS", "RAS"):
        raise OptionError(f"space={space!r}: give 'LPS' or 'RAS'")
    if space and header.placed:
        raise OptionError(f"{header.name}: space={space!r}: the file says its own, in LPS")
    if space and (header.rank < 3 or not header.sized):
        raise OptionError(f"{header.name}: space={space!r}: the file has no volume in mm")
    if not header.placed and not space:
        return None
    matrix = np.eye(4)
    matrix[:3, :3] = header.direction[:3, :3] * header.spacing[:3]
    matrix[:3, 3] = header.origin[:3]
    sizes = header.shape[: header.rank][::-1][:3]
    lps = lps_ras_affine(matrix) if space == "RAS" else matrix
    try:
        return grid_from_affine(lps, sizes, order=schema.SPATIAL[::-1])
    except GeometryError as error:
        raise GeometryError(f"{header.name}: {error}") from error


def _slices(header: Header) -> Labels:
    count = np.arange(header.shape[header.rank - 3])
    if not header.sized:
        return Labels(count)
    step = float(header.spacing[2])
    return Labels(count * step, {schema.UNITS: schema.MM, schema.SPACING: step})


def _attrs(texts: dict[str, str]) -> dict[str, str]:
    """Return what is not said by the array itself."""
    own = ("ITK_", "NRRD_", KEY)
    found = {k: v for k, v in texts.items() if k.isidentifier() and not k.startswith(own)}
    # MET_MOD_CT is CT, and MET_MOD_UNKNOWN says nothing.
    modality = found.pop("Modality", "").removeprefix("MET_MOD_")
    return found | ({"Modality": modality} if modality not in ("", "UNKNOWN", "OTHER") else {})
