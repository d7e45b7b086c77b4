"""Undamaged files that the mutations begin with: phantoms, and what pydicom ships."""

from __future__ import annotations

import functools
import gzip
import io
import json
import sys
import tarfile
import tempfile
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pydicom.data
import xarray as xr
from pydicom.uid import RLELossless

from imagedata_xr.testing import Phantom, enhanced, write_series

# The builders of mosaics and CSA headers are those of the tests.
sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))

SHAPE = (2, 4, 6)
X, Y = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)
DIFFUSION = [{"b": 0}, {"b": 800, "bvec": X}, {"b": 800, "bvec": Y}]
PHANTOMS = [
    Phantom(shape=SHAPE),
    Phantom(shape=SHAPE, transfer_syntax="implicit", orientation="oblique"),
    Phantom(shape=SHAPE, transfer_syntax="big", axes={"time": [0, 2.5]}),
    Phantom(shape=SHAPE, transfer_syntax="deflated"),
    Phantom(shape=SHAPE, transfer_syntax="rle", modality="CT", tilt=15),
    Phantom(shape=SHAPE, modality="PT", rescale=[(0.5, 0)], timing="FrameReferenceTime"),
    Phantom(shape=SHAPE, volumes=DIFFUSION, vendor="siemens"),
    Phantom(shape=SHAPE, volumes=DIFFUSION, vendor="ge"),
    Phantom(shape=SHAPE, volumes=DIFFUSION, vendor="philips"),
    Phantom(shape=SHAPE, volumes=DIFFUSION, vendor="uih"),
]
SHIPPED = [
    "MR_small.dcm",
    "MR_small_implicit.dcm",
    "MR_small_expb.dcm",
    "MR_small_RLE.dcm",
    "MR_small_padded.dcm",
    "MR_small_jp2klossless.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "nested_priv_SQ.dcm",
    "UN_sequence.dcm",
    "reportsi.dcm",
    "rtplan.dcm",
    "rtdose.dcm",
    "rtdose_rle.dcm",
    "rtstruct.dcm",
    "image_dfl.dcm",
    "JPEG2000.dcm",
    "SC_rgb_rle_16bit_2frame.dcm",
    "SC_rgb_small_odd_jpeg.dcm",
    "SC_rgb_dcmtk_+eb+cy+np.dcm",
    "SC_jpeg_no_color_transform.dcm",
    "badVR.dcm",
    "no_meta_group_length.dcm",
    "meta_missing_tsyntax.dcm",
    "ExplVR_BigEndNoMeta.dcm",
    "empty_charset_LEI.dcm",
    "test-SR.dcm",
    "JPEGLSNearLossless_16.dcm",
]


def files_of(phantom):
    """Return a phantom's files as bytes."""
    with tempfile.TemporaryDirectory() as folder:
        return [path.read_bytes() for path in write_series(phantom, folder)]


def _saved(dataset):
    target = io.BytesIO()
    dataset.save_as(target)
    return target.getvalue()


@functools.cache
def dicom():
    """Return single files of every vendor and transfer syntax."""
    shipped = Path(pydicom.data.__file__).parent / "test_files"
    found = [files_of(phantom)[-1] for phantom in PHANTOMS]
    return found + [(shipped / name).read_bytes() for name in SHIPPED]


@functools.cache
def multiframe():
    """Return multi-frame objects and mosaics."""
    from memory_headers import file_bytes
    from test_mosaic import mosaic

    phantoms = [
        Phantom(axes={"time": [0, 2.5], "te": [5, 10]}, shape=SHAPE, rescale=(2, 10)),
        Phantom(volumes=DIFFUSION, shape=SHAPE, orientation="oblique"),
        Phantom(shape=(5, 4, 6), orientation="sagittal"),
        Phantom(shape=SHAPE, transfer_syntax="implicit"),
    ]
    mosaics = [mosaic(), mosaic((0, 0, -1)), mosaic(None)]
    packed = mosaic()
    packed.file_meta = None
    files = [file_bytes(one) for one in mosaics]
    compressed = pydicom.dcmread(io.BytesIO(files[0]))
    compressed.compress(RLELossless)
    return [*(_saved(enhanced(phantom)) for phantom in phantoms), *files, _saved(compressed)]


@functools.cache
def csa():
    """Return CSA headers of both versions."""
    from test_csa import TAGS
    from test_csa import csa as build

    return [build(TAGS), build(TAGS, second=False), build(TAGS, second=False, addition=0)]


