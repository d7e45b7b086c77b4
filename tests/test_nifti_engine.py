"""The engine ``nifti``: values, places, names of axes, and what stands beside a file."""

from __future__ import annotations

import json
import pickle
import warnings
from typing import ClassVar

import numpy as np
import pytest
import xarray as xr
from nifti_images import FLIPS, PLANES, dwi, image, world

from imagedata_xr.errors import DataWarning, FormatError, GeometryError, ImagedataError, OptionError
from imagedata_xr.formats.nifti import to_nifti
from imagedata_xr.testing import EngineConformance, Phantom, write_series

nib = pytest.importorskip("nibabel")


def opened(path, **options):
    return xr.open_dataarray(path, engine="nifti", **options)


def saved(path, values, affine=None, kind=nib.Nifti1Image, **fields):
    """Write a file by nibabel, with header fields set afterwards."""
    img = kind(values, np.diag([2.0, 3, 4, 1]) if affine is None else affine)
    for name, value in fields.items():
        img.header[name] = value
    nib.save(img, path)
    return path


# --- The suite that every engine passes


class Nibabel(EngineConformance):
    """An image whose truth is known, written by nibabel: float32 matrix."""

    ENGINE: ClassVar[str] = "nifti"
    SUFFIX = ".nii"
    KIND = nib.Nifti1Image
    ATOL_MM = 1e-4

    def make(self, folder):
        path = folder / ("image" + self.SUFFIX)
        if path.exists():
            return path
        folder.mkdir(exist_ok=True)
        truth = self.truth()
        values = truth.values.astype("f4" if truth.values.dtype.kind == "f" else truth.values.dtype)
        if truth.dims[-1] == "rgb":
            colours = np.dtype([(c, "u1") for c in "RGB"])
            values = np.ascontiguousarray(values).view(colours)[..., 0]
        affine = np.diag([-1.0, -1, 1, 1]) @ truth.affine[:, [2, 1, 0, 3]]
        img = self.KIND(values.T, affine)
        img.header.set_xyzt_units("mm", "msec" if "time" in truth.dims else None)
        if "time" in truth.dims:
            img.header["pixdim"][4] = np.diff(truth.coords["time"])[0] * 1000
        nib.save(img, path)
        return path


class TestAxial(Nibabel):
    """Three dimensions."""


class TestPackedOblique(Nibabel):
    """A time course, compressed."""

    SUFFIX = ".nii.gz"
    PHANTOM = Phantom(axes={"time": [0, 2.5, 5.0]}, orientation="oblique")


class TestSecond(Nibabel):
    """NIfTI-2, whose numbers are float64: positions are exact."""

    KIND = nib.Nifti2Image
    ATOL_MM = 1e-9
    PHANTOM = Phantom(axes={"time": [0, 2.5]}, orientation="sagittal")


class TestPair(Nibabel):
    """Two files; an axis that the caller names; a tilted gantry."""

    SUFFIX = ".img"
    KIND = nib.Nifti1Pair
    PHANTOM = Phantom(axes={"te": [4.9, 9.8, 14.7]}, orientation="oblique")

    def dataset(self, folder, **options):
        # NIfTI cannot store what echoes they are
        return super().dataset(folder, dims={"te": [4.9, 9.8, 14.7]}, **options)

    def test_one_variable(self, tmp_path):
        """The engine is asked for the names of the axes."""
        assert list(self.dataset(tmp_path).data_vars) == ["image"]


class TestTilted(Nibabel):
    """A sheared matrix."""

    PHANTOM = Phantom(modality="CT", tilt=15, shape=(5, 6, 4), dtype="int16")


class TestColour(Nibabel):
    """Colours."""

    PHANTOM = Phantom(photometric="RGB", dtype="uint8", orientation="coronal")


# --- Places


@pytest.mark.parametrize("flip", FLIPS, ids=lambda f: "".join("+-"[s < 0] for s in f))
@pytest.mark.parametrize("plane", PLANES)
def test_voxels_stay_at_their_place(tmp_path, plane, flip):
    """Written and read, every value is at its place, and the images align."""
    da = image(PLANES[plane] * np.array(flip))
    back = opened(to_nifti(da, tmp_path / "a.nii.gz"))
    assert back.dtype == da.dtype
    near = {n: [int(abs(back[n].values - v).argmin()) for v in da[n].values] for n in da.dims}
    turned = back.isel(near)
    np.testing.assert_array_equal(turned.values, da.values)
    np.testing.assert_allclose(world(turned), world(da), atol=1e-4)


