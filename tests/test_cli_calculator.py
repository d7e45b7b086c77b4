"""The calculator: what expressions mean, what they may not hold, and what the command writes."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from imagedata_xr.cli.casting import cast
from imagedata_xr.cli.expression import FUNCTIONS, evaluate
from imagedata_xr.errors import ImagedataError, OptionError
from imagedata_xr.testing import Phantom, write_series
from imagedata_xr_cli import calculator, timeline

DYNAMIC = Phantom(axes={"time": [0, 2.5, 5]})


def array(values):
    return xr.DataArray(np.asarray(values), dims=("time", "row"), attrs={"units": "HU"})


A = array(np.array([[1, 2, 3], [40000, 50000, 60000]], np.uint16))
B = array(np.array([[2, 2, 2], [60000, 60000, 60000]], np.uint16))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a - b", [[-1, 0, 1], [-20000, -10000, 0]]),
        ("(a + b) / 2", [[1.5, 2, 2.5], [50000, 55000, 60000]]),
        ("a * a", [[1, 4, 9], [16e8, 25e8, 36e8]]),
        ("-a ** 2 + 1", [[0, -3, -8], [1 - 16e8, 1 - 25e8, 1 - 36e8]]),
        ("a // 2 + a % 2", [[1, 1, 2], [20000, 25000, 30000]]),
        ("sqrt(a * a)", A.values),
        ("clip(a, 2, 100)", [[2, 2, 3], [100, 100, 100]]),
        ("where(a > b, a, -1)", [[-1, -1, 3], [-1, -1, -1]]),
        ("(a > 1) + (a > 2)", [[0, 1, 2], [2, 2, 2]]),
        ("nan_to_num(log(a - 1), 7) * 0", [[0, 0, 0], [0, 0, 0]]),
        ("a - mean(a, 'row')", [[-1, 0, 1], [-10000, 0, 10000]]),
        ("a - mean(a, row)", [[-1, 0, 1], [-10000, 0, 10000]]),
        ("a * 0 + max(a)", [[60000] * 3] * 2),
        ("1 <= a < 3", [[True, True, False], [False] * 3]),
        ("not a > 2", [[True, True, False], [False] * 3]),
        ("(a > 2) & (b > 2) | (a == 1)", [[True, False, False], [True] * 3]),
        ("a > 2 and b > 2 or a == 1", [[True, False, False], [True] * 3]),
        ("maximum(a, b) - fmin(a, b)", [[1, 0, 1], [20000, 10000, 0]]),
        ("pi * a / pi", A.values),
    ],
)
def test_expressions(text, expected):
    """Values are those of real numbers: nothing wraps at the end of the stored type."""
    np.testing.assert_allclose(evaluate(text, {"a": A, "b": B}).values, expected, rtol=1e-12)


def test_attributes_are_kept():
    """Every kind of expression keeps what is said of the first image."""
    for text in ("a + b", "where(a > 2, 1, 0)", "nan_to_num(a)", "clip(a, 1, 2)", "mean(a, time)"):
        assert evaluate(text, {"a": A, "b": B}).attrs == {"units": "HU"}, text


@pytest.mark.parametrize(
    "text",
    [
        *("", "a +", "a b", "a; b", "c + 1", "a.values", "a[0]", "a.__class__", "[a]", "{}", "'x'"),
        *(
            "lambda: a",
            "__import__('os')",
            "open('x')",
            "eval('1')",
            "exec('1')",
            "getattr(a, 'x')",
        ),
        *("(x := a)", "a if b else a", "[i for i in a]", "f'{a}'", "sum(a, dim='row')", "sqrt()"),
        *(
            "mean(a, slice)",
            "mean(1)",
            "where(a)",
            "sqrt(a, b)",
            "sqrt(*a)",
            "a @ b",
            "a << 1",
            "a is b",
            "None",
        ),
        *("(" * 300 + "a" + ")" * 300, "-" * 3000 + "a", "+".join("a" * 3000), "\0", "a" * 5000),
        "a" + "+a" * 100,
    ],
)
def test_nothing_else_has_a_meaning(text):
    """Whatever is no arithmetic of images is an error that names it, and runs nothing."""
    with pytest.raises(OptionError):
        evaluate(text, {"a": A, "b": B})


def test_huge_numbers_are_infinite():
    """Powers that Python would compute for ever are real numbers here."""
    assert evaluate("9**9**9**9", {}) == np.inf
    with pytest.raises(OptionError, match="too large"):
        evaluate("9" * 400, {})


@given(st.text(alphabet="ab019.+-*/()<>=&|~, 'timeslx_[]{}:;\\n@!", max_size=40))
def test_any_text_is_a_value_or_an_error(text):
    """No text raises anything but an error of the package."""
    try:
        found = evaluate(text, {"a": A, "b": B})
    except ImagedataError:
        return
    assert isinstance(found, xr.DataArray | float | bool | np.bool_)


def test_every_function_is_there():
    """All functions that the help of an error lists can be called."""
    for name in FUNCTIONS:
        arguments = {"where": "a > 1, a, b", "clip": "a, 1, 2"}
        two = ("arctan2", "hypot", "minimum", "maximum", "fmin", "fmax")
        text = f"{name}({arguments.get(name, 'a, b' if name in two else 'a')})"
        assert isinstance(evaluate(text, {"a": A, "b": B}), xr.DataArray), name


@pytest.mark.parametrize(
    ("values", "name", "expected"),
    [
        ([1.0, 255.0], "uint8", "uint8"),
        ([True, False], "uint8", "uint8"),
        ([0, 1], "bool", "bool"),
        ([1.5, -2], "float", "float64"),
        ([1.1, 2], "float32", "float32"),
        ([1, 2], "int", "int32"),
    ],
)
def test_cast(values, name, expected):
    """Values that fit are converted."""
    found = cast(xr.DataArray(values), name)
    assert found.dtype == expected
    np.testing.assert_allclose(found.values, np.asarray(values, float), rtol=1e-6)


@pytest.mark.parametrize(
    ("values", "name", "said"),
    [
        ([1.0, 256.0], "uint8", "clip"),
        ([-1], "uint16", "clip"),
        ([2], "bool", "from 0 to 1"),
        ([1.5], "int16", "rint"),
        ([np.nan], "int16", "no numbers"),
        ([1e300], "float32", "too large"),
        ([1j], "float32", "complex"),
        ([1j], "uint8", "complex"),
        ([1], "U5", "give a type"),
    ],
)
def test_cast_never_changes_a_value(values, name, said):
    """A value that does not fit is an error with the remedy."""
    with pytest.raises(OptionError, match=said):
        cast(xr.DataArray(values), name)


@pytest.fixture
def dicom(tmp_path):
    write_series(DYNAMIC, tmp_path / "dicom")
    return tmp_path / "dicom"


def test_mean_of_two_series(tmp_path, dicom, capsys):
    """The result is a derived series of the same patient on the same grid."""
    out = tmp_path / "mean"
    assert calculator.main([str(out), "(a + b) / 2 + 0.5", str(dicom), str(dicom)]) == 0
    assert f"{out}: dicom, float64, time 3 x slice 4" in capsys.readouterr().out
    found = xr.open_dataarray(out, engine="dicom")
    source = xr.open_dataarray(dicom, engine="dicom")
    np.testing.assert_allclose(found.values, source.values + 0.5, atol=0.02)
    np.testing.assert_allclose(found.med.affine, source.med.affine, atol=1e-6)
    assert found.attrs["PatientID"] == source.attrs["PatientID"]
    assert found.attrs["ImageType"][0] == "DERIVED"


def test_result_without_dimension(tmp_path, dicom, capsys):
    """A mean over time is a volume at the same place."""
    arguments = [str(tmp_path / "base.nii"), "mean(a, 'time')", str(dicom), "-q"]
    assert calculator.main(arguments) == 0
    found = xr.open_dataarray(tmp_path / "base.nii", engine="nifti")
    source = xr.open_dataarray(dicom, engine="dicom")
    difference = abs(found - source.mean("time"))
    assert difference.sizes == {"slice": 4, "row": 6, "column": 5}
    assert float(difference.max()) < 1e-6
    assert capsys.readouterr().out == ""


def test_parts_of_grids_are_refused(tmp_path, dicom, capsys):
    """Images of which only a part coincides are not cut to that part without a word."""
    write_series(DYNAMIC.replace(axes={"time": [0, 2.5]}), tmp_path / "short")
    arguments = [str(tmp_path / "out"), "a + b", str(dicom), str(tmp_path / "short")]
    assert calculator.main(arguments) == 1
    assert "3 and 2 steps along time" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_number_is_no_image(tmp_path, dicom, capsys):
    """An expression without an image is an error, and nothing is written."""
    assert calculator.main([str(tmp_path / "out"), "1 + 1", str(dicom)]) == 1
    assert "is a number, not an image: 2" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_timeline(dicom, tmp_path, capsys):
    """Times are printed as a line, a column or JSON; a series without is an error."""
    assert timeline.main([str(dicom)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "0 2.5 5"
    assert timeline.main(["-1", str(dicom)]) == 0
    assert capsys.readouterr().out == "t [s]\n0\n2.5\n5\n"
    assert timeline.main(["--json", str(dicom)]) == 0
    assert '"time": [0.0, 2.5, 5.0]' in capsys.readouterr().out
    write_series(Phantom(), tmp_path / "still")
    assert timeline.main([str(tmp_path / "still")]) == 1
    assert "the series has no times" in capsys.readouterr().err
