"""The table of all series in a source, for choosing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from imagedata_xr import schema
from imagedata_xr.cohorts.cache import read_rows, write_rows
from imagedata_xr.cohorts.places import Places
from imagedata_xr.cohorts.rows import BROKEN, IMAGE, OTHER, STRANGER, rows_of
from imagedata_xr.formats.dicom.headers import read_headers
from imagedata_xr.formats.dicom.reader import Options
from imagedata_xr.formats.dicom.scan import sift
from imagedata_xr.sources import find_sources
from imagedata_xr.sources.marks import marks

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping, Sequence

    import pandas as pd

    from imagedata_xr.cohorts.rows import Row
    from imagedata_xr.errors import ImagedataError
    from imagedata_xr.formats.dicom.headers import Header
    from imagedata_xr.frames import Source

__all__ = ["catalog", "read_catalog"]

_COLUMNS: Final = (
    "PatientID",
    "StudyDate",
    "StudyDescription",
    "number",
    "modality",
    "description",
    "dims",
    "shape",
    "spacing",
    "dtype",
    "n",
    "size",
    "stacks",
    "problems",
    "path",
    "arguments",
    schema.STUDY,
    schema.SERIES,
)
_NAMES: Final = {
    "number": "SeriesNumber",
    "modality": "Modality",
    "description": "SeriesDescription",
}


def catalog(
    source: Any,
    *,
    cache: str | os.PathLike[str] | None = None,
    phi: bool = True,
    stacks: bool = False,
    progress: bool | None = None,
) -> pd.DataFrame:
    """
    Return a table of all series in a source, one row a series.

    Every header is read once and every series is sorted as opening it would, so `dims` and `shape`
    are those of the array; no pixels are read (but where two files are copies of one image).
    A row opens with ``xr.open_dataarray(row.path, engine="dicom", **row.arguments)``, without
    looking at any other series. Objects without images and files that cannot be read have rows
    too: nothing in the source is passed over.

    Parameters
    ----------
    source : path, URL, list, file object or bytes
        As `imagedata_xr.sources.find_sources` takes it.
    cache : path-like, optional
        A Parquet file that keeps the table. With it, only series of which a file is new, gone, or
        differs in size or time of change are read again. It names patients only with ``phi=True``.
        Needs pyarrow.
    phi : bool
        False leaves out what identifies the patient. ``path`` is as the folders are named.
    stacks : bool
        One row for each stack of series that hold several (orientations, matrix sizes). By default
        such a series has one row, of its first stack.
    progress : bool, optional
        Progress bar; by default where a person is looking.

    Returns
    -------
    pandas.DataFrame
        ``PatientID`` (with `phi`), ``StudyDate``, ``StudyDescription``, ``number``, ``modality``,
        ``description``; ``dims``, ``shape`` and ``dtype`` of the array; ``spacing`` of slices,
        rows and columns in mm (nan for uneven slices); ``n`` frames; ``size`` of the array in bytes;
        ``stacks``; ``problems``, a tuple of texts; ``path``, a folder or archive that holds
        nothing else, or the list of the files; ``arguments`` that open it; the UIDs of study and
        series. A series that makes no array has empty ``dims``.

    Raises
    ------
    SourceError
        The source cannot be listed.
    OptionError
        `cache` is a file of something else.
    MissingDependencyError
        `cache` is given, and pyarrow is not installed.
    WriteError
        The cache cannot be written.

    Examples
    --------
    >>> table = imagedata_xr.catalog(folder)
    >>> table.modality[0], table.dims[0], int(table.n[0])
    ('MR', ('time', 'slice', 'row', 'column'), 12)
    """
    return _table(
        read_catalog(source, cache=cache, phi=phi, progress=progress), stacks=stacks, phi=phi
    )


def read_catalog(
    source: Any,
    *,
    cache: str | os.PathLike[str] | None = None,
    phi: bool = True,
    progress: bool | None = None,
) -> list[Row]:
    """Return the rows of a source, one a stack; see `catalog`."""
    sources = {one.name: one for one in find_sources(source)}
    known = marks(list(sources.values()))
    state = {"phi": phi}
    stored = [] if cache is None else read_rows(cache, state)
    rows = [row for row in stored if _unchanged(row, known)]
    done = {name for row in rows for name in row.files}
    fresh = [one for name, one in sources.items() if name not in done]
    if fresh or len(rows) < len(stored):
        broken: dict[Source, ImagedataError] = {}
        headers = list(read_headers(fresh, progress=progress, on_error=broken.__setitem__))
        rows, more = _without_series(rows, headers, sources)
        headers += read_headers(more, progress=progress, on_error=broken.__setitem__)
        # In the order of the source, whatever was read first: of copies the first one is kept.
        order = {name: number for number, name in enumerate(sources)}
        seen = sorted([*fresh, *more], key=lambda one: order[one.name])
        headers.sort(key=lambda header: order[header.source.name])
        found = sift(seen, headers, broken)
        options = Options(phi=phi)
        rows += rows_of(found, {one.name: known[one.name] for one in seen}, options)
        rows.sort(key=_order)
        if cache is not None:
            write_rows(cache, rows, state)
    return rows


def _unchanged(row: Row, known: Mapping[str, str]) -> bool:
    return all(mark and known.get(name) == mark for name, mark in row.files.items())


def _without_series(
    rows: Sequence[Row], headers: Iterable[Header], sources: Mapping[str, Source]
) -> tuple[list[Row], list[Source]]:
    """Take out the rows of series that got new files; return the others, and the files to read."""
    touched = {header.get(schema.SERIES) for header in headers}
    kept = [row for row in rows if row.values.get(schema.SERIES) not in touched or not row.values]
    names = {name for row in rows for name in row.files} - {n for row in kept for n in row.files}
    return kept, [sources[name] for name in sorted(names)]


def _order(row: Row) -> tuple[Any, ...]:
    values = row.values
    number = values.get("SeriesNumber")
    return (
        (IMAGE, OTHER, BROKEN, STRANGER).index(row.kind),
        *(str(values.get(name) or "") for name in ("PatientID", "StudyDate", schema.STUDY)),
        number if isinstance(number, int) else 1 << 40,
        str(values.get(schema.SERIES) or ""),
        row.stack or 0,
        min(row.files),
    )


def place_rows(rows: Sequence[Row]) -> list[str | list[str]]:
    """
    Return what to open for each row: a folder, or files.

    Damaged files beside those of a series are opened with them: the error says so, where a series
    without them would look whole.
    """
    owners: dict[str, Any] = {}
    broken: dict[str, list[str]] = {}
    for number, row in enumerate(rows):
        if row.kind == BROKEN:
            for name in row.files:
                broken.setdefault(_folder(name), []).append(name)
        elif row.kind != STRANGER:
            owner = row.values.get(schema.SERIES) or number
            owners.update(dict.fromkeys(row.files, owner))
    places = Places(owners)
    found: list[str | list[str]] = []
    for row in rows:
        place = places.of(row.files) if row.files else ""
        if isinstance(place, list):
            folders = {_folder(name) for name in place}
            place = [*place, *(name for one in sorted(folders) for name in broken.get(one, ()))]
        found.append(place)
    return found


def _folder(name: str) -> str:
    return name.replace("\\", "/").rpartition("/")[0]


def _table(rows: Sequence[Row], *, stacks: bool, phi: bool) -> pd.DataFrame:
    import pandas as pd

    counts: dict[Any, int] = {}
    for row in rows:
        if row.kind == IMAGE:
            key = row.values.get(schema.SERIES)
            counts[key] = counts.get(key, 0) + 1
    records = []
    for row, place in zip(rows, place_rows(rows), strict=True):
        if row.kind == STRANGER or (row.stack and not stacks):
            continue
        count = counts.get(row.values.get(schema.SERIES), 0) if row.kind == IMAGE else 0
        records.append(_record(row, place, count, stacks=stacks))
    columns = [name for name in _COLUMNS if phi or name != "PatientID"]
    return pd.DataFrame(records, columns=columns)


def _record(row: Row, place: str | list[str], count: int, *, stacks: bool) -> dict[str, Any]:
    problems = row.problems
    if count > 1 and not stacks:
        problems = (
            f"{count} stacks, this is the first: stacks=True lists all",
            *problems,
        )
    known = {name: row.values.get(_NAMES.get(name, name)) for name in _COLUMNS}
    return {
        **known,
        "dims": row.dims,
        "shape": row.shape,
        "spacing": row.spacing,
        "dtype": row.dtype,
        "n": row.n,
        "size": row.size,
        "stacks": count,
        "problems": problems,
        "path": place,
        "arguments": {} if row.stack is None else {"stack": row.stack},
    }
