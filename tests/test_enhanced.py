"""Enhanced multi-frame objects: functional groups in every encoding, damage, and dcm2niix."""

from __future__ import annotations

import copy

import numpy as np
import pydicom
import pytest
from corpus_oracle import CORPUS, converted, dcm2niix
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_headers import file_bytes, frames_in, header_of, pixels_of
from pydicom import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from imagedata_xr.errors import FormatError
from imagedata_xr.formats.dicom import enhanced as module
from imagedata_xr.formats.dicom.groups import NOT_THERE, PER_FRAME, Layouts, attributes_of
from imagedata_xr.formats.dicom.headers import read_header
from imagedata_xr.formats.dicom.instance import frames_of
from imagedata_xr.formats.dicom.nested import Nested, Span, sequences_of
from imagedata_xr.frames import attribute
from imagedata_xr.sources import LocalFile, MemoryBytes
from imagedata_xr.testing import Phantom, enhanced


def phantom(**options):
    options.setdefault("axes", {"te": [10, 20]})
    options.setdefault("shape", (3, 4, 5))
    return Phantom(orientation="oblique", **options)


def read(dataset, syntax=ExplicitVRLittleEndian):
    return frames_of(read_header(MemoryBytes("memory.dcm", file_bytes(dataset, syntax))))


@pytest.mark.parametrize(
    "axes",
    [
        {"te": [10, 20]},
        {"time": [0, 2.5, 5]},
        {"fa": [5, 10], "te": [10, 20]},
        {"ti": [100, 200]},
        {"component": ["M", "P", "R", "I"]},
    ],
)
def test_frames_of_a_phantom(axes):
    """Position, pixels and every axis of a synthetic enhanced instance come back frame by frame."""
    made = phantom(axes=axes)
    frames, shots = read(enhanced(made)), list(made.shots())
    stored = np.concatenate([np.asarray(s).reshape(-1, 4, 5) for s in made.stored()])
    assert len(frames) == len(shots)
    keywords = {"te": "EchoTime", "fa": "FlipAngle", "ti": "InversionTime"}
    words = {"M": "magnitude", "P": "phase", "R": "real", "I": "imaginary"}
    for frame, shot, values in zip(frames, shots, stored, strict=True):
        np.testing.assert_allclose(frame.position, made.placement.position(shot.slice), atol=1e-5)
        np.testing.assert_array_equal(pixels_of(frame), values)
        assert frame.values["InStackPositionNumber"] == shot.slice + 1
        for name, value in shot.values.items():
            if name in keywords:
                assert frame.values[keywords[name]] == value
        if "component" in axes:
            assert frame.values["ComplexImageComponent"] == words[shot.values["component"]]
        if "time" in axes:
            number = axes["time"].index(shot.values["time"]) + 1
            assert frame.values["TemporalPositionIdentifier"] == number
    if "time" in axes:
        moments = [frame.values["AcquisitionDateTime"] for frame in frames]
        assert len(set(moments)) > 1
        assert moments == [frame.values["FrameAcquisitionDateTime"] for frame in frames]


def test_diffusion_of_a_phantom():
    """b value and direction stand under the standard keywords, whatever frame has none."""
    volumes = [{"b": 0}, {"b": 1000, "bvec": (1, 0, 0)}, {"b": 1000, "bvec": (0, 0.6, 0.8)}]
    made = phantom(axes={}, volumes=[*volumes, {"b": 1000}])
    frames, shots = read(enhanced(made)), list(made.shots())
    for frame, shot in zip(frames, shots, strict=True):
        assert frame.values["DiffusionBValue"] == shot.values["b"]
        vector = shot.values.get("bvec")
        found = frame.values.get("DiffusionGradientOrientation")
        assert found is None if vector is None else np.allclose(found, vector)


