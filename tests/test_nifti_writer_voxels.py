"""NIfTI files: the type of the voxels, and writing lazy arrays."""

from __future__ import annotations

import gzip
import sys
import threading
import time

import numpy as np
import pytest
import xarray as xr
from nifti_images import (
    PLANES,
    check_by_world,
    image,
    lazy,
    voxel_indices,
    world,
)

from imagedata_xr.errors import (
    OptionError,
    WriteError,
)
from imagedata_xr.formats.nifti import to_nifti
from imagedata_xr.formats.nifti.packed import Packing

nib = pytest.importorskip("nibabel")

# --- Voxel types


@pytest.mark.parametrize(
    "dtype",
    "int8 uint8 int16 uint16 int32 uint32 float32 float64 complex64 complex128".split(),  # noqa: SIM905
)
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_types_are_kept_bit_for_bit(tmp_path, dtype, suffix):
    """Every type of NIfTI comes back as itself, unscaled, with its extreme values."""
    da = image(dtype=dtype)
    kind = np.dtype(dtype).kind
    info = np.iinfo(dtype) if kind in "iu" else np.finfo(dtype)
    da.values[0, 0, :2] = info.min, info.max
    if kind in "fc":
        da.values[0, 0, 2:4] = np.nan, np.inf
    img = nib.load(to_nifti(da, tmp_path / f"a{suffix}"))
    assert img.get_data_dtype() == np.dtype(dtype)
    assert (img.dataobj.slope, img.dataobj.inter) == (1.0, 0.0)
    np.testing.assert_array_equal(img.dataobj.get_unscaled(), da.values[:, ::-1].T)


@pytest.mark.parametrize(
    ("dtype", "values", "expected"),
    [
        ("bool", [0, 1], "uint8"),
        ("float16", [0.5, -2], "float32"),
        ("int64", [0, 255], "uint8"),
        ("int64", [-1, 300], "int16"),
        ("uint64", [0, 65535], "uint16"),
        ("int64", [-1, 65535], "int32"),
        ("int64", [0, 2**32 - 1], "uint32"),
    ],
)
@pytest.mark.parametrize("chunks", [None, {"slice": 2}])
def test_other_types_become_the_smallest_exact_one(tmp_path, dtype, values, expected, chunks):
    """Types without a place in common programs are widened or narrowed, never changed."""
    da = image(dtype=dtype)
    da.values[...] = values[0]
    da.values[1, 2, 3] = values[1]
    da = da if chunks is None else da.chunk(chunks)
    img = nib.load(to_nifti(da, tmp_path / "a.nii"))
    assert img.get_data_dtype() == np.dtype(expected)
    np.testing.assert_array_equal(np.asarray(img.dataobj), da.values[:, ::-1].T)


def test_big_endian_arrays_are_written_right(tmp_path):
    """The byte order of the array does not reach the file."""
    da = image(dtype=">i4")
    check_by_world(to_nifti(da, tmp_path / "a.nii"), da)


@pytest.mark.parametrize(
    ("source", "value", "dtype"),
    [
        ("float32", 1.5, "int16"),
        ("float32", np.nan, "int16"),
        ("float64", 1e6, "int16"),
        ("int32", -1, "uint16"),
        ("int64", 2**53 + 1, "float64"),
        ("int32", 2**24 + 1, "float32"),
        ("float64", 1e300, "float32"),
        ("int64", 2**40, None),
        ("uint64", 2**64 - 1, "int64"),
        ("float64", 2.0**63, "int64"),
    ],
)
@pytest.mark.parametrize("chunks", [None, {"slice": 1}])
def test_a_value_that_does_not_fit_is_an_error(tmp_path, source, value, dtype, chunks):
    """Rounding, wrapping and clipping are refused, and leave no file."""
    da = image(dtype=source)
    da.values[2, 3, 4] = value
    da = da if chunks is None else da.chunk(chunks)
    with pytest.raises(WriteError, match=r"without loss|64 bits"):
        to_nifti(da, tmp_path / "a.nii.gz", dtype=dtype)
    assert not list(tmp_path.iterdir())


def test_a_wish_that_fits_is_granted(tmp_path):
    """dtype= converts whole floats to integers, and rounds only to shorter floats."""
    da = image(dtype="float64")
    for dtype in ("int16", "uint8", "int64", "uint64", "float32", "complex64"):
        img = nib.load(to_nifti(da, tmp_path / f"{dtype}.nii", dtype=dtype))
        assert img.get_data_dtype() == np.dtype(dtype)
        np.testing.assert_array_equal(np.asarray(img.dataobj), da.values[:, ::-1].T)
    to_nifti(da + 0.1, tmp_path / "rounded.nii", dtype="float32")


