"""What is written for ITK: SimpleITK finds every voxel at its place, and our engine all names."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from nifti_images import PLANES
from nifti_images import image as labelled

import imagedata_xr
from imagedata_xr.errors import GeometryError, ImagedataError, OptionError, WriteError
from imagedata_xr.testing import Phantom, write_series

sitk = pytest.importorskip("SimpleITK")

AXES = {
    "3-D": {},
    "4-D": {"time": [0, 2.5, 5]},
    "5-D": {"time": [0, 2.5, 5], "te": [10, 20]},
}


def image(orientation="oblique", axes="3-D", flips=()):
    found = imagedata_xr.Med(labelled(PLANES[orientation], AXES[axes])).restore()
    return found.isel({name: slice(None, None, -1) for name in flips})


def assert_same(ours, source):
    """Compare values and places voxel by voxel; the axes may run the other way."""
    difference = ours.astype(float) - source.astype(float)
    assert difference.sizes == source.sizes
    assert float(abs(difference).max()) == 0
    np.testing.assert_allclose(ours.med.affine, source.med.affine, atol=1e-6)


@pytest.mark.parametrize("flips", [(), ("slice",), ("row",), ("column",)], ids=str)
@pytest.mark.parametrize("orientation", PLANES)
@pytest.mark.parametrize(
    ("suffix", "axes"),
    [(".mha", "3-D"), (".mhd", "4-D"), (".mha", "5-D"), (".nrrd", "4-D"), (".nhdr", "3-D")],
)
def test_files_keep_everything(tmp_path, suffix, axes, orientation, flips):
    """Places, values, names and labels of the axes come back, also from left-handed axes."""
    source = image(orientation, axes, flips)
    path = imagedata_xr.to_itk(source, tmp_path / f"image{suffix}")
    back = xr.open_dataarray(path, engine="itk")
    assert back.dims == source.dims
    assert_same(back, source)
    for name in AXES[axes]:
        np.testing.assert_array_equal(back[name], source[name])
        assert back[name].attrs["units"] == source[name].attrs["units"]


@pytest.mark.parametrize("orientation", PLANES)
def test_simpleitk_finds_each_voxel(tmp_path, orientation):
    """SimpleITK's own arithmetic puts every corner where the coordinates say."""
    source = image(orientation, flips=("row",))
    there = sitk.ReadImage(str(imagedata_xr.to_itk(source, tmp_path / "image.mha")))
    assert np.linalg.det(np.reshape(there.GetDirection(), (3, 3))) != 0
    for index in np.ndindex(2, 2, 2):
        k, j, i = (n * (size - 1) for n, size in zip(index, source.shape, strict=True))
        point = there.TransformIndexToPhysicalPoint((i, j, k))
        np.testing.assert_allclose(point, source.med.index_to_world((k, j, i)), atol=1e-9)
        assert there[i, j, k] == source.values[k, j, i]


@pytest.mark.parametrize("axes", AXES)
def test_objects_there_and_back(axes):
    """to_sitk and from_sitk are inverse, names of axes and labels included."""
    source = image("oblique", axes)
    there = source.med.to_sitk()
    assert there.GetSize()[:3] == source.shape[:-4:-1]
    back = imagedata_xr.from_sitk(there)
    assert back.dims == source.dims
    assert_same(back, source)


def test_foreign_object():
    """Of an image made elsewhere, the directions are taken, and names can be given."""
    there = sitk.GetImageFromArray(np.arange(120, dtype="i2").reshape(2, 3, 4, 5))
    there.SetSpacing((2, 3, 4, 1))
    there.SetOrigin((10, 20, 30, 0))
    found = imagedata_xr.from_sitk(there, dims=["te"])
    assert found.dims == ("te", "slice", "row", "column")
    np.testing.assert_allclose(found.med.origin, (10, 20, 30))
    np.testing.assert_allclose(found.med.spacing, (4, 3, 2))
    with pytest.raises(OptionError, match="SimpleITK"):
        imagedata_xr.from_sitk("image.mha")


def test_dicom_to_itk_to_dicom(tmp_path):
    """Through MetaImage and back to DICOM: values and places of the source series."""
    phantom = Phantom(axes={"b": [0, 400, 800]}, orientation=(20, -10, 15))
    write_series(phantom, tmp_path / "dicom")
    source = xr.open_dataarray(tmp_path / "dicom", engine="dicom")
    path = source.med.to_itk(tmp_path / "image.mha")
    through = xr.open_dataarray(path, engine="itk")
    through.med.to_dicom(tmp_path / "again", template=tmp_path / "dicom")
    again = xr.open_dataarray(tmp_path / "again", engine="dicom")
    assert_same(again, source)
    np.testing.assert_array_equal(again.b, source.b)
    assert again.attrs["PatientID"] == source.attrs["PatientID"]