@pytest.mark.parametrize(
    "syntax",
    [
        ImplicitVRLittleEndian,
        ExplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
    ],
)
@pytest.mark.parametrize("undefined", [False, True])
def test_every_encoding_gives_the_same_frames(syntax, undefined):
    """Implicit, explicit, big-endian and deflated data sets, defined and undefined lengths agree."""
    dataset = enhanced(phantom())
    expected = read(copy.deepcopy(dataset))
    if undefined:
        for element in dataset.iterall():
            if element.VR == "SQ":
                element.is_undefined_length = True
                for item in element.value:
                    item.is_undefined_length_sequence_item = True
    if syntax == ExplicitVRBigEndian:
        dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").byteswap().tobytes()
    frames = read(dataset, syntax)
    for frame, other in zip(frames, expected, strict=True):
        assert (frame.position, frame.orientation, frame.spacing, frame.thickness) == (
            (other.position, other.orientation, other.spacing, other.thickness)
        )
        for keyword in other.values:
            assert frame.values.get(keyword) == other.values.get(keyword), keyword
        np.testing.assert_array_equal(pixels_of(frame), pixels_of(other))


def frame_groups(**own):
    """Return an enhanced image of two frames with these extra groups in both."""
    found = enhanced(phantom(axes={}, shape=(2, 4, 5)))
    for item in found.PerFrameFunctionalGroupsSequence:
        for name, group in own.items():
            setattr(item, name, [group])
    return found


def group(**attributes):
    found = Dataset()
    for keyword, value in attributes.items():
        setattr(found, keyword, value)
    return found


def test_private_copies_inside_a_frame_do_not_count():
    """A frame's private sequence, nested as Philips nests it, changes no position or b value."""
    dataset = frame_groups()
    expected = [frame.position for frame in read(copy.deepcopy(dataset))]
    for item in dataset.PerFrameFunctionalGroupsSequence:
        block = item.private_block(0x2005, "Philips MR Imaging DD 005", create=True)
        inner = group(ImagePositionPatient=[1, 2, 3], DiffusionBValue=77.0, EchoTime="99")
        block.add_new(0x0F, "SQ", [inner])
    frames = read(dataset)
    assert [frame.position for frame in frames] == expected
    assert frames[0].values.get("DiffusionBValue") is None
    assert frames[0].values["EchoTime"] == 5.0


def test_values_of_the_rarer_groups():
    """Cardiac delay, temporal offset, label of ASL and legacy attributes are found by keyword."""
    dataset = frame_groups(
        CardiacSynchronizationSequence=group(NominalCardiacTriggerDelayTime=123.5),
        TemporalPositionSequence=group(TemporalPositionTimeOffset=4.5),
        MRArterialSpinLabelingSequence=group(ASLContext="LABEL"),
        UnassignedPerFrameConvertedAttributesSequence=group(InversionTime="250"),
    )
    values = read(dataset)[1].values
    assert values["TriggerTime"] == 123.5
    assert values["TemporalPositionTimeOffset"] == 4.5
    assert values["ASLContext"] == "label"
    assert values["InversionTime"] == 250
    assert values["ImageType"] == ("ORIGINAL", "PRIMARY", "VOLUME", "NONE")
    assert values["SOPInstanceUID"] == dataset.SOPInstanceUID
    assert set(values) >= {"TriggerTime", "EchoTime", "PatientID", "DimensionIndexValues"}
    assert len(values) == len(list(values))
    assert values.get("NoSuchKeyword", "default") == "default"
    with pytest.raises(KeyError):
        values["NoSuchKeyword"]


def test_derived_maps_by_frame_type():
    """Frame Type names a map, though its component is said to be a magnitude."""
    kind = group(
        FrameType=["DERIVED", "PRIMARY", "DIFFUSION", "ADC"], ComplexImageComponent="MAGNITUDE"
    )
    frames = read(frame_groups(MRImageFrameTypeSequence=kind))
    assert {frame.values["ComplexImageComponent"] for frame in frames} == {"adc"}


def test_rescale_of_each_frame():
    """Each frame has the slope and intercept of its own Pixel Value Transformation."""
    dataset = frame_groups()
    for number, item in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        transformation = group(RescaleSlope=f"{number + 0.5}", RescaleIntercept=str(-number))
        item.PixelValueTransformationSequence = [transformation]
    assert [(f.ref.slope, f.ref.intercept) for f in read(dataset)] == [(0.5, 0), (1.5, -1)]


