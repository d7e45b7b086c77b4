"""The engine ``nifti`` against nibabel: real files, damaged files, and what is read of them."""

from __future__ import annotations

import gzip
import io
import os
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from imagedata_xr.errors import DataWarning, FormatError, ImagedataError, SourceNotFoundError
from imagedata_xr.formats.nifti.gunzip import Gunzipped
from imagedata_xr.sources import LocalFile, MemoryBytes

nib = pytest.importorskip("nibabel")

ROOT = Path(__file__).parents[1]
CORPUS = Path(os.environ.get("IMAGEDATA_XR_CORPUS", ROOT.parent / "shared" / "corpus"))
NIBABEL = Path(nib.__file__).parent / "tests" / "data"
PATTERNS = ("*/ref/*.nii", "*/ref/*.nii.gz", "formats/nibabel/*.nii", "formats/nibabel/*.nii.gz")
REAL = sorted(
    {path for pattern in PATTERNS for path in CORPUS.glob(pattern)} | {*NIBABEL.glob("*.nii*")}
)


def opened(path, **options):
    return xr.open_dataarray(path, engine="nifti", **options)


def stored_values(img):
    """Return nibabel's values in C order, the last axis of the file first."""
    values = np.asanyarray(img.dataobj)
    if values.dtype.names:
        return np.stack([values[name].T for name in values.dtype.names], axis=-1)
    return values.T


def same_values(da, img):
    """Assert that the values are nibabel's."""
    expected = stored_values(img)
    assert da.size == expected.size
    np.testing.assert_allclose(da.values, expected.reshape(da.shape), rtol=1e-6)


def test_the_corpus_is_there():
    """Without the corpus, only nibabel's own files are read."""
    if not CORPUS.is_dir():
        pytest.skip("no corpus: set IMAGEDATA_XR_CORPUS")
    assert len(REAL) > 30


@pytest.mark.parametrize("path", REAL, ids=lambda p: f"{p.parent.parent.name}-{p.name}")
def test_real_files(path):
    """Values and the places of all corners are those of nibabel."""
    img, da = nib.load(path), opened(path)
    same_values(da, img)
    header = getattr(img, "nifti_header", img.header)
    if not (header["sform_code"] > 0 or header["qform_code"] > 0):
        assert "direction" not in da.slice.attrs
        return
    affine = img.affine if hasattr(img, "affine") else header.get_best_affine()
    sizes = [da.sizes[name] for name in ("column", "row", "slice")]
    for corner in np.ndindex(2, 2, 2):
        ijk = [c * (n - 1) for c, n in zip(corner, sizes, strict=True)]
        lps = da.med.index_to_world(ijk[::-1])
        theirs = affine @ [*ijk, 1]
        np.testing.assert_allclose(lps * [-1, -1, 1], theirs[:3], rtol=0, atol=1e-4)


# --- Damage

VALUES = np.arange(60, dtype="i2").reshape(3, 4, 5)


