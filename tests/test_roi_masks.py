"""Outlines to masks and back, against independent rasterisation."""

from __future__ import annotations

import dataclasses
import pickle

import numpy as np
import pydicom
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from roi_images import image, polygon, star

from imagedata_xr import roi
from imagedata_xr.errors import DataWarning, GeometryError, OptionError
from imagedata_xr.roi import Contour, Roi
from imagedata_xr.testing import Phantom, strategies, write_series

pytest.importorskip("contourpy")


def stars(affine, seed=0, slices=(1, 2, 4)):
    """Return a region with random polygons, and their corners in pixels."""
    rng = np.random.default_rng(seed)
    corners = {k: star(rng, (11.3, 9.1), 8.5, 17) for k in slices}
    contours = tuple(Contour(polygon(affine, k, *one)) for k, one in corners.items())
    return Roi(name="star", contours=contours, thickness=3.0), corners


@pytest.mark.parametrize("orientation", ["axial", "sagittal", "coronal", "oblique", (40, 25, -70)])
def test_same_voxels_as_matplotlib(orientation):
    """In any plane, the pixels are those whose centres matplotlib finds within the polygon."""
    path = pytest.importorskip("matplotlib.path")
    like, affine = image(orientation=orientation)
    for seed in range(5):
        region, corners = stars(affine, seed)
        expected = np.zeros(like.shape, dtype=bool)
        centres = np.indices(like.shape[1:]).reshape(2, -1).T
        for k, (rows, columns) in corners.items():
            within = path.Path(np.column_stack([rows, columns])).contains_points(centres)
            expected[k] = within.reshape(like.shape[1:])
        found = roi.mask(region, like)
        np.testing.assert_array_equal(found.values, expected)
        assert found.dtype == bool
        assert found.any("row").any("column").values.tolist() == [False, True, True, False, True]


def test_holes():
    """Contours in one plane combine by even-odd: the inner one is a hole."""
    path = pytest.importorskip("matplotlib.path")
    like, affine = image()
    rng = np.random.default_rng(3)
    outer, inner = star(rng, (11.2, 10.3), 9.7, 40), star(rng, (11.2, 10.3), 2.5, 9)
    both = tuple(Contour(polygon(affine, 2, *one)) for one in (outer, inner))
    expected = np.zeros(like.shape, dtype=bool)
    centres = np.indices(like.shape[1:]).reshape(2, -1).T
    for one in (outer, inner):
        within = path.Path(np.column_stack(one)).contains_points(centres)
        expected[2] ^= within.reshape(like.shape[1:])
    np.testing.assert_array_equal(roi.mask(Roi(name="ring", contours=both), like), expected)


ANY_PART = [
    {"slice": slice(1, 4), "row": slice(3, 15), "column": slice(2, 19)},
    {"slice": slice(None, None, -1)},
    {"row": slice(None, None, -1), "column": slice(None, None, -1)},
    {"slice": slice(None, None, 2), "row": slice(None, None, 2), "column": slice(1, None, 3)},
    {"slice": 2},
    {"row": 10},
    {"column": 8},
    {"slice": [1]},
    {"slice": [3]},
]


@pytest.mark.parametrize("part", ANY_PART, ids=str)
def test_a_part_of_the_image_has_that_part_of_the_mask(part):
    """Cropped, flipped, sub-sampled, one slice of any plane: the mask is where it was."""
    like, affine = image()
    region, _ = stars(affine)
    whole = roi.mask(region, like)
    found = roi.mask(region, like.isel(part))
    xr.testing.assert_identical(found, whole.isel(part))
    assert float((like.isel(part) + 1).where(found).count()) == float(found.sum())


def test_transposed():
    """The order of the dimensions is that of the image."""
    like, affine = image()
    region, _ = stars(affine)
    turned = like.transpose("column", "slice", "row")
    xr.testing.assert_identical(
        roi.mask(region, turned), roi.mask(region, like).transpose(*turned.dims)
    )


def test_drawn_on_other_planes():
    """Outlines along rows or along columns of the grid are masks across them."""
    like, _ = image()
    for name, other, third in [("row", "slice", "column"), ("column", "slice", "row")]:
        at = {name: float(like[name][7]), other: like[other][[0, 3]].values}
        at[third] = like[third][[2, 9]].values
        found = roi.mask(Roi(name="box", contours=(roi.rectangle(like, **at),)), like)
        expected = xr.zeros_like(like, dtype=bool)
        rising = {n: like[n].values[-1] > like[n].values[0] for n in (other, third)}
        places = {
            other: slice(0, 3) if rising[other] else slice(1, 4),
            third: slice(2, 9) if rising[third] else slice(3, 10),
        }
        expected[{name: 7, **places}] = True
        np.testing.assert_array_equal(found.values, expected.values)


