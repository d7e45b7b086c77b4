"""Siemens MOSAIC and United Imaging GRID: every tile at its place, as dcm2niix puts it."""

from __future__ import annotations

import json

import numpy as np
import pydicom
import pytest
from corpus_oracle import CORPUS, converted, dcm2niix
from memory_headers import file_bytes, frames_in, header_of, image, pixels_of
from pydicom.uid import RLELossless
from test_csa import csa

from imagedata_xr.errors import FormatError
from imagedata_xr.formats.dicom.headers import read_header
from imagedata_xr.formats.dicom.instance import frames_of
from imagedata_xr.formats.dicom.mosaic import is_mosaic, mosaic_frames
from imagedata_xr.sources import MemoryBytes

TIMES = [0.0, 1250.5, 62.5, 1312.5, 125.0]


def mosaic(normal=(0, 0, 1), count=5, *, name="SIEMENS MR HEADER", **attributes):
    """Return a mosaic of 3 x 3 tiles of 4 x 6 pixels; `normal` None leaves the CSA header out."""
    found = image(12, 18, ImageType=["ORIGINAL", "PRIMARY", "M", "MOSAIC"])
    found.Manufacturer, found.SpacingBetweenSlices = "SIEMENS", 4
    found.PixelSpacing = [2, 3]
    found.AcquisitionTime = "120000.5"
    block = found.private_block(0x19, name, create=True)
    if count is not None:
        block.add_new(0x0A, "US", count)
    block.add_new(0x29, "FD", TIMES)
    if normal is not None:
        tags = {
            "NumberOfImagesInMosaic": ["5"],
            "SliceNormalVector": [f"{n:.8f}" for n in normal],
            "MosaicRefAcqTimes": [str(t) for t in TIMES],
        }
        found.private_block(0x29, "SIEMENS CSA HEADER", create=True).add_new(0x10, "OB", csa(tags))
    for keyword, value in attributes.items():
        setattr(found, keyword, value)
    return found


@pytest.mark.parametrize("sign", [1, -1])
def test_positions(sign):
    """Tiles share the centre of the mosaic and follow SliceNormalVector, reversed or not."""
    frames = mosaic_frames(header_of(mosaic((0, 0, sign))))
    # The mosaic has 8 rows of 2 mm and 12 columns of 3 mm more than a tile, half on either side.
    expected = [[-10 + 12 / 2 * 3, -20 + 8 / 2 * 2, -30 + sign * 4 * k] for k in range(5)]
    np.testing.assert_allclose([frame.position for frame in frames], expected)
    assert [frame.values["ImagePositionPatient"] for frame in frames] == [
        frame.position for frame in frames
    ]
    assert {frame.shape for frame in frames} == {(4, 6)}


def test_tiles_are_cut_out_of_the_stored_image():
    """Every frame reads its own rectangle of the one stored image, row by row of the grid."""
    dataset = mosaic()
    whole = np.arange(12 * 18, dtype="<u2").reshape(12, 18)
    frames = mosaic_frames(header_of(dataset))
    assert [frame.ref.tile for frame in frames] == [(0, 0), (0, 6), (0, 12), (4, 0), (4, 6)]
    assert [frame.ref.number for frame in frames] == [0, 1, 2, 3, 4]
    assert len({frame.hash for frame in frames}) == 5
    for frame in frames:
        row, column = frame.ref.tile
        np.testing.assert_array_equal(pixels_of(frame), whole[row : row + 4, column : column + 6])


def test_times_of_slices():
    """Slices have their time in ms from the first one; the acquisition time is the volume's."""
    frames = mosaic_frames(header_of(mosaic()))
    assert [frame.values["SliceTime"] for frame in frames] == TIMES
    assert {frame.values["AcquisitionTime"] for frame in frames} == {"120000.5"}
    assert "SliceTime" in list(frames[0].values)
    assert len(frames[0].values) == len(list(frames[0].values))
    with pytest.raises(KeyError):
        frames[0].values["SliceLocation"]


def test_number_and_times_from_the_csa_header_alone():
    """Where group 0019 is missing, the CSA header gives the number of tiles and their times."""
    dataset = mosaic(count=None)
    del dataset[0x0019_1029]
    frames = mosaic_frames(header_of(dataset))
    assert len(frames) == 5
    assert [frame.values["SliceTime"] for frame in frames] == TIMES


