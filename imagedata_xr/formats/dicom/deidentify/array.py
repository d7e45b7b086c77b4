"""Arrays without identity: attributes, coordinates, and the headers that they lead to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from pydicom import Dataset, config
from pydicom.datadict import dictionary_VR, tag_for_keyword

from imagedata_xr import schema
from imagedata_xr.formats.dicom.deidentify.dataset import Deidentifier
from imagedata_xr.formats.dicom.deidentify.profile import profile_of
from imagedata_xr.formats.dicom.framevalues import FrameValues
from imagedata_xr.formats.dicom.headerstore import (
    HeaderStore,
    SourceKey,
    is_source_key,
    source_attrs,
    stores_in,
)
from imagedata_xr.frames import frame_hash

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import xarray as xr

    from imagedata_xr.formats.dicom.deidentify.profile import Profile
    from imagedata_xr.frames import Frame

__all__ = ["CleanStore", "deidentify"]

# Texts of the frames that `coords=` may have asked for are looked up like attributes.
_OWN_COORDS: Final = (schema.COMPONENT, schema.LABEL, schema.RGB)


@dataclass(frozen=True, repr=False, eq=False, kw_only=True)
class CleanStore(HeaderStore):
    """
    Full headers without identity, made when they are asked for.

    Attributes
    ----------
    origin : HeaderStore
        The original headers.
    keys : mapping of int to int
        New provenance keys to those of the origin.
    profile : Profile
    patient_id : str
        Of the patient, where a header does not say.
    """

    origin: HeaderStore
    keys: Mapping[int, int]
    profile: Profile
    patient_id: str = ""

    @cached_property
    def _deidentifier(self) -> Deidentifier:
        return Deidentifier(self.profile)

    def dataset(self, frame: int) -> Any:
        """Return the full header of a frame's instance without identity; see `HeaderStore`."""
        self.place(frame)
        dataset = self.origin.dataset(self.keys[frame])
        self._deidentifier.apply(dataset, patient_id=self.patient_id)
        return dataset

    def clean(self, frame: Frame) -> Frame:
        """Return a frame under its new UIDs."""
        own = {
            keyword: self.profile.uid(str(frame.values[keyword]))
            for keyword in ("SOPInstanceUID", schema.SERIES, schema.STUDY, "FrameOfReferenceUID")
            if keyword in frame.values
        }
        return replace(
            frame, uid=self.profile.uid(frame.uid), values=FrameValues(frame.values, own)
        )


def deidentify(  # noqa: PLR0913 - each option is one thing a user may say
    da: xr.DataArray,
    profile: Profile | str = "basic",
    *,
    secret: bytes | str | None = None,
    dates: str | None = None,
    retain: Iterable[str] = (),
    keep: Iterable[str] = (),
) -> xr.DataArray:
    """
    Return an image without the patient's identity: DICOM PS3.15 Basic Profile with options.

    Attributes and coordinates are changed at once; the full headers when a writer asks for them, so
    that a lazy array stays lazy. What is written from it, to DICOM, NIfTI, netCDF or any other
    format, has no identity. Values of voxels are not changed: text that is burned in, and faces,
    stay. The array itself still reads from the original files, so its pickles hold their paths.

    Parameters
    ----------
    da : DataArray
    profile : {"basic"} or Profile
        A `Profile` that is kept gives the same new identity to other series of the patient.
    secret : bytes or str, optional
        Of the new profile; see `Profile`.
    dates : {"shifted", "keep", "remove"}, optional
    retain : iterable of {"device", "institution", "patient_characteristics", "safe_private", "uids"}
    keep : iterable of str
        Keywords of attributes to keep, at the caller's own risk.

    Returns
    -------
    DataArray

    Raises
    ------
    OptionError
        An option means nothing.
    MissingDependencyError
        Without dicom-anonymizer.

    Warns
    -----
    DataWarning
        The header says that text is burned into the pixels.

    Examples
    --------
    >>> anonymous = imagedata_xr.deidentify(series)
    >>> anonymous.attrs["PatientName"].startswith("ANON")
    True
    """
    wanted = profile_of(profile, secret=secret, dates=dates, retain=retain, keep=keep)
    deidentifier = Deidentifier(wanted)
    store = _store(da)
    known = da.attrs.get("PatientID")
    if known is None and store is not None and len(store):
        known = store.dataset(next(iter(store.places))).get("PatientID")
    who = str(known or "")
    made = da.copy(deep=False)
    made.encoding = _clean_encoding(da.encoding)
    keys = _new_keys(store, wanted) if store is not None else {}
    # Values of the source are taken as they are, also where they break the rules of their VR.
    with config.disable_value_validation():
        made.attrs = _attributes(da.attrs, deidentifier, who)
        clean = {id(one): _clean_store(one, wanted, who) for one in stores_in(da.attrs)}
        made.attrs.update(_sources(da.attrs, wanted, clean))
        for name in list(da.coords):
            made = _coordinate(made, str(name), deidentifier, who, keys)
    if store is not None and schema.SERIES in made.coords:
        own = clean.get(id(store)) or _clean_store(store, wanted, who)
        made.coords[schema.SERIES].encoding = {schema.HEADERS: own}
    study = da.coords.get(schema.STUDY)
    template = None if study is None else study.encoding.get(schema.TEMPLATE)
    if template is not None and schema.STUDY in made.coords:
        made.coords[schema.STUDY].encoding = {schema.TEMPLATE: _clean_store(template, wanted, who)}
    return made


