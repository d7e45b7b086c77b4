"""
Files that are whole and say what is not true: ``python -m fuzzing.lies [--cases N] [--seconds S]``.

Each case tells one lie in one, some or all files of a series. Voxels of the files that say the truth
must be right, or an error says why there are none. What the lying files give is counted by kind:
an error, a warning, the truth all the same, or another voxel without a word. The last is a bug where
the rest of the file contradicts the lie, and cannot be known where nothing does (`UNKNOWABLE`).
"""

from __future__ import annotations

import argparse
import io
import random
import sys
import time
import warnings
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pydicom
import xarray as xr
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
    generate_uid,
)

from fuzzing.judging import Tally
from fuzzing.series import NEAR, all_series, frames_of
from imagedata_xr.errors import ImagedataWarning

if TYPE_CHECKING:
    from collections.abc import Callable

SYNTAXES = (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
)


def parsed(file: bytes) -> Any:
    """Return a file as a data set that may be changed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pydicom.dcmread(io.BytesIO(file), force=True)


def saved(dataset: Any) -> bytes:
    """Return a data set as a file, values as they are."""
    target = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset.save_as(target)
    return target.getvalue()


def _number(rng: random.Random, value: Any) -> Any:
    """Change one digit of a number: what a flipped bit in a decimal string gives."""
    text = str(value)
    places = [k for k, one in enumerate(text) if one.isdigit()]
    if not places:
        return value
    k = rng.choice(places)
    return text[:k] + rng.choice("0123456789") + text[k + 1 :]


def nudged(keyword: str) -> Callable[[random.Random, Any], None]:
    """Return a lie that changes one digit of one value of an attribute."""

    def lie(rng: random.Random, dataset: Any) -> None:
        if keyword not in dataset or dataset[keyword].is_empty:
            return
        element = dataset[keyword]
        if element.VM > 1:
            values = [str(one) for one in element.value]
            k = rng.randrange(len(values))
            values[k] = _number(rng, values[k])
            element.value = values
        else:
            element.value = _number(rng, element.value)

    return lie


def sizes_swapped(_: random.Random, dataset: Any) -> None:
    """Swap Rows and Columns."""
    dataset.Rows, dataset.Columns = dataset.Columns, dataset.Rows


def sign_lied(_: random.Random, dataset: Any) -> None:
    """Say that pixels have a sign where they have none, and the other way round."""
    dataset.PixelRepresentation = 1 - dataset.PixelRepresentation


def bits_lied(rng: random.Random, dataset: Any) -> None:
    """Say another number of bits."""
    dataset.BitsStored = rng.randint(1, dataset.BitsAllocated)
    dataset.HighBit = dataset.BitsStored - 1


def halved(_: random.Random, dataset: Any) -> None:
    """Say bytes where there are words, and twice as many columns."""
    if dataset.BitsAllocated == 16:
        dataset.BitsAllocated = dataset.BitsStored = 8
        dataset.HighBit, dataset.Columns = 7, dataset.Columns * 2


def frames_lied(rng: random.Random, dataset: Any) -> None:
    """Say another number of frames."""
    dataset.NumberOfFrames = rng.choice([0, 2, 3, 1000])


def inverted(_: random.Random, dataset: Any) -> None:
    """Say that the highest value is black."""
    dataset.PhotometricInterpretation = (
        "MONOCHROME1" if dataset.PhotometricInterpretation == "MONOCHROME2" else "MONOCHROME2"
    )


def mirrored(_: random.Random, dataset: Any) -> None:
    """Turn the direction of the rows round."""
    if "ImageOrientationPatient" in dataset:
        cosines = [-one for one in dataset.ImageOrientationPatient]
        dataset.ImageOrientationPatient = [*cosines[:3], *dataset.ImageOrientationPatient[3:]]


def permuted(_: random.Random, dataset: Any) -> None:
    """Exchange the coordinates of the position."""
    if "ImagePositionPatient" in dataset:
        x, y, z = dataset.ImagePositionPatient
        dataset.ImagePositionPatient = [y, z, x]


def half_step(_: random.Random, dataset: Any) -> None:
    """Move the position by half a voxel of 3 mm."""
    if "ImagePositionPatient" in dataset:
        dataset.ImagePositionPatient = [one + 1.5 for one in dataset.ImagePositionPatient]


def renamed(_: random.Random, dataset: Any) -> None:
    """Give the image to another patient, with the same UIDs."""
    dataset.PatientID, dataset.PatientName = "SOMEBODY", "Else^Somebody"


def renamed_only(_: random.Random, dataset: Any) -> None:
    """Give the image another patient's name under the same ID."""
    dataset.PatientName = "Else^Somebody"


