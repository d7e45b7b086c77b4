"""Values of a volume at positions between its voxels, as ITK's interpolators define them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from imagedata_xr.errors import GeometryError, MissingDependencyError, OptionError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from imagedata_xr.geometry import Axis, Grid

__all__ = ["BSPLINE", "LINEAR", "NEAREST", "Sampler", "require_even"]

NEAREST: Final = "nearest"
LINEAR: Final = "linear"
BSPLINE: Final = "bspline"
# Of a voxel: which positions are still inside, and how much of NaN is none.
ROUNDING: Final = 1e-6
# Of a voxel: positions go through a few multiplications.
SAME: Final = 1e-8


@dataclass(frozen=True, slots=True, eq=False)
class Sampler:
    """
    Takes volumes from one grid to another.

    Voxels reach half a step beyond their centres; what lies further out gets `fill`. Beyond the
    last centre, ``linear`` keeps the value of the border and ``bspline`` goes on in the mirror, as
    in ITK. A position half-way between two centres is ``nearest`` to the one of higher index.

    Attributes
    ----------
    source, target : Grid
    method : {"nearest", "linear", "bspline"}
    dtype : dtype
        Of the result.
    fill : scalar
    """

    source: Grid
    target: Grid
    method: str
    dtype: np.dtype[Any]
    fill: Any

    def __call__(self, values: NDArray[Any]) -> NDArray[Any]:
        """
        Return the values on the target.

        Parameters
        ----------
        values : ndarray, shape (..., slices, rows, columns)
            On the source.

        Returns
        -------
        ndarray, shape (..., slices, rows, columns)
            On the target.
        """
        along = self._along_axes()
        if along is not None and self.method != BSPLINE:
            return self._by_axis(values, along)
        lead = values.shape[:-3]
        result = np.full((*lead, *self.target.shape), self.fill, dtype=self.dtype)
        sources = [self._prepared(values[place]) for place in product(*map(range, lead))]
        flat = result.reshape(-1, *self.target.shape)
        for k in range(self.target.shape[0]):
            index, inside = self.indices(k)
            if not inside.any():
                continue
            for volume, out in zip(sources, flat, strict=True):
                out[k].reshape(-1)[inside] = self._sampled(volume, index)
        return result

    def indices(self, k: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return source indices (3, n) for those voxels of target slice k that lie inside."""
        s, r, c = self.target.axes
        turn = np.linalg.solve(self.source.directions, self.target.directions)
        found, inside = [], np.ones((r.size, c.size), dtype=bool)
        for axis, (along_s, along_r, along_c) in zip(self.source.axes, turn, strict=True):
            rows = along_s * s.values[k] + along_r * r.values
            index = _index_along(axis, np.add.outer(rows, along_c * c.values))
            inside &= (index >= -0.5 - ROUNDING) & (index <= axis.size - 0.5 + ROUNDING)
            found.append(index)
        kept = np.stack([index[inside] for index in found])
        return _snapped(kept), inside.ravel()

    def reaches_beyond(self) -> bool:
        """Tell whether voxels of the target lie outside the source."""
        ends = [axis.values[[0, -1]] for axis in self.target.axes]
        corners = np.stack(np.meshgrid(*ends), -1).reshape(-1, 3) @ self.target.directions.T
        index = self.source.world_to_index(corners)
        last = np.array(self.source.shape) - 1
        return not bool(((index >= -0.5 - ROUNDING) & (index <= last + 0.5 + ROUNDING)).all())

    def _along_axes(self) -> list[NDArray[np.float64]] | None:
        """Return source indices along each axis, None where the axes point elsewhere."""
        found = []
        start = [float(axis.values[0]) for axis in self.target.axes]
        for j, axis in enumerate(self.target.axes):
            along = np.tile(start, (axis.size, 1))
            along[:, j] = axis.values
            index = self.source.world_to_index(along @ self.target.directions.T)
            others = np.delete(index, j, axis=1)
            if np.abs(others - others[0]).max() > SAME:
                return None
            found.append(_snapped(np.asarray(index[:, j], dtype=np.float64)))
        return found

    def _by_axis(self, values: NDArray[Any], along: list[NDArray[np.float64]]) -> NDArray[Any]:
        """Interpolate one axis after the other, which is the same and faster."""
        result = np.full((*values.shape[:-3], *self.target.shape), self.fill, dtype=self.dtype)
        places, parts = [], []
        for index, size in zip(along, self.source.shape, strict=True):
            inside = (index >= -0.5 - ROUNDING) & (index <= size - 0.5 + ROUNDING)
            places.append(np.flatnonzero(inside))
            parts.append(index[inside])
        if not all(part.size for part in parts):
            return result
        found = values.astype(values.dtype.newbyteorder("="), copy=False)
        # The axis that leaves the least goes first.
        for j in sorted(range(3), key=lambda k: parts[k].size / self.source.shape[k]):
            found = self._one_axis(found, parts[j], j - 3)
        box: Any = (..., *np.ix_(*places))
        result[box] = self._cast(found)
        return result

    def _one_axis(
        self, values: NDArray[Any], index: NDArray[np.float64], axis: int
    ) -> NDArray[Any]:
        last = values.shape[axis] - 1
        if index.size == last + 1 and np.array_equal(index, np.arange(last + 1)):
            return values
        if self.method == NEAREST:
            near = np.clip(np.floor(index + 0.5), 0, last).astype(np.intp)
            return np.take(values, near, axis=axis)
        index = np.clip(index, 0, last)
        low = np.floor(index).astype(np.intp)
        high = np.ceil(index).astype(np.intp)
        kind = np.float64 if self.dtype.kind in "iu" else self.dtype
        weight = (index - low).astype(np.zeros(0, kind).real.dtype)
        weight = weight.reshape([-1 if k == axis + 3 else 1 for k in range(3)])
        first = np.take(values, low, axis=axis).astype(kind, copy=False)
        with np.errstate(invalid="ignore"):  # infinities, as in _linear
            first += weight * (np.take(values, high, axis=axis).astype(kind, copy=False) - first)
        return first

    def _prepared(self, volume: NDArray[Any]) -> NDArray[Any]:
        native = volume.astype(volume.dtype.newbyteorder("="), copy=False)
        if self.method == NEAREST:
            return native
        if native.dtype.kind == "b":
            native = native.view(np.uint8)
        if native.dtype == np.float16:
            native = native.astype(np.float32)
        if self.method == LINEAR:
            return native
        if not np.isfinite(native).all():
            raise OptionError(
                "a B-spline carries NaN and infinities into the whole image: use method='linear', "
                "or replace them, da.fillna(...)"
            )
        spline_filter = _ndimage().spline_filter
        kind = np.complex128 if native.dtype.kind == "c" else np.float64
        return np.asarray(spline_filter(native.astype(kind), order=3, mode="mirror", output=kind))

    def _sampled(self, volume: NDArray[Any], index: NDArray[np.float64]) -> NDArray[Any]:
        if self.method == NEAREST:
            last = np.array(volume.shape)[:, None] - 1
            s, r, c = np.clip(np.floor(index + 0.5), 0, last).astype(np.intp)
            return np.asarray(volume[s, r, c])
        if self.method == LINEAR:
            return self._cast(_linear(volume, index))
        found = _ndimage().map_coordinates(
            volume, index, order=3, mode="mirror", prefilter=False, output=volume.dtype
        )
        return self._cast(found)

    def _cast(self, found: NDArray[Any]) -> NDArray[Any]:
        if self.dtype.kind not in "iu":
            return found.astype(self.dtype, copy=False)
        limits = np.iinfo(self.dtype)
        whole: NDArray[Any] = np.rint(found).clip(limits.min, limits.max).astype(self.dtype)
        return whole


