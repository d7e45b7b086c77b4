"""Copies made of bytes are the files that pydicom writes."""

from __future__ import annotations

import os
import uuid
import warnings
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pydicom
import pytest
import xarray as xr

from imagedata_xr.errors import ImagedataError, ImagedataWarning
from imagedata_xr.formats.dicom.write import patch, series, to_dicom, uids
from imagedata_xr.testing import Phantom, write_series

ROOT = Path(__file__).resolve().parent.parent
CORPUS = Path(os.environ.get("IMAGEDATA_XR_CORPUS", ROOT.parent / "shared" / "corpus"))
FOLDERS = sorted(f / "dicom" for f in CORPUS.glob("*") if (f / "dicom").is_dir())


@pytest.fixture
def both_ways(tmp_path, monkeypatch):
    """Return a function that writes an image in the fast and in the slow way, with the same UIDs."""
    patched = Counter()

    def counted(path, parts):
        patched.update(n=1)
        patch.write_file(path, parts)

    def write(da, **options):
        found = {}
        for name in ("fast", "slow"):
            with monkeypatch.context() as changed:
                numbers = (uuid.UUID(int=number) for number in range(1, 1 << 20))
                counter = SimpleNamespace(uuid4=numbers.__next__)
                changed.setattr(uids, "uuid", counter)
                if name == "slow":
                    changed.setattr(series._Series, "patches", lambda _: None)
                else:
                    changed.setattr(series, "write_file", counted)
                target = to_dicom(
                    da, tmp_path / f"{name} {len(list(tmp_path.iterdir()))}", **options
                )
            found[name] = [path.read_bytes() for path in sorted(target.iterdir())]
        return found["fast"], found["slow"], patched["n"]

    return write


def opened(folder, **options):
    """Open a series, whatever it warns of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImagedataWarning)
        return xr.open_dataarray(folder, engine="dicom", **options)


@pytest.mark.parametrize("vendor", ["siemens", "ge", "philips"])
@pytest.mark.parametrize(
    "options",
    [{}, {"keep_uid": True}, {"SeriesDescription": "odd", "SeriesNumber": 7, "PatientAge": None}],
)
def test_phantoms(tmp_path, both_ways, vendor, options):
    """The bytes are the same: lazy, in memory, reordered and chosen, with attributes of the caller."""
    phantom = Phantom(axes={"te": [10, 20]}, vendor=vendor, shape=(3, 7, 5), dtype="uint8")
    write_series(phantom, tmp_path / "in")
    da = opened(tmp_path / "in")
    images = [da, da.copy().load(), da.isel(te=[1], slice=slice(None, None, -1)), da.chunk(te=1)]
    done = 0
    for image in images:
        fast, slow, count = both_ways(image, **options)
        assert fast == slow
        assert count - done == len(fast)
        done = count


def test_what_is_left_to_pydicom(tmp_path, both_ways):
    """Other values, times, patients and alphabets take the long way, to the same files."""
    write_series(Phantom(axes={"te": [10, 20]}), tmp_path / "in")
    da = opened(tmp_path / "in")
    for image, options in (
        (da.isel(row=slice(3)), {}),
        (da.assign_coords(te=[11.0, 22.0]), {}),
        (da, {"PatientID": "another"}),
        (da, {"SeriesDescription": "Ökonom"}),
        (da, {"syntax": "implicit"}),
        (da, {"template": da}),
        (da.med.deidentify(secret=b"0123456789abcdef"), {}),
    ):
        fast, slow, count = both_ways(image, **options)
        if "InstanceCreationTime" not in pydicom.dcmread(pydicom.filebase.BytesIO(fast[0])):
            assert fast == slow
        assert count == 0


def test_a_changed_array_is_no_copy(tmp_path):
    """A value that was set in memory is written, however the array was opened."""
    write_series(Phantom(), tmp_path / "in")
    da = opened(tmp_path / "in")
    expected = da.copy(deep=True).load()
    da[0, 0, 0] = expected[0, 0, 0] = 77
    np.testing.assert_array_equal(opened(to_dicom(da, tmp_path / "out")).values, expected.values)


@pytest.mark.skipif(not FOLDERS, reason="no corpus: set IMAGEDATA_XR_CORPUS")
def test_corpus(both_ways):
    """Every real series: the same bytes, or the same elements where items were of unknown length."""
    counts = Counter()
    for folder in FOLDERS:
        try:
            da = opened(folder)
        except ImagedataError:
            continue
        if "segment" in da.dims or da.dtype.kind == "f" or da.attrs.get("NumberOfFrames", 1) != 1:
            continue
        dims = [dim for dim in da.dims if dim not in ("row", "column", "rgb")]
        part = da.isel({dim: slice(2) for dim in dims})
        if pydicom.uid.UID(str(da.encoding["dicom"]["TransferSyntaxUID"])).is_compressed:
            continue
        fast, slow, count = both_ways(part)
        for one, other in zip(fast, slow, strict=True):
            if one != other:
                read = [pydicom.dcmread(pydicom.filebase.BytesIO(data)) for data in (one, other)]
                if "InstanceCreationTime" in read[1] and "SourceImageSequence" in read[1]:
                    # Parts and tiles, which are not patched: they say when they were made.
                    continue
                assert read[0] == read[1]
                assert read[0].file_meta == read[1].file_meta
            counts[one == other] += 1
        counts["patched"] = count
    assert counts["patched"] > 50
    assert counts[True] > counts[False]
