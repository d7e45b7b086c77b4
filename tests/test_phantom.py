"""The phantom against pydicom, SimpleITK and dcm2niix, which know nothing of it."""

from __future__ import annotations

import doctest
import importlib
import itertools
import pkgutil
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from pydicom.pixels import pixel_array

from imagedata_xr import testing
from imagedata_xr.errors import OptionError
from imagedata_xr.testing import (
    Head,
    Phantom,
    change_header,
    datasets,
    drop_file,
    duplicate_file,
    enhanced,
    strategies,
    truncate_file,
    write_series,
)

DCM2NIIX = shutil.which("dcm2niix") or shutil.which(
    "dcm2niix", path=str(Path(sys.executable).parent)
)
needs_dcm2niix = pytest.mark.skipif(DCM2NIIX is None, reason="dcm2niix is not installed")
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
PLANES = ["axial", "sagittal", "coronal", "oblique", (85.0, 3.0, 2.0), (0, 1, 0, 0, 0, 1)]
GRADIENTS = [(1, 0, 0), (0, 1, 0), (0, 0, 1), (0.6, 0.8, 0), (0.48, 0.6, 0.64)]
DWI = [{"b": 0}, *({"b": 1000, "bvec": vector} for vector in GRADIENTS)]
MODULES = [f"imagedata_xr.testing.{m.name}" for m in pkgutil.iter_modules(testing.__path__)]


def nifti(folder, out):
    """Convert a folder; return images and b tables by suffix."""
    command = [DCM2NIIX, "-b", "n", "-z", "n", "-f", "out", "-o", out, folder]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return {path.suffix: path for path in Path(out).iterdir()}


def assert_same_voxels(nii, truth):
    """Look every voxel of the truth up in a NIfTI image, by its position."""
    import nibabel

    image = nibabel.load(nii)
    data = np.asanyarray(image.dataobj)
    shape = truth.points.shape[:3]
    assert sorted(data.shape[:3]) == sorted(shape)
    flat = np.c_[truth.points.reshape(-1, 3), np.ones(np.prod(shape))].T
    index = np.linalg.solve(LPS_TO_RAS @ image.affine, flat)[:3]
    assert np.abs(index - np.rint(index)).max() < 1e-4
    found = data[tuple(np.rint(index).astype(int))]
    volumes = int(np.prod(truth.values.shape[:-3]))
    found = found.reshape(*shape, volumes) if volumes > 1 else found.reshape(*shape, 1)
    expected = truth.values.reshape(volumes, *shape)
    np.testing.assert_array_equal(np.moveaxis(found, -1, 0), expected)
    return image


def read(paths):
    return [pydicom.dcmread(path) for path in paths]


def test_headers_hold_the_grid_that_was_asked_for(tmp_path):
    """Files come back in the order of the truth, each with the values of its cell."""
    axes = {"time": [0, 2.5, 5], "te": [10, 20], "fa": [5, 15], "ti": [100, 900]}
    phantom = Phantom(axes=axes, shape=(3, 4, 5), order="interleaved")
    found = read(write_series(phantom, tmp_path))
    truth = phantom.truth()
    assert truth.values.shape == (3, 2, 2, 2, 3, 4, 5)
    assert truth.dims == ("time", "te", "fa", "ti", "slice", "row", "column")
    np.testing.assert_array_equal([ds.pixel_array for ds in found], truth.values.reshape(-1, 4, 5))
    cells = itertools.product(*axes.values(), range(3))
    start = float(found[0].AcquisitionTime)
    for ds, (time, te, fa, ti, index) in zip(found, cells, strict=True):
        assert (ds.EchoTime, ds.FlipAngle, ds.InversionTime) == (te, fa, ti)
        assert float(ds.AcquisitionTime) - start == pytest.approx(time)
        assert ds.ImagePositionPatient[2] == truth.coords["slice"][index]
    assert sorted(ds.InstanceNumber for ds in found) == list(range(1, 73))
    assert len({ds.SOPInstanceUID for ds in found}) == 72
    assert len({ds.SeriesInstanceUID for ds in found}) == 1


