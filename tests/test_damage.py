"""Damaged series: the array is right at every label, or an error of ours says why there is none."""

from __future__ import annotations

import io
import pickle
import random
import tempfile
import warnings
from concurrent.futures import ThreadPoolExecutor

import corpus_oracle as oracle
import numpy as np
import pydicom
import pytest
import xarray as xr

from imagedata_xr.errors import (
    DuplicateFrameError,
    DuplicateWarning,
    FormatError,
    ImagedataError,
    ImagedataWarning,
    MultipleStacksError,
    SortError,
)
from imagedata_xr.frames import frame_hash
from imagedata_xr.testing import Phantom, enhanced, write_series
from imagedata_xr.testing.headers import fill

SMALL = (3, 4, 5)
X, Y, Z = np.eye(3).tolist()
DIRECTIONS = [{"b": 0}, *({"b": 800, "bvec": vector} for vector in (X, Y, Z))]
DYNAMIC = Phantom(axes={"time": [0, 2.5, 7.25]}, shape=SMALL, orientation="oblique")
QUANTITIES = {
    "te": Phantom(axes={"te": [5, 10, 15]}, shape=SMALL, order="interleaved"),
    "fa": Phantom(axes={"fa": [3, 9, 15]}, shape=SMALL, orientation="coronal"),
    "ti": Phantom(axes={"ti": [30, 60, 90]}, shape=SMALL, order="random"),
    "b": Phantom(axes={"b": [0, 400, 800]}, shape=SMALL),
    "component": Phantom(axes={"component": ["M", "P"]}, shape=SMALL),
    "te, component": Phantom(
        axes={"te": [5, 10], "component": ["M", "P"]}, shape=SMALL, vendor="siemens"
    ),
    "directions": Phantom(volumes=DIRECTIONS, shape=SMALL),
    "directions of Philips": Phantom(
        volumes=DIRECTIONS, shape=SMALL, vendor="philips", slice_delay=0.1, volume_delay=3
    ),
}
TIMES = {
    "AcquisitionTime": DYNAMIC,
    "AcquisitionDateTime": Phantom(
        axes={"time": [0, 3, 6]}, shape=SMALL, timing="AcquisitionDateTime", order="random"
    ),
    "slice by slice": Phantom(axes={"time": [0, 3, 6, 9]}, shape=SMALL, slice_delay=0.3),
    "TriggerTime": Phantom(axes={"time": [0, 0.5, 1]}, shape=SMALL, timing="TriggerTime"),
    "PET": Phantom(
        axes={"time": [0, 60, 180]},
        shape=SMALL,
        modality="PT",
        timing="FrameReferenceTime",
        rescale=[(0.5, 0), (1.5, 0), (2, 0)],
    ),
    "time, te": Phantom(axes={"time": [0, 3, 6], "te": [5, 10]}, shape=SMALL, order="random"),
    "time, te, fa": Phantom(
        axes={"time": [0, 3], "te": [5, 10], "fa": [3, 9]}, shape=(2, 4, 5), volume_delay=20
    ),
}
STILL = {
    "tilt": Phantom(modality="CT", tilt=15, shape=(6, 4, 5)),
    "uneven": Phantom(slices=[0, 3, 7, 9, 20], shape=(5, 4, 5), orientation="sagittal"),
}
ALL = {**QUANTITIES, **TIMES, **STILL}


def series(phantom):
    """Return the shots of a phantom and their files as bytes."""
    with tempfile.TemporaryDirectory() as folder:
        files = [path.read_bytes() for path in write_series(phantom, folder)]
    return list(zip(phantom.shots(), files, strict=True))


def changed(file, **attributes):
    """Return the file with other attributes."""
    dataset = pydicom.dcmread(io.BytesIO(file))
    fill(dataset, **attributes)
    return written(dataset)


def written(dataset):
    """Return a Dataset as a file."""
    target = io.BytesIO()
    dataset.save_as(target)
    return target.getvalue()


