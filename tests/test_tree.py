"""Folders of several patients and series as DataTrees."""

from __future__ import annotations

import os
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from imagedata_xr.errors import (
    ImagedataError,
    ImagedataWarning,
    NoImagesError,
    SkippedFileWarning,
    WriteError,
)
from imagedata_xr.testing import Phantom, change_header, drop_file, truncate_file, write_series

CORPUS = Path(os.environ.get("IMAGEDATA_XR_CORPUS", "../shared/corpus"))


@pytest.fixture
def cohort(tmp_path):
    """Two patients; one has two studies, one of them with a broken and a localizer series."""
    write_series(Phantom(axes={"time": [0, 3]}), tmp_path / "a")
    write_series(Phantom(series=2), tmp_path / "b")
    localizer = Phantom(series=2, orientation="coronal")
    for number, path in enumerate(write_series(localizer, tmp_path / "c")):
        change_header(path, SOPInstanceUID=localizer.uid("other", number))
    write_series(Phantom(study=2), tmp_path / "d")
    write_series(Phantom(patient=2), tmp_path / "e")
    paths = write_series(Phantom(series=3, axes={"te": [5, 10]}), tmp_path / "f")
    drop_file(paths[2])
    return tmp_path


def test_levels_and_leaves(cohort):
    """Patients, studies, series and stacks are levels; every image is in its place."""
    tree = xr.open_datatree(cohort, engine="dicom")
    assert len(tree.children) == 2
    images = [node for node in tree.leaves if "image" in node.data_vars]
    assert sorted(node["image"].ndim for node in images) == [3, 3, 3, 3, 4]
    assert sum(node.path.endswith(("stack0", "stack1")) for node in images) == 2
    for patient in tree.children.values():
        assert patient.attrs["PatientID"]


def test_a_series_without_an_array_says_why(cohort):
    """An incomplete series is an empty node with the reason, and hinders nobody else."""
    failed = [
        node for node in xr.open_datatree(cohort, engine="dicom").leaves if "error" in node.attrs
    ]
    assert len(failed) == 1
    assert "missing" in failed[0].attrs["error"]


def test_images_of_the_tree_are_those_of_the_folders(tmp_path):
    """A leaf holds what opening its folder gives."""
    phantom = Phantom(axes={"te": [5, 10]})
    write_series(phantom, tmp_path)
    (leaf,) = xr.open_datatree(tmp_path, engine="dicom").leaves
    np.testing.assert_array_equal(leaf["image"], phantom.truth().values)


def test_names_without_identity(cohort):
    """With phi=False neither names nor attributes identify a patient."""
    named = xr.open_datatree(cohort, engine="dicom")
    bare = xr.open_datatree(cohort, engine="dicom", phi=False)
    identities = {node.attrs["PatientID"] for node in named.children.values()}
    assert not any(one in path for one in identities for path in bare.groups)
    assert all("PatientID" not in node.attrs for node in bare.subtree)
    assert len(bare.leaves) == len(named.leaves)


def test_groups(cohort):
    """open_groups gives the same Datasets in a dictionary."""
    groups = xr.open_groups(cohort, engine="dicom")
    assert set(groups) == set(xr.open_datatree(cohort, engine="dicom").groups)


def test_each_header_is_read_once(cohort, monkeypatch):
    """Opening a cohort reads every file's header once, and no pixels."""
    from imagedata_xr.formats.dicom.headers.scan import _Scan
    from imagedata_xr.formats.dicom.pixels import PixelReader

    seen = []
    plain = _Scan.fetch
    monkeypatch.setattr(_Scan, "fetch", lambda self, one: seen.append(one.name) or plain(self, one))
    monkeypatch.setattr(PixelReader, "read", None)
    xr.open_datatree(cohort, engine="dicom")
    assert sorted(seen) == sorted(str(path) for path in cohort.rglob("*") if path.is_file())


def test_series_and_frames_are_chosen(cohort):
    """series= leaves the others out, select= takes the frames that fit of every series."""
    tree = xr.open_datatree(cohort, engine="dicom", series=3, select={"EchoTime": 10.0})
    (leaf,) = tree.leaves
    assert leaf["image"].attrs["SeriesNumber"] == 3
    assert leaf["image"].attrs["EchoTime"] == 10
    with pytest.raises(NoImagesError):
        xr.open_datatree(cohort, engine="dicom", select={"EchoTime": 11.0})


def test_damaged_files_are_nodes(cohort):
    """A damaged file hinders no other series; it is listed, and so is where it is missing."""
    cut = max((cohort / "e").iterdir())
    truncate_file(cut, keep=0.1)
    with pytest.warns(SkippedFileWarning, match="left out 1"):
        tree = xr.open_datatree(cohort, engine="dicom")
    (node,) = tree["unreadable"].leaves
    assert cut.name in node.attrs["error"]
    (beside,) = (node for node in tree.subtree if "warning" in node.attrs)
    assert beside["image"].sizes["slice"] == 3
    with pytest.raises(ImagedataError):
        xr.open_datatree(cohort, engine="dicom", errors="raise")