def test_types_that_nifti_has_not(tmp_path):
    """Text, dates, half floats on request and dropped imaginary parts are errors with a remedy."""
    with pytest.raises(WriteError, match="astype"):
        to_nifti(image().astype(str), tmp_path / "a.nii")
    with pytest.raises(OptionError, match="float16"):
        to_nifti(image(), tmp_path / "a.nii", dtype="float16")
    with pytest.raises(OptionError, match="imaginary"):
        to_nifti(image(dtype="complex64"), tmp_path / "a.nii", dtype="float32")


@pytest.mark.parametrize("chunks", [None, {"slice": 1, "row": 2}])
def test_colours_are_rgb24(tmp_path, chunks):
    """uint8 colours become the RGB voxels of NIfTI, at their places."""
    grey = image(PLANES["oblique"])
    da = (grey % 200).astype("uint8").expand_dims(rgb=["R", "G", "B"], axis=-1)
    da = da + xr.DataArray(np.array([0, 20, 40], "uint8"), dims="rgb")
    img = nib.load(to_nifti(da.chunk(chunks) if chunks else da, tmp_path / "a.nii.gz"))
    found = np.asarray(img.dataobj)[voxel_indices(img.affine, world(grey))]
    assert found.dtype.names == ("R", "G", "B")
    np.testing.assert_array_equal(
        np.stack([found[c] for c in "RGB"], axis=-1), da.values.reshape(-1, 3)
    )


def test_deep_colours_are_refused(tmp_path):
    """uint16 colours name the remedy, which works where the values fit."""
    da = image(dtype="uint16").expand_dims(rgb=["R", "G", "B"], axis=-1)
    with pytest.raises(WriteError, match="dtype='uint8'"):
        to_nifti(da, tmp_path / "a.nii")
    to_nifti(da, tmp_path / "a.nii", dtype="uint8")
    with pytest.raises(OptionError, match="RGB24"):
        to_nifti(da, tmp_path / "b.nii", dtype="int16")


def test_components_are_refused(tmp_path):
    """An axis of names (magnitude, phase) has no place; the error names isel."""
    da = image().expand_dims(component=["M", "P"])
    with pytest.raises(WriteError, match=r"isel\(component=0\)"):
        to_nifti(da, tmp_path / "a.nii")
    to_nifti(da.isel(component=0), tmp_path / "a.nii")


def test_long_axes_make_nifti2(tmp_path):
    """NIfTI-1 counts to 32767; longer axes get a NIfTI-2 header."""
    short = nib.load(to_nifti(image(shape=(1, 1, 32767), dtype="int16"), tmp_path / "1.nii"))
    da = image(shape=(1, 2, 32768), dtype="int32")
    long = nib.load(to_nifti(da, tmp_path / "2.nii"))
    assert isinstance(short, nib.Nifti1Image)
    assert isinstance(long, nib.Nifti2Image)
    np.testing.assert_array_equal(np.asarray(long.dataobj), da.values[:, ::-1].T)


# --- Lazy arrays


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_lazy_arrays_are_read_volume_by_volume(tmp_path, suffix):
    """No more than one volume is asked for at a time, each once, and nothing is kept."""
    da = image(lead={"te": [1, 2, 3], "time": [0, 1]})
    opened, recorder = lazy(da)
    img = nib.load(to_nifti(opened, tmp_path / f"a{suffix}"))
    assert recorder.asked == [da[0, 0].size] * 6
    np.testing.assert_array_equal(
        np.asarray(img.dataobj), da.values[..., ::-1, :].transpose(4, 3, 2, 1, 0)
    )


@pytest.mark.parametrize(
    "chunks",
    [
        {},
        {"time": 1},
        {"te": 1, "slice": 3},
        {"column": 4},
        {"row": 2, "column": 5},
        {"te": 2, "row": 4},
    ],
)
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_dask_arrays_of_any_chunks(tmp_path, chunks, suffix):
    """Chunks across, along and within volumes give the file of the NumPy array."""
    da = image(PLANES["oblique"] * [-1, 1, 1], lead={"time": [0, 1], "te": [1, 2, 3]})
    plain = to_nifti(da, tmp_path / f"plain{suffix}")
    chunked = to_nifti(da.chunk(chunks), tmp_path / f"chunked{suffix}")
    assert chunked.read_bytes() == plain.read_bytes()
    slab = to_nifti(da.chunk(chunks).isel(slice=1), tmp_path / f"slab{suffix}")
    assert np.asarray(nib.load(slab).dataobj).shape == (6, 5, 1, 2, 3)
    np.testing.assert_array_equal(
        np.asarray(nib.load(slab).dataobj)[:, :, 0],
        da.values[:, :, 1, ::-1].transpose(3, 2, 0, 1),
    )


