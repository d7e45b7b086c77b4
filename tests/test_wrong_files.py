"""The table of `docs/reference/damaged-files.md`: what wrong but well-formed files give."""

from __future__ import annotations

import functools
import warnings
from pathlib import Path

import numpy as np
import pytest
import wrong_files as wrong
import xarray as xr
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from fuzzing.seeds import files_of
from imagedata_xr import errors
from imagedata_xr.errors import ImagedataError, ImagedataWarning
from imagedata_xr.testing import Phantom

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "damaged-files.md"
SERIES = Phantom(
    axes={"te": [5, 10]},
    shape=(3, 4, 5),
    orientation="oblique",
    rescale=(2, 10),
    attributes={"PatientName": "Test^Name", "SpecificCharacterSet": "ISO_IR 100"},
)
EXPLICIT, IMPLICIT = ExplicitVRLittleEndian, ImplicitVRLittleEndian
KANJI = b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B"
MULLER = "Müller^A".encode("latin-1")


def spoilt(keyword, value):
    return wrong.raw(keyword, value)


def stretched(factor):
    return wrong.values(
        "ImageOrientationPatient",
        lambda text: "\\".join(f"{float(n) * factor:.12g}" for n in text.split("\\")),
    )


# Change, what it gives in all files of the series, and in one of them.
def narrow(file):
    dataset = wrong.dataset_of(file)
    dataset.BitsStored, dataset.HighBit = 15, 14
    return wrong.saved(dataset)


def turned(file):
    dataset = wrong.dataset_of(file)
    dataset.Rows, dataset.Columns = dataset.Columns, dataset.Rows
    return wrong.saved(dataset)


