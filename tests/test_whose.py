"""A result of two patients is never written as one of them, whichever way it was made."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pydicom
import pytest
import xarray as xr

from imagedata_xr import schema
from imagedata_xr.errors import DataWarning, HeaderError
from imagedata_xr.testing import Phantom, write_series


def opened(tmp_path, name, **options):
    """Write a small dynamic series and open it."""
    phantom = Phantom(axes={"time": [0, 2.5]}, shape=(3, 4, 5), **options)
    write_series(phantom, tmp_path / name)
    return xr.open_dataarray(tmp_path / name, engine="dicom")


@pytest.fixture
def images(tmp_path):
    """Two series of one patient, and one of another, on one grid."""
    return {
        "a": opened(tmp_path, "a", patient=1, series=1),
        "again": opened(tmp_path, "again", patient=1, series=2),
        "b": opened(tmp_path, "b", patient=2, series=3),
    }


def restored(image, tmp_path, name):
    image.to_netcdf(tmp_path / f"{name}.nc")
    with xr.open_dataarray(tmp_path / f"{name}.nc") as found:
        return found.load().med.restore()


ROUTES = {
    "sum": lambda a, b, _: a + b,
    "sum of three": lambda a, b, again: (a + b) + again,
    "the last one's coordinates": lambda a, b, again: again + (a + b),
    "maximum": lambda a, b, _: np.maximum(a, b),
    "maximum and more": lambda a, b, again: np.maximum(a, b) + again,
    "xr.where": lambda a, b, _: xr.where(a > 20, a, b, keep_attrs=True),
    "where": lambda a, b, _: a.where(a > 20, b),
    "mask": lambda a, b, _: a.where(b > 20, 0),
    "fillna": lambda a, b, _: a.where(a > 20).fillna(b),
    "combine_first": lambda a, b, _: a.where(a > 20).combine_first(b),
    "clip": lambda a, b, _: a.clip(max=b),
    "apply_ufunc": lambda a, b, _: xr.apply_ufunc(np.add, a, b, keep_attrs=True, dask="allowed"),
    "mean of concat": lambda a, b, _: ends((a, b), "subject").mean("subject"),
    "concat": lambda a, b, _: ends((a, b), "subject"),
    "second of concat": lambda a, b, _: ends((a, b), "subject").isel(subject=1),
    "second in time": lambda a, b, _: ends((a, later(b)), "time").isel(time=[2, 3]),
    "mean in time": lambda a, b, _: ends((a, later(b)), "time").mean("time"),
    "merge": lambda a, b, _: xr.merge([a.rename("p"), b.rename("q")], compat="override")["q"],
    "dot": lambda a, b, _: xr.dot(a, b, dim="time"),
    "weighted": lambda a, b, _: a.weighted(b.fillna(0)).mean("time"),
    "crops": lambda a, b, _: np.maximum(a.isel(row=slice(3)), b.isel(row=slice(1, 4))),
    "attributes given back": lambda a, b, _: (a + b).assign_attrs(a.attrs),
}


def ends(parts, dim):
    return xr.concat(
        list(parts),
        dim,
        coords="different",
        compat="equals",
        join="outer",
        combine_attrs="override",
    )


def later(image):
    return image.assign_coords(time=image.time + 10).med.restore()


@pytest.mark.parametrize("route", ROUTES)
def test_two_patients(images, tmp_path, route):
    """What was made of two patients says so at once, and is not written without a word of whose."""
    with pytest.warns(DataWarning, match="two patients"):
        made = ROUTES[route](images["a"], images["b"], images["again"])
    made = made.astype("float32")
    with pytest.raises(HeaderError, match="template="):
        made.med.to_dicom(tmp_path / "out")
    assert not (tmp_path / "out").exists()
    if "subject" not in made.dims:
        made.med.to_dicom(tmp_path / "said", template=images["b"])
        names = {str(pydicom.dcmread(p).PatientID) for p in (tmp_path / "said").iterdir()}
        assert names == {images["b"].PatientID}


# Frames of one series under the attributes of another are refused within one patient, too.
WITHIN = [n for n in ROUTES if "concat" not in n and n not in ("merge", "second in time")]


@pytest.mark.parametrize("route", WITHIN)
def test_one_patient(images, tmp_path, route):
    """The same of two series of one patient is written, without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataWarning)
        made = ROUTES[route](images["a"], images["again"], images["a"])
    made.astype("float32").med.to_dicom(tmp_path / "out")
    names = {str(pydicom.dcmread(p).PatientID) for p in (tmp_path / "out").iterdir()}
    assert names == {images["a"].PatientID}


