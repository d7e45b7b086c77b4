"""The engine ``itk``: SimpleITK finds each value at its place in the patient, and so does xarray."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from imagedata_xr.errors import (
    FormatError,
    ImagedataError,
    MissingDependencyError,
    OptionError,
    WriteError,
)
from imagedata_xr.formats.itk import to_itk
from imagedata_xr.testing import EngineConformance, Phantom, WriterConformance
from imagedata_xr.testing.conformance.writer import image_of

sitk = pytest.importorskip("SimpleITK")

ROOT = Path(__file__).parents[1]
CORPUS = Path(os.environ.get("IMAGEDATA_XR_CORPUS", ROOT.parent / "shared" / "corpus"))
REAL = [path for end in ("mha", "nrrd") for path in sorted(CORPUS.glob(f"formats/*/**/*.{end}"))]
SUFFIXES = (".mha", ".mhd", ".nrrd", ".nhdr")


def opened(path, **options):
    return xr.open_dataarray(path, engine="itk", **options)


def random_image(seed=0, shape=(4, 5, 6), *, mirrored=False):
    """Return an oblique image with distinct values."""
    turn, upper = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    turn = turn * np.sign(np.diag(upper))
    turn[:, 2] *= -np.sign(np.linalg.det(turn)) if mirrored else np.sign(np.linalg.det(turn))
    values = np.arange(np.prod(shape), dtype="i2").reshape(shape)
    img = sitk.GetImageFromArray(values)
    img.SetDirection(turn.ravel().tolist())
    img.SetSpacing((1.25, 2.0, 3.5))
    img.SetOrigin((-41.5, 17.25, 96.0))
    return img


def same_places(da, img):
    """Assert that corners and centre lie where ITK has them."""
    size = img.GetSize()[:3]
    for corner in (*np.ndindex(2, 2, 2), (0.5, 0.5, 0.5)):
        ijk = [int(c * (n - 1)) for c, n in zip(corner, size, strict=True)]
        theirs = img.TransformIndexToPhysicalPoint(ijk)
        np.testing.assert_allclose(da.med.index_to_world(ijk[::-1]), theirs, rtol=0, atol=1e-6)


class Written(EngineConformance):
    """An image whose truth is known, written by SimpleITK."""

    ENGINE: ClassVar[str] = "itk"
    SUFFIX = ".mha"
    ATOL_MM = 1e-6

    def make(self, folder):
        path = folder / ("image" + self.SUFFIX)
        if not path.exists():
            folder.mkdir(exist_ok=True)
            truth = self.truth()
            kind = "f4" if truth.values.dtype.kind == "f" else truth.values.dtype
            img = sitk.GetImageFromArray(truth.values.astype(kind), isVector="rgb" in truth.dims)
            affine = truth.affine[:, [2, 1, 0, 3]]
            steps = np.linalg.norm(affine[:3, :3], axis=0)
            img.SetSpacing(steps.tolist())
            img.SetDirection((affine[:3, :3] / steps).ravel().tolist())
            img.SetOrigin(affine[:3, 3].tolist())
            sitk.WriteImage(img, path)
        return path


class TestMeta(Written):
    """MetaImage in one file."""

    PHANTOM = Phantom(orientation="oblique", origin=(-40.5, 17.25, 96.0))


class TestMetaPair(Written):
    """MetaImage with the voxels in a file of their own."""

    SUFFIX = ".mhd"
    PHANTOM = Phantom(modality="CT", dtype="int16", orientation="sagittal")


class TestNrrd(Written):
    """NRRD, colours."""

    SUFFIX = ".nrrd"
    PHANTOM = Phantom(photometric="RGB", dtype="uint8", orientation="coronal")


class TestNrrdPair(Written):
    """NRRD with the voxels in a file of their own."""

    SUFFIX = ".nhdr"


class TestWriter(WriterConformance):
    """The writer, read by SimpleITK."""

    SUFFIX = ".mha"

    # The format has no place for times: where the suite takes a series, it gets one image.
    PHANTOMS: ClassVar[dict] = {**WriterConformance.PHANTOMS, "dynamic": Phantom()}

    def images(self):
        found = {name: image_of(phantom) for name, phantom in self.PHANTOMS.items()}
        oblique = found["oblique"]
        return {
            **found,
            "turned": oblique.isel(slice=slice(None, None, -1), column=slice(None, None, -1)),
            "part": oblique.isel(slice=[1, 2], row=slice(0, None, 2)),
            "transposed": oblique.transpose("column", "slice", "row"),
            "scalar slice": oblique.isel(slice=2),
            "chunked": oblique.chunk(slice=1),
        }

    def write(self, image, target, *, overwrite=False):
        return to_itk(image, target, overwrite=overwrite)

    def read(self, target):
        img = sitk.ReadImage(target)
        values = sitk.GetArrayFromImage(img)
        matrix = np.array(img.GetDirection()).reshape(3, 3) * img.GetSpacing()
        xyz = np.moveaxis(np.indices(values.shape), 0, -1)[..., ::-1]
        return values, xyz @ matrix.T + img.GetOrigin()


class TestNrrdWriter(TestWriter):
    """The writer of NRRD."""

    SUFFIX = ".nrrd"


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_places_and_values(tmp_path, suffix, mirrored):
    """Oblique images, right- and left-handed: values and places are those of SimpleITK."""
    path = tmp_path / ("a" + suffix)
    sitk.WriteImage(random_image(7, mirrored=mirrored), path, useCompression=mirrored)
    img, da = sitk.ReadImage(path), opened(path)
    same_places(da, img)
    assert da.dtype == np.int16
    np.testing.assert_array_equal(da.values, sitk.GetArrayFromImage(img))
    np.testing.assert_array_equal(da[1:3, ::-2, 4], sitk.GetArrayFromImage(img)[1:3, ::-2, 4])


@pytest.mark.parametrize("path", REAL, ids=lambda p: p.name)
def test_real_files(path):
    """Real files have the values and places that SimpleITK gives them."""
    img, da = sitk.ReadImage(path), opened(path)
    np.testing.assert_array_equal(da.values.ravel(), sitk.GetArrayFromImage(img).ravel())
    if "direction" in da.row.attrs:
        same_places(da, img)


def test_the_corpus_is_there():
    """Without the corpus, only made images are read."""
    if not CORPUS.is_dir():
        pytest.skip("no corpus: set IMAGEDATA_XR_CORPUS")
    assert len(REAL) > 3


@pytest.mark.parametrize("suffix", [".mha", ".nrrd"])
@pytest.mark.parametrize("kind", ["u1", "i1", "u2", "i4", "u4", "i8", "f4", "f8"])
def test_types(tmp_path, kind, suffix):
    """Each type comes back as it is."""
    values = np.arange(60).reshape(3, 4, 5).astype(kind)
    sitk.WriteImage(sitk.GetImageFromArray(values), tmp_path / ("a" + suffix))
    da = opened(tmp_path / ("a" + suffix))
    assert da.dtype == values.dtype
    np.testing.assert_array_equal(da.values, values)


def test_vectors_and_a_fourth_axis(tmp_path):
    """Components and the fourth axis stand in front; what they are only the caller knows."""
    vectors = np.random.default_rng(0).normal(size=(3, 4, 5, 2))
    sitk.WriteImage(sitk.GetImageFromArray(vectors, isVector=True), tmp_path / "v.mha")
    da = opened(tmp_path / "v.mha")
    assert da.dims == ("vector", "slice", "row", "column")
    np.testing.assert_array_equal(da[1].values, vectors[..., 1])
    stacked = np.arange(2 * 60, dtype="i2").reshape(2, 3, 4, 5)
    sitk.WriteImage(sitk.GetImageFromArray(stacked, isVector=False), tmp_path / "t.mha")
    assert opened(tmp_path / "t.mha").dims[0] == "volume"
    da = opened(tmp_path / "t.mha", dims="te")
    assert da.dims[0] == "te"
    np.testing.assert_array_equal(da[1, 2].values, stacked[1, 2])
    for wrong in (("te", "ti"), (), "slice"):
        with pytest.raises(OptionError):
            opened(tmp_path / "t.mha", dims=wrong)


def test_no_place_in_the_patient(tmp_path):
    """An NRRD file without a space, and a 2-D image, have mm and no directions."""
    header = (
        "NRRD0004\ntype: uchar\ndimension: 3\nsizes: 2 3 4\nspacings: 1.5 2 3\nencoding: raw\n\n"
    )
    (tmp_path / "a.nrrd").write_bytes(header.encode() + bytes(range(24)))
    da = opened(tmp_path / "a.nrrd")
    assert "direction" not in da.slice.attrs
    assert (da.slice[1], da.row[1], da.column[1]) == (3, 2, 1.5)
    sitk.WriteImage(sitk.GetImageFromArray(np.ones((4, 5), "u1")), tmp_path / "b.mha")
    assert opened(tmp_path / "b.mha").dims == ("row", "column")


def test_truncation_and_size(tmp_path):
    """A file that ends too early, or claims to be huge, is an error of the package."""
    sitk.WriteImage(random_image(), tmp_path / "a.mha")
    whole = (tmp_path / "a.mha").read_bytes()
    for length in (0, 10, 100, len(whole) - 1):
        (tmp_path / "b.mha").write_bytes(whole[:length])
        with pytest.raises(ImagedataError):
            opened(tmp_path / "b.mha").load()
    (tmp_path / "b.mha").write_bytes(
        whole.replace(b"DimSize = 6 5 4", b"DimSize = 60000 50000 400")
    )
    with pytest.raises(FormatError, match="more than the file can hold"):
        opened(tmp_path / "b.mha")
    # the parser of ITK ends the process here
    (tmp_path / "b.mha").write_bytes(whole.replace(b"NDims = 3", b"NDims =-3"))
    with pytest.raises(FormatError, match="NDims"):
        opened(tmp_path / "b.mha")
    (tmp_path / "c.mhd").write_bytes(
        whole[: whole.index(b"ElementDataFile")] + b"ElementDataFile = absent.raw\n"
    )
    with pytest.raises(ImagedataError):
        opened(tmp_path / "c.mhd").load()


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_changed_headers(tmp_path_factory, data):
    """Any header is an image or an error of the package."""
    folder = tmp_path_factory.mktemp("changed")
    suffix = data.draw(st.sampled_from([".mha", ".nrrd"]))
    sitk.WriteImage(random_image(), folder / ("a" + suffix))
    file = bytearray((folder / ("a" + suffix)).read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        file[data.draw(st.integers(0, len(file) - 241))] = data.draw(st.integers(32, 126))
    (folder / ("b" + suffix)).write_bytes(file)
    try:
        opened(folder / ("b" + suffix)).load()
    except ImagedataError:
        return


def test_what_the_engine_opens(tmp_path, monkeypatch):
    """The engine is chosen by content; what it cannot open it says."""
    sitk.WriteImage(random_image(), tmp_path / "a.mha")
    assert xr.open_dataarray(tmp_path / "a.mha").shape == (4, 5, 6)
    (tmp_path / "b.mha").write_bytes(b"x" * 100)
    guess = xr.backends.list_engines()["itk"].guess_can_open
    assert not guess(tmp_path / "b.mha")
    assert not guess(tmp_path / "absent.mha")
    assert not guess(b"NRRD0004")
    for wrong in (tmp_path / "b.mha", tmp_path / "absent.mha", b"NRRD0004", __file__):
        with pytest.raises(ImagedataError):
            opened(wrong)
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    with pytest.raises(MissingDependencyError, match=r"pip install \"imagedata_xr\[itk\]\""):
        opened(tmp_path / "a.mha")


def test_writer_refuses_what_it_cannot_keep(tmp_path):
    """Axes with coordinates, unknown types and suffixes are errors that say what to do."""
    sitk.WriteImage(random_image(), tmp_path / "a.mha")
    da = opened(tmp_path / "a.mha")
    with pytest.raises(WriteError, match="te"):
        to_itk(da.expand_dims(te=[1.0, 2.0]), tmp_path / "b.vtk")
    with pytest.raises(WriteError, match="astype"):
        to_itk(da.astype("f2"), tmp_path / "b.mha")
    with pytest.raises(OptionError):
        to_itk(da, tmp_path / "b.jpg")
    back = opened(to_itk(da, tmp_path / "b.nrrd", compress=True))
    np.testing.assert_array_equal(back.values, da.values)
    assert (back - da).shape == da.shape
    assert not back.attrs


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("dimension: 3", "dimension: 99"),
        ("dimension: 3", "dimension: -1"),
        ("sizes: 6 5 4", "sizes: 6 5 4 3"),
        ("sizes: 6 5 4", "sizes: 6 5 -4"),
        ("kinds: domain domain domain", "kinds: " + "domain " * 4000),
        (") (", ",0,0,0,0,0,0,0,0,0) ("),
        (") (", ") " + "(1,2,3) " * 3000 + "("),
        ("space origin: (", "space origin: (1,2,"),
    ],
)
def test_fields_of_nrrd_that_do_not_fit(tmp_path, old, new):
    """More entries than axes would end the whole process within ITK: they do not get there."""
    path = to_itk(image_of(Phantom(shape=(4, 5, 6), orientation="oblique")), tmp_path / "a.nrrd")
    raw = path.read_bytes()
    head, _, rest = raw.partition(b"\n\n")
    assert old.encode() in head
    path.write_bytes(head.replace(old.encode(), new.encode(), 1) + b"\n\n" + rest)
    with pytest.raises(FormatError, match=r"a\.nrrd"):
        opened(path)
