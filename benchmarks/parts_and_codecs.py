"""
One frame, one voxel's time course, one time point, and compressed frames, beside their bare cost.

Prints two tables in Markdown. See README.md in this folder for what is measured, and how.

    python benchmarks/parts_and_codecs.py --frames 1000 10000
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

UID = "1.2.840.10008.1.2."
# Transfer syntax, and bits stored.
SYNTAXES = {
    "JPEG Lossless": (UID + "4.70", 12),
    "JPEG-LS": (UID + "4.80", 12),
    "JPEG 2000": (UID + "4.90", 12),
    "HTJ2K": (UID + "4.201", 16),
    "RLE": (UID + "5", 12),
    "JPEG Baseline": (UID + "4.50", 8),
    "JPEG Extended": (UID + "4.51", 12),
}


def measured(cases, rounds):
    """Return the seconds and the processor seconds of each case, all cases in turn."""
    found = {name: [] for name in cases}
    names = list(cases)
    for number in range(rounds + 1):
        random.Random(number).shuffle(names)
        for name in names:
            start, worked = time.perf_counter(), time.process_time()
            cases[name]()
            taken = time.perf_counter() - start, time.process_time() - worked
            # The first round warms up.
            found[name] += [taken] if number else []
    return {
        name: [statistics.median(one) for one in zip(*f, strict=True)] for name, f in found.items()
    }


# Parts --------------------------------------------------------------------------------------------


def make_parts(count, size, folder):
    """Write a time course of one slice as files, and as one enhanced file."""
    from imagedata_xr.testing import Phantom, enhanced, write_series

    phantom = Phantom(shape=(1, size, size), axes={"time": [float(k) for k in range(count)]})
    write_series(phantom, folder / "files", names="sorted")
    (folder / "enhanced").mkdir()
    enhanced(phantom).save_as(folder / "enhanced" / "a.dcm", enforce_file_format=True)


def bare_parts(places, length):
    """Read some bytes from each place, a file opened once for those that follow each other."""
    found = np.empty(len(places) * length, np.uint8)
    view, opened, descriptor = memoryview(found), None, -1
    for number, (path, start) in enumerate(places):
        if path != opened:
            if opened is not None:
                os.close(descriptor)
            opened, descriptor = path, os.open(path, os.O_RDONLY)
        os.preadv(descriptor, (view[number * length : (number + 1) * length],), start)
    os.close(descriptor)
    return found


def places_of(image):
    """Return path and offset of each frame."""
    from imagedata_xr.lazy import unread_refs

    refs, _ = unread_refs(image.variable)
    return [(ref.source.path, ref.offset) for ref in refs.ravel()]


def asked_of(image, count, size):
    """Return what is asked for: how this library gives it, and how its bytes are read."""
    places, cell, middle = places_of(image), image.dtype.itemsize, size // 2
    voxels = [(path, offset + (middle * size + middle) * cell) for path, offset in places]
    return {
        "one voxel's time course": (
            lambda: image.isel(row=middle, column=middle, slice=0).values,
            lambda: bare_parts(voxels, cell),
        ),
        "one time point": (
            lambda: image.isel(time=count // 2).values,
            lambda: bare_parts(places[count // 2 :][:1], size * size * cell),
        ),
    }


def parts(count, size, rounds, folder):
    """Yield the lines of the table of one series."""
    import xarray as xr

    make_parts(count, size, folder)
    for kind in ("files", "enhanced"):
        image = xr.open_dataarray(folder / kind, engine="dicom", progress=False)
        asked = asked_of(image, count, size)
        for name, (ours, bare) in asked.items():
            np.testing.assert_array_equal(ours().ravel(), bare().view(image.dtype))
            found = measured({"ours": ours, "bare": bare}, rounds)
            (wall, cpu), (least, _) = found["ours"], found["bare"]
            yield (
                f"| {name}, {count} frames, {kind} | {wall * 1e3:.2f} | {cpu * 1e3:.2f} "
                f"| {least * 1e3:.2f} | {(wall - least) * 1e3:.2f} |"
            )


# Compressed ---------------------------------------------------------------------------------------


def encoded(values, name):
    """Return the bytes of a compressed frame."""
    import imagecodecs as ic

    if name == "RLE":
        from pydicom.pixels.encoders import RLELosslessEncoder

        return RLELosslessEncoder.encode(values, **_header(values, "RLE"))
    codecs = {
        "JPEG Lossless": lambda: ic.jpeg8_encode(values, lossless=True, bitspersample=12),
        "JPEG-LS": lambda: ic.jpegls_encode(values),
        "JPEG 2000": lambda: ic.jpeg2k_encode(
            values, level=0, codecformat="j2k", reversible=True, bitspersample=12
        ),
        "HTJ2K": lambda: ic.htj2k_encode(values, reversible=True),
        "JPEG Baseline": lambda: ic.jpeg8_encode(values, level=90),
        "JPEG Extended": lambda: ic.jpeg8_encode(values, level=90, bitspersample=12),
    }
    return codecs[name]()


def _header(values, name):
    return {
        "rows": values.shape[0],
        "columns": values.shape[1],
        "samples_per_pixel": 1,
        "bits_allocated": values.itemsize * 8,
        "bits_stored": SYNTAXES[name][1],
        "pixel_representation": 0,
        "photometric_interpretation": "MONOCHROME2",
        "number_of_frames": 1,
    }


def bare_decoder(name, values):
    """Return the decoder itself: from the bytes of a frame to its pixels."""
    import imagecodecs as ic

    if name == "RLE":
        from rle.utils import decode_frame

        return lambda data: np.frombuffer(
            decode_frame(data, values.size, values.itemsize * 8, "<"), values.dtype
        ).reshape(values.shape)
    if name in {"JPEG Baseline", "JPEG Extended"}:
        from libjpeg.utils import decode_pixel_data

        bits = SYNTAXES[name][1]
        return lambda data: (
            decode_pixel_data(data, version=1, photometric_interpretation="MONOCHROME2")
            .view("u1" if bits == 8 else "u2")
            .reshape(values.shape)
        )
    short = {"JPEG Lossless": "jpeg8", "JPEG-LS": "jpegls"}.get(name, "jpeg2k")
    return getattr(ic, f"{short}_decode")


def make_compressed(name, frames, folder):
    """Write a series of compressed files; return the bytes of their frames."""
    from pydicom.encaps import encapsulate

    from imagedata_xr.testing import Phantom, datasets

    folder.mkdir()
    syntax, bits = SYNTAXES[name]
    kind = "uint8" if bits == 8 else "uint16"
    made = datasets(Phantom(shape=(len(frames), 4, 4), dtype=kind, bits_stored=bits))
    pieces = [encoded(one, name) for one in frames]
    for number, (dataset, piece) in enumerate(zip(made, pieces, strict=True)):
        dataset.Rows, dataset.Columns = frames[0].shape
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.PixelData = encapsulate([piece])
        dataset["PixelData"].VR = "OB"
        dataset["PixelData"].is_undefined_length = True
        dataset.save_as(folder / f"{number:05d}.dcm", enforce_file_format=True)
    return pieces


def noisy_discs(count, size, bits):
    """Return images of a bright disc with noise, each another one."""
    x = np.linspace(-1, 1, size)
    disc = np.where(x**2 + x[:, None] ** 2 < 0.7, 1000.0, 20.0)
    noise = np.random.default_rng(0).normal(0, 12, disc.shape)
    first = (disc + 200 * np.cos(8 * x) + noise).clip(0, 4000) / (16 if bits == 8 else 1)
    return [np.roll(first, k * 7919).astype("u1" if bits == 8 else "u2") for k in range(count)]


def codecs(name, count, size, rounds, folder):
    """Yield the line of one transfer syntax."""
    import xarray as xr

    frames = noisy_discs(count, size, SYNTAXES[name][1])
    pieces = make_compressed(name, frames, folder)
    decode = bare_decoder(name, frames[0])

    def load():
        # rescale=False: what is compared is decoding.
        return xr.open_dataarray(folder, engine="dicom", progress=False, rescale=False).load()

    def opened():
        xr.open_dataarray(folder, engine="dicom", progress=False, rescale=False)

    def bare():
        found = np.empty((count, *frames[0].shape), frames[0].dtype)
        for number, piece in enumerate(pieces):
            found[number] = decode(piece)
        return found

    np.testing.assert_array_equal(np.sort(load().values.ravel()), np.sort(bare().ravel()))
    found = []
    before = os.sched_getaffinity(0)
    for cores in ({min(before)}, before):
        os.sched_setaffinity(0, cores)
        times = measured({"load": load, "open": opened, "bare": bare}, rounds)
        found.append(((times["load"][0] - times["open"][0]) / count, times["bare"][0] / count))
    os.sched_setaffinity(0, before)
    (one, bare_one), (several, _) = found
    yield (
        f"| {name} | {bare_one * 1e3:.2f} | {one * 1e3:.2f} | {one / bare_one:.2f} "
        f"| {several * 1e3:.2f} | {one / several:.2f} |"
    )


def main():
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--frames", type=int, nargs="*", default=[1000], help="of a time course")
    parser.add_argument("--size", type=int, default=64, help="rows and columns of a time course")
    parser.add_argument("--codec", nargs="*", choices=SYNTAXES, default=list(SYNTAXES))
    parser.add_argument("--images", type=int, default=60, help="compressed images")
    parser.add_argument("--image-size", type=int, default=512, help="their rows and columns")
    parser.add_argument("--rounds", type=int, default=9)
    asked = parser.parse_args()
    print(f"- load of the machine before: {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores\n")
    with tempfile.TemporaryDirectory() as root:
        print("| part | ms | CPU ms | bare reads ms | more ms |\n|---|--:|--:|--:|--:|")
        for count in asked.frames:
            for line in parts(count, asked.size, asked.rounds, Path(root, str(count))):
                print(line)
        print(
            f"\n| syntax | bare decoder, ms a frame | ours, one core | ratio "
            f"| ours, {os.cpu_count()} cores | faster |\n|---|--:|--:|--:|--:|--:|"
        )
        for name in asked.codec:
            folder = Path(root, name)
            for line in codecs(name, asked.images, asked.image_size, asked.rounds, folder):
                print(line)


if __name__ == "__main__":
    main()
