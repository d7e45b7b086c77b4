"""The header reader against pydicom, which stays the reference."""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from pathlib import Path

import pydicom
import pydicom.data
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from fuzzing.reference import differences, plain, quiet_read
from imagedata_xr.errors import FormatError, ImagedataError
from imagedata_xr.formats.dicom.headers import decode, read_header
from imagedata_xr.sources import LocalFile, MemoryBytes

SHIPPED = Path(pydicom.data.__file__).parent
CORPUS = Path(
    os.environ.get(
        "IMAGEDATA_XR_CORPUS", Path(__file__).resolve().parents[1].parent / "shared" / "corpus"
    )
)
PIXELS = (0x7FE00010, 0x7FE00008, 0x7FE00009)
# Truncated in its header: pydicom returns what is left of it, without a word.
TRUNCATED = {"rtplan_truncated.dcm"}
SYNTAXES = [
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
]


def folders():
    """Return all files there are on disk, by folder."""
    found = {"pydicom": [path for path in SHIPPED.rglob("*") if path.is_file()]}
    if CORPUS.is_dir():
        for folder in sorted(CORPUS.iterdir()):
            if folder.is_dir():
                found[folder.name] = [path for path in folder.rglob("*") if path.is_file()]
    return found


FILES = folders()


def test_the_corpus_is_there():
    """The real files are part of this test: say so where they are missing."""
    if len(FILES) < 2:
        pytest.skip(f"no corpus of real files at {CORPUS} (IMAGEDATA_XR_CORPUS)")


@pytest.mark.parametrize("folder", FILES)
def test_equals_pydicom(folder):
    """Every public element of every real file is what pydicom says, and so is the pixels' place."""
    for path in sorted(FILES[folder]):
        try:
            header = read_header(LocalFile(str(path)))
        except FormatError:
            assert path.name in TRUNCATED
            continue
        assert path.name not in TRUNCATED
        if header is None:
            with pytest.raises(pydicom.errors.InvalidDicomError):
                pydicom.dcmread(path)
            continue
        dataset = quiet_read(path, stop_before_pixels=True)
        assert list(differences(header, dataset)) == [], path
        assert_same_pixels(header, path)


def assert_same_pixels(header, path):
    full = quiet_read(path, defer_size=64)
    tags = [tag for tag in PIXELS if tag in full]
    if tags:
        assert header.pixel_tag == tags[0]
        raw = full.get_item(tags[0], keep_deferred=True)
        length = -1 if raw.length == 0xFFFFFFFF else raw.length
        assert header.pixel_length == length
        if header.pixel_offset is None:
            assert not header.is_little_endian or header.transfer_syntax.endswith(".99")
        else:
            assert header.pixel_offset == raw.value_tell
    assert header.is_little_endian == full.original_encoding[1]
    declared = full.file_meta.get("TransferSyntaxUID")
    assert header.transfer_syntax == (declared or header.transfer_syntax)


def test_recognised_without_preamble():
    """Data sets without preamble or meta are DICOM; their transfer syntax is what they have."""
    for name, syntax in {
        "ExplVR_LitEndNoMeta.dcm": ExplicitVRLittleEndian,
        "ExplVR_BigEndNoMeta.dcm": ExplicitVRBigEndian,
        "rtstruct.dcm": ImplicitVRLittleEndian,
    }.items():
        header = read_header(LocalFile(str(SHIPPED / "test_files" / name)))
        assert header is not None
        assert header.transfer_syntax == syntax
        assert header.from_pydicom


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x08\x00",
        b'{"a": 1}' * 100,
        b"\x89PNG\r\n\x1a\n" + bytes(500),
        bytes(1000),
        b"\x5c\x01\x00\x00" + bytes(344) + b"n+1\0",
        b"\x08\x00\x05\x00 something else that begins like a tag",
        b"\xff" * 1000,
        b"Text, quite long. " * 50,
    ],
)
def test_other_files_are_none(data):
    """What is not DICOM is no error."""
    assert read_header(MemoryBytes("x", data)) is None


