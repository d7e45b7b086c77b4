"""Positions, axes and matrices against the DICOM equation, SimpleITK and nibabel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from imagedata_xr.errors import GeometryError
from imagedata_xr.geometry import (
    Axis,
    Grid,
    canonical,
    grid_from_affine,
    lps_ras,
    lps_ras_affine,
    stack_grid,
)

AXIAL = (1.0, 0, 0, 0, 1, 0)
EXAMPLES = settings(deadline=None, max_examples=80, derandomize=True)


def rotation(seed):
    """A random orthogonal matrix."""
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]


def equation(position, orientation, spacing, row, column):
    """DICOM PS3.3 equation C.7.6.2.1-1, as it stands there."""
    across, down = np.array(orientation[:3]), np.array(orientation[3:])
    return np.array(position) + across * spacing[1] * column + down * spacing[0] * row


@st.composite
def stacks(draw):
    """Position, orientation, spacing, shape and shear of a stack of parallel slices."""
    q = rotation(draw(st.integers(0, 10_000)))
    spacing = draw(st.tuples(*[st.floats(0.1, 5.0)] * 2))
    n = draw(st.integers(1, 6))
    gaps = np.array(draw(st.lists(st.floats(0.2, 20.0), min_size=n, max_size=n)))
    shear = draw(st.sampled_from([0.0, 0.1, -0.4])) * q[1]
    corner = np.array(draw(st.tuples(*[st.floats(-500, 500)] * 3)))
    depth = np.cumsum(gaps) * draw(st.sampled_from([1, -1]))
    positions = corner + depth[:, None] * (np.cross(q[0], q[1]) + shear)
    return positions, np.r_[q[0], q[1]], spacing, (draw(st.integers(1, 5)), 4)


@EXAMPLES
@given(stack=stacks(), times=st.integers(1, 3), seed=st.integers(0, 99))
def test_stack_reproduces_positions(stack, times, seed):
    """Every pixel lies where the DICOM equation puts it, in slices that ascend along the normal."""
    positions, orientation, spacing, shape = stack
    frames = np.random.default_rng(seed).permutation(np.repeat(positions, times, axis=0))
    grid, slot = stack_grid(frames, orientation, spacing, shape, thickness=3.0)
    assert grid.shape == (len(positions), *shape)
    assert np.abs(grid.slice_origins()[slot] - frames).max() < 1e-9
    assert (np.bincount(slot) == times).all()
    normal = np.cross(orientation[:3], orientation[3:])
    assert (np.diff(grid.slice_origins() @ normal) > 0).all()
    last = equation(frames[0], orientation, spacing, shape[0] - 1, shape[1] - 1)
    assert np.abs(grid.points()[slot[0], -1, -1] - last).max() < 1e-9
    for axis in grid.axes:
        assert np.dot(axis.direction, (0.90, 1.00, 1.13)) > 0


@EXAMPLES
@given(stack=stacks(), seed=st.integers(0, 99))
def test_index_and_world_are_inverse(stack, seed):
    """Indices, fractional and outside too, survive the way to mm and back on uneven slices."""
    grid, _ = stack_grid(*stack, thickness=3.0)
    index = np.random.default_rng(seed).uniform(-3, 8, size=(50, 3))
    assert np.abs(grid.world_to_index(grid.index_to_world(index)) - index).max() < 1e-9
    corners = np.argwhere(np.ones(grid.shape)).astype(float)
    world = grid.index_to_world(corners).reshape(*grid.shape, 3)
    assert np.abs(world - grid.points()).max() < 1e-9


@EXAMPLES
@given(stack=stacks(), seed=st.integers(0, 99))
def test_noise_of_rounding_changes_nothing_else(stack, seed):
    """Positions with noise of 1e-12 mm give the same slices, and coordinates within 1e-7 mm."""
    # the noise turns a tilted axis a little, seen from the far origin of the patient
    positions, *rest = stack
    noisy = positions + 1e-12 * np.random.default_rng(seed).normal(size=positions.shape)
    (a, one), (b, two) = (stack_grid(p, *rest, thickness=1.0) for p in (positions, noisy))
    assert (one == two).all()
    for mine, theirs in zip(a.axes, b.axes, strict=True):
        assert np.abs(mine.values - theirs.values).max() < 1e-7


@EXAMPLES
@given(
    seed=st.integers(0, 10_000),
    signs=st.tuples(*[st.sampled_from([-1, 1])] * 3),
    shear=st.floats(-0.5, 0.5),
)
def test_affine_comes_back(seed, signs, shear):
    """Any matrix, left-handed or sheared, comes back from the grid made of it."""
    affine = np.eye(4)
    affine[:3, :3] = rotation(seed) * signs * [2.5, 0.75, 1.25]
    affine[:3, 0] += shear * affine[:3, 1]
    affine[:3, 3] = np.random.default_rng(seed).uniform(-200, 200, 3)
    grid = grid_from_affine(affine, (4, 5, 6))
    assert np.abs(grid.affine - affine).max() < 1e-9
    again = grid_from_affine(affine[:, [2, 1, 0, 3]], (6, 5, 4), order=("column", "row", "slice"))
    assert again.shape == (4, 5, 6)
    assert np.abs(again.affine - affine).max() < 1e-9


@EXAMPLES
@given(seed=st.integers(0, 10_000), flips=st.tuples(*[st.booleans()] * 3))
def test_flipped_storage_has_the_same_positions(seed, flips):
    """An image stored flipped has the same coordinates in the opposite order."""
    q = rotation(seed)
    assume(np.abs(q @ (0.90, 1.00, 1.13)).min() > 1e-6)
    affine = np.eye(4)
    affine[:3, :3] = q.T * [3.0, 1.0, 2.0]
    shape = np.array([4, 5, 6])
    flipped = affine.copy()
    for j, flip in enumerate(flips):
        if flip:
            flipped[:3, 3] += affine[:3, j] * (shape[j] - 1)
            flipped[:3, j] *= -1
    a, b = grid_from_affine(affine, (4, 5, 6)), grid_from_affine(flipped, (4, 5, 6))
    for one, two, flip in zip(a.axes, b.axes, flips, strict=True):
        assert np.allclose(one.direction, two.direction, rtol=0, atol=1e-12)
        assert np.allclose(one.values, two.values[::-1] if flip else two.values, rtol=0, atol=1e-9)


@pytest.mark.parametrize("seed", range(8))
def test_positions_agree_with_simpleitk(seed):
    """SimpleITK puts every fractional index at the same point, from origin, spacing, direction."""
    sitk = pytest.importorskip("SimpleITK")
    q = rotation(seed)
    if np.linalg.det(q) < 0:
        q = -q
    positions = np.array([10.0, -20, 30]) + np.arange(4)[:, None] * 2.5 * q[2]
    grid, _ = stack_grid(positions, np.r_[q[0], q[1]], (1.2, 0.8), (5, 6))
    image = sitk.Image(6, 5, 4, sitk.sitkUInt8)
    image.SetOrigin(grid.origin.tolist())
    image.SetSpacing(grid.spacing[::-1])
    image.SetDirection(grid.orientation[:, ::-1].ravel().tolist())
    index = np.random.default_rng(seed).uniform(-2, 7, size=(20, 3))
    expected = [image.TransformContinuousIndexToPhysicalPoint(i[::-1].tolist()) for i in index]
    assert np.abs(grid.index_to_world(index) - expected).max() < 1e-9
    homogeneous = np.c_[index, np.ones(20)] @ grid.affine.T
    assert np.abs(homogeneous[:, :3] - expected).max() < 1e-9


@pytest.mark.parametrize("seed", range(8))
def test_affine_agrees_with_nibabel(seed):
    """The RAS matrix means the same to nibabel: zooms, and the positions of cropped voxels."""
    nib = pytest.importorskip("nibabel")
    q = rotation(seed)
    positions = np.array([10.0, -20, 30]) + np.arange(4)[:, None] * 2.5 * np.cross(q[0], q[1])
    grid, _ = stack_grid(positions, np.r_[q[0], q[1]], (1.2, 0.8), (5, 6))
    image = nib.Nifti1Image(np.zeros(grid.shape, np.uint8), grid.affine_ras)
    assert np.allclose(nib.affines.voxel_sizes(image.affine), grid.spacing, rtol=1e-12)
    cropped = image.slicer[1:, 2:, 3:]
    first = lps_ras(nib.affines.apply_affine(cropped.affine, [0, 0, 0]))
    assert np.abs(first - grid.points()[1, 2, 3]).max() < 1e-9
    back = grid_from_affine(lps_ras_affine(image.affine), grid.shape)
    assert np.abs(back.points() - grid.points()).max() < 1e-9


def test_axis_aligned_coordinates_are_patient_coordinates():
    """A sagittal image has z along rows, y along columns and x along slices, exactly."""
    positions = [[-33, -100, 120], [-30, -100, 120]]
    grid, slot = stack_grid(positions, [0, 1, 0, 0, 0, -1], (1, 0.5), (3, 4))
    assert grid.slice.values.tolist() == [-30, -33]
    assert grid.row.values.tolist() == [120, 119, 118]
    assert grid.column.values.tolist() == [-100, -99.5, -99, -98.5]
    assert [axis.direction for axis in grid.axes] == [(1, 0, 0), (0, 0, 1), (0, 1, 0)]
    assert slot.tolist() == [1, 0]
    assert grid.image_orientation == (0, 1, 0, 0, 0, -1)
    assert not np.signbit(grid.affine[grid.affine == 0]).any()


def test_vectors_that_are_not_unit():
    """Cosines written with four digits leave every pixel where the DICOM equation puts it."""
    q = rotation(5)
    orientation = np.round(np.r_[q[0], q[1]], 4)
    grid, _ = stack_grid([[-120.5, 80, 300]], orientation, (0.9375, 0.9375), (256, 200))
    expected = equation([-120.5, 80, 300], orientation, (0.9375, 0.9375), 255, 199)
    assert np.abs(grid.points()[0, -1, -1] - expected).max() < 1e-9
    assert np.allclose(np.linalg.norm(grid.directions, axis=0), 1, rtol=0, atol=1e-15)


def test_gantry_tilt_runs_along_the_drift():
    """With a tilt, the slice direction is that from the first position to the last."""
    positions = np.arange(5)[:, None] * np.array([0, 1.0, 4.0])
    grid, _ = stack_grid(positions, AXIAL, (1, 1), (2, 2))
    assert np.allclose(grid.slice.direction, np.array([0, 1, 4]) / np.sqrt(17))
    assert np.allclose(grid.affine[:3, 0], [0, 1, 4])
    assert np.ptp(grid.index_to_world([[0, 0, 0], [4, 0, 0]])[:, 1]) == pytest.approx(4)


def test_small_drift_is_rounding():
    """Less than 0.01 mm of drift in the plane over the stack leaves the axis on the normal."""
    positions = [[0.0, 0, 0], [0.004, 0, 5], [0.009, 0, 10]]
    grid, _ = stack_grid(positions, AXIAL, (1, 1), (2, 2))
    assert grid.slice.direction == (0, 0, 1)
    assert grid.column.values[0] == 0


def test_frames_of_one_slice_share_a_slot():
    """Positions within 0.01 mm are one slice, at that of its first frame; more are two."""
    depths = [5.0, 0.0, 5.006, 0.0, 10.0]
    positions = [[0, 0, z] for z in depths]
    grid, slot = stack_grid(positions, AXIAL, (1, 1), (2, 2))
    assert slot.tolist() == [1, 0, 1, 0, 2]
    assert grid.slice.values.tolist() == [0, 5, 10]
    _, slot = stack_grid([[0, 0, 0], [0, 0, 0.02]], AXIAL, (1, 1), (2, 2))
    assert slot.tolist() == [0, 1]
    _, slot = stack_grid([[0, 0, 0], [0, 0, 0.005]], AXIAL, (0.005, 0.005), (2, 2))
    assert slot.tolist() == [0, 1]


def test_uneven_slices_say_where():
    """A missing slice keeps the measured positions; the affine says where and by how much."""
    positions = [[0, 0, z] for z in (0, 5, 10, 20, 25)]
    grid, _ = stack_grid(positions, AXIAL, (1, 1), (2, 2))
    assert grid.slice.values.tolist() == [0, 5, 10, 20, 25]
    with pytest.raises(GeometryError, match=r"'slice'.*2 and 3 \(10.0000, 20.0000 mm\) are 10"):
        _ = grid.affine
    with pytest.raises(GeometryError, match="uneven"):
        _ = grid.spacing
    index = [[2.5, 0, 0], [5.0, 0, 0], [-1.0, 1, 1]]
    assert grid.index_to_world(index)[:, 2].tolist() == [15, 30, -5]
    assert np.allclose(grid.world_to_index(grid.index_to_world(index)), index)
    assert grid.orientation[:, 0].tolist() == [0, 0, 1]


def test_jitter_within_tolerance_is_even():
    """Steps that differ by less than 1 % or 1e-3 mm have one step; more raise."""
    assert Axis([0, 2.51, 5.0, 7.5], (0, 0, 1)).step == pytest.approx(2.5)
    assert Axis([0, 0.0209, 0.04, 0.06], (0, 0, 1)).step == pytest.approx(0.02)
    with pytest.raises(GeometryError, match="uneven"):
        _ = Axis([0, 2.6, 5.0, 7.5], (0, 0, 1)).step
    with pytest.raises(GeometryError, match="uneven"):
        _ = Axis([1.0, 1.0], (0, 0, 1)).step


def test_one_slice():
    """One slice has its thickness as size and a right-handed normal, or says what is missing."""
    for orientation in (AXIAL, (0, 1, 0, 0, 0, -1), (-1, 0, 0, 0, 1, 0)):
        grid, _ = stack_grid([[1, 2, 3]], orientation, (1, 2), (2, 2), thickness=4)
        normal = np.cross(orientation[:3], orientation[3:])
        assert np.allclose(grid.affine[:3, 0], 4 * normal)
        assert np.allclose(grid.index_to_world([[2, 0, 0]])[0], [1, 2, 3] + 8 * normal)
        assert np.allclose(grid.world_to_index([[1, 2, 3] - 4 * normal]), [[-1, 0, 0]])
    for thickness in (None, 0.0):
        grid, _ = stack_grid([[1, 2, 3]], AXIAL, (1, 2), (2, 2), thickness=thickness)
        assert grid.slice.spacing is None
        assert grid.index_to_world([[0, 1, 1]]).tolist() == [[3, 3, 3]]
        for need in (lambda g: g.affine, lambda g: g.index_to_world([[1, 0, 0]])):
            with pytest.raises(GeometryError, match="spacing"):
                need(grid)


BAD_STACKS = {
    "ImageOrientationPatient": [
        {"orientation": None},
        {"orientation": [1, 0, 0, 0, 1]},
        {"orientation": [1, 0, 0, 2, 0, 0]},
        {"orientation": [0] * 6},
        {"orientation": [1, 0, 0, 0, np.nan, 0]},
    ],
    "PixelSpacing": [
        {"spacing": (1, 0)},
        {"spacing": (-1, 1)},
        {"spacing": None},
        {"spacing": (1, np.nan)},
        {"spacing": "ab"},
    ],
    "ImagePositionPatient": [
        {"positions": [[0, 0, np.nan]]},
        {"positions": []},
        {"positions": [[0, 0]]},
        {"positions": [None]},
        {"positions": [[0, 0, 0], [0, 5, 5], [0, 0, 10]]},
        {"positions": [[0, 0, 0], [0, 5, 0]]},
        {"positions": [[0, 0, 0], [0, 50, 1]]},
    ],
}


@pytest.mark.parametrize(
    ("attribute", "change"), [(a, c) for a, changes in BAD_STACKS.items() for c in changes]
)
def test_bad_values_name_their_attribute(attribute, change):
    """What cannot be one stack raises an error with the name of the DICOM attribute."""
    good = {"positions": [[0, 0, 0]], "orientation": AXIAL, "spacing": (1, 1), "shape": (2, 2)}
    with pytest.raises(GeometryError, match=attribute):
        stack_grid(**{**good, **change})


@pytest.mark.parametrize(
    "affine",
    [
        np.zeros((4, 4)),
        np.diag([1.0, 1, 0, 1]),
        np.diag([1.0, 1, 1, 2]),
        np.diag([1.0, np.nan, 1, 1]),
        np.eye(3),
    ],
)
def test_bad_affines(affine):
    """Matrices that are no invertible affine are refused."""
    with pytest.raises(GeometryError, match="affine"):
        grid_from_affine(affine, (2, 2, 2))


@pytest.mark.parametrize(
    "change",
    [
        {"values": []},
        {"values": [[1.0]]},
        {"values": [1.0, np.nan]},
        {"direction": (0, 0, 2)},
        {"direction": (0, 0)},
        {"spacing": 0.0},
        {"spacing": np.nan},
    ],
)
def test_bad_axes(change):
    """An axis without positions, unit direction or positive spacing cannot be made."""
    with pytest.raises(GeometryError):
        Axis(**{"values": [0.0, 1.0], "direction": (0, 0, 1), **change})


def test_axis_is_frozen():
    """The positions of an axis are a read-only copy."""
    source = np.array([0.0, 1.0])
    axis = Axis(source, (0, 0, 1))
    source[0] = 9
    assert axis.values.tolist() == [0, 1]
    with pytest.raises(ValueError, match="read-only"):
        axis.values[0] = 5
    with pytest.raises(AttributeError):
        axis.spacing = 2.0


def test_shuffled_axes_are_not_searched():
    """Positions in no order can be read, and searching among them raises."""
    even = Axis([0.0, 1.0], (1, 0, 0))
    grid = Grid(Axis([0.0, 5.0, 2.0], (0, 0, 1)), Axis([0.0, 1.0], (0, 1, 0)), even)
    assert grid.index_to_world([[1, 0, 0]]).tolist() == [[0, 0, 5]]
    with pytest.raises(GeometryError, match="sortby"):
        grid.world_to_index([[0, 0, 1]])


@pytest.mark.parametrize("vector", [(-1, 0, 0), (0, -1, 0), (0, 0, -1), (1, 1, 0), (1, -1, 0)])
def test_canonical_does_not_depend_on_the_sign(vector):
    """A vector and its opposite have one canonical form; axes point left, back and head."""
    assert np.array_equal(canonical(vector), canonical(np.negative(vector)))
    assert canonical(vector) @ (0.90, 1.00, 1.13) > 0


def test_canonical_on_the_border():
    """A vector exactly on the border of the half space has one form, too."""
    vector = np.array([1.0, -0.9, 0.0])
    assert np.array_equal(canonical(vector), canonical(-vector))


def test_lps_ras_is_its_own_inverse():
    """Points and matrices turn into RAS by x and y, and back."""
    assert lps_ras([[1, 2, 3]]).tolist() == [[-1, -2, 3]]
    affine = np.arange(16.0).reshape(4, 4)
    assert np.array_equal(lps_ras_affine(lps_ras_affine(affine)), affine)
    assert np.array_equal(lps_ras_affine(affine)[:3, 3], lps_ras(affine[:3, 3]))
