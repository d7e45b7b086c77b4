"""Files that are whole and say what is not true: the truth all the same, a warning, or an error."""

from __future__ import annotations

import io

import numpy as np
import pydicom
import pytest
import xarray as xr
from pydicom import uid

from fuzzing.lies import LIES, MIXED, campaign
from fuzzing.seeds import PHANTOMS, files_of
from fuzzing.series import EXTRA, read
from imagedata_xr.errors import ImagedataError
from imagedata_xr.testing import Phantom
from imagedata_xr.testing.writing import _meta

NATIVE = [
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.DeflatedExplicitVRLittleEndian,
]
COMPRESSED = [uid.RLELossless, uid.JPEGLSLossless, uid.JPEG2000Lossless]
DECLARED = [
    *NATIVE,
    *COMPRESSED,
    *(uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit, uid.JPEGLossless, uid.JPEGLosslessSV1),
    *(uid.JPEGLSNearLossless, uid.JPEG2000, uid.HTJ2KLossless, uid.HTJ2K),
    *(uid.UID("1.2.840.10008.1.2.4.110"), uid.UID("1.2.3.4")),
]
VALUES = np.random.default_rng(0).integers(0, 4000, (32, 32)).astype("<u2")


def encoded(syntax):
    """Return a file in a transfer syntax, and where its data set begins."""
    (file,) = files_of(Phantom(shape=(1, *VALUES.shape)))
    dataset = pydicom.dcmread(io.BytesIO(file))
    big = syntax == uid.ExplicitVRBigEndian
    dataset.PixelData = VALUES.astype(">u2" if big else "<u2").tobytes()
    dataset.BitsStored, dataset.HighBit = 12, 11
    if syntax in NATIVE:
        dataset.file_meta.TransferSyntaxUID = syntax
    else:
        dataset.compress(syntax)
    target = io.BytesIO()
    implicit = syntax == uid.ImplicitVRLittleEndian
    pydicom.dcmwrite(
        target, dataset, implicit_vr=implicit, little_endian=not big, enforce_file_format=True
    )
    length = pydicom.dcmread(io.BytesIO(target.getvalue())).file_meta.FileMetaInformationGroupLength
    return dataset, target.getvalue(), 132 + 12 + length


@pytest.mark.parametrize("syntax", [*NATIVE, *COMPRESSED], ids=lambda one: one.keyword)
def test_transfer_syntaxes(syntax):
    """Whatever transfer syntax a file declares, it gives its own pixels or an error."""
    pytest.importorskip("openjpeg")
    pytest.importorskip("jpeg_ls")
    dataset, file, start = encoded(syntax)
    right = set()
    for declared in DECLARED:
        meta = b"\0" * 128 + b"DICM" + _meta(dataset.SOPClassUID, dataset.SOPInstanceUID, declared)
        try:
            da = xr.open_dataarray([meta + file[start:]], engine="dicom").load()
        except ImagedataError:
            continue
        np.testing.assert_array_equal(da.values.squeeze(), VALUES, declared.name)
        right.add(declared)
    assert syntax in right


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_lies():
    """
    Lies in some hundred series: no voxel of a file that says the truth is wrong, and none is lost.

    ``python -m fuzzing.lies`` tells more, also in real series.
    """
    series = [read(f"phantom {k}", files_of(one)) for k, one in enumerate([*PHANTOMS, *EXTRA])]
    tally, kinds = campaign([one for one in series if one], seed=20, cases=350)
    assert not tally.bugs, tally.bugs
    told = {kind.removesuffix(" in all") for kind in kinds}
    assert told >= {*LIES, *MIXED}
    assert kinds["mixed patients"].keys() == {"refused"}
    assert kinds["patient"].keys() == {"refused"}
    for kind in ("name", "sign"):
        assert kinds[kind].keys() <= {"warned", "refused"}
    for kind in ("mirrored", "inverted", "halved", "sizes"):
        assert "believed" not in kinds[kind]
