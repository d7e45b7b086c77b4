"""The table of all series: it says what opening gives, and reads again only what changed."""

from __future__ import annotations

import os
import shutil

import pandas as pd
import pytest
import xarray as xr

import imagedata_xr
from imagedata_xr.errors import ImagedataError, OptionError
from imagedata_xr.formats.dicom.headers.scan import _Scan
from imagedata_xr.testing import Phantom, change_header, drop_file, truncate_file, write_series

SHAPES = {
    1: ("time", "slice", "row", "column"),
    2: ("slice", "row", "column"),
    3: (),
}


@pytest.fixture
def cohort(tmp_path):
    """Series in folders of their own, two in one folder, one incomplete, a localizer."""
    folder = tmp_path / "cohort"
    write_series(Phantom(axes={"time": [0, 3]}), folder / "a")
    write_series(Phantom(series=2), folder / "mixed")
    write_series(Phantom(series=4, patient=2), folder / "mixed2")
    for path in (folder / "mixed2").iterdir():
        path.rename(folder / "mixed" / f"other_{path.name}")
    (folder / "mixed2").rmdir()
    paths = write_series(Phantom(series=3, axes={"te": [5, 10]}), folder / "c")
    drop_file(paths[2])
    write_series(Phantom(series=5), folder / "e")
    localizer = Phantom(series=5, orientation="coronal")
    for number, path in enumerate(write_series(localizer, folder / "e2")):
        change_header(path, SOPInstanceUID=localizer.uid("other", number))
    (folder / "notes.txt").write_text("no DICOM")
    return folder


@pytest.fixture
def reads(monkeypatch):
    """The names of the files whose headers are read, in order."""
    seen = []
    plain = _Scan.fetch

    def read(self, source):
        seen.append(source.name)
        return plain(self, source)

    monkeypatch.setattr(_Scan, "fetch", read)
    return seen


def files_of(folder):
    return sorted(str(path) for path in folder.rglob("*") if path.is_file())


def test_rows_open_as_they_say(cohort, reads):
    """Path and arguments of a row open just this series, with the dims and shape of the row."""
    table = imagedata_xr.catalog(cohort)
    assert sorted(reads) == files_of(cohort), "each header is read once"
    assert sorted(table["number"]) == [1, 2, 3, 4, 5]
    for row in table.itertuples():
        if row.number in SHAPES:
            assert row.dims == SHAPES[row.number]
        if not row.dims:
            assert "missing" in row.problems[0]
            with pytest.raises(ImagedataError):
                xr.open_dataarray(row.path, engine="dicom", **row.arguments)
            continue
        reads.clear()
        image = xr.open_dataarray(row.path, engine="dicom", **row.arguments)
        assert (image.dims, image.shape) == (row.dims, row.shape)
        assert (str(image.dtype), image.nbytes) == (row.dtype, row.size)
        assert image.attrs["SeriesNumber"] == row.number
        assert image.med.spacing == pytest.approx(row.spacing)
        if row.number != 5:
            assert len(reads) == row.n, "no other series is looked at"


def test_stacks_have_rows_of_their_own_on_request(cohort):
    """A localizer is one row that says so, or one row a stack; each opens."""
    table = imagedata_xr.catalog(cohort)
    (row,) = table[table["number"] == 5].itertuples()
    assert row.stacks == 2
    assert "2 stacks" in row.problems[0]
    table = imagedata_xr.catalog(cohort, stacks=True)
    rows = list(table[table["number"] == 5].itertuples())
    assert [row.arguments for row in rows] == [{"stack": 0}, {"stack": 1}]
    assert not any(row.problems for row in rows)
    for row in rows:
        image = xr.open_dataarray(row.path, engine="dicom", **row.arguments)
        assert image.shape == row.shape


def test_only_what_changed_is_read_again(cohort, tmp_path, reads):
    """Nothing is read where nothing changed; else the series that changed, and no other."""
    cache = tmp_path / "cohort.parquet"
    first = imagedata_xr.catalog(cohort, cache=cache)
    pd.testing.assert_frame_equal(first, imagedata_xr.catalog(cohort))
    reads.clear()
    pd.testing.assert_frame_equal(imagedata_xr.catalog(cohort, cache=cache), first)
    assert reads == []

    # another time of change
    touched = files_of(cohort / "a")
    os.utime(touched[0], ns=(1, 1))
    pd.testing.assert_frame_equal(imagedata_xr.catalog(cohort, cache=cache), first)
    assert sorted(reads) == touched

    # a file gone
    reads.clear()
    drop_file(touched[0])
    table = imagedata_xr.catalog(cohort, cache=cache)
    assert sorted(reads) == touched[1:]
    assert table.set_index("number").loc[1, "n"] == first.set_index("number").loc[1, "n"] - 1

    # a new series, a new file of an old series, a series gone
    reads.clear()
    (new,) = write_series(Phantom(series=9, shape=(1, 4, 4)), cohort / "new")
    copied = files_of(cohort / "c")
    shutil.copy(copied[0], cohort / "c" / "again.dcm")
    shutil.rmtree(cohort / "a")
    table = imagedata_xr.catalog(cohort, cache=cache)
    assert sorted(reads) == sorted([str(new), *files_of(cohort / "c")])
    pd.testing.assert_frame_equal(table, imagedata_xr.catalog(cohort))
    assert sorted(table["number"]) == [2, 3, 4, 5, 9]


def test_damaged_files_and_objects_without_images_are_listed(cohort):
    """A file that cannot be read has a row with the reason, and its series does not open without it."""
    cut = min(path for path in (cohort / "mixed").iterdir() if "other" not in path.name)
    truncate_file(cut, keep=0.1)
    table = imagedata_xr.catalog(cohort)
    broken = table[table["path"] == str(cut)]
    assert len(broken) == 1
    assert broken["problems"].iloc[0]
    (row,) = table[table["number"] == 2].itertuples()
    with pytest.raises(ImagedataError):
        xr.open_dataarray(row.path, engine="dicom", **row.arguments)


def test_no_patient_in_table_or_cache(cohort, tmp_path):
    """With phi=False neither the table nor its cache says who the patients are."""
    known = imagedata_xr.catalog(cohort)
    identities = set(known["PatientID"])
    assert len(identities) == 2
    cache = tmp_path / "bare.parquet"
    table = imagedata_xr.catalog(cohort, cache=cache, phi=False)
    assert "PatientID" not in table
    assert len(table) == len(known)
    text = table.drop(columns="path").to_string()
    data = pd.read_parquet(cache).to_string()
    assert not any(one in text or one in data for one in identities)


def test_a_cache_is_not_taken_for_something_else(cohort, tmp_path):
    """A table with the patients is not used for one without; another's file stays as it is."""
    cache = tmp_path / "x.parquet"
    imagedata_xr.catalog(cohort, cache=cache)
    assert "PatientID" not in imagedata_xr.catalog(cohort, cache=cache, phi=False)
    pd.DataFrame({"a": [1]}).to_parquet(cache)
    before = cache.read_bytes()
    with pytest.raises(OptionError, match="something else"):
        imagedata_xr.catalog(cohort, cache=cache)
    assert cache.read_bytes() == before


def test_archives_and_urls(cohort, tmp_path):
    """Series within an archive or behind a URL have paths that open."""
    archive = shutil.make_archive(str(tmp_path / "packed"), "zip", cohort)
    table = imagedata_xr.catalog(archive)
    assert sorted(table["number"]) == [1, 2, 3, 4, 5]
    for row in table[table["dims"].map(len) > 0].itertuples():
        assert xr.open_dataarray(row.path, engine="dicom", **row.arguments).shape == row.shape
