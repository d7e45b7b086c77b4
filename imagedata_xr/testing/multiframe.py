"""A phantom as one Enhanced MR instance: all frames in one file (PS3.3 A.36.2)."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
from pydicom import Dataset
from pydicom.datadict import tag_for_keyword
from pydicom.tag import BaseTag

from imagedata_xr.errors import OptionError
from imagedata_xr.testing import pixels
from imagedata_xr.testing.decimals import decimal
from imagedata_xr.testing.headers import Headers, fill
from imagedata_xr.testing.timing import Clock
from imagedata_xr.testing.writing import new_meta, pixel_element

if TYPE_CHECKING:
    from imagedata_xr.testing.phantom import Phantom, Shot

__all__ = ["enhanced"]

SOP_CLASS = "1.2.840.10008.5.1.4.1.1.4.1"
COMPONENTS = {"M": "MAGNITUDE", "P": "PHASE", "R": "REAL", "I": "IMAGINARY"}
# what the functional groups say instead, frame by frame
MOVED = (
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"),
    *("SpacingBetweenSlices", "EchoTime", "EchoNumbers", "FlipAngle", "RepetitionTime"),
    *("ScanningSequence", "SequenceVariant", "ScanOptions", "SequenceName", "NumberOfAverages"),
    *("ImagingFrequency", "ImagedNucleus", "PixelBandwidth", "PercentSampling", "EchoTrainLength"),
    *("PercentPhaseFieldOfView", "InPlanePhaseEncodingDirection", "WindowCenter", "WindowWidth"),
    *("MagneticFieldStrength", "MRAcquisitionType", "AnatomicRegionSequence"),
)
GROUPS = {
    "time": ("TemporalPositionIndex", "FrameContentSequence"),
    "te": ("EffectiveEchoTime", "MREchoSequence"),
    "ti": ("InversionTimes", "MRModifierSequence"),
    "fa": ("FlipAngle", "MRTimingAndRelatedParametersSequence"),
    "b": ("DiffusionBValue", "MRDiffusionSequence"),
    "bvec": ("DiffusionGradientOrientation", "DiffusionGradientDirectionSequence"),
    "component": ("ComplexImageComponent", "MRImageFrameTypeSequence"),
}


def _group(parent: Dataset, sequence: str, **attributes: Any) -> Dataset:
    """Add a sequence of one item with these attributes; return the item."""
    item = Dataset()
    fill(item, **attributes)
    setattr(parent, sequence, [item])
    return item


def _tag(keyword: str) -> BaseTag:
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise OptionError(f"{keyword!r} is no keyword of the DICOM dictionary")
    return BaseTag(tag)


class _Frames:
    """The functional groups of an enhanced instance."""

    def __init__(self, phantom: Phantom) -> None:
        self.phantom = phantom
        self.clock = Clock(phantom)
        self.names = list(dict.fromkeys(n for v in phantom.volume_values for n in v))
        unknown = [name for name in self.names if name not in GROUPS]
        if unknown:
            raise OptionError(f"an enhanced phantom has no place for the axes {unknown}")
        self.levels = {name: self._level(name) for name in self.names}

    def _level(self, name: str) -> list[Any]:
        """Return the distinct values of an axis, in order of their appearance."""
        return list(dict.fromkeys(_hashable(v.get(name)) for v in self.phantom.volume_values))

    def shared(self) -> Dataset:
        """Return the groups that all frames share."""
        phantom, place, found = self.phantom, self.phantom.placement, Dataset()
        plane = [*place.column.tolist(), *place.row.tolist()]
        cosines = [decimal(c, phantom.decimals) for c in plane]
        _group(found, "PlaneOrientationSequence", ImageOrientationPatient=cosines)
        _group(
            found,
            "PixelMeasuresSequence",
            PixelSpacing=[decimal(phantom.spacing[1]), decimal(phantom.spacing[2])],
            SliceThickness=phantom.spacing[0],
            SpacingBetweenSlices=phantom.spacing[0],
        )
        _group(found, "FrameVOILUTSequence", WindowCenter="2000", WindowWidth="4000")
        anatomy = _group(found, "FrameAnatomySequence", FrameLaterality="U")
        _group(
            anatomy,
            "AnatomicRegionSequence",
            CodeValue="69536005",
            CodingSchemeDesignator="SCT",
            CodeMeaning="Head",
        )
        _group(found, "MRAveragesSequence", NumberOfAverages=1.0)
        _group(
            found,
            "MRFOVGeometrySequence",
            InPlanePhaseEncodingDirection="COLUMN",
            MRAcquisitionFrequencyEncodingSteps=phantom.shape[2],
            MRAcquisitionPhaseEncodingStepsInPlane=phantom.shape[1],
            PercentSampling=100.0,
            PercentPhaseFieldOfView=100.0,
        )
        return found

    def index(self, shot: Shot) -> list[int]:
        """Return Dimension Index Values: stack, position in it, then the acquisition axes."""
        found = [1, shot.slice + 1]
        found += [
            self.levels[name].index(_hashable(shot.values.get(name))) + 1 for name in self.names
        ]
        if self.phantom.volumes:
            found.append(shot.volume + 1)
        return found

    def frame(self, shot: Shot) -> Dataset:
        """Return the groups of one frame."""
        phantom, found, values = self.phantom, Dataset(), shot.values
        time = float(values.get("time", 0.0))
        moment = self.clock.start + timedelta(seconds=time + self.clock.seconds(shot))
        content = _group(
            found,
            "FrameContentSequence",
            FrameAcquisitionNumber=self.clock.acquisitions[shot.volume] + 1,
            FrameAcquisitionDateTime=moment.strftime("%Y%m%d%H%M%S.%f"),
            FrameReferenceDateTime=moment.strftime("%Y%m%d%H%M%S.%f"),
            FrameAcquisitionDuration=10.0,
            StackID="1",
            InStackPositionNumber=shot.slice + 1,
            DimensionIndexValues=self.index(shot),
        )
        if "time" in self.names:
            fill(content, TemporalPositionIndex=self.clock.times.index(time) + 1)
        position = phantom.placement.position(shot.slice)
        texts = [decimal(number, phantom.decimals) for number in position]
        _group(found, "PlanePositionSequence", ImagePositionPatient=texts)
        self._add_contrast(found, values)
        number = shot.volume * phantom.shape[0] + shot.slice
        slope, intercept = pixels.rescale_of(phantom, number)
        _group(
            found,
            "PixelValueTransformationSequence",
            RescaleSlope=slope,
            RescaleIntercept=intercept,
            RescaleType="US",
        )
        return found

    @staticmethod
    def _add_contrast(found: Dataset, values: Any) -> None:
        """Add the groups of echo, flip angle, inversion, diffusion and component."""
        _group(found, "MREchoSequence", EffectiveEchoTime=float(values.get("te", 5.0)))
        _group(
            found,
            "MRTimingAndRelatedParametersSequence",
            RepetitionTime=30.0,
            FlipAngle=float(values.get("fa", 20.0)),
            EchoTrainLength=1,
            RFEchoTrainLength=0,
            GradientEchoTrainLength=1,
        )
        if values.get("ti") is not None:
            times = [float(values["ti"])]
            _group(found, "MRModifierSequence", InversionRecovery="YES", InversionTimes=times)
        component = COMPONENTS[values.get("component", "M")]
        _group(
            found,
            "MRImageFrameTypeSequence",
            FrameType=["ORIGINAL", "PRIMARY", "VOLUME", "NONE"],
            PixelPresentation="MONOCHROME",
            VolumetricProperties="VOLUME",
            VolumeBasedCalculationTechnique="NONE",
            ComplexImageComponent=component,
            AcquisitionContrast="DIFFUSION" if "b" in values else "T1",
        )
        b = values.get("b")
        if b is None:
            return
        vector = values.get("bvec")
        undirected = "ISOTROPIC" if b else "NONE"
        kind = undirected if vector is None or not b else "DIRECTIONAL"
        diffusion = _group(
            found, "MRDiffusionSequence", DiffusionBValue=float(b), DiffusionDirectionality=kind
        )
        if kind == "DIRECTIONAL":
            direction = np.asarray(vector, dtype=float).tolist()
            sequence = "DiffusionGradientDirectionSequence"
            _group(diffusion, sequence, DiffusionGradientOrientation=direction)

    def organization(self) -> list[Dataset]:
        """Return the Dimension Index Sequence."""
        content = "FrameContentSequence"
        axes = [("StackID", content), ("InStackPositionNumber", content)]
        axes += [GROUPS[name] for name in self.names]
        if self.phantom.volumes:
            axes.append(("FrameAcquisitionNumber", content))
        items = []
        for keyword, group in axes:
            item = Dataset()
            item.DimensionOrganizationUID = self.phantom.uid("dimensions")
            item.DimensionIndexPointer = _tag(keyword)
            item.FunctionalGroupPointer = _tag(group)
            items.append(item)
        return items


def _hashable(value: Any) -> Any:
    return (
        tuple(np.ravel(value).tolist()) if isinstance(value, (list, tuple, np.ndarray)) else value
    )


def enhanced(phantom: Phantom) -> Dataset:
    """
    Return a phantom as one Enhanced MR instance, its frames in the order of the truth.

    Parameters
    ----------
    phantom : Phantom
        A grey-scale MR phantom.

    Examples
    --------
    >>> from imagedata_xr.testing import Phantom
    >>> int(enhanced(Phantom(axes={"te": [10, 20]}, shape=(3, 4, 5))).NumberOfFrames)
    6
    """
    if phantom.modality != "MR" or not phantom.photometric.startswith("MONOCHROME"):
        raise OptionError("only grey-scale MR phantoms have an enhanced form")
    if phantom.transfer_syntax == "rle":
        raise OptionError("enhanced phantoms are not compressed")
    frames, headers = _Frames(phantom), Headers(phantom)
    shots = list(phantom.shots())
    dataset = headers.series()
    _add_module(dataset, frames)
    instance = phantom.uid("enhanced", phantom.patient, phantom.study, phantom.series)
    fill(dataset, SOPInstanceUID=instance, NumberOfFrames=str(len(shots)))
    organization = Dataset()
    organization.DimensionOrganizationUID = phantom.uid("dimensions")
    dataset.DimensionOrganizationSequence = [organization]
    dataset.DimensionIndexSequence = frames.organization()
    dataset.SharedFunctionalGroupsSequence = [frames.shared()]
    dataset.PerFrameFunctionalGroupsSequence = [frames.frame(shot) for shot in shots]
    fill(dataset, **phantom.attributes)
    dataset.add(pixel_element(phantom, np.concatenate(list(phantom.stored()))))
    dataset.file_meta = new_meta(phantom, SOP_CLASS, instance)
    return dataset


def _add_module(dataset: Dataset, frames: _Frames) -> None:
    """Make the header of a classic series that of an enhanced instance."""
    start = frames.clock.start
    fill(dataset, **dict.fromkeys(MOVED))
    fill(
        dataset,
        SOPClassUID=SOP_CLASS,
        InstanceNumber="1",
        AcquisitionNumber="1",
        AcquisitionDateTime=start.strftime("%Y%m%d%H%M%S.%f"),
        AcquisitionDuration=10.0,
        ContentDate=start.strftime("%Y%m%d"),
        ContentTime=(start + timedelta(seconds=60)).strftime("%H%M%S.%f"),
        ImageType=["ORIGINAL", "PRIMARY", "VOLUME", "NONE"],
        PixelPresentation="MONOCHROME",
        VolumetricProperties="VOLUME",
        VolumeBasedCalculationTechnique="NONE",
        ComplexImageComponent="MIXED" if "component" in frames.names else "MAGNITUDE",
        AcquisitionContrast="DIFFUSION" if "b" in frames.names else "T1",
        MagneticFieldStrength=3.0,
        ResonantNucleus="1H",
        ContentQualification="RESEARCH",
        PresentationLUTShape="IDENTITY",
    )
