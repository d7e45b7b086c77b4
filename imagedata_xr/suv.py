"""
Standardised uptake values of PET images, from what their own headers say.

The rules are those of the vendor-neutral pseudo-code of QIBA (FDG-PET/CT profile), on the
attributes of PET Series, PET Isotope and PET Image (PS3.3 C.8.9.1, C.8.9.2 and C.8.9.4). Nothing
is assumed: what is missing, or contradicts itself, is an error that names the attribute.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import xarray as xr

from imagedata_xr import provenance, schema
from imagedata_xr.errors import FormatError, HeaderError, OptionError
from imagedata_xr.sortkeys.time import date_seconds, datetime_seconds, time_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from imagedata_xr.formats.dicom.headers import Header

__all__ = ["suv", "suv_factor"]

GRAMS_PER_ML: Final = "g/ml"

_BECQUEREL, _COUNTS, _GRAMS = "BQML", "CNTS", "GML"
_PHILIPS: Final = (0x7053, "Philips PET Private Group")
_SUV_FACTOR, _ACTIVITY_FACTOR = 0x00, 0x09
_GE: Final = (0x0009, "GEMS_PETD_01", 0x0D)
_DAY: Final = 86400.0
# A start time without a date names one day only for nuclides that are gone on the next one.
_LONGEST_WITHOUT_DATE: Final = 6 * 3600.0
# A thousandth of the dose is left: nobody takes images of that.
_MOST_HALF_LIVES: Final = 10.0
# A dose of less than this is none in Bq, but in MBq.
_SMALLEST_DOSE: Final = 1000.0
# Dates and times are written with different numbers of decimals.
_SAME_MOMENT: Final = 1.0


def suv(da: xr.DataArray) -> xr.DataArray:
    """
    Return the standardised uptake values by body weight, SUVbw.

    SUVbw = activity concentration x body weight / dose that is left at the time to which the
    image is corrected for decay. Where Decay Correction is START, this is the start of the scan:
    Series Date and Time where they are not after the first acquisition of the series, else the
    scan date and time of GE (0009,xx0D). Where it is ADMIN, it is that of the injection. The
    dose is not corrected for what stayed in the syringe.

    Parameters
    ----------
    da : DataArray
        PET image in Bq/ml, in counts of Philips (with the factors in (7053,xx00) or (7053,xx09)),
        or in SUVbw already; as the engine ``dicom`` gives it, or a part of it. Dask arrays stay
        lazy.

    Returns
    -------
    DataArray
        Floating point, g/ml.

    Raises
    ------
    HeaderError
        The headers of the source are not known, or an attribute is missing in them.
    FormatError
        Attributes contradict each other.
    OptionError
        The values are not in the units that the header says, or not ones that make SUV.

    Examples
    --------
    >>> pet = xr.open_dataarray("pet/", engine="dicom")  # doctest: +SKIP
    >>> suv(pet).max()  # doctest: +SKIP
    """
    factor = suv_factor(da)
    values = da.astype(np.result_type(da.dtype, np.float32), keep_attrs=True)
    if factor != 1.0:
        with xr.set_options(keep_attrs=True):  # type: ignore[no-untyped-call]
            values = values * factor
    return values.assign_attrs({schema.UNITS: GRAMS_PER_ML})


def suv_factor(da: xr.DataArray) -> float:
    """
    Return by what the values of a PET image are multiplied to make SUV by body weight, g/ml.

    Parameters and errors are those of `suv`; no pixel is read.
    """
    headers = _headers(da)
    units = _same(headers, "Units")
    if da.attrs.get(schema.UNITS) != units:
        raise OptionError(
            f"the values are in {da.attrs.get(schema.UNITS)!r}, but the header's Units are "
            f"{units!r}: take the array as it was opened (with its rescale)"
        )
    return _factor(da, headers, str(units))


def _headers(da: xr.DataArray) -> tuple[Header, ...]:
    """Return the headers of all files that the image was opened from, not just of its part."""
    from imagedata_xr.formats.dicom.headers import read_headers

    store = provenance.header_store(da)
    if np.unique(da.coords[schema.SERIES].values).size > 1:
        raise OptionError("several series, each with its own dose: take one at a time")
    sources = dict.fromkeys(source for source, _ in store.places.values())
    return read_headers(tuple(sources), progress=False)


def _factor(da: xr.DataArray, headers: Sequence[Header], units: str) -> float:
    """Return by what the values are multiplied."""
    if units == _GRAMS:
        kind = _found(headers[0], "SUVType") if headers[0].has("SUVType") else "BW"
        # PS3.3 C.8.9.1: without SUV Type, it is by body weight.
        if kind != "BW":
            raise OptionError(f"{_named(headers)}: SUVType is {kind!r}: values are no SUVbw")
        return 1.0
    if units not in (_BECQUEREL, _COUNTS):
        raise OptionError(f"{_named(headers)}: Units are {units!r}: no SUV comes from these")
    corrected = _same(headers, "CorrectedImage")
    done = corrected if isinstance(corrected, tuple) else (corrected,)
    for correction in ("ATTN", "DECY"):
        if correction not in done:
            raise OptionError(f"{_named(headers)}: CorrectedImage {done} has no {correction}")
    reference = _same(headers, "DecayCorrection")
    if reference not in ("START", "ADMIN"):
        raise OptionError(
            f"{_named(headers)}: DecayCorrection is {reference!r}, not START or ADMIN"
        )
    activity = 1.0
    if units == _COUNTS:
        ready = _philips(headers, _SUV_FACTOR)
        if ready is not None:
            return ready
        found = _philips(headers, _ACTIVITY_FACTOR)
        if found is None:
            raise HeaderError(
                f"{_named(headers)}: Units are CNTS, but there is neither SUV Scale Factor "
                "(7053,xx00) nor Activity Concentration Scale Factor (7053,xx09) of Philips"
            )
        activity = found
    grams = 1000.0 * _positive(_same(headers, "PatientWeight"), "PatientWeight", headers)
    return activity * grams / _dose(da, headers, str(reference))


def _dose(da: xr.DataArray, headers: Sequence[Header], reference: str) -> float:
    """Return the activity at the time to which the image is corrected for decay, Bq."""
    dataset = provenance.header(da, 0)
    items = list(dataset.get("RadiopharmaceuticalInformationSequence") or [])
    if len(items) != 1:
        problem = HeaderError if not items else FormatError
        raise problem(
            f"{_named(headers)}: RadiopharmaceuticalInformationSequence has {len(items)} items: "
            "one dose is needed"
        )
    item = items[0]
    dose = _positive(item.get("RadionuclideTotalDose"), "RadionuclideTotalDose", headers)
    if dose < _SMALLEST_DOSE:
        raise FormatError(f"{_named(headers)}: RadionuclideTotalDose is {dose:g}: not in Bq")
    if reference == "ADMIN":
        return dose
    half_life = _positive(item.get("RadionuclideHalfLife"), "RadionuclideHalfLife", headers)
    scan = _scan_start(dataset, headers)
    # Dynamic scans start before the injection: the dose at their start is a calculated one.
    last = max(_moments(headers, "AcquisitionDate", "AcquisitionTime"))
    injection = _injection(item, dataset, headers, last, half_life)
    passed = scan - injection
    if injection > last or passed > _MOST_HALF_LIVES * half_life:
        raise FormatError(
            f"{_named(headers)}: RadiopharmaceuticalStartDateTime (or Time) is "
            f"{timedelta(seconds=abs(passed))} {'before' if passed > 0 else 'after'} the start of "
            f"the scan, with a RadionuclideHalfLife of {timedelta(seconds=half_life)}"
        )
    return float(dose * 2.0 ** (-passed / half_life))


def _scan_start(dataset: Any, headers: Sequence[Header]) -> float:
    """Return the time to which START corrects for decay, seconds from the year 2000."""
    _same(headers, "SeriesDate")
    _same(headers, "SeriesTime")
    (series,) = _moments(headers[:1], "SeriesDate", "SeriesTime")
    first = min(_moments(headers, "AcquisitionDate", "AcquisitionTime"))
    if series <= first:
        return series
    group, creator, low = _GE
    try:
        text = dataset.private_block(group, creator)[low].value
    except KeyError:
        raise FormatError(
            f"{_named(headers)}: SeriesDate and SeriesTime are {timedelta(seconds=series - first)} "
            "after the first AcquisitionTime, and there is no Scan DateTime (0009,xx0D) of GE: "
            "the time to which the values are corrected for decay is not known"
        ) from None
    text = text.decode("latin-1") if isinstance(text, bytes) else str(text)
    scan = _local(text.strip("\0 "), "Scan DateTime (0009,xx0D)", dataset, headers)
    if scan > first:
        raise FormatError(
            f"{_named(headers)}: Scan DateTime (0009,xx0D) is after the first AcquisitionTime"
        )
    return scan


def _injection(
    item: Any, dataset: Any, headers: Sequence[Header], last: float, half_life: float
) -> float:
    """Return the time of the injection, seconds from the year 2000: before the last acquisition."""
    stamp = str(item.get("RadiopharmaceuticalStartDateTime") or "")
    clock = str(item.get("RadiopharmaceuticalStartTime") or "")
    of_day = time_seconds(clock) if clock else None
    if clock and of_day is None:
        raise FormatError(f"{_named(headers)}: RadiopharmaceuticalStartTime is {clock!r}: no time")
    if stamp:
        moment = _local(stamp, "RadiopharmaceuticalStartDateTime", dataset, headers)
        apart = 0.0 if of_day is None else abs((moment - of_day + _DAY / 2) % _DAY - _DAY / 2)
        if apart > _SAME_MOMENT:
            raise FormatError(
                f"{_named(headers)}: RadiopharmaceuticalStartDateTime {stamp} and "
                f"RadiopharmaceuticalStartTime {clock} contradict each other"
            )
        return moment
    if of_day is None:
        raise HeaderError(
            f"{_named(headers)}: RadiopharmaceuticalStartDateTime and RadiopharmaceuticalStartTime "
            "are missing"
        )
    if half_life > _LONGEST_WITHOUT_DATE:
        raise HeaderError(
            f"{_named(headers)}: RadiopharmaceuticalStartDateTime is missing: with a "
            f"RadionuclideHalfLife of {timedelta(seconds=half_life)}, a time alone does not say "
            "the day"
        )
    today = last // _DAY * _DAY + of_day
    return today if today <= last else today - _DAY


def _local(text: str, name: str, dataset: Any, headers: Sequence[Header]) -> float:
    """Return a DT value in the time zone of the other dates and times (PS3.5 section 6.2)."""
    moment = datetime_seconds(text)
    if moment is None:
        raise FormatError(f"{_named(headers)}: {name} is {text!r}, no date and time")
    if "+" not in text and "-" not in text:
        return moment
    zone = str(dataset.get("TimezoneOffsetFromUTC") or "")
    ahead = datetime_seconds(f"2000010100{zone}") if zone else None
    if ahead is None:
        raise HeaderError(
            f"{_named(headers)}: {name} {text} has a time zone, but TimezoneOffsetFromUTC, that of "
            "the other times, is missing"
        )
    return moment - ahead


def _moments(headers: Iterable[Header], day: str, clock: str) -> list[float]:
    """Return a moment of every header, seconds from the year 2000."""
    return [
        _parsed(header, day, date_seconds) + _parsed(header, clock, time_seconds)
        for header in headers
    ]


def _parsed(header: Header, keyword: str, parse: Callable[[str], float | None]) -> float:
    text = str(_found(header, keyword))
    seconds = parse(text)
    if seconds is None:
        raise FormatError(f"{header.source.name}: {keyword} is {text!r}, no date or time")
    return seconds


def _found(header: Header, keyword: str) -> Any:
    value = header.get(keyword)
    if value is None or value == "":
        raise HeaderError(f"{header.source.name}: {keyword} is missing, which SUV needs")
    return value


def _same(headers: Sequence[Header], keyword: str) -> Any:
    """Return a value that all instances of the series must have."""
    value = _found(headers[0], keyword)
    for header in headers[1:]:
        if _found(header, keyword) != value:
            raise FormatError(
                f"{keyword} is {value!r} in {headers[0].source.name}, but "
                f"{header.get(keyword)!r} in {header.source.name}"
            )
    return value


def _positive(value: Any, name: str, headers: Sequence[Header]) -> float:
    if value is None or value == "":
        raise HeaderError(f"{_named(headers)}: {name} is missing, which SUV needs")
    number = float(value)
    if not 0 < number < float("inf"):
        raise FormatError(f"{_named(headers)}: {name} is {number:g}, not positive")
    return number


def _philips(headers: Sequence[Header], low: int) -> float | None:
    """Return a private scale factor, None where it is missing or 0 (Philips means the same)."""
    name = f"({_PHILIPS[0]:04X},xx{low:02X})"
    raws = {header.private(_PHILIPS[0], _PHILIPS[1], low) for header in headers}
    if len(raws) > 1:
        raise FormatError(f"{_named(headers)}: {name} differs within the series")
    text = (raws.pop() or b"").decode("latin-1").strip("\0 ")
    try:
        number = float(text or 0)
    except ValueError:
        raise FormatError(f"{_named(headers)}: {name} is {text!r}, no number") from None
    return _positive(number, name, headers) if number else None


def _named(headers: Sequence[Header]) -> str:
    return headers[0].source.name
