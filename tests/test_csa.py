"""Siemens CSA headers: both versions, damage of every kind, and nibabel's reader."""

from __future__ import annotations

import struct

import pytest
from corpus_oracle import CORPUS
from hypothesis import given, settings
from hypothesis import strategies as st

from imagedata_xr.errors import FormatError
from imagedata_xr.formats.dicom.csa import csa_values, parse_csa
from imagedata_xr.formats.dicom.headers import read_header
from imagedata_xr.sources import LocalFile

TAGS = {
    "EchoLinePosition": ["32"],
    "B_value": ["1000"],
    "DiffusionGradientDirection": ["0.5", "-0.25", "0.8291562"],
    "MosaicRefAcqTimes": ["0.0", "1250.0", "62.5"],
    "UsedChannelMask": [],
}


def csa(tags, *, second=True, spare=3, addition=None):
    """Return a CSA header; empty items follow the values, as the scanner writes them."""
    found = b"SV10\4\3\2\1" if second else b""
    found += struct.pack("<2I", len(tags), 77)
    first = len(next(iter(tags.values()))) + spare
    add = first if addition is None and not second else addition or 0
    for name, values in tags.items():
        items = len(values) + spare
        found += struct.pack(
            "<64si4s3i", name.encode(), len(values), b"FD\0\0", 4, items, 77 if second else 205
        )
        for number in range(items):
            value = values[number].encode() + b"\0" if number < len(values) else b""
            size = len(value)
            head = size + add if size or second else add
            found += struct.pack("<4i", head, size, 77, size) + value + b"\0" * (-size % 4)
    return found


@pytest.mark.parametrize("second", [True, False])
@pytest.mark.parametrize("addition", [None, 0])
def test_versions(second, addition):
    """CSA2, CSA1 with added lengths and CSA1 with plain ones give every tag's values."""
    data = csa(TAGS, second=second, addition=addition)
    assert parse_csa(data) == TAGS
    assert {name: csa_values(data, name) for name in TAGS} == TAGS


def test_one_tag_is_found_by_its_whole_name():
    """A tag whose name ends alike, or a value that contains the name, is not taken for it."""
    tags = {"xxxxB_value": ["7"], "Note": ["xxxB_value"], "B_value": ["5"]}
    assert csa_values(csa(tags), "B_value") == ["5"]
    assert csa_values(csa({"xxxxB_value": ["7"], "Note": ["B_value"]}), "B_value") == []


def test_missing_tag_has_no_values():
    """A tag that is not there has no values."""
    assert csa_values(csa(TAGS), "SliceNormalVector") == []


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"SV10",
        b"SV10\4\3\2\1" + struct.pack("<2I", 1, 76),
        b"SV10\4\3\2\1" + struct.pack("<2I", 0, 77),
        b"SV10\4\3\2\1" + struct.pack("<2I", 1 << 30, 77),
        struct.pack("<2I", 1, 77) + b"\0" * 20,
        csa(TAGS)[:-4],
        csa(TAGS).replace(struct.pack("<i", 4) + struct.pack("<i", 6), b"\xff" * 8),
    ],
)
def test_damage(data):
    """Headers that are cut off, or promise what is not there, raise FormatError."""
    with pytest.raises(FormatError, match="CSA header"):
        parse_csa(data)


def test_huge_item():
    """An item that claims more bytes than there are raises, and allocates nothing."""
    data = bytearray(csa({"B_value": ["1000"]}))
    struct.pack_into("<4i", data, 16 + 84, 1 << 30, 1 << 30, 77, 1 << 30)
    for read in (parse_csa, lambda raw: csa_values(raw, "B_value")):
        with pytest.raises(FormatError, match="B_value"):
            read(bytes(data))


@settings(max_examples=300, deadline=None)
@given(st.data(), st.booleans())
def test_any_damage_is_a_format_error(data, second):
    """Whatever bytes are changed or cut off, nothing but FormatError is raised."""
    raw = bytearray(csa(TAGS, second=second))
    for _ in range(data.draw(st.integers(0, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(raw[: data.draw(st.integers(0, len(raw)))])
    for read in (parse_csa, lambda raw: csa_values(raw, "B_value")):
        try:
            read(cut)
        except FormatError:
            continue


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes(data):
    """Bytes of any kind are read or raise FormatError."""
    try:
        parse_csa(data)
    except FormatError:
        return


@pytest.mark.skipif(not CORPUS.is_dir(), reason=f"no corpus at {CORPUS}")
@pytest.mark.filterwarnings("ignore:The DICOM readers are highly experimental")
@pytest.mark.parametrize("low", [0x10, 0x20])
@pytest.mark.parametrize(
    "name", ["mr_siemens_mosaic_dwi_2axis", "mr_siemens_mosaic_jpeg", "mr_siemens_fmap_magphase"]
)
def test_real_headers_are_read_as_nibabel_reads_them(name, low):
    """Every tag of a real header has the values that nibabel finds."""
    from nibabel.nicom import csareader

    path = next(p for p in sorted((CORPUS / name / "dicom").rglob("*")) if p.is_file())
    data = read_header(LocalFile(str(path))).private(0x29, "SIEMENS CSA HEADER", low)
    expected = csareader.read(data)["tags"]
    found = parse_csa(data)
    assert found.keys() == expected.keys()
    for tag, values in found.items():
        items = [item for item in expected[tag]["items"] if item not in ("", b"")]
        assert len(values) == len(items), tag
        for value, item in zip(values, items, strict=True):
            assert float(value) == item if not isinstance(item, str) else value == item.strip()
        assert csa_values(data, tag) == values
