"""The series that are measured: made images with headers as long as those of scanners."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

# Public elements that a scanner writes beside those of the phantom, the same in each file.
COMMON = """
InstanceCreationDate=20240229 InstanceCreationTime=101600.5 InstitutionAddress=Street_1,_Town
StationName=SCANNER3 InstitutionalDepartmentName=Radiology PhysiciansOfRecord=A^B
PerformingPhysicianName=C^D NameOfPhysiciansReadingStudy=E^F OperatorsName=G^H
OtherPatientIDs=OTHER1 PatientSize=1.8 AdditionalPatientHistory=none
DateOfLastCalibration=20240201 TimeOfLastCalibration=070000 ReconstructionDiameter=240
TimezoneOffsetFromUTC=+0100 LossyImageCompression=00
RequestedProcedureDescription=Examination PerformedStationName=SCANNER3 PerformedLocation=ROOM
PerformedProcedureStepStartDate=20240229 PerformedProcedureStepStartTime=080100
PerformedProcedureStepEndDate=20240229 PerformedProcedureStepEndTime=090000
PerformedProcedureStepID=PPS1234567 PerformedProcedureStepDescription=Examination
RequestedProcedureID=RP1234567 RequestedProcedurePriority=ROUTINE
WindowCenterWidthExplanation=WINDOW1 PixelSpacingCalibrationType=GEOMETRY
"""
MODALITY = {
    "MR": """
AngioFlag=N VariableFlipAngleFlag=N SAR=0.0166392 dBdt=0 TransmitCoilName=Body
ReceiveCoilName=32Ch_Head BeatRejectionFlag=Y HeartRate=0 CardiacNumberOfImages=0 TriggerWindow=0
NumberOfPhaseEncodingSteps=255 PulseSequenceName=fast ContrastBolusAgent=agent
ContrastBolusRoute=IV ContrastBolusVolume=10 ReconstructionDiameter=240 Laterality=U
ImagesInAcquisition=2400 StackID=1 ParallelAcquisition=YES ParallelReductionFactorInPlane=2
""",
    "CT": """
DataCollectionDiameter=500 DistanceSourceToDetector=1040 DistanceSourceToPatient=570
TableHeight=129.8 RotationDirection=CW ExposureTime=875 Exposure=300 FilterType=UB
GeneratorPower=40 FocalSpots=1.2 AcquisitionType=SPIRAL RevolutionTime=0.75
SingleCollimationWidth=0.625 TotalCollimationWidth=10 TableSpeed=20 TableFeedPerRotation=10
SpiralPitchFactor=1 ExposureModulationType=NONE EstimatedDoseSaving=0 CTDIvol=45.7
ScanOptions=HELICAL
""",
    "PT": """
