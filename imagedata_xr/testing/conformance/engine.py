"""What every engine must make of an image whose truth is known."""

from __future__ import annotations

import pickle
import unittest
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import xarray as xr

from imagedata_xr import schema
from imagedata_xr.errors import GeometryError, GridMismatchError
from imagedata_xr.geometry import canonical
from imagedata_xr.index import AxisIndex, PositionIndex, grid_of, restore_indexes
from imagedata_xr.testing.conformance.raising import raises
from imagedata_xr.testing.phantom import Phantom

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from imagedata_xr.testing.phantom import Truth

__all__ = ["EngineConformance"]


class EngineConformance:
    """
    Tests of an engine on one image whose truth is known.

    Attributes
    ----------
    ENGINE : str
        Name of the engine.
    PHANTOM : Phantom
        The image.
    RTOL : float
        Relative tolerance of values; they are exact by default.
    ATOL_MM : float
        Tolerance of positions.

    Examples
    --------
    >>> from pathlib import Path
    >>> class TestMyEngine(testing.EngineConformance):
    ...     ENGINE = "dicom"
    ...
    ...     def make(self, folder):
    ...         testing.write_series(self.PHANTOM, folder / "image")
    ...         return folder / "image"
    >>> TestMyEngine().test_affine(Path())  # pytest runs them all
    """

    ENGINE: ClassVar[str]
    PHANTOM: ClassVar[Phantom] = Phantom()
    RTOL: ClassVar[float] = 0.0
    ATOL_MM: ClassVar[float] = 1e-5

    def make(self, folder: Path) -> Any:
        """Write the image, and return what the engine shall open."""
        raise NotImplementedError

    def truth(self) -> Truth:
        """Return what the engine must find."""
        return self.PHANTOM.truth()

    def dataset(self, folder: Path, **options: Any) -> xr.Dataset:
        """Return the opened image."""
        return xr.open_dataset(self.make(folder), engine=self.ENGINE, **options)

    def image(self, folder: Path, **options: Any) -> xr.DataArray:
        """Return the variable of the opened image."""
        return self.dataset(folder, **options)[schema.IMAGE]

    def test_one_variable(self, tmp_path: Path) -> None:
        """There is one data variable, so that ``open_dataarray`` works."""
        assert list(self.dataset(tmp_path).data_vars) == [schema.IMAGE]
        with xr.open_dataarray(self.make(tmp_path), engine=self.ENGINE) as image:
            assert image.name == schema.IMAGE

    def test_dimensions(self, tmp_path: Path) -> None:
        """Dimensions have the names, the order and the sizes of the data model."""
        image, truth = self.image(tmp_path), self.truth()
        assert image.dims == truth.dims
        assert image.shape == truth.values.shape
        fixed = [n for n in (*schema.SPATIAL, schema.RGB) if n in image.dims]
        assert list(image.dims[-len(fixed) :]) == fixed

    def test_values(self, tmp_path: Path) -> None:
        """Each voxel has its value, and the type that was announced."""
        image = self.image(tmp_path)
        assert image.dtype == image.values.dtype
        np.testing.assert_allclose(image.values, self.truth().values, rtol=self.RTOL, atol=0)

    def test_spatial_coordinates(self, tmp_path: Path) -> None:
        """Positions are float64 in mm along canonical unit vectors; their sum is the place."""
        image, truth = self.image(tmp_path), self.truth()
        if truth.points is None:
            raise unittest.SkipTest("the image has no place in the patient")
        total = np.zeros(3)
        for name in schema.SPATIAL:
            coord = image.coords[name]
            direction = np.asarray(coord.attrs[schema.DIRECTION], dtype=np.float64)
            assert coord.dtype == np.float64
            assert coord.attrs[schema.UNITS] == schema.MM
            assert abs(np.linalg.norm(direction) - 1) < 1e-9
            np.testing.assert_array_equal(direction, canonical(direction))
            total = total[..., None, :] + np.multiply.outer(coord.values, direction)
        np.testing.assert_allclose(total, truth.points, rtol=0, atol=self.ATOL_MM)

    def test_affine(self, tmp_path: Path) -> None:
        """The matrix is the true one; an uneven stack has none."""
        image, truth = self.image(tmp_path), self.truth()
        if truth.affine is None:
            raises(GeometryError, lambda: grid_of(image).affine)
        else:
            affine = grid_of(image).affine
            np.testing.assert_allclose(affine, truth.affine, rtol=0, atol=self.ATOL_MM)

    def test_indexes(self, tmp_path: Path) -> None:
        """Measured coordinates have the indexes that align within a tolerance."""
        image, positioned = self.image(tmp_path), self.truth().points is not None
        for name in [n for n in image.dims if n in image.coords]:
            if name in schema.SPATIAL and positioned:
                assert type(image.xindexes[name]) is PositionIndex
            elif image[name].dtype.kind in "iuf" and name not in schema.SPATIAL:
                assert isinstance(image.xindexes[name], AxisIndex)

    def test_acquisition_coordinates(self, tmp_path: Path) -> None:
        """Times, echoes, b values and directions are the true ones, in the units of the model."""
        image, truth = self.image(tmp_path), self.truth()
        for name in set(truth.coords) - set(schema.SPATIAL):
            coord, wanted = image.coords[name], truth.coords[name]
            assert set(coord.dims) <= {name, schema.VOLUME}
            if wanted.dtype.kind in "iuf":
                np.testing.assert_allclose(coord.values, wanted, rtol=0, atol=1e-5)
                assert coord.attrs.get(schema.UNITS) == schema.UNITS_OF.get(name)
            else:
                np.testing.assert_array_equal(coord.values, wanted)

    def test_attributes_are_plain(self, tmp_path: Path) -> None:
        """Attributes are str, int, float or flat lists of these: files keep them."""
        dataset = self.dataset(tmp_path)
        for variable in dataset.variables.values():
            for key, value in variable.attrs.items():
                flat = value if isinstance(value, list) else [value]
                assert isinstance(key, str)
                assert {type(one) for one in flat} <= {str, int, float}, (key, value)

    def test_lazy(self, tmp_path: Path) -> None:
        """Opening and choosing read no pixels, and reading a part leaves the rest unread."""
        image = self.image(tmp_path)
        part = image.isel(row=0)
        assert not part.variable._in_memory  # noqa: SLF001 - xarray has no public name for it
        assert (
            part.values.shape
            == image.shape[: image.dims.index("row")] + (image.shape[image.dims.index("row") + 1 :])
        )
        assert not image.variable._in_memory  # noqa: SLF001

    def test_isel(self, tmp_path: Path) -> None:
        """Reading any part gives what the same part of the whole is."""
        image = self.image(tmp_path)
        whole = image.copy().load()
        for indexers in _indexers(whole):
            xr.testing.assert_identical(image.isel(indexers).compute(), whole.isel(indexers))

    def test_chunks(self, tmp_path: Path) -> None:
        """Whatever the chunks, image and coordinates are cut alike, and the values are the same."""
        plain = self.dataset(tmp_path).load()
        # xarray warns where chunks cut frames, which are stored whole
        leading = [n for n in plain.dims if n not in {schema.ROW, schema.COLUMN, schema.RGB}]
        cuts: list[Any] = [{}, "auto", -1, dict.fromkeys(leading, 2)]
        for chunks in cuts:
            cut = self.dataset(tmp_path, chunks=chunks)
            assert {name: sum(sizes) for name, sizes in cut.chunks.items()} == dict(plain.sizes)
            xr.testing.assert_identical(cut.map_blocks(lambda block: block).compute(), plain)

    def test_dask_equals_numpy(self, tmp_path: Path) -> None:
        """A chain of operations on chunks gives what it gives on the whole."""
        image = self.image(tmp_path).load().astype(np.float64)
        cut = self.image(tmp_path, chunks={}).astype(np.float64)
        chains: tuple[Callable[[Any], Any], ...] = (
            lambda a: (a - a.mean()) / 2,
            lambda a: a.max(a.dims[0]),
            np.sqrt,
        )
        for one in chains:
            xr.testing.assert_allclose(one(cut).compute(), one(image))

    def test_pickle(self, tmp_path: Path) -> None:
        """A copy sent to another process is still lazy, and the same image."""
        image = self.image(tmp_path)
        copy = pickle.loads(pickle.dumps(image))  # noqa: S301 - made on this line
        assert not copy.variable._in_memory  # noqa: SLF001
        assert image.identical(copy)

    def test_threads(self, tmp_path: Path) -> None:
        """Several threads may read one array at once."""
        image = self.image(tmp_path)
        whole = image.copy().load()
        rows = [k % image.sizes["row"] for k in range(32)]
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda row: image.isel(row=row).compute(), rows))
        assert all(one.identical(whole.isel(row=row)) for one, row in zip(found, rows, strict=True))

    def test_netcdf(self, tmp_path: Path) -> None:
        """A netCDF file gives back everything; after ``restore()`` identical, indexes included."""
        for engine, module in (("netcdf4", "netCDF4"), ("h5netcdf", "h5netcdf")):
            if find_spec(module):
                path = tmp_path / f"{engine}.nc"
                self.image(tmp_path / engine).to_netcdf(path, engine=engine)  # type: ignore[call-overload]
                self._same_after(path, engine, tmp_path / engine)

    def test_zarr(self, tmp_path: Path) -> None:
        """A Zarr store gives back everything; after ``restore()`` identical, indexes included."""
        if not find_spec("zarr"):
            raise unittest.SkipTest("needs zarr")
        path = tmp_path / "image.zarr"
        self.image(tmp_path / "source").to_zarr(path, zarr_format=2, consolidated=True)
        self._same_after(path, "zarr", tmp_path / "source")

    def _same_after(self, path: Path, engine: str, folder: Path) -> None:
        image = self.image(folder)
        with xr.open_dataarray(path, engine=engine) as back:
            restored = restore_indexes(back)
            assert restored.identical(image)
            for name in set(image.dims) & set(image.xindexes):
                assert type(restored.xindexes[name]) is type(image.xindexes[name])

    def test_arithmetic(self, tmp_path: Path) -> None:
        """An image and its own copy, or one 1e-9 mm beside it, make an image on the same grid."""
        one, other = (self.image(tmp_path).load().astype(np.float64) for _ in range(2))
        moved = [n for n in schema.SPATIAL if isinstance(one.xindexes.get(n), PositionIndex)]
        beside = restore_indexes(other.assign_coords({n: other[n] + 1e-9 for n in moved}))
        for second in (other, beside):
            mean = (one + second) / 2
            assert mean.dims == one.dims
            np.testing.assert_array_equal(mean.values, one.values)
            for name in moved:
                xr.testing.assert_identical(mean[name], one[name])
        for name in moved:
            far = restore_indexes(other.assign_coords({name: other[name] + 1e6}))
            raises(GridMismatchError, lambda: one + far)  # noqa: B023 - called at once


