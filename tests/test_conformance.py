"""The suites for sources, engines and writers, on the package's own."""

from __future__ import annotations

import dataclasses
import zipfile
from typing import ClassVar

import fsspec
import numpy as np
import pytest

from imagedata_xr.formats.nifti import to_nifti
from imagedata_xr.sources import LocalFile, MemoryBytes, RemoteFile, find_sources
from imagedata_xr.testing import (
    EngineConformance,
    Phantom,
    SourceConformance,
    WriterConformance,
    enhanced,
    write_series,
)

# Sources ---------------------------------------------------------------------------------------


class TestLocalFile(SourceConformance):
    """A file on disk."""

    def make(self, folder, name, data):
        path = folder / name
        path.write_bytes(data)
        return LocalFile(str(path))


class TestMemoryBytes(SourceConformance):
    """Bytes."""

    def make(self, _, name, data):
        return MemoryBytes(name, data)


class TestRemoteFile(SourceConformance):
    """A file behind a URL, whose length nobody has told."""

    LENGTH = False

    @pytest.fixture(autouse=True)
    def _remove(self):
        yield
        memory = fsspec.filesystem("memory")
        if memory.exists("/conformance"):
            memory.rm("/conformance", recursive=True)

    def make(self, _, name, data):
        fsspec.filesystem("memory").pipe(f"/conformance/{name}", data)
        return RemoteFile(f"memory://conformance/{name}", length=len(data) if self.LENGTH else None)


class TestListedRemoteFile(TestRemoteFile):
    """A file behind a URL, whose length the listing knew."""

    LENGTH = True


class TestFileURL(SourceConformance):
    """A file of this computer behind a URL."""

    def make(self, folder, name, data):
        path = folder / name
        path.write_bytes(data)
        return RemoteFile(path.as_uri())


class TestStoredZipMember(SourceConformance):
    """A member of an archive."""

    METHOD = zipfile.ZIP_STORED

    def make(self, folder, name, data):
        path = folder / f"{name}.zip"
        with zipfile.ZipFile(path, "w", self.METHOD) as archive:
            archive.writestr("before", b"other bytes")
            archive.writestr(name, data)
        return next(one for one in find_sources(path) if one.member == name)


class TestDeflatedZipMember(TestStoredZipMember):
    """A compressed member of an archive."""

    METHOD = zipfile.ZIP_DEFLATED
    # half of it shrinks, half does not
    DATA = np.random.default_rng(0).bytes(5_000) + b"image" * 1_001


# The engine ------------------------------------------------------------------------------------


class DicomFolder(EngineConformance):
    """A folder of shuffled files with unhelpful names."""

    ENGINE = "dicom"

    def make(self, folder):
        if not folder.exists() or not any(folder.glob("series*")):
            write_series(self.PHANTOM, folder / "series", shuffle=3)
        return folder / "series"


class TestOblique(DicomFolder):
    """Three dimensions, a double oblique stack."""

    PHANTOM = Phantom(orientation="oblique", dtype="int16", order="interleaved")


class TestDynamic(DicomFolder):
    """Four dimensions, uneven times, each slice at its own time."""

    PHANTOM = Phantom(
        axes={"time": [0, 2.5, 7.25]}, orientation="sagittal", slice_delay=0.2, order="random"
    )


class TestDiffusion(DicomFolder):
    """Directions, which are no grid: a dimension ``volume``."""

    PHANTOM = Phantom(
        volumes=[{"b": 0}, *({"b": 1000, "bvec": v} for v in np.eye(3).tolist()), {"b": 0}],
        orientation="oblique",
        vendor="siemens",
        volume_delay=3,
    )


class TestTiltedCT(DicomFolder):
    """A tilted gantry; integers in HU."""

    PHANTOM = Phantom(modality="CT", tilt=15, shape=(5, 6, 4), dtype="int16")


@pytest.mark.filterwarnings("ignore::imagedata_xr.errors.SpacingWarning")
class TestUneven(DicomFolder):
    """A stack without a matrix."""

    PHANTOM = Phantom(slices=(0, 3, 7, 12))


class TestScaled(DicomFolder):
    """Each frame with its own slope: float32."""

    PHANTOM = Phantom(axes={"te": [5, 10]}, rescale=[(0.5, 0), (1.5, 10), (2.25, -3)])
    RTOL = 1e-6


class TestComponents(DicomFolder):
    """Magnitude and phase of two echoes, compressed: a dimension of texts."""

    PHANTOM = Phantom(axes={"te": [5, 10], "component": ["M", "P"]}, transfer_syntax="rle")

    def truth(self):
        truth = super().truth()
        names = np.array(["magnitude", "phase"])
        return dataclasses.replace(truth, coords={**truth.coords, "component": names})


