"""Maps of the examples, voxel by voxel: true, the same with Dask, in the memory of their chunks."""

from __future__ import annotations

import os
import runpy
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from imagedata_xr.testing import Head, Phantom, write_series
from imagedata_xr.testing.head import TISSUES

dask = pytest.importorskip("dask")
pytest.importorskip("scipy")

CORPUS = Path(
    os.environ.get("IMAGEDATA_XR_CORPUS", Path(__file__).parents[2] / "shared" / "corpus")
)
EXAMPLES = Path(__file__).parents[1] / "examples"
AXES = {
    "adc": {"b": [0, 200, 400, 800]},
    "t2": {"te": [10, 25, 45, 70, 100]},
    "t1": {"fa": [3, 6, 10, 20, 30]},
    "area": {"time": [4.0 * k for k in range(20)]},
    "tofts": {"time": [1.5 * k for k in range(60)]},
}


def example(name):
    """Return what an example defines."""
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))


def adc(image):
    """Return mm2/s."""
    return example("adc_from_b")["adc"](image)


def t2(image):
    """Return ms, of the bright voxels."""
    return example("t2_from_te")["t2_map"](image, above=100)


def t1(image):
    """Return ms, of the bright voxels."""
    return example("t1_from_fa")["t1_map"](image, above=100)


def area(image):
    """Return the area under the curve, mmol/l s."""
    agent = example("perfusion")["concentration"](image, 1400.0, before=16)
    return agent.integrate("time")


def tofts(image):
    """Return what the Tofts model says of a lesion of which all is known."""
    names = example("perfusion")
    agent = names["concentration"](image, 1500.0, before=18).sel(
        row=slice(-40, -16), column=slice(40, 50)
    )
    plasma = np.array([Head().concentration(BLOOD, time) for time in AXES["tofts"]["time"]])
    model = names["tofts"](np.array(AXES["tofts"]["time"]), plasma)
    return agent.curvefit("time", model, p0=names["START"]).curvefit_coefficients


BLOOD = TISSUES["lesion"].__class__(density=1, t1=1, t2=1, adc=0, plasma=1.0)
SCANS = [
    (adc, "mr_siemens_dwi_rsi", {"b": -1}),
    (t1, "mr_vfa_rider_2fa", {"fa": -1, "slice": 1}),
    (t2, "mr_siemens_5d_te_time", {"te": -1, "slice": 1, "time": 1}),
]
MAPS = {"adc": adc, "t2": t2, "t1": t1, "area": area, "tofts": tofts}


def head(folder, name, shape=(5, 32, 32), **options):
    """Write a head and return its folder."""
    repetition = 500.0 if name in ("adc", "t2") else 15.0
    angle = {} if name == "t1" else {"FlipAngle": 20.0}
    phantom = Phantom(
        axes=AXES[name],
        shape=shape,
        spacing=(12, 192 / shape[1], 192 / shape[2]),
        attributes={**angle, "RepetitionTime": repetition},
        value=Head(scale=100_000, repetition_time=repetition),
        **options,
    )
    write_series(phantom, folder)
    return folder


def tissues(image):
    """Return the tissue of every voxel, by number."""
    x, y, z = np.meshgrid(image.column, image.row, image.slice, indexing="ij")
    labels = Head().labels(np.stack([x, y, z], axis=-1))
    return xr.DataArray(labels.T, dims=("slice", "row", "column"))


@pytest.mark.parametrize("name", MAPS)
def test_dask_gives_the_same(tmp_path, name):
    """Every voxel is that of the NumPy array, with its position, whatever the chunks."""
    head(tmp_path, name)
    expected = MAPS[name](xr.open_dataarray(tmp_path, engine="dicom"))
    axis = next(iter(AXES[name]))
    assert np.isfinite(expected).any()
    for chunks in ({axis: -1, "slice": 1}, {axis: -1, "slice": 2}, {axis: -1}):
        found = MAPS[name](xr.open_dataarray(tmp_path, engine="dicom", chunks=chunks))
        assert found.chunks is not None
        xr.testing.assert_allclose(found.compute(), expected, rtol=1e-9)
        for dim in ("slice", "row", "column"):
            assert found.coords[dim].attrs == expected.coords[dim].attrs