@functools.cache
def image():
    """Return an array with everything that a header may hold."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write_series(Phantom(axes={"te": [5, 10]}, shape=(3, 4, 5), orientation="oblique"), folder)
        return xr.open_dataarray(folder, engine="dicom").load()


def _written(suffixes, write):
    found = []
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number, suffix in enumerate(suffixes):
            path = Path(folder, f"{number}{suffix}")
            write(path)
            found.append((suffix, path.read_bytes()))
    return found


@functools.cache
def nifti():
    """Return NIfTI-1 and NIfTI-2, plain and packed."""
    import nibabel

    da = image()
    found = [data for _, data in _written([".nii", ".nii.gz"], da.med.to_nifti)]
    affine = np.diag([2.0, 3, 4, 1])
    for kind in (nibabel.Nifti1Image, nibabel.Nifti2Image):
        for dtype in (np.int16, np.float32, np.complex64):
            made = kind(np.arange(60).reshape(3, 4, 5).astype(dtype), affine)
            made.header.set_xyzt_units("mm", "sec")
            found.append(made.to_bytes())
    return [*found, gzip.compress(found[0])[:-4]]


@functools.cache
def sidecars():
    """Return JSON files beside NIfTI images."""
    with tempfile.TemporaryDirectory() as folder:
        image().med.to_nifti(Path(folder, "a.nii"))
        ours = Path(folder, "a.json").read_bytes()
    bids = {
        "EchoTime": 0.03,
        "RepetitionTime": 2.5,
        "FlipAngle": 90,
        "SliceTiming": [0, 1.25],
        "VolumeTiming": [0, 2.5],
        "ImageType": ["ORIGINAL", "PRIMARY"],
        "AcquisitionTime": "12:00:00.5",
    }
    return [ours, json.dumps(bids).encode()]


@functools.cache
def itk():
    """Return files of every format of ITK, as (suffix, bytes)."""
    import SimpleITK

    da = image()
    plain = da.isel(te=0, drop=True)
    found = _written([".mha", ".nrrd"], da.med.to_itk)
    found += _written([".mha", ".nrrd"], plain.med.to_itk)
    found += _written([".vtk", ".gipl", ".tif"], lambda path: plain.med.to_itk(path, force=True))
    flat = plain.isel(slice=0).astype("uint8")
    picture = SimpleITK.GetImageFromArray(flat.values)
    return found + _written([".png", ".jpg"], lambda path: SimpleITK.WriteImage(picture, path))


@functools.cache
def mat():
    """Return MAT files of versions 4, 5 and 7.3."""
    import scipy.io

    da = image()
    found = [data for _, data in _written([".mat"], da.med.to_mat)]
    values = {"a": da.values, "name": "x", "cell": np.array([1, "a"], dtype=object)}
    for how in ({"do_compression": True}, {"do_compression": False}):
        target = io.BytesIO()
        scipy.io.savemat(target, values, **how)
        found.append(target.getvalue())
    target = io.BytesIO()
    scipy.io.savemat(target, {"a": da.values[0, 0]}, format="4")
    return [*found, target.getvalue()]


@functools.cache
def archives():
    """Return series in ZIP and tar archives."""
    files = files_of(Phantom(shape=SHAPE))
    found = []
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        target = io.BytesIO()
        with zipfile.ZipFile(target, "w", method) as archive:
            for number, data in enumerate(files):
                archive.writestr(f"series/{number}.dcm", data)
        found.append(target.getvalue())
    for mode in ("w:", "w:gz", "w:bz2", "w:xz"):
        target = io.BytesIO()
        with tarfile.open(fileobj=target, mode=mode) as archive:
            for number, data in enumerate(files):
                info = tarfile.TarInfo(f"series/{number}.dcm")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
        found.append(target.getvalue())
    return found


@functools.cache
def regions():
    """Return GeoJSON of regions of interest."""
    from imagedata_xr import roi

    code = roi.Code("85756007", "SCT", "Tissue")
    places = [
        image().isel(te=0).med.index_to_world([[1, r, c] for r, c in plane]) for plane in PLANES
    ]
    one = roi.Roi(name="one", contours=(roi.Contour(places[0]),), color="#12ab9f", code=code)
    two = roi.Roi(name="two", contours=tuple(map(roi.Contour, places)), thickness=3.0)
    with tempfile.TemporaryDirectory() as folder:
        path = roi.to_file([one, two], Path(folder, "a.json"), like=image())
        return [path.read_bytes()]


PLANES = [[(0, 0), (0, 3), (2, 3)], [(1, 1), (1, 2), (2, 2), (2, 1)]]
EXPRESSIONS = [
    b"(a + b) / 2",
    b"where(a > 10 & ~(b < 3), a, nan)",
    b'mean(a, "te") ** 2 - sum(b)',
    b"clip(a, 0, 100) // 7 % 3",
    b"-log(a + 1e-3) * pi if a else b",
    b"not a or b and a != 2 < 3",
    b"arctan2(a, b).real[0] + [x for x in a]",
    b"lambda: __import__('os').system('x')",
]
URLS = [
    b"dicom://host:104/AETITLE/patient/1.2.3/1.2.4",
    b"dicoms://[::1]:2762/AE?calling_aet=ME&timeout=5",
    b"dicomweb://host:8042/dicom-web/studies/1.2",
    b"xnat+https://host/project/subject/experiment",
    b"a.zip/folder/*.dcm",
    b"a.zip?series",
    b"zip://series/*::memory://a.zip",
    b"tar://x::file:///nowhere/b.tar.gz",
    b"memory://a/b/**/*.dcm",
    b"folder/[0-9]?",
]
