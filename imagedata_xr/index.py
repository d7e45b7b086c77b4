"""
Indexes that align measured coordinates within a tolerance, and never into nothing.

With the stock index of xarray, two images whose positions differ by 1e-12 mm add up to an array
of size 0, without a word. `PositionIndex` (slice, row, column) and `AxisIndex` (time, te, b...)
align one grid, intersect parts of one grid, and raise `GridMismatchError` with a remedy else.

Operations that build their result from plain values (coarsen, pad, broadcast, interp along the
axis, reading a netCDF or Zarr file) leave the stock index: `restore_indexes` puts these back. A
scalar coordinate, as after ``isel(slice=3)``, has no index: xarray compares it exactly.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

import numpy as np
import pandas as pd
import xarray as xr
from xarray.indexes import PandasIndex

from imagedata_xr.errors import DataWarning, GeometryError, GridMismatchError, OptionError, outside
from imagedata_xr.geometry import EVEN_TOLERANCE, Axis, Grid
from imagedata_xr.schema import (
    ACQUISITION,
    COLUMN,
    DIRECTION,
    MM,
    SPACING,
    SPATIAL,
    TIME,
    UNITS,
    VOLUME,
)

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping, Sequence
    from typing import Self, TypeAlias

    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.floating]

__all__ = ["AxisIndex", "PositionIndex", "grid_of", "position_coords", "restore_indexes"]

DIRECTION_TOLERANCE = 5e-4  # per component of the unit vector: 0.03 degrees

T = TypeVar("T", xr.DataArray, xr.Dataset)


class Origin(Protocol):
    """What an image was read from, as far as its axes ask it."""

    def remarks(self, other: Any) -> list[str]:
        """Say what is wrong with combining an image of this origin with one of another."""


class AxisIndex(PandasIndex):
    """
    Index of numbers that were measured: equal means equal within a tolerance.

    Values of two arrays are the same where they differ by at most `rtol` times the smallest step
    of the two axes: 10 % for `time`, 1 % for all others.

    An inner join (arithmetic, ``where``) gives the common values of a crop, a stride, a reversed
    or an overlapping axis. It raises where nothing coincides, or where both have values of their
    own within the range that they share. An outer join gives the union; it raises where values
    lie closer than half a step and yet are not the same. ``sel`` takes a number within the
    tolerance, and slices with their ends in either order; ``slice(x, None)`` is all from `x` up.
    Selecting nothing is a KeyError. The tolerance is an option: ``set_xindex("te", AxisIndex,
    rtol=0.1)`` after ``drop_indexes("te")``; of two axes, the larger one holds.

    Examples
    --------
    >>> type(series.xindexes["time"]).__name__
    'AxisIndex'
    >>> series.sel(time=[0.0, 2.5]).sizes["time"]
    2
    """

    RTOL: ClassVar[float] = 0.01
    RTOL_OF: ClassVar[dict[Hashable, float]] = {TIME: 0.1}
    INTERLEAVES: ClassVar[bool] = True
    REMEDY: ClassVar[str] = (
        "If they mean the same, say so: b.assign_coords({dim}=a.{dim}). If not, choose before it "
        "b.sel({dim}=a.{dim}.values, method='nearest') or b.interp({dim}=a.{dim}.values)"
    )

    __slots__ = ("attrs", "origins", "rtol", "step_before")

    def __init__(
        self, array: Any, dim: Hashable, coord_dtype: Any = None, *, fastpath: bool = False
    ) -> None:
        super().__init__(array, dim, coord_dtype, fastpath=fastpath)
        if self.index.size and self.index.dtype.kind not in "iuf":
            raise OptionError(f"the index of {dim!r} takes numbers, not {self.index.dtype}")
        self.attrs: dict[Any, Any] = {}
        self.rtol: float = self.RTOL_OF.get(dim, self.RTOL)
        self.step_before: float | None = None
        # What the axis was read with; after a union or concat, that of all parts.
        self.origins: tuple[Origin, ...] = ()

    @classmethod
    def from_variables(
        cls, variables: Mapping[Any, xr.Variable], *, options: Mapping[str, Any]
    ) -> Self:
        """Make the index of one 1-D coordinate; the one option is `rtol`."""
        plain = PandasIndex.from_variables(variables, options={})
        made = cls(plain.index, plain.dim, plain.coord_dtype, fastpath=True)
        made.attrs = dict(next(iter(variables.values())).attrs)
        made.rtol = options.get("rtol", made.rtol)
        return made

    # isel, roll, rename, copy and indexing of PandasIndex all go through this private method.
    def _replace(self, index: Any, dim: Hashable = None, coord_dtype: Any = None) -> Self:
        made: Self = super()._replace(index, dim, coord_dtype)  # type: ignore[no-untyped-call]
        made.attrs, made.rtol, made.step_before = self.attrs, self.rtol, self.step
        made.origins = self.origins
        return made

    @classmethod
    def concat(cls, indexes: Sequence[PandasIndex], dim: Hashable, positions: Any = None) -> Self:
        """Put the axes end to end; raise where their directions differ."""
        plain = PandasIndex.concat(indexes, dim, positions)
        made = cls(plain.index, dim, plain.coord_dtype)
        own = [index for index in indexes if isinstance(index, cls)]
        for other in own:
            own[0].check_direction(other)
            made.attrs, made.rtol = own[0].attrs, own[0].rtol
            made.origins = _united(made.origins, other.origins)
        return made

    def create_variables(self, variables: Mapping[Any, xr.Variable] | None = None) -> Any:
        """Return the coordinate; that of a join has the attributes of the index."""
        mine = {self.index.name: xr.Variable(self.dim, self.index, self.attrs)}
        return super().create_variables({**mine, **(variables or {})})

    def equals(self, other: xr.Index, *, exclude: frozenset[Hashable] | None = None) -> bool:
        """Whether the axes are the same, in order, within the tolerance."""
        del exclude
        if type(other) is not type(self) or self.index.size != other.index.size:
            return False
        mine, theirs, margin = _values(self), _values(other), self._tolerance(other)
        same = self._agrees(other) and np.allclose(mine, theirs, 0, margin, equal_nan=True)
        if same:
            self._say_whose(other)
        return same

    def join(self, other: Self, how: str = "inner") -> Self:
        """Return the common values (all with ``how="outer"``), in the order of this axis."""
        self.check_direction(other)
        if self.equals(other):
            return self
        match = self._match(other)
        self._check_overlap(other, match, how)
        self._say_whose(other)
        made, extra = self, other.index[match < 0]
        if how == "inner":
            made = self._replace(self.index[np.sort(match[match >= 0])])
        elif extra.size:
            ascends = self.index.is_monotonic_increasing or not self.index.is_monotonic_decreasing
            union = self.index.append(extra).sort_values(ascending=ascends)
            made = self._replace(union, coord_dtype=union.dtype)
        if made is not self:
            made.origins = _united(self.origins, other.origins)
        return made

    def reindex_like(
        self, other: Self, method: str | None = None, tolerance: Any = None
    ) -> dict[Hashable, Any]:
        """Return for each value of `other` its place in this axis, -1 where it has none."""
        self.check_direction(other)
        if method is not None:
            return super().reindex_like(other, method=method, tolerance=tolerance)
        match = self._match(other)
        self._check_overlap(other, match, "inner")
        return {self.dim: match}

    def sel(self, labels: dict[Any, Any], method: Any = None, tolerance: Any = None) -> Any:
        """Select by value; see the class. An explicit `method` is that of xarray."""
        ((name, label),) = labels.items()
        if method is None and self.index.size:
            if isinstance(label, slice):
                label = self._exact_slice(label, name)
            elif np.asarray(label).dtype.kind in "iuf":
                label = self._exact(label, name, tolerance)
                tolerance = None
        return super().sel({name: label}, method=method, tolerance=tolerance)

    def _exact(self, label: Any, name: Hashable, tolerance: float | None) -> Any:
        """Replace each number of the label by the value of the axis that it means."""
        wanted = np.asarray(label, dtype=np.float64)
        found, distance = _nearest(_values(self), wanted.ravel())
        reach = self.reach if tolerance is None else tolerance
        missing = wanted.ravel()[~(distance <= reach)]
        if missing.size:
            near = f"(within {reach:g}), but {self._extent()}; method='nearest' takes the nearest"
            raise KeyError(f"{name!r} has no value {_short(missing)} {near}")
        exact = self.index.to_numpy()[found].reshape(wanted.shape)
        if isinstance(label, xr.DataArray | xr.Variable):
            return label.copy(data=exact)
        return exact if wanted.ndim else exact.item()

    def _exact_slice(self, label: slice, name: Hashable) -> Any:
        """Return a slice between values of the axis, in its order, that means the same."""
        ends = [end for end in (label.start, label.stop) if end is not None]
        if not ends or np.asarray(ends).dtype.kind not in "iuf":
            return label
        low, high = min(ends), max(ends)
        if len(ends) == 1:
            low, high = (-np.inf, high) if label.start is None else (low, np.inf)
        values, margin = _values(self), self._tolerance()
        inside = np.flatnonzero((values >= low - margin) & (values <= high + margin))
        if not inside.size:
            raise KeyError(f"{name!r} has no value in {low:g} ... {high:g}: {self._extent()}")
        if self.index.is_monotonic_increasing or self.index.is_monotonic_decreasing:
            return slice(self.index[inside[0]], self.index[inside[-1]], label.step)
        return self.index.to_numpy()[inside][:: label.step]

    @property
    def step(self) -> float | None:
        """The smallest step; with one value, that of the axis from which it was taken."""
        gaps = np.diff(np.sort(_values(self)))
        return float(gaps[gaps > 0].min()) if (gaps > 0).any() else self.step_before

    @property
    def reach(self) -> float:
        """How far from a value ``sel`` takes a number for it."""
        return self._tolerance()

    def _tolerance(self, other: Self | None = None) -> float:
        both = (self, self if other is None else other)
        known = [index.step for index in both if index.step is not None]
        if known:
            return max(index.rtol for index in both) * min(known)
        return 1e-6 * max(1.0, float(np.abs(_values(self)).max(initial=0.0)))

    def _match(self, other: Self) -> NDArray[np.intp]:
        """Return for each value of `other` its place in this axis, or -1."""
        if not (self.index.is_unique and other.index.is_unique):
            raise GridMismatchError(f"{self.dim!r} has a value twice: use drop_duplicates first")
        found, distance = _nearest(_values(self), _values(other))
        return np.where(distance <= self._tolerance(other), found, -1)

    def _say_whose(self, other: Self) -> None:
        """Warn where two images are not of one patient, or not in one space: once, not by axis."""
        if self.dim != COLUMN:
            return
        pairs = [(a, b) for a in self.origins for b in other.origins if a is not b]
        for text in dict.fromkeys(text for a, b in pairs for text in a.remarks(b)):
            warnings.warn(text, DataWarning, stacklevel=outside())

    def _agrees(self, other: Self) -> bool:
        return self.dim == other.dim

    def check_direction(self, other: Self) -> None:
        """Raise GridMismatchError where two axes of the same name point elsewhere."""
        if not self._agrees(other):
            raise GridMismatchError(self._mismatch(other, "point in different directions"))

    def _check_overlap(self, other: Self, match: NDArray[np.intp], how: str) -> None:
        """Raise where the axes are neither the same grid nor parts of one."""
        mine, theirs, margin = _values(self), _values(other), self._tolerance(other)
        if not (mine.size and theirs.size):
            return
        if how == "inner" and not (match >= 0).any():
            raise GridMismatchError(self._mismatch(other, "have no value in common"))
        low = max(np.nanmin(mine), np.nanmin(theirs)) - margin
        high = min(np.nanmax(mine), np.nanmax(theirs)) + margin
        own = (mine >= low) & (mine <= high)
        own[match[match >= 0]] = False
        foreign = (match < 0) & (theirs >= low) & (theirs <= high)
        close = _nearest(mine[own], theirs[foreign])[1] < 0.5 * margin / max(self.rtol, other.rtol)
        rules = how == "inner" or not self.INTERLEAVES or close.any()
        if rules and own.any() and foreign.any():
            apart = f"{own.sum()} and {foreign.sum()} values in the same range do not coincide"
            raise GridMismatchError(self._mismatch(other, f"are different grids ({apart})"))

    def _mismatch(self, other: Self, what: str) -> str:
        remedy = self.REMEDY.format(dim=self.dim)
        return f"the {self.dim!r} axes {what}: {self._extent()} and {other._extent()}. {remedy}"

    def _extent(self) -> str:
        unit = f" {self.attrs[UNITS]}" if UNITS in self.attrs else ""
        return f"{_short(_values(self))}{unit} (n={self.index.size})"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.dim!r}: {self._extent()}, rtol={self.rtol:g})"

    def _repr_inline_(self, max_width: int) -> str:
        return f"{type(self).__name__}({self._extent()})"[:max_width]


class PositionIndex(AxisIndex):
    """
    Index of positions in mm along a direction in the patient, which stands in the attributes.

    As `AxisIndex`, with these differences. Positions are the same within 1 % of the smaller
    voxel, and only along the same direction (within 5e-4 a component; an axis without direction
    fits any). An outer join allows disjoint parts of one grid, not two grids through each other.
    ``sel`` takes a number for the nearest position within half a voxel (of median size).

    Examples
    --------
    >>> type(series.xindexes["row"]).__name__
    'PositionIndex'
    >>> float(series.sel(row=0.1, method="nearest").row) in series.row.values
    True
    """

    INTERLEAVES: ClassVar[bool] = False
    REMEDY: ClassVar[str] = (
        "Resample one onto the other (b.interp_like(a) where all directions agree). If both are "
        "the same grid in truth, say so: b.assign_coords({dim}=a.{dim})"
    )

    __slots__ = ()

    @property
    def direction(self) -> Floats | None:
        """Unit vector in patient LPS, or None where it is not known."""
        direction = self.attrs.get(DIRECTION)
        return None if direction is None else np.asarray(direction, dtype=np.float64)

    def _agrees(self, other: Self) -> bool:
        mine, theirs = self.direction, other.direction
        if mine is None or theirs is None:
            return super()._agrees(other)
        return bool(np.abs(mine - theirs).max() <= DIRECTION_TOLERANCE) and super()._agrees(other)

    @property
    def step(self) -> float | None:
        """The smallest step; with one position, the voxel size (1 mm where it is not known)."""
        return super().step or float(self.attrs.get(SPACING, 1.0))

    @property
    def reach(self) -> float:
        """Half a voxel."""
        gaps = np.diff(np.sort(_values(self)))
        return 0.5 * (1 + 1e-6) * (float(np.median(gaps)) if gaps.size else self.step or 1.0)

    def _extent(self) -> str:
        toward = "" if self.direction is None else f" along {self.direction.round(4).tolist()}"
        return super()._extent() + toward


def position_coords(grid: Grid) -> xr.Coordinates:
    """
    Return the coordinates slice, row and column of a grid, float64 in mm, with their indexes.

    Attributes: `units`, `direction` and, where known, `spacing`, for axes cropped to one position.
    """
    # Of an index of pandas, xarray does not ask whether it is Dask's, and imports no Dask.
    coords = {}
    for name, axis in zip(SPATIAL, grid.axes, strict=True):
        size = {} if axis.spacing is None else {SPACING: float(axis.spacing)}
        attrs = {UNITS: MM, DIRECTION: list(axis.direction), **size}
        coords[name] = xr.Variable((name,), pd.Index(axis.values), attrs)
    return _indexed(coords)


def grid_of(obj: xr.DataArray | xr.Dataset) -> Grid:
    """
    Return the grid that the coordinates slice, row and column describe.

    Scalar coordinates, as after ``isel(slice=3)``, are axes of one position. GeometryError, with
    the remedy, where a coordinate, its direction or a position is missing.
    """
    return Grid(*(_axis(obj, name) for name in SPATIAL))


def restore_indexes(obj: T, *, axes: Iterable[Hashable] = ()) -> T:
    """
    Put the tolerant indexes back, after reading netCDF or Zarr, coarsen, pad, broadcast, interp.

    Positions that ``pad`` left unknown (NaN) continue the axis, where its step is regular. `axes`
    are dimensions with an `AxisIndex` besides time, te, ti, fa, b and volume.
    """
    coords = {}
    for name in [n for n in (*SPATIAL, *ACQUISITION, VOLUME, *axes) if n in obj.dims]:
        variable = obj[name].variable
        if name not in obj.coords or variable.dtype.kind not in "iuf" or not variable.size:
            continue
        kind = PositionIndex if name in SPATIAL else AxisIndex
        if type(obj.xindexes.get(name)) is not kind or bool(variable.isnull().any()):  # noqa: PD003 - xarray's
            coords[name] = _filled(variable)
    return obj.assign_coords(_indexed(coords)) if coords else obj


def _indexed(coords: Mapping[Any, xr.Variable]) -> xr.Coordinates:
    kinds = {name: PositionIndex if name in SPATIAL else AxisIndex for name in coords}
    indexes = {n: kinds[n].from_variables({n: v}, options={}) for n, v in coords.items()}
    return xr.Coordinates({n: i.create_variables(coords)[n] for n, i in indexes.items()}, indexes)


def _filled(variable: xr.Variable) -> xr.Variable:
    """Return the coordinate with a plain list as direction, and with NaN continued."""
    attrs = dict(variable.attrs)
    if DIRECTION in attrs:
        attrs[DIRECTION] = np.asarray(attrs[DIRECTION], dtype=np.float64).tolist()
    values = variable.to_numpy()
    known = np.flatnonzero(~np.isnan(values))
    if 1 < known.size < values.size:
        measured = values[known]
        step = (measured[-1] - measured[0]) / (known[-1] - known[0])
        line = measured[0] + step * (np.arange(values.size) - known[0])
        if np.abs(line[known] - measured).max() <= EVEN_TOLERANCE * abs(step):
            values = np.where(np.isnan(values), line, values)
    return xr.Variable(variable.dims, values, attrs, variable.encoding)


def _axis(obj: xr.DataArray | xr.Dataset, name: str) -> Axis:
    remedy = f"take it from an image on the same grid: obj.assign_coords({name}=image.{name})"
    if name not in obj.coords:
        remedy += f", or image.{name}[0] after a reduction over {name!r}"
        raise GeometryError(f"no coordinate {name!r}, so no place in the patient: {remedy}")
    coord = obj.coords[name]
    if coord.dims not in {(), (name,)}:
        raise GeometryError(f"coordinate {name!r} has dimensions {coord.dims}: unstack them first")
    if DIRECTION not in coord.attrs:
        raise GeometryError(f"coordinate {name!r} has lost attrs['direction']: {remedy}")
    if bool(coord.isnull().any()):  # noqa: PD003 - xarray's
        remedy = f"restore_indexes(obj) continues an even axis after pad; otherwise {remedy}"
        raise GeometryError(f"coordinate {name!r} has unknown positions (NaN): {remedy}")
    spacing = coord.attrs.get(SPACING)
    try:
        return Axis(np.atleast_1d(coord), coord.attrs[DIRECTION], spacing)
    except GeometryError as error:
        raise GeometryError(f"coordinate {name!r}: {error}") from error


def _united(mine: tuple[Origin, ...], theirs: tuple[Origin, ...]) -> tuple[Origin, ...]:
    return (*mine, *(one for one in theirs if all(one is not other for other in mine)))


def _values(index: PandasIndex) -> Floats:
    return index.index.to_numpy(dtype=np.float64)


def _nearest(values: Floats, targets: Floats) -> tuple[NDArray[np.intp], Floats]:
    """Return for each target the place of the nearest value, and the distance (inf: none)."""
    if not values.size:
        return np.zeros(targets.size, dtype=np.intp), np.full(targets.size, np.inf)
    order = np.argsort(values, kind="stable")
    ordered = np.where(np.isnan(values), np.inf, values)[order]
    right = np.searchsorted(ordered, targets).clip(0, values.size - 1)
    left = (right - 1).clip(0)
    place = np.where(targets - ordered[left] <= ordered[right] - targets, left, right)
    return order[place], np.abs(ordered[place] - targets)


def _short(values: Floats) -> str:
    shown = [f"{value:g}" for value in values]
    return ", ".join(shown if len(shown) <= 8 else [*shown[:3], "...", *shown[-2:]])
