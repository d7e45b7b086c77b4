"""Opening series as a user does: every kind of source, every option, every result."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import imagedata_xr
from imagedata_xr.errors import (
    DuplicateFrameError,
    DuplicateWarning,
    FormatError,
    GeometryError,
    MissingDependencyError,
    MultipleSeriesError,
    MultipleStacksError,
    NoImagesError,
    OptionError,
    SkippedFileWarning,
    SourceNotFoundError,
    SpacingWarning,
)
from imagedata_xr.testing import (
    Phantom,
    change_header,
    drop_file,
    duplicate_file,
    truncate_file,
    write_series,
)

DYNAMIC = Phantom(axes={"time": [0, 2.5, 7.25]}, orientation="oblique", dtype="int16")


@pytest.fixture
def folder(tmp_path):
    """A shuffled dynamic series with unhelpful names."""
    target = tmp_path / "series"
    write_series(DYNAMIC, target, shuffle=1)
    return target


def opened(source, **options):
    """Open with the engine named."""
    return xr.open_dataarray(source, engine="dicom", **options)


def assert_truth(da, phantom):
    """Dims, values, coordinates and matrix are those of the phantom."""
    truth = phantom.truth()
    assert da.dims == truth.dims
    np.testing.assert_array_equal(da.values, truth.values)
    for name in da.dims:
        if name in truth.coords and name != "volume":
            np.testing.assert_allclose(da[name], truth.coords[name], atol=1e-6)
    if truth.affine is not None:
        np.testing.assert_allclose(da.med.affine, truth.affine, atol=1e-6)


def _zipped(folder):
    target = folder.with_suffix(".zip")
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, f"inner/folder/{path.name}")
    return target


SOURCES = {
    "folder": str,
    "path": lambda f: f,
    "parent folder": lambda f: f.parent,
    "list of files": lambda f: sorted(f.iterdir()),
    "list of names": lambda f: [str(p) for p in sorted(f.iterdir())],
    "list with a folder": lambda f: [f],
    "glob": lambda f: f"{f}/*",
    "recursive glob": lambda f: f"{f.parent}/**/*",
    "zip": _zipped,
    "file URL": lambda f: f.as_uri(),
    "open files": lambda f: [io.BytesIO(p.read_bytes()) for p in sorted(f.iterdir())],
    "bytes": lambda f: [p.read_bytes() for p in sorted(f.iterdir())],
    # With chunks=, xarray itself cannot take bare bytes.
    "bytes of a zip": lambda f: memoryview(_zipped(f).read_bytes()),
}


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize("chunks", [None, {}])
def test_every_kind_of_source(folder, kind, chunks):
    """Whatever the user has, and chunked or not, the array is the phantom's."""
    assert_truth(opened(SOURCES[kind](folder), chunks=chunks), DYNAMIC)


def test_memory_file_system(folder):
    """An fsspec URL of another file system opens like a folder."""
    import fsspec

    fs = fsspec.filesystem("memory")
    for path in folder.iterdir():
        fs.pipe(f"/bucket/{path.name}", path.read_bytes())
    try:
        assert_truth(opened("memory://bucket"), DYNAMIC)
    finally:
        fs.rm("/bucket", recursive=True)


@pytest.mark.parametrize("kind", ["folder", "path", "list of files", "glob", "zip", "open files"])
def test_engine_is_found(folder, kind):
    """xarray chooses the engine by itself for what holds DICOM."""
    assert_truth(xr.open_dataarray(SOURCES[kind](folder)), DYNAMIC)


def test_single_file(folder):
    """One file is one slice, 3-D."""
    da = xr.open_dataarray(min(folder.iterdir()))
    assert da.dims == ("slice", "row", "column")
    assert da.sizes["slice"] == 1
    assert da.med.spacing == pytest.approx((3.0, 2.0, 1.5))