def bytes_of(values=VALUES, kind=nib.Nifti1Image):
    """Return a NIfTI file."""
    img = kind(values, np.diag([2.0, 3, 4, 1]))
    img.set_qform(img.affine, code=1)
    return img.to_bytes()


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_changed_headers(kind, data):
    """Any header is an error of the package, or the values that nibabel finds."""
    file = bytearray(bytes_of(kind=kind))
    length = 348 if kind is nib.Nifti1Image else 540
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, length - 1))
        file[at] = data.draw(st.one_of(st.sampled_from([0, 1, 127, 128, 255]), st.integers(0, 255)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            da = opened(bytes(file)).load()
        except ImagedataError:
            return
        try:
            img = kind.from_bytes(bytes(file))
            expected = stored_values(img)
        except Exception:  # noqa: BLE001 - nibabel is stricter about a few fields
            return
    if expected.shape[::-1] != tuple(img.header["dim"][1 : img.header["dim"][0] + 1]):
        return  # conventions of FreeSurfer for surfaces
    np.testing.assert_allclose(da.values, expected.reshape(da.shape), rtol=1e-6)


@pytest.mark.parametrize("packed", [False, True])
def test_every_truncation(packed):
    """However much is missing at the end, the error is ours."""
    whole = gzip.compress(bytes_of()) if packed else bytes_of()
    for length in range(len(whole)):
        # the checksum at the end of a gzip file is not needed for the voxels
        if packed and length >= len(whole) - 8:
            continue
        with pytest.raises(ImagedataError):
            opened(whole[:length]).load()


@settings(max_examples=100, deadline=None)
@given(at=st.integers(0, 10**6), value=st.integers(0, 255))
def test_damaged_gzip(at, value):
    """A changed byte in a compressed file is an error of the package, or changes nothing else."""
    file = bytearray(gzip.compress(bytes_of(), mtime=0))
    file[at % len(file)] = value
    try:
        da = opened(bytes(file)).load()
    except ImagedataError:
        return
    assert da.size == VALUES.size


def test_sizes_that_no_file_has():
    """A header of exabytes is refused before memory is taken."""
    file = bytearray(bytes_of())
    file[40:56] = np.array([7, *[32767] * 7], "<i2").tobytes()
    for content in (bytes(file), gzip.compress(bytes(file))):
        with pytest.raises(FormatError, match="voxels need"):
            opened(content)


def test_missing_half_of_a_pair(tmp_path):
    """Either file of a pair opens both; a missing one is named."""
    nib.save(nib.Nifti1Pair(VALUES, np.eye(4)), tmp_path / "a.img")
    for name in ("a.img", "a.hdr"):
        np.testing.assert_array_equal(opened(tmp_path / name).values, VALUES.T)
    (tmp_path / "b.hdr").write_bytes((tmp_path / "a.hdr").read_bytes())
    (tmp_path / "c.img").write_bytes((tmp_path / "a.img").read_bytes())
    for name, absent in (("b.hdr", "b.img"), ("c.img", "c.hdr")):
        with pytest.raises(SourceNotFoundError, match=absent):
            opened(tmp_path / name)


def test_contradicting_bitpix():
    """The type of the voxels counts, and the contradiction is said."""
    file = bytearray(bytes_of())
    file[72:74] = b"\x08\0"
    with pytest.warns(DataWarning, match="bitpix is 8"):
        da = opened(bytes(file))
    np.testing.assert_array_equal(da.values, VALUES.T)


def test_analyze_is_no_nifti():
    """A header without magic has no orientation to trust."""
    file = bytearray(bytes_of())
    file[344:348] = bytes(4)
    with pytest.raises(FormatError, match="ANALYZE"):
        opened(bytes(file))


# --- What is read


PLAIN = np.repeat(np.random.default_rng(1).integers(0, 9, 3 << 20, dtype="u1"), 4).tobytes()


class Counting:
    """A source that counts."""

    def __init__(self, data):
        self.inner = MemoryBytes("counted", data)
        self.size, self.name, self.total = len(data), "counted", 0

    def read(self, start=0, length=None):
        data = self.inner.read(start, length)
        self.total += len(data)
        return data


def test_opening_reads_the_header_alone(tmp_path, monkeypatch):
    """Opening reads a header, one plane a plane, a row less."""
    values = np.arange(64 * 64 * 20 * 10, dtype="i2").reshape(64, 64, 20, 10)
    nib.save(nib.Nifti1Image(values, np.eye(4)), tmp_path / "a.nii")
    read, taken = LocalFile.read, []

    def counted(self, start=0, length=None):
        data = read(self, start, length)
        taken.append(len(data))
        return data

    monkeypatch.setattr(LocalFile, "read", counted)
    da = opened(tmp_path / "a.nii")
    assert sum(taken) < 2000
    for part, size in ((da[3], 64 * 64 * 20), (da[3, 4], 64 * 64), (da[3, 4, 5], 64)):
        taken.clear()
        part.load()
        assert sum(taken) == 2 * size
    np.testing.assert_array_equal(da[3, 4], values[:, :, 4, 3].T)


def test_random_access_to_gzip():
    """Any part in any order is right, and later reads begin at a mark near it."""
    random = np.random.default_rng(3)
    plain = random.integers(0, 40, 12 << 20, dtype="u1").tobytes()
    half = len(plain) // 2
    packed = gzip.compress(plain[:half], 1) + gzip.compress(plain[half:], 1) + bytes(100)
    source = Counting(packed)
    file = Gunzipped(source)
    for start in (0, 11 << 20, half - 10, 5 << 20, 3, len(plain) - 5):
        assert file.read(start, 1000) == plain[start : start + 1000]
    source.total = 0
    file.read(9 << 20, 10)
    assert source.total < len(packed) // 2
    assert file.read(len(plain), 10) == b""
    assert gzip.GzipFile(fileobj=io.BytesIO(packed)).read() == plain


@given(
    reads=st.lists(st.tuples(st.floats(0, 1), st.sampled_from([1, 1000, 5 << 20])), max_size=8),
    members=st.integers(1, 3),
)
@settings(max_examples=25, deadline=None)
def test_any_sequence_of_reads(reads, members):
    """Whatever was read before, in one go or in parts, a part is what it is."""
    plain = PLAIN
    step = -(-len(plain) // members)
    packed = b"".join(gzip.compress(plain[k : k + step], 1) for k in range(0, len(plain), step))
    file = Gunzipped(Counting(packed))
    for place, length in reads:
        start = round(place * len(plain))
        assert file.read(start, length) == plain[start : start + length]


@pytest.mark.parametrize("size", [100, 2 << 20, 6 << 20])
def test_the_checksum_counts(size, monkeypatch):
    """A wrong or missing end is an error once all bytes are read, whichever library inflates."""
    plain = np.random.default_rng(3).integers(0, 40, size, dtype="u1").tobytes()
    packed = bytearray(gzip.compress(plain, 1))
    cut, packed[-6] = bytes(packed[:-3]), packed[-6] ^ 1
    for number in range(2):
        for broken in (bytes(packed), cut):
            with pytest.raises(FormatError, match="gzip stream"):
                Gunzipped(Counting(broken)).read(0, size)
        if not number:
            monkeypatch.setitem(sys.modules, "zlib_ng.zlib_ng", None)
            monkeypatch.setitem(sys.modules, "isal.isal_zlib", None)


def test_one_volume_of_a_packed_series(tmp_path):
    """The first volume of a compressed series is there before the rest is inflated."""
    values = np.random.default_rng(0).integers(0, 4000, (64, 64, 20, 40)).astype("i2")
    nib.save(nib.Nifti1Image(values, np.eye(4)), tmp_path / "a.nii.gz")
    source = Counting((tmp_path / "a.nii.gz").read_bytes())
    assert len(Gunzipped(source).read(352, 64 * 64 * 20 * 2)) == 64 * 64 * 20 * 2
    assert source.total < source.size // 4
    np.testing.assert_array_equal(opened(tmp_path / "a.nii.gz")[::-1].values, values.T[::-1])
