"""Segmentations: against highdicom and pydicom, voxel by voxel and by position in the patient."""

from __future__ import annotations

import os
import pickle
import warnings
import zlib
from pathlib import Path

import numpy as np
import pydicom
import pytest
import xarray as xr
from pydicom.encaps import encapsulate
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid

import imagedata_xr  # noqa: F401 - registers the accessor
from imagedata_xr.errors import (
    FormatError,
    HeaderError,
    IncompleteGridError,
    MultipleSeriesError,
    OptionError,
    PixelError,
    SpacingWarning,
)
from imagedata_xr.sources import LocalFile
from imagedata_xr.testing import Phantom, datasets, write_series

hd = pytest.importorskip("highdicom")

ROOT = Path(__file__).resolve().parent.parent
CORPUS = Path(os.environ.get("IMAGEDATA_XR_CORPUS", ROOT.parent / "shared" / "corpus"))
corpus = pytest.mark.skipif(not CORPUS.is_dir(), reason="no corpus: set IMAGEDATA_XR_CORPUS")
REAL = (
    "seg_highdicom/dicom/seg_image_ct_binary.dcm",
    "seg_highdicom/dicom/seg_image_ct_binary_overlap.dcm",
    "seg_highdicom/dicom/seg_image_ct_binary_single_frame.dcm",
    "seg_highdicom/dicom/seg_image_ct_binary_fractional.dcm",
    "seg_highdicom/dicom/seg_image_ct_true_fractional.dcm",
    "seg_dcmqi/dicom/segmentations/liver.dcm",
    "seg_dcmqi/dicom/segmentations/partial_overlaps.dcm",
    "seg_dcmqi/dicom/sr-example/seg.dcm",
    "seg_pydicom_liver/dicom/liver_nonbyte_aligned.dcm",
    "ct_mf_seg_24/dicom/seg/label.seg",
)
LIVER = CORPUS / "seg_pydicom_liver" / "dicom"
# 35 pixels a frame: frames begin within bytes.
SOURCE = Phantom(modality="CT", shape=(6, 5, 7), orientation="oblique", dtype="int16", series=4)


def opened(source, **options):
    """Open with the engine named."""
    return xr.open_dataarray(source, engine="dicom", **options)


def masks(segments=2, *, seed=1, phantom=SOURCE):
    """Random masks, slices x rows x columns x segments, which overlap."""
    random = np.random.default_rng(seed)
    return (random.random((*phantom.shape, segments)) < 0.4).astype(np.uint8)


def described(number):
    """Describe a segment."""
    return hd.seg.SegmentDescription(
        number, f"part {number}", codes.SCT.Tissue, codes.SCT.Liver, "MANUAL"
    )


def made(array, kind="BINARY", *, phantom=SOURCE, segments=None, **options):
    """Return a segmentation of a phantom, written by highdicom."""
    count = array.shape[3] if segments is None else segments
    return hd.seg.Segmentation(
        source_images=list(datasets(phantom)),
        pixel_array=array,
        segmentation_type=kind,
        segment_descriptions=[described(k + 1) for k in range(count)],
        series_instance_uid=generate_uid(),
        series_number=9,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="maker",
        manufacturer_model_name="model",
        software_versions="1",
        device_serial_number="1",
        content_label="MASKS",
        **options,
    )


def written(dataset, path):
    """Write a segmentation; return its path."""
    dataset.save_as(path)
    return path


def by_frames(dataset):
    """Yield segment, position of the first pixel and values of every frame, read by pydicom."""
    frames = dataset.pixel_array.reshape(-1, dataset.Rows, dataset.Columns)
    maximum = dataset.get("MaximumFractionalValue", 1)
    for groups, values in zip(dataset.PerFrameFunctionalGroupsSequence, frames, strict=True):
        ident = groups.get("SegmentIdentificationSequence")
        number = None if ident is None else ident[0].ReferencedSegmentNumber
        position = groups.PlanePositionSequence[0].ImagePositionPatient
        yield number, np.array(position, dtype=float), values / maximum