def test_other_files_are_passed_over(folder):
    """Text, pictures and hidden files among the images do not matter."""
    (folder / "notes.txt").write_text("patient moved")
    (folder / "thumb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    (folder / ".DS_Store").write_bytes(bytes(10))
    assert_truth(opened(folder), DYNAMIC)


@pytest.mark.parametrize(
    "form",
    [
        {"preamble": False},
        {"preamble": False, "file_meta": False, "transfer_syntax": "implicit"},
        {"transfer_syntax": "implicit"},
        {"transfer_syntax": "big"},
        {"transfer_syntax": "deflated"},
        {"transfer_syntax": "rle"},
    ],
)
def test_every_encoding(tmp_path, form):
    """Implicit, explicit, big endian, deflated, RLE; without preamble or meta information."""
    phantom = Phantom(axes={"te": [5, 10]}, **form)
    write_series(phantom, tmp_path / "s", shuffle=3)
    assert_truth(opened(tmp_path / "s"), phantom)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32"])
def test_stored_types(tmp_path, dtype):
    """Every stored integer type comes out as it is."""
    phantom = Phantom(dtype=dtype)
    write_series(phantom, tmp_path / "s")
    da = opened(tmp_path / "s")
    assert da.dtype == dtype
    assert_truth(da, phantom)


def test_integer_rescale_stays_integer(tmp_path):
    """CT values are exact integers in HU."""
    phantom = Phantom(modality="CT", tilt=15)
    write_series(phantom, tmp_path / "s")
    da = opened(tmp_path / "s")
    assert da.dtype.kind == "i"
    assert da.attrs["units"] == "HU"
    assert_truth(da, phantom)


def test_rescale_of_each_frame(tmp_path):
    """Each frame has its own slope; on request the stored values stay."""
    phantom = Phantom(rescale=[(0.5, 0), (1.5, 10), (2.25, -3)])
    write_series(phantom, tmp_path / "s")
    da = opened(tmp_path / "s")
    assert da.dtype == np.float32
    np.testing.assert_allclose(da, phantom.truth().values, rtol=1e-6)
    assert opened(tmp_path / "s", rescale=False).dtype == np.uint16
    stored = xr.open_dataarray(tmp_path / "s", engine="dicom", mask_and_scale=False)
    assert stored.dtype == np.uint16


@pytest.mark.parametrize("photometric", ["RGB", "PALETTE COLOR"])
def test_colour(tmp_path, photometric):
    """Colour images have the dimension rgb."""
    phantom = Phantom(photometric=photometric, dtype="uint8")
    write_series(phantom, tmp_path / "s")
    da = opened(tmp_path / "s")
    assert da.dims == ("slice", "row", "column", "rgb")
    assert da.rgb.values.tolist() == ["R", "G", "B"]
    np.testing.assert_array_equal(da.values, phantom.truth().values)


def test_inverted_grey_is_kept_and_said(tmp_path):
    """MONOCHROME1 stays as stored, and the attribute says so."""
    phantom = Phantom(photometric="MONOCHROME1")
    write_series(phantom, tmp_path / "s")
    da = opened(tmp_path / "s")
    assert da.attrs["PhotometricInterpretation"] == "MONOCHROME1"
    assert_truth(da, phantom)


def test_images_without_position(tmp_path):
    """Ultrasound and captures have rows and columns, and no slice."""
    write_series(Phantom(modality="SC", shape=(1, 6, 5)), tmp_path / "s")
    assert opened(tmp_path / "s").dims == ("row", "column")


def test_directions_are_volumes(tmp_path):
    """Diffusion directions become volumes with b and the vector, in patient coordinates."""
    volumes = [{"b": 0}, *({"b": 800, "bvec": v} for v in np.eye(3).tolist())]
    phantom = Phantom(volumes=volumes, orientation="oblique")
    write_series(phantom, tmp_path / "s", shuffle=2)
    da = opened(tmp_path / "s")
    assert_truth(da, phantom)
    assert da.b.values.tolist() == [0, 800, 800, 800]
    vectors = np.stack([da[name].values for name in ("bvec_x", "bvec_y", "bvec_z")], axis=1)
    np.testing.assert_allclose(vectors, [[0, 0, 0], *np.eye(3)], atol=1e-6)
    assert da.sel(b=800).sizes["volume"] == 3


def test_six_dimensions(tmp_path):
    """time x te x fa, and the physics in the coordinates."""
    phantom = Phantom(axes={"time": [0, 4], "te": [5, 10, 15], "fa": [3, 9]}, shape=(2, 3, 4))
    write_series(phantom, tmp_path / "s", shuffle=2, subfolders=True)
    da = opened(tmp_path / "s")
    assert_truth(da, phantom)
    assert [da[name].attrs["units"] for name in ("time", "te", "fa")] == ["s", "ms", "deg"]
    assert_truth(opened(tmp_path / "s", sort=("time", "te", "fa")), phantom)


def test_callable_key_gets_the_dataset(tmp_path):
    """A user's function reads the full pydicom Dataset."""
    phantom = Phantom(axes={"ti": [30, 60]})
    write_series(phantom, tmp_path / "s")
    da = opened(tmp_path / "s", sort={"ti": lambda ds: float(ds[0x0018, 0x0082].value)})
    assert da.ti.values.tolist() == [30, 60]


def test_two_series_and_the_choice(tmp_path):
    """The error's own suggestions open each series."""
    for number in (1, 2):
        write_series(Phantom(series=number), tmp_path / f"{number}")
    with pytest.raises(MultipleSeriesError) as caught:
        opened(tmp_path)
    for suggestion in caught.value.suggestions:
        assert opened(tmp_path, **suggestion).sizes["slice"] == 4
    assert opened(tmp_path, series="Phantom series 2").attrs["SeriesNumber"] == 2


def test_series_of_a_list_are_joined(tmp_path):
    """Folders of one flip angle each become one array sorted by flip angle."""
    folders = []
    for number, angle in enumerate((15, 3, 9)):
        target = tmp_path / str(number)
        write_series(Phantom(series=number + 1, attributes={"FlipAngle": angle}), target)
        folders.append(target)
    da = opened(folders, sort="fa")
    assert da.fa.values.tolist() == [3, 9, 15]
    assert len(set(da.SeriesInstanceUID.values.tolist())) == 3


def test_copies_are_left_out_with_a_warning(folder):
    """A copied file is no second image."""
    duplicate_file(min(folder.iterdir()))
    with pytest.warns(DuplicateWarning, match="1 identical"):
        da = opened(folder)
    assert_truth(da, DYNAMIC)


def test_one_uid_with_two_contents_is_refused(folder):
    """Two different images under one UID are an error that names both files."""
    copy = duplicate_file(min(folder.iterdir()))
    data = bytearray(copy.read_bytes())
    data[-1] ^= 0xFF
    copy.write_bytes(data)
    with pytest.raises(DuplicateFrameError, match=copy.name):
        opened(folder)


@pytest.mark.parametrize("keep", [0.999, 0.5, 0.2])
def test_truncated_files_are_never_dropped_silently(tmp_path, keep):
    """A damaged file is an error that names it; on request a warning."""
    write_series(Phantom(shape=(3, 32, 32)), tmp_path / "s")
    victim = sorted((tmp_path / "s").iterdir())[1]
    truncate_file(victim, keep=keep)
    with pytest.raises(FormatError, match=victim.name):
        opened(tmp_path / "s")
    with pytest.warns(SkippedFileWarning, match=victim.name):
        assert opened(tmp_path / "s", errors="warn").sizes["slice"] == 2


@pytest.mark.parametrize("content", [b"", b"no image"])
def test_files_named_as_dicom_must_be_dicom(tmp_path, content):
    """An empty or foreign file with DICOM's own suffix is a lost slice, not a stranger."""
    write_series(Phantom(), tmp_path / "s", names="sorted")
    (tmp_path / "s" / "lost.dcm").write_bytes(content)
    with pytest.raises(FormatError, match=r"lost\.dcm"):
        opened(tmp_path / "s")


def test_missing_slice_is_visible(tmp_path):
    """A hole in the stack warns, keeps the measured positions and has no matrix."""
    paths = write_series(Phantom(shape=(5, 4, 4)), tmp_path / "s")
    drop_file(paths[1])
    with pytest.warns(SpacingWarning, match="uneven"):
        da = opened(tmp_path / "s")
    np.testing.assert_allclose(np.diff(da.slice), [6, 3, 3])


def test_nothing_there(tmp_path):
    """A missing path and a folder without images are different errors."""
    with pytest.raises(SourceNotFoundError, match="nowhere"):
        opened(tmp_path / "nowhere")
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(NoImagesError):
        opened(tmp_path)


def test_folder_names_are_literal(tmp_path):
    """Question marks, hashes, brackets and blanks in names are part of the name."""
    target = tmp_path / "a?b#c%20 [1] ä"
    write_series(DYNAMIC, target)
    assert_truth(opened(target), DYNAMIC)
    assert_truth(xr.open_dataarray(str(target)), DYNAMIC)


def test_attributes_are_plain(folder):
    """Attributes are str, int, float or flat lists of these."""
    da = opened(folder)
    assert da.attrs["PatientName"]
    for value in da.attrs.values():
        flat = value if isinstance(value, list) else [value]
        assert all(type(one) in (str, int, float) for one in flat)


def test_identity_can_be_left_out(folder):
    """With phi=False no attribute holds what names the patient."""
    named = opened(folder).attrs
    bare = opened(folder, phi=False).attrs
    assert {"PatientName", "PatientID"} <= set(named) - set(bare)
    assert not [
        key
        for key in bare
        if key.startswith("Patient")
        and key
        not in {"PatientSex", "PatientAge", "PatientSize", "PatientWeight", "PatientPosition"}
    ]


def test_requested_coordinates(folder):
    """Header values become coordinates with the dimensions along which they vary."""
    da = opened(folder, coords=["InstanceNumber", "SOPInstanceUID"])
    assert da.InstanceNumber.dims == ("time", "slice")
    assert len(set(da.SOPInstanceUID.values.ravel())) == 12
    with pytest.raises(OptionError, match="InstanceNumbr"):
        opened(folder, coords="InstanceNumbr")


def test_header_of_a_frame(folder):
    """The full header comes from the frame's own file, also after cutting and reversing."""
    da = opened(folder)
    cut = da.isel(time=slice(None, None, -1), slice=slice(1, 3))
    table = cut.med.frames()
    assert len(table) == 6
    for row in (0, 5):
        header = cut.med.header(row)
        assert Path(table["source"][row]).exists()
        place = [float(v) for v in header.ImagePositionPatient]
        view = cut.isel(time=row // 2, slice=row % 2)
        np.testing.assert_allclose(view.med.origin, place, atol=1e-6)
    assert cut.med.header(time=0, slice=1).InstanceNumber == cut.med.header(1).InstanceNumber


@pytest.mark.parametrize(
    "indexer",
    [
        {"time": 1},
        {"slice": 2},
        {"time": 0, "slice": 0, "row": 1, "column": 2},
        {"row": slice(1, 4)},
        {"column": [3, 0]},
        {"slice": [2, 0], "time": [1, 1]},
        {"row": slice(None, None, -2)},
        {"row": slice(0, 0)},
        {"time": slice(0, 0), "column": 1},
    ],
)
def test_lazy_indexing_equals_numpy(folder, indexer):
    """Reading a part gives what the same part of the whole is."""
    whole = opened(folder).load()
    xr.testing.assert_identical(opened(folder).isel(indexer).compute(), whole.isel(indexer))


@pytest.mark.parametrize(
    "indexer",
    [{"time": 1, "slice": 0}, {"time": [1, 0]}, {"row": 2, "slice": [2, 0]}, {"column": slice(1)}],
)
def test_a_part_takes_its_frames_along_and_no_others(folder, indexer):
    """Data sent to another process are those of the part, with the files that it needs only."""
    part = opened(folder).isel(indexer)
    sent = pickle.dumps(part.variable._data)
    names = [path for path in folder.iterdir() if path.name.encode() in sent]
    assert len(names) == part.coords["frame"].size
    again = xr.Variable(part.dims, pickle.loads(sent))
    first = {part.dims[0]: 0}
    np.testing.assert_array_equal(again.isel(first).values, part.isel(first).values)
    np.testing.assert_array_equal(again.values, part.values)


def test_one_frame_reads_one_file(folder, monkeypatch):
    """Loading one frame opens one file."""
    da = opened(folder)
    paths = []
    original = os.open

    def counted(path, *rest, **how):
        paths.append(path)
        return original(path, *rest, **how)

    monkeypatch.setattr(os, "open", counted)
    da.isel(time=1, slice=2).load()
    assert len(paths) == 1


def test_files_are_closed(folder):
    """After opening and loading no file stays open."""
    fds = Path("/proc/self/fd")
    if not fds.exists():
        pytest.skip("no /proc here")
    before = len(list(fds.iterdir()))
    da = opened(folder)
    da.load()
    assert len(list(fds.iterdir())) <= before


def test_pickle_keeps_everything(folder):
    """A lazy array survives pickling with its geometry and its headers."""
    da = pickle.loads(pickle.dumps(opened(folder)))
    assert_truth(da, DYNAMIC)
    assert da.med.header(0).PatientID


def test_dask_on_processes(folder):
    """A LocalCluster of processes computes what NumPy computes."""
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, memory_limit=None
        ) as cluster,
        distributed.Client(cluster),
    ):
        lazy = opened(folder, chunks={"time": 1})
        assert lazy.chunks[0] == (1, 1, 1)
        mean = lazy.mean("time").compute()
    np.testing.assert_allclose(mean, DYNAMIC.truth().values.mean(axis=0))


