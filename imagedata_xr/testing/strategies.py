"""
Hypothesis strategies for phantoms small enough for property tests; needs ``hypothesis``.

>>> from hypothesis import given
>>> @given(phantom=phantoms())
... def test_any_phantom(phantom):
...     assert phantom.truth().values.size
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import strategies as st

from imagedata_xr.testing.phantom import Phantom
from imagedata_xr.testing.placement import ORIENTATIONS

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["axes", "directions", "orientations", "origins", "phantoms", "spacings", "uneven_slices"]

STARTS = {"time": 0.0, "te": 5.0, "ti": 50.0, "fa": 3.0, "b": 0.0}
STEPS = {"time": (0.5, 60.0), "te": (1.0, 30.0), "ti": (50.0, 500.0), "fa": (2.0, 15.0)}


def _rounded(low: float, high: float, digits: int) -> st.SearchStrategy[float]:
    """Draw numbers that a header holds exactly."""
    scale = 10**digits
    return st.integers(round(low * scale), round(high * scale)).map(lambda n: n / scale)


def orientations() -> st.SearchStrategy[Any]:
    """Draw planes: the three main ones, and turned ones as three angles in degrees."""
    angles = st.tuples(*[_rounded(-180.0, 180.0, 2)] * 3)
    return st.one_of(st.sampled_from([*ORIENTATIONS, "oblique"]), angles)


def spacings() -> st.SearchStrategy[tuple[float, float, float]]:
    """Draw distances of slices, rows and columns, mm."""
    return st.tuples(_rounded(0.5, 12.0, 3), _rounded(0.2, 5.0, 3), _rounded(0.2, 5.0, 3))


def origins() -> st.SearchStrategy[tuple[float, float, float]]:
    """Draw centres of the first voxel, LPS mm."""
    return st.tuples(*[_rounded(-300.0, 300.0, 3)] * 3)


def directions() -> st.SearchStrategy[tuple[float, float, float]]:
    """Draw unit vectors."""
    angles = st.tuples(_rounded(0.0, 360.0, 1), _rounded(0.0, 180.0, 1))

    def vector(pair: tuple[float, float]) -> tuple[float, float, float]:
        turn, tilt = np.radians(pair)
        x, y = np.sin(tilt) * np.cos(turn), np.sin(tilt) * np.sin(turn)
        return float(x), float(y), float(np.cos(tilt))

    return angles.map(vector)


@st.composite
def uneven_slices(draw: st.DrawFn, count: int) -> tuple[float, ...]:
    """Draw positions of a number of slices, mm, at least one step apart from even."""
    steps = draw(st.lists(_rounded(1.0, 9.0, 2), min_size=count - 1, max_size=count - 1))
    if len(steps) > 1:
        steps[0] = steps[1] + 1.0
    return (0.0, *np.cumsum(steps).round(6).tolist())


@st.composite
def axes(draw: st.DrawFn, max_axes: int = 3, max_length: int = 3) -> Mapping[str, list[float]]:
    """Draw acquisition axes in the order time, te, ti, fa, b; none is possible."""
    names = draw(st.sets(st.sampled_from(list(STARTS)), max_size=max_axes))
    found: dict[str, list[float]] = {}
    for name in (name for name in STARTS if name in names):
        length = draw(st.integers(2, max_length))
        if name == "b":
            found[name] = [0.0, 50.0, 400.0, 800.0, 1500.0][:length]
            continue
        low, high = STEPS[name]
        gaps = draw(st.lists(_rounded(low, high, 2), min_size=length - 1, max_size=length - 1))
        found[name] = (STARTS[name] + np.cumsum([0.0, *gaps])).round(6).tolist()
    return found


@st.composite
def phantoms(
    draw: st.DrawFn, /, *, max_axes: int = 2, max_slices: int = 4, **fixed: Any
) -> Phantom:
    """
    Draw small MR phantoms.

    Parameters
    ----------
    draw : callable
        Given by hypothesis.
    max_axes, max_slices : int
        Limits of the size.
    **fixed
        Arguments of `Phantom` that are not drawn.
    """
    drawn: dict[str, Any] = {
        "axes": draw(axes(max_axes=max_axes)) if "volumes" not in fixed else {},
        "shape": (draw(st.integers(1, max_slices)), 4, 5),
        "spacing": draw(spacings()),
        "orientation": draw(orientations()),
        "origin": draw(origins()),
        "order": draw(st.sampled_from(["ascending", "descending", "interleaved", "random"])),
        "dtype": draw(st.sampled_from(["uint16", "int16"])),
        "slice_delay": draw(st.sampled_from([0.0, 0.03])),
        "seed": draw(st.integers(0, 1000)),
    }
    return Phantom(**(drawn | fixed))
