"""A result is of one patient, or nobody knows whose it is: then it is not written."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from imagedata_xr import schema
from imagedata_xr.errors import HeaderError
from imagedata_xr.formats.dicom.headerstore import SourceKey, is_source_key, stores_in
from imagedata_xr.formats.dicom.whose import PATIENTS
from imagedata_xr.index import AxisIndex

if TYPE_CHECKING:
    import xarray as xr

    from imagedata_xr.formats.dicom.headerstore import HeaderStore
    from imagedata_xr.formats.dicom.write.layout import Layout

__all__ = ["in_one_space", "require_one_patient", "stores_of"]

_REMEDY = (
    "pass template= to say whose the result is (an array, folder or URL of DICOM of the patient), "
    "or PatientID= and PatientName="
)


def stores_of(image: xr.DataArray) -> list[HeaderStore]:
    """Return the headers of all series that an array knows to have been made from, each once."""
    found = []
    for name, key in ((schema.SERIES, schema.HEADERS), (schema.STUDY, schema.TEMPLATE)):
        coord = image.coords.get(name)
        if coord is not None and key in coord.encoding:
            found.append(coord.encoding[key])
    found += stores_in(image.attrs)
    for index in image.xindexes.values():
        # One alone may have come with a coordinate that was taken over from another image.
        if isinstance(index, AxisIndex) and len(index.origins) > 1:
            found += index.origins
    return list({id(store): store for store in found}.values())


def in_one_space(image: xr.DataArray) -> bool:
    """Tell whether no two of the series that an array was made from lie in different spaces."""
    pairs = itertools.combinations(stores_of(image), 2)
    return not any(one.whose.is_elsewhere(other.whose) for one, other in pairs)


def require_one_patient(layout: Layout) -> None:
    """
    Check that all that went into an array is of one patient, as far as the array tells.

    Of two arrays, `numpy.maximum`, `xarray.where`, `xarray.concat` and others keep the attributes
    of the first, and arithmetic those that only one has: a name alone proves nothing.

    Raises
    ------
    HeaderError
        It is not, or nothing proves it.
    """
    image = layout.image
    for one, other in itertools.combinations(stores_of(image), 2):
        if one.whose.is_stranger(other.whose):
            raise HeaderError(f"the array was made from images of several patients: {_REMEDY}")
        if not one.whose.is_same(other.whose):
            raise HeaderError(
                "the array was made from images of several series, and their headers do not say "
                f"that they are of one patient: {_REMEDY}"
            )
    _require_own_attributes(layout)


def _require_own_attributes(layout: Layout) -> None:
    """Raise where attributes of a series are on frames that may be another one's."""
    image = layout.image
    named = {str(uid): name for name, uid in image.attrs.items() if is_source_key(name)}
    series, keys = image.coords.get(schema.SERIES), layout.along(schema.FRAME)
    own = set() if series is None else set(map(str, series.values.ravel()))
    if not named or own.issuperset(named):
        return
    stores = stores_of(image)
    if own and not own & set(named):
        places = set().union(*(store.places for store in stores))
        known = keys is not None and keys.dtype.kind in "iu" and {*keys.ravel().tolist()} <= places
        if not known:
            raise HeaderError(
                "the array has frames of one series and attributes of another, as xarray.concat "
                f"keeps those of its first array: open the series again, or {_REMEDY}"
            )
    if any(PATIENTS in store.met for store in stores):
        raise HeaderError(
            "images of this patient were combined with those of another one, and the array does "
            f"not say whether it is a result of that: {_REMEDY}"
        )
    bare = not all(isinstance(name, SourceKey) for name in named.values())
    if bare and (own or len(named) != 2):
        raise HeaderError(
            "the array was combined with others after a netCDF or Zarr file, and does not know "
            f"whether they are of one patient: {_REMEDY}"
        )
    if layout.grid is None and not own and len(named) == 1:
        raise HeaderError(
            "the array was combined with another one by a function that keeps the attributes of "
            f"the first, and nobody knows whose that is: {_REMEDY}"
        )
