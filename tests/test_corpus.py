"""Real series of many vendors: against dcm2niix run here, and against the corpus's own truth."""

from __future__ import annotations

import json
import warnings

import corpus_oracle as oracle
import numpy as np
import pytest
import xarray as xr

import imagedata_xr
from imagedata_xr.errors import ImagedataWarning, SortError

if not oracle.CORPUS.is_dir():
    pytest.skip("no corpus: set IMAGEDATA_XR_CORPUS", allow_module_level=True)

SERIES = {folder.name: folder for folder in oracle.entries("series")}
# The corpus names axes after the attribute that varies; these are called otherwise here.
OTHER_NAMES = {
    "ct_same_position": {"acquisition": "volume"},
    "mr_canon_dti_ortho": {"volume": "b"},
    "mr_toshiba_dti_ortho": {"volume": "b"},
    "mr_ge_fmri_noti": {"volume": "time"},
}
COLOUR = {"mr_siemens_xa30_enh_rgb"}
REFUSED = {"mr_siemens_incomplete_te", "mr_ge_localizer3"}


def truth(name):
    """Return what the corpus knows about a series."""
    return json.loads((SERIES[name] / "manifest.json").read_text())["truth"]


def opened(name, **options):
    """Open a series, whatever it warns of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImagedataWarning)
        return xr.open_dataarray(SERIES[name] / "dicom", engine="dicom", **options)


@pytest.mark.parametrize("name", SERIES)
def test_equals_dcm2niix(name):
    """Every volume of ours is a volume of dcm2niix's, voxel for voxel at the same positions."""
    if oracle.dcm2niix() is None:
        pytest.skip("dcm2niix is not installed")
    verdict = oracle.compare(SERIES[name])
    if name in oracle.UNLIKE_DCM2NIIX:
        assert not verdict.equal
        return
    assert verdict.corner is not None
    assert verdict.corner < oracle.ROUNDED_BY_DCM2NIIX
    assert verdict.text in {"equal", "corner"}
    found, total = verdict.volumes.split("/")
    assert found == total


@pytest.mark.parametrize("name", [name for name in SERIES if name not in REFUSED])
def test_dimensions_are_those_of_the_header(name):
    """Names and sizes of the dimensions are those that the tags say."""
    names = OTHER_NAMES.get(name, {})
    expected = {names.get(dim, dim): size for dim, size in truth(name)["expected_dims"]}
    if name in COLOUR:
        expected["rgb"] = 3
    assert dict(opened(name).sizes) == expected


@pytest.mark.parametrize("name", [name for name in SERIES if name not in REFUSED])
def test_probes_lie_where_the_header_puts_them(name):
    """Single voxels, read by other software, are found at their patient positions."""
    known = truth(name)
    probes = [probe for probe in known.get("probes", ()) if "lps_mm" in probe]
    # Those of mosaics are voxels of the stored image, which has no place in the patient.
    if not probes or "mosaic" in known:
        pytest.skip("the corpus has no positions of voxels for this series")
    da = opened(name, rescale=False)
    if da.slice.size == 1 and "spacing" not in da.slice.attrs:
        pytest.skip("one slice of unknown thickness: its depth has no index")
    values = da.to_numpy()
    lead = values.ndim - (4 if name in COLOUR else 3)
    for probe in probes:
        index = da.med.world_to_index([probe["lps_mm"]])[0]
        np.testing.assert_allclose(index, index.round(), atol=0.02)
        place = tuple(index.round().astype(int))
        here = values[(slice(None),) * lead + place]
        assert np.any(np.all(here.reshape(-1, np.size(probe["stored"])) == probe["stored"], axis=1))


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_refused_series_offer_a_way_that_works(name):
    """A series that makes no array raises, and each suggestion opens a part of it."""
    with pytest.raises(SortError) as caught:
        opened(name)
    assert caught.value.suggestions
    for suggestion in caught.value.suggestions:
        assert opened(name, **suggestion).size


JOINED = {
    "mr_siemens_ti_series": ("ti", [30, 60, 120, 200, 400]),
    "mr_vfa_dro_6fa": ("fa", [3, 6, 9, 15, 24, 35]),
    "mr_vfa_rider_2fa": ("fa", [5, 10]),
}


@pytest.mark.parametrize("name", JOINED)
def test_one_image_of_several_series(name):
    """Series that differ in one quantity are one array along it."""
    dim, labels = JOINED[name]
    da = xr.open_dataarray(oracle.CORPUS / name / "dicom", engine="dicom", series="all", sort=dim)
    assert da[dim].values.tolist() == labels


def test_every_single_file_opens_or_is_refused_by_us():
    """Whatever the file, the result is an array or one of our errors."""
    counts = {"opened": 0, "refused": 0}
    for folder in oracle.entries("files"):
        for path in sorted((folder / "dicom").rglob("*")):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    xr.open_dataarray(path, engine="dicom").load()
                counts["opened"] += 1
            except imagedata_xr.ImagedataError:
                counts["refused"] += 1
    assert counts["opened"] > counts["refused"]


DIFFUSION = [
    "mr_canon_enh_dti",
    "mr_ge_dwi_r3",
    "mr_philips_enh_dti_small",
    "mr_siemens_dwi_rsi",
    "mr_siemens_mosaic_dwi_2axis",
    "mr_siemens_xa60_enh_dwi",
    "mr_uih_dti_pa",
]


@pytest.mark.parametrize("name", DIFFUSION)
def test_gradient_files_equal_dcm2niix(name, tmp_path):
    """The .bval and .bvec that we write are those of dcm2niix, volume by volume."""
    if oracle.dcm2niix() is None:
        pytest.skip("dcm2niix is not installed")
    oracle.converted(SERIES[name] / "dicom", tmp_path)
    (bval,) = tmp_path.glob("*.bval")
    (tmp_path / "ours").mkdir()
    opened(name).med.to_nifti(tmp_path / "ours" / "dwi.nii")
    ours = np.vstack([np.loadtxt(tmp_path / "ours" / f"dwi.{end}") for end in ("bval", "bvec")])
    vectors = np.loadtxt(bval.with_suffix(".bvec"))
    # dcm2niix keeps vectors of GE that are 0.04 % too long; ours are unit vectors.
    vectors /= np.maximum(np.linalg.norm(vectors, axis=0), 1e-9)
    theirs = np.vstack([np.loadtxt(bval), vectors])
    # dcm2niix may put the unweighted volume last.
    ours, theirs = (table[:, np.lexsort(np.round(table, 2))] for table in (ours, theirs))
    np.testing.assert_allclose(ours[0], theirs[0], atol=0.51)
    np.testing.assert_allclose(ours[1:], theirs[1:], atol=2e-4)
