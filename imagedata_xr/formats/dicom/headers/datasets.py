"""The two loops over a data set's top level: explicit and implicit VR (PS3.5 section 7.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagedata_xr.formats.dicom.headers.dictionary import (
    LONG_CODES,
    SHORT_TABLES,
    SIMPLE_KEYS,
    key_of,
)
from imagedata_xr.formats.dicom.headers.walk import (
    ENCAPSULATING,
    PIXELS,
    UNDEFINED,
    CutError,
    UnusualError,
    explicit,
    implicit,
    skip_explicit,
    skip_implicit,
)

if TYPE_CHECKING:
    from imagedata_xr.formats.dicom.headers.walk import Found, Window

__all__ = ["walk_explicit", "walk_implicit"]

_TABLES = {code: table.get for code, table in SHORT_TABLES.items()}
# A private creator has an element number below 0100, which stands in the upper half of a key.
_FIRST_PRIVATE_DATA = 0x0100_0000
_SIMPLE = SIMPLE_KEYS.get


# One loop each, without calls for the common elements: a call costs as much as all the rest of it.
def walk_explicit(window: Window, i: int, found: Found) -> None:  # noqa: C901, PLR0912
    """
    Walk over a data set in explicit VR, up to its pixels or its end.

    Parameters
    ----------
    window : Window
    i : int
        Where the data set begins in the window's present bytes.
    found : Found
        Is filled.

    Raises
    ------
    UnusualError
        pydicom has to read it.
    FormatError
        The file ends inside an element.
    """
    data, end, base = window.data, len(window.data), window.base
    elements, vrs, private = found.elements, found.vrs, found.private.get
    intern, tables = found.pool.setdefault, _TABLES.get
    tag, length = None, 0
    while True:
        try:
            while True:
                key, code, length, length4 = explicit(data, i)
                table = tables(code)
                if table is not None:
                    i += 8
                    tag = table(key)
                    if tag is None:
                        if not key & 1:
                            tag = found.unexpected(key, code)
                        elif key < _FIRST_PRIVATE_DATA:
                            tag = found.creator(key, window, i, length)
                        else:
                            tag = private(key)
                            if tag is not None:
                                vrs[tag] = code
                elif code in LONG_CODES:
                    i += 12
                    length = length4
                    if key in PIXELS:
                        return found.pixels(key, base + i, length)
                    if length == UNDEFINED:
                        i = _skip_explicit(window, i, key, code, found)
                        data, end, base = window.data, len(window.data), window.base
                        tag, length = None, 0
                    elif key & 1 and key < _FIRST_PRIVATE_DATA:
                        tag = found.creator(key, window, i, length)
                    else:
                        tag = found.long(key, code, length, base + i)
                else:
                    raise UnusualError
                if tag is not None:
                    value = data[i : i + length]
                    elements[tag] = intern(value, value)
                i += length
        except CutError:
            if tag is not None and i > end:
                elements[tag] = window.value(i - length, length)
            tag = None
            if window.advance(i) is None:
                return None
            data, end, base, i = window.data, len(window.data), window.base, 0


def walk_implicit(window: Window, i: int, found: Found) -> None:  # noqa: C901, PLR0912
    """
    Walk over a data set in implicit VR, as `walk_explicit` does.

    Raises
    ------
    UnusualError
        pydicom has to read it.
    FormatError
        The file ends inside an element.
    """
    data, end, base = window.data, len(window.data), window.base
    if data[i + 4 : i + 6].isalpha() and data[i + 4 : i + 6].isupper():
        # So long a first element cannot be: this is a VR.
        raise UnusualError
    elements, intern = found.elements, found.pool.setdefault
    tag, length = None, 0
    while True:
        try:
            while True:
                key, length = implicit(data, i)
                i += 8
                tag = _SIMPLE(key)
                if length == UNDEFINED:
                    if key in PIXELS:
                        return found.pixels(key, base + i, length)
                    if tag is not None:
                        raise UnusualError
                    found.others.append(key_of(key))
                    i = skip_implicit(window, i)
                    data, end, base = window.data, len(window.data), window.base
                    length = 0
                elif tag is None:
                    if key in PIXELS:
                        return found.pixels(key, base + i, length)
                    if key & 1 and key < _FIRST_PRIVATE_DATA:
                        tag = found.creator(key, window, i, length)
                    else:
                        tag = found.bare(key, length, base + i)
                if tag is not None:
                    value = data[i : i + length]
                    elements[tag] = intern(value, value)
                i += length
        except CutError:
            if tag is not None and i > end:
                elements[tag] = window.value(i - length, length)
            tag = None
            if window.advance(i) is None:
                return None
            data, end, base, i = window.data, len(window.data), window.base, 0


def _skip_explicit(window: Window, i: int, key: int, code: int, found: Found) -> int:
    if code not in ENCAPSULATING:
        raise UnusualError
    found.others.append(key_of(key))
    return skip_explicit(window, i)
