"""What the values within regions are: tables, curves, and masks by threshold."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import xarray as xr

from imagedata_xr import schema
from imagedata_xr.errors import OptionError
from imagedata_xr.roi.masks import LABELS, NUMBERS, SEGMENT, SEGMENT_LABEL, mask
from imagedata_xr.roi.model import Roi
from imagedata_xr.roi.place import cell_sizes, grid_for, on_image

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence

    import pandas as pd
    from numpy.typing import NDArray

__all__ = ["curve", "stats", "threshold"]

PERCENTILES: Final = (5.0, 25.0, 75.0, 95.0)
STATISTICS: Final = ("n", "n_nan", "volume_ml", "mean", "sd", "min", "max", "median")
WHOLE: Final = "image"
MM3_PER_ML: Final = 1000.0
# Of a voxel size: positions are sums of steps.
SAME: Final = 1e-9
# Whole numbers are counted instead of sorted where there are more of them than this, and they
# span less than that.
FEW: Final = 10_000
WIDEST: Final = 1 << 20


@dataclass(frozen=True, eq=False)
class _Regions:
    """Structures on the voxels of an image: masks, or numbers in one label map."""

    names: dict[int, str]
    masks: dict[int, xr.DataArray] = field(default_factory=dict)
    labels: xr.DataArray | None = None

    def arrays(self) -> Iterator[tuple[int, xr.DataArray]]:
        """Yield the mask of every structure."""
        for number in self.names:
            yield number, self.masks[number] if self.labels is None else self.labels == number


def stats(
    da: xr.DataArray, regions: Any = None, *, percentiles: Sequence[float] = PERCENTILES
) -> pd.DataFrame:
    """
    Return the statistics of an image within regions.

    Parameters
    ----------
    da : DataArray
        Only the part around the regions is read, volume by volume.
    regions : Roi, iterable of Roi, DataArray or None
        Outlines; a bool mask; a label map; masks along a dimension ``segment``; None: the whole
        image. Masks lie on the voxels of the image, or on a part of them. One that has a dimension
        like ``time`` changes along it.
    percentiles : sequence of float
        Columns ``p5`` and so on, interpolated linearly.

    Returns
    -------
    pandas.DataFrame
        One row for each structure and each place along the other dimensions, with the columns

        - ``name`` of the structure; a column for each acquisition dimension and what varies along it;
        - ``n``: voxels with a value; ``n_nan``: voxels without (NaN), which count nowhere else;
        - ``volume_ml``: of all voxels of the region, from their measured positions; NaN where the
          image has no size in mm;
        - ``mean``, ``sd`` (with n - 1), ``min``, ``max``, ``median`` and the percentiles, in the
          units of the image, which are also in ``attrs["units"]``;
        - ``units``, where they are known.

    Raises
    ------
    GridMismatchError
        A mask lies on other voxels.
    OptionError
        The values are complex, or an argument means nothing.

    Examples
    --------
    >>> stats(ct, [liver, spleen])  # doctest: +SKIP
    >>> stats(dwi, lesion).plot("b", "mean")  # doctest: +SKIP
    """
    import pandas as pd

    found = _on(da, regions)
    wanted = _percentiles(percentiles)
    lead = _lead(da)
    rows = [
        {
            "name": found.names[number],
            **_labels_at(da, lead, place),
            **dict(zip((*STATISTICS, *map(_column, wanted)), values, strict=True)),
        }
        for number, place, values in _measured(da, found, wanted)
    ]
    columns = ["name", *_labels_at(da, lead, (0,) * len(lead)), *STATISTICS, *map(_column, wanted)]
    table = pd.DataFrame(rows, columns=columns)
    units = da.attrs.get(schema.UNITS)
    if units:
        table["units"] = str(units)
        table.attrs[schema.UNITS] = str(units)
    return table


def curve(da: xr.DataArray, regions: Any = None, statistic: str = "mean") -> xr.DataArray:
    """
    Return a statistic within regions along the other dimensions, e.g. a time curve.

    Parameters
    ----------
    da : DataArray
    regions
        As in `stats`.
    statistic : str
        ``"mean"``, ``"median"``, ``"sd"``, ``"min"``, ``"max"``, ``"n"``, ``"volume_ml"`` or a
        percentile, ``"p95"``.

    Returns
    -------
    DataArray
        Along the acquisition dimensions of the image, with their coordinates; of several
        structures, along ``segment`` first, with their names in ``segment_label``.

    Raises
    ------
    GridMismatchError, OptionError
        As `stats`.

    Examples
    --------
    >>> outline = roi.rectangle(series, slice=float(series.slice[1]), row=(-3, 3), column=(-2, 2))
    >>> roi.curve(series, roi.Roi(name="box", contours=(outline,))).sizes["time"]
    3
    """
    wanted: tuple[float, ...] = ()
    if statistic not in STATISTICS:
        wanted = _percentiles([_number(statistic)])
    column = STATISTICS.index(statistic) if not wanted else len(STATISTICS)
    found, lead = _on(da, regions), _lead(da)
    values = [row[column] for _, _, row in _measured(da, found, wanted)]
    shape = [len(found.names), *(da.sizes[name] for name in lead)]
    made = xr.DataArray(np.array(values, dtype=np.float64).reshape(shape), dims=[SEGMENT, *lead])
    others = [name for name, coord in da.coords.items() if not set(coord.dims) <= set(lead)]
    made = made.assign_coords(da.coords.to_dataset().drop_vars(others).coords)
    made = made.assign_coords(
        {SEGMENT: list(found.names), SEGMENT_LABEL: (SEGMENT, list(found.names.values()))}
    )
    units = {"n": "1", "n_nan": "1", "volume_ml": "ml"}.get(statistic, da.attrs.get(schema.UNITS))
    made = made.rename(statistic).assign_attrs({schema.UNITS: units} if units else {})
    return made.isel({SEGMENT: 0}, drop=True) if _is_one(regions) else made


def threshold(
    da: xr.DataArray,
    region: Any = None,
    *,
    low: float | None = None,
    high: float | None = None,
    fraction: float | None = None,
) -> xr.DataArray:
    """
    Return the voxels of a region whose values lie in a range.

    Parameters
    ----------
    da : DataArray
    region : Roi, iterable of Roi, DataArray or None
        As in `stats`, one structure.
    low, high : float, optional
        Both ends belong to the range.
    fraction : float, optional
        Instead of `low`: part of the largest value within the region, e.g. 0.41 for PET; at each
        time point its own.

    Returns
    -------
    DataArray of bool
        On the coordinates of the image; NaN is not in any range. Lazy where the image is of Dask.

    Raises
    ------
    GridMismatchError, OptionError
        As `stats`.

    Examples
    --------
    >>> bright = roi.threshold(series.isel(time=0), low=1800)
    >>> bright.dtype
    dtype('bool')
    """
    if (low is None) == (fraction is None) and (high is None or fraction is not None):
        raise OptionError("give low, high or both; or fraction, alone or with high")
    found = list(_on(da, region).arrays())
    if len(found) != 1:
        raise OptionError(f"one structure is meant, and there are {len(found)}")
    inside = found[0][1]
    kept: xr.DataArray = inside & da.notnull()  # noqa: PD004 - xarray has no notna
    spatial = [name for name in schema.SPATIAL if name in da.dims]
    if fraction is not None:
        if not 0 < fraction <= 1:
            raise OptionError(f"fraction={fraction!r}: give a number above 0, up to 1")
        kept = kept & (da >= fraction * da.where(inside).max(spatial))
    if low is not None:
        kept = kept & (da >= low)
    if high is not None:
        kept = kept & (da <= high)
    kept = kept.transpose(*[name for name in da.dims if name in kept.dims])
    return kept.rename("mask").drop_attrs(deep=False)


def _on(da: xr.DataArray, regions: Any) -> _Regions:
    """Return what a caller calls regions, on the voxels of the image."""
    if da.dtype.kind not in "biuf":
        raise OptionError(f"values of type {da.dtype} have no order: take abs(da) or da.real")
    if isinstance(regions, xr.Dataset) and schema.IMAGE in regions:
        regions = regions[schema.IMAGE]
    if regions is None:
        whole = xr.DataArray(np.ones([1] * len(_spatial(da)), dtype=bool), dims=_spatial(da))
        return _Regions({1: _name(da, WHOLE)}, {1: _whole(da, whole)})
    if isinstance(regions, xr.DataArray):
        return _of_array(da, regions)
    rois = [regions] if isinstance(regions, Roi) else list(regions)
    if not rois or not all(isinstance(one, Roi) for one in rois):
        raise OptionError(
            "regions are a Roi, several of them, or a DataArray with a mask or a label map, not "
            f"{type(regions).__name__}"
        )
    return _of_array(da, mask(rois, da, stack=True))


def _name(da: xr.DataArray, default: str) -> str:
    return default if da.name is None else str(da.name)


def _whole(da: xr.DataArray, one: xr.DataArray) -> xr.DataArray:
    sizes = {name: da.sizes[name] for name in one.dims}
    return one.isel({name: np.zeros(size, dtype=int) for name, size in sizes.items()})


def _of_array(da: xr.DataArray, regions: xr.DataArray) -> _Regions:
    numbers, names = (np.atleast_1d(regions.attrs.get(k, [])).tolist() for k in (NUMBERS, LABELS))
    named = {int(n): str(t) for n, t in zip(numbers, names, strict=False)}
    if SEGMENT in regions.dims:
        if SEGMENT_LABEL in regions.coords:
            labels = np.atleast_1d(regions.coords[SEGMENT_LABEL].values).tolist()
            named = dict(zip(map(int, regions[SEGMENT].values), map(str, labels), strict=True))
        parts = {
            int(n): on_image(regions.isel({SEGMENT: k}, drop=True).astype(bool), da)
            for k, n in enumerate(np.atleast_1d(regions[SEGMENT].values))
        }
        return _Regions({n: named.get(n, str(n)) for n in parts}, parts)
    if regions.dtype.kind == "b":
        name = next(iter(named.values())) if len(named) == 1 else _name(regions, "mask")
        return _Regions({1: name}, {1: on_image(regions, da)})
    if regions.dtype.kind not in "iu":
        raise OptionError(
            f"a mask is bool and a label map has whole numbers, not {regions.dtype}: compare, as "
            "(map > 0.5), or use astype"
        )
    placed = on_image(regions, da).compute()
    found = [int(n) for n in np.unique(placed.values) if n] if not named else list(named)
    return _Regions({n: named.get(n, str(n)) for n in found}, labels=placed)


def _is_one(regions: Any) -> bool:
    if isinstance(regions, xr.DataArray):
        return regions.dtype.kind == "b" and SEGMENT not in regions.dims
    return regions is None or isinstance(regions, Roi)


def _measured(
    da: xr.DataArray, regions: _Regions, percentiles: tuple[float, ...]
) -> Iterator[tuple[int, tuple[int, ...], list[float]]]:
    """Yield number, place along the other dimensions, and values of `STATISTICS` and percentiles."""
    lead, spatial = _lead(da), _spatial(da)
    sizes = _sizes(da, spatial)
    for number, region in regions.arrays():
        inside = region.transpose(*[d for d in lead if d in region.dims], *spatial)
        box = _around(inside, spatial)
        within = [size[box[name]] for size, name in zip(sizes, spatial, strict=True)]
        part, marks = da.isel(box).transpose(*lead, *spatial), inside.isel(box)
        varying = [d for d in lead if d in marks.dims]
        fixed = None if varying else marks.values
        for place in product(*(range(da.sizes[name]) for name in lead)):
            at = dict(zip(lead, place, strict=True))
            here = marks.isel({d: at[d] for d in varying}).values if fixed is None else fixed
            if not here.any():
                nothing = [np.nan] * (len(STATISTICS) - 3 + len(percentiles))
                yield number, place, [0, 0, 0.0, *nothing]
                continue
            values = part.isel(at).values
            values = values.ravel() if here.all() else values[here]
            yield number, place, _described(values, _volume(here, within), percentiles)


def _described(values: NDArray[Any], volume: float, percentiles: tuple[float, ...]) -> list[float]:
    known = values[~np.isnan(values)] if values.dtype.kind == "f" else values
    counts: list[float] = [known.size, values.size - known.size, volume]
    if not known.size:
        return counts + [np.nan] * (len(STATISTICS) - 3 + len(percentiles))
    low, high = known.min(), known.max()
    ranks = (50.0, *percentiles)
    whole = known.dtype.kind in "biu" and int(high) <= np.iinfo(np.int64).max
    if whole and int(high) - int(low) < WIDEST and known.size > FEW:
        mean, sd, at = _counted(known, int(low), ranks)
    else:
        real = known.astype(np.float64)
        mean, sd = float(real.mean()), float(real.std(ddof=1)) if real.size > 1 else np.nan
        at = np.percentile(real, ranks).tolist()
    return [*counts, mean, sd, float(low), float(high), *at]


def _counted(
    values: NDArray[Any], low: int, percentiles: tuple[float, ...]
) -> tuple[float, float, list[float]]:
    """Return mean, sd and percentiles of many whole numbers from how often each is there."""
    counts = np.bincount(values.astype(np.int64) - low)
    levels = low + np.arange(counts.size, dtype=np.float64)
    mean = float(levels @ counts) / values.size
    sd = float(np.sqrt(((levels - mean) ** 2) @ counts / (values.size - 1)))
    until = np.cumsum(counts)
    ranks = np.array(percentiles) / 100 * (values.size - 1)
    below, above = (
        levels[np.searchsorted(until, f(ranks), side="right")] for f in (np.floor, np.ceil)
    )
    return mean, sd, (below + (ranks - np.floor(ranks)) * (above - below)).tolist()


def _around(inside: xr.DataArray, spatial: list[Hashable]) -> dict[Hashable, slice]:
    """Return the smallest box that holds a mask at all places."""
    box = {}
    marks = inside.values
    for name in spatial:
        axis = inside.dims.index(name)
        hit = np.flatnonzero(marks.any(axis=tuple(k for k in range(marks.ndim) if k != axis)))
        box[name] = slice(int(hit[0]), int(hit[-1]) + 1) if hit.size else slice(0, 1)
    return box


def _sizes(da: xr.DataArray, spatial: list[Hashable]) -> list[NDArray[np.float64]]:
    """Return the voxel sizes along each axis, whose products are volumes in ml."""
    known = any(name in da.coords for name in (schema.ROW, schema.COLUMN))
    grid = grid_for(da)
    sizes = [cell_sizes(axis) if known else np.full(axis.size, np.nan) for axis in grid.axes]
    if schema.SLICE not in da.coords:
        sizes[0] = np.full(grid.slice.size, np.nan)
    scale = abs(float(np.linalg.det(grid.directions))) / MM3_PER_ML
    kept = []
    for name, size in zip(schema.SPATIAL, sizes, strict=True):
        if name in spatial:
            kept.append(size)
        else:
            scale *= float(size[0])
    return [kept[0] * scale, *kept[1:]]


def _volume(inside: NDArray[np.bool_], sizes: list[NDArray[np.float64]]) -> float:
    """Return the volume of the voxels of a mask, ml."""
    if all(np.ptp(size) <= SAME * abs(size[0]) for size in sizes):
        return float(np.count_nonzero(inside) * np.prod([size.mean() for size in sizes]))
    cells = np.ones(1)
    for size in sizes:
        cells = np.multiply.outer(cells, size)
    return float(np.broadcast_to(cells[0], inside.shape)[inside].sum())


def _lead(da: xr.DataArray) -> list[Hashable]:
    return [name for name in da.dims if name not in schema.SPATIAL]


def _spatial(da: xr.DataArray) -> list[Hashable]:
    return [name for name in schema.SPATIAL if name in da.dims]


def _labels_at(da: xr.DataArray, lead: list[Hashable], place: tuple[int, ...]) -> dict[str, Any]:
    """Return the labels of a place, and the values of what varies along the same dimensions."""
    at = dict(zip(lead, place, strict=True))
    found: dict[str, Any] = {
        str(name): da.coords[name].values[k] if name in da.coords else k for name, k in at.items()
    }
    for name, coord in da.coords.items():
        if coord.dims and set(coord.dims) <= set(lead) and name not in (*lead, schema.FRAME):
            found[str(name)] = coord.isel({d: at[d] for d in coord.dims}).values[()]
    return found


def _percentiles(wanted: Sequence[float]) -> tuple[float, ...]:
    try:
        found = tuple(float(one) for one in wanted)
    except (TypeError, ValueError):
        found = (np.nan,)
    if not all(0 <= one <= 100 for one in found):
        raise OptionError(f"percentiles={wanted!r}: give numbers from 0 to 100")
    return found


def _number(statistic: str) -> float:
    try:
        return float(str(statistic).removeprefix("p"))
    except ValueError:
        raise OptionError(
            f"statistic={statistic!r}: give one of {', '.join(STATISTICS)}, or 'p95'"
        ) from None


def _column(percentile: float) -> str:
    return f"p{percentile:g}"
