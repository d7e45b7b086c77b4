"""DICOM round trips: what is opened and written is what was there, header by header."""

from __future__ import annotations

import re

import numpy as np
import pydicom
import pytest
import xarray as xr

from imagedata_xr.errors import WriteError
from imagedata_xr.formats.dicom.write import to_dicom
from imagedata_xr.testing import Phantom, enhanced, write_series

# What a copy in a new series has of its own, and the pixels, which are compared as values.
OWN = {"SOPInstanceUID", "SeriesInstanceUID", "InstanceNumber", "PixelData"}
DTI = [{"b": 0}, {"b": 1000, "bvec": (1, 0, 0)}, {"b": 1000, "bvec": (0, 0.6, 0.8)}]
PHANTOMS = {
    "3-D": Phantom(order="interleaved"),
    "4-D": Phantom(axes={"time": [0, 2.5, 5]}, slice_delay=0.1),
    "5-D": Phantom(axes={"time": [0, 2.5], "te": [10, 20]}, vendor="siemens"),
    "6-D": Phantom(axes={"time": [0, 2.5], "te": [10, 20], "fa": [5, 15]}, vendor="ge"),
    "dti siemens": Phantom(volumes=DTI, vendor="siemens", orientation="oblique"),
    "dti ge": Phantom(volumes=DTI, vendor="ge", orientation="oblique"),
    "dti philips": Phantom(volumes=DTI, vendor="philips"),
    "rounded": Phantom(orientation="oblique", origin=(-40.5, 17.25, 96.0), decimals=4),
    "tilted": Phantom(modality="CT", tilt=12, shape=(5, 6, 4), dtype="int16"),
    "uneven": Phantom(slices=[0, 3, 6, 10]),
    "own rescale": Phantom(modality="PT", rescale=[(1.5, 0), (2.25, 0), (0.7, 0)]),
    "12 bits": Phantom(bits_stored=12, dtype="int16"),
    "uint8": Phantom(dtype="uint8"),
    "32 bits": Phantom(dtype="uint32"),
    "rgb": Phantom(modality="SC", photometric="RGB", dtype="uint8", shape=(1, 6, 5)),
    "implicit": Phantom(transfer_syntax="implicit", vendor="siemens"),
    "big endian": Phantom(transfer_syntax="big"),
    "rle": Phantom(transfer_syntax="rle", dtype="int16"),
    "deflated": Phantom(transfer_syntax="deflated"),
    "no file meta": Phantom(file_meta=False, preamble=False),
}


def opened(path):
    """Open a series, quietly about uneven slices."""
    return xr.open_dataarray(path, engine="dicom")


def written(phantom, folder):
    """Write a phantom, and open it."""
    write_series(phantom, folder)
    return opened(folder)


def files(folder):
    """Read all files of a written folder, in the order of their names."""
    return [pydicom.dcmread(path) for path in sorted(folder.iterdir())]


def differing(one, other):
    """Return the names of the elements that two data sets do not share, bytes compared."""
    return {
        pydicom.datadict.keyword_for_tag(tag) or str(tag)
        for tag in {*one.keys(), *other.keys()}
        if tag not in one or tag not in other or one[tag] != other[tag]
    }


def sources_of(da):
    """Return the headers of the sources in the order of the files."""
    leading = [dim for dim in da.dims if dim not in ("row", "column", "rgb")]
    keys = da.frame.transpose(*leading) if leading else da.frame
    return [
        da.SeriesInstanceUID.encoding["dicom_headers"].dataset(int(k)) for k in keys.values.flat
    ]


def check_same(da, again):
    """Compare values, dimensions and coordinates."""
    assert again.dims == da.dims
    assert again.dtype == da.dtype
    np.testing.assert_array_equal(again.values, da.values)
    assert set(again.coords) == set(da.coords)
    for name in set(da.coords) - {"frame", "SeriesInstanceUID"}:
        if da[name].dtype.kind == "U":
            np.testing.assert_array_equal(again[name].values, da[name].values)
        else:
            np.testing.assert_allclose(again[name].values, da[name].values, rtol=0, atol=1e-6)


@pytest.mark.filterwarnings("ignore::imagedata_xr.errors.SpacingWarning")
@pytest.mark.parametrize("name", PHANTOMS)
def test_round_trip(tmp_path, name):
    """Pixels, dimensions and coordinates are the same, and so is each header but for its identity."""
    da = written(PHANTOMS[name], tmp_path / "in")
    target = to_dicom(da, tmp_path / "out")
    check_same(da, opened(target))
    for number, (source, copy) in enumerate(zip(sources_of(da), files(target), strict=True), 1):
        assert differing(source, copy) <= OWN
        assert copy.InstanceNumber == number
        assert len(copy.PixelData) == copy.Rows * copy.Columns * copy.SamplesPerPixel * (
            copy.BitsAllocated // 8
        )


