"""What every writer must do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import xarray as xr

from imagedata_xr import schema
from imagedata_xr.dataset import Image, Labels, build
from imagedata_xr.errors import GeometryError, ImagedataError
from imagedata_xr.frames import PixelFormat, PixelRef
from imagedata_xr.geometry import stack_grid
from imagedata_xr.lazy import FrameArray, lazily
from imagedata_xr.sources import MemoryBytes
from imagedata_xr.testing.conformance.raising import raises
from imagedata_xr.testing.phantom import Phantom

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["WriterConformance"]


class WriterConformance:
    """
    Tests of a writer against a reader that knows nothing of this package.

    Attributes
    ----------
    SUFFIX : str
        End of the target's name; empty where the target is a folder.
    PHANTOMS : dict of str to Phantom
        The images that the writer must be able to write.
    ATOL_MM : float
        Tolerance of positions.

    Examples
    --------
    >>> class TestMyWriter(testing.WriterConformance):
    ...     SUFFIX = ".nii.gz"
    ...
    ...     def write(self, image, target, *, overwrite=False):
    ...         return imagedata_xr.to_nifti(image, target, overwrite=overwrite)
    ...
    ...     def read(self, target):
    ...         ...  # with another reader than one's own
    >>> sorted(TestMyWriter.PHANTOMS)[:3]
    ['axial', 'bytes', 'dynamic']
    """

    SUFFIX: ClassVar[str] = ""
    PHANTOMS: ClassVar[dict[str, Phantom]] = {
        "axial": Phantom(),
        "oblique": Phantom(orientation="oblique", dtype="int16", origin=(-40.5, 17.25, 96.0)),
        "sagittal, descending": Phantom(orientation=(0, -1, 0, 0, 0, -1)),
        "one slice": Phantom(shape=(1, 6, 5), orientation="coronal"),
        "dynamic": Phantom(axes={"time": [0, 2.5, 5]}, orientation="oblique"),
        "tilted": Phantom(modality="CT", tilt=12, shape=(5, 6, 4), dtype="int16"),
        "bytes": Phantom(dtype="uint8"),
    }
    ATOL_MM: ClassVar[float] = 1e-4

    def write(self, image: xr.DataArray, target: Path, *, overwrite: bool = False) -> Any:
        """Write an image to the target, a path that ends in the suffix."""
        raise NotImplementedError

    def read(self, target: Path) -> tuple[NDArray[Any], NDArray[np.floating]]:
        """
        Return what another reader finds in the target.

        Returns
        -------
        values : ndarray
            Acquisition axes as in the image, then the three voxel axes, in any order and sense.
        points : ndarray
            Patient LPS, mm, of each voxel, shape (..., 3) over the three voxel axes.
        """
        raise NotImplementedError

    def images(self) -> dict[str, xr.DataArray]:
        """Return the images that the writer must be able to write: the phantoms, and views."""
        found = {name: image_of(phantom) for name, phantom in self.PHANTOMS.items()}
        oblique = found["oblique"]
        return {
            **found,
            "turned": oblique.isel(slice=slice(None, None, -1), column=slice(None, None, -1)),
            "part": oblique.isel(slice=[1, 2], row=slice(0, None, 2)),
            "transposed": oblique.transpose("column", "slice", "row"),
            "scalar slice": oblique.isel(slice=2),
            "chunked": found["dynamic"].chunk(time=1, slice=2),
        }

    def _target(self, folder: Path, name: str = "image") -> Path:
        return folder / (name.replace(", ", "_").replace(" ", "_") + self.SUFFIX)

    def test_values_at_positions(self, tmp_path: Path) -> None:
        """Another reader finds each value at its place in the patient, and none besides."""
        for name, image in self.images().items():
            target = self._target(tmp_path, name)
            self.write(image, target)
            self._compare(image, target, name)

    def _compare(self, image: xr.DataArray, target: Path, name: str = "") -> None:
        values, points = self.read(target)
        flat = points.reshape(-1, 3)
        places, distance = _places(image, flat)
        assert distance <= self.ATOL_MM, f"{name}: {distance} mm beside a voxel"
        whole = image.expand_dims([n for n in schema.SPATIAL if n not in image.dims])
        ours = whole.transpose(..., *schema.SPATIAL).values
        assert ours[..., 0, 0, 0].size * len(flat) == ours.size == values.size, name
        assert len(np.unique(places, axis=1).T) == len(flat), f"{name}: a voxel twice"
        there = ours[..., places[0], places[1], places[2]]
        np.testing.assert_array_equal(values.reshape(there.shape), there, name)

    def test_image_is_left_alone(self, tmp_path: Path) -> None:
        """Writing changes neither values nor coordinates nor attributes."""
        image = image_of(self.PHANTOMS["dynamic"])
        before = image.copy(deep=True)
        self.write(image, self._target(tmp_path))
        xr.testing.assert_identical(image, before)

    def test_existing_targets_are_kept(self, tmp_path: Path) -> None:
        """What exists is replaced only on request."""
        image, target = image_of(self.PHANTOMS["axial"]), self._target(tmp_path)
        self.write(image, target)
        before = _contents(tmp_path)
        raises(ImagedataError, lambda: self.write(image + 1, target))
        assert _contents(tmp_path) == before
        self.write(image + 1, target, overwrite=True)
        self._compare(image + 1, target)

    def test_failure_leaves_nothing(self, tmp_path: Path) -> None:
        """Where reading the image breaks off, the folder is as it was before."""
        target = self._target(tmp_path)
        for exists in (False, True):
            if exists:
                self.write(image_of(self.PHANTOMS["dynamic"]), target)
            before = _contents(tmp_path)
            broken = breaking(self.PHANTOMS["dynamic"])
            error = raises(Exception, lambda: self.write(broken, target, overwrite=True))  # noqa: B023
            assert "unplugged" in f"{error} {error.__cause__}"
            assert _contents(tmp_path) == before

    def test_no_place_in_the_patient(self, tmp_path: Path) -> None:
        """A projection, whose place is gone, is refused: geometry is never made up."""
        image = image_of(self.PHANTOMS["oblique"]).max(schema.SLICE)
        raises(GeometryError, lambda: self.write(image, self._target(tmp_path)))
        assert not _contents(tmp_path)


def image_of(phantom: Phantom, data: Any = None) -> xr.DataArray:
    """
    Return a phantom's truth as an array of the data model, without files.

    Parameters
    ----------
    phantom : Phantom
        A grid of acquisition values, with a place in the patient.
    data : array, optional
        Instead of the phantom's own values.
    """
    truth, place = phantom.truth(), phantom.placement
    grid, _ = stack_grid(
        [place.position(k) for k in range(place.shape[0])],
        [*place.column, *place.row],
        place.spacing[1:],
        place.shape[1:],
        thickness=phantom.spacing[0],
    )
    dims = {
        name: Labels(truth.coords[name], {schema.UNITS: schema.UNITS_OF[name]})
        for name in phantom.axes
    }
    kind = np.int16 if phantom.modality == "CT" else np.dtype(phantom.dtype)
    values = truth.values.astype(kind) if data is None else data
    return build(Image(values, dims, grid))[schema.IMAGE]


class _Breaking:
    """Reads two frames, and then no more."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self.dtype = np.dtype(np.int16)
        self.left = 2

    def read(self, _: PixelRef, out: NDArray[Any]) -> None:
        """Fill the frame with a number."""
        if not self.left:
            raise RuntimeError("the disk was unplugged")
        self.left -= 1
        out[...] = self.left


def breaking(phantom: Phantom) -> xr.DataArray:
    """Return a lazy image that fails while it is read."""
    shape = phantom.truth().values.shape
    refs = np.empty(shape[:-2], dtype=object)
    ref = PixelRef(MemoryBytes("broken", b""), PixelFormat(*shape[-2:]))
    refs.ravel()[:] = [ref] * refs.size
    return image_of(phantom, lazily(FrameArray(refs, _Breaking(shape[-2:]), progress=False)))


def _places(
    image: xr.DataArray, points: NDArray[np.floating]
) -> tuple[tuple[NDArray[np.intp], ...], float]:
    """Return the index of the voxel at each point, and the largest distance from it in mm."""
    coords = [image.coords[name] for name in schema.SPATIAL]
    matrix = np.array([coord.attrs[schema.DIRECTION] for coord in coords]).T
    along = np.linalg.solve(matrix, points.T)
    values = [np.atleast_1d(coord.values) for coord in coords]
    places = tuple(
        np.abs(one[:, None] - wanted).argmin(axis=0)
        for one, wanted in zip(values, along, strict=True)
    )
    found = matrix @ [one[place] for one, place in zip(values, places, strict=True)]
    return places, float(np.abs(found - points.T).max())


def _contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}