def test_any_keyword_may_be_an_axis():
    """A DICOM keyword as axis sets that attribute, whatever its representation."""
    phantom = Phantom(axes={"RepetitionTime": [300, 500.5], "DiffusionBValue": [0.0, 7.0]})
    found = list(datasets(phantom))[::4]
    pairs = [(float(ds.RepetitionTime), ds.DiffusionBValue) for ds in found]
    assert pairs == [(300, 0), (300, 7), (500.5, 0), (500.5, 7)]


def test_components_differ_in_image_type():
    """Magnitude and phase are told apart by Image Type."""
    found = datasets(Phantom(axes={"component": ["M", "P"]}, shape=(1, 2, 2)))
    assert [ds.ImageType[2] for ds in found] == ["M", "P"]


def moment(text):
    """Seconds since 1970 of a DICOM date and time."""
    return datetime.strptime(f"{text} +0000", "%Y%m%d%H%M%S.%f %z").timestamp()


def seconds(ds, timing):
    """Read the time of a frame in its own way."""
    if timing == "AcquisitionDateTime":
        return moment(ds.AcquisitionDateTime)
    if timing in {"AcquisitionTime", "ContentTime"}:
        day = timing.replace("Time", "Date")
        return moment(ds[day].value + ds[timing].value)
    if timing in {"TriggerTime", "FrameReferenceTime"}:
        return float(ds[timing].value) / 1000
    return 4.0 * int(ds[timing].value)


@pytest.mark.parametrize(
    "timing",
    [
        *("AcquisitionTime", "AcquisitionDateTime", "ContentTime", "TriggerTime"),
        *("TemporalPositionIdentifier", "FrameReferenceTime", "AcquisitionNumber"),
    ],
)
@pytest.mark.parametrize("start", ["20240229101530.25", "20231231235958"])
def test_timing(timing, start):
    """Each timing flavour tells the volumes apart by its attribute, also across midnight."""
    phantom = Phantom(axes={"time": [0, 4, 8]}, shape=(1, 2, 3), timing=timing, start=start)
    found = [seconds(ds, timing) for ds in datasets(phantom)]
    np.testing.assert_allclose(np.array(found) - found[0], [0, 4, 8], atol=1e-5)


def test_no_times_at_all():
    """Series can do without any time but the Instance Number."""
    phantom = Phantom(axes={"time": [0, 1]}, timing="InstanceNumber", shape=(2, 2, 3))
    for number, ds in enumerate(datasets(phantom), start=1):
        assert ds.InstanceNumber == number
        assert "AcquisitionTime" not in ds
        assert "ContentTime" not in ds


def test_slices_have_their_own_times_in_random_order():
    """With a slice delay every slice has its own time, not in the order of position."""
    phantom = Phantom(axes={"time": [0, 10]}, shape=(8, 2, 3), slice_delay=0.5)
    times = np.array([seconds(ds, "AcquisitionTime") for ds in datasets(phantom)]).reshape(2, 8)
    np.testing.assert_allclose(times[1] - times[0], 10)
    np.testing.assert_allclose(np.sort(times[0]) - times[0].min(), np.arange(8) * 0.5, atol=1e-5)
    assert (np.diff(times[0]) < 0).any()