def test_dataset_of_a_frame():
    """The Dataset of a frame has the attributes of its groups at the top level."""
    made = phantom(axes={"te": [10, 20]}, shape=(1, 4, 5))
    dataset = read(enhanced(made))[1].values.dataset()
    assert dataset.EchoTime == 20
    assert dataset.FlipAngle == 20
    assert "PerFrameFunctionalGroupsSequence" not in dataset
    assert list(dataset.PixelSpacing) == [float(n) for n in made.spacing[1:]]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"NumberOfFrames": "7"}, "NumberOfFrames is 7.* 6 items"),
        ({"NumberOfFrames": "0"}, "NumberOfFrames"),
        ({"Rows": 40}, "Pixel Data has"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.66.4"}, "Segmentation Storage"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.66.7"}, "Label Map Segmentation"),
    ],
)
def test_contradictions(change, words):
    """What contradicts itself, or is a mask, raises FormatError that names file and attribute."""
    dataset = enhanced(phantom())
    for keyword, value in change.items():
        setattr(dataset, keyword, value)
    with pytest.raises(FormatError, match=words) as caught:
        read(dataset)
    assert "memory.dcm" in str(caught.value)


def test_frames_without_groups_of_their_own_cannot_be_invented():
    """A huge Number of Frames in a small compressed file raises instead of filling the memory."""
    dataset = enhanced(phantom())
    del dataset.PerFrameFunctionalGroupsSequence
    dataset.NumberOfFrames = "2000000000"
    dataset["PixelData"].is_undefined_length = True
    dataset.PixelData = pydicom.encaps.encapsulate([b"\0" * 64])
    with pytest.raises(FormatError, match="2000000000 frames"):
        read(dataset, "1.2.840.10008.1.2.5")


def test_broken_position():
    """A position that is no position raises FormatError that names it."""
    dataset = frame_groups(PlanePositionSequence=group(ImagePositionPatient=[1, 2]))
    with pytest.raises(FormatError, match="ImagePositionPatient"):
        read(dataset)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_damage_is_a_format_error(data):
    """Whatever bytes of the functional groups are changed, nothing but FormatError is raised."""
    raw = bytearray(WHOLE)
    start, end = WHOLE.index(b"\x00\x52\x29\x92"), WHOLE.index(b"\xe0\x7f\x10\x00")
    for _ in range(data.draw(st.integers(1, 6))):
        raw[data.draw(st.integers(start, end))] = data.draw(st.integers(0, 255))
    try:
        header = read_header(MemoryBytes("memory.dcm", bytes(raw)))
        frames = frames_of(header) if header is not None else []
        for frame in frames:
            list(frame.values)
    except FormatError:
        return


WHOLE = file_bytes(enhanced(phantom(shape=(2, 2, 2))))


@pytest.mark.parametrize("deep", [10, 5000])
def test_deep_nesting(deep):
    """Sequences nested without end raise FormatError, not RecursionError; ten levels are read."""
    opened = bytes.fromhex("08004011 53510000 ffffffff feff00e0 ffffffff")
    closed = bytes.fromhex("feff0de0 00000000 feffdde0 00000000")
    data = opened * deep + closed * deep
    nested = Nested(data, "memory.dcm")
    if deep == 10:
        found = nested.elements(Span(0, len(data), explicit=True))
        assert found == {0x00081140: Span(12, len(data), explicit=True)}
    else:
        with pytest.raises(FormatError, match=r"memory.dcm: .* nested"):
            nested.elements(Span(0, len(data), explicit=True))


def test_thousands_of_frames_expand():
    """Every one of thousands of functional groups becomes a frame."""
    dataset = enhanced(phantom(axes={}, shape=(2, 4, 5)))
    count = 2000
    first = dataset.PerFrameFunctionalGroupsSequence[0]
    dataset.PerFrameFunctionalGroupsSequence = [first] * count
    dataset.NumberOfFrames = str(count)
    dataset.PixelData = bytes(2 * 4 * 5 * count)
    header = header_of(dataset)
    assert len(module.multiframe_frames(header)) == count