def assert_frames(da, dataset):
    """Every stored frame is at its place in the patient, and nothing else is in the array."""
    grid, rest = da.med.grid, da.values.astype(float)
    assert sorted(da.segment.values) == [s.SegmentNumber for s in dataset.SegmentSequence]
    for number, position, values in by_frames(dataset):
        ((k, row, column),) = grid.world_to_index(position[None])
        assert row == pytest.approx(0, abs=1e-3)
        assert column == pytest.approx(0, abs=1e-3)
        assert k == pytest.approx(round(k), abs=1e-3)
        place = int(np.flatnonzero(da.segment.values == number)[0]), round(k)
        np.testing.assert_allclose(rest[place], values, atol=1e-7)
        rest[place] = 0
    assert not rest.any()


def assert_volume(da, volume):
    """Every voxel of highdicom's volume has its value at the same place of ours, or is zero."""
    array = volume.array if volume.array.ndim == 4 else volume.array[..., None]
    ours = da.values if da.ndim == 4 else da.values[None]
    indices = np.argwhere(np.ones(array.shape[:3], dtype=bool))
    world = volume.map_indices_to_reference(indices)
    place = da.med.grid.world_to_index(world)
    nearest = np.rint(place).astype(int)
    inside = ((nearest >= 0) & (nearest < ours.shape[1:])).all(axis=1)
    inside &= np.abs(place - nearest).max(axis=1) < 0.01
    assert inside.sum() == np.prod(ours.shape[1:])
    np.testing.assert_allclose(
        da.med.grid.index_to_world(nearest[inside]), world[inside], atol=2e-3
    )
    found = ours[(slice(None), *nearest[inside].T)].T
    np.testing.assert_allclose(found, array[tuple(indices[inside].T)], atol=1e-7)
    assert not array[tuple(indices[~inside].T)].any()


@corpus
@pytest.mark.parametrize("name", REAL)
@pytest.mark.filterwarnings("ignore::imagedata_xr.errors.SpacingWarning")
def test_real_segmentations(name):
    """Real masks: every frame that pydicom decodes is at its own position, all else is zero."""
    dataset = pydicom.dcmread(CORPUS / name)
    da = opened(CORPUS / name)
    assert da.dims == ("segment", "slice", "row", "column")
    assert da.dtype == (np.float32 if dataset.SegmentationType == "FRACTIONAL" else np.uint8)
    assert_frames(da, dataset)
    labels = [segment.SegmentLabel for segment in dataset.SegmentSequence]
    assert da.segment_label.values.tolist() == labels