@pytest.mark.parametrize("syntax", ["explicit", "implicit", "big", "deflated", "rle"])
@pytest.mark.parametrize(
    "kind",
    [
        *({"dtype": dtype} for dtype in ("uint8", "int8", "uint16", "int16", "uint32", "int32")),
        {"dtype": "uint16", "bits_stored": 12},
        {"dtype": "int16", "bits_stored": 12, "photometric": "MONOCHROME1"},
        *({"photometric": p, "dtype": "uint8"} for p in ("RGB", "YBR_FULL", "PALETTE COLOR")),
    ],
    ids=lambda kind: "-".join(map(str, kind.values())),
)
def test_pixels_survive_every_encoding(syntax, kind, tmp_path):
    """Pydicom decodes the stored pixels that the phantom made."""
    if syntax == "rle" and kind["dtype"].endswith("32"):
        with pytest.raises(OptionError, match="RLE"):
            Phantom(transfer_syntax=syntax, **kind)
        return
    phantom = Phantom(transfer_syntax=syntax, shape=(2, 3, 5), **kind)
    stored = np.concatenate(list(phantom.stored()))
    truth = phantom.truth()
    for index, ds in enumerate(read(write_series(phantom, tmp_path))):
        np.testing.assert_array_equal(pixel_array(ds, raw=True), stored[index])
        if "Y" in phantom.photometric[:1]:
            difference = ds.pixel_array.astype(int) - truth.values[index]
            assert np.abs(difference).max() <= 1
        if phantom.photometric == "PALETTE COLOR":
            found = pydicom.pixels.apply_color_lut(ds.pixel_array, ds)
            np.testing.assert_array_equal(found, truth.values[index])


def test_colour_has_an_axis_of_samples():
    """Colour phantoms have a last dimension rgb; without position there is no slice."""
    phantom = Phantom(
        modality="US", axes={"time": [0, 1]}, shape=(1, 3, 5), photometric="RGB", dtype="uint8"
    )
    truth = phantom.truth()
    assert truth.dims == ("time", "row", "column", "rgb")
    assert truth.values.shape == (2, 3, 5, 3)
    for ds in datasets(phantom):
        assert "ImagePositionPatient" not in ds


@pytest.mark.parametrize("options", [{"file_meta": False}, {"preamble": False}])
@pytest.mark.parametrize("syntax", ["explicit", "implicit"])
def test_files_without_preamble_or_meta(options, syntax, tmp_path):
    """Files may lack the preamble, or all meta information, and are still read by force."""
    phantom = Phantom(transfer_syntax=syntax, shape=(1, 2, 3), **options)
    path = write_series(phantom, tmp_path)[0]
    assert path.read_bytes()[128:132] != b"DICM"
    ds = pydicom.dcmread(path, force=True)
    assert ds.Rows == 2
    assert len(ds.PixelData) == 12


@pytest.mark.parametrize("rescale", [None, (0.5, -3.0), [(1 / 3, 0.0), (2, 1.5), (0.125, -7)]])
@pytest.mark.parametrize("modality", ["MR", "CT", "PT"])
def test_rescale_gives_the_truth(rescale, modality, tmp_path):
    """Slope times stored value plus intercept, frame by frame, is the real-world value."""
    phantom = Phantom(axes={"time": [0, 1]}, modality=modality, rescale=rescale, shape=(3, 4, 5))
    values = phantom.truth().values.reshape(-1, 4, 5)
    for ds, expected in zip(read(write_series(phantom, tmp_path)), values, strict=True):
        slope, intercept = float(ds.get("RescaleSlope", 1)), float(ds.get("RescaleIntercept", 0))
        np.testing.assert_array_equal(ds.pixel_array * slope + intercept, expected)
    plain = Phantom(axes={"time": [0, 1]}, modality=modality, shape=(3, 4, 5)).truth().values
    assert np.abs(values - plain.reshape(-1, 4, 5)).max() <= 1.5


