"""Names made of header values: safe, readable, and each given once."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagedata_xr.errors import OptionError
from imagedata_xr.naming import Names, clean, fields


@given(st.lists(st.tuples(st.text(max_size=300), st.text(max_size=300)), max_size=5))
def test_any_header_makes_a_file_below_the_folder(texts):
    """Whatever headers say, files can be made, lie two levels below the folder, and none twice."""
    names = Names("{PatientID}/{SeriesDescription}")
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made).resolve()
        for number, (patient, description) in enumerate(texts):
            values = {"PatientID": patient, "SeriesDescription": description}
            path = folder / names.of(values, key=number)
            assert path.resolve().relative_to(folder).parts.__len__() == 2
            path.parent.mkdir(exist_ok=True)
            path.open("x").close()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("../../etc", "etc"),
        ("..", "_"),
        ("", "_"),
        (None, "_"),
        ("a/b\\c", "a_b_c"),
        ("CON", "_CON"),
        ("nul.txt", "_nul.txt"),
        ("Müller^Åse", "Müller_Åse"),
        ("山田^太郎", "山田_太郎"),
        ("e\u0301", "é"),
        ("a\0\n\tb ", "a_b"),
        (["ORIGINAL", "PRIMARY"], "ORIGINAL_PRIMARY"),
        (".hidden.", "hidden"),
    ],
)
def test_texts(text, name):
    """No separator, no way up, no device of Windows; letters of all scripts stay."""
    assert clean(text) == name


def test_templates():
    """Missing values are named, numbers formatted, names that differ by case told apart."""
    names = Names("{PatientID}/{SeriesNumber:04d}_{SeriesDescription}")
    one = {"PatientID": "P", "SeriesNumber": 3, "SeriesDescription": "t1"}
    assert names.of(one, key=1) == "P/0003_t1"
    assert names.of(one | {"SeriesDescription": "T1"}, key=2) == "P/0003_T1_2"
    assert names.of(one, key=1) == "P/0003_t1"
    assert names.of({"SeriesDescription": "x"}, key=3) == "no_PatientID/x"
    assert names.of({}, key=4) == "no_PatientID/no_SeriesNumber"
    assert fields("{PatientID}/{SeriesNumber:04d}_{PatientID}") == ("PatientID", "SeriesNumber")


@pytest.mark.parametrize(
    "template",
    [
        "",
        "/{PatientID}",
        "../{PatientID}",
        "a//b",
        "{Patient",
        "{a.b}",
        "{a[0]}",
        "{a!r}",
        "{}",
        "~/x",
    ],
)
def test_templates_that_mean_nothing(template):
    """A template that is absolute, leads upwards or asks for more than a keyword is an error."""
    with pytest.raises(OptionError, match="template"):
        Names(template)
    with pytest.raises(OptionError, match="cannot be written"):
        Names("{SeriesNumber:04d}").of({"SeriesNumber": "three"}, key=1)
