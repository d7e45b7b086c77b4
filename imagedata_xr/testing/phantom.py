"""
A synthetic DICOM series whose every voxel and position is known.

A `Phantom` describes a series; `imagedata_xr.testing.write_series` writes it as files, and
`Phantom.truth` says what a reader must find in them.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from imagedata_xr import schema
from imagedata_xr.errors import OptionError
from imagedata_xr.testing import pixels
from imagedata_xr.testing.placement import Placement
from imagedata_xr.testing.signals import Linear

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from imagedata_xr.testing.placement import Array
    from imagedata_xr.testing.signals import Signal

__all__ = ["Phantom", "Shot", "Truth"]

Timing: TypeAlias = Literal[
    "AcquisitionTime",
    "AcquisitionDateTime",
    "ContentTime",
    "TriggerTime",
    "TemporalPositionIdentifier",
    "FrameReferenceTime",
    "AcquisitionNumber",
    "InstanceNumber",
]
Vendor: TypeAlias = Literal["standard", "siemens", "ge", "ge_plain", "philips", "uih"]
TransferSyntax: TypeAlias = Literal["explicit", "implicit", "big", "deflated", "rle"]
Order: TypeAlias = Literal["ascending", "descending", "interleaved", "random"]
Volume: TypeAlias = "Mapping[str, Any]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """
    One frame of a phantom.

    Attributes
    ----------
    volume, slice : int
        Which volume, counted in the order of the truth, and which slice of it.
    values : Mapping
        Acquisition values of the volume, e.g. ``{"time": 2.5, "te": 10}``.
    number : int
        Instance Number.
    uid : str
        SOP Instance UID.

    Examples
    --------
    >>> first = next(iter(testing.Phantom(axes={"te": [10, 20]}).shots()))
    >>> first.values, first.slice, first.number
    ({'te': 10}, 0, 1)
    """

    volume: int
    slice: int
    values: Volume
    number: int
    uid: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Truth:
    """
    What a reader must find.

    Attributes
    ----------
    values : numpy.ndarray
        Real-world values (after rescale), float64; colour images as stored unsigned integers.
    dims : tuple of str
        Names of the axes of ``values``.
    coords : dict
        Acquisition coordinates (of a ``volume`` axis: ``b``, ``bvec_x``, ... of every volume),
        and positions in mm along ``slice``, ``row`` and ``column``.
    directions : dict
        Unit vector (LPS) of each spatial coordinate; its largest component is positive.
    affine : numpy.ndarray or None
        Map of (slice, row, column, 1) indices of ``values`` to LPS mm; None of uneven slices.
    points : numpy.ndarray or None
        Centre of every voxel, slices x rows x columns x 3, LPS mm.

    Examples
    --------
    >>> truth = testing.Phantom(axes={"te": [10, 20]}).truth()
    >>> truth.dims, truth.coords["te"]
    (('te', 'slice', 'row', 'column'), array([10, 20]))
    """

    values: NDArray[Any]
    dims: tuple[str, ...]
    coords: dict[str, NDArray[Any]]
    directions: dict[str, Array]
    affine: Array | None
    points: Array | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Phantom:
    """
    Description of a synthetic DICOM series.

    Parameters
    ----------
    axes : Mapping of str to sequence, optional
        Acquisition axes in the order of the dimensions: ``time`` (s from the start), ``te``, ``ti``
        (ms), ``fa`` (degrees), ``b`` (s/mm2), ``component`` (``"M"``, ``"P"``, ``"R"``, ``"I"``) or
        any DICOM keyword. The series holds their complete grid.
    volumes : sequence of Mapping, optional
        Volumes instead of a grid, e.g. ``[{"b": 0}, {"b": 1000, "bvec": (1, 0, 0)}]``; ``bvec``
        is a unit vector in patient LPS.
    shape : tuple of int
        Slices, rows, columns.
    spacing : tuple of float
        Distance between slices (along the stack), rows, and columns, mm.
    orientation : str or sequence of float
        ``"axial"``, ``"sagittal"``, ``"coronal"``, ``"oblique"``, three angles in degrees or six
        cosines.
    tilt : float
        Gantry tilt, degrees.
    slices : sequence of float, optional
        Uneven positions of the slices, mm along the stack from ``origin``.
    origin : sequence of float, optional
        Centre of the first voxel, LPS mm. The volume is centred on (0, 0, 0) by default.
    order : {"ascending", "descending", "interleaved", "random"}
        Order of the Instance Numbers over the slices.
    value : callable, optional
        ``value(points, values)``: real-world value at points (... x 3, LPS mm) for acquisition
        values. `Linear` by default; `Head` looks like a patient.
    noise : float
        Standard deviation of the noise: Rician for MR, else Gaussian.
    dtype : str
        Stored type, e.g. ``"uint16"``.
    bits_stored : int, optional
        Bits Stored, all bits of the type by default; values beyond are clipped.
    rescale : tuple of float, or sequence of tuple, optional
        Slope and intercept; a sequence of pairs is dealt out to the frames in turn. By default left
        out of MR headers, and (1, -1024) for CT.
    photometric : str
        ``"MONOCHROME2"``, ``"MONOCHROME1"``, ``"RGB"``, ``"YBR_FULL"`` or ``"PALETTE COLOR"``.
    modality : {"MR", "CT", "PT", "US", "SC"}
        US and SC have no position in the patient.
    timing : str
        The attribute that tells the volumes of the ``time`` axis apart.
    start : str
        Date and time of the first frame, ``YYYYMMDDhhmmss[.ffffff]``.
    slice_delay : float
        Seconds between the slices of a volume, which are then taken in random order.
    volume_delay : float
        Seconds between volumes that differ in more than time and echo.
    vendor : str
        Whose headers: ``"standard"``, ``"siemens"``, ``"ge"`` (b values with an offset of 1e9),
        ``"ge_plain"``, ``"philips"`` or ``"uih"``.
    transfer_syntax : {"explicit", "implicit", "big", "deflated", "rle"}
        How files are encoded.
    file_meta, preamble : bool
        Whether files have their meta information, and the 128 bytes and ``DICM`` before it.
    decimals : int, optional
        Digits after the point in positions and cosines; as many as fit by default.
    seed : int
        All UIDs and all that is random derive from it.
    patient, study, series : int
        Numbers that tell patients, studies and series of one seed apart.
    attributes : Mapping
        Further attributes by keyword, the same in every instance; None removes one.

    Examples
    --------
    >>> phantom = Phantom(axes={"time": [0, 2.5], "te": [10, 20, 30]}, shape=(4, 6, 5))
    >>> truth = phantom.truth()
    >>> truth.dims, truth.values.shape
    (('time', 'te', 'slice', 'row', 'column'), (2, 3, 4, 6, 5))
    """

    axes: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    volumes: Sequence[Volume] = ()
    shape: tuple[int, int, int] = (4, 6, 5)
    spacing: tuple[float, float, float] = (3.0, 2.0, 1.5)
    orientation: str | Sequence[float] = "axial"
    tilt: float = 0.0
    slices: Sequence[float] | None = None
    origin: Sequence[float] | None = None
    order: Order = "ascending"
    value: Signal | None = None
    noise: float = 0.0
    dtype: str = "uint16"
    bits_stored: int | None = None
    rescale: tuple[float, float] | Sequence[tuple[float, float]] | None = None
    photometric: str = "MONOCHROME2"
    modality: str = "MR"
    timing: Timing = "AcquisitionTime"
    start: str = "20240229101530.25"
    slice_delay: float = 0.0
    volume_delay: float = 0.0
    vendor: Vendor = "standard"
    transfer_syntax: TransferSyntax = "explicit"
    file_meta: bool = True
    preamble: bool = True
    decimals: int | None = None
    seed: int = 0
    patient: int = 1
    study: int = 1
    series: int = 1
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.axes and self.volumes:
            raise OptionError("give axes (a complete grid) or volumes (a list), not both")
        if not self.positioned and self.shape[0] != 1:
            raise OptionError(f"{self.modality} images have no position: shape needs one slice")
        pixels.check(self)

    def replace(self, **changes: Any) -> Phantom:
        """
        Return a copy with other values.

        Examples
        --------
        >>> Phantom().replace(series=2).series
        2
        """
        return dataclasses.replace(self, **changes)

    @property
    def positioned(self) -> bool:
        """Whether the images have a position in the patient."""
        return self.modality in {"MR", "CT", "PT"}

    @cached_property
    def placement(self) -> Placement:
        """The grid of a volume in the patient."""
        return Placement.build(
            shape=self.shape,
            spacing=self.spacing,
            orientation=self.orientation,
            tilt=self.tilt,
            slices=self.slices,
            origin=self.origin,
        )

    @cached_property
    def volume_values(self) -> tuple[Volume, ...]:
        """Acquisition values of every volume, the last axis first to change."""
        if self.volumes:
            return tuple(dict(volume) for volume in self.volumes)
        names = tuple(self.axes)
        grid = itertools.product(*self.axes.values())
        return tuple(dict(zip(names, values, strict=True)) for values in grid)

    def uid(self, *parts: object) -> str:
        """
        Return the UID that belongs to the parts, always the same for one seed.

        Examples
        --------
        >>> Phantom(seed=1).uid("series") == Phantom(seed=1).uid("series")
        True
        """
        text = "\0".join(str(part) for part in ("phantom", self.seed, *parts))
        digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
        return f"2.25.{int.from_bytes(digest, 'big')}"

    def random(self, *parts: object) -> np.random.Generator:
        """Return a random generator that always starts the same for one seed and parts."""
        text = "\0".join(str(part) for part in (self.seed, self.series, *parts))
        digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
        return np.random.default_rng(int.from_bytes(digest, "big"))

    @cached_property
    def slice_ranks(self) -> tuple[int, ...]:
        """Place of every slice in the order of Instance Numbers."""
        count = self.shape[0]
        if self.order == "random":
            return tuple(self.random("order").permutation(count).tolist())
        order = list(range(count))
        if self.order == "descending":
            order.reverse()
        elif self.order == "interleaved":
            order = order[1::2] + order[::2]
        return tuple(order.index(index) for index in range(count))

    def shots(self) -> Iterator[Shot]:
        """Yield every frame: volume by volume, slice by slice."""
        identity = (self.patient, self.study, self.series)
        for volume, values in enumerate(self.volume_values):
            for index in range(self.shape[0]):
                yield Shot(
                    volume=volume,
                    slice=index,
                    values=values,
                    number=volume * self.shape[0] + self.slice_ranks[index] + 1,
                    uid=self.uid("instance", *identity, volume, index),
                )

    def stored(self) -> Iterator[NDArray[Any]]:
        """Yield the stored values of every volume: slices x rows x columns [x samples]."""
        points = self.placement.points()
        value = self.value or Linear(scale=1.0 if pixels.bits(self) > 8 else 0.06)
        prepare = getattr(value, "prepare", None)
        ready = prepare(points) if prepare else None
        for volume, values in enumerate(self.volume_values):
            real = ready(values) if ready else value(points, values)
            if self.noise:
                real = self._noisy(np.asarray(real), volume)
            yield pixels.store(self, np.asarray(real, dtype=np.float64), volume)

    def _noisy(self, real: Array, volume: int) -> Array:
        noise = self.random("noise", volume).normal(scale=self.noise, size=(2, *real.shape))
        if self.modality != "MR":
            return np.asarray(real + noise[0])
        return np.asarray(np.hypot(real + noise[0], noise[1]))

    def truth(self) -> Truth:
        """
        Return what a reader must find.

        Examples
        --------
        >>> truth = Phantom(shape=(2, 2, 2), origin=(1, 2, 3)).truth()
        >>> truth.affine[:3, 3].tolist()
        [1.0, 2.0, 3.0]
        >>> truth.coords["slice"].tolist()
        [3.0, 6.0]
        """
        volumes = [pixels.real(self, stored, i) for i, stored in enumerate(self.stored())]
        lengths = tuple(len(axis) for axis in self.axes.values())
        dims = tuple(self.axes)
        if self.volumes:
            lengths, dims = (len(self.volumes),), (schema.VOLUME,)
        values = np.stack(volumes).reshape(lengths + volumes[0].shape)
        dims += schema.SPATIAL if self.positioned else schema.SPATIAL[1:]
        if not self.positioned:
            values = values.reshape(lengths + volumes[0].shape[1:])
        if volumes[0].ndim == 4:
            dims += (schema.RGB,)
        spatial: dict[str, NDArray[Any]] = {}
        directions: dict[str, Array] = {}
        if self.positioned:
            positions, units = self.placement.coordinates()
            spatial = dict(zip(schema.SPATIAL, positions, strict=True))
            directions = dict(zip(schema.SPATIAL, units, strict=True))
        return Truth(
            values=values,
            dims=dims,
            coords=self._acquisition() | spatial,
            directions=directions,
            affine=self.placement.affine() if self.positioned else None,
            points=self.placement.points() if self.positioned else None,
        )

    def _acquisition(self) -> dict[str, NDArray[Any]]:
        """Return the acquisition coordinates."""
        if not self.volumes:
            return {name: np.asarray(values) for name, values in self.axes.items()}
        coords: dict[str, NDArray[Any]] = {}
        names = dict.fromkeys(name for volume in self.volumes for name in volume)
        for name in names:
            column = [volume.get(name) for volume in self.volumes]
            if name != "bvec":
                coords[name] = np.asarray(column)
                continue
            vectors = np.array([(0.0, 0.0, 0.0) if v is None else v for v in column], dtype=float)
            coords |= dict(zip(schema.BVEC, vectors.T, strict=True))
        return coords
