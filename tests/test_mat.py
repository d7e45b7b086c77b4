"""MAT files: everything comes back, SciPy and h5py find what MATLAB would, strangers are read by name."""

from __future__ import annotations

import contextlib
import io
import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from nifti_images import PLANES, dwi
from nifti_images import image as labelled

import imagedata_xr
from imagedata_xr.errors import (
    DataWarning,
    FormatError,
    GeometryError,
    ImagedataError,
    OptionError,
    WriteError,
)
from imagedata_xr.formats.mat.elements import stored_variables
from imagedata_xr.testing import Phantom, write_series

scipy_io = pytest.importorskip("scipy.io")
h5py = pytest.importorskip("h5py")

AXES = {
    "3-D": {},
    "4-D": {"time": [0, 2.5, 5]},
    "5-D": {"time": [0, 2.5, 5], "te": [10, 20]},
    "single": {"time": [7.5]},
}
VERSIONS = ("5", "7.3")


def image(plane="oblique", axes="3-D", dtype="int16"):
    return imagedata_xr.Med(labelled(PLANES[plane], AXES[axes], dtype=dtype)).restore()


def opened(path, **options):
    return xr.open_dataarray(path, engine="mat", **options)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("axes", AXES)
@pytest.mark.parametrize("plane", PLANES)
def test_there_and_back(tmp_path, version, axes, plane):
    """Values, type, dimensions, labels with units and places are those of the array."""
    source = image(plane, axes)
    back = opened(source.med.to_mat(tmp_path / "a.mat", version=version))
    assert back.dtype == source.dtype
    xr.testing.assert_equal(back, source)
    np.testing.assert_array_equal(back.med.points(), source.med.points())
    for name in AXES[axes]:
        assert back[name].attrs["units"] == source[name].attrs["units"]
    assert float((back - source).max()) == 0


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "dtype",
    ["bool", "uint8", "int8", "uint32", "int64", "float32", "float64", "complex64", "complex128"],
)
def test_types(tmp_path, version, dtype):
    """Every type that MATLAB has is kept."""
    source = (image() % 7).astype(dtype)
    if dtype.startswith("complex"):
        source = source * (1 + 2j)
        source = source.astype(dtype)
    back = opened(source.med.to_mat(tmp_path / "a.mat", version=version, compress=True))
    assert back.dtype == dtype
    np.testing.assert_array_equal(back.values, source.values)


def test_what_scipy_finds(tmp_path):
    """SciPy, as MATLAB, sees rows, columns, slices, times, and the labels as variables."""
    source = image("oblique", "4-D")
    source.med.to_mat(tmp_path / "a.mat")
    found = scipy_io.loadmat(tmp_path / "a.mat")
    assert found["image"].shape == (5, 6, 4, 3)
    for t, s, r, c in np.ndindex(3, 4, 5, 6):
        assert found["image"][r, c, s, t] == source.values[t, s, r, c]
    np.testing.assert_array_equal(found["time"], [[0, 2.5, 5]])
    # MATLAB counts from 1.
    point = found["affine"] @ [2, 3, 4, 1]
    np.testing.assert_allclose(point[:3], source.med.index_to_world((3, 1, 2)))


def test_what_h5py_finds(tmp_path):
    """A file of version 7.3 has MATLAB's header, its classes, and its axes in reverse."""
    source = image("axial", "4-D")
    path = source.med.to_mat(tmp_path / "a.mat", version="7.3")
    head = path.read_bytes()[:128]
    assert head.startswith(b"MATLAB 7.3 MAT-file")
    assert head[124:] == b"\0\2IM"
    with h5py.File(path) as file:
        assert file["image"].shape == (3, 4, 6, 5)
        assert file["image"].attrs["MATLAB_class"] == b"int16"
        np.testing.assert_array_equal(file["image"][2, 1].T, source.values[2, 1])
        assert file["affine"].attrs["MATLAB_class"] == b"double"


