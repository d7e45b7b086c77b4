"""
A look at the text of an NRRD header (https://teem.sourceforge.net/nrrd/format.html).

The parser of ITK ends the whole process where a field has more entries than there are axes, so that
no damaged header may reach it.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Final

from imagedata_xr.errors import FormatError

__all__ = ["check_nrrd_header"]

LONGEST: Final = 16 << 20
LONGEST_LINE: Final = 1 << 20
MAGIC: Final = re.compile(rb"NRRD000[1-5]\r?$")
DIMENSIONS: Final = ("1", "2", "3", "4", "5", "6")
SPACES: Final = ("0", "1", "2", "3", "4", "5", "6")
# The names of three anatomical directions, as words or letters.
NAMED: Final = 3
VECTOR: Final = re.compile(r"none|\([^()]*\)")
# One entry an axis.
NUMBERS: Final = ("sizes", "spacings", "thicknesses", "axismins", "axismaxs")
WORDS: Final = ("kinds", "centers", "centerings")
QUOTED: Final = ("labels", "units")
TEXT: Final = re.compile(r'"(?:[^"\\]|\\.)*"')


def check_nrrd_header(path: str) -> None:
    """
    Raise FormatError where a header is not one that ITK can parse.

    Parameters
    ----------
    path : str
    """
    fields = _fields(path)
    axes = fields.get("dimension", "")
    if axes not in DIMENSIONS:
        raise FormatError(f"{path}: dimension is {axes!r}, not 1 to {DIMENSIONS[-1]}")
    count = int(axes)
    sizes = fields.get("sizes", "").split()
    if len(sizes) != count or not all(size.isdecimal() and 0 < int(size) < 2**63 for size in sizes):
        raise FormatError(f"{path}: sizes is {fields.get('sizes')!r} where dimension is {count}")
    for name in fields.keys() & {*NUMBERS, *WORDS, *QUOTED}:
        entries = TEXT.findall(fields[name]) if name in QUOTED else fields[name].split()
        if len(entries) != count or (name in NUMBERS and not all(map(_is_number, entries))):
            raise FormatError(f"{path}: {name} is {fields[name][:80]!r} where dimension is {count}")
    _check_space(path, fields, count)


def _check_space(path: str, fields: dict[str, str], count: int) -> None:
    """Raise where directions and origin do not fit the axes and the space."""
    declared = fields.get("spacedimension")
    if declared is not None and declared not in SPACES:
        raise FormatError(f"{path}: space dimension is {declared!r}")
    named = fields.get("space", "").lower()
    # With time: "left-posterior-superior-time", in short "LPST".
    space = int(declared) if declared is not None else NAMED + named.endswith(("time", "st"))
    for name, entries in (
        ("spacedirections", count),
        ("spaceorigin", 1),
        ("measurementframe", space),
    ):
        if name not in fields:
            continue
        vectors = VECTOR.findall(fields[name])
        rest = VECTOR.sub("", fields[name]).strip()
        known = [one[1:-1].split(",") for one in vectors if one != "none"]
        if (
            rest
            or len(vectors) != entries
            or any(len(one) != space or not all(map(_is_finite, one)) for one in known)
            or len(known) > space
        ):
            raise FormatError(
                f"{path}: {name} is {fields[name][:80]!r}: not as many as there are axes"
            )


def _fields(path: str) -> dict[str, str]:
    """Return the fields by name, without spaces and in lower case, as ITK knows them."""
    with Path(path).open("rb") as file:
        head = file.read(LONGEST)
    lines = head.split(b"\n")
    if MAGIC.match(lines[0]) is None:
        raise FormatError(f"{path}: is no NRRD file: it begins with {lines[0][:16]!r}")
    found: dict[str, str] = {}
    for raw in lines[1:]:
        line = raw.rstrip(b"\r")
        if not line:
            return found
        if len(line) > LONGEST_LINE:
            raise FormatError(f"{path}: the header has a line of {len(line)} bytes")
        if line.startswith(b"#") or b":=" in line:
            continue
        name, colon, value = line.decode("latin-1").partition(":")
        key = name.strip().lower().replace(" ", "")
        if not colon or not (key.isascii() and key.isprintable()):
            raise FormatError(f"{path}: the header has a line that is no 'field: value'")
        if key in found:
            raise FormatError(f"{path}: {name.strip()} stands twice in the header")
        found[key] = value.strip()
        if key == "datafile" and value.strip().upper().startswith("LIST"):
            return found
    return found


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _is_finite(text: str) -> bool:
    return _is_number(text) and math.isfinite(float(text))