@settings(max_examples=50, deadline=None)
@given(phantom=strategies.phantoms(max_axes=1))
def test_positions_in_headers_are_those_of_the_truth(phantom):
    """Points by the formula of the standard, by the affine and by coordinates are the same."""
    truth = phantom.truth()
    rows, columns = np.mgrid[: phantom.shape[1], : phantom.shape[2]]
    for index, ds in zip(range(phantom.shape[0]), datasets(phantom), strict=False):
        plane, step = np.array(ds.ImageOrientationPatient, float), ds.PixelSpacing
        points = np.array(ds.ImagePositionPatient, float) + (
            columns[..., None] * plane[:3] * step[1] + rows[..., None] * plane[3:] * step[0]
        )
        np.testing.assert_allclose(points, truth.points[index], atol=1e-9)
    indices = np.stack([*np.indices(phantom.shape), np.ones(phantom.shape)], axis=-1)
    np.testing.assert_allclose((indices @ truth.affine.T)[..., :3], truth.points, atol=1e-9)
    summed = 0.0
    for dim, grid in zip(
        truth.directions,
        np.meshgrid(*map(truth.coords.get, truth.directions), indexing="ij"),
        strict=True,
    ):
        assert truth.directions[dim][np.argmax(np.abs(truth.directions[dim]))] > 0
        summed = summed + grid[..., None] * truth.directions[dim]
    np.testing.assert_allclose(summed, truth.points, atol=1e-9)


@settings(max_examples=50, deadline=None)
@given(found=strategies.axes(), slices=strategies.uneven_slices(5), vector=strategies.directions())
def test_strategies_draw_what_they_say(found, slices, vector):
    """Axes grow strictly, uneven slices are uneven, directions have length one."""
    assert all((np.diff(values) > 0).all() for values in found.values())
    assert np.ptp(np.diff(slices)) > 0
    assert np.linalg.norm(vector) == pytest.approx(1)


def test_uneven_slices_keep_their_positions():
    """Explicit slice positions stand in the headers, and there is no affine."""
    phantom = Phantom(slices=(0, 3, 10), shape=(3, 4, 5), origin=(1, 2, 3))
    assert [ds.ImagePositionPatient[2] for ds in datasets(phantom)] == [3, 6, 13]
    assert phantom.truth().affine is None
    assert phantom.truth().coords["slice"].tolist() == [3, 6, 13]


def test_tilted_gantry_drifts_in_the_plane():
    """A tilt turns the planes while the table goes on along z."""
    phantom = Phantom(modality="CT", tilt=15, shape=(4, 5, 6))
    found = list(datasets(phantom))
    positions = np.array([ds.ImagePositionPatient for ds in found], float)
    np.testing.assert_allclose(np.diff(positions, axis=0), np.tile([0, 0, 3], (3, 1)), atol=1e-9)
    plane = np.array(found[0].ImageOrientationPatient, float)
    normal = np.cross(plane[:3], plane[3:])
    assert np.degrees(np.arccos(normal[2])) == pytest.approx(15)


@pytest.mark.parametrize("orientation", PLANES, ids=str)
def test_simpleitk_finds_the_same_value_at_the_same_point(orientation, tmp_path):
    """GDCM puts every voxel where the analytic truth has it."""
    sitk = pytest.importorskip("SimpleITK")
    phantom = Phantom(orientation=orientation, shape=(4, 6, 5), order="random")
    write_series(phantom, tmp_path)
    reader = sitk.ImageSeriesReader()
    assert len(reader.GetGDCMSeriesIDs(str(tmp_path))) == 1
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path)))
    image = reader.Execute()
    truth = phantom.truth()
    for point, value in zip(truth.points.reshape(-1, 3), truth.values.ravel(), strict=True):
        index = image.TransformPhysicalPointToContinuousIndex(point.tolist())
        np.testing.assert_allclose(index, np.rint(index), atol=1e-6)
        assert image[tuple(int(i) for i in np.rint(index))] == value


@needs_dcm2niix
@pytest.mark.parametrize("orientation", PLANES, ids=str)
@pytest.mark.parametrize(
    ("axes", "order", "timing"),
    [
        ({}, "interleaved", "AcquisitionTime"),
        ({"time": [0, 2, 4]}, "descending", "AcquisitionTime"),
        # dcm2niix trusts Instance Numbers to be spatial unless the volumes are counted
        ({"time": [0, 2, 4]}, "interleaved", "TemporalPositionIdentifier"),
    ],
    ids=["3-D", "4-D", "4-D-interleaved"],
)
def test_dcm2niix_agrees(orientation, axes, order, timing, tmp_path):
    """dcm2niix makes one image with the affine and voxels of the truth, also over time."""
    phantom = Phantom(orientation=orientation, axes=axes, order=order, timing=timing)
    write_series(phantom, tmp_path / "in")
    (tmp_path / "out").mkdir()
    image = assert_same_voxels(nifti(tmp_path / "in", tmp_path / "out")[".nii"], phantom.truth())
    assert image.shape[3:] == tuple(len(values) for values in axes.values())


