"""Targets of writers: complete or absent, whatever happens to the process or the disk."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import fsspec
import numpy as np
import pytest
import xarray as xr

from imagedata_xr.errors import WriteError
from imagedata_xr.formats.dicom.write import to_dicom
from imagedata_xr.targets import complete_file, complete_folder, place_of
from imagedata_xr.testing import Phantom
from imagedata_xr.testing.conformance.writer import image_of

OURS = re.compile(r"\d+\.dcm")
linux = pytest.mark.skipif(sys.platform != "linux", reason="limits and renames of Linux")


def fill(target, *names, overwrite=False, then=None):
    """Write files that hold their own names, and do something before they are put there."""
    with complete_folder(target, ours=OURS, overwrite=overwrite) as folder:
        for name in names:
            (folder / name).write_text(name)
        if then is not None:
            then()


def names(folder):
    """Return the names in a folder."""
    return sorted(path.name for path in Path(folder).iterdir())


@pytest.mark.parametrize("target", ["out", "out.zip", "memory://out", "memory://out.zip"])
def test_each_kind_of_target_opens_again(tmp_path, target):
    """Folder, archive and URL hold the same series, are kept, and are replaced on request."""
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    where = target if "://" in target else tmp_path / target
    image = image_of(Phantom(axes={"time": [0, 2.5]}))
    assert str(to_dicom(image, where, Modality="MR", PatientID="1")) == str(where)
    for values in (image, image + 1):
        again = xr.open_dataarray(str(where), engine="dicom")
        np.testing.assert_array_equal(again.values, values.values)
        with pytest.raises(WriteError, match="overwrite=True"):
            to_dicom(image, where, Modality="MR", PatientID="1")
        to_dicom(image + 1, where, Modality="MR", PatientID="1", overwrite=True)
    assert names(tmp_path) == ([] if "://" in target else [target])
    memory.store.clear()


def test_members_of_archives_are_stored(tmp_path):
    """A reader finds each file at its offset: opening an archive unpacks nothing."""
    to_dicom(image_of(Phantom()), tmp_path / "a.zip", Modality="OT")
    with zipfile.ZipFile(tmp_path / "a.zip") as packed:
        assert packed.namelist() == [f"000{n}.dcm" for n in (1, 2, 3, 4)]
        assert {one.compress_type for one in packed.infolist()} == {zipfile.ZIP_STORED}
        assert packed.testzip() is None


def unplug():
    """Fail as no file system does."""
    raise RuntimeError("unplugged")


def test_failure_leaves_what_was_there(tmp_path):
    """An error half way leaves old files of every kind of target as they were."""
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    for target in (tmp_path / "a", tmp_path / "a.zip", "memory://a", "memory://a.zip"):
        for overwrite in (False, True):
            before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
            stored = {name: file.getvalue() for name, file in memory.store.items()}
            with pytest.raises(RuntimeError, match="unplugged"):
                fill(target, "1.dcm", overwrite=overwrite, then=unplug)
            assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
            assert {name: file.getvalue() for name, file in memory.store.items()} == stored
            fill(target, "1.dcm", "2.dcm", overwrite=overwrite)
    memory.store.clear()


def test_failing_uploads_are_taken_back(monkeypatch):
    """Where a server refuses a file, the ones before it are removed again, and old ones stay."""
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    fill("memory://a", "1.dcm")
    put = type(memory).put_file

    def full(self, local, remote, *args, **kwargs):
        if remote.endswith("3.dcm"):
            raise PermissionError("quota of ftp://me:secret@host")
        return put(self, local, remote, *args, **kwargs)

    monkeypatch.setattr(type(memory), "put_file", full)
    with pytest.raises(WriteError, match=r"memory://a could not be written: quota") as caught:
        fill("memory://a", "1.dcm", "2.dcm", "3.dcm", overwrite=True)
    assert "secret" not in str(caught.value)
    assert list(memory.store) == ["/a/1.dcm"]
    memory.store.clear()


def test_other_files_are_never_touched(tmp_path):
    """Files of other names are an error, also those that came while we wrote."""
    target = tmp_path / "a"
    fill(target, "1.dcm")
    notes = target / "notes.txt"
    with pytest.raises(WriteError, match=r"notes\.txt"):
        fill(target, "1.dcm", "2.dcm", overwrite=True, then=lambda: notes.write_text("mine"))
    assert names(target) == ["1.dcm", "notes.txt"]
    assert (target / "1.dcm").read_text() == "1.dcm"
    assert names(tmp_path) == ["a"]


def test_links_are_followed(tmp_path):
    """A link to a folder stays a link, and the folder behind it is replaced."""
    fill(tmp_path / "real", "1.dcm")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    fill(tmp_path / "link", "2.dcm", overwrite=True)
    assert (tmp_path / "link").is_symlink()
    assert names(tmp_path / "real") == ["2.dcm"]


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_writers_that_meet(tmp_path, kind):
    """Of several writers to one target without overwrite, just one succeeds, and it is whole."""
    target, results = tmp_path / "a", []
    barrier = threading.Barrier(4)

    def write(number):
        try:
            if kind == "folder":
                with complete_folder(target, ours=OURS, overwrite=False) as folder:
                    for name in ("1.dcm", "2.dcm"):
                        (folder / name).write_text(str(number))
                    barrier.wait()
            else:
                with complete_file(target, overwrite=False) as part:
                    part.write_text(str(number) * 2)
                    barrier.wait()
        except WriteError as error:
            assert "somebody else" in str(error)  # noqa: PT017
        else:
            results.append(number)

    threads = [threading.Thread(target=write, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = results
    if kind == "folder":
        assert {p.name: p.read_text() for p in target.iterdir()} == dict.fromkeys(
            ("1.dcm", "2.dcm"), str(winner)
        )
    else:
        assert target.read_text() == str(winner) * 2
    assert names(tmp_path) == ["a"]


@linux
def test_overwriting_writers_that_meet(tmp_path):
    """With overwrite the last one wins; at no time is the target missing or mixed."""
    target = tmp_path / "a"
    fill(target, "1.dcm", "2.dcm")
    done, seen = threading.Event(), []

    def watch():
        while not done.is_set():
            try:
                seen.append(names(target))
            except FileNotFoundError:
                seen.append(None)

    watcher = threading.Thread(target=watch)
    writers = [
        threading.Thread(
            target=lambda: [fill(target, "1.dcm", "2.dcm", overwrite=True) for _ in range(30)]
        )
        for _ in range(3)
    ]
    watcher.start()
    for thread in writers:
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    watcher.join()
    # A folder that is taken away while it is listed may look emptier than it was, never mixed.
    assert None not in seen
    assert names(tmp_path) == ["a"]
    assert names(target) == ["1.dcm", "2.dcm"]


@linux
@pytest.mark.parametrize("name", ["out", "out.zip"])
def test_a_disk_without_room(tmp_path, name):
    """A write that the system stops for lack of room is an error of ours and leaves nothing."""
    code = (
        "import resource, signal, sys\n"
        "from imagedata_xr.errors import WriteError\n"
        "from imagedata_xr.formats.dicom.write import to_dicom\n"
        "from imagedata_xr.testing import Phantom\n"
        "from imagedata_xr.testing.conformance.writer import image_of\n"
        "image = image_of(Phantom(shape=(3, 200, 200)))\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)\n"
        "try:\n"
        "    to_dicom(image, sys.argv[1], Modality='OT')\n"
        "except WriteError as error:\n"
        "    print(error)\n"
    )
    target = tmp_path / name
    # An archive: the second file does not fit; a folder: none does.
    limit = 150_000 if name.endswith("zip") else 50_000
    command = [sys.executable, "-c", code, str(target), str(limit)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f"{target} could not be written: " in done.stdout
    assert "too large" in done.stdout
    assert not list(tmp_path.iterdir())


def test_places():
    """URLs of the disk are paths, and others are shown without passwords."""
    assert place_of("file:///tmp/a") == Path("/tmp/a")
    assert place_of("ftp://me:secret@host/a") == "ftp://me:***@host/a"
    assert place_of(Path("a")) == Path("a")