# Data sets made up ---------------------------------------------------------------------------

TEXT = st.text(st.characters(codec="ascii", exclude_characters="\\\0\x1b\r\n\t\f"), max_size=12)
NAMES = st.lists(st.text("ABCæøåéñ^", max_size=6), max_size=2).map(
    lambda groups: "=".join(["X", *groups])
)
DECIMALS = st.floats(-1e9, 1e9).map(lambda number: f"{number:.9g}"[:16])
ELEMENTS = {
    "PatientName": NAMES,
    "PatientID": TEXT,
    "SeriesDescription": st.text("abc æøå", max_size=20),
    "ImageType": st.lists(st.text("ABC_", min_size=1, max_size=8), min_size=1, max_size=4),
    "StudyDate": st.dates().map(lambda date: date.strftime("%Y%m%d").zfill(8)),
    "AcquisitionDateTime": st.just("20200101120000.123456"),
    "InstanceNumber": st.integers(-(2**31), 2**31 - 1),
    "ImagePositionPatient": st.lists(DECIMALS, min_size=3, max_size=3),
    "EchoTime": DECIMALS,
    "Rows": st.integers(0, 65535),
    "DiffusionBValue": st.floats(allow_nan=False),
    "DiffusionGradientOrientation": st.lists(st.floats(width=64), min_size=3, max_size=3),
    "RecommendedDisplayFrameRateInFloat": st.floats(width=32),
    "SimpleFrameList": st.lists(st.integers(0, 2**32 - 1), min_size=2, max_size=5),
    "FrameIncrementPointer": st.just([0x00181063, 0x00181065]),
    "DerivationDescription": TEXT,
    "ImageComments": st.text("ab \n", max_size=3000),
    "StrainDescription": TEXT,
    "RetrieveURL": st.just("https://example.org/a?b"),
    "SelectorSVValue": st.integers(-(2**63), 2**63 - 1),
    "SmallestImagePixelValue": st.integers(0, 32767),
    "RedPaletteColorLookupTableData": st.binary(min_size=2, max_size=40).map(
        lambda data: data + data
    ),
    "SOPInstanceUID": st.just("1.2.3.4"),
}


@st.composite
def datasets(draw, depth=2):
    dataset = Dataset()
    dataset.SpecificCharacterSet = draw(st.sampled_from(["ISO_IR 192", "ISO_IR 100"]))
    dataset.PixelRepresentation = draw(st.sampled_from([0, 1]))
    keywords = draw(st.lists(st.sampled_from(sorted(ELEMENTS)), unique=True))
    for keyword in keywords:
        setattr(dataset, keyword, draw(ELEMENTS[keyword]))
    for low, creator in enumerate(
        draw(st.lists(st.sampled_from(["SIEMENS MR HEADER", "SOMEONE"]), max_size=3)), 0x10
    ):
        dataset.add_new(0x00190000 | low, "LO", creator)
        dataset.add_new(0x0019000C | low << 8, "IS", str(low))
        dataset.add_new(0x00190027 | low << 8, "FD", [float(low)] * 6)
        dataset.add_new(0x001900FF | low << 8, "OB", bytes(draw(st.integers(0, 2000)) * 2))
    if depth and draw(st.booleans()):
        items = draw(st.lists(datasets(depth=depth - 1), max_size=2))
        for item in items:
            item.is_undefined_length_sequence_item = draw(st.booleans())
        for keyword in draw(
            st.sampled_from([(), ("SourceImageSequence",), ("IconImageSequence",)])
        ):
            setattr(dataset, keyword, Sequence(items))
            dataset[keyword].is_undefined_length = draw(st.booleans())
    return dataset