@needs_dcm2niix
@pytest.mark.parametrize("vendor", ["standard", "siemens", "ge", "ge_plain", "philips", "uih"])
@pytest.mark.parametrize("orientation", ["axial", "sagittal", "coronal", "oblique"])
def test_dcm2niix_reads_the_diffusion_of_every_vendor(vendor, orientation, tmp_path):
    """dcm2niix finds b values and directions in each vendor's private elements."""
    phantom = Phantom(volumes=DWI, vendor=vendor, orientation=orientation, volume_delay=3)
    write_series(phantom, tmp_path / "in")
    (tmp_path / "out").mkdir()
    found = nifti(tmp_path / "in", tmp_path / "out")
    truth = phantom.truth()
    image = assert_same_voxels(found[".nii"], truth)
    np.testing.assert_allclose(np.loadtxt(found[".bval"]), truth.coords["b"])
    axes = image.affine[:3, :3] / np.linalg.norm(image.affine[:3, :3], axis=0)
    vectors = np.loadtxt(found[".bvec"])
    if np.linalg.det(axes) > 0:  # the convention of FSL
        vectors[0] *= -1
    vectors = LPS_TO_RAS[:3, :3] @ axes @ vectors
    expected = [truth.coords[name] for name in ("bvec_x", "bvec_y", "bvec_z")]
    np.testing.assert_allclose(vectors, expected, atol=2e-6)


def test_ge_adds_an_offset_to_b():
    """GE b values carry 1e9, those of older software do not."""
    for vendor, expected in (("ge", 1_000_000_400), ("ge_plain", 400)):
        phantom = Phantom(axes={"b": [0, 400]}, vendor=vendor, shape=(1, 2, 2))
        found = [ds[0x00431039].value[0] for ds in datasets(phantom)]
        assert found == [0, expected]


@needs_dcm2niix
def test_dcm2niix_agrees_on_the_enhanced_form(tmp_path):
    """The enhanced instance converts to the same image as the classic files."""
    phantom = Phantom(axes={"time": [0, 2, 4]}, orientation="oblique", shape=(4, 6, 5))
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    enhanced(phantom).save_as(tmp_path / "in" / "one", enforce_file_format=True)
    assert_same_voxels(nifti(tmp_path / "in", tmp_path / "out")[".nii"], phantom.truth())


def test_enhanced_frames_are_those_of_the_truth():
    """Pixels, positions and values of each frame of the enhanced form are as asked."""
    phantom = Phantom(
        volumes=[{"te": te, "fa": 7, "ti": 90, **dwi} for te in (10, 20) for dwi in DWI],
        rescale=[(1, 0), (0.5, 3)],
    )
    ds, truth = enhanced(phantom), phantom.truth()
    frames = ds.PerFrameFunctionalGroupsSequence
    assert len(frames) == ds.NumberOfFrames == 48
    values = truth.values.reshape(-1, 6, 5)
    keys = set()
    for number, frame in enumerate(frames):
        volume, index = divmod(number, 4)
        scale = frame.PixelValueTransformationSequence[0]
        real = ds.pixel_array[number] * float(scale.RescaleSlope) + float(scale.RescaleIntercept)
        np.testing.assert_array_equal(real, values[number])
        position = np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float)
        np.testing.assert_allclose(position, truth.points[index, 0, 0], atol=1e-9)
        assert frame.MREchoSequence[0].EffectiveEchoTime == truth.coords["te"][volume]
        assert frame.MRDiffusionSequence[0].DiffusionBValue == truth.coords["b"][volume]
        keys.add(tuple(frame.FrameContentSequence[0].DimensionIndexValues))
    assert len(keys) == 48
    assert {len(key) for key in keys} == {len(ds.DimensionIndexSequence)}


