"""What is fuzzed: for each reader, its seeds and a check that raises where something is wrong."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from fuzzing import results, seeds
from fuzzing.reference import differences, quiet_read
from imagedata_xr.errors import FormatError, ImagedataError
from imagedata_xr.formats.dicom.headers import read_header
from imagedata_xr.sources import MemoryBytes, find_sources

if TYPE_CHECKING:
    from collections.abc import Callable

# One folder for all cases: it is emptied after each.
FOLDER = tempfile.TemporaryDirectory(prefix="imagedata_xr_fuzzing.")


@dataclass(frozen=True)
class Target:
    """
    One reader.

    Attributes
    ----------
    check : callable
        Takes a case; returns whether something came of it; raises an error of the package's tree
        where the case is refused, and anything else where there is a bug.
    seeds : callable
        Returns cases.
    share : int
        How many cases for one of the slowest.
    """

    check: Callable[[bytes], bool]
    seeds: Callable[[], list[bytes]]
    share: int = 1


def headers(case):
    """The header reader: equal to pydicom, or refused."""
    try:
        header = read_header(MemoryBytes("case.dcm", case))
    except ImagedataError as error:
        if "case.dcm" not in str(error):
            raise AssertionError("the error does not name the file") from error
        raise
    if header is None:
        return False
    for keyword in header.keywords():
        with contextlib.suppress(FormatError):
            header.get(keyword)
    try:
        dataset = quiet_read(io.BytesIO(case), stop_before_pixels=True)
    except Exception:
        return True
    found = list(differences(header, dataset, broken=True))
    assert not found, found
    return True


def loaded(source, **options):
    """Open an image and read all of it; what is opened is complete and can be shown."""
    with xr.open_dataset(source, **options) as dataset:
        image = dataset["image"]
        assert image.size * image.dtype.itemsize < 1 << 30, "a huge image of a small file"
        image.load()
        repr(image)
        assert image.shape == image.values.shape
        for name in ("slice", "row", "column"):
            if name in image.coords and "direction" in image[name].attrs:
                assert np.isfinite(image[name].values).all(), f"{name} is not finite"
                length = np.linalg.norm(image[name].attrs["direction"])
                assert abs(length - 1) < 1e-6, f"the direction of {name} has length {length}"
    return True


def dicom(case):
    """A whole DICOM file: header, geometry, pixels."""
    return loaded([case], engine="dicom")


def csa(case):
    """CSA headers of Siemens; both ways to read them agree."""
    from imagedata_xr.formats.dicom.csa import csa_values, parse_csa

    found = parse_csa(case)
    for name, values in found.items():
        if name.isascii() and name.isprintable() and name:
            with contextlib.suppress(FormatError):
                csa_values(case, name)
        assert all(isinstance(value, str) for value in values)
    return True


def nifti(case):
    """NIfTI headers and voxels."""
    return loaded(case, engine="nifti")


def _with_files(files, first, **options):
    folder = Path(FOLDER.name)
    try:
        for name, data in files.items():
            (folder / name).write_bytes(data)
        return loaded(folder / first, **options)
    finally:
        for path in folder.iterdir():
            path.unlink()


def sidecar(case):
    """JSON beside a NIfTI image."""
    return _with_files({"a.nii": seeds.nifti()[0], "a.json": case}, "a.nii", engine="nifti")


def gradients(case):
    """Gradient tables beside a NIfTI image."""
    b, _, vectors = case.partition(b"|")
    files = {"a.nii": seeds.nifti()[0], "a.bval": b, "a.bvec": vectors}
    return _with_files(files, "a.nii", engine="nifti")


def _suffixed(pairs):
    return [bytes([k]) + data for k, (_, data) in enumerate(pairs)]


def itk(case):
    """Formats of ITK; the first byte of a case chooses one."""
    pairs = seeds.itk()
    suffix = pairs[case[0] % len(pairs)][0] if case else ".mha"
    return _with_files({"a" + suffix: case[1:]}, "a" + suffix, engine="itk")


def mat(case):
    """MAT files."""
    return _with_files({"a.mat": case}, "a.mat", engine="mat", variable="a")


def archive(case):
    """ZIP and tar archives of a series."""
    return loaded(case, engine="dicom")


def expression(case):
    """Expressions of the calculator."""
    from imagedata_xr.cli.expression import evaluate

    image = seeds.image()
    found = evaluate(case.decode("utf-8", "replace"), {"a": image, "b": image + 1})
    assert isinstance(found, xr.DataArray | float | bool | np.generic), type(found)
    return True


def url(case):
    """URLs of servers, and names of local files and archives."""
    from imagedata_xr.transports.core.locator import Locator

    text = case.decode("utf-8", "surrogateescape")
    with contextlib.suppress(ImagedataError):
        found = Locator.parse(text)
        assert Locator.parse(found.url) == found, f"{found.url} means something else"
        str(found)
    # Nothing here may ask a network, or walk over the whole disk.
    os.chdir(FOLDER.name)
    rooted = any(part.partition("://")[2].startswith(("/", "~")) for part in text.split("::"))
    if ".." in text or text.startswith(("/", "~")) or ":/" in text.replace("://", "") or rooted:
        return True
    scheme = text.partition("://")[0].rpartition("::")[2].lower()
    if "://" not in text or scheme in ("memory", "zip", "tar", "file"):
        others = [part for part in text.split("::") if "://" in part]
        if all(part.startswith(("memory:", "zip:", "tar:", "file:")) for part in others):
            find_sources(text)
    return True


def region(case):
    """Regions of interest as GeoJSON."""
    from imagedata_xr.roi import from_file

    path = Path(FOLDER.name, "a.json")
    path.write_bytes(case)
    try:
        from_file(path, like=seeds.image())
    finally:
        path.unlink()
    return True


TARGETS = {
    "headers": Target(headers, lambda: [*seeds.dicom(), *seeds.multiframe()], 10),
    "dicom": Target(dicom, seeds.dicom, 5),
    "multiframe": Target(dicom, seeds.multiframe, 5),
    "csa": Target(csa, seeds.csa, 30),
    "nifti": Target(nifti, seeds.nifti, 5),
    "sidecar": Target(sidecar, seeds.sidecars),
    "gradients": Target(gradients, lambda: [b"0 800|0 1\n0 0\n0 0", b"0\n5|0 0 0\n1 0 0"]),
    "itk": Target(itk, lambda: _suffixed(seeds.itk()), 3),
    "mat": Target(mat, seeds.mat, 5),
    "archive": Target(archive, seeds.archives, 10),
    "expression": Target(expression, lambda: seeds.EXPRESSIONS, 15),
    "url": Target(url, lambda: seeds.URLS, 25),
    "region": Target(region, seeds.regions, 10),
    "sequences": Target(results.sequences, lambda: [*seeds.multiframe(), *seeds.dicom()], 10),
    "back": Target(results.back, lambda: [*seeds.dicom(), *seeds.multiframe()]),
    "tree": Target(results.tree, seeds.dicom),
    "structures": Target(results.structures, results.structure_sets),
    "segments": Target(results.segments, results.masks, 3),
    "anonymous": Target(results.anonymous, seeds.dicom, 3),
}