def opened(files, **options):
    """Open files in memory and load them, whatever the warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImagedataWarning)
        return xr.open_dataarray(list(files), engine="dicom", **options).load()


def leading(da):
    """Return the dimensions that number frames, and the hash of the frame in each place."""
    dims = [dim for dim in da.dims if dim not in ("row", "column", "rgb")]
    plane = {dim: 0 for dim in da.dims if dim not in dims}
    return dims, da.frame.broadcast_like(da.isel(plane, drop=True)).transpose(*dims).to_numpy()


def assert_right(da, phantom, shots):
    """Every file is in the array, and every voxel is the phantom's at the same labels."""
    truth = phantom.truth()
    inner = 3 if "rgb" in truth.dims else 2
    values = truth.values.reshape(-1, phantom.shape[0], *truth.values.shape[-inner:])
    dims, places = leading(da)
    by_hash = {frame_hash(shot.uid): shot for shot in shots}
    assert sorted(places.ravel().tolist()) == sorted(by_hash)
    found = np.vectorize(by_hash.get, otypes=[object])(places)
    vectors = {name: np.array(da[name].attrs["direction"]) for name in ("slice", "row", "column")}
    for index, shot in np.ndenumerate(found):
        np.testing.assert_allclose(da.values[index], values[shot.volume, shot.slice], rtol=1e-6)
        at = da.isel(dict(zip(dims, index, strict=True)))
        point = sum(at[name].values.flat[0] * vector for name, vector in vectors.items())
        np.testing.assert_allclose(point, truth.points[shot.slice, 0, 0], atol=1e-5)
        for name in {*dims} & {"te", "ti", "fa", "b"}:
            assert float(at[name]) == shot.values[name]
    volume = np.vectorize(lambda shot: shot.volume)(found)
    assert (volume == volume[..., :1]).all(), "slices of several volumes in one"
    if "time" in dims:
        spent = np.vectorize(lambda shot: float(shot.values["time"]))(found[..., 0])
        spent = np.moveaxis(spent, dims.index("time"), 0).reshape(da.sizes["time"], -1)
        slack = phantom.slice_delay * phantom.shape[0] + 1e-5
        np.testing.assert_allclose(da.time, spent[:, 0] - spent[0, 0], atol=slack)


def right_or_refused(phantom, kept):
    """Open what is kept of a series; return 1 where it opens, which must be right then."""
    try:
        da = opened(file for _, file in kept)
    except SortError:
        return 0
    assert_right(da, phantom, [shot for shot, _ in kept])
    return 1


@pytest.mark.parametrize("name", ALL)
def test_undamaged(name):
    """Nothing is missing: nothing is refused."""
    kept = series(ALL[name])
    random.Random(name).shuffle(kept)
    assert right_or_refused(ALL[name], kept)


@pytest.mark.parametrize("name", {**QUANTITIES, **TIMES})
def test_whole_volumes_missing(name):
    """What remains of complete volumes is right, or refused where it makes no grid."""
    phantom, rng = ALL[name], random.Random(name)
    files, count = series(phantom), len(phantom.volume_values)
    for _ in range(4):
        volumes = rng.sample(range(count), rng.randint(1, count - 1))
        kept = [(shot, file) for shot, file in files if shot.volume in volumes]
        right_or_refused(phantom, kept)


@pytest.mark.parametrize("name", ALL)
def test_some_files_missing(name):
    """A few files of unlike slices are missing: right, or refused, but never filled or shifted."""
    phantom, rng = ALL[name], random.Random(name)
    files = series(phantom)
    for _ in range(8):
        kept = rng.sample(files, len(files) - rng.randint(1, 3))
        counts = np.bincount([shot.slice for shot, _ in kept])
        if phantom in TIMES.values() and len({*counts.tolist()} - {0}) == 1:
            continue
        opens = right_or_refused(phantom, kept)
        assert not opens or len({*counts.tolist()} - {0}) == 1


@pytest.mark.parametrize("name", QUANTITIES)
def test_as_many_of_every_slice(name):
    """Each slice has lost as many files: echoes, directions and components are never mixed."""
    phantom, rng = QUANTITIES[name], random.Random(name)
    files, count = series(phantom), len(phantom.volume_values)
    for trial in range(10):
        left = 1 + trial % (count - 1)
        wanted = {(v, s) for s in range(3) for v in rng.sample(range(count), left)}
        right_or_refused(phantom, [f for f in files if (f[0].volume, f[0].slice) in wanted])


def test_identical_copies():
    """Copies of files are left out with a warning."""
    files = series(DYNAMIC)
    copies = [b"copy" + file[4:] for _, file in files[3:5]]
    with pytest.warns(DuplicateWarning, match="2 identical"):
        da = xr.open_dataarray([*(f for _, f in files), *copies], engine="dicom")
    assert_right(da, DYNAMIC, [shot for shot, _ in files])