def test_same_seed_same_bytes(tmp_path):
    """Files and names depend on the seed alone."""
    folders = [tmp_path / name for name in ("a", "b", "c")]
    for folder, seed in zip(folders, (1, 1, 2), strict=True):
        phantom = Phantom(seed=seed, axes={"te": [1, 2]}, noise=3, slice_delay=1, order="random")
        write_series(phantom, folder)
    contents = [{p.name: p.read_bytes() for p in folder.iterdir()} for folder in folders]
    assert contents[0] == contents[1]
    assert not set(contents[0]) & set(contents[2])
    assert not set(contents[0].values()) & set(contents[2].values())


def test_uids_are_valid_and_tell_series_studies_and_patients_apart():
    """UIDs keep to the standard; two series of a study share what they should."""
    one, two = (next(datasets(Phantom(series=n, shape=(1, 2, 2)))) for n in (1, 2))
    other = next(datasets(Phantom(study=2, shape=(1, 2, 2))))
    for keyword in (
        "StudyInstanceUID",
        "SeriesInstanceUID",
        "FrameOfReferenceUID",
        "SOPInstanceUID",
    ):
        assert one[keyword].value.is_valid
        assert len(one[keyword].value) <= 64
        shared = keyword in {"StudyInstanceUID", "FrameOfReferenceUID"}
        assert (one[keyword] == two[keyword]) is shared
        assert one[keyword] != other[keyword]


def test_files_are_unhelpful_unless_asked(tmp_path):
    """Names tell nothing by default, sort on request, and may lie in folders within folders."""
    phantom = Phantom(axes={"te": [1, 2, 3]}, order="descending")
    paths = write_series(phantom, tmp_path / "a")
    assert paths != sorted(paths)
    assert not any(path.suffix for path in paths)
    deep = write_series(phantom, tmp_path / "b", subfolders=True)
    assert len({path.parent for path in deep}) == 3
    named = sorted(write_series(phantom, tmp_path / "c", names="sorted", shuffle=None))
    assert [ds.InstanceNumber for ds in read(named)] == list(range(1, 13))
    with pytest.raises(OptionError, match="names"):
        write_series(phantom, tmp_path / "d", names="other")


@pytest.mark.parametrize("vendor", ["standard", "siemens", "ge", "philips", "uih"])
def test_datasets_in_memory_equal_the_files(vendor, tmp_path):
    """What is yielded in memory is what is written."""
    phantom = Phantom(volumes=DWI, vendor=vendor, shape=(2, 3, 4), attributes={"EchoTime": 77})
    for path, ds in zip(write_series(phantom, tmp_path), datasets(phantom), strict=True):
        assert pydicom.dcmread(path) == ds
        assert ds.EchoTime == 77


def test_damage(tmp_path):
    """Each kind of damage does what it says to one file."""
    phantom = Phantom(axes={"te": [1, 2]})
    paths = write_series(phantom, tmp_path)
    drop_file(paths[0])
    same = duplicate_file(paths[1])
    assert same.read_bytes() == paths[1].read_bytes()
    new = pydicom.dcmread(duplicate_file(paths[2], uid=phantom.uid("new")))
    assert new.SOPInstanceUID == phantom.uid("new") == new.file_meta.MediaStorageSOPInstanceUID
    size = paths[3].stat().st_size
    assert truncate_file(paths[3], keep=0.5).stat().st_size == size // 2
    changed = pydicom.dcmread(change_header(paths[4], EchoTime=9.5, FlipAngle=None))
    assert changed.EchoTime == 9.5
    assert "FlipAngle" not in changed
    assert len(list(tmp_path.iterdir())) == 9


