"""
Whole series under damage: ``python -m fuzzing.series [--cases N] [--seconds S] [FOLDER ...]``.

Files are removed, cut, emptied, doubled, exchanged, changed in a few bytes or in one attribute, and
strangers are added. Where an array comes out, every frame of an undamaged file must be in it, with
its values, at its place in the patient and under its own labels; else an error must say why not.
"""

from __future__ import annotations

import argparse
import io
import os
import random
import sys
import time
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
import xarray as xr
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from fuzzing.judging import Tally
from fuzzing.mutation import mutated
from fuzzing.seeds import PHANTOMS, files_of
from imagedata_xr.errors import ImagedataError
from imagedata_xr.formats.dicom.headers import read_header
from imagedata_xr.formats.dicom.instance import frames_of as instance_frames
from imagedata_xr.sources import MemoryBytes
from imagedata_xr.testing import Phantom

LARGEST = 4 << 20
MOST_FILES = 200
# A stack may lie so far from the plane through its slices (docs/design/cosines.md).
NEAR = 0.02
LABELS = ("te", "ti", "fa", "b")
EXTRA = [
    Phantom(axes={"time": [0, 2.5, 7.25], "te": [5, 10]}, shape=(3, 4, 5), orientation="oblique"),
    Phantom(axes={"te": [5, 10], "component": ["M", "P"]}, shape=(3, 4, 5), vendor="siemens"),
    Phantom(slices=[0, 3, 7, 9, 20], shape=(5, 4, 5), orientation="sagittal"),
    Phantom(axes={"time": [0, 3, 6, 9]}, shape=(3, 4, 5), slice_delay=0.3, order="interleaved"),
    Phantom(shape=(5, 4, 5), modality="CT", tilt=15),
]
KEYWORDS = [
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SliceThickness",
    "RescaleSlope",
    "EchoTime",
    "RescaleIntercept",
    "AcquisitionTime",
    "AcquisitionDate",
    "ContentTime",
    "InstanceNumber",
    "FlipAngle",
    "Rows",
    "Columns",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "SeriesInstanceUID",
    "SOPInstanceUID",
    "ImageType",
    "AcquisitionNumber",
    "TriggerTime",
    "RepetitionTime",
    "Modality",
    "PatientID",
    "SamplesPerPixel",
]
VALUES = [
    "",
    "0",
    "-1",
    "1.5",
    "1e400",
    "nan",
    "abc",
    "7\\8",
    "1\\0\\0\\0\\1\\0",
    "0\\0\\0",
    "1.2.3",
]


@dataclass
class Place:
    """A frame of the undamaged array: its file, values, first voxel (LPS mm) and labels."""

    file: int
    values: np.ndarray
    point: np.ndarray
    labels: dict[str, float]


@dataclass
class Series:
    """A series and what is true of it."""

    name: str
    files: list[bytes]
    frames: dict[int, Place]