@pytest.mark.parametrize(
    ("name", "truth"),
    [
        ("adc", lambda tissue: Head.diffusion(tissue, {}) * 1e-3),
        ("t2", lambda tissue: tissue.t2),
        ("t1", lambda tissue: tissue.t1),
    ],
)
def test_every_tissue(tmp_path, name, truth):
    """Each voxel of each tissue has the value that its signal was made of."""
    image = xr.open_dataarray(head(tmp_path, name), engine="dicom")
    result = MAPS[name](image)
    labels = tissues(image)
    seen = 0
    for number, tissue in enumerate(TISSUES.values()):
        found = result.values[labels.values == number]
        # of the skull (T2 2 ms) and of water in fluid (T2 2 s) these echoes tell nothing
        if found.size and tissue.density > 0.5 and not (name == "t2" and tissue.t2 > 1000):
            seen += 1
            np.testing.assert_allclose(found, truth(tissue), rtol=0.01)
    assert seen >= 6


@pytest.mark.parametrize("name", ["adc", "t1", "area"])
def test_memory_is_that_of_the_chunks(tmp_path, name):
    """
    More slices need no more memory than their result takes.

    That is held twice for a moment: in pieces, and put together.
    """
    axis = next(iter(AXES[name]))

    def peak(folder, **options):
        with dask.config.set(scheduler="synchronous"):
            tracemalloc.start()
            try:
                opened = xr.open_dataarray(folder, engine="dicom", **options)
                result = MAPS[name](opened).compute()
                return tracemalloc.get_traced_memory()[1], result.nbytes
            finally:
                tracemalloc.stop()

    some = head(tmp_path / "some", name, (6, 96, 96))
    twice = head(tmp_path / "twice", name, (12, 96, 96))
    by_slice = {axis: -1, "slice": 1}
    peak(some, chunks=by_slice)  # what is imported and kept at the first use
    (few, small), (many, large) = (peak(one, chunks=by_slice) for one in (some, twice))
    assert many - few < 3 * (large - small)
    assert peak(twice)[0] > 3 * many


def series(name):
    """Return the folder of a series of the corpus, or skip."""
    folder = CORPUS / name / "dicom"
    if not folder.is_dir():
        pytest.skip("no corpus: set IMAGEDATA_XR_CORPUS")
    return folder


def test_reference_object_for_t1():
    """The QIBA reference object: T1 of 1000 ms in tissue and 1440 ms in blood, of six series."""
    files = [str(path) for path in series("mr_vfa_dro_6fa").iterdir()]
    images = xr.open_dataarray(files, engine="dicom", sort="fa", chunks={"fa": -1})
    result = example("t1_from_fa")["t1_map"](images, above=0).isel(slice=0)
    # whole numbers from 15 to 50 hold the signal, so within some percent
    np.testing.assert_allclose(result.isel(row=slice(0, 180)), 1000, rtol=0.04)
    np.testing.assert_allclose(result.isel(row=slice(180, None)), 1440, rtol=0.04)


def test_reference_object_for_perfusion():
    """The QIBA reference object: transfer by columns, volume of plasma by blocks of rows."""
    names = example("perfusion")
    images = xr.open_dataarray(series("mr_dce_dro_acqtime"), engine="dicom").isel(slice=0)
    blood = names["concentration"](images.isel(row=195, column=30), 1440.0, before=4)
    patches = images.isel(row=slice(5, 180, 10), column=slice(5, None, 10))
    agent = names["concentration"](patches, 1000.0, before=4)
    model = names["tofts"](images.time.values, blood.values / (1 - names["HEMATOCRIT"]))
    bounds = {"ktrans": (0, 2), "ve": (1e-3, 1), "vp": (0, 1)}
    fit = agent.curvefit("time", model, p0=names["START"], bounds=bounds).curvefit_coefficients
    ktrans = [0, 0.01, 0.02, 0.05, 0.1, 0.2]
    np.testing.assert_allclose(fit.sel(param="ktrans"), np.tile(ktrans, (18, 1)), atol=0.007)
    vp = np.repeat([0.001, 0.005, 0.01, 0.02, 0.05, 0.1], 3)
    np.testing.assert_allclose(fit.sel(param="vp"), np.tile(vp, (6, 1)).T, atol=0.0025)


@pytest.mark.parametrize(("image", "name", "chunks"), SCANS)
def test_scans_with_dask(image, name, chunks):
    """Real scans: each voxel is the same with NumPy and with Dask."""
    files = [str(path) for path in series(name).iterdir()]
    scan = xr.open_dataarray(files, engine="dicom", sort="fa" if image is t1 else None)
    if "volume" in scan.dims:
        scan = scan.groupby("b").mean()
    if image is t2:
        scan = scan.isel(time=slice(2), row=slice(30, 40), column=slice(40, 50))
    expected = image(scan)
    assert np.isfinite(expected).any()
    # scipy stops to improve a fit at 1.5e-8, from starts that differ by rounding
    tolerance = 1e-6 if image is t2 else 1e-9
    xr.testing.assert_allclose(image(scan.chunk(chunks)).compute(), expected, rtol=tolerance)