def _indexers(image: xr.DataArray) -> Iterator[dict[Any, Any]]:
    """Yield every kind of index along each dimension, and along all at once."""
    random = np.random.default_rng(2)
    kinds = ("int", "negative", "slice", "reversed", "list", "mask", "empty", "points", "numpy int")
    for kind in kinds:
        made = {name: _indexer(kind, size, random) for name, size in image.sizes.items()}
        yield made
        yield from ({name: one} for name, one in made.items())
    for _ in range(30):
        yield {
            name: _indexer(str(random.choice(kinds[:7])), size, random)
            for name, size in image.sizes.items()
        }


def _indexer(kind: str, size: int, random: np.random.Generator) -> Any:
    drawn = random.integers(-size, size, size=4)
    first, last = sorted(random.integers(size + 1, size=2).tolist())
    made: dict[str, Any] = {
        "int": int(abs(drawn[0]) % size),
        "negative": -1,
        "slice": slice(first, last, int(random.integers(1, 3))),
        "reversed": slice(None, None, -int(random.integers(1, 3))),
        "list": drawn.tolist(),
        "mask": random.random(size) < 0.5,
        "empty": slice(0, 0),
        "points": xr.DataArray(drawn % size, dims="point"),
        "numpy int": drawn[1],
    }
    return made[kind]