@pytest.mark.parametrize("engine", ["netcdf4", "h5netcdf", "zarr"])
@pytest.mark.parametrize("chunks", [None, {}])
def test_round_trip_through_files(folder, tmp_path, engine, chunks):
    """netCDF and Zarr give back everything; identical() once restore() brought the indexes."""
    da = opened(folder, chunks=chunks)
    target = tmp_path / "copy"
    if engine == "zarr":
        da.to_zarr(target, zarr_format=2, consolidated=True)
    else:
        da.to_netcdf(target, engine=engine)
    with xr.open_dataarray(target, engine=engine) as back:
        assert back.load().equals(da.load())
        restored = back.med.restore()
        assert restored.identical(da)
    assert type(restored.xindexes["slice"]).__name__ == "PositionIndex"
    assert type(restored.xindexes["time"]).__name__ == "AxisIndex"
    assert ((restored + da) / 2).shape == da.shape


def test_mean_of_two_series(tmp_path):
    """The mean of two dynamic series keeps geometry and patient; jitter does not empty it."""
    write_series(DYNAMIC, tmp_path / "a", shuffle=1)
    jitter = DYNAMIC.replace(series=2, axes={"time": [0, 2.51, 7.24]})
    write_series(jitter, tmp_path / "b", shuffle=2)
    a, b = (opened(tmp_path / name, sort="time") for name in "ab")
    mean = (a + b) / 2
    assert mean.shape == a.shape
    np.testing.assert_allclose(mean.med.affine, a.med.affine)
    assert mean.attrs["PatientName"] == a.attrs["PatientName"]
    assert "SeriesInstanceUID" not in mean.coords
    np.testing.assert_allclose(mean, (a.values.astype(float) + b.values) / 2)


