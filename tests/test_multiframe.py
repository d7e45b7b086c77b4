"""Multi-frame objects without functional groups: RT dose, nuclear medicine, cine."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from corpus_oracle import CORPUS
from memory_headers import file_bytes, frames_in, header_of, image
from pydicom import Dataset
from pydicom.uid import generate_uid

from imagedata_xr.errors import FormatError
from imagedata_xr.formats.dicom import enhanced
from imagedata_xr.formats.dicom.instance import frames_of
from imagedata_xr.formats.dicom.write.multiframe import single_header


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
    assert not enhanced.is_multiframe(header)
    (frame,) = frames_of(header)
    assert "FrameNumber" not in frame.values


def test_headers_of_frames_leave_the_instance_alone():
    """The header of one frame takes nothing from that of the next: all say the same direction."""
    shared, direction = Dataset(), Dataset()
    direction.InPlanePhaseEncodingDirection = "COLUMN"
    shared.MRFOVGeometrySequence = [direction]
    found = image(frames=2, NumberOfFrames="2", SharedFunctionalGroupsSequence=[shared])
    before = found.to_json()
    directions = [single_header(found, k).InPlanePhaseEncodingDirection for k in range(2)]
    assert directions == ["COL", "COL"]
    assert found.to_json() == before


@pytest.mark.parametrize("frames", [1, 3])
def test_dose_comes_back(frames, tmp_path):
    """A dose that is written as it is, cut or computed has its values: its scaling is not lost."""
    found = image(frames=frames, Modality="RTDOSE", SOPClassUID="1.2.840.10008.5.1.4.1.1.481.2")
    found.DoseGridScaling, found.DoseUnits = "0.001", "GY"
    found.ImagePositionPatient, found.ImageOrientationPatient = [0, 0, 0], [1, 0, 0, 0, 1, 0]
    found.PixelSpacing, found.PatientID, found.PatientName = [2, 3], "x", "X"
    found.StudyInstanceUID, found.SeriesInstanceUID = generate_uid(), generate_uid()
    found.FrameOfReferenceUID = generate_uid()
    if frames > 1:
        found.NumberOfFrames, found.GridFrameOffsetVector = frames, [0.0, 2.5, 5.0]
    (tmp_path / "a.dcm").write_bytes(file_bytes(found))
    dose = xr.open_dataarray(tmp_path / "a.dcm", engine="dicom").load()
    stored = xr.open_dataarray(tmp_path / "a.dcm", engine="dicom", rescale=False).values
    np.testing.assert_allclose(dose.values, stored * 0.001, rtol=1e-6)
    assert dose.units == "Gy"
    for name, made in {"same": dose, "part": dose.isel(row=slice(1, 3)), "twice": dose * 2}.items():
        made.med.to_dicom(tmp_path / name)
        again = xr.open_dataarray(tmp_path / name, engine="dicom").load()
        step = float(made.max()) / 0xFFFF if name == "twice" else 0
        np.testing.assert_allclose(again.values, made.values, rtol=1e-6, atol=step)
        assert again.units == "Gy"


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