@corpus
@pytest.mark.parametrize("name", [n for n in REAL if "overlap" not in n])
def test_real_segmentations_equal_highdicom(name):
    """Real masks equal highdicom's volume at the same places in the patient."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        volume = hd.seg.segread(CORPUS / name).get_volume()
    assert_volume(opened(CORPUS / name), volume)


@corpus
@pytest.mark.parametrize(
    ("name", "coding"),
    [
        ("liver", "expb"),
        *(
            (name, coding)
            for name in ("liver", "liver_nonbyte_aligned")
            for coding in ("rle", "j2k", "deflate")
        ),
    ],
)
def test_encodings(name, coding):
    """The same bits are read whatever the transfer syntax, also one frame alone."""
    path = LIVER / f"{name}_{coding}.dcm"
    native = opened(LIVER / f"{name}.dcm").load()
    da = opened(path)
    one = da.isel(slice=1).values
    np.testing.assert_array_equal(one, native.isel(slice=1))
    np.testing.assert_array_equal(da, native)
    np.testing.assert_array_equal(native[0], pydicom.dcmread(LIVER / f"{name}.dcm").pixel_array)
    assert da.med.affine.tolist() == native.med.affine.tolist()


@corpus
def test_masks_fit_their_images():
    """A mask and the series it was drawn on combine without any resampling."""
    folder = CORPUS / "ct_mf_seg_24" / "dicom"
    ct, seg = opened(folder / "image"), opened(folder / "seg")
    inside = ct.where(seg.sel(segment=1) == 1)
    assert inside.sizes == ct.sizes
    assert int(inside.notnull().sum()) == int(seg.sum())


@corpus
def test_without_positions_in_the_patient():
    """The mask of a radiograph has segment, row and column."""
    path = CORPUS / "seg_highdicom" / "dicom" / "seg_image_cr_binary.dcm"
    da = opened(path)
    assert da.dims == ("segment", "row", "column")
    np.testing.assert_array_equal(da[0], pydicom.dcmread(path).pixel_array)


@corpus
@pytest.mark.parametrize("name", ["", "_palette_color"])
def test_tiles_of_a_slide_are_refused(name):
    """Tiles of microscopy have no place in a patient: an error says so."""
    path = CORPUS / "seg_highdicom" / "dicom" / f"seg_image_sm_control_labelmap{name}.dcm"
    with pytest.raises(FormatError, match="TotalPixelMatrixRows"):
        opened(path)


@pytest.mark.parametrize("omit", [True, False])
@pytest.mark.parametrize("orientation", ["axial", "sagittal", "oblique"])
@pytest.mark.parametrize("chunks", [None, {}])
def test_synthetic_masks(tmp_path, omit, orientation, chunks):
    """Overlapping segments, one empty, of an image in any orientation, equal the truth."""
    phantom = SOURCE.replace(orientation=orientation)
    array = masks(3)
    array[..., 1] = 0
    array[[0, 5]] = 0
    path = written(made(array, phantom=phantom, omit_empty_frames=omit), tmp_path / "seg.dcm")
    da = opened(path, chunks=chunks)
    truth = phantom.truth()
    used = slice(1, 5) if omit else slice(None)
    assert da.dims == ("segment", "slice", "row", "column")
    assert da.segment.values.tolist() == [1, 2, 3]
    expected = xr.DataArray(
        array.transpose(3, 0, 1, 2)[:, used],
        dims=da.dims,
        coords={
            "segment": [1, 2, 3],
            "slice": truth.coords["slice"][used],
            "row": truth.coords["row"],
            "column": truth.coords["column"],
        },
    )
    order = np.argsort(np.argsort(da.slice.values))
    sorted_expected = expected.sortby("slice").isel(slice=order)
    np.testing.assert_array_equal(da, sorted_expected)
    for name in ("slice", "row", "column"):
        np.testing.assert_allclose(da[name], sorted_expected[name], atol=1e-4)
        assert da[name].attrs["direction"] == pytest.approx(truth.directions[name], abs=1e-6)
    assert_volume(da, hd.seg.segread(path).get_volume())


def test_positions_are_those_of_the_frames(tmp_path):
    """Empty frames in the middle leave a hole that is warned of; no position is invented."""
    array = masks(1)
    array[2] = 0
    path = written(made(array), tmp_path / "seg.dcm")
    with pytest.warns(SpacingWarning, match="left out"):
        da = opened(path)
    assert da.sizes["slice"] == 5
    np.testing.assert_allclose(np.sort(np.abs(np.diff(da.slice.values))), [3, 3, 3, 6], atol=1e-6)
    assert_volume(da, hd.seg.segread(path).get_volume(allow_missing_positions=True))


@pytest.mark.parametrize("maximum", [255, 100])
def test_fractions(tmp_path, maximum):
    """Fractions are stored values over the maximum, exactly 0 to 1; stored ones on request."""
    random = np.random.default_rng(3)
    array = random.random((*SOURCE.shape, 1)).astype(np.float32)
    array[0, 0, 0], array[1, 0, 0] = 1, 0
    dataset = made(array, "FRACTIONAL", max_fractional_value=maximum)
    path = written(dataset, tmp_path / "seg.dcm")
    da = opened(path)
    assert da.dtype == np.float32
    assert (float(da.min()), float(da.max())) == (0.0, 1.0)
    assert da.attrs["SegmentationFractionalType"] == "PROBABILITY"
    assert da.attrs["MaximumFractionalValue"] == maximum
    assert_volume(da, hd.seg.segread(path).get_volume())
    stored = opened(path, rescale=False)
    assert stored.dtype == np.uint8
    np.testing.assert_array_equal(stored.values / np.float32(maximum), da)


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2.5"])
@pytest.mark.parametrize("omit", [True, False])
def test_label_maps(tmp_path, syntax, omit):
    """A label map is one array of segment numbers, with their labels in the attributes."""
    array = np.random.default_rng(4).integers(0, 4, SOURCE.shape).astype(np.uint8)
    array[0] = 0
    dataset = made(
        array, "LABELMAP", segments=3, omit_empty_frames=omit, transfer_syntax_uid=syntax
    )
    path = written(dataset, tmp_path / "seg.dcm")
    da = opened(path)
    assert da.dims == ("slice", "row", "column")
    assert da.dtype == np.uint8
    assert da.sizes["slice"] == (5 if omit else 6)
    names = dict(zip(da.attrs["SegmentNumber"], da.attrs["SegmentLabel"], strict=True))
    assert {number: names[number] for number in (1, 2, 3)} == {
        1: "part 1",
        2: "part 2",
        3: "part 3",
    }
    assert_volume(da, hd.seg.segread(path).get_volume(combine_segments=True))


def test_label_map_in_colour(tmp_path):
    """A palette is for the eye: the values of a label map stay the numbers of its segments."""
    array = np.random.default_rng(5).integers(0, 3, SOURCE.shape).astype(np.uint8)
    dataset = made(array, "LABELMAP", segments=2)
    dataset.PhotometricInterpretation = "PALETTE COLOR"
    for name in ("Red", "Green", "Blue"):
        table = f"{name}PaletteColorLookupTable"
        dataset.add_new(f"{table}Descriptor", "US", [256, 0, 8])
        dataset.add_new(f"{table}Data", "OW", bytes(range(256)))
    da = opened(written(dataset, tmp_path / "seg.dcm"))
    np.testing.assert_array_equal(np.sort(da, axis=0), np.sort(array, axis=0))


def test_deflated_labels(tmp_path):
    """Frames deflated one by one (PS3.5 A.4.13), of more than one bit a pixel, are read."""
    array = np.random.default_rng(6).integers(0, 3, SOURCE.shape).astype(np.uint8)
    dataset = made(array, "LABELMAP", segments=2)
    native = opened(written(dataset, tmp_path / "native.dcm")).load()
    frames = []
    for values in dataset.pixel_array:
        deflate = zlib.compressobj(wbits=-15)
        data = deflate.compress(values.tobytes()) + deflate.flush()
        frames.append(data + b"\0" * (len(data) % 2))
    dataset.PixelData = encapsulate(frames)
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    # pydicom does not write this transfer syntax, but one with a name of that length.
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.90"
    path = written(dataset, tmp_path / "seg.dcm")
    named = path.read_bytes().replace(b"1.2.840.10008.1.2.4.90", b"1.2.840.10008.1.2.8.1\0")
    path.write_bytes(named)
    np.testing.assert_array_equal(opened(path), native)


def test_one_frame_reads_its_own_bytes(tmp_path, monkeypatch):
    """Of native bits, no more is read than the bytes in which the frame's bits are."""
    array = masks(1)
    da = opened(written(made(array), tmp_path / "seg.dcm"))
    lengths = []
    read = LocalFile.read

    def spied(self, start=0, length=None):
        lengths.append(length)
        return read(self, start, length)

    monkeypatch.setattr(LocalFile, "read", spied)
    values = da.isel(slice=3).values
    assert values.shape == (1, 5, 7)
    assert len(lengths) == 1
    assert lengths[0] in (5, 6)
    assert any(np.array_equal(values[0], one) for one in array[..., 0])


