"""Files made of the bytes of headers are those that pydicom writes."""

from __future__ import annotations

import os
import uuid
import warnings
from collections import Counter
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pydicom
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imagedata_xr.errors import ImagedataError, ImagedataWarning
from imagedata_xr.formats.dicom.write import derived, patch, series, to_dicom, uids
from imagedata_xr.testing import Phantom, write_series

ROOT = Path(__file__).resolve().parent.parent
CORPUS = Path(os.environ.get("IMAGEDATA_XR_CORPUS", ROOT.parent / "shared" / "corpus"))
FOLDERS = sorted(f / "dicom" for f in CORPUS.glob("*") if (f / "dicom").is_dir())


class Noon(datetime):
    """A clock that stands."""

    @classmethod
    def now(cls, tz=None):
        """Return always the same moment."""
        return cls(2020, 2, 20, 12, tzinfo=tz)


@pytest.fixture
def both_ways(tmp_path, monkeypatch):
    """Return a function that writes an image in the fast and in the slow way, with the same UIDs."""
    patched = Counter()

    parts = patch.PatchedHeader.parts

    def counted(header):
        patched.update(n=1)
        return parts(header)

    def write(da, **options):
        found = {}
        for name in ("fast", "slow"):
            with monkeypatch.context() as changed:
                changed.setattr(derived, "datetime", Noon)
                numbers = (uuid.UUID(int=number) for number in range(1, 1 << 20))
                counter = SimpleNamespace(uuid4=numbers.__next__)
                changed.setattr(uids, "uuid", counter)
                if name == "slow":
                    changed.setattr(series._Series, "in_either_way", lambda _, write: write())
                else:
                    changed.setattr(patch.PatchedHeader, "parts", counted)
                target = to_dicom(
                    da, tmp_path / f"{name} {len(list(tmp_path.iterdir()))}", **options
                )
            found[name] = [path.read_bytes() for path in sorted(target.iterdir())]
        return found["fast"], found["slow"], patched["n"]

    write.count = lambda: patched["n"]
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
    """Other encodings, and headers that are not those of files, take the long way."""
    write_series(Phantom(axes={"te": [10, 20]}), tmp_path / "in")
    da = opened(tmp_path / "in")
    for image, options in (
        (da, {"syntax": "implicit"}),
        (da.med.deidentify(secret=b"0123456789abcdef"), {}),
    ):
        fast, slow, count = both_ways(image, **options)
        assert fast == slow
        assert count == 0


CHANGES = {
    "copy": lambda da: da,
    "in memory": lambda da: da.copy().load(),
    "part": lambda da: da.isel(row=slice(1, 4), column=slice(None, None, 2)),
    "turned": lambda da: da.isel(row=slice(None, None, -1)),
    "other label": lambda da: da.assign_coords({da.dims[0]: da[da.dims[0]] * 1.5 + 3}),
    "whole": lambda da: da.astype("int16") + 1,
    "scaled": lambda da: da * 0.37,
    "flat": lambda da: da * 0 + 5.5,
    "mean": lambda da: da.mean(da.dims[0]),
    "difference": lambda da: da.isel({da.dims[0]: 0}, drop=True) - da,
    "mask": lambda da: da > da.mean(),
    "without a source": lambda da: (da + 1).drop_vars(["frame", "SeriesInstanceUID"]),
}
OPTIONS = {
    "nothing": {},
    "texts": {"SeriesDescription": "odd", "SeriesNumber": 7, "PatientAge": None},
    "alphabet": {"SeriesDescription": "Ökonom"},
    "patient": {"PatientID": "another", "PatientName": "Ås^Åse"},
    "template": {"template": True},
    "frames": {"scale": "frame"},
    "class": {"SOPClassUID": "SC"},
}
KINDS = {
    "axes": st.sampled_from([{"te": [10, 20]}, {"time": [0.0, 2.5]}, {"b": [0, 800]}]),
    "vendor": st.sampled_from(["standard", "siemens", "ge", "philips", "uih"]),
    "transfer_syntax": st.sampled_from(["explicit", "implicit", "rle"]),
    "modality": st.sampled_from(["MR", "CT"]),
}


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    change=st.sampled_from(sorted(CHANGES)),
    option=st.sampled_from(sorted(OPTIONS)),
    kind=st.fixed_dictionaries(KINDS),
)
def test_any_image(tmp_path, both_ways, template, change, option, kind):  # noqa: PLR0917, PLR0913
    """Copies, parts, results: each file has the same bytes in both ways."""
    tmp_path = tmp_path / uuid.uuid4().hex
    tmp_path.mkdir()
    write_series(Phantom(shape=(2, 6, 5), **kind), tmp_path / "in")
    image = CHANGES[change](opened(tmp_path / "in"))
    options = dict(OPTIONS[option])
    if options.get("template"):
        options["template"] = template
    before = both_ways.count()
    fast, slow, count = both_ways(image, **options)
    assert fast == slow
    # Bytes of unknown elements might be texts in the old characters.
    if option not in ("alphabet", "patient", "template"):
        assert count - before == len(fast)


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A header with names beyond ASCII, and a sequence."""
    folder = tmp_path_factory.mktemp("template")
    write_series(Phantom(shape=(1, 4, 4)), folder)
    (path,) = folder.iterdir()
    header = pydicom.dcmread(path)
    header.SpecificCharacterSet = "ISO_IR 100"
    header.PatientName, header.PatientID = "Sørensen^Åse", "P2"
    code = pydicom.Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "1", "99X", "Blå"
    header.ProcedureCodeSequence = [code]
    header.save_as(path)
    return str(folder)


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
