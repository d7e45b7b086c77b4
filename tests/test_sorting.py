"""Sorting: complete grids from frames in any order, or an error that says what to do."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from fake_frames import frames
from hypothesis import given, settings
from hypothesis import strategies as st

from imagedata_xr.errors import (
    IncompleteGridError,
    MultipleSeriesError,
    MultipleStacksError,
    NoImagesError,
    OptionError,
    SortError,
)
from imagedata_xr.sorting import (
    by_series,
    choose_series,
    choose_stack,
    one_patient,
    select_frames,
    sort_stack,
)
from imagedata_xr.sortkeys import SortKey, resolve
from imagedata_xr.testing import Phantom
from imagedata_xr.testing.strategies import phantoms

DTI = [
    {"b": 0},
    {"b": 1000, "bvec": (1.0, 0.0, 0.0)},
    {"b": 1000, "bvec": (0.0, 1.0, 0.0)},
    {"b": 1000, "bvec": (0.0, 0.0, 1.0)},
]


def cube(found, sort=None, *, stack=None):
    """Sort frames as opening a folder does."""
    chosen = choose_series(by_series(found), None)
    return sort_stack(choose_stack(chosen, stack), resolve(sort) if sort is not None else ())


def dims(found, sort=None):
    """Return the names and sizes of the sorted dimensions."""
    result = cube(found, sort)
    return dict(zip(result.names, result.frames.shape, strict=True))


def uids(result):
    """Return the UIDs of a sorted grid in C order."""
    return [frame.uid for frame in result.frames.ravel().tolist()]


@settings(deadline=None, max_examples=60)
@given(phantom=phantoms(max_axes=3, max_slices=3), order=st.randoms(use_true_random=False))
def test_any_order_of_files_gives_the_truth(phantom, order):
    """Whatever the order of the files, each frame lands where the phantom put it."""
    found = frames(phantom)
    expected = [frame.uid for frame in found]
    shuffled = list(found)
    order.shuffle(shuffled)
    names = tuple(phantom.axes)
    # Repeated b values are volumes unless the user says what else varies.
    sort = names if "b" in names and "time" in names else None
    result = cube(shuffled, sort)
    truth = phantom.truth()
    assert result.names == truth.dims[: len(result.names)]
    assert uids(result) == expected
    for dim in result.dims:
        np.testing.assert_allclose(dim.labels, truth.coords[dim.name], atol=2e-6)


@pytest.mark.parametrize(
    "timing",
    ["AcquisitionTime", "AcquisitionDateTime", "TriggerTime", "FrameReferenceTime", "ContentTime"],
)
def test_time_from_every_attribute(timing):
    """Seconds from the first frame, whichever attribute holds the time, and it is recorded."""
    result = cube(frames(Phantom(axes={"time": [0, 2.5, 7.25]}, timing=timing)))
    np.testing.assert_allclose(result.dims[0].labels, [0, 2.5, 7.25])
    assert timing in result.dims[0].source


@pytest.mark.parametrize("timing", ["AcquisitionTime", "AcquisitionDateTime"])
def test_midnight(timing):
    """A series that crosses midnight keeps its order and its steps."""
    phantom = Phantom(axes={"time": [0, 2.5, 5]}, start="20231231235958.0", timing=timing)
    np.testing.assert_array_equal(cube(frames(phantom)).dims[0].labels, [0, 2.5, 5])


def test_slices_with_times_of_their_own():
    """Time points are put together by order where each slice has its own time."""
    phantom = Phantom(axes={"time": [0, 3, 6]}, shape=(4, 3, 3), slice_delay=0.7)
    result = cube(random.Random(1).sample(found := frames(phantom), len(found)))
    assert uids(result) == [frame.uid for frame in found]


@pytest.mark.parametrize(
    "axes",
    [
        {"time": [0, 3], "te": [5, 10, 15]},
        {"te": [5, 10], "fa": [3, 9]},
        {"time": [0, 3, 6], "te": [5, 10], "fa": [3, 9]},
        {"ti": [50, 100], "te": [5, 10]},
        {"te": [5, 10], "b": [0, 500]},
        {"te": [5, 10], "component": ["M", "P"]},
    ],
)
def test_several_dimensions_are_inferred(axes):
    """4-D, 5-D and 6-D grids are found without being asked for."""
    phantom = Phantom(axes=axes, slice_delay=0.01)
    assert dims(frames(phantom)) == {name: len(v) for name, v in axes.items()} | {"slice": 4}


def test_order_of_asked_dimensions_is_the_users():
    """The user's order of keys is the order of dimensions."""
    found = frames(Phantom(axes={"time": [0, 3], "te": [5, 10, 15]}))
    assert list(dims(found, ("te", "time"))) == ["te", "time", "slice"]
    assert list(dims(found, "time,te")) == ["time", "te", "slice"]