def test_provenance(tmp_path):
    """Frames know their instance; frames that were left out are -1 and have no header."""
    array = masks(2)
    array[:4, ..., 1] = 0
    dataset = made(array)
    da = opened(written(dataset, tmp_path / "seg.dcm"))
    assert da.frame.dims == ("segment", "slice")
    missing = ~da.any(["row", "column"])
    np.testing.assert_array_equal(da.frame == -1, missing)
    assert np.unique(da.frame).size == 1 + int((~missing).sum())
    assert str(da.SeriesInstanceUID.values) == dataset.SeriesInstanceUID
    place = {"segment": 0, "slice": 0}
    assert da.med.header(**place).SOPInstanceUID == dataset.SOPInstanceUID
    gone = np.argwhere(missing.values)[0]
    with pytest.raises(HeaderError, match="-1"):
        da.med.header(segment=int(gone[0]), slice=int(gone[1]))
    table = da.med.frames()
    assert (table["number"] == -1).sum() == int(missing.sum())
    assert pickle.loads(pickle.dumps(opened(tmp_path))).identical(da)


@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
def test_attributes_survive_netcdf(tmp_path, kind):
    """Values, segments and what is known of them are the same after a netCDF file."""
    array = masks(2)
    if kind == "LABELMAP":
        array = array[..., 0] + 2 * (1 - array[..., 0]) * array[..., 1]
    dataset = made(array, kind, segments=2)
    da = opened(written(dataset, tmp_path / "seg.dcm"))
    assert da.attrs["SegmentedPropertyType"][-1] == "Liver"
    assert da.attrs["SegmentedPropertyTypeCode"][-1] == "10200004^SCT"
    assert da.attrs["SegmentAlgorithmType"][-1] == "MANUAL"
    da.to_netcdf(tmp_path / "seg.nc", engine="h5netcdf")
    with xr.open_dataarray(tmp_path / "seg.nc", engine="h5netcdf") as again:
        np.testing.assert_array_equal(again, da)
        for name in ("SegmentNumber", "SegmentLabel", "SegmentedPropertyType"):
            assert list(again.attrs[name]) == da.attrs[name]
        if kind == "BINARY":
            assert again.segment_label.values.tolist() == ["part 1", "part 2"]
        np.testing.assert_allclose(again.med.restore().med.affine, da.med.affine)