def test_neighbours_tile():
    """Of regions that share edges, even through pixel centres, each voxel is in exactly one."""
    like, affine = image()
    cuts = [(0, 0), (0, 19), (23, 19), (23, 0)]
    for centre in [(11, 9), (11.5, 9.25), (4, 17)]:
        count = np.zeros(like.shape, dtype=int)
        for one, two in zip(cuts, [*cuts[1:], cuts[0]], strict=True):
            corners = np.array([centre, one, two], dtype=float)
            contour = Contour(polygon(affine, 1, corners[:, 0], corners[:, 1]))
            count += roi.mask(Roi(name="part", contours=(contour,)), like).values
        assert count[1].max() == 1
        assert count.sum() == 23 * 19  # half-open: one row and one column of the border are out


def test_square_on_pixel_centres():
    """A square of 4 x 4 pixel steps holds 16 pixels, not 9, 20 or 25, on an oblique grid too."""
    like, affine = image()
    square = Contour(polygon(affine, 3, [2, 2, 6, 6], [5, 9, 9, 5]))
    assert int(roi.mask(Roi(name="square", contours=(square,)), like).sum()) == 16


def test_other_slices():
    """A thickness makes a slab on finer slices, and none of slices that were not drawn on."""
    coarse, affine = image(shape=(5, 24, 20), spacing=(3.0, 1.5, 0.8))
    region, corners = stars(affine, slices=(1, 2))
    start = affine[:3, :3] @ [-1 / 3, 0, 0] + affine[:3, 3]
    fine, _ = image(shape=(15, 24, 20), spacing=(1.0, 1.5, 0.8), origin=start)
    found = roi.mask(region, fine)
    whole = roi.mask(region, coarse)
    np.testing.assert_array_equal(found.values, np.repeat(whole.values, 3, axis=0))
    assert set(corners) == {1, 2}
    only_second = roi.mask(dataclasses.replace(region, contours=region.contours[:1]), coarse[::2])
    assert not only_second.any()


def test_without_thickness_the_nearest_slice():
    """An outline that stands for no known slab is on the one slice nearest to it."""
    like, affine = image()
    near = dataclasses.replace(stars(affine, slices=(1.3,))[0], thickness=None)
    assert roi.mask(near, like).any(["row", "column"]).values.tolist() == [0, 1, 0, 0, 0]
    beyond = dataclasses.replace(stars(affine, slices=(-0.7,))[0], thickness=None)
    assert not roi.mask(beyond, like).any()


def test_on_a_grid_turned_against_the_outlines():
    """A ball drawn on axial slices is a ball on an oblique grid, voxel by voxel of known place."""
    axial, affine = image((40, 40, 40), (1.0, 1.0, 1.0), "axial", (-20, -20, -20))
    contours = []
    for z in range(-9, 10):
        far = np.sqrt(81.5 - z * z)
        angle = np.linspace(0, 2 * np.pi, 200, endpoint=False)
        circle = [20 + far * np.sin(angle), 20 + far * np.cos(angle)]
        contours.append(Contour(polygon(affine, 20 + z, *circle)))
    ball = Roi(name="ball", contours=tuple(contours), thickness=1.0)
    turned, matrix = image((30, 34, 36), (1.1, 0.9, 0.8), (30, 20, 45), (-2, -25, -4))
    found = roi.mask(ball, turned).values
    indices = np.indices(turned.shape).reshape(3, -1)
    places = matrix[:3, :3] @ indices + matrix[:3, 3:]
    distance = np.linalg.norm(places, axis=0).reshape(turned.shape)
    assert found[distance < 8.4].all()
    assert not found[distance > 9.8].any()
    # exactly: each voxel by the circle of the plane that is nearest to it
    z = np.round(places[2])
    exact = (np.abs(z) <= 9) & (places[0] ** 2 + places[1] ** 2 < 81.5 - np.clip(z, -9, 9) ** 2)
    assert np.count_nonzero(exact.reshape(turned.shape) != found) <= 0.002 * found.sum()
    assert roi.mask(ball, axial).sum() > 0


