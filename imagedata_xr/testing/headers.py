"""The headers of a phantom, in layers that change with the series, volume, slice and frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from pydicom import Dataset
from pydicom.datadict import dictionary_VR, keyword_dict

from imagedata_xr.errors import OptionError
from imagedata_xr.testing import pixels
from imagedata_xr.testing.decimals import decimal
from imagedata_xr.testing.diffusion import SIEMENS, add_diffusion
from imagedata_xr.testing.timing import Clock

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from imagedata_xr.testing.phantom import Phantom, Shot

__all__ = ["Headers", "fill"]

SOP_CLASS = {
    "MR": "1.2.840.10008.5.1.4.1.1.4",
    "CT": "1.2.840.10008.5.1.4.1.1.2",
    "PT": "1.2.840.10008.5.1.4.1.1.128",
    "US": "1.2.840.10008.5.1.4.1.1.6.1",
    "SC": "1.2.840.10008.5.1.4.1.1.7",
}
SCANNERS = {
    "standard": ("imagedata_xr", "Analytic phantom", "1"),
    "siemens": ("SIEMENS", "Prisma", "syngo MR E11"),
    "ge": ("GE MEDICAL SYSTEMS", "SIGNA Pioneer", ["28", "LX", "MR29.1_EA_2039.g"]),
    "philips": ("Philips Medical Systems", "Achieva dStream", ["5.7.1", "5.7.1.1"]),
    "uih": ("UIH", "uMR 770", "R002"),
}
SCANNERS["ge_plain"] = SCANNERS["ge"]
KEYWORDS = {"te": "EchoTime", "ti": "InversionTime", "fa": "FlipAngle"}
PROPERTIES: dict[str, dict[str, Any]] = {
    "MR": {
        "ScanningSequence": "GR",
        "SequenceVariant": "SP",
        "ScanOptions": "",
        "MRAcquisitionType": "2D",
        "SequenceName": "*fl2d1",
        "RepetitionTime": "30",
        "EchoTime": "5",
        "FlipAngle": "20",
        "EchoNumbers": "1",
        "EchoTrainLength": "1",
        "NumberOfAverages": "1",
        "ImagingFrequency": "123.25",
        "ImagedNucleus": "1H",
        "MagneticFieldStrength": "3",
        "PixelBandwidth": "300",
        "PercentSampling": "100",
        "PercentPhaseFieldOfView": "100",
        "InPlanePhaseEncodingDirection": "COL",
    },
    "CT": {"KVP": "120", "XRayTubeCurrent": "200", "ConvolutionKernel": "H30s"},
    "PT": {
        "Units": "BQML",
        "CountsSource": "EMISSION",
        "CorrectedImage": ["DECY", "ATTN", "SCAT"],
        "DecayCorrection": "START",
        "CollimatorType": "NONE",
        "ActualFrameDuration": "1000",
    },
    "US": {},
    "SC": {"ConversionType": "WSD"},
}


def fill(dataset: Dataset, **attributes: Any) -> None:
    """Set attributes by keyword; None removes one."""
    for keyword, value in attributes.items():
        if keyword not in keyword_dict:
            raise OptionError(f"{keyword!r} is no keyword of the DICOM dictionary")
        if value is not None:
            text = isinstance(value, (int, float)) and dictionary_VR(keyword) == "DS"
            setattr(dataset, keyword, decimal(value) if text else value)
        elif keyword in dataset:
            delattr(dataset, keyword)


class Headers:
    """
    The headers of one phantom.

    Parameters
    ----------
    phantom : Phantom
        The series.
    """

    def __init__(self, phantom: Phantom) -> None:
        self.phantom = phantom
        self.clock = Clock(phantom)
        self.echoes = list(dict.fromkeys(v.get("te") for v in phantom.volume_values))

    def series(self) -> Dataset:
        """Return what all frames share."""
        phantom, dataset = self.phantom, Dataset()
        day, maker = phantom.start[:8], SCANNERS[phantom.vendor]
        fill(
            dataset,
            SpecificCharacterSet="ISO_IR 100",
            ImageType=self._image_type("M"),
            SOPClassUID=SOP_CLASS[phantom.modality],
            StudyDate=day,
            SeriesDate=day,
            StudyTime="080000",
            SeriesTime=phantom.start[8:],
            AccessionNumber="",
            Modality=phantom.modality,
            Manufacturer=maker[0],
            InstitutionName="Phantom hospital",
            ReferringPhysicianName="",
            StationName="PHANTOM",
            StudyDescription=f"Phantom study {phantom.study}",
            SeriesDescription=f"Phantom series {phantom.series}",
            ManufacturerModelName=maker[1],
            SoftwareVersions=maker[2],
            PatientName=f"Phantom^Number {phantom.patient}",
            PatientID=f"PHANTOM{phantom.patient}",
            PatientBirthDate="20000101",
            PatientSex="O",
            PatientAge="024Y",
            PatientWeight="70",
            BodyPartExamined="HEAD",
            DeviceSerialNumber="12345",
            ProtocolName="analytic phantom",
            StudyInstanceUID=phantom.uid("study", phantom.patient, phantom.study),
            SeriesInstanceUID=phantom.uid("series", phantom.patient, phantom.study, phantom.series),
            StudyID=str(phantom.study),
            SeriesNumber=str(phantom.series),
            BurnedInAnnotation="NO",
        )
        region = Dataset()
        fill(region, CodeValue="69536005", CodingSchemeDesignator="SCT", CodeMeaning="Head")
        dataset.AnatomicRegionSequence = [region]
        self._add_position(dataset)
        self._add_pixel_format(dataset)
        fill(dataset, **PROPERTIES[phantom.modality])
        self._add_private(dataset)
        fill(dataset, **phantom.attributes)
        return dataset

    def _add_position(self, dataset: Dataset) -> None:
        phantom, place = self.phantom, self.phantom.placement
        if not phantom.positioned:
            return
        plane = [*place.column.tolist(), *place.row.tolist()]
        fill(
            dataset,
            PatientPosition="HFS",
            FrameOfReferenceUID=phantom.uid("frame", phantom.patient, phantom.study),
            PositionReferenceIndicator="",
            ImageOrientationPatient=[decimal(c, phantom.decimals) for c in plane],
            PixelSpacing=[decimal(phantom.spacing[1]), decimal(phantom.spacing[2])],
            SliceThickness=decimal(phantom.spacing[0]),
        )
        if phantom.modality == "MR":
            fill(dataset, SpacingBetweenSlices=decimal(phantom.spacing[0]))
        if phantom.tilt:
            fill(dataset, GantryDetectorTilt=decimal(phantom.tilt))

    def _add_pixel_format(self, dataset: Dataset) -> None:
        phantom = self.phantom
        dtype, count = np.dtype(phantom.dtype), pixels.bits(phantom)
        colour = phantom.photometric in {"RGB", "YBR_FULL"}
        fill(
            dataset,
            SamplesPerPixel=3 if colour else 1,
            PhotometricInterpretation=phantom.photometric,
            Rows=phantom.shape[1],
            Columns=phantom.shape[2],
            BitsAllocated=dtype.itemsize * 8,
            BitsStored=count,
            HighBit=count - 1,
            PixelRepresentation=int(dtype.kind == "i"),
            PlanarConfiguration=0 if colour else None,
            LossyImageCompression="00",
        )
        if phantom.photometric.startswith("MONOCHROME"):
            fill(dataset, WindowCenter="2000", WindowWidth="4000")
        if phantom.photometric == "PALETTE COLOR":
            for name, table in zip(("Red", "Green", "Blue"), pixels.palette().T, strict=True):
                head = f"{name}PaletteColorLookupTable"
                dataset.add_new(f"{head}Descriptor", "US", [256, 0, 16])
                order = ">" if phantom.transfer_syntax == "big" else "<"
                dataset.add_new(f"{head}Data", "OW", table.astype(f"{order}u2").tobytes())

    def _add_private(self, dataset: Dataset) -> None:
        """Add private elements that mean nothing here, as real headers have many."""
        vendor = self.phantom.vendor
        if vendor == "siemens":
            block = dataset.private_block(0x0019, SIEMENS, create=True)
            block.add_new(0x0B, "DS", "102000")
            block = dataset.private_block(0x0051, SIEMENS, create=True)
            block.add_new(0x0E, "LO", "Tra")
            block.add_new(0x13, "SH", "+LPH")
        elif vendor.startswith("ge"):
            block = dataset.private_block(0x0009, "GEMS_IDEN_01", create=True)
            block.add_new(0x01, "LO", "GE_GENESIS_FF")
            block = dataset.private_block(0x0025, "GEMS_SERS_01", create=True)
            block.add_new(0x07, "SL", self.phantom.shape[0])
        elif vendor == "philips":
            block = dataset.private_block(0x2001, "Philips Imaging DD 001", create=True)
            block.add_new(0x18, "SL", self.phantom.shape[0])
        elif vendor == "uih":
            block = dataset.private_block(0x0061, "DB Dicom Private Creator", create=True)
            block.add_new(0x02, "LO", "phantom")
        block = dataset.private_block(0x0099, "IMAGEDATA_XR PHANTOM", create=True)
        block.add_new(0x01, "LO", "analytic phantom, not a patient")
        block.add_new(0x02, "UN", bytes(range(32)))

    def _image_type(self, component: str) -> list[str]:
        phantom = self.phantom
        diffusion = any("b" in volume for volume in phantom.volume_values)
        if phantom.modality != "MR":
            third = {"CT": ["AXIAL"]}.get(phantom.modality, [])
            return ["DERIVED" if phantom.modality == "SC" else "ORIGINAL", "PRIMARY", *third]
        if phantom.vendor.startswith("ge"):
            return ["ORIGINAL", "PRIMARY", "OTHER"]
        if phantom.vendor == "philips":
            return ["ORIGINAL", "PRIMARY", f"{component}_FFE", component, "FFE"]
        if phantom.vendor == "siemens" and diffusion:
            return ["ORIGINAL", "PRIMARY", "DIFFUSION", "NONE", "ND"]
        return ["ORIGINAL", "PRIMARY", component, "ND"]

    def volume(self, shot: Shot) -> Dataset:
        """Return what the frames of a volume share."""
        dataset, values = Dataset(), dict(shot.values)
        values.pop("time", None)
        b, vector = values.pop("b", None), values.pop("bvec", None)
        if b is not None:
            add_diffusion(dataset, self.phantom, float(b), vector)
        component = values.pop("component", None)
        if component is not None:
            fill(dataset, ImageType=self._image_type(component))
            if self.phantom.vendor.startswith("ge"):
                block = dataset.private_block(0x0043, "GEMS_PARM_01", create=True)
                block.add_new(0x2F, "SS", "MPRI".index(component))
        for name, value in values.items():
            plain = value.item() if isinstance(value, np.generic) else value
            fill(dataset, **{KEYWORDS.get(name, name): plain})
        if "te" in values:
            fill(dataset, EchoNumbers=str(self.echoes.index(values["te"]) + 1))
        return dataset

    def slice(self, shot: Shot) -> Dataset:
        """Return what the frames of one position share."""
        dataset, place = Dataset(), self.phantom.placement
        if self.phantom.positioned:
            position = place.position(shot.slice)
            texts = [decimal(number, self.phantom.decimals) for number in position]
            fill(dataset, ImagePositionPatient=texts)
            normal = np.cross(place.column, place.row)
            fill(dataset, SliceLocation=decimal(round(float(position @ normal), 6)))
        return dataset

    def frame(self, shot: Shot, stored: NDArray[Any]) -> Dataset:
        """Return what belongs to one frame alone, its pixels left out."""
        phantom, dataset = self.phantom, Dataset()
        fill(
            dataset,
            SOPInstanceUID=shot.uid,
            InstanceNumber=str(shot.number),
            AcquisitionNumber=str(self.clock.acquisition_number(shot)),
            **self.clock.attributes(shot),
        )
        if phantom.modality == "PT":
            fill(dataset, ImageIndex=shot.number)
        if phantom.rescale is not None or phantom.modality in {"CT", "PT"}:
            number = shot.volume * phantom.shape[0] + shot.slice
            slope, intercept = pixels.rescale_of(phantom, number)
            fill(dataset, RescaleSlope=decimal(slope), RescaleIntercept=decimal(intercept))
        if stored.ndim == 2:
            kind = "SS" if stored.dtype.kind == "i" else "US"
            if stored.dtype.itemsize <= 2:
                dataset.add_new("SmallestImagePixelValue", kind, int(stored.min()))
                dataset.add_new("LargestImagePixelValue", kind, int(stored.max()))
        return dataset