def test_other_grids_are_refused(tmp_path):
    """Arithmetic of images that lie elsewhere raises and never gives an empty array."""
    write_series(DYNAMIC, tmp_path / "a")
    write_series(DYNAMIC.replace(spacing=(3.0, 2.1, 1.5), series=2), tmp_path / "b")
    with pytest.raises(imagedata_xr.GridMismatchError):
        opened(tmp_path / "a") + opened(tmp_path / "b")


def test_wrong_types_of_options(folder):
    """Options that mean nothing are refused by name."""
    with pytest.raises(OptionError, match="errors"):
        opened(folder, errors="ignore")
    with pytest.raises(TypeError):
        opened(folder, sortt="time")


def test_dataset_has_one_variable(folder):
    """open_dataset gives the one variable image, and chunks are consistent."""
    ds = xr.open_dataset(folder, engine="dicom", chunks={"time": 1})
    assert list(ds.data_vars) == ["image"]
    assert ds.chunks["time"] == (1, 1, 1)
    assert list(xr.open_dataset(folder, engine="dicom", drop_variables="frame").data_vars)


def test_info_names_the_source_of_each_dimension(folder, capsys):
    """info() says which attribute the times come from."""
    opened(folder).med.info()
    assert "AcquisitionTime" in capsys.readouterr().out