def numbered(_: random.Random, dataset: Any) -> None:
    """Give every image the same Instance Number."""
    dataset.InstanceNumber = 1


def syntax_lied(rng: random.Random, dataset: Any) -> None:
    """Declare another transfer syntax; done in the bytes, see `told`."""


def same_instance(_: random.Random, dataset: Any) -> None:
    """Give all images one SOP Instance UID."""
    dataset.SOPInstanceUID = "1.2.3.4"
    if getattr(dataset, "file_meta", None) is not None:
        dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"


LIES: dict[str, Callable[[random.Random, Any], None]] = {
    "position": nudged("ImagePositionPatient"),
    "cosines": nudged("ImageOrientationPatient"),
    "spacing": nudged("PixelSpacing"),
    "slope": nudged("RescaleSlope"),
    "intercept": nudged("RescaleIntercept"),
    "echo": nudged("EchoTime"),
    "clock": nudged("AcquisitionTime"),
    "trigger": nudged("TriggerTime"),
    "temporal": nudged("TemporalPositionIdentifier"),
    "sizes": sizes_swapped,
    "sign": sign_lied,
    "bits": bits_lied,
    "halved": halved,
    "frames": frames_lied,
    "inverted": inverted,
    "mirrored": mirrored,
    "permuted": permuted,
    "half a step": half_step,
    "patient": renamed,
    "name": renamed_only,
    "numbers": numbered,
    "syntax": syntax_lied,
    "instance": same_instance,
}
# Told by all files at once, or of the one value that nothing else repeats, these are not lies that a
# reader could see: another series might truly say so.
UNKNOWABLE = {
    *("position", "cosines", "spacing", "slope", "intercept", "echo", "clock", "trigger"),
    *("temporal", "sizes", "sign", "bits", "halved", "inverted", "mirrored", "permuted"),
    "half a step",
}
MIXED = ("strangers", "mixed patients", "gap", "pixels")


def told(rng: random.Random, kind: str, file: bytes) -> bytes:
    """Return a file that tells a lie."""
    if kind == "syntax":
        dataset = parsed(file)
        old = str(getattr(dataset, "file_meta", {}).get("TransferSyntaxUID", ""))
        new = rng.choice([one for one in SYNTAXES if one != old])
        at = file.find(old.encode()) if old else -1
        # With the length of the old value, so that only the value changes.
        value = new.encode().ljust(len(old), b"\0")
        return (
            file if at < 0 or len(value) > len(old) else file[:at] + value + file[at + len(old) :]
        )
    dataset = parsed(file)
    LIES[kind](rng, dataset)
    return saved(dataset)


def mixed(rng: random.Random, kind: str, series: Any, others: Any) -> tuple[list[bytes], set[int]]:
    """Return files with those of other series among them, and which of the own are true."""
    files = list(series.files)
    if kind == "gap":
        # Of one volume only, where there are several.
        del files[rng.randrange(len(files))]
        return files, set()
    if kind == "pixels":
        a = rng.sample(range(len(files)), 2)
        one, other = (parsed(files[k]) for k in a)
        one.PixelData, other.PixelData = other.PixelData, one.PixelData
        files[a[0]], files[a[1]] = saved(one), saved(other)
        return files, set(range(len(files))) - set(a)
    first = parsed(files[0])
    added = []
    source = series if kind == "mixed patients" else rng.choice(others)
    for data in source.files:
        dataset = parsed(data)
        dataset.SeriesInstanceUID = first.SeriesInstanceUID
        if kind == "mixed patients":
            dataset.PatientID, dataset.PatientName = "SOMEBODY", "Else^Somebody"
            if rng.random() < 0.5:
                dataset.SOPInstanceUID = generate_uid()
        elif rng.random() < 0.7:
            dataset.PatientID, dataset.PatientName = (
                first.get("PatientID"),
                first.get("PatientName"),
            )
            for keyword in ("StudyInstanceUID", "FrameOfReferenceUID", "PatientPosition"):
                if keyword in first:
                    dataset[keyword] = first[keyword]
        added.append(saved(dataset))
    return files + added, set(range(len(files)))


