"""NIfTI files: complete or absent."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from nifti_images import (
    check_by_world,
    dwi,
    image,
    lazy,
)

from imagedata_xr.errors import (
    MissingDependencyError,
    OptionError,
    WriteError,
)
from imagedata_xr.formats.nifti import to_nifti

nib = pytest.importorskip("nibabel")


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("how", ["lazy", "dask"])
@pytest.mark.parametrize("before", [False, True])
def test_a_failure_in_the_middle_leaves_nothing(tmp_path, suffix, how, before):
    """The folder is as it was: no part, no sidecar, and an older image untouched."""
    da = dwi()
    path = tmp_path / f"a{suffix}"
    if before:
        to_nifti(da, path)
    files = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    if how == "lazy":
        broken, _ = lazy(da + 1, fail_after=3)
    else:

        def fail(block, block_info=None):
            if block_info and block_info[0]["chunk-location"][0] == 3:
                raise RuntimeError("the disk was unplugged")
            return block

        chunked = (da + 1).chunk(volume=1)
        broken = chunked.copy(
            data=chunked.data.map_blocks(fail, dtype=da.dtype, meta=chunked.data._meta)
        )
    with pytest.raises(RuntimeError, match="unplugged"):
        to_nifti(broken, path, overwrite=True)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == files


def test_existing_files_are_kept(tmp_path):
    """Neither an image nor a file that would then belong to it is replaced unasked."""
    da = image()
    path = to_nifti(da, tmp_path / "a.nii")
    content = path.read_bytes()
    with pytest.raises(WriteError, match=r"a\.nii.*overwrite=True"):
        to_nifti(da + 1, path)
    assert path.read_bytes() == content
    path.unlink()
    with pytest.raises(WriteError, match=r"a\.json already.*part of a\.nii: give .* another name"):
        to_nifti(da, path, sidecar=False)


def test_overwriting_removes_what_belonged_to_the_old_image(tmp_path):
    """Gradient files of an older image do not stay beside a new one."""
    path = to_nifti(dwi(), tmp_path / "a.nii")
    assert {p.suffix for p in tmp_path.iterdir()} == {".nii", ".json", ".bval", ".bvec"}
    da = image()
    to_nifti(da, path, overwrite=True)
    assert {p.suffix for p in tmp_path.iterdir()} == {".nii", ".json"}
    check_by_world(path, da)


def test_targets_that_cannot_be(tmp_path, monkeypatch):
    """Wrong suffixes, absent folders, folders and full disks are errors that name the target."""
    for name in ("a.img", "a", ".nii", "a.nii.bz2"):
        with pytest.raises(OptionError, match=r"\.nii or \.nii\.gz"):
            to_nifti(image(), tmp_path / name)
    with pytest.raises(WriteError, match="no folder"):
        to_nifti(image(), tmp_path / "no" / "a.nii")
    (tmp_path / "b.nii").mkdir()
    with pytest.raises(WriteError, match="is a folder"):
        to_nifti(image(), tmp_path / "b.nii", overwrite=True)

    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(WriteError, match=r"a\.json could not be written: .*No space"):
        to_nifti(image(), tmp_path / "a.nii", overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["b.nii"]


def test_a_file_written_by_somebody_else_in_the_meantime_is_kept(tmp_path):
    """What appears under the name while the voxels are computed is not replaced unasked."""
    path = tmp_path / "a.nii"

    da, recorder = lazy(image())
    read = recorder.read

    def late(key):
        path.write_text("theirs")
        return read(key)

    recorder.read = late
    with pytest.raises(WriteError, match="overwrite=True"):
        to_nifti(da, path)
    assert path.read_text() == "theirs"
    assert [p.name for p in tmp_path.iterdir()] == ["a.nii"]


def test_a_link_stays_a_link(tmp_path):
    """The file behind a symbolic link is replaced, not the link."""
    (tmp_path / "disk").mkdir()
    path = to_nifti(image(), tmp_path / "disk" / "a.nii", sidecar=False)
    (tmp_path / "b.nii").symlink_to(path)
    to_nifti(image() + 1, tmp_path / "b.nii", sidecar=False, overwrite=True)
    assert (tmp_path / "b.nii").is_symlink()
    check_by_world(path, image() + 1)


def test_empty_arrays_are_refused(tmp_path):
    """An empty selection is not an image."""
    with pytest.raises(WriteError, match=r"no voxels.*time"):
        to_nifti(image(lead={"time": range(3)}).isel(time=[]), tmp_path / "a.nii")


def test_without_nibabel(tmp_path, monkeypatch):
    """The error holds the line that installs it."""
    monkeypatch.setitem(sys.modules, "nibabel", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "imagedata_xr\[nifti\]"'):
        to_nifti(image(), tmp_path / "a.nii")


def test_the_drawer_is_cheap_to_import():
    """Importing the writer imports neither nibabel nor Dask nor pydicom."""
    code = (
        "import sys, imagedata_xr.formats.nifti; "
        "print([m for m in ('nibabel', 'dask.array', 'pydicom', 'isal') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