@given(data=st.data())
def test_parts_of_version_73(tmp_path_factory, data):
    """Any part of a lazily opened file equals that part of the whole; the array pickles."""
    source = image("oblique", "4-D")
    path = tmp_path_factory.mktemp("mat") / "a.mat"
    source.med.to_mat(path, version="7.3")
    lazy = opened(path)
    part = {
        name: data.draw(
            st.one_of(
                st.integers(0, size - 1),
                st.slices(size).filter(lambda s, n=size: len(range(n)[s]) > 0),
                st.lists(st.integers(0, size - 1), min_size=1, max_size=4),
            ),
            label=name,
        )
        for name, size in source.sizes.items()
    }
    np.testing.assert_array_equal(lazy.isel(part).values, source.isel(part).values)
    again = pickle.loads(pickle.dumps(opened(path)))
    np.testing.assert_array_equal(again.values, source.values)


def test_labels_of_volumes(tmp_path):
    """b values and directions of a volume axis come back as coordinates."""
    source = dwi()
    back = opened(imagedata_xr.to_mat(source, tmp_path / "a.mat"))
    for name in ("b", "bvec_x", "bvec_y", "bvec_z"):
        np.testing.assert_array_equal(back[name], source[name])
    assert back.sel(volume=3).b == 2000


def test_uneven_slices_and_colours(tmp_path):
    """Measured positions come back, also uneven ones; colours are the third axis, as in MATLAB."""
    source = image().isel(slice=[0, 1, 3])
    back = opened(source.med.to_mat(tmp_path / "a.mat"))
    np.testing.assert_array_equal(back.slice, source.slice)
    assert "affine" not in scipy_io.loadmat(tmp_path / "a.mat")
    colours = imagedata_xr.from_array(
        np.arange(120, dtype="u1").reshape(2, 4, 5, 3), dims=("slice", "row", "column", "rgb")
    )
    imagedata_xr.to_mat(colours, tmp_path / "b.mat")
    assert scipy_io.loadmat(tmp_path / "b.mat")["image"].shape == (4, 5, 3, 2)
    back = opened(tmp_path / "b.mat")
    assert back.dims == colours.dims
    np.testing.assert_array_equal(back.values, colours.values)
    with pytest.raises(GeometryError):
        _ = back.med.affine


@pytest.mark.parametrize("version", VERSIONS)
def test_files_of_others(tmp_path, version):
    """A stranger's variable is found where it is the only image, or by name, with named axes."""
    values = np.arange(2 * 3 * 4 * 5, dtype="f4").reshape(2, 3, 4, 5)
    path = tmp_path / "foreign.mat"
    if version == "5":
        scipy_io.savemat(path, {"scan": values, "note": "text", "n": 3.0})
    else:
        with h5py.File(path, "w", userblock_size=512) as file:
            file["scan"] = values.transpose()
            file["scan"].attrs["MATLAB_class"] = np.bytes_("single")
            file["group/x"] = [1, 2]
        with path.open("r+b") as raw:
            raw.write(b"MATLAB 7.3 MAT-file")
    found = opened(path)
    assert found.sizes == {"volume": 5, "slice": 4, "row": 2, "column": 3}
    np.testing.assert_array_equal(found.transpose("row", "column", "slice", "volume"), values)
    named = opened(path, variable="scan", dims=("column", "row", "te", "slice"))
    np.testing.assert_array_equal(named.transpose("column", "row", "te", "slice"), values)
    with pytest.raises(OptionError, match="scan"):
        opened(path, variable="no")
    with pytest.raises(OptionError, match="4 axes"):
        opened(path, dims=("row", "column", "slice"))
    with pytest.raises(OptionError, match="'row'"):
        opened(path, dims=("x", "column", "slice", "time"))


def test_several_images(tmp_path):
    """Where several variables may be meant, the error lists them with sizes and types."""
    scipy_io.savemat(tmp_path / "a.mat", {"one": np.ones((3, 4)), "two": np.ones((5, 6), "u1")})
    with pytest.raises(OptionError, match=r"one \(3 x 4 float64\), two \(5 x 6 uint8\)"):
        opened(tmp_path / "a.mat")
    assert opened(tmp_path / "a.mat", variable="two").sizes == {"row": 5, "column": 6}