def test_without_csa_header_the_cross_product_counts():
    """Without SliceNormalVector the tiles follow the cross product of the direction cosines."""
    frames = mosaic_frames(header_of(mosaic(normal=None)))
    assert [frame.position[2] for frame in frames] == [-30, -26, -22, -18, -14]


def test_without_position():
    """A mosaic whose position was removed still gives its tiles, without places."""
    dataset = mosaic()
    del dataset.ImagePositionPatient
    frames = mosaic_frames(header_of(dataset))
    assert [frame.position for frame in frames] == [None] * 5


def test_compressed():
    """Tiles of a compressed mosaic have no bytes of their own; a decoder gives the stored image."""
    dataset = mosaic()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    dataset.compress(RLELossless, generate_instance_uid=False)
    data = file_bytes(dataset, RLELossless)
    frames = frames_of(read_header(MemoryBytes("rle.dcm", data)))
    assert [frame.ref.length for frame in frames] == [0] * 5
    for frame, plain in zip(frames, mosaic_frames(header_of(mosaic())), strict=True):
        np.testing.assert_array_equal(pixels_of(frame), pixels_of(plain))


def test_others_are_no_mosaics():
    """Image Type decides: an image with the tags of a mosaic alone is none."""
    assert is_mosaic(header_of(mosaic()))
    assert not is_mosaic(header_of(mosaic(ImageType=["ORIGINAL", "PRIMARY", "M"])))
    assert not is_mosaic(header_of(image(ImageType=["ORIGINAL", "PRIMARY", "M", "VFRAME"])))


@pytest.mark.parametrize(
    ("dataset", "words"),
    [
        (mosaic(normal=None, count=None), "number of images is missing"),
        (mosaic(count=0), "number of images is missing"),
        (mosaic(count=60000), "number of images"),
        (mosaic(count=40), "7 x 7 tiles"),
        (mosaic((1, 0, 0)), "SliceNormalVector"),
        (mosaic(SpacingBetweenSlices=None, SliceThickness=None), "SpacingBetweenSlices"),
        (mosaic(ImageOrientationPatient=[1, 0, 0, 1, 0, 0]), "parallel"),
        (mosaic(ImageOrientationPatient=[1, 0, 0, 0, 0, 0]), "ImageOrientationPatient"),
    ],
)
def test_contradictions(dataset, words):
    """A mosaic that contradicts itself raises FormatError, which names the file and the reason."""
    with pytest.raises(FormatError, match=words) as caught:
        mosaic_frames(header_of(dataset))
    assert "memory.dcm" in str(caught.value)


def grid(count=3):
    """Return a United Imaging grid of 2 x 2 tiles, the slices of which run downwards."""
    found = image(8, 12, ImageType=["ORIGINAL", "PRIMARY", "M", "VFRAME"], Manufacturer="UIH")
    del found.ImagePositionPatient
    block = found.private_block(0x65, "Image Private Header", create=True)
    block.add_new(0x50, "DS", str(count))
    items = []
    for k in range(3):
        item = pydicom.Dataset()
        item.ImagePositionPatient = [1.5, 2.5, -5 * k]
        item.AcquisitionDateTime = f"20240501120000.{(k * 7 + 5) % 10}00000"
        items.append(item)
    block.add_new(0x51, "SQ", items)
    return found


def test_grid():
    """Tiles of United Imaging lie where their own items say, with their times in the volume."""
    frames = frames_of(header_of(grid()))
    assert [frame.position for frame in frames] == [(1.5, 2.5, 0), (1.5, 2.5, -5), (1.5, 2.5, -10)]
    assert [frame.ref.tile for frame in frames] == [(0, 0), (0, 6), (4, 0)]
    assert [frame.values["SliceTime"] for frame in frames] == [300, 0, 700]
    assert {frame.values["AcquisitionDateTime"] for frame in frames} == {"20240501120000.200000"}


def test_grid_with_too_few_items():
    """A grid that says it has more slices than it describes raises FormatError."""
    with pytest.raises(FormatError, match="has 3 items"):
        frames_of(header_of(grid(4)))


MOSAICS = [
    "mr_siemens_mosaic_ax_asc_35",
    "mr_siemens_mosaic_cor_desc_36",
    "mr_siemens_mosaic_dwi_2axis",
    "mr_siemens_mosaic_ep2d_asc_hf",
    "mr_siemens_mosaic_jpeg",
    "mr_siemens_mosaic_sag_int_36",
    "mr_siemens_nih_epi_ap",
    "mr_uih_dti_pa",
]