def test_mask_selects_from_dicom(tmp_path):
    """A mask from a NIfTI file and a DICOM series align without a word."""
    write_series(Phantom(orientation="oblique", axes={"time": [0, 2]}), tmp_path / "dicom")
    series = xr.open_dataarray(tmp_path / "dicom", engine="dicom")
    mask = (series.isel(time=0, drop=True) > 100).astype("uint8")
    back = opened(to_nifti(mask, tmp_path / "mask.nii.gz"))
    chosen = series.where(back)
    assert chosen.shape == series.shape
    np.testing.assert_array_equal(np.isnan(chosen.values[0]), mask.values == 0)


def test_sform_is_taken_and_a_disagreement_said(tmp_path):
    """Two places: the sform counts, the warning says so, and ``form`` takes the other."""
    img = nib.Nifti1Image(np.zeros((3, 4, 5), "i2"), None)
    img.set_sform(np.diag([2.0, 2, 2, 1]), code=4)
    moved = np.diag([2.0, 2, 2, 1])
    moved[0, 3] = 7
    img.set_qform(moved, code=1)
    nib.save(img, tmp_path / "a.nii")
    with pytest.warns(DataWarning, match=r"7 mm apart: the sform is taken"):
        da = opened(tmp_path / "a.nii")
    assert da.med.origin[0] == 0
    assert da.encoding["nifti"]["form"] == "sform"
    assert opened(tmp_path / "a.nii", form="qform").med.origin[0] == -7


def test_qform_alone(tmp_path):
    """A quaternion with qfac -1 puts the voxels where nibabel does."""
    affine = np.eye(4)
    affine[:3, :3] = PLANES["oblique"] @ np.diag([-2.0, 3, 4])
    affine[:3, 3] = [10, -20, 30]
    img = nib.Nifti1Image(np.zeros((3, 4, 5), "i2"), None)
    img.set_qform(affine, code=2)
    nib.save(img, tmp_path / "a.nii")
    da = opened(tmp_path / "a.nii")
    expected = nib.load(tmp_path / "a.nii").affine
    np.testing.assert_allclose(da.med.affine_ras[:, [2, 1, 0, 3]], expected, atol=1e-5)


def test_no_place_in_the_patient(tmp_path):
    """Without codes there are millimetres and no directions; geometry is not made up."""
    img = nib.Nifti1Image(np.zeros((3, 4, 5), "i2"), None)
    img.header.set_zooms((2, 3, 4))
    nib.save(img, tmp_path / "a.nii")
    da = opened(tmp_path / "a.nii")
    assert da.dims == ("slice", "row", "column")
    assert da.slice.values.tolist() == [0, 4, 8, 12, 16]
    assert "direction" not in da.row.attrs
    with pytest.raises(GeometryError):
        to_nifti(da, tmp_path / "b.nii")
    assert opened(tmp_path / "a.nii", form="none").identical(da)
    with pytest.raises(OptionError, match="qform_code is 0"):
        opened(tmp_path / "a.nii", form="qform")


def test_singular_matrix_names_the_way_out(tmp_path):
    """A matrix of zeros is an error that says what to do."""
    path = saved(tmp_path / "a.nii", np.zeros((3, 4, 5), "i2"))
    data = bytearray(path.read_bytes())
    data[280:328] = bytes(48)
    path.write_bytes(data)
    with pytest.raises(GeometryError, match="form='qform' or 'none'"):
        opened(path)


def test_a_broken_sform_beside_a_good_qform(tmp_path):
    """Some tools set the code of an sform that they leave empty: the qform is taken, and said so."""
    affine = np.diag([2.0, 3, 4, 1])
    img = nib.Nifti1Image(np.zeros((3, 4, 5), "i2"), affine)
    img.set_qform(affine, code=1)
    nib.save(img, tmp_path / "a.nii")
    data = bytearray((tmp_path / "a.nii").read_bytes())
    data[280:328] = bytes(48)
    (tmp_path / "a.nii").write_bytes(data)
    with pytest.warns(DataWarning, match="the qform is taken"):
        da = opened(tmp_path / "a.nii")
    assert da.encoding["nifti"]["form"] == "qform"
    np.testing.assert_allclose(da.med.spacing, (4, 3, 2), rtol=1e-6)
    with pytest.raises(GeometryError, match="form='qform' or 'none'"):
        opened(tmp_path / "a.nii", form="sform")


