"""
Whose an image is, and where it lies, taken over from a DICOM series.

An image that comes from NIfTI, ITK or NumPy knows neither patient nor study. A template gives it
both, with the equipment and the frame of reference, and its place in the patient where asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import xarray as xr

from imagedata_xr import schema
from imagedata_xr.errors import GeometryError, GridMismatchError, OptionError
from imagedata_xr.formats.dicom.headerstore import is_source_key
from imagedata_xr.index import DIRECTION_TOLERANCE, PositionIndex, grid_of, position_coords

if TYPE_CHECKING:
    from pydicom import Dataset

    from imagedata_xr.geometry import Axis, Grid

__all__ = ["is_placed", "like", "take_geometry", "template_image"]

OWN: Final = "own"


def like(da: xr.DataArray, template: Any, *, geometry: bool | str = False) -> xr.DataArray:
    """
    Return an image with the patient, study, equipment and frame of reference of a template.

    The attributes are those of the template's header (patient, general study, general equipment,
    frame of reference: PS3.3 C.7.1 to C.7.5); ``Modality`` only where the image has none. The
    scalar coordinate ``StudyInstanceUID`` leads `to_dicom` to the full header, with sequences
    and private elements of the patient. What the template says of its own acquisition is not
    taken over, nor are its frames sources of the image.

    Parameters
    ----------
    da : DataArray
        Values and dimensions stay as they are, but for the order of rows with ``geometry=True``.
    template : DataArray, Dataset, path or URL
        An image that was read from DICOM, or where one is.
    geometry : bool or "own"
        False: the positions stay; where both have them, they must be those of the template.
        True: the positions become those of the template; an image with positions of its own must
        have the same within the tolerance of the index (1 % of a voxel), and axes that are stored
        the other way round are turned. ``"own"``: the image has a grid of its own within the frame
        of reference of the template, and nothing is compared.

    Returns
    -------
    DataArray

    Raises
    ------
    GridMismatchError
        Shape or positions are others than the template's.
    GeometryError
        The template has no place in the patient, and should give it.
    OptionError
        The template knows no patient, or `geometry` means nothing.
    """
    from imagedata_xr.formats.dicom.write.template import (
        is_general,
        plain_attributes,
        template_header,
        template_store,
    )

    if geometry not in (True, False, OWN):
        raise OptionError(f"geometry={geometry!r}: give True, False or 'own'")
    opened = template_image(template) if geometry is True or is_placed(da) else template
    header = template_header(opened)
    if geometry is True:
        da = take_geometry(da, opened)
    elif geometry is False and is_placed(da) and is_placed(opened):
        _turned(da, grid_of(opened))
    da = _without_other_source(da, header)
    kept = {k: v for k, v in da.attrs.items() if k == "Modality" or not is_general(str(k))}
    attrs = {**plain_attributes(header, placed=is_placed(da)), **kept}
    made = da.assign_attrs(attrs)
    made.attrs = {k: v for k, v in made.attrs.items() if k in attrs}
    store, study = template_store(opened), header.get("StudyInstanceUID")
    if study:
        made = made.assign_coords({schema.STUDY: str(study)})
        if store is not None:
            made.coords[schema.STUDY].encoding[schema.TEMPLATE] = store
    return made


def template_image(template: Any) -> xr.DataArray:
    """Return a template as an image: itself, or the one series that a path or URL holds."""
    if isinstance(template, xr.Dataset):
        template = template[schema.IMAGE]
    if isinstance(template, xr.DataArray):
        return template
    from imagedata_xr.formats.dicom.reader import Options, open_image

    return open_image(template, Options())[schema.IMAGE]


def is_placed(obj: Any) -> bool:
    """Tell whether an array has positions in a patient."""
    return isinstance(obj, xr.DataArray) and any(
        schema.DIRECTION in obj.coords[name].attrs for name in schema.SPATIAL if name in obj.coords
    )


def take_geometry(da: xr.DataArray, template: xr.DataArray) -> xr.DataArray:
    """
    Return an image with the positions of another one on the same grid.

    Parameters
    ----------
    da : DataArray
    template : DataArray

    Raises
    ------
    GridMismatchError
        Shape or positions are others.
    GeometryError
        The template has no place in the patient.
    """
    grid = grid_of(template)
    da = _turned(da, grid)
    found = position_coords(grid)
    coords = {n: found[n] if n in da.dims else found[n].isel({n: 0}) for n in schema.SPATIAL}
    lost = [name for name in schema.SPATIAL if name in da.coords]
    da = da.drop_vars(lost)
    placed = {n: c for n, c in coords.items() if n in da.dims}
    indexes = {n: found.xindexes[n] for n in placed}
    da = da.assign_coords(xr.Coordinates({n: found[n].variable for n in placed}, indexes))
    return da.assign_coords({n: c.variable for n, c in coords.items() if n not in placed})


def _turned(da: xr.DataArray, grid: Grid) -> xr.DataArray:
    """Return the image in the order of a grid, after a check that it lies there."""
    sizes = {name: da.sizes.get(name, 1) for name in schema.SPATIAL}
    wanted = dict(zip(schema.SPATIAL, grid.shape, strict=True))
    if sizes != wanted:
        raise GridMismatchError(
            f"the image has {_named(sizes)}, the template {_named(wanted)}: resample the image onto "
            "the template, select the same part of the template, or pass geometry='own' if the "
            "image lies in the template's frame of reference on a grid of its own"
            + ("" if set(schema.SPATIAL) <= set(da.dims) else f" (dimensions: {da.dims})")
        )
    if not is_placed(da):
        return da
    flips = {}
    for name, mine, theirs in zip(schema.SPATIAL, grid_of(da).axes, grid.axes, strict=True):
        sense = _sense(mine, theirs)
        if sense == 0:
            raise GridMismatchError(
                f"the image lies elsewhere than the template: along {name!r} from "
                f"{mine.values[0]:g} to {mine.values[-1]:g} mm towards {_short(mine)}, the template "
                f"from {theirs.values[0]:g} to {theirs.values[-1]:g} mm towards {_short(theirs)}. "
                "Resample it onto the template; pass geometry='own' if it has a grid of its own; "
                "or, if its positions are wrong, drop them: "
                "da.drop_vars(['slice', 'row', 'column']).med.like(template, geometry=True)"
            )
        if sense < 0:
            flips[name] = slice(None, None, -1)
    return da.isel(flips)


def _sense(mine: Axis, theirs: Axis) -> int:
    """Return 1 where axes are the same, -1 where one runs backwards, 0 where they differ."""
    apart = np.abs(np.subtract(mine.direction, theirs.direction)).max()
    if apart > DIRECTION_TOLERANCE:
        return 0
    steps = [_smallest(axis) for axis in (mine, theirs)]
    tolerance = PositionIndex.RTOL * min(steps)
    for sense in (1, -1):
        if np.abs(mine.values[::sense] - theirs.values).max() <= tolerance:
            return sense
    return 0


def _smallest(axis: Axis) -> float:
    if axis.size > 1:
        return float(np.abs(np.diff(axis.values)).min())
    return float(axis.spacing or 1.0)


def _short(axis: Axis) -> list[float]:
    return [round(n, 4) for n in axis.direction]


def _named(sizes: dict[str, int]) -> str:
    return " x ".join(f"{size} {name}s" for name, size in sizes.items())


def _without_other_source(da: xr.DataArray, header: Dataset) -> xr.DataArray:
    """Forget the frames that the image was read from, where they are of another study."""
    if schema.SERIES not in da.coords and not any(map(is_source_key, da.attrs)):
        return da
    own = da.attrs.get("StudyInstanceUID")
    if own is not None and own == header.get("StudyInstanceUID"):
        return da
    found = da.drop_vars([schema.SERIES, schema.FRAME], errors="ignore")
    found.attrs = {name: value for name, value in da.attrs.items() if not is_source_key(name)}
    return found


def geometry_image(geometry: Any, template: Any) -> xr.DataArray | None:
    """
    Return the image whose positions a writer shall take.

    Parameters
    ----------
    geometry : bool, DataArray, path, URL or None
        True means those of the template.
    template : DataArray, path, URL or None

    Raises
    ------
    OptionError
        There is no template.
    GeometryError
        The image has no place in the patient.
    """
    if geometry is None or geometry is False:
        return None
    if geometry is True and template is None:
        raise OptionError("geometry=True takes the positions of template=, and there is none")
    found = template_image(template if geometry is True else geometry)
    if not is_placed(found):
        raise GeometryError("geometry: the image has no place in the patient")
    return found