@pytest.mark.skipif(not CORPUS.is_dir(), reason=f"no corpus at {CORPUS}")
@pytest.mark.skipif(dcm2niix() is None, reason="dcm2niix is not installed")
@pytest.mark.parametrize("name", MOSAICS)
def test_real_mosaics_are_those_of_dcm2niix(name, tmp_path):
    """Every pixel of every tile is the voxel of dcm2niix's image at the same place in the patient."""
    ((data, matrix, _),) = converted(CORPUS / name / "dicom", tmp_path)
    data = data.reshape(*data.shape[:3], -1)
    frames = frames_in(CORPUS / name / "dicom")
    assert len(frames) == data.shape[2] * data.shape[3]
    inverse = np.linalg.inv(matrix)
    volumes = {}
    for frame in frames:
        volumes.setdefault(frame.uid, []).append(frame)
    found = []
    for tiles in volumes.values():
        volume = np.full(data.shape[:3], -1, dtype=np.int64)
        for frame in tiles:
            i, j, k = voxels(frame, inverse)
            volume[i, j, k] = pixels_of(frame)
        assert volume.min() >= 0
        fits = [n for n in range(data.shape[3]) if np.array_equal(volume, data[..., n])]
        assert len(fits) == 1
        found += fits
    assert sorted(found) == list(range(data.shape[3]))


def voxels(frame, inverse):
    """Return dcm2niix's indices of every pixel, by position in the patient."""
    across, down = np.reshape(frame.orientation, (2, 3))
    row, column = np.mgrid[: frame.shape[0], : frame.shape[1]]
    points = (
        np.array(frame.position)
        + row[..., None] * down * frame.spacing[0]
        + column[..., None] * across * frame.spacing[1]
    )
    index = (points * [-1, -1, 1]) @ inverse[:3, :3].T + inverse[:3, 3]
    np.testing.assert_allclose(index, np.round(index), atol=2e-3)
    return np.round(index).astype(int).transpose(2, 0, 1)


@pytest.mark.skipif(not CORPUS.is_dir(), reason=f"no corpus at {CORPUS}")
@pytest.mark.filterwarnings("ignore:The DICOM readers are highly experimental")
@pytest.mark.parametrize("name", ["mr_siemens_mosaic_jpeg", "mr_siemens_mosaic_ep2d_asc_hf"])
def test_real_positions_are_those_of_nibabel(name):
    """Slice by slice the positions are those of nibabel's mosaic reader."""
    from nibabel.nicom.dicomwrappers import wrapper_from_file

    path = max((CORPUS / name / "dicom").rglob("*"))
    matrix = wrapper_from_file(path).affine
    frames = [frame for frame in frames_in(path.parent) if frame.ref.source.name == str(path)]
    expected = [matrix @ [0, 0, k, 1] for k in range(len(frames))]
    np.testing.assert_allclose(
        [frame.position for frame in frames], np.array(expected)[:, :3], atol=1e-3
    )


@pytest.mark.skipif(not CORPUS.is_dir(), reason=f"no corpus at {CORPUS}")
@pytest.mark.skipif(dcm2niix() is None, reason="dcm2niix is not installed")
@pytest.mark.parametrize("name", MOSAICS)
def test_real_slice_times_are_those_of_dcm2niix(name, tmp_path):
    """Slice by slice the times are those in dcm2niix's JSON, in volumes after the first."""
    ((_, matrix, path),) = converted(CORPUS / name / "dicom", tmp_path)
    expected = json.loads(path.with_suffix(".json").read_text())["SliceTiming"]
    inverse = np.linalg.inv(matrix)
    frames = frames_in(CORPUS / name / "dicom")
    last = max(frames, key=lambda frame: frame.values["InstanceNumber"]).uid
    for frame in (frame for frame in frames if frame.uid == last):
        i, j, k = voxels(frame, inverse)
        slices = next(axis for axis in (k, j, i) if np.ptp(axis) == 0)
        seconds = frame.values["SliceTime"] / 1e3
        # Siemens counts 2.5 ms; dcm2niix keeps the date-times of United Imaging as 32-bit floats.
        near = 0.016 if name == "mr_uih_dti_pa" else 0.003
        assert seconds == pytest.approx(expected[slices[0, 0]], abs=near)
