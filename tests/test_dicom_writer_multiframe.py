"""One multi-frame instance of a series: nothing of what labels and places a frame is lost."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
import xarray as xr

from imagedata_xr.errors import ImagedataWarning, OptionError, WriteError
from imagedata_xr.testing import Phantom, write_series

highdicom = pytest.importorskip("highdicom")

ROOT = Path(__file__).resolve().parent.parent
CORPUS = Path(os.environ.get("IMAGEDATA_XR_CORPUS", ROOT.parent / "shared" / "corpus"))
DCIODVFY = Path(sys.executable).with_name("dciodvfy")
AXES = {
    "volume": {},
    "time": {"time": [0, 2.5, 5]},
    "te": {"te": [10, 20, 30]},
    "ti": {"ti": [100, 400]},
    "fa": {"fa": [5, 15]},
    "b": {"b": [0, 400, 800]},
    "time and te": {"time": [0, 30], "te": [10, 20]},
    "component": {"component": ["M", "P"]},
}
SERIES = (
    "ct_philips_tilt_p165",
    "mr_ge_b0map",
    "mr_ge_cine_lax",
    "mr_ge_dwi_r3",
    "mr_philips_asl_source_5d",
    "mr_philips_dualecho_magphase",
    "mr_philips_enh_b0map64",
    "mr_siemens_5d_te_time",
    "mr_siemens_cor_rl",
    "mr_siemens_dwi_rsi",
    "mr_siemens_xa60_enh_dwi",
)


def opened(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImagedataWarning)
        return xr.open_dataarray(folder, engine="dicom")


def joined(image, target, **options):
    """Write an image as one instance, and open it."""
    image.med.to_dicom(target, multiframe=True, **options)
    assert [path.name for path in target.iterdir()] == ["0001.dcm"]
    return opened(target)


def assert_same(again, source):
    """Compare values, places, and every coordinate that is no provenance."""
    assert again.dims == source.dims
    np.testing.assert_array_equal(again.values, source.values)
    if "slice" in source.dims:
        np.testing.assert_allclose(again.med.points(), source.med.points(), atol=1e-4)
    for name in set(source.coords) - {"frame", "SeriesInstanceUID"}:
        assert again[name].dims == source[name].dims, name
        if source[name].dtype.kind in "fiu":
            np.testing.assert_allclose(again[name], source[name], atol=1e-3, err_msg=name)
        else:
            assert again[name].values.tolist() == source[name].values.tolist(), name


@pytest.mark.parametrize("kind", AXES)
def test_axes(tmp_path, kind):
    """Every axis comes back with its labels."""
    vendor = "ge" if "component" in AXES[kind] else "siemens"
    phantom = Phantom(axes=AXES[kind], vendor=vendor, orientation=(20, -10, 15))
    write_series(phantom, tmp_path / "in")
    source = opened(tmp_path / "in")
    assert_same(joined(source, tmp_path / "out"), source)


@pytest.mark.parametrize("modality", ["MR", "CT", "PT"])
def test_classes(tmp_path, modality):
    """MR, CT and PET become their legacy converted enhanced class, without errors of their own."""
    write_series(Phantom(modality=modality), tmp_path / "in")
    source = opened(tmp_path / "in")
    assert_same(joined(source, tmp_path / "out"), source)
    header = pydicom.dcmread(tmp_path / "out" / "0001.dcm")
    assert header.SOPClassUID.name.startswith("Legacy Converted Enhanced")
    if DCIODVFY.exists():
        assert not errors_of(tmp_path / "out" / "0001.dcm") - errors_of(
            next((tmp_path / "in").iterdir())
        )


def errors_of(path):
    done = subprocess.run([DCIODVFY, path], capture_output=True, text=True, check=False)
    return {line for line in done.stderr.splitlines() if line.startswith("Error")}


@pytest.mark.parametrize("name", SERIES)
def test_real_series(tmp_path, name):
    """Real series of many vendors: values, places and coordinates are those of the source."""
    if not (CORPUS / name).is_dir():
        pytest.skip("no corpus: set IMAGEDATA_XR_CORPUS")
    source = opened(CORPUS / name / "dicom")
    assert_same(joined(source, tmp_path / "out"), source)


def test_references_are_real(tmp_path):
    """Each frame names the image that it was, also after turning and sorting; no UID is made up."""
    write_series(Phantom(axes={"te": [10, 20]}), tmp_path / "in")
    source = opened(tmp_path / "in").isel(slice=slice(None, None, -1), te=[1, 0])
    joined(source, tmp_path / "out")
    header = pydicom.dcmread(tmp_path / "out" / "0001.dcm")
    before = {h.SOPInstanceUID: h for h in map(pydicom.dcmread, (tmp_path / "in").iterdir())}
    for group, pixels in zip(
        header.PerFrameFunctionalGroupsSequence, header.pixel_array, strict=True
    ):
        own = before[group.ConversionSourceAttributesSequence[0].ReferencedSOPInstanceUID]
        np.testing.assert_array_equal(own.pixel_array, pixels)
        position = group.PlanePositionSequence[0].ImagePositionPatient
        np.testing.assert_allclose(position, own.ImagePositionPatient)
        assert group.MREchoSequence[0].EffectiveEchoTime == own.EchoTime


def test_derived(tmp_path):
    """A computed image is marked as derived, with the instances it was computed from."""
    write_series(Phantom(), tmp_path / "in")
    source = opened(tmp_path / "in")
    again = joined(source * 2, tmp_path / "out")
    np.testing.assert_allclose(again.values, source.values * 2.0)
    header = pydicom.dcmread(tmp_path / "out" / "0001.dcm")
    assert header.ImageType[0] == "DERIVED"
    (study,) = header.SourceImageEvidenceSequence
    assert study.StudyInstanceUID == source.attrs["StudyInstanceUID"]
    assert study.ReferencedSeriesSequence[0].SeriesInstanceUID == source.SeriesInstanceUID.item()


def test_simpleitk_and_dcm2niix(tmp_path):
    """SimpleITK finds each voxel of a volume at its place, and dcm2niix the same values."""
    sitk = pytest.importorskip("SimpleITK")
    write_series(Phantom(orientation=(20, -10, 15)), tmp_path / "in")
    source = opened(tmp_path / "in")
    source.med.to_dicom(tmp_path / "out", multiframe=True)
    there = sitk.ReadImage(str(tmp_path / "out" / "0001.dcm"))
    for index in np.ndindex(2, 2, 2):
        corner = tuple(n * (size - 1) for n, size in zip(index, source.shape, strict=True))
        voxel = there.TransformPhysicalPointToIndex(source.med.index_to_world(corner))
        assert there[voxel] == source.values[corner]
    program = shutil.which("dcm2niix", path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip("dcm2niix is not installed")
    nibabel = pytest.importorskip("nibabel")
    with tempfile.TemporaryDirectory() as made:
        command = [program, "-f", "x", "-z", "n", "-o", made, tmp_path / "out"]
        subprocess.run(command, check=True, capture_output=True)
        image = nibabel.load(next(Path(made).glob("*.nii")))
        ijk = np.linalg.inv(image.affine) @ np.append(
            source.med.index_to_world((1, 2, 3)) * [-1, -1, 1], 1
        )
        found = np.asarray(image.dataobj)[tuple(np.rint(ijk[:3]).astype(int))]
        assert found == source.values[1, 2, 3]


@pytest.mark.parametrize("syntax", ["rle", "jpeg2000"])
def test_compressed(tmp_path, syntax):
    """Several frames are compressed each by itself, and any of them can be read."""
    pytest.importorskip("imagecodecs")
    write_series(Phantom(axes={"te": [10, 20]}), tmp_path / "in")
    source = opened(tmp_path / "in")
    again = joined(source, tmp_path / "out", syntax=syntax)
    np.testing.assert_array_equal(again.isel(te=1, slice=2), source.isel(te=1, slice=2))
    assert_same(again, source)


def test_what_is_refused(tmp_path):
    """Colours and secondary captures have no such form, and old UIDs no meaning."""
    write_series(
        Phantom(modality="SC", photometric="RGB", dtype="uint8", shape=(1, 9, 9)), tmp_path / "in"
    )
    with pytest.raises(WriteError, match="multiframe"):
        opened(tmp_path / "in").med.to_dicom(tmp_path / "out", multiframe=True)
    write_series(Phantom(), tmp_path / "mr")
    with pytest.raises(OptionError, match="keep_uid"):
        opened(tmp_path / "mr").med.to_dicom(tmp_path / "out", multiframe=True, keep_uid=True)
    assert not (tmp_path / "out").exists()
