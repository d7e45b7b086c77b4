"""What pages of the docs take for granted: files, arrays, servers and a person, for their test."""

from __future__ import annotations

import contextlib
import threading
import webbrowser
from pathlib import Path

import pydicom
import pytest
import trustme
import viewer_browser
import xarray as xr
from dicom_peers import free_port, orthanc, own_network, program, running, storescp, wait_for_port

import imagedata_xr
from imagedata_xr.testing import Phantom, XnatServer, write_series
from imagedata_xr.viewer import serving

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
SMALL = (4, 16, 12)
WHO = {"PatientID": "ID-17", "PatientName": "Doe^Jane"}


def opened(folder, **phantom):
    write_series(Phantom(**phantom), folder)
    return xr.open_dataarray(folder, engine="dicom")


@contextlib.contextmanager
def data_model(folder, monkeypatch):
    """An image in memory."""
    del monkeypatch
    yield {"series": opened(folder / "series", axes={"time": [0, 2.5]}, shape=SMALL)}, {}


@contextlib.contextmanager
def copy_on_disk(folder, monkeypatch):
    """An image and its netCDF copy."""
    del monkeypatch
    da = opened(folder / "series", axes={"time": [0, 2.5]}, shape=SMALL)
    da.to_netcdf(folder / "copy.nc")
    yield {"da": da, "xr": xr}, {}


@contextlib.contextmanager
def two_series(folder, monkeypatch):
    """A folder that is not one image."""
    del monkeypatch
    for number in (1, 2):
        opened(folder / "two" / str(number), shape=SMALL, series=number)
    yield {"path": "two", "xr": xr, "imagedata_xr": imagedata_xr}, {}


@contextlib.contextmanager
def images(folder, monkeypatch):
    """CT, T1 map, PET, and masks."""
    del monkeypatch
    space = {"FrameOfReferenceUID": "2.25.9"}
    ct = opened(folder / "ct", modality="CT", shape=(60, 64, 64), attributes=space)
    radioactive = pydicom.Dataset()
    radioactive.RadiopharmaceuticalStartTime = "091500"
    radioactive.RadionuclideTotalDose = 3.7e8
    radioactive.RadionuclideHalfLife = 6586.2
    pet = opened(
        folder / "pet",
        modality="PT",
        shape=(20, 16, 16),
        spacing=(9.0, 6.0, 6.0),
        rescale=(1.0, 0.0),
        attributes=space
        | {
            "Units": "BQML",
            "DecayCorrection": "START",
            "CorrectedImage": ["ATTN", "DECY"],
            "PatientWeight": 70.0,
            "RadiopharmaceuticalInformationSequence": [radioactive],
        },
    )
    t1 = opened(folder / "t1", shape=SMALL)
    labels = (ct > ct.mean()).astype("uint8") + (ct > ct.max() - 50).astype("uint8")
    names = {"ct": ct, "pet": pet, "t1": t1, "labels": labels, "mask": labels == 2}
    names["pet_on_ct"] = pet.med.suv().med.resample_like(ct)
    names["dynamic"] = opened(folder / "d", axes={"time": [0, 2.5]}, shape=(12, 16, 16))
    names["da"] = t1
    off = t1.row.copy(data=t1.row.values + 0.1)
    names["other"] = t1.assign_coords(row=off).med.restore()
    yield names, {}


@contextlib.contextmanager
def for_sorting(folder, monkeypatch):
    """One folder for each way to sort."""
    del monkeypatch
    numbered = {"AcquisitionNumber": 3}
    opened(folder / "dynamic", axes={"time": [0, 2.5]}, shape=SMALL, attributes=numbered)
    opened(folder / "echoes", axes={"time": [0, 2.5], "te": [4.6, 9.2]}, shape=SMALL)
    opened(folder / "inversions", axes={"ti": [100, 300]}, shape=SMALL)
    opened(folder / "heart", axes={"time": [0, 0.04]}, shape=SMALL, timing="TriggerTime")
    for path in write_series(Phantom(axes={"te": [1, 2]}, shape=SMALL), folder / "doses"):
        ds = pydicom.dcmread(path)
        block = ds.private_block(0x0019, "A VENDOR", create=True)
        block.add_new(0x01, "DS", str(float(ds.EchoTime) * 5))
        assert block.get_tag(1) == (0x0019, 0x1001)
        ds.EchoTime = 1
        ds.save_as(path)
    yield {}, {}


@contextlib.contextmanager
def cohort(folder, monkeypatch):
    """Two patients with two series each."""
    del monkeypatch
    for patient in (1, 2):
        for number, name in enumerate(("t1_vibe", "t2_haste_tra"), start=1):
            attributes = {"PatientID": f"P{patient}", "SeriesDescription": name}
            write_series(
                Phantom(patient=patient, series=number, shape=SMALL, attributes=attributes),
                folder / "cohort" / str(patient) / str(number),
            )
    yield {"__name__": "__main__"}, {}