def test_reasons_name_no_patient(tmp_path):
    """A series of two patients is a node whose reason says so without saying who."""
    paths = write_series(Phantom(), tmp_path / "DOE_JANE")
    change_header(paths[0], PatientID="SECRET-1", PatientName="DOE^JANE")
    tree = xr.open_datatree(tmp_path, engine="dicom")
    (reason,) = (node.attrs["error"] for node in tree.leaves)
    assert "2 patients" in reason
    assert "SECRET" not in reason
    tree = xr.open_datatree(tmp_path, engine="dicom", phi=False)
    assert not any(word in str(tree) + "".join(tree.groups) for word in ("SECRET", "DOE", "JANE"))


def test_zarr_and_back(cohort, tmp_path):
    """A tree comes back from Zarr identical, errors and levels included; nothing is replaced unasked."""
    tree = xr.open_datatree(cohort, engine="dicom")
    store = tree.med.to_zarr(tmp_path / "store")
    back = xr.open_datatree(store, engine="zarr").med.restore()
    assert back.identical(tree)
    with pytest.raises(WriteError, match="overwrite"):
        tree.med.to_zarr(store)
    tree.med.to_zarr(store, overwrite=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    with pytest.raises(WriteError, match="no Zarr store"):
        tree.med.to_zarr(tmp_path / "mine", overwrite=True)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "mine"


def test_dicom_and_back(cohort, tmp_path):
    """All images of a tree become series that open to the same images; what cannot is reported."""
    tree = xr.open_datatree(cohort, engine="dicom")
    with pytest.warns(SkippedFileWarning, match="1 node"):
        report = tree.med.to_dicom(
            tmp_path / "out", template="{PatientID}/{SeriesNumber}_{SeriesDescription}"
        )
    assert sorted(report["path"].isna()) == [False] * 5 + [True]
    for row in report.dropna(subset="path").itertuples():
        assert Path(row.path).parent.parent == tmp_path / "out"
        written = xr.open_dataarray(row.path, engine="dicom")
        np.testing.assert_array_equal(written, tree[row.node]["image"])
    before = sorted((tmp_path / "out").rglob("*"))
    with pytest.warns(SkippedFileWarning), pytest.raises(ExceptionGroup, match="5 of 6") as caught:
        tree.med.to_dicom(
            tmp_path / "out", template="{PatientID}/{SeriesNumber}_{SeriesDescription}"
        )
    assert all(isinstance(error, WriteError) for error in caught.value.exceptions)
    assert sorted((tmp_path / "out").rglob("*")) == before


def test_nifti_by_node_and_by_bids(cohort, tmp_path):
    """NIfTI files lie where their nodes do, or are named as BIDS wants it; each once."""
    pytest.importorskip("nibabel")
    tree = xr.open_datatree(cohort, engine="dicom")
    with pytest.warns(SkippedFileWarning):
        report = tree.med.to_nifti(tmp_path / "plain").dropna(subset="path")
    for row in report.itertuples():
        assert row.path == f"{tmp_path / 'plain'}{row.node}.nii.gz"
        back = xr.open_dataarray(row.path, engine="nifti")
        assert back.size == tree[row.node]["image"].size
    with pytest.warns(SkippedFileWarning):
        report = tree.med.to_nifti(tmp_path / "bids", template="bids").dropna(subset="path")
    pattern = r".*/bids/sub-(\w+)/ses-(\d+)/mr/sub-\1_ses-\2_acq-\w+(_run-\d+)?_mr\.nii\.gz"
    assert all(re.fullmatch(pattern, path) for path in report["path"])
    assert report["path"].is_unique


def test_what_cannot_be_written_is_reported(cohort, tmp_path):
    """One series that fails hinders no other, leaves nothing behind, and is named at the end."""
    tree = xr.open_datatree(cohort, engine="dicom", series=[1, 2])
    node, image = next(iter(tree.med.images().items()))
    tree[node] = xr.DataTree((image * np.nan).to_dataset(name="image"))
    report = tree.med.to_dicom(tmp_path / "out", errors="report")
    failed = report[report["path"].isna()]
    assert list(failed["node"]) == [node]
    assert "finite" in failed["error"].iloc[0]
    assert not (tmp_path / "out" / node.strip("/")).exists()
    assert len(report) > 1
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.skipif(not CORPUS.is_dir(), reason="IMAGEDATA_XR_CORPUS names no folder")
def test_the_whole_corpus_is_one_cohort():
    """Every file of the corpus is in one tree: an image, an object without, or a reason."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImagedataWarning)
        tree = xr.open_datatree(CORPUS, engine="dicom", phi=False)
    kinds = {"image": 0, "error": 0, "note": 0}
    for node in tree.leaves:
        kinds[next(kind for kind in kinds if kind in node or kind in node.attrs)] += 1
    assert kinds["image"] > 100
    assert kinds["note"] > 0
