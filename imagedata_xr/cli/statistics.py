"""Statistics of series and regions, as the command line prints them."""

from __future__ import annotations

import csv
import io
import json
import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import xarray as xr

from imagedata_xr.cli.opening import open_each, open_image
from imagedata_xr.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from imagedata_xr.cli.opening import Choice
    from imagedata_xr.errors import ImagedataError

__all__ = ["FORMS", "Table", "of_regions", "of_series"]

FORMS: Final = ("text", "csv", "json", "bash")
_OVERALL: Final = ("n", "min", "max", "mean", "sd", "median")
_BASH: Final = {"sd": "std"}


class Table:
    """
    Rows of named values.

    Parameters
    ----------
    rows : list of dict
    problems : list of str
        What could not be computed.
    """

    def __init__(self, rows: list[dict[str, Any]], problems: Sequence[str] = ()) -> None:
        self.rows = rows
        self.problems = list(problems)

    def lines(self, form: str) -> Iterator[str]:
        """
        Yield the lines of the table.

        Parameters
        ----------
        form : {"text", "csv", "json", "bash"}
        """
        columns = list(dict.fromkeys(name for row in self.rows for name in row))
        if form == "json":
            yield json.dumps([{k: _plain(v) for k, v in row.items()} for row in self.rows])
        elif form == "csv":
            yield from _csv(columns, self.rows)
        elif form == "bash":
            yield from _bash(self.rows)
        else:
            yield from _text(columns, self.rows)


def _plain(value: Any) -> Any:
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value


def _csv(columns: list[str], rows: list[dict[str, Any]]) -> Iterator[str]:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    yield buffer.getvalue().rstrip("\n")


def _bash(rows: list[dict[str, Any]]) -> Iterator[str]:
    if len(rows) != 1:
        raise OptionError(f"--bash: one series is meant, and there are {len(rows)}")
    named = {
        _BASH.get(k, k): v for k, v in rows[0].items() if isinstance(v, int | float | np.number)
    }
    named = {name: value for name, value in named.items() if name.isidentifier()}
    yield from (f"{name}={_short(value, 17)}" for name, value in named.items())
    yield f"export {' '.join(named)}"


def _text(columns: list[str], rows: list[dict[str, Any]]) -> Iterator[str]:
    cells = [columns, *([_short(row.get(name, ""), 6) for name in columns] for row in rows)]
    widths = [max(len(row[k]) for row in cells) for k in range(len(columns))]
    numeric = [all(_is_number(row.get(name)) for row in rows) for name in columns]
    for row in cells:
        aligned = (
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(row, widths, numeric, strict=True)
        )
        yield "  ".join(aligned).rstrip()


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number)


def _short(value: Any, digits: int) -> str:
    if isinstance(value, float | np.floating):
        return f"{value:.{digits}g}"
    return "" if value is None else str(value)


def of_series(  # noqa: PLR0913 - one for each option
    sources: Sequence[str],
    choice: Choice,
    *,
    mask: str | None = None,
    regions: str | None = None,
    each: bool = False,
    quiet: bool = False,
) -> Table:
    """
    Return the statistics of every series.

    Parameters
    ----------
    sources : sequence of str
    choice : Choice
    mask : str, optional
        Image whose values above 0 are the region, at the same place in the patient.
    regions : str, optional
        File of regions (JSON, RTSTRUCT, SEG, NIfTI).
    each : bool
        One row for each volume instead of each series.
    quiet : bool
        No progress bars.

    Raises
    ------
    ImagedataError
        There is nothing, or the regions do not fit.
    """
    if mask is not None and regions is not None:
        raise OptionError("--mask and --roi: give one of them")
    progress = False if quiet else None
    rows: list[dict[str, Any]] = []
    problems = []
    for found in open_each(sources, choice, progress=progress):
        if found.image is None:
            problems.append(f"{found.name}: {found.problem.splitlines()[0]}")
            continue
        about = _about(found.name, found.image)
        within = _within(found.image, mask, regions, choice)
        if each or regions is not None:
            rows += [about | row for row in _regional(found.image, within, each=each)]
        else:
            rows.append(about | _overall(found.image, within))
    if not rows and problems:
        raise OptionError("no series could be read:\n" + "\n".join(problems))
    return Table(rows, problems)