def test_select(tmp_path):
    """A choice of frames leaves the segments that have some."""
    array = masks(3)
    path = written(made(array), tmp_path / "seg.dcm")
    da = opened(path, select={"ReferencedSegmentNumber": [1, 3]})
    assert da.segment.values.tolist() == [1, 3]
    np.testing.assert_array_equal(da, opened(path).sel(segment=[1, 3]))
    assert da.attrs["SegmentLabel"] == ["part 1", "part 3"]


def test_beside_its_images(tmp_path):
    """A folder of images and their segmentation: two series to choose from, or a tree of both."""
    write_series(SOURCE, tmp_path / "images")
    array = masks(2)
    written(made(array), tmp_path / "seg.dcm")
    with pytest.raises(MultipleSeriesError, match="SEG"):
        opened(tmp_path)
    image, seg = opened(tmp_path, series=4), opened(tmp_path, series=9)
    inside = image.where(seg.sel(segment=2) == 1)
    assert int(inside.notnull().sum()) == int(array[..., 1].sum())
    tree = xr.open_datatree(tmp_path, engine="dicom", sort="time")
    found = [node["image"] for node in tree.leaves if "segment" in node.dims]
    assert len(found) == 1
    np.testing.assert_array_equal(found[0], seg)


def _set(dataset, keyword, value):
    setattr(dataset, keyword, value)


def _renumber(dataset):
    groups = dataset.PerFrameFunctionalGroupsSequence[3]
    groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber = 7


def _stack_up(dataset):
    groups = dataset.PerFrameFunctionalGroupsSequence
    groups[1].PlanePositionSequence = groups[0].PlanePositionSequence


def _same_numbers(dataset):
    dataset.SegmentSequence[1].SegmentNumber = 1


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda d: _set(d, "SegmentationType", None), FormatError, "SegmentationType"),
        (lambda d: _set(d, "NumberOfFrames", 13), FormatError, "NumberOfFrames is 13"),
        (lambda d: _set(d, "PixelData", d.PixelData[:-2]), FormatError, "need 53"),
        (_renumber, FormatError, "ReferencedSegmentNumber of frame 4 is 7"),
        (_same_numbers, FormatError, "SegmentSequence"),
        (_stack_up, IncompleteGridError, "several frames .*frames 1 and 2"),
    ],
)
def test_contradictions(tmp_path, change, error, words):
    """What contradicts itself raises an error that names the attribute."""
    dataset = made(masks(2))
    change(dataset)
    with pytest.raises(error, match=words):
        opened(written(dataset, tmp_path / "seg.dcm"))


def test_fractions_beyond_the_maximum(tmp_path):
    """A stored value above the maximum is an error, not a fraction above 1."""
    dataset = made(np.ones((*SOURCE.shape, 1), np.float32), "FRACTIONAL")
    dataset.MaximumFractionalValue = 100
    da = opened(written(dataset, tmp_path / "seg.dcm"))
    with pytest.raises(PixelError, match="MaximumFractionalValue"):
        da.load()


def test_several_segmentations_of_one_series(tmp_path):
    """Two instances in a series are two segmentations: the error offers each of them."""
    first, second = made(masks(1)), made(masks(2, seed=2))
    second.SeriesInstanceUID = first.SeriesInstanceUID
    written(first, tmp_path / "1.dcm")
    written(second, tmp_path / "2.dcm")
    with pytest.raises(MultipleSeriesError) as caught:
        opened(tmp_path)
    sizes = [opened(tmp_path, **s).sizes["segment"] for s in caught.value.suggestions]
    assert sorted(sizes) == [1, 2]


def test_coordinates_on_request_are_refused(tmp_path):
    """Header values a frame are not offered, and an error says so."""
    path = written(made(masks(1)), tmp_path / "seg.dcm")
    with pytest.raises(OptionError, match="coords"):
        opened(path, coords="StackID")
