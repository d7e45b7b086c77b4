"""What all instances of one series have in common (PS3.3 C.7.3.1, C.7.4.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pydicom.datadict import tag_for_keyword

from imagedata_xr.errors import HeaderError

if TYPE_CHECKING:
    from pydicom import DataElement

__all__ = ["SeriesFacts"]

_OF_SERIES: Final = (
    "CommentsOnThePerformedProcedureStep",
    "Laterality",
    "OperatorsName",
    "PatientPosition",
    "PerformedProcedureStepDescription",
    "PerformedProcedureStepID",
    "PerformedProcedureStepStartDate",
    "PerformedProcedureStepStartTime",
    "PerformedProtocolCodeSequence",
    "PerformingPhysicianName",
    "ProtocolName",
    "ReferencedPerformedProcedureStepSequence",
    "RelatedSeriesSequence",
    "RequestAttributesSequence",
    "SeriesDate",
    "SeriesDescription",
    "SeriesDescriptionCodeSequence",
    "SeriesNumber",
    "SeriesTime",
)
_UNIQUE: Final = ("Modality", "FrameOfReferenceUID")


class SeriesFacts:
    """The attributes of a series, as its first instance has them, for those of other series."""

    def __init__(self) -> None:
        self._facts: dict[str, DataElement | None] | None = None
        self._characters: Any = None

    def apply(self, dataset: Any) -> None:
        """
        Give an instance the attributes of the series.

        Raises
        ------
        HeaderError
            It cannot be in one series with the first.
        """
        names = (*_OF_SERIES, *_UNIQUE)
        if self._facts is None:
            self._facts = {name: dataset.get(tag_for_keyword(name)) for name in names}
            self._characters = dataset.get("SpecificCharacterSet")
            return
        for name in _UNIQUE:
            one, other = self._facts[name], dataset.get(name)
            if (None if one is None else one.value) != other:
                raise HeaderError(
                    f"{name} differs between the series that were put together, and a series has "
                    f"one: write each by itself, or pass {name}= to say that it is the same"
                )
        if dataset.get("SpecificCharacterSet") != self._characters:
            dataset.decode()
            dataset.SpecificCharacterSet = "ISO_IR 192"
        for name in _OF_SERIES:
            fact = self._facts[name]
            if fact is None:
                dataset.pop(tag_for_keyword(name), None)
            else:
                dataset.add(fact)
