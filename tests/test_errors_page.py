"""The texts in docs/reference/errors.md are those that the package really gives."""

from __future__ import annotations

import pickle
import re
import sys
import warnings
from pathlib import Path

import pytest
import xarray as xr

from imagedata_xr import errors
from imagedata_xr.errors import ImagedataError, ImagedataWarning
from imagedata_xr.testing import (
    Phantom,
    change_header,
    drop_file,
    duplicate_file,
    truncate_file,
    write_series,
)
from imagedata_xr_cli import family

pytest.importorskip("nibabel")

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "errors.md"
DYNAMIC = Phantom(axes={"time": [0, 2.5, 5]}, shape=(3, 6, 5))
ABSTRACT = {"ImagedataError", "ImagedataWarning", "SortError", "TransportError"}
# Their texts name servers and ports; the tests of the transports bring them about.
OF_SERVERS = {
    "AuthenticationError",
    "InsecureWarning",
    "PartialReadError",
    "PartialWriteError",
    "PeerConnectionError",
    "RejectedError",
}


def opened(path, **options):
    return xr.open_dataarray(path, engine="dicom", progress=False, **options)


def written(phantom=DYNAMIC, name="dicom"):
    """Write the phantom, and return its files in the order of their numbers."""
    return write_series(phantom, name)


def dynamic():
    written()
    return opened("dicom")


def source():
    Path("cut.zip").write_bytes(b"PK\3\4")
    opened("cut.zip")


def not_found():
    opened("dicmo")


def no_images():
    Path("notes").mkdir()
    Path("notes/protocol.txt").write_text("no image", encoding="utf-8")
    opened("notes")


def damaged():
    truncate_file(written()[1])
    opened("dicom")


def skipped():
    truncate_file(written(Phantom(axes={"time": [0, 2.5]}, shape=(1, 6, 5)))[1])
    opened("dicom", errors="warn")


def pixels():
    file = write_series(Phantom(transfer_syntax="rle"), "dicom")[1]
    file.write_bytes(file.read_bytes().replace(b"\x02\0\0\0@\0\0\0P\0\0\0", bytes(12)))
    opened("dicom").load()


def option():
    written()
    opened("dicom", sort=3)


def several_series():
    for number, text in enumerate(("localizer", "t1_vibe"), start=1):
        attributes = {"SeriesNumber": number, "SeriesDescription": text}
        written(Phantom(series=number, attributes=attributes), f"study/{number}")
    opened("study")


def several_stacks():
    written(Phantom(shape=(2, 6, 5)), "dicom/a")
    for number, path in enumerate(written(Phantom(shape=(2, 8, 5)), "dicom/b")):
        change_header(path, SOPInstanceUID=f"2.25.{number}")
    opened("dicom")


def incomplete():
    drop_file(written()[4])
    opened("dicom")


def duplicate():
    copy = duplicate_file(written()[0])
    change_header(copy, ImagePositionPatient=[1, 2, 3])
    opened("dicom")


def copies():
    duplicate_file(written()[0])
    opened("dicom")


def projected():
    _ = dynamic().max("slice").med.affine


def other_grid():
    written(Phantom(spacing=(4.5, 2.5, 1.5), shape=(3, 6, 5)), "other")
    _ = dynamic() - opened("other")


def averaged():
    dynamic().mean("time").med.header(slice=0)


def no_nibabel():
    series = dynamic()
    hidden = sys.modules.get("nibabel")
    sys.modules["nibabel"] = None
    try:
        series.med.to_nifti("a.nii.gz")
    finally:
        sys.modules["nibabel"] = hidden


def nowhere():
    dynamic().med.to_nifti("nowhere/a.nii.gz")


def uneven():
    files = written(Phantom(shape=(4, 6, 5)))
    drop_file(files[1])
    opened("dicom")


def without_sidecar():
    written(Phantom(axes={"time": [0, 1, 5]}))
    opened("dicom").med.to_nifti("a.nii.gz", sidecar=False)


CASES = {
    "SourceError": source,
    "SourceNotFoundError": not_found,
    "NoImagesError": no_images,
    "FormatError": damaged,
    "PixelError": pixels,
    "OptionError": option,
    "MultipleSeriesError": several_series,
    "MultipleStacksError": several_stacks,
    "IncompleteGridError": incomplete,
    "DuplicateFrameError": duplicate,
    "GeometryError": projected,
    "GridMismatchError": other_grid,
    "HeaderError": averaged,
    "MissingDependencyError": no_nibabel,
    "WriteError": nowhere,
    "DuplicateWarning": copies,
    "SpacingWarning": uneven,
    "SkippedFileWarning": skipped,
    "DataWarning": without_sidecar,
}


def said(case):
    """Run a case, and return the text of its error or of its one warning."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            case()
        except ImagedataError as error:
            return f"{type(error).__name__}: {error}"
    own = [w.message for w in caught if issubclass(w.category, ImagedataWarning)]
    (message,) = own
    return f"{type(message).__name__}: {message}"


@pytest.mark.parametrize("name", CASES)
def test_text(name, tmp_path, monkeypatch):
    """A short script gives the very text that the page shows."""
    monkeypatch.chdir(tmp_path)
    shown = re.findall(r"^```text\n(.*?)\n```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    texts = {text.split(":")[0]: text for text in shown}
    assert said(CASES[name]) == texts.pop(name)
    assert set(texts) == set(CASES) - {name}


def test_all_errors_are_there():
    """The page has a row for each error and warning of the package."""
    rows = re.findall(r"^\| `(\w+)`", PAGE.read_text("utf-8"), re.MULTILINE)
    assert set(rows) == set(errors.__all__) - ABSTRACT
    assert set(CASES) | OF_SERVERS == set(rows)


def test_a_traceback_leads_to_the_page(capsys):
    """The note of every error and the name of every warning bring up what the page says of it."""
    for name in sorted(errors.__all__):
        if name in ABSTRACT | {"SortError"}:
            continue
        kind = getattr(errors, name)
        command = f"explain {name}"
        if issubclass(kind, ImagedataError):
            (note,) = kind("text").__notes__
            command = note.removeprefix("More: imagedata-xr ")
            assert pickle.loads(pickle.dumps(kind("text"))).__notes__ == [note]
        assert family.main(command.split()) == 0
        assert f"{name}\n\nWhen: " in capsys.readouterr().out
    assert family.main(["explain", "KeyError"]) == 2


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("RejectedError", {"status": 409}),
        ("PartialReadError", {"manifest": None, "missing": ("1.2",)}),
        ("PartialWriteError", {"receipt": "a receipt"}),
        ("IncompleteGridError", {"suggestions": ({"series": 1},)}),
    ],
)
def test_errors_with_more_than_a_text(name, more):
    """What an error carries beside its text is there, also after it came from another process."""
    error = getattr(errors, name)("text", **more)
    for one in (error, pickle.loads(pickle.dumps(error))):
        assert str(one).startswith("text")
        assert {key: getattr(one, key) for key in more} == more
        assert len(one.__notes__) == 1
