"""Everything in a source as named groups: patient, study, series, and stacks of a series."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import xarray as xr

from imagedata_xr import schema
from imagedata_xr.errors import ImagedataError, NoImagesError
from imagedata_xr.formats.dicom.collector import without_collector
from imagedata_xr.formats.dicom.reader import stack_dataset
from imagedata_xr.formats.dicom.reasons import reason
from imagedata_xr.formats.dicom.scan import scan, without_duplicates
from imagedata_xr.naming import Unique, clean
from imagedata_xr.sorting import by_series, fitting_series, one_patient, select_frames, split

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from imagedata_xr.formats.dicom.headers import Header
    from imagedata_xr.formats.dicom.reader import Options
    from imagedata_xr.formats.dicom.scan import Scan
    from imagedata_xr.frames import Frame, Source, Value
    from imagedata_xr.sorting import Stack

__all__ = ["open_groups"]

_LEVELS = ("PatientID", "StudyInstanceUID")
_STUDY = ("StudyInstanceUID", "StudyDate", "StudyTime", "StudyDescription", "StudyID")
_PATIENT = ("PatientName", "PatientID", "PatientSex", "PatientBirthDate")
_UNREADABLE = "/unreadable"


class _Names:
    """Readable names of groups, each used once."""

    def __init__(self, *, phi: bool) -> None:
        self.phi = phi
        self.taken: dict[tuple[Any, ...], str] = {(): _UNREADABLE}
        self.unique = Unique()

    def of(self, key: tuple[Any, ...], parent: str, wish: str) -> str:
        """Return the path of what `key` identifies, below its parent."""
        if key in self.taken:
            return self.taken[key]
        self.taken[key] = path = self.unique.of(f"{parent}/{clean(wish)}")
        return path

    def study(self, values: Mapping[str, Value]) -> str:
        """Return the path of the study that the values belong to."""
        patient, study = (values.get(level) for level in _LEVELS)
        number = len({key for key in self.taken if len(key) == 1}) + 1
        who = str(patient) if self.phi and patient else f"patient{number}"
        above = self.of((patient,), "", who)
        parts = [values.get("StudyDate"), values.get("StudyDescription") or values.get("StudyID")]
        known = "_".join(str(part) for part in parts if part) if self.phi else ""
        number = len({key for key in self.taken if len(key) == 2}) + 1
        return self.of((patient, study), above, known or f"study{number}")

    def series(self, values: Mapping[str, Value]) -> str:
        """Return the path of the series that the values belong to."""
        above = self.study(values)
        uid, number = values.get(schema.SERIES), values.get("SeriesNumber")
        description = values.get("SeriesDescription") or values.get("Modality") or "series"
        wish = f"{number}_{description}" if number is not None else str(description)
        return self.of((above, uid, "series"), above, wish)


def open_groups(source: Any, options: Options) -> dict[str, xr.Dataset]:
    """
    Open every series of a source.

    Parameters
    ----------
    source : path, URL, list, file object or bytes
        As `imagedata_xr.sources.find_sources` takes it.
    options : Options
        `series` chooses the series that are opened, and `select` the frames of each; `stack` has
        no meaning here.

    Returns
    -------
    dict of str to Dataset
        ``/patient/study/series`` to its Dataset; a series of several stacks has one group a stack
        below it (``/stack0``...). A series that makes no array is an empty Dataset whose
        attribute ``error`` says why, without the patient; objects without images (reports,
        structure sets) are empty Datasets with the attribute ``note``; with ``errors="warn"``,
        files that cannot be read are below ``/unreadable``, and the series beside them have the
        attribute ``warning``. Patient and study attributes stand at
        their levels.

    Raises
    ------
    ImagedataError
        There is no image, or none that fits; or a file is damaged, with ``errors="raise"``.
    """
    with without_collector():
        return _open(source, options)


def _open(source: Any, options: Options) -> dict[str, xr.Dataset]:
    found = scan(source, errors=options.errors, progress=options.progress)
    names = _Names(phi=options.phi)
    groups: dict[str, xr.Dataset] = {"/": xr.Dataset()}
    for frames in _chosen(found, options):
        values = frames[0].values
        path = names.series(values)
        _add_levels(groups, path, values, phi=options.phi)
        opened = _series(path, frames, found, options)
        lost = sum(_folder(one) in {_folder(f.ref.source) for f in frames} for one in found.broken)
        if lost:
            opened[path].attrs["warning"] = f"{lost} file(s) beside it cannot be read"
        groups.update(opened)
    for header in found.others if options.series is None else ():
        path = names.series(header_only := _HeaderValues(header))
        _add_levels(groups, path, header_only, phi=options.phi)
        groups.setdefault(path, _without_image(header, phi=options.phi))
    for number, (file, error) in enumerate(found.broken.items()):
        text = str(error) if options.phi else str(error).replace(file.name, "a file")
        groups.setdefault(_UNREADABLE, xr.Dataset())
        groups[f"{_UNREADABLE}/file{number + 1}"] = xr.Dataset(attrs={"error": text})
    return groups


def _folder(file: Source) -> str:
    return file.name.replace("\\", "/").rpartition("/")[0]


def _chosen(found: Scan, options: Options) -> list[list[Frame]]:
    """Return the frames of every series that is wanted."""
    groups = by_series(found.frames)
    if options.series is not None:
        groups = fitting_series(groups, options.series)
    if not options.select:
        return groups
    kept, missed = [], None
    for frames in groups:
        try:
            kept.append(select_frames(frames, options.select))
        except NoImagesError as error:
            missed = error
    if not kept and missed is not None:
        raise missed
    return kept


class _HeaderValues(dict[str, "Value"]):
    """The few values of an object without images that its name needs."""

    def __init__(self, header: Header) -> None:
        wanted = (
            *_PATIENT,
            *_STUDY,
            schema.SERIES,
            "SeriesNumber",
            "SeriesDescription",
            "Modality",
        )
        super().__init__({keyword: header.get(keyword) for keyword in wanted})


def _add_levels(
    groups: dict[str, xr.Dataset], path: str, values: Mapping[str, Value], *, phi: bool
) -> None:
    patient, study = path.rsplit("/", 2)[0], path.rsplit("/", 1)[0]
    for level, keywords in ((patient, _PATIENT), (study, _STUDY)):
        if level not in groups:
            known = {key: values.get(key) for key in keywords} if phi else {}
            groups[level] = xr.Dataset(attrs={k: str(v) for k, v in known.items() if v})


def _series(
    path: str, frames: Sequence[Frame], found: Scan, options: Options
) -> dict[str, xr.Dataset]:
    try:
        one_patient(frames)
        frames = without_duplicates(frames)
        stacks = split(frames)
    except ImagedataError as error:
        return {path: _failed(frames, error, phi=options.phi)}
    if len(stacks) == 1:
        return {path: _stack(stacks[0], found, options)}
    parts = {f"{path}/stack{k}": _stack(stack, found, options) for k, stack in enumerate(stacks)}
    return {path: xr.Dataset(), **parts}


def _stack(stack: Stack, found: Scan, options: Options) -> xr.Dataset:
    try:
        return stack_dataset(stack, found, options)
    except ImagedataError as error:
        return _failed(stack.frames, error, phi=options.phi)


def _failed(frames: Sequence[Frame], error: ImagedataError, *, phi: bool) -> xr.Dataset:
    values = frames[0].values
    known = {key: values.get(key) for key in ("Modality", "SeriesDescription", schema.SERIES)}
    attrs = {key: str(value) for key, value in known.items() if value}
    return xr.Dataset(
        attrs={**attrs, "frames": len(frames), "error": reason(error, frames, phi=phi)}
    )


def _without_image(header: Header, *, phi: bool) -> xr.Dataset:
    known = {key: header.get(key) for key in ("Modality", "SeriesDescription", schema.SERIES)}
    attrs = {key: str(value) for key, value in known.items() if value}
    attrs["note"] = "no image"
    if phi:
        attrs["source"] = header.source.name
    return xr.Dataset(attrs=attrs)