def damaged(rng: random.Random, series: Any, others: Any) -> tuple[str, list[bytes], set[int]]:
    """Return the kind of a lie, the files, and the numbers of those that say the truth."""
    kind = rng.choice([*LIES, *MIXED])
    if kind in MIXED:
        files, true = mixed(rng, kind, series, others)
    else:
        count = len(series.files)
        liars = set(rng.sample(range(count), rng.choice([1, 1, 1, max(1, count // 2), count])))
        files = [told(rng, kind, f) if k in liars else f for k, f in enumerate(series.files)]
        true = {k for k in range(count) if files[k] == series.files[k]}
        if len(liars) == count and count > 1:
            kind += " in all"
    rng.shuffle(files)
    return kind, files, true


def judge(kind: str, files: list[bytes], true: set[int], series: Any) -> str:
    """Open; return what came of the lie; raise AssertionError where a true file is wrong."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        da = xr.open_dataarray(files, engine="dicom", progress=False).load()
    warned = any(issubclass(one.category, ImagedataWarning) for one in caught)
    seen, wrong = Counter[int](), False
    for number, values, point, labels in frames_of(da):
        place = series.frames.get(number)
        if place is None:
            # Of another series, or under another UID.
            continue
        seen[number] += 1
        same = values.shape == place.values.shape and np.array_equal(values, place.values)
        near = point is None or place.point is None or np.abs(point - place.point).max() < NEAR
        alike = all(
            np.isclose(labels[name], place.labels[name], rtol=1e-6, equal_nan=True)
            for name in {*labels} & {*place.labels}
        )
        if place.file in true:
            assert same, f"{kind}: a frame of a true file has other values"
            assert near, f"{kind}: a frame of a true file is at {point}, not {place.point}"
            assert alike, f"{kind}: a frame of a true file has labels {labels}, not {place.labels}"
        wrong |= not (same and near and alike)
    lost = [n for n, place in series.frames.items() if place.file in true and not seen[n]]
    assert not lost or warned, f"{kind}: {len(lost)} frames of true files are gone without a word"
    if warned:
        return "warned"
    known = kind.removesuffix(" in all") in UNKNOWABLE or kind in ("pixels", "gap")
    assert known or not wrong, f"{kind}: a lie was believed"
    return "believed" if wrong else "as it was"


def campaign(
    series: Any, *, seed: int, cases: int | None = None, seconds: float = 0
) -> tuple[Tally, dict[str, Counter[str]]]:
    """Tell lies at random; return the tally, and what came of each kind."""
    tally, rng, kinds = Tally(), random.Random(seed), dict[str, Counter[str]]()
    end = time.monotonic() + seconds
    plain = [one for one in series if len(one.files) > 1]
    while tally.cases < cases if cases else time.monotonic() < end:
        own = rng.randrange(1 << 48)
        case = random.Random(own)
        one = case.choice(plain)
        try:
            kind, files, true = damaged(case, one, [other for other in plain if other is not one])
        except Exception as error:  # pydicom will not write this one
            kinds.setdefault("not told", Counter())[type(error).__name__] += 1
            tally.cases += 1
            continue
        found: list[str] = []

        def check(_, kind=kind, files=files, true=true, one=one, found=found):
            found.append(judge(kind, files, true, one))
            return True

        refused = tally.refused
        place = tally.judge(check, b"")
        what = "refused" if tally.refused > refused else (found or ["bug"])[0]
        kinds.setdefault(kind, Counter())[what] += 1
        if place is not None:
            print(f"{one.name}, seed {own}, {kind}: {place}\n{tally.bugs[place][1]}", flush=True)
        elif what == "bug":
            print(f"{one.name}, seed {own}, {kind}: again", flush=True)
    return tally, kinds


def main() -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m fuzzing.lies", description=__doc__)
    parser.add_argument("--cases", type=int)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    asked = parser.parse_args()
    series = all_series()
    tally, kinds = campaign(series, seed=asked.seed, cases=asked.cases, seconds=asked.seconds)
    for kind, counts in sorted(kinds.items()):
        print(f"{kind}: {', '.join(f'{n} {what}' for what, n in counts.most_common())}")
    print(f"{tally.cases} cases, {tally.refused} refused, {len(tally.bugs)} kinds of bugs")
    return int(bool(tally.bugs))


if __name__ == "__main__":
    sys.exit(main())
