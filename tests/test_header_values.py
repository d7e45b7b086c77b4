"""What a header gives: values, private elements, the full data set; and scans over many files."""

from __future__ import annotations

import gc
import io
import pickle
import struct
import warnings

import pydicom
import pydicom.data
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from imagedata_xr.errors import FormatError, SourceError, SourceNotFoundError
from imagedata_xr.formats.dicom.headers import (
    WANTED_PRIVATE,
    HeaderValues,
    decode,
    read_header,
    read_headers,
)
from imagedata_xr.formats.dicom.headers.scan import _Scan
from imagedata_xr.formats.dicom.headers.through_pydicom import _raw_again
from imagedata_xr.sources import LocalFile, MemoryBytes, find_sources

SYNTAXES = [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian]


def element(tag, vr, value):
    """Return the bytes of an element in explicit VR, little endian."""
    start = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr.encode())
    if vr in ("OB", "OW", "SQ", "UN", "UT"):
        return start + struct.pack("<HI", 0, len(value)) + value
    return start + struct.pack("<H", len(value)) + value


def file_of(*elements, syntax=b"1.2.840.10008.1.2.1\0", meta=b""):
    """Return a DICOM file of elements, byte for byte; `meta` stands before the syntax."""
    meta += element(0x00020010, "UI", syntax)
    length = element(0x00020000, "UL", struct.pack("<I", len(meta)))
    return bytes(128) + b"DICM" + length + meta + b"".join(elements)


def header_of(*elements, **options):
    return read_header(MemoryBytes("made.dcm", file_of(*elements, **options)))


def written(dataset, syntax=ExplicitVRLittleEndian):
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
    dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("vr", "raw", "value"),
    [
        ("DS", b" 1.5\\-2e3 ", (1.5, -2000.0)),
        ("DS", b"1.0\0", 1.0),
        ("DS", b"1\\\\3 ", (1.0, "", 3.0)),
        ("DS", b"  ", None),
        ("IS", b"12 ", 12),
        ("IS", b"1.0 ", 1),
        ("IS", b"1e2 ", 100),
        ("IS", b"1.5 ", 1.5),
        ("IS", b"+7\\-7", (7, -7)),
        ("US", b"\1\0", 1),
        ("US", b"\0\0", 0),
        ("SS", b"\xff\xff\1\0", (-1, 1)),
        ("FD", struct.pack("<d", 0.1), 0.1),
        ("FL", struct.pack("<f", 0.5), 0.5),
        ("SV", struct.pack("<q", -(2**40)), -(2**40)),
        ("AT", b"\x18\0\x60\x10", 0x00181060),
        ("CS", b"ORIGINAL\\PRIMARY \\M ", ("ORIGINAL", "PRIMARY", "M")),
        ("UI", b"1.2.3\0", "1.2.3"),
        ("LT", b" a\\b ", " a\\b"),
        ("LO", b"\0\0", None),
        ("OB", b"abc", None),
        ("SQ", b"abc", None),
        ("US", b"", None),
    ],
)
def test_decode(vr, raw, value):
    """Numbers are tolerant of padding and of the other notations in use; empty is None."""
    assert decode(vr, raw) == value
    assert type(decode(vr, raw)) is type(value)


@pytest.mark.parametrize(
    ("vr", "raw"), [("DS", b"abc "), ("IS", b"1_0 "), ("DS", b"1,5"), ("US", b"\1"), ("AT", b"ab")]
)
def test_undecodable_numbers_name_file_and_attribute(vr, raw):
    """An error says where it is."""
    tag = {"DS": 0x00180050, "IS": 0x00200013, "US": 0x00280010, "AT": 0x00280009}[vr]
    keyword = pydicom.datadict.keyword_for_tag(tag)
    header = header_of(element(tag, vr, raw), element(0x00280011, "US", b"\1\0"))
    with pytest.raises(FormatError, match=rf"made\.dcm: {keyword} is "):
        header.get(keyword)
    assert header.get("Columns") == 1