def of_regions(source: str, regions: str, choice: Choice, *, each: bool = False) -> Table:
    """
    Return the statistics of one image within regions.

    Parameters
    ----------
    source : str
    regions : str
        File of regions.
    choice : Choice
    each : bool
        One row for each volume.
    """
    image = open_image([source], choice, progress=False)
    return Table(_regional(image, _within(image, None, regions, choice), each=each))


def _about(name: str, image: xr.DataArray) -> dict[str, Any]:
    return {
        "series": image.attrs.get("SeriesNumber", name),
        "modality": image.attrs.get("Modality", ""),
        "description": image.attrs.get("SeriesDescription", ""),
        "shape": " x ".join(f"{dim} {size}" for dim, size in image.sizes.items()),
        "dtype": str(image.dtype),
    }


def _within(image: xr.DataArray, mask: str | None, regions: str | None, choice: Choice) -> Any:
    if regions is not None:
        from imagedata_xr.roi import from_file

        return from_file(regions, like=image)
    if mask is None:
        return None
    # The options say how to sort the images, not the mask.
    return open_image([mask], type(choice)(), progress=False) > 0


def _regional(image: xr.DataArray, within: Any, *, each: bool) -> list[dict[str, Any]]:
    from imagedata_xr.roi import stats

    table = stats(image, within)
    if within is None:
        table = table.drop(columns="name")
    rows = [{str(k): v for k, v in row.items()} for row in table.to_dict("records")]
    if each or not _lead(image):
        return rows
    names = list(dict.fromkeys(str(row["name"]) for row in rows))
    return [
        {"name": name} | _pooled([row for row in rows if row["name"] == name]) for name in names
    ]


def _pooled(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return mean, deviation and range over all volumes; medians of volumes do not add up."""
    n = np.array([row["n"] for row in rows], dtype=float)
    mean = np.array([row["mean"] for row in rows], dtype=float)
    sd = np.nan_to_num(np.array([row["sd"] for row in rows], dtype=float))
    total = n.sum()
    overall = float((n * mean).sum() / total) if total else math.nan
    squares = ((n - 1) * sd**2 + n * (mean - overall) ** 2).sum()
    return {
        "n": int(total),
        "volume_ml": rows[0]["volume_ml"],
        "mean": overall,
        "sd": float(np.sqrt(squares / (total - 1))) if total > 1 else math.nan,
        "min": min(row["min"] for row in rows),
        "max": max(row["max"] for row in rows),
        **({"units": rows[0]["units"]} if "units" in rows[0] else {}),
    }


def _lead(image: xr.DataArray) -> list[Any]:
    from imagedata_xr import schema

    return [dim for dim in image.dims if dim not in (*schema.SPATIAL, schema.RGB)]


def _overall(image: xr.DataArray, mask: xr.DataArray | None) -> dict[str, Any]:
    """Return statistics over all voxels, those of the mask where there is one."""
    if mask is None:
        values = image.values.ravel()
    else:
        common, inside = xr.align(image, mask, join="inner")
        spread = inside.broadcast_like(common).transpose(*common.dims)
        values = common.values[spread.values]
    if values.dtype.kind == "c":
        raise OptionError("the values are complex: image_calculator with abs(a) makes real ones")
    kept = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    if not kept.size:
        return {"n": 0, **dict.fromkeys(_OVERALL[1:], math.nan)}
    real = kept.astype(np.float64)
    found = (kept.size, real.min(), real.max(), real.mean(), real.std(), np.median(real))
    units = image.attrs.get("units")
    named = {name: _plain(value) for name, value in zip(_OVERALL, found, strict=True)}
    return named | ({"units": str(units)} if units else {})


def problems_of(table: Table) -> ImagedataError | None:
    """Return the error that says which series could not be read, None where all could."""
    if not table.problems:
        return None
    listed = "\n".join(f"  {problem}" for problem in table.problems)
    return OptionError(f"{len(table.problems)} series could not be read:\n{listed}")
