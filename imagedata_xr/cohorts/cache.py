"""The catalog on disk: one Parquet file that says which files each row was made of."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from imagedata_xr.cohorts.rows import Row
from imagedata_xr.errors import MissingDependencyError, OptionError
from imagedata_xr.targets import complete_file

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

__all__ = ["read_rows", "write_rows"]

# Of the layout of the rows: others are read anew.
_VERSION: Final = "1"
_MARKER: Final = b"imagedata_xr.catalog"
# Sequences and mappings stand as JSON: Parquet's own come back as other types.
_NESTED: Final = ("values", "dims", "shape", "spacing", "problems", "files")
_SEQUENCES: Final = ("dims", "shape", "spacing", "problems")


def _parquet() -> Any:
    try:
        import pyarrow.parquet as found
    except ImportError as error:
        raise MissingDependencyError(
            'cache= needs pyarrow: pip install "imagedata_xr[io]"'
        ) from error
    return found


def read_rows(path: str | os.PathLike[str], state: dict[str, Any]) -> list[Row]:
    """
    Return the rows of a cache; none where it does not exist or was made otherwise.

    Parameters
    ----------
    path : path-like
    state : dict
        The options that rows depend on.

    Raises
    ------
    OptionError
        The file is no such cache.
    MissingDependencyError
        pyarrow is not installed.
    """
    parquet = _parquet()
    if not Path(path).exists():
        return []
    try:
        table = parquet.read_table(path, memory_map=False)
        said = (table.schema.metadata or {}).get(_MARKER)
    except (OSError, ValueError) as error:
        raise OptionError(f"cache={str(path)!r} is no catalog: {error}; remove it") from error
    if said is None:
        raise OptionError(f"cache={str(path)!r} is a file of something else: give another name")
    if json.loads(said) != {"version": _VERSION, **state}:
        return []
    return [_row(one) for one in table.to_pylist()]


def write_rows(path: str | os.PathLike[str], rows: Sequence[Row], state: dict[str, Any]) -> None:
    """
    Replace a cache in one step.

    Raises
    ------
    WriteError
        The disk refuses, or the folder does not exist.
    """
    parquet = _parquet()
    import pyarrow as pa

    plain = [asdict(row) for row in rows]
    for one in plain:
        one.update({name: json.dumps(one[name]) for name in _NESTED})
    said = json.dumps({"version": _VERSION, **state}).encode()
    columns = {
        name: pa.array(
            [one[name] for one in plain],
            pa.int64() if name in ("n", "size", "stack") else pa.string(),
        )
        for name in Row.__dataclass_fields__
    }
    table = pa.table(columns).replace_schema_metadata({_MARKER: said})
    with complete_file(path, overwrite=True) as part:
        parquet.write_table(table, part, compression="zstd")


def _row(stored: dict[str, Any]) -> Row:
    values = {name: json.loads(stored[name]) for name in _NESTED}
    values.update({name: tuple(values[name]) for name in _SEQUENCES})
    return Row(**{**stored, **values})
