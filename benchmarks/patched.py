"""Series of many files, made quickly: one header, patched where files differ."""

from __future__ import annotations

from pathlib import Path

from series import Workload, first_of

# As wide in each file: headers of one length are patched where they are.
UID, NUMBER, TIME = "2.25.{:030d}", "{:08d}", "{:02d}{:02d}{:02d}.{:06d}"
POSITION = "{:+010.4f}"


def _time(seconds):
    whole = int(seconds)
    parts = whole // 3600, whole // 60 % 60, whole % 60, round((seconds - whole) * 1e6)
    return TIME.format(*parts).encode()


class Patched:
    """
    A dynamic series: its header of 6.6 KB once, and the places in it that differ.

    Parameters
    ----------
    size : int
        Rows and columns.
    """

    def __init__(self, size):
        import io

        dataset = first_of(Workload("MR", 2, 2, size))
        self.marks = {
            "uid": UID.format(10**29).encode(),
            "number": NUMBER.format(10**7).encode(),
            "time": _time(3600 * 12 + 0.125),
            "position": "\\".join(POSITION.format(x) for x in (-118.125, -143.25, 1.5)).encode(),
        }
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = self.marks[
            "uid"
        ].decode()
        dataset.InstanceNumber = self.marks["number"].decode()
        dataset.AcquisitionTime = self.marks["time"].decode()
        dataset.ContentTime = "120000"
        dataset.ImagePositionPatient = self.marks["position"].decode().split("\\")
        dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        del dataset.SliceLocation
        dataset.Rows = dataset.Columns = size
        dataset.PixelData = bytes(2 * size**2)
        file = io.BytesIO()
        dataset.save_as(file, enforce_file_format=True)
        self.data = bytearray(file.getvalue())
        self.pixels = 2 * size**2
        self.places = {name: self._found(mark) for name, mark in self.marks.items()}

    def _found(self, mark):
        places, start = [], 0
        while (start := self.data.find(mark, start)) >= 0:
            places.append(start)
            start += len(mark)
        assert places, mark
        return places

    def file(self, volume, slice_, number, pixels):
        """Return the bytes of one file, which the next call overwrites."""
        texts = {
            "uid": UID.format(10**29 + number).encode(),
            "number": NUMBER.format(number).encode(),
            "time": _time(3600 * 8 + volume * 0.25),
            "position": "\\".join(POSITION.format(x) for x in (-118.125, -143.25, slice_)).encode(),
        }
        for name, text in texts.items():
            assert len(text) == len(self.marks[name])
            for place in self.places[name]:
                self.data[place : place + len(text)] = text
        self.data[-self.pixels :] = pixels
        return self.data


def make_patched(folder, volumes, slices, size):
    """Write a series of so many files."""
    import numpy as np

    folder = Path(folder)
    folder.mkdir(parents=True)
    patched = Patched(size)
    noise = np.random.default_rng(0).integers(0, 4000, size * size + 4096).astype("<u2")
    for number in range(volumes * slices):
        volume, slice_ = divmod(number, slices)
        pixels = noise[number % 4096 :][: size * size].tobytes()
        path = folder / f"image{number:06d}.dcm"
        path.write_bytes(patched.file(volume, slice_, number + 1, pixels))