def test_units_of_length(tmp_path):
    """Micrometres are micrometres."""
    da = opened(saved(tmp_path / "a.nii", np.zeros((3, 4, 5), "i2"), xyzt_units=3))
    np.testing.assert_allclose(da.med.spacing, (0.004, 0.003, 0.002))


@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 1), (4,)])
def test_one_slice(tmp_path, shape):
    """Fewer than three axes make an image of one slice."""
    values = np.arange(np.prod(shape), dtype="i2").reshape(shape)
    da = opened(saved(tmp_path / "a.nii", values))
    assert da.shape == (1, 1, 4) if len(shape) == 1 else (1, 3, 4)
    assert da.slice.attrs["direction"] == [0, 0, 1]
    np.testing.assert_array_equal(da.values.ravel(), values.T.ravel())


# --- Values

TYPES = ["u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8", "c8", "c16"]


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("kind", TYPES)
def test_every_type(tmp_path, kind, order):
    """Each type comes back as it is, in either byte order."""
    values = (np.arange(60) - 7).reshape(3, 4, 5).astype(kind)
    header = nib.Nifti1Header(endianness=order)
    header.set_data_dtype(kind)
    img = nib.Nifti1Image(values, np.eye(4), header)
    nib.save(img, tmp_path / "a.nii")
    da = opened(tmp_path / "a.nii")
    assert da.dtype == np.dtype(kind)
    np.testing.assert_array_equal(da.values, values.T)


def test_colours_with_alpha(tmp_path):
    """RGBA keeps its fourth part."""
    values = np.zeros((3, 4, 5), [(c, "u1") for c in "RGBA"])
    for k, name in enumerate("RGBA"):
        values[name] = np.arange(60).reshape(3, 4, 5) + k
    da = opened(saved(tmp_path / "a.nii", values))
    assert da.rgb.values.tolist() == list("RGBA")
    np.testing.assert_array_equal(da.sel(rgb="A"), values["A"].T)


@pytest.mark.parametrize(
    ("kind", "slope", "inter", "expected"),
    [
        ("i2", 1, 0, "i2"),
        ("i2", 2, -1024, "i4"),
        ("u1", 1, -10, "i2"),
        ("i2", 0.5, 0, "f4"),
        ("i4", 0.5, 3, "f8"),
        ("f4", 0.25, 3, "f4"),
        ("i2", 0, 5, "i2"),
        ("i2", np.nan, 5, "i2"),
    ],
)
def test_scaling(tmp_path, kind, slope, inter, expected):
    """Whole slopes keep integers, others make floats; ``mask_and_scale=False`` scales nothing."""
    stored = (np.arange(60).reshape(3, 4, 5) % 50).astype(kind)
    path = saved(tmp_path / "a.nii", stored)
    data = bytearray(path.read_bytes())
    data[112:120] = np.array([slope, inter], "<f4").tobytes()
    path.write_bytes(data)
    da = opened(path)
    assert da.dtype == np.dtype(expected)
    np.testing.assert_allclose(da.values, nib.load(path).get_fdata().T, rtol=1e-6)
    np.testing.assert_array_equal(opened(path, mask_and_scale=False).values, stored.T)


# --- Names of axes


def test_round_trip_of_acquisition_axes(tmp_path):
    """Dimensions, coordinates and their order come back through the sidecar."""
    write_series(
        Phantom(axes={"time": [0, 2.5, 5.5], "te": [5, 10]}, orientation="oblique"), tmp_path / "d"
    )
    da = xr.open_dataarray(tmp_path / "d", engine="dicom")
    back = opened(to_nifti(da, tmp_path / "a.nii"))
    assert back.dims == da.dims
    for name in ("time", "te"):
        xr.testing.assert_identical(
            back[name].drop_vars(back[name].coords), da[name].drop_vars(da[name].coords)
        )
    assert not (back - da).any()
    assert back.attrs["RepetitionTime"] == da.attrs["RepetitionTime"]
    assert back.attrs["ManufacturerModelName"] == da.attrs["ManufacturerModelName"]