ROWS = {
    "no PatientID": (wrong.without("PatientID"), "array", "MultipleSeriesError"),
    "no StudyInstanceUID": (wrong.without("StudyInstanceUID"), "array", "MultipleSeriesError"),
    "no SeriesInstanceUID": (wrong.without("SeriesInstanceUID"), "array", "MultipleSeriesError"),
    "no SOPInstanceUID": (wrong.without("SOPInstanceUID"), "array", "array"),
    "no SOPClassUID, Modality, InstanceNumber or SliceThickness": (
        wrong.without("SOPClassUID", "Modality", "InstanceNumber", "SliceThickness"),
        "array",
        "array",
    ),
    "no ImagePositionPatient": (
        wrong.without("ImagePositionPatient"),
        "array without places",
        "MultipleStacksError",
    ),
    "no ImageOrientationPatient": (
        wrong.without("ImageOrientationPatient"),
        "GeometryError",
        "GeometryError",
    ),
    "no PixelSpacing": (wrong.without("PixelSpacing"), "GeometryError", "GeometryError"),
    "no RescaleSlope, but RescaleIntercept": (
        wrong.without("RescaleSlope"),
        "other values, DataWarning",
        "FormatError",
    ),
    "no RescaleIntercept, but RescaleSlope": (
        wrong.without("RescaleIntercept"),
        "other values, DataWarning",
        "FormatError",
    ),
    "neither RescaleSlope nor RescaleIntercept": (
        wrong.without("RescaleSlope", "RescaleIntercept"),
        "stored values",
        "FormatError",
    ),
    "no Rows": (wrong.without("Rows"), "FormatError", "FormatError"),
    "IS `12.0`, `12.5`, empty, of letters or too large (InstanceNumber)": (
        [spoilt("InstanceNumber", v) for v in ("12.0", "12.5", "", "abc", "9" * 20)],
        "array",
        "array",
    ),
    "DS with spaces, a sign, an exponent or more than 16 characters": (
        [spoilt("RescaleSlope", v) for v in (" 2 ", "+2.0E0", "0.2e1", "2.00000000000000000000")],
        "array",
        "array",
    ),
    "DS with a comma, of letters, `nan` or infinite (RescaleSlope)": (
        [spoilt("RescaleSlope", v) for v in ("2,0", "two", "nan", "1e400")],
        "FormatError",
        "FormatError",
    ),
    "RescaleSlope 0": (spoilt("RescaleSlope", "0"), "FormatError", "FormatError"),
    "EchoTime with a comma": (spoilt("EchoTime", "7,5"), "FormatError", "FormatError"),
    "EchoTime of another echo": (spoilt("EchoTime", "7.5"), "no te", "IncompleteGridError"),
    "PixelSpacing 0 or negative": (
        [spoilt("PixelSpacing", v) for v in ("0\\0", "-1\\1")],
        "GeometryError",
        "GeometryError",
    ),
    "PixelSpacing of one number": (spoilt("PixelSpacing", "1.5"), "FormatError", "FormatError"),
    "cosines that are no numbers, or too few": (
        [spoilt("ImageOrientationPatient", v) for v in ("nan\\0\\0\\0\\1\\0", "1\\0\\0\\0\\1")],
        "FormatError",
        "FormatError",
    ),
    "cosines that are zero, not perpendicular, or 1.2 times as long": (
        [
            spoilt("ImageOrientationPatient", "0\\0\\0\\0\\0\\0"),
            spoilt("ImageOrientationPatient", "1\\0\\0\\0.5\\1\\0"),
            stretched(1.2),
        ],
        "GeometryError",
        "GeometryError",
    ),
    "cosines that are off by rounding": (stretched(1.000001), "array", "array"),
    "private creators missing or double": (
        [wrong.creators(), wrong.creators("SIEMENS MR HEADER", "SIEMENS MR HEADER")],
        "array",
        None,
    ),
    "position as FD, Rows as UL or IS": (
        [
            lambda file: wrong.raw(
                "ImagePositionPatient",
                np.array(wrong.dataset_of(file).ImagePositionPatient, "<f8").tobytes(),
                "FD",
            )(file),
            wrong.raw("Rows", b"\4\0\0\0", "UL"),
            wrong.raw("Rows", "4 ", "IS"),
        ],
        "array",
        "array",
    ),
    "position as text (LO)": (
        lambda file: wrong.raw(
            "ImagePositionPatient",
            "\\".join(map(str, wrong.dataset_of(file).ImagePositionPatient)),
            "LO",
        )(file),
        "FormatError",
        "FormatError",
    ),
    "sequences, and VR UN, of undefined length": (
        [wrong.undefined_sequence, wrong.undefined_unknown],
        "array",
        "array",
    ),
    "a value of odd length": (
        wrong.odd_length,
        "array named Odd^Name^",
        "array without a name, DataWarning",
    ),
    "group lengths that are wrong": (wrong.group_lengths, "array", "array"),
    "characters of ISO 2022 (Kanji)": (
        wrong.named("\\ISO 2022 IR 87", KANJI),
        "array named Yamada^Tarou=山田^太郎",
        "array without a name, DataWarning",
    ),
    "characters of GB18030": (
        wrong.named("GB18030", "王^小东".encode("gb18030")),
        "array named 王^小东",
        "array without a name, DataWarning",
    ),
    "characters that are not of the declared set": (
        wrong.named("ISO_IR 192", MULLER),
        "array named M\ufffdller^A, DataWarning",
        "array without a name, DataWarning",
    ),
    "a character set that is not known, or none": (
        [wrong.named("NOSUCH", MULLER), wrong.named("", MULLER)],
        "array named Müller^A",
        "array without a name, DataWarning",
    ),
    "implicit VR declared as explicit, or explicit as implicit": (
        [("implicit", wrong.said(EXPLICIT)), ("explicit", wrong.said(IMPLICIT))],
        "array",
        "array",
    ),
    "big endian, or deflated, declared as little endian": (
        [("big", wrong.said(EXPLICIT)), ("deflated", wrong.said(EXPLICIT))],
        "FormatError",
        "FormatError",
    ),
    "no preamble, no file meta information, or none that is right": (
        [wrong.no_preamble, wrong.no_meta, wrong.no_syntax, wrong.wrong_meta_length],
        "array",
        "array",
    ),
    "zeros or garbage behind the data set": ([wrong.padded, wrong.trailing], "array", "array"),
    "ends in the header, or in the pixels": (
        [wrong.in_header, wrong.in_pixels],
        "FormatError",
        "FormatError",
    ),
    "empty": (wrong.nothing, "NoImagesError", "FormatError"),
    "another PatientID": (spoilt("PatientID", "SOMEBODY"), "array", "MultipleSeriesError"),
    "another PatientName, under the same PatientID": (
        wrong.raw("PatientName", "Else^Somebody "),
        "array named Else^Somebody",
        "array without a name, DataWarning",
    ),
    "another BitsStored or PixelRepresentation": (
        [narrow, wrong.raw("PixelRepresentation", b"\1\0")],
        "array",
        "array, DataWarning",
    ),
    "Rows and Columns swapped": (turned, None, "MultipleStacksError"),
    "MONOCHROME1 for MONOCHROME2": (
        spoilt("PhotometricInterpretation", "MONOCHROME1"),
        "array",
        "MultipleStacksError",
    ),
}


def rows():
    """Return the rows of the page: what is wrong, and both outcomes."""
    lines = PAGE.read_text(encoding="utf-8").partition("\n## ")[0].splitlines()
    table = [line.strip("|").split("|") for line in lines if line.startswith("| ")][1:]
    return {cells[0].strip(): [cell.strip() for cell in cells[1:3]] for cells in table}


def test_every_row_is_tested():
    """The page says what the tests below prove, no more and no less."""
    shown = {
        name: [outcome.replace("`", "") or None for outcome in outcomes]
        for name, outcomes in rows().items()
    }
    assert shown == {name: list(row[1:]) for name, row in ROWS.items()}


CASES = [
    pytest.param(change, outcome, whole, id=f"{name}, {'all' if whole else 'one'} {k}")
    for name, (changes, in_all, in_one) in ROWS.items()
    for k, change in enumerate(changes if isinstance(changes, list) else [changes])
    for outcome, whole in ((in_all, True), (in_one, False))
    if outcome is not None
]