def test_each_dask_chunk_is_computed_once(tmp_path):
    """What the chunks have in common is not computed again for every volume."""
    da = image(lead={"time": range(4)}).chunk(time=-1, slice=2)
    calls = []

    def count(block):
        calls.append(block.shape)
        return block

    counted = da.copy(data=da.data.map_blocks(count, dtype=da.dtype, meta=da.data._meta))
    to_nifti(counted - counted.mean("time"), tmp_path / "a.nii.gz")
    assert len(calls) == 2


def test_processes_can_write(tmp_path):
    """The target of a Dask array works from other processes."""
    dask = pytest.importorskip("dask")
    da = image(lead={"time": range(3)})
    with dask.config.set(scheduler="processes", num_workers=1):
        path = to_nifti(da.chunk(time=1), tmp_path / "a.nii")
    np.testing.assert_array_equal(np.asarray(nib.load(path).dataobj).T, da.values[..., ::-1, :])


PACKERS = {
    "isal": ("isal.isal_zlib", "isal.igzip_threaded"),
    "zlib_ng": ("zlib_ng.zlib_ng", "zlib_ng.gzip_ng_threaded"),
}


@pytest.mark.parametrize("missing", ["", "isal", "zlib_ng", "both"])
@pytest.mark.parametrize("columns", [6, 9000])
def test_gzip_with_the_packages_that_are_there(tmp_path, monkeypatch, missing, columns):
    """The standard library is enough; the file holds no name or time; equal images are equal files."""
    for package, modules in PACKERS.items():
        if missing in (package, "both"):
            for module in modules:
                monkeypatch.setitem(sys.modules, module, None)
    da = image(shape=(15, 20, columns))
    path = to_nifti(da, tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(np.asarray(nib.load(path).dataobj).T[:, ::-1], da.values)
    np.testing.assert_array_equal(
        xr.open_dataarray(path, engine="nifti").values[:, ::-1], da.values
    )
    assert path.read_bytes()[3:8] == bytes(5)
    again = to_nifti(da, tmp_path / "b.nii.gz")
    assert again.read_bytes() == path.read_bytes()


@pytest.mark.parametrize(("package", "missing"), [("isal", "zlib_ng"), ("zlib_ng", "isal")])
def test_compressed_files_end_on_a_slow_machine(tmp_path, monkeypatch, package, missing):
    """A file is complete however late its end comes; once, those that packed had left by then."""
    pytest.importorskip(package)
    for name in PACKERS[missing]:
        monkeypatch.setitem(sys.modules, name, None)
    close = Packing.close

    def late(self):
        time.sleep(0.5)
        close(self)

    monkeypatch.setattr(Packing, "close", late)
    da = image(dtype="int16", shape=(40, 200, 190))
    da.values[:] = np.random.default_rng(0).integers(0, 3000, da.shape)
    target = tmp_path / "a.nii.gz"
    # A daemon: where it hangs, the test fails and does not hang.
    writing = threading.Thread(target=to_nifti, args=(da, target), daemon=True)
    writing.start()
    writing.join(60)
    assert not writing.is_alive()
    np.testing.assert_array_equal(nib.load(target).dataobj.get_unscaled(), da.values[:, ::-1].T)


@pytest.mark.parametrize("noise", [False, True])
def test_compressed_files_are_as_small_as_those_of_gzip(tmp_path, noise):
    """Within 5 % of level 6, of smooth images with air and of noise alike."""
    x = np.linspace(-1, 1, 96)
    head = np.exp(-4 * (x[:, None, None] ** 2 + x[:, None] ** 2 + x**2))
    values = 900 * np.where(head > 0.2, head, 0)
    values = values + np.random.default_rng(0).normal(0, 30 if noise else 1, values.shape)
    da = image(shape=values.shape).copy(data=values.clip(0).round().astype("int16"))
    plain = to_nifti(da, tmp_path / "a.nii").read_bytes()
    size = to_nifti(da, tmp_path / "b.nii.gz").stat().st_size
    assert size <= 1.05 * len(gzip.compress(plain, 6))


def test_an_error_while_packing_leaves_nothing(tmp_path):
    """Threads that pack end with the error, and no part of the file stays."""
    da, recorder = lazy(image(lead={"time": range(4)}, shape=(12, 200, 600)), fail_after=3)
    before = threading.active_count()
    with pytest.raises(RuntimeError, match="unplugged"):
        to_nifti(da, tmp_path / "a.nii.gz")
    assert recorder.asked
    assert not list(tmp_path.iterdir())
    assert threading.active_count() <= before
