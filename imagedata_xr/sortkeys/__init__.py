"""
Sort keys: one file a key, one line here; strangers use the entry points ``imagedata_xr.sortkeys``.

Each key has one or more *readings*, tried in their order: the time of a frame, say, stands in
different attributes on different scanners.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, TypeAlias

from imagedata_xr import schema
from imagedata_xr.errors import OptionError
from imagedata_xr.sortkeys.key import SortKey
from imagedata_xr.sortkeys.time import CONTENT_TIMES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from imagedata_xr.frames import Value

    Callback: TypeAlias = Callable[[Any], Value]
    SortSpec: TypeAlias = (
        str | SortKey | Callback | Sequence[str | SortKey] | Mapping[str, str | Callback | SortKey]
    )

__all__ = ["SortKey", "names", "readings", "resolve"]

# In the order in which their dimensions stand.
_BUILT_IN = (
    schema.TIME,
    schema.TE,
    schema.TI,
    schema.FA,
    schema.B,
    schema.COMPONENT,
    schema.LABEL,
    schema.COIL,
    schema.VOLUME,
)
_ALIASES = {
    "EchoTime": schema.TE,
    "InversionTime": schema.TI,
    "FlipAngle": schema.FA,
    "DiffusionBValue": schema.B,
    "ComplexImageComponent": schema.COMPONENT,
    "ASLContext": schema.LABEL,
    "MultiCoilElementName": schema.COIL,
}
# Keywords whose values are moments: they give the dimension ``time``, in seconds, read just there.
_MOMENTS = {
    keyword.lower(): keyword
    for keyword in (
        "AcquisitionTime",
        "AcquisitionDateTime",
        "TriggerTime",
        "FrameReferenceTime",
        "ContentTime",
    )
}
_GROUP = "imagedata_xr.sortkeys"


@cache
def _foreign() -> dict[str, tuple[SortKey, ...]]:
    return {entry.name: tuple(entry.load()) for entry in entry_points(group=_GROUP)}


def names() -> tuple[str, ...]:
    """Return the names of the keys that there are, in the order of their dimensions."""
    return (*_BUILT_IN, *(name for name in sorted(_foreign()) if name not in _BUILT_IN))


def readings(name: str) -> tuple[SortKey, ...]:
    """
    Return the readings of a key, the preferred one first.

    Parameters
    ----------
    name : str
        One of `names`, or any DICOM keyword.
    """
    name = _ALIASES.get(name, name)
    if name.lower() in _MOMENTS:
        keyword = _MOMENTS[name.lower()]
        if keyword == "ContentTime":
            return CONTENT_TIMES
        return tuple(k for k in readings(schema.TIME) if keyword in k.source.split("+"))
    if name in _BUILT_IN:
        found: tuple[SortKey, ...] = import_module(f"imagedata_xr.sortkeys.{name}").READINGS
        return found
    if name in _foreign():
        return _foreign()[name]
    return (SortKey.from_keyword(name),)


def resolve(sort: SortSpec) -> tuple[tuple[SortKey, ...], ...]:
    """
    Turn what a user may say into keys.

    Parameters
    ----------
    sort : str, SortKey, sequence or mapping
        ``"time"``, ``"time,te"``, ``("time", "te")``, ``"InversionTime"``, a `SortKey`, or a
        mapping of a dimension's name to a DICOM keyword, a callable that takes the frame's
        pydicom Dataset, or a `SortKey`.

    Returns
    -------
    tuple of tuple of SortKey
        For each dimension in order its readings.

    Raises
    ------
    OptionError
        The argument is of no such form, or names a dimension twice.
    """
    keys = tuple(_parts(sort))
    found = [key[0].name for key in keys]
    if not keys or len(set(found)) < len(found):
        raise OptionError(f"sort={sort!r} names no dimension, or one of them twice")
    reserved = {schema.SLICE, schema.ROW, schema.COLUMN, schema.RGB, schema.FRAME, schema.IMAGE}
    taken = reserved & set(found)
    if taken:
        raise OptionError(f"sort={sort!r}: {sorted(taken)} are names of the data model itself")
    return keys


def _parts(sort: SortSpec) -> list[tuple[SortKey, ...]]:
    if isinstance(sort, SortKey):
        return [(sort,)]
    if isinstance(sort, str):
        return [readings(part.strip()) for part in sort.split(",") if part.strip()]
    if hasattr(sort, "items"):
        return [_named(name, key) for name, key in sort.items()]
    if callable(sort):
        name = getattr(sort, "__name__", "")
        return [_named(name if name.isidentifier() else "key", sort)]
    if isinstance(sort, list | tuple):
        return [part for item in sort for part in _parts(item)]
    raise OptionError(
        f"sort={sort!r} is not understood: give a name such as 'time', 'te' or a DICOM keyword, "
        "several as a tuple, a mapping of names to keywords or callables, or a SortKey"
    )


def _named(name: str, key: str | Callback | SortKey) -> tuple[SortKey, ...]:
    if isinstance(key, SortKey):
        return (_renamed(key, name),)
    if isinstance(key, str):
        return tuple(_renamed(reading, name) for reading in readings(key))
    if callable(key):
        return (_from_callback(name, key),)
    raise OptionError(
        f"sort={{{name!r}: {key!r}}}: give a DICOM keyword, a callable or a SortKey for {name!r}"
    )


def _renamed(key: SortKey, name: str) -> SortKey:
    return replace(key, name=name, units=schema.UNITS_OF.get(name, key.units))


def _from_callback(name: str, function: Callback) -> SortKey:
    label = getattr(function, "__name__", "callable")

    def value(values: Mapping[str, Value]) -> Value:
        dataset = getattr(values, "dataset", None)
        header = values if dataset is None else dataset()
        try:
            return function(header)
        except Exception as error:
            raise OptionError(
                f"sort: {label} raised {type(error).__name__}: {error}; return None where a header "
                "has no value"
            ) from error

    return SortKey(
        name=name,
        source=f"{label}(Dataset)",
        value=value,
        units=schema.UNITS_OF.get(name, ""),
        ranked=name == schema.TIME,
    )