@pytest.mark.parametrize(
    "sort",
    [
        "InversionTime",
        {"ti": "InversionTime"},
        {"ti": lambda values: values["InversionTime"]},
        SortKey.from_keyword("InversionTime", name="ti"),
    ],
)
def test_user_keys(sort):
    """A keyword, a mapping, a callable and a SortKey all name the dimension."""
    found = frames(Phantom(axes={"ti": [30, 60, 200]}))
    result = cube(found, sort)
    assert result.names == ("ti", "slice")
    assert result.dims[0].labels.tolist() == [30, 60, 200]


def test_a_constant_key_that_is_asked_for_is_a_dimension_of_one():
    """sort="time" on one volume gives one time point, so that code for series works on it."""
    assert dims(frames(Phantom()), "time") == {"time": 1, "slice": 4}


@pytest.mark.parametrize("vendor", ["standard"])
def test_diffusion_directions_are_volumes(vendor):
    """Repeated b values become numbered volumes, in the order of acquisition."""
    found = frames(Phantom(volumes=DTI, vendor=vendor))
    result = cube(random.Random(2).sample(found, len(found)))
    assert result.names == ("volume", "slice")
    assert uids(result) == [frame.uid for frame in found]


def test_sort_that_leaves_frames_over_says_what_works():
    """The error for sort="b" on directions offers sort="volume", which then works."""
    found = frames(Phantom(volumes=DTI))
    with pytest.raises(IncompleteGridError) as caught:
        cube(found, "b")
    assert {"sort": "volume"} in caught.value.suggestions
    assert "DiffusionBValue=1000, slice 0: 3 frames" in str(caught.value)
    assert dims(found, "volume") == {"volume": 4, "slice": 4}


def test_missing_frame_is_named_and_each_suggestion_works():
    """One frame short: the error names it, and every ready-made argument opens a part."""
    found = frames(Phantom(axes={"time": [0, 3, 6]}))
    del found[5]
    with pytest.raises(IncompleteGridError, match="slice 1: missing") as caught:
        cube(found)
    assert caught.value.suggestions
    for suggestion in caught.value.suggestions:
        assert cube(select_frames(found, suggestion["select"])).frames.size


@pytest.mark.parametrize("delay", [0.0, 0.1])
def test_different_frames_missing_never_shift_time_points(delay):
    """Each slice lacks another time point: equal counts must not pass for a complete grid."""
    phantom = Phantom(axes={"time": [0, 3, 6, 9]}, shape=(4, 3, 3), slice_delay=delay)
    found = frames(phantom)
    kept = [frame for k, frame in enumerate(found) if k not in {0, 5, 10, 15}]
    with pytest.raises(SortError):
        cube(kept)


