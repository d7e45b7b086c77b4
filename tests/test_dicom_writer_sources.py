"""Which images a computed one says it was made from: all that the array knows, and never others."""

from __future__ import annotations

import pickle

import numpy as np
import pydicom
import pytest
import xarray as xr

from imagedata_xr.errors import DataWarning, HeaderError, OptionError
from imagedata_xr.testing import Phantom, write_series

AXES = {"time": [0, 2.5, 5]}


def opened(folder, number, **changes):
    """Write a series of the same patient and study, and open it."""
    phantom = Phantom(axes=AXES, slice_delay=0.1, vendor="siemens", series=number, **changes)
    write_series(phantom, folder / f"series {number}")
    return xr.open_dataarray(folder / f"series {number}", engine="dicom")


@pytest.fixture
def pair(tmp_path):
    """Return two series on one grid."""
    return opened(tmp_path, 1), opened(tmp_path, 2)


def written(da, folder, **options):
    """Write an image, and read all its files."""
    target = da.med.to_dicom(folder, **options)
    return [pydicom.dcmread(path) for path in sorted(target.iterdir())]


def named(ds):
    """Return the UIDs of the images that an instance names as its sources."""
    return {str(one.ReferencedSOPInstanceUID) for one in ds.get("SourceImageSequence", ())}


def uids(da):
    """Return the UIDs of the instances of an opened array: along time, then slice."""
    store = da.SeriesInstanceUID.encoding["dicom_headers"]
    keys = da.frame.values
    found = [store.dataset(int(key)).SOPInstanceUID for key in keys.ravel()]
    return np.array(found, dtype=object).reshape(keys.shape)


def check(da, folder, expected, **options):
    """Compare the sources of every file with those expected, and the series that hold them."""
    found = written(da, folder, **options)
    wanted = np.broadcast_to(expected, da.shape[:-2]).ravel()
    assert len(found) == len(wanted)
    for ds, one in zip(found, wanted, strict=True):
        assert named(ds) == one
        listed = {
            str(instance.ReferencedSOPInstanceUID)
            for series in ds.get("ReferencedSeriesSequence", ())
            for instance in series.ReferencedInstanceSequence
        }
        assert listed == one
    return found


def sets(*arrays):
    """Return the set of the values at each place of arrays of one shape."""
    found = np.empty(arrays[0].shape, dtype=object)
    for index in np.ndindex(found.shape):
        found[index] = {str(array[index]) for array in arrays}
    return found


def test_both_operands(tmp_path, pair):
    """Each frame of a result of two series names its own frame of each: by time and place."""
    a, b = pair
    expected = sets(uids(a), uids(b))
    mean = (a + b) / 2
    for name, image in {
        "mean": mean,
        "difference": b - a,
        "comparison": a > b,
        "dask": (a.chunk(time=1) + b) / 2,
        "deep": mean.copy(deep=True),
        "pickled": pickle.loads(pickle.dumps(mean)),
    }.items():
        found = check(image, tmp_path / name, expected)
        assert {str(one.SeriesInstanceUID) for one in found[0].ReferencedSeriesSequence} == {
            str(a.SeriesInstanceUID.values),
            str(b.SeriesInstanceUID.values),
        }
    part = {"time": [2, 0], "slice": slice(1, 3), "row": slice(1, 4)}
    check(mean.isel(part), tmp_path / "part", expected[[2, 0], 1:3])


def test_three_operands(tmp_path, pair):
    """The last of three operands is not taken for the only one, and gives no header."""
    a, b = pair
    c = opened(tmp_path, 3)
    mean = (a + b + c) / 3
    found = check(mean, tmp_path / "out", sets(uids(a), uids(b), uids(c)))
    assert found[0].ImageType[0] == "DERIVED"
    assert "same time" in found[0].DerivationDescription
    with pytest.raises(HeaderError, match="several series"):
        mean.med.header(0)


def test_frames_of_one_operand(tmp_path, pair):
    """A frame less the mean of another series names its own frame, and one of that series."""
    a, b = pair
    found = check(a - b.mean("time"), tmp_path / "out", sets(uids(a), uids(b)))
    assert "same time" in found[0].DerivationDescription