def test_gantry_tilt_and_uneven_slices():
    """Slices of a tilted or uneven stack carry their own outlines."""
    from imagedata_xr.geometry import stack_grid
    from imagedata_xr.index import position_coords

    tilt = np.array([0.0, 0.6, 2.0])
    positions = np.array([0, 1, 2, 4])[:, None] * tilt + [5, -3, 9]
    grid, _ = stack_grid(positions, [1, 0, 0, 0, 1, 0], [0.7, 0.9], (12, 10))
    like = xr.DataArray(
        np.zeros((4, 12, 10)), coords=position_coords(grid), dims=("slice", "row", "column")
    )
    expected = np.zeros(like.shape, dtype=bool)
    contours = []
    for k, place in enumerate(positions):
        corner = np.add([(2.5, 1.5), (2.5, 6.5), (8.5, 6.5), (8.5, 1.5)], [k * 0.5, k])
        contours.append(Contour(place + np.column_stack([corner * [0.9, 0.7], np.zeros(4)])))
        rows, columns = np.indices((12, 10))
        x, y = columns * 0.9, rows * 0.7
        low, high = corner.min(axis=0) * [0.9, 0.7], corner.max(axis=0) * [0.9, 0.7]
        expected[k] = (x >= low[0]) & (x < high[0]) & (y >= low[1]) & (y < high[1])
    for thickness in (None, 1.0, 2.0):
        found = roi.mask(Roi(name="tilted", contours=tuple(contours), thickness=thickness), like)
        np.testing.assert_array_equal(found.values, expected)
    back = roi.mask(roi.outlines(found)[0], like)
    np.testing.assert_array_equal(back.values, expected)


blobs = hnp.arrays(bool, hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=7))


@settings(max_examples=60, deadline=None)
@given(
    values=blobs,
    orientation=strategies.orientations(),
    spacing=strategies.spacings(),
    plane=st.sampled_from(["slice", "row", "column"]),
    flips=st.tuples(*[st.booleans()] * 3),
)
def test_mask_to_outlines_to_mask_is_the_identity(values, orientation, spacing, plane, flips):
    """Any mask, with holes, separate and diagonal parts, in any plane, comes back as it was."""
    like, _ = image(values.shape, spacing, orientation)
    like = like.isel(
        {n: slice(None, None, -1 if f else 1) for n, f in zip(like.dims, flips, strict=True)}
    )
    found = like.copy(data=values).rename("mask")
    made = roi.outlines(found, plane=plane)
    assert len(made) == bool(values.any())
    for one in made:
        back = roi.mask(one, like)
        xr.testing.assert_identical(back, found)


@settings(max_examples=25, deadline=None)
@given(values=hnp.arrays(np.uint8, (2, 6, 5), elements=st.integers(0, 3)))
def test_label_map_there_and_back(values):
    """Labels keep numbers, names and colours, and tile without a gap or a double voxel."""
    like, _ = image(values.shape)
    names, colors = ["kidney", "liver", "spleen"], ["#ff0000", "#00ff00", "#123456"]
    attrs = {"SegmentNumber": [1, 2, 3], "SegmentLabel": names, "SegmentColor": colors}
    labels = like.copy(data=values).assign_attrs(attrs).rename("labels")
    made = roi.outlines(labels)
    assert [one.name for one in made] == [names[n - 1] for n in np.unique(values) if n]
    if made:
        back = roi.mask(made, like)
        np.testing.assert_array_equal(back.values, values)
        assert [one.color for one in made] == [colors[n - 1] for n in np.unique(values) if n]


def test_label_maps():
    """Numbers are kept or given, parts of one structure join, and an overlap is said."""
    like, affine = image()
    one, _ = stars(affine, 1, slices=(1,))
    two = dataclasses.replace(stars(affine, 2, slices=(2,))[0], name="other", number=7)
    found = roi.mask([one, two], like)
    assert found.attrs["SegmentNumber"] == [7, 1] or found.attrs["SegmentNumber"] == [1, 7]
    assert set(np.unique(found)) == {0, 1, 7}
    joined = roi.mask([one, dataclasses.replace(two, name="star", number=0)], like)
    assert set(np.unique(joined)) == {0, 1}
    assert joined.attrs["SegmentLabel"] == "star"
    over = dataclasses.replace(one, name="over")
    with pytest.warns(DataWarning, match="more than one region"):
        roi.mask([one, over], like)
    stack = roi.mask([one, over], like, stack=True)
    assert stack.dims == ("segment", *like.dims)
    assert stack.segment_label.values.tolist() == ["star", "over"]
    xr.testing.assert_equal(
        stack.sel(segment=2).drop_vars(["segment", "segment_label"]), roi.mask(over, like)
    )
    with pytest.raises(OptionError, match="stands for both"):
        roi.mask([two, dataclasses.replace(one, number=7)], like)


