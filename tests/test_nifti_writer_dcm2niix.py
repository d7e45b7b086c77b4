"""NIfTI files: equal to those of dcm2niix, from DICOM files made by hand."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from nifti_images import (
    DWI_VECTORS,
    PLANES,
    dwi,
    image,
    read_gradients,
    world,
)

from imagedata_xr.formats.nifti import to_nifti

nib = pytest.importorskip("nibabel")


def dicom_series(folder, da, *, diffusion=False):
    """Write the image as classic MR files, one a slice and volume, straight from the standard."""
    pydicom = pytest.importorskip("pydicom")
    from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

    folder.mkdir()
    study, series = generate_uid(), generate_uid()
    volumes = da if "volume" in da.dims else da.expand_dims(volume=[0])
    points, index = world(da), {n: da[n].values for n in ("slice", "row", "column")}
    down, across = (
        np.array(da[n].attrs["direction"]) * np.sign(index[n][1] - index[n][0])
        for n in ("row", "column")
    )
    for number, (v, s) in enumerate(np.ndindex(volumes.shape[:2]), start=1):
        ds = pydicom.Dataset()
        ds.file_meta = pydicom.dataset.FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = MRImageStorage
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = generate_uid()
        ds.StudyInstanceUID, ds.SeriesInstanceUID = study, series
        ds.FrameOfReferenceUID = study
        ds.Modality, ds.Manufacturer, ds.PatientName, ds.PatientID = "MR", "Philips", "A", "A"
        ds.SeriesNumber, ds.InstanceNumber, ds.AcquisitionNumber = 1, number, v + 1
        ds.ImageType = ["ORIGINAL", "PRIMARY", "M"]
        ds.MRAcquisitionType, ds.EchoTime, ds.RepetitionTime = "2D", "30", "2000"
        ds.StudyDate, ds.AcquisitionDate, ds.AcquisitionTime = "20260101", "20260101", "120000"
        ds.ImagePositionPatient = [f"{x:.10g}" for x in points[s, 0, 0]]
        ds.ImageOrientationPatient = [f"{x:.10g}" for x in (*across, *down)]
        ds.PixelSpacing = [f"{abs(np.diff(index[n])[0]):.10g}" for n in ("row", "column")]
        ds.SliceThickness = f"{abs(np.diff(index['slice'])[0]):.10g}"
        ds.Rows, ds.Columns = da.sizes["row"], da.sizes["column"]
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
        if diffusion:
            ds.DiffusionBValue = float(da.b[v])
            if DWI_VECTORS[v].any():
                ds.DiffusionGradientOrientation = [float(x) for x in DWI_VECTORS[v]]
        ds.PixelData = volumes[v, s].values.astype("<i2").tobytes()
        ds.save_as(folder / f"{number:03}.dcm", enforce_file_format=True)


def convert(folder, out):
    """Run dcm2niix and return the image it wrote."""
    program = shutil.which("dcm2niix", path=str(Path(sys.executable).parent)) or shutil.which(
        "dcm2niix"
    )
    if program is None:
        pytest.skip("dcm2niix is not installed")
    out.mkdir()
    subprocess.run(
        [program, "-z", "n", "-b", "n", "-f", "theirs", "-o", out, folder],
        check=True,
        capture_output=True,
    )
    (path,) = out.glob("*.nii")
    return path


@pytest.mark.parametrize("flip", [(1, 1, 1), (-1, 1, 1), (1, -1, -1)])
@pytest.mark.parametrize("plane", PLANES)
def test_same_file_as_dcm2niix(tmp_path, plane, flip):
    """Shape, type, voxel bytes, sform and voxel sizes are those of dcm2niix."""
    da = image(PLANES[plane] * np.array(flip), shape=(5, 16, 12))
    dicom_series(tmp_path / "dicom", da)
    theirs = nib.load(convert(tmp_path / "dicom", tmp_path / "out"))
    ours = nib.load(to_nifti(da, tmp_path / "ours.nii"))
    np.testing.assert_array_equal(np.asarray(ours.dataobj), np.asarray(theirs.dataobj))
    assert ours.get_data_dtype() == theirs.get_data_dtype()
    np.testing.assert_allclose(ours.affine, theirs.affine, atol=1e-4)
    np.testing.assert_allclose(ours.header.get_qform(), theirs.header.get_qform(), atol=2e-3)
    np.testing.assert_allclose(ours.header["pixdim"][:4], theirs.header["pixdim"][:4], rtol=1e-5)


@pytest.mark.parametrize("plane", PLANES)
def test_same_gradients_as_dcm2niix(tmp_path, plane):
    """b-values and directions beside the image are those of dcm2niix."""
    da = dwi(PLANES[plane])
    dicom_series(tmp_path / "dicom", da, diffusion=True)
    theirs = convert(tmp_path / "dicom", tmp_path / "out")
    ours = to_nifti(da, tmp_path / "ours.nii")
    np.testing.assert_array_equal(
        np.asarray(nib.load(ours).dataobj), np.asarray(nib.load(theirs).dataobj)
    )
    for mine, other in zip(read_gradients(ours), read_gradients(theirs), strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-5)