def written(dataset, syntax, *, pixels=b""):
    """Write a data set by pydicom."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
    meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    dataset.file_meta = meta
    dataset.preamble = bytes(128)
    if pixels:
        dataset.BitsAllocated = 16
        dataset.add_new(0x7FE00010, "OW", pixels)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(datasets(), st.sampled_from(SYNTAXES), st.binary(min_size=2, max_size=8))
def test_written_data_sets_come_back(dataset, syntax, pixels):
    """Random data sets, nested and private ones too, are read as pydicom reads them."""
    data = written(dataset, syntax, pixels=pixels * 2)
    source = MemoryBytes("made.dcm", data)
    header = read_header(source)
    theirs = quiet_read(io.BytesIO(data), stop_before_pixels=True)
    assert list(differences(header, theirs)) == []
    assert header.transfer_syntax == syntax
    assert header.pixel_tag == 0x7FE00010
    assert header.pixel_length == 2 * len(pixels)
    plain_syntax = syntax in SYNTAXES[:2]
    assert header.from_pydicom is not plain_syntax
    if plain_syntax:
        assert source.read(header.pixel_offset, header.pixel_length) == pixels * 2
    for low in (0x0C, 0x27):
        raw = header.private(0x0019, "SIEMENS MR HEADER", low)
        try:
            block = theirs.private_block(0x0019, "SIEMENS MR HEADER")
        except KeyError:
            assert raw is None
        else:
            expected = plain(block[low].value, "")
            assert decode(header.private_vr(0x0019, "SIEMENS MR HEADER", low), raw) == expected
    assert list(header.dataset().keys()) == list(theirs.keys())


BASES = (
    "MR_small.dcm",
    "MR_small_implicit.dcm",
    "MR_small_expb.dcm",
    "nested_priv_SQ.dcm",
    "UN_sequence.dcm",
    "reportsi.dcm",
    "rtplan.dcm",
    "image_dfl.dcm",
)
HARD = st.sampled_from([0, 1, 2, 0xFF, 0xFE, 0xE0, *b"SQUNOB"]) | st.integers(0, 255)


@settings(max_examples=400, deadline=2000, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from(BASES),
    st.lists(st.tuples(st.integers(120, 3000), HARD), max_size=4),
    st.none() | st.integers(0, 3000),
)
def test_damaged_files(name, changes, end):
    """A damaged file is read as pydicom reads it, or refused; no other error, no hang."""
    damaged = bytearray((SHIPPED / "test_files" / name).read_bytes())
    for place, byte in changes:
        if place < len(damaged):
            damaged[place] = byte
    source = MemoryBytes("damaged.dcm", bytes(damaged[:end]))
    try:
        header = read_header(source)
    except ImagedataError as error:
        header = None
        message = str(error)
        assert "damaged.dcm" in message
    if header is None:
        return
    for keyword in header.keywords():
        with contextlib.suppress(FormatError):
            header.get(keyword)
    try:
        dataset = quiet_read(io.BytesIO(source.data), stop_before_pixels=True)
    except Exception:  # noqa: BLE001 - pydicom raises anything
        return
    assert list(differences(header, dataset, broken=True)) == []


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_truncated_headers_are_refused(syntax):
    """Wherever the file ends inside the header of an image, no header without pixels comes out."""
    dataset = Dataset()
    dataset.PatientName = "A^B"
    dataset.SourceImageSequence = [Dataset()]
    dataset.SourceImageSequence[0].ReferencedSOPInstanceUID = "1.2"
    dataset["SourceImageSequence"].is_undefined_length = True
    dataset.Rows = 2
    data = written(dataset, syntax, pixels=b"abcd")
    whole = read_header(MemoryBytes("x", data))
    for end in range(132, len(data) - 4):
        try:
            header = read_header(MemoryBytes("x", data[:end]))
        except FormatError:
            continue
        # Cut between two elements: nothing tells that there was more.
        assert header.pixel_tag is None or header.pixel_offset == whole.pixel_offset
