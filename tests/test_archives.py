"""Archives of strangers: tar and ZIP, on disk and behind URLs, sound, damaged and hostile."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import os
import pickle
import stat
import tarfile
import threading
import warnings
import zipfile
from concurrent.futures import ThreadPoolExecutor
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import get_context
from pathlib import Path

import pytest
import xarray as xr

import imagedata_xr as med
from imagedata_xr.errors import NoImagesError, OptionError, SourceError, SourceNotFoundError
from imagedata_xr.options import limits, set_options
from imagedata_xr.sources import TarMember, find_sources
from imagedata_xr.testing import Phantom, write_series

KINDS = ("tar", "tar.gz", "tar.bz2", "tar.xz")


def tar(path, members, mode="w"):
    """Write an archive of a mapping of names to bytes, or of ready TarInfo objects."""
    with tarfile.open(path, mode) as file:
        for name, data in members:
            info = name
            if isinstance(name, str):
                info = tarfile.TarInfo(name)
                info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return path


FILES = [(f"s/{i:02}", hashlib.sha512(b"%d" % i).digest() * 50) for i in range(20)]


@pytest.fixture(params=KINDS)
def archive(request, tmp_path):
    kind = request.param
    return tar(tmp_path / f"a.{kind}", FILES, f"w:{kind.partition('.')[2]}")


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    folder = tmp_path_factory.mktemp("series")
    write_series(Phantom(shape=(6, 16, 16)), folder / "dicom")
    return folder / "dicom"


def read_all(path):
    return [source.read() for source in find_sources(path)]


def test_tar_members(archive):
    """Every member, any part of it, in any order, from threads, processes and pickles."""
    found = find_sources(archive)
    assert [source.name for source in found] == [f"{archive}::{name}" for name, _ in FILES]
    assert [source.read() for source in reversed(found)] == [data for _, data in FILES][::-1]
    assert found[3].read(100, 50) == FILES[3][1][100:150]
    assert found[3].read(3190, 50) == FILES[3][1][3190:]
    with found[3].open() as file:
        assert file.read() == FILES[3][1]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(TarMember.read, found)) == [data for _, data in FILES]
    copies = pickle.loads(pickle.dumps(found))
    assert copies == found
    with get_context("spawn").Pool(1) as pool:
        assert pool.map(TarMember.read, copies[:2]) == [data for _, data in FILES[:2]]


def test_forked_processes_read_what_they_ask_for(tmp_path):
    """A forked process shares the unpacked file, but no position in it."""
    found = find_sources(tar(tmp_path / "a.tar.gz", FILES, "w:gz"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        with get_context("fork").Pool(2) as pool:
            assert pool.map(TarMember.read, found * 10) == [data for _, data in FILES] * 10


def test_inside_tar(archive):
    """Folders, members, patterns; the question mark as imagedata writes it; chains of fsspec."""
    for inner in ("/s", "?s", "::s/", "?s/*", "?*"):
        assert len(find_sources(f"{archive}{inner}")) == 20
    assert len(find_sources(f"{archive}?s/1*")) == 10
    assert len(find_sources(f"tar://s/0*::file://{archive}")) == 10
    assert read_all(f"{archive}/s/07") == [FILES[7][1]]
    with pytest.raises(SourceNotFoundError, match="no such member"):
        find_sources(f"{archive}?t")


def test_archives_of_images(series, tmp_path):
    """A series in an archive of any kind is the series in the folder."""
    truth = xr.open_dataarray(series, engine="dicom")
    for kind in KINDS:
        path = tmp_path / f"x y#{kind}?%.{kind}"
        with tarfile.open(path, f"w:{kind.partition('.')[2]}") as file:
            file.add(series, "patient/series")
        image = xr.open_dataarray(path, engine="dicom")
        xr.testing.assert_identical(image, truth)
        copy = pickle.loads(pickle.dumps(image))
        assert (copy.isel(slice=2) == truth.isel(slice=2)).all()
    truth.med.to_dicom(tmp_path / "time.zip")
    again = xr.open_dataarray(f"{tmp_path}/time.zip?*.dcm", engine="dicom")
    assert (again == truth).all()


def test_a_replaced_archive_is_unpacked_anew(tmp_path):
    """What was unpacked before is not taken for what is there now."""
    path = tar(tmp_path / "a.tar.gz", [("x", b"old")], "w:gz")
    assert read_all(path) == [b"old"]
    tar(path, [("x", b"new")], "w:gz")
    os.utime(path, ns=(1, 1))
    assert read_all(path) == [b"new"]


def test_compressed_files_that_are_no_archives(tmp_path):
    """A compressed image stays the file it is."""
    import gzip

    path = tmp_path / "image.nii.gz"
    path.write_bytes(gzip.compress(bytes(5000)))
    assert find_sources(path)[0].name == str(path)
    path.write_bytes(gzip.compress(bytes(5000))[:30])
    assert find_sources(path)[0].name == str(path)


def test_damaged_tar(archive):
    """Wherever an archive is cut off, no member is lost without an error."""
    data = archive.read_bytes()
    for cut in (513, len(data) // 4, len(data) // 2, len(data) - 10240):
        if 0 < cut < len(data):
            archive.write_bytes(data[:cut])
            os.utime(archive, ns=(cut, cut))
            with pytest.raises((SourceError, NoImagesError)):
                xr.open_dataarray(archive, engine="dicom")


def test_a_tar_cut_between_members(tmp_path):
    """The end mark tells a whole archive from one that stops between two members."""
    path = tar(tmp_path / "a.tar", [("a", bytes(512)), ("b", bytes(512))])
    data = path.read_bytes()
    for broken in (data[:1024], data[:1024] + b"x" * 512 + data[1536:], data[:1100]):
        path.write_bytes(broken)
        with pytest.raises(SourceError, match="damaged archive"):
            find_sources(path)


@pytest.mark.parametrize("codec", ["gz", "bz2", "xz"])
def test_checksums_of_compressed_tar(tmp_path, codec):
    """A changed byte in a compressed archive never gives other bytes."""
    path = tar(tmp_path / f"a.tar.{codec}", FILES, f"w:{codec}")
    sound = path.read_bytes()
    found = 0
    for place in range(40, len(sound), len(sound) // 8):
        path.write_bytes(sound[:place] + bytes([sound[place] ^ 0xFF]) + sound[place + 1 :])
        os.utime(path, ns=(place, place))
        try:
            # bzip2 has bits that mean nothing
            assert read_all(path) == [data for _, data in FILES]
        except SourceError:
            found += 1
    assert found > 4


def special(name, kind, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info, b""


@pytest.mark.parametrize(
    ("member", "match"),
    [
        (("../up", b"x"), "leads out"),
        (("a/../../up", b"x"), "leads out"),
        (("/etc/passwd", b"x"), "absolute"),
        (("C:\\x", b"x"), "absolute"),
        (special("l", tarfile.SYMTYPE, "/etc/passwd"), "link"),
        (special("l", tarfile.LNKTYPE, "../../secret"), "link"),
        (special("d", tarfile.CHRTYPE), "no ordinary file"),
        (special("p", tarfile.FIFOTYPE), "no ordinary file"),
        (("good", b"other"), "several members"),
    ],
)
def test_hostile_tar(tmp_path, member, match):
    """What leads out of an archive, or is ambiguous, is an error that names it; nothing is made."""
    path = tar(tmp_path / "a.tar", [("good", b"x"), ("fine", b"y"), member])
    with pytest.raises(SourceError, match=match):
        find_sources(path)
    assert read_all(f"{path}/fine") == [b"y"]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["../up", "/etc/passwd", "..\\up", "C:/x"])
def test_hostile_zip_names(tmp_path, name):
    """Names that lead out of a ZIP archive are refused where they are meant."""
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("fine", b"y")
        file.writestr(name, b"x")
    with pytest.raises(SourceError, match=r"absolute|leads out"):
        find_sources(path)
    assert read_all(f"{path}/fine") == [b"y"]
    assert list(tmp_path.iterdir()) == [path]


def test_zip_links_and_doubles(tmp_path):
    """A symbolic link is not followed; of two members of one name none is chosen."""
    path = tmp_path / "a.zip"
    link = zipfile.ZipInfo("link")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(link, "/etc/passwd")
    with pytest.raises(SourceError, match="symbolic link"):
        find_sources(path)
    with zipfile.ZipFile(path, "w") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file.writestr("a", b"1")
        file.writestr("a", b"2")
    with pytest.raises(SourceError, match="several members"):
        find_sources(path)


def test_bombs(tmp_path):
    """Count, size and ratio are limited while unpacking, and the limits can be changed."""
    path = tar(tmp_path / "a.tar.gz", [("zero", bytes(4 << 20))], "w:gz")
    assert len(read_all(path)[0]) == 4 << 20
    for options, match in (
        ({"archive_bytes": 1 << 20}, "archive_bytes"),
        ({"archive_ratio_free_bytes": 1 << 20}, "archive_ratio"),
        ({"archive_members": 0}, "archive_members"),
        ({"archive_member_bytes": 1 << 20}, "archive_member_bytes"),
    ):
        os.utime(path, ns=(len(match), len(match)))
        with set_options(**options), pytest.raises(SourceError, match=match):
            find_sources(path)
    with pytest.raises(OptionError, match="archive_members"):
        set_options(archive_member=1)
    with pytest.raises(OptionError, match="whole number"):
        set_options(archive_members=-1)
    assert limits().archive_members == 1_000_000
    assert med.set_options is set_options


# Behind URLs -----------------------------------------------------------------------------------


class Ranges(SimpleHTTPRequestHandler):
    """Files over HTTP, with ranges as web servers have them, or without."""

    ranges = True
    seen: list = []  # noqa: RUF012 - of each server's own subclass

    def log_message(self, *args):
        pass

    def do_GET(self):
        wanted = self.headers.get("Range")
        self.seen.append((self.path, wanted))
        path = self.translate_path(self.path)
        if not self.ranges or not wanted or not Path(path).is_file():
            super().do_GET()
            return
        size = Path(path).stat().st_size
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        begin, end = int(first), min(int(last or size), size - 1)
        with Path(path).open("rb") as file:
            file.seek(begin)
            data = file.read(end - begin + 1)
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {begin}-{end}/{size}")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_HEAD(self):
        self.seen.append((self.path, "HEAD"))
        path = self.translate_path(self.path)
        if Path(path).is_file() and self.ranges:
            self.send_response(200)
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Length", str(Path(path).stat().st_size))
            self.end_headers()
            return
        super().do_HEAD()


@contextlib.contextmanager
def web(folder, *, ranges):
    handler = type("Handler", (Ranges,), {"ranges": ranges, "seen": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=folder))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", handler.seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize("ranges", [True, False])
def test_over_http(series, tmp_path, ranges):
    """One file, an archive, a pattern in an archive, from servers with and without ranges."""
    pytest.importorskip("aiohttp")
    truth = xr.open_dataarray(series, engine="dicom")
    with zipfile.ZipFile(tmp_path / "a b.zip", "w", zipfile.ZIP_DEFLATED) as file:
        for path in sorted(series.iterdir()):
            file.write(path, f"x/{path.name}")
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as file:
        file.add(series, "x")
    first = min(series.iterdir())
    (tmp_path / "one.dcm").write_bytes(first.read_bytes())
    with web(tmp_path, ranges=ranges) as (url, seen):
        assert read_all(f"{url}/one.dcm") == [first.read_bytes()]
        for name in (f"{url}/a%20b.zip", f"zip://x/*::{url}/a%20b.zip", f"{url}/a.tar.gz"):
            image = xr.open_dataarray(name, engine="dicom")
            xr.testing.assert_identical(image, truth)
        with pytest.raises(SourceNotFoundError):
            find_sources(f"{url}/gone.zip")
        assert seen


def test_over_http_reads_only_what_is_needed(tmp_path):
    """One stored member of a large archive does not fetch the archive."""
    pytest.importorskip("aiohttp")
    path = tmp_path / "large.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:
        for number in range(16):
            file.writestr(str(number), bytes([number]) * (1 << 20))
    with web(tmp_path, ranges=True) as (url, seen):
        (member,) = find_sources(f"{url}/large.zip::7")
        seen.clear()
        assert member.read(10, 100) == b"\7" * 100
        asked = [wanted.removeprefix("bytes=").split("-") for _, wanted in seen if wanted != "HEAD"]
        assert sum(int(last) - int(first) for first, last in asked) < 1000


def test_over_s3(series, monkeypatch):
    """An object store: a folder of files, and an archive that stays there."""
    moto = pytest.importorskip("moto.server")
    fsspec = pytest.importorskip("fsspec")
    pytest.importorskip("s3fs")
    for name, value in {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing-secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    server = moto.ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        system = fsspec.filesystem("s3")
        system.mkdir("hospital")
        truth = xr.open_dataarray(series, engine="dicom")
        truth.med.to_dicom("s3://hospital/folder")
        truth.med.to_dicom("s3://hospital/all.zip")
        for url in ("s3://hospital/folder", "s3://hospital/all.zip", "s3://hospital/folder/*.dcm"):
            image = xr.open_dataarray(url, engine="dicom")
            assert (image == truth).all()
            assert b"testing-secret" not in pickle.dumps(image)
    finally:
        server.stop()
