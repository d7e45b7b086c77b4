"""Files of all formats in archives and behind URLs: written complete or not at all, and read back."""

from __future__ import annotations

import zipfile
from pathlib import Path

import fsspec
import numpy as np
import pytest
import xarray as xr

import imagedata_xr
from imagedata_xr.errors import OptionError, SourceError, WriteError
from imagedata_xr.testing import Phantom, write_series

WRITERS = {
    "nifti": (imagedata_xr.to_nifti, ".nii.gz"),
    "itk": (imagedata_xr.to_itk, ".mha"),
    "mat": (imagedata_xr.to_mat, ".mat"),
}
TARGETS = ("memory://folder/a", "zip://a{}::b.zip", "c d#%41.zip/a", "zip://a{}::memory://y/b.zip")


@pytest.fixture
def memory(monkeypatch):
    from fsspec.implementations.memory import MemoryFileSystem

    monkeypatch.setattr(MemoryFileSystem, "store", {})
    monkeypatch.setattr(MemoryFileSystem, "pseudo_dirs", [""])
    return fsspec.filesystem("memory")


@pytest.fixture
def here(tmp_path, monkeypatch, request):
    request.getfixturevalue("memory")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IMAGEDATA_XR_SPOOL", str(tmp_path / "spool"))
    return tmp_path


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    files = write_series(Phantom(shape=(3, 4, 5)), tmp_path_factory.mktemp("series"))
    return xr.open_dataarray(files, engine="dicom", progress=False).load()


@pytest.fixture(scope="module")
def diffusion(image):
    """Four volumes with b-values and directions."""
    stacked = xr.concat([image * n for n in (1, 2, 3, 4)], "volume").astype("f4")
    vectors = np.eye(4, 3)
    extra = {f"bvec_{axis}": ("volume", vectors[:, n]) for n, axis in enumerate("xyz")}
    return stacked.assign_coords(b=("volume", [0.0, 700.0, 700.0, 1000.0]), **extra)


def equal(one, other):
    """Whether two images have the same values at the same positions."""
    difference = one - other
    return difference.sizes == other.sizes and not difference.values.any()


def target_of(template, ending):
    return template.format(ending) if "{}" in template else template + ending


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("engine", WRITERS)
@pytest.mark.parametrize("template", TARGETS)
def test_comes_back(image, engine, template):
    """What is written is read back under the same name, twice only on request."""
    write, ending = WRITERS[engine]
    target = target_of(template, ending)
    assert str(write(image, target)) == target
    again = xr.open_dataarray(target, engine=engine)
    assert equal(again, image)
    with pytest.raises(WriteError, match="overwrite=True"):
        write(image, target)
    write(image + 1, target, overwrite=True)
    assert equal(xr.open_dataarray(target, engine=engine), image + 1)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("target", ["memory://d/dwi.nii.gz", "dwi.zip/dwi.nii.gz", "dwi.zip"])
def test_what_belongs_to_it_comes_along(diffusion, target):
    """b-values, directions and the sidecar go with the image, and are found beside it."""
    name = target if target.endswith(".gz") else f"zip://dwi.nii.gz::{target}"
    imagedata_xr.to_nifti(diffusion, name)
    again = xr.open_dataarray(target, engine="nifti")
    np.testing.assert_array_equal(again.b.values, diffusion.b.values)
    np.testing.assert_allclose(again.bvec_y.values, diffusion.bvec_y.values)


def test_what_no_longer_belongs_to_it_goes(memory, diffusion, image):
    """Replacing an image with b-values by one without takes them away."""
    imagedata_xr.to_nifti(diffusion, "memory://d/a.nii")
    assert memory.exists("/d/a.bval")
    imagedata_xr.to_nifti(image, "memory://d/a.nii", overwrite=True)
    assert not memory.exists("/d/a.bval")
    assert "b" not in xr.open_dataarray("memory://d/a.nii", engine="nifti").coords


def test_others_are_left_alone(here, image):
    """An archive with other members is not replaced; nothing of a failed write is left."""
    with zipfile.ZipFile("b.zip", "w") as archive:
        archive.writestr("diary.txt", "mine")
    before = Path("b.zip").read_bytes()
    with pytest.raises(WriteError, match=r"diary\.txt"):
        imagedata_xr.to_nifti(image, "zip://a.nii::b.zip", overwrite=True)
    with pytest.raises(WriteError, match="exists"):
        imagedata_xr.to_nifti(image, "zip://a.nii::b.zip")
    assert Path("b.zip").read_bytes() == before
    assert [path.name for path in here.iterdir()] == ["b.zip"]


def test_failure_is_taken_back(memory, diffusion, monkeypatch):
    """Where the last file cannot be put, those before it are removed again."""
    put = type(memory).put_file

    def full(self, local, remote, *args, **kwargs):
        if str(remote).endswith(".nii"):
            raise OSError("no room")
        return put(self, local, remote, *args, **kwargs)

    monkeypatch.setattr(type(memory), "put_file", full)
    with pytest.raises(WriteError, match="no room"):
        imagedata_xr.to_nifti(diffusion, "memory://d/a.nii")
    assert memory.find("/d") == []


@pytest.mark.usefixtures("here")
def test_what_means_nothing(image):
    """Servers for DICOM, unknown protocols, folders in archives and headers without voxels are errors."""
    for target, match in (
        ("dicom://host/AE/a.nii", "takes DICOM"),
        ("nonsense://host/a.nii", "no URL that can be written"),
        ("zip://folder/a.nii::b.zip", "without folders"),
        ("zip://a.txt::b.zip", "ends in .nii"),
    ):
        with pytest.raises(OptionError, match=match):
            imagedata_xr.to_nifti(image, target)
    imagedata_xr.to_itk(image, "zip://a.mhd::b.zip")
    with pytest.raises(OptionError, match="another file"):
        xr.open_dataarray("zip://a.mhd::b.zip", engine="itk")
    with pytest.raises(SourceError, match="no such member"):
        xr.open_dataarray("zip://c.mha::b.zip", engine="itk")


@pytest.mark.usefixtures("here")
def test_copies_survive_their_archive(image):
    """What was opened out of an archive is read after the archive has gone."""
    imagedata_xr.to_itk(image, "zip://a.mha::b.zip")
    opened = xr.open_dataarray("b.zip/a.mha", engine="itk")
    Path("b.zip").unlink()
    np.testing.assert_array_equal(opened.values, image.values)