def _sources(
    attrs: Mapping[Any, Any], profile: Profile, clean: Mapping[int, CleanStore]
) -> dict[str, str]:
    """Return the attributes that name the source series, under their new UIDs."""
    found: dict[str, str] = {}
    for name, value in attrs.items():
        if is_source_key(name):
            uid = profile.uid(str(value))
            store = clean[id(name.store)] if isinstance(name, SourceKey) else None
            found.update(source_attrs([uid] if uid else [], store))
    return found


def _clean_store(store: HeaderStore, profile: Profile, who: str) -> CleanStore:
    keys = _new_keys(store, profile)
    places = {new: store.places[old] for new, old in keys.items()}
    return CleanStore(
        origin=store,
        keys=keys,
        profile=profile,
        patient_id=who,
        places=places,
        labels=store.labels,
        whose=store.whose,
    )


def _store(da: xr.DataArray) -> HeaderStore | None:
    series = da.coords.get(schema.SERIES)
    return None if series is None else series.encoding.get(schema.HEADERS)


def _new_keys(store: HeaderStore, profile: Profile) -> dict[int, int]:
    """Return new provenance keys: the old ones are made of UIDs that somebody may know."""
    uids: dict[Any, str] = {}
    found = {}
    for old, (source, number) in store.places.items():
        if source not in uids:
            uids[source] = str(store.dataset(old).get("SOPInstanceUID") or source.name)
        found[frame_hash(profile.uid(uids[source]) or profile.uid(source.name), number)] = old
    return found


def _clean_encoding(encoding: Mapping[Any, Any]) -> dict[Any, Any]:
    """Leave out paths of files and absolute times."""
    kept = {key: value for key, value in encoding.items() if key != "source"}
    stored = dict(kept.get(schema.ENCODING) or {})
    for name in ("start", "skipped"):
        stored.pop(name, None)
    return {**kept, schema.ENCODING: stored} if stored else kept


def _attributes(attrs: Mapping[Any, Any], deidentifier: Deidentifier, who: str) -> dict[Any, Any]:
    from imagedata_xr.formats.dicom.write.template import attributes_of, header_from_attrs

    attrs = {name: value for name, value in attrs.items() if not is_source_key(name)}
    header = header_from_attrs(attrs)
    seen = {element.keyword for element in header}
    deidentifier.apply(header, patient_id=who)
    clean = attributes_of(header)
    clean.pop("SpecificCharacterSet", None)
    found = {}
    for name, value in attrs.items():
        tag = tag_for_keyword(str(name))
        if name in clean:
            found[name] = clean[name]
        elif name not in seen and (tag is None or tag not in deidentifier.table):
            found[name] = value
    return {**found, **{name: value for name, value in clean.items() if name not in found}}


def _coordinate(
    made: xr.DataArray, name: str, deidentifier: Deidentifier, who: str, keys: Mapping[int, int]
) -> xr.DataArray:
    coord = made.coords[name]
    if name == schema.FRAME:
        new = {old: key for key, old in keys.items()}
        values = np.array([new.get(int(key), -1) for key in coord.values.ravel()], dtype=np.int64)
        return made.assign_coords({name: coord.copy(data=values.reshape(coord.shape))})
    if tag_for_keyword(name) is None or name in _OWN_COORDS:
        return made
    values = coord.values.ravel()
    found = []
    for value in values.tolist():
        header = Dataset()
        header.add_new(name, dictionary_VR(name).split(" or ")[0], value)
        deidentifier.apply(header, patient_id=who)
        found.append(header.get(name))
    if any(value is None or value == "" for value in found):
        return made.drop_vars(name)
    kind = str if coord.dtype.kind in "OUS" else coord.dtype
    data = np.array([kind(value) if kind is str else value for value in found])
    if kind is not str:
        data = data.astype(coord.dtype)
    changed = coord.variable.copy(deep=False, data=data.reshape(coord.shape))
    changed.encoding = {}
    return made.assign_coords({name: changed}) if name not in made.dims else made