def test_a_label_is_never_guessed(tmp_path):
    """Without a unit of time, a step in the header is no time."""
    path = saved(tmp_path / "a.nii", np.zeros((3, 4, 5, 2), "i2"), xyzt_units=2)
    assert opened(path).dims[0] == "volume"
    with pytest.warns(DataWarning, match="values along 'te'"):
        assert opened(path, dims=("te",)).dims[0] == "te"
    named = opened(path, dims={"te": [4.9, 9.8]})
    assert named.te.values.tolist() == [4.9, 9.8]
    assert named.te.attrs["units"] == "ms"
    (tmp_path / "a.json").write_text('{"EchoTime": [0.0049, 0.0098]}')
    xr.testing.assert_identical(opened(path, dims="te").te, named.te)
    wrong_values = {"te": [1]}, {"te": [1, 1]}, {"te": [1, np.nan]}, {"te": ["a", None]}
    for wrong in (("te", "ti"), ("slice",), (), *wrong_values):
        with pytest.raises(OptionError):
            opened(path, dims=wrong)


@pytest.mark.parametrize(("code", "factor"), [(8, 1), (16, 1e-3), (24, 1e-6)])
def test_units_of_time(tmp_path, code, factor):
    """Times are seconds."""
    path = saved(tmp_path / "a.nii", np.zeros((3, 4, 5, 3), "i2"))
    data = bytearray(path.read_bytes())
    data[123] = 2 + code
    data[76 + 16 : 76 + 20] = np.array([2.1], "<f4").tobytes()
    path.write_bytes(data)
    np.testing.assert_allclose(opened(path).time.values, np.arange(3) * 2.1 * factor, rtol=1e-9)


@pytest.mark.parametrize("packed", ["", ".gz"])
@pytest.mark.parametrize("lead", [("te",), ("ti", "time"), ("b",), ("coil", "fa"), ("volume",)])
def test_own_files_keep_the_names_of_axes_without_the_sidecar(tmp_path, lead, packed):
    """Echoes are not read as times because the header has a repetition time."""
    da = image(PLANES["oblique"], {name: [1.0, 3.0, 4.0] for name in lead})
    da.attrs["RepetitionTime"] = 2000.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        back = opened(to_nifti(da, tmp_path / f"a.nii{packed}", sidecar=False))
    assert set(back.dims) == set(da.dims)
    turned = back.transpose(*da.dims).sel({n: da[n].values for n in ("slice", "row", "column")})
    np.testing.assert_array_equal(turned.values, da.values)
    assert "intent_name" not in back.attrs


def test_names_of_another_programs_file_are_its_own(tmp_path):
    """An intent name is an attribute unless our writer wrote the file, and a step is needed for time."""
    path = saved(tmp_path / "a.nii", np.zeros((3, 4, 5, 2), "i2"), intent_name=b"te")
    assert opened(path).dims[0] == "volume"
    assert opened(path).attrs["intent_name"] == "te"
    long = image(lead={"a_very_long_name_of_an_axis": [1, 2]})
    with pytest.warns(DataWarning, match="a_very_long_name"):
        to_nifti(long, tmp_path / "b.nii", sidecar=False)
    assert opened(tmp_path / "b.nii").dims[0] == "volume"


def test_seven_axes(tmp_path):
    """Axes behind the fourth are numbered, those of length 1 left out; vectors are called so."""
    values = np.arange(3 * 4 * 5 * 2 * 3 * 2, dtype="i2").reshape(3, 4, 5, 1, 2, 3, 2)
    da = opened(saved(tmp_path / "a.nii", values))
    assert da.dims == ("axis7", "axis6", "axis5", "slice", "row", "column")
    np.testing.assert_array_equal(da.values, values[:, :, :, 0].T)
    axes = {"te": [5, 10], "time": [0, 1, 2], "coil": None}
    named = opened(tmp_path / "a.nii", dims=axes)
    assert named.dims == ("time", "te", "coil", "slice", "row", "column")
    np.testing.assert_array_equal(named[1, 0, 1].values, values[:, :, :, 0, 0, 1, 1].T)
    path = saved(tmp_path / "v.nii", values[:, :, :, :, :, 0, 0], intent_code=1007)
    assert opened(path).dims[0] == "vector"


