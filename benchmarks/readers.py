"""The cases: from a folder to an array, or to None. Each imports what it needs itself."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

PROGRAMS = []  # what other programs used
ALL = ("MR", "CT", "PT")


@dataclass(frozen=True)
class Case:
    """
    One way to open or to load.

    Attributes
    ----------
    name : str
    run : callable
        From a folder to an array, or to None.
    needs : str or None
        A package or program that need not be installed.
    series : tuple of str
        Names of the workloads that it can read.
    exact : bool
        Whether it gives the true values: all that do must agree.
    """

    name: str
    run: Callable
    needs: str | None = None
    series: tuple[str, ...] = ALL
    exact: bool = True


def _paths(folder):
    return sorted(Path(folder).iterdir())


def _dcm2niix():
    beside = Path(sys.executable).with_name("dcm2niix")
    return str(beside) if beside.exists() else shutil.which("dcm2niix")


def installed(needs):
    """Whether a peer is there."""
    if needs == "dcm2niix":
        return _dcm2niix() is not None
    return needs is None or importlib.util.find_spec(needs) is not None


def version_of(name):
    """Return the version of a peer."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "(version not known)"


def _program(*command):
    """Run another program, and keep what it used."""
    with tempfile.TemporaryFile() as output:
        started = subprocess.Popen(command, stdout=output, stderr=output)
        _, status, usage = os.wait4(started.pid, 0)
        started.returncode = os.waitstatus_to_exitcode(status)
    assert started.returncode == 0, command
    PROGRAMS.append(usage)


# Open ---------------------------------------------------------------------------------------------


def read_starts(folder):
    """Read the first 16 KB of each file: no scan is faster."""
    for path in _paths(folder):
        descriptor = os.open(path, os.O_RDONLY)
        os.read(descriptor, 16384)
        os.close(descriptor)


def ours_open(folder):
    """Sorted into dimensions, with coordinates and attributes; no pixels."""
    import xarray as xr

    xr.open_dataarray(folder, engine="dicom", progress=False)


def pydicom_headers(folder):
    """All headers, in the order of the files."""
    from pydicom import dcmread

    kept = [dcmread(path, stop_before_pixels=True) for path in _paths(folder)]
    assert kept


def sitk_names(folder):
    """GDCM's list of the files of the series, sorted by position."""
    import SimpleITK as sitk  # noqa: N813

    assert sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))


def dcm2niix_scan(folder):
    """A list of the series (``-n -1``), by another process."""
    _program(_dcm2niix(), "-n", "-1", folder)


def dicomsdl_headers(folder):
    """All headers up to the pixels, and five values of each; in the order of the files."""
    import dicomsdl

    wanted = (
        "SeriesInstanceUID",
        "SOPInstanceUID",
        "InstanceNumber",
        "ImagePositionPatient",
        "ImageOrientationPatient",
    )
    kept = []
    for path in _paths(folder):
        dataset = dicomsdl.open_file(str(path), 0x7FE00000)
        kept.append(tuple(dataset[name] for name in wanted))
    assert kept


def imagedata_headers(folder):
    """A Series without pixels (``headers_only``)."""
    _imagedata(folder, headers_only=True)


# Load ---------------------------------------------------------------------------------------------


def read_all(folder):
    """Read all bytes of each file, and keep them: no load is faster."""
    kept = [path.read_bytes() for path in _paths(folder)]
    assert kept


def ours_load(folder):
    """Sorted, labelled, and all pixels in one array of the true values."""
    import xarray as xr

    return xr.open_dataarray(folder, engine="dicom", progress=False).load().values


def pydicom_pixels(folder):
    """All headers and pixels, in the order of the files."""
    import numpy as np
    from pydicom import dcmread

    def values(path):
        dataset = dcmread(path)
        slope = float(dataset.get("RescaleSlope", 1))
        intercept = float(dataset.get("RescaleIntercept", 0))
        if slope.is_integer() and intercept.is_integer():
            return dataset.pixel_array.astype(np.int32) * int(slope) + int(intercept)
        return (dataset.pixel_array * np.float32(slope)) + np.float32(intercept)

    return np.stack([values(path) for path in _paths(folder)])


def sitk_load(folder):
    """One volume of all files, in the order of the files."""
    import SimpleITK as sitk  # noqa: N813

    reader = sitk.ImageSeriesReader()
    reader.SetFileNames([str(path) for path in _paths(folder)])
    return sitk.GetArrayFromImage(reader.Execute())


def dcm2niix_convert(folder):
    """A NIfTI file that is not compressed, written by another process."""
    with tempfile.TemporaryDirectory(dir=Path(folder).parent) as target:
        _program(_dcm2niix(), "-z", "n", "-b", "y", "-o", target, folder)
        assert list(Path(target).glob("*.nii"))


def dicomsdl_pixels(folder):
    """All pixels, rescaled where they have to be, in the order of the files."""
    import dicomsdl
    import numpy as np

    frames = []
    for path in _paths(folder):
        dataset = dicomsdl.open_file(str(path))
        plain = dataset.RescaleSlope in (None, 1.0) and not dataset.RescaleIntercept
        frames.append(dataset.pixelData(storedvalue=plain))
    return np.stack(frames)


def imagedata_load(folder):
    """A Series with its pixels."""
    return _imagedata(folder)


def _imagedata(folder, **options):
    """Return a Series: of its time points where the folder is a dynamic one."""
    from imagedata import Series

    order = "time" if Path(folder).name.startswith("MR") else "none"
    return Series(str(folder), order, input_format="dicom", **options)


def highdicom_volume(folder):
    """A Volume: sorted, with its geometry."""
    import highdicom
    import numpy as np
    from pydicom import dcmread

    datasets = [dcmread(path) for path in _paths(folder)]
    return highdicom.get_volume_from_series(datasets, dtype=np.float32).array


OURS = {"open": "imagedata_xr: open", "load": "imagedata_xr: open and load"}
CASES = {
    "open": (
        Case("read the first 16 KB", read_starts),
        Case(OURS["open"], ours_open),
        Case("dicomsdl: headers, five values", dicomsdl_headers, "dicomsdl"),
        Case("dcm2niix: list of the series", dcm2niix_scan, "dcm2niix"),
        Case("SimpleITK: names of the series", sitk_names, "SimpleITK"),
        Case("pydicom: dcmread without pixels", pydicom_headers),
        Case("imagedata: Series, headers_only", imagedata_headers, "imagedata"),
    ),
    "load": (
        Case("read all bytes", read_all),
        Case(OURS["load"], ours_load),
        Case("dicomsdl: pixelData", dicomsdl_pixels, "dicomsdl"),
        Case("dcm2niix: convert to .nii", dcm2niix_convert, "dcm2niix"),
        Case("SimpleITK: ImageSeriesReader", sitk_load, "SimpleITK"),
        Case("pydicom: dcmread and pixel_array", pydicom_pixels),
        Case("imagedata: Series", imagedata_load, "imagedata"),
        # Its volumes have three dimensions.
        Case("highdicom: Volume", highdicom_volume, "highdicom", ("CT", "PT")),
    ),
}
PEERS = ("dicomsdl", "dcm2niix", "SimpleITK", "imagedata", "highdicom")