ENHANCED = [
    "mr_canon_enh_dti",
    "mr_hyperfine_8fr",
    "mr_philips_enh_b0map64",
    "mr_philips_enh_dti_small",
    "mr_philips_enh_fmri_small",
    "mr_philips_enh_t1_small",
    "mr_siemens_xa30_enh_adc",
    "mr_siemens_xa60_enh_dwi",
    "mr_siemens_xa61_enh_fmri",
]
needs_corpus = pytest.mark.skipif(not CORPUS.is_dir(), reason=f"no corpus at {CORPUS}")


@needs_corpus
@pytest.mark.skipif(dcm2niix() is None, reason="dcm2niix is not installed")
@pytest.mark.parametrize("name", ENHANCED)
def test_real_enhanced_frames_are_those_of_dcm2niix(name, tmp_path):
    """Every frame is a slice of dcm2niix's images at the same place, no slice is taken twice."""
    images = [
        (data.reshape(*data.shape[:3], -1), np.linalg.inv(matrix))
        for data, matrix, _ in converted(CORPUS / name / "dicom", tmp_path)
    ]
    frames = frames_in(CORPUS / name / "dicom")
    assert len(frames) * frames[0].shape[0] * frames[0].shape[1] == sum(d.size for d, _ in images)
    taken = set()
    for frame in frames:
        values = pixels_of(frame, rescale=True)
        fits = [
            (m, place, n)
            for m, (data, inverse) in enumerate(images)
            for place, n in slices_like(frame, values, data, inverse)
            if (m, place, n) not in taken
        ]
        assert fits, frame.ref.number
        taken.add(fits[0])


def slices_like(frame, values, data, inverse):
    """Yield place and volume of the slices that hold these values at these places."""
    across, down = np.reshape(frame.orientation, (2, 3))
    row, column = np.mgrid[: frame.shape[0], : frame.shape[1]]
    points = (
        np.array(frame.position)
        + row[..., None] * down * frame.spacing[0]
        + column[..., None] * across * frame.spacing[1]
    )
    index = (points * [-1, -1, 1]) @ inverse[:3, :3].T + inverse[:3, 3]
    assert np.abs(index - np.round(index)).max() < 5e-3
    i, j, k = np.round(index).astype(int).transpose(2, 0, 1)
    for n in range(data.shape[3]):
        if np.allclose(data[i, j, k, n], values, rtol=1e-5, atol=1e-4):
            yield (int(i[0, 0]), int(j[0, 0]), int(k[0, 0])), n


@needs_corpus
@pytest.mark.parametrize("name", [*ENHANCED, "mr_siemens_xa30_enh_rgb"])
def test_real_values_are_those_of_pydicom(name):
    """Position, echo time, stack position and date-time of each frame are what pydicom finds."""
    path = next(p for p in sorted((CORPUS / name / "dicom").rglob("*")) if p.is_file())
    dataset = pydicom.dcmread(path, stop_before_pixels=True)
    shared = dataset.SharedFunctionalGroupsSequence[0]
    frames = [f for f in frames_in(CORPUS / name / "dicom") if f.ref.source.name == str(path)]
    for frame, item in zip(frames, dataset.PerFrameFunctionalGroupsSequence, strict=True):
        for sequence, tag, keyword in (
            ("PlanePositionSequence", "ImagePositionPatient", "ImagePositionPatient"),
            ("MREchoSequence", "EffectiveEchoTime", "EchoTime"),
            ("FrameContentSequence", "InStackPositionNumber", "InStackPositionNumber"),
            ("FrameContentSequence", "FrameAcquisitionDateTime", "AcquisitionDateTime"),
            ("PixelMeasuresSequence", "SliceThickness", "SliceThickness"),
        ):
            groups = item.get(sequence) or shared.get(sequence)
            value = groups[0].get(tag) if groups else None
            if value is not None:
                plain = tuple(map(float, value)) if keyword.startswith("ImageP") else value
                assert frame.values[keyword] == plain


