"""Everything a user may pass as a source, and the ways in which it may be wrong."""

from __future__ import annotations

import dataclasses
import io
import os
import pickle
import struct
import zipfile
import zlib
from pathlib import Path

import fsspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from imagedata_xr.errors import (
    MissingDependencyError,
    NoImagesError,
    OptionError,
    SourceError,
    SourceNotFoundError,
)
from imagedata_xr.options import set_options
from imagedata_xr.sources import LocalFile, MemoryBytes, RemoteFile, ZipMember, find_sources

ODD_NAMES = [
    "a?b.dcm",
    "#1",
    "100%.dcm",
    "%20",
    "[1-3]",
    "a*b",
    "with space ",
    "bjørk é 王",
    "s3:",
    "a::b",
    "-rf",
    "~",
    "a&b;c",
    "line\nbreak",
    "{x}",
    "trailing.",
]


def names(sources):
    return [source.name for source in sources]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "b" / "deep").mkdir(parents=True)
    for name in ("b/2", "b/deep/3", "a", "c"):
        (tmp_path / name).write_bytes(name.encode() * 3)
    return tmp_path


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "archive.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("x/2", b"two" * 100, zipfile.ZIP_DEFLATED)
        file.writestr("x/1", b"one" * 100, zipfile.ZIP_STORED)
        file.mkdir("empty")
        file.writestr("x/y/3", bytes(range(256)) * 40, zipfile.ZIP_DEFLATED)
        file.writestr("top ø", b"")
    return path


@pytest.fixture
def memory():
    system = fsspec.filesystem("memory")
    system.store.clear()
    system.pseudo_dirs[:] = [""]
    yield system
    system.store.clear()
    system.pseudo_dirs[:] = [""]


def test_folder_is_recursive_and_sorted(folder):
    """All files below a folder, in the order of their paths."""
    expected = [str(folder / name) for name in ("a", "b/2", "b/deep/3", "c")]
    assert names(find_sources(folder)) == expected
    assert names(find_sources(str(folder))) == expected
    assert names(find_sources(os.fsencode(folder).decode())) == expected


def test_lists_keep_their_order_and_nothing_comes_twice(folder):
    """A list is its parts, one after the other."""
    sources = find_sources([folder / "c", (folder / "b", str(folder / "b" / "2")), folder / "a"])
    assert names(sources) == [str(folder / name) for name in ("c", "b/2", "b/deep/3", "a")]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_literal_names_come_first(tmp_path, monkeypatch, name):
    """A name that exists is that file or folder, whatever it looks like."""
    (tmp_path / "abb.dcm").write_bytes(b"other")
    (tmp_path / name).write_bytes(b"data")
    assert find_sources(tmp_path / name) == [LocalFile(str(tmp_path / name))]
    assert find_sources(tmp_path / name)[0].read() == b"data"
    monkeypatch.chdir(tmp_path)
    assert find_sources(name) == [LocalFile(name)]
    (tmp_path / name).unlink()
    (tmp_path / name).mkdir()
    (tmp_path / name / name).write_bytes(b"inner")
    assert [source.read() for source in find_sources(tmp_path / name)] == [b"inner"]


def test_globs(folder):
    """Patterns match files and folders; folders with all that is below them."""
    assert names(find_sources(f"{folder}/[ac]")) == [str(folder / "a"), str(folder / "c")]
    assert names(find_sources(f"{folder}/?")) == names(find_sources(folder))
    assert names(find_sources(f"{folder}/**/3")) == [str(folder / "b/deep/3")]
    with pytest.raises(SourceNotFoundError, match="nothing matches"):
        find_sources(f"{folder}/*.dcm")


def test_home(folder, monkeypatch):
    """``~`` is the home folder."""
    monkeypatch.setenv("HOME", str(folder))
    assert find_sources("~/a") == [LocalFile(str(folder / "a"))]


def test_missing_and_empty(tmp_path):
    """A missing path is named; an empty folder holds no images."""
    for missing in (tmp_path / "no?", tmp_path / "gone", "file:///gone", "", "a\0b"):
        with pytest.raises(SourceNotFoundError):
            find_sources(missing)
    with pytest.raises(FileNotFoundError, match="gone"):
        find_sources(tmp_path / "gone")
    with pytest.raises(NoImagesError, match=tmp_path.name):
        find_sources(tmp_path)
    with pytest.raises(NoImagesError):
        find_sources([])
    for nonsense in (None, 7, {"a": 1}, object()):
        with pytest.raises(OptionError):
            find_sources(nonsense)


def test_links_and_special_files(folder):
    """Loops end, linked folders count once, pipes are passed over, dangling links are not."""
    (folder / "b" / "loop").symlink_to(folder)
    (folder / "b" / "again").symlink_to(folder / "b" / "deep")
    (folder / "d").symlink_to(folder / "a")
    (folder / "e").symlink_to(folder / "gone")
    os.mkfifo(folder / "pipe")
    found = names(find_sources(folder))
    assert len([name for name in found if name.endswith("/3")]) == 1
    assert str(folder / "pipe") not in found
    assert str(folder / "d") in found
    with pytest.raises(SourceNotFoundError):
        LocalFile(str(folder / "e")).read()
    with pytest.raises(SourceError, match="neither"):
        find_sources(folder / "pipe")