@contextlib.contextmanager
def a_person(folder, monkeypatch):
    """Somebody who looks at each page that opens, and closes it."""
    del folder
    with viewer_browser.browser():
        pass  # or the test is skipped
    visits, servers = [], []
    serve = serving.serve

    def kept(*args, **options):
        servers.append(serve(*args, **options))
        return servers[-1]

    def visit(url):
        with viewer_browser.browser() as browser:
            page = browser.new_page(viewport=viewer_browser.SIZE)
            page.goto(url)
            page.locator(".imxr").first.wait_for(timeout=120_000)

    def come(url):
        visits.append(threading.Thread(target=visit, args=(url,)))
        visits[-1].start()
        return True

    monkeypatch.setattr(serving, "serve", kept)
    monkeypatch.setattr(webbrowser, "open", come)
    try:
        yield {}, {}
    finally:
        for thread in visits:
            thread.join()
        for server in servers:
            server.stop()
    assert len(visits) == len(servers) == 2


@contextlib.contextmanager
def web_server(folder, monkeypatch):
    """A DICOMweb server with a study."""
    monkeypatch.setenv("IMAGEDATA_XR_SPOOL", str(folder / "spool"))
    attributes = {
        "PatientID": "P17",
        "AccessionNumber": "A17",
        "StudyInstanceUID": "1.2.3",
        "SeriesInstanceUID": "1.2.3.4",
    }
    program("Orthanc")
    if not PLUGIN.exists():
        pytest.skip("needs the plugin of Orthanc (apt-get install orthanc-dicomweb)")
    with own_network():
        port = free_port()
        server = orthanc(
            folder / "orthanc",
            HttpServerEnabled=True,
            HttpPort=port,
            RemoteAccessAllowed=False,
            AuthenticationEnabled=False,
            Plugins=[str(PLUGIN)],
            DicomWeb={"Enable": True, "Root": "/dicom-web/", "Ssl": False},
        )
        with running(server):
            wait_for_port(port, server.process)
            url = f"dicomweb+http://127.0.0.1:{port}/dicom-web"
            files = write_series(Phantom(shape=SMALL, attributes=attributes), folder / "source")
            assert imagedata_xr.transports.store(url, files).complete
            yield {}, {"dicomweb+https://pacs.example.org/dicom-web": url}


@contextlib.contextmanager
def xnat(folder, monkeypatch):
    """An XNAT server with an experiment."""
    monkeypatch.setenv("IMAGEDATA_XR_SPOOL", str(folder / "spool"))
    monkeypatch.setenv("XNAT_USER", "tester")
    monkeypatch.setenv("XNAT_PASS", "secret")
    with XnatServer(folder / "xnat", projects=("HEART",), users={"tester": "secret"}) as server:
        files = write_series(Phantom(shape=SMALL, series=7, attributes=WHO), folder / "source")
        assert imagedata_xr.transports.store(f"{server.url}/HEART/S01/E1", files).complete
        yield {}, {"xnat://xnat.example.org": server.url}


@contextlib.contextmanager
def archive(folder, monkeypatch):
    """A real Orthanc with a study, and a TLS receiver of DCMTK."""
    monkeypatch.setenv("IMAGEDATA_XR_SPOOL", str(folder / "spool"))
    monkeypatch.setenv("IMAGEDATA_XR_AET", "XRTEST")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "hospital.pem")
    for name, identity in (("server", "127.0.0.1"), ("me", "client.example.org")):
        made = authority.issue_cert(identity)
        made.private_key_pem.write_to_path(folder / f"{name}.key")
        made.cert_chain_pems[0].write_to_path(folder / f"{name}.pem")
    keys = [str(folder / "server.key"), str(folder / "server.pem")]
    attributes = WHO | {"AccessionNumber": "ACC123", "StudyInstanceUID": "1.2.840.1"}
    with own_network():
        tls = storescp(folder / "tls", "+tls", *keys, "+cf", str(folder / "hospital.pem"), "-rc")
        with running(orthanc(folder / "orthanc")) as server, running(tls):
            files = write_series(
                Phantom(shape=SMALL, series=4, attributes=attributes), folder / "source"
            )
            assert imagedata_xr.transports.store(server.url, files).complete
            yield (
                {},
                {
                    "dicom://pacs:104/ARCHIVE": server.url,
                    "dicom://server:104/PACS": server.url,
                    "dicoms://pacs:2762/ARCHIVE": f"dicoms://127.0.0.1:{tls.port}/STORESCP",
                    "port=11112": f"port={server.client_port}",
                },
            )


SETTINGS = {
    "design/identical-after-files": copy_on_disk,
    "explanation/data-model": data_model,
    "howto/cohorts": cohort,
    "howto/dicomweb": web_server,
    "howto/display": images,
    "howto/pacs": archive,
    "howto/resampling": images,
    "howto/results": archive,
    "howto/sorting": for_sorting,
    "howto/viewer": a_person,
    "howto/xnat": xnat,
    "reference/errors": two_series,
}