def test_progress_bar_only_on_request(folder, capsys, monkeypatch):
    """No bar in a script; one when asked for, as soon as the work is long."""
    monkeypatch.setattr("imagedata_xr.progress._DELAY", 0.0)
    opened(folder).load()
    opened(folder, progress=False).load()
    assert capsys.readouterr().err == ""
    opened(folder, progress=True).load()
    assert "reading" in capsys.readouterr().err


def test_progress_bar_when_a_person_is_looking(folder, capsys, monkeypatch):
    """In a terminal a bar appears by itself, and progress=False silences it."""
    monkeypatch.setattr("imagedata_xr.progress._DELAY", 0.0)
    monkeypatch.setattr("imagedata_xr.progress._FEW", 2)
    monkeypatch.setattr("imagedata_xr.progress.watched", lambda: True)
    opened(folder, progress=False).load()
    assert capsys.readouterr().err == ""
    opened(folder).load()
    assert "reading" in capsys.readouterr().err


def test_one_changed_header_value(folder):
    """A value that varies is no attribute of the series."""
    constant = opened(folder).attrs
    change_header(min(folder.iterdir()), ProtocolName="other")
    assert "ProtocolName" in constant
    assert "ProtocolName" not in opened(folder).attrs


def test_position_without_orientation_is_refused(tmp_path):
    """An image that cannot be placed is an error that names what is missing."""
    for path in write_series(Phantom(), tmp_path / "s"):
        change_header(path, ImageOrientationPatient=None)
    with pytest.raises(GeometryError, match="ImageOrientationPatient"):
        opened(tmp_path / "s")