@pytest.mark.parametrize(
    ("character_set", "raw", "name"),
    [
        (b"ISO_IR 100", "Bjørk^Åse".encode("latin-1"), "Bjørk^Åse"),
        (b"ISO_IR 192 ", "王^小东=王^小东=".encode(), "王^小东=王^小东"),
        (
            b"\\ISO 2022 IR 87",
            b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=",
            "Yamada^Tarou=山田^太郎",
        ),
        (
            b"\\ISO 2022 IR 149",
            b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7",
            "Hong^Gildong=洪^吉洞",
        ),
        (b"GB18030 ", "王^小东".encode("gb18030"), "王^小东"),
        (b"NONSENSE", b"A^B\xe9", "A^Bé"),
        (b"", b"A^B", "A^B"),
    ],
)
def test_character_sets(character_set, raw, name):
    """Names come in every character set, code extensions included."""
    header = header_of(
        element(0x00080005, "CS", character_set),
        element(0x00100010, "PN", raw + b" " * (len(raw) % 2)),
    )
    assert header.get("PatientName") == name


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_private_blocks(syntax):
    """Creators are matched exactly, in whichever block they stand; large values stay in the file."""
    dataset = Dataset()
    dataset.add_new(0x00190010, "LO", "SOMEONE ELSE")
    dataset.add_new(0x00190011, "LO", "SIEMENS MR HEADER ")
    dataset.add_new(0x0019100C, "IS", "1")
    dataset.add_new(0x0019110C, "IS", "800")
    dataset.add_new(0x0019110E, "FD", [0.0, 0.6, 0.8])
    dataset.add_new(0x00290010, "LO", "SIEMENS CSA HEADER")
    dataset.add_new(0x00291010, "OB", b"SV10" + bytes(100_000))
    dataset.add_new(0x00291020, "OB", b"short.")
    dataset.Rows = 3
    source = MemoryBytes("made.dcm", written(dataset, syntax))
    header = read_header(source)
    creator = "SIEMENS MR HEADER"
    assert header.private(0x0019, creator, 0x0C) == b"800 "
    assert decode(header.private_vr(0x0019, creator, 0x0C), b"800 ") == 800
    assert decode("FD", header.private(0x0019, creator, 0x0E)) == (0.0, 0.6, 0.8)
    assert header.private(0x0019, "SIEMENS MR", 0x0C) is None
    assert header.private(0x0019, "SOMEONE ELSE", 0x0C) is None
    assert header.private_vr(0x0019, creator, 0x27) is None
    assert header.private(0x0029, "SIEMENS CSA HEADER", 0x10) == b"SV10" + bytes(100_000)
    assert header.private(0x0029, "SIEMENS CSA HEADER", 0x20) == b"short."
    # Swapped bytes cannot stay where they are.
    assert (0x00291010 in header.elements) is not header.is_little_endian
    assert header.has(0x00291010)
    assert header.get("Rows") == 3
    wanted = WANTED_PRIVATE | {(0x0019, "SOMEONE ELSE", 0x0C)}
    assert read_header(source, private=wanted).private(0x0019, "SOMEONE ELSE", 0x0C) == b"1 "


def test_ambiguous_signs():
    """US or SS follows Pixel Representation where the file does not say (PS3.5 annex A.1)."""
    body = b"".join(
        struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(value)) + value
        for tag, value in ((0x00280103, b"\1\0"), (0x00280106, b"\xfe\xff"))
    )
    header = header_of(body, syntax=b"1.2.840.10008.1.2\0")
    assert header.get("SmallestImagePixelValue") == -2
    explicit = header_of(element(0x00280103, "US", b"\1\0"), element(0x00280106, "US", b"\xfe\xff"))
    assert explicit.get("SmallestImagePixelValue") == 65534


def test_other_vr_than_the_dictionary():
    """The file's VR counts, and UN means the dictionary's (PS3.5 section 6.2.2)."""
    header = header_of(
        element(0x00180050, "FD", struct.pack("<d", 2.5)),
        element(0x00180080, "UN", b"12.5"),
        element(0x00189087, "UN", struct.pack("<d", 800.0)),
        element(0x00081140, "UN", b""),
    )
    assert header.vrs == {0x00180050: "FD"}
    assert not header.from_pydicom
    assert header.get("SliceThickness") == 2.5
    assert header.get("RepetitionTime") == 12.5
    assert header.get("DiffusionBValue") == 800.0
    assert header.has("ReferencedImageSequence")


@pytest.mark.parametrize("first", ["LO", "UN", "UL", "UC"])
def test_twice_under_two_vrs(first):
    """Of an element that is there twice, the second counts, under its own VR, as for pydicom."""
    second = struct.pack("<H", 1)
    if first == "UC":
        odd = struct.pack("<HH2sHI", 0x0028, 0x0103, b"UC", 0, 4) + b"text"
    else:
        odd = element(0x00280103, first, b"text")
    header = header_of(odd, element(0x00280103, "US", second))
    assert header.get("PixelRepresentation") == 1
    swapped = header_of(element(0x00280103, "US", second), element(0x00280103, "SS", b"\2\0"))
    assert swapped.get("PixelRepresentation") == 2


