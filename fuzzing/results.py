"""More of what is fuzzed: what comes after opening, and files that hold no plain images."""

from __future__ import annotations

import contextlib
import io
import shutil
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import pydicom
import xarray as xr

import imagedata_xr
from fuzzing import seeds
from fuzzing.reference import quiet_read
from imagedata_xr import roi
from imagedata_xr.errors import ImagedataError
from imagedata_xr.formats.dicom.headers import read_header
from imagedata_xr.formats.dicom.nested import sequences_of
from imagedata_xr.sources import MemoryBytes
from imagedata_xr.testing import Phantom, write_series

FOLDER = tempfile.TemporaryDirectory(prefix="imagedata_xr_fuzzing.")


def sequences(case):
    """Items of sequences: as many as pydicom finds, or refused."""
    header = read_header(MemoryBytes("case.dcm", case))
    if header is None or not header.others:
        return False
    nested, spans = sequences_of(header, sorted(set(header.others)))
    counts = {tag: len(nested.items(span)) for tag, span in spans.items()}
    for tag in counts:
        for item in nested.items(spans[tag]):
            nested.elements(item)
    try:
        dataset = quiet_read(io.BytesIO(case), stop_before_pixels=True)
        theirs = {tag: dataset[tag] for tag in counts if tag in dataset}
        theirs = {tag: len(one.value) for tag, one in theirs.items() if one.VR == "SQ"}
    except Exception:
        return True
    for tag, count in theirs.items():
        # Of a damaged sequence pydicom gives what it found before.
        assert counts[tag] >= count, f"{tag:08X} has {count} items, not {counts[tag]}"
    return True


@contextlib.contextmanager
def _folder():
    folder = Path(FOLDER.name, "case")
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def back(case):
    """What opens can be written, and opens again with the same voxels; or is refused."""
    with xr.open_dataarray([case], engine="dicom") as opened, _folder() as folder:
        image = opened.load()
        keep = {"PatientID": "x"} if not image.attrs.get("PatientID") else {}
        image.med.to_dicom(folder / "out", progress=False, **keep)
        assert any((folder / "out").iterdir()), "nothing was written"
        again = xr.open_dataarray(folder / "out", engine="dicom").load()
        np.testing.assert_array_equal(again.values.squeeze(), image.values.squeeze())
        if image.dtype.kind in "iuf" and "rgb" not in image.dims:
            with contextlib.suppress(ImagedataError):
                image.med.to_nifti(folder / "a.nii")
                again = xr.open_dataarray(folder / "a.nii", engine="nifti").load()
                assert np.isclose(np.nansum(again.values), np.nansum(image.values), rtol=1e-3)
    return True


def tree(case):
    """One bad file beside good ones: the tree and the list name it, and give the others."""
    good = seeds.files_of(Phantom(shape=seeds.SHAPE, series=77))
    found = xr.open_datatree([*good, case], engine="dicom")
    images = [node for node in found.subtree if "image" in node.data_vars]
    assert images, "one bad file hides all others"
    repr(found)
    str(imagedata_xr.ls([*good, case], progress=False))
    return len(images) > 1


def structures(case):
    """RT Structure Sets and segmentations as regions."""
    with _folder() as folder:
        path = folder / "a.dcm"
        path.write_bytes(case)
        found = roi.from_file(path, like=placed())
        for one in found:
            repr(one)
    return True


def segments(case):
    """Segmentations as masks."""
    with xr.open_dataarray([case], engine="dicom") as masks:
        masks.load()
        assert masks.dims[0] in ("segment", "slice", "row", "volume", "time")
    return True


def anonymous(case):
    """Without identity: no name of the phantom is left in what is written."""
    from imagedata_xr.formats.dicom.deidentify.dataset import Deidentifier
    from imagedata_xr.formats.dicom.deidentify.profile import profile_of

    try:
        dataset = quiet_read(io.BytesIO(case), stop_before_pixels=True)
    except Exception:
        return False
    keep = profile_of("basic", secret="of the fuzzers alone", dates=None, retain=(), keep=())
    Deidentifier(keep).apply(dataset)
    return "Phantom^Number" not in str(dataset.get("PatientName", ""))


@cache
def placed():
    """Return an image with patient, study and headers, and the folder that it is read from."""
    folder = Path(FOLDER.name, "placed")
    write_series(Phantom(shape=(3, 4, 5), orientation="oblique"), folder)
    return xr.open_dataarray(folder, engine="dicom").load()


@cache
def masks():
    """Return segmentations: binary, and a label map."""
    found = []
    for kind in ("binary", "labelmap"):
        target = Path(FOLDER.name, f"{kind}.dcm")
        imagedata_xr.to_dicom_seg(
            (placed() > placed().mean()).astype("uint8"),
            target,
            segments="a",
            segmentation_type=kind,
        )
        found.append(target.read_bytes())
    return found


@cache
def structure_sets():
    """Return an RT Structure Set, the one that pydicom ships, and segmentations."""
    image = placed()
    region = roi.Roi(
        name="one",
        contours=(roi.Contour(image.med.index_to_world([[1, 0, 0], [1, 0, 3], [1, 2, 3]])),),
    )
    made = roi.to_file(region, Path(FOLDER.name, "rs.dcm"), like=image)
    shipped = Path(pydicom.data.__file__).parent / "test_files" / "rtstruct.dcm"
    return [made.read_bytes(), shipped.read_bytes(), *masks()]