def test_combined_after_files(images, tmp_path):
    """After netCDF nobody knows which images met: what may hold another patient is not written."""
    a, b, again = (restored(image, tmp_path, name) for name, image in images.items())
    b, again = again, b
    for made in ((a + b) + again, np.maximum(a, b) + again):
        with pytest.raises(HeaderError, match="template="):
            made.astype("float32").med.to_dicom(tmp_path / "out")
    ((a + again) / 2).med.to_dicom(tmp_path / "one")


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ({"PatientID": None}, {"PatientID": None}, True),
        ({"PatientID": "7"}, {"PatientID": " 7 "}, True),
        ({"PatientName": "Doe^Jane"}, {"PatientName": "DOE^JANE^^"}, True),
        ({"PatientName": "Doe^Jane"}, {"PatientName": "Roe^Jane"}, False),
        ({"IssuerOfPatientID": "A"}, {"IssuerOfPatientID": "B"}, False),
        ({"PatientID": "7"}, {"PatientID": "8"}, False),
        ({"PatientID": None}, {"PatientID": "8"}, True),
    ],
)
def test_who_is_who(tmp_path, first, second, same):
    """Within one study, patients differ where ID, its issuer or the name differ, and not before."""
    a = opened(tmp_path, "a", series=1, attributes=first)
    b = opened(tmp_path, "b", series=2, attributes=second)
    if same:
        with warnings.catch_warnings():
            warnings.simplefilter("error", DataWarning)
            assert (a + b).size == a.size
        return
    with pytest.warns(DataWarning, match="two patients"):
        a + b


def test_unknown_patient(tmp_path):
    """An image that says neither ID nor name is not taken for one of the other's examination."""
    a = opened(tmp_path, "a", patient=1)
    nobody = {"PatientID": None, "PatientName": None}
    b = opened(tmp_path, "b", patient=2, attributes={**nobody, "FrameOfReferenceUID": None})
    with pytest.raises(HeaderError, match="do not say that they are of one patient"):
        (a + b).med.to_dicom(tmp_path / "out")


def test_two_spaces(tmp_path):
    """Images of two frames of reference: a warning, and the result claims the space of neither."""
    a = opened(tmp_path, "a", series=1)
    again = opened(tmp_path, "again", series=2)
    moved = opened(tmp_path, "moved", series=3, attributes={"FrameOfReferenceUID": "1.2.3"})
    with pytest.warns(DataWarning, match="two frames of reference"):
        made = (a + moved) + again
    made.med.to_dicom(tmp_path / "out")
    spaces = {pydicom.dcmread(p).FrameOfReferenceUID for p in (tmp_path / "out").iterdir()}
    assert len(spaces) == 1
    assert not spaces & {"1.2.3", a.FrameOfReferenceUID}


def test_without_identity(images, tmp_path):
    """Opened without identity, two patients are told apart all the same; no text names them."""
    a, b = (xr.open_dataarray(tmp_path / name, engine="dicom", phi=False) for name in ("a", "b"))
    with pytest.warns(DataWarning, match="two patients") as caught:
        np.maximum(a, b)
    text = "".join(str(one.message) for one in caught)
    text += str(pickle.dumps(a.SeriesInstanceUID.encoding[schema.HEADERS].whose))
    for image in images.values():
        assert image.PatientID not in text
        assert image.PatientName not in text


def test_warned_where_the_user_is(images):
    """The warning points at the line that combined the images, not into xarray."""
    with pytest.warns(DataWarning, match="two patients") as caught:
        np.maximum(images["a"], images["b"])
    assert {one.filename for one in caught} == {__file__}
