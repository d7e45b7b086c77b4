"""What PET images must say that no array knows (PET Series and PET Image modules, PS3.3 C.8.9)."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from imagedata_xr.errors import WriteError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["complete_pet"]

# Type 1: without them nobody can tell what the values mean.
_FACTS: Final = {
    "Units": "'BQML'",
    "SeriesType": "['WHOLE BODY', 'IMAGE']",
    "CountsSource": "'EMISSION'",
    "DecayCorrection": "'START'",
    "DecayFactor": "1.0",
    "FrameReferenceTime": "0",
}
# Type 2: empty where nobody knows them.
_EMPTY: Final = (
    "CorrectedImage",
    "CollimatorType",
    "AcquisitionDate",
    "AcquisitionTime",
    "ActualFrameDuration",
)
_EMPTY_SEQUENCES: Final = (
    "RadiopharmaceuticalInformationSequence",
    "PatientOrientationCodeSequence",
    "PatientGantryRelationshipCodeSequence",
)


def complete_pet(dataset: Any, *, number: int, slices: int, given: Mapping[str, Any]) -> None:
    """
    Add to the header of a PET image without a PET source what is required and known.

    Parameters
    ----------
    dataset : pydicom.Dataset
        Is changed.
    number : int
        Of the image in the series, from 1.
    slices : int
    given : mapping of str to value
        Attributes that the caller sets.

    Raises
    ------
    WriteError
        Attributes are missing that say what the values mean: they are never made up.
    """
    known = {keyword: given.get(keyword, dataset.get(keyword)) for keyword in _FACTS}
    missing = [keyword for keyword, value in known.items() if value in (None, "", [])]
    # The factor by which values were multiplied (type 1C).
    if known["DecayCorrection"] == "NONE" and "DecayFactor" in missing:
        missing.remove("DecayFactor")
    if missing:
        example = ", ".join(f"{keyword}={_FACTS[keyword]}" for keyword in missing)
        raise WriteError(
            f"a PET image needs {', '.join(missing)}, which the array does not know: give them as "
            f"attributes (such as {example}), or write a Secondary Capture: SOPClassUID='SC'"
        )
    now = datetime.now().astimezone()
    dataset.SeriesDate = dataset.get("SeriesDate") or now.strftime("%Y%m%d")
    dataset.SeriesTime = dataset.get("SeriesTime") or now.strftime("%H%M%S")
    dataset.NumberOfSlices = slices
    dataset.ImageIndex = number
    if not dataset.get("PatientPosition"):
        # Not together with the orientation's code sequence, which these images have.
        dataset.pop("PatientPosition", None)
    for keyword in _EMPTY:
        if keyword not in dataset:
            setattr(dataset, keyword, None)
    for keyword in _EMPTY_SEQUENCES:
        if keyword not in dataset:
            setattr(dataset, keyword, [])