def check(source, data):
    """Every source reads alike, and again after it was sent elsewhere."""
    for copy in (source, pickle.loads(pickle.dumps(source))):
        assert copy == source
        assert hash(copy) == hash(source)
        assert copy.size == len(data)
        assert copy.read() == data
        for start, length in ((0, 3), (2, 5), (len(data) - 2, 10), (len(data) + 5, 3), (1, 0)):
            first = max(start, 0)
            assert copy.read(first, length) == data[first : first + length]
        assert copy.read(4) == data[4:]
        with copy.open() as file:
            assert file.read() == data
            file.seek(1)
            assert file.read(2) == data[1:3]
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(source, dataclasses.fields(source)[0].name, "changed")


def test_each_source(folder, archive, memory):
    """The protocol holds for each of them."""
    memory.pipe("/f/x", b"remote bytes")
    check(LocalFile(str(folder / "b/2")), b"b/2" * 3)
    check(MemoryBytes("m", b"some bytes"), b"some bytes")
    check(RemoteFile("memory://f/x"), b"remote bytes")
    check(RemoteFile("memory://f/x", length=12), b"remote bytes")
    for member, data in zip(
        find_sources(archive),
        (b"", b"one" * 100, b"two" * 100, bytes(range(256)) * 40),
        strict=True,
    ):
        check(member, data)


def test_zip_members(archive, folder):
    """An archive by its content; folders, members and patterns inside it."""
    inside = ["top ø", "x/1", "x/2", "x/y/3"]
    renamed = archive.rename(archive.with_suffix(".dat"))
    assert names(find_sources(renamed)) == [f"{renamed}::{name}" for name in inside]
    for inner in ("/x", "/x/", "::x", "/x/*"):
        assert names(find_sources(f"{renamed}{inner}")) == [
            f"{renamed}::{name}" for name in inside[1:]
        ]
    assert find_sources(f"{renamed}/x/y/3")[0].read() == bytes(range(256)) * 40
    shown = names(find_sources(renamed))
    assert [find_sources(name)[0].name for name in shown] == shown
    with pytest.raises(SourceNotFoundError, match="no such member"):
        find_sources(f"{renamed}/z")
    with pytest.raises(SourceNotFoundError, match="no archive"):
        find_sources(folder / "a" / "x")


def test_zip_in_a_folder_stays_closed(archive, folder):
    """Only an archive that is named itself is opened."""
    assert str(archive) in names(find_sources(folder))
    assert str(archive) in names(find_sources(f"{folder}/*"))
    assert f"{archive}::x/1" in names(find_sources(f"{folder}/*.zip"))


def test_zip_in_a_zip(archive, tmp_path):
    """An archive in an archive is opened where it is named."""
    outer = tmp_path / "outer.zip"
    with zipfile.ZipFile(outer, "w", zipfile.ZIP_DEFLATED) as file:
        file.write(archive, "in/inner.zip")
    assert names(find_sources(outer)) == [f"{outer}::in/inner.zip"]
    found = find_sources(f"{outer}/in/inner.zip/x/1")
    assert found[0].read() == b"one" * 100
    assert len(find_sources(f"{outer}/in/inner.zip")) == 4


def test_bytes_and_file_objects(archive, folder):
    """Bytes, views and files; a file's position stays as it was."""
    data = archive.read_bytes()
    for given_bytes in (data, bytearray(data), memoryview(data), io.BytesIO(data)):
        assert len(find_sources(given_bytes)) == 4
    assert find_sources(b"plain")[0].read() == b"plain"
    with (folder / "a").open("rb") as file:
        file.seek(1)
        (source,) = find_sources(file)
        assert file.tell() == 1
        assert source.read() == b"aaa"
        assert source.name == str(folder / "a")
    with (folder / "a").open() as file, pytest.raises(OptionError, match="'rb'"):
        find_sources(file)
    with pytest.raises(SourceError):
        find_sources(file)
    assert find_sources(source) == [source]