@pytest.mark.parametrize("name", ["5-D", "12 bits", "own rescale", "big endian", "rle"])
def test_keep_uid(tmp_path, name):
    """With keep_uid the instances are those of the source, instance numbers included."""
    da = written(PHANTOMS[name], tmp_path / "in")
    target = to_dicom(da, tmp_path / "out", keep_uid=True)
    for source, copy in zip(sources_of(da), files(target), strict=True):
        assert differing(source, copy) <= {"PixelData"}
        assert copy.file_meta.MediaStorageSOPInstanceUID == source.SOPInstanceUID


def test_keep_uid_is_refused_for_other_images(tmp_path):
    """Other pixels, other positions, parts and doubles are not the same instances."""
    da = written(PHANTOMS["4-D"], tmp_path / "in")
    moved = da.assign_coords(slice=da.slice + 0.5)
    moved.slice.attrs.update(da.slice.attrs)
    for name, other in {
        "values": da + 1,
        "positions": moved,
        "a part": da.isel(row=slice(2)),
        "a mean": da.mean("time"),
        "twice": xr.concat([da.isel(time=[0]), da.isel(time=[0])], "time"),
    }.items():
        with pytest.raises(WriteError, match="keep_uid"):
            to_dicom(other, tmp_path / name, keep_uid=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in"]


def test_new_uids(tmp_path):
    """Each write is one new series of new, valid UIDs in the same study and frame of reference."""
    da = written(Phantom(), tmp_path / "in")
    first, second = (files(da.med.to_dicom(tmp_path / name)) for name in "ab")
    source = sources_of(da)[0]
    series = [{ds.SeriesInstanceUID for ds in found} for found in (first, second)]
    assert len(series[0] | series[1] | {source.SeriesInstanceUID}) == 3
    uids = [ds.SOPInstanceUID for ds in first + second]
    assert len(set(uids)) == 8
    for uid in (*uids, *series[0]):
        assert re.fullmatch(r"2\.25\.[1-9]\d{0,38}", uid)
        assert uid.is_valid
    for ds in first:
        for keyword in ("StudyInstanceUID", "FrameOfReferenceUID", "PatientID"):
            assert ds[keyword] == source[keyword]
        assert ds.file_meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID


def views(da):
    """Return arrays that hold whole frames of another, in other places."""
    return {
        "slices reversed": da.isel(slice=slice(None, None, -1)),
        "stride": da.isel(slice=slice(None, None, 2), time=[2, 0]),
        "one slice": da.isel(slice=2),
        "by position": da.sel(slice=1.5, time=[0, 5]),
        "sorted": da.sortby("time", ascending=False),
        "transposed": da.transpose("column", "te", "slice", "row", "time"),
        "joined": xr.concat([da.isel(time=[0]), da.isel(time=[2])], "time"),
        "stacked": xr.concat(
            [da.isel(slice=[0]), da.isel(slice=[1])], "slice", coords="different", compat="equals"
        ),
        "chunked": da.chunk(time=2, slice=3, te=1),
        "loaded": da.load(),
    }


def test_views_have_the_headers_of_their_own_frames(tmp_path):
    """Wherever a frame goes, its header goes with it, unchanged."""
    da = written(
        Phantom(axes={"time": [0, 2.5, 5], "te": [10, 20]}, vendor="siemens", slice_delay=0.1),
        tmp_path / "in",
    )
    for name, view in views(da).items():
        target = to_dicom(view, tmp_path / name)
        again = opened(target)
        within = [d for d in ("slice", "row", "column") if d in view.dims]
        frames = view.transpose("time", "te", *within)
        expected = frames if "slice" in within else frames.expand_dims("slice", 2)
        np.testing.assert_array_equal(
            again.values, expected.sortby("time").sortby("slice").values, name
        )
        order = [d for d in view.dims if d in ("time", "te", "slice")]
        for source, copy in zip(
            sources_of(view.transpose(*order, ...)), files(target), strict=True
        ):
            assert differing(source, copy) <= OWN, name


def test_parts_of_frames(tmp_path):
    """A crop, a stride or a flip has the stored values, the right place, and says that it is a part."""
    for name in ("own rescale", "tilted", "dti ge"):
        da = written(PHANTOMS[name], tmp_path / name)
        cut = da.isel(row=slice(1, 5), column=slice(None, None, -2))
        target = to_dicom(cut, tmp_path / f"{name} part")
        # Files are sorted along the normal, which points the other way now.
        again = opened(target).sel(slice=cut.slice.values)
        np.testing.assert_array_equal(again.values, cut.values)
        for axis in ("bvec_x", "bvec_y", "bvec_z"):
            if axis in cut.coords:
                np.testing.assert_allclose(again[axis].values, cut[axis].values, atol=1e-6)
        np.testing.assert_allclose(again.med.points().values, cut.med.points().values, atol=1e-6)
        for source, part in zip(sources_of(cut), files(target), strict=True):
            assert part.ImageType[0] == "DERIVED"
            assert part.get("RescaleSlope") == source.get("RescaleSlope")
            assert "SmallestImagePixelValue" not in part
            (reference,) = part.SourceImageSequence
            assert reference.ReferencedSOPInstanceUID == source.SOPInstanceUID


def test_frames_of_enhanced_images_become_single_images(tmp_path):
    """Each frame of a multi-frame instance is a file of the single-frame class, values exact."""
    phantom = Phantom(axes={"time": [0, 2.5], "te": [10, 20]}, rescale=[(1.5, 2), (0.7, 0)])
    (tmp_path / "in").mkdir()
    enhanced(phantom).save_as(tmp_path / "in" / "a", enforce_file_format=True)
    da = opened(tmp_path / "in")
    target = to_dicom(da, tmp_path / "out")
    again = opened(target)
    assert again.dims == da.dims
    np.testing.assert_array_equal(again.values, da.values)
    for name in ("time", "te", "slice", "row", "column"):
        np.testing.assert_allclose(again[name].values, da[name].values, atol=1e-6)
    for ds in files(target):
        assert ds.SOPClassUID == "1.2.840.10008.5.1.4.1.1.4"
        assert ds.SourceImageSequence[0].ReferencedFrameNumber >= 1
        assert ds.PatientID == "PHANTOM1"
        assert "NumberOfFrames" not in ds


def test_bits_above_those_stored_are_kept(tmp_path):
    """An overlay in the unused bits of the cells is copied with them."""
    (path, *_) = write_series(Phantom(bits_stored=12, shape=(1, 6, 5)), tmp_path / "in")
    ds = pydicom.dcmread(path)
    ds.PixelData = (np.frombuffer(ds.PixelData, "<u2") | 0x8000).tobytes()
    ds.save_as(path)
    (copy,) = files(to_dicom(opened(tmp_path / "in"), tmp_path / "out"))
    assert copy.PixelData == ds.PixelData


def test_image_is_left_alone(tmp_path):
    """Writing changes neither values nor coordinates nor attributes, and loads nothing."""
    da = written(PHANTOMS["4-D"], tmp_path / "in")
    before = opened(tmp_path / "in")
    to_dicom(da, tmp_path / "out")
    assert not da.variable._in_memory
    to_dicom(da * 2, tmp_path / "double")
    xr.testing.assert_identical(da, before)


def test_acquisition_coordinates(tmp_path):
    """Coordinates that were changed are written to their attributes; the others stay as they were."""
    da = written(
        Phantom(axes={"time": [0, 2.5], "te": [10, 20]}, timing="AcquisitionTime"), tmp_path / "in"
    )
    changed = da.assign_coords(te=[12.0, 24.5], time=[0.0, 86400.0])
    target = to_dicom(changed, tmp_path / "out")
    again = opened(target)
    np.testing.assert_allclose(again.te, [12, 24.5])
    np.testing.assert_allclose(again.time, [0, 86400])
    assert differing(sources_of(da)[0], files(target)[0]) <= {*OWN, "EchoTime"}
    assert files(target)[-1].AcquisitionDate == "20240301"


def test_gradients(tmp_path):
    """New b values and directions replace those of the vendor."""
    da = written(PHANTOMS["dti siemens"], tmp_path / "in")
    turned = da.assign_coords(b=("volume", [0.0, 500.0, 700.0]), bvec_x=-da.bvec_x)
    again = opened(to_dicom(turned, tmp_path / "out"))
    np.testing.assert_allclose(again.b, [0, 500, 700])
    np.testing.assert_allclose(again.bvec_x, -da.bvec_x, atol=1e-6)
    np.testing.assert_array_equal(again.values, da.values)