def test_no_patient(tmp_path):
    """Nothing in the file says who the patient is."""
    write_series(
        Phantom(attributes={"PatientName": "ZQXJKV^A", "PatientID": "ZQXJKV"}), tmp_path / "in"
    )
    series = xr.open_dataarray(tmp_path / "in", engine="dicom")
    for version in VERSIONS:
        path = series.med.to_mat(tmp_path / f"{version}.mat", version=version)
        assert b"ZQXJKV" not in path.read_bytes()
        assert b"Z\0Q\0X\0J" not in path.read_bytes()
        assert opened(path).attrs["Modality"] == "MR"


def test_to_dicom_again(tmp_path):
    """Through MATLAB and back to DICOM with the patient of the original."""
    write_series(Phantom(axes={"te": [10, 20]}, orientation=(20, -10, 15)), tmp_path / "in")
    series = xr.open_dataarray(tmp_path / "in", engine="dicom")
    back = opened(series.med.to_mat(tmp_path / "a.mat"))
    back.med.like(series).med.to_dicom(tmp_path / "out")
    again = xr.open_dataarray(tmp_path / "out", engine="dicom")
    assert float(abs(again.astype(float) - series.astype(float)).max()) == 0
    np.testing.assert_allclose(again.med.affine, series.med.affine, atol=1e-6)


def test_what_is_refused(tmp_path):
    """What MATLAB has no place for is an error; an existing file is kept, and nothing is left behind."""
    source = image()
    for change, options, error in (
        (lambda da: da.astype("float16"), {}, WriteError),
        (lambda da: da.isel(row=0), {}, WriteError),
        (lambda da: da.isel(row=slice(0)), {}, WriteError),
        (lambda da: da, {"version": "4"}, OptionError),
        (lambda da: da, {"variable": "1x"}, OptionError),
    ):
        with pytest.raises(error):
            change(source).med.to_mat(tmp_path / "a.mat", **options)
    with pytest.raises(OptionError):
        source.med.to_mat(tmp_path / "a.txt")
    assert not list(tmp_path.iterdir())
    path = source.med.to_mat(tmp_path / "a.mat")
    before = path.read_bytes()
    with pytest.raises(WriteError, match="overwrite"):
        source.med.to_mat(path)
    assert path.read_bytes() == before
    source.med.to_mat(path, overwrite=True, version="7.3")
    assert [one.name for one in tmp_path.iterdir()] == ["a.mat"]