def test_mosaics_in_an_enhanced_object_are_refused(tmp_path):
    """Frames that hold several slices each are never placed as one."""
    dataset = enhanced(Phantom())
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "FMRI", "MOSAIC"]
    dataset.save_as(tmp_path / "x.dcm", enforce_file_format=True)
    with pytest.raises(FormatError, match="mosaics"):
        frames_of(read_header(LocalFile(str(tmp_path / "x.dcm"))))


def walked(nested, items):
    """Return the attributes of every item, found by a walk over it."""
    found = [attributes_of(nested, item) for item in items]
    return [{tag: nested.data[span.start : span.end] for tag, span in one.items()} for one in found]


def with_layouts(nested, items):
    """Return the same, found by the layout of other items, and how many were."""
    first = walked(nested, items[:1])[0]
    layouts = Layouts(nested, first)
    found = []
    for item in items:
        merged = first | layouts.read(item)
        found.append({tag: raw for tag, raw in merged.items() if raw is not NOT_THERE})
    return found, layouts.hits


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@settings(max_examples=150, deadline=None)
@given(
    changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=4),
    undefined=st.booleans(),
)
def test_items_read_by_the_layout_of_others(syntax, changes, undefined):
    """Groups compared with those of another frame give what a walk gives, damaged ones too."""
    made = phantom(axes={}, volumes=[{"b": 0}, {"b": 1000, "bvec": (0, 0.6, 0.8)}, {"b": 1000}])
    dataset = enhanced(made)
    if undefined:
        for item in dataset.PerFrameFunctionalGroupsSequence:
            item.is_undefined_length_sequence_item = True
            for element in item:
                element.is_undefined_length = True
    for number, item in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        block = item.private_block(0x2005, "Philips MR Imaging DD 005", create=True)
        inner = Dataset()
        inside = inner.private_block(0x2005, "Philips MR Imaging DD 005", create=True)
        inside.add_new(0xA0, "FL", float(number // 3))
        block.add_new(0x0F, "SQ", [inner])
        item.private_block(0x0021, "SOMEBODY", create=True).add_new(0x01, "LO", f"no. {number}")
    data = bytearray(file_bytes(dataset, syntax))
    nested, found = sequences_of(read_header(MemoryBytes("x", bytes(data))), (PER_FRAME,))
    items = nested.items(found[PER_FRAME])
    data = bytearray(nested.data)
    start, end = found[PER_FRAME][:2]
    for place, byte in changes:
        data[start + place % (end - start)] = byte
    nested = Nested(bytes(data), "x")
    try:
        expected = walked(nested, items)
    except FormatError:
        with pytest.raises(FormatError):
            with_layouts(nested, items)
        return
    values, hits = with_layouts(nested, items)
    assert values == expected
    assert hits > 3 or changes


@needs_corpus
@pytest.mark.parametrize("name", [*ENHANCED, "mr_siemens_xa30_enh_rgb", "mr_canon_enh_dti"])
def test_real_items_read_by_the_layout_of_others(name):
    """In objects of scanners, values found by comparing are those that a walk finds."""
    for path in sorted((CORPUS / name).rglob("*")):
        header = read_header(LocalFile(str(path))) if path.is_file() else None
        if header is None or not header.has(PER_FRAME):
            continue
        nested, found = sequences_of(header, (PER_FRAME,))
        items = nested.items(found[PER_FRAME])
        assert with_layouts(nested, items)[0] == walked(nested, items)


def test_remembered_values_are_those_of_each_frame():
    """What is worked out once for alike frames is what each of them gives by itself."""
    made = phantom(axes={}, volumes=[{"b": 0}, {"b": 700, "bvec": (0, 0.6, 0.8)}, {"b": 700}])
    frames = read(enhanced(made))
    for keyword in (*frames[0].values, "FrameNumber", "DiffusionGradientOrientation", "Nothing"):
        alone = [frame.values.get(keyword) for frame in read(enhanced(made))]
        assert list(attribute(keyword, frames)) == alone
        assert list(attribute(keyword, frames[::-1])) == alone[::-1]
    assert attribute("FrameNumber", frames) == tuple(range(1, len(frames) + 1))