def _linear(volume: NDArray[Any], index: NDArray[np.float64]) -> NDArray[Any]:
    """Return values between voxels; a NaN counts only where its weight does."""
    map_coordinates = _ndimage().map_coordinates
    kind = np.complex128 if volume.dtype.kind == "c" else np.float64
    if volume.dtype.kind not in "fc" or np.isfinite(volume).all():
        return np.asarray(map_coordinates(volume, index, order=1, mode="nearest", output=kind))
    bad = ~np.isfinite(volume)
    known = np.where(bad, 0, volume)
    found = np.asarray(map_coordinates(known, index, order=1, mode="nearest", output=kind))
    weight = map_coordinates(bad.view(np.uint8), index, order=1, mode="nearest", output=np.float64)
    found[weight > ROUNDING] = np.nan
    return found


def _index_along(axis: Axis, positions: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the (fractional) indices of positions along an axis; between uneven ones, linear."""
    values = np.asarray(axis.values, dtype=np.float64)
    if values.size == 1:
        return np.asarray((positions - values[0]) / axis.step, dtype=np.float64)
    sense = 1.0 if values[-1] > values[0] else -1.0
    gaps = sense * np.diff(values)
    if (gaps <= 0).any():
        raise GeometryError("positions neither ascend nor descend: use sortby")
    step = (values[-1] - values[0]) / (values.size - 1)
    line = values[0] + step * np.arange(values.size)
    if np.abs(values - line).max() <= SAME * abs(step):
        return np.asarray((positions - values[0]) / step, dtype=np.float64)
    at = sense * positions
    knots = sense * values
    low = np.clip(np.searchsorted(knots, at, side="right") - 1, 0, values.size - 2)
    return np.asarray(low + (at - knots[low]) / gaps[low], dtype=np.float64)


def _snapped(index: NDArray[np.float64]) -> NDArray[np.float64]:
    near = np.rint(index)
    return np.where(np.abs(index - near) <= SAME, near, index)


def require_even(grid: Grid) -> None:
    """Raise where a B-spline, which knows equal steps only, would bend the image."""
    for axis in grid.axes:
        try:
            if axis.size > 1:
                _ = axis.step
        except GeometryError as error:
            raise GeometryError(
                f"a B-spline needs evenly spaced voxels: {error}. Use method='linear'"
            ) from error


def _ndimage() -> Any:
    try:
        from scipy import ndimage
    except ImportError as error:
        raise MissingDependencyError(
            'interpolation needs SciPy: pip install "imagedata_xr[resample]"'
        ) from error
    return ndimage