@pytest.mark.parametrize("version", VERSIONS)
@given(data=st.data())
def test_damaged_files(tmp_path_factory, version, data):
    """Whatever stands in a file, it is opened to its values, or an error of the package says why."""
    path = tmp_path_factory.mktemp("mat") / "a.mat"
    image().med.to_mat(path, version=version)
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    del raw[data.draw(st.integers(len(raw) // 4, len(raw))) :]
    path.write_bytes(raw)
    with warnings.catch_warnings(), contextlib.suppress(ImagedataError):
        warnings.simplefilter("ignore", DataWarning)
        opened(path).load()


VALUES = {
    "doubles": np.linspace(-1, 1, 6).reshape(2, 3),
    "singles": np.float32([[0.5, np.nan], [np.inf, -0.0]]),
    "complexes": np.array([[1 + 2j, -3j]]),
    "flags": np.array([[True, False, True]]),
    "cube": np.arange(24, dtype="i2").reshape(2, 3, 4),
    "long": np.array([[2**62, -(2**62)]]),
    "empty": np.zeros((0, 3)),
    "text": "Läsion",
    "structure": {"a": 1, "b": [1, 2]},
    "cell": np.array([1, "a", [2]], dtype=object),
}


@pytest.mark.parametrize("how", [{}, {"do_compression": True}, {"format": "4"}])
def test_every_array_is_what_scipy_says(tmp_path, how):
    """The reader of versions 4 and 5 finds the arrays that SciPy finds, value by value."""
    values = {
        name: value
        for name, value in VALUES.items()
        if how.get("format") != "4" or name in ("doubles", "singles", "complexes", "text")
    }
    path = tmp_path / "a.mat"
    scipy_io.savemat(path, values, **how)
    assert_as_scipy(path, set(values) - {"structure", "cell"})


def assert_as_scipy(path, names=()):
    """Compare all arrays of numbers and texts with what SciPy reads; return how many there are."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = scipy_io.loadmat(path)
    ours = stored_variables(str(path))
    assert set(names) <= set(ours)
    for name, one in ours.items():
        if one.is_text:
            assert one.text().rstrip() == "".join(theirs[name]).rstrip()
            continue
        found = one.read([0] * len(one.shape), list(one.shape))
        np.testing.assert_array_equal(found, theirs[name])
        with pytest.raises(ValueError, match="read-only"):
            found[...] = 0
    plain = {
        name
        for name, value in theirs.items()
        if isinstance(value, np.ndarray) and value.dtype.kind in "biufc" and name[0] != "_"
    }
    assert plain <= set(ours), path
    return len(ours)


def test_files_of_matlab():
    """Files of MATLAB itself, of many versions and both byte orders, as far as SciPy ships them."""
    folder = Path(scipy_io.__file__).parent / "matlab" / "tests" / "data"
    count = 0
    for path in sorted(folder.glob("*.mat")):
        raw = path.read_bytes()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                scipy_io.loadmat(io.BytesIO(raw))
        except Exception:  # noqa: BLE001 - damaged on purpose, or of version 7.3
            continue
        count += assert_as_scipy(path)
    if not count:
        pytest.skip("this SciPy comes without its test files")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda raw: raw.replace(b"\4\0\0\0\5\0\0\0\6\0\0\0", b"\xff\xff\xff\x7f" * 3),
            "cannot be",
        ),
        (lambda raw: raw[:-8], "cut off"),
        (lambda raw: raw[:128] + b"\x0e\0\0\0\xff\xff\xff\xff" + raw[136:], "cut off"),
        (lambda raw: raw.replace(b"\3\0\0\0\xf0\0\0\0", b"\3\0\0\0\xee\0\0\0"), "119 numbers"),
        (lambda raw: raw.replace(b"\3\0\0\0\xf0\0\0\0", b"\x63\0\0\0\xf0\0\0\0"), "type 99"),
    ],
)
def test_lies_of_a_header(tmp_path, change, reason):
    """Sizes and lengths that the file cannot hold are refused before memory is taken for them."""
    path = tmp_path / "a.mat"
    scipy_io.savemat(path, {"scan": np.ones((4, 5, 6), "i2")})
    lying = change(path.read_bytes())
    assert lying != path.read_bytes()
    path.write_bytes(lying)
    with pytest.raises(FormatError, match=reason):
        opened(path).load()


def test_empty_variables(tmp_path):
    """A variable without numbers is no image, however long its other axes are."""
    scipy_io.savemat(tmp_path / "a.mat", {"scan": np.zeros((0, 3, 4))})
    with pytest.raises(OptionError, match="empty"):
        opened(tmp_path / "a.mat", variable="scan")


def test_numbers_that_are_not_stored(tmp_path):
    """An HDF5 file of few bytes that claims a huge array is refused."""
    with h5py.File(tmp_path / "a.mat", "w", userblock_size=512) as file:
        file.create_dataset("scan", (1 << 11, 1 << 11, 1 << 11), "f8", chunks=(1, 64, 64))
        file["scan"].attrs["MATLAB_class"] = np.bytes_("double")
    with (tmp_path / "a.mat").open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file")
    with pytest.raises(FormatError, match="image_ratio"):
        opened(tmp_path / "a.mat")


def test_what_the_engine_opens(tmp_path):
    """MAT files are recognised without being named; others are an error."""
    path = image().med.to_mat(tmp_path / "a.mat")
    assert xr.open_dataarray(path).dims == ("slice", "row", "column")
    (tmp_path / "b.mat").write_text("no such thing")
    with pytest.raises(FormatError):
        opened(tmp_path / "b.mat")
    with pytest.raises(FileNotFoundError):
        opened(tmp_path / "c.mat")
