"""What a phantom shows: values as functions of the point in the patient and of the acquisition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imagedata_xr.testing.placement import Array

__all__ = ["Linear", "Signal"]


class Signal(Protocol):
    """
    A function of points (... x 3, LPS mm) and acquisition values to image values.

    Examples
    --------
    >>> def height(points, values):
    ...     return 100 + points[..., 2]
    >>> float(testing.Phantom(value=height, shape=(3, 2, 2)).truth().values.max())
    103.0
    """

    def __call__(self, points: Array, values: Mapping[str, Any], /) -> Array:
        """Return one value a point."""


WEIGHTS = {"time": 1.0, "te": 1.5, "ti": 0.1, "fa": 2.0, "b": 0.2}
BVEC_WEIGHTS = (11.0, 17.0, 29.0)
COMPONENT_WEIGHT = 37.0


@dataclass(frozen=True, kw_only=True)
class Linear:
    """
    A linear function of the point, plus a term for every acquisition value.

    The value tells at which point and when a voxel was taken, so a frame in the wrong place
    shows. A region around the isocentre of half a metre fits into 12 bits.

    Parameters
    ----------
    offset : float
        Value in the isocentre.
    gradient : tuple of float
        Growth along x, y and z of the patient, 1/mm.
    scale : float
        Factor on everything.

    Examples
    --------
    >>> import numpy as np
    >>> Linear()(np.array([[1.0, 0.0, 0.0]]), {"te": 10}).tolist()
    [1817.0]
    """

    offset: float = 1800.0
    gradient: tuple[float, float, float] = (2.0, 3.0, 5.0)
    scale: float = 1.0

    def __call__(self, points: Array, values: Mapping[str, Any], /) -> Array:
        """Return one value a point."""
        term = self.offset
        for name, value in values.items():
            if name == "bvec":
                term += float(np.dot(BVEC_WEIGHTS, value)) if value is not None else 0.0
            elif name == "component":
                term += COMPONENT_WEIGHT * "MPRI".index(value)
            else:
                term += WEIGHTS.get(name, 1.0) * float(value)
        return np.asarray(self.scale * (points @ np.asarray(self.gradient) + term))
