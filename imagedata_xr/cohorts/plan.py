"""Which series a run works on, under what names, and what tells whether one has changed."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from functools import partial
from pathlib import Path
from types import CodeType
from typing import TYPE_CHECKING, Any, Final

from imagedata_xr import schema
from imagedata_xr.cohorts.rows import BROKEN, IMAGE
from imagedata_xr.cohorts.table import place_rows, read_catalog
from imagedata_xr.cohorts.tasks import Task
from imagedata_xr.errors import OptionError
from imagedata_xr.naming import Names
from imagedata_xr.sources import find_sources
from imagedata_xr.sources.marks import marks

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pandas as pd

    from imagedata_xr.cohorts.tasks import Wish

__all__ = ["DICOM", "SHOWN", "Planned", "plan_of"]

DICOM: Final = "dicom"
# What the table of results says of each series.
SHOWN: Final = (
    "PatientID",
    "number",
    "modality",
    "description",
    schema.SERIES,
    "stack",
    "path",
    "problems",
)
_TEMPLATE: Final = "{SeriesNumber}_{SeriesDescription}"
_NAMES: Final = {
    "number": "SeriesNumber",
    "modality": "Modality",
    "description": "SeriesDescription",
}
Planned = tuple[dict[str, Any], "Task | None", "str | None"]


def plan_of(
    source: Any, wish: Wish, template: str | None, *, phi: bool, progress: bool | None
) -> Iterator[Planned]:
    """Yield what each series is, and its task or why it has none."""
    found = list(_series(source, wish, phi=phi, progress=progress))
    names = _names(found, template)
    what = _function_mark(wish)
    for one, name in zip(found, names, strict=True):
        shown = {key: one[key] for key in SHOWN}
        if one["reason"] is not None:
            yield shown, None, one["reason"]
            continue
        known = one["files"]
        whole = all(known.values()) and bool(known)
        said = json.dumps([sorted(known.items()), one["arguments"], what])
        task = Task(
            key=one["key"],
            place=one["path"],
            arguments=one["arguments"],
            name=name,
            fingerprint=hashlib.blake2b(said.encode(), digest_size=16).hexdigest() if whole else "",
        )
        yield shown, task, None


def _series(
    source: Any, wish: Wish, *, phi: bool, progress: bool | None
) -> Iterator[dict[str, Any]]:
    if wish.engine != DICOM:
        places = source if isinstance(source, list | tuple) else [source]
        yield from (_bare(str(place)) for place in places)
    elif hasattr(source, "itertuples"):
        yield from _of_table(source, phi=phi)
    else:
        yield from _of_rows(source, phi=phi, progress=progress)


def _bare(place: str) -> dict[str, Any]:
    known = marks(list(find_sources(place)))
    return {
        **dict.fromkeys(SHOWN),
        "path": place,
        "problems": (),
        "values": {"SeriesDescription": Path(place).name.split(".")[0]},
        "files": known,
        "arguments": {},
        "key": place,
        "reason": None,
    }


def _of_table(table: pd.DataFrame, *, phi: bool) -> Iterator[dict[str, Any]]:
    lacking = {"path", "arguments", "dims", "problems", schema.SERIES} - set(table.columns)
    if lacking:
        raise OptionError(f"the table lacks {', '.join(sorted(lacking))}: give rows of catalog()")
    for row in table.to_dict("records"):
        if row.get("n") == 0 and "no image" in row["problems"]:
            continue
        values = {_NAMES.get(str(name), str(name)): _known(row.get(name)) for name in row}
        is_whole = len(row["dims"]) > 0
        yield {
            **{name: _known(row.get(name)) for name in SHOWN if phi or name != "PatientID"},
            "PatientID": _known(row.get("PatientID")) if phi else None,
            "stack": row["arguments"].get("stack"),
            "path": row["path"],
            "problems": tuple(row["problems"]),
            "values": values,
            "files": marks(list(find_sources(row["path"]))) if is_whole else {},
            "arguments": dict(row["arguments"]),
            "key": _key(values, row["arguments"].get("stack"), row["path"]),
            "reason": None if is_whole else "; ".join(row["problems"]),
        }


def _known(value: Any) -> Any:
    """Return None for what pandas puts where nothing is known."""
    return None if isinstance(value, float) and value != value else value  # noqa: PLR0124


def _of_rows(source: Any, *, phi: bool, progress: bool | None) -> Iterator[dict[str, Any]]:
    rows = read_catalog(source, phi=phi, progress=progress)
    for row, place in zip(rows, place_rows(rows), strict=True):
        if row.kind not in (IMAGE, BROKEN):
            continue
        values = row.values
        yield {
            **{name: values.get(_NAMES.get(name, name)) for name in SHOWN},
            "stack": row.stack,
            "path": place,
            "problems": row.problems,
            "values": values,
            "files": row.files,
            "arguments": {} if row.stack is None else {"stack": row.stack},
            "key": _key(values, row.stack, place),
            "reason": None if row.dims else "; ".join(row.problems),
        }


def _key(values: Mapping[str, Any], stack: int | None, place: str | list[str]) -> str:
    return json.dumps([values.get(schema.SERIES) or place, stack])


def _names(found: Sequence[dict[str, Any]], template: str | None) -> list[str]:
    """Return a folder for each series: the same in every run, whatever series come and go."""
    wishes = [Names(template or _TEMPLATE).of(one["values"], key=0) for one in found]
    counts = Counter(wish.casefold() for wish in wishes)
    names = []
    for one, wish in zip(found, wishes, strict=True):
        letters = hashlib.blake2b(one["key"].encode(), digest_size=4).hexdigest()
        is_alone = template is not None and counts[wish.casefold()] == 1
        names.append(wish if is_alone else f"{wish}_{letters}")
    return names


def _function_mark(wish: Wish) -> list[str]:
    return [
        *_code_of(wish.function),
        wish.engine,
        wish.format,
        json.dumps(wish.options, sort_keys=True, default=repr),
    ]


def _code_of(function: Any) -> list[str]:
    """Return what changes when the code of a function does."""
    if isinstance(function, partial):
        return [*_code_of(function.func), repr(function.args), repr(function.keywords)]
    code = getattr(function, "__code__", None)
    if code is None:
        code = getattr(type(function).__call__, "__code__", None)
    name = getattr(function, "__qualname__", type(function).__qualname__)
    return [name, *_marks_of(code), repr(getattr(function, "__defaults__", None))]


def _marks_of(code: CodeType | None) -> list[str]:
    if code is None:
        return []
    parts = [code.co_code.hex(), repr(code.co_names)]
    for constant in code.co_consts:
        parts += _marks_of(constant) if isinstance(constant, CodeType) else [repr(constant)]
    return parts
