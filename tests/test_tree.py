"""Folders of several patients and series as DataTrees."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from imagedata_xr.testing import Phantom, change_header, drop_file, write_series


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