def test_a_failing_key_of_the_user_is_named(folder):
    """An exception in a user's key comes as our error, with its text."""
    with pytest.raises(OptionError, match="AttributeError"):
        opened(folder, sort={"x": lambda ds: ds.NoSuchKeyword})


def test_frames_without_uid_keep_their_own_headers(tmp_path):
    """Without SOP Instance UIDs each frame still finds its own file."""
    for path in write_series(Phantom(), tmp_path / "s"):
        change_header(path, SOPInstanceUID="")
    da = opened(tmp_path / "s")
    numbers = [da.med.header(row).InstanceNumber for row in range(4)]
    assert len(set(numbers)) == 4


@pytest.mark.parametrize("source", [None, 5, "foo://bar"])
def test_what_is_no_source(source):
    """A meaningless source is one of our errors."""
    with pytest.raises(imagedata_xr.ImagedataError):
        opened(source)


def test_coil_elements_of_siemens(tmp_path):
    """Siemens names the element of an uncombined image in (0051,100F); combined ones name none."""
    import pydicom

    phantom = Phantom(vendor="siemens", shape=(2, 4, 4))
    for number, name in enumerate(("H11", "H12")):
        for k, path in enumerate(write_series(phantom, tmp_path / name)):
            dataset = pydicom.dcmread(path)
            dataset.SOPInstanceUID = phantom.uid(name, k)
            block = dataset.private_block(0x0051, "SIEMENS MR HEADER", create=True)
            block.add_new(0x0F, "LO", name)
            dataset.InstanceNumber = number * 2 + k + 1
            dataset.save_as(path)
    da = opened(tmp_path)
    assert da.dims == ("coil", "slice", "row", "column")
    assert da.coil.values.tolist() == ["H11", "H12"]


def test_missing_decoder_names_the_package(tmp_path, monkeypatch):
    """Without a decoder for its syntax an image says what to install."""
    from pydicom.pixels.decoders import RLELosslessDecoder

    from imagedata_xr.formats.dicom import decoding

    write_series(Phantom(transfer_syntax="rle"), tmp_path / "s")
    monkeypatch.setattr(decoding, "_imported", lambda _: None)
    monkeypatch.setattr(RLELosslessDecoder, "_available", {})
    da = opened(tmp_path / "s")
    with pytest.raises(MissingDependencyError, match=r"imagedata_xr\[codecs\]"):
        da.load()


def test_one_frame_of_many(tmp_path):
    """A big enhanced file opens and gives single frames without reading the others."""
    from imagedata_xr.testing import enhanced

    phantom = Phantom(axes={"time": list(range(40))}, shape=(25, 4, 4))
    enhanced(phantom).save_as(tmp_path / "big.dcm", enforce_file_format=True)
    da = opened(tmp_path / "big.dcm")
    assert dict(da.sizes) == {"time": 40, "slice": 25, "row": 4, "column": 4}
    truth = phantom.truth().values
    np.testing.assert_array_equal(da.isel(time=31, slice=7), truth[31, 7])