@pytest.mark.parametrize(
    "change",
    [
        {"AcquisitionTime": "120000.5"},
        {"EchoTime": "77"},
        {"RescaleSlope": "2", "RescaleIntercept": "0"},
        {"PixelSpacing": ["2", "1.6"]},
        {"ImagePositionPatient": ["1", "2", "3"]},
        {"BitsStored": 12, "HighBit": 11},
    ],
)
def test_one_uid_of_unlike_images(change):
    """One SOP Instance UID with the same pixels, but other values, is no copy."""
    files = [file for _, file in series(DYNAMIC)]
    with pytest.raises(DuplicateFrameError):
        opened([*files, changed(files[4], **change)])


@pytest.mark.parametrize("syntax", ["explicit", "implicit", "big", "deflated", "rle"])
def test_truncation_anywhere(syntax):
    """Wherever a file ends too early, it is refused."""
    phantom = Phantom(shape=(2, 8, 8), transfer_syntax=syntax)
    whole, victim = (file for _, file in series(phantom))
    rng = random.Random(syntax)
    # Of encapsulated pixels, the last eight bytes hold nothing.
    for cut in [132, 200, *rng.sample(range(132, len(victim) - 12), 60)]:
        with pytest.raises(FormatError):
            opened([whole, victim[:cut]])


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"Rows": 3}, FormatError),
        ({"Columns": 4}, FormatError),
        ({"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}, FormatError),
        ({"BitsStored": 17}, FormatError),
        ({"SamplesPerPixel": 3}, FormatError),
        ({"RescaleSlope": None}, FormatError),
        ({"RescaleSlope": "0"}, FormatError),
        ({"RescaleSlope": "1e400"}, FormatError),
        ({"RescaleSlope": ["1", "2"]}, FormatError),
        ({"ImagePositionPatient": ["1e400", "0", "0"]}, FormatError),
        ({"ImagePositionPatient": None}, MultipleStacksError),
        ({"ImageOrientationPatient": ["1", "0", "0", "1", "0", "0"]}, ImagedataError),
        ({"ImageOrientationPatient": ["1", "0", "0", "0", "1", "0.01"]}, MultipleStacksError),
        ({"PixelSpacing": ["2", "1.51"]}, MultipleStacksError),
    ],
)
def test_one_contradictory_header(change, error):
    """One file whose header cannot be true keeps the series from opening."""
    files = [file for _, file in series(Phantom(modality="CT", shape=(4, 4, 5)))]
    with pytest.raises(error):
        opened([changed(files[0], **change), *files[1:]])


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("shift", [0.05, -0.5])
def test_one_frame_beside_its_place(axis, shift):
    """One frame of a dynamic series that lies elsewhere is not put with the others."""
    files = [file for _, file in series(Phantom(axes={"time": [0, 1, 2]}, shape=SMALL))]
    place = [float(n) for n in pydicom.dcmread(io.BytesIO(files[4])).ImagePositionPatient]
    place[axis] += shift
    with pytest.raises(SortError):
        opened([*files[:4], changed(files[4], ImagePositionPatient=place), *files[5:]])


@pytest.mark.parametrize(
    "change",
    [
        {"ImageType": ["ORIGINAL", "PRIMARY", "P", "ND"]},
        {"ImageType": ["DERIVED", "PRIMARY", "ADC"]},
        {"EchoTime": "77"},
    ],
)
def test_one_slice_of_another_kind(change):
    """A slice of a phase image, of a map or of another echo is no part of a volume."""
    files = [file for _, file in series(Phantom(shape=SMALL))]
    with pytest.raises(SortError):
        opened([changed(files[0], **change), *files[1:]])


def test_bytes_changed_in_headers():
    """Frames under their own UIDs keep their pixels, whatever bytes of headers have changed."""
    files, rng = series(DYNAMIC), random.Random(1)
    uids = {frame_hash(shot.uid): (shot.volume, shot.slice) for shot, _ in files}
    truth, counts = DYNAMIC.truth().values, [0, 0]
    for _ in range(300):
        number = rng.randrange(len(files))
        data = bytearray(files[number][1])
        for _ in range(rng.choice([1, 1, 2, 6])):
            data[rng.randrange(132, len(data) - 60)] = rng.randrange(256)
        try:
            da = opened([bytes(data) if k == number else f for k, (_, f) in enumerate(files)])
        except ImagedataError:
            counts[0] += 1
            continue
        counts[1] += 1
        _, places = leading(da)
        assert places.size == len(files)
        for index, frame in np.ndenumerate(places):
            if int(frame) in uids:
                np.testing.assert_array_equal(da.values[index], truth[uids[int(frame)]])
    assert min(counts) > 30