# --- Beside the file


@pytest.mark.parametrize("sidecar", [True, False])
@pytest.mark.parametrize("plane", PLANES)
def test_gradients_in_the_patient(tmp_path, plane, sidecar):
    """Directions come back in patient LPS, from the sidecar and from the .bvec file alike."""
    da = dwi(PLANES[plane])
    back = opened(to_nifti(da, tmp_path / "a.nii", sidecar=sidecar))
    assert back.dims[0] == "volume"
    np.testing.assert_allclose(back.b, da.b)
    for name in ("bvec_x", "bvec_y", "bvec_z"):
        np.testing.assert_allclose(back[name], da[name], atol=1e-6)


def test_gradients_of_a_right_handed_file(tmp_path):
    """FSL turns x round where the determinant is positive."""
    path = saved(tmp_path / "a.nii", np.zeros((3, 4, 5, 2), "i2"), np.eye(4))
    (tmp_path / "a.bval").write_text("0 1000\n")
    (tmp_path / "a.bvec").write_text("0 0.6\n0 0.8\n0 0\n")
    da = opened(path)
    assert da.dims[0] == "b"
    # stored +0.6 is -0.6 along i, which runs to the right: 0.6 to the left
    assert [round(float(da[f"bvec_{x}"][1]), 6) for x in "xyz"] == [0.6, -0.8, 0.0]
    assert "b" not in opened(path, sidecar=False).coords


def test_bids_sidecar(tmp_path):
    """BIDS names become DICOM keywords, seconds milliseconds, odd things nothing."""
    path = saved(tmp_path / "a.nii.gz", np.zeros((3, 4, 5), "i2"))
    content = {
        "RepetitionTime": 2.0,
        "EchoTime": 0.03,
        "FlipAngle": 90,
        "ManufacturersModelName": "Prisma",
        "SliceTiming": [0, 0.5, 1.0],
        "Nested": {"a": 1},
        "Flag": True,
        "Empty": None,
        "AcquisitionTime": "10:15:30.250000",
    }
    (tmp_path / "a.json").write_text(json.dumps(content))
    attrs = opened(path).attrs
    assert (attrs["RepetitionTime"], attrs["EchoTime"], attrs["FlipAngle"]) == (2000, 30, 90)
    assert attrs["ManufacturerModelName"] == "Prisma"
    assert attrs["SliceTiming"] == [0, 0.5, 1.0]
    assert attrs["AcquisitionTime"] == "101530.250000"
    assert attrs["Flag"] == 1
    assert not {"Nested", "Empty"} & set(attrs)


@pytest.mark.parametrize(
    "text", ["{", "[1]", "\x00", '{"imagedata_xr": {"dims": [1], "coords": 3}}']
)
def test_damaged_sidecars_are_left_out(tmp_path, text):
    """A file beside the image never keeps it from being opened."""
    path = saved(tmp_path / "a.nii", np.zeros((3, 4, 5, 2), "i2"))
    (tmp_path / "a.json").write_text(text)
    (tmp_path / "a.bval").write_text("0 1 2")
    with pytest.warns(DataWarning):
        assert opened(path).shape == (2, 5, 4, 3)


def test_engine_is_found_by_content(tmp_path):
    """xarray takes this engine without being told, and a stray name is not enough."""
    path = saved(tmp_path / "a.nii.gz", np.zeros((3, 4, 5), "i2"))
    assert xr.open_dataarray(path).shape == (5, 4, 3)
    assert opened(path.read_bytes()).shape == (5, 4, 3)
    with path.open("rb") as file:
        assert opened(file).shape == (5, 4, 3)
    guess = xr.backends.list_engines()["nifti"].guess_can_open
    (tmp_path / "b.nii").write_bytes(b"x" * 400)
    assert not guess(tmp_path / "b.nii")
    assert not guess(tmp_path / "absent.nii")
    assert guess(path)
    copy = pickle.loads(pickle.dumps(opened(path)))
    assert copy.identical(opened(path))
    for wrong in (tmp_path / "b.nii", tmp_path / "absent.nii", tmp_path):
        with pytest.raises(ImagedataError):
            opened(wrong)
    with pytest.raises(FormatError, match="no NIfTI header"):
        opened(tmp_path / "b.nii")