def test_urls(folder, archive, memory):
    """fsspec's URLs: folders, files, patterns, archives, chains."""
    for path in folder.rglob("*"):
        if path.is_file():
            memory.pipe(f"/d/{path.relative_to(folder)}", path.read_bytes())
    plain = ["memory:///d/a", "memory:///d/b/2", "memory:///d/b/deep/3", "memory:///d/c"]
    found = find_sources("memory://d")
    assert [source.name for source in found if "zip" not in source.name] == plain
    assert found[0].read() == b"aaa"
    assert names(find_sources("memory://d/b/*")) == plain[1:3]
    assert names(find_sources("memory://d/c")) == plain[3:]
    assert len(find_sources("memory://d/archive.zip")) == 4
    expected = [b"one" * 100, b"two" * 100, bytes(range(256)) * 40]
    for chain in ("zip://x::memory://d/archive.zip", f"zip://x::file://{archive}"):
        assert [source.read() for source in find_sources(chain)] == expected
    assert find_sources(f"file://{folder}/a") == [LocalFile(str(folder / "a"))]
    (cached,) = find_sources("simplecache::memory://d/a")
    assert pickle.loads(pickle.dumps(cached)).read() == b"aaa"
    with pytest.raises(SourceNotFoundError):
        find_sources("memory://gone")
    with pytest.raises(SourceError, match="nosuch"):
        find_sources("nosuch://a/b")
    memory.rm("/d/a")
    with pytest.raises(SourceNotFoundError, match="memory:///d/a"):
        found[0].read()


def test_passwords_are_not_shown():
    """A URL's password is in no name, and in no error."""
    assert RemoteFile("ftp://me:secret@host/x").name == "ftp://me:***@host/x"
    with pytest.raises(SourceError) as caught:
        find_sources("nosuch://me:secret@host/x")
    assert "secret" not in str(caught.value)


def test_missing_protocol_package(monkeypatch):
    """A protocol whose package is missing says which."""
    monkeypatch.setitem(__import__("sys").modules, "paramiko", None)
    with pytest.raises(MissingDependencyError, match="paramiko"):
        find_sources("sftp://host/x")


# Damaged and hostile archives ------------------------------------------------------------------


def test_damaged_members(archive):
    """A changed byte is found by the checksum, a shifted member by its header."""
    data = bytearray(archive.read_bytes())
    first, second, *_ = find_sources(bytes(data))[1:]
    for member in (first, second):
        changed = bytearray(data)
        changed[member.offset + 30 + len(member.member) + 5] ^= 0x40
        copy = ZipMember(
            MemoryBytes("z", bytes(changed)),
            *(getattr(member, name) for name in ZipMember.__slots__[1:]),
        )
        with pytest.raises(SourceError, match="z::x/"):
            copy.read()
    for cut in (100, len(data) // 2, len(data) - 10):
        with pytest.raises(SourceError):
            find_sources(bytes(data[:cut]))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 800), st.integers(0, 255)), min_size=1, max_size=5))
@example([(791, 0)])
def test_any_damage_is_a_source_error(changes):
    """No damage gives another error, or wrong bytes without one."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a", b"abc" * 100)
        file.writestr("b", bytes(range(100)), zipfile.ZIP_STORED)
    data = bytearray(buffer.getvalue())
    for place, byte in changes:
        data[place % len(data)] = byte
    try:
        for source in find_sources(bytes(data)):
            if isinstance(source, ZipMember):
                assert zlib.crc32(source.read()) == source.crc
    except (SourceError, NoImagesError):
        pass


def test_bombs():
    """Sizes are checked before anything is unpacked."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("big", bytes(3 << 20))
    data = buffer.getvalue()
    assert len(find_sources(data)[0].read()) == 3 << 20
    free = {"archive_ratio_free_bytes": 1 << 20}
    with set_options(**free), pytest.raises(SourceError, match="200 to 1"):
        find_sources(data)
    for limit, match in (
        ({"archive_member_bytes": 1 << 20}, "impossible size"),
        ({"archive_bytes": 1 << 20}, "more than 1048576 bytes"),
        ({"archive_members": 0}, "more than 0"),
    ):
        with set_options(**limit), pytest.raises(SourceError, match=match):
            find_sources(data)
    assert len(find_sources(data)) == 1


def test_a_lie_about_the_size(archive):
    """A member that unpacks to more, or to less, than it declares is refused."""
    member = find_sources(archive)[2]
    values = {name: getattr(member, name) for name in ZipMember.__slots__}
    for size in (10, 10_000):
        with pytest.raises(SourceError, match="damaged"):
            ZipMember(**{**values, "size": size}).read()


def test_encrypted_and_unknown_methods(tmp_path):
    """What cannot be unpacked is said before."""
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a", b"x" * 50, zipfile.ZIP_BZIP2)
    with pytest.raises(SourceError, match="method 12"):
        find_sources(path)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a", b"x")
    data = bytearray(path.read_bytes())
    directory = data.index(b"PK\x01\x02")
    struct.pack_into("<H", data, directory + 8, 1)
    with pytest.raises(SourceError, match="encrypted"):
        find_sources(bytes(data))


def test_dicom_with_a_zip_preamble():
    """A DICOM file may begin with anything (PS3.10 section 7.1)."""
    data = b"PK\x03\x04" + bytes(124) + b"DICM"
    assert find_sources(data) == [MemoryBytes("<bytes>", data)]


def test_unreadable(folder):
    """What goes away after it was listed is a source error that names it."""
    source = LocalFile(str(folder / "a"))
    Path(source.path).unlink()
    for action in (source.read, source.open, lambda: source.size):
        with pytest.raises(SourceNotFoundError, match="no such file"):
            action()
