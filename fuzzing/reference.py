"""The header reader beside pydicom, which is the reference: what do they not agree on?"""

from __future__ import annotations

import math
import warnings

import pydicom
from pydicom.multival import MultiValue

from imagedata_xr.errors import FormatError
from imagedata_xr.formats.dicom.headers.dictionary import SIMPLE_VRS, known_vr

# Padded inside and out: what surrounds the value means nothing in these.
STRIPPED = {"AE", "AS", "CS", "DA", "DS", "DT", "IS", "TM", "UI", "UR"}


def quiet_read(file, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pydicom.dcmread(file, force=True, **options)


def plain(value, vr):
    """Return pydicom's value as plain Python."""
    if isinstance(value, MultiValue | list | tuple):
        values = tuple(plain(item, vr) for item in value)
        return values if len(values) > 1 else (values[0] if values else None)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, int):
        return int(value)
    if value is None or not str(value).strip(" \0\t\r\n"):
        return None
    return str(value).strip(" \0\r\n\t") if vr in STRIPPED else str(value)


def same(ours, theirs):
    if isinstance(theirs, tuple):
        # An empty value among others keeps its place.
        theirs = tuple("" if value is None else value for value in theirs)
        return isinstance(ours, tuple) and len(ours) == len(theirs) and all(map(same, ours, theirs))
    if isinstance(ours, float) and math.isnan(ours):
        return isinstance(theirs, float) and math.isnan(theirs)
    return ours == theirs and type(ours) is type(theirs)


def differences(header, dataset, *, broken=False):
    """Yield what a header and pydicom's dataset do not agree on."""
    kept = set()
    for tag in sorted(map(int, dataset.keys())):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                element = dataset[tag]
        except Exception:
            assert broken
            continue
        if element.VR == "SQ" and not header.has(tag):
            yield "sequence missing", element.tag
        if tag >> 16 & 1 or element.VR not in SIMPLE_VRS or known_vr(tag) is None:
            continue
        kept.add(tag)
        theirs = plain(element.value, element.VR)
        try:
            ours = header.get(tag)
        except FormatError:
            # No number: pydicom gives the text instead.
            assert broken or element.VR in ("DS", "IS")
            continue
        tolerated = broken and element.VR in ("DS", "IS")
        if broken and element.VR == "UI" and isinstance(ours, str):
            # pydicom takes the no-break space of Latin-1 for padding.
            ours = ours.strip()
        if not same(ours, theirs) and not tolerated:
            yield element.tag, element.VR, ours, theirs
    public = {tag for tag in header.elements if not tag >> 16 & 1}
    if public != kept and not broken:
        yield "elements", {hex(tag) for tag in public ^ kept}