def test_reductions(tmp_path, pair):
    """A mean names all images at its place and says that it may be fewer; `sources=` knows."""
    a, b = pair
    part = a.isel(time=slice(0, 2))
    found = check(part.mean("time"), tmp_path / "default", sets(*uids(a)))
    assert "may not have been used" in found[0].DerivationDescription
    found = check(part.mean("time"), tmp_path / "told", sets(*uids(part)), sources=part)
    assert "may not have been used" not in found[0].DerivationDescription
    one, other = a.isel(time=0), b.isel(time=1)
    expected = sets(uids(one), uids(other))
    check(one - other, tmp_path / "two", expected, sources=[one, other])
    # A fit keeps neither attributes nor series.
    fit = a.astype(float).polyfit("time", 1).polyfit_coefficients.sel(degree=1)
    check(fit, tmp_path / "fit", sets(*uids(a)), template=a, sources=a)
    with pytest.raises(OptionError, match="sources"):
        fit.med.to_dicom(tmp_path / "none", template=a, sources=fit)


def test_labels_between(tmp_path, pair):
    """An image between two times comes from these two."""
    a, _ = pair
    image = a.astype(float).interp(time=[1.25, 2.5]).med.restore()
    found = uids(a)
    expected = np.array([sets(found[0], found[1]), sets(found[1])])
    check(image, tmp_path / "out", expected)


def test_new_grid(tmp_path, pair):
    """An image on another grid comes from the volume of its time."""
    a, b = pair
    image = ((a + b) / 2).med.resample((2.0, 2.0, 2.0))
    volumes = [{str(uid) for one in (a, b) for uid in uids(one)[k]} for k in range(3)]
    check(image, tmp_path / "out", np.array(volumes)[:, None])


def test_another_patient(tmp_path, pair):
    """What is given to another patient names no images of the first one."""
    a, b = pair
    other = opened(tmp_path, 4, patient=2)
    images = {"two": (a + b) / 2, "own": a + 1, "copy": a, "part": a.isel(row=slice(2))}
    for name, image in images.items():
        for options in ({"template": other}, {"PatientID": "x", "PatientName": "Y"}):
            for ds in written(image, tmp_path / f"{name} {len(options)}", **options):
                text = str(ds)
                assert not any(str(uid) in text for uid in uids(a).ravel())
                assert "SourceImageSequence" not in ds
    with pytest.warns(DataWarning, match="two patients"):
        mixed = (a + other) / 2
    with pytest.raises(HeaderError, match="several patients"):
        mixed.med.to_dicom(tmp_path / "mixed")


def test_deidentified(tmp_path, pair):
    """Without identity, the sources have the new UIDs, and the old ones are nowhere."""
    a, b = pair
    clean = ((a + b) / 2).med.deidentify()
    text = str(clean.attrs)
    for ds in written(clean, tmp_path / "out"):
        assert len(named(ds)) == 2
        text += str(ds)
    for one in (a, b):
        assert str(one.SeriesInstanceUID.values) not in text
        assert not any(str(uid) in text for uid in uids(one).ravel())


def test_end_to_end(tmp_path, pair):
    """Frames of two series end to end have the headers of their own, in one series."""
    a, b = pair
    times = np.array([0, 2.5]), np.array([2.5, 5])
    parts = a.sel(time=times[0]), b.sel(time=[5.0])
    expected = np.concatenate([uids(part) for part in parts])
    for name, how in {"default": "override", "attributes": "drop_conflicts"}.items():
        image = xr.concat(
            parts, "time", combine_attrs=how, coords="different", compat="equals", join="outer"
        )
        found = check(image + 1, tmp_path / name, sets(expected))
        copies = written(image, tmp_path / f"{name} copied")
        for index, ds in enumerate(copies):
            source = parts[0 if index < 2 * a.sizes["slice"] else 1]
            header = source.med.header(index % (2 * a.sizes["slice"]))
            assert ds.AcquisitionTime == header.AcquisitionTime
            assert named(ds) == set()
        assert len({(ds.SeriesInstanceUID, ds.SeriesNumber) for ds in found}) == 1
        assert len({(ds.SeriesInstanceUID, ds.SeriesNumber) for ds in copies}) == 1


def test_a_source_that_changed(tmp_path, pair):
    """A file that holds another image by now gives neither header nor reference."""
    a, b = pair
    target = min((tmp_path / "series 1").iterdir())
    target.write_bytes(min((tmp_path / "series 2").iterdir()).read_bytes())
    with pytest.raises(HeaderError, match="open it again"):
        ((a.copy(data=np.ones(a.shape)) + b) / 2).med.to_dicom(tmp_path / "out")
