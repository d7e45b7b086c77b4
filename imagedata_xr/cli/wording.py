"""DICOM attributes in the words of the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from imagedata_xr.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["attributes_of"]

_NUMBERS: Final = {"IS": int, "US": int, "SS": int, "UL": int, "SL": int, "FL": float, "FD": float}


def attributes_of(  # noqa: PLR0913 - one for each option
    *,
    sernum: int | None,
    serdes: str | None,
    imagetype: str | None,
    frame: str | None,
    sop_class: str | None,
    others: Iterable[str],
) -> dict[str, Any]:
    """
    Return DICOM attributes by keyword.

    Parameters
    ----------
    sernum, serdes, imagetype, frame, sop_class
        The options of these names; None where not given.
    others : iterable of str
        ``KEYWORD=VALUE`` each; several values with backslashes between them.

    Raises
    ------
    OptionError
        A text is no such thing.
    """
    found: dict[str, Any] = {
        "SeriesNumber": sernum,
        "SeriesDescription": serdes,
        "ImageType": None if imagetype is None else [part.strip() for part in imagetype.split(",")],
        "FrameOfReferenceUID": frame,
        "SOPClassUID": sop_class,
    }
    found = {keyword: value for keyword, value in found.items() if value is not None}
    return found | dict(map(_attribute, others))


def _attribute(text: str) -> tuple[str, Any]:
    from pydicom.datadict import dictionary_VR, tag_for_keyword

    keyword, equals, value = text.partition("=")
    keyword = keyword.strip()
    if not equals or not keyword:
        raise OptionError(f"--set {text}: give KEYWORD=VALUE, e.g. SeriesDescription=ADC")
    tag = tag_for_keyword(keyword)
    if not value or tag is None:
        # The writer itself says what is no keyword.
        return keyword, value or None
    kind = _NUMBERS.get(dictionary_VR(tag).split(" or ")[0], str)
    try:
        values = [kind(part) for part in value.split("\\")]
    except ValueError as error:
        raise OptionError(f"--set {text}: {keyword} is a number") from error
    return keyword, values[0] if len(values) == 1 else values
