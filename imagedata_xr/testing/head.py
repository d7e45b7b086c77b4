"""A head made of ellipsoids, with the signal of each tissue, for demonstrations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from imagedata_xr.testing.placement import Array

__all__ = ["Head", "Tissue"]


@dataclass(frozen=True, kw_only=True)
class Tissue:
    """
    What a scanner sees of a tissue.

    Attributes
    ----------
    density : float
        Proton density.
    t1, t2 : float
        Relaxation times at 3 T, ms.
    adc : float
        Apparent diffusion coefficient, 1e-3 mm2/s.
    fibre : tuple of float
        Direction along which water diffuses freely; across it at a fifth. Zero: isotropic.
    plasma, leak : float
        Fraction of the arterial contrast agent concentration, and transfer into the tissue, 1/min.
    hounsfield : float
        CT number.
    activity : float
        PET activity, Bq/ml.
    """

    density: float
    t1: float
    t2: float
    adc: float
    fibre: tuple[float, float, float] = (0.0, 0.0, 0.0)
    plasma: float = 0.0
    leak: float = 0.0
    hounsfield: float = 0.0
    activity: float = 0.0


TISSUES = {
    "air": Tissue(density=0, t1=1, t2=1, adc=0, hounsfield=-1000),
    "scalp": Tissue(density=0.9, t1=380, t2=70, adc=0.1, plasma=0.01, hounsfield=-60, activity=2e3),
    "skull": Tissue(density=0.06, t1=500, t2=2, adc=0, hounsfield=1100, activity=500),
    "csf": Tissue(density=1.0, t1=4200, t2=1900, adc=3.0, hounsfield=8, activity=500),
    "grey": Tissue(
        density=0.85, t1=1400, t2=95, adc=0.85, plasma=0.04, hounsfield=38, activity=16e3
    ),
    "white": Tissue(
        density=0.72, t1=850, t2=70, adc=0.75, plasma=0.02, hounsfield=29, activity=6e3
    ),
    "callosum": Tissue(
        density=0.72,
        t1=820,
        t2=66,
        adc=1.4,
        fibre=(1, 0, 0),
        plasma=0.02,
        hounsfield=29,
        activity=6e3,
    ),
    "tract": Tissue(
        density=0.72,
        t1=830,
        t2=68,
        adc=1.4,
        fibre=(0, 0.5, 0.866),
        plasma=0.02,
        hounsfield=30,
        activity=6e3,
    ),
    "nuclei": Tissue(
        density=0.8, t1=1200, t2=75, adc=0.75, plasma=0.04, hounsfield=36, activity=18e3
    ),
    "vessel": Tissue(
        density=0.9, t1=1900, t2=150, adc=2.5, plasma=0.55, hounsfield=50, activity=3e3
    ),
    "lesion": Tissue(
        density=0.9, t1=1500, t2=130, adc=1.1, plasma=0.05, leak=0.25, hounsfield=34, activity=25e3
    ),
    "necrosis": Tissue(density=0.95, t1=2600, t2=350, adc=2.2, hounsfield=18, activity=1e3),
}
# tissue, centre (LPS mm), semi-axes (mm), angle about z (degrees); later ones lie on top
ELLIPSOIDS: tuple[tuple[str, tuple[float, ...], tuple[float, ...], float], ...] = (
    ("scalp", (0, 0, 0), (78, 98, 88), 0),
    ("scalp", (0, -98, -22), (11, 16, 15), 0),
    ("skull", (0, 0, 2), (72, 91, 83), 0),
    ("csf", (0, 0, 3), (66, 85, 77), 0),
    ("grey", (-31, 0, 4), (31, 80, 71), 3),
    ("grey", (31, 0, 4), (31, 80, 71), -3),
    ("white", (-29, 2, 6), (22, 66, 55), 4),
    ("white", (29, 2, 6), (22, 66, 55), -4),
    ("grey", (0, 48, -42), (42, 26, 20), 0),
    ("white", (0, 48, -42), (30, 15, 10), 0),
    ("callosum", (0, 3, 22), (26, 34, 7), 0),
    ("tract", (-22, 8, 0), (5, 8, 38), 0),
    ("tract", (22, 8, 0), (5, 8, 38), 0),
    ("nuclei", (-15, 4, 2), (8, 13, 10), 18),
    ("nuclei", (15, 4, 2), (8, 13, 10), -18),
    ("csf", (-9, 2, 15), (5.5, 27, 9), 14),
    ("csf", (9, 2, 15), (5.5, 27, 9), -14),
    ("csf", (0, 12, -2), (2.5, 10, 8), 0),
    ("white", (0, 24, -42), (13, 12, 30), 0),
    ("vessel", (0, 82, 14), (4, 4, 50), 0),
    ("vessel", (-12, -6, -36), (3.5, 3.5, 26), 0),
    ("vessel", (12, -6, -36), (3.5, 3.5, 26), 0),
    ("lesion", (34, -28, 24), (14, 16, 14), 25),
    ("necrosis", (35, -27, 24), (6, 7, 6), 25),
)
DEFAULTS = {"te": 5.0, "fa": 20.0, "b": 0.0, "time": 0.0}
RELAXIVITY = 4.5e-3  # of a gadolinium agent, 1/(mmol/l)/ms
HOUNSFIELD_PER_MMOL = 30.0


def arterial(time: float, arrival: float) -> float:
    """Return the arterial concentration of a bolus and what recirculates, mmol/l."""
    late = max(time - arrival, 0.0)
    first = 6.0 * (late / 6.0) ** 3 * np.exp(3.0 * (1 - late / 6.0))
    return float(first + 1.0 * (1 - np.exp(-late / 12.0)) * np.exp(-late / 600.0))


@dataclass(frozen=True, kw_only=True)
class Head:
    """
    A head with a contrast-enhancing lesion, centred on the isocentre.

    Spoiled gradient echo signal of repetition time and flip angle; inversion recovery where
    ``ti`` is given; T2 decay over ``te``; diffusion over ``b`` along ``bvec``; a bolus of contrast
    agent over ``time``. CT shows Hounsfield units, PT activity.

    Parameters
    ----------
    modality : {"MR", "CT", "PT"}
        What is measured.
    scale : float
        Signal of full proton density (MR).
    repetition_time : float
        Repetition time of the gradient echo, ms.
    arrival : float
        When the contrast agent arrives, s.

    Examples
    --------
    >>> from imagedata_xr.testing import Phantom
    >>> phantom = Phantom(
    ...     axes={"b": [0, 400, 800]}, shape=(8, 64, 64), spacing=(15, 4, 4), value=Head(), noise=5
    ... )
    >>> phantom.truth().values.shape
    (3, 8, 64, 64)
    """

    modality: str = "MR"
    scale: float = 10000.0
    repetition_time: float = 30.0
    arrival: float = 20.0

    def labels(self, points: Array) -> NDArray[np.intp]:
        """Return the number of the tissue at each point, in the order of ``TISSUES``."""
        names = list(TISSUES)
        found = np.zeros(points.shape[:-1], dtype=np.intp)
        for name, centre, axes, angle in ELLIPSOIDS:
            turn = np.radians(angle)
            cos, sin = np.cos(turn), np.sin(turn)
            x, y, z = np.moveaxis(points - np.asarray(centre), -1, 0)
            along = (cos * x + sin * y) / axes[0]
            across = (cos * y - sin * x) / axes[1]
            found[along**2 + across**2 + (z / axes[2]) ** 2 <= 1] = names.index(name)
        return found

    def prepare(self, points: Array) -> Callable[[Mapping[str, Any]], Array]:
        """Return the function of acquisition values at fixed points."""
        labels = self.labels(points)
        phase = points @ np.array([4.0, 6.0, 3.0]) + 2048.0

        def signal(values: Mapping[str, Any]) -> Array:
            if values.get("component") in {"P", "I"}:
                return np.asarray(np.mod(phase + 20.0 * float(values.get("te", 0.0)), 4096.0))
            return np.array([self.signal(tissue, values) for tissue in TISSUES.values()])[labels]

        return signal

    def __call__(self, points: Array, values: Mapping[str, Any], /) -> Array:
        """Return one value a point."""
        return self.prepare(points)(values)

    def concentration(self, tissue: Tissue, time: float) -> float:
        """Return the concentration of contrast agent in a tissue, mmol/l (extended Tofts)."""
        found = tissue.plasma * arterial(time, self.arrival)
        if tissue.leak and time > 0:
            times = np.linspace(0.0, time, 201)
            inflow = np.array([arterial(float(t), self.arrival) for t in times])
            washout = np.exp(-tissue.leak / 60.0 / 0.3 * (time - times))
            found += tissue.leak / 60.0 * float(np.trapezoid(inflow * washout, times))
        return found

    def signal(self, tissue: Tissue, values: Mapping[str, Any]) -> float:
        """
        Return the signal of one tissue.

        Examples
        --------
        >>> grey = TISSUES["grey"]
        >>> Head().signal(grey, {"te": 10}) > Head().signal(grey, {"te": 80})
        True
        """
        set_to = DEFAULTS | {k: v for k, v in values.items() if v is not None}
        agent = self.concentration(tissue, float(set_to["time"]))
        if self.modality == "CT":
            return tissue.hounsfield + HOUNSFIELD_PER_MMOL * agent
        if self.modality == "PT":
            uptake = 1 - np.exp(-(float(set_to["time"]) + 1) / 300.0) if "time" in values else 1.0
            return float(tissue.activity * uptake)
        rate = 1 / tissue.t1 + RELAXIVITY * agent
        angle = np.radians(float(set_to["fa"]))
        recovered = np.exp(-self.repetition_time * rate)
        found = np.sin(angle) * (1 - recovered) / (1 - np.cos(angle) * recovered)
        if "ti" in set_to:
            found = abs(1 - 2 * np.exp(-float(set_to["ti"]) * rate))
        found = found * np.exp(-float(set_to["te"]) / tissue.t2)
        found = found * np.exp(-float(set_to["b"]) * 1e-3 * self.diffusion(tissue, set_to))
        return float(self.scale * tissue.density * found)

    @staticmethod
    def diffusion(tissue: Tissue, values: Mapping[str, Any]) -> float:
        """Return the diffusion coefficient that a gradient direction sees, 1e-3 mm2/s."""
        if not any(tissue.fibre):
            return tissue.adc
        across = 0.2 * tissue.adc
        if "bvec" not in values:
            return (tissue.adc + 2 * across) / 3
        along = float(np.dot(tissue.fibre, values["bvec"]))
        return across + (tissue.adc - across) * along**2
