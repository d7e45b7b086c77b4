"""Multi-frame objects without functional groups: RT dose, nuclear medicine, cine."""

from __future__ import annotations

import numpy as np
import pytest
from corpus_oracle import CORPUS
from memory_headers import frames_in, header_of, image
from pydicom import Dataset

from imagedata_xr.errors import FormatError
from imagedata_xr.formats.dicom import enhanced, multiframe
from imagedata_xr.formats.dicom.instance import frames_of


def read(dataset):
    return frames_of(header_of(dataset))


def dose(offsets, **attributes):
    found = image(frames=3, Modality="RTDOSE", NumberOfFrames="3", **attributes)
    found.GridFrameOffsetVector, found.DoseGridScaling = offsets, "0.001"
    found.DoseUnits = "GY"
    return found


@pytest.mark.parametrize(
    ("offsets", "cosines", "depths"),
    [
        ([0, 5, 10], [1, 0, 0, 0, 1, 0], [-30, -25, -20]),
        ([0, -5, -10], [1, 0, 0, 0, 1, 0], [-30, -35, -40]),
        ([-30, -27, -24], [1, 0, 0, 0, 1, 0], [-30, -27, -24]),
        ([-30, -27, -24], [1, 0, 0, 0, -1, 0], [-30, -27, -24]),
    ],
)
def test_dose(offsets, cosines, depths):
    """Dose frames lie at their offsets from the first, or at patient z; the scaling is the slope."""
    frames = read(dose(offsets, ImageOrientationPatient=cosines))
    assert [frame.position for frame in frames] == [(-10, -20, depth) for depth in depths]
    assert {(frame.ref.slope, frame.ref.intercept) for frame in frames} == {(0.001, 0)}
    assert frames[0].values["Units"] == "Gy"
    assert [frame.ref.offset - frames[0].ref.offset for frame in frames] == [0, 48, 96]


@pytest.mark.parametrize("offsets", [[0, 5], None])
def test_dose_without_offsets_for_each_frame(offsets):
    """Too few offsets raise; none at all leaves the frames without places."""
    if offsets:
        with pytest.raises(FormatError, match="GridFrameOffsetVector has 2 numbers"):
            read(dose(offsets))
    else:
        assert [frame.position for frame in read(dose(None))] == [None] * 3


def test_cine():
    """Frame Time and Frame Time Vector give the ms from the first frame; there is no position."""
    dataset = image(frames=3, Modality="US", NumberOfFrames="3", FrameTime="40")
    del dataset.ImagePositionPatient, dataset.ImageOrientationPatient
    frames = read(dataset)
    assert [frame.values["FrameTimeOffset"] for frame in frames] == [0, 40, 80]
    assert [frame.values["FrameNumber"] for frame in frames] == [1, 2, 3]
    assert [frame.position for frame in frames] == [None] * 3
    dataset.FrameTimeVector = [0, 30, 50]
    assert [frame.values["FrameTimeOffset"] for frame in read(dataset)] == [0, 30, 80]


def test_nuclear_medicine():
    """NM slices lie along the normal by their number; vectors give each frame its own number."""
    dataset = image(frames=4, Modality="NM", NumberOfFrames="4", SpacingBetweenSlices="5")
    place = Dataset()
    place.ImagePositionPatient = dataset.ImagePositionPatient
    place.ImageOrientationPatient = dataset.ImageOrientationPatient
    del dataset.ImagePositionPatient, dataset.ImageOrientationPatient
    dataset.DetectorInformationSequence = [place]
    dataset.FrameIncrementPointer = [0x00540080, 0x00540010]
    dataset.SliceVector, dataset.EnergyWindowVector = [1, 2, 1, 2], [1, 1, 2, 2]
    frames = read(dataset)
    assert [frame.position[2] for frame in frames] == [-30, -25, -30, -25]
    assert [frame.values["EnergyWindowVector"] for frame in frames] == [1, 1, 2, 2]
    assert frames[0].orientation == (1, 0, 0, 0, 1, 0)


def test_single_frames_stay_single():
    """Number of Frames 1 makes no multi-frame object."""
    header = header_of(image(NumberOfFrames="1"))
    assert not multiframe.is_multiframe(header)
    assert not enhanced.is_multiframe(header)


@pytest.mark.skipif(not CORPUS.is_dir(), reason=f"no corpus at {CORPUS}")
def test_real_dose():
    """Frames of a real dose grid lie 5 mm apart, whatever its transfer syntax."""
    folder = CORPUS / "rt_dose_plan_pydicom" / "dicom"
    frames = [f for f in frames_in(folder) if f.values.get("NumberOfFrames") == 15]
    assert len(frames) == 45
    for start in (0, 15, 30):
        depths = [frame.position[2] for frame in frames[start : start + 15]]
        np.testing.assert_allclose(depths, -761.87 + 5 * np.arange(15))
        assert frames[start].ref.slope == 1e-6