def test_at_time_points():
    """A region of one time point is there alone; one without lasts."""
    still, affine = image()
    like = xr.concat([still] * 3, "time").assign_coords(time=[0.0, 2.5, 5.0]).med.restore()
    always, _ = stars(affine, 1, slices=(1,))
    once = stars(affine, 2, slices=(3,))[0]
    once = dataclasses.replace(once, name="once", select={"time": 2.5000001})
    assert roi.mask(always, like).dims == still.dims
    found = roi.mask(once, like)
    assert found.dims == like.dims
    assert found.any(["slice", "row", "column"]).values.tolist() == [False, True, False]
    assert float((like + 1).where(found).count()) == float(found.sum())
    both = roi.mask([always, once], like)
    assert both.max(["slice", "row", "column"]).values.tolist() == [1, 2, 1]
    assert roi.mask(once, like.isel(time=1)).any()
    assert not roi.mask(once, like.isel(time=2)).any()
    assert [one.select for one in roi.outlines(found)] == [{"time": 2.5}]
    with pytest.raises(OptionError, match="no 'time'"):
        roi.mask(once, still)


def test_an_image_without_a_place():
    """On a projection or an ultrasound image, x and y are mm along columns and rows."""
    flat = xr.DataArray(np.zeros((6, 8)), dims=("row", "column"))
    flat = flat.assign_coords(row=np.arange(6) * 0.5, column=np.arange(8) * 0.25)
    corners = [(0.4, 0.9, 0), (1.1, 0.9, 0), (1.1, 2.1, 0), (0.4, 2.1, 0)]
    region = Roi(name="box", contours=(Contour(corners),))
    expected = np.zeros((6, 8), dtype=bool)
    expected[2:5, 2:5] = True
    np.testing.assert_array_equal(roi.mask(region, flat), expected)
    np.testing.assert_array_equal(roi.mask(roi.outlines(roi.mask(region, flat))[0], flat), expected)


def test_bad_regions():
    """What means nothing is an error that says what was wrong."""
    square = [(0, 0, 0), (1, 0, 0), (1, 1, 0)]
    for points in ([(0, 0, 0)], [(0, 0), (1, 1), (2, 0)], "abc", [(0, 0, np.nan)] * 3):
        with pytest.raises(GeometryError, match="outline"):
            Contour(points)
    for wrong in (
        {"name": " "},
        {"color": "red"},
        {"number": -1},
        {"thickness": 0.0},
        {"contours": [square]},
    ):
        with pytest.raises(OptionError):
            Roi(**{"name": "x", **wrong})
    with pytest.raises(OptionError, match="compare first"):
        roi.outlines(image()[0])
    with pytest.raises(OptionError, match="no region"):
        roi.mask([], image()[0])
    bent = Roi(name="bent", contours=(Contour([(0, 0, 0), (9, 0, 0), (9, 9, 5), (0, 9, -7)]),))
    with pytest.raises(GeometryError, match="not planar"):
        roi.mask(bent, image()[0])


def test_values_of_a_region():
    """Regions compare by value, do not change, and travel to worker processes."""
    one = Roi(name="a", contours=(Contour([(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 0, 0)]),))
    assert len(one.contours[0].points) == 3
    assert pickle.loads(pickle.dumps(one)) == one
    assert hash(one) == hash(dataclasses.replace(one))
    assert one != dataclasses.replace(one, select={"time": 1.0})
    with pytest.raises(ValueError, match="read-only"):
        one.contours[0].points[0] = 5
    np.testing.assert_allclose(np.linalg.norm(one.contours[0].vector_area), 0.5)


def test_a_mask_knows_whose_it_is(tmp_path):
    """The mask of a region becomes a Segmentation of the image's patient and study by itself."""
    write_series(Phantom(attributes={"PatientName": "Doe^Jane"}), tmp_path / "dicom")
    image = xr.open_dataarray(tmp_path / "dicom", engine="dicom")
    outline = roi.ellipse(image, slice=float(image.slice[1]), row=(-3, 3), column=(-3, 3))
    mask = roi.mask(roi.Roi(name="lesion", contours=(outline,)), image)
    written = pydicom.dcmread(mask.med.to_dicom_seg(tmp_path / "seg.dcm", segments="Lesion"))
    assert written.PatientName == "Doe^Jane"
    for keyword in ("StudyInstanceUID", "FrameOfReferenceUID"):
        assert written[keyword].value == image.attrs[keyword]
    assert image.where(mask).med.header(slice=0).PatientName == "Doe^Jane"
