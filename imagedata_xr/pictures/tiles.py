"""Pictures as arrays: slices the right way round, with square pixels, side by side or in turn."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from imagedata_xr import schema
from imagedata_xr.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from imagedata_xr.viewer.planes import Lines, Plane, Scene

__all__ = ["Tiles"]

LARGEST: Final = 32767


@dataclass(frozen=True, slots=True, eq=False)
class Tiles:
    """
    The pictures of an image.

    Attributes
    ----------
    scene : Scene
    axis : int
        The spatial axis that is cut: 0 slice, 1 row, 2 column.
    paint : callable
        From values, shape (rows, columns[, 3]), to levels, uint8 or uint16.
    side_by_side : tuple of str
        Dimensions whose pictures make one montage; the others follow each other.
    columns : int or None
        Of the montage.
    width : int or None
        Longer side of one picture, pixels.
    smooth : bool
        Interpolate linearly where pixels are stretched.
    """

    scene: Scene
    axis: int
    paint: Callable[[NDArray[Any]], NDArray[Any]]
    side_by_side: tuple[str, ...] = ()
    columns: int | None = None
    width: int | None = None
    smooth: bool = True

    @property
    def plane(self) -> Plane:
        """How slices lie on the screen."""
        return self.scene.planes[self.axis]

    @property
    def sequence(self) -> tuple[str, ...]:
        """Dimensions whose pictures follow each other."""
        return tuple(name for name in self._dims() if name not in self.side_by_side)

    @property
    def count(self) -> int:
        """Number of pictures that follow each other."""
        return math.prod(self.scene.image.sizes[name] for name in self.sequence)

    def _dims(self) -> tuple[str, ...]:
        return (*self.scene.dims, schema.SPATIAL[self.axis])

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of one slice, in square pixels."""
        high, wide = (
            lines.size * step for lines, step in zip(self._lines(), self._steps(), strict=True)
        )
        finest = min(self._steps())
        scale = 1 / finest if self.width is None else self.width / max(high, wide)
        rows, columns = max(1, round(high * scale)), max(1, round(wide * scale))
        if max(rows, columns) > LARGEST:
            raise OptionError(
                f"a picture of {rows} by {columns} pixels is too large: give width= (pixels)"
            )
        return rows, columns

    def pictures(self) -> Iterator[NDArray[Any]]:
        """Yield the pictures, shape (rows, columns) or (rows, columns, 3)."""
        sizes = self.scene.image.sizes
        for place in product(*(range(sizes[name]) for name in self.sequence)):
            at = dict(zip(self.sequence, place, strict=True))
            if not self.side_by_side:
                yield self.tile(at)
                continue
            others = product(*(range(sizes[name]) for name in self.side_by_side))
            parts = [
                self.tile({**at, **dict(zip(self.side_by_side, one, strict=True))})
                for one in others
            ]
            yield _laid_out(parts, self.columns)

    def corners(self) -> list[tuple[int, int]]:
        """Return the first row and column of each slice in a picture."""
        sizes = self.scene.image.sizes
        count = math.prod(sizes[name] for name in self.side_by_side)
        wide = _columns(count, self.columns)
        rows, columns = self.shape
        return [(k // wide * rows, k % wide * columns) for k in range(count)]

    def tile(self, place: Mapping[str, int]) -> NDArray[Any]:
        """Return one slice as it lies on the screen."""
        values = self.scene.image.isel(dict(place)).values
        # Axes come in the order slice, row, column; on the screen, the vertical one first.
        levels = self.paint(values)
        if self.plane.down > self.plane.across:
            levels = np.swapaxes(levels, 0, 1)
        for axis, lines in enumerate(self._lines()):
            missing = lines.index < 0
            levels = np.take(levels, np.where(missing, 0, lines.index), axis=axis)
            levels[(slice(None),) * axis + (missing,)] = 0
        if self.plane.upright:
            levels = levels[::-1]
        if self.plane.mirrored:
            levels = levels[:, ::-1]
        for axis, size in enumerate(self.shape):
            levels = _stretched(levels, size, axis, smooth=self.smooth)
        return levels

    def _lines(self) -> tuple[Lines, Lines]:
        return self.plane.rows, self.plane.columns

    def _steps(self) -> tuple[float, float]:
        """Return the distance of rows and of columns on the screen."""
        if self.scene.directions is not None:
            return self.plane.rows.step, self.plane.columns.step
        down, across = (self._own_step(k) for k in (self.plane.down, self.plane.across))
        return down, across

    def _own_step(self, axis: int) -> float:
        """Return the pixel size of an image without a place in the patient; 1 where unknown."""
        coord = self.scene.image.coords.get(schema.SPATIAL[axis])
        if coord is None or coord.size < 2 or coord.attrs.get(schema.UNITS) != schema.MM:
            return 1.0
        extent: float = np.ptp(coord.values)
        return float(extent) / float(coord.size - 1)


def _columns(count: int, wanted: int | None) -> int:
    return min(count, wanted or math.ceil(math.sqrt(count)))


def _laid_out(parts: Sequence[NDArray[Any]], columns: int | None) -> NDArray[Any]:
    """Put pictures of one size into rows."""
    wide = _columns(len(parts), columns)
    high = math.ceil(len(parts) / wide)
    rows, cols = parts[0].shape[:2]
    sheet = np.zeros((high * rows, wide * cols, *parts[0].shape[2:]), dtype=parts[0].dtype)
    for k, part in enumerate(parts):
        top, left = (k // wide) * rows, (k % wide) * cols
        sheet[top : top + rows, left : left + cols] = part
    if max(sheet.shape[:2]) > LARGEST:
        raise OptionError(
            f"a montage of {sheet.shape[0]} by {sheet.shape[1]} pixels is too large: give width= "
            "(pixels of one picture), or fewer slices, isel(slice=slice(None, None, 4))"
        )
    return sheet


def _stretched(levels: NDArray[Any], size: int, axis: int, *, smooth: bool) -> NDArray[Any]:
    """Return as many lines as asked for, over the same extent."""
    count = levels.shape[axis]
    if size == count:
        return levels
    at = ((np.arange(size) + 0.5) * count / size - 0.5).clip(0, count - 1)
    if not smooth:
        near = np.floor(at + 0.5).astype(np.intp).clip(0, count - 1)
        return np.asarray(np.take(levels, near, axis=axis))
    low = np.floor(at).astype(np.intp)
    high = np.minimum(low + 1, count - 1)
    weight = (at - low).astype(np.float32)
    weight = weight.reshape([-1 if k == axis else 1 for k in range(levels.ndim)])
    first = np.take(levels, low, axis=axis).astype(np.float32)
    second = np.take(levels, high, axis=axis).astype(np.float32)
    mixed: NDArray[Any] = np.rint(first + weight * (second - first)).astype(levels.dtype)
    return mixed