@pytest.mark.parametrize("suffix", [".vtk", ".gipl"])
def test_formats_without_directions(tmp_path, suffix):
    """A turned image is an error that names the remedy; an upright one is read back in place."""
    with pytest.raises(GeometryError, match="no direction"):
        imagedata_xr.to_itk(image("oblique"), tmp_path / f"a{suffix}")
    source = image("axial")
    there = sitk.ReadImage(str(imagedata_xr.to_itk(source, tmp_path / f"b{suffix}")))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(there), source.values)
    np.testing.assert_allclose(there.GetOrigin(), source.med.origin, atol=1e-4)
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"b{suffix}"]


def test_formats_that_lack_axes(tmp_path):
    """What a format has no place for is an error, never left out."""
    for suffix in (".vtk", ".gipl"):
        with pytest.raises(WriteError, match="no place for the axes"):
            imagedata_xr.to_itk(image("axial", "4-D"), tmp_path / f"a{suffix}")
    with pytest.raises(WriteError, match="one axis of components"):
        imagedata_xr.to_itk(image("axial", "5-D"), tmp_path / "a.nrrd")
    with pytest.raises(GeometryError, match="no place for the coordinates"):
        imagedata_xr.to_itk(image("axial"), tmp_path / "a.tif")
    with pytest.raises(WriteError, match="float64"):
        imagedata_xr.to_itk(
            image("axial").astype(float).isel(slice=0), tmp_path / "a.png", force=True
        )
    with pytest.raises(OptionError, match=r"\.mha"):
        imagedata_xr.to_itk(image("axial"), tmp_path / "a.bmp")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_stack_of_pictures(tmp_path, suffix):
    """A folder of numbered pictures is a stack in the order of the numbers, without a place."""
    source = image("axial").isel(slice=[0, 1, 2] * 4).astype("u1")
    for k in range(12):
        one = source.isel(slice=k).drop_vars(["slice", "row", "column"])
        imagedata_xr.to_itk(one, tmp_path / f"slice{k}{suffix}")
    found = xr.open_dataarray(tmp_path, engine="itk")
    np.testing.assert_array_equal(found.values, source.values)
    with pytest.raises(GeometryError):
        _ = found.med.affine
    one = source.isel(slice=0, row=slice(3)).drop_vars(["slice", "row", "column"])
    imagedata_xr.to_itk(one, tmp_path / f"slice12{suffix}")
    with pytest.raises(ImagedataError, match="slice12"):
        xr.open_dataarray(tmp_path, engine="itk").load()


def test_detached_voxels(tmp_path):
    """Header and voxels are two files, replaced together and only on request."""
    source = image("oblique", "4-D")
    path = imagedata_xr.to_itk(source, tmp_path / "image.mhd")
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".mhd", ".raw"]
    with pytest.raises(WriteError, match="exists"):
        imagedata_xr.to_itk(source + 1, path)
    assert_same(xr.open_dataarray(path, engine="itk"), source)
    imagedata_xr.to_itk(source + 1, path, overwrite=True, compress=True)
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".mhd", ".zraw"]
    assert_same(xr.open_dataarray(path, engine="itk"), source + 1)


@pytest.mark.parametrize("suffix", [".mha", ".nrrd"])
@pytest.mark.parametrize("colour", [False, True])
def test_parts_are_the_whole(tmp_path, suffix, colour):
    """Any part of a lazily opened file equals that part of the whole."""
    source = image("oblique")
    if colour:
        source = (source % 251).astype("u1").expand_dims(rgb=["R", "G", "B"], axis=-1)
        source = source * xr.DataArray(np.array([1, 0, 1], "u1"), dims="rgb")
    lazy = xr.open_dataarray(imagedata_xr.to_itk(source, tmp_path / f"a{suffix}"), engine="itk")
    for part in (
        {"slice": 2},
        {"row": slice(1, 4), "column": [0, 3]},
        {"slice": slice(None, None, -2)},
    ):
        np.testing.assert_array_equal(lazy.isel(part).values, source.isel(part).values)