def test_numbers_that_pydicom_decodes_as_it_reads():
    """A sequence of undefined length before Pixel Representation makes pydicom decode it early."""
    dataset = Dataset()
    dataset.PixelRepresentation = 1
    found = _raw_again(dataset["PixelRepresentation"])
    assert found.value == b"\1\0"
    dataset.SmallestImagePixelValue = [-2, 7]
    dataset["SmallestImagePixelValue"].VR = "SS"
    assert _raw_again(dataset["SmallestImagePixelValue"]).value == b"\xfe\xff\7\0"


def test_nested_pixels_are_not_the_images():
    """An icon's pixels, native or encapsulated, end no header."""
    fragments = (
        struct.pack("<HHI", 0xFFFE, 0xE000, 4) + b"abcd" + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    )
    icon = struct.pack("<HH2sHI", 0x7FE0, 0x10, b"OB", 0, 0xFFFFFFFF) + fragments
    # An item as long as the letters of a VR.
    letters = int.from_bytes(b"CS", "little")
    item = struct.pack("<HHI", 0xFFFE, 0xE000, letters) + bytes(letters)
    header = header_of(
        struct.pack("<HH2sHI", 0x0088, 0x0200, b"SQ", 0, 0xFFFFFFFF),
        struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF) + icon,
        struct.pack("<HHI", 0xFFFE, 0xE00D, 0) + item,
        struct.pack("<HHI", 0xFFFE, 0xE0DD, 0),
        element(0x7FE00010, "OW", b"pixels"),
    )
    assert not header.from_pydicom
    assert header.others == (0x00880200,)
    assert header.source.read(header.pixel_offset, header.pixel_length) == b"pixels"


def test_header_values():
    """The mapping and the header say the same, and empty elements are not in it."""
    header = header_of(
        element(0x00100020, "LO", b"  "),
        element(0x00180050, "DS", b"1.5 "),
        element(0x00280010, "US", b"\0\0"),
        element(0x00280011, "US", b""),
    )
    values = HeaderValues(header)
    assert dict(values) == {"SliceThickness": 1.5, "Rows": 0}
    assert len(values) == 2
    assert "PatientID" not in values
    assert "Columns" not in values
    assert "Rows" in values
    assert 7 not in values
    assert values.get("NoSuchKeyword") is None
    assert values.get("PatientID", "x") == "x"
    with pytest.raises(KeyError):
        values["PatientID"]
    assert values.dataset().SliceThickness == 1.5


@pytest.fixture
def series(tmp_path):
    for number in range(20):
        dataset = Dataset()
        dataset.PatientName = "A^B"
        dataset.InstanceNumber = number
        dataset.SliceLocation = str(number * 1.5)
        dataset.StrainDescription = "x" * (number * 3000)
        dataset.BitsAllocated = 16
        dataset.PixelData = struct.pack("<H", number) * 4
        (tmp_path / f"{number:02d}.dcm").write_bytes(written(dataset, SYNTAXES[number % 3]))
    (tmp_path / "notes.txt").write_text("not an image")
    return [LocalFile(str(path)) for path in sorted(tmp_path.iterdir())]


def test_scan(series):
    """Headers of any length, in the order of the files; what is no DICOM is passed over."""
    headers = read_headers(series, progress=False)
    assert [header.get("InstanceNumber") for header in headers] == list(range(20))
    assert [header.get("SliceLocation") for header in headers] == [n * 1.5 for n in range(20)]
    assert [len(header.get("StrainDescription") or "") for header in headers] == [
        n * 3000 for n in range(20)
    ]
    for number, header in enumerate(headers):
        if header.is_little_endian:
            pixels = header.source.read(header.pixel_offset, header.pixel_length)
            assert pixels == struct.pack("<H", number) * 4
    names = {id(header.elements[0x00100010]) for header in headers}
    assert len(names) == 1


def test_pickled(series):
    """A header goes to another process and reads on from there."""
    header = pickle.loads(pickle.dumps(read_header(series[4])))
    assert header.get("InstanceNumber") == 4
    assert header.dataset().InstanceNumber == 4
    assert header.source == series[4]


def test_errors_of_a_scan(series, tmp_path):
    """The first broken file ends a scan, unless the caller takes the errors."""
    whole = series[3].read()
    broken = tmp_path / "05a.dcm"
    broken.write_bytes(whole[:400])
    sources = [*series, LocalFile(str(broken)), LocalFile(str(tmp_path / "gone.dcm"))]
    with pytest.raises(FormatError, match=r"05a\.dcm: truncated"):
        read_headers(sources, progress=False)
    seen = {}
    headers = read_headers(sources, progress=False, on_error=lambda s, e: seen.update({s: type(e)}))
    assert len(headers) == 20
    assert seen == {sources[-2]: FormatError, sources[-1]: SourceNotFoundError}
    with pytest.raises(SourceError):
        read_header(LocalFile(str(tmp_path)))
    broken.unlink()