def test_images_without_position_are_no_time_course(tmp_path):
    """Images of different times that lie nobody knows where are numbered, not labelled by time."""
    write_series(Phantom(axes={"time": [0, 3]}, modality="SC", shape=(1, 6, 5)), tmp_path / "s")
    assert opened(tmp_path / "s").dims == ("volume", "row", "column")
    assert opened(tmp_path / "s", sort="time").dims == ("time", "row", "column")


@pytest.mark.parametrize("content", [b"", bytes(100)])
def test_a_blank_file_without_suffix_is_a_lost_slice(folder, content):
    """What is left of a file among files without a suffix is an error that names it."""
    victim = max(folder.iterdir())
    victim.write_bytes(content)
    with pytest.raises(FormatError, match=victim.name):
        opened(folder)


def test_two_patients_in_one_series_are_refused(folder):
    """One file of another patient is never hidden in a series."""
    change_header(min(folder.iterdir()), PatientID="somebody else")
    with pytest.raises(MultipleSeriesError, match="2 patients"):
        opened(folder)
    cut = opened(folder, select={"PatientID": "somebody else"})
    assert cut.sizes["slice"] == 1


def test_units_that_differ_between_frames_are_no_units(tmp_path):
    """The attribute units speaks for all frames or is not there."""
    paths = write_series(Phantom(attributes={"RescaleType": "HU"}, modality="CT"), tmp_path / "s")
    assert opened(tmp_path / "s").attrs["units"] == "HU"
    change_header(paths[0], RescaleType="mgml")
    assert "units" not in opened(tmp_path / "s").attrs


def test_the_start_is_that_of_the_earliest_frame(tmp_path):
    """The attribute AcquisitionTime is the zero of the time axis, whichever slice came first."""
    phantom = Phantom(axes={"time": [0, 5]}, slice_delay=0.5, start="20240101101010.0")
    write_series(phantom, tmp_path / "s", shuffle=1)
    assert float(opened(tmp_path / "s").attrs["AcquisitionTime"]) == 101010.0


@pytest.mark.parametrize("keyword", ["FrameOfReferenceUID", "StudyInstanceUID", "PatientPosition"])
def test_one_series_is_of_one_examination(folder, keyword):
    """What is constant in a series must be: else positions mean different places."""
    values = {"PatientPosition": "FFS"}
    change_header(min(folder.iterdir()), **{keyword: values.get(keyword, "1.2.3.4")})
    with pytest.raises(MultipleSeriesError, match=keyword):
        opened(folder)


def test_times_of_some_frames_without_date_are_not_mixed(folder):
    """A date that is missing in some files never becomes a jump of years."""
    for path in sorted(folder.iterdir())[:4]:
        change_header(path, AcquisitionDate=None)
    da = opened(folder)
    assert "time" not in da.coords or float(da.time.max()) < 3600


def test_midnight_without_a_date_is_no_time_axis(tmp_path):
    """Clock times that jump by a day are not believed."""
    phantom = Phantom(axes={"time": [0, 2, 4]}, start="20231231235958.0")
    for path in write_series(phantom, tmp_path / "s"):
        change_header(path, AcquisitionDate=None, ContentDate=None, ContentTime=None)
    da = opened(tmp_path / "s")
    assert da.dims[0] == "volume"
    np.testing.assert_array_equal(da.values, phantom.truth().values)


def test_grey_scales_that_run_against_each_other_are_not_mixed(folder):
    """MONOCHROME1 and MONOCHROME2 in one series are two stacks."""
    change_header(min(folder.iterdir()), PhotometricInterpretation="MONOCHROME1")
    with pytest.raises(MultipleStacksError):
        opened(folder)


def test_warnings_name_the_line_of_the_caller(tmp_path):
    """A warning while a series is opened points to the caller's file, not into the package."""
    write_series(Phantom(slices=[0, 3, 6, 15]), tmp_path / "uneven")
    for open_it in (xr.open_dataarray, xr.open_dataset):
        with pytest.warns(SpacingWarning) as caught:
            open_it(tmp_path / "uneven", engine="dicom")
        assert {one.filename for one in caught} == {__file__}