@pytest.mark.parametrize(("change", "outcome", "whole"), CASES)
def test_row(change, outcome, whole):
    """Files that are wrong in this way give the array, an array that says so, or an error."""
    syntax, change = change if isinstance(change, tuple) else ("explicit", change)
    plain, source = files("explicit"), files(syntax)
    changed = [change(source[k]) if whole or k == 1 else plain[k] for k in range(len(plain))]
    if outcome.endswith("Error"):
        with pytest.raises(ImagedataError) as caught:
            opened(changed)
        assert type(caught.value) is getattr(errors, outcome)
        return
    outcome, _, warned = outcome.partition(", ")
    da, kinds = opened(changed)
    assert kinds == ({getattr(errors, warned)} if warned else set())
    truth = undamaged()
    if outcome == "array without places":
        assert not {"slice"} & {*da.dims}
        np.testing.assert_array_equal(da.values.reshape(truth.shape), truth.values)
        return
    if outcome in ("other values", "stored values"):
        stored = (truth.values - 10) / 2
        expected = {"other values": (stored + 10, stored * 2), "stored values": (stored,)}
        assert any(np.array_equal(da.values, values) for values in expected[outcome])
        return
    np.testing.assert_array_equal(da.values, truth.values)
    for name in ("slice", "row", "column"):
        np.testing.assert_allclose(da[name], truth[name], atol=1e-4)
    if outcome == "no te":
        assert "te" not in da.dims
    elif outcome == "array without a name":
        assert "PatientName" not in da.attrs
    elif outcome.startswith("array named "):
        assert da.attrs["PatientName"] == outcome.removeprefix("array named ")
    else:
        assert outcome == "array"


@functools.cache
def files(syntax):
    return files_of(SERIES.replace(transfer_syntax=syntax))


@functools.cache
def undamaged():
    return opened(files("explicit"))[0]


def opened(files):
    """Open files in memory; return the array and the kinds of warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        da = xr.open_dataarray(files, engine="dicom").load()
    return da, {one.category for one in caught if issubclass(one.category, ImagedataWarning)}


def others(change, second=lambda file: file):
    """Return the files of the series, two of them changed."""
    plain = files("explicit")
    return [plain[0], change(plain[1]), second(plain[2]), *plain[3:]]


def test_two_patients_with_the_same_uids():
    """A copy of an image under another patient's name is no copy: it is never dropped as one."""
    plain = files("explicit")
    other = [spoilt("PatientID", "SOMEBODY")(file) for file in plain]
    for mixed in ([*plain, *other], [*other, *plain], [plain[0], *other[1:]]):
        with pytest.raises(errors.MultipleSeriesError, match="2 patients"):
            opened(mixed)
    tree = xr.open_datatree([*plain, *other], engine="dicom")
    assert not any("image" in node.data_vars for node in tree.subtree)


def test_two_names_without_an_id():
    """Without any PatientID, images of two names are not put into one array; no text has them."""
    nameless = [wrong.without("PatientID")(file) for file in files("explicit")]
    mixed = [*nameless[:1], wrong.raw("PatientName", "Else^Somebody ")(nameless[1]), *nameless[2:]]
    with pytest.raises(errors.MultipleSeriesError, match="no PatientID, and 2 names") as caught:
        opened(mixed)
    assert "Somebody" not in str(caught.value)
    name = str(wrong.dataset_of(nameless[0]).PatientName).upper() + "^^ "
    same = [wrong.raw("PatientName", name)(file) for file in nameless[:1]]
    da, kinds = opened([*same, *nameless[1:]])
    assert da.shape == undamaged().shape
    assert not kinds


def test_warnings_name_the_file(tmp_path):
    """The file that says what the others do not is named, and the patient is not."""
    for k, file in enumerate(others(wrong.raw("PatientName", "Else^Somebody "))):
        (tmp_path / f"{k}.dcm").write_bytes(file)
    with pytest.warns(errors.DataWarning, match=r"1\.dcm: has another PatientName") as caught:
        xr.open_dataarray(tmp_path, engine="dicom")
    assert "Somebody" not in str(caught[0].message)


@pytest.mark.parametrize("k", [0, -1])
def test_what_no_reader_can_see(k):
    """Where nothing contradicts a file, it is believed: an end slice gone, pixels exchanged."""
    plain, truth = files("explicit"), undamaged()
    shorter = [file for file in plain if slice_of(file) != slice_of(plain[k])]
    da, kinds = opened(shorter)
    assert not kinds
    assert da.sizes["slice"] == truth.sizes["slice"] - 1
    np.testing.assert_array_equal(da.values, truth.sel(slice=da.slice).values)
    exchanged = [wrong.saved(one) for one in with_pixels_of_each_other(plain[0], plain[1])]
    da, kinds = opened([*exchanged, *plain[2:]])
    assert not kinds
    assert (da.values != truth.values).any(axis=(-1, -2)).sum() == 2


def slice_of(file):
    return tuple(wrong.dataset_of(file).ImagePositionPatient)


def with_pixels_of_each_other(*files):
    one, other = map(wrong.dataset_of, files)
    one.PixelData, other.PixelData = other.PixelData, one.PixelData
    return one, other