def test_no_warnings_and_no_open_files(series):
    """pydicom's own warnings about odd files are not shown, and files are closed."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        odd = header_of(
            struct.pack("<HHI", 0x0008, 0x0060, 2) + b"MR", element(0x00080005, "CS", b"ODD ")
        )
        odd.get("Modality")
        read_headers(series, progress=False)
        gc.collect()
    assert caught == []


# Layouts ---------------------------------------------------------------------------------------


FACTS = (
    "elements",
    "transfer_syntax",
    "vrs",
    "pixel_tag",
    "pixel_offset",
    "pixel_length",
    "is_little_endian",
    "from_pydicom",
    "others",
    "creators",
    "located",
)


def value_of(header, keyword):
    try:
        return header.get(keyword)
    except FormatError as error:
        return str(error)


def facts(header):
    found = {name: getattr(header, name) for name in FACTS}
    found["keywords"] = list(header.keywords())
    # Twice: a value may be decoded for this file, and remembered for others.
    for turn in (1, 2):
        found[turn] = {keyword: value_of(header, keyword) for keyword in header.keywords()}
    return found


def layout_file(comment=b"same", uid=b"1.2.3.4.55\0"[:10]):
    """Return a file with private blocks, nested sequences and an icon."""
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF) + element(0x00280010, "US", b"\7\0")
    return file_of(
        element(0x00080018, "UI", uid),
        struct.pack("<HH2sHI", 0x0008, 0x1140, b"SQ", 0, 0xFFFFFFFF),
        item,
        struct.pack("<HHI", 0xFFFE, 0xE00D, 0) + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0),
        element(0x00190010, "LO", b"SIEMENS MR HEADER "),
        element(0x0019100C, "IS", b"800 "),
        element(0x00204000, "LT", comment),
        element(0x00280010, "US", b"\2\0"),
        element(0x00280106, "SS", b"\xff\xff"),
        element(0x7FE00010, "OW", b"pixels"),
    )


def test_layouts_of_real_series():
    """In one scan, where layouts are reused, every file is what it is on its own."""
    sources = find_sources(pydicom.data.__path__[0])
    sources = [source for source in sources if "truncated" not in source.name] * 2
    alone = [read_header(source) for source in sources]
    scan = _Scan({}, WANTED_PRIVATE)
    together = [scan.read(source) for source in sources]
    assert scan.layouts.hits > 5
    for one, other in zip(alone, together, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            assert facts(one) == facts(other)


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.tuples(st.integers(132, 400), st.integers(0, 255)), max_size=3),
    st.booleans(),
    st.booleans(),
)
def test_layouts_are_verified(changes, longer, between):
    """Another layout, or a changed byte in it, is seen: the scan equals single reading."""
    first = layout_file()
    other = bytearray(layout_file(b"other." if longer else b"othr", b"1.2.3.4.66"))
    for place, byte in changes:
        other[place % len(other)] = byte
    scan = _Scan({}, WANTED_PRIVATE)
    scan.read(MemoryBytes("x", first))
    if between:
        # What varies is known from it.
        scan.read(MemoryBytes("x", layout_file(b"mid.", b"1.2.3.4.77")))
    source = MemoryBytes("x", bytes(other))
    try:
        alone = read_header(source)
    except FormatError:
        with pytest.raises(FormatError):
            scan.read(source)
        return
    together = scan.read(source)
    assert (alone is None) == (together is None)
    if alone is not None:
        assert facts(alone) == facts(together)
    if not changes and not longer:
        assert scan.layouts.hits == 1 + between
        assert together.own.keys() == {0x00080018, 0x00204000}
        assert together.get("ImageComments") == "othr"
        assert together.get("SOPInstanceUID") == "1.2.3.4.66"


LENGTHS = st.integers(0, 9)


def file_with_lengths(uid, comment, private, unread, low):
    """Return a file whose values have lengths as given, before and after what must not move."""
    text = b"0123456789"
    even = (text[:uid] + b"\0")[: uid + uid % 2]
    return file_of(
        element(0x00080018, "UI", even),
        element(0x00190010, "LO", b"SIEMENS MR HEADER "),
        element(0x0019100C, "IS", text[:private]),
        element(0x001910AA, "LO", text[:unread]),
        element(0x00204000, "LT", text[:comment]),
        struct.pack("<HH2sHI", 0x0008, 0x1140, b"SQ", 0, 0xFFFFFFFF)
        + struct.pack("<HHI", 0xFFFE, 0xE000, 18)
        + element(0x00081155, "UI", b"1.2.345678")
        + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0),
        element(0x00280010, "US", b"\2\0"),
        element(0x00280103, "US", bytes([low, 0])),
        element(0x00280106, "US", b"\xff\xff"),
        element(0x00290010, "LO", b"SIEMENS CSA HEADER"),
        element(0x00291010, "OB", bytes(1200)),
        element(0x7FE00010, "OW", b"pixels"),
        meta=element(0x00020003, "UI", even),
    )


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(LENGTHS, LENGTHS, LENGTHS, LENGTHS, st.integers(0, 1)), min_size=2),
    st.lists(st.tuples(st.integers(0, 600), st.integers(0, 255)), max_size=3),
)
def test_layouts_with_values_of_other_lengths(lengths, changes):
    """Where values are longer in one file than in another, the scan equals single reading."""
    files = [bytearray(file_with_lengths(*one)) for one in lengths]
    for place, byte in changes:
        files[-1][place] = byte
    scan = _Scan({}, WANTED_PRIVATE)
    for data in files:
        source = MemoryBytes("x", bytes(data))
        try:
            alone = read_header(source)
        except FormatError:
            with pytest.raises(FormatError):
                scan.read(source)
            continue
        together = scan.read(source)
        assert (alone is None) == (together is None)
        if alone is not None:
            assert facts(alone) == facts(together)
            for header in (alone, together):
                csa = header.private(0x0029, "SIEMENS CSA HEADER", 0x10)
                assert csa is None or len(csa) == 1200 or changes
    if not changes and len({one[-1] for one in lengths}) == 1:
        assert scan.layouts.hits == len(lengths) - 1


class Asking:
    """A function that reads a header in ways that depend on what it has read."""

    def __init__(self, questions):
        self.questions = questions
        self.calls = 0

    def __call__(self, header):
        self.calls += 1
        found = []
        for first, then, otherwise in self.questions:
            value = value_of(header, first)
            found.append((value, value_of(header, then if value in (1, "1", "a") else otherwise)))
        found.append(header.private(0x0019, "SIEMENS MR HEADER", 0x0C))
        found.append(header.has("ReferencedImageSequence"))
        return found


KEYWORDS = ("InstanceNumber", "EchoTime", "Modality", "PatientID", "FlipAngle", "Rows")
CHOICES = st.tuples(*[st.sampled_from(KEYWORDS)] * 3)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(*[st.sampled_from([b"1 ", b"2 ", b"x "])] * 6), min_size=2, max_size=12),
    st.lists(CHOICES, min_size=1, max_size=3),
)
def test_recalled_results_are_those_of_each_file(rows, questions):
    """What is worked out once for alike headers is what each of them would give by itself."""
    places = (
        (0x00180081, "DS"),
        (0x00080060, "CS"),
        (0x00100020, "LO"),
        (0x00181314, "DS"),
        (0x00200013, "IS"),
        (0x0019100C, "IS"),
    )
    scan = _Scan({}, WANTED_PRIVATE)
    recalled, direct = Asking(questions), Asking(questions)
    parts = [Asking([question]) for question in questions]

    def joined(header):
        return [header.recall(part) for part in parts], value_of(header, "Modality")

    headers = []
    for row in rows:
        values = [(*place, value) for place, value in zip(places, row, strict=True)]
        values.append((0x00190010, "LO", b"SIEMENS MR HEADER "))
        made = [element(*one) for one in sorted(values)]
        data = file_of(*made, element(0x7FE00010, "OW", b"pixels"))
        header = scan.read(MemoryBytes("x", data))
        alone = read_header(MemoryBytes("x", data))
        assert header.recall(recalled) == direct(alone)
        assert header.recall(joined) == joined(alone)
        headers.append((header, alone))
    assert recalled.calls <= direct.calls
    for header, alone in headers:
        assert header.recall(joined) == joined(alone)


def test_what_a_file_alone_can_tell_is_never_recalled():
    """A function that reads the file, its name or its full header is asked anew for each."""
    scan = _Scan({}, WANTED_PRIVATE)
    headers = [scan.read(MemoryBytes(name, layout_file())) for name in "ab"]
    assert headers[0].shared is headers[1].shared
    for look in (
        lambda header: header.source.name,
        lambda header: id(header.dataset()),
        lambda header: (header.get("Rows"), header.source.name),
    ):
        assert headers[0].recall(look) != headers[1].recall(look)
