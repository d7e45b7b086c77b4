"""Who the patient is: in attributes and headers, by design, and nowhere else."""

from __future__ import annotations

import contextlib
import io
import logging
import random
import tempfile
import warnings

import pytest
import xarray as xr

from fuzzing.series import KINDS, damage
from imagedata_xr.errors import ImagedataError
from imagedata_xr.testing import Phantom, write_series

MARK = "ZQXMARK"
NAMED = {
    "PatientName": f"{MARK}^Anna",
    "PatientID": f"{MARK}1",
    "OtherPatientIDs": f"{MARK}2",
    "PatientAddress": f"{MARK} Street",
    "PatientComments": f"{MARK} comments",
    "InstitutionName": f"{MARK} Hospital",
    "ReferringPhysicianName": f"{MARK}^Doctor",
    "OperatorsName": f"{MARK}^Operator",
    "AccessionNumber": f"{MARK}3",
    "StudyID": f"{MARK}4",
    "RequestingPhysician": f"{MARK}^Other",
}
SERIES = Phantom(axes={"te": [5, 10]}, shape=(3, 4, 5), attributes=NAMED)


@pytest.fixture
def files(tmp_path):
    return [path.read_bytes() for path in write_series(SERIES, tmp_path / "in")]


@pytest.fixture
def said(caplog, monkeypatch, tmp_path):
    """Everything that is logged, at the lowest level, and what is left in the temporary folder."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    caplog.set_level(logging.DEBUG)
    yield caplog
    assert MARK not in caplog.text
    left = list((tmp_path / "tmp").rglob("*"))
    assert not [path for path in left if path.is_file()], left


def test_the_mark_is_where_it_belongs(files):
    """Attributes and headers have the name: the other tests would else prove nothing."""
    da = xr.open_dataarray(files, engine="dicom")
    assert da.attrs["PatientName"] == NAMED["PatientName"]
    assert da.med.header(te=0, slice=0).PatientID == NAMED["PatientID"]


def test_without_identity(files, said):
    """With `phi=False` nothing that is shown or stored of the array says who it is."""
    da = xr.open_dataarray(files, engine="dicom", phi=False).load()
    text = io.StringIO()
    da.med.info(text)
    shown = [repr(da), da._repr_html_(), text.getvalue(), str(da.attrs), str(da.encoding)]
    shown += [str(da[name].attrs) + repr(da[name]) for name in da.coords]
    assert not [part for part in shown if MARK in part]
    assert said is not None


def test_errors_and_warnings(files, said):
    """Damaged files, files of several patients and series: no text names the patient."""
    rng, texts = random.Random(4), []
    for _ in range(150):
        kept = dict(enumerate(files))
        with contextlib.suppress(ValueError):
            added = damage(rng, rng.choice(KINDS), kept, files)
        texts += opened([*kept.values(), *(data for _, data in added)])
    other = Phantom(shape=(3, 4, 5), attributes={**NAMED, "PatientID": f"{MARK}9"})
    with tempfile.TemporaryDirectory() as folder:
        others = [path.read_bytes() for path in write_series(other, folder)]
    texts += opened([*files, *others])
    assert len(texts) > 60
    assert not [text for text in texts if MARK in text]
    assert said is not None


def opened(sources, **options):
    """Open and load; return the texts of errors and warnings."""
    texts = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            xr.open_dataarray(sources, engine="dicom", **options).load()
        except ImagedataError as error:
            texts.append(f"{error} {error!r}")
    return texts + [str(one.message) for one in caught]


def test_files_that_are_written(files, said, tmp_path):
    """Names of files, and files without a place for patients, do not name them."""
    pytest.importorskip("nibabel")
    pytest.importorskip("SimpleITK")
    da = xr.open_dataarray(files, engine="dicom")
    out = tmp_path / "out"
    out.mkdir()
    da.med.to_dicom(out / "dicom")
    da.med.to_nifti(out / "a.nii.gz")
    da.med.to_itk(out / "a.mha")
    da.med.to_itk(out / "a.nrrd")
    da.med.to_mat(out / "a.mat")
    da.isel(te=0, slice=0).med.to_image(out / "a.png")
    paths = list(out.rglob("*"))
    assert not [path for path in paths if MARK in str(path.relative_to(out))]
    holding = [path for path in paths if path.is_file() and MARK.encode() in path.read_bytes()]
    assert {path.parent.name for path in holding} == {"dicom"}
    assert said is not None