ENHANCED = Phantom(axes={"time": [0, 2.5, 5], "te": [5, 10]}, shape=SMALL, rescale=(2, 10))


def _groups(dataset):
    return dataset.PerFrameFunctionalGroupsSequence


SPOILT = {
    "a group fewer": lambda d: _groups(d).pop(5),
    "a group twice": lambda d: _groups(d).append(_groups(d)[5]),
    "no shared groups": lambda d: delattr(d, "SharedFunctionalGroupsSequence"),
    "a frame more": lambda d: setattr(d, "PixelData", d.PixelData + b"\1" * 40),
    "a frame fewer": lambda d: setattr(d, "PixelData", d.PixelData[:-40]),
    "more frames": lambda d: setattr(d, "NumberOfFrames", "36"),
    "no position": lambda d: delattr(_groups(d)[4], "PlanePositionSequence"),
    "no echo": lambda d: delattr(_groups(d)[4], "MREchoSequence"),
    "no rescale": lambda d: delattr(_groups(d)[4], "PixelValueTransformationSequence"),
    "echo twice": lambda d: setattr(_groups(d)[4].MREchoSequence[0], "EffectiveEchoTime", 5.0),
}


@pytest.mark.parametrize("how", SPOILT)
def test_spoilt_functional_groups(how):
    """Functional groups that are missing or contradict each other are refused."""
    dataset = enhanced(ENHANCED)
    SPOILT[how](dataset)
    with pytest.raises(ImagedataError):
        opened([written(dataset)])


def test_bytes_changed_in_functional_groups():
    """Any bytes of a multi-frame header may change: an array or an error of ours."""
    file, rng = written(enhanced(ENHANCED)), random.Random(2)
    end, counts = len(file) - ENHANCED.truth().values.size * 2, [0, 0]
    for _ in range(120):
        data = bytearray(file)
        for _ in range(rng.choice([1, 1, 3])):
            data[rng.randrange(132, end)] = rng.randrange(256)
        try:
            opened([bytes(data)])
            counts[0] += 1
        except ImagedataError:
            counts[1] += 1
    assert min(counts) > 15


def test_lazy_chunked_pickled_and_threaded():
    """A series without its first time point reads the same in every way."""
    kept = [(shot, file) for shot, file in series(DYNAMIC) if shot.volume]
    files = [file for _, file in kept]
    lazy = xr.open_dataarray(files, engine="dicom")
    assert lazy.time.values.tolist() == [0, 4.75]
    copy = pickle.loads(pickle.dumps(lazy))
    chunked = xr.open_dataarray(files, engine="dicom", chunks={})
    places = [{"time": k % 2, "slice": k % 3} for k in range(60)]
    with ThreadPoolExecutor(6) as threads:
        planes = list(threads.map(lambda place: lazy.isel(place).to_numpy(), places))
    for place, plane in zip(places, planes, strict=True):
        np.testing.assert_array_equal(plane, DYNAMIC.truth().values[1:][tuple(place.values())])
    for da in (lazy, copy, chunked.compute()):
        assert_right(da, DYNAMIC, [shot for shot, _ in kept])


CORPUS = (
    "ct_tilt14",
    "mr_canon_dti_ortho",
    "mr_ge_b0map",
    "mr_philips_dualecho_magphase",
    "mr_siemens_mosaic_ax_asc_35",
    "mr_toshiba_dti_ortho",
    "ct_uneven_gap",
)


@pytest.mark.parametrize("name", CORPUS)
def test_damaged_real_series(name):
    """Truncated, copied and missing files of scanners: the same voxels, or an error of ours."""
    folder = oracle.CORPUS / name / "dicom"
    if not folder.is_dir():
        pytest.skip("no corpus: set IMAGEDATA_XR_CORPUS")
    files = [path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()]
    whole, rng = opened(files), random.Random(name)
    planes = {int(h): whole.values[i] for i, h in np.ndenumerate(leading(whole)[1])}
    for _ in range(4):
        number = rng.randrange(len(files))
        rest = files[:number] + files[number + 1 :]
        cut = rng.randrange(140, len(files[number]) - 200)
        with pytest.raises(FormatError):
            opened([*rest, files[number][:cut]])
        xr.testing.assert_identical(opened([*files, files[number]]), whole)
        try:
            da = opened(rest)
        except ImagedataError:
            continue
        for index, frame in np.ndenumerate(leading(da)[1]):
            np.testing.assert_array_equal(da.values[index], planes[int(frame)])