@pytest.mark.parametrize(
    ("characters", "name"),
    [
        ("ISO_IR 100", "Müller^Jörg"),
        ("ISO_IR 192", "山田^太郎"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎"),
        ("GB18030", "王^小东"),
    ],
)
def test_names_in_the_declared_characters(tmp_path, characters, name):
    """Text of a phantom is encoded in the character set that its headers declare."""
    attributes = {"SpecificCharacterSet": characters, "PatientName": name}
    phantom = Phantom(shape=(2, 3, 4), attributes=attributes)
    for path in write_series(phantom, tmp_path):
        assert str(pydicom.dcmread(path).PatientName) == name


def test_head_behaves_like_tissue():
    """The lesion takes up contrast agent, signal decays over echo time and b."""
    view = {"shape": (1, 64, 64), "spacing": (2, 4, 4), "value": Head(), "origin": (-126, -126, 24)}
    lesion = (0, (126 - 28 + 10) // 4, (126 + 34) // 4)
    over = {
        "time": Phantom(axes={"time": [0, 60, 120]}, **view),
        "te": Phantom(axes={"te": [5, 50, 100]}, **view),
        "b": Phantom(axes={"b": [0, 400, 800]}, **view),
    }
    curves = {name: phantom.truth().values[:, *lesion] for name, phantom in over.items()}
    assert (np.diff(curves["time"]) > 0).all()
    assert (np.diff(curves["te"]) < 0).all()
    assert (np.diff(curves["b"]) < 0).all()
    adc = np.log(curves["b"][0] / curves["b"][2]) / 800
    assert adc == pytest.approx(1.1e-3, rel=0.02)
    assert over["te"].truth().values[0, 0, 0, 0] == 0


def test_noise_is_rician():
    """Noise of an empty magnitude image is positive with the mean of a Rayleigh distribution."""
    phantom = Phantom(value=lambda points, _: 0 * points[..., 0], noise=40, shape=(4, 50, 50))
    values = phantom.truth().values
    assert values.mean() == pytest.approx(40 * np.sqrt(np.pi / 2), rel=0.02)
    np.testing.assert_array_equal(values, phantom.truth().values)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"axes": {"te": [1]}, "volumes": [{"te": 1}]}, "not both"),
        ({"dtype": "float32"}, "dtype"),
        ({"dtype": "uint8", "bits_stored": 12}, "bits_stored"),
        ({"photometric": "RGB"}, "uint8"),
        ({"photometric": "CMYK"}, "photometric"),
        ({"modality": "US"}, "one slice"),
    ],
)
def test_contradictions_are_refused(options, message):
    """Options that do not go together raise when the phantom is made."""
    with pytest.raises(OptionError, match=message):
        Phantom(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"orientation": "upside"}, "orientation"),
        ({"orientation": (1, 0, 0, 1, 0, 0)}, "perpendicular"),
        ({"slices": (0, 1)}, "positions"),
        ({"timing": "Sundial"}, "timing"),
        ({"transfer_syntax": "morse"}, "transfer_syntax"),
        ({"axes": {"EchoTme": [1]}}, "EchoTme"),
    ],
)
def test_unknown_names_are_refused_when_written(options, message):
    """Misspelt options raise before any dataset is made."""
    with pytest.raises(OptionError, match=message):
        next(datasets(Phantom(**options)))


def test_exports_are_complete_and_cheap():
    """Every exported name is there, and importing the package does not import pydicom."""
    assert all(hasattr(testing, name) for name in testing.__all__)
    code = (
        "import sys; from imagedata_xr.testing import Phantom; Phantom().truth();"
        "sys.exit('pydicom' in sys.modules or 'hypothesis' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", ["imagedata_xr.testing", *MODULES])
def test_examples_in_docstrings(name, tmp_path, monkeypatch):
    """The examples in the docstrings give what they say."""
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    result = doctest.testmod(module, extraglobs={"Phantom": Phantom, "testing": testing})
    assert result.failed == 0