class TestColour(DicomFolder):
    """Colour with a place in the patient."""

    PHANTOM = Phantom(photometric="RGB", dtype="uint8", orientation="coronal")


class TestCapture(DicomFolder):
    """One picture without a place."""

    PHANTOM = Phantom(modality="SC", shape=(1, 6, 5))


class TestEnhanced(EngineConformance):
    """All frames in one file."""

    ENGINE: ClassVar[str] = "dicom"
    PHANTOM = Phantom(axes={"time": [0, 2.5], "te": [5, 10, 15]}, orientation="oblique")

    def make(self, folder):
        path = folder / "enhanced.dcm"
        if not path.exists():
            folder.mkdir(exist_ok=True)
            enhanced(self.PHANTOM).save_as(path, enforce_file_format=True)
        return path


# Writers ---------------------------------------------------------------------------------------


class TestNifti(WriterConformance):
    """NIfTI, read by nibabel."""

    SUFFIX = ".nii"

    def write(self, image, target, *, overwrite=False):
        pytest.importorskip("nibabel")
        return to_nifti(image, target, overwrite=overwrite)

    def read(self, target):
        import nibabel as nib

        image = nib.load(target)
        values = np.asarray(image.dataobj)
        values = np.moveaxis(values, -1, 0) if values.ndim > 3 else values
        indices = np.moveaxis(np.indices(values.shape[-3:]), 0, -1)
        ras = indices @ image.affine[:3, :3].T + image.affine[:3, 3]
        return values, ras * [-1, -1, 1]


class TestPackedNifti(TestNifti):
    """The same, compressed."""

    SUFFIX = ".nii.gz"


# The suites themselves -------------------------------------------------------------------------


class Eager(TestOblique):
    """Reads all pixels at once."""

    def dataset(self, folder, **options):
        return super().dataset(folder, **options).load()


class Displaced(TestOblique):
    """Puts the image half a millimetre beside its place."""

    def dataset(self, folder, **options):
        found = super().dataset(folder, **options)
        return found.assign_coords(row=found.row + 0.5).med.restore()


class Unindexed(TestOblique):
    """Has the indexes of xarray, which align exactly."""

    def dataset(self, folder, **options):
        found = super().dataset(folder, **options)
        return found.drop_indexes(["slice", "row", "column"]).set_xindex("slice")


class Mirrored(TestOblique):
    """Turns the values and not the coordinates."""

    def dataset(self, folder, **options):
        found = super().dataset(folder, **options)
        return found.copy(data={"image": found.image.values[:, ::-1]})


class Nested(TestOblique):
    """Has an attribute that no file can hold."""

    def dataset(self, folder, **options):
        found = super().dataset(folder, **options)
        return found.assign(image=found.image.assign_attrs(Sequence=[{"a": 1}]))


class Short(TestLocalFile):
    """Takes the length for the end."""

    def make(self, folder, name, data):
        source = super().make(folder, name, data)

        class Wrong(LocalFile):
            def read(self, start=0, length=None):
                return source.read()[start:length]

        return Wrong(source.path)


class Careless(TestNifti):
    """Replaces what exists."""

    def write(self, image, target, *, overwrite=False):
        return to_nifti(image, target, overwrite=overwrite or target.exists())


class Flipping(TestNifti):
    """Writes the rows upside down."""

    def write(self, image, target, *, overwrite=False):
        rows = image.isel(row=slice(None, None, -1)).values
        return to_nifti(image.copy(data=rows), target, overwrite=overwrite)


class Littering(TestNifti):
    """Leaves a piece of a file where it fails."""

    def write(self, image, target, *, overwrite=False):
        target.with_suffix(".part").touch()
        found = to_nifti(image, target, overwrite=overwrite)
        target.with_suffix(".part").unlink()
        return found


@pytest.mark.parametrize(
    ("suite", "test"),
    [
        (Eager, "test_lazy"),
        (Eager, "test_pickle"),
        (Displaced, "test_spatial_coordinates"),
        (Displaced, "test_affine"),
        (Unindexed, "test_indexes"),
        (Mirrored, "test_values"),
        (Nested, "test_attributes_are_plain"),
        (Short, "test_ranges"),
        (Careless, "test_existing_targets_are_kept"),
        (Flipping, "test_values_at_positions"),
        (Littering, "test_failure_leaves_nothing"),
    ],
)
def test_faults_are_found(tmp_path, suite, test):
    """A source, engine or writer with a fault fails the test that is there for it."""
    with pytest.raises((AssertionError, KeyError)):
        getattr(suite(), test)(tmp_path)