def test_first_and_last_missing_never_shift_time_points():
    """One slice lacks its first time point, the other its last: the counter gives it away."""
    found = frames(Phantom(axes={"time": [0, 3, 6, 9]}, shape=(2, 3, 3), slice_delay=0.1))
    counted = [
        replace(one, values={**one.values, "AcquisitionNumber": k // 2 + 1})
        for k, one in enumerate(found)
    ]
    assert cube(counted).names == ("time", "slice")
    with pytest.raises(SortError):
        cube([frame for k, frame in enumerate(counted) if k not in {0, 7}])


def test_no_times_at_all_are_volumes_by_instance_number():
    """Without any time, the order of the instance numbers counts volumes."""
    found = frames(Phantom(axes={"time": [0, 3, 6]}, timing="InstanceNumber", order="interleaved"))
    result = cube(found[::-1])
    assert result.names == ("volume", "slice")
    assert uids(result) == [frame.uid for frame in found]


def test_instance_numbers_with_different_gaps_are_refused():
    """Instance numbers that lack different volumes in different slices order nothing."""
    found = frames(Phantom(axes={"time": [0, 3, 6, 9]}, timing="InstanceNumber", shape=(4, 3, 3)))
    kept = [frame for k, frame in enumerate(found) if k not in {0, 5, 10, 15}]
    with pytest.raises(SortError):
        cube(kept)


def test_magnitude_and_phase_that_make_no_grid_are_never_mixed():
    """A phase image less: the error lists the components and how to choose one."""
    found = frames(Phantom(axes={"component": ["M", "P"]}))
    del found[-1]
    with pytest.raises(MultipleStacksError) as caught:
        cube(found)
    assert {"select": {"component": "magnitude"}} in caught.value.suggestions
    assert dims(select_frames(found, {"component": "magnitude"})) == {"slice": 4}


def test_two_series():
    """Two series are listed with the argument that opens each."""
    found = frames(Phantom(series=1)) + frames(Phantom(series=2))
    with pytest.raises(MultipleSeriesError) as caught:
        cube(found)
    assert [group["frames"] for group in caught.value.groups] == [4, 4]
    for suggestion in caught.value.suggestions:
        assert len(choose_series(by_series(found), **suggestion)) == 4


def test_unknown_series_lists_those_there_are():
    """A series that is not there is an error that lists the others."""
    with pytest.raises(NoImagesError, match="Phantom series 1"):
        choose_series(by_series(frames(Phantom())), 99)


def test_series_sorted_together():
    """Several series on one grid are joined by a key that tells them apart."""
    found = [
        f
        for n, fa in enumerate((3, 9))
        for f in frames(Phantom(series=n + 1, attributes={"FlipAngle": fa}))
    ]
    joined = choose_series(by_series(found), "all")
    result = sort_stack(choose_stack(joined), resolve("fa"))
    assert result.dims[0].labels.tolist() == [3, 9]


def test_orientations_are_stacks():
    """A localizer lists its stacks; each can be opened by its number."""
    found = frames(Phantom()) + frames(Phantom(orientation="coronal", shape=(2, 6, 5)))
    with pytest.raises(MultipleStacksError, match="orientation") as caught:
        cube(found)
    sizes = [len(choose_stack(found, **one).frames) for one in caught.value.suggestions]
    assert sizes == [4, 2]
    with pytest.raises(OptionError, match="stacks 0 to 1"):
        choose_stack(found, 2)


def test_matrix_sizes_are_stacks():
    """Images of different sizes are never put into one array."""
    found = frames(Phantom()) + frames(Phantom(shape=(4, 8, 5), seed=2))
    with pytest.raises(MultipleStacksError, match="rows"):
        choose_stack(found)


def test_select_by_value_list_range_and_predicate():
    """Frames are chosen by header value in every form that the docs name."""
    found = frames(Phantom(axes={"te": [5, 10, 15]}))
    for criterion, count in ((10, 4), ([5, 15], 8), (slice(6, None), 8), (lambda te: te > 12, 4)):
        assert len(select_frames(found, {"EchoTime": criterion})) == count
    assert len(select_frames(found, {"te": 5})) == 4


def test_select_of_an_unknown_attribute_proposes_the_right_one():
    """A misspelled keyword is an error that offers the one that is there."""
    with pytest.raises(OptionError, match="EchoTime"):
        select_frames(frames(Phantom()), {"EchoTim": 5})


def test_select_of_nothing_says_what_there_is():
    """A value that no frame has is an error that lists the values."""
    with pytest.raises(NoImagesError, match="EchoTime is 5"):
        select_frames(frames(Phantom(axes={"te": [5, 10]})), {"EchoTime": 7})


@pytest.mark.parametrize("sort", ["", (), ("te", "EchoTime"), "slice", 3, {"te": 3}])
def test_meaningless_sort(sort):
    """What cannot be a sort key is refused with a message, not guessed."""
    with pytest.raises(OptionError):
        resolve(sort)


def test_key_that_no_frame_has():
    """A misspelled keyword never falls back to something else."""
    with pytest.raises(IncompleteGridError, match="did you mean EchoTime"):
        cube(frames(Phantom(axes={"te": [5, 10]})), "EchoTim")
    with pytest.raises(IncompleteGridError) as caught:
        cube(frames(Phantom(axes={"te": [5, 10]})), "echotime")
    assert str(caught.value).count("did you mean") == 1


def test_coil_elements_are_a_dimension():
    """Uncombined images of several coil elements make a complete grid along coil."""
    found = [
        replace(one, uid=f"{one.uid}.{name}", values={**one.values, "MultiCoilElementName": name})
        for name in ("H11", "H12")
        for one in frames(Phantom(axes={"time": [0, 3]}))
    ]
    assert dims(found) == {"time": 2, "coil": 2, "slice": 4}


def test_patients_are_never_joined():
    """Frames of two patients make no array, even in one series; each can be chosen."""
    found = frames(Phantom()) + frames(Phantom(patient=2, attributes={"FlipAngle": 3}))
    with pytest.raises(MultipleSeriesError, match="2 patients") as caught:
        one_patient(found)
    for suggestion in caught.value.suggestions:
        assert len(select_frames(found, suggestion["select"])) == 4


def test_slices_of_different_echoes_are_no_volume():
    """One frame a slice, but of two echo times: refused, and the reason is named."""
    found = frames(Phantom(axes={"te": [5, 10]}))
    with pytest.raises(IncompleteGridError, match=r"several kinds: EchoTime \(5, 10\)"):
        cube([*found[:2], *found[6:]])