SeriesType=WHOLE_BODY RandomsCorrectionMethod=DLYD AttenuationCorrectionMethod=measured
ScatterCorrectionMethod=model ReconstructionMethod=OSEM AxialAcceptance=28
""",
}
# Private blocks as scanners have them: group, number of elements. Nobody reads what is in them.
BLOCKS = {
    "MR": ((0x0009, 8), (0x0019, 50), (0x0021, 20), (0x0025, 8), (0x0027, 10), (0x0043, 20)),
    "CT": ((0x0009, 8),),
    "PT": ((0x0009, 40), (0x0011, 20), (0x0013, 30)),
}
VALUES = (
    ("SS", 7),
    ("DS", "12.5"),
    ("SL", 70000),
    ("LO", "a text"),
    ("FL", 1.25),
    ("IS", "15"),
    ("US", 3),
    ("SH", "ABC"),
)
LONG = {"MR": (80, 2068), "CT": (332,), "PT": (332,)}


@dataclass(frozen=True)
class Workload:
    """A series to be made: modality, number of volumes, slices, and rows and columns."""

    name: str
    volumes: int
    slices: int
    size: int

    @property
    def files(self):
        """Number of files."""
        return self.volumes * self.slices

    @property
    def megabytes(self):
        """Size of the stored pixels."""
        return self.files * self.size**2 * 2 / 1e6

    @property
    def cell(self):
        """Bytes of a pixel in the array: decimal slopes give float32."""
        return 4 if self.name == "PT" else 2


def _phantom(workload):
    """Return a series of small images: only its headers are used."""
    from imagedata_xr.testing import Phantom

    axial = workload.name != "MR"
    width = 240 / workload.size
    return Phantom(
        axes={} if axial else {"time": [2.5 * k for k in range(workload.volumes)]},
        shape=(workload.slices, 4, 4),
        spacing=(180 / max(workload.slices, 2), width, width),
        orientation="axial" if axial else (8.0, -5.0, 3.0),
        origin=(-118.125, -143.344, -17.6875),
        modality=workload.name,
        decimals=5,
        bits_stored=12,
        rescale=[(0.5 + k / 1024, 0.0) for k in range(97)] if workload.name == "PT" else None,
    )


def _frames(size):
    """Yield images: a bright disc with noise, 12 bits, each another one."""
    import numpy as np

    x = np.linspace(-1, 1, size)
    disc = np.where(x**2 + x[:, None] ** 2 < 0.7, 1000.0, 20.0)
    first = disc + np.random.default_rng(0).normal(0, 40, disc.shape)
    first = first.clip(0, 4000).astype("<u2")
    number = 0
    while True:
        yield np.roll(first, number * 7919) + np.uint16(number % 90)
        number += 1


def _constant(modality):
    """Return the elements that all files of a series have beside those of the phantom."""
    from pydicom import Dataset

    found = Dataset()
    for one in (COMMON + MODALITY[modality]).split():
        keyword, _, text = one.partition("=")
        number = not text.startswith("+") and keyword in NUMBERS
        setattr(found, keyword, float(text) if number else text.replace("_", " "))
    found.ReferencedImageSequence = [_reference(k) for k in range(3)]
    found.ReferencedPerformedProcedureStepSequence = [_reference(9)]
    found.RequestAttributesSequence = [Dataset()]
    found.RequestAttributesSequence[0].ScheduledProcedureStepID = "SPS1"
    found.add_new(0x00080000, "UL", 882)
    for group, count in BLOCKS[modality]:
        block = found.private_block(group, f"BENCHMARK BLOCK {group:02X}", create=True)
        for k in range(count):
            block.add_new(k + 1, *VALUES[k % len(VALUES)])
    for k, length in enumerate(LONG[modality]):
        block.add_new(0xF0 + k, "OB", bytes(range(256)) * (length // 256) + bytes(length % 256))
    return found


NUMBERS = frozenset(
    {
        "CTDIvol",
        "EstimatedDoseSaving",
        "RevolutionTime",
        "SingleCollimationWidth",
        "SpiralPitchFactor",
        "TableFeedPerRotation",
        "TableSpeed",
        "TotalCollimationWidth",
        "ParallelReductionFactorInPlane",
    }
)


def _reference(number):
    from pydicom import Dataset

    found = Dataset()
    found.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
    found.ReferencedSOPInstanceUID = f"2.25.30948{number:030d}"
    return found


def _own(dataset, number, pixels):
    """Add what differs from file to file."""
    low, high = int(pixels.min()), int(pixels.max())
    dataset.SmallestImagePixelValue, dataset.LargestImagePixelValue = low, high
    dataset.WindowCenter, dataset.WindowWidth = str((low + high) // 2), str(high - low)
    dataset.InstanceCreationTime = f"1016{number // 100 % 60:02d}.{number % 100:02d}0000"
    dataset.InstanceCreationDate = "20240229"
    dataset[0x00091003].value = 70000 + number
    dataset[0x00091005].value = number / 8
    dataset[0x00091004].value = f"image {number:06d}"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.PixelData = pixels.tobytes()


def make(workload, folder):
    """Write the files of a workload, with names in the order of acquisition."""
    from imagedata_xr.testing import datasets

    folder = Path(folder)
    folder.mkdir(parents=True)
    constant, frames = _constant(workload.name), _frames(workload.size)
    for number, (dataset, pixels) in enumerate(zip(datasets(_phantom(workload)), frames)):  # noqa: B905 - one is endless
        dataset.update(constant)
        _own(dataset, number, pixels)
        dataset.save_as(folder / f"image{number:06d}.dcm", enforce_file_format=True)


def first_of(workload):
    """Return the first file of a workload as a dataset without pixels."""
    from imagedata_xr.testing import datasets

    dataset = next(iter(datasets(_phantom(workload))))
    dataset.update(_constant(workload.name))
    return dataset


def elements(path):
    """Return how many elements a header has, items of sequences included, and its length."""
    from pydicom import dcmread

    dataset = dcmread(path, stop_before_pixels=True)
    pixels = int(dataset.Rows) * int(dataset.Columns) * 2
    return sum(1 for _ in dataset.iterall()), path.stat().st_size - pixels
