"""Values that pydicom cannot read or write end in errors of the package, wherever they turn up."""

from __future__ import annotations

import io

import pydicom
import pytest
import xarray as xr

import imagedata_xr
from fuzzing.seeds import files_of
from imagedata_xr import roi
from imagedata_xr.errors import FormatError, ImagedataError
from imagedata_xr.formats.dicom.write.instances import damaged_headers
from imagedata_xr.testing import Phantom


@pytest.fixture
def file():
    """One slice."""
    return files_of(Phantom(shape=(1, 4, 5)))[0]


def with_meta_vr(file, vr):
    """Return a file whose Media Storage SOP Class UID has another VR."""
    at = file.index(b"\x02\0\x02\0UI")
    return file[: at + 4] + vr + file[at + 6 :]


def test_command_elements_are_not_written(file, tmp_path):
    """Elements of the command group have no place in a file: they are left out of what is written."""
    start = file.index(b"\x08\0\x05\0CS")
    odd = b"\0\0\xee\xee" + b"UL\4\0" + b"\0\0\0\0"
    path = tmp_path / "a.dcm"
    path.write_bytes(file[:start] + odd + file[start:])
    da = xr.open_dataarray(path, engine="dicom").load()
    da.med.to_dicom(tmp_path / "same")
    (da * 2).med.to_dicom(tmp_path / "twice")
    for name, factor in (("same", 1), ("twice", 2)):
        (written,) = (tmp_path / name).iterdir()
        assert min(pydicom.dcmread(written).keys()) >= 0x0008_0000
        assert (xr.open_dataarray(tmp_path / name, engine="dicom") == da * factor).all()


def test_what_cannot_be_read_is_not_deidentified(file, tmp_path):
    """A VR that does not exist: the file is named, nothing is written, and no patient is named."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.dcm").write_bytes(with_meta_vr(file, b"U2"))
    with pytest.raises(FormatError, match=r"a\.dcm") as caught:
        imagedata_xr.deidentify_files(tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert "Phantom" not in str(caught.value)


def test_structure_sets(file, tmp_path):
    """Structure sets with a damaged sequence, or cut anywhere, are refused by their name."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.dcm").write_bytes(file)
    image = xr.open_dataarray(tmp_path / "in", engine="dicom")
    corners = image.med.index_to_world([[0, 0, 0], [0, 0, 3], [0, 2, 3]])
    region = roi.Roi(name="one", contours=(roi.Contour(corners),))
    good = roi.to_file(region, tmp_path / "rs.dcm", like=image).read_bytes()
    begin = good.index(b"\x06\x30\x20\0SQ")
    bad = tmp_path / "bad.dcm"
    cases = [good[: begin + 30], good[: begin + 12] + b"\xff" * 20 + good[begin + 32 :]]
    cases += [good[:k] for k in range(begin, len(good), 97)]
    for case in cases:
        bad.write_bytes(case)
        try:
            found = roi.from_file(bad, like=image)
        except ImagedataError as error:
            message = str(error)
            assert "bad.dcm" in message
        else:
            assert [one.name for one in found] == ["one"]


def test_files_in_memory(file):
    """What is left of the file opens: the damaged value is not one of an image."""
    assert xr.open_dataarray(io.BytesIO(with_meta_vr(file, b"U2")), engine="dicom").size == 20


def test_unreadable_values_of_a_source(file):
    """What pydicom raises for a value that it cannot decode becomes an error that does not tell it."""
    at = file.index(b"\x20\0\x0d\0UI")
    odd = b"\x18\0\x73\x90FD\6\0" + b"secret"
    dataset = pydicom.dcmread(io.BytesIO(file[:at] + odd + file[at:]))
    with pytest.raises(FormatError, match="cannot be read or written") as caught, damaged_headers():
        str(dataset.AcquisitionDuration)
    assert "secret" not in str(caught.value)


def test_errors_of_others_pass(file, tmp_path):
    """What a function of the user raises while values are computed is not taken for a bad header."""
    pytest.importorskip("dask")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.dcm").write_bytes(file)
    da = xr.open_dataarray(tmp_path / "in", engine="dicom").chunk()

    def broken(_):
        raise ValueError("mine")

    made = da.copy(data=da.data.map_blocks(broken, dtype=da.dtype))
    with pytest.raises(ValueError, match="mine"):
        made.med.to_dicom(tmp_path / "out")


def test_without_a_class(file, tmp_path):
    """Images that do not say of which class they are become such of their modality."""
    dataset = pydicom.dcmread(io.BytesIO(file))
    del dataset.SOPClassUID
    dataset.save_as(tmp_path / "a.dcm")
    da = xr.open_dataarray(tmp_path / "a.dcm", engine="dicom")
    da.med.to_dicom(tmp_path / "out")
    (written,) = (tmp_path / "out").iterdir()
    assert pydicom.dcmread(written).SOPClassUID.name == "MR Image Storage"


def test_class_that_is_no_text(file, tmp_path):
    """A class with bytes that are no text is refused when the image is written, and nothing is left."""
    at = file.rindex(b"\x08\0\x16\0UI")
    (tmp_path / "a.dcm").write_bytes(file[: at + 12] + b"\xfe" + file[at + 13 :])
    da = xr.open_dataarray(tmp_path / "a.dcm", engine="dicom").load()
    with pytest.raises(FormatError, match="no UID"):
        da.med.to_dicom(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_frames_of_reference_of_a_segmentation(file, tmp_path):
    """A frame of reference with several values is another one than that of the image."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.dcm").write_bytes(file)
    image = xr.open_dataarray(tmp_path / "in", engine="dicom").load()
    out = imagedata_xr.to_dicom_seg(image > image.mean(), tmp_path / "seg.dcm", segments="a")
    dataset = pydicom.dcmread(out)
    dataset.FrameOfReferenceUID = ["1.2", "1.3"]
    dataset.save_as(out)
    with pytest.raises(ImagedataError, match=r"seg\.dcm"):
        roi.from_file(out, like=image)