def opened(files):
    """Open files in memory and load them, whatever the warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return xr.open_dataarray(list(files), engine="dicom", progress=False).load()


def frames_of(da):
    """Yield hash, values, first voxel and labels of each frame of an array."""
    inner = [dim for dim in ("row", "column", "rgb") if dim in da.dims]
    lead = [dim for dim in da.dims if dim not in inner]
    hashes = da.frame.broadcast_like(da.isel(dict.fromkeys(inner, 0), drop=True))
    hashes = hashes.transpose(*lead).values if lead else hashes.values
    values = da.transpose(*lead, *inner).values
    labels = {
        name: da[name].broadcast_like(da.isel(dict.fromkeys(inner, 0), drop=True)).transpose(*lead)
        for name in LABELS
        if name in da.coords and da[name].dtype.kind in "iuf" and not {*da[name].dims} & {*inner}
    }
    known = [da.coords[name] for name in ("slice", "row", "column") if name in da.coords]
    axes = [axis for axis in known if "direction" in axis.attrs]
    for index in np.ndindex(hashes.shape):
        point = np.zeros(3)
        for axis in axes:
            at = index[lead.index("slice")] if axis.name == "slice" and "slice" in lead else 0
            point = point + axis.values.reshape(-1)[at] * np.array(axis.attrs["direction"])
        own = {name: float(label.values[index]) for name, label in labels.items()}
        yield int(hashes[index]), values[index], point if len(axes) == 3 else None, own


def read(name, files):
    """Return a series with its truth, None where it does not open undamaged."""
    try:
        da = opened(files)
    except ImagedataError:
        return None
    owner = {}
    for number, file in enumerate(files):
        header = read_header(MemoryBytes("x", file))
        for frame in instance_frames(header) if header is not None else ():
            owner[frame.hash] = number
    frames = {
        number: Place(owner[number], values, point, labels)
        for number, values, point, labels in frames_of(da)
        if number in owner
    }
    return Series(name, files, frames)


KINDS = ("remove", "cut", "empty", "double", "bytes", "bytes", "attribute", "attribute")
KINDS += (*KINDS, "stranger", "exchange", "several")


def damaged(rng, series, strangers):
    """Return files, which of the originals are untouched there, and what was done."""
    files = dict(enumerate(series.files))
    added, done = [], []
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        if files:
            how = rng.choice(KINDS)
            done.append(how)
            added += damage(rng, how, files, strangers)
    touched = {number for number, _ in added}
    order = [*files.values(), *(data for _, data in added)]
    rng.shuffle(order)
    return order, set(files) - touched, done


def damage(rng, how, files, strangers):
    """Take from a series what is damaged; return (number, bytes) of what comes instead."""
    if how == "several":
        for one in rng.sample(list(files), rng.randint(1, max(len(files) // 2, 1))):
            del files[one]
        return []
    number = rng.choice(list(files))
    file = files[number]
    if how == "stranger":
        return [(None, rng.choice(strangers))]
    if how == "double":
        return [(number, file if rng.random() < 0.5 else mutated(rng, file))]
    del files[number]
    if how == "remove" or (how == "exchange" and not files):
        return []
    made = {
        "cut": lambda: file[: rng.randrange(len(file))],
        "empty": lambda: b"",
        "bytes": lambda: mutated(rng, file, strangers),
        "attribute": lambda: changed(rng, file),
        "exchange": lambda: with_pixels(file, rng.choice(list(files.values()))),
    }
    return [(number, made[how]())]


def changed(rng, file):
    """Return a file with another value of one attribute, valid or not."""
    keyword = rng.choice(KEYWORDS)
    tag = Tag(keyword)
    vr = dictionary_VR(tag)
    value = rng.choice(VALUES).encode()
    if vr in ("US", "US or SS"):
        vr, value = "US", rng.choice([0, 1, 3, 7, 12, 17, 255, 65535]).to_bytes(2, "little")
    element = RawDataElement(
        tag, vr, len(value), value, 0, is_implicit_VR=False, is_little_endian=True
    )
    target = io.BytesIO()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = pydicom.dcmread(io.BytesIO(file), force=True)
            if rng.random() < 0.3 and keyword in dataset:
                del dataset[keyword]
            else:
                dataset[tag] = element
            dataset.save_as(target)
    except Exception:
        # pydicom will not write this one.
        return file[: len(file) // 2]
    return target.getvalue()


def with_pixels(file, other):
    """Return a file with the pixels of another, whose header says nothing of it."""
    size = min(len(file), len(other)) // 2
    return file[: len(file) - size] + other[len(other) - size :]


def check(files, untouched, series):
    """Open damaged files; raise AssertionError where the array is not right."""
    da = opened(files)
    found = list(frames_of(da))
    present = Counter(number for number, *_ in found)
    for number, place in series.frames.items():
        if place.file in untouched:
            assert present[number] >= 1, "a frame is missing without a word"
    for number, values, point, labels in found:
        place = series.frames.get(number)
        if place is None or place.file not in untouched:
            continue
        np.testing.assert_array_equal(values, place.values, "a frame has other values")
        if point is not None and place.point is not None:
            assert np.abs(point - place.point).max() < NEAR, f"{point} is not {place.point}"
        for name in {*labels} & {*place.labels}:
            same = np.isclose(labels[name], place.labels[name], rtol=1e-6, equal_nan=True)
            assert same, f"{name}: {labels[name]} is not {place.labels[name]}"
    return True


def corpus():
    """Yield small series of the corpus, as far as there is one."""
    root = Path(os.environ.get("IMAGEDATA_XR_CORPUS", "../shared/corpus"))
    for folder in sorted(root.iterdir()) if root.is_dir() else ():
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        size = sum(path.stat().st_size for path in paths)
        if folder.is_dir() and 0 < size <= LARGEST and len(paths) <= MOST_FILES:
            yield folder.name, [path.read_bytes() for path in paths]


def all_series():
    """Return phantoms and small real series."""
    made = [(f"phantom {k}", files_of(one)) for k, one in enumerate([*PHANTOMS, *EXTRA])]
    found = [read(name, files) for name, files in [*made, *corpus()]]
    return [one for one in found if one is not None]


def campaign(series, *, seed, cases=None, seconds=None):
    """Damage series at random; return the tally."""
    tally, rng = Tally(), random.Random(seed)
    strangers = [one.files[0] for one in series]
    end = time.monotonic() + (seconds or 0)
    while tally.cases < cases if cases else time.monotonic() < end:
        own = rng.randrange(1 << 48)
        case = random.Random(own)
        one = case.choice(series)
        files, untouched, done = damaged(case, one, strangers)

        def judged(_, files=files, untouched=untouched, one=one):
            return check(files, untouched, one)

        place = tally.judge(judged, b"")
        if place is not None:
            print(f"{one.name}, seed {own}, {done}: {place}\n{tally.bugs[place][1]}", flush=True)
    return tally


def main():
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m fuzzing.series", description=__doc__)
    parser.add_argument("--cases", type=int)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    asked = parser.parse_args()
    series = all_series()
    print(f"{len(series)} series: {', '.join(one.name for one in series)}", flush=True)
    tally = campaign(series, seed=asked.seed, cases=asked.cases, seconds=asked.seconds)
    print(
        f"{tally.cases} cases, {tally.opened} opened, {tally.refused} refused, "
        f"{len(tally.bugs)} kinds of bugs"
    )
    return int(bool(tally.bugs))


if __name__ == "__main__":
    sys.exit(main())
